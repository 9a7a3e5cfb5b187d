//! Why a detector says what it says, in numbers and in words: `2.1 % -> 7.4 % in 20 min, crosses 10 % in about 9 min`.
//!
//! Every number stands in the unit of its series, with as many digits as people compare. Not here: which alert says it, and how it is
//! escaped for where it is shown: a name may be anybody's text.

use std::fmt;

use serde::Deserialize;

/// Small and without text, so that a sample costs no allocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    Nothing,
    Crosses {
        /// Where the line through the last while began, and how long ago; `over_ms` of 0: there is no such line.
        from: f64,
        over_ms: i64,
        value: f64,
        threshold: f64,
        /// 0: it is beyond already.
        in_ms: i64,
    },
    Moves {
        from: f64,
        to: f64,
        in_ms: i64,
    },
    Shifted {
        from: f64,
        to: f64,
    },
    OtherThanThen {
        value: f64,
        then: f64,
        weekly: bool,
    },
    OffBaseline {
        value: f64,
        baseline: f64,
    },
    Absent {
        for_ms: i64,
    },
    Unusual {
        what: &'static str,
        value: f64,
        low: f64,
        high: f64,
    },
}

/// What the numbers of a series are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    #[default]
    None,
    /// From 0 to 100.
    Percent,
    /// From 0 to 1, told in percent.
    Ratio,
    Seconds,
    Milliseconds,
    Bytes,
}

impl Unit {
    /// What a metric's name says of it, by the custom of Prometheus.
    pub fn of_metric(metric: &str) -> Self {
        let ends = |with: &str| metric.trim_end_matches("_total").ends_with(with);
        let units = [
            ("_percent", Self::Percent),
            ("_ratio", Self::Ratio),
            ("_milliseconds", Self::Milliseconds),
            ("_seconds", Self::Seconds),
            ("_bytes", Self::Bytes),
        ];
        units.iter().find(|(suffix, _)| ends(suffix)).map_or(Self::None, |(_, unit)| *unit)
    }
}

/// A metric's name as people say it: without what its unit says already.
pub fn readable(metric: &str, unit: Unit) -> String {
    let name = metric.trim_end_matches("_total");
    let suffix = match unit {
        Unit::Percent => "_percent",
        Unit::Milliseconds => "_milliseconds",
        Unit::Seconds => "_seconds",
        Unit::Bytes => "_bytes",
        // A ratio is something; seconds are not.
        Unit::Ratio | Unit::None => "",
    };
    let name = name.strip_suffix(suffix).unwrap_or(name);
    let words: Vec<&str> = name.split(['_', '.', ':', '-', ' ']).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { metric.to_owned() } else { words.join(" ") }
}

impl Reason {
    /// A rate is that of a counter, a second.
    pub fn told(&self, unit: Unit, rate: bool) -> impl fmt::Display {
        Told { reason: *self, unit, rate }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.told(Unit::None, false).fmt(f)
    }
}

struct Told {
    reason: Reason,
    unit: Unit,
    rate: bool,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = |value| Number { value, unit: self.unit, rate: self.rate };
        match self.reason {
            Reason::Nothing => f.write_str("nothing"),
            Reason::Crosses { from, over_ms, value, threshold, in_ms } => {
                match (over_ms, in_ms) {
                    (0, 0) => return write!(f, "{} is beyond {}", n(value), n(threshold)),
                    (0, _) => write!(f, "{} now", n(value))?,
                    _ => write!(f, "{} -> {} in {}", n(from), n(value), Span(over_ms))?,
                }
                match in_ms {
                    0 => write!(f, ", is beyond {}", n(threshold)),
                    _ => write!(f, ", crosses {} in about {}", n(threshold), Span(in_ms)),
                }
            }
            Reason::Moves { from, to, in_ms } => write!(f, "{} -> {} in {}", n(from), n(to), Span(in_ms)),
            Reason::Shifted { from, to } => write!(f, "on another level: {} -> {}", n(from), n(to)),
            Reason::OtherThanThen { value, then, weekly } => {
                let when = if weekly { "last week" } else { "yesterday" };
                write!(f, "{}, about {} at this time {when}", n(value), n(then))
            }
            Reason::OffBaseline { value, baseline } => {
                write!(f, "{}, its own baseline is {}", n(value), n(baseline))
            }
            Reason::Absent { for_ms } => write!(f, "not told for {}", Span(for_ms)),
            Reason::Unusual { what, value, low, high } => {
                write!(f, "unusual: {what} {}, was {} to {} until now", n(value), n(low), n(high))
            }
        }
    }
}

