//! The Numenta Anomaly Benchmark's series, labels and result files, and the detector `unusual` over them.
//!
//! Nothing of a series is told to the detector but its samples, one after the other; its parameters are constants of the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fairlead::trend::csv::{self, Row};
use fairlead::trend::rule::{Rule, State};

use super::scorer::{self, Labels, PROFILES, Verdict};

/// One for all series and profiles.
const RULE: &str = "{ name: unusual, detect: { unusual: {} } }";

/// What a reader must know to judge the numbers.
const CHOSEN: &str = "5 features of about 40 that were tried, and 9 numbers (three windows, how fast hours and ranges are learnt \
                      and forgotten, two times to warm up, the margin, the length of an alarm); none by series, nothing looks ahead";

pub struct Series {
    /// `<category>/<file>.csv`.
    pub name: String,
    pub rows: Vec<Row>,
    pub windows: Vec<(usize, usize)>,
}

/// Where the series lie unless it is said: `NAB_DATA`, or beside the repository.
pub fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/nab");
    std::env::var_os("NAB_DATA").map(PathBuf::from).or(Some(beside)).filter(|folder| folder.is_dir())
}

/// Takes the subset's layout (`labels.json`) and the benchmark's own (`labels/combined_windows.json`).
pub fn read(folder: &Path) -> Result<Vec<Series>, String> {
    let places = ["labels.json", "labels/combined_windows.json"].map(|name| folder.join(name));
    let labels = places
        .iter()
        .find(|place| place.is_file())
        .ok_or_else(|| format!("{} has no labels.json", folder.display()))?;
    let labels: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&text(labels)?).map_err(|problem| format!("{}: {problem}", labels.display()))?;
    labels.into_iter().map(|(name, windows)| series(folder, name, &windows)).collect()
}

fn series(folder: &Path, name: String, windows: &[(String, String)]) -> Result<Series, String> {
    let rows = csv::rows(&text(&folder.join("data").join(&name))?).map_err(|problem| format!("{name}: {problem}"))?;
    let row = |time: &String| {
        let at = csv::time(time);
        let found = rows.iter().position(|row| Some(row.sample.at) == at);
        found.ok_or_else(|| format!("{name}: no row has the time {time} of its label"))
    };
    let windows = windows.iter().map(|(from, to)| Ok((row(from)?, row(to)?))).collect::<Result<_, String>>()?;
    Ok(Series { name, rows, windows })
}

/// What the detector has to say anew in each row.
pub fn scores(rows: &[Row]) -> Vec<f64> {
    let rule: Rule = serde_saphyr::from_str(RULE).expect("a rule");
    let mut state = State::default();
    let score = |row: &Row| match rule.observe(&mut state, row.sample) {
        Ok(_) => rule.news(&state),
        Err(_) => 0.0,
    };
    rows.iter().map(score).collect()
}

/// A detector's published scores: the column `anomaly_score`, in a file that may have the detector's name in front.
pub fn published(folder: &Path, series: &Series) -> Result<Vec<f64>, String> {
    let detector = folder.file_name().unwrap_or_default().to_string_lossy();
    let (category, file) = series.name.split_once('/').ok_or_else(|| format!("{}: no category", series.name))?;
    let places = [folder.join(category).join(file), folder.join(category).join(format!("{detector}_{file}"))];
    let place =
        places.iter().find(|place| place.is_file()).ok_or_else(|| format!("{} is missing", places[0].display()))?;
    let text = text(place)?;
    let mut lines = text.lines();
    let column = lines.next().unwrap_or_default().split(',').position(|name| name == "anomaly_score");
    let column = column.ok_or_else(|| format!("{} has no column anomaly_score", place.display()))?;
    let score = |line: &str| line.split(',').nth(column)?.trim().parse().ok();
    lines.map(|line| score(line).ok_or_else(|| format!("{}: {line:?} has no score", place.display()))).collect()
}

pub fn judge(data: &Path, results: Option<&Path>, export: Option<&Path>) -> Result<(), String> {
    let corpus = read(data)?;
    let mut judged = Vec::new();
    for one in &corpus {
        let scores = results.map_or_else(|| Ok(scores(&one.rows)), |folder| published(folder, one))?;
        if let Some(folder) = export {
            write(folder, one, &scores)?;
        }
        judged.push((Labels { rows: one.rows.len(), windows: one.windows.clone() }, scores));
    }
    let rows: usize = corpus.iter().map(|one| one.rows.len()).sum();
    let windows: usize = corpus.iter().map(|one| one.windows.len()).sum();
    println!("NAB: {} series, {rows} rows, {windows} windows\n", corpus.len());
    println!(
        "| profile | score | left one out | threshold | windows found | false alarms |\n|---|---|---|---|---|---|"
    );
    for profile in PROFILES {
        let Verdict { score, left_out, threshold, hits, windows, false_alarms, .. } = scorer::judge(&judged, profile);
        let name = profile.name;
        println!("| {name} | {score:.1} | {left_out:.1} | {threshold:.4} | {hits} of {windows} | {false_alarms} |");
    }
    println!("\nleft one out: each series by the threshold that is best for all the others.");
    if results.is_none() {
        println!("chosen on this corpus: {CHOSEN}.");
    }
    println!();
    by_series(&corpus, &judged);
    Ok(())
}

/// The standard profile's, as it is summed up: +1 a window found at once, -1 a window missed, -0.11 a false alarm.
fn by_series(corpus: &[Series], judged: &[(Labels, Vec<f64>)]) {
    let verdict = scorer::judge(judged, PROFILES[0]);
    for (one, worth) in corpus.iter().zip(verdict.by_series) {
        println!("{:>7.2} of {}  {}", worth, one.windows.len(), one.name);
    }
    println!();
}

fn write(folder: &Path, series: &Series, scores: &[f64]) -> Result<(), String> {
    let detector = folder.file_name().unwrap_or_default().to_string_lossy();
    let (category, file) = series.name.split_once('/').unwrap_or(("", &series.name));
    let path = folder.join(category).join(format!("{detector}_{file}"));
    let mut out = "timestamp,value,anomaly_score,label\n".to_owned();
    for (row, (Row { sample, .. }, score)) in series.rows.iter().zip(scores).enumerate() {
        let time = jiff::Timestamp::from_millisecond(sample.at.0).map_err(|problem| problem.to_string())?;
        let label = u8::from(series.windows.iter().any(|(from, to)| (*from..=*to).contains(&row)));
        out += &format!("{},{},{score},{label}\n", time.strftime("%Y-%m-%d %H:%M:%S"), sample.value);
    }
    fs::create_dir_all(folder.join(category)).map_err(|problem| format!("{}: {problem}", folder.display()))?;
    fs::write(&path, out).map_err(|problem| format!("{}: {problem}", path.display()))
}

fn text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|problem| format!("{}: {problem}", path.display()))
}
