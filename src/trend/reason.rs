//! Why a detector says what it says, in numbers and in words.

use std::fmt;

/// Small and without text, so that a sample costs no allocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    Nothing,
    /// `in_ms` of 0: it is beyond already.
    Crosses {
        value: f64,
        threshold: f64,
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

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Nothing => f.write_str("nothing"),
            Self::Crosses { value, threshold, in_ms: 0 } => {
                write!(f, "{} is beyond {}", Short(value), Short(threshold))
            }
            Self::Crosses { value, threshold, in_ms } => {
                write!(f, "{} now, crosses {} in about {}", Short(value), Short(threshold), Span(in_ms))
            }
            Self::Moves { from, to, in_ms } => write!(f, "{} -> {} in {}", Short(from), Short(to), Span(in_ms)),
            Self::Shifted { from, to } => write!(f, "level {} -> {}", Short(from), Short(to)),
            Self::OtherThanThen { value, then, weekly } => {
                let when = if weekly { "last week" } else { "yesterday" };
                write!(f, "{}, about {} at this time {when}", Short(value), Short(then))
            }
            Self::OffBaseline { value, baseline } => {
                write!(f, "{}, its own baseline is {}", Short(value), Short(baseline))
            }
            Self::Absent { for_ms } => write!(f, "nothing told for {}", Span(for_ms)),
            Self::Unusual { what, value, low, high } => {
                write!(f, "{what} {}, was {} to {} until now", Short(value), Short(low), Short(high))
            }
        }
    }
}

/// Four digits that count.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        match self.0 {
            whole if whole == whole.trunc() && size < 1e6 => write!(f, "{whole}"),
            large if !(1e-3..1e6).contains(&size) => write!(f, "{large:.3e}"),
            value if size >= 100.0 => write!(f, "{value:.0}"),
            value if size >= 1.0 => write!(f, "{value:.2}"),
            value => write!(f, "{value:.4}"),
        }
    }
}

struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        match seconds {
            0..120 => write!(f, "{seconds} s"),
            120..7_200 => write!(f, "{} min", seconds / 60),
            7_200..172_800 => write!(f, "{:.1} h", seconds as f64 / 3600.0),
            _ => write!(f, "{:.1} d", seconds as f64 / 86_400.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_sentences() {
        let said = |reason: Reason| reason.to_string();
        assert_eq!(
            said(Reason::Crosses { value: 7.41, threshold: 10.0, in_ms: 540_000 }),
            "7.41 now, crosses 10 in about 9 min"
        );
        assert_eq!(said(Reason::Crosses { value: 11.0, threshold: 10.0, in_ms: 0 }), "11 is beyond 10");
        assert_eq!(said(Reason::Moves { from: 0.0213, to: 0.074, in_ms: 1_200_000 }), "0.0213 -> 0.0740 in 20 min");
        assert_eq!(said(Reason::Absent { for_ms: 10_800_000 }), "nothing told for 3.0 h");
        assert_eq!(
            said(Reason::Unusual { what: "value", value: 1.5e9, low: -123.4, high: 2.0 }),
            "value 1.500e9, was -123 to 2 until now"
        );
    }
}
