//! OSPBench's tumbling window: all lanes of a measurement point and interval, told once, as soon as all are there.
//!
//! *Remembers* the lanes of intervals that are incomplete. *Forgets* them once told, or when the interval closes.

use fairlead::event::{Fact, FactKind};
use fairlead::operator::{Operator, Port};
use fairlead::record::EventTime;
use serde::{Deserialize, Serialize};

use super::facts::{AGGREGATE, Aggregate, LANE_READING, LaneReading, Twin, closes_at_ms, is_late};

#[derive(Clone)]
pub struct Lanes;

pub struct Input(LaneReading);

impl TryFrom<Fact<'_>> for Input {
    type Error = FactKind;
    fn try_from(fact: Fact<'_>) -> Result<Self, FactKind> {
        LaneReading::of_fact(&fact).map(Input)
    }
}

pub enum Event {
    Waits(LaneReading),
    Told(Aggregate),
    Closed(EventTime),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    lanes: Vec<LaneReading>,
}

impl Operator for Lanes {
    const KIND: &'static str = "lanes";
    const INPUTS: &'static [FactKind] = &[FactKind::Own(LANE_READING)];
    const PORTS: &'static [(Port, FactKind)] = &[("aggregate", FactKind::Own(AGGREGATE))];
    const STATE_SCHEMA: &'static str = include_str!("schemas/lanes_state.avsc");

    type Input<'a> = Input;
    type Event = Event;
    type State = State;

    fn decide(&self, state: &State, Input(reading): &Input, _: EventTime) -> Vec<Event> {
        let known = state.lanes.iter().filter(|lane| lane.timestamp_ms == reading.timestamp_ms);
        let mut lanes: Vec<_> = known.chain([reading]).collect();
        let complete = lanes.iter().all(|lane| usize::try_from(lane.num_lanes) == Ok(lanes.len()));
        if !complete {
            return vec![Event::Waits(reading.clone())];
        }
        lanes.sort_unstable_by(|one, other| one.lane.cmp(&other.lane));
        vec![Event::Told(aggregate(&lanes))]
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::Waits(reading) => state.lanes.push(reading.clone()),
            Event::Told(told) => state.lanes.retain(|lane| lane.timestamp_ms != told.timestamp_ms),
            Event::Closed(at) => state.lanes.retain(|lane| !is_late(lane.timestamp_ms, *at)),
        }
        state
    }

    fn deadline(&self, state: &State) -> Option<EventTime> {
        let first = state.lanes.iter().map(|lane| lane.timestamp_ms).min()?;
        Some(EventTime(closes_at_ms(first)))
    }

    fn due(&self, _: &State, at: EventTime) -> Vec<Event> {
        vec![Event::Closed(at)]
    }

    fn publish(event: Event) -> Option<(Port, Fact<'static>)> {
        match event {
            Event::Told(aggregate) => Some(("aggregate", aggregate.to_fact())),
            Event::Waits(_) | Event::Closed(_) => None,
        }
    }
}

/// In the order of lanes, so that no sum depends on which came first.
fn aggregate(lanes: &[&LaneReading]) -> Aggregate {
    let first = lanes[0];
    let same = |field: fn(&LaneReading) -> i32| {
        if lanes.iter().all(|lane| field(lane) == field(first)) { field(first) } else { -1 }
    };
    Aggregate {
        measurement_id: first.measurement_id.clone(),
        lanes: lanes.iter().map(|lane| lane.lane.clone()).collect(),
        timestamp_ms: first.timestamp_ms,
        latitude: first.latitude,
        longitude: first.longitude,
        accumulated_flow: lanes.iter().map(|lane| lane.flow).sum(),
        period: same(|lane| lane.period),
        flow_accuracy: same(|lane| lane.flow_accuracy),
        average_speed: lanes.iter().map(|lane| lane.speed).sum::<f64>() / f64::from(first.num_lanes),
        speed_accuracy: same(|lane| lane.speed_accuracy),
        num_lanes: first.num_lanes,
        published_at_ms: lanes.iter().map(|lane| lane.published_at_ms).max().unwrap_or_default(),
    }
}
