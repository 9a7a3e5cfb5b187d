//! `fairlead offsets translate`: what an offset of a mirrored topic is on the other side. Read from the topic of ranges alone; a
//! running mirror is not asked. Exit code 1 if there is no offset to go on from (yet).

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::output::{Output, print, print_json};
use super::reach::Reach;
use crate::app::{carried, provision};
use crate::log::kafka::KafkaReader;
use crate::mirror::offsets::answer::State;
use crate::mirror::offsets::recorded::{Question, answer};

#[derive(Args)]
pub struct OffsetsCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Say what an offset of a mirrored topic is on the other side
    Translate(Translate),
}

#[derive(Args)]
struct Translate {
    /// Name of the mirror, as the topology has it
    #[arg(long)]
    flow: String,
    /// Topic of the source; with --reverse of the target
    #[arg(long)]
    topic: String,
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    partition: i32,
    /// The next to be read, as groups commit it
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
    offset: i64,
    /// From the target back to the source
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    reach: Reach,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl OffsetsCommand {
    pub async fn run(self) -> Result<ExitCode> {
        match self.verb {
            Verb::Translate(command) => command.run().await,
        }
    }
}

impl Translate {
    async fn run(self) -> Result<ExitCode> {
        let (topology, endpoints) = self.reach.endpoints()?;
        let flows = provision::flows(&topology, &endpoints, Some(&self.flow))?;
        let Some(flow) = flows.first() else { anyhow::bail!("there is no mirror `{}`", self.flow) };
        let (formats, schemas) = carried::readable(&endpoints)?;
        let (connection, group) = (flow.target.connection.clone(), flow.reader_group.clone());
        let topic = crate::record::Topic::from(&*flow.mirror.offsets);
        let Self { flow, topic: of, partition, offset, reverse, .. } = &self;
        let question = Question {
            flow: flow.clone(),
            topic: of.clone(),
            partition: *partition,
            offset: *offset,
            reverse: *reverse,
        };
        let asked = tokio::task::spawn_blocking(move || {
            let mut reader = KafkaReader::new(&connection, &group)?;
            answer(&mut reader, &topic, (formats, schemas), &question)
        });
        let answer = asked.await??.map_err(anyhow::Error::from)?;
        match self.output {
            Output::Text => print(&answer.text())?,
            Output::Json => print_json(&answer)?,
        }
        Ok(if answer.state == State::Waiting { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
