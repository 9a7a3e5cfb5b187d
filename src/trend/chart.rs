//! What a series did lately as a picture would show it, and the short text that is all of it: `01c0ff00…`.
//!
//! A picture of a trend is stored nowhere: its data lies in its link, so the same detection has the same link on every replay, and the
//! link works for as long as anybody draws charts. Always: at most [`COLUMNS`] columns, each a level of one byte in one range, which covers
//! them all, and a threshold as long as the columns stay readable beside it; one chart has one text, and [`Chart::parse`] takes no other.
//! There is no word and no number in a chart: whoever makes up a link can show a line, and nothing else, so a link needs no signature. Not
//! here: drawing (`picture`), and what the levels are in the unit of the series, which the words of a reason tell.

use super::intake::LARGEST;
use super::spark::{COLUMNS, is_flat};

/// Of the texts; what another version has written is refused.
const VERSION: u8 = 1;
/// In a text where there is no level.
const NOTHING: u8 = u8::MAX;
/// The highest level; the lowest is 0.
pub const TOP: u8 = 254;
const MIDDLE: u8 = TOP / 2;
/// The range grows for a threshold until the columns fill but this part of it. A forecast needs an eighth of its horizon at least, so what
/// it has seen fills a ninth where all before was flat.
const READABLE: f64 = 0.1;
/// Where the threshold is too far, they fill this part, so that one sees at least where a forecast leads.
const LEADING: f64 = 0.5;
/// How finely it is told how far ahead a forecast looks: parts of a column.
pub const PARTS: u8 = 8;
const AHEAD_MAX: u8 = COLUMNS as u8 * PARTS;
/// Version, threshold, and the two of a forecast stand before the columns.
const HEAD: usize = 4;
/// Of a text.
pub const CHARS_MAX: usize = 2 * (HEAD + COLUMNS);

/// Of a link, around the text.
pub const FOLDER: &str = "/charts/";
pub const SUFFIX: &str = ".png";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// One at least is there.
    columns: Vec<Option<u8>>,
    threshold: Option<u8>,
    /// Only behind a column that is there.
    forecast: Option<Forecast>,
}

/// Where the line from the last column leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    pub level: u8,
    /// From the last column on, in parts of a column: 1 to 192.
    pub ahead: u8,
}

impl Chart {
    /// `ahead`: in how many columns a forecast sees it reach the threshold. `None` if there is no average.
    pub fn of(averages: &[Option<f32>], threshold: Option<f64>, ahead: Option<f64>) -> Option<Self> {
        let averages = &averages[averages.len().saturating_sub(COLUMNS)..];
        let known = || averages.iter().flatten().map(|average| f64::from(*average)).filter(|one| one.is_finite());
        let (low, high) = (known().reduce(f64::min)?, known().reduce(f64::max)?);
        let threshold = threshold.filter(|threshold| threshold.abs() <= LARGEST);
        let reach = |part: f64| if is_flat(low, high) { f64::INFINITY } else { (high - low) / part };
        let shown = threshold.filter(|threshold| threshold.max(high) - threshold.min(low) <= reach(READABLE));
        let last = averages.last().copied().flatten().map(f64::from).filter(|last| last.is_finite());
        let leads = match (last, threshold, ahead) {
            (Some(last), Some(threshold), Some(columns)) if columns > 0.0 && columns.is_finite() => {
                let edge = threshold.clamp(high - reach(LEADING), low + reach(LEADING));
                let end = if shown.is_some() { threshold } else { edge };
                cut(last, threshold, end, columns)
            }
            _ => None,
        };
        let whole = shown.into_iter().chain(leads.map(|(end, _)| end));
        let (low, high) = whole.fold((low, high), |(low, high), one| (low.min(one), high.max(one)));
        let level = |value: f64| match is_flat(low, high) {
            true => MIDDLE,
            false => ((value - low) / (high - low) * f64::from(TOP) + 0.5) as u8,
        };
        let of_average = |average: &Option<f32>| average.map(f64::from).filter(|one| one.is_finite()).map(level);
        let forecast = leads.map(|(end, columns)| {
            let ahead = (columns * f64::from(PARTS) + 0.5) as u8;
            Forecast { level: level(end), ahead: ahead.clamp(1, AHEAD_MAX) }
        });
        Some(Self { columns: averages.iter().map(of_average).collect(), threshold: shown.map(level), forecast })
    }

