//! Channels, messages, and the timestamps that are their ids.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

/// A message's id and place in its channel: microseconds, spelled as seconds with six decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ts(pub u64);

impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl FromStr for Ts {
    type Err = ();
    /// Bounds of a query may lack decimals, or have more than six.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let seconds: u64 = seconds.parse().map_err(|_| ())?;
        let micros = format!("{fraction:0<6}");
        let micros: u64 = micros.get(..6).ok_or(())?.parse().map_err(|_| ())?;
        seconds.checked_mul(1_000_000).and_then(|whole| whole.checked_add(micros)).map(Ts).ok_or(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// `None`: written by a person.
    pub bot_id: Option<String>,
    pub text: String,
    pub blocks: Vec<Value>,
    pub metadata: Option<Value>,
    /// Its root, if it is a reply.
    pub thread: Option<Ts>,
    /// A reply that the channel shows too.
    pub broadcast: bool,
    pub edited: Option<Ts>,
    pub reactions: Vec<String>,
}

impl Message {
    /// As Slack's answers show it.
    pub fn to_json(&self, ts: Ts, with_metadata: bool) -> Value {
        let mut shown = json!({"type": "message", "ts": ts.to_string(), "text": self.text});
        let object = shown.as_object_mut().expect("built as an object just above");
        match &self.bot_id {
            Some(bot) => object.insert("bot_id".into(), json!(bot)),
            None => object.insert("user".into(), json!("U0PERSON")),
        };
        if !self.blocks.is_empty() {
            object.insert("blocks".into(), json!(self.blocks));
        }
        if let Some(thread) = self.thread {
            object.insert("thread_ts".into(), json!(thread.to_string()));
        }
        if self.broadcast {
            object.insert("subtype".into(), json!("thread_broadcast"));
        }
        if let Some(edited) = self.edited {
            object.insert("edited".into(), json!({"ts": edited.to_string()}));
        }
        if let Some(metadata) = self.metadata.as_ref().filter(|_| with_metadata) {
            object.insert("metadata".into(), metadata.clone());
        }
        if !self.reactions.is_empty() {
            let reactions: Vec<_> = self.reactions.iter().map(|name| json!({"name": name, "count": 1})).collect();
            object.insert("reactions".into(), json!(reactions));
        }
        shown
    }
}

#[derive(Clone, Debug, Default)]
pub struct Channel {
    /// Without the `#`.
    pub name: String,
    pub messages: BTreeMap<Ts, Message>,
}

impl Channel {
    const MESSAGES_MAX: usize = 10_000;

    pub fn add(&mut self, ts: Ts, message: Message) {
        self.messages.insert(ts, message);
        if self.messages.len() > Self::MESSAGES_MAX {
            self.messages.pop_first();
        }
    }

    pub fn roots(&self) -> impl DoubleEndedIterator<Item = (Ts, &Message)> {
        self.messages.iter().filter(|(_, message)| message.thread.is_none()).map(|(ts, message)| (*ts, message))
    }

    /// As the channel shows it: roots, and replies that were broadcast.
    pub fn top_level(&self) -> impl DoubleEndedIterator<Item = (Ts, &Message)> {
        let shown = |message: &Message| message.thread.is_none() || message.broadcast;
        self.messages.iter().filter(move |(_, message)| shown(message)).map(|(ts, message)| (*ts, message))
    }

    pub fn replies(&self, root: Ts) -> impl Iterator<Item = (Ts, &Message)> {
        self.messages
            .range(root..)
            .filter(move |(_, message)| message.thread == Some(root))
            .map(|(ts, message)| (*ts, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_shows_roots_and_replies_that_were_broadcast() {
        let message = |thread: Option<u64>, broadcast| Message {
            bot_id: None,
            text: String::new(),
            blocks: Vec::new(),
            metadata: None,
            thread: thread.map(Ts),
            broadcast,
            edited: None,
            reactions: Vec::new(),
        };
        let mut channel = Channel::default();
        for (ts, message) in [(1, message(None, false)), (2, message(Some(1), false)), (3, message(Some(1), true))] {
            channel.add(Ts(ts), message);
        }
        assert_eq!(channel.top_level().map(|(ts, _)| ts.0).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(channel.replies(Ts(1)).count(), 2);
        let shown = channel.messages[&Ts(3)].to_json(Ts(3), false);
        assert_eq!((&shown["subtype"], &shown["thread_ts"]), (&json!("thread_broadcast"), &json!("0.000001")));
    }

    #[test]
    fn timestamps_are_spelled_with_six_decimals_and_read_with_any() {
        assert_eq!(Ts(1_700_000_000_000_042).to_string(), "1700000000.000042");
        assert_eq!("1700000000.000042".parse(), Ok(Ts(1_700_000_000_000_042)));
        assert_eq!("17".parse(), Ok(Ts(17_000_000)));
        assert_eq!("17.5".parse(), Ok(Ts(17_500_000)));
        assert!("x.1".parse::<Ts>().is_err() && "1.x".parse::<Ts>().is_err());
    }
}
