//! Observations of the shape of those that OSPBench plays back: measurement points of one to four lanes, each telling flow and speed
//! once an interval. Seeded: the same in every run.
//!
//! As there, the minute of the recording is a second here. What is told is made up, for the recording is not here. Each case of the
//! definition comes up: partners that are missing, both too late, just near enough or just too far apart, and lanes whose flow and
//! speed do not agree on the number of lanes. So there are gaps, and where nobody passed there is nothing to compare with.
//! Records arrive up to [`DISORDER_MS`] late, so that whatever reads them by time within the rest of the grace period comes to the same
//! result.

use fairlead::event::Fact;

use super::facts::{Flow, GRACE_MS, INTERVAL_MS, Speed, Twin};

const DISORDER_MS: i64 = 2_000;
/// No interval is waited for so long, nor looked back to.
const SILENCE_MS: i64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    pub point: u32,
    pub lane: u32,
    pub num_lanes: i32,
    pub timestamp_ms: i64,
    /// When it was published, which is the record's time.
    pub at_ms: i64,
    pub told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Told {
    Flow { vehicles: i32, accuracy: i32 },
    Speed { kmh: f64, accuracy: i32 },
}

/// So many records at least, whole intervals, in the order of arrival.
pub fn readings(seed: u64, records: usize, points: u32, begin_ms: i64) -> Vec<Reading> {
    let mut arriving: Vec<(i64, Reading)> = Vec::with_capacity(records);
    for timestamp_ms in (begin_ms..).step_by(INTERVAL_MS as usize) {
        if arriving.len() >= records {
            break;
        }
        for point in 0..points {
            let num_lanes = lanes_of(seed, point);
            for lane in 1..=num_lanes {
                of_lane(
                    &mut Dice::of(seed, point, lane, timestamp_ms),
                    point,
                    lane,
                    num_lanes,
                    timestamp_ms,
                    &mut arriving,
                );
            }
        }
    }
    closing(seed, points, &mut arriving);
    arriving.sort_by_key(|(arrives_ms, _)| *arrives_ms);
    arriving.into_iter().map(|(_, reading)| reading).collect()
}

fn lanes_of(seed: u64, point: u32) -> u32 {
    1 + u32::try_from(Dice::of(seed, point, 0, 0).below(4)).expect("below four")
}

/// In the end, after a silence, each point tells a flow that stays alone: it closes all intervals before.
fn closing(seed: u64, points: u32, arriving: &mut Vec<(i64, Reading)>) {
    let Some(last_ms) = arriving.iter().map(|(_, reading)| reading.timestamp_ms).max() else { return };
    let timestamp_ms = last_ms + SILENCE_MS;
    for point in 0..points {
        let num_lanes = i32::try_from(lanes_of(seed, point)).expect("four at most");
        let told = Told::Flow { vehicles: 0, accuracy: 100 };
        arriving.push((timestamp_ms, Reading { point, lane: 1, num_lanes, timestamp_ms, at_ms: timestamp_ms, told }));
    }
}

fn of_lane(
    dice: &mut Dice,
    point: u32,
    lane: u32,
    num_lanes: u32,
    timestamp_ms: i64,
    arriving: &mut Vec<(i64, Reading)>,
) {
    let fate = dice.below(1_000);
    let late_ms = if fate < 5 { INTERVAL_MS + GRACE_MS + dice.below(500) } else { 0 };
    let flow_at_ms = timestamp_ms + late_ms + dice.below(900);
    let speed_at_ms = match fate {
        5..10 => flow_at_ms + INTERVAL_MS - 50 + dice.below(100),
        _ => timestamp_ms + late_ms + dice.below(900),
    };
    let num_lanes = i32::try_from(num_lanes).expect("four at most");
    let accuracy = if dice.below(20) == 0 { 95 } else { 100 };
    let vehicles = 60 * i32::try_from(dice.below(40)).expect("below forty");
    let kmh = (5_000 + dice.below(8_000)) as f64 / 100.0;
    let flow = Told::Flow { vehicles, accuracy };
    let speed = Told::Speed { kmh: if vehicles == 0 { 0.0 } else { kmh }, accuracy: 100 };
    let flow_lanes = if fate == 10 { num_lanes + 1 } else { num_lanes };
    let told = [(flow, flow_at_ms, flow_lanes, 11), (speed, speed_at_ms, num_lanes, 12)];
    for (told, at_ms, num_lanes, missing) in told {
        let arrives_ms = at_ms + dice.below(DISORDER_MS);
        if fate != missing {
            arriving.push((arrives_ms, Reading { point, lane, num_lanes, timestamp_ms, at_ms, told }));
        }
    }
}

impl Reading {
    /// As long as those of the recording.
    pub fn measurement_id(&self) -> String {
        format!("au/1/5/u/{:012x}/RWS01_MONIBAS_{:07}hrr_1", Dice::of(7, self.point, 0, 0).next() >> 16, self.point)
    }

    pub fn lane_name(&self) -> String {
        format!("lane{}", self.lane)
    }

    pub fn place(&self) -> (f64, f64) {
        (51.0 + f64::from(self.point % 1_000) / 1e5, 5.0 + f64::from(self.point / 1_000) / 1e5)
    }

    pub fn fact(&self) -> Fact<'static> {
        let (measurement_id, lane) = (self.measurement_id(), self.lane_name());
        let (latitude, longitude) = self.place();
        let (timestamp_ms, num_lanes) = (self.timestamp_ms, self.num_lanes);
        match self.told {
            Told::Flow { vehicles: flow, accuracy } => {
                let period = 60;
                Flow { measurement_id, lane, timestamp_ms, latitude, longitude, flow, period, accuracy, num_lanes }
                    .to_fact()
            }
            Told::Speed { kmh: speed, accuracy } => {
                Speed { measurement_id, lane, timestamp_ms, latitude, longitude, speed, accuracy, num_lanes }.to_fact()
            }
        }
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn of(seed: u64, point: u32, lane: u32, timestamp_ms: i64) -> Self {
        let place = u64::from(point) << 32 | u64::from(lane);
        let mut dice = Self(seed ^ place.rotate_left(17) ^ timestamp_ms.cast_unsigned().rotate_left(41));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: i64) -> i64 {
        i64::try_from(self.next() % bound.cast_unsigned()).expect("less than a bound that fits")
    }
}
