//! Letters for people and programs. Pure.

use std::fmt::{self, Write};

use serde::Serialize;

use super::{Letter, Marks};
use crate::app::decoded::time;

/// Of a value that is no text, in hexadecimal.
const PREVIEW_BYTES: usize = 256;

/// A letter in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    pub id: String,
    pub at_ms: i64,
    pub reader: String,
    pub reason: &'static str,
    pub error: String,
    pub retried: Marks,
}

impl From<&Letter> for Line {
    fn from(Letter { letter, retried, .. }: &Letter) -> Self {
        Self {
            id: letter.id(),
            at_ms: letter.at_ms,
            reader: letter.reader.clone(),
            reason: letter.reason.as_str(),
            error: letter.error.clone(),
            retried: retried.clone(),
        }
    }
}

/// A table, the newest last.
pub fn lines(lines: &[Line]) -> String {
    let width = |text: fn(&Line) -> usize, head: usize| lines.iter().map(text).max().unwrap_or_default().max(head);
    let (id, reader) = (width(|line| line.id.len(), 2), width(|line| line.reader.len(), 6));
    let mut out =
        format!("{:24}  {:id$}  {:14}  {:reader$}  {:7}  error\n", "died", "id", "reason", "reader", "retried");
    for line in lines {
        let retried = if line.retried.times == 0 { "-".to_owned() } else { format!("{}×", line.retried.times) };
        _ = writeln!(
            out,
            "{:24}  {:id$}  {:14}  {:reader$}  {retried:7}  {}",
            time(line.at_ms),
            line.id,
            line.reason,
            line.reader,
            line.error
        );
    }
    out
}

/// A letter with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Full {
    #[serde(flatten)]
    pub line: Line,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<Content>,
    pub value: Option<Content>,
    pub headers: Vec<(String, Option<Content>)>,
    /// Where the letter itself lies.
    pub letter_partition: i32,
    pub letter_offset: i64,
}

/// Bytes: as text too where they are UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Content {
    pub bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    pub hex: String,
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(is_unprintable)).map(str::to_owned);
        Self { bytes: bytes.len(), text, hex: hex::encode(bytes) }
    }
}

fn is_unprintable(c: char) -> bool {
    c.is_control() && !c.is_whitespace()
}

impl From<&Letter> for Full {
    fn from(found: &Letter) -> Self {
        let letter = &found.letter;
        let content = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(Content::from);
        Self {
            line: Line::from(found),
            topic: letter.topic.clone(),
            partition: letter.partition,
            offset: letter.offset,
            timestamp_ms: letter.timestamp_ms,
            key: content(&letter.key),
            value: content(&letter.value),
            headers: letter.headers.iter().map(|header| (header.name.clone(), content(&header.value))).collect(),
            letter_partition: found.partition.0,
            letter_offset: found.offset.0,
        }
    }
}

impl Full {
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).map(|()| out).unwrap_or_default() // writing to a `String` cannot fail
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let line = &self.line;
        writeln!(out, "{}", line.id)?;
        writeln!(out, "  error      {}", line.error)?;
        writeln!(out, "  reason     {}", line.reason)?;
        writeln!(out, "  reader     {}", line.reader)?;
        writeln!(out, "  died       {}", time(line.at_ms))?;
        let retried = match line.retried {
            Marks { times: 0, .. } => "never".to_owned(),
            Marks { times, at_ms, .. } => format!("{times}×, last {}", at_ms.map(time).unwrap_or_default()),
        };
        writeln!(out, "  retried    {retried}")?;
        writeln!(out, "  timestamp  {}", time(self.timestamp_ms))?;
        writeln!(out, "  key        {}", told(self.key.as_ref()))?;
        for (name, value) in &self.headers {
            writeln!(out, "  header     {name}: {}", told(value.as_ref()))?;
        }
        writeln!(out, "  value      {}", told(self.value.as_ref()))?;
        if let Some(Content { text: None, hex, .. }) = &self.value {
            dump(out, hex)?;
        }
        Ok(())
    }
}

fn told(content: Option<&Content>) -> String {
    match content {
        None => "none".to_owned(),
        Some(Content { text: Some(text), .. }) => text.clone(),
        Some(Content { text: None, bytes, .. }) => format!("{bytes} bytes, no text"),
    }
}

/// Sixteen bytes a line, with what of them is printable.
fn dump(out: &mut String, hex: &str) -> fmt::Result {
    let bytes = hex::decode(hex).unwrap_or_default();
    for (number, row) in bytes.iter().take(PREVIEW_BYTES).collect::<Vec<_>>().chunks(16).enumerate() {
        let codes: Vec<_> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let seen: String = row
            .iter()
            .map(|byte| if byte.is_ascii_graphic() || **byte == b' ' { char::from(**byte) } else { '.' })
            .collect();
        writeln!(out, "    {:04x}  {:47}  {seen}", number * 16, codes.join(" "))?;
    }
    if bytes.len() > PREVIEW_BYTES {
        writeln!(out, "    … {} bytes more; --output json shows all", bytes.len() - PREVIEW_BYTES)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Offset, Partition};
    use crate::topology::dead_letter::{DeadLetter, DeadLetterHeader, Reason};

    fn letter(value: &[u8]) -> Letter {
        let letter = DeadLetter {
            topic: "alerts".to_owned(),
            partition: 1,
            offset: 7,
            timestamp_ms: 1_700_000_000_000,
            key: Some(b"checkout".to_vec()),
            value: Some(value.to_vec()),
            headers: vec![DeadLetterHeader { name: "trace".to_owned(), value: None }],
            reader: "oncall".to_owned(),
            reason: Reason::NoEnvelope,
            error: "no Confluent envelope".to_owned(),
            at_ms: 1_700_000_001_000,
        };
        Letter { partition: Partition(0), offset: Offset(3), letter, retried: Marks::default() }
    }

    #[test]
    fn text_is_shown_as_text_and_other_bytes_as_a_dump() {
        let text = Full::from(&letter(b"{\"a\":1}")).text();
        assert!(text.starts_with("alerts/1/7\n  error      no Confluent envelope\n"), "{text}");
        assert!(text.contains("  key        checkout\n  header     trace: none\n  value      {\"a\":1}\n"), "{text}");
        let binary = Full::from(&letter(b"\0\0\0\0\x07ab")).text();
        assert!(binary.contains("  value      7 bytes, no text\n    0000  00 00 00 00 07 61 62"), "{binary}");
        assert!(binary.ends_with("  .....ab\n"), "{binary}");
        let long = Full::from(&letter(&[0xff; 300])).text();
        assert!(long.ends_with("… 44 bytes more; --output json shows all\n"), "{long}");
    }

    #[test]
    fn json_keeps_every_byte_and_the_list_says_how_often_it_was_retried() {
        let json = serde_json::to_value(Full::from(&letter(b"\xff\0"))).unwrap();
        assert_eq!(
            (&json["value"]["hex"], &json["value"]["bytes"], &json["id"]),
            (&"ff00".into(), &2.into(), &"alerts/1/7".into())
        );
        let mut retried = letter(b"");
        retried.retried.times = 2;
        let table = lines(&[Line::from(&letter(b"")), Line::from(&retried)]);
        let cells: Vec<Vec<&str>> = table
            .lines()
            .skip(1)
            .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect())
            .collect();
        assert_eq!(
            cells[0],
            ["2023-11-14 22:13:21Z", "alerts/1/7", "no_envelope", "oncall", "-", "no Confluent envelope"]
        );
        assert_eq!(cells[1][4], "2×");
    }
}
