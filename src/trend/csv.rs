//! Series as a file: a line a sample, `timestamp,value` or `timestamp,value,label`. A first line of headings may be there; with one that
//! has `series`, the columns are found by it, and a file holds as many series as that column names.
//!
//! Times are RFC 3339, the same without zone (then UTC) and with a space for the `T`, or seconds or milliseconds since 1970. A value
//! that is empty or `NaN` is a sample without a measurement. A label of `1` or `true` says that something was wrong then. A field may
//! stand in double quotes, where two of them are one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Sample;
use super::rule::Rule;
use super::series::Series;
use crate::record::EventTime;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    pub sample: Sample,
    /// `None` in a file without labels.
    pub label: Option<bool>,
}

/// One series, its samples as they came.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    pub series: String,
    /// Whether that is the text of a series ([`Series`]), and not just the name of a file.
    pub named: bool,
    pub rows: Vec<Row>,
}

impl Recorded {
    pub fn is_labelled(&self) -> bool {
        self.rows.iter().any(|row| row.label.is_some())
    }

    /// A rule is tried on what it selects; on a series that nobody named, whatever it selects.
    pub fn is_for(&self, rule: &Rule) -> bool {
        match (&rule.select, Series::parse(&self.series)) {
            (Some(select), Ok(series)) if self.named => select.matches(&series),
            _ => true,
        }
    }

    /// Empty where nobody says it.
    pub fn metric(&self) -> String {
        Series::parse(&self.series)
            .ok()
            .filter(|_| self.named)
            .map(|series| series.metric.to_string())
            .unwrap_or_default()
    }
}

/// Where a line has what.
struct Columns {
    time: usize,
    value: usize,
    label: Option<usize>,
    series: Option<usize>,
    count: usize,
}

/// Of a file without a column of series there is one, called `name`. A problem names its line.
pub fn series(name: &str, text: &str) -> Result<Vec<Recorded>, String> {
    let mut all: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let mut columns = None;
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let problem = |problem: String| format!("line {}: {problem}", at + 1);
        let fields = fields(line).map_err(problem)?;
        let columns = match &columns {
            Some(columns) => columns,
            None => {
                let headings = time(&fields[0]).is_none() && at == 0;
                let found = if headings { Columns::of_headings(&fields) } else { Columns::by_place(fields.len()) };
                let found = columns.insert(found.map_err(problem)?);
                if headings {
                    continue;
                }
                found
            }
        };
        let row = columns.row(&fields).map_err(problem)?;
        let of = columns.series.map_or(name, |column| &fields[column]);
        match all.get_mut(of) {
            Some(rows) => rows.push(row),
            None => drop(all.insert(of.to_owned(), vec![row])),
        }
    }
    if all.is_empty() {
        all.insert(name.to_owned(), Vec::new());
    }
    let named = columns.is_some_and(|columns| columns.series.is_some());
    Ok(all.into_iter().map(|(series, rows)| Recorded { series, named, rows }).collect())
}

/// Of the one series of a file.
pub fn rows(text: &str) -> Result<Vec<Row>, String> {
    Ok(series("", text)?.into_iter().flat_map(|series| series.rows).collect())
}

impl Columns {
    fn by_place(count: usize) -> Result<Self, String> {
        let label = (count == 3).then_some(2);
        let columns = Self { time: 0, value: 1, label, series: None, count };
        if (2..=3).contains(&count) { Ok(columns) } else { Err(columns.wrong(count)) }
    }

    fn of_headings(headings: &[String]) -> Result<Self, String> {
        let place = |name: &str| headings.iter().position(|heading| heading.eq_ignore_ascii_case(name));
        let Some(series) = place("series") else { return Self::by_place(headings.len()) };
        let needed =
            |name: &str| place(name).ok_or_else(|| format!("a file with the heading `series` needs `{name}` too"));
        let (time, value) = (needed("timestamp")?, needed("value")?);
        Ok(Self { time, value, label: place("label"), series: Some(series), count: headings.len() })
    }

    fn row(&self, fields: &[String]) -> Result<Row, String> {
        if fields.len() != self.count {
            return Err(self.wrong(fields.len()));
        }
        let (at, value) = (&fields[self.time], &fields[self.value]);
        let at =
            time(at).ok_or_else(|| format!("{at:?} is no time: write 2026-11-23T09:00:00Z or seconds since 1970"))?;
        let number = if value.is_empty() { Ok(f64::NAN) } else { value.parse() };
        let value = number.map_err(|_| format!("{value:?} is no number"))?;
        let label = self.label.map(|column| label_of(&fields[column])).transpose()?;
        Ok(Row { sample: Sample { at, value }, label })
    }

