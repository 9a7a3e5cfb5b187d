//! Recorded records as a file: lines of JSON that describe themselves.
//!
//! ```text
//! {"fairlead_export":1,"application":…,"from_ms":…,"to_ms":…,"topics":{"oncall.alerts.v1":{"holds":"alert","schema":{…}},…}}
//! {"topic":"oncall.alerts.v1","partition":2,"offset":17,"timestamp_ms":…,"key":"checkout","headers":[…],"fact":{…}}
//! {"end":1}
//! ```
//! Records stand in the order in which a replay reads them: of all partitions the oldest next one first, each partition in the order
//! of its offsets. Of a value stands one of: `fact`, plain JSON by the topic's schema; `avro`, its body in hexadecimal, for what JSON
//! cannot say (not a number, the last bit of a float); `bytes` in hexadecimal and an `error`, of what nobody can read; none, of a
//! tombstone. Keys and headers are text, or `{"hex":…}` where they are no UTF-8. The last line says how many records there are: a
//! file without it was cut off.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::recorded::{Held, Recorded, Topics, Value};
use crate::codec::Formats;
use crate::codec::envelope::{self, SchemaId};
use crate::event::{Fact, FactKind};
use crate::record::{EventTime, Header, Offset, Partition, Topic};
use crate::topology::journal;

const VERSION: u32 = 1;
/// Ids of the file's own schemas; nobody else's, for they are used within one reading only.
const FIRST_ID: u32 = 1_000_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    pub fairlead_export: u32,
    pub application: String,
    /// Records of this time or later, and before `to_ms`.
    pub from_ms: i64,
    pub to_ms: i64,
    pub topics: BTreeMap<String, HeadTopic>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadTopic {
    /// Kind of fact, or `journal`.
    pub holds: String,
    /// Avro.
    pub schema: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    topic: std::borrow::Cow<'a, str>,
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    key: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, Option<Bytes>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fact: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    avro: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct End {
    end: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Hex { hex: String },
}

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex { hex: hex::encode(bytes) },
        }
    }

    fn read(self) -> Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Hex { hex } => Ok(hex::decode(&hex)?),
        }
    }
}

/// A file that is written beside its place, and put there when it is whole.
pub struct Writer {
    path: PathBuf,
    partial: PathBuf,
    out: BufWriter<File>,
    formats: Formats,
    records: u64,
}

impl Writer {
    pub fn create(path: &Path, application: &str, topics: &Topics, (from, to): (EventTime, EventTime)) -> Result<Self> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).with_context(|| format!("{} cannot be written", partial.display()))?;
        let described = |(topic, held): (&Topic, &Held)| {
            let schema = match held {
                Held::Fact(kind) => kind.schema_json(),
                Held::Journal => journal::SCHEMA,
            };
            Ok((topic.to_string(), HeadTopic { holds: held.name().to_owned(), schema: serde_json::from_str(schema)? }))
        };
        let topics = topics.iter().map(described).collect::<Result<_>>()?;
        let application = application.to_owned();
        let head = Head { fairlead_export: VERSION, application, from_ms: from.0, to_ms: to.0, topics };
        let (path, out, formats) = (path.to_owned(), BufWriter::new(file), Formats::shipped());
        let mut writer = Self { path, partial, out, formats, records: 0 };
        writer.line(&head)?;
        Ok(writer)
    }

    pub fn write(&mut self, record: &Recorded) -> Result<()> {
        let headers =
            record.headers.iter().map(|header| (header.name.to_string(), header.value.as_deref().map(Bytes::of)));
        let mut line = Line {
            topic: record.topic.as_str().into(),
            partition: record.partition.0,
            offset: record.offset.0,
            timestamp_ms: record.timestamp.0,
            key: record.key.as_deref().map(Bytes::of),
            headers: headers.collect(),
            fact: None,
            avro: None,
            bytes: None,
            error: None,
        };
        match &record.value {
            Value::Tombstone => {}
            Value::Journal(journal) => line.fact = Some(to_raw_value(journal)?),
            Value::Unreadable { bytes, error } => {
                (line.bytes, line.error) = (Some(hex::encode(bytes)), Some(error.clone()));
            }
            Value::Fact(fact) => match lossless(fact) {
                Some(json) => line.fact = Some(json),
                None => {
                    let mut value = Vec::new();
                    self.formats.encode_fact(fact, &mut value)?;
                    line.avro = Some(hex::encode(&value[envelope::LENGTH..]));
                }
            },
        }
        self.records += 1;
        self.line(&line)
    }

    /// Answers with how many records there are, once they are durable and the file is in its place.
    pub fn end(mut self) -> Result<u64> {
        self.line(&End { end: self.records })?;
        let Self { path, partial, out, records, .. } = self;
        out.into_inner().map_err(|error| anyhow!(error.to_string()))?.sync_all()?;
        std::fs::rename(&partial, &path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(records)
    }

    fn line(&mut self, line: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n").with_context(|| format!("{} cannot be written", self.partial.display()))
    }
}

/// The fact as JSON, if it comes back the same from the text.
fn lossless(fact: &Fact<'_>) -> Option<Box<RawValue>> {
    let json = fact.to_json()?;
    let back = fact.kind().read_json(&json).ok()?;
    if back == *fact { RawValue::from_string(json).ok() } else { None }
}

