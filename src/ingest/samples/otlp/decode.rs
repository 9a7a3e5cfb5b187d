//! `ExportMetricsServiceRequest` in protobuf, point by point: what one point takes is given back before the next is read.
//!
//! Field numbers are those of opentelemetry-proto's `metrics.proto`, `resource.proto` and `common.proto`, version 1. What stands behind a
//! metric's points but is needed for them (its name, its temporality) is looked for first.

use super::super::protobuf::{Message, Value};
use super::super::{LABELS_MAX, Unreadable};
use super::model::{AnyValue, Attribute, Point, Quantile, Temporality};
use super::translate::{Kind, Points};
use crate::ingest::samples::door::Sorting;

/// Bounds and buckets of one histogram, quantiles of one summary.
const BUCKETS_MAX: usize = 2_000;

pub fn read(body: &[u8], sorting: &mut Sorting<'_>) -> Result<(), Unreadable> {
    for field in Message::new(body) {
        if let (1, of_resource) = field? {
            resource_metrics(of_resource.message()?, sorting)?;
        }
    }
    Ok(())
}

fn resource_metrics(message: Message<'_>, sorting: &mut Sorting<'_>) -> Result<(), Unreadable> {
    let mut resource = Vec::new();
    for field in message {
        if let (1, told) = field? {
            for field in told.message()? {
                if let (1, told) = field? {
                    push(&mut resource, told)?;
                }
            }
        }
    }
    for field in message {
        if let (2, of_scope) = field? {
            for field in of_scope.message()? {
                if let (2, told) = field? {
                    metric(told.message()?, &resource, sorting)?;
                }
            }
        }
    }
    Ok(())
}

fn metric(message: Message<'_>, resource: &[Attribute<'_>], sorting: &mut Sorting<'_>) -> Result<(), Unreadable> {
    let (mut name, mut unit) = ("", "");
    for field in message {
        match field? {
            (1, told) => name = told.text()?,
            (3, told) => unit = told.text()?,
            _ => {}
        }
    }
    for field in message {
        let (number, told) = field?;
        let kind = match number {
            5 => Kind::Gauge,
            7 => Kind::Sum,
            9 => Kind::Histogram,
            10 => Kind::ExponentialHistogram,
            11 => Kind::Summary,
            _ => continue,
        };
        let data = told.message()?;
        let (mut temporality, mut is_monotonic) = (Temporality::default(), false);
        for field in data {
            match field? {
                (2, told) => temporality.is_cumulative = told.uint()? == Temporality::CUMULATIVE,
                (3, told) => is_monotonic = told.uint()? != 0,
                _ => {}
            }
        }
        let points = Points::new((name, unit), kind, (temporality, is_monotonic), resource);
        for field in data {
            if let (1, told) = field? {
                points.tell(&point(kind, told.message()?)?, sorting)?;
            }
        }
    }
    Ok(())
}

fn point(kind: Kind, message: Message<'_>) -> Result<Point<'_>, Unreadable> {
    let mut point = Point::default();
    for field in message {
        let (number, told) = field?;
        match (kind, number) {
            (_, 3) => point.time_unix_nano = told.fixed64()?.cast_signed(),
            (Kind::Gauge | Kind::Sum, number) => match number {
                4 => point.as_double = Some(told.double()?),
                5 => point.exemplar_count += 1,
                6 => point.as_int = Some(told.fixed64()?.cast_signed()),
                7 => push(&mut point.attributes, told)?,
                8 => point.flags = told.uint()?,
                _ => {}
            },
            (Kind::Histogram, number) => match number {
                4 => point.count = told.fixed64()?.cast_signed(),
                5 => point.sum = Some(told.double()?),
                6 => told.each_fixed64(|count| bounded(&mut point.bucket_counts, count.cast_signed()))?,
                7 => told.each_fixed64(|bound| bounded(&mut point.explicit_bounds, f64::from_bits(bound)))?,
                8 => point.exemplar_count += 1,
                9 => push(&mut point.attributes, told)?,
                10 => point.flags = told.uint()?,
                _ => {}
            },
            (Kind::ExponentialHistogram, number) => match number {
                1 => push(&mut point.attributes, told)?,
                11 => point.exemplar_count += 1,
                _ => {}
            },
            (Kind::Summary, number) => match number {
                4 => point.count = told.fixed64()?.cast_signed(),
                5 => point.sum = Some(told.double()?),
                6 => bounded(&mut point.quantile_values, quantile(told.message()?)?),
                7 => push(&mut point.attributes, told)?,
                8 => point.flags = told.uint()?,
                _ => {}
            },
        }
    }
    Ok(point)
}

/// One beyond the bound is taken, so that it is seen that there are too many.
fn bounded<T>(all: &mut Vec<T>, one: T) {
    if all.len() <= BUCKETS_MAX {
        all.push(one);
    }
}

fn push<'a>(attributes: &mut Vec<Attribute<'a>>, told: Value<'a>) -> Result<(), Unreadable> {
    let mut attribute = Attribute::default();
    for field in told.message()? {
        match field? {
            (1, key) => attribute.key = key.text()?.into(),
            (2, value) => attribute.value = any_value(value.message()?)?,
            _ => {}
        }
    }
    if attributes.len() <= LABELS_MAX {
        attributes.push(attribute);
    }
    Ok(())
}

fn any_value(message: Message<'_>) -> Result<AnyValue<'_>, Unreadable> {
    let mut value = AnyValue::default();
    for field in message {
        match field? {
            (1, text) => value.string_value = Some(text.text()?.into()),
            (2, told) => value.bool_value = Some(told.uint()? != 0),
            (3, told) => value.int_value = Some(told.int()?),
            (4, told) => value.double_value = Some(told.double()?),
            _ => {}
        }
    }
    Ok(value)
}

fn quantile(message: Message<'_>) -> Result<Quantile, Unreadable> {
    let mut quantile = Quantile::default();
    for field in message {
        match field? {
            (1, told) => quantile.quantile = told.double()?,
            (2, told) => quantile.value = told.double()?,
            _ => {}
        }
    }
    Ok(quantile)
}
