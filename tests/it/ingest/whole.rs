//! The whole of it, all embedded, as somebody tries it who has a Prometheus: a rule fires, Slack hears of it, the rule ceases, Slack
//! hears of that.

use fairlead::app::{App, Options, source};
use fairlead::embedded::slack::{FakeSlack, Workspace};
use fairlead::topology::template::Template;

use super::senders::{alertmanager, start, write};
use super::*;

const SLACK_TOKEN: &str = "xoxb-test-0000000000";

fn plain(text: &str) -> Template {
    Template::try_from(text.to_owned()).unwrap()
}

/// The shipped topology, in which what is resolved is over at once.
async fn app(folder: &std::path::Path, slack: &FakeSlack) -> App {
    let files = folder.join("topology");
    std::fs::create_dir(&files).unwrap();
    for name in ["app.yaml", "topics.yaml", "oncall.yaml"] {
        let shipped = std::fs::read_to_string(format!("{}/topology/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        write(&files, name, shipped.replace("resolve_after_secs: 300", "resolve_after_secs: 1"));
    }
    let compiled = source::load(&files).unwrap();
    let mut topology = compiled.topology.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    let settings = &mut topology.settings;
    settings.engine.state_dir = folder.join("state");
    settings.http.listen = "127.0.0.1:0".to_owned();
    settings.ingest.as_mut().unwrap().token = Some(plain(TOKEN));
    let section = settings.slack.as_mut().unwrap();
    (section.url, section.token) = (Some(plain(&slack.base_url())), Some(plain(SLACK_TOKEN)));
    App::start(topology, Options { clock: Clock::wall(), embedded_dir: folder.join("data") }).await.unwrap()
}

fn rule(expression: &str) -> String {
    let labels = "{service: checkout, severity: warning}";
    format!("groups:\n- name: g\n  rules:\n  - {{alert: HighErrors, expr: '{expression}', labels: {labels}}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_and_an_alertmanager_open_and_close_one_incident_in_slack() {
    let folder = tempfile::tempdir().unwrap();
    let slack =
        FakeSlack::start(Workspace::new(SLACK_TOKEN, &["oncall", "oncall-critical"]), Clock::wall()).await.unwrap();
    let app = app(folder.path(), &slack).await;
    let own = app.address().unwrap();
    write(
        folder.path(),
        "alertmanager.yml",
        format!(
            "route: {{receiver: fairlead, group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\nreceivers:\n- name: fairlead\n  \
             webhook_configs:\n  - url: http://{own}/webhooks/alertmanager\n    http_config: {{authorization: {{credentials: \
             {TOKEN}}}}}\n"
        ),
    );
    let (_alertmanager, alertmanager) = alertmanager(folder.path());
    write(folder.path(), "rules.yml", rule("vector(1)"));
    let targets = format!(
        "  - static_configs: [{{targets: ['{own}']}}]\n    authorization: {{credentials: {TOKEN}}}\n  - static_configs: [{{targets: \
         ['{alertmanager}']}}]\n"
    );
    write(
        folder.path(),
        "prometheus.yml",
        format!("global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\nalerting:\n  alertmanagers:\n{targets}"),
    );
    // It does not tell which port it was given.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = format!("--web.listen-address={free}");
    let flags = [
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=tsdb",
        "--web.enable-lifecycle",
        "--rules.alert.resend-delay=1s",
        &listen,
    ];
    let (_prometheus, _) = start("prometheus", folder.path(), &flags);

    let told = async |what: &str, is_it: &dyn Fn(&str) -> bool| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let threads = slack.threads();
            if is_it(&threads) {
                return threads;
            }
            assert!(Instant::now() < deadline, "{what}: {threads}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    told("it is opened", &|threads| threads.contains("HighErrors")).await;
    let shown: Value = reqwest::Client::new()
        .get(format!("http://{own}/api/v2/alerts?filter=service%3Dcheckout"))
        .bearer_auth(TOKEN)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(shown[0]["labels"]["alertname"], "HighErrors", "{shown}");
    assert_eq!(shown.as_array().map(Vec::len), Some(1), "both doors tell of one alert: {shown}");
    write(folder.path(), "rules.yml", rule("vector(1) > 1"));
    let reload = reqwest::Client::new().post(format!("http://{free}/-/reload")).send().await.unwrap();
    assert_eq!(reload.status(), 200);
    let threads = told("it is over", &|threads| threads.contains("✅ *Resolved*")).await;
    assert_eq!(threads.matches("· version").count(), 1, "one root: {threads}");
    app.stop().await.unwrap();
}
