//! The door of a series: which of its samples a detector ever sees.
//!
//! Prometheus' stale marker, what is no number, what is infinite or beyond [`LARGEST`], and what is not later than the sample before
//! it are dropped, each with its name. A counter becomes its rate; one that fell was started anew from zero.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Sample;
use crate::record::EventTime;

/// Sums and differences of values below stay finite.
pub const LARGEST: f64 = 1e100;
/// The NaN that Prometheus writes where a series ends.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;
/// Times beyond the year 9999 either way are nobody's.
const LATEST_MS: i64 = 253_402_300_800_000;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Intake {
    /// Of a gauge only its time counts.
    last: Option<Sample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dropped {
    Stale,
    NotANumber,
    TooLarge,
    /// Not later than the sample before.
    Late,
    /// A rate needs two samples.
    FirstOfCounter,
}

impl Dropped {
    /// As metrics spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::NotANumber => "not_a_number",
            Self::TooLarge => "too_large",
            Self::Late => "late",
            Self::FirstOfCounter => "first_of_counter",
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stale => "stale markers",
            Self::NotANumber => "not a number",
            Self::TooLarge => "infinite or too large",
            Self::Late => "not later than the sample before",
            Self::FirstOfCounter => "a rate needs two samples",
        })
    }
}

impl Intake {
    pub fn take(&mut self, sample: Sample, counter: bool) -> Result<Sample, Dropped> {
        let Sample { at, value } = sample;
        if value.to_bits() == STALE {
            return Err(Dropped::Stale);
        }
        if value.is_nan() {
            return Err(Dropped::NotANumber);
        }
        if value.abs() > LARGEST || !(-LATEST_MS..=LATEST_MS).contains(&at.0) {
            return Err(Dropped::TooLarge);
        }
        let before = self.last;
        if before.is_some_and(|before| at <= before.at) {
            return Err(Dropped::Late);
        }
        self.last = Some(sample);
        if !counter {
            return Ok(sample);
        }
        let before = before.ok_or(Dropped::FirstOfCounter)?;
        let grown = if value < before.value { value } else { value - before.value };
        Ok(Sample { at, value: grown * 1000.0 / at.since_ms(before.at) as f64 })
    }

    pub fn last_at(&self) -> Option<EventTime> {
        self.last.map(|sample| sample.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(counter: bool, samples: &[(i64, f64)]) -> Vec<Result<f64, Dropped>> {
        let mut intake = Intake::default();
        let take = |(at, value): &(i64, f64)| intake.take(Sample { at: EventTime(*at), value: *value }, counter);
        samples.iter().map(take).map(|taken| taken.map(|sample| sample.value)).collect()
    }

    #[test]
    fn what_is_no_measurement_is_dropped_by_its_name() {
        let stale = f64::from_bits(STALE);
        let told = [
            (10, 1.0),
            (20, stale),
            (20, f64::NAN),
            (20, f64::INFINITY),
            (20, -1e101),
            (i64::MAX, 1.0),
            (10, 2.0),
            (9, 2.0),
            (20, 3.0),
        ];
        use Dropped::{Late, NotANumber, Stale, TooLarge};
        assert_eq!(
            taken(false, &told),
            [
                Ok(1.0),
                Err(Stale),
                Err(NotANumber),
                Err(TooLarge),
                Err(TooLarge),
                Err(TooLarge),
                Err(Late),
                Err(Late),
                Ok(3.0)
            ]
        );
    }

    #[test]
    fn a_counter_is_a_rate_also_over_a_reset_and_a_gap() {
        let told = [(0, 100.0), (1000, 110.0), (2000, 4.0), (12_000, 24.0)];
        assert_eq!(taken(true, &told), [Err(Dropped::FirstOfCounter), Ok(10.0), Ok(4.0), Ok(2.0)]);
    }
}