/// A file that was written by [`Writer`].
pub struct Recording {
    path: PathBuf,
    pub head: Head,
    formats: Formats,
    ids: BTreeMap<String, SchemaId>,
}

impl Recording {
    pub fn open(path: &Path) -> Result<Self> {
        let mut lines = lines(path)?;
        let first = lines.next().transpose()?.unwrap_or_default();
        let no_export =
            || format!("{}:1: this is no export of fairlead's; `fairlead export` writes one", path.display());
        let head: Head = serde_json::from_str(&first).with_context(no_export)?;
        ensure!(
            head.fairlead_export == VERSION,
            "{}:1: version {} of the format; this fairlead reads version {VERSION}",
            path.display(),
            head.fairlead_export
        );
        let (mut formats, mut ids) = (Formats::shipped(), BTreeMap::new());
        for (id, (topic, told)) in (FIRST_ID..).map(SchemaId).zip(&head.topics) {
            formats.learn(id, &told.schema.to_string()).with_context(|| format!("the schema of {topic}"))?;
            ids.insert(topic.clone(), id);
        }
        Ok(Self { path: path.to_owned(), head, formats, ids })
    }

    /// Those that the file must hold to be of use: a name that it holds as something else is an error too.
    pub fn check(&self, wanted: &Topics) -> Result<()> {
        for (topic, held) in wanted {
            match self.head.topics.get(topic.as_str()) {
                Some(told) if told.holds == held.name() => {}
                Some(told) => {
                    bail!("{}: {topic} holds {}, and {} in the topology", self.path.display(), told.holds, held.name())
                }
                None => {
                    let held: Vec<_> = self.head.topics.keys().map(String::as_str).collect();
                    bail!("{} has no {topic}; it has {}", self.path.display(), held.join(", "))
                }
            }
        }
        Ok(())
    }

    /// Every record of `wanted` in `from..to`, in the file's order.
    pub fn each(
        &self,
        wanted: &Topics,
        (from, to): (EventTime, EventTime),
        visit: &mut dyn FnMut(Recorded) -> Result<()>,
    ) -> Result<()> {
        let (mut records, mut end) = (0, None);
        for (number, line) in (1..).zip(lines(&self.path)?).skip(1) {
            let line = line?;
            let place = || format!("{}:{number}", self.path.display());
            ensure!(end.is_none(), "{}: something follows the end", place());
            if line.starts_with("{\"end\"") {
                end = Some(serde_json::from_str::<End>(&line).with_context(place)?.end);
                continue;
            }
            records += 1;
            if topic_of(&line).is_some_and(|topic| !wanted.contains_key(&Topic::from(topic))) {
                continue;
            }
            let line: Line<'_> = serde_json::from_str(&line).with_context(place)?;
            let Some((topic, held)) = wanted.get_key_value(&Topic::from(&*line.topic)) else { continue };
            if (from.0..to.0).contains(&line.timestamp_ms) {
                visit(self.record(topic.clone(), *held, line).with_context(place)?)?;
            }
        }
        let path = self.path.display();
        match end {
            Some(told) if told == records => Ok(()),
            Some(told) => bail!("{path}: it says that it holds {told} records, and holds {records}"),
            None => bail!("{path}: it was cut off; export it again"),
        }
    }

    fn record(&self, topic: Topic, held: Held, line: Line<'_>) -> Result<Recorded> {
        let value = match (line.fact, line.avro, line.bytes) {
            (Some(json), ..) => match held {
                Held::Fact(kind) => Value::Fact(kind.read_json(json.get()).map_err(|error| anyhow!(error))?),
                Held::Journal => Value::Journal(serde_json::from_str(json.get())?),
            },
            (None, Some(body), _) => match held {
                Held::Fact(kind) => Value::Fact(self.avro(&topic, kind, &body)?),
                Held::Journal => bail!("a journal record is written as `fact`"),
            },
            (None, None, Some(bytes)) => {
                Value::Unreadable { bytes: hex::decode(&bytes)?, error: line.error.unwrap_or_default() }
            }
            (None, None, None) => Value::Tombstone,
        };
        let header = |(name, value): (String, Option<Bytes>)| {
            Ok(Header { name: name.into(), value: value.map(Bytes::read).transpose()? })
        };
        Ok(Recorded {
            topic,
            partition: Partition(line.partition),
            offset: Offset(line.offset),
            timestamp: EventTime(line.timestamp_ms),
            key: line.key.map(Bytes::read).transpose()?,
            headers: line.headers.into_iter().map(header).collect::<Result<_>>()?,
            value,
        })
    }

    fn avro(&self, topic: &Topic, kind: FactKind, body: &str) -> Result<Fact<'static>> {
        let id = self.ids.get(topic.as_str()).with_context(|| format!("the head says nothing of {topic}"))?;
        let mut value = Vec::new();
        envelope::begin(*id, &mut value);
        value.extend(hex::decode(body)?);
        Ok(self.formats.decode_fact(kind, &value)?.into_owned())
    }
}

fn lines(path: &Path) -> Result<impl Iterator<Item = Result<String>>> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let path = path.to_owned();
    Ok(BufReader::with_capacity(1 << 16, file)
        .lines()
        .map(move |line| line.with_context(|| path.display().to_string())))
}

/// As [`Writer`] writes it, without reading the line; `None` if somebody has written it anew.
fn topic_of(line: &str) -> Option<&str> {
    line.strip_prefix("{\"topic\":\"")?.split('"').next()
}
