//! Pictures of trends, from samples to the message that shows one: the topology that ships, the door that draws, the sink, and the
//! stand-in for Slack, which fetches what messages link.

use std::path::Path;

use fairlead::event::{Fact, FactKind, Sample};
use fairlead::ingest::access::Access;
use fairlead::ingest::guards::Guards;
use fairlead::ingest::send::Sending;
use fairlead::ingest::server::IngestConfig;
use fairlead::ingest::{Capacity, Ingest, Readiness, Rules};
use fairlead::topology::catalog::catalog;
use fairlead::topology::compile::compile;
use fairlead::topology::driver::TopologyDriver;
use fairlead::topology::spec::SourceFile;

use super::*;

const MINUTE_MS: i64 = 60_000;
const SERIES: &str = r#"node_filesystem_avail_bytes{fstype="ext4",instance="db-1",mountpoint="/",service="storage"}"#;

/// Draws, and needs no Kafka for that.
async fn door(registry: &prometheus::Registry) -> Ingest {
    let topic = |name: &str| Topic(name.into());
    let sending = Sending {
        connection: Connection::new("127.0.0.1:1"),
        alerts: topic("alerts"),
        deploys: topic("deploys"),
        raw: None,
        silences: None,
        responses: None,
        samples: None,
        timeout: Duration::from_secs(1),
    };
    let config = IngestConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        access: Access::from_text("a-token-that-nobody-sends", "the test").unwrap(),
        guards: Guards::default(),
        sending,
        rules: Rules::default(),
        capacity: Capacity::default(),
        clock: Clock::wall(),
        view: None,
        doors: None,
        mirrors: None,
        charts: true,
    };
    Ingest::start(config, Arc::new(Formats::shipped()), registry.clone(), || Readiness::Ready).await.unwrap()
}

/// What Slack is to be told of a disk that fills up until somebody makes room, with pictures at this address.
fn actions(base: &str) -> Vec<SlackAction> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("topology");
    let files = ["app.yaml", "oncall.yaml", "rotations.yaml", "topics.yaml", "trends.yaml"].map(|name| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let charts = text.replace("  # charts: https://fairlead.example", &format!("  charts: {base}"));
        let text = charts.replace("  # responses: oncall.responses.v1", "  responses: oncall.responses.v1");
        SourceFile { name: name.to_owned(), text }
    });
    let compiled = compile(&files, &catalog());
    let topology = compiled.topology.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    let mut driver = TopologyDriver::new(&topology, 50).unwrap();
    for minute in 0..90 {
        let value = if minute < 60 { 1e9 + 1e8 * (140 - minute) as f64 } else { 40e9 };
        let sample = Fact::Sample(Sample { series: SERIES.into(), at_ms: minute * MINUTE_MS, value });
        driver.send(&Topic::from("oncall.samples.v1"), &sample, EventTime(minute * MINUTE_MS)).unwrap();
        driver.run(EventTime(minute * MINUTE_MS)).unwrap();
    }
    driver.run(EventTime(240 * MINUTE_MS)).unwrap();
    let facts = driver.facts(&Topic::from("oncall.slack-actions.v1"), FactKind::SlackAction).unwrap().into_iter();
    facts
        .map(|(_, fact)| if let Fact::SlackAction(action) = fact { action } else { panic!("{}", fact.kind()) })
        .collect()
}

/// Types of the blocks of the one root.
fn shown(fake: &FakeSlack) -> Vec<String> {
    let messages = fake.inspect(|workspace, now| workspace.messages("oncall", now));
    let roots: Vec<_> = messages.iter().filter(|(_, message)| message.thread.is_none()).collect();
    assert_eq!(roots.len(), 1, "{}", fake.threads());
    roots[0].1.blocks.iter().map(|block| block["type"].as_str().unwrap().to_owned()).collect()
}

struct Sink {
    disk: Arc<Disk>,
    sink: SlackSink,
    metrics: prometheus::Registry,
}

impl Sink {
    fn start(fake: &FakeSlack, clock: &Clock) -> Self {
        let (disk, metrics) = (Arc::new(Disk::new(None)), prometheus::Registry::new());
        let config = SlackSinkConfig { call_timeout: Duration::from_secs(8), ..config(fake, clock, "app", "a") };
        let on = disk.clone();
        let join = move || Ok((MemoryLog::join(&on), MemoryLog::join(&on)));
        let sink = SlackSink::start_on(config, Formats::shipped(), &metrics, join).unwrap();
        Self { disk, sink, metrics }
    }

    async fn tell(&self, actions: &[SlackAction], all: usize, fake: &FakeSlack) {
        self.disk.append_actions("app.slack-actions", actions);
        until("all is told", || match self.disk.committed("app.slack-actions") {
            told if told == all as i64 => Ok(()),
            told => Err(format!("{told} of {all}, {}", fake.threads())),
        })
        .await;
    }

