//! Clicks in Slack, from the button to the fact: signed bytes, who may, what the clicker is told, what is durable before it is
//! answered. Slack is the stand-in; Kafka is real.

use fairlead::actions::{Actions, People};
use fairlead::embedded::slack::{Control, FakeSlack, Press, Sockets, Workspace, signed};
use fairlead::event::{Response, ResponseVerb};
use fairlead::ingest::responses::desk::{Desk, DeskConfig, STORED_WITHIN};
use fairlead::ingest::responses::doors::Doors;
use fairlead::ingest::responses::socket::Socket;
use fairlead::ingest::signature::Secrets;
use fairlead::sink::slack::Token;

use super::*;

const BOT: &str = "xoxb-test-clicks";
const PATH: &str = "/slack/interactions";

struct Desked {
    server: Server,
    slack: FakeSlack,
    desk: Arc<Desk>,
    responses: String,
}

fn actions() -> Actions {
    let action = |allowed: Value| json!({"label": "Roll back", "command": ["true"], "services": ["checkout"], "allowed": allowed});
    let actions = json!({
        "rollback": action(json!({"users": ["U1"]})),
        "restart": action(json!({"groups": ["S2"], "api": true})),
        "everyone": {"label": "Any", "command": ["true"]},
    });
    serde_json::from_value(actions).unwrap()
}

impl Desked {
    async fn start(bootstrap: &str, responders: Option<People>) -> Self {
        let clock = Clock::at(NOW);
        let slack = FakeSlack::start(Workspace::new(BOT, &["oncall"]), clock.clone()).await.unwrap();
        let responses = unique("responses");
        let sending = Sending { responses: Some(responses.as_str().into()), ..sending(bootstrap, STORED_WITHIN) };
        if bootstrap == Kafka::shared() {
            create_topics(bootstrap, &[sending.alerts.as_str(), sending.deploys.as_str(), &responses]).await;
        }
        let desk = DeskConfig {
            sending: sending.clone(),
            clock: clock.clone(),
            responders,
            actions: actions(),
            slack_url: slack.base_url(),
            token: Some(Token(BOT.to_owned())),
        };
        let registry = Registry::new();
        let desk = Arc::new(Desk::new(desk, Arc::new(Formats::shipped()), &registry).unwrap());
        let doors = Doors {
            desk: desk.clone(),
            slack: Some(Secrets::new(["the-secret-of-last-month", Workspace::SIGNING_SECRET])),
            access: Access::from_text(TOKEN, "the test").unwrap(),
        };
        let config = IngestConfig { doors: Some(doors), ..config(sending, Capacity::default(), clock) };
        let mut server = Server::start_with(config).await;
        // The counters of the desk are beside those of the server.
        server.registry = registry;
        let desked = Self { server, slack, desk, responses };
        desked.post_message().await;
        desked
    }

    async fn post_message(&self) {
        let about = json!({"incident": "inc-1", "service": "checkout", "version": 3}).to_string();
        let plain = |text: &str| json!({"type": "plain_text", "text": text});
        let button = |id: &str| json!({"type": "button", "action_id": id, "text": plain(id), "value": about});
        let snooze = json!({"type": "static_select", "action_id": "fairlead.snooze", "placeholder": plain("Snooze"),
            "options": [{"text": plain("1 h"), "value": "3600"}]});
        let assign = json!({"type": "users_select", "action_id": "fairlead.assign", "placeholder": plain("Assign")});
        let elements = [
            button("fairlead.acknowledge"),
            snooze,
            assign,
            button("fairlead.run.rollback"),
            button("fairlead.run.restart"),
            button("fairlead.run.gone"),
        ];
        let blocks = json!([{"type": "actions", "block_id": about, "elements": elements}]);
        let message = json!({"channel": "oncall", "text": "🔴 Critical: checkout", "blocks": blocks});
        let url = format!("{}chat.postMessage", self.slack.base_url());
        let posted: Value =
            self.server.http.post(url).bearer_auth(BOT).json(&message).send().await.unwrap().json().await.unwrap();
        assert_eq!(posted["ok"], true, "{posted}");
    }

