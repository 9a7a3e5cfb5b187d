//! Patterns of `matches`: compiled once, of bounded size, and searched in time linear in the text.

use regex_lite::{Regex, RegexBuilder};

/// Of the compiled pattern.
const COMPILED_BYTES_MAX: usize = 16 << 10;
/// A longer text is not searched: so long a label or annotation is none.
pub const SEARCHED_BYTES_MAX: usize = 16 << 10;

#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    pub fn compile(pattern: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).nest_limit(32).build();
        regex.map(Self).map_err(|error| format!("`{pattern}` is no pattern: {error}"))
    }

    /// Anywhere in the text; `None`: it is too long.
    pub fn is_in(&self, text: &str) -> Option<bool> {
        (text.len() <= SEARCHED_BYTES_MAX).then(|| self.0.is_match(text))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}
