//! `fairlead trend backtest`: what rules would have said of recorded series.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;

use super::data::{Data, Rules};
use crate::cli::output::{Output, print, print_json};
use crate::trend::backtest::{Outcome, Report, backtest};
use crate::trend::plot;
use crate::trend::rule::Rule;

#[derive(Args)]
pub struct Backtest {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    rules: Rules,
    /// Also draw the series and the detections
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Backtest {
    pub async fn run(self) -> Result<()> {
        let read = |written| serde_json::from_value(written).map_err(|problem| anyhow!("a rule: {problem}"));
        let rules: Vec<Rule> = self.rules.read()?.into_iter().map(read).collect::<Result<_>>()?;
        let problems: Vec<String> = rules.iter().flat_map(Rule::problems).collect();
        ensure!(problems.is_empty(), "{}", problems.join("\n"));
        let all = self.data.read().await?;
        let report = backtest(&rules, &all);
        if let Some(path) = &self.svg {
            let picture = plot::svg(&self.data.title()?, &all, &report);
            std::fs::write(path, picture).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        match self.output {
            Output::Text => print(&text(&report)),
            Output::Json => print_json(&report),
        }
    }
}

fn text(report: &Report) -> String {
    let labelled = report.labelled.map_or("no labels".to_owned(), |labelled| format!("{labelled} labelled stretches"));
    let series = if report.series == 1 { String::new() } else { format!("{} series, ", report.series) };
    let mut out = format!("{series}{} samples, {:.1} days, {labelled}\n", report.samples, report.days);
    report.rules.iter().for_each(|outcome| out += &of_rule(outcome, report));
    out
}

fn of_rule(outcome: &Outcome, report: &Report) -> String {
    let (count, rate) = (outcome.detections.len(), outcome.detections_a_day);
    let mut out = format!("\n{}: {count} detections, {rate:.2} a day\n", outcome.rule);
    if let (Some(judged), Some(labelled)) = (&outcome.judged, report.labelled) {
        let [precision, found, lead] = super::judged(judged, labelled);
        out += &format!("  precision {precision}, found {found}, lead time {lead}\n");
    }
    for (why, count) in &outcome.dropped {
        out += &format!("  dropped {count}: {why}\n");
    }
    let mut series = "";
    for one in &outcome.detections {
        if report.series > 1 && one.series != series {
            series = &one.series;
            out += &format!("  {series}\n");
        }
        let time = |ms: i64| jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string());
        let until = one.ended_at_ms.map_or("still there".to_owned(), |ms| format!("until {}", time(ms)));
        let right = one.right.map_or("", |right| if right { "right  " } else { "wrong  " });
        out += &format!("  {}  {right}{}  {}  ({until})\n", time(one.began_at_ms), one.sparkline, one.reason);
    }
    out
}
