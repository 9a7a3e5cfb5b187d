//! `fairlead demo`: a recorded night through the whole of it, in less than a minute, with nothing installed.
//!
//! Embedded broker and registry, a stand-in for Slack, and the shipped topology; the clock runs fast, so that a three-hour
//! night with all its timers fits. Not here: anything that `fairlead run` would do otherwise.

mod night;
mod summary;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::night::{Night, Sent};
use self::summary::Watch;
use super::problems;
use super::run::until_stopped;
use crate::app::{App, Options, source};
use crate::clock::Clock;
use crate::embedded::slack::{FakeSlack, Sockets, Workspace};
use crate::topology::plan::Topology;
use crate::topology::template::Template;

/// Of the stand-in and of the demo's own endpoints: this is loopback, and the data is made up.
const SLACK_TOKEN: &str = "xoxb-demo-0000000000";
const INGEST_TOKEN: &str = "demo-token-0000000000";
/// How much faster than the wall the night passes.
const SPEED: u32 = 300;
/// Real time after which the night must be over.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Args)]
pub struct Demo {
    /// Directory of the topology's files
    #[arg(long, default_value = "topology", env = "FAIRLEAD_TOPOLOGY")]
    topology: PathBuf,
    /// A Kafka cluster to use instead of the embedded broker
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Stay up afterwards, by the wall clock, to send alerts by hand or point a Prometheus at it
    #[arg(long)]
    keep: bool,
    /// Address of HTTP
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

impl Demo {
    pub async fn run(self) -> Result<()> {
        let scratch = Scratch::new()?;
        let night = Night::recorded()?;
        let (length_ms, wall) = (night.length_ms(), Clock::wall().now());
        let night = night.moved_to(wall.plus_ms(-length_ms))?;
        let clock = Clock::compressed(wall.plus_ms(-length_ms), SPEED);
        let topology = problems::require_and_warn(source::load(&self.topology)?)?;
        let channels = channels(&topology);
        let names: Vec<&str> = channels.iter().map(String::as_str).collect();
        let slack = FakeSlack::start(Workspace::new(SLACK_TOKEN, &names), clock.clone()).await?;
        let topology = self.lead(topology, &scratch.0, &slack)?;

        println!("starting: {}", if self.kafka.is_some() { "your Kafka, embedded registry" } else { "all embedded" });
        let app =
            App::start(topology.clone(), Options { clock: clock.clone(), embedded_dir: scratch.0.clone() }).await?;
        let address = app.address().context("the topology has no ingest section: the demo needs one")?;
        wait_until("the workers are ready", || app.ready() || app.failed()).await?;
        ensure!(!app.failed(), "a worker failed; the log says why");

        let watch = Watch::start(&app, &topology, clock.clone())?;
        let sent = replay(&night, address, &clock, &slack).await?;
        watch.until_quiet(&slack, PATIENCE).await?;
        println!("\n{}", slack.threads());
        println!("{}", watch.summary(sent, &slack));
        if self.keep {
            println!("fairlead stays up until Ctrl-C. Send an alert of your own:\n{}", example(address));
            println!("The threads as text: curl -s {}", slack.base_url().replace("/api/", "/threads"));
            until_stopped(&app).await?;
        }
        // It is a client of the broker that is stopped next.
        drop(watch);
        app.stop().await
    }

    /// The topology, led to what the demo started.
    fn lead(&self, mut topology: Topology, scratch: &Path, slack: &FakeSlack) -> Result<Topology> {
        let settings = &mut topology.settings;
        settings.kafka.bootstrap_servers = self.kafka.clone().map(plain).transpose()?;
        settings.registry.url = None;
        settings.engine.state_dir = scratch.join("state");
        settings.http.listen = self.listen.to_string();
        if let Some(ingest) = &mut settings.ingest {
            ingest.token = Some(plain(INGEST_TOKEN.to_owned())?);
        }
        if let Some(section) = &mut settings.slack {
            section.url = Some(plain(slack.base_url())?);
            section.token = Some(plain(SLACK_TOKEN.to_owned())?);
            // Where clicks are taken, they are the stand-in's.
            if section.signing_secret.is_some() {
                section.signing_secret = Some(plain(Workspace::SIGNING_SECRET.to_owned())?);
            }
            if section.app_token.is_some() {
                section.app_token = Some(plain(Sockets::APP_TOKEN.to_owned())?);
            }
        }
        Ok(topology)
    }
}

/// Every channel that an operator's configuration names, without its `#`.
fn channels(topology: &Topology) -> Vec<String> {
    let mut channels = std::collections::BTreeSet::new();
    for node in topology.sub_topologies.values().flat_map(|plan| &plan.nodes) {
        for rest in node.config.to_string().split("\"#").skip(1) {
            channels.extend(rest.split('"').next().map(str::to_owned));
        }
    }
    channels.into_iter().collect()
}

fn plain(text: String) -> Result<Template> {
    Template::try_from(text).map_err(anyhow::Error::msg)
}

/// Sends the night as it was sent, by the fast clock.
async fn replay(night: &Night, address: SocketAddr, clock: &Clock, slack: &FakeSlack) -> Result<usize> {
    let client = reqwest::Client::new();
    let begin = night.begin.as_millisecond();
    for (number, sent) in night.sent.iter().enumerate() {
        // Bounded by the length of the night.
        let due = crate::record::EventTime(begin + (sent.at_secs * 1_000.0) as i64);
        tokio::time::sleep(clock.until(due)).await;
        post(&client, address, sent).await?;
        summary::progress(number + 1, night.sent.len(), sent.at_secs, slack);
    }
    println!();
    Ok(night.sent.len())
}

async fn post(client: &reqwest::Client, address: SocketAddr, sent: &Sent) -> Result<()> {
    let mut request = client.post(format!("http://{address}{}", sent.endpoint)).bearer_auth(INGEST_TOKEN);
    for (name, value) in &sent.headers {
        request = request.header(name, value);
    }
    if !sent.headers.contains_key("content-type") {
        request = request.header("content-type", "application/json");
    }
    let answer = request.body(sent.body.to_string()).send().await.context("fairlead does not answer")?;
    let status = answer.status();
    ensure!(status.is_success(), "{} was answered with {status}: {}", sent.endpoint, answer.text().await?);
    Ok(())
}

async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let until = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        ensure!(tokio::time::Instant::now() < until, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn example(address: SocketAddr) -> String {
    format!(
        "  curl -s http://{address}/api/v2/alerts -H 'Authorization: Bearer {INGEST_TOKEN}' -H 'Content-Type: \
         application/json' \\\n    -d '[{{\"labels\":{{\"alertname\":\"HighErrorRatio\",\"service\":\"checkout\",\
         \"severity\":\"critical\"}}}}]'"
    )
}

/// A directory that goes with the demo.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("fairlead-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "the demo's directory was not removed");
        }
    }
}
