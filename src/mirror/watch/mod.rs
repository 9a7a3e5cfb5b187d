//! How far a flow is, looked at again and again: ends of the source, new ranges and new audits since the last look.
//!
//! It only reads. What it tells is of one moment on each side: a flow that copies meanwhile is told as it was a little earlier.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // it waits, beside modules that must not

use std::collections::BTreeMap;

use crate::clock::Clock;
use crate::mirror::audit::LastAudits;
use crate::mirror::provision::{Error, FlowConfig, Ranges};
use crate::mirror::status::{Copied, Ends, Row, rows};
use crate::record::Offset;
use crate::runtime::SchemaSource;
use crate::wire::{Admin, At};

pub struct Watch {
    config: FlowConfig,
    source: Admin,
    target: Admin,
    clock: Clock,
    /// `None` while a thread reads.
    reading: Option<Reading>,
}

struct Reading {
    ranges: Ranges,
    copied: Copied,
    /// Where to go on, by partition of the topic of ranges.
    next: BTreeMap<i32, i64>,
    /// `None`: the flow names no topic of audits.
    audits: Option<LastAudits>,
}

impl Watch {
    pub fn new(config: FlowConfig, schemas: SchemaSource, clock: Clock) -> Result<Self, Error> {
        let failed = |name: &str| {
            let cluster = name.to_owned();
            move |error| Error::Wire { cluster, error }
        };
        let source = Admin::new(&config.source.connection).map_err(failed(&config.source.name))?;
        let target = Admin::new(&config.target.connection).map_err(failed(&config.target.name))?;
        let ranges = Ranges::new(&config.target.connection, &config.reader_group, &config.name, schemas.clone())?;
        let audits = config.mirror.audits.as_ref().map(|topic| LastAudits::new(&config, topic, schemas)).transpose()?;
        let reading = Some(Reading { ranges, copied: Copied::default(), next: BTreeMap::new(), audits });
        Ok(Self { config, source, target, clock, reading })
    }

    pub fn flow(&self) -> &str {
        &self.config.name
    }

    /// One row a topic, and the moment of the look.
    pub async fn look(&mut self) -> Result<(Vec<Row>, i64), Error> {
        let sources = self.sources().await?;
        let topic = self.config.mirror.offsets.clone();
        let ends = self.ends(&topic).await?;
        let audited = match &self.config.mirror.audits {
            Some(audits) => i32::try_from(self.ends(audits).await?.len()).unwrap_or(i32::MAX),
            None => 0,
        };
        let mut reading = self.reading.take().ok_or(Error::Panicked)?;
        let read = tokio::task::spawn_blocking(move || {
            let read = reading.read_on(&topic, &ends);
            let read = read.and_then(|()| reading.audits.as_mut().map_or(Ok(()), |audits| audits.read_on(audited)));
            (reading, read)
        });
        let (reading, read) = read.await.map_err(|_| Error::Panicked)?;
        let reading = self.reading.insert(reading);
        read?;
        let now_ms = self.clock.now().0;
        let audits = reading.audits.iter().flat_map(|audits| audits.last().values());
        Ok((rows(&reading.copied, &sources, audits, now_ms), now_ms))
    }

    /// What is to be copied, and where it begins and ends.
    async fn sources(&self) -> Result<BTreeMap<String, Ends>, Error> {
        let failed = |error| Error::Wire { cluster: self.config.source.name.clone(), error };
        let mut views = self.source.topics(None).await.map_err(failed)?;
        let FlowConfig { own, renames, .. } = &self.config;
        views.retain(|view| !view.internal && !own.holds(&view.name) && renames.target(&view.name).is_some());
        let partitions: Vec<_> = views
            .iter()
            .flat_map(|view| view.partitions.iter().map(|partition| (view.name.clone(), partition.number)))
            .collect();
        let starts = self.source.offsets(&partitions, At::Earliest).await.map_err(failed)?;
        let ends = self.source.offsets(&partitions, At::Latest { committed: true }).await.map_err(failed)?;
        let mut sources: BTreeMap<String, Ends> = BTreeMap::new();
        for ((topic, number), end) in ends {
            let start = starts.get(&(topic.clone(), number)).map_or(0, |start| start.offset);
            sources.entry(topic).or_default().insert(number, (start, end.offset));
        }
        Ok(sources)
    }

    /// Stable ends of a topic of the target, by partition; none if it is not there.
    async fn ends(&self, topic: &str) -> Result<BTreeMap<i32, i64>, Error> {
        let failed = |error| Error::Wire { cluster: self.config.target.name.clone(), error };
        let views = self.target.topics(Some(&[topic.to_owned()])).await.map_err(failed)?;
        let partitions = views.iter().flat_map(|view| &view.partitions);
        let partitions: Vec<_> = partitions.map(|partition| (topic.to_owned(), partition.number)).collect();
        let ends = self.target.offsets(&partitions, At::Latest { committed: true }).await.map_err(failed)?;
        Ok(ends.into_iter().map(|((_, number), end)| (number, end.offset)).collect())
    }
}

impl Reading {
    fn read_on(&mut self, topic: &str, ends: &BTreeMap<i32, i64>) -> Result<(), Error> {
        let Self { ranges, copied, next, .. } = self;
        for (number, end) in ends {
            let from = next.get(number).copied().unwrap_or_default();
            ranges.each(topic, *number, Offset(from), Offset(*end), |_, range, flow| {
                if range.flow == flow {
                    copied.take(&range);
                }
                Ok(())
            })?;
            next.insert(*number, *end);
        }
        Ok(())
    }
}
