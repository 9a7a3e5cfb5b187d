//! The tokens of an expression. Strings are unescaped here; positions are bytes of the text.

use super::{Mistake, Span};

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Int(i64),
    Double(f64),
    Text(String),
    /// A name or a keyword: which of them is for the parser to know.
    Word(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// The longer ones first.
const SIGNS: [&str; 23] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ".", ",", "(", ")", "[", "]",
    "=",
];

pub fn tokens(text: &str) -> Result<Vec<(Token, Span)>, Mistake> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        if next.is_whitespace() {
            at += next.len_utf8();
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else {
            let (token, length) = token(rest, next).map_err(|message| Mistake::new(Span::of(at, 1), message))?;
            tokens.push((token, Span::of(at, length)));
            at += length;
        }
    }
    Ok(tokens)
}

fn token(rest: &str, first: char) -> Result<(Token, usize), String> {
    let raw = rest.strip_prefix(['r', 'R']).filter(|quoted| quoted.starts_with(['"', '\'']));
    if let Some(quoted) = raw {
        let (text, length) = quoted_text(quoted, true)?;
        return Ok((Token::Text(text), length + 1));
    }
    match first {
        '"' | '\'' => quoted_text(rest, false).map(|(text, length)| (Token::Text(text), length)),
        '0'..='9' => number(rest),
        '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest),
        c if c.is_ascii_alphabetic() || c == '_' => {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            Ok((Token::Word(rest[..length].to_owned()), length))
        }
        _ => match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            Some("=") => Err("`=` alone is no operator; write `==`".to_owned()),
            Some(sign) => Ok((Token::Sign(sign), sign.len())),
            None if first == '&' || first == '|' => {
                Err(format!("`{first}` alone is no operator; write `{first}{first}`"))
            }
            None => Err(format!("`{first}` has no meaning here; text stands in quotes")),
        },
    }
}

fn number(rest: &str) -> Result<(Token, usize), String> {
    if let Some(digits) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
        let length = digits.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(digits.len());
        let value = i64::from_str_radix(&digits[..length], 16);
        return value.map(|value| (Token::Int(value), length + 2)).map_err(|_| no_number(&rest[..length + 2]));
    }
    let digits = |from: usize| from + rest[from..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - from);
    let mut end = digits(0);
    let whole = end;
    if rest[end..].starts_with('.') && rest[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        end = digits(end + 1);
    }
    if rest[end..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
        end = digits(end + 1 + sign);
    }
    if rest[end..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        let all = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
        return Err(no_number(&rest[..all]));
    }
    let text = &rest[..end];
    let token = if end == whole {
        text.parse().map(Token::Int).map_err(|_| no_number(text))?
    } else {
        let value: f64 = text.parse().map_err(|_| no_number(text))?;
        if !value.is_finite() {
            return Err(no_number(text));
        }
        Token::Double(value)
    };
    Ok((token, end))
}

fn no_number(text: &str) -> String {
    format!("`{text}` is no number; write 1000, 1000.5, 1e3 or 0x3E8; text stands in quotes")
}

/// The text within the quotes that `rest` begins with, and how many bytes it took with them.
fn quoted_text(rest: &str, raw: bool) -> Result<(String, usize), String> {
    let quote = if rest.starts_with('"') { '"' } else { '\'' };
    if rest.starts_with("\"\"\"") || rest.starts_with("'''") {
        return Err("triple quotes are not taken here; write one quote at each end".to_owned());
    }
    let mut text = String::new();
    let mut chars = rest[1..].chars();
    while let Some(next) = chars.next() {
        match next {
            '\n' => break,
            '\\' if !raw => text.push(escaped(&mut chars)?),
            c if c == quote => return Ok((text, rest.len() - chars.as_str().len())),
            c => text.push(c),
        }
    }
    Err(format!("the text lacks its closing {quote}"))
}

/// The character behind a backslash.
fn escaped(chars: &mut std::str::Chars<'_>) -> Result<char, String> {
    let code = |chars: &mut std::str::Chars<'_>, length: usize, radix: u32| {
        let digits = chars.as_str().get(..length).filter(|digits| digits.chars().all(|c| c.is_digit(radix)));
        let value = digits.and_then(|digits| u32::from_str_radix(digits, radix).ok()).and_then(char::from_u32);
        let value = value.ok_or_else(|| format!("an escape lacks its {length} digits, or they name no character"))?;
        *chars = chars.as_str()[length..].chars();
        Ok(value)
    };
    let before = chars.as_str();
    match chars.next() {
        Some('n') => Ok('\n'),
        Some('t') => Ok('\t'),
        Some('r') => Ok('\r'),
        Some('a') => Ok('\u{7}'),
        Some('b') => Ok('\u{8}'),
        Some('f') => Ok('\u{c}'),
        Some('v') => Ok('\u{b}'),
        Some(same @ ('\\' | '"' | '\'' | '`' | '?')) => Ok(same),
        Some('x' | 'X') => code(chars, 2, 16),
        Some('u') => code(chars, 4, 16),
        Some('U') => code(chars, 8, 16),
        Some('0'..='3') => {
            *chars = before.chars();
            code(chars, 3, 8)
        }
        Some(other) => Err(format!("`\\{other}` is no escape; write `\\\\{other}`, or r\"…\" for a pattern")),
        None => Err("the text lacks its closing quote".to_owned()),
    }
}
