//! What OSPBench reads and tells, as facts of our own: observations of flow and of speed, both joined for a lane, all lanes of a
//! measurement point, and how these changed. All are keyed by the measurement point. The fields are OSPBench's, but for two: the time of
//! publication of an observation is the record's, and the time of ingestion, which is the wall clock's, is left out so that outputs can be
//! compared.

use std::sync::LazyLock;

use fairlead::codec::avro;
use fairlead::event::{Fact, FactKind, OwnFact, OwnKind};
use fairlead::record::EventTime;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_avro_fast::Schema;

/// OSPBench's `publish.interval.millis`: the length of the join's window and of the tumbling one.
pub const INTERVAL_MS: i64 = 1_000;
/// OSPBench's `grace.period.ms` at a constant rate.
pub const GRACE_MS: i64 = 5_000;
/// OSPBench's `short.term.batches.lookback` and `long.term.batches.lookback`, one interval and two: how far before an aggregate those lie
/// that it is compared with.
pub const SHORT_TERM_MS: i64 = INTERVAL_MS;
pub const LONG_TERM_MS: i64 = 2 * INTERVAL_MS;

/// When an interval is closed: what is published from then on is too late for it, what is incomplete then is forgotten.
pub fn closes_at_ms(timestamp_ms: i64) -> i64 {
    timestamp_ms + INTERVAL_MS + GRACE_MS
}

pub fn is_late(timestamp_ms: i64, at: EventTime) -> bool {
    at.0 >= closes_at_ms(timestamp_ms)
}

const fn kind(name: &'static str, schema_json: &'static str) -> OwnKind {
    OwnKind { name, keyed_by: "measurement point", schema_json }
}

pub const FLOW: &OwnKind = &kind("flow", include_str!("schemas/flow.avsc"));
pub const SPEED: &OwnKind = &kind("speed", include_str!("schemas/speed.avsc"));
pub const LANE_READING: &OwnKind = &kind("lane_reading", include_str!("schemas/lane_reading.avsc"));
pub const AGGREGATE: &OwnKind = &kind("aggregate", include_str!("schemas/aggregate.avsc"));
pub const CHANGE: &OwnKind = &kind("change", include_str!("schemas/change.avsc"));

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    pub measurement_id: String,
    pub lane: String,
    pub timestamp_ms: i64,
    pub latitude: f64,
    pub longitude: f64,
    pub flow: i32,
    pub period: i32,
    pub accuracy: i32,
    pub num_lanes: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    pub measurement_id: String,
    pub lane: String,
    pub timestamp_ms: i64,
    pub latitude: f64,
    pub longitude: f64,
    pub speed: f64,
    pub accuracy: i32,
    pub num_lanes: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneReading {
    pub measurement_id: String,
    pub lane: String,
    pub timestamp_ms: i64,
    pub latitude: f64,
    pub longitude: f64,
    pub flow: i32,
    pub period: i32,
    pub flow_accuracy: i32,
    pub speed: f64,
    pub speed_accuracy: i32,
    pub num_lanes: i32,
    pub published_at_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    pub measurement_id: String,
    pub lanes: Vec<String>,
    pub timestamp_ms: i64,
    pub latitude: f64,
    pub longitude: f64,
    pub accumulated_flow: i32,
    pub period: i32,
    pub flow_accuracy: i32,
    pub average_speed: f64,
    pub speed_accuracy: i32,
    pub num_lanes: i32,
    pub published_at_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub measurement_id: String,
    pub published_at_ms: i64,
    pub aggregate: Aggregate,
    /// `None`: there is no aggregate of then.
    pub short_term: Option<Relative>,
    pub long_term: Option<Relative>,
}

/// What came on top, in parts of what was. `None`: there was nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relative {
    pub flow: Option<f64>,
    pub speed: Option<f64>,
}

/// A typed twin of an own fact's schema.
pub trait Twin: Serialize + DeserializeOwned {
    const KIND: &'static OwnKind;
    const SCHEMA: &'static LazyLock<Schema>;
    fn key(&self) -> &str;

    fn to_fact(&self) -> Fact<'static> {
        let mut body = Vec::new();
        avro::encode(Self::SCHEMA, self, &mut body).expect("a twin fits its schema");
        Fact::Own(OwnFact { kind: Self::KIND, key: self.key().to_owned().into(), body: body.into() })
    }

    /// Out of a fact of its kind; the error is the kind it was instead.
    fn of_fact(fact: &Fact<'_>) -> Result<Self, FactKind> {
        match fact {
            Fact::Own(own) if own.kind == Self::KIND => {
                Ok(avro::decode(Self::SCHEMA, &own.body).expect("the body was checked against the schema"))
            }
            other => Err(other.kind()),
        }
    }
}

fn parse(kind: &OwnKind) -> Schema {
    kind.schema_json.parse().expect("the schemas beside this file parse")
}

static FLOW_SCHEMA: LazyLock<Schema> = LazyLock::new(|| parse(FLOW));
static SPEED_SCHEMA: LazyLock<Schema> = LazyLock::new(|| parse(SPEED));
static LANE_READING_SCHEMA: LazyLock<Schema> = LazyLock::new(|| parse(LANE_READING));
static AGGREGATE_SCHEMA: LazyLock<Schema> = LazyLock::new(|| parse(AGGREGATE));
static CHANGE_SCHEMA: LazyLock<Schema> = LazyLock::new(|| parse(CHANGE));

impl Twin for Flow {
    const KIND: &'static OwnKind = FLOW;
    const SCHEMA: &'static LazyLock<Schema> = &FLOW_SCHEMA;
    fn key(&self) -> &str {
        &self.measurement_id
    }
}

impl Twin for Speed {
    const KIND: &'static OwnKind = SPEED;
    const SCHEMA: &'static LazyLock<Schema> = &SPEED_SCHEMA;
    fn key(&self) -> &str {
        &self.measurement_id
    }
}

impl Twin for LaneReading {
    const KIND: &'static OwnKind = LANE_READING;
    const SCHEMA: &'static LazyLock<Schema> = &LANE_READING_SCHEMA;
    fn key(&self) -> &str {
        &self.measurement_id
    }
}

impl Twin for Aggregate {
    const KIND: &'static OwnKind = AGGREGATE;
    const SCHEMA: &'static LazyLock<Schema> = &AGGREGATE_SCHEMA;
    fn key(&self) -> &str {
        &self.measurement_id
    }
}

impl Twin for Change {
    const KIND: &'static OwnKind = CHANGE;
    const SCHEMA: &'static LazyLock<Schema> = &CHANGE_SCHEMA;
    fn key(&self) -> &str {
        &self.measurement_id
    }
}
