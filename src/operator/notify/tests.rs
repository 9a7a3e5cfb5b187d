use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::event::{
    AlertStatus, AlertTrend, Attention, Helped, IncidentAlert, IncidentRun, Level, LogEntry, Mention, MuteKind, Muted,
    RunStatus, Suspect,
};
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
        let broadcast = if action.broadcast { " broadcast" } else { "" };
        lines += &format!("{} {:?} {} {}{terminal}{broadcast}\n", clock(at), action.kind, action.channel, action.id);
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
            4:00 Reply #oncall i1-v5-reply broadcast
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
fn a_trend_shows_its_line_the_deploy_it_follows_and_that_it_recovers() {
    check(
        "10:00 incident i1 v=1 change=opened summary=2_%_->_7_% trend=▁▂▅█ suspects=v1:60 onset=4:00
         11:00 incident i1 v=2 change=alerts_changed summary=2_%_->_7_% trend=~▂▅█▃ opened=10:00 onset=4:00
         12:00 incident i1 v=3 change=escalated level=critical summary=2_%_->_7_% trend=▅█▃▆ opened=10:00
         13:00 incident i1 v=4 change=resolved summary=2_%_->_7_% trend=▃▆▂▁ opened=10:00",
        expect![[r#"
            10:00 PostRoot #oncall i1-v1-post
                🟠 High: shop: Errors: 2_%_-&gt;_7_%, 4 min after deploy shop@v1  ▁▂▅█
            11:00 UpdateRoot #oncall i1-v2-update
                🟠 High, recovering: shop: Errors: 2_%_-&gt;_7_%  ▂▅█▃
            12:00 UpdateRoot #oncall i1-v3-update
                🔴 Critical: shop: Errors: 2_%_-&gt;_7_%  ▅█▃▆
            12:00 Reply #oncall i1-v3-reply
                🔴 *Escalated: Critical*: as the script says ⏎ 2_%_-&gt;_7_%  ▅█▃▆
            13:00 UpdateRoot #oncall i1-v4-update terminal
                ✅ Resolved: shop after 3 min: Errors
            13:00 Reply #oncall i1-v4-reply
                ✅ *Resolved* after 3 min
        "#]],
    );
    let line = "9:00 incident i v=1 onset=4:30 suspects=v1:60 trend=~▁█ summary=up";
    let Some((_, Line::Fact(Fact::Incident(mut incident)))) = script::lines(line).pop() else { panic!("an incident") };
    let shown = |incident: &Incident| render::root(incident, Known::default(), None).blocks;
    incident.suspects[0].effective_at_ms = 30_000;
    incident.suspects[0].revision = Some("1f3c5d7e9a0b".to_owned());
    let root = shown(&incident);
    assert!(root.contains("🟠 Errors: up, 4 min after deploy shop@1f3c5d7e  ▁█  *recovering*"), "{root}");
    assert!(root.contains("*High · shop · recovering*: Errors"), "{root}");
    incident.suspects[0].effective_at_ms = 270_001;
    assert!(!shown(&incident).contains("after deploy"), "what came later is no cause");
    incident.alerts.push(IncidentAlert { trend: None, ..incident.alerts[0].clone() });
    assert!(!shown(&incident).contains("· recovering"), "another alert fires on");
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
            1:00 Reply #oncall d-v2-reply broadcast
                🔴 *Escalated: Critical*: as the script says ⏎ <!subteam^S0SRE> please have a look
        "#]],
    );
}

#[test]
fn an_owner_is_found_in_the_catalogue_by_team_or_id_and_a_whole_channel_only_if_a_rule_says_so() {
    let yaml = r##"
channels: { default: "#oncall" }
mentions: { owners: { legacy: S0OLD }, teams: { payments: S0PAY }, sre: S0SRE }
services: { checkout: { owner: payments }, search: { owner: U0MIRA }, orphan: {} }
"##;
    let notify: Notify = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(notify.problems(), Vec::<String>::new());
    let token = |line: &str| {
        let Some((_, Line::Fact(Fact::Incident(incident)))) = script::lines(line).pop() else { panic!("an incident") };
        notify.mentions.token(&incident, &notify.services)
    };
    for (line, expected) in [
        ("level=high mention=owner service=checkout", Some("<!subteam^S0PAY>")),
        ("level=high mention=owner service=search", Some("<@U0MIRA>")),
        ("level=high mention=owner service=legacy", Some("<!subteam^S0OLD>")),
        ("level=high mention=owner service=orphan", Some("<!subteam^S0SRE>")),
        ("level=high mention=owner service=unheard-of", Some("<!subteam^S0SRE>")),
        ("level=high mention=owner service=<!channel>", Some("<!subteam^S0SRE>")),
        ("level=high mention=here", Some("<!here>")),
        ("level=critical mention=channel", Some("<!channel>")),
        ("level=low mention=channel", None),
        ("level=critical mention=channel change=resolved", None),
        ("level=critical mention=channel change=alerts_changed", None),
    ] {
        assert_eq!(token(&format!("0:00 incident i v=1 {line}")).as_deref(), expected, "{line}");
    }
    let wrong = yaml.replace("teams: { payments: S0PAY }", "teams: { paymets: pay }").replace("legacy:", "search:");
    let wrong: Notify = serde_saphyr::from_str(&wrong).unwrap();
    let found = wrong.problems();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("mentions.teams.paymets: `pay` is no Slack id"), "{found:#?}");
    let team = "services.checkout.owner: `payments` is no Slack id and no team; say what it is called in Slack under \
                `mentions.teams`; did you mean `paymets`?";
    assert_eq!(found[1], team);
    assert_eq!(found[2], "mentions.owners.search: the service catalogue names an owner too; keep one");
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
        *Owner* `S0SHOP`
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
fn what_people_do_is_logged_in_one_message_and_nobody_having_it_in_hand_is_news() {
    check(
        "0:00 incident i1 v=1 level=high mention=owner
         5:00 incident i1 v=2 change=unattended level=high mention=sre opened=0:00 escalations=1 log=told_sre
         6:00 incident i1 v=3 change=acknowledged level=high mention=sre opened=0:00 acked=paula log=told_sre,acknowledged
         6:30 incident i1 v=4 change=alerts_changed level=high opened=0:00 acked=paula log=told_sre,acknowledged
         7:00 incident i1 v=5 change=muted level=high opened=0:00 muted=snoozed log=told_sre,acknowledged,snoozed
         8:00 incident i1 v=6 change=suspects_changed level=high opened=0:00 muted=snoozed suspects=v2:87 log=told_sre,acknowledged,snoozed
         9:00 incident i1 v=7 change=unmuted level=high mention=owner opened=0:00 suspects=v2:87 log=told_sre,acknowledged,snoozed
         9:30 incident i1 v=8 change=unattended level=high mention=sre opened=0:00 escalations=2 suspects=v2:87 log=told_sre,acknowledged,snoozed
         10:00 incident i1 v=9 change=resolved level=high opened=0:00 muted=silenced suspects=v2:87 log=told_sre,acknowledged,snoozed",
        expect![[r#"
            0:00 PostRoot #oncall i1-v1-post
                🟠 High: shop: Errors: errors ⏎ <!subteam^S0SHOP> please have a look
            5:00 UpdateRoot #oncall i1-v2-update
                🟠 High: shop: Errors: errors
            5:00 Reply #oncall i1-v2-reply broadcast
                ⏰ *Nobody has it in hand* for 5 min: Errors ⏎ <!subteam^S0SRE> please have a look
            5:00 Log #oncall i1-v2-log
                📝 Log: told_sre
            6:00 UpdateRoot #oncall i1-v3-update
                🟠 High: shop: Errors: errors
            6:00 Log #oncall i1-v3-log
                📝 Log: acknowledged
            6:30 UpdateRoot #oncall i1-v4-update
                🟠 High: shop: Errors: errors
            7:00 UpdateRoot #oncall i1-v5-update
                🟠 High: shop: Errors: errors
            7:00 Log #oncall i1-v5-log
                📝 Log: snoozed
            8:00 UpdateRoot #oncall i1-v6-update
                🟠 High: shop: Errors: errors
            9:00 UpdateRoot #oncall i1-v7-update
                🟠 High: shop: Errors: errors
            9:00 Reply #oncall i1-v7-reply
                🔔 *No longer muted*: Errors ⏎ <!subteam^S0SHOP> please have a look
            9:30 UpdateRoot #oncall i1-v8-update
                🟠 High: shop: Errors: errors
            9:30 Reply #oncall i1-v8-reply broadcast
                ⏰ *Nobody has it in hand* for 9 min, told further for the 2. time: Errors ⏎ <!subteam^S0SRE> please have a look
            10:00 UpdateRoot #oncall i1-v9-update terminal
                ✅ Resolved: shop after 10 min: Errors
            10:00 Reply #oncall i1-v9-reply
                ✅ *Resolved* after 10 min
        "#]],
    );
}

#[test]
fn a_reply_is_broadcast_only_where_it_calls_somebody_further_and_it_may_be_switched_off() {
    let script = |change: &str, mention: &str| {
        format!("0:00 incident i v=1\n1:00 incident i v=2 change={change} mention={mention}")
    };
    let broadcast = |notify: &Notify, script: &str| {
        let told = script::run(notify, script).told;
        let is = |fact: &Fact<'_>| matches!(fact, Fact::SlackAction(SlackAction { broadcast: true, .. }));
        told.iter().filter(|(_, _, fact)| is(fact)).count()
    };
    let of = |change, mention| broadcast(&notify(), &script(change, mention));
    assert_eq!((of("escalated", "sre"), of("unattended", "sre"), of("escalated", "nobody")), (1, 1, 0));
    assert_eq!((of("reopened", "sre"), of("unmuted", "sre"), of("resolved", "sre")), (0, 0, 0));
    let quiet = Notify { broadcast_escalations: false, ..notify() };
    assert_eq!(broadcast(&quiet, &script("escalated", "sre")), 0);
}

#[test]
fn what_is_muted_from_its_first_moment_gets_a_root_when_it_no_longer_is_or_never() {
    check(
        "0:00 incident i1 v=1 level=high muted=maintenance log=silenced
         1:00 incident i1 v=2 change=escalated level=critical muted=maintenance log=silenced
         2:00 incident i1 v=3 change=unmuted level=critical mention=sre opened=0:00 log=silenced,over
         2:00 incident i1 v=3 change=unmuted level=critical mention=sre opened=0:00 log=silenced,over
         3:00 incident i1 v=4 change=resolved level=critical opened=0:00 log=silenced,over
         0:00 incident i2 v=1 level=high muted=symptom
         1:00 incident i2 v=2 change=resolved level=high muted=symptom opened=0:00
         0:00 incident i3 v=1 level=high muted=symptom
         1:00 incident i3 v=2 change=resolved level=high opened=0:00
         2:00 incident i3 v=3 change=reopened level=high mention=owner opened=0:00",
        expect![[r#"
            2:00 PostRoot #oncall i1-v3-post
                🔴 Critical: shop: Errors: errors ⏎ <!subteam^S0SRE> please have a look
            2:00 Log #oncall i1-v3-log
                📝 Log: over
            3:00 UpdateRoot #oncall i1-v4-update terminal
                ✅ Resolved: shop after 3 min: Errors
            3:00 Reply #oncall i1-v4-reply
                ✅ *Resolved* after 3 min
            2:00 PostRoot #oncall i3-v3-post
                🟠 High: shop: Errors: errors ⏎ <!subteam^S0SHOP> please have a look
        "#]],
    );
}

#[test]
fn the_root_shows_who_has_it_why_nobody_is_told_what_was_run_and_what_helped() {
    let yaml = r##"
channels: { default: "#oncall" }
mentions: { teams: { payments: S0PAY }, sre: S0SRE }
services: { shop: { owner: payments, runbook: 'https://wiki/shop', dashboard: 'https://grafana/shop' } }
"##;
    let notify: Notify = serde_saphyr::from_str(yaml).unwrap();
    let line = "5:00 incident i1 v=1 change=muted level=high opened=0:00 flaps=3 acked=paula assigned=U0MIRA escalations=2 helped=rolled_back_v2,restarted,scaled_up,waited";
    let Some((at, Line::Fact(Fact::Incident(mut incident)))) = script::lines(line).pop() else { panic!("an incident") };
    let attention = incident.attention.as_mut().unwrap();
    let run = |action: &str, status, output: Option<&str>| IncidentRun {
        id: action.to_owned(),
        action: action.to_owned(),
        by: "mira".to_owned(),
        status,
        at_ms: 60_000,
        result: output.map(|_| "exit 1".to_owned()),
        output: output.map(str::to_owned),
        version: 0,
    };
    attention.runs = vec![
        run("restart", RunStatus::Failed, Some("cannot <!channel>\n@here `rm`")),
        run("roll-back", RunStatus::Started, None),
    ];
    let known = notify.known(&incident);
    let shown = |incident: &Incident| {
        let blocks: Value = serde_json::from_str(&render::root(incident, known, None).blocks).unwrap();
        let text = |block: &Value| {
            block["text"]["text"].as_str().or(block["elements"][0]["text"].as_str()).unwrap().to_owned()
        };
        blocks.as_array().unwrap().iter().map(text).collect::<Vec<_>>().join("\n--\n") + "\n"
    };
    expect![[r#"
        🟠 *High · shop*: Errors
        --
        *Since* <!date^0^{date_short_pretty} {time_secs}|1970-01-01 00:00:00 UTC>
        *Level* High: as the script says
        *Owner* `payments`
        👀 *In hand* paula since <!date^300^{date_short_pretty} {time_secs}|1970-01-01 00:05:00 UTC>
        👤 *Assigned to* `U0MIRA`
        ⏰ *Escalated* 2×, for nobody had it in hand
        🔁 *Flapping*: went back and forth 3 times, told once
        --
        *Alerts* 1 firing, 0 resolved
        🟠 Errors: errors
        --
        *Runs*
        ⏳ *roll-back* by mira started <!date^60^{date_short_pretty} {time_secs}|1970-01-01 00:01:00 UTC>
        ❌ *restart* by mira failed <!date^60^{date_short_pretty} {time_secs}|1970-01-01 00:01:00 UTC>: exit 1, cannot &lt;!channel&gt; @here `rm`
        --
        *What helped last time*
        • rolled_back_v2 (<!date^0^{date_short_pretty} {time_secs}|1970-01-01 00:00:00 UTC>)
        • restarted (<!date^0^{date_short_pretty} {time_secs}|1970-01-01 00:00:00 UTC>)
        • scaled_up (<!date^0^{date_short_pretty} {time_secs}|1970-01-01 00:00:00 UTC>)
        …and 1 more
        --
        <https://wiki/shop|Runbook>
        <https://grafana/shop|Dashboard>
        i1 · version 1
    "#]].assert_eq(&shown(&incident));
    incident.runbook_url = Some("https://wiki/of-the-alert".to_owned());
    incident.dashboard_url = Some("javascript:alert(1)".to_owned());
    let attention = incident.attention.as_mut().unwrap();
    attention.muted =
        Some(Muted { kind: MuteKind::Snoozed, until_ms: Some(at.0 + 60_000), reason: "lunch".to_owned() });
    let shown = shown(&incident);
    assert!(
        shown.contains("🔕 *Snoozed* until <!date^360^{date_short_pretty} {time_secs}|1970-01-01 00:06:00 UTC>: lunch")
    );
    assert!(shown.contains("<https://wiki/of-the-alert|Runbook>\n<https://grafana/shop|Dashboard>"), "{shown}");
}

#[test]
fn a_log_that_is_too_long_leaves_out_its_oldest_entries_and_says_how_many() {
    let Some((at, Line::Fact(Fact::Incident(mut incident)))) = script::lines("0:00 incident i v=1").pop() else {
        panic!("an incident")
    };
    let entry =
        |number: i32| LogEntry { at_ms: at.0, by: Some("paula".into()), text: format!("{number} {}", "x".repeat(280)) };
    let log = (0..100).map(entry).collect();
    incident.attention = Some(Attention { log, log_omitted: 7, ..Attention::default() });
    let message = attention::log(&incident);
    let blocks: Value = serde_json::from_str(&message.blocks).unwrap();
    let texts: Vec<_> =
        blocks.as_array().unwrap().iter().map(|block| block["text"]["text"].as_str().unwrap()).collect();
    let shown = texts.iter().flat_map(|text| text.lines()).count() - 1;
    assert_eq!(texts[0].lines().next().unwrap(), format!("📝 *Log*, without its {} oldest entries", 107 - shown));
    assert!(shown > 25 && texts.last().unwrap().contains("*paula* 99 "), "{shown} entries");
    assert!(texts.iter().map(|text| text.chars().count()).sum::<usize>() <= render::TOTAL_CHARS_MAX);
}

#[test]
fn a_channel_is_chosen_by_what_an_incident_is_about() {
    let yaml = r##"
channels:
  default: "#oncall"
  rules:
    - { alerts: [DiskFull, CertExpires], level_at_least: high, channel: "#infra" }
    - { owners: [payments], channel: "#payments" }
    - { groups: ["team=search", "team=maps"], environments: [production], channel: "#discovery" }
mentions: { owners: { legacy: S0OLD }, teams: { payments: S0PAY }, sre: S0SRE }
services: { checkout: { owner: payments } }
"##;
    let notify: Notify = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(notify.problems(), Vec::<String>::new());
    let channel = |alert: &str, group: &str, line: &str| {
        let line = format!("0:00 incident i v=1 {line}");
        let Some((_, Line::Fact(Fact::Incident(mut incident)))) = script::lines(&line).pop() else { panic!("one") };
        incident.alerts[0].name = alert.to_owned();
        incident.group = vec![group.to_owned()];
        notify.channel(&incident).to_owned()
    };
    assert_eq!(channel("DiskFull", "", "service=checkout level=high"), "#infra");
    assert_eq!(channel("DiskFull", "", "service=checkout level=medium"), "#payments");
    assert_eq!(channel("Errors", "team=maps", "env=production"), "#discovery");
    assert_eq!(channel("Errors", "team=maps", "env=staging"), "#oncall");
    assert_eq!(channel("Errors", "team=mapsandmore", "env=production"), "#oncall");

    let rules = |rules: &str| {
        let yaml = yaml.replace("  rules:\n", &format!("  rules:\n{rules}"));
        serde_saphyr::from_str::<Notify>(&yaml).unwrap().problems()
    };
    assert_eq!(
        rules("    - { owners: [paymets], groups: [search], channel: '#a' }\n"),
        [
            "channels.rules[0].owners: nothing is owned by `paymets`; did you mean `payments`?",
            "channels.rules[0].groups: `search` is no name=value, such as namespace=shop",
        ]
    );
    let unreachable =
        rules("    - { alerts: [DiskFull], channel: '#a' }\n    - { owners: [payments, S0OLD], channel: '#b' }\n");
    assert_eq!(unreachable, ["channels.rules[3]: unreachable, a rule before it takes all its incidents"]);
}

#[test]
fn an_open_root_has_buttons_above_its_foot_if_answers_go_somewhere() {
    let with = "responses: oncall.responses.v1\nactions: { rollback: { label: Roll back, command: [rollback] } }";
    let notify: Notify = serde_saphyr::from_str(&format!("{CONFIG}{with}\n")).unwrap();
    let told = script::run(&notify, "0:00 incident i1 v=1\n1:00 incident i1 v=2 change=resolved").told.into_iter();
    let kinds = told.filter_map(|(_, _, fact)| match fact {
        Fact::SlackAction(action) if action.kind != SlackActionKind::Reply => {
            let blocks: Value = serde_json::from_str(&action.blocks).unwrap();
            Some(blocks.as_array().unwrap().iter().map(|block| block["type"].as_str().unwrap().to_owned()).collect())
        }
        _ => None,
    });
    let kinds: Vec<Vec<String>> = kinds.collect();
    assert_eq!(kinds[0], ["section", "section", "section", "actions", "context"]);
    assert!(!kinds[1].contains(&"actions".to_owned()), "{kinds:?}");
}

#[test]
fn the_worst_trend_that_fires_has_a_picture_below_the_alerts_if_it_is_said_where_pictures_are() {
    let with = "charts: https://pictures.example/fairlead/\nresponses: oncall.responses.v1";
    let with: Notify = serde_saphyr::from_str(&format!("{CONFIG}{with}\n")).unwrap();
    let line = "0:00 incident i v=1 summary=2_%_->_7_% trend=▁█/01ffff0000fe alerts=a1,a2,a3,a4";
    let Some((_, Line::Fact(Fact::Incident(mut incident)))) = script::lines(line).pop() else { panic!("an incident") };
    let blocks = |incident: &Incident| -> Vec<Value> {
        serde_json::from_str(&render::root(incident, with.known(incident), None).blocks).unwrap()
    };
    let kinds =
        |blocks: &[Value]| blocks.iter().map(|block| block["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    incident.alerts[0].status = AlertStatus::Resolved;
    incident.alerts[1].trend = None;
    // Of another version, or no chart at all: a link that leads nowhere would cost the message its picture.
    incident.alerts[2].trend.as_mut().unwrap().chart = "02ffff0000fe".to_owned();
    incident.alerts[3].trend.as_mut().unwrap().chart = "01ffff00fe00".to_owned();
    let told = blocks(&incident);
    assert_eq!(kinds(&told), ["section", "section", "section", "image", "actions", "context"]);
    assert_eq!(told[3]["image_url"], "https://pictures.example/fairlead/charts/01ffff00fe00.png");
    assert_eq!(told[3]["alt_text"], "Errors: 2_%_→_7_%");
    incident.alerts[3].trend.as_mut().unwrap().chart = "../../secrets".to_owned();
    assert_eq!(kinds(&blocks(&incident)), ["section", "section", "section", "actions", "context"]);
    let plain = render::root(&incident, notify().known(&incident), None).blocks;
    assert!(!plain.contains("image"), "{plain}");
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
        let text = match block["type"].as_str() {
            Some("context") => &block["elements"][0]["text"],
            Some("image") => &block["alt_text"],
            _ => &block["text"]["text"],
        };
        if block["type"] == "image" {
            assert_eq!(block["image_url"], "https://pictures.example/charts/01fefe0c00ff7f.png");
        }
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
    let numbers = (0..4usize, 0..5usize, 0..CHANGES.len(), 0..60usize, 0..8usize, any::<i64>(), any::<f64>());
    let attention = prop::option::of(any_attention());
    (texts, numbers, attention).prop_map(
        |(texts, (level, mention, change, alerts, suspects, time, value), attention)| {
            let change = CHANGES[change];
            let level = ["low", "medium", "high", "critical"][level];
            let mention = ["nobody", "owner", "sre", "here", "channel"][mention];
            let line = format!("0:00 incident i v=2 change={change} level={level} mention={mention} suspects=v:1");
            let Some((_, Line::Fact(Fact::Incident(mut incident)))) = script::lines(&line).pop() else {
                panic!("the script tells an incident")
            };
            let [service, environment, name, summary, reason, url, version, actor, revision, why, group, id] =
                &texts[..]
            else {
                panic!("twelve texts")
            };
            let mut alert = incident.alerts[0].clone();
            (alert.name, alert.summary, alert.value) = (name.clone(), summary.clone(), Some(value));
            alert.generator_url = Some(format!("https://{url}"));
            alert.trend = (suspects % 2 == 1).then(|| AlertTrend {
                recovering: alerts % 2 == 1,
                sparkline: why.clone(),
                chart: if alerts % 3 == 0 { "01fefe0c00ff7f".to_owned() } else { url.clone() },
            });
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
            incident.attention = attention;
            incident
        },
    )
}

/// What people and runs say is as foreign as what alerts say.
fn any_attention() -> impl Strategy<Value = Attention> {
    let texts = prop::collection::vec(hostile(), 8);
    let counts = (0..120usize, 0..10usize, 0..6usize, any::<i32>(), any::<i32>(), any::<i64>(), 0..5usize, 0..5usize);
    (texts, counts).prop_map(|(texts, (log, runs, helped, escalations, log_omitted, at_ms, status, muted))| {
        let [by, assignee, reason, entry, action, result, output, help] = &texts[..] else { panic!("eight texts") };
        let kinds = [MuteKind::Snoozed, MuteKind::Silenced, MuteKind::Maintenance, MuteKind::Symptom];
        let statuses = ["requested", "started", "succeeded", "failed", "unknown"];
        let status: RunStatus = serde_json::from_value(statuses[status].into()).unwrap();
        let run = IncidentRun {
            id: by.clone(),
            action: action.clone(),
            by: by.clone(),
            status,
            at_ms,
            result: Some(result.clone()),
            output: Some(output.clone()),
            version: 0,
        };
        let help = Helped { incident_id: help.clone(), resolved_at_ms: at_ms, text: help.clone() };
        Attention {
            acknowledged_by: Some(by.clone()),
            acknowledged_at_ms: Some(at_ms),
            assignee: Some(assignee.clone()),
            muted: kinds.get(muted).map(|kind| Muted { kind: *kind, until_ms: Some(at_ms), reason: reason.clone() }),
            escalations,
            log: vec![LogEntry { at_ms, by: Some(by.clone()), text: entry.clone() }; log],
            log_omitted,
            runs: vec![run; runs],
            helped: vec![help; helped],
        }
    })
}

const CHANGES: [&str; 13] = [
    "opened",
    "escalated",
    "alerts_changed",
    "suspects_changed",
    "resolved",
    "reopened",
    "acknowledged",
    "unacknowledged",
    "unattended",
    "assigned",
    "muted",
    "unmuted",
    "noted",
];

fn change(symbol: &str) -> IncidentChange {
    serde_json::from_value(symbol.into()).unwrap()
}

/// Changes that may wake somebody.
fn is_news(change: IncidentChange) -> bool {
    use IncidentChange::{Escalated, Opened, Reopened, Unattended, Unmuted};
    matches!(change, Opened | Escalated | Reopened | Unattended | Unmuted)
}

fn muted() -> Attention {
    let muted = Muted { kind: MuteKind::Silenced, until_ms: None, reason: String::new() };
    Attention { muted: Some(muted), ..Attention::default() }
}

/// Every combination of what a mention hangs on.
#[test]
fn only_a_firing_incident_above_low_whose_change_is_news_wakes_whom_its_mention_names() {
    let notify = notify();
    let line = "0:00 incident i v=1";
    let Some((_, Line::Fact(Fact::Incident(incident)))) = script::lines(line).pop() else { panic!("an incident") };
    let mut tokens = std::collections::BTreeMap::new();
    for change in CHANGES.map(change) {
        for level in [Level::Low, Level::Medium, Level::High, Level::Critical] {
            for state in [IncidentState::Open, IncidentState::Resolved] {
                for mention in [Mention::Nobody, Mention::Owner, Mention::Sre, Mention::Here, Mention::Channel] {
                    let incident = Incident { change, level, state, mention, ..incident.clone() };
                    let news = is_news(change) && state == IncidentState::Open;
                    let muted = Incident { attention: Some(muted()), ..incident.clone() };
                    assert_eq!(notify.mentions.token(&muted, &notify.services), None, "{muted:?}");
                    let token = notify.mentions.token(&incident, &notify.services);
                    assert_eq!(
                        token.is_some(),
                        news && level > Level::Low && mention > Mention::Nobody,
                        "{incident:?}"
                    );
                    *tokens.entry(token.unwrap_or_default()).or_insert(0) += 1;
                }
            }
        }
    }
    // Five changes above three levels for each mention; the rest of 520 wake nobody.
    let counted = [("", 460), ("<!channel>", 15), ("<!here>", 15), ("<!subteam^S0SHOP>", 15), ("<!subteam^S0SRE>", 15)];
    assert_eq!(tokens.iter().map(|(token, count)| (&**token, *count)).collect::<Vec<_>>(), counted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn limits_hold_and_nothing_but_the_policy_leads_to_a_mention(incident in any_incident(), known in any::<bool>()) {
        let mut lines = Vec::new();
        if known {
            let change = IncidentChange::AlertsChanged;
            let first = Incident { version: 1, change, attention: None, ..incident.clone() };
            lines.push((EventTime(0), Line::Fact(Fact::Incident(first))));
        }
        lines.push((EventTime(0), Line::Fact(Fact::Incident(incident.clone()))));
        let notify = Notify { charts: Some("https://pictures.example/".to_owned()), ..notify() };
        let told = script::feed(&notify, lines).told;
        let muted = incident.attention.as_ref().is_some_and(|attention| attention.muted.is_some());
        let wakes = is_news(incident.change) && !muted && incident.level > Level::Low && incident.mention != Mention::Nobody;
        let expected = match incident.mention {
            Mention::Here => "!here",
            Mention::Channel => "!channel",
            _ => "!subteam^S0SRE",
        };
        let mut mentions = 0;
        for (_, _, fact) in &told {
            let Fact::SlackAction(action) = fact else { panic!("actions only") };
            prop_assert!(action.terminal == (action.kind != SlackActionKind::Reply && action.kind != SlackActionKind::Log && incident.change == IncidentChange::Resolved));
            for token in tokens(action) {
                if token == expected && wakes {
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
