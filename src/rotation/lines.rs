//! Content lines of iCalendar (RFC 5545, 3.1): unfolded, cut into name, parameters and value, and their text unescaped.
//!
//! Lenient where feeds are: bare line feeds, a byte-order mark, names in any case. What is no content line is none, never a failure.

/// `NAME;PARAM=VALUE:VALUE`, names in capitals.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub name: String,
    params: Vec<(String, String)>,
    pub value: String,
}

impl Line {
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A line that begins with white space goes on with the one before.
pub fn unfolded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.trim_start_matches('\u{feff}').split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)) {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(more), Some(last)) => last.push_str(more),
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// What stands in quotes ends neither a parameter nor the name.
pub fn line(text: &str) -> Option<Line> {
    let mut quoted = false;
    let mut cuts = Vec::new();
    let mut end = None;
    for (at, next) in text.char_indices() {
        match next {
            '"' => quoted = !quoted,
            ';' if !quoted => cuts.push(at),
            ':' if !quoted => {
                end = Some(at);
                break;
            }
            _ => {}
        }
    }
    let end = end?;
    let mut begin = 0;
    let mut parts = Vec::new();
    for cut in cuts.into_iter().chain([end]) {
        parts.push(&text[begin..cut]);
        begin = cut + 1;
    }
    let (name, params) = parts.split_first()?;
    let param = |part: &&str| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_ascii_uppercase(), value.trim_matches('"').to_owned()))
    };
    let name = name.trim().to_ascii_uppercase();
    let params = params.iter().filter_map(param).collect();
    (!name.is_empty()).then(|| Line { name, params, value: text[end + 1..].to_owned() })
}

/// Of a value that is text.
pub fn unescaped(value: &str) -> String {
    let mut out = String::new();
    let mut chars = value.chars();
    while let Some(next) = chars.next() {
        match next {
            '\\' => match chars.next() {
                Some('n' | 'N') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_lines_are_joined_and_cut_outside_of_quotes() {
        let text = "\u{feff}BEGIN:VCALENDAR\r\nattendee;CN=\"Doe; Jane: A\";\r\n PARTSTAT=ACCEPTED:mailto:jane@exam\r\n\tple.com\nnothing\n";
        let lines: Vec<_> = unfolded(text).iter().map(|text| line(text)).collect();
        assert_eq!(lines.len(), 4);
        let attendee = lines[1].as_ref().unwrap();
        assert_eq!((attendee.name.as_str(), attendee.value.as_str()), ("ATTENDEE", "mailto:jane@example.com"));
        assert_eq!((attendee.param("CN"), attendee.param("PARTSTAT")), (Some("Doe; Jane: A"), Some("ACCEPTED")));
        assert!(lines[2].is_none() && lines[3].is_none());
        assert_eq!(unescaped(r"a\, b\;\nc\\d\"), "a, b;\nc\\d");
    }
}
