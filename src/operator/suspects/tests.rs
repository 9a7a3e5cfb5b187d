use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::operator::script::{self, clock};

fn check(script: &str, expected: Expect) {
    let run = script::run(&Suspects::default(), script);
    let mut lines = String::new();
    for (at, port, fact) in &run.told {
        let Fact::Incident(told) = fact else { panic!("incidents only") };
        assert_eq!(*port, "incident");
        lines += &format!("{} {} v{} {:?} {:?}\n", clock(*at), told.id, told.version, told.change, told.mention);
        for suspect in &told.suspects {
            lines += &format!("    {} {}: {}\n", suspect.score, suspect.version, suspect.reasons.join(", "));
        }
    }
    expected.assert_eq(&lines);
}

#[test]
fn a_fresh_deploy_outranks_an_older_healthy_one_and_another_environment_is_hardly_suspect() {
    check(
        "0:00 deploy v1 env=production
         55:00 deploy v3 env=staging
         60:00 deploy v2 env=production
         70:00 incident i1 v=1 change=opened env=production onset=65:00 mention=owner",
        // v2: 55·20/25 = 44, +15, +10. v3: 55·20/30 = 36, -40, +10 is too little. v1: 55·20/85 = 12, +15, -10.
        expect![[r#"
            70:00 i1 v1 Opened Owner
                69 v2: finished 5 min before it began (+44), same environment (production) (+15), first change after a healthy time (+10)
                17 v1: same environment (production) (+15), finished 1 h 5 min before it began (+12), the service stayed healthy for 1 h after it (-10)
        "#]],
    );
}

#[test]
fn running_failed_and_rolled_back_deploys_are_suspect_and_a_rollback_is_less() {
    check(
        "50:00 deploy v1 outcome=failed
         58:00 deploy v2 outcome=running started=58:00 finished=never
         70:00 incident i1 v=1 change=opened onset=60:00
         71:00 deploy v2 outcome=failed finished=66:00
         80:00 deploy v1-again kind=rollback started=75:00
         90:00 incident i1 v=2 change=resolved onset=60:00",
        // v1: 55·20/30 = 36, +20, +10. Once v2 has failed too it has 60 + 20, and its rollback came 15 min after the onset.
        expect![[r#"
            70:00 i1 v1 Opened Nobody
                66 v1: finished 10 min before it began (+36), it failed (+20), first change after a healthy time (+10)
                60 v2: still running when it began (+60)
            71:00 i1 v2 SuspectsChanged Nobody
                80 v2: still running when it began (+60), it failed (+20)
                66 v1: finished 10 min before it began (+36), it failed (+20), first change after a healthy time (+10)
            80:00 i1 v3 SuspectsChanged Nobody
                95 v2: still running when it began (+60), it failed (+20), rolled back 15 min after it began (+15)
                66 v1: finished 10 min before it began (+36), it failed (+20), first change after a healthy time (+10)
            90:00 i1 v4 Resolved Nobody
                95 v2: still running when it began (+60), it failed (+20), rolled back 15 min after it began (+15)
                66 v1: finished 10 min before it began (+36), it failed (+20), first change after a healthy time (+10)
        "#]],
    );
}

#[test]
fn a_late_deploy_updates_an_open_incident_a_later_or_far_older_one_does_not() {
    check(
        "10:00 incident i1 v=1 change=opened onset=9:00 mention=sre
         11:00 deploy after finished=9:01 started=9:01
         12:00 deploy late finished=8:00
         13:00 deploy late finished=8:00
         14:00 incident i1 v=2 change=escalated onset=9:00 mention=sre
         14:30 incident i1 v=2 change=escalated onset=9:00 mention=sre
         15:00 incident i1 v=3 change=resolved onset=9:00
         16:00 deploy later-still finished=8:30",
        expect![[r#"
            10:00 i1 v1 Opened Sre
            12:00 i1 v2 SuspectsChanged Nobody
                62 late: finished 1 min before it began (+52), first change after a healthy time (+10)
            14:00 i1 v3 Escalated Sre
                62 late: finished 1 min before it began (+52), first change after a healthy time (+10)
            15:00 i1 v4 Resolved Nobody
                62 late: finished 1 min before it began (+52), first change after a healthy time (+10)
        "#]],
    );
}

#[test]
fn a_rollback_itself_is_a_weak_suspect_and_a_troubled_time_is_no_healthy_one() {
    check(
        "0:00 deploy v2
         2:00 incident i1 v=1 change=opened onset=1:00
         20:00 deploy v1-again kind=rollback
         25:00 incident i1 v=2 change=resolved onset=1:00
         40:00 incident i2 v=1 change=opened onset=40:00",
        // i1: 55·20/21 = 52; the rollback came 19 min after its onset, and is told as soon as it is known.
        // i2: between v2 and the rollback there was i1, so v2 is still the first since a healthy time: 55·20/60 = 18, +10.
        // The rollback: 55·20/40 = 27, -20 = 7 is not told.
        expect![[r#"
            2:00 i1 v1 Opened Nobody
                62 v2: finished 1 min before it began (+52), first change after a healthy time (+10)
            20:00 i1 v2 SuspectsChanged Nobody
                77 v2: finished 1 min before it began (+52), rolled back 19 min after it began (+15), first change after a healthy time (+10)
            25:00 i1 v3 Resolved Nobody
                77 v2: finished 1 min before it began (+52), rolled back 19 min after it began (+15), first change after a healthy time (+10)
            40:00 i2 v1 Opened Nobody
                28 v2: finished 40 min before it began (+18), first change after a healthy time (+10)
        "#]],
    );
}

#[test]
fn a_reopening_keeps_the_first_onset_and_a_rollback_before_it_ranks_below_what_began_it() {
    check(
        "0:00 deploy v2 env=production
         2:00 incident i1 v=1 change=opened env=production onset=1:00
         10:00 deploy v1-again kind=rollback env=production
         15:00 incident i1 v=2 change=resolved env=production onset=1:00
         20:00 incident i1 v=3 change=reopened env=production onset=20:00 opened=2:00
         21:00 incident i1 v=4 change=escalated env=production onset=20:00 opened=2:00",
        // v2: 55·20/21 = 52, +15, +10; rolled back nine minutes after the onset: +15. The rollback: +20, +15, -20.
        expect![[r#"
            2:00 i1 v1 Opened Nobody
                77 v2: finished 1 min before it began (+52), same environment (production) (+15), first change after a healthy time (+10)
            10:00 i1 v2 SuspectsChanged Nobody
                92 v2: finished 1 min before it began (+52), rolled back 9 min after it began (+15), same environment (production) (+15), first change after a healthy time (+10)
            15:00 i1 v3 Resolved Nobody
                92 v2: finished 1 min before it began (+52), rolled back 9 min after it began (+15), same environment (production) (+15), first change after a healthy time (+10)
            20:00 i1 v4 Reopened Nobody
                92 v2: finished 1 min before it began (+52), rolled back 9 min after it began (+15), same environment (production) (+15), first change after a healthy time (+10)
                15 v1-again: after it began, 10 min before it reopened (+20), it is a rollback, rarely the cause (-20), same environment (production) (+15)
            21:00 i1 v5 Escalated Nobody
                92 v2: finished 1 min before it began (+52), rolled back 9 min after it began (+15), same environment (production) (+15), first change after a healthy time (+10)
                15 v1-again: after it began, 10 min before it reopened (+20), it is a rollback, rarely the cause (-20), same environment (production) (+15)
        "#]],
    );
}

#[test]
fn what_came_between_the_onset_and_the_last_reopening_is_told_as_that() {
    check(
        "2:00 incident i1 v=1 change=opened onset=1:00
         8:00 incident i1 v=2 change=resolved onset=1:00
         19:00 deploy v2
         20:00 incident i1 v=3 change=reopened onset=20:00 opened=2:00
         21:00 deploy v3 outcome=running started=20:30 finished=never
         22:00 deploy v3 outcome=failed started=20:30 finished=21:30
         23:00 incident i1 v=4 change=resolved onset=20:00 opened=2:00
         24:00 incident i1 v=5 change=reopened onset=21:00 opened=2:00",
        // v3 began after the first reopening, and ran still when the second one began: 20 + 20.
        expect![[r#"
            2:00 i1 v1 Opened Nobody
            8:00 i1 v2 Resolved Nobody
            20:00 i1 v3 Reopened Nobody
                20 v2: after it began, 1 min before it reopened (+20)
            23:00 i1 v4 Resolved Nobody
                20 v2: after it began, 1 min before it reopened (+20)
            24:00 i1 v5 Reopened Nobody
                40 v3: after it began, still running when it reopened (+20), it failed (+20)
                20 v2: after it began, 2 min before it reopened (+20)
        "#]],
    );
}

#[test]
fn a_resolved_incident_keeps_the_deploy_that_began_it_until_it_cannot_reopen_any_more() {
    // At 240:00 v2 would be forgotten, were it not for the incident. 55·20/21 = 52, +10.
    check(
        "0:00 deploy v2
         2:00 incident i1 v=1 change=opened onset=1:00
         5:00 incident i1 v=2 change=resolved onset=1:00
         300:00 incident i1 v=3 change=reopened onset=300:00 opened=2:00",
        expect![[r#"
            2:00 i1 v1 Opened Nobody
                62 v2: finished 1 min before it began (+52), first change after a healthy time (+10)
            5:00 i1 v2 Resolved Nobody
                62 v2: finished 1 min before it began (+52), first change after a healthy time (+10)
            300:00 i1 v3 Reopened Nobody
                62 v2: finished 1 min before it began (+52), first change after a healthy time (+10)
        "#]],
    );
}

#[test]
fn an_incident_that_was_forgotten_and_reopens_began_when_it_says_it_was_opened() {
    check(
        "1:00 deploy v1
         19:00 deploy v2
         20:00 incident i1 v=3 change=reopened onset=20:00 opened=2:00",
        expect![[r#"
            20:00 i1 v3 Reopened Nobody
                62 v1: finished 1 min before it began (+52), first change after a healthy time (+10)
                20 v2: after it began, 1 min before it reopened (+20)
        "#]],
    );
}

/// As the version before remembered it, without the field.
#[test]
fn a_state_from_before_reads_as_one_that_did_not_reopen() {
    let run = script::run(&Suspects::default(), "2:00 incident i1 v=1 change=opened onset=1:00");
    let mut json = serde_json::to_value(run.states.values().next().unwrap()).unwrap();
    let removed = json["incidents"][0].as_object_mut().unwrap().remove("reopened_at_ms");
    assert_eq!(removed, Some(serde_json::Value::Null));
    let read: State = serde_json::from_value(json).unwrap();
    assert_eq!(read.incidents[0].reopened_at_ms, None);
    let schema: serde_json::Value = serde_json::from_str(Suspects::STATE_SCHEMA).unwrap();
    let field = &schema["fields"][1]["type"]["items"]["fields"][2];
    assert_eq!((&field["name"], &field["default"]), (&"reopened_at_ms".into(), &serde_json::Value::Null));
}

#[test]
fn an_open_incident_keeps_its_suspects_in_memory_and_everything_is_forgotten_in_the_end() {
    let open = "0:00 deploy v2\n1:00 incident i1 v=1 change=opened onset=1:00\n600:00 incident i1 v=2 change=alerts_changed onset=1:00";
    let run = script::run(&Suspects::default(), open);
    let Fact::Incident(told) = &run.told[1].2 else { panic!("incidents only") };
    assert_eq!(told.suspects.len(), 1, "ten hours later it is still the suspect");
    let left = |script: &str| script::run(&Suspects::default(), script).states.len();
    assert_eq!(left("0:00 deploy v2\n239:59 wait"), 1);
    assert_eq!(left("0:00 deploy v2\n240:00 wait"), 0);
    let resolved = format!("{open}\n601:00 incident i1 v=3 change=resolved onset=1:00");
    assert_eq!(left(&format!("{resolved}\n2040:59 wait")), 1);
    assert_eq!(left(&format!("{resolved}\n2041:00 wait")), 0);
    assert_eq!(left(&format!("{open}\n20000:00 wait")), 0, "an incident that nobody tells of any more");
}

#[test]
fn that_it_runs_is_no_news_once_it_has_ended() {
    check(
        "5:00 deploy v2 started=1:00 finished=4:00 outcome=failed
         6:00 deploy v2 started=1:00 finished=never outcome=running
         7:00 incident i1 v=1 change=opened onset=5:00",
        // 55·20/21 = 52.
        expect![[r#"
            7:00 i1 v1 Opened Nobody
                82 v2: finished 1 min before it began (+52), it failed (+20), first change after a healthy time (+10)
        "#]],
    );
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() {
    let yaml =
        "{window_secs: 0, fades_after_secs: 0, suspects_max: 0, deploys_max: 0, incidents_max: 0, score_min: 101}";
    let wrong: Suspects = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(wrong.problems().len(), 6, "{:?}", wrong.problems());
    assert_eq!(Suspects::default().problems(), Vec::<String>::new());
}

#[test]
fn the_defaults_of_the_state_are_its_schemas_and_its_snapshot_has_the_fields_of_the_fact() {
    script::defaults_agree::<Suspects>();
    let state: serde_json::Value = serde_json::from_str(Suspects::STATE_SCHEMA).unwrap();
    let fact: serde_json::Value = serde_json::from_str(FactKind::Incident.schema_json()).unwrap();
    assert_eq!(state["fields"][1]["type"]["items"]["fields"][3]["type"]["fields"], fact["fields"]);
}

fn any_script() -> impl Strategy<Value = String> {
    let line = (any::<bool>(), 0..6u8, 0..5usize, 0..3usize, 0..60i64, 0..60i64);
    prop::collection::vec(line, 1..50).prop_map(|lines| {
        let mut script = String::new();
        for (at, (deploy, id, change, outcome, start, end)) in lines.into_iter().enumerate() {
            script += &if deploy {
                let outcome = ["running", "succeeded", "failed"][outcome];
                let kind = ["deploy", "rollback", "remove", "deploy", "deploy"][change];
                format!("{at}:00 deploy d{id} kind={kind} outcome={outcome} started={start}:00 finished={end}:00 env=e{outcome}\n")
            } else {
                let change = ["opened", "escalated", "alerts_changed", "resolved", "reopened"][change];
                format!("{at}:00 incident i{id} v={at} change={change} onset={start}:00 mention=owner env=erunning\n")
            };
        }
        script
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn versions_grow_scores_are_sums_memory_is_bounded_and_no_effect_precedes_its_cause(script in any_script()) {
        let suspects = Suspects { deploys_max: 3, incidents_max: 2, score_min: 0, ..Suspects::default() };
        let run = script::run(&suspects, &script);
        prop_assert_eq!(&run.told, &script::run(&suspects, &script).told);
        for state in run.states.values() {
            prop_assert!(state.deploys.len() <= 3 && state.incidents.len() <= 2);
        }
        let long_after = format!("{script}99999:00 wait");
        prop_assert!(script::run(&suspects, &long_after).states.is_empty());
        for (_, _, fact) in &run.told {
            let Fact::Incident(told) = fact else { panic!("incidents only") };
            prop_assert!(told.change != IncidentChange::SuspectsChanged || told.mention == Mention::Nobody);
            prop_assert!(told.suspects.is_sorted_by_key(|suspect| std::cmp::Reverse(suspect.score)));
            for suspect in &told.suspects {
                let points = suspect.reasons.iter().filter_map(|reason| reason.rsplit_once('(')?.1.trim_end_matches(')').parse::<i32>().ok());
                prop_assert_eq!(points.sum::<i32>().clamp(0, 100), suspect.score);
            }
        }
        let told: Vec<_> = script::run(&Suspects { incidents_max: 100, ..suspects }, &script).told;
        let mut versions = std::collections::BTreeMap::new();
        for (_, _, fact) in &told {
            let Fact::Incident(told) = fact else { panic!("incidents only") };
            let before = versions.insert(told.id.clone(), told.version);
            prop_assert!(before.is_none_or(|before| told.version > before));
        }
    }

    /// Deploys told in any order before an incident give the same ranking.
    #[test]
    fn the_order_of_deploys_does_not_matter(
        ends in prop::collection::vec((0..50i64, 0..3usize), 1..8),
        seed in any::<prop::sample::Index>(),
    ) {
        let deploys: Vec<_> = ends.iter().enumerate().map(|(id, (end, outcome))| {
            let outcome = ["running", "succeeded", "failed"][*outcome];
            format!("50:00 deploy d{id} outcome={outcome} started={end}:00 finished={end}:30\n")
        }).collect();
        let ranked = |deploys: &[String]| {
            let script = format!("{}51:00 incident i1 v=1 change=opened onset=40:00", deploys.concat());
            script::run(&Suspects::default(), &script).told
        };
        let mut other = deploys.clone();
        other.rotate_left(seed.index(deploys.len()));
        other.reverse();
        prop_assert_eq!(ranked(&deploys), ranked(&other));
    }
}
