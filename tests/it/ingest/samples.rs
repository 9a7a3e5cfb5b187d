//! Samples at their doors: Debian's Prometheus speaks remote write 1.0; 2.0 and OTLP are spoken here, by the published messages.

use fairlead::event::Sample;
use fairlead::ingest::samples::protobuf::Writer;
use fairlead::trend::select::Selector;

use super::senders::{start, write};
use super::*;
use crate::harness::site::{SESSION_MS, Site};

const WRITE: &str = "/api/v1/write";
const OTLP: &str = "/v1/metrics";
const PROTOBUF: &str = "application/x-protobuf";
const VERSION_2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

struct Doors {
    server: Server,
    samples: String,
}

impl Doors {
    async fn start(selector: &str, clock: Clock) -> Self {
        let sending = sending(Kafka::shared(), Duration::from_secs(4));
        let samples = unique("samples");
        create_topics(Kafka::shared(), &[&samples]).await;
        let sending = Sending { samples: Some(samples.as_str().into()), ..sending };
        let mut config = config(sending, Capacity::default(), clock);
        config.rules.selectors = vec![Selector::parse(selector).unwrap()];
        Self { server: Server::start_with(config).await, samples }
    }

    async fn send(&self, path: &str, content_type: &str, encoding: Option<&str>, body: Vec<u8>) -> reqwest::Response {
        let request = self.server.http.post(self.server.url(path)).header("content-type", content_type);
        let request = encoding.into_iter().fold(request, |request, name| request.header("content-encoding", name));
        request.bearer_auth(TOKEN).body(body).timeout(PATIENCE).send().await.expect("an answer")
    }

    fn stored(&self) -> Vec<(String, i64, Sample<'static>)> {
        let stored = self.server.stored(&self.samples, FactKind::Sample).into_iter();
        let samples = stored.map(|record| match record.fact {
            Fact::Sample(sample) => (record.key, record.timestamp, sample),
            other => panic!("no sample: {}", other.kind()),
        });
        samples.collect()
    }

    fn dropped(&self, path: &str, reason: &str) -> f64 {
        self.server.counted("fairlead_ingest_samples_dropped_total", &[("endpoint", path), ("reason", reason)])
    }
}

fn snappy(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}

/// Series `errors{job=…}` by their job, each with one sample.
fn version_2(series: &[(&str, f64, i64)]) -> Vec<u8> {
    let mut request = Writer::default();
    for symbol in ["", "__name__", "errors", "job"].into_iter().chain(series.iter().map(|(job, ..)| *job)) {
        request.bytes(4, symbol.as_bytes());
    }
    for (at, (_, value, at_ms)) in (4_u8..).zip(series) {
        request.message(5, |series| {
            series.bytes(1, &[1, 2, 3, at]);
            series.message(2, |sample| {
                sample.double(1, *value);
                sample.uint(2, at_ms.cast_unsigned());
            });
        });
    }
    request.0
}

