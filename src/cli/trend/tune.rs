//! `fairlead trend tune`: which parameters of one rule suit recorded series best.

use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde_json::Value;

use super::data::{Data, Rules};
use crate::cli::output::{Output, print, print_json};
use crate::cli::progress::Steps;
use crate::trend::tune::{Figures, Tried, Tuned, tune};

#[derive(Args)]
pub struct Tune {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    rules: Rules,
    /// Which of the rules, if there are several
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// What tells more on all series together loses to what does not; without labels it is 1 unless given
    #[arg(long, value_name = "N")]
    alerts_per_day_max: Option<f64>,
    /// So many rows of the table
    #[arg(long, default_value_t = 12)]
    top: usize,
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Tune {
    pub async fn run(self) -> Result<()> {
        let rule = self.rule()?;
        let all = self.data.read().await?;
        let mut steps = Steps::start("runs");
        let tuned = tune(&rule, &all, self.alerts_per_day_max, &mut |runs| steps.step(Some(runs)));
        steps.end();
        let tuned = tuned.map_err(|problem| anyhow!(problem))?;
        match self.output {
            Output::Text => print(&text(&tuned, self.top.max(1))),
            Output::Json => print_json(&tuned),
        }
    }

    fn rule(&self) -> Result<Value> {
        let name = |rule: &Value| rule.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut rules = self.rules.read()?;
        let names: Vec<String> = rules.iter().map(name).collect();
        if let Some(only) = &self.only {
            rules.retain(|rule| name(rule) == *only);
        }
        match (rules.pop(), rules.is_empty()) {
            (Some(rule), true) => Ok(rule),
            _ => bail!("one rule is tuned at a time: name it with --only ({})", names.join(", ")),
        }
    }
}

fn text(tuned: &Tuned, top: usize) -> String {
    let labelled = tuned.labelled.map_or("no labels".to_owned(), |labelled| format!("{labelled} labelled stretches"));
    let most = tuned.alerts_per_day_max.map(|most| format!(", at most {most} alerts a day")).unwrap_or_default();
    let mut out = format!("{} series, {:.1} days, {labelled}{most}\n\n", tuned.series, tuned.days);
    let row = |first: &str, cells: [String; 5]| {
        let [f1, precision, found, lead, rate] = cells;
        format!("{f1:>5} {precision:>10} {found:>10} {lead:>12} {rate:>11}  {first}\n")
    };
    out += &row("changed", ["F1", "precision", "found", "lead time", "alerts/day"].map(str::to_owned));
    for one in tuned.tried.iter().take(top) {
        let too_much = if one.within { "" } else { " (tells more than it may)" };
        let changed = if one.changed.is_empty() { "as given" } else { &one.changed };
        out += &row(&format!("{changed}{too_much}"), cells(&one.figures, tuned.labelled));
    }
    if tuned.tried.len() > top {
        out += &format!("{:>52}  … and {} more\n", "", tuned.tried.len() - top);
    }
    out += &match &tuned.left_out {
        Some(figures) => row("each series by what is best for the others", cells(figures, tuned.labelled)),
        None => "One series: the figures are of what was tuned on, and say little of others.\n".to_owned(),
    };
    if let Some(Tried { rule, .. }) = tuned.tried.first() {
        out += &format!("\nThe best, to be pasted:\n- {rule}\n");
    }
    out
}

fn cells(figures: &Figures, labelled: Option<usize>) -> [String; 5] {
    let judged = figures.judged.as_ref().zip(labelled).map(|(judged, labelled)| super::judged(judged, labelled));
    let [precision, found, lead] = judged.unwrap_or_else(|| ["-", "-", "-"].map(str::to_owned));
    let f1 = figures.f1.map_or("-".to_owned(), |f1| format!("{f1:.2}"));
    [f1, precision, found, lead, format!("{:.2}", figures.detections_a_day)]
}
