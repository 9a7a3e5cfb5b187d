//! From tokens to a tree of syntax, by CEL's grammar and precedence. What names stand for is not known here.
//!
//! Not taken of CEL's syntax, each refused by name: maps and messages, bytes, unsigned numbers, triple quotes.

use super::lex::{Token, tokens};
use super::{Mistake, NESTING_MAX, NODES_MAX, Span, TEXT_BYTES_MAX};

#[derive(Clone, Debug, PartialEq)]
pub struct Syntax {
    pub at: Span,
    pub kind: SyntaxKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SyntaxKind {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Name(String),
    /// `of.name`
    Select(Box<Syntax>, String),
    /// `of[key]`
    Index(Box<Syntax>, Box<Syntax>),
    /// `name(…)` or `on.name(…)`
    Call {
        on: Option<Box<Syntax>>,
        name: String,
        arguments: Vec<Syntax>,
    },
    List(Vec<Syntax>),
    Not(Box<Syntax>),
    Negative(Box<Syntax>),
    /// By its sign, `in` among them.
    Binary(&'static str, Box<Syntax>, Box<Syntax>),
    Conditional(Box<[Syntax; 3]>),
}

pub fn parse(text: &str) -> Result<Syntax, Mistake> {
    if text.len() > TEXT_BYTES_MAX {
        let problem = format!("{} bytes are too long for an expression; keep within {TEXT_BYTES_MAX}", text.len());
        return Err(Mistake::new(Span::of(0, 1), problem));
    }
    let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.len(), nodes: 0, nesting: 0 };
    let tree = parser.conditional()?;
    match parser.tokens.get(parser.next) {
        None => Ok(tree),
        Some((token, at)) => Err(Mistake::new(*at, unexpected(token))),
    }
}

fn unexpected(token: &Token) -> String {
    match token {
        Token::Word(word) => match &*word.to_ascii_lowercase() {
            "and" => format!("`{word}` is no operator; write `&&`"),
            "or" => format!("`{word}` is no operator; write `||`"),
            "not" => format!("`{word}` is no operator; write `!`"),
            _ => format!("`{word}` is not expected here; an operator, such as `&&` or `==`, is missing before it"),
        },
        Token::Sign(sign) => format!("`{sign}` is not expected here; is something missing before it?"),
        _ => "this value is not expected here; an operator, such as `&&` or `==`, is missing before it".to_owned(),
    }
}

/// The words that CEL keeps for itself; as names of fields they may stand.
const RESERVED: [&str; 18] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "in",
];

struct Parser {
    tokens: Vec<(Token, Span)>,
    next: usize,
    end: usize,
    nodes: usize,
    nesting: usize,
}

impl Parser {
    /// The sign, if it is among these and next.
    fn take(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        let found = match self.tokens.get(self.next) {
            Some((Token::Sign(sign), _)) => signs.iter().find(|candidate| *candidate == sign),
            Some((Token::Word(word), _)) if word == "in" => signs.iter().find(|candidate| **candidate == "in"),
            _ => None,
        };
        self.next += usize::from(found.is_some());
        found.copied()
    }

    fn expect(&mut self, sign: &'static str, why: &str) -> Result<(), Mistake> {
        if self.take(&[sign]).is_some() {
            return Ok(());
        }
        Err(Mistake::new(self.here(), format!("`{sign}` is missing {why}")))
    }

    fn here(&self) -> Span {
        self.tokens.get(self.next).map_or(Span::of(self.end, 0), |(_, at)| *at)
    }

