//! What other rules would have changed of the night, and what is proposed against noise.

use fairlead::event::{Alert, AlertStatus, Fact, Mention, Response, ResponseVerb};
use fairlead::record::EventTime;
use serde_json::Value;

use super::recording::{BEGIN_MS, Night};
use super::{json, told, topologies};

fn differences(diff: &Value) -> &Vec<Value> {
    diff["diff"]["incidents"].as_array().unwrap()
}

#[test]
fn a_rule_that_drops_an_alert_makes_its_incident_vanish_and_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    // Low and information-only: the watchdog's rule takes the flapping alert of search too.
    let dropping = |shipped: &str| shipped.replace("alerts: [Watchdog, ", "alerts: [SearchLatencyP99High, Watchdog, ");
    let (topology, other) = topologies(scratch.path(), dropping);
    let file = scratch.path().join("night.jsonl");
    Night::lived().write(&file);
    let file = file.to_str().unwrap();
    // Against what was told, and against the topology that told it: the same.
    for against in [&["--diff"][..], &["--diff", &topology]] {
        let args = [&["replay", "--topology", &other, "--file", file][..], against].concat();
        let diff = json(&args);
        assert_eq!(diff["replay"]["order"], "event_time");
        let [gone] = &differences(&diff)[..] else { panic!("{:#}", diff["diff"]) };
        assert_eq!((&gone["outcome"], &diff["diff"]["same"]), (&"vanishes".into(), &5.into()));
        assert_eq!(gone["title"], "search (production) [namespace=search]");
        assert_eq!(gone["decided_before"], "High: its severity is high (rule high)");
        assert_eq!(gone["decided_after"], "dropped: it always fires, to show that alerting works (rule watchdog)");
        let changes = gone["changes"].as_array().unwrap();
        assert!(changes.iter().all(|change| change["after"].is_null()), "{gone:#}");
        let mentions: Vec<_> = changes.iter().filter(|change| change["what"] == "mention").collect();
        // Nobody had it in hand: its owner again, then SRE.
        let whom: Vec<_> = mentions.iter().map(|mention| mention["before"].as_str().unwrap()).collect();
        assert_eq!(whom, ["S0SEARCH", "S0SEARCH", "S0SREONCALL"]);
        let text = told(&args);
        let row = text.lines().find(|line| line.starts_with("incidents")).unwrap();
        assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["incidents", "6", "5", "-1"]);
        assert!(text.contains("\n5 incidents alike, 0 appear, 1 vanish, 0 change\n"), "{text}");
        assert!(
            text.contains("\nvanishes  search (production) [namespace=search]  opened 2026-11-02 22:10:00Z  inc-"),
            "{text}"
        );
    }
}

#[test]
fn another_level_changes_the_incident_its_mention_and_its_message() {
    let scratch = tempfile::tempdir().unwrap();
    let (topology, other) = topologies(scratch.path(), |shipped| {
        shipped.replace(
            "level: high\n          mention: owner\n          reason: its severity is high",
            "level: medium\n          reason: its severity is high, which is no reason to wake anybody",
        )
    });
    let file = scratch.path().join("night.jsonl");
    Night::lived().write(&file);
    let file = file.to_str().unwrap();
    let diff = json(&["replay", "--topology", &other, "--file", file, "--diff", &topology]);
    let search: Vec<_> = differences(&diff).iter().filter(|one| one["opened_at_ms"] == BEGIN_MS + 600_000).collect();
    let [changed] = search[..] else { panic!("{:#}", diff["diff"]) };
    assert_eq!(changed["outcome"], "changes");
    assert_eq!(changed["before"], changed["after"], "it is the same incident");
    let told = |what: &Value| -> Vec<(Value, Value)> {
        let changes = changed["changes"].as_array().unwrap().iter().filter(|change| change["what"] == *what);
        changes.map(|change| (change["before"].clone(), change["after"].clone())).collect()
    };
    let high = "High: its severity is high (rule high)";
    let medium = "Medium: its severity is high, which is no reason to wake anybody (rule high)";
    let steps = told(&serde_json::json!({ "step": "opened" }));
    assert_eq!(steps, [(high.into(), medium.into())]);
    let gone = ["S0SEARCH", "S0SEARCH", "S0SREONCALL"].map(|id| (Value::from(id), Value::Null));
    assert_eq!(told(&"mention".into()), gone);
    let (before, after) = &told(&"message".into())[0];
    let line = |message: &Value| message.as_str().unwrap().lines().nth(1).unwrap().to_owned();
    assert!(line(before).starts_with("🟠") && line(after).starts_with("🟡"), "{before} {after}");
}

