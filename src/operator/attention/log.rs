//! The log of an incident: what people and fairlead did about it, in words, bounded.

use super::memory::Known;
use crate::event::LogEntry;
use crate::event::words::clipped;
use crate::record::EventTime;

const ENTRIES_MAX: usize = 30;
const TEXT_CHARS_MAX: usize = 300;
pub const NAME_CHARS_MAX: usize = 100;

impl Known {
    /// Done by somebody.
    pub fn log_by(&mut self, by: &str, text: &str, at: EventTime) {
        self.write(Some(clipped(by, NAME_CHARS_MAX)), text, at);
    }

    /// Done by fairlead.
    pub fn log(&mut self, text: &str, at: EventTime) {
        self.write(None, text, at);
    }

    fn write(&mut self, by: Option<String>, text: &str, at: EventTime) {
        let attention = self.attention_mut();
        attention.log.push(LogEntry { at_ms: at.0, by, text: clipped(text, TEXT_CHARS_MAX) });
        let over = attention.log.len().saturating_sub(ENTRIES_MAX);
        attention.log.drain(..over);
        attention.log_omitted = attention.log_omitted.saturating_add(i32::try_from(over).unwrap_or(i32::MAX));
    }
}