    fn wrong(&self, count: usize) -> String {
        match self.series {
            Some(_) => format!("{count} fields, but there are {} headings", self.count),
            None => format!("{count} fields, but a sample is timestamp,value or timestamp,value,label"),
        }
    }
}

/// At least one.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut signs = line.trim().chars().peekable();
    while let Some(sign) = signs.next() {
        let Some(field) = fields.last_mut() else { break };
        match sign {
            '"' if quoted && signs.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    if quoted {
        return Err("a double quote is not closed".to_owned());
    }
    Ok(fields.into_iter().map(|field| field.trim().to_owned()).collect())
}

fn label_of(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" | "" => Ok(false),
        _ => Err(format!("{text:?} is no label: write 1 or 0")),
    }
}

/// `None` if it is no time, or none of the years 1970 to 9999.
pub fn time(text: &str) -> Option<EventTime> {
    let text = text.trim();
    let ms = match text.parse::<f64>() {
        Ok(ms) if ms >= 1e11 => ms as i64,
        Ok(seconds) if seconds.is_finite() => (seconds * 1000.0).round() as i64,
        Ok(_) => return None,
        Err(_) => match text.parse::<Timestamp>() {
            Ok(time) => time.as_millisecond(),
            Err(_) => text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond(),
        },
    };
    (0..253_402_300_800_000).contains(&ms).then_some(EventTime(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_and_programs_write_them() {
        for text in
            ["2014-04-10 07:15:00.000000", "2014-04-10T07:15:00Z", "1397114100", "1397114100000", "1397114100.0"]
        {
            assert_eq!(time(text), Some(EventTime(1_397_114_100_000)), "{text}");
        }
        assert_eq!(["timestamp", "", "-1", "NaN", "1e300", "2014-13-10"].map(time), [None; 6]);
    }

    #[test]
    fn rows_with_and_without_headings_and_labels() {
        let read = rows("timestamp,value\n2014-04-10 07:15:00,1.5\n\n\"2014-04-10 07:20:00\",\n").unwrap();
        assert_eq!((read.len(), read[0].sample.value, read[0].label), (2, 1.5, None));
        assert!(read[1].sample.value.is_nan());
        let labels: Vec<Option<bool>> = rows("1,2,0\n2,3,true\n").unwrap().iter().map(|row| row.label).collect();
        assert_eq!(labels, [Some(false), Some(true)]);
    }

    #[test]
    fn a_column_of_series_tells_them_apart_whatever_its_place() {
        let text = "series,timestamp,value,label\n\"up{a=\"\"1\"\",b=\"\"2\"\"}\",10,1,0\ndown,10,5,1\n\"up{a=\"\"1\"\",b=\"\"2\"\"}\",20,2,0\n";
        let read = series("file", text).unwrap();
        let told =
            |one: &Recorded| (one.series.clone(), one.rows.iter().map(|row| row.sample.value).collect::<Vec<_>>());
        assert_eq!(
            read.iter().map(told).collect::<Vec<_>>(),
            [("down".into(), vec![5.0]), (r#"up{a="1",b="2"}"#.into(), vec![1.0, 2.0])]
        );
        assert_eq!((read[0].rows[0].label, read[1].metric()), (Some(true), "up".to_owned()));
        let plain = &series("file", "1,2").unwrap()[0];
        assert_eq!((plain.series.as_str(), plain.metric()), ("file", String::new()));
        assert_eq!(series("file", "").unwrap(), [Recorded { series: "file".into(), named: false, rows: vec![] }]);
        assert!(series("f", "series,time,value\n").unwrap_err().contains("needs `timestamp`"));
        assert!(series("f", "series,timestamp,value\na,1,2,3\n").unwrap_err().starts_with("line 2: 4 fields"));
    }

    #[test]
    fn a_problem_names_its_line() {
        assert_eq!(rows("1,2\n2,x\n").unwrap_err(), "line 2: \"x\" is no number");
        assert!(rows("1,2\nnow,3\n").unwrap_err().starts_with("line 2: \"now\" is no time"));
        assert!(rows("1,2,3,4\n").unwrap_err().contains("4 fields"));
        assert!(rows("1,2,maybe\n").unwrap_err().contains("no label"));
        assert!(rows("1,\"2\n").unwrap_err().contains("not closed"));
    }
}