/// Without the namespace as a group every incident has another id, and the two of payments-gateway are one.
#[test]
fn incidents_that_are_grouped_otherwise_are_found_by_their_alerts() {
    let scratch = tempfile::tempdir().unwrap();
    let wider = |shipped: &str| shipped.replace("group_by: [environment, namespace]", "group_by: [environment]");
    let (topology, other) = topologies(scratch.path(), wider);
    let file = scratch.path().join("night.jsonl");
    Night::lived().write(&file);
    let diff = json(&[
        "replay",
        "--topology",
        &other,
        "--file",
        file.to_str().unwrap(),
        "--diff",
        &topology,
        "--warm-up",
        "1h",
    ]);
    let of =
        |outcome: &str| -> Vec<&Value> { differences(&diff).iter().filter(|one| one["outcome"] == outcome).collect() };
    assert_eq!(
        (of("changes").len(), of("appears").len(), &diff["diff"]["same"]),
        (5, 0, &0.into()),
        "{:#}",
        diff["diff"]
    );
    let [gone] = of("vanishes")[..] else { panic!("{:#}", diff["diff"]) };
    assert_eq!(gone["title"], "payments-gateway (production) [namespace=payments]");
    let decided = gone["decided_after"].as_str().unwrap();
    assert!(
        decided.starts_with("Medium: ") && decided.ends_with("told within another incident, or not yet"),
        "{decided}"
    );
    let grown = of("changes").into_iter().find(|one| one["title"].as_str().unwrap().contains("cert-manager")).unwrap();
    assert_ne!(grown["before"], grown["after"]);
    let step = serde_json::json!({ "step": "escalated" });
    let changes = grown["changes"].as_array().unwrap();
    let escalated = changes.iter().find(|change| change["what"] == step).unwrap();
    assert!(escalated["before"].is_null() && escalated["after"].as_str().unwrap().starts_with("Medium: "), "{grown:#}");
}

#[test]
fn the_page_shows_both_sides_loads_nothing_and_escapes_what_alerts_say() {
    let scratch = tempfile::tempdir().unwrap();
    let dropping = |shipped: &str| shipped.replace("alerts: [Watchdog, ", "alerts: [SearchLatencyP99High, Watchdog, ");
    let (topology, other) = topologies(scratch.path(), dropping);
    let (file, page) = (scratch.path().join("night.jsonl"), scratch.path().join("night.html"));
    let evil = alert("</text><script>alert(1)</script>", "evil<b>", 0, None);
    let mut facts = super::recording::facts();
    facts.insert(0, (EventTime(BEGIN_MS), evil));
    Night::of(facts).write(&file);
    told(&[
        "replay",
        "--topology",
        &other,
        "--file",
        file.to_str().unwrap(),
        "--diff",
        &topology,
        "--html",
        page.to_str().unwrap(),
    ]);
    let page = std::fs::read_to_string(page).unwrap();
    assert_eq!(page.matches("<script>").count(), 1, "the page's own");
    assert!(page.contains("&lt;/text&gt;&lt;script&gt;alert(1)") && page.contains("evil&lt;b&gt;"));
    for loaded in ["src=", "<link", "@import", "url("] {
        assert!(!page.contains(loaded), "{loaded}");
    }
    // Of seven incidents on one side six are on the other: each is a bar that leads to what was told of it.
    assert_eq!(page.matches("<a class=\"").count(), 7 + 6);
    assert_eq!(page.matches("<a class=\"vanishes\"").count(), 1);
    for number in 0..7 {
        assert!(
            page.contains(&format!("href=\"#p{number}\"")) && page.contains(&format!("<details id=\"p{number}\">"))
        );
    }
}

fn alert(name: &'static str, service: &'static str, start_min: i64, ends_min: Option<i64>) -> Fact<'static> {
    let pair = |name: &'static str, value: &'static str| (name.into(), value.into());
    let labels = [pair("alertname", name), pair("severity", "warning"), pair("service", service)];
    Fact::Alert(Alert {
        source: "test".into(),
        fingerprint: format!("{name}-{service}").into(),
        starts_at_ms: BEGIN_MS + start_min * 60_000,
        ends_at_ms: ends_min.map(|minute| BEGIN_MS + minute * 60_000),
        status: if ends_min.is_some() { AlertStatus::Resolved } else { AlertStatus::Firing },
        service: service.into(),
        name: name.into(),
        environment: None,
        namespace: None,
        labels: labels.into_iter().collect(),
        annotations: Default::default(),
        value: None,
        generator_url: None,
        level: None,
        mention: Mention::Nobody,
        level_reason: None,
        episode: None,
        muted_until_ms: None,
        muted_by: None,
    })
}

/// To an incident that is not there: whoever answers, answers for the service.
fn answer(service: &str, verb: ResponseVerb) -> Fact<'static> {
    Fact::Response(Response {
        id: format!("{service}-{verb:?}"),
        service: service.to_owned(),
        incident_id: Some("inc-gone".to_owned()),
        version: 0,
        verb,
        by: "U0MIRA".to_owned(),
        by_name: None,
        at_ms: BEGIN_MS,
        until_ms: None,
        assignee: None,
        action: None,
        silence_id: None,
        fingerprints: Vec::new(),
        comment: None,
    })
}

