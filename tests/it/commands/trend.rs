//! Rules of trends on recorded series: of a file, of a topic; and the picture of it, as a browser draws it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use fairlead::app::Embedded;
use fairlead::codec::{Format, Formats, SchemaId};
use fairlead::event::{Fact, FactKind, Sample};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use super::{Home, PATIENCE};
use crate::harness::apache::{Kafka, unique};
use crate::harness::registry;

/// Where nobody listens.
const NOBODY: &str = "127.0.0.1:1";
const CART: &str = r#"http_errors_ratio{service="cart"}"#;
const CHECKOUT: &str = r#"http_errors_ratio{service="checkout"}"#;
const RULE: &str = "{ name: errors, select: http_errors_ratio, as: error ratio, detect: { forecast: { above: 0.1, horizon_secs: 900 } } }";
/// 2026-11-23T09:00:00Z
const BEGINS: i64 = 1_795_424_400;

/// A minute apart: cart stays at 2 % with a little noise; checkout rises from minute 200 on, reaches 10 % at 240 and is well at 260.
fn samples() -> impl Iterator<Item = (&'static str, i64, f64)> {
    (0..400).flat_map(|minute| {
        let noise = (minute * 7919 % 11) as f64 / 10_000.0;
        let risen = if (200..260).contains(&minute) { (minute - 200) as f64 * 0.002 } else { 0.0 };
        let at = BEGINS + minute * 60;
        [(CART, at, 0.02 + noise), (CHECKOUT, at, 0.02 + noise + risen)]
    })
}

/// What was wrong is labelled: checkout beyond 10 %.
fn file(folder: &Path) -> String {
    let mut text = "timestamp,value,label,series\n".to_owned();
    for (series, at, value) in samples() {
        let label = u8::from(value > 0.1);
        _ = writeln!(text, "{at},{value:.4},{label},\"{}\"", series.replace('"', "\"\""));
    }
    let path = folder.join("ratios.csv");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_rule_is_tried_on_the_series_of_a_file_and_tuned() {
    let home = Home::new("tried", NOBODY, "http://127.0.0.1:1");
    let (file, picture) = (file(&home.topology()), home.topology().join("ratios.svg"));
    let svg = picture.display().to_string();
    let tried = home.fairlead(&["trend", "backtest", "--data", &file, "--rule", RULE, "--svg", &svg]);
    assert!(tried.fine, "{}{}", tried.out, tried.err);
    assert!(
        tried.out.starts_with("2 series, 800 samples, 0.3 days, 1 labelled stretches\n\nerrors: 1 detections"),
        "{}",
        tried.out
    );
    assert!(tried.out.contains(&format!("\n  {CHECKOUT}\n")) && !tried.out.contains(CART), "{}", tried.out);
    assert!(tried.out.contains("precision 100 %, found 1 of 1, lead time "), "{}", tried.out);
    let told = home.fairlead(&["trend", "backtest", "--data", &file, "--rule", RULE, "--output", "json"]).json();
    let one = &told["rules"][0]["detections"][0];
    let reason = one["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("error ratio ")
            && reason.contains(" % -> ")
            && reason.contains(" min, crosses 10 % in about "),
        "{reason}"
    );
    assert!(one["sparkline"].as_str().unwrap().ends_with('█'), "{one}");
    let began = (one["began_at_ms"].as_i64().unwrap() / 1000 - BEGINS) / 60;
    assert!(
        (225..240).contains(&began),
        "at minute {began}: a quarter of an hour before it crosses, or somewhat later"
    );

    let tuned = home.fairlead(&["trend", "tune", "--data", &file, "--rule", RULE, "--output", "json"]).json();
    assert_eq!(
        (&tuned["series"], &tuned["labelled"], &tuned["tried"].as_array().unwrap().len()),
        (&2.into(), &1.into(), &30)
    );
    assert_eq!(tuned["tried"][0]["figures"]["f1"], 1.0, "{tuned}");
    assert!(tuned["left_out"]["f1"].is_number());
    let best = tuned["tried"][0]["rule"].as_str().unwrap();
    let again = home.fairlead(&["trend", "backtest", "--data", &file, "--rule", best, "--output", "json"]).json();
    assert_eq!(again["rules"][0]["judged"], tuned["tried"][0]["figures"]["judged"], "what is pasted is what was tried");
    let shown = home.fairlead(&["trend", "tune", "--data", &file, "--rule", RULE, "--top", "3"]).out;
    assert!(shown.contains("each series by what is best for the others") && shown.contains("… and 27 more"), "{shown}");

    let none = home.fairlead(&["trend", "backtest", "--data", &file, "--select", "other"]);
    assert!(!none.fine && none.err.contains("no series: is --select right"), "{}", none.err);
    let wrong =
        home.fairlead(&["trend", "tune", "--data", &file, "--rule", "{ name: x, detect: { shift: { sum: -1 } } }"]);
    assert!(!wrong.fine && wrong.err.contains("`sum` must be above 0"), "{}", wrong.err);
    drawn(&picture);
}

/// README's commands on recorded series, each with all that is printed below it.
fn shown() -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let mut shown: Vec<(String, String)> = Vec::new();
    let mut lines = readme.lines();
    while let Some(first) = lines.find(|line| line.starts_with("$ fairlead trend ")) {
        for line in std::iter::once(first).chain(lines.by_ref().take_while(|line| *line != "```")) {
            match (line.strip_prefix("$ "), shown.last_mut()) {
                (Some(command), _) => shown.push((command.to_owned(), String::new())),
                (None, Some((_, output))) => *output += &format!("{line}\n"),
                (None, None) => unreachable!("the first line is a command"),
            }
        }
    }
    shown
}

