//! Prometheus' remote write 2.0, `io.prometheus.write.v2.Request`, as it is without snappy.
//!
//! Read are `symbols` (4) and `timeseries` (5) with `labels_refs` (1, pairs of indexes of symbols) and `samples` (2, as in 1.0); `histograms`
//! (3) and `exemplars` (4) are counted. Metadata and start times say nothing of a value: a counter that began anew is seen by its fall.
//! Source: prometheus/prompb `io/prometheus/write/v2/types.proto`, release candidates 3 and 4, which differ in start times alone.

use super::door::{Choice, Reason, Sorting};
use super::protobuf::Message;
use super::remote_write::sample;
use super::{ELEMENTS_MAX, Label, Unreadable, add};

const NO_SUCH_SYMBOL: Unreadable = Unreadable::Malformed("labels_refs names a symbol that is not there");

/// What its answer tells. What no rule selects is as good as written: it was taken, and dropped as it shall be. Were it not told, its
/// sender would count it as failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub samples: usize,
    pub histograms: usize,
    pub exemplars: usize,
}

pub fn read(body: &[u8], sorting: &mut Sorting<'_>) -> Result<Written, Unreadable> {
    let (mut symbols, mut written) = (Vec::new(), Written::default());
    // They stand in front, but nothing says that they must.
    for field in Message::new(body) {
        match field? {
            (4, _) if symbols.len() >= ELEMENTS_MAX => return Err(Unreadable::TooMany),
            (4, symbol) => symbols.push(symbol.text()?),
            _ => {}
        }
    }
    let (mut labels, mut samples) = (Vec::new(), Vec::new());
    for field in Message::new(body) {
        if let (5, series) = field? {
            labels.clear();
            samples.clear();
            one(series.message()?, &symbols, (&mut labels, &mut samples), sorting, &mut written)?;
        }
    }
    Ok(written)
}

fn one<'a>(
    series: Message<'a>,
    symbols: &[&'a str],
    (labels, samples): (&mut Vec<Label<'a>>, &mut Vec<(i64, f64)>),
    sorting: &mut Sorting<'_>,
    written: &mut Written,
) -> Result<(), Unreadable> {
    let (mut name, mut histograms, mut exemplars) = (None, 0, 0);
    for field in series {
        match field? {
            (1, refs) => refs.each_uint(|at| {
                let symbol = usize::try_from(at).ok().and_then(|at| symbols.get(at)).ok_or(NO_SUCH_SYMBOL)?;
                match name.take() {
                    None => name = Some(*symbol),
                    Some(name) => add(labels, (name.into(), (*symbol).into())),
                }
                Ok(())
            })?,
            (2, _) if samples.len() >= ELEMENTS_MAX => return Err(Unreadable::TooMany),
            (2, told) => samples.push(sample(told)?),
            (3, _) => histograms += 1,
            (4, _) => exemplars += 1,
            _ => {}
        }
    }
    if name.is_some() {
        return Err(Unreadable::Malformed("labels_refs are not pairs"));
    }
    let (choice, kept) = (sorting.series(labels), sorting.kept());
    samples.iter().try_for_each(|&(at_ms, value)| sorting.sample(&choice, at_ms, value))?;
    sorting.unsupported(&choice, Reason::NativeHistogram, histograms)?;
    sorting.unsupported(&choice, Reason::Exemplar, exemplars)?;
    written.samples += sorting.kept() - kept;
    if choice == Choice::Dropped(Reason::NotSelected) {
        written.samples += samples.len();
        written.histograms += histograms;
        written.exemplars += exemplars;
    }
    Ok(())
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
    /// Of the symbols below: `errors{job="api"}` and `errors{job="web"}`.
    const API: [u64; 4] = [1, 2, 3, 4];
    const WEB: [u64; 4] = [1, 2, 3, 5];

    fn door() -> Door {
        Door::new(vec![Selector::parse(r#"{job="api"}"#).unwrap()])
    }

    fn series(request: &mut Writer, refs: &[u64], samples: &[(f64, i64)], more: impl FnOnce(&mut Writer)) {
        request.message(5, |series| {
            let mut packed = Writer::default();
            refs.iter().for_each(|at| packed.uint(0, *at));
            // A varint and no tag, for each.
            series.bytes(1, &packed.0.chunks(2).map(|pair| pair[1]).collect::<Vec<_>>());
            for (value, at_ms) in samples {
                series.message(2, |sample| {
                    sample.double(1, *value);
                    sample.uint(2, at_ms.cast_unsigned());
                    sample.uint(3, 5);
                });
            }
            more(series);
        });
    }

    fn request(refs: &[u64]) -> Vec<u8> {
        let mut request = Writer::default();
        series(&mut request, refs, &[(1.5, NOW.0), (2.0, NOW.0 + 86_400_000)], |series| {
            series.message(4, |exemplar| exemplar.double(2, 1.0));
        });
        series(&mut request, &WEB, &[(1.0, NOW.0)], |series| series.message(4, |exemplar| exemplar.double(2, 1.0)));
        series(&mut request, &WEB, &[], |series| series.message(3, |histogram| histogram.uint(1, 7)));
        series(&mut request, refs, &[], |series| series.message(3, |histogram| histogram.uint(1, 7)));
        for symbol in ["", "__name__", "errors", "job", "api", "web"] {
            request.bytes(4, symbol.as_bytes());
        }
        request.0
    }

    #[test]
    fn samples_of_selected_series_are_kept_and_what_is_written_is_told() {
        let door = door();
        let mut sorting = door.sort(NOW);
        let written = read(&request(&API), &mut sorting).unwrap();
        let sorted = sorting.end();
        let kept: Vec<_> = sorted.kept.iter().map(|kept| (&*kept.series, kept.at_ms, kept.value)).collect();
        assert_eq!(kept, [(r#"errors{job="api"}"#, NOW.0, 1.5)]);
        assert_eq!(written, Written { samples: 2, histograms: 1, exemplars: 1 });
        let dropped: Vec<_> = sorted.counts.of_each_reason().collect();
        let expected =
            [(Reason::NotSelected, 3), (Reason::AbsurdTime, 1), (Reason::NativeHistogram, 1), (Reason::Exemplar, 1)];
        assert_eq!(dropped, expected);
    }

    #[test]
    fn references_that_lead_nowhere_and_halves_of_pairs_are_malformed() {
        for refs in [&[1, 2, 3, 9][..], &[1, 2, 3]] {
            let read = read(&request(refs), &mut door().sort(NOW));
            assert!(matches!(read, Err(Unreadable::Malformed(why)) if why.contains("labels_refs")), "{read:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(noise: Vec<u8>, at: prop::sample::Index, cut: prop::sample::Index) {
            let mut body = request(&API);
            let at = at.index(body.len());
            body.splice(at..(at + noise.len() / 2).min(body.len()), noise.iter().copied());
            body.truncate(cut.index(body.len() + 1));
            for bytes in [&body, &noise] {
                let _ = read(bytes, &mut door().sort(NOW));
            }
        }
    }
}
