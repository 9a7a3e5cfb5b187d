//! Reads and writes the small notation that series and selectors share: names, quoted texts, braces.

use std::borrow::Cow;
use std::fmt;

use crate::event::Text;

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
pub fn is_classic_metric(name: &str) -> bool {
    is_word(name, |c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`
pub fn is_classic_label(name: &str) -> bool {
    is_word(name, |c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_word(name: &str, of: impl Fn(char) -> bool) -> bool {
    name.chars().next().is_some_and(|first| !first.is_ascii_digit()) && name.chars().all(of)
}

/// Writes a text between double quotes, with the three escapes that Prometheus knows.
pub fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\', '\n']) {
        f.write_str(&rest[..at])?;
        f.write_str(if rest[at..].starts_with('\n') { "\\n" } else { "\\" })?;
        if !rest[at..].starts_with('\n') {
            f.write_str(&rest[at..=at])?;
        }
        rest = &rest[at + 1..];
    }
    f.write_str(rest)?;
    f.write_str("\"")
}

/// Where a reader is in a text. Spaces between words do not count.
pub struct Cursor<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub fn new(whole: &'a str) -> Self {
        Self { whole, rest: whole.trim_start() }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest[bytes..].trim_start();
    }

    pub fn is_at(&self, sign: &str) -> bool {
        self.rest.starts_with(sign)
    }

    pub fn takes(&mut self, sign: &str) -> bool {
        let takes = self.is_at(sign);
        if takes {
            self.skip(sign.len());
        }
        takes
    }

    /// The longest beginning that `is` one; empty if there is none.
    pub fn word(&mut self, is: impl Fn(&str) -> bool) -> &'a str {
        let signs = self.rest.char_indices().take_while(|(at, sign)| is(&self.rest[..at + sign.len_utf8()]));
        let length = signs.last().map_or(0, |(at, sign)| at + sign.len_utf8());
        let word = &self.rest[..length];
        self.skip(length);
        word
    }

    /// A label's name, and whether it stood in quotes.
    pub fn name(&mut self) -> Result<(Text<'a>, bool), String> {
        if self.is_at("\"") {
            return Ok((self.text()?, true));
        }
        match self.word(is_classic_label) {
            "" => Err(self.expected("a label's name")),
            name => Ok((name.into(), false)),
        }
    }

    /// A text in double quotes.
    pub fn text(&mut self) -> Result<Text<'a>, String> {
        let body = self.rest.strip_prefix('"').ok_or_else(|| self.expected("a quoted text"))?;
        let mut text = Cow::Borrowed("");
        let mut from = 0;
        loop {
            let at = from + body[from..].find(['"', '\\']).ok_or_else(|| self.expected("a quoted text that ends"))?;
            match &mut text {
                Cow::Borrowed("") => text = Cow::Borrowed(&body[from..at]),
                text => text.to_mut().push_str(&body[from..at]),
            }
            if body[at..].starts_with('"') {
                self.skip(at + 2);
                return Ok(Text(text));
            }
            let meant = match body[at + 1..].chars().next() {
                Some('n') => '\n',
                Some(same @ ('"' | '\\')) => same,
                _ => return Err(self.expected("the escape \\\\, \\\" or \\n")),
            };
            text.to_mut().push(meant);
            from = at + 2;
        }
    }

    pub fn ends(&self) -> Result<(), String> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.expected("the end")) }
    }

    /// An error that says where.
    pub fn expected(&self, what: &str) -> String {
        let at = self.whole.chars().count() - self.rest.chars().count() + 1;
        format!("`{}`: expected {what} at character {at}", self.whole)
    }
}