fn written(answer: &reqwest::Response) -> [String; 3] {
    ["samples", "histograms", "exemplars"].map(|what| {
        let name = format!("x-prometheus-remote-write-{what}-written");
        answer.headers().get(name).map_or("none", |value| value.to_str().unwrap()).to_owned()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_write_2_is_stored_before_it_is_answered_and_says_what_was_written() {
    let doors = Doors::start("errors{job=~\"api|mail\"}", Clock::at(NOW)).await;
    let body = version_2(&[("api", 0.5, NOW.0 - 5), ("web", 1.0, NOW.0), ("mail", f64::NAN, NOW.0)]);
    let answer = doors.send(WRITE, VERSION_2, Some("snappy"), snappy(&body)).await;
    assert_eq!((answer.status().as_u16(), written(&answer)), (204, ["3", "0", "0"].map(str::to_owned)));
    let mut stored = doors.stored();
    stored.sort_by(|a, b| a.0.cmp(&b.0));
    let told: Vec<_> = stored.iter().map(|(key, at, sample)| (&**key, *at, &*sample.series, sample.at_ms)).collect();
    let [api, mail] = [r#"errors{job="api"}"#, r#"errors{job="mail"}"#];
    assert_eq!(told, [(api, NOW.0, api, NOW.0 - 5), (mail, NOW.0, mail, NOW.0)]);
    assert_eq!((stored[0].2.value, stored[1].2.value.is_nan()), (0.5, true));

    let absurd = version_2(&[("api", 0.6, NOW.0 * 1000), ("mail", 0.7, NOW.0 + 1)]);
    let answer = doors.send(WRITE, VERSION_2, Some("snappy"), snappy(&absurd)).await;
    assert_eq!((answer.status().as_u16(), written(&answer)), (400, ["1", "0", "0"].map(str::to_owned)));
    let said = answer.text().await.unwrap();
    assert!(said.contains("all others were taken: 1 before 1970 or more than ten minutes ahead"), "{said}");
    assert_eq!(doors.stored().len(), 3, "what is good of it is kept");
    let kept = doors.server.counted("fairlead_ingest_samples_kept_total", &[("endpoint", WRITE)]);
    let received = doors.server.counted("fairlead_ingest_samples_received_total", &[("endpoint", WRITE)]);
    assert_eq!(
        (received, kept, doors.dropped(WRITE, "not_selected"), doors.dropped(WRITE, "absurd_time")),
        (5.0, 3.0, 1.0, 1.0)
    );
    doors.server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_taken_and_who_may_not_send_is_told_apart() {
    let doors = Doors::start("errors", Clock::at(NOW)).await;
    let good = version_2(&[("api", 0.5, NOW.0)]);
    let large = snappy(&vec![0; 9 << 20]);
    for (path, content_type, encoding, body, status, why) in [
        (WRITE, "application/json", Some("snappy"), snappy(&good), 415, "content type"),
        (WRITE, VERSION_2, Some("gzip"), good.clone(), 415, "encoded"),
        (WRITE, VERSION_2, Some("snappy"), good.clone(), 400, "snappy"),
        (WRITE, VERSION_2, Some("snappy"), snappy(&good[..good.len() - 1]), 400, "cut off"),
        (WRITE, VERSION_2, Some("snappy"), large, 413, "larger than"),
        (OTLP, "text/plain", None, b"{}".to_vec(), 415, "content type"),
        (OTLP, "application/json", None, b"[7]".to_vec(), 400, "ExportMetricsServiceRequest"),
        (OTLP, PROTOBUF, Some("gzip"), b"plain".to_vec(), 400, "gzip"),
    ] {
        let answer = doors.send(path, content_type, encoding, body).await;
        let (found, said) = (answer.status().as_u16(), answer.bytes().await.unwrap());
        let said = String::from_utf8_lossy(&said);
        assert!(found == status && said.contains(why), "{path} {content_type}: {found} {said}");
    }
    let stranger = doors.server.http.post(doors.server.url(WRITE)).header("content-type", VERSION_2);
    let stranger = stranger.bearer_auth("another-token-of-somebody").body(snappy(&good)).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    assert_eq!(doors.server.counted("fairlead_ingest_samples_received_total", &[]), 0.0);
    doors.server.ingest.stop().await;
    // A server without a topic for samples.
    let server = Server::start().await;
    let request = server.http.post(server.url(WRITE)).header("content-type", VERSION_2).bearer_auth(TOKEN);
    let answer = request.body(snappy(&good)).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    assert!(answer.text().await.unwrap().contains("name a topic of fact sample"));
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_a_sender_is_told_to_come_again() {
    let sending = Sending {
        connection: Connection::new("127.0.0.1:1"),
        samples: Some("samples".into()),
        ..sending("127.0.0.1:1", Duration::from_millis(300))
    };
    let mut config = config(sending, Capacity::default(), Clock::at(NOW));
    config.rules.selectors = vec![Selector::parse("errors").unwrap()];
    let doors = Doors { server: Server::start_with(config).await, samples: String::new() };
    let body = snappy(&version_2(&[("api", 0.5, NOW.0)]));
    let answer = doors.send(WRITE, VERSION_2, Some("snappy"), body).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    // What nobody wants needs no Kafka.
    let mut unwanted = Writer::default();
    unwanted.message(1, |series| {
        series.message(1, |label| {
            label.bytes(1, b"__name__");
            label.bytes(2, b"up");
        });
        series.message(2, |sample| sample.uint(2, NOW.0.cast_unsigned()));
    });
    assert_eq!(doors.send(WRITE, PROTOBUF, Some("snappy"), snappy(&unwanted.0)).await.status(), 204);
    assert_eq!(doors.dropped(WRITE, "not_selected"), 1.0);
    doors.server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn otlp_is_taken_in_both_encodings_and_says_what_it_rejects() {
    let doors = Doors::start("{service=\"checkout\"}", Clock::at(NOW)).await;
    let nanos = (NOW.0 * 1_000_000).to_string();
    let request = json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}}]},
        "scopeMetrics": [{"metrics": [
            {"name": "queue.length", "gauge": {"dataPoints": [{"timeUnixNano": nanos, "asInt": "7"}]}},
            {"name": "requests", "sum": {"isMonotonic": true, "aggregationTemporality": 1,
                "dataPoints": [{"timeUnixNano": nanos, "asInt": "7"}]}},
        ]}],
    }]});
    let answer = doors.send(OTLP, "application/json", None, request.to_string().into_bytes()).await;
    assert_eq!(answer.status(), 200);
    let said: Value = answer.json().await.unwrap();
    assert_eq!(said["partialSuccess"]["rejectedDataPoints"], "1", "{said}");

    let mut gauge = Writer::default();
    gauge.message(1, |of_resource| {
        of_resource.message(1, |resource| {
            resource.message(1, |attribute| {
                attribute.bytes(1, b"service.name");
                attribute.message(2, |any| any.bytes(1, b"checkout"));
            });
        });
        of_resource.message(2, |scope| {
            scope.message(2, |metric| {
                metric.bytes(1, b"queue.length");
                metric.message(5, |gauge| {
                    gauge.message(1, |point| {
                        point.fixed64(3, (NOW.0 + 1).cast_unsigned() * 1_000_000);
                        point.double(4, 8.0);
                    });
                });
            });
        });
    });
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &gauge.0).unwrap();
    let answer = doors.send(OTLP, PROTOBUF, Some("gzip"), gzip.finish().unwrap()).await;
    assert_eq!(
        (answer.status().as_u16(), answer.bytes().await.unwrap().len()),
        (200, 0),
        "an empty response: all was taken"
    );
    let series = r#"queue_length{job="checkout",service="checkout"}"#;
    let told: Vec<_> = doors.stored().into_iter().map(|(key, _, sample)| (key, sample.at_ms, sample.value)).collect();
    assert_eq!(told, [(series.to_owned(), NOW.0, 7.0), (series.to_owned(), NOW.0 + 1, 8.0)]);
    assert_eq!(doors.dropped(OTLP, "delta"), 1.0);
    doors.server.ingest.stop().await;
}

