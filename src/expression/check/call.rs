//! The functions there are, and what each takes.

use super::super::parse::{Syntax, SyntaxKind};
use super::super::pattern::Pattern;
use super::super::tree::{Kind, Part};
use super::{Checked, Checker, Thing, Type};
use crate::event::words::suggest;

impl Checker<'_> {
    pub(super) fn call(
        &mut self,
        syntax: &Syntax,
        on: Option<&Syntax>,
        name: &str,
        arguments: &[Syntax],
    ) -> Checked<(Kind, Type)> {
        match (on, name, arguments) {
            (None, "has", [of]) => Ok((self.has(of)?, Type::Bool)),
            (None, "size", [of]) | (Some(of), "size", []) => match self.thing(of)? {
                Thing::Map(map) => Ok((Kind::SizeOf(map), Type::Int)),
                _ => Ok((Kind::Size(Box::new(self.text(of)?)), Type::Int)),
            },
            (None, "double" | "int", [of]) => {
                let node = self.typed(of, "text or a number", |of| of.is_text() || of.is_number())?;
                let node = Box::new(node);
                Ok(if name == "int" { (Kind::ToInt(node), Type::Int) } else { (Kind::ToDouble(node), Type::Double) })
            }
            (Some(on), "contains" | "startsWith" | "endsWith", [sought]) => {
                let (on, sought) = (self.text(on), self.text(sought));
                let part = match name {
                    "contains" => Part::Anywhere,
                    "startsWith" => Part::Start,
                    _ => Part::End,
                };
                Ok((Kind::Part(part, Box::new([on?, sought?])), Type::Bool))
            }
            (Some(on), "matches", [pattern]) => {
                let on = self.text(on);
                let SyntaxKind::Text(text) = &pattern.kind else {
                    return self.refuse(pattern.at, "a pattern stands here as it is, in quotes: r\"web-\\d+\"");
                };
                match Pattern::compile(text) {
                    Ok(compiled) => Ok((Kind::Matches(Box::new(on?), compiled), Type::Bool)),
                    Err(problem) => self.refuse(pattern.at, format!("{problem}; see RE2's syntax")),
                }
            }
            _ => self.unknown_call(syntax, on.is_some(), name),
        }
    }

    fn unknown_call(&mut self, syntax: &Syntax, on_text: bool, name: &str) -> Checked<(Kind, Type)> {
        const OF_TEXT: [&str; 4] = ["contains", "startsWith", "endsWith", "matches"];
        const PLAIN: [&str; 4] = ["has", "size", "double", "int"];
        let message = match name {
            _ if !on_text && OF_TEXT.contains(&name) => format!("write it behind the text: alert.name.{name}(\"…\")"),
            _ if on_text && OF_TEXT.contains(&name) => format!("`{name}` takes one text: alert.name.{name}(\"…\")"),
            _ if PLAIN.contains(&name) => format!("`{name}` takes one argument, in its brackets: {name}(…)"),
            "exists" | "all" | "map" | "filter" | "exists_one" => {
                format!("the macro `{name}` is not taken here; write the cases out with `||` and `&&`")
            }
            _ => {
                let known = suggest(name, if on_text { OF_TEXT } else { PLAIN });
                format!("there is no function `{name}`{known}")
            }
        };
        self.refuse(syntax.at, message)
    }

    pub(super) fn has(&mut self, of: &Syntax) -> Checked<Kind> {
        let SyntaxKind::Select(..) = &of.kind else {
            return self.refuse(
                of.at,
                "has(…) asks for a field: has(alert.value), has(alert.labels.code), or \"code\" in alert.labels",
            );
        };
        let typed = self.value(of)?;
        match typed.node.kind {
            Kind::Field(field) if typed.nullable => Ok(Kind::HasField(field)),
            Kind::Entry(map, key) => Ok(Kind::HasEntry(map, key)),
            _ => {
                let message = format!("{} is always there; leave has(…) out", self.quote(of));
                self.refuse(of.at, message)
            }
        }
    }
}