#[test]
fn readme_shows_what_its_commands_print_on_the_series_in_the_repository() {
    let (dir, repository) = (tempfile::tempdir().unwrap(), Path::new(env!("CARGO_MANIFEST_DIR")));
    std::os::unix::fs::symlink(repository.join("tests"), dir.path().join("tests")).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_fairlead")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let run = |command: &str| {
        let output = Command::new("sh").args(["-c", command]).current_dir(dir.path()).env("PATH", &path).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = shown();
    assert_eq!(shown.len(), 2);
    for (command, printed) in &shown {
        assert_eq!(run(command), *printed, "README shows something else of: {command}");
    }
    assert!(dir.path().join("disk.svg").exists());
    let made = run("awk -f tests/it/cases/trend/disk.awk");
    assert_eq!(made, std::fs::read_to_string(repository.join("tests/it/cases/trend/disk.csv")).unwrap());
}

/// What a browser makes of the picture: nothing lies outside it, no label on another, and the tooltips say why.
fn drawn(picture: &Path) {
    let browser = browser().expect("a browser: apt-get install chromium-headless-shell, or name one in CHROMIUM");
    let script = r"
        const svg = document.querySelector('svg'), whole = svg.getBoundingClientRect();
        const boxes = [...svg.querySelectorAll('text')].filter(one => one.textContent).map(one => [one.textContent, one.getBoundingClientRect()]);
        const outside = boxes.filter(([, box]) => box.left < whole.left || box.right > whole.right || box.top < whole.top || box.bottom > whole.bottom);
        const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top + 2 || b.bottom <= a.top + 2;
        const over = boxes.flatMap(([one, a], at) => boxes.slice(at + 1).filter(([, b]) => !apart(a, b)).map(([other]) => one + ' / ' + other));
        const detection = [...svg.querySelectorAll('.detection')].map(one => one.querySelector('title').textContent);
        const forecast = svg.querySelector('.forecast').getBoundingClientRect();
        const texts = boxes.map(([text]) => text);
        document.body.textContent = JSON.stringify({ outside: outside.map(([text]) => text), over, detection, forecast: [forecast.width, forecast.height], texts });
    ";
    let page = picture.with_extension("html");
    let svg = std::fs::read_to_string(picture).unwrap();
    std::fs::write(&page, format!("<!doctype html><meta charset=utf-8><body>{svg}<script>{script}</script>")).unwrap();
    let profile = page.with_extension("profile");
    let args = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"];
    let mut command = Command::new(browser);
    command.args(args).arg(format!("--user-data-dir={}", profile.display())).arg(format!("file://{}", page.display()));
    let output = command.output().expect("the browser can be run");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = dom.split_once("<body>").and_then(|(_, rest)| rest.split_once("</body>"));
    let found = found.unwrap_or_else(|| panic!("{dom}{}", String::from_utf8_lossy(&output.stderr))).0;
    let found = found.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&");
    let found: Value = serde_json::from_str(&found).unwrap_or_else(|error| panic!("{error}: {found}"));
    assert_eq!((&found["outside"], &found["over"]), (&json!([]), &json!([])), "{found}");
    let reason = found["detection"][0].as_str().unwrap();
    assert!(reason.starts_with("2026-11-23T12:") && reason.contains(", right: error ratio "), "{reason}");
    // Minutes of 400 on 834 pixels, and some part of a panel.
    let size = |at: usize| found["forecast"][at].as_f64().unwrap();
    assert!((10.0..60.0).contains(&size(0)) && (20.0..220.0).contains(&size(1)), "{found}");
    let texts: Vec<&str> = found["texts"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for text in ["ratios.csv", CART, CHECKOUT, "errors", "2026-11-23", "10:00", "0.1"] {
        assert!(texts.contains(&text), "{text}: {texts:?}");
    }
}

fn browser() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let usual = ["chromium-headless-shell", "chromium", "google-chrome"].map(|name| Path::new("/usr/bin").join(name));
    named.into_iter().chain(usual).find(|path| path.exists())
}

