//! What must come out, by the definition and nothing else: over the whole set of observations at once, in memory, in no order.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Aggregate, Change, GRACE_MS, INTERVAL_MS, LONG_TERM_MS, Relative, SHORT_TERM_MS};
use super::readings::{Reading, Told};

#[derive(Default)]
struct Lane {
    flow: Option<Reading>,
    speed: Option<Reading>,
}

/// By measurement point, in the order of intervals.
pub type Expected = BTreeMap<String, Vec<Change>>;

pub fn expected(readings: &[Reading]) -> Expected {
    aggregates(readings).iter().map(|(point, of_point)| (point.clone(), changes(of_point))).collect()
}

/// By measurement point and interval.
fn aggregates(readings: &[Reading]) -> BTreeMap<String, BTreeMap<i64, Aggregate>> {
    let mut points: BTreeMap<(u32, i64), BTreeMap<u32, Lane>> = BTreeMap::new();
    let in_time = |reading: &&Reading| reading.at_ms - reading.timestamp_ms < INTERVAL_MS + GRACE_MS;
    for reading in readings.iter().filter(in_time) {
        let lanes = points.entry((reading.point, reading.timestamp_ms)).or_default();
        let lane = lanes.entry(reading.lane).or_default();
        match reading.told {
            Told::Flow { .. } => lane.flow = Some(*reading),
            Told::Speed { .. } => lane.speed = Some(*reading),
        }
    }
    let mut aggregates: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for lanes in points.values() {
        let joined: Vec<_> = lanes.values().filter_map(join).collect();
        if let Some(aggregate) = aggregate(&joined) {
            let of_point = aggregates.entry(aggregate.measurement_id.clone()).or_default();
            of_point.insert(aggregate.timestamp_ms, aggregate);
        }
    }
    aggregates
}

fn changes(of_point: &BTreeMap<i64, Aggregate>) -> Vec<Change> {
    let change = |(timestamp_ms, now): (&i64, &Aggregate)| {
        let against = |term_ms| Some(relative(now, of_point.get(&(timestamp_ms - term_ms))?));
        Change {
            measurement_id: now.measurement_id.clone(),
            published_at_ms: now.published_at_ms,
            aggregate: now.clone(),
            short_term: against(SHORT_TERM_MS),
            long_term: against(LONG_TERM_MS),
        }
    };
    of_point.iter().map(change).collect()
}

/// To the last bit what the engines say: flows are whole numbers, so that only the division rounds.
fn relative(now: &Aggregate, then: &Aggregate) -> Relative {
    let part = |now: f64, then: f64| if then == 0.0 { None } else { Some((now - then) / then) };
    Relative {
        flow: part(now.accumulated_flow.into(), then.accumulated_flow.into()),
        speed: part(now.average_speed, then.average_speed),
    }
}

fn join(lane: &Lane) -> Option<(Reading, Reading)> {
    let (flow, speed) = (lane.flow?, lane.speed?);
    ((flow.at_ms - speed.at_ms).abs() <= INTERVAL_MS).then_some((flow, speed))
}

/// Lanes come in the order of their numbers, which below ten is that of their names.
fn aggregate(lanes: &[(Reading, Reading)]) -> Option<Aggregate> {
    let (first, _) = lanes.first()?;
    let of_all = |(flow, speed): &(Reading, Reading)| {
        flow.num_lanes == speed.num_lanes && usize::try_from(flow.num_lanes) == Ok(lanes.len())
    };
    if !lanes.iter().all(of_all) {
        return None;
    }
    let (mut vehicles, mut kmh) = (0, 0.0);
    let (mut flow_accuracies, mut speed_accuracies) = (BTreeSet::new(), BTreeSet::new());
    for (flow, speed) in lanes {
        let Told::Flow { vehicles: passed, accuracy: of_flow } = flow.told else { continue };
        let Told::Speed { kmh: fast, accuracy: of_speed } = speed.told else { continue };
        vehicles += passed;
        kmh += fast;
        flow_accuracies.insert(of_flow);
        speed_accuracies.insert(of_speed);
    }
    let only = |accuracies: &BTreeSet<i32>| match accuracies.len() {
        1 => accuracies.first().copied(),
        _ => None,
    };
    let (latitude, longitude) = first.place();
    Some(Aggregate {
        measurement_id: first.measurement_id(),
        lanes: lanes.iter().map(|(flow, _)| flow.lane_name()).collect(),
        timestamp_ms: first.timestamp_ms,
        latitude,
        longitude,
        accumulated_flow: vehicles,
        period: 60,
        flow_accuracy: only(&flow_accuracies).unwrap_or(-1),
        average_speed: kmh / f64::from(first.num_lanes),
        speed_accuracy: only(&speed_accuracies).unwrap_or(-1),
        num_lanes: first.num_lanes,
        published_at_ms: lanes.iter().map(|(flow, speed)| flow.at_ms.max(speed.at_ms)).max()?,
    })
}
