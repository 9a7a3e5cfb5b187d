//! `fairlead template`: what to paste into systems that send no format of their own.

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::output::print;
use crate::ingest::templates;

#[derive(Args)]
pub struct Template {
    /// The system that shall send
    system: System,
}

#[derive(Clone, Copy, ValueEnum)]
enum System {
    /// The payload of a webhook, for POST /webhooks/datadog
    Datadog,
    /// A ConfigMap for Argo CD's notifications, for POST /webhooks/cloudevents
    ArgoCd,
}

impl Template {
    pub fn run(self) -> Result<()> {
        print(match self.system {
            System::Datadog => templates::DATADOG,
            System::ArgoCd => templates::ARGO_CD,
        })
    }
}