    /// The oldest first; `None` is a gap.
    pub fn columns(&self) -> &[Option<u8>] {
        &self.columns
    }

    pub fn threshold(&self) -> Option<u8> {
        self.threshold
    }

    pub fn forecast(&self) -> Option<Forecast> {
        self.forecast
    }

    /// At most [`CHARS_MAX`] lower-case hexadecimal digits.
    pub fn to_text(&self) -> String {
        let (level, ahead) = self.forecast.map_or((NOTHING, 0), |forecast| (forecast.level, forecast.ahead));
        let head = [VERSION, self.threshold.unwrap_or(NOTHING), level, ahead];
        let columns = self.columns.iter().map(|column| column.unwrap_or(NOTHING));
        hex::encode(head.into_iter().chain(columns).collect::<Vec<_>>())
    }

    /// Where its picture is to be had, for as long as somebody draws at this address.
    pub fn link(&self, base: &str) -> String {
        format!("{}{FOLDER}{}{SUFFIX}", base.trim_end_matches('/'), self.to_text())
    }

    /// Takes what [`Chart::to_text`] writes. The error says what is wrong with anything else.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > CHARS_MAX {
            return Err("longer than any chart");
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err("a chart is written in lower case");
        }
        let bytes = hex::decode(text).map_err(|_| "a chart is written in hexadecimal digits")?;
        let Some(([version, threshold, level, ahead], columns)) = bytes.split_first_chunk::<HEAD>() else {
            return Err("too short for a chart");
        };
        if *version != VERSION {
            return Err("a chart of another version");
        }
        let known = |level: &u8| Some(*level).filter(|level| *level <= TOP);
        let columns: Vec<_> = columns.iter().map(known).collect();
        let forecast = match (known(level), *ahead) {
            (None, 0) => None,
            (Some(level), 1..=AHEAD_MAX) if columns.last().is_some_and(Option::is_some) => {
                Some(Forecast { level, ahead: *ahead })
            }
            _ => return Err("a forecast that leads nowhere"),
        };
        match columns.iter().flatten().next() {
            None => Err("a chart without a column"),
            Some(_) => Ok(Self { columns, threshold: known(threshold), forecast }),
        }
    }
}