    async fn click(&self, user: &str, action_id: &str, chosen: Option<&str>) -> u16 {
        let press = Press { channel: "oncall", ts: None, action_id, user, chosen };
        self.slack.click(&self.server.url(PATH), &press).await.unwrap()
    }

    fn stored(&self) -> Vec<Response> {
        let stored =
            self.server.stored(&self.responses, FactKind::Response).into_iter().map(|stored| match stored.fact {
                Fact::Response(response) => {
                    assert_eq!(stored.key, response.service);
                    response
                }
                other => panic!("{other:?}"),
            });
        stored.collect()
    }

    /// The last line that was told to a clicker.
    async fn told(&self, count: usize) -> (String, String) {
        let deadline = Instant::now() + PATIENCE;
        while self.slack.ephemerals().len() < count {
            assert!(Instant::now() < deadline, "{:?}", self.slack.ephemerals());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let all = self.slack.ephemerals();
        assert_eq!(all.len(), count, "{all:?}");
        all.last().map(|line| (line.user.clone(), line.text.clone())).unwrap()
    }

    fn counted(&self, door: &str, outcome: &str) -> f64 {
        self.server.counted("fairlead_responses_total", &[("door", door), ("outcome", outcome)])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_is_a_durable_fact_before_it_is_answered_and_a_second_one_is_told_so() {
    let desked = Desked::start(Kafka::shared(), None).await;
    assert_eq!(desked.click("U1", "fairlead.acknowledge", None).await, 200);
    let stored = desked.stored();
    assert_eq!(stored.len(), 1);
    let Response { verb, version, by, at_ms, incident_id, .. } = &stored[0];
    assert_eq!((*verb, *version, &**by, *at_ms), (ResponseVerb::Acknowledge, 3, "U1", NOW.0));
    assert_eq!(incident_id.as_deref(), Some("inc-1"));
    assert_eq!(desked.click("U2", "fairlead.acknowledge", None).await, 200);
    let (user, line) = desked.told(1).await;
    assert!(user == "U2" && line.contains("<@U1> did that") && line.contains("no difference"), "{line}");
    assert_eq!(desked.click("U1", "fairlead.snooze", Some("3600")).await, 200);
    assert_eq!(desked.click("U1", "fairlead.assign", Some("U9")).await, 200);
    let stored = desked.stored();
    let snoozed = stored.iter().find(|response| response.verb == ResponseVerb::Snooze).unwrap();
    assert_eq!(snoozed.until_ms, Some(NOW.0 + 3_600_000));
    assert!(stored.iter().any(|response| response.assignee.as_deref() == Some("U9")));
    assert_eq!(desked.counted("slack", "accepted"), 4.0);
    desked.server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_is_taken_and_others_are_told_alone() {
    let responders = People { users: vec!["U1".to_owned()], groups: vec!["S1".to_owned()], api: false };
    let desked = Desked::start(Kafka::shared(), Some(responders)).await;
    let group = |group: &str, users: &[&str]| {
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        desked.slack.control(Control::Group { group: group.to_owned(), users }).unwrap();
    };
    // Slack knows no such group yet: who is in no list of users is refused, and told why.
    assert_eq!(desked.click("U3", "fairlead.acknowledge", None).await, 200);
    let (user, line) = desked.told(1).await;
    assert!(user == "U3" && line.contains("could not be asked") && line.contains("no_such_subteam"), "{line}");
    group("S1", &["U2"]);
    group("S2", &["U4"]);
    assert_eq!(desked.click("U3", "fairlead.acknowledge", None).await, 200);
    assert!(desked.told(2).await.1.contains("not among those who may"));
    for user in ["U1", "U2"] {
        assert_eq!(desked.click(user, "fairlead.assign", Some("U9")).await, 200);
    }
    // Who may answer may not run what is others'; who may run it need not be one who may answer.
    assert_eq!(desked.click("U2", "fairlead.run.rollback", None).await, 200);
    assert!(desked.told(3).await.1.contains("not among those who may"));
    assert_eq!(desked.click("U1", "fairlead.run.rollback", None).await, 200);
    assert_eq!(desked.click("U4", "fairlead.run.restart", None).await, 200);
    assert_eq!(desked.click("U1", "fairlead.run.gone", None).await, 200);
    assert!(desked.told(4).await.1.contains("no action `gone`"));
    // Twice on the same rendering is once.
    assert_eq!(desked.click("U4", "fairlead.run.restart", None).await, 200);
    assert!(desked.told(5).await.1.contains("<@U4> asked for it"));
    let stored = desked.stored();
    let by: Vec<_> = stored.iter().map(|response| (&*response.by, response.action.as_deref())).collect();
    assert_eq!(stored.len(), 4, "{by:?}");
    for expected in [("U1", None), ("U2", None), ("U1", Some("rollback")), ("U4", Some("restart"))] {
        assert!(by.contains(&expected), "{by:?}");
    }
    assert_eq!((desked.counted("slack", "refused"), desked.counted("slack", "accepted")), (5.0, 4.0));
    desked.server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_by_slack_within_five_minutes_is_refused_whatever_it_is() {
    let desked = Desked::start(Kafka::shared(), None).await;
    let press = Press { channel: "oncall", ts: None, action_id: "fairlead.acknowledge", user: "U1", chosen: None };
    let (payload, _) = desked.slack.pressed(&press).unwrap();
    let now = NOW.0 / 1_000;
    let send = async |body: &str, signature: &str, time: &str| {
        let request = desked.server.http.post(desked.server.url(PATH)).timeout(PATIENCE);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("x-slack-signature", signature).header("x-slack-request-timestamp", time);
        request.body(body.to_owned()).send().await.unwrap().status().as_u16()
    };
    let (body, good) = signed(&payload, Workspace::SIGNING_SECRET, now);
    let (_, foreign) = signed(&payload, "another-secret-of-somebody", now);
    for (body, signature, time) in [
        (format!("{body}&x=1"), good.clone(), now),
        (body.replacen("U1", "U7", 1), good.clone(), now),
        (body.clone(), foreign, now),
        (body.clone(), good.clone(), now + 1),
        (body.clone(), good.replace("v0=", ""), now),
        (body.clone(), String::new(), now),
    ] {
        assert_eq!(send(&body, &signature, &time.to_string()).await, 401, "{signature} {time}");
    }
    for time in [now - 301, now + 301] {
        let (body, signature) = signed(&payload, Workspace::SIGNING_SECRET, time);
        assert_eq!(send(&body, &signature, &time.to_string()).await, 401);
    }
    let bearer = desked.server.post(PATH, body.clone()).send().await.unwrap();
    assert_eq!(bearer.status(), 401);
    // A captured request, sent again within the five minutes, is the same fact.
    for _ in 0..2 {
        assert_eq!(send(&body, &good, &now.to_string()).await, 200);
    }
    let stored = desked.stored();
    assert_eq!((stored.len(), &stored[0].id), (2, &stored[1].id));
    // What Slack would not send, signed all the same.
    for junk in [json!({}), json!([]), json!({"type": "block_actions"}), json!("x")] {
        let (body, signature) = signed(&junk, Workspace::SIGNING_SECRET, now);
        assert_eq!(send(&body, &signature, &now.to_string()).await, 400, "{junk}");
    }
    let (body, signature) = signed(&json!({"type": "view_closed"}), Workspace::SIGNING_SECRET, now);
    assert_eq!(send(&body, &signature, &now.to_string()).await, 200);
    let large = vec![b'x'; 600 << 10];
    assert_eq!(desked.server.post(PATH, large).send().await.unwrap().status(), 413);
    desked.server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_said_within_three_seconds() {
    // Nothing listens on port 1.
    let desked = Desked::start("127.0.0.1:1", None).await;
    // After three seconds the stand-in gives up as Slack does, and there would be no status.
    assert_eq!(desked.click("U1", "fairlead.acknowledge", None).await, 503);
    assert!(desked.told(1).await.1.contains("could not be recorded"));
    assert_eq!(desked.counted("slack", "failed"), 1.0);
    desked.server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_answer_with_the_token_and_run_only_what_they_may() {
    let desked = Desked::start(Kafka::shared(), None).await;
    let path = "/api/v1/incidents/checkout/inc-1/responses";
    let send = async |body: Value, key: &str| {
        let request = desked.server.post(path, body.to_string()).header("idempotency-key", key);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let snooze = json!({"verb": "snooze", "by": "ann", "for": "1h"});
    let (status, first) = send(snooze.clone(), "k1").await;
    assert_eq!(status, 200, "{first}");
    assert_eq!(send(snooze.clone(), "k1").await.1["id"], first["id"]);
    assert_ne!(send(snooze.clone(), "k2").await.1["id"], first["id"]);
    assert_eq!(send(json!({"verb": "run", "by": "ci", "action": "restart"}), "k3").await.0, 200);
    for (body, status, said) in [
        (json!({"verb": "run", "by": "ci", "action": "rollback"}), 403, "may not ask for `rollback`"),
        (json!({"verb": "run", "by": "ci", "action": "everyone"}), 403, "may not ask for `everyone`"),
        (json!({"verb": "run", "by": "ci", "action": "gone"}), 403, "no action `gone`"),
        (json!({"verb": "snooze", "by": "ann"}), 400, "how long is not said"),
    ] {
        let (found, told) = send(body, "k4").await;
        assert!(found == status && told["error"].as_str().unwrap().contains(said), "{found} {told}");
    }
    let stranger = desked.server.http.post(desked.server.url(path)).body(snooze.to_string()).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    let stored = desked.stored();
    assert_eq!(stored.len(), 4);
    assert!(
        stored
            .iter()
            .all(|response| response.service == "checkout" && response.incident_id.as_deref() == Some("inc-1"))
    );
    desked.server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_mode_acknowledges_what_is_durable_and_comes_back_when_asked_to() {
    let desked = Desked::start(Kafka::shared(), None).await;
    let _socket = Socket::start(desked.desk.clone(), Token(Sockets::APP_TOKEN.to_owned()));
    let sockets = desked.slack.sockets();
    let connected = async |times: u64| {
        let deadline = Instant::now() + PATIENCE;
        while sockets.connected() < times {
            assert!(Instant::now() < deadline, "nobody connected {times} times");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let press = Press { channel: "oncall", ts: None, action_id: "fairlead.acknowledge", user: "U1", chosen: None };
    connected(1).await;
    let (payload, _) = desked.slack.pressed(&press).unwrap();
    assert_eq!(sockets.deliver(payload.clone()).await, Ok(true));
    assert_eq!(desked.stored().len(), 1);
    // What is none of ours, and what cannot be read, does not come again either.
    assert_eq!(sockets.deliver(json!({"type": "view_closed"})).await, Ok(true));
    assert_eq!(sockets.deliver(json!([])).await, Ok(true));
    sockets.refresh().await;
    connected(2).await;
    assert_eq!(sockets.deliver(payload).await, Ok(true));
    let stored = desked.stored();
    assert_eq!((stored.len(), &stored[0].id), (2, &stored[1].id));
    assert_eq!((desked.counted("socket", "accepted"), desked.counted("socket", "refused")), (2.0, 1.0));
    // Its address was good once, and a bot's token gets none.
    assert_eq!(sockets.open(Some(BOT))["error"], "not_allowed_token_type");
    desked.server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_mode_does_not_acknowledge_what_could_not_be_stored() {
    let desked = Desked::start("127.0.0.1:1", None).await;
    let _socket = Socket::start(desked.desk.clone(), Token(Sockets::APP_TOKEN.to_owned()));
    let deadline = Instant::now() + PATIENCE;
    while desked.slack.sockets().connected() == 0 {
        assert!(Instant::now() < deadline, "nobody connected");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let press = Press { channel: "oncall", ts: None, action_id: "fairlead.acknowledge", user: "U1", chosen: None };
    let (payload, _) = desked.slack.pressed(&press).unwrap();
    assert_eq!(desked.slack.sockets().deliver(payload).await, Ok(false));
    assert!(desked.told(1).await.1.contains("could not be recorded"));
    desked.server.ingest.stop().await;
}
