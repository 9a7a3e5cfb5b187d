use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::event::{Level, Mention, Suspect};
use crate::operator::script::{self, Line, clock};

const CONFIG: &str = r##"
channels:
  default: "#oncall"
  rules:
    - { services: [payments], level_at_least: high, channel: "#oncall-payments" }
    - { environments: [staging], channel: "#oncall-staging" }
mentions:
  owners: { shop: S0SHOP, payments: U0PAULA }
  sre: S0SRE
"##;

fn notify() -> Notify {
    serde_saphyr::from_str(CONFIG).unwrap()
}

fn actions(script: &str) -> Vec<(EventTime, SlackAction)> {
    let told = script::run(&notify(), script).told.into_iter();
    let actions = told.map(|(at, port, fact)| match (port, fact) {
        ("action", Fact::SlackAction(action)) => (at, action),
        other => panic!("actions only: {other:?}"),
    });
    actions.collect()
}

fn check(script: &str, expected: Expect) {
    let mut lines = String::new();
    for (at, action) in actions(script) {
        let terminal = if action.terminal { " terminal" } else { "" };
        lines += &format!("{} {:?} {} {}{terminal}\n", clock(at), action.kind, action.channel, action.id);
        lines += &format!("    {}\n", action.text.replace('\n', " ⏎ "));
    }
    expected.assert_eq(&lines);
}

