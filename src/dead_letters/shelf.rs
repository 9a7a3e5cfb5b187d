//! The dead-letter topic as it lies there: first the marks of all of it, then letter by letter, none of them kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use anyhow::Result;

use super::{Letter, MARK_HEADER, Marks};
use crate::app::cluster::Cluster;
use crate::codec::generic::text;
use crate::codec::{Formats, SchemaId, envelope};
use crate::record::{Offset, Record, Topic, TopicPartition};
use crate::topology::dead_letter::DeadLetter;

/// Full name of the schema of letters.
const NAME: &str = "fairlead.engine.DeadLetter";

pub struct Shelf {
    topic: Topic,
    /// Up to where it is read: what comes later is for the next time.
    ends: Vec<(TopicPartition, Offset)>,
    marks: BTreeMap<String, Marks>,
    /// To read the letters with, and ids whose schema cannot be had.
    formats: Formats,
    unreadable: BTreeMap<SchemaId, String>,
}

/// A record of the topic that is no letter, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoLetter {
    pub place: String,
    pub why: String,
}

impl Shelf {
    /// Reads the marks, and learns how the letters were written.
    pub async fn read(cluster: &mut Cluster) -> Result<Self> {
        let topic = cluster.topology.names.dead_letters();
        let mut shelf = Self {
            ends: Vec::new(),
            marks: BTreeMap::new(),
            formats: Formats::default(),
            unreadable: BTreeMap::new(),
            topic,
        };
        let mut ids = BTreeSet::new();
        for partition in cluster.partitions(&shelf.topic)? {
            let end = cluster.reader.watermarks(&partition)?.high;
            let marks = &mut shelf.marks;
            cluster.scan(&partition, (Offset(0), end), |record| {
                note(record, marks);
                ids.extend(record.value.and_then(|value| envelope::open(value).ok()).map(|(id, _)| id));
                ControlFlow::Continue(())
            })?;
            shelf.ends.push((partition, end));
        }
        for id in ids {
            shelf.learn(cluster, id).await;
        }
        Ok(shelf)
    }

    async fn learn(&mut self, cluster: &Cluster, id: SchemaId) {
        let learnt = match cluster.registry.schema(id).await {
            Ok(Some(json)) => self.formats.learn(id, &json).map_err(|error| error.to_string()),
            Ok(None) => Err(format!("the registry knows no schema id {}", id.0)),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = learnt {
            self.unreadable.insert(id, why);
        }
    }

    pub fn partitions(&self) -> Vec<(TopicPartition, Offset)> {
        self.ends.clone()
    }

    pub fn marks(&self, id: &str) -> Marks {
        self.marks.get(id).cloned().unwrap_or_default()
    }

    /// Every letter, in the order in which they died; `take` breaks off.
    pub fn letters(
        &self,
        cluster: &mut Cluster,
        mut take: impl FnMut(Result<Letter, NoLetter>) -> ControlFlow<()>,
    ) -> Result<()> {
        for (partition, end) in &self.ends {
            let mut broken = false;
            cluster.scan(partition, (Offset(0), *end), |record| {
                let flow = self.letter(record).map_or(ControlFlow::Continue(()), &mut take);
                broken |= flow.is_break();
                flow
            })?;
            if broken {
                break;
            }
        }
        Ok(())
    }

    /// `None`: a mark.
    pub fn letter(&self, record: &Record<'_>) -> Option<Result<Letter, NoLetter>> {
        let value = record.value?;
        let letter = self.decode(value).map(|letter| {
            let (partition, offset, retried) = (record.partition, record.offset, self.marks(&letter.id()));
            Letter { partition, offset, letter, retried }
        });
        let place = || format!("{}-{}@{}", record.topic, record.partition.0, record.offset.0);
        Some(letter.map_err(|why| NoLetter { place: place(), why }))
    }

    fn decode(&self, value: &[u8]) -> Result<DeadLetter, String> {
        let (id, _) = envelope::open(value).map_err(|error| error.to_string())?;
        if let Some(why) = self.unreadable.get(&id) {
            return Err(why.clone());
        }
        self.formats.decode(value, NAME).map_err(|error| error.to_string())
    }
}

fn note(record: &Record<'_>, marks: &mut BTreeMap<String, Marks>) {
    let (None, Some(key), Some(run)) = (record.value, record.key, record.headers.get(MARK_HEADER)) else { return };
    let known = marks.entry(text(key)).or_default();
    known.times += 1;
    known.at_ms = Some(record.timestamp.0);
    known.run = Some(text(run));
}
