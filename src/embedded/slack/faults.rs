//! What goes wrong, and with which call: as a test has armed it, or as a seed draws it.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// What goes wrong with one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// The call takes effect, then the connection is closed.
    Drop,
    /// The call takes effect, then the answer is 500.
    Fail,
    /// The call takes effect, and no answer ever comes.
    Stall,
    /// The connection is closed; the call takes effect later.
    Late { delay_ms: i64 },
    /// The answer comes at once; what it tells of is there later. Of posts only, else as without a fault.
    Lag { delay_ms: i64 },
    /// The root that is rewritten or replied to is deleted just before.
    Orphan,
    /// No effect: 429.
    RateLimit { retry_after_s: i64 },
    /// No effect and no answer.
    Freeze,
    /// No effect: this error code.
    Refuse { code: String },
}

impl Fault {
    fn name(&self) -> &'static str {
        match self {
            Fault::Drop => "drop",
            Fault::Fail => "fail",
            Fault::Stall => "stall",
            Fault::Late { .. } => "late",
            Fault::Lag { .. } => "lag",
            Fault::Orphan => "orphan",
            Fault::RateLimit { .. } => "rate_limit",
            Fault::Freeze => "freeze",
            Fault::Refuse { .. } => "refuse",
        }
    }
}

#[derive(Debug, Default)]
pub struct Faults {
    armed: VecDeque<(String, u32, Fault)>,
    weather: Option<Weather>,
    met: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub fn arm(&mut self, method: String, times: u32, fault: Fault) {
        self.armed.push_back((method, times, fault));
    }

    pub fn weather(&mut self, seed: u64, per_mille: u32) {
        self.weather = (per_mille > 0).then_some(Weather { seed, per_mille: per_mille.into(), storm: 0 });
    }

    /// What was armed first, then the weather.
    pub fn next(&mut self, method: &str) -> Option<Fault> {
        let fault = self.next_armed(method).or_else(|| self.weather.as_mut()?.draw())?;
        *self.met.entry(fault.name()).or_default() += 1;
        Some(fault)
    }

    fn next_armed(&mut self, method: &str) -> Option<Fault> {
        let index = self.armed.iter().position(|(armed, ..)| armed == method)?;
        let (_, times, fault) = self.armed.get_mut(index)?;
        let fault = fault.clone();
        *times = times.saturating_sub(1);
        if *times == 0 {
            self.armed.remove(index);
        }
        Some(fault)
    }

    pub fn met(&self) -> &BTreeMap<&'static str, u64> {
        &self.met
    }
}

#[derive(Debug)]
struct Weather {
    seed: u64,
    per_mille: u64,
    /// So many calls more are refused: rate limits come in storms.
    storm: u64,
}

impl Weather {
    const RETRY_AFTER_S_MAX: u64 = 20;

    fn draw(&mut self) -> Option<Fault> {
        if self.storm > 0 {
            self.storm -= 1;
            return Some(self.rate_limit());
        }
        if self.below(1_000) >= self.per_mille {
            return None;
        }
        Some(match self.below(20) {
            0..3 => Fault::Drop,
            3..5 => Fault::Fail,
            5..7 => Fault::Stall,
            7..11 => Fault::Late { delay_ms: self.delay_ms() },
            11..12 => Fault::Lag { delay_ms: self.delay_ms() },
            12..14 => Fault::Orphan,
            14..16 => {
                self.storm = self.below(8);
                self.rate_limit()
            }
            16..18 => Fault::Freeze,
            18..19 => Fault::Refuse { code: "internal_error".to_owned() },
            _ => Fault::Refuse { code: "token_expired".to_owned() },
        })
    }

    fn rate_limit(&mut self) -> Fault {
        let seconds = 1 + self.below(Self::RETRY_AFTER_S_MAX);
        Fault::RateLimit { retry_after_s: i64::try_from(seconds).unwrap_or(1) }
    }

    /// Seconds or minutes.
    fn delay_ms(&mut self) -> i64 {
        let most = if self.below(2) == 0 { 500_000 } else { 9_000 };
        i64::try_from(1 + self.below(most)).unwrap_or(1)
    }

    /// splitmix64.
    fn below(&mut self, bound: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
