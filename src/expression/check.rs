//! From syntax to a checked tree: what names stand for and whether types fit, by the schema of the fact itself.

mod call;
mod compare;

use serde_json::Value as Json;

use super::parse::{Syntax, SyntaxKind};
use super::tree::{Constant, Field, Kind, Map, Node, Operation, Relation};
use super::{Mistake, Span};
use crate::event::FactKind;
use crate::event::words::suggest;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Bool,
    Int,
    Double,
    Text,
    /// A text that is one of a few: `trend`.
    Trend,
    Null,
}

impl Type {
    fn is_number(self) -> bool {
        matches!(self, Type::Int | Type::Double)
    }

    fn is_text(self) -> bool {
        matches!(self, Type::Text | Type::Trend)
    }

    fn noun(self) -> &'static str {
        match self {
            Type::Bool => "true or false",
            Type::Int => "a whole number",
            Type::Double => "a number",
            Type::Text | Type::Trend => "text",
            Type::Null => "null",
        }
    }
}

/// A node, what it comes to, and whether that may be null.
struct Typed {
    node: Node,
    of: Type,
    nullable: bool,
}

/// What a piece of syntax stands for.
enum Thing {
    Value(Typed),
    Alert,
    Map(Map),
}

/// The mistake is noted already.
struct Refused;

type Checked<T> = Result<T, Refused>;

/// A whole expression: true or false.
pub fn condition(syntax: &Syntax, text: &str) -> Result<Node, Vec<Mistake>> {
    let schema = serde_json::from_str(FactKind::Alert.schema_json()).expect("the schema that ships is JSON");
    let mut checker = Checker { text, schema, mistakes: Vec::new() };
    let checked = checker.bool(syntax);
    let mistakes = checker.mistakes;
    checked.map_err(|Refused| mistakes)
}

struct Checker<'a> {
    text: &'a str,
    schema: Json,
    mistakes: Vec<Mistake>,
}

