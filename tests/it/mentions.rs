//! Nothing that an alert says leads to a mention: the shipped topology, from the fact to what Slack is told, under hostile labels and
//! annotations; nor anything that people answer: names, comments, what they call an action. Whom a message wakes is the same whatever
//! its texts are.

use std::sync::LazyLock;

use fairlead::event::{Alert, AlertStatus, Fact, FactKind, Labels, Mention, Response, ResponseVerb, SlackAction, Text};
use fairlead::record::{EventTime, Topic};
use fairlead::topology::catalog::catalog;
use fairlead::topology::compile::compile;
use fairlead::topology::driver::TopologyDriver;
use fairlead::topology::plan::Topology;
use fairlead::topology::spec::SourceFile;
use proptest::prelude::*;

static TOPOLOGY: LazyLock<Topology> = LazyLock::new(|| {
    let files = [
        ("app.yaml", include_str!("../../topology/app.yaml")),
        ("topics.yaml", include_str!("../../topology/topics.yaml")),
        ("oncall.yaml", include_str!("../../topology/oncall.yaml")),
    ];
    let file = |(name, text): (&str, &str)| SourceFile { name: name.to_owned(), text: text.to_owned() };
    compile(&files.map(file), &catalog()).topology.expect("the shipped topology compiles")
});

const SERVICES: [&str; 3] = ["checkout", "search", "unowned"];
const SEVERITIES: [&str; 5] = ["critical", "high", "warning", "info", "strange"];
const HOSTILE: [&str; 8] = [
    "<!channel>",
    "<!here|here> <@U0PAULA> <!subteam^S0SREONCALL>",
    "&lt;!channel&gt; &amp;lt;!here&amp;gt;",
    "@channel @here @everyone",
    "https://x/|<!channel>",
    "https://x/><!channel>",
    "\u{202e}>lennahc!<\u{202c} <!\u{200b}channel>",
    "\"},{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"<!channel>\"}},{\"",
];

#[derive(Clone, Debug)]
struct Telling {
    alert: usize,
    service: usize,
    severity: usize,
    firing: bool,
    value: Option<i32>,
    /// By index, or any text at all.
    texts: Vec<String>,
    /// What somebody then says to the incident.
    answer: Option<ResponseVerb>,
}

fn any_telling() -> impl Strategy<Value = Telling> {
    let text = prop_oneof![(0..HOSTILE.len()).prop_map(|at| HOSTILE[at].to_owned()), "\\PC{0,30}", "[<>!@&|a^]{0,12}"];
    let texts = prop::collection::vec(text, 6);
    let answers = [ResponseVerb::Acknowledge, ResponseVerb::Assign, ResponseVerb::Snooze, ResponseVerb::Run];
    let answer = prop::option::of((0..answers.len()).prop_map(move |at| answers[at]));
    let value = prop::option::of(0..2_000i32);
    (0..3usize, 0..3usize, 0..5usize, prop::bool::weighted(0.8), value, texts, answer).prop_map(
        |(alert, service, severity, firing, value, texts, answer)| Telling {
            alert,
            service,
            severity,
            firing,
            value,
            texts,
            answer,
        },
    )
}

impl Telling {
    /// With its own texts, or with harmless ones in their places.
    fn alert(&self, at: usize, hostile: bool) -> Alert<'static> {
        let text = |index: usize| if hostile { self.texts[index].clone() } else { format!("harmless {index}") };
        let labels = [
            ("alertname", "Errors".to_owned()),
            ("severity", SEVERITIES[self.severity].to_owned()),
            ("pod", text(0)),
            ("team", text(1)),
        ];
        let annotations = [
            ("summary", text(2)),
            ("description", text(3)),
            ("runbook_url", text(4)),
            ("dashboard_url", format!("https://{}", text(5))),
            ("sparkline", text(1)),
            (
                "chart",
                if self.value.is_some_and(|value| value % 3 == 0) { "01fefe0c00ff7f".to_owned() } else { text(0) },
            ),
            ("trend", if self.value.is_some_and(|value| value % 2 == 0) { "recovering".to_owned() } else { text(0) }),
        ];
        Alert {
            source: if self.alert == 0 { "trend".into() } else { "test".into() },
            fingerprint: format!("f{}", self.alert).into(),
            starts_at_ms: 0,
            ends_at_ms: (!self.firing).then_some(at as i64),
            status: if self.firing { AlertStatus::Firing } else { AlertStatus::Resolved },
            service: SERVICES[self.service].into(),
            name: "Errors".into(),
            environment: None,
            namespace: None,
            labels: set(labels),
            annotations: set(annotations),
            value: self.value.map(f64::from),
            generator_url: Some(format!("http://{}", text(4)).into()),
            level: None,
            mention: Mention::Channel,
            level_reason: None,
            episode: None,
            muted_until_ms: None,
            muted_by: None,
        }
    }
}

