//! The forecast on made series whose crossing is known: how much of the possible lead time it gives, and how often it is wrong.
//!
//! A sample a minute: a level with noise, by kind with the hours of a day, with gaps, or as a counter that restarts. On the eighth day
//! begins a rise that reaches the threshold after a known time; as many series have none for thirty days. Possible is the horizon, or
//! the time from the rise's beginning where that is shorter. False is a detection of a series without a rise, one before the rise, and
//! one that comes earlier than twice the horizon before the crossing. Everything is drawn from a seed.

use fairlead::record::EventTime;
use fairlead::trend::Sample;
use fairlead::trend::episode::Change;
use fairlead::trend::rule::{Rule, State};

const MINUTE_MS: i64 = 60_000;
const DAY: i64 = 1440;
const RISES_AT: i64 = 8 * DAY;
const QUIET_DAYS: i64 = 30;
const HORIZON: i64 = 240;
const THRESHOLD: f64 = 100.0;
const LEVEL: f64 = 50.0;
/// Minutes from the beginning of the rise to the crossing.
const RISES: [i64; 5] = [120, 240, 480, 960, 2880];

#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    noise: f64,
    /// How far the hours of the day lift and lower it.
    hours: f64,
    gaps: bool,
    counter: bool,
}

const KINDS: [Kind; 6] = [
    Kind { name: "little noise", noise: 0.5, hours: 0.0, gaps: false, counter: false },
    Kind { name: "noise", noise: 3.0, hours: 0.0, gaps: false, counter: false },
    Kind { name: "noise, gaps", noise: 3.0, hours: 0.0, gaps: true, counter: false },
    Kind { name: "counter with resets", noise: 3.0, hours: 0.0, gaps: true, counter: true },
    Kind { name: "hours of the day", noise: 2.0, hours: 15.0, gaps: false, counter: false },
    Kind { name: "hours of the day, gaps, resets", noise: 2.0, hours: 15.0, gaps: true, counter: true },
];

pub struct Measured {
    pub kinds: Vec<OfKind>,
}

pub struct OfKind {
    pub name: &'static str,
    pub crossings: usize,
    pub foreseen: usize,
    /// Of the possible, on average; a crossing that was not foreseen counts 0.
    pub lead: f64,
    pub false_alarms: usize,
    pub days: f64,
}

/// `seeds` series of each kind and rise, and as many without one.
pub fn measure(seeds: u64) -> Measured {
    Measured { kinds: KINDS.iter().map(|kind| of_kind(kind, seeds)).collect() }
}

fn of_kind(kind: &Kind, seeds: u64) -> OfKind {
    let mut measured = OfKind { name: kind.name, crossings: 0, foreseen: 0, lead: 0.0, false_alarms: 0, days: 0.0 };
    for seed in 1..=seeds {
        for rise in RISES {
            let (told, crossing) = run(kind, seed * 1000 + rise as u64, Some(rise));
            let possible = HORIZON.min(crossing - RISES_AT);
            let right = |at: &&i64| (RISES_AT.max(crossing - 2 * HORIZON)..crossing).contains(*at);
            let lead = told.iter().find(right).map_or(0, |at| (crossing - at).min(possible));
            measured.crossings += 1;
            measured.foreseen += usize::from(lead > 0);
            measured.lead += lead as f64 / possible as f64;
            measured.false_alarms += told.iter().filter(|at| **at < crossing && !right(at)).count();
            measured.days += crossing as f64 / DAY as f64;
        }
        measured.false_alarms += run(kind, seed, None).0.len();
        measured.days += QUIET_DAYS as f64;
    }
    measured.lead /= measured.crossings as f64;
    measured
}

/// The minutes of its detections, and that of the crossing (of the end if there is none).
fn run(kind: &Kind, seed: u64, rise: Option<i64>) -> (Vec<i64>, i64) {
    let rule = format!(
        "{{ name: ramp, counter: {}, detect: {{ forecast: {{ above: {THRESHOLD}, horizon_secs: {}, seasonal: {} }} }}, for_secs: 300 }}",
        kind.counter,
        HORIZON * 60,
        kind.hours > 0.0
    );
    let rule: Rule = serde_saphyr::from_str(&rule).expect("a rule");
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut state, mut told, mut count, mut silent_until) = (State::default(), Vec::new(), 0.0, 0);
    let phase = random.below(DAY as u64) as i64;
    for minute in 0..QUIET_DAYS * DAY {
        let hours = kind.hours * (std::f64::consts::TAU * (minute + phase) as f64 / DAY as f64).sin();
        let start = kind.hours * (std::f64::consts::TAU * (RISES_AT + phase) as f64 / DAY as f64).sin();
        // The rise goes from where the series is to the threshold; the hours go on.
        let slope = rise.map_or(0.0, |rise| (THRESHOLD - LEVEL - start) / rise as f64);
        let clean = LEVEL + hours + slope * (minute - RISES_AT).max(0) as f64;
        if clean >= THRESHOLD {
            return (told, minute);
        }
        let value = clean + kind.noise * random.normal();
        count = if kind.counter && random.below(3 * DAY as u64) == 0 { 0.0 } else { count + value.max(0.0) * 60.0 };
        if kind.gaps && random.below(8 * 60) == 0 {
            silent_until = minute + 10 + random.below(50) as i64;
        }
        if minute < silent_until {
            continue;
        }
        let value = if kind.counter { count } else { value };
        let sample = Sample { at: EventTime((20_000 * DAY + minute) * MINUTE_MS), value };
        if rule.observe(&mut state, sample).is_ok_and(|observed| observed.change == Some(Change::Began)) {
            told.push(minute);
        }
    }
    (told, QUIET_DAYS * DAY)
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    /// Nearly: the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| (self.next() >> 11) as f64 / (1_u64 << 53) as f64).sum::<f64>() - 6.0
    }
}

impl Measured {
    /// Of the possible, over all crossings.
    pub fn lead(&self) -> f64 {
        let crossings: usize = self.kinds.iter().map(|kind| kind.crossings).sum();
        self.kinds.iter().map(|kind| kind.lead * kind.crossings as f64).sum::<f64>() / crossings as f64
    }

    /// In thirty days of one series.
    pub fn false_alarms(&self) -> f64 {
        let false_alarms: usize = self.kinds.iter().map(|kind| kind.false_alarms).sum();
        30.0 * false_alarms as f64 / self.kinds.iter().map(|kind| kind.days).sum::<f64>()
    }

    pub fn print(&self) {
        println!("forecast, horizon {HORIZON} min, rises of {RISES:?} min to the threshold\n");
        println!("| series | foreseen | lead of the possible | false alarms in 30 series-days |\n|---|---|---|---|");
        for kind in &self.kinds {
            let (lead, wrong) = (100.0 * kind.lead, 30.0 * kind.false_alarms as f64 / kind.days);
            println!("| {} | {} of {} | {lead:.0} % | {wrong:.2} |", kind.name, kind.foreseen, kind.crossings);
        }
        println!("| all | | {:.0} % | {:.2} |\n", 100.0 * self.lead(), self.false_alarms());
    }
}
