//! A partition: records and markers at their offsets, and what of them may be read.

use crate::record::{NewRecord, Offset};

#[derive(Default)]
pub struct PartitionLog {
    entries: Vec<Entry>,
    /// One past the last entry, compacted or not.
    end: i64,
    pub compacted: bool,
}

struct Entry {
    offset: i64,
    content: Content,
}

enum Content {
    Data { record: NewRecord, producer: Option<String>, fate: Fate },
    Marker,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Open,
    Committed,
    Aborted,
}

impl PartitionLog {
    pub fn new(compacted: bool) -> Self {
        Self { compacted, ..Self::default() }
    }

    pub fn append(&mut self, record: NewRecord, producer: Option<&str>) -> Offset {
        let fate = if producer.is_some() { Fate::Open } else { Fate::Committed };
        self.push(Content::Data { record, producer: producer.map(str::to_owned), fate })
    }

    /// Ends the producer's transaction in this partition.
    pub fn mark(&mut self, id: &str, commit: bool) {
        for entry in &mut self.entries {
            if let Content::Data { producer: Some(producer), fate: fate @ Fate::Open, .. } = &mut entry.content
                && producer == id
            {
                *fate = if commit { Fate::Committed } else { Fate::Aborted };
            }
        }
        self.push(Content::Marker);
    }

    fn push(&mut self, content: Content) -> Offset {
        let offset = self.end;
        self.entries.push(Entry { offset, content });
        self.end += 1;
        Offset(offset)
    }

    pub fn high(&self) -> Offset {
        Offset(self.end)
    }

    /// Last stable offset: the first of an open transaction, or the end.
    pub fn stable(&self) -> Offset {
        let open = |entry: &&Entry| matches!(entry.content, Content::Data { fate: Fate::Open, .. });
        Offset(self.entries.iter().find(open).map_or(self.end, |entry| entry.offset))
    }

    /// Up to `max` committed records from `from` on, and the next position.
    pub fn read(&self, from: Offset, max: usize) -> (Vec<(Offset, &NewRecord)>, Offset) {
        let (stable, mut next, mut records) = (self.stable(), from, Vec::new());
        let begin = self.entries.partition_point(|entry| entry.offset < from.0);
        for entry in self.entries[begin..].iter().take_while(|entry| entry.offset < stable.0) {
            if let Content::Data { record, fate: Fate::Committed, .. } = &entry.content {
                if records.len() == max {
                    return (records, next);
                }
                records.push((Offset(entry.offset), record));
            }
            next = Offset(entry.offset + 1);
        }
        (records, next.max(stable))
    }

    /// Keeps the last committed record of each key below the last stable offset; a tombstone that is the last goes too.
    pub fn compact(&mut self) {
        let stable = self.stable();
        let newest: std::collections::BTreeMap<_, _> = self
            .read(Offset(0), usize::MAX)
            .0
            .into_iter()
            .map(|(offset, record)| (record.key.clone(), offset))
            .collect();
        self.entries.retain(|entry| match &entry.content {
            _ if entry.offset >= stable.0 => true,
            Content::Data { record, fate: Fate::Committed, .. } => {
                newest.get(&record.key) == Some(&Offset(entry.offset))
            }
            _ => false,
        });
    }
}
