//! What is answered to whoever asks for an offset: one form for the command and for HTTP.
//!
//! Invariant: an offset is told only where it is one to go on from; the words say what it means. Pure.

use std::time::Duration;

use serde::Serialize;

use crate::event::MirrorRange;
use crate::mirror::ranges::{Head, Translation};

/// How long a question may wait for what is being read.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// One side of a partition pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    pub topic: String,
    pub partition: i32,
    /// To be read next; `None`: not known yet, or wherever the partition begins.
    pub offset: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The place of a copy, or right before the first one.
    Exact,
    /// After the last copy.
    AtEnd,
    /// Before the first offset that the mirror met: the first copy.
    BeforeStart,
    /// The mirror is not that far.
    Waiting,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    pub flow: String,
    pub state: State,
    pub asked: Side,
    pub answer: Side,
    pub words: String,
}

impl Answer {
    pub fn forward(flow: &str, head: &Head, place: i64, translation: Translation) -> Self {
        let (from, to) = sides(head);
        Self::of(flow, from, to, place, translation)
    }

    pub fn back(flow: &str, head: &Head, place: i64, translation: Translation) -> Self {
        let (to, from) = sides(head);
        Self::of(flow, from, to, place, translation)
    }

    fn of(flow: &str, from: (&str, i32), to: (&str, i32), place: i64, translation: Translation) -> Self {
        let side = |(topic, partition): (&str, i32), offset| Side { topic: topic.to_owned(), partition, offset };
        let (state, words) = match translation {
            Translation::Exact { .. } => (State::Exact, "the first copy at or after it".to_owned()),
            Translation::AtEnd { offset: Some(_) } => (State::AtEnd, "after the last copy: none follows".to_owned()),
            Translation::AtEnd { offset: None } => {
                (State::AtEnd, "nothing was copied: where the partition begins".to_owned())
            }
            Translation::BeforeStart { start, .. } => {
                (State::BeforeStart, format!("the first that the mirror met is {start}: where its copies begin"))
            }
            Translation::Waiting { frontier } => {
                (State::Waiting, format!("the mirror is not that far: it reads {frontier} next"))
            }
        };
        let (asked, answer) = (side(from, Some(place)), side(to, translation.offset()));
        Self { flow: flow.to_owned(), state, asked, answer, words }
    }

    pub fn text(&self) -> String {
        let Self { asked, answer, .. } = self;
        let offset = |side: &Side| side.offset.map_or_else(|| "?".to_owned(), |offset| offset.to_string());
        let place = |side: &Side| format!("{} {} {}", side.topic, side.partition, offset(side));
        format!("{} -> {}   ({})\n", place(asked), place(answer), self.words)
    }
}

fn sides(head: &Head) -> ((&str, i32), (&str, i32)) {
    ((&head.source_topic, head.source_partition), (&head.target_topic, head.target_partition))
}

/// Whether a fact is about the partition that is asked for.
pub fn is_about(fact: &MirrorRange, topic: &str, partition: i32, reverse: bool) -> bool {
    let (of, number) = match reverse {
        false => (&fact.source_topic, fact.source_partition),
        true => (&fact.target_topic, fact.target_partition),
    };
    of == topic && number == partition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_of_each_answer() {
        let head = Head {
            source_topic: "old".into(),
            source_partition: 3,
            target_topic: "new".into(),
            target_partition: 3,
            start: 5,
            frontier: 9,
            last: None,
        };
        let text = |translation| Answer::forward("f", &head, 7, translation).text();
        assert_eq!(text(Translation::Exact { offset: 2 }), "old 3 7 -> new 3 2   (the first copy at or after it)\n");
        assert!(
            text(Translation::Waiting { frontier: 9 }).starts_with("old 3 7 -> new 3 ?   (the mirror is not that far")
        );
        let back = Answer::back("f", &head, 1, Translation::AtEnd { offset: Some(9) });
        assert_eq!((back.asked.topic.as_str(), back.answer.offset, back.state), ("new", Some(9), State::AtEnd));
    }
}