/// Every hour two alerts of two services: one that ends after three minutes each time, one that lasts for nineteen.
#[test]
fn what_ends_by_itself_is_proposed_to_be_dropped_and_what_lasts_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let (topology, _) = topologies(scratch.path(), |shipped| format!("{shipped}\n"));
    let file = scratch.path().join("noise.jsonl");
    let mut facts = Vec::new();
    for begin in (0..8).map(|hour| hour * 60) {
        for (minute, fact) in [
            (begin, alert("Flicker", "batch", begin, None)),
            (begin + 1, alert("Lasts", "shop", begin + 1, None)),
            (begin + 3, alert("Flicker", "batch", begin, Some(begin + 3))),
            (begin + 20, alert("Lasts", "shop", begin + 1, Some(begin + 20))),
        ] {
            facts.push((EventTime(BEGIN_MS + minute * 60_000), fact));
        }
    }
    // Who answers has acted; who only wants quiet has not.
    let answers = [(65, "shop", ResponseVerb::Acknowledge), (62, "batch", ResponseVerb::Snooze)];
    facts.extend(answers.map(|(minute, service, verb)| (EventTime(BEGIN_MS + minute * 60_000), answer(service, verb))));
    facts.sort_by_key(|(at, _)| *at);
    Night::of(facts).write(&file);
    let args = ["report", "noise", "--topology", &topology, "--file", file.to_str().unwrap()];
    let noise = json(&args);
    let noisy = noise["noisy"].as_array().unwrap();
    let of = |alert: &str| noisy.iter().find(|one| one["alert"] == alert).unwrap();
    let flicker = of("Flicker");
    let figures = ["episodes", "told", "ended_soon", "came_back", "acted_on", "incidents", "messages"]
        .map(|name| flicker[name].as_i64());
    // A root and the reply that it is over, of each.
    assert_eq!(figures, [8, 8, 8, 0, 0, 8, 16].map(Some));
    assert_eq!(flicker["proposal"]["what"], "drop it");
    let effect = &flicker["effect"];
    assert_eq!((&effect["before"]["incidents"], &effect["after"]["incidents"]), (&8.into(), &0.into()));
    assert_eq!(effect["missed"], Value::Array(Vec::new()));
    assert!(of("Lasts")["proposal"].is_null());
    assert_eq!(of("Lasts")["acted_on"], 1);

    // What is proposed can be pasted, and does what was said.
    let yaml = flicker["proposal"]["yaml"].as_str().unwrap();
    let (_, pasted) =
        topologies(scratch.path(), |shipped| shipped.replacen("      rules:\n", &format!("      rules:\n{yaml}"), 1));
    let after = json(&["replay", "--topology", &pasted, "--file", file.to_str().unwrap()]);
    assert_eq!(after["replay"]["told"]["incidents"], 8, "those of the other alert");
    let text = told(&args);
    assert!(text.contains("acted on: acknowledged, assigned, an action run, or the service deployed"), "{text}");
    assert!(text.contains("replayed, of batch: incidents 8 to 0, messages 16 to 0, mentions 0 to 0\n"), "{text}");
}

/// The flapping alert of the night wakes its owner, again when nobody has it in hand, though not while it has ended (22:13:20 to
/// 22:15:10), and then SRE: patience with it would not, and the report says so.
#[test]
fn a_mention_that_would_be_missed_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let (topology, _) = topologies(scratch.path(), |shipped| format!("{shipped}\n"));
    let file = scratch.path().join("night.jsonl");
    Night::lived().write(&file);
    let noise = json(&["report", "noise", "--topology", &topology, "--file", file.to_str().unwrap()]);
    let noisy = noise["noisy"].as_array().unwrap();
    let search = noisy.iter().find(|one| one["alert"] == "SearchLatencyP99High").unwrap();
    assert_eq!(search["proposal"]["what"], "be patient with it", "{search:#}");
    let missed: Vec<_> = search["effect"]["missed"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let of = |id: &str, time: &str| {
        format!("mention of {id} for search (production) [namespace=search] at 2026-11-02 {time}Z")
    };
    assert_eq!(missed, [of("S0SEARCH", "22:10:00"), of("S0SEARCH", "22:15:10"), of("S0SREONCALL", "22:25:00")]);
    // Pasted, the rules say so.
    let yaml = search["proposal"]["yaml"].as_str().unwrap();
    let (_, pasted) =
        topologies(scratch.path(), |shipped| shipped.replacen("      rules:\n", &format!("      rules:\n{yaml}"), 1));
    let after = json(&["replay", "--topology", &pasted, "--file", file.to_str().unwrap()]);
    assert_eq!(after["replay"]["told"]["mentions"], 6);
    for one in noisy {
        let missed = one["effect"]["missed"].as_array().into_iter().flatten();
        assert!(missed.filter_map(Value::as_str).all(|missed| !missed.starts_with("Critical")), "{one:#}");
    }
}