struct Number {
    value: f64,
    unit: Unit,
    rate: bool,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, .. } = *self;
        match self.unit {
            Unit::None => f.write_str(&digits(value))?,
            Unit::Percent => write!(f, "{} %", part(value))?,
            Unit::Ratio => write!(f, "{} %", part(value * 100.0))?,
            Unit::Seconds => scaled(f, value, &SECONDS)?,
            Unit::Milliseconds => scaled(f, value / 1000.0, &SECONDS)?,
            Unit::Bytes => scaled(f, value, &BYTES)?,
        }
        if self.rate { f.write_str("/s") } else { Ok(()) }
    }
}

/// The largest first, and the unit itself last.
const SECONDS: [(f64, &str); 6] =
    [(172_800.0, "d"), (7_200.0, "h"), (120.0, "min"), (1.0, "s"), (1e-3, "ms"), (0.0, "µs")];
const BYTES: [(f64, &str); 5] =
    [(1_099_511_627_776.0, "TiB"), (1_073_741_824.0, "GiB"), (1_048_576.0, "MiB"), (1_024.0, "KiB"), (0.0, "B")];

/// In the first unit of which there is one at least.
fn scaled(f: &mut fmt::Formatter<'_>, value: f64, units: &[(f64, &'static str)]) -> fmt::Result {
    let found = units.iter().find(|(from, _)| value.abs() >= *from).map_or("", |(_, name)| *name);
    let size = match found {
        "d" => 86_400.0,
        "h" => 3_600.0,
        "min" => 60.0,
        "µs" if value != 0.0 => 1e-6,
        "µs" => return f.write_str("0 s"),
        "ms" => 1e-3,
        "B" | "s" | "" => 1.0,
        _ => units.iter().find(|(_, name)| *name == found).map_or(1.0, |(from, _)| *from),
    };
    write!(f, "{} {found}", digits(value / size))
}

/// Three digits that count, and whole numbers whole.
fn digits(value: f64) -> String {
    let size = value.abs();
    match value {
        whole if whole == whole.trunc() && size < 1e6 => format!("{}", whole + 0.0),
        far if !(1e-3..1e6).contains(&size) => format!("{far:.3e}"),
        value if size >= 100.0 => format!("{value:.0}"),
        value if size >= 1.0 => trimmed(format!("{value:.2}")),
        value => trimmed(format!("{value:.4}")),
    }
}

/// Of a hundred: a tenth is what people compare, and the near ends are told finer.
fn part(value: f64) -> String {
    let from_an_end = value.abs().min((100.0 - value).abs());
    match value {
        value if value.abs() >= 1e6 => digits(value),
        value if from_an_end >= 1.0 => trimmed(format!("{value:.1}")),
        value if from_an_end >= 0.01 || value == value.trunc() => trimmed(format!("{value:.2}")),
        value => digits(value),
    }
}

/// Without zeros that say nothing.
fn trimmed(decimal: String) -> String {
    if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.').to_owned() } else { decimal }
}

struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let tenths = |of: f64| trimmed(format!("{:.1}", seconds as f64 / of));
        match seconds {
            ..120 => write!(f, "{seconds} s"),
            120..7_200 => write!(f, "{} min", seconds / 60),
            7_200..172_800 => write!(f, "{} h", tenths(3600.0)),
            _ => write!(f, "{} d", tenths(86_400.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_sentences() {
        let crosses =
            Reason::Crosses { from: 0.0213, over_ms: 1_200_000, value: 0.074, threshold: 0.1, in_ms: 540_000 };
        assert_eq!(
            crosses.told(Unit::Ratio, false).to_string(),
            "2.1 % -> 7.4 % in 20 min, crosses 10 % in about 9 min"
        );
        let beyond = |from, over_ms| Reason::Crosses { from, over_ms, value: 11.0, threshold: 10.0, in_ms: 0 };
        assert_eq!(beyond(11.0, 0).to_string(), "11 is beyond 10");
        assert_eq!(beyond(2.0, 90_000).to_string(), "2 -> 11 in 90 s, is beyond 10");
        let said = |reason: Reason| reason.to_string();
        assert_eq!(said(Reason::Moves { from: 0.0213, to: 0.074, in_ms: 1_200_000 }), "0.0213 -> 0.074 in 20 min");
        assert_eq!(said(Reason::Absent { for_ms: 10_800_000 }), "not told for 3 h");
        assert_eq!(said(Reason::Shifted { from: 1.0, to: 2.5 }), "on another level: 1 -> 2.5");
        assert_eq!(
            said(Reason::Unusual { what: "value", value: 1.5e9, low: -123.4, high: 2.0 }),
            "unusual: value 1.500e9, was -123 to 2 until now"
        );
    }

    #[test]
    fn numbers_stand_in_the_unit_of_their_series() {
        let told = |unit, value, rate| Number { value, unit, rate }.to_string();
        let all = |unit, values: &[f64]| values.iter().map(|value| told(unit, *value, false)).collect::<Vec<_>>();
        assert_eq!(
            all(Unit::None, &[0.0, -0.0, 7.0, 7.414, 1234.5, 0.00123, 2e7]),
            ["0", "0", "7", "7.41", "1234", "0.0012", "2.000e7"]
        );
        assert_eq!(
            all(Unit::Percent, &[10.0, 7.41, 0.04, 99.95, 100.0, 0.0, 250.0]),
            ["10 %", "7.4 %", "0.04 %", "99.95 %", "100 %", "0 %", "250 %"]
        );
        assert_eq!(all(Unit::Ratio, &[0.1, 0.0213, 0.999, 1.5]), ["10 %", "2.1 %", "99.9 %", "150 %"]);
        assert_eq!(
            all(Unit::Seconds, &[0.25, 1.5, 0.0, 3e-5, 90.0, 600.0, 9000.0, -2.0]),
            ["250 ms", "1.5 s", "0 s", "30 µs", "90 s", "10 min", "2.5 h", "-2 s"]
        );
        assert_eq!(all(Unit::Milliseconds, &[250.0, 1500.0]), ["250 ms", "1.5 s"]);
        assert_eq!(all(Unit::Bytes, &[0.0, 512.0, 1536.0, 1.5e10]), ["0 B", "512 B", "1.5 KiB", "13.97 GiB"]);
        assert_eq!((told(Unit::None, 12.0, true), told(Unit::Bytes, 2048.0, true)), ("12/s".into(), "2 KiB/s".into()));
    }

    #[test]
    fn names_are_made_readable_and_say_their_unit() {
        let told = |metric: &str| (readable(metric, Unit::of_metric(metric)), Unit::of_metric(metric));
        assert_eq!(told("http_errors_ratio"), ("http errors ratio".into(), Unit::Ratio));
        assert_eq!(told("process_resident_memory_bytes"), ("process resident memory".into(), Unit::Bytes));
        assert_eq!(told("node_network_receive_bytes_total"), ("node network receive".into(), Unit::Bytes));
        assert_eq!(told("job:latency.p99_seconds"), ("job latency p99".into(), Unit::Seconds));
        assert_eq!(told("http_requests_total"), ("http requests".into(), Unit::None));
        assert_eq!(told("___"), ("___".into(), Unit::None));
    }
}