/// The line from `last` that reaches `threshold` in so many columns, as far as `end` and [`COLUMNS`]: where it ends, and after how many.
fn cut(last: f64, threshold: f64, end: f64, columns: f64) -> Option<(f64, f64)> {
    let rise = threshold - last;
    let part = if rise == 0.0 { 1.0 } else { ((end - last) / rise).min(1.0) };
    let part = part.min(COLUMNS as f64 / columns);
    (part > 0.0).then_some((last + rise * part, columns * part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(averages: &[f32], threshold: Option<f64>, ahead: Option<f64>) -> Chart {
        let averages: Vec<_> = averages.iter().map(|average| (!average.is_nan()).then_some(*average)).collect();
        Chart::of(&averages, threshold, ahead).unwrap()
    }

    fn levels(chart: &Chart) -> Vec<i32> {
        chart.columns().iter().map(|level| level.map_or(-1, i32::from)).collect()
    }

    #[test]
    fn columns_fill_the_range_and_gaps_stay_gaps() {
        let chart = of(&[1.0, 2.0, f32::NAN, 3.0], None, None);
        assert_eq!((levels(&chart), chart.threshold(), chart.forecast()), (vec![0, 127, -1, 254], None, None));
        assert_eq!(levels(&of(&[7.0, 7.0], None, None)), [127, 127]);
        assert_eq!(Chart::of(&[None, None], Some(1.0), Some(1.0)), None);
        assert_eq!(Chart::of(&[], None, None), None);
        assert_eq!(levels(&of(&[3.0; 30], None, None)).len(), COLUMNS);
    }

    #[test]
    fn a_threshold_is_shown_while_the_columns_stay_readable() {
        // 0 to 10 fill a tenth of 0 to 100, and 100 is the top.
        let near = of(&[0.0, 10.0], Some(100.0), None);
        assert_eq!((levels(&near), near.threshold()), (vec![0, 25], Some(254)));
        let far = of(&[0.0, 10.0], Some(101.0), None);
        assert_eq!((levels(&far), far.threshold()), (vec![0, 254], None));
        let below = of(&[10.0, 5.0], Some(0.0), None);
        assert_eq!((levels(&below), below.threshold()), (vec![254, 127], Some(0)));
        let within = of(&[0.0, 10.0], Some(5.0), None);
        assert_eq!((levels(&within), within.threshold()), (vec![0, 254], Some(127)));
        // A flat line is readable whatever the range.
        let flat = of(&[95.0, 95.0], Some(90.0), None);
        assert_eq!((levels(&flat), flat.threshold()), (vec![254, 254], Some(0)));
        assert_eq!(of(&[1.0, 2.0], Some(f64::NAN), None).threshold(), None);
        assert_eq!(of(&[f32::MIN, f32::MAX], Some(f64::MAX), None).threshold(), None);
    }

    #[test]
    fn a_forecast_leads_to_its_threshold_or_as_far_as_can_be_seen() {
        let leads = |chart: &Chart| chart.forecast().map(|forecast| (forecast.level, forecast.ahead));
        let near = of(&[0.0, 10.0], Some(20.0), Some(1.5));
        assert_eq!((levels(&near), leads(&near)), (vec![0, 127], Some((254, 12))));
        // To 110 in 10 columns: 20, which leaves the columns half of the range, is one column ahead.
        let far = of(&[0.0, 10.0], Some(110.0), Some(10.0));
        assert_eq!((levels(&far), far.threshold(), leads(&far)), (vec![0, 127], None, Some((254, 8))));
        let falls = of(&[10.0, 0.0], Some(-100.0), Some(10.0));
        assert_eq!((levels(&falls), leads(&falls)), (vec![254, 127], Some((0, 8))));
        // In 48 columns it rises by 24: no more is shown than half the way.
        let late = of(&[0.0, 24.0], Some(48.0), Some(48.0));
        assert_eq!((late.threshold(), leads(&late)), (Some(254), Some((191, 192))));
        assert_eq!(leads(&of(&[0.0, 30.0], Some(20.0), Some(0.0))), None, "it is beyond");
        assert_eq!(leads(&of(&[0.0, f32::NAN], Some(20.0), Some(3.0))), None, "it begins nowhere");
        assert_eq!(leads(&of(&[5.0, 5.0], Some(5.0), Some(3.0))), Some((127, 24)));
    }

    #[test]
    fn a_text_is_short_and_of_the_alphabet_of_links() {
        let chart = of(&[0.0, f32::NAN, 10.0], Some(20.0), Some(1.5));
        assert_eq!(chart.to_text(), "01fefe0c00ff7f");
        assert_eq!(of(&[1.0; 24], Some(1.0), Some(24.0)).to_text().len(), CHARS_MAX);
    }

    #[test]
    fn a_link_is_below_its_base_with_a_slash_or_without() {
        let chart = of(&[1.0], None, None);
        assert_eq!(chart.link("https://a.example/x/"), "https://a.example/x/charts/01ffff007f.png");
        assert_eq!(chart.link("https://a.example"), "https://a.example/charts/01ffff007f.png");
    }

    #[test]
    fn what_is_no_chart_is_refused() {
        for (text, why) in [
            ("", "too short"),
            ("01ffff00", "without a column"),
            ("01ffff00ffff", "without a column"),
            ("02ffff0001", "another version"),
            ("01ffff0", "hexadecimal"),
            ("01ffff000g", "hexadecimal"),
            ("01ffff00é", "hexadecimal"),
            ("01FFff0001", "lower case"),
            ("01ffff0101", "leads nowhere"),
            ("01ff000001", "leads nowhere"),
            ("01ff00c101", "leads nowhere"),
            ("01ff000101ff", "leads nowhere"),
            (&format!("01ffff00{}", "01".repeat(25)), "longer"),
        ] {
            let said = Chart::parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    proptest! {
        #[test]
        fn every_chart_comes_back_from_its_text(
            averages in proptest::collection::vec(proptest::option::of(any::<f32>()), 0..40),
            threshold in proptest::option::of(any::<f64>()),
            ahead in proptest::option::of(any::<f64>()),
        ) {
            if let Some(chart) = Chart::of(&averages, threshold, ahead) {
                prop_assert_eq!(Chart::parse(&chart.to_text()), Ok(chart));
            }
        }

        #[test]
        fn a_text_that_is_taken_is_the_one_of_its_chart(text in "\\PC{0,70}|01[0-9a-f]{0,60}") {
            if let Ok(chart) = Chart::parse(&text) {
                prop_assert_eq!(chart.to_text(), text);
            }
        }
    }
}
