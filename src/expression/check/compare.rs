//! Whether two sides may be compared, and what becomes of them: `==`, `<`, `in`, `? :`.

use super::super::eval::Trend;
use super::super::parse::{Syntax, SyntaxKind};
use super::super::tree::{Constant, Kind, Node, Relation};
use super::{Checked, Checker, Thing, Type, Typed};
use crate::event::words::suggest;

impl Checker<'_> {
    pub(super) fn compare(
        &mut self,
        syntax: &Syntax,
        relation: Relation,
        left: &Syntax,
        right: &Syntax,
    ) -> Checked<Kind> {
        let (one, other) = (self.value(left), self.value(right));
        let (one, other) = (one?, other?);
        for ((known, word), at) in [((&one, &other), right.at), ((&other, &one), left.at)] {
            if let (Type::Trend, Kind::Constant(Constant::Text(word))) = (known.of, &word.node.kind)
                && !Trend::NAMES.contains(&&**word)
            {
                let message = format!("there is no trend `{word}`{}", suggest(word, Trend::NAMES));
                return self.refuse(at, message);
            }
        }
        let (a, b) = (one.of, other.of);
        let order = relation.is_order();
        let fits = a.is_number() && b.is_number() || a.is_text() && b.is_text() || a == b && a == Type::Bool && !order;
        let null = [(&one, b, left), (&other, a, right)].into_iter().find(|(_, other, _)| *other == Type::Null);
        match null {
            _ if fits => {}
            Some((typed, ..)) if typed.nullable && !order => {}
            Some((_, _, never)) if !order => {
                let message = format!("{} is never null; leave this out", self.quote(never));
                return self.refuse(syntax.at, message);
            }
            _ => {
                let mend = match (a.is_text(), b.is_text()) {
                    (true, _) if b.is_number() && matches!(right.kind, SyntaxKind::Int(_)) => {
                        format!("; write \"{}\", or double(…) of the text", right.at.text(self.text))
                    }
                    (true, _) if b.is_number() => "; make a number of it: double(…)".to_owned(),
                    (_, true) if a.is_number() => {
                        "; leave the quotes out, or make a number of it: double(…)".to_owned()
                    }
                    _ => "; compare what is alike".to_owned(),
                };
                let (one, other) = (self.quote(left), self.quote(right));
                let message = format!("{one} is {}, but {other} is {}{mend}", a.noun(), b.noun());
                return self.refuse(syntax.at, message);
            }
        }
        let flips = matches!(one.node.kind, Kind::Constant(_)) && !matches!(other.node.kind, Kind::Constant(_));
        Ok(match flips {
            true => Kind::Compare(relation.flipped(), Box::new([other.node, one.node])),
            false => Kind::Compare(relation, Box::new([one.node, other.node])),
        })
    }

    /// `"code" in alert.labels` or `alert.name in ["A", "B"]`.
    pub(super) fn one_of(&mut self, left: &Syntax, right: &Syntax) -> Checked<Kind> {
        let SyntaxKind::List(items) = &right.kind else {
            return match self.thing(right)? {
                Thing::Map(map) => Ok(Kind::HasEntry(map, Box::new(self.text(left)?))),
                _ => self.refuse(right.at, "after `in` stand labels, annotations, or a list: [\"a\", \"b\"]"),
            };
        };
        let of = self.value(left)?;
        let mut constants = Vec::new();
        for item in items {
            let typed = self.value(item)?;
            let Kind::Constant(constant) = typed.node.kind else {
                return self.refuse(item.at, "a list holds plain texts and numbers only; compare the rest by `==`");
            };
            let known =
                !matches!(&constant, Constant::Text(word) if of.of == Type::Trend && !Trend::NAMES.contains(&&**word));
            if of.of.is_number() != typed.of.is_number() || of.of.is_text() != typed.of.is_text() || !known {
                let (one, other) = (self.quote(left), self.quote(item));
                let message = format!("{one} is {} and never {other}; leave that out", of.of.noun());
                return self.refuse(item.at, message);
            }
            constants.push(constant);
        }
        if constants.is_empty() {
            return self.refuse(right.at, "nothing is in an empty list; name what may be in it");
        }
        Ok(Kind::OneOf(Box::new(of.node), constants))
    }

    pub(super) fn conditional(&mut self, syntax: &Syntax, parts: &[Syntax; 3]) -> Checked<Typed> {
        let [condition, then, otherwise] = parts;
        let (condition, then, otherwise) = (self.bool(condition), self.value(then), self.value(otherwise));
        let (condition, then, otherwise) = (condition?, then?, otherwise?);
        let of = match (then.of, otherwise.of) {
            (one, other) if one == other => one,
            (one, other) if one.is_text() && other.is_text() => Type::Text,
            (one, other) => {
                let message = format!("it comes to {} or to {}; let both be alike", one.noun(), other.noun());
                return self.refuse(syntax.at, message);
            }
        };
        let nullable = then.nullable || otherwise.nullable;
        let kind = Kind::Conditional(Box::new([condition, then.node, otherwise.node]));
        Ok(Typed { node: Node { at: syntax.at, kind }, of, nullable })
    }
}