impl Telling {
    /// What somebody says to the last incident of its service.
    fn response(&self, verb: ResponseVerb, at: usize, incident_id: Option<String>, hostile: bool) -> Response {
        // Each its own: an answer that finds things as it asks says nothing.
        let text = |index: usize| Some(format!("{}{at}", if hostile { &*self.texts[index] } else { "harmless " }));
        let at_ms = at as i64 * 60_000 + 1;
        Response {
            id: format!("r{at}"),
            service: SERVICES[self.service].to_owned(),
            incident_id,
            version: 0,
            verb,
            by: "U0PAULA".to_owned(),
            by_name: text(0),
            at_ms,
            until_ms: Some(at_ms + 600_000),
            assignee: text(1),
            action: text(2),
            silence_id: None,
            fingerprints: Vec::new(),
            comment: text(3),
        }
    }
}

fn last_incident(driver: &TopologyDriver, service: &str) -> Option<String> {
    let facts = driver.facts(&Topic::from("oncall.incidents.v1"), FactKind::Incident).unwrap();
    let id = |fact| if let Fact::Incident(incident) = fact { incident } else { panic!("{fact:?}") };
    facts.into_iter().map(|(_, fact)| id(fact)).rfind(|incident| incident.service == service).map(|one| one.id)
}

fn set<const N: usize>(pairs: [(&'static str, String); N]) -> Labels<'static> {
    pairs.into_iter().map(|(name, value)| (Text::from(name), Text::from(value))).collect()
}

/// What Slack was told, in the order of ids.
fn told(tellings: &[Telling], hostile: bool) -> Vec<SlackAction> {
    let mut driver = TopologyDriver::new(&TOPOLOGY, 5).unwrap();
    let minute = |at: usize| EventTime(at as i64 * 60_000);
    for (at, telling) in tellings.iter().enumerate() {
        let alert = Fact::Alert(telling.alert(at, hostile));
        driver.send(&Topic::from("oncall.alerts.v1"), &alert, minute(at)).unwrap();
        driver.run(minute(at)).unwrap();
        if let Some(verb) = telling.answer {
            let incident = last_incident(&driver, SERVICES[telling.service]);
            let response = telling.response(verb, at, incident, hostile);
            let at = EventTime(response.at_ms);
            driver.send(&Topic::from("oncall.responses.v1"), &Fact::Response(response), at).unwrap();
        }
    }
    driver.run(minute(tellings.len() + 600)).unwrap();
    let (formats, _) = TOPOLOGY.shipped_formats().unwrap();
    let actions = Topic::from("oncall.slack-actions.v1");
    let written = driver.written().into_iter().filter(|(partition, _)| partition.topic == actions);
    let mut told: Vec<SlackAction> = written
        .flat_map(|(_, records)| records)
        .map(|record| {
            let value = record.value.expect("an action is no tombstone");
            match formats.decode_fact(FactKind::SlackAction, &value).unwrap() {
                Fact::SlackAction(action) => action,
                other => panic!("{other:?}"),
            }
        })
        .collect();
    told.sort_by(|one, other| one.id.cmp(&other.id));
    told
}

/// All that Slack would read as a token, links and times aside; the blocks' texts are JSON strings.
fn mentions(action: &SlackAction) -> Vec<String> {
    let blocks: serde_json::Value = serde_json::from_str(&action.blocks).unwrap();
    let mut texts = vec![action.text.clone()];
    for block in blocks.as_array().unwrap() {
        let known = ["section", "context"].contains(&block["type"].as_str().unwrap());
        assert!(known, "no text makes a block: {block}");
        texts.push(block["text"]["text"].as_str().or(block["elements"][0]["text"].as_str()).unwrap().to_owned());
    }
    let tokens = texts.iter().flat_map(|text| text.split('<').skip(1));
    let tokens = tokens.map(|rest| rest.split_once('>').expect("a token is closed").0.to_owned());
    tokens.filter(|token| !token.starts_with("!date^") && !token.starts_with("http")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn texts_of_alerts_and_answers_wake_nobody_and_change_nobody_who_is_woken(
        tellings in prop::collection::vec(any_telling(), 1..12),
    ) {
        let (hostile, harmless) = (told(&tellings, true), told(&tellings, false));
        prop_assert_eq!(hostile.len(), harmless.len());
        for (hostile, harmless) in hostile.iter().zip(&harmless) {
            prop_assert_eq!(&hostile.id, &harmless.id);
            prop_assert_eq!(mentions(hostile), mentions(harmless));
            for token in mentions(hostile) {
                let configured = ["!subteam^S0CHECKOUT", "!subteam^S0SEARCH", "!subteam^S0SREONCALL"];
                prop_assert!(configured.contains(&&*token), "{}", token);
                prop_assert!(hostile.level > fairlead::event::Level::Low && !hostile.terminal);
            }
        }
        // Whoever only resolves, or tells of nothing above low, wakes nobody.
        let quiet = tellings.iter().all(|telling| !telling.firing || SEVERITIES[telling.severity] == "info");
        prop_assert!(!quiet || hostile.iter().all(|action| mentions(action).is_empty()));
    }
}
