//! What the detectors of trends are worth, and what they cost.
//!
//! `cargo bench --no-default-features --bench trend -- [nab] [ramps] [speed] [operator] [--data DIR] [--results DIR] [--export DIR] [--seeds N] [--series N]`; without a
//! name, all four. `nab` judges by the Numenta Anomaly Benchmark: its series and labels lie in `--data` (or `NAB_DATA`), in its own
//! layout; `--results` scores another detector's published result files instead, `--export` writes ours in the benchmark's format.
//! `ramps` measures the forecast on series whose crossing is known, `speed` the samples a second of one core over 100,000 series in the
//! detectors alone, `operator` in the whole stage, states decoded and encoded.

mod nab;
mod operator;
mod ramps;
mod scorer;
mod speed;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let (mut names, mut data, mut results, mut export) = (Vec::new(), nab::data(), None, None);
    let (mut seeds, mut series) = (6, 100_000);
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let number = |text: Option<String>| text.and_then(|text| text.parse::<usize>().ok()).ok_or("give a number");
        if argument == "--seeds" {
            seeds = number(arguments.next())? as u64;
            continue;
        }
        if argument == "--series" {
            series = number(arguments.next())?;
            continue;
        }
        let mut folder = || arguments.next().map(PathBuf::from).ok_or_else(|| format!("{argument} needs a folder"));
        match argument.as_str() {
            "--data" => data = Some(folder()?),
            "--results" => results = Some(folder()?),
            "--export" => export = Some(folder()?),
            "nab" | "ramps" | "speed" | "operator" => names.push(argument),
            _ => {
                return Err(format!(
                    "{argument}: what is meant is nab, ramps, speed, operator, --data, --results or --export"
                ));
            }
        }
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|one| one == name);
    if wanted("nab") {
        let data = data.ok_or("the series of NAB are not here: name their folder with --data or NAB_DATA")?;
        nab::judge(&data, results.as_deref(), export.as_deref())?;
    }
    if wanted("ramps") {
        ramps::measure(seeds).print();
    }
    if wanted("speed") {
        speed::measure(series);
    }
    if wanted("operator") {
        operator::measure(series);
    }
    Ok(())
}