#[test]
fn the_samples_of_a_topic_are_read_by_selector_and_time() {
    let data = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let embedded = Embedded::start(data.path(), any, any).unwrap();
    let (bootstrap, registry) = (embedded.bootstrap_servers(), embedded.registry_url().unwrap());
    let home = Home::new("sampled", &bootstrap, &registry);
    let unnamed = home.fairlead(&["trend", "backtest", "--topic", "--rule", RULE]);
    assert!(
        !unnamed.fine && unnamed.err.contains("names no topic for samples: name one after --topic"),
        "{}",
        unnamed.err
    );
    let topic = "measured.samples.v1";
    take_samples(&home, topic);
    create(&bootstrap, topic);
    let formats = formats(&registry, topic);
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &bootstrap).create().unwrap();
    // A clock that is 70 years ahead ends nothing of what comes behind it.
    let ahead = [CART, CHECKOUT].map(|series| (series, 4_000_000_000, 0.9));
    for (series, at, value) in ahead.into_iter().chain(samples()) {
        write(&producer, (topic, None), &formats, series, at, value);
    }
    producer.flush(PATIENCE).unwrap();
    let args = |more: &[&str]| {
        let given =
            ["trend", "backtest", "--topic", "--from", "2026-11-23T00:00:00Z", "--output", "json", "--rule", RULE];
        home.fairlead(&[&given[..], more].concat())
    };
    let all = args(&["--to", "2026-11-24T00:00:00Z"]).json();
    assert_eq!((&all["series"], &all["samples"], &all["labelled"]), (&2.into(), &800.into(), &Value::Null), "{all}");
    let detections = all["rules"][0]["detections"].as_array().unwrap();
    assert_eq!((detections.len(), &detections[0]["series"]), (1, &CHECKOUT.into()));
    let cart = args(&["--to", "2026-11-24T00:00:00Z", "--select", r#"{service="cart"}"#]).json();
    assert_eq!((&cart["series"], cart["rules"][0]["detections"].as_array().unwrap().len()), (&1.into(), 0));
    let early = args(&["--to", "2026-11-23T10:00:00Z"]).json();
    assert_eq!(early["samples"], 120, "an hour of two series");
    let absent = home.fairlead(&["trend", "tune", "--topic", "measured.smaples.v1", "--rule", RULE]);
    assert!(!absent.fine && absent.err.contains("the cluster has no topic measured.smaples.v1"), "{}", absent.err);
}

#[test]
fn what_a_transaction_wrote_that_was_aborted_is_no_sample() {
    const GHOST: &str = r#"http_errors_ratio{service="ghost"}"#;
    let (kafka, data, name) = (Kafka::shared(), tempfile::tempdir().unwrap(), unique("aborted"));
    let registry = registry::start(data.path());
    let (home, topic) = (Home::new(&name, kafka, &registry.url()), format!("oncall.samples-{name}.v1"));
    take_samples(&home, &topic);
    create(kafka, &topic);
    let formats = formats(&registry.url(), &topic);
    let mut producer = ClientConfig::new();
    producer.set("bootstrap.servers", kafka).set("transactional.id", &name);
    let producer: BaseProducer = producer.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    let transaction = |commits: bool, samples: &[(&str, i64, f64)]| {
        producer.begin_transaction().unwrap();
        for (series, at, value) in samples {
            let partition = if *series == CART { 0 } else { 2 };
            write(&producer, (&topic, Some(partition)), &formats, series, *at, *value);
        }
        // Aborted or not, all of it is on the broker.
        producer.flush(PATIENCE).unwrap();
        match commits {
            true => producer.commit_transaction(PATIENCE).unwrap(),
            false => producer.abort_transaction(PATIENCE).unwrap(),
        }
    };
    let all: Vec<_> = samples().collect();
    // A cart of which everything fails, in the midst, and a series that nobody else tells of.
    let of_cart = |(_, at, _): &(&'static str, i64, f64)| [(CART, *at, 0.9), (GHOST, *at, 0.9)];
    let aborted: Vec<_> = all[400..500].iter().flat_map(of_cart).collect();
    transaction(true, &all[..400]);
    transaction(false, &aborted);
    transaction(true, &all[400..]);
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", kafka).create().unwrap();
    let ends = (0..3).map(|number| consumer.fetch_watermarks(&topic, number, PATIENCE).unwrap().1);
    assert!(ends.sum::<i64>() > 800 + 200, "what was aborted lies on the topic");

    // Marks of transactions are of the time of their commit, which is no end of what was measured before.
    let range = ["--from", "2026-11-23T00:00:00Z", "--to", "2026-11-24T00:00:00Z"];
    let given = ["trend", "backtest", "--topic", "--output", "json", "--rule", RULE];
    let told = home.fairlead(&[&given[..], &range[..]].concat()).json();
    assert_eq!((&told["series"], &told["samples"]), (&2.into(), &800.into()), "{told}");
    let detections = told["rules"][0]["detections"].as_array().unwrap();
    assert_eq!((detections.len(), &detections[0]["series"]), (1, &CHECKOUT.into()), "{told}");
}

/// The topology declares this topic, and its samples go there.
fn take_samples(home: &Home, topic: &str) {
    let app = home.topology().join("app.yaml");
    let text = std::fs::read_to_string(&app).unwrap();
    std::fs::write(app, text.replace("open: true }", &format!("open: true, samples: {topic} }}"))).unwrap();
    let declared = format!("topics: {{ {topic}: {{ fact: sample, partitions: 3 }} }}\n");
    std::fs::write(home.topology().join("samples.yaml"), declared).unwrap();
}

fn formats(registry: &str, topic: &str) -> Formats {
    let schema = FactKind::Sample.schema_json();
    let url = format!("{registry}/subjects/{topic}-value/versions");
    let body = json!({ "schema": schema }).to_string();
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let request = reqwest::Client::new().post(url).header("content-type", "application/json").body(body);
        request.send().await.unwrap().text().await.unwrap()
    });
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let id = SchemaId(u32::try_from(answer["id"].as_u64().unwrap()).unwrap());
    let mut formats = Formats::default();
    formats.write_fact_with(FactKind::Sample, Format::new(id, schema).unwrap());
    formats
}

fn create(bootstrap: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let topic = NewTopic::new(topic, 3, TopicReplication::Fixed(1));
    let created = admin.create_topics([&topic], &AdminOptions::new());
    tokio::runtime::Runtime::new().unwrap().block_on(created).unwrap()[0].as_ref().unwrap();
}

/// At its own time; without a partition by its series.
fn write(
    producer: &BaseProducer,
    (topic, partition): (&str, Option<i32>),
    formats: &Formats,
    series: &str,
    at: i64,
    value: f64,
) {
    let mut bytes = Vec::new();
    let sample = Sample { series: series.into(), at_ms: at * 1000, value };
    formats.encode_fact(&Fact::Sample(sample), &mut bytes).unwrap();
    let record = BaseRecord::to(topic).key(series).payload(&bytes).timestamp(at * 1000);
    let record = partition.into_iter().fold(record, BaseRecord::partition);
    producer.send(record).map_err(|(error, _)| error).unwrap();
}
