//! The part of OpenTelemetry's metrics that is read, as a value: JSON is deserialised into it, protobuf read into it point by point.
//!
//! One type of data and of points for all kinds of metrics: what a kind has not is absent. Names are those of the JSON mapping of
//! `opentelemetry.proto.metrics.v1`; 64-bit numbers stand there as texts, what is no number as `NaN`.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::event::Text;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request<'a> {
    #[serde(borrow)]
    pub resource_metrics: Vec<ResourceMetrics<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceMetrics<'a> {
    #[serde(borrow)]
    pub resource: Resource<'a>,
    pub scope_metrics: Vec<ScopeMetrics<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resource<'a> {
    #[serde(borrow)]
    pub attributes: Vec<Attribute<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ScopeMetrics<'a> {
    #[serde(borrow)]
    pub metrics: Vec<Metric<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metric<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    pub unit: Text<'a>,
    pub gauge: Option<Data<'a>>,
    pub sum: Option<Data<'a>>,
    pub histogram: Option<Data<'a>>,
    pub exponential_histogram: Option<Data<'a>>,
    pub summary: Option<Data<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Data<'a> {
    #[serde(borrow)]
    pub data_points: Vec<Point<'a>>,
    pub aggregation_temporality: Temporality,
    pub is_monotonic: bool,
}

/// Only what counts from the beginning has a meaning without what came before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Named")]
pub struct Temporality {
    pub is_cumulative: bool,
}

impl Temporality {
    pub const CUMULATIVE: u64 = 2;
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Number(u64),
    Name(String),
}

impl From<Named> for Temporality {
    fn from(named: Named) -> Self {
        let is_cumulative = match named {
            Named::Number(number) => number == Self::CUMULATIVE,
            Named::Name(name) => name == "AGGREGATION_TEMPORALITY_CUMULATIVE",
        };
        Self { is_cumulative }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Point<'a> {
    #[serde(borrow)]
    pub attributes: Vec<Attribute<'a>>,
    #[serde(deserialize_with = "int")]
    pub time_unix_nano: i64,
    #[serde(deserialize_with = "some_double")]
    pub as_double: Option<f64>,
    #[serde(deserialize_with = "some_int")]
    pub as_int: Option<i64>,
    #[serde(deserialize_with = "int")]
    pub count: i64,
    #[serde(deserialize_with = "some_double")]
    pub sum: Option<f64>,
    #[serde(deserialize_with = "ints")]
    pub bucket_counts: Vec<i64>,
    pub explicit_bounds: Vec<f64>,
    pub quantile_values: Vec<Quantile>,
    pub flags: u64,
    #[serde(rename = "exemplars", deserialize_with = "length")]
    pub exemplar_count: usize,
}

impl Point<'_> {
    /// In `flags`: the series has ended.
    pub const NO_RECORDED_VALUE: u64 = 1;
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Quantile {
    pub quantile: f64,
    #[serde(deserialize_with = "double")]
    pub value: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Attribute<'a> {
    #[serde(borrow)]
    pub key: Text<'a>,
    pub value: AnyValue<'a>,
}

/// One of them is there; lists, maps and bytes are not read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnyValue<'a> {
    #[serde(borrow)]
    pub string_value: Option<Text<'a>>,
    pub bool_value: Option<bool>,
    #[serde(deserialize_with = "some_int")]
    pub int_value: Option<i64>,
    #[serde(deserialize_with = "some_double")]
    pub double_value: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Int {
    Number(i64),
    Text(String),
}

impl Int {
    fn value<E: Error>(self) -> Result<i64, E> {
        match self {
            Int::Number(number) => Ok(number),
            Int::Text(text) => text.parse().map_err(|_| E::custom("a text is no 64-bit number")),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Double {
    Number(f64),
    Text(String),
}

impl Double {
    fn value<E: Error>(self) -> Result<f64, E> {
        match self {
            Double::Number(number) => Ok(number),
            // Rust reads `NaN`, `Infinity` and `-Infinity` as the mapping writes them.
            Double::Text(text) => text.parse().map_err(|_| E::custom("a text is no number")),
        }
    }
}

fn int<'de, D: Deserializer<'de>>(told: D) -> Result<i64, D::Error> {
    Int::deserialize(told)?.value()
}

fn some_int<'de, D: Deserializer<'de>>(told: D) -> Result<Option<i64>, D::Error> {
    Option::<Int>::deserialize(told)?.map(Int::value).transpose()
}

fn ints<'de, D: Deserializer<'de>>(told: D) -> Result<Vec<i64>, D::Error> {
    Vec::<Int>::deserialize(told)?.into_iter().map(Int::value).collect()
}

fn double<'de, D: Deserializer<'de>>(told: D) -> Result<f64, D::Error> {
    Double::deserialize(told)?.value()
}

fn some_double<'de, D: Deserializer<'de>>(told: D) -> Result<Option<f64>, D::Error> {
    Option::<Double>::deserialize(told)?.map(Double::value).transpose()
}

fn length<'de, D: Deserializer<'de>>(told: D) -> Result<usize, D::Error> {
    Ok(Vec::<serde::de::IgnoredAny>::deserialize(told)?.len())
}
