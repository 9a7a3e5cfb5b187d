//! `fairlead embedded`: the single-node broker and the registry alone, for anything that speaks Kafka.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::app::Embedded;

#[derive(Args)]
pub struct EmbeddedCommand {
    /// Where topics, offsets and schemas are kept
    #[arg(long, default_value = "data", env = "FAIRLEAD_DATA")]
    data: PathBuf,
    /// Address of the Kafka protocol; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:9092")]
    broker: SocketAddr,
    /// Address of the schema registry
    #[arg(long, default_value = "127.0.0.1:8081")]
    registry: SocketAddr,
}

impl EmbeddedCommand {
    pub async fn run(self) -> Result<()> {
        let embedded = Embedded::start(&self.data, self.broker, self.registry)?;
        println!("kafka     {}", embedded.bootstrap_servers());
        println!("registry  {}", embedded.registry_url().unwrap_or_default());
        println!("one node, no replication: for trying, developing and a small team's on-call");
        tokio::signal::ctrl_c().await?;
        embedded.stop();
        Ok(())
    }
}