    /// A node that begins at `start` and ends with the last token taken.
    fn node(&mut self, start: usize, kind: SyntaxKind) -> Result<Syntax, Mistake> {
        let end = self.tokens[self.next - 1].1.end;
        let at = Span { start, end };
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let problem = format!("the expression has more than {NODES_MAX} parts; split it into several rules");
            return Err(Mistake::new(at, problem));
        }
        Ok(Syntax { at, kind })
    }

    fn nested(&mut self, inner: impl Fn(&mut Self) -> Result<Syntax, Mistake>) -> Result<Syntax, Mistake> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            let problem = format!("it is nested more than {NESTING_MAX} deep; split it into several rules");
            return Err(Mistake::new(self.here(), problem));
        }
        let node = inner(self);
        self.nesting -= 1;
        node
    }

    fn conditional(&mut self) -> Result<Syntax, Mistake> {
        let condition = self.binary(0)?;
        if self.take(&["?"]).is_none() {
            return Ok(condition);
        }
        let then = self.nested(|parser| parser.binary(0))?;
        self.expect(":", "after `?` and what holds then")?;
        let otherwise = self.nested(Self::conditional)?;
        let start = condition.at.start;
        self.node(start, SyntaxKind::Conditional(Box::new([condition, then, otherwise])))
    }

    /// Operators of this precedence and higher, all from left to right.
    fn binary(&mut self, precedence: usize) -> Result<Syntax, Mistake> {
        const LEVELS: [&[&str]; 5] =
            [&["||"], &["&&"], &["==", "!=", "<=", ">=", "<", ">", "in"], &["+", "-"], &["*", "/", "%"]];
        let Some(signs) = LEVELS.get(precedence) else { return self.unary() };
        let mut left = self.binary(precedence + 1)?;
        while let Some(sign) = self.take(signs) {
            let right = self.binary(precedence + 1)?;
            let start = left.at.start;
            left = self.node(start, SyntaxKind::Binary(sign, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Syntax, Mistake> {
        let start = self.here().start;
        match self.take(&["!", "-"]) {
            Some("!") => {
                let of = self.nested(Self::unary)?;
                self.node(start, SyntaxKind::Not(Box::new(of)))
            }
            Some(_) => {
                let of = self.nested(Self::unary)?;
                self.node(start, SyntaxKind::Negative(Box::new(of)))
            }
            None => self.member(),
        }
    }

    fn member(&mut self) -> Result<Syntax, Mistake> {
        let mut of = self.primary()?;
        loop {
            let start = of.at.start;
            let kind = match self.take(&[".", "["]) {
                None => return Ok(of),
                Some("[") => {
                    let key = self.nested(Self::conditional)?;
                    self.expect("]", "after the key")?;
                    SyntaxKind::Index(Box::new(of), Box::new(key))
                }
                Some(_) => {
                    let name = self.name("a name is missing after `.`; for other labels write labels[\"…\"]")?;
                    match self.take(&["("]) {
                        None => SyntaxKind::Select(Box::new(of), name),
                        Some(_) => {
                            let arguments = self.list(")", "after the arguments")?;
                            SyntaxKind::Call { on: Some(Box::new(of)), name, arguments }
                        }
                    }
                }
            };
            of = self.node(start, kind)?;
        }
    }

    fn name(&mut self, missing: &str) -> Result<String, Mistake> {
        match self.tokens.get(self.next) {
            Some((Token::Word(word), _)) => {
                self.next += 1;
                Ok(word.clone())
            }
            _ => Err(Mistake::new(self.here(), missing)),
        }
    }

    /// What stands up to the closing bracket, comma separated.
    fn list(&mut self, close: &'static str, why: &str) -> Result<Vec<Syntax>, Mistake> {
        let mut items = Vec::new();
        while self.take(&[close]).is_none() {
            if !items.is_empty() {
                self.expect(",", &format!("between two, or `{close}` {why}"))?;
            }
            items.push(self.nested(Self::conditional)?);
        }
        Ok(items)
    }

    fn primary(&mut self) -> Result<Syntax, Mistake> {
        let at = self.here();
        let Some((token, _)) = self.tokens.get(self.next).cloned() else {
            return Err(Mistake::new(at, "the expression ends too early; something is missing here"));
        };
        self.next += 1;
        let kind = match token {
            Token::Int(value) => SyntaxKind::Int(value),
            Token::Double(value) => SyntaxKind::Double(value),
            Token::Text(text) => SyntaxKind::Text(text),
            Token::Sign("(") => {
                let inner = self.nested(Self::conditional)?;
                self.expect(")", "to close the bracket")?;
                return Ok(Syntax { at: Span { start: at.start, end: self.tokens[self.next - 1].1.end }, ..inner });
            }
            Token::Sign("[") => SyntaxKind::List(self.list("]", "after the list")?),
            Token::Word(word) => match &*word {
                "null" => SyntaxKind::Null,
                "true" => SyntaxKind::Bool(true),
                "false" => SyntaxKind::Bool(false),
                word if RESERVED.contains(&word) => {
                    return Err(Mistake::new(at, format!("`{word}` is a reserved word of CEL; it names nothing here")));
                }
                _ if self.take(&["("]).is_some() => {
                    let arguments = self.list(")", "after the arguments")?;
                    SyntaxKind::Call { on: None, name: word, arguments }
                }
                _ => SyntaxKind::Name(word),
            },
            Token::Sign(_) => return Err(Mistake::new(at, unexpected(&token))),
        };
        self.node(at.start, kind)
    }
}
