//! `fairlead mirror run`: one flow alone, with its metrics.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::http::StatusCode;
use axum::routing::get;
use clap::Args;
use prometheus::{Registry, TextEncoder};

use crate::app::{Endpoints, Serving, mirrors, source};
use crate::cli::{problems, run::signalled};
use crate::clock::Clock;
use crate::mirror::copy::Copies;
use crate::runtime::failpoint;

#[derive(Args)]
pub struct Run {
    /// Directory of the topology's files
    #[arg(long, default_value = "topology", env = "FAIRLEAD_TOPOLOGY")]
    topology: PathBuf,
    /// Name of the mirror, as the topology has it
    #[arg(long)]
    flow: String,
    /// Where /metrics, /healthz and /readyz are served; without it they are not
    #[arg(long)]
    listen: Option<SocketAddr>,
}

impl Run {
    pub async fn run(self) -> Result<()> {
        failpoint::arm_by_environment();
        let topology = problems::require_and_warn(source::load(&self.topology)?)?;
        let endpoints = Endpoints::resolve(&topology.settings, Serving::default())?;
        let flows = mirrors::flows(&topology, &endpoints, Some(&self.flow), &Clock::wall()).await?;
        let registry = Registry::new();
        let copies = Arc::new(Copies::start(flows, &registry)?);
        if let Some(listen) = self.listen {
            serve(listen, registry, Arc::downgrade(&copies)).await?;
        }
        tracing::info!(flow = self.flow, "the mirror runs");
        signalled()?.await;
        tracing::info!("stopping: what was read is committed first");
        let stopped = tokio::task::spawn_blocking(move || match Arc::into_inner(copies) {
            Some(copies) => copies.stop().map_err(anyhow::Error::from),
            None => Ok(()),
        });
        stopped.await.context("stopping failed")?
    }
}

async fn serve(listen: SocketAddr, registry: Registry, copies: std::sync::Weak<Copies>) -> Result<()> {
    let ready = move || {
        let answer = match copies.upgrade() {
            Some(copies) => match copies.stopped() {
                Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
                None if copies.ready() => (StatusCode::OK, "ready\n".to_owned()),
                None => (StatusCode::SERVICE_UNAVAILABLE, "shards are not assigned yet, or begin\n".to_owned()),
            },
            None => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()),
        };
        std::future::ready(answer)
    };
    let metrics = move || {
        let told = TextEncoder::new().encode_to_string(&registry.gather());
        std::future::ready(told.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
    };
    let router = axum::Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(ready));
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    tracing::info!(address = %listener.local_addr()?, "metrics are served");
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}