    /// How many actions were told without their pictures, and why the first was.
    fn reduced(&self) -> (u64, Option<String>) {
        let told = prometheus::TextEncoder::new().encode_to_string(&self.metrics.gather()).unwrap();
        let line =
            told.lines().find_map(|line| line.strip_prefix(r#"fairlead_slack_reduced_total{to="no_pictures"} "#));
        let done = |outcome: &SlackOutcome| outcome.status == SlackStatus::Done;
        let why = self.disk.outcomes("app.slack-outcomes").into_iter().filter(done).find_map(|outcome| outcome.error);
        (line.map_or(0, |count| count.parse().unwrap()), why)
    }

    async fn stop(self) {
        tokio::task::spawn_blocking(move || self.sink.stop()).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forecast_is_told_with_its_picture_which_slack_fetches_from_the_door() {
    let registry = prometheus::Registry::new();
    let (door, clock) = (door(&registry).await, clock());
    let fake = fake(&clock).await;
    let base = format!("http://{}", door.addr());
    let actions = actions(&base);
    let sink = Sink::start(&fake, &clock);
    sink.tell(&actions[..1], 1, &fake).await;
    assert_eq!(shown(&fake), ["section", "section", "section", "image", "actions", "context"]);
    assert_eq!(sink.reduced(), (0, None));
    let messages = fake.inspect(|workspace, now| workspace.messages("oncall", now));
    let image = &messages[0].1.blocks[3];
    let address = image["image_url"].as_str().unwrap();
    assert!(address.starts_with(&format!("{base}/charts/01")) && address.ends_with(".png"), "{address}");
    assert!(image["alt_text"].as_str().unwrap().starts_with("DiskFillsUp: free space "), "{image}");
    let fetched = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let counted = r#"fairlead_ingest_requests_total{code="200",endpoint="/charts/{name}"} 1"#;
    assert!(fetched.contains(counted), "{fetched}");
    let page = reqwest::get(fake.base_url().replace("/api/", "/")).await.unwrap().text().await.unwrap();
    assert!(page.contains(&format!("<img src=\"{address}\"")), "{page}");

    // All that follows, to the end, when nothing fires and there is nothing to look at.
    sink.tell(&actions[1..], actions.len(), &fake).await;
    assert!(actions.last().is_some_and(|action| action.text.contains("Resolved")), "{:?}", actions.last());
    assert_eq!(shown(&fake), ["section", "section", "section", "context"]);
    sink.stop().await;
    door.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_door_is_not_reached_the_message_is_told_once_without_a_picture_and_with_its_buttons() {
    let clock = clock();
    let fake = fake(&clock).await;
    let actions = actions("http://127.0.0.1:1/nobody");
    let sink = Sink::start(&fake, &clock);
    sink.tell(&actions[..1], 1, &fake).await;
    assert_eq!(shown(&fake), ["section", "section", "section", "actions", "context"]);
    let (count, why) = sink.reduced();
    assert_eq!(count, 1);
    let said =
        "told without pictures: invalid_blocks: [ERROR] downloading image failed [json-pointer:/blocks/3/image_url]";
    assert_eq!(why.as_deref(), Some(said));
    sink.tell(&actions[1..], actions.len(), &fake).await;
    let posted =
        fake.inspect(|workspace, _| workspace.events().filter(|event| event.kind == EventKind::Posted).count());
    let told = actions.iter().filter(|action| action.kind != SlackActionKind::UpdateRoot).map(|action| &action.kind);
    let logs = actions.iter().filter(|action| action.kind == SlackActionKind::Log).count();
    assert_eq!(posted, told.count() - logs.saturating_sub(1), "{}", fake.threads());
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_door_asks_for_no_token_draws_what_is_a_chart_and_nothing_else() {
    let door = door(&prometheus::Registry::new()).await;
    let get = async |path: &str| reqwest::get(format!("http://{}{path}", door.addr())).await.unwrap();
    let drawn = get("/charts/01fefe6000102030405060707f.png").await;
    assert_eq!(drawn.status(), 200);
    assert_eq!(drawn.headers()["content-type"], "image/png");
    assert_eq!(drawn.headers()["cache-control"], "public, max-age=31536000, immutable");
    let png = drawn.bytes().await.unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.len() < 64 << 10, "{} bytes", png.len());
    assert_eq!(get("/charts/01fefe6000102030405060707f.png").await.bytes().await.unwrap(), png, "always the same");
    let long = format!("/charts/{}.png", "0".repeat(4_000));
    for path in ["/charts/01ffff007f", "/charts/.png", "/charts/01FFff007f.png", "/charts/02ffff007f.png", &long] {
        assert_eq!(get(path).await.status(), 404, "{path}");
    }
    // Many at once are drawn one after the other.
    let many = (0..40)
        .map(|level| tokio::spawn(reqwest::get(format!("http://{}/charts/01ffff00{level:02x}.png", door.addr()))));
    for one in many.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap().unwrap().status(), 200);
    }
    door.stop().await;
}
