//! Prometheus' part: series that are known by heart, in requests of remote write 1.0, over a few connections.
//!
//! A series is always sent over the same connection, and the next of its samples only when the last were taken, so that they are in order.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use fairlead::ingest::samples::protobuf::Writer;

use crate::Args;
use crate::site::Site;

const EVERY_MS: i64 = 15_000;
/// How long ago the first samples were measured.
const SINCE_MS: i64 = 7 * 86_400_000;
const PAUSE: Duration = Duration::from_millis(50);

pub struct Senders {
    url: String,
    client: reqwest::Client,
    /// The labels of each series, encoded; a part for each sender.
    parts: Vec<Vec<Vec<u8>>>,
    batch: usize,
    next_ms: i64,
}

impl Senders {
    pub fn new(args: &Args, site: &Site) -> Self {
        let labels: Vec<_> = (0..args.series).map(labels).collect();
        let parts = labels.chunks(args.series.div_ceil(args.senders)).map(<[_]>::to_vec).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let next_ms = i64::try_from(now).expect("before the year 292 million") - SINCE_MS;
        Self { url: site.write_url(), client: reqwest::Client::new(), parts, batch: args.batch, next_ms }
    }

    /// So many samples of each series, in one request those of one series together; says how many.
    pub async fn round(&mut self, of_each: usize) -> Result<u64> {
        let (from_ms, batch) = (self.next_ms, (self.batch / of_each).max(1));
        let parts = self.parts.iter().enumerate().map(|(at, part)| {
            let (url, client) = (&self.url, &self.client);
            async move {
                for (number, series) in part.chunks(batch).enumerate() {
                    let seed = (at * 7 + number) as i64;
                    send(client, url, request(series, from_ms, of_each, seed)).await?;
                }
                anyhow::Ok(())
            }
        });
        futures_util::future::try_join_all(parts).await?;
        self.next_ms += EVERY_MS * of_each as i64;
        Ok((self.parts.iter().map(Vec::len).sum::<usize>() * of_each) as u64)
    }
}

async fn send(client: &reqwest::Client, url: &str, body: Vec<u8>) -> Result<()> {
    loop {
        let request = client.post(url).header("content-type", "application/x-protobuf");
        let answer = request.header("content-encoding", "snappy").body(body.clone()).send().await?;
        if answer.status().as_u16() != 503 {
            ensure!(answer.status().as_u16() == 204, "{}: {}", answer.status(), answer.text().await?);
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn labels(number: usize) -> Vec<u8> {
    let mut series = Writer::default();
    let instance = format!("10.{}.{}.{}:8080", number >> 16 & 255, number >> 8 & 255, number & 255);
    let service = format!("service-{}", number % 500);
    for (name, value) in [
        ("__name__", "http_request_errors_ratio"),
        ("environment", "production"),
        ("instance", &*instance),
        ("job", "shop/api"),
        ("namespace", "shop"),
        ("service", &*service),
    ] {
        series.message(1, |label| {
            label.bytes(1, name.as_bytes());
            label.bytes(2, value.as_bytes());
        });
    }
    series.0
}

fn request(series: &[Vec<u8>], from_ms: i64, of_each: usize, seed: i64) -> Vec<u8> {
    let mut request = Writer::default();
    for (number, labels) in series.iter().enumerate() {
        request.message(1, |series| {
            series.0.extend_from_slice(labels);
            for at_ms in (0..of_each as i64).map(|at| from_ms + at * EVERY_MS) {
                let noise = (number as i64 * 31 + seed * 17 + at_ms / EVERY_MS * 7919) % 101;
                series.message(2, |sample| {
                    sample.double(1, 50.0 + noise as f64 / 10.0);
                    sample.uint(2, at_ms.cast_unsigned());
                });
            }
        });
    }
    snap::raw::Encoder::new().compress_vec(&request.0).expect("no request is that large")
}
