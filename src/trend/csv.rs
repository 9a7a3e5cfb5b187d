//! A series as a file: a line a sample, `timestamp,value` or `timestamp,value,label`; a first line of headings may be there.
//!
//! Times are RFC 3339, the same without zone (then UTC) and with a space for the `T`, or seconds or milliseconds since 1970. A value
//! that is empty or `NaN` is a sample without a measurement. A label of `1` or `true` says that something was wrong then.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Sample;
use crate::record::EventTime;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    pub sample: Sample,
    /// `None` in a file without labels.
    pub label: Option<bool>,
}

/// As they stand. A problem names its line.
pub fn rows(text: &str) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match row(line) {
            Ok(row) => rows.push(row),
            // Headings are no times.
            Err(_) if at == 0 && line.split(',').next().is_some_and(|first| time(first).is_none()) => {}
            Err(problem) => return Err(format!("line {}: {problem}", at + 1)),
        }
    }
    Ok(rows)
}

fn row(line: &str) -> Result<Row, String> {
    let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
    let (first, value, label) = match fields[..] {
        [first, value] => (first, value, None),
        [first, value, label] => (first, value, Some(label)),
        _ => return Err(format!("{} fields, but a sample is timestamp,value or timestamp,value,label", fields.len())),
    };
    let at =
        time(first).ok_or_else(|| format!("{first:?} is no time: write 2026-11-23T09:00:00Z or seconds since 1970"))?;
    let value = if value.is_empty() { Ok(f64::NAN) } else { value.parse() };
    let value = value.map_err(|_| format!("{:?} is no number", fields[1]))?;
    let label = label.map(label_of).transpose()?;
    Ok(Row { sample: Sample { at, value }, label })
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
    fn a_problem_names_its_line() {
        assert_eq!(rows("1,2\n2,x\n").unwrap_err(), "line 2: \"x\" is no number");
        assert!(rows("1,2\nnow,3\n").unwrap_err().starts_with("line 2: \"now\" is no time"));
        assert!(rows("1,2,3,4\n").unwrap_err().contains("4 fields"));
        assert!(rows("1,2,maybe\n").unwrap_err().contains("no label"));
    }
}
