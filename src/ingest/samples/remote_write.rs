//! Prometheus' remote write 1.0, `prometheus.WriteRequest`, as it is without snappy.
//!
//! Read are `timeseries` (1) with `labels` (1: name 1, value 2) and `samples` (2: value 1, timestamp in milliseconds 2); `exemplars` (3) and
//! `histograms` (4) are counted, `metadata` (3) says nothing of a value. Source: prometheus/prompb `remote.proto` and `types.proto`.

use super::door::{Reason, Sorting};
use super::protobuf::{Message, Value};
use super::{ELEMENTS_MAX, Label, Unreadable, add};

pub fn read(body: &[u8], sorting: &mut Sorting<'_>) -> Result<(), Unreadable> {
    let (mut labels, mut samples) = (Vec::new(), Vec::new());
    for field in Message::new(body) {
        if let (1, series) = field? {
            labels.clear();
            samples.clear();
            one(series.message()?, &mut labels, &mut samples, sorting)?;
        }
    }
    Ok(())
}

fn one<'a>(
    series: Message<'a>,
    labels: &mut Vec<Label<'a>>,
    samples: &mut Vec<(i64, f64)>,
    sorting: &mut Sorting<'_>,
) -> Result<(), Unreadable> {
    let (mut exemplars, mut histograms) = (0, 0);
    for field in series {
        match field? {
            (1, told) => add(labels, label(told)?),
            (2, _) if samples.len() >= ELEMENTS_MAX => return Err(Unreadable::TooMany),
            (2, told) => samples.push(sample(told)?),
            (3, _) => exemplars += 1,
            (4, _) => histograms += 1,
            _ => {}
        }
    }
    let choice = sorting.series(labels);
    samples.iter().try_for_each(|&(at_ms, value)| sorting.sample(&choice, at_ms, value))?;
    sorting.unsupported(&choice, Reason::Exemplar, exemplars)?;
    sorting.unsupported(&choice, Reason::NativeHistogram, histograms)
}

fn label(told: Value<'_>) -> Result<Label<'_>, Unreadable> {
    let (mut name, mut value) = ("", "");
    for field in told.message()? {
        match field? {
            (1, text) => name = text.text()?,
            (2, text) => value = text.text()?,
            _ => {}
        }
    }
    Ok((name.into(), value.into()))
}

/// The same in both versions.
pub(super) fn sample(told: Value<'_>) -> Result<(i64, f64), Unreadable> {
    let (mut at_ms, mut value) = (0, 0.0);
    for field in told.message()? {
        match field? {
            (1, told) => value = told.double()?,
            (2, told) => at_ms = told.int()?,
            _ => {}
        }
    }
    Ok((at_ms, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::door::Door;
    use super::super::protobuf::Writer;
    use super::*;
    use crate::record::EventTime;
    use crate::trend::select::Selector;

    const NOW: EventTime = EventTime(1_795_424_400_000);

    fn door() -> Door {
        Door::new(vec![Selector::parse(r#"{job="api"}"#).unwrap()])
    }

    fn series(
        job: &'static str,
        samples: &'static [(f64, i64)],
        more: impl FnOnce(&mut Writer),
    ) -> impl FnOnce(&mut Writer) {
        move |series| {
            for (name, value) in [("__name__", "errors"), ("job", job)] {
                series.message(1, |label| {
                    label.bytes(1, name.as_bytes());
                    label.bytes(2, value.as_bytes());
                });
            }
            for (value, at_ms) in samples {
                series.message(2, |sample| {
                    sample.double(1, *value);
                    sample.uint(2, at_ms.cast_unsigned());
                });
            }
            more(series);
        }
    }

    fn request() -> Vec<u8> {
        let mut request = Writer::default();
        request.message(
            1,
            series("api", &[(1.5, NOW.0 - 2), (f64::NAN, NOW.0 - 1), (2.0, -1)], |series| {
                series.message(3, |exemplar| exemplar.double(2, 1.0));
            }),
        );
        request.message(1, series("web", &[(1.0, NOW.0)], |_| ()));
        request.message(1, series("api", &[], |series| series.message(4, |histogram| histogram.uint(1, 7))));
        request.message(3, |metadata| metadata.uint(1, 2));
        request.0
    }

    #[test]
    fn samples_of_selected_series_are_kept_and_all_else_is_counted() {
        let door = door();
        let mut sorting = door.sort(NOW);
        read(&request(), &mut sorting).unwrap();
        let sorted = sorting.end();
        let kept: Vec<_> = sorted.kept.iter().map(|kept| (&*kept.series, kept.at_ms, kept.value.to_bits())).collect();
        let text = r#"errors{job="api"}"#;
        assert_eq!(kept, [(text, NOW.0 - 2, 1.5_f64.to_bits()), (text, NOW.0 - 1, f64::NAN.to_bits())]);
        let dropped: Vec<_> = sorted.counts.of_each_reason().collect();
        let expected = [Reason::NotSelected, Reason::AbsurdTime, Reason::NativeHistogram, Reason::Exemplar];
        assert_eq!(dropped, expected.map(|reason| (reason, 1)));
        assert_eq!(sorted.counts.received, 6);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_nothing_is_lost_uncounted(noise: Vec<u8>, at: prop::sample::Index, cut: prop::sample::Index) {
            let mut body = request();
            let at = at.index(body.len());
            body.splice(at..(at + noise.len() / 2).min(body.len()), noise.iter().copied());
            body.truncate(cut.index(body.len() + 1));
            let door = door();
            for bytes in [&body, &noise] {
                let mut sorting = door.sort(NOW);
                if read(bytes, &mut sorting).is_ok() {
                    let sorted = sorting.end();
                    let dropped: u64 = sorted.counts.of_each_reason().map(|(_, count)| count).sum();
                    prop_assert_eq!(sorted.counts.received, dropped + sorted.kept.len() as u64);
                }
            }
        }
    }
}
