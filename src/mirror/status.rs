//! How far each topic of a flow is: lag, speed and what is left, from the ranges, the ends of the source and a moment.
//!
//! Invariant: bounded by partitions, and by [`WINDOW_SECS`] a topic. Lag is counted in offsets, of which some may be gaps or marks: it is never
//! too small. Bytes are estimated by what the topic's records had so far.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::event::words::span;
use crate::event::{Audit, AuditVerdict, MirrorRange};

/// Over which speed is measured.
const WINDOW_SECS: i64 = 60;

/// The ranges of one flow, folded.
#[derive(Clone, Debug, Default)]
pub struct Copied {
    topics: BTreeMap<String, TopicCopied>,
}

#[derive(Clone, Debug, Default)]
struct TopicCopied {
    target: String,
    /// By partition: the next to be copied, and the time of the last record that was.
    partitions: BTreeMap<i32, (i64, Option<i64>)>,
    records: i64,
    bytes: i64,
    /// Records and bytes by the second in which they were copied.
    recent: BTreeMap<i64, (i64, i64)>,
}

impl Copied {
    pub fn take(&mut self, range: &MirrorRange) {
        let topic = self.topics.entry(range.source_topic.clone()).or_default();
        if topic.target != range.target_topic {
            topic.target.clone_from(&range.target_topic);
        }
        let (next, last) = topic.partitions.entry(range.source_partition).or_default();
        (*next, *last) = (range.source_end, range.last_timestamp_ms.or(*last));
        topic.records += range.records;
        topic.bytes += range.bytes;
        let second = range.copied_at_ms.div_euclid(1_000);
        let (records, bytes) = topic.recent.entry(second).or_default();
        (*records, *bytes) = (*records + range.records, *bytes + range.bytes);
        while topic.recent.first_key_value().is_some_and(|(first, _)| second - first > WINDOW_SECS) {
            topic.recent.pop_first();
        }
    }
}

/// Start and stable end of each partition of a source topic, by number.
pub type Ends = BTreeMap<i32, (i64, i64)>;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub topic: String,
    /// `None`: nothing of it was copied yet.
    pub target: Option<String>,
    pub partitions: usize,
    pub lag_records: i64,
    pub lag_bytes: Option<i64>,
    /// Age of the last record that was copied, where there are later ones.
    pub lag_secs: Option<i64>,
    pub records_per_sec: f64,
    pub bytes_per_sec: f64,
    /// Until it has caught up, at the speed that it has; `None`: it has, or does not move.
    pub eta_secs: Option<i64>,
    pub audit: Option<LastAudit>,
}

/// The worst of the last audits of its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LastAudit {
    pub verdict: AuditVerdict,
    pub at_ms: i64,
}

/// `sources` are the topics that are to be copied; `audits` the last of each flow partition.
pub fn rows<'a>(
    copied: &Copied,
    sources: &BTreeMap<String, Ends>,
    audits: impl Iterator<Item = &'a Audit> + Clone,
    now_ms: i64,
) -> Vec<Row> {
    let none = TopicCopied::default();
    let row = |(name, ends): (&String, &Ends)| {
        let topic = copied.topics.get(name).unwrap_or(&none);
        let behind = |(number, (start, end)): (&i32, &(i64, i64))| {
            let next = topic.partitions.get(number).map_or(*start, |(next, _)| *next);
            (end - next.max(*start)).max(0)
        };
        let lag_records: i64 = ends.iter().map(behind).sum();
        let late = ends.iter().filter(|ends| behind(*ends) > 0);
        let oldest = late.filter_map(|(number, _)| topic.partitions.get(number)?.1).min();
        let since = now_ms.div_euclid(1_000) - WINDOW_SECS;
        let recent = topic.recent.range(since..).map(|(_, recent)| *recent);
        let (records, bytes) = recent.fold((0, 0), |sum, (records, bytes)| (sum.0 + records, sum.1 + bytes));
        let per_sec = |count: i64| count as f64 / WINDOW_SECS as f64;
        let mine = audits.clone().filter(|audit| audit.source_topic == *name);
        let worst = mine.max_by_key(|audit| (weight(audit.verdict), audit.at_ms));
        Row {
            topic: name.clone(),
            target: copied.topics.get(name).map(|topic| topic.target.clone()),
            partitions: ends.len(),
            lag_records,
            lag_bytes: (topic.records > 0).then(|| topic.bytes / topic.records * lag_records),
            lag_secs: oldest.map(|oldest| ((now_ms - oldest) / 1_000).max(0)),
            records_per_sec: per_sec(records),
            bytes_per_sec: per_sec(bytes),
            eta_secs: (lag_records > 0 && records > 0).then(|| lag_records * WINDOW_SECS / records),
            audit: worst.map(|audit| LastAudit { verdict: audit.verdict, at_ms: audit.at_ms }),
        }
    };
    sources.iter().map(row).collect()
}

fn weight(verdict: AuditVerdict) -> u8 {
    match verdict {
        AuditVerdict::Equal => 0,
        AuditVerdict::Unknown => 1,
        AuditVerdict::Different => 2,
    }
}

