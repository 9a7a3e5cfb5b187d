//! The door: of all series that come only those pass that a trend rule selects; of the rest it is remembered that it does not.
//!
//! Invariants: what passes is a series by its canonical text, whatever the order of its labels. Each element that came is either kept
//! or counted under one [`Reason`]; of a series that no rule selects everything counts as not selected. What is remembered of a set of
//! labels is found by 128 bits of a hash whose keys chance gave to this process, so that nobody can make two sets meet; it takes at most
//! twice [`REMEMBERED_BYTES`], and the half that was not asked for longest is forgotten.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BYTES_MAX, ELEMENTS_MAX, LABELS_MAX, Label, Unreadable};
use crate::record::EventTime;
use crate::trend::select::Selector;
use crate::trend::series::Series;

/// Room for some 100,000 selected series, or three times as many others.
const REMEMBERED_BYTES: usize = 24 * 1024 * 1024;
/// Of a set of labels beside its text: key, choice, and the room that a table keeps free.
const ENTRY_BYTES: usize = 80;
/// How far a clock may go ahead of ours.
const AHEAD_MS: i64 = 10 * 60 * 1000;

/// Why an element that came is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    NotSelected,
    /// Before 1970, or more than ten minutes ahead.
    AbsurdTime,
    /// Two labels of one name, or nothing at all.
    NoSeries,
    SeriesTooLong,
    /// Native ones of Prometheus, exponential ones of OpenTelemetry.
    NativeHistogram,
    Exemplar,
    /// OpenTelemetry's: what happened since the last time, and not since the beginning.
    Delta,
    /// OpenTelemetry's: a point that has none, or buckets without bounds.
    NoValue,
    /// OpenTelemetry's: a list, a map or bytes, which no label can be.
    Attribute,
}

impl Reason {
    pub const ALL: [Reason; 9] = [
        Reason::NotSelected,
        Reason::AbsurdTime,
        Reason::NoSeries,
        Reason::SeriesTooLong,
        Reason::NativeHistogram,
        Reason::Exemplar,
        Reason::Delta,
        Reason::NoValue,
        Reason::Attribute,
    ];

    /// As the metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::NotSelected => "not_selected",
            Reason::AbsurdTime => "absurd_time",
            Reason::NoSeries => "no_series",
            Reason::SeriesTooLong => "series_too_long",
            Reason::NativeHistogram => "native_histogram",
            Reason::Exemplar => "exemplar",
            Reason::Delta => "delta",
            Reason::NoValue => "no_value",
            Reason::Attribute => "attribute",
        }
    }

    /// To whom sent it.
    pub fn words(self) -> &'static str {
        match self {
            Reason::NotSelected => "not selected by any trend rule",
            Reason::AbsurdTime => "before 1970 or more than ten minutes ahead of this server's clock",
            Reason::NoSeries => "without labels or with two of one name",
            Reason::SeriesTooLong => "of a series with more than 128 labels or 4096 bytes",
            Reason::NativeHistogram => "native or exponential histograms, which are not supported",
            Reason::Exemplar => "exemplars, which are not supported",
            Reason::Delta => {
                "of delta temporality; send cumulative ones (the collector's processor deltatocumulative makes them)"
            }
            Reason::NoValue => "without a value",
            Reason::Attribute => "with an attribute that is a list, a map or bytes",
        }
    }
}

/// What became of all that came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub received: u64,
    dropped: [u64; Reason::ALL.len()],
}

impl Counts {
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize]
    }

    pub fn of_each_reason(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().map(|reason| (reason, self.dropped(reason))).filter(|(_, count)| *count > 0)
    }

    /// In words, of these reasons only; empty if there are none.
    pub fn told(&self, of: &[Reason]) -> String {
        let told = self.of_each_reason().filter(|(reason, _)| of.contains(reason));
        told.map(|(reason, count)| format!("{count} {}", reason.words())).collect::<Vec<_>>().join("; ")
    }

    fn drop(&mut self, reason: Reason, count: usize) {
        self.dropped[reason as usize] += count as u64;
    }
}

/// A sample that passes.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub series: Arc<str>,
    pub at_ms: i64,
    pub value: f64,
}

/// What one request came to.
#[derive(Debug, Default)]
pub struct Sorted {
    pub kept: Vec<Kept>,
    pub counts: Counts,
    /// All that is held until it is stored.
    pub bytes: usize,
}

/// What is said of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    Wanted(Arc<str>),
    Dropped(Reason),
}

