//! Silences from end to end: Debian's own `amtool` asks and orders, a real Kafka keeps, and whoever died in between is stood in for.

use std::process::Command;

use fairlead::current::RETENTION_MS;
use fairlead::event::{Alert, Response, ResponseVerb, Silence, SilenceMatcher};
use fairlead::ingest::send::Sender;

use super::view::{self, Quiet, with_view};
use super::*;

/// Asks the server as a person does.
struct Amtool {
    url: String,
    folder: tempfile::TempDir,
}

impl Amtool {
    fn new(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("http.yml"), format!("authorization: {{credentials: {TOKEN}}}\n")).unwrap();
        Self { url: format!("http://{}", server.ingest.addr()), folder }
    }

    /// What it says, and whether it ended well.
    fn run(&self, arguments: &[&str], config: Option<&str>) -> (bool, String) {
        let mut command = Command::new("amtool");
        command.current_dir(self.folder.path()).env("HOME", self.folder.path()).args(arguments);
        command.arg(format!("--alertmanager.url={}", self.url)).arg("--no-version-check");
        command.args(config.map(|config| format!("--http.config.file={config}")));
        let mend = "is needed by this test: apt-get install prometheus-alertmanager";
        let output = command.output().unwrap_or_else(|error| panic!("amtool {mend}: {error}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.trim().to_owned())
    }

    async fn ask(&self, arguments: &[&str]) -> String {
        let (well, said) = tokio::task::block_in_place(|| self.run(arguments, Some("http.yml")));
        assert!(well, "amtool {arguments:?}: {said}");
        said
    }

    /// Until it says what is waited for.
    async fn ask_until(&self, arguments: &[&str], is_it: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.ask(arguments).await;
            if is_it(&said) {
                return said;
            }
            assert!(Instant::now() < deadline, "amtool {arguments:?}: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn responses(server: &Server, quiet: &Quiet) -> Vec<Response> {
    let stored = server.stored(quiet.responses.as_str(), FactKind::Response).into_iter();
    let responses = stored.filter_map(|record| match record.fact {
        Fact::Response(response) => Some((record.key, response)),
        _ => None,
    });
    let response = |(key, response): (String, Response)| {
        assert_eq!(key, response.service);
        response
    };
    responses.map(response).collect()
}

async fn responses_until(server: &Server, quiet: &Quiet, count: usize) -> Vec<Response> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = responses(server, quiet);
        if told.len() >= count {
            return told;
        }
        assert!(Instant::now() < deadline, "{count} responses: {told:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn alerts(server: &Server) -> Vec<Alert<'static>> {
    let stored = server.stored(&server.alerts, FactKind::Alert).into_iter();
    let alerts = stored.filter_map(|record| if let Fact::Alert(alert) = record.fact { Some(alert) } else { None });
    alerts.collect()
}

/// The last that was told.
fn last_alert(server: &Server) -> Alert<'static> {
    alerts(server).into_iter().max_by_key(|alert| alert.annotations.get("n").map(str::to_owned)).expect("an alert")
}

async fn says_how_it_is_set_up(amtool: &Amtool) {
    let shown = amtool.ask(&["config", "show"]).await;
    assert!(
        shown.contains("receiver: fairlead") && amtool.ask(&["config", "routes"]).await.contains("fairlead"),
        "{shown}"
    );
    assert_eq!(amtool.ask(&["config", "routes", "test", "service=checkout"]).await, "fairlead");
    assert!(amtool.ask(&["cluster", "show"]).await.contains("disabled"));
    let (well, said) = tokio::task::block_in_place(|| {
        amtool.run(&["silence", "add", "code=~.*", "-a", "m", "-c", "c"], Some("http.yml"))
    });
    assert!(!well && said.contains("must not match the empty string"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn amtool_lists_and_silences_and_every_service_hears_of_it() {
    let (server, quiet) = with_view(Kafka::shared(), Clock::wall()).await;
    let amtool = Amtool::new(&server);
    for (config, arguments) in [(None, ["alert", "query"]), (None, ["silence", "query"]), (None, ["cluster", "show"])] {
        let (well, said) = tokio::task::block_in_place(|| amtool.run(&arguments, config));
        assert!(!well && said.contains("401"), "without a token: {said}");
    }
    let add = |n: &'static str| {
        let annotation = format!("--annotation=n={n}");
        let amtool = &amtool;
        async move { amtool.ask(&["alert", "add", "HighErrors", "service=checkout", "code=503", &annotation]).await }
    };
    add("1").await;
    amtool.ask(&["alert", "add", "Other", "service=search", "--annotation=n=0"]).await;
    let said = amtool.ask_until(&["alert", "query", "-o", "extended"], |said| said.contains("HighErrors")).await;
    assert!(said.contains("code=\"503\"") && said.contains("active"), "{said}");
    assert_eq!(
        amtool.ask(&["alert", "query", "service=~chec.*", "code!=503"]).await.lines().count(),
        1,
        "its head alone"
    );

    let silence =
        ["silence", "add", "alertname=HighErrors", "code=~50[0-9]", "-a", "maria", "-c", "a deploy", "-d", "1h"];
    let id = amtool.ask(&silence).await;
    let told = responses_until(&server, &quiet, 1).await;
    let [told] = told.as_slice() else { panic!("one response of one service: {told:?}") };
    assert_eq!((told.verb, &*told.service, &*told.by), (ResponseVerb::Silence, "checkout", "maria"));
    assert_eq!((told.silence_id.as_deref(), told.comment.as_deref()), (Some(&*id), Some("a deploy")));
    let end = told.until_ms.expect("an end");
    assert_eq!(told.fingerprints, [last_alert(&server).fingerprint.to_string()]);
    assert_eq!(last_alert(&server).muted_by, None, "it came before the silence");
    assert!(amtool.ask(&["silence", "query"]).await.contains(&id));
    assert!(amtool.ask(&["silence", "query", "-o", "json", "alertname=HighErrors"]).await.contains(&id));
    let active = amtool.ask(&["alert", "query"]).await;
    assert!(active.contains("Other") && !active.contains("HighErrors"), "{active}");
    assert!(amtool.ask(&["alert", "query", "-s"]).await.contains("HighErrors"));

    add("2").await;
    let marked = last_alert(&server);
    assert_eq!((marked.muted_by.as_deref(), marked.muted_until_ms), (Some(&*id), Some(end)));
    amtool.ask(&["silence", "update", "-d", "2h", &id]).await;
    let told = responses_until(&server, &quiet, 2).await;
    assert_ne!(told[0].id, told[1].id);
    assert!(
        told[1].until_ms > Some(end) && told[1].silence_id.as_deref() == Some(&*id),
        "an end can be moved: {told:?}"
    );
    amtool.ask(&["silence", "expire", &id]).await;
    let told = responses_until(&server, &quiet, 3).await;
    assert_eq!(
        (told[2].verb, told[2].silence_id.as_deref(), told[2].until_ms),
        (ResponseVerb::Unsilence, Some(&*id), None)
    );
    add("3").await;
    assert_eq!(last_alert(&server).muted_by, None);
    assert!(amtool.ask(&["alert", "query"]).await.contains("HighErrors"));
    assert!(!amtool.ask(&["silence", "query"]).await.contains(&id));
    assert!(amtool.ask(&["silence", "query", "--expired"]).await.contains(&id));

    says_how_it_is_set_up(&amtool).await;
    assert_eq!(responses(&server, &quiet).len(), 3, "nothing is told twice");
    server.ingest.stop().await;
}

fn silence(id: &str, starts_at_ms: i64, ends_at_ms: i64) -> Silence {
    let told = SilenceMatcher { name: "service".to_owned(), value: "s".to_owned(), is_regex: false, is_equal: true };
    Silence {
        id: id.to_owned(),
        matchers: vec![told],
        starts_at_ms,
        ends_at_ms,
        updated_at_ms: starts_at_ms,
        created_by: "maria".to_owned(),
        comment: "c".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_that_died_left_untold_is_told_by_the_next_and_by_each_with_the_same_ids() {
    // Long enough ago that what ended is forgotten before today: Kafka takes no records from tomorrow.
    let now = EventTime(Clock::wall().now().0 - 6 * 24 * 3_600_000);
    let clock = Clock::at(now);
    let (sending, quiet) = view::sending(Kafka::shared());
    view::create(&sending).await;
    // It died with both durable and nothing told: one in force, one to come, one ended before its time.
    let sender = Sender::new(sending.clone(), Arc::new(Formats::shipped())).unwrap();
    let ended = silence("ended", now.0 - 50_000, now.0);
    let pending = silence("pending", now.0 + 60_000, now.0 + 90_000);
    let left = [silence("in-force", now.0 - 5_000, now.0 + 600_000), pending, ended];
    let left = left.map(|silence| Fact::Silence(Silence { updated_at_ms: now.0, ..silence }));
    sender.send(&left, now).await.unwrap();
    let began = jiff::Timestamp::from_millisecond(now.0 - 60_000).unwrap().to_string();
    let body = json!([{"labels": {"alertname": "A", "service": "s"}, "startsAt": began}]);
    let plain = Server::start_with(config(sending.clone(), Capacity::default(), clock.clone())).await;
    assert_eq!(plain.status("/api/v2/alerts", &body).await, 200);
    plain.ingest.stop().await;

    let (first, _) = view::start(sending.clone(), clock.clone()).await;
    let told = responses_until(&first, &quiet, 2).await;
    let verbs = |told: &[Response]| {
        let mut verbs: Vec<_> =
            told.iter().map(|told| (told.silence_id.clone().unwrap_or_default(), told.verb)).collect();
        verbs.sort();
        verbs
    };
    let due = [("ended".to_owned(), ResponseVerb::Unsilence), ("in-force".to_owned(), ResponseVerb::Silence)];
    assert_eq!(verbs(&told), due);
    clock.set(now.plus_ms(60_000));
    let third = responses_until(&first, &quiet, 3).await[2].clone();
    assert_eq!((third.silence_id.as_deref(), third.at_ms), (Some("pending"), now.0 + 60_000));
    first.ingest.stop().await;

    // Another process says the same again under the same ids, which makes it harmless.
    let (second, _) = view::start(sending, clock.clone()).await;
    let again = responses_until(&second, &quiet, 6).await;
    let ids = |told: &[Response]| {
        let mut ids: Vec<_> = told.iter().map(|told| told.id.clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&again[..3]), ids(&again[3..]));
    assert_eq!(again.len(), 6);
    // What ended long ago goes from the topic.
    clock.set(now.plus_ms(RETENTION_MS + 600_000));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown = second.http.get(second.url("/api/v2/silences")).bearer_auth(TOKEN).send().await.unwrap();
        if shown.json::<Value>().await.unwrap() == json!([]) {
            break;
        }
        assert!(Instant::now() < deadline, "they are still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    second.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_that_one_process_makes_holds_in_the_other_and_can_be_ended_there() {
    let (first, quiet) = with_view(Kafka::shared(), Clock::wall()).await;
    let (sending, _) = view::sending(Kafka::shared());
    let (alerts, deploys) = (first.alerts.as_str().into(), first.deploys.as_str().into());
    let (silences, responses) = (Some(quiet.silences.clone()), Some(quiet.responses.clone()));
    let sending = Sending { alerts, deploys, silences, responses, ..sending };
    let (second, _) = view::start(sending, Clock::wall()).await;
    let tell = async |server: &Server, n: &str| {
        let labels = json!({"alertname": "A", "service": "s"});
        let body = json!([{"labels": labels, "annotations": {"n": n}}]);
        assert_eq!(server.status("/api/v2/alerts", &body).await, 200);
        last_alert(server)
    };
    assert_eq!(tell(&second, "1").await.muted_by, None);
    let wish = json!({
        "matchers": [{"name": "service", "value": "s", "isRegex": false}], "createdBy": "maria", "comment": "c",
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2100-01-01T00:00:00Z",
    });
    let made = first.post("/api/v2/silences", wish.to_string()).send().await.unwrap();
    assert_eq!(
        (made.status(), &made.headers()["cache-control"]),
        (reqwest::StatusCode::OK, &"no-store".parse().unwrap())
    );
    let made: Value = made.json().await.unwrap();
    let id = made["silenceID"].as_str().unwrap();
    let shown = |server: &Server| {
        let request = server.http.get(server.url(&format!("/api/v2/silence/{id}"))).bearer_auth(TOKEN);
        async move { request.send().await.unwrap().json::<Value>().await.unwrap_or_default()["status"]["state"].clone() }
    };
    let shown_until = async |server: &Server, state: &str| {
        let deadline = Instant::now() + PATIENCE;
        while shown(server).await != state {
            assert!(Instant::now() < deadline, "{state}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    shown_until(&second, "active").await;
    assert_eq!(tell(&second, "2").await.muted_by.as_deref(), Some(id));
    let ended = second.http.delete(second.url(&format!("/api/v2/silence/{id}"))).bearer_auth(TOKEN).send().await;
    assert_eq!(ended.unwrap().status(), 200);
    shown_until(&first, "expired").await;
    assert_eq!(tell(&first, "3").await.muted_by, None);
    // Both tell it, under one id each.
    let told = responses_until(&first, &quiet, 2).await;
    let mut ids: Vec<_> = told.iter().map(|told| (told.verb, told.id.clone())).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.iter().map(|(verb, _)| *verb).collect::<Vec<_>>(), [ResponseVerb::Silence, ResponseVerb::Unsilence]);
    first.ingest.stop().await;
    second.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_alert_is_taken_and_nothing_shown_before_the_silences_are_known() {
    // Nothing listens on port 1.
    let (sending, _) = view::sending("127.0.0.1:1");
    let server = view::unread(sending, Clock::wall()).await;
    assert_eq!(server.status("/api/v2/alerts", &json!([alert("checkout", "A")])).await, 503);
    for path in ["/api/v2/alerts", "/api/v2/silences", "/api/v2/status"] {
        let answer = server.http.get(server.url(path)).bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true), "{path}");
    }
    let ready = server.http.get(server.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_topics_for_silences_the_mend_is_told() {
    let server = Server::start().await;
    let answer = server.http.get(server.url("/api/v2/silences")).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    let told: Value = answer.json().await.unwrap();
    assert!(told["mend"].as_str().unwrap().contains("`silences` and `responses` under `ingest`"), "{told}");
    server.ingest.stop().await;
}