impl Checker<'_> {
    fn refuse<T>(&mut self, at: Span, message: impl Into<String>) -> Checked<T> {
        self.mistakes.push(Mistake::new(at, message));
        Err(Refused)
    }

    fn quote(&self, syntax: &Syntax) -> String {
        let text = syntax.at.text(self.text);
        format!("`{}`", crate::event::words::clipped(text, 60))
    }

    fn bool(&mut self, syntax: &Syntax) -> Checked<Node> {
        self.typed(syntax, "true or false", |of| of == Type::Bool)
    }

    fn text(&mut self, syntax: &Syntax) -> Checked<Node> {
        self.typed(syntax, "text", Type::is_text)
    }

    fn typed(&mut self, syntax: &Syntax, wanted: &str, fits: impl Fn(Type) -> bool) -> Checked<Node> {
        let typed = self.value(syntax)?;
        if fits(typed.of) {
            return Ok(typed.node);
        }
        let mend = match (wanted, typed.of) {
            ("true or false", Type::Text | Type::Trend) => "compare it: == \"…\"",
            ("true or false", Type::Int | Type::Double) => "compare it: > 0",
            ("text", Type::Int | Type::Double) => "put it in quotes",
            _ => "compare what is wanted",
        };
        let message = format!("{} is {}, but {wanted} is needed here; {mend}", self.quote(syntax), typed.of.noun());
        self.refuse(syntax.at, message)
    }

    fn value(&mut self, syntax: &Syntax) -> Checked<Typed> {
        match self.thing(syntax)? {
            Thing::Value(typed) => Ok(typed),
            Thing::Alert => self.refuse(syntax.at, "`alert` is the whole alert; name a field of it: alert.name"),
            Thing::Map(_) => {
                let message = format!("{} is many values; name one of them: [\"…\"]", self.quote(syntax));
                self.refuse(syntax.at, message)
            }
        }
    }

    fn thing(&mut self, syntax: &Syntax) -> Checked<Thing> {
        let (kind, of) = match &syntax.kind {
            SyntaxKind::Null => (Kind::Constant(Constant::Null), Type::Null),
            SyntaxKind::Bool(value) => (Kind::Constant(Constant::Bool(*value)), Type::Bool),
            SyntaxKind::Int(value) => (Kind::Constant(Constant::Int(*value)), Type::Int),
            SyntaxKind::Double(value) => (Kind::Constant(Constant::Double(*value)), Type::Double),
            SyntaxKind::Text(text) => (Kind::Constant(Constant::Text(text.clone())), Type::Text),
            SyntaxKind::Name(name) => match &**name {
                "alert" => return Ok(Thing::Alert),
                "repeats" => (Kind::Field(Field::Repeats), Type::Int),
                "trend" => (Kind::Field(Field::Trend), Type::Trend),
                _ => {
                    let known = suggest(name, ["alert", "repeats", "trend"]);
                    return self.refuse(syntax.at, format!("nothing is called `{name}`{known}"));
                }
            },
            SyntaxKind::Select(of, name) => return self.select(syntax, of, name),
            SyntaxKind::Index(of, key) => match self.thing(of)? {
                Thing::Map(map) => (Kind::Entry(map, Box::new(self.text(key)?)), Type::Text),
                _ => {
                    let message = format!("only labels and annotations have entries; {} has none", self.quote(of));
                    return self.refuse(syntax.at, message);
                }
            },
            SyntaxKind::Call { on, name, arguments } => self.call(syntax, on.as_deref(), name, arguments)?,
            SyntaxKind::List(_) => return self.refuse(syntax.at, "a list has its place after `in` only"),
            SyntaxKind::Not(of) => (Kind::Not(Box::new(self.bool(of)?)), Type::Bool),
            SyntaxKind::Negative(of) => {
                let (node, of) = self.number(of)?;
                match node.kind {
                    Kind::Constant(Constant::Int(value)) => (Kind::Constant(Constant::Int(-value)), of),
                    Kind::Constant(Constant::Double(value)) => (Kind::Constant(Constant::Double(-value)), of),
                    _ => (Kind::Negative(Box::new(node)), of),
                }
            }
            SyntaxKind::Binary(sign, left, right) => self.binary(syntax, sign, left, right)?,
            SyntaxKind::Conditional(parts) => return self.conditional(syntax, parts).map(Thing::Value),
        };
        let nullable = of == Type::Null;
        Ok(Thing::Value(Typed { node: Node { at: syntax.at, kind }, of, nullable }))
    }

    fn select(&mut self, syntax: &Syntax, of: &Syntax, name: &str) -> Checked<Thing> {
        match self.thing(of)? {
            Thing::Alert => self.field(syntax, name),
            Thing::Map(map) => {
                let key = Node { at: syntax.at, kind: Kind::Constant(Constant::Text(name.to_owned())) };
                let node = Node { at: syntax.at, kind: Kind::Entry(map, Box::new(key)) };
                Ok(Thing::Value(Typed { node, of: Type::Text, nullable: false }))
            }
            Thing::Value(_) => {
                let message = format!("{} is one value and has no fields", self.quote(of));
                self.refuse(syntax.at, message)
            }
        }
    }

    fn field(&mut self, syntax: &Syntax, name: &str) -> Checked<Thing> {
        let fields = self.schema["fields"].as_array().cloned().unwrap_or_default();
        let names = || fields.iter().filter_map(|field| field["name"].as_str());
        let Some(schema) = fields.iter().find(|field| field["name"] == name) else {
            let known =
                suggest(name, names().filter(|name| Field::of_alert(name).is_some() || Map::of_alert(name).is_some()));
            return self.refuse(syntax.at, format!("an alert has no field `{name}`{known}"));
        };
        if let Some(map) = Map::of_alert(name) {
            return Ok(Thing::Map(map));
        }
        let nullable = schema["type"].is_array();
        let plain = if nullable { &schema["type"][1] } else { &schema["type"] };
        let of = match plain.as_str().or_else(|| plain["type"].as_str()) {
            Some("string") => Some(Type::Text),
            Some("double") => Some(Type::Double),
            Some("int" | "long") => Some(Type::Int),
            _ => None,
        };
        match (Field::of_alert(name), of) {
            (Some(field), Some(of)) => {
                let node = Node { at: syntax.at, kind: Kind::Field(field) };
                Ok(Thing::Value(Typed { node, of, nullable }))
            }
            _ => {
                let why = match name {
                    "status" | "ends_at_ms" => "a resolve is judged as what it ends; leave it out",
                    "level" | "mention" | "level_reason" => "these rules give it",
                    _ => "rules do not look at it",
                };
                self.refuse(syntax.at, format!("`alert.{name}` is not for rules: {why}"))
            }
        }
    }

    fn number(&mut self, syntax: &Syntax) -> Checked<(Node, Type)> {
        let typed = self.value(syntax)?;
        if typed.of.is_number() {
            return Ok((typed.node, typed.of));
        }
        let mend = if typed.of.is_text() { "; make one of it: double(…)" } else { "" };
        let message = format!("{} is {}, but a number is needed here{mend}", self.quote(syntax), typed.of.noun());
        self.refuse(syntax.at, message)
    }

    fn binary(&mut self, syntax: &Syntax, sign: &str, left: &Syntax, right: &Syntax) -> Checked<(Kind, Type)> {
        if let Some(relation) = Relation::of(sign) {
            return Ok((self.compare(syntax, relation, left, right)?, Type::Bool));
        }
        let operation = match sign {
            "&&" | "||" => {
                let (left, right) = (self.bool(left), self.bool(right));
                return Ok((joined(sign == "&&", left?, right?), Type::Bool));
            }
            "in" => return Ok((self.one_of(left, right)?, Type::Bool)),
            "+" => Operation::Add,
            "-" => Operation::Subtract,
            "*" => Operation::Multiply,
            "/" => Operation::Divide,
            _ => Operation::Remainder,
        };
        let (left, right) = (self.number(left), self.number(right));
        let ((left, of), (right, other)) = (left?, right?);
        if of != other {
            let message = "a whole number and one with decimals do not mix; write 1.0, or double(…)";
            return self.refuse(syntax.at, message);
        }
        if operation == Operation::Remainder && of != Type::Int {
            return self.refuse(syntax.at, "`%` is for whole numbers; make them so: int(…)");
        }
        Ok((Kind::Arithmetic(operation, Box::new([left, right])), of))
    }
}

/// `a && b && c` is one node of three.
fn joined(all: bool, left: Node, right: Node) -> Kind {
    let mut nodes = Vec::new();
    for node in [left, right] {
        match node.kind {
            Kind::All(inner) if all => nodes.extend(inner),
            Kind::Any(inner) if !all => nodes.extend(inner),
            _ => nodes.push(node),
        }
    }
    if all { Kind::All(nodes) } else { Kind::Any(nodes) }
}
