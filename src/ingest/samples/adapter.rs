//! Samples as prometheus-kafka-adapter writes them on a topic, one JSON object a line, one or more lines a record.
//!
//! ```json
//! {"timestamp": "2026-11-23T09:00:00Z", "value": "0.071", "name": "http_errors_ratio", "labels": {"__name__": "http_errors_ratio", "job": "api"}}
//! ```
//! The value is a text or a number; the time is RFC 3339, or seconds or milliseconds since the epoch; the name may stand among the labels,
//! beside them, or both if they say the same. What no trend rule selects is ignored, and what cannot be read is refused: it becomes a dead
//! letter. Not here: the adapter's Avro, and topics with templates of one's own.

use super::door::{Choice, Reason, choose, is_absurd};
use super::{BYTES_MAX, LABELS_MAX, Label};
use crate::event::{Fact, Sample, Text};
use crate::ingest::json::{Node, Refusal, parse};
use crate::ingest::{Reading, Rules, time};
use crate::record::EventTime;
use crate::trend::series::{NAME, Series};

/// `now` is the record's time, which no sample may be far ahead of.
pub fn read(value: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    let lines = value.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let mut reading = Reading::default();
    let mut count = 0;
    for line in lines {
        count += 1;
        if count > rules.limits.items_max {
            let mend = format!("write at most {} lines into one record", rules.limits.items_max);
            return Err(Refusal::new("$", "these are too many samples for one record", mend));
        }
        reading.take(parse(line).and_then(|value| one(&Node::root(&value), rules, now)));
    }
    if count == 0 { Err(Refusal::new("$", "the record is empty", "write one JSON object a line")) } else { Ok(reading) }
}

fn one(told: &Node<'_>, rules: &Rules, now: EventTime) -> Result<Option<Fact<'static>>, Refusal> {
    told.object("a sample")?;
    let labels = told.required("labels")?;
    let pairs = labels.value.as_object().filter(|pairs| pairs.len() <= LABELS_MAX);
    let pairs =
        pairs.ok_or_else(|| labels.refuse("this is no map of labels", "send at most 128 names with their values"))?;
    let mut all: Vec<Label<'_>> = Vec::with_capacity(pairs.len() + 1);
    for (name, value) in pairs {
        let value = value.as_str().ok_or_else(|| labels.refuse("a label's value is no text", "send texts"))?;
        all.push((name.as_str().into(), value.into()));
    }
    let name = told.field("name").map(|name| name.text(BYTES_MAX).map(str::to_owned)).transpose()?;
    match (name, all.iter().find(|(label, _)| **label == *NAME)) {
        (Some(name), None) => all.push((NAME.into(), name.into())),
        (Some(name), Some((_, known))) if **known != *name => {
            return Err(told.refuse("\"name\" and the label __name__ differ", "send one name"));
        }
        _ => {}
    }
    let series = Series::of(all).map_err(|why| labels.refuse(why, "send the labels of one series"))?;
    let text = match choose(&rules.selectors, &series) {
        Choice::Wanted(text) => text,
        Choice::Dropped(Reason::NotSelected) => return Ok(None),
        Choice::Dropped(reason) => return Err(labels.refuse(reason.words(), "shorten the labels")),
    };
    let timestamp = told.required("timestamp")?;
    let at_ms = time::any(&timestamp)?.filter(|at_ms| !is_absurd(*at_ms, now));
    let at_ms = at_ms.ok_or_else(|| timestamp.refuse(Reason::AbsurdTime.words(), "send when it was measured"))?;
    Ok(Some(Fact::Sample(Sample {
        series: Text::from(text.to_string()),
        at_ms,
        value: number(&told.required("value")?)?,
    })))
}

/// As Prometheus writes numbers: `NaN`, `+Inf` and `-Inf` among them.
fn number(told: &Node<'_>) -> Result<f64, Refusal> {
    let number = told.value.as_f64().or_else(|| told.value.as_str()?.trim().parse().ok());
    number.ok_or_else(|| told.refuse(format!("{} is no number", told.found()), "send a number, or a text of it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trend::select::Selector;

    const NOW: EventTime = EventTime(1_795_424_400_000);

    fn read(text: &str) -> Reading {
        let selectors = vec![Selector::parse(r#"{job="api"}"#).unwrap()];
        super::read(text.as_bytes(), &Rules { selectors, ..Rules::default() }, NOW).unwrap()
    }

    #[test]
    fn lines_of_the_adapter_become_samples_of_selected_series() {
        // As in the adapter's README, and with what else is meant.
        let reading = read(concat!(
            r#"{"timestamp":"2026-11-23T09:00:00Z","value":"0.071","name":"up","labels":{"__name__":"up","job":"api"}}"#,
            "\n\n",
            r#"{"timestamp":1795424400000,"value":7,"labels":{"job":"api"}}"#,
            "\r\n",
            r#"{"timestamp":"1970-01-01T00:00:00Z","value":"9876543210","name":"up","labels":{"__name__":"up","label1":"value1"}}"#,
            "\n",
            r#"{"timestamp":"2026-11-23T09:00:00Z","value":"+Inf","name":"up","labels":{"job":"api"}}"#,
        ));
        let told = reading.facts.iter().filter_map(|fact| match fact {
            Fact::Sample(sample) => Some((&*sample.series, sample.at_ms, sample.value)),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        let up = r#"up{job="api"}"#;
        let expected =
            [(up, 1_795_424_400_000, 0.071), (r#"{job="api"}"#, NOW.0, 7.0), (up, 1_795_424_400_000, f64::INFINITY)];
        assert_eq!((told.as_slice(), reading.ignored, reading.refusals()), (&expected[..], 1, 0));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place_and_takes_no_other_with_it() {
        for (sample, why) in [
            (r#"{"timestamp":"2026-11-23T09:00:00Z","value":"high","labels":{"job":"api"}}"#, "$.value"),
            (r#"{"timestamp":"yesterday","value":"1","labels":{"job":"api"}}"#, "$.timestamp"),
            (r#"{"timestamp":"2027-11-23T09:00:00Z","value":"1","labels":{"job":"api"}}"#, "ten minutes ahead"),
            (r#"{"timestamp":"2026-11-23T09:00:00Z","value":"1","labels":{"job":7}}"#, "no text"),
            (r#"{"timestamp":"2026-11-23T09:00:00Z","value":"1","name":"a","labels":{"__name__":"b"}}"#, "differ"),
            (r#"{"value":"1","labels":{"job":"api"}}"#, "timestamp"),
            ("{", "no JSON"),
            ("[]", "a sample"),
        ] {
            let good = r#"{"timestamp":"2026-11-23T09:00:00Z","value":"1","labels":{"job":"api"}}"#;
            let reading = read(&format!("{sample}\n{good}"));
            assert_eq!((reading.facts.len(), reading.refused.len()), (1, 1), "{sample}");
            assert!(reading.refused[0].to_string().contains(why), "{}", reading.refused[0]);
        }
        assert!(super::read(b" \n", &Rules::default(), NOW).is_err());
    }
}