/// Configuration of a Prometheus that scrapes itself, records two series, and writes all of it to `own`.
fn prometheus_yml(own: &str, listen: &str) -> String {
    format!(
        "global: {{evaluation_interval: 1s, scrape_interval: 1s, external_labels: {{env: production}}}}\nrule_files: [rules.yml]\n\
         scrape_configs:\n- {{job_name: itself, static_configs: [{{targets: ['{listen}']}}]}}\nremote_write:\n- url: http://{own}{WRITE}\n  \
         authorization: {{credentials: {TOKEN}}}\n  queue_config: {{batch_send_deadline: 1s}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_writes_and_exactly_the_selected_series_is_kept() {
    let doors = Doors::start("http_errors_ratio{service=\"checkout\"}", Clock::wall()).await;
    let folder = tempfile::tempdir().unwrap();
    let rule = |service: &str| {
        format!("  - {{record: http_errors_ratio, expr: 'vector(0.25)', labels: {{service: {service}}}}}\n")
    };
    write(
        folder.path(),
        "rules.yml",
        format!("groups:\n- name: g\n  rules:\n{}{}", rule("checkout"), rule("payments")),
    );
    // It does not tell which port it was given.
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let own = doors.server.ingest.addr().to_string();
    write(folder.path(), "prometheus.yml", prometheus_yml(&own, &listen));
    let began = Clock::wall().now().0;
    let listen = format!("--web.listen-address={listen}");
    let flags = ["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", &listen];
    let (prometheus, _) = start("prometheus", folder.path(), &flags);
    let deadline = Instant::now() + PATIENCE;
    while doors.stored().len() < 3 || doors.dropped(WRITE, "not_selected") < 100.0 {
        assert!(Instant::now() < deadline, "{:?}", doors.stored());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    drop(prometheus);
    let stored = doors.stored();
    let selected = r#"http_errors_ratio{env="production",service="checkout"}"#;
    for (key, _, sample) in &stored {
        assert_eq!((&**key, &*sample.series), (selected, selected));
        // The last is a stale marker if it was stopped in time to write one.
        assert!(sample.value == 0.25 || sample.value.to_bits() == 0x7ff0_0000_0000_0002, "{sample:?}");
        assert!((began - 60_000..=Clock::wall().now().0 + 60_000).contains(&sample.at_ms), "{sample:?}");
    }
    let times: Vec<_> = stored.iter().map(|(_, _, sample)| sample.at_ms).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "one series, one partition, in order: {times:?}");
    let refused = doors.server.counted("fairlead_ingest_requests_total", &[("endpoint", WRITE)])
        - doors.server.counted("fairlead_ingest_requests_total", &[("endpoint", WRITE), ("code", "204")]);
    assert_eq!(refused, 0.0, "a real sender was refused");
    doors.server.ingest.stop().await;
}

const SECTIONS: &str = "\
http: { listen: 'ADDRESS' }
ingest: { alerts: APP.alerts.v1, deploys: APP.deploys.v1, samples: APP.samples.v1, open: true }
topics:
  APP.samples.v1: { fact: sample, partitions: 4 }
  APP.dropped.v1: { fact: sample, partitions: 4 }
operators:
  trend:
    sub_topology: trends
    inputs: { sample: APP.samples.v1 }
    outputs: { detection: APP.alerts.v1, dropped: APP.dropped.v1 }
    config:
      rules:
        - { name: errors, select: 'http_errors_ratio{service=\"checkout\"}', detect: { shift: {} } }
";

/// Passes requests on, and answers the first of them with 503 although they were taken: their answers got lost.
async fn forgetful(own: String, forgets: usize) -> String {
    let left = Arc::new(std::sync::atomic::AtomicUsize::new(forgets));
    let client = reqwest::Client::new();
    let pass = move |request: axum::extract::Request| {
        let (left, client, url) = (left.clone(), client.clone(), format!("http://{own}{WRITE}"));
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let passed = client.post(url).headers(parts.headers).body(body).send().await;
            let status = passed.map_or(503, |answer| answer.status().as_u16());
            let forgets = status == 204 && {
                let count = |left: usize| left.checked_sub(1);
                left.fetch_update(std::sync::atomic::Ordering::Relaxed, std::sync::atomic::Ordering::Relaxed, count)
                    .is_ok()
            };
            axum::http::StatusCode::from_u16(if forgets { 503 } else { status }).unwrap()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(pass)).await });
    address
}

