//! `fairlead trend`: rules of trends on recorded series. Writes to no broker.

mod backtest;
mod data;
mod tune;

use anyhow::Result;
use clap::{Args, Subcommand};

#[derive(Args)]
pub struct TrendCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Say what rules would have detected in recorded series, and how early and how rightly where they are labelled
    Backtest(backtest::Backtest),
    /// Try a rule's parameters on recorded series, and say which suit them best
    Tune(tune::Tune),
}

impl TrendCommand {
    pub async fn run(self) -> Result<()> {
        match self.what {
            What::Backtest(command) => command.run().await,
            What::Tune(command) => command.run().await,
        }
    }
}

/// How right and how early, for people.
fn judged(judged: &crate::trend::backtest::Judged, labelled: usize) -> [String; 3] {
    let precision = judged.precision.map_or("-".to_owned(), |part| format!("{:.0} %", 100.0 * part));
    let lead = judged.lead_secs.map_or("-".to_owned(), |secs| format!("{:.1} min", secs / 60.0));
    [precision, format!("{} of {labelled}", judged.found), lead]
}
