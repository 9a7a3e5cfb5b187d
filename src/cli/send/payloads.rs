//! `fairlead send payloads`: requests that were kept as they were received, read once more by the parsers as they are now.
//!
//! Their facts bear the time of receipt, as they would have then. Those of which nothing was refused are left alone unless that
//! is asked for: their facts would be told a second time, with the same identity.

use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;

use super::{Output, Reach, print, print_json};
use crate::app::cluster::Cluster;
use crate::app::{decoded, rules, schemas};
use crate::codec::{self, Formats};
use crate::event::{Fact, FactKind, Payload};
use crate::ingest::send::Sender;
use crate::ingest::{Rules, raw};
use crate::log::Watermarks;
use crate::record::{EventTime, Offset, Record, Topic, TopicPartition};

/// Read at once.
const PIECE: i64 = 1_000;

#[derive(Args)]
pub struct Payloads {
    /// Only those sent to this path
    #[arg(long, value_name = "PATH")]
    endpoint: Option<String>,
    /// Only those received since then, RFC 3339
    #[arg(long, value_name = "TIME")]
    since: Option<jiff::Timestamp>,
    /// Only those received before then, RFC 3339
    #[arg(long, value_name = "TIME")]
    until: Option<jiff::Timestamp>,
    /// Also those of which nothing was refused
    #[arg(long)]
    all: bool,
    /// Only say what would come of them
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reach: Reach,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// What came of one.
#[derive(Serialize)]
struct Line {
    topic: Topic,
    partition: i32,
    offset: i64,
    received_at_ms: i64,
    endpoint: String,
    /// Then.
    was_refused: Option<String>,
    /// Now.
    facts: usize,
    refusals: Vec<String>,
    sent: bool,
}

impl Payloads {
    pub async fn run(self) -> Result<()> {
        let mut cluster = self.reach.cluster().await?;
        let Some(ingest) = cluster.topology.settings.ingest.clone() else {
            bail!("the topology has no `ingest` section; add it");
        };
        let Some(topic) = &ingest.raw else {
            bail!("no request is kept; name a topic for them: `raw: oncall.raw.v1` in the topology's ingest section");
        };
        let (topic, rules) = (Topic::from(&*topic.value), rules(&cluster.topology, &ingest));
        let mut formats = schemas::look_up(&cluster.topology, &cluster.endpoints).await?.formats;
        let mut sending = cluster.endpoints.sending(&ingest);
        sending.raw = None;
        let sender = Sender::new(sending, Arc::new(formats.clone()))?;
        let mut lines = Vec::new();
        for partition in cluster.partitions(&topic)? {
            let Watermarks { low, high } = cluster.reader.watermarks(&partition)?;
            for from in (low.0..high.0).step_by(usize::try_from(PIECE)?) {
                let range = (Offset(from), Offset((from + PIECE).min(high.0)));
                let batch = cluster.collect(&partition, range, |_| true)?;
                for record in batch.iter() {
                    let payload = decode(&cluster, &mut formats, &record).await?;
                    if self.wants(&payload) {
                        lines.push(self.again(&payload, &partition, record.offset, &rules, &sender).await?);
                    }
                }
            }
        }
        match self.output {
            Output::Json => print_json(&lines),
            Output::Text if lines.is_empty() => print("nothing was refused; --all reads the rest again too\n"),
            Output::Text => print(&lines.iter().map(Line::text).collect::<String>()),
        }
    }

    fn wants(&self, payload: &Payload) -> bool {
        let at = payload.received_at_ms;
        (self.all || payload.refusal.is_some())
            && self.endpoint.as_ref().is_none_or(|endpoint| *endpoint == payload.endpoint)
            && self.since.is_none_or(|since| since.as_millisecond() <= at)
            && self.until.is_none_or(|until| at < until.as_millisecond())
    }

    async fn again(
        &self,
        payload: &Payload,
        partition: &TopicPartition,
        offset: Offset,
        rules: &Rules,
        sender: &Sender,
    ) -> Result<Line> {
        let (facts, refusals) = match raw::read_again(payload, rules) {
            Ok(reading) => (reading.facts, reading.refused.iter().map(ToString::to_string).collect()),
            Err(refusal) => (Vec::new(), vec![refusal.to_string()]),
        };
        let sent = !self.dry_run && !facts.is_empty();
        if sent {
            sender.send(&facts, EventTime(payload.received_at_ms)).await?;
        }
        Ok(Line {
            topic: partition.topic.clone(),
            partition: partition.partition.0,
            offset: offset.0,
            received_at_ms: payload.received_at_ms,
            endpoint: payload.endpoint.clone(),
            was_refused: payload.refusal.clone(),
            facts: facts.len(),
            refusals,
            sent,
        })
    }
}

/// A schema of another version is asked for.
async fn decode(cluster: &Cluster, formats: &mut Formats, record: &Record<'_>) -> Result<Payload> {
    let value = record.value.unwrap_or_default();
    let mut read = formats.decode_fact(FactKind::Payload, value);
    if let Err(codec::Error::UnknownSchema(id)) = read {
        if let Some(json) = cluster.registry.schema(id).await? {
            formats.learn(id, &json)?;
        }
        read = formats.decode_fact(FactKind::Payload, value);
    }
    match read? {
        Fact::Payload(payload) => Ok(payload),
        other => bail!("{} lies on a topic of payloads", other.kind()),
    }
}

impl Line {
    fn text(&self) -> String {
        let Self { topic, partition, offset, endpoint, .. } = self;
        let at = decoded::time(self.received_at_ms);
        let then = self.was_refused.as_deref().map_or_else(String::new, |refusal| format!("\n  then  {refusal}"));
        let now: String = self.refusals.iter().map(|refusal| format!("\n  now   {refusal}")).collect();
        let sent = if self.sent { "sent" } else { "not sent" };
        format!("{topic}-{partition}@{offset}  {at}  {endpoint}{then}{now}\n  facts {} {sent}\n", self.facts)
    }
}
