//! `fairlead dead-letter`: what could not be processed: listed, shown, put back.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::output::{Output, print, print_json};
use super::reach::Reach;
use crate::clock::Clock;
use crate::dead_letters::{self, Choice, Full, Line, Moment, Outcome, Shelf, Wish};
use crate::topology::dead_letter::Reason;

#[derive(Args)]
pub struct DeadLetterCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// The newest letters
    List(List),
    /// All that is known of one letter
    Show(Show),
    /// Put originals back on their topic and partition, exactly once
    Retry(Retry),
}

#[derive(Args)]
struct List {
    /// Only originals of this topic
    #[arg(long)]
    topic: Option<String>,
    /// Only these: no_key, other_key, no_value, no_envelope, unknown_schema, other_record, undecodable
    #[arg(long)]
    reason: Option<Reason>,
    /// Only those that died since: 30m, 2h, 7d, or a time such as 2026-11-23T08:00:00Z
    #[arg(long)]
    since: Option<Moment>,
    /// Only those that were never put back
    #[arg(long)]
    open: bool,
    /// At most so many, the newest
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    reach: Reach,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

#[derive(Args)]
struct Show {
    /// topic/partition/offset of the original, as `list` shows it
    id: String,
    #[command(flatten)]
    reach: Reach,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

#[derive(Args)]
struct Retry {
    /// topic/partition/offset of the originals, as `list` shows them
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// Every letter that was never put back
    #[arg(long)]
    all: bool,
    /// With --all: only originals of this topic
    #[arg(long, requires = "all")]
    topic: Option<String>,
    /// With --all: only those that died of this
    #[arg(long, requires = "all")]
    reason: Option<Reason>,
    /// With --all: only those that died since
    #[arg(long, requires = "all")]
    since: Option<Moment>,
    /// Those too that were put back before
    #[arg(long)]
    again: bool,
    /// Say what would be put back, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reach: Reach,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl DeadLetterCommand {
    pub async fn run(self) -> Result<ExitCode> {
        match self.verb {
            Verb::List(list) => list.run().await.map(|()| ExitCode::SUCCESS),
            Verb::Show(show) => show.run().await.map(|()| ExitCode::SUCCESS),
            Verb::Retry(retry) => retry.run().await,
        }
    }
}

fn choice(topic: Option<String>, reason: Option<Reason>, since: Option<Moment>, open: bool) -> Choice {
    Choice { topic, reason, since: since.map(|moment| moment.from(Clock::wall().now())), open }
}

impl List {
    async fn run(self) -> Result<()> {
        let choice = choice(self.topic, self.reason, self.since, self.open);
        let mut cluster = self.reach.cluster().await?;
        let shelf = Shelf::read(&mut cluster).await?;
        let (mut kept, mut more, mut unreadable) = (VecDeque::new(), 0, Vec::new());
        shelf.letters(&mut cluster, |letter| {
            match letter {
                Ok(letter) if choice.takes(&letter) => kept.push_back(Line::from(&letter)),
                Ok(_) => {}
                Err(none) => unreadable.push(format!("{} is no letter: {}", none.place, none.why)),
            }
            if kept.len() > self.limit {
                kept.pop_front();
                more += 1;
            }
            ControlFlow::Continue(())
        })?;
        unreadable.iter().for_each(|told| tracing::warn!("{told}"));
        let kept: Vec<_> = kept.into();
        match self.output {
            Output::Json => print_json(&kept),
            Output::Text if kept.is_empty() => print("no dead letters\n"),
            Output::Text => {
                let older = if more == 0 { String::new() } else { format!("{more} older ones: --limit\n") };
                print(&(dead_letters::lines(&kept) + &older))
            }
        }
    }
}

impl Show {
    async fn run(self) -> Result<()> {
        let mut cluster = self.reach.cluster().await?;
        let shelf = Shelf::read(&mut cluster).await?;
        let mut found = Vec::new();
        shelf.letters(&mut cluster, |letter| {
            found.extend(letter.iter().filter(|letter| letter.letter.id() == self.id).map(Full::from));
            ControlFlow::Continue(())
        })?;
        if found.is_empty() {
            bail!("there is no dead letter {}; `fairlead dead-letter list` shows them", self.id);
        }
        match self.output {
            Output::Json => print_json(&found),
            Output::Text => print(&found.iter().map(Full::text).collect::<Vec<_>>().join("\n")),
        }
    }
}

impl Retry {
    /// 1 if a letter that was asked for could not be put back.
    async fn run(self) -> Result<ExitCode> {
        let mut cluster = self.reach.cluster().await?;
        let wish = Wish {
            ids: self.ids,
            choice: choice(self.topic, self.reason, self.since, false),
            again: self.again,
            dry_run: self.dry_run,
        };
        let outcome = dead_letters::retry(&mut cluster, &wish, Clock::wall().now(), progress).await?;
        match self.output {
            Output::Json => print_json(&outcome)?,
            Output::Text => print(&text(&outcome))?,
        }
        Ok(if outcome.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// On a terminal, and only where it takes long enough to be seen.
fn progress(retried: usize) {
    if retried >= 500 && std::io::stderr().is_terminal() {
        eprint!("\r{retried} put back");
    }
}

fn text(outcome: &Outcome) -> String {
    let done = if outcome.dry_run { "would be put back on" } else { "put back on" };
    let retried = outcome.retried.iter().map(|one| format!("{}  {done} {}\n", one.id, one.told));
    let skipped =
        outcome.skipped.iter().map(|one| format!("{}  was put back {}; --again does it once more\n", one.id, one.told));
    let failed = outcome.failed.iter().map(|why| format!("not put back: {why}\n"));
    let all: String = retried.chain(skipped).chain(failed).collect();
    if all.is_empty() { "nothing to put back\n".to_owned() } else { all }
}