/// As a table.
pub fn text(flow: &str, rows: &[Row], now_ms: i64) -> String {
    let mut out = format!("{flow}\n");
    let width = rows.iter().map(|row| row.topic.chars().count()).max().unwrap_or(5).max(5);
    let head = ["lag", "bytes", "age", "records/s", "bytes/s", "caught up in", "last audit"];
    _ = writeln!(
        out,
        "  {:<width$}  {:>10}  {:>9}  {:>11}  {:>10}  {:>10}  {:>13}  {}",
        "topic", head[0], head[1], head[2], head[3], head[4], head[5], head[6]
    );
    for row in rows {
        let secs = |secs: Option<i64>| secs.map_or_else(|| "-".to_owned(), |secs| span(secs * 1_000));
        let eta = if row.lag_records == 0 { "now".to_owned() } else { secs(row.eta_secs) };
        let audit = row.audit.map_or_else(
            || "never".to_owned(),
            |audit| {
                let verdict = match audit.verdict {
                    AuditVerdict::Equal => "equal",
                    AuditVerdict::Different => "DIFFERENT",
                    AuditVerdict::Unknown => "unknown",
                };
                format!("{verdict}, {} ago", span(now_ms - audit.at_ms))
            },
        );
        let age = if row.lag_records == 0 { "-".to_owned() } else { secs(row.lag_secs) };
        _ = writeln!(
            out,
            "  {:<width$}  {:>10}  {:>9}  {age:>11}  {:>10.1}  {:>10}  {eta:>13}  {audit}",
            row.topic,
            row.lag_records,
            row.lag_bytes.map_or_else(|| "-".to_owned(), size),
            row.records_per_sec,
            size(row.bytes_per_sec as i64),
        );
    }
    out
}

/// `812 B`, `4.0 kB`, `1.3 GB`.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1_000.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1_000.0, unit + 1);
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(partition: i32, end: i64, records: i64, copied_at_ms: i64) -> MirrorRange {
        MirrorRange {
            flow_partition: format!("f/a/{partition}"),
            flow: "f".into(),
            source_topic: "a".into(),
            source_topic_id: None,
            source_partition: partition,
            source_start: 0,
            source_end: end,
            source_epoch: None,
            target_topic: "b".into(),
            target_partition: partition,
            target_start: None,
            runs: Vec::new(),
            records,
            bytes: records * 10,
            crc32c: 0,
            first_timestamp_ms: None,
            last_timestamp_ms: Some(copied_at_ms - 2_000),
            copied_at_ms,
        }
    }

    fn audit(verdict: AuditVerdict, at_ms: i64) -> Audit {
        let json = std::fs::read_to_string("schemas/examples/audit/minimal.json").unwrap();
        Audit { source_topic: "a".into(), verdict, at_ms, ..serde_json::from_str(&json).unwrap() }
    }

    #[test]
    fn lag_speed_and_what_is_left_come_from_ranges_and_ends() {
        let now = 1_000_000;
        let mut copied = Copied::default();
        copied.take(&range(0, 500, 500, now - 200_000));
        copied.take(&range(0, 800, 300, now - 30_000));
        copied.take(&range(1, 100, 100, now - 10_000));
        // One is behind by 200, one is up to date, of one nothing was copied and the first 50 are gone.
        let ends = Ends::from([(0, (0, 1_000)), (1, (0, 100)), (2, (50, 90))]);
        let audits = [audit(AuditVerdict::Unknown, 5), audit(AuditVerdict::Equal, 9)];
        let rows = rows(&copied, &[("a".to_owned(), ends)].into(), audits.iter(), now);
        assert_eq!(
            rows,
            [Row {
                topic: "a".into(),
                target: Some("b".into()),
                partitions: 3,
                lag_records: 240,
                lag_bytes: Some(2_400),
                lag_secs: Some(32),
                records_per_sec: 400.0 / 60.0,
                bytes_per_sec: 4_000.0 / 60.0,
                eta_secs: Some(36),
                audit: Some(LastAudit { verdict: AuditVerdict::Unknown, at_ms: 5 }),
            }]
        );
        let text = text("f", &rows, now);
        assert!(text.contains("a             240     2.4 kB         32 s         6.7        66 B"), "{text}");
    }

    #[test]
    fn who_has_caught_up_has_nothing_left_and_who_never_began_no_age() {
        let ends = [("a".to_owned(), Ends::from([(0, (0, 100))])), ("z".to_owned(), Ends::from([(0, (5, 7))]))].into();
        let mut copied = Copied::default();
        copied.take(&range(0, 100, 100, 1_000));
        let rows = rows(&copied, &ends, [].iter(), 900_000);
        assert_eq!(
            (rows[0].lag_records, rows[0].lag_secs, rows[0].eta_secs, rows[0].records_per_sec),
            (0, None, None, 0.0)
        );
        assert_eq!((rows[1].lag_records, rows[1].lag_secs, &rows[1].target), (2, None, &None));
    }

    #[test]
    fn sizes_have_one_digit_after_the_point() {
        assert_eq!([812, 4_000, 1_300_000_000].map(size), ["812 B", "4.0 kB", "1.3 GB"]);
    }
}
