//! What `fairlead dead-letter retry` wrote a second time. It is no commit's, and is explained by the mark of its letter alone: a
//! header that anybody can write explains nothing.

use std::collections::BTreeMap;

use crate::dead_letters::{MARK_HEADER, ORIGIN_HEADER};
use crate::record::{Record, TopicPartition};

#[derive(Default)]
pub struct PutBack {
    /// How often each letter was put back, by its id, less what was found of it.
    left: BTreeMap<String, u32>,
    /// Retention may have taken marks.
    pub forgets: bool,
}

impl PutBack {
    /// Takes a record of the dead-letter topic in, if it is a mark.
    pub fn is_mark(&mut self, record: &Record<'_>) -> bool {
        let (None, Some(id), Some(_)) = (record.value, record.key, record.headers.get(MARK_HEADER)) else {
            return false;
        };
        *self.left.entry(String::from_utf8_lossy(id).into_owned()).or_default() += 1;
        true
    }

    /// Whether this record of a partition is there because a letter from there was put back.
    pub fn explains(&mut self, place: &TopicPartition, record: &Record<'_>) -> bool {
        let origins = record.headers.iter().filter(|(name, _)| *name == ORIGIN_HEADER);
        // What died again after it was put back has one for each time.
        let Some(id) = origins.filter_map(|(_, id)| id).last().map(String::from_utf8_lossy) else { return false };
        let from = format!("{}/{}", place.topic, place.partition.0);
        if id.rsplit_once('/').is_none_or(|(of, _)| of != from) {
            return false;
        }
        match self.left.get_mut(&*id) {
            Some(times) if *times > 0 => {
                *times -= 1;
                true
            }
            _ => self.forgets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Batch, EventTime, Headers, Offset, Partition, Topic};

    fn record(key: &str, value: Option<&[u8]>, headers: &[(&str, &str)]) -> Batch {
        let (topic, mut batch) = (Topic::from("actions"), Batch::default());
        let (partition, offset, timestamp) = (Partition(2), Offset(9), EventTime(0));
        let (key, no_headers) = (Some(key.as_bytes()), Headers::NONE);
        batch.push(&Record { topic: &topic, partition, offset, timestamp, key, value, headers: no_headers });
        headers.iter().for_each(|(name, value)| batch.push_header_to_last(name, Some(value.as_bytes())));
        batch
    }

    #[test]
    fn a_record_is_explained_as_often_as_its_letter_was_put_back() {
        let mut put_back = PutBack::default();
        let mut is_mark = |batch: Batch| put_back.is_mark(&batch.get(0));
        assert!(is_mark(record("actions/2/4", None, &[(MARK_HEADER, "run")])));
        assert!(!is_mark(record("actions/2/5", None, &[])), "no retry wrote it");
        assert!(!is_mark(record("actions/2/5", Some(b"letter"), &[(MARK_HEADER, "run")])));

        let place = |number| TopicPartition::new(&"actions".into(), Partition(number));
        let of = |ids: &[&str]| record("k", Some(b"v"), &ids.iter().map(|id| (ORIGIN_HEADER, *id)).collect::<Vec<_>>());
        let mut explains = |number, ids: &[&str]| put_back.explains(&place(number), &of(ids).get(0));
        assert!(!explains(2, &[]), "it does not say that it was put back");
        assert!(!explains(2, &["actions/2/5"]), "nobody put that letter back");
        assert!(!explains(3, &["actions/2/4"]), "it was put back elsewhere");
        assert!(explains(2, &["actions/2/1", "actions/2/4"]), "the newest counts");
        assert!(!explains(2, &["actions/2/4"]), "it was put back once");
        put_back.forgets = true;
        assert!(put_back.explains(&place(2), &of(&["actions/2/5"]).get(0)), "its mark may be gone");
    }
}
