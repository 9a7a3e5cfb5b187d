use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::event::AlertTrend;
use crate::operator::script::{self, Run, clock};

fn incidents() -> Incidents {
    serde_saphyr::from_str("{resolve_after_secs: 300, reopen_within_secs: 1800, stale_after_secs: 7200}").unwrap()
}

/// `time vN change level (mention) what fires | what does not`.
fn told(run: &Run<State>) -> String {
    let mut names = BTreeMap::new();
    let mut lines = String::new();
    for (at, _, fact) in &run.told {
        let Fact::Incident(told) = fact else { panic!("incidents only") };
        let count = names.len() + 1;
        let name = *names.entry(told.id.clone()).or_insert(count);
        let alerts = |status| {
            let of_status = told.alerts.iter().filter(move |alert| alert.status == status);
            of_status.map(|alert| format!("{}×{}", alert.fingerprint, alert.repeats)).collect::<Vec<_>>().join(" ")
        };
        lines += &format!("{} #{name} v{} {:?} {:?}", clock(*at), told.version, told.change, told.level);
        lines += &format!(" {:?} [{}] ", told.mention, told.group.join(","));
        lines += &format!("{} | {}", alerts(AlertStatus::Firing), alerts(AlertStatus::Resolved));
        for (name, count) in [("flaps", told.flaps), ("reopened", told.reopened), ("omitted", told.alerts_omitted)] {
            lines += &if count > 0 { format!(" {name}={count}") } else { String::new() };
        }
        lines += &told.resolved_at_ms.map(|at| format!(" since {}", clock(EventTime(at)))).unwrap_or_default();
        lines.push('\n');
    }
    lines
}

fn check(script: &str, expected: Expect) {
    check_with(&incidents(), script, expected);
}

fn check_with(incidents: &Incidents, script: &str, expected: Expect) {
    let run = script::run(incidents, script);
    let remembers = if run.states.is_empty() { "nothing left\n" } else { "" };
    expected.assert_eq(&format!("{}{remembers}", told(&run)));
}

