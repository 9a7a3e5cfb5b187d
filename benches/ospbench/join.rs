//! OSPBench's join stage: flow and speed of the same lane and interval, published within one interval of each other.
//!
//! *Remembers* what waits for its partner. *Forgets* it once joined, or when the interval closes. *Never* takes what is too late.

use fairlead::event::{Fact, FactKind};
use fairlead::operator::{Operator, Port};
use fairlead::record::EventTime;
use serde::{Deserialize, Serialize};

use super::facts::{FLOW, Flow, INTERVAL_MS, LANE_READING, LaneReading, SPEED, Speed, Twin, closes_at_ms, is_late};

#[derive(Clone)]
pub struct Join;

pub enum Input {
    Flow(Flow),
    Speed(Speed),
}

impl TryFrom<Fact<'_>> for Input {
    type Error = FactKind;
    fn try_from(fact: Fact<'_>) -> Result<Self, FactKind> {
        Flow::of_fact(&fact).map(Input::Flow).or_else(|_| Speed::of_fact(&fact).map(Input::Speed))
    }
}

pub enum Event {
    FlowWaits(Waiting<Flow>),
    SpeedWaits(Waiting<Speed>),
    Joined(LaneReading),
    Closed(EventTime),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting<T> {
    reading: T,
    at_ms: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    flows: Vec<Waiting<Flow>>,
    speeds: Vec<Waiting<Speed>>,
}

impl Operator for Join {
    const KIND: &'static str = "join";
    const INPUTS: &'static [FactKind] = &[FactKind::Own(FLOW), FactKind::Own(SPEED)];
    const PORTS: &'static [(Port, FactKind)] = &[("lane", FactKind::Own(LANE_READING))];
    const STATE_SCHEMA: &'static str = include_str!("schemas/join_state.avsc");

    type Input<'a> = Input;
    type Event = Event;
    type State = State;

    fn decide(&self, state: &State, input: &Input, at: EventTime) -> Vec<Event> {
        let near = |at_ms: i64| (at.0 - at_ms).abs() <= INTERVAL_MS;
        let event = match input {
            Input::Flow(flow) if is_late(flow.timestamp_ms, at) => return Vec::new(),
            Input::Speed(speed) if is_late(speed.timestamp_ms, at) => return Vec::new(),
            Input::Flow(flow) => {
                let of_lane = |speed: &Speed| speed.lane == flow.lane && speed.timestamp_ms == flow.timestamp_ms;
                match state.speeds.iter().find(|waiting| of_lane(&waiting.reading) && near(waiting.at_ms)) {
                    Some(waiting) => Event::Joined(joined(flow, &waiting.reading, at.0.max(waiting.at_ms))),
                    None => Event::FlowWaits(Waiting { reading: flow.clone(), at_ms: at.0 }),
                }
            }
            Input::Speed(speed) => {
                let of_lane = |flow: &Flow| flow.lane == speed.lane && flow.timestamp_ms == speed.timestamp_ms;
                match state.flows.iter().find(|waiting| of_lane(&waiting.reading) && near(waiting.at_ms)) {
                    Some(waiting) => Event::Joined(joined(&waiting.reading, speed, at.0.max(waiting.at_ms))),
                    None => Event::SpeedWaits(Waiting { reading: speed.clone(), at_ms: at.0 }),
                }
            }
        };
        vec![event]
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::FlowWaits(waiting) => state.flows.push(waiting.clone()),
            Event::SpeedWaits(waiting) => state.speeds.push(waiting.clone()),
            Event::Joined(told) => {
                let other = |lane: &str, timestamp_ms| lane != told.lane || timestamp_ms != told.timestamp_ms;
                state.flows.retain(|waiting| other(&waiting.reading.lane, waiting.reading.timestamp_ms));
                state.speeds.retain(|waiting| other(&waiting.reading.lane, waiting.reading.timestamp_ms));
            }
            Event::Closed(at) => {
                state.flows.retain(|waiting| !is_late(waiting.reading.timestamp_ms, *at));
                state.speeds.retain(|waiting| !is_late(waiting.reading.timestamp_ms, *at));
            }
        }
        state
    }

    fn deadline(&self, state: &State) -> Option<EventTime> {
        let flows = state.flows.iter().map(|waiting| waiting.reading.timestamp_ms);
        let speeds = state.speeds.iter().map(|waiting| waiting.reading.timestamp_ms);
        flows.chain(speeds).min().map(|first| EventTime(closes_at_ms(first)))
    }

    fn due(&self, _: &State, at: EventTime) -> Vec<Event> {
        vec![Event::Closed(at)]
    }

    fn publish(event: Event) -> Option<(Port, Fact<'static>)> {
        match event {
            Event::Joined(reading) => Some(("lane", reading.to_fact())),
            Event::FlowWaits(_) | Event::SpeedWaits(_) | Event::Closed(_) => None,
        }
    }
}

fn joined(flow: &Flow, speed: &Speed, published_at_ms: i64) -> LaneReading {
    LaneReading {
        measurement_id: flow.measurement_id.clone(),
        lane: flow.lane.clone(),
        timestamp_ms: flow.timestamp_ms,
        latitude: flow.latitude,
        longitude: flow.longitude,
        flow: flow.flow,
        period: flow.period,
        flow_accuracy: flow.accuracy,
        speed: speed.speed,
        speed_accuracy: speed.accuracy,
        num_lanes: if flow.num_lanes == speed.num_lanes { flow.num_lanes } else { -1 },
        published_at_ms,
    }
}
