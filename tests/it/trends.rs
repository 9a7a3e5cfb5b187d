//! Detectors of trends, judged: the scorer by hand and by published results, `unusual` on the benchmark's series, the forecast on ramps.
//!
//! The series of the Numenta Anomaly Benchmark are not in the repository. Where they are not beside it either, and `NAB_DATA` does not
//! name them, the two tests that need them say so and pass: `cargo bench --bench trend -- nab --data DIR` is the whole check.

#[path = "../../benches/trend/nab.rs"]
#[allow(dead_code)] // The program's own printing and export.
mod nab;
#[path = "../../benches/trend/ramps.rs"]
#[allow(dead_code)]
mod ramps;
#[path = "../../benches/trend/scorer.rs"]
mod scorer;

use scorer::{Labels, PROFILES, Verdict, judge};

/// A hundred rows, of which fifteen are probation, with a window from 40 to 59, and what fires in them.
fn fired(rows: &[(usize, f64)]) -> (Labels, Vec<f64>) {
    let mut scores = vec![0.0; 100];
    rows.iter().for_each(|(row, score)| scores[*row] = *score);
    (Labels { rows: 100, windows: vec![(40, 59)] }, scores)
}

fn standard(corpus: &[(Labels, Vec<f64>)]) -> Verdict {
    judge(corpus, PROFILES[0])
}

fn near(score: f64, by_hand: f64) {
    assert!((score - by_hand).abs() < 1e-6, "{score} is not {by_hand}");
}

/// 2 / (1 + e^(5x)) - 1: at -1 it is 0.986614, at -0.55 0.879827, at 20/19 -0.989696.
#[test]
fn scores_by_hand() {
    for profile in PROFILES {
        near(judge(&[fired(&[])], profile).score, 0.0);
        near(judge(&[fired(&[(40, 0.7)])], profile).score, 100.0);
    }
    let hit = 0.879_826_69 / 0.986_614_30;
    near(standard(&[fired(&[(49, 0.5), (55, 0.5)])]).score, 100.0 * (1.0 + hit) / 2.0);
    // Of two false alarms one lies far before the window, one soon after it; the probation's counts for nothing.
    let told = [(14, 0.9), (20, 0.9), (49, 0.5), (79, 0.5)];
    let verdict = standard(&[fired(&told)]);
    near(verdict.score, 100.0 * (1.0 + hit - 0.11 - 0.11 * 0.989_695_52) / 2.0);
    assert_eq!((verdict.hits, verdict.windows, verdict.false_alarms, verdict.threshold), (1, 1, 2, 0.5));
    let low_false_alarms = judge(&[fired(&told)], PROFILES[1]).score;
    near(low_false_alarms, 100.0 * (1.0 + hit - 0.22 - 0.22 * 0.989_695_52) / 2.0);
}

/// One threshold for all is the one that suits the series together; what is left out gets the others'.
#[test]
fn left_out_series_get_the_threshold_of_the_others() {
    let loud = fired(&[(40, 0.9), (20, 0.5), (22, 0.5), (24, 0.5)]);
    let quiet = fired(&[(40, 0.5)]);
    let verdict = standard(&[loud, quiet]);
    assert_eq!(verdict.threshold, 0.5);
    near(verdict.score, 100.0 * (4.0 - 0.33) / 4.0);
    // The loud one by 0.5: 1 - 0.33; the quiet one by 0.9: -1.
    near(verdict.left_out, 100.0 * (2.0 + 0.67 - 1.0) / 4.0);
}

/// The series, or `None` with a word about it.
fn corpus() -> Option<(std::path::PathBuf, Vec<nab::Series>)> {
    let folder = nab::data();
    if folder.is_none() {
        eprintln!("SKIPPED: no series of NAB here; name their folder in NAB_DATA");
    }
    folder.map(|folder| (folder.clone(), nab::read(&folder).unwrap()))
}

fn verdicts(corpus: &[nab::Series], scores: impl Fn(&nab::Series) -> Vec<f64>) -> [Verdict; 3] {
    let labels = |one: &nab::Series| Labels { rows: one.rows.len(), windows: one.windows.clone() };
    let judged: Vec<_> = corpus.iter().map(|one| (labels(one), scores(one))).collect();
    PROFILES.map(|profile| judge(&judged, profile))
}

#[test]
fn published_results_get_their_published_scores() {
    let Some((folder, corpus)) = corpus() else { return };
    let results = folder.join("results/windowedGaussian");
    let found = verdicts(&corpus, |one| nab::published(&results, one).unwrap());
    assert_eq!(found.map(|verdict| (verdict.score * 10.0).round() / 10.0), [37.9, 16.1, 46.5]);
    let never = verdicts(&corpus, |one| vec![0.5; one.rows.len()]);
    assert_eq!(never.map(|verdict| verdict.score), [0.0; 3]);
}

/// The least that is promised; what is reached is printed by the program.
#[test]
fn unusual_is_as_good_as_is_said() {
    let Some((_, corpus)) = corpus() else { return };
    let [standard, low_false_alarms, _] = verdicts(&corpus, |one| nab::scores(&one.rows));
    assert!(standard.score >= 65.0 && standard.left_out >= 65.0, "{} {}", standard.score, standard.left_out);
    assert!(low_false_alarms.score >= 55.0 && low_false_alarms.left_out >= 55.0);
}

/// One series of each kind; the program prints the figures of many.
#[test]
fn the_forecast_is_early_and_seldom_wrong() {
    let measured = ramps::measure(1);
    assert!(measured.lead() >= 0.8, "{}", measured.lead());
    assert!(measured.false_alarms() < 1.0, "{}", measured.false_alarms());
}