#[derive(Debug)]
pub struct Door {
    selectors: Vec<Selector>,
    keys: [RandomState; 2],
    remembered: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    young: HashMap<u128, Choice>,
    old: HashMap<u128, Choice>,
    young_bytes: usize,
}

impl Door {
    pub fn new(selectors: Vec<Selector>) -> Self {
        Self { selectors, keys: [RandomState::new(), RandomState::new()], remembered: Mutex::default() }
    }

    /// For one request, received at `now`.
    pub fn sort(&self, now: EventTime) -> Sorting<'_> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        Sorting { door: self, remembered, now, sorted: Sorted::default() }
    }

    fn key(&self, labels: &[Label<'_>]) -> u128 {
        let half = |keys: &RandomState| {
            let mut hasher = keys.build_hasher();
            for text in labels.iter().flat_map(|(name, value)| [name, value]) {
                hasher.write_usize(text.len());
                hasher.write(text.as_bytes());
            }
            u128::from(hasher.finish())
        };
        half(&self.keys[0]) << 64 | half(&self.keys[1])
    }

    fn choose(&self, labels: &[Label<'_>]) -> Choice {
        if labels.len() > LABELS_MAX {
            return Choice::Dropped(Reason::SeriesTooLong);
        }
        let Ok(series) = Series::of(labels.iter().map(|(name, value)| ((&**name).into(), (&**value).into()))) else {
            return Choice::Dropped(Reason::NoSeries);
        };
        choose(&self.selectors, &series)
    }
}

/// Whether a rule selects it.
pub fn choose(selectors: &[Selector], series: &Series<'_>) -> Choice {
    if !selectors.iter().any(|selector| selector.matches(series)) {
        return Choice::Dropped(Reason::NotSelected);
    }
    let text = series.to_string();
    if text.len() > BYTES_MAX { Choice::Dropped(Reason::SeriesTooLong) } else { Choice::Wanted(text.into()) }
}

impl Remembered {
    fn recall(&mut self, key: u128) -> Option<Choice> {
        if let Some(choice) = self.young.get(&key) {
            return Some(choice.clone());
        }
        let choice = self.old.remove(&key)?;
        self.learn(key, choice.clone());
        Some(choice)
    }

    fn learn(&mut self, key: u128, choice: Choice) {
        let bytes = ENTRY_BYTES + if let Choice::Wanted(text) = &choice { text.len() + 16 } else { 0 };
        if self.young_bytes + bytes > REMEMBERED_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(key, choice);
    }
}

/// A request on its way through the door, which is held for as long: nothing waits in between.
pub struct Sorting<'d> {
    door: &'d Door,
    remembered: MutexGuard<'d, Remembered>,
    now: EventTime,
    sorted: Sorted,
}

impl Sorting<'_> {
    pub fn series(&mut self, labels: &[Label<'_>]) -> Choice {
        let key = self.door.key(labels);
        if let Some(choice) = self.remembered.recall(key) {
            return choice;
        }
        let choice = self.door.choose(labels);
        self.remembered.learn(key, choice.clone());
        choice
    }

    pub fn sample(&mut self, of: &Choice, at_ms: i64, value: f64) -> Result<(), Unreadable> {
        let series = match of {
            Choice::Wanted(_) if is_absurd(at_ms, self.now) => return self.drop(Reason::AbsurdTime, 1),
            Choice::Wanted(series) => series,
            Choice::Dropped(reason) => return self.drop(*reason, 1),
        };
        self.receive(1)?;
        // As if no two samples were of one series: what is held is never more.
        self.sorted.bytes += size_of::<Kept>() + series.len();
        self.sorted.kept.push(Kept { series: series.clone(), at_ms, value });
        Ok(())
    }

    /// Elements that would not be kept of any series.
    pub fn unsupported(&mut self, of: &Choice, reason: Reason, count: usize) -> Result<(), Unreadable> {
        let reason = if let Choice::Dropped(reason) = of { *reason } else { reason };
        self.drop(reason, count)
    }

    /// So far.
    pub fn kept(&self) -> usize {
        self.sorted.kept.len()
    }

    pub fn end(self) -> Sorted {
        self.sorted
    }

    fn drop(&mut self, reason: Reason, count: usize) -> Result<(), Unreadable> {
        self.receive(count)?;
        self.sorted.counts.drop(reason, count);
        Ok(())
    }

    fn receive(&mut self, count: usize) -> Result<(), Unreadable> {
        self.sorted.counts.received += count as u64;
        if self.sorted.counts.received > ELEMENTS_MAX as u64 { Err(Unreadable::TooMany) } else { Ok(()) }
    }
}

