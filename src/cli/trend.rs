//! `fairlead trend backtest`: what rules of trends would have said of a recorded series. Touches no broker.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use clap::{Args, Subcommand};

use super::output::{Output, print, print_json};
use crate::trend::backtest::{Outcome, Report, backtest};
use crate::trend::rule::Rule;
use crate::trend::{csv, plot};

#[derive(Args)]
pub struct TrendCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Say what rules would have detected in a recorded series, and how early and how rightly if it is labelled
    Backtest(Backtest),
}

#[derive(Args)]
struct Backtest {
    /// Lines of timestamp,value or timestamp,value,label
    #[arg(long, value_name = "FILE.csv")]
    data: PathBuf,
    /// A list of rules; the detector `unusual` if no rule is given
    #[arg(long, value_name = "FILE.yaml")]
    rules: Option<PathBuf>,
    /// One rule, as in --rules: `{name: full, detect: {forecast: {above: 90, horizon_secs: 14400}}}`
    #[arg(long, value_name = "YAML")]
    rule: Vec<String>,
    /// Also draw the series and the detections
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl TrendCommand {
    pub fn run(self) -> Result<()> {
        let What::Backtest(command) = self.what;
        command.run()
    }
}

impl Backtest {
    fn run(self) -> Result<()> {
        let rules = self.rules()?;
        let rows = csv::rows(&read(&self.data)?).map_err(|problem| anyhow!("{}: {problem}", self.data.display()))?;
        let report = backtest(&rules, &rows);
        if let Some(path) = &self.svg {
            let title = self.data.file_name().unwrap_or_default().to_string_lossy();
            let picture = plot::svg(&title, &rows, &report);
            std::fs::write(path, picture).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        match self.output {
            Output::Text => print(&text(&report)),
            Output::Json => print_json(&report),
        }
    }

    fn rules(&self) -> Result<Vec<Rule>> {
        let mut rules: Vec<Rule> = match &self.rules {
            Some(path) => {
                serde_saphyr::from_str(&read(path)?).map_err(|problem| anyhow!("{}: {problem}", path.display()))?
            }
            None => Vec::new(),
        };
        for rule in &self.rule {
            rules.push(serde_saphyr::from_str(rule).map_err(|problem| anyhow!("--rule {rule}: {problem}"))?);
        }
        if rules.is_empty() {
            rules.push(serde_saphyr::from_str("{ name: unusual, detect: { unusual: {} } }")?);
        }
        let problems: Vec<String> = rules.iter().flat_map(Rule::problems).collect();
        ensure!(problems.is_empty(), "{}", problems.join("\n"));
        Ok(rules)
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn text(report: &Report) -> String {
    let labelled = report.labelled.map_or("no labels".to_owned(), |labelled| format!("{labelled} labelled stretches"));
    let mut out = format!("{} samples, {:.1} days, {labelled}\n", report.samples, report.days);
    report.rules.iter().for_each(|outcome| out += &of_rule(outcome, report.labelled));
    out
}

fn of_rule(outcome: &Outcome, labelled: Option<usize>) -> String {
    let (count, rate) = (outcome.detections.len(), outcome.detections_a_day);
    let mut out = format!("\n{}: {count} detections, {rate:.2} a day\n", outcome.rule);
    if let (Some(judged), Some(labelled)) = (&outcome.judged, labelled) {
        let precision = judged.precision.map_or("-".to_owned(), |part| format!("{:.0} %", 100.0 * part));
        let lead = judged.lead_secs.map_or("-".to_owned(), |secs| format!("{:.1} min", secs / 60.0));
        out += &format!("  precision {precision}, found {} of {labelled}, lead time {lead}\n", judged.found);
    }
    for (why, count) in &outcome.dropped {
        out += &format!("  dropped {count}: {why}\n");
    }
    for one in &outcome.detections {
        let time = |ms: i64| jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string());
        let until = one.ended_at_ms.map_or("still there".to_owned(), |ms| format!("until {}", time(ms)));
        let right = one.right.map_or("", |right| if right { "right  " } else { "wrong  " });
        out += &format!("  {}  {right}{}  {}  ({until})\n", time(one.began_at_ms), one.sparkline, one.reason);
    }
    out
}