#[test]
fn what_a_prometheus_sends_again_because_an_answer_got_lost_is_late_for_the_operator() {
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (own, listen) = (free(), free());
    let site = Site::on(Kafka::shared(), SESSION_MS, &SECTIONS.replace("ADDRESS", &own));
    let process = site.start("a");
    let address = site.runtime.block_on(forgetful(own.clone(), 3));
    let folder = tempfile::tempdir().unwrap();
    let rule = "{record: http_errors_ratio, expr: 'vector(0.25)', labels: {service: checkout}}";
    write(folder.path(), "rules.yml", format!("groups:\n- name: g\n  rules:\n  - {rule}\n"));
    write(folder.path(), "prometheus.yml", prometheus_yml(&address, &listen));
    let listen = format!("--web.listen-address={listen}");
    let flags = ["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", &listen];
    let (prometheus, _) = start("prometheus", folder.path(), &flags);
    let told = |name: &str| {
        let told = topics::facts(&site, name, FactKind::Sample).into_iter().map(|fact| match fact {
            Fact::Sample(sample) => (sample.series.to_string(), sample.at_ms),
            other => panic!("no sample: {}", other.kind()),
        });
        let mut all: Vec<_> = told.collect();
        all.sort();
        all
    };
    let twice = |all: &[(String, i64)]| -> Vec<_> {
        all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone()).collect()
    };
    // A topic that is just created has no leader for a moment.
    site.wait_for("samples", || site.ends(&site.topic("samples")) > 3 && site.ends(&site.topic("dropped")) > 0);
    site.wait_for("samples that were sent twice", || twice(&told("samples")).len() >= 2);
    drop(prometheus);
    // The operator was told of all of them, and only the second ones were of no use to it.
    let doubles = twice(&told("samples"));
    site.wait_for("the doubles are dropped", || told("dropped") == doubles);
    process.kill();
}
