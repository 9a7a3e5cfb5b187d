//! The score of the Numenta Anomaly Benchmark, from its definition.
//!
//! A series has labelled windows. A detector gives each row a score from 0 to 1; a row at or above the threshold is a detection. The
//! first rows (the probation) count for nothing. Of a window the earliest detection counts, by a sigmoid that gives nearly all at its
//! beginning and nothing at its end; a window without one costs the weight of a miss. A detection outside costs the weight of a false
//! alarm, less so shortly after a window. One threshold serves the whole corpus: the one with the best sum. 0 is what a detector gets
//! that never fires, 100 one that finds each window in its first row and nothing else.
//!
//! Not here: files, labels as times, detectors.

const PROBATION: f64 = 0.15;
/// A long series has no longer probation than one of so many rows.
const PROBATION_OF_AT_MOST: f64 = 5_000.0;
/// Above every score: nothing is detected.
const NEVER: f64 = 1.1;

/// What is scored: how many rows, and the first and last row of each window, in order.
pub struct Labels {
    pub rows: usize,
    pub windows: Vec<(usize, usize)>,
}

/// What a right detection, a false one and a miss weigh.
#[derive(Clone, Copy)]
pub struct Profile {
    pub name: &'static str,
    pub hit: f64,
    pub false_alarm: f64,
    pub miss: f64,
}

pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", hit: 1.0, false_alarm: 0.11, miss: 1.0 },
    Profile { name: "reward_low_FP_rate", hit: 1.0, false_alarm: 0.22, miss: 1.0 },
    Profile { name: "reward_low_FN_rate", hit: 1.0, false_alarm: 0.11, miss: 2.0 },
];

/// Of one profile.
pub struct Verdict {
    /// Best for the whole corpus, and its score.
    pub threshold: f64,
    pub score: f64,
    /// Each series by the threshold that is best for all the others: what a new series would get.
    pub left_out: f64,
    pub hits: usize,
    pub windows: usize,
    pub false_alarms: usize,
    /// Of each series at the one threshold, before it is scaled.
    pub by_series: Vec<f64>,
}

/// A row that counts.
struct Point {
    score: f64,
    series: usize,
    /// Which window of all, or none.
    window: Option<usize>,
    weight: f64,
}

/// The labels of each series, and its scores, row by row.
pub fn judge(corpus: &[(Labels, Vec<f64>)], profile: Profile) -> Verdict {
    let mut points = Vec::new();
    let mut windows: Vec<Window> = Vec::new();
    for (series, (labels, scores)) in corpus.iter().enumerate() {
        assert_eq!(labels.rows, scores.len(), "a score a row");
        add_points(labels, scores, series, profile, &mut points, &mut windows);
    }
    points.sort_by(|a, b| b.score.total_cmp(&a.score));
    let perfect: f64 = corpus.iter().map(|(labels, _)| labels.windows.len() as f64 * profile.hit).sum();
    let null = -profile.miss * windows.len() as f64;
    sweep(&points, windows, corpus.len(), &|raw| 100.0 * (raw - null) / (perfect - null))
}

/// What a window is worth so far, and of which series it is.
struct Window {
    series: usize,
    worth: f64,
    miss: f64,
}

fn add_points(
    labels: &Labels,
    scores: &[f64],
    series: usize,
    profile: Profile,
    points: &mut Vec<Point>,
    windows: &mut Vec<Window>,
) {
    let probation = (PROBATION * labels.rows as f64).floor().min(PROBATION * PROBATION_OF_AT_MOST) as usize;
    let best = scaled_sigmoid(-1.0);
    for (row, score) in scores.iter().enumerate().skip(probation) {
        let (window, weight) = match labels.windows.iter().find(|(from, to)| (*from..=*to).contains(&row)) {
            Some((from, to)) => {
                let position = -((to - row + 1) as f64) / (to - from + 1) as f64;
                // A window is known by its first row that counts.
                if row == (*from).max(probation) {
                    windows.push(Window { series, worth: -profile.miss, miss: -profile.miss });
                }
                (Some(windows.len() - 1), scaled_sigmoid(position) * profile.hit / best)
            }
            None => {
                let before = labels.windows.iter().rfind(|(_, to)| *to < row);
                let unweighted =
                    before.map_or(-1.0, |(from, to)| scaled_sigmoid((row - to) as f64 / (to - from) as f64));
                (None, unweighted * profile.false_alarm)
            }
        };
        points.push(Point { score: *score, series, window, weight });
    }
}

/// 1 far to the left, 0 in the middle, -1 far to the right.
fn scaled_sigmoid(position: f64) -> f64 {
    if position > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}

/// From the threshold that detects nothing downwards, each score that occurs.
fn sweep(points: &[Point], mut windows: Vec<Window>, series: usize, scaled: &dyn Fn(f64) -> f64) -> Verdict {
    let mut false_alarms = vec![0.0; series];
    let mut counted = 0;
    let nothing: Vec<f64> = by_series(&windows, &false_alarms);
    let mut best = (nothing.iter().sum::<f64>(), NEVER, nothing.clone(), 0, 0);
    // What the others would have best, and what this one gets by it.
    let mut others: Vec<(f64, f64)> = nothing.iter().map(|own| (best.0 - own, *own)).collect();
    for chunk in points.chunk_by(|a, b| a.score == b.score) {
        for point in chunk {
            match point.window {
                Some(window) => windows[window].worth = windows[window].worth.max(point.weight),
                None => {
                    false_alarms[point.series] += point.weight;
                    counted += 1;
                }
            }
        }
        let raw = by_series(&windows, &false_alarms);
        let total: f64 = raw.iter().sum();
        for (kept, own) in others.iter_mut().zip(&raw) {
            if total - own > kept.0 {
                *kept = (total - own, *own);
            }
        }
        if total > best.0 {
            let hits = windows.iter().filter(|window| window.worth > window.miss).count();
            best = (total, chunk[0].score, raw, hits, counted);
        }
    }
    let (total, threshold, raw, hits, false_alarms) = best;
    let left_out = scaled(others.iter().map(|(_, own)| own).sum());
    Verdict { threshold, score: scaled(total), left_out, hits, windows: windows.len(), false_alarms, by_series: raw }
}

fn by_series(windows: &[Window], false_alarms: &[f64]) -> Vec<f64> {
    let mut raw = false_alarms.to_vec();
    windows.iter().for_each(|window| raw[window.series] += window.worth);
    raw
}