/// A sender's mistake, often seconds taken for milliseconds, or a clock that is wrong: no detector could make sense of it.
pub fn is_absurd(at_ms: i64, now: EventTime) -> bool {
    at_ms <= 0 || at_ms > now.0.saturating_add(AHEAD_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Text;

    const NOW: EventTime = EventTime(1_795_424_400_000);

    fn door(selectors: &[&str]) -> Door {
        Door::new(selectors.iter().map(|told| Selector::parse(told).unwrap()).collect())
    }

    fn labels(pairs: &[(&'static str, &'static str)]) -> Vec<Label<'static>> {
        pairs.iter().map(|(name, value)| (Text::from(*name), Text::from(*value))).collect()
    }

    #[test]
    fn what_a_rule_selects_passes_by_one_text_and_the_rest_is_counted() {
        let door = door(&["up{job=\"a\"}", "errors"]);
        for _again in 0..2 {
            let mut sorting = door.sort(NOW);
            let wanted = sorting.series(&labels(&[("job", "a"), ("__name__", "up")]));
            let other_order = sorting.series(&labels(&[("__name__", "up"), ("job", "a"), ("zone", "")]));
            assert_eq!(wanted, other_order);
            let unwanted = sorting.series(&labels(&[("__name__", "up"), ("job", "b")]));
            let none = sorting.series(&labels(&[("__name__", "errors"), ("a", "1"), ("a", "2")]));
            sorting.sample(&wanted, NOW.0, 1.0).unwrap();
            sorting.sample(&wanted, NOW.0 + AHEAD_MS, f64::from_bits(crate::trend::intake::STALE)).unwrap();
            sorting.sample(&wanted, NOW.0 + AHEAD_MS + 1, 1.0).unwrap();
            sorting.sample(&wanted, 0, 1.0).unwrap();
            sorting.sample(&unwanted, 0, 1.0).unwrap();
            sorting.sample(&none, NOW.0, 1.0).unwrap();
            sorting.unsupported(&wanted, Reason::Exemplar, 3).unwrap();
            sorting.unsupported(&unwanted, Reason::Exemplar, 5).unwrap();
            let Sorted { kept, counts, .. } = sorting.end();
            let told: Vec<_> = kept.iter().map(|kept| (&*kept.series, kept.at_ms, kept.value.to_bits())).collect();
            let stale = (r#"up{job="a"}"#, NOW.0 + AHEAD_MS, 0x7ff0_0000_0000_0002);
            assert_eq!(told, [(r#"up{job="a"}"#, NOW.0, 1.0_f64.to_bits()), stale]);
            let dropped: Vec<_> = counts.of_each_reason().collect();
            let expected =
                [(Reason::NotSelected, 6), (Reason::AbsurdTime, 2), (Reason::NoSeries, 1), (Reason::Exemplar, 3)];
            assert_eq!((dropped.as_slice(), counts.received), (&expected[..], 14));
            assert!(counts.told(&[Reason::Exemplar, Reason::Delta]).starts_with("3 exemplars"));
        }
    }

    #[test]
    fn a_series_beyond_the_bounds_is_dropped_and_a_request_beyond_them_is_unreadable() {
        let door = door(&["up"]);
        let mut sorting = door.sort(NOW);
        let long = [labels(&[("__name__", "up")]), vec![("a".into(), "x".repeat(BYTES_MAX).into())]].concat();
        assert_eq!(sorting.series(&long), Choice::Dropped(Reason::SeriesTooLong));
        let many: Vec<_> = (0..=LABELS_MAX).map(|n| (Text::from(format!("l{n}")), Text::from("x"))).collect();
        assert_eq!(sorting.series(&many), Choice::Dropped(Reason::SeriesTooLong));
        let up = sorting.series(&labels(&[("__name__", "up")]));
        assert!(sorting.unsupported(&up, Reason::NativeHistogram, ELEMENTS_MAX).is_ok());
        assert_eq!(sorting.sample(&up, NOW.0, 1.0), Err(Unreadable::TooMany));
    }

    #[test]
    fn what_is_remembered_stays_within_its_bytes_and_what_is_asked_for_stays() {
        let mut remembered = Remembered::default();
        let text: Arc<str> = "x".repeat(1000).into();
        for key in 0..100_000 {
            remembered.learn(key, Choice::Wanted(text.clone()));
            assert_eq!(remembered.recall(0), Some(Choice::Wanted(text.clone())));
            assert!(
                remembered.young.len() * 1000 <= REMEMBERED_BYTES && remembered.old.len() * 1000 <= REMEMBERED_BYTES
            );
        }
        assert!(remembered.recall(1).is_none());
    }
}