#[test]
fn an_incident_opens_collects_escalates_and_resolves_when_all_has_been_quiet() {
    check(
        "0:00 fire a level=medium
         1:00 fire b level=medium mention=owner
         2:00 fire c level=critical mention=sre
         3:00 fire d level=high mention=owner
         4:00 fire a level=medium
         5:00 resolve a
         6:00 resolve c
         10:30 resolve b
         12:00 resolve d
         18:00 wait
         47:00 wait",
        // b raises the mention alone, c the level; d is neither. a's end is believed at 10:00, c's at 11:00, b's at 15:30.
        expect![[r#"
            0:00 #1 v1 Opened Medium Nobody [] a×1 | 
            1:00 #1 v2 Escalated Medium Owner [] a×1 b×1 | 
            2:00 #1 v3 Escalated Critical Sre [] c×1 a×1 b×1 | 
            3:00 #1 v4 AlertsChanged Critical Nobody [] c×1 d×1 a×1 b×1 | 
            10:00 #1 v5 AlertsChanged Critical Nobody [] c×1 d×1 b×1 | a×2
            11:00 #1 v6 AlertsChanged Critical Nobody [] d×1 b×1 | c×1 a×2
            15:30 #1 v7 AlertsChanged Critical Nobody [] d×1 | c×1 a×2 b×1
            17:00 #1 v8 Resolved Critical Nobody []  | c×1 d×1 a×2 b×1 since 12:00
            nothing left
        "#]],
    );
}

#[test]
fn a_flapping_alert_is_one_incident_and_is_told_when_it_has_doubled() {
    check(
        "0:00 fire a level=high mention=owner
         3:00 resolve a
         5:00 fire a level=high mention=owner
         8:00 resolve a
         12:59 fire a level=high mention=owner
         13:30 resolve a
         18:30 wait",
        expect![[r#"
            0:00 #1 v1 Opened High Owner [] a×1 | 
            12:59 #1 v2 AlertsChanged High Nobody [] a×3 |  flaps=2
            18:30 #1 v3 Resolved High Nobody []  | a×3 flaps=2 since 13:30
        "#]],
    );
}

#[test]
fn what_flaps_without_end_is_told_two_four_eight_times() {
    let flap = |n: u32| format!("{}:00 fire a level=high\n{}:00 resolve a\n", n * 4, n * 4 + 2);
    let run = script::run(&incidents(), &(0..20).map(flap).collect::<String>());
    let told = run.told.iter().filter_map(|(_, _, fact)| match fact {
        Fact::Incident(told) => Some((told.change, told.flaps, told.mention)),
        _ => None,
    });
    let flapping = |flaps| (IncidentChange::AlertsChanged, flaps, Mention::Nobody);
    let opened = (IncidentChange::Opened, 0, Mention::Nobody);
    assert_eq!(told.collect::<Vec<_>>(), [opened, flapping(2), flapping(4), flapping(8), flapping(16)]);
}

#[test]
fn tellings_of_a_named_episode_are_one_that_began_with_the_first() {
    let script = "0:00 fire a level=high episode=x name=Errors @summary=many
         3:00 fire a level=high episode=x name=Errors @summary=more
         4:00 resolve a episode=x
         5:00 fire a level=high episode=x starts=3:30
         10:00 wait";
    // The firing of 3:30 came late: its episode had ended.
    check(
        script,
        expect![[r#"
            0:00 #1 v1 Opened High Nobody [] a×1 | 
            9:00 #1 v2 Resolved High Nobody []  | a×2 since 4:00
        "#]],
    );
    let run = script::run(&incidents(), script);
    let Some((_, _, Fact::Incident(last))) = run.told.last() else { panic!("incidents only") };
    let minutes = |text| script::minutes(text).0;
    let alert = &last.alerts[0];
    assert_eq!((alert.starts_at_ms, alert.ends_at_ms), (minutes("0:00"), Some(minutes("4:00"))));
    assert_eq!((&*alert.name, &*alert.summary), ("Errors", "more"), "its end says less than it did");
}

#[test]
fn a_trend_that_recovers_and_does_not_is_told_and_keeps_the_words_of_its_beginning() {
    let run = script::run(
        &incidents(),
        &"0:00 fire a source=trend @trend=began @summary=rises @sparkline=▁█ @chart=01ffff0000fe
         1:00 fire a source=trend @trend=began @summary=rises @sparkline=▁█
         1:05 fire a source=trend @trend=recovering @summary=usual @sparkline=█▁
         1:10 fire a source=trend @trend=recovering @summary=usual @sparkline=█▁
         1:45 fire a source=trend @trend=goes_on @summary=usual @sparkline=█▁
         1:50 fire a source=trend @trend=resumed @summary=again @sparkline=▁▂ @chart=TOO_LONG
         2:00 fire a source=trend @trend=recovering @summary=usual @sparkline=▂▁
         3:00 resolve a source=trend @trend=ended @summary=usual @sparkline=▁▁
         3:01 fire b source=other @trend=recovering @sparkline=▁
         20:00 resolve b
         26:00 wait"
            .replace("TOO_LONG", &"0".repeat(201)),
    );
    let shown = run.told.iter().map(|(at, _, fact)| {
        let Fact::Incident(told) = fact else { panic!("incidents only") };
        let alerts = told.alerts.iter().map(|alert| {
            let of = |trend: &'_ AlertTrend| (trend.sparkline.clone() + &trend.chart, trend.recovering);
            let trend = alert.trend.as_ref().map(of);
            format!("{} {} {trend:?}", alert.fingerprint, alert.summary)
        });
        format!("{} {:?} {:?}: {}", clock(*at), told.change, told.mention, alerts.collect::<Vec<_>>().join(", "))
    });
    let expected = [
        "0:00 Opened Nobody: a rises Some((\"▁█01ffff0000fe\", false))",
        "1:05 AlertsChanged Nobody: a rises Some((\"█▁\", true))",
        "1:50 AlertsChanged Nobody: a again Some((\"▁▂\", false))",
        "2:00 AlertsChanged Nobody: a again Some((\"▂▁\", true))",
        // Its end is not believed before 8:00.
        "3:01 AlertsChanged Nobody: a again Some((\"▁▁\", true)), b b None",
        "8:00 AlertsChanged Nobody: b b None, a again Some((\"▁▁\", false))",
        "25:00 Resolved Nobody: a again Some((\"▁▁\", false)), b b None",
    ];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

#[test]
fn a_named_episode_that_comes_back_or_another_name_is_a_flap() {
    check(
        "0:00 fire a level=high episode=x
         2:00 resolve a episode=x
         4:00 fire a level=high episode=x
         6:00 fire a level=high episode=y
         8:00 resolve a episode=y
         13:00 wait",
        expect![[r#"
            0:00 #1 v1 Opened High Nobody [] a×1 | 
            6:00 #1 v2 AlertsChanged High Nobody [] a×3 |  flaps=2
            13:00 #1 v3 Resolved High Nobody []  | a×3 flaps=2 since 8:00
        "#]],
    );
}

#[test]
fn a_refire_soon_after_reopens_the_same_incident_and_a_later_one_opens_another() {
    check(
        "0:00 fire a level=high mention=owner
         1:00 resolve a
         20:00 fire b level=medium
         21:00 resolve b
         60:00 fire a level=high mention=owner",
        // Resolved at 6:00, so reopened until 36:00; again resolved at 26:00, and forgotten at 56:00.
        expect![[r#"
            0:00 #1 v1 Opened High Owner [] a×1 | 
            6:00 #1 v2 Resolved High Nobody []  | a×1 since 1:00
            20:00 #1 v3 Reopened Medium Nobody [] b×1 | a×1 reopened=1
            26:00 #1 v4 Resolved Medium Nobody []  | a×1 b×1 reopened=1 since 21:00
            60:00 #2 v1 Opened High Owner [] a×1 | 
        "#]],
    );
}

#[test]
fn an_alert_that_is_never_resolved_expires_and_a_later_repetition_reopens() {
    check(
        "0:00 fire a level=medium
         60:00 fire a level=medium
         180:00 wait
         190:00 fire a level=medium",
        expect![[r#"
            0:00 #1 v1 Opened Medium Nobody [] a×1 | 
            180:00 #1 v2 Resolved Medium Nobody []  | a×2 since 60:00
            190:00 #1 v3 Reopened Medium Nobody [] a×3 |  reopened=1
        "#]],
    );
}

#[test]
fn doubled_late_and_swapped_tellings_change_nothing() {
    check(
        "0:00 fire a level=medium starts=0:00
         0:10 fire a level=medium starts=0:00
         1:00 resolve a starts=0:00
         1:30 resolve a starts=0:00
         2:00 fire a level=critical mention=sre starts=0:00
         2:30 resolve a starts=-9:00
         6:00 wait
         7:00 resolve a starts=0:00
         8:00 fire a level=critical mention=sre starts=0:00
         10:00 resolve b starts=9:00
         11:00 fire b level=critical mention=sre starts=9:00
         12:00 fire b level=critical mention=sre starts=11:30",
        // The second resolve does not prolong the quiet; b's first episode ended before it was told.
        expect![[r#"
            0:00 #1 v1 Opened Medium Nobody [] a×1 | 
            6:00 #1 v2 Resolved Medium Nobody []  | a×1 since 1:00
            12:00 #1 v3 Reopened Critical Sre [] b×1 | a×1 reopened=1
        "#]],
    );
}

#[test]
fn a_lump_is_split_by_environment_namespace_and_any_label() {
    let by_region = Incidents { group_by: vec!["region".into(), "environment".into()], ..incidents() };
    check_with(
        &by_region,
        "0:00 fire a level=medium env=production region=eu
         0:00 fire b level=medium env=staging region=eu
         0:00 fire c level=medium env=production region=us ns=x
         0:00 fire d level=medium env=production region=eu
         0:00 fire e level=medium",
        expect![[r#"
            0:00 #1 v1 Opened Medium Nobody [environment=production,region=eu] a×1 | 
            0:00 #2 v1 Opened Medium Nobody [environment=staging,region=eu] b×1 | 
            0:00 #3 v1 Opened Medium Nobody [environment=production,region=us] c×1 | 
            0:00 #1 v2 AlertsChanged Medium Nobody [environment=production,region=eu] a×1 d×1 | 
            0:00 #4 v1 Opened Medium Nobody [] e×1 | 
        "#]],
    );
}

#[test]
fn what_finds_no_room_is_counted_keeps_the_incident_open_and_makes_room_for_worse() {
    let small = Incidents { alerts_max: 2, ..incidents() };
    check_with(
        &small,
        "0:00 fire a level=medium
         0:01 fire b level=medium
         0:02 fire c level=medium
         0:03 fire d level=medium
         0:04 fire e level=medium
         1:00 fire f level=critical mention=sre
         2:00 resolve a
         2:00 resolve f
         3:00 resolve c
         4:00 resolve d
         5:00 resolve e
         20:00 resolve b
         25:00 wait",
        // Counts 1, 2 and 4 are told, 3 is not; f sends b among the omitted. b is the last to end.
        expect![[r#"
            0:00 #1 v1 Opened Medium Nobody [] a×1 | 
            0:01 #1 v2 AlertsChanged Medium Nobody [] a×1 b×1 | 
            0:02 #1 v3 AlertsChanged Medium Nobody [] a×1 b×1 |  omitted=1
            0:03 #1 v4 AlertsChanged Medium Nobody [] a×1 b×1 |  omitted=2
            1:00 #1 v5 Escalated Critical Sre [] f×1 a×1 |  omitted=4
            7:00 #1 v6 AlertsChanged Critical Nobody []  | f×1 a×1 omitted=1
            25:00 #1 v7 Resolved Critical Nobody []  | f×1 a×1 since 20:00
        "#]],
    );
}

#[test]
fn groups_beyond_the_maximum_share_one_incident() {
    let small = Incidents { incidents_max: 1, ..incidents() };
    check_with(
        &small,
        "0:00 fire a level=medium ns=one
         1:00 fire b level=medium ns=two
         2:00 fire c level=medium ns=three
         3:00 resolve b
         9:00 resolve c",
        expect![[r#"
            0:00 #1 v1 Opened Medium Nobody [namespace=one] a×1 | 
            1:00 #2 v1 Opened Medium Nobody [*] b×1 | 
            2:00 #2 v2 AlertsChanged Medium Nobody [*] b×1 c×1 | 
            8:00 #2 v3 AlertsChanged Medium Nobody [*] c×1 | b×1
        "#]],
    );
}

#[test]
fn a_snapshot_says_what_the_alerts_say() {
    let script = "1:00 fire a level=high env=production starts=0:30 value=7.5 @summary=slow @runbook_url=https://wiki/a
                  2:00 fire b level=high env=production @description=slower @dashboard_url=https://grafana/b";
    let run = script::run(&incidents(), script);
    let (_, port, Fact::Incident(told)) = &run.told[1] else { panic!("two snapshots") };
    assert_eq!((*port, &*told.service, told.environment.as_deref()), ("incident", "shop", Some("production")));
    assert!(told.id.starts_with("inc-") && told.id.len() == 20);
    assert_eq!((told.opened_at_ms, told.changed_at_ms, told.resolved_at_ms), (60_000, 120_000, None));
    assert_eq!(told.runbook_url.as_deref(), Some("https://wiki/a"));
    assert_eq!(told.dashboard_url.as_deref(), Some("https://grafana/b"));
    let [a, b] = &told.alerts[..] else { panic!("two alerts") };
    assert_eq!((&*a.summary, &*b.summary, a.starts_at_ms, a.value), ("slow", "slower", 30_000, Some(7.5)));
}

#[test]
fn what_is_remembered_of_a_text_is_bounded_and_an_identity_is_never_cut() {
    let script = |tail: &str| format!("0:00 fire {}{tail} level=high @summary={}", "f".repeat(500), "s".repeat(9_000));
    let run = script::run(&incidents(), &format!("{}\n{}", script("1"), script("2")));
    let Fact::Incident(told) = &run.told[1].2 else { panic!("incidents only") };
    assert_eq!(told.alerts.len(), 2, "two fingerprints that differ in their tail are two alerts");
    assert!(told.alerts.iter().all(|alert| alert.fingerprint.len() == 64 && alert.summary.chars().count() == 500));
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() {
    let yaml = "{group_by: [service, region, region], resolve_after_secs: 0, stale_after_secs: 0, alerts_max: 0, incidents_max: 0}";
    let wrong: Incidents = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(
        wrong.problems(),
        [
            "resolve_after_secs: must be at least 1",
            "stale_after_secs: must be at least 1",
            "alerts_max: must be at least 1",
            "incidents_max: must be at least 1",
            "stale_after_secs: must be longer than resolve_after_secs, and than the repeat interval of every source",
            "group_by[0]: every incident is of one service already: leave it out",
            "group_by[2]: `region` is empty or named twice",
        ]
    );
    assert_eq!(Incidents::default().problems(), Vec::<String>::new());
    assert!(serde_saphyr::from_str::<Incidents>("{resolve_after: 5}").is_err());
}

#[test]
fn the_defaults_of_the_state_are_its_schemas() {
    script::defaults_agree::<Incidents>();
}

/// Two dozen alerts that fire, repeat, resolve, overlap and are told late, one line a minute.
fn any_script() -> impl Strategy<Value = Vec<String>> {
    let line = (0..8u8, any::<bool>(), 0..4usize, 0..3usize, 0..40i64, 0..4u8);
    prop::collection::vec(line, 1..80).prop_map(|lines| {
        let line = |(at, (id, fires, level, mention, starts, namespace))| {
            let verb = if fires { "fire" } else { "resolve" };
            let level = ["low", "medium", "high", "critical"][level];
            let mention = ["nobody", "owner", "sre"][mention];
            format!("{at}:00 {verb} a{id} level={level} mention={mention} starts={starts}:00 ns=n{namespace}")
        };
        lines.into_iter().enumerate().map(line).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn versions_grow_by_one_mentions_keep_the_policy_memory_is_bounded_and_all_ends(lines in any_script()) {
        let incidents = Incidents { alerts_max: 3, incidents_max: 2, ..incidents() };
        let script = lines.join("\n");
        let run = script::run(&incidents, &script);
        prop_assert_eq!(&run.told, &script::run(&incidents, &script).told);
        for state in run.states.values() {
            prop_assert!(state.incidents.len() <= 2 * 2 + 1, "{}", state.incidents.len());
            prop_assert!(state.incidents.iter().all(|one| one.alerts.len() <= 3));
        }
        let ended = script::run(&incidents, &format!("{script}\n10000:00 wait"));
        prop_assert!(ended.states.is_empty(), "what nobody tells of any more is forgotten");
        let mut last: BTreeMap<String, Incident> = BTreeMap::new();
        for (_, _, fact) in &ended.told {
            let Fact::Incident(told) = fact else { panic!("incidents only") };
            let before = last.insert(told.id.clone(), told.clone());
            prop_assert_eq!(told.version, before.map_or(0, |before| before.version) + 1);
            let opens = matches!(told.change, IncidentChange::Opened | IncidentChange::Reopened | IncidentChange::Escalated);
            prop_assert!(told.mention == Mention::Nobody || opens && told.alerts.iter().any(|alert| alert.level > Level::Low));
            prop_assert!(told.change != IncidentChange::Resolved || told.alerts.iter().all(|alert| alert.status == AlertStatus::Resolved));
        }
        prop_assert!(last.values().all(|told| told.change == IncidentChange::Resolved));
    }

    /// Told within the same minute, in any order: the same alerts fire in the end.
    #[test]
    fn the_order_of_tellings_does_not_matter_for_what_fires(
        ends in prop::collection::vec(any::<bool>(), 1..8),
        seed in any::<prop::sample::Index>(),
    ) {
        let mut lines: Vec<String> = Vec::new();
        for (id, ends) in ends.iter().enumerate() {
            lines.push(format!("1:00 fire a{id} level=medium starts=0:00"));
            if *ends {
                lines.push(format!("1:00 resolve a{id} starts=0:00"));
            }
        }
        let firing = |lines: &[String]| -> Vec<String> {
            let run = script::run(&incidents(), &lines.join("\n"));
            let alerts = run.states.values().flat_map(|state| state.incidents.iter()).flat_map(|one| one.alerts.iter());
            let mut firing: Vec<_> = alerts.filter(|alert| alert.phase == Phase::Firing).map(|alert| alert.fingerprint.clone()).collect();
            firing.sort();
            firing
        };
        let straight = firing(&lines);
        let count = lines.len();
        lines.rotate_left(seed.index(count));
        lines.reverse();
        prop_assert_eq!(straight, firing(&lines));
    }
}
