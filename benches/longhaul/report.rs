//! What a run did and what the proof says of it, as a table for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use fairlead::verify;
use serde::Serialize;

use crate::harness::load::Sent;
use crate::memory::{Sample, slope};
use crate::plan::Kind;

#[derive(Serialize)]
pub struct Report {
    pub seed: u64,
    pub minutes: f64,
    pub disturbances: BTreeMap<Kind, Tally>,
    /// Alerts, deploys and rubbish.
    pub records_in: u64,
    /// Snapshots on their topic.
    pub incidents_out: u64,
    pub lost: u64,
    pub doubled: u64,
    pub out_of_order: u64,
    /// Of bytes, states, and the model.
    pub other_differences: u64,
    pub memory: Memory,
}

#[derive(Default, Serialize)]
pub struct Tally {
    pub times: u64,
    /// The longest from the end of a disturbance until all that had been sent was committed.
    pub slowest_seconds: f64,
}

/// Of member A, which never ends, but is paused, rebalanced and given wrong clocks like the others.
#[derive(Serialize)]
pub struct Memory {
    pub measured_minutes: f64,
    pub slope_kib_per_minute: f64,
    pub slope_kib_per_minute_max: f64,
    pub peak_kib: f64,
}

/// What `engine.memory_bytes_max` grants the stores here (`tests/it/harness/site.rs`): so much may fill up after the start, and no more.
/// In half an hour at a hundred records a second, who keeps 140 bytes of each is found out.
const RISE_KIB_MAX: f64 = 16.0 * 1_024.0;
/// In less time the caches are not full, and the line says nothing of what comes after: it is printed, not judged.
const JUDGED_MINUTES_MIN: f64 = 10.0;

impl Memory {
    /// Over the last two thirds of the time: a process is not warm before.
    pub fn of(samples: &[Sample], peak_kib: f64) -> Self {
        let measured = &samples[samples.len() / 3..];
        let minutes = measured.last().map_or(0.0, |last| last.0) - measured.first().map_or(0.0, |first| first.0);
        Self {
            measured_minutes: minutes,
            slope_kib_per_minute: slope(measured),
            slope_kib_per_minute_max: RISE_KIB_MAX / minutes.max(1.0),
            peak_kib,
        }
    }

    fn is_judged(&self) -> bool {
        self.measured_minutes >= JUDGED_MINUTES_MIN
    }

    fn is_flat(&self) -> bool {
        !self.is_judged() || self.slope_kib_per_minute <= self.slope_kib_per_minute_max
    }
}

impl Report {
    pub fn new(
        (seed, minutes): (u64, f64),
        disturbances: BTreeMap<Kind, Tally>,
        sent: Sent,
        proof: &verify::Report,
        memory: Memory,
    ) -> Self {
        let model = proof.model.clone().unwrap_or_default();
        let records_in = sent.alerts + sent.deploys + sent.rubbish;
        // What never came to a topic no commit can miss.
        let unseen = records_in.saturating_sub(model.alerts + model.deploys + model.rubbish);
        // Of order the proof keeps the words of the first differences only; that there are others is counted all the same.
        let out_of_order = proof.differences.iter().filter(|one| one.kind == verify::Kind::Order).count() as u64;
        let (lost, doubled) = (proof.inputs_lost + proof.outputs_lost, proof.inputs_doubled + proof.outputs_doubled);
        Self {
            seed,
            minutes,
            disturbances,
            records_in,
            incidents_out: model.snapshots,
            lost: lost + unseen,
            doubled,
            out_of_order,
            other_differences: proof.differences_total.saturating_sub(lost + doubled + out_of_order),
            memory,
        }
    }

    pub fn is_sound(&self) -> bool {
        let wrong = [self.lost, self.doubled, self.out_of_order, self.other_differences];
        wrong == [0; 4] && self.memory.is_flat()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:24}{:>8}{:>24}", "disturbance", "times", "slowest recovery, s")?;
        for (kind, Tally { times, slowest_seconds }) in &self.disturbances {
            writeln!(f, "{:24}{times:>8}{slowest_seconds:>24.1}", kind.words())?;
        }
        let Memory { measured_minutes, slope_kib_per_minute, slope_kib_per_minute_max, peak_kib } = &self.memory;
        writeln!(f)?;
        writeln!(f, "{:24}{:>8}", "records in", self.records_in)?;
        writeln!(f, "{:24}{:>8}", "incidents out", self.incidents_out)?;
        writeln!(f, "{:24}{:>8}", "lost", self.lost)?;
        writeln!(f, "{:24}{:>8}", "doubled", self.doubled)?;
        writeln!(f, "{:24}{:>8}", "out of order", self.out_of_order)?;
        writeln!(f, "{:24}{:>8}", "other differences", self.other_differences)?;
        writeln!(
            f,
            "{:24}{slope_kib_per_minute:>8.0} KiB/min over {measured_minutes:.1} min, {}",
            "memory of a",
            match self.memory.is_judged() {
                true => format!("at most {slope_kib_per_minute_max:.0}"),
                false => "too short to be judged".to_owned(),
            }
        )?;
        write!(f, "{:24}{:>8.0} MiB", "its peak", peak_kib / 1_024.0)
    }
}
