//! `GET /charts/<text>.png`: the picture of a trend, drawn from nothing but its link.
//!
//! Slack fetches it, which has no token of ours, so none is asked for: a link shows a line and no word, number or name, to whoever has it,
//! and whoever makes one up learns nothing and says nothing. 404 for what is no chart, before anything is drawn. Always: at most
//! [`AT_ONCE`] pictures are drawn at once, the others wait, each behind a connection of its own, of which the listener has so many; who
//! waits too long is told to come again. Served only where `slack.charts` says where pictures are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;

use super::metrics::Metrics;
use crate::trend::chart::{Chart, SUFFIX};
use crate::trend::picture;

const PATH: &str = "/charts/{name}";
const AT_ONCE: usize = 2;
/// Shorter than Slack waits for a picture.
const WAIT: Duration = Duration::from_secs(2);
/// The picture of a link never changes.
const CACHE: &str = "public, max-age=31536000, immutable";

struct Drawing {
    places: Semaphore,
    metrics: Metrics,
}

pub(super) fn routes<S: Clone + Send + Sync + 'static>(metrics: Metrics) -> Router<S> {
    let drawing = Drawing { places: Semaphore::new(AT_ONCE), metrics };
    Router::new().route(PATH, get(serve)).with_state(Arc::new(drawing))
}

async fn serve(State(drawing): State<Arc<Drawing>>, Path(name): Path<String>) -> Response {
    let began = Instant::now();
    let response = match draw(&drawing, &name).await {
        Ok(png) => ([(header::CONTENT_TYPE, "image/png"), (header::CACHE_CONTROL, CACHE)], png).into_response(),
        Err((status, why)) => (status, format!("{why}\n")).into_response(),
    };
    drawing.metrics.answered(PATH, response.status().as_u16(), began.elapsed());
    response
}

async fn draw(drawing: &Drawing, name: &str) -> Result<Vec<u8>, (StatusCode, String)> {
    let chart = name.strip_suffix(SUFFIX).ok_or("a picture's name ends with .png").and_then(Chart::parse);
    let chart = chart.map_err(|why| (StatusCode::NOT_FOUND, format!("no picture: {why}")))?;
    let busy = || (StatusCode::SERVICE_UNAVAILABLE, "too many pictures at once; ask again a little later".to_owned());
    let place = tokio::time::timeout(WAIT, drawing.places.acquire()).await.ok().and_then(Result::ok);
    let _place = place.ok_or_else(busy)?;
    let drawn = tokio::task::spawn_blocking(move || picture::png(&chart)).await;
    drawn.map_err(|error| error.to_string()).flatten().map_err(|why| (StatusCode::INTERNAL_SERVER_ERROR, why))
}