#[test]
fn a_root_is_posted_rewritten_and_replied_to_when_something_is_notable() {
    check(
        "0:00 incident i1 v=1 change=opened level=medium env=production summary=slow
         1:00 incident i1 v=2 change=alerts_changed level=medium env=production opened=0:00
         2:00 incident i1 v=3 change=suspects_changed level=medium env=production suspects=v2:87,v1:20 opened=0:00
         3:00 incident i1 v=4 change=suspects_changed level=medium env=production suspects=v2:80,v1:20 opened=0:00
         4:00 incident i1 v=5 change=escalated level=high mention=owner env=production suspects=v1:90,v2:80 opened=0:00
         4:30 incident i1 v=5 change=escalated level=high mention=owner env=production suspects=v1:90,v2:80 opened=0:00
         9:00 incident i1 v=6 change=resolved level=high env=production suspects=v3:90 opened=0:00
         14:00 incident i1 v=7 change=reopened level=critical mention=sre env=production suspects=v3:90 opened=0:00",
        expect![[r#"
            0:00 PostRoot #oncall i1-v1-post
                🟡 Medium: shop (production): Errors: slow
            1:00 UpdateRoot #oncall i1-v2-update
                🟡 Medium: shop (production): Errors: errors
            2:00 UpdateRoot #oncall i1-v3-update
                🟡 Medium: shop (production): Errors: errors
            2:00 Reply #oncall i1-v3-reply
                🔎 *New top suspect*: *v2*, score 87: it failed (+20)
            3:00 UpdateRoot #oncall i1-v4-update
                🟡 Medium: shop (production): Errors: errors
            4:00 UpdateRoot #oncall i1-v5-update
                🟠 High: shop (production): Errors: errors
            4:00 Reply #oncall i1-v5-reply
                🟠 *Escalated: High*: as the script says ⏎ 🔎 *New top suspect*: *v1*, score 90: it failed (+20) ⏎ <!subteam^S0SHOP> please have a look
            9:00 UpdateRoot #oncall i1-v6-update terminal
                ✅ Resolved: shop (production) after 9 min: Errors
            9:00 Reply #oncall i1-v6-reply
                ✅ *Resolved* after 9 min
            14:00 UpdateRoot #oncall i1-v7-update
                🔴 Critical: shop (production): Errors: errors
            14:00 Reply #oncall i1-v7-reply
                🔴 *Reopened*: Errors ⏎ <!subteam^S0SRE> please have a look
        "#]],
    );
}

#[test]
fn the_channel_follows_the_rules_once_and_the_mention_whom_the_level_named() {
    check(
        "0:00 incident a v=1 level=high mention=owner service=payments
         0:00 incident b v=1 level=medium mention=owner service=payments
         0:00 incident c v=1 level=high mention=owner service=search env=staging
         0:00 incident d v=1 level=low mention=sre
         1:00 incident d v=2 change=escalated level=critical mention=sre service=shop env=staging",
        // A person, the same person; search has no owner, so SRE; low mentions nobody; d's root stays where it is.
        expect![[r#"
            0:00 PostRoot #oncall-payments a-v1-post
                🟠 High: payments: Errors: errors ⏎ <@U0PAULA> please have a look
            0:00 PostRoot #oncall b-v1-post
                🟡 Medium: payments: Errors: errors ⏎ <@U0PAULA> please have a look
            0:00 PostRoot #oncall-staging c-v1-post
                🟠 High: search (staging): Errors: errors ⏎ <!subteam^S0SRE> please have a look
            0:00 PostRoot #oncall d-v1-post
                ⚪ Low: shop: Errors: errors
            1:00 UpdateRoot #oncall d-v2-update
                🔴 Critical: shop (staging): Errors: errors
            1:00 Reply #oncall d-v2-reply
                🔴 *Escalated: Critical*: as the script says ⏎ <!subteam^S0SRE> please have a look
        "#]],
    );
}

#[test]
fn the_root_shows_how_things_stand() {
    let script = "25:00 incident i1 v=3 level=high mention=owner env=production opened=20:00 onset=19:00 summary=5xx_ratio suspects=v2:87,v1:20 runbook=https://wiki/errors";
    let (_, action) = &actions(script)[0];
    let blocks: Value = serde_json::from_str(&action.blocks).unwrap();
    let text = |block: &Value| {
        let text = if block["type"] == "context" { &block["elements"][0] } else { &block["text"] };
        assert_eq!((&text["type"], &text["verbatim"]), (&Value::from("mrkdwn"), &Value::from(true)));
        text["text"].as_str().unwrap().to_owned()
    };
    let texts: Vec<_> = blocks.as_array().unwrap().iter().map(text).collect();
    expect![[r#"
        🟠 *High · shop* (production): Errors
        <!subteam^S0SHOP> please have a look
        --
        *Since* <!date^1200^{date_short_pretty} {time_secs}|1970-01-01 00:20:00 UTC>
        *Level* High: as the script says
        --
        *Alerts* 1 firing, 0 resolved
        🟠 Errors: 5xx_ratio
        --
        *Suspects*
        1. *v2*, score 87: it failed (+20)
        2. *v1*, score 20: it failed (+20)
        --
        <https://wiki/errors|Runbook>
        i1 · version 3
    "#]]
    .assert_eq(&(texts.join("\n--\n") + "\n"));
}

#[test]
fn what_is_over_is_forgotten() {
    let left = |script: &str| script::run(&notify(), script).states.len();
    assert_eq!(left("0:00 incident i1 v=1\n1:00 incident i1 v=2 change=resolved\n1440:59 wait"), 1);
    assert_eq!(left("0:00 incident i1 v=1\n1:00 incident i1 v=2 change=resolved\n1441:00 wait"), 0);
    assert_eq!(left("0:00 incident i1 v=1\n10080:00 wait"), 0);
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() {
    let yaml = r##"
channels:
  default: oncall
  rules:
    - { channel: "#Upper" }
    - { services: [a], channel: "#a" }
mentions: { owners: { a: "@paula", b: S0b }, sre: "<!channel>" }
incidents_max: 0
"##;
    let wrong: Notify = serde_saphyr::from_str(yaml).unwrap();
    let found = wrong.problems();
    for (at, expected) in [
        "channels.default: `oncall` is no channel",
        "channels.rules[0]: `#Upper` is no channel",
        "channels.rules[0]: takes every incident",
        "channels.rules[1]: unreachable",
        "mentions.owners.a: `@paula` is no Slack id",
        "mentions.owners.b: `S0b` is no Slack id",
        "mentions.sre: `<!channel>` is no Slack id",
        "incidents_max: must be at least 1",
    ]
    .iter()
    .enumerate()
    {
        assert!(found.get(at).is_some_and(|problem| problem.starts_with(expected)), "{expected}: {found:#?}");
    }
    assert_eq!(found.len(), 8, "{found:#?}");
    assert_eq!(notify().problems(), Vec::<String>::new());
}

#[test]
fn the_defaults_of_the_state_are_its_schemas() {
    script::defaults_agree::<Notify>();
}

/// Every `<…>` that Slack would read, from the notification text and all blocks.
fn tokens(action: &SlackAction) -> Vec<String> {
    let mut texts = vec![action.text.clone()];
    let blocks: Value = serde_json::from_str(&action.blocks).expect("blocks are JSON");
    let blocks = blocks.as_array().expect("a list of blocks").clone();
    assert!(blocks.len() <= 50);
    for block in &blocks {
        let text = if block["type"] == "context" { &block["elements"][0]["text"] } else { &block["text"]["text"] };
        let text = text.as_str().expect("every block has a text").to_owned();
        assert!((1..=render::SECTION_CHARS_MAX).contains(&text.chars().count()));
        texts.push(text);
    }
    let blocks_total: usize = texts[1..].iter().map(|text| text.chars().count()).sum();
    assert!(blocks_total <= render::TOTAL_CHARS_MAX && texts[0].chars().count() <= 4_000);
    let tokens = texts.iter().flat_map(|text| text.split('<').skip(1));
    tokens.map(|rest| rest.split_once('>').expect("a token is closed").0.to_owned()).collect()
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("<!channel>".to_owned()),
        Just("<@U0PAULA> <!subteam^S0SRE> <!here|x>".to_owned()),
        Just("@channel @here &lt;!channel&gt;".to_owned()),
        Just("https://x/<!channel>|<@U1>".to_owned()),
        Just("<&>".repeat(3_000)),
        "\\PC{0,60}",
    ]
}

fn any_incident() -> impl Strategy<Value = Incident> {
    let texts = prop::collection::vec(hostile(), 12);
    let numbers = (0..4usize, 0..3usize, 0..6usize, 0..60usize, 0..8usize, any::<i64>(), any::<f64>());
    (texts, numbers).prop_map(|(texts, (level, mention, change, alerts, suspects, time, value))| {
        let change = ["opened", "escalated", "alerts_changed", "suspects_changed", "resolved", "reopened"][change];
        let level = ["low", "medium", "high", "critical"][level];
        let mention = ["nobody", "owner", "sre"][mention];
        let line = format!("0:00 incident i v=2 change={change} level={level} mention={mention} suspects=v:1");
        let Some((_, Line::Fact(Fact::Incident(mut incident)))) = script::lines(&line).pop() else {
            panic!("the script tells an incident")
        };
        let [service, environment, name, summary, reason, url, version, actor, revision, why, group, id] = &texts[..]
        else {
            panic!("twelve texts")
        };
        let mut alert = incident.alerts[0].clone();
        (alert.name, alert.summary, alert.value) = (name.clone(), summary.clone(), Some(value));
        alert.generator_url = Some(format!("https://{url}"));
        let suspect = Suspect {
            deploy_id: id.clone(),
            version: version.clone(),
            actor: Some(actor.clone()),
            revision: Some(revision.clone()),
            url: Some(format!("https://{url}")),
            reasons: vec![why.clone(); 20],
            ..incident.suspects[0].clone()
        };
        incident.service = service.clone();
        incident.environment = Some(environment.clone());
        incident.level_reason = reason.clone();
        incident.alerts = vec![alert; alerts];
        incident.suspects = vec![suspect; suspects];
        incident.group = vec![group.clone(); 30];
        incident.runbook_url = Some(url.clone());
        incident.dashboard_url = Some(format!("http://{url}"));
        incident.opened_at_ms = time;
        incident
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn limits_hold_and_nothing_but_the_policy_leads_to_a_mention(incident in any_incident(), known in any::<bool>()) {
        let mut lines = Vec::new();
        if known {
            let first = Incident { version: 1, change: IncidentChange::AlertsChanged, ..incident.clone() };
            lines.push((EventTime(0), Line::Fact(Fact::Incident(first))));
        }
        lines.push((EventTime(0), Line::Fact(Fact::Incident(incident.clone()))));
        let told = script::feed(&notify(), lines).told;
        let opens = matches!(incident.change, IncidentChange::Opened | IncidentChange::Escalated | IncidentChange::Reopened);
        let wakes = opens && incident.level > Level::Low && incident.mention != Mention::Nobody;
        let mut mentions = 0;
        for (_, _, fact) in &told {
            let Fact::SlackAction(action) = fact else { panic!("actions only") };
            for token in tokens(action) {
                if token == "!subteam^S0SRE" && wakes {
                    mentions += 1;
                } else {
                    prop_assert!(token.starts_with("!date^") || token.starts_with("http"), "{}", token);
                }
            }
        }
        // In the text and in one block of one message. A service of foreign text has no owner, so it is SRE's. What is opened
        // but known already is no news.
        let told_once = wakes && !(known && incident.change == IncidentChange::Opened);
        prop_assert_eq!(mentions, if told_once { 2 } else { 0 });
    }
}
