use expect_test::{Expect, expect};

use super::*;
use crate::operator::script::{self, clock};

/// The chain that ships.
fn shipped() -> Attend {
    let step = |after_secs, mention| Step { after_secs, mention };
    Attend {
        escalation: vec![step(300, crate::event::Mention::Owner), step(900, crate::event::Mention::Sre)],
        ..Attend::default()
    }
}

fn told(operator: &Attend, script: &str) -> String {
    let run = script::run(operator, script);
    let mut lines = String::new();
    let mut logged = std::collections::BTreeMap::new();
    for (at, port, fact) in &run.told {
        match fact {
            Fact::Incident(told) => {
                let attention = told.attention.as_ref().expect("filled");
                lines += &format!("{} {} v{} {:?} {:?}", clock(*at), told.id, told.version, told.change, told.mention);
                if let Some(by) = &attention.acknowledged_by {
                    lines += &format!(" acknowledged by {by}");
                }
                if let Some(muted) = &attention.muted {
                    let until = muted.until_ms.map(|until| clock(EventTime(until)));
                    lines += &format!(" muted until {}: {}", until.as_deref().unwrap_or("its end"), muted.reason);
                }
                lines += "\n";
                let seen: usize = logged.insert(told.id.clone(), attention.log.len()).unwrap_or(0);
                for entry in &attention.log[seen..] {
                    lines += &format!("    {}: {}\n", entry.by.as_deref().unwrap_or("fairlead"), entry.text);
                }
            }
            Fact::ActionRun(run) => {
                assert_eq!(*port, "run");
                lines +=
                    &format!("{} {} of {}: {} {:?}\n", clock(*at), run.id, run.incident_id, run.action, run.status);
            }
            other => panic!("{other:?}"),
        }
    }
    lines
}

fn check(script: &str, expected: Expect) {
    expected.assert_eq(&told(&shipped(), script));
}

#[test]
fn the_state_s_defaults_are_its_schema_s() {
    script::defaults_agree::<Attend>();
}

#[test]
fn who_acknowledges_stops_the_chain_and_a_double_or_a_late_click_says_nothing() {
    check(
        "1:00 incident i1 v=1 mention=owner
         2:00 respond r1 acknowledge=i1
         2:01 respond r1 acknowledge=i1
         2:02 respond r2 acknowledge=i1 by=max
         2:03 respond r3 acknowledge=i9
         30:00 incident i1 v=2 change=escalated level=critical mention=sre
         40:00 incident i1 v=3 change=resolved level=critical
         41:00 respond r4 acknowledge=i1
         41:00 incident i1 v=3 change=resolved level=critical
         50:00 incident i1 v=4 change=reopened mention=owner",
        expect![[r#"
            1:00 i1 v1 Opened Owner
            2:00 i1 v2 Acknowledged Nobody acknowledged by paula
                paula: acknowledged it
            30:00 i1 v3 Escalated Sre acknowledged by paula
                fairlead: it got worse, now Critical: as the script says
            40:00 i1 v4 Resolved Nobody acknowledged by paula
            50:00 i1 v5 Reopened Owner
                fairlead: it came back
        "#]],
    );
}

#[test]
fn nobody_s_having_it_in_hand_is_told_step_by_step_and_anew_when_it_is_given_back() {
    check(
        "0:00 incident i1 v=1 mention=owner
         6:00 respond r1 acknowledge=i1
         7:00 respond r2 assign=i1 to=U0MAX
         7:01 respond r3 assign=i1 to=U0MAX
         10:00 respond r4 unacknowledge=i1
         10:01 respond r1 acknowledge=i1
         60:00 incident low v=1 level=medium
         62:00 incident low v=2 level=high change=escalated mention=owner
         68:00 incident low v=3 change=resolved
         120:00 wait",
        expect![[r#"
            0:00 i1 v1 Opened Owner
            5:00 i1 v2 Unattended Owner
                fairlead: nobody had it in hand for 5 min: told the owner
            6:00 i1 v3 Acknowledged Nobody acknowledged by paula
                paula: acknowledged it
            7:00 i1 v4 Assigned Nobody acknowledged by paula
                paula: assigned it to U0MAX
            10:00 i1 v5 Unacknowledged Nobody
                paula: gave it back
            15:00 i1 v6 Unattended Owner
                fairlead: nobody had it in hand for 5 min: told the owner
            25:00 i1 v7 Unattended Sre
                fairlead: nobody had it in hand for 15 min: told SRE
            60:00 low v1 Opened Nobody
            62:00 low v2 Escalated Owner
                fairlead: it got worse, now High: as the script says
            67:00 low v3 Unattended Owner
                fairlead: nobody had it in hand for 5 min: told the owner
            68:00 low v4 Resolved Nobody
        "#]],
    );
}

#[test]
fn a_snooze_keeps_quiet_until_its_end_and_then_tells_what_was_asked_for_meanwhile() {
    check(
        "0:00 incident i1 v=1 mention=owner
         1:00 respond r1 snooze=i1 until=61:00
         2:00 incident i1 v=2 change=alerts_changed
         3:00 incident i1 v=3 change=escalated mention=sre
         61:00 wait
         62:00 respond r2 snooze=i1 until=90:00 comment=vendor
         62:01 respond r2 snooze=i1 until=90:00
         63:00 respond r3 acknowledge=i1
         90:00 wait
         91:00 respond r4 snooze=i1 until=120:00
         92:00 respond r5 unsnooze=i1
         93:00 respond r6 unsnooze=i1
         94:00 respond r1 snooze=i1 until=161:00
         95:00 respond r7 snooze=i1 until=95:00",
        expect![[r#"
            0:00 i1 v1 Opened Owner
            1:00 i1 v2 Muted Nobody muted until 61:00: paula snoozed it
                paula: snoozed it for 1 h
            2:00 i1 v3 AlertsChanged Nobody muted until 61:00: paula snoozed it
            3:00 i1 v4 Escalated Nobody muted until 61:00: paula snoozed it
            61:00 i1 v5 Unmuted Sre
                fairlead: the snooze is over
            62:00 i1 v6 Muted Nobody muted until 90:00: paula snoozed it: vendor
                paula: snoozed it for 28 min: vendor
            63:00 i1 v7 Acknowledged Nobody acknowledged by paula muted until 90:00: paula snoozed it: vendor
                paula: acknowledged it
            90:00 i1 v8 Unmuted Nobody acknowledged by paula
                fairlead: the snooze is over
            91:00 i1 v9 Muted Nobody acknowledged by paula muted until 120:00: paula snoozed it
                paula: snoozed it for 29 min
            92:00 i1 v10 Unmuted Nobody acknowledged by paula
                paula: ended the snooze
        "#]],
    );
}

#[test]
fn a_snooze_ends_when_it_gets_worse_and_outlasts_a_reopening_when_it_does_not() {
    check(
        "0:00 incident i1 v=1 mention=owner
         1:00 respond r1 snooze=i1 until=61:00
         10:00 incident i1 v=2 change=resolved
         20:00 incident i1 v=3 change=reopened mention=owner
         30:00 incident i1 v=4 change=escalated level=critical mention=nobody",
        expect![[r#"
            0:00 i1 v1 Opened Owner
            1:00 i1 v2 Muted Nobody muted until 61:00: paula snoozed it
                paula: snoozed it for 1 h
            10:00 i1 v3 Resolved Nobody muted until 61:00: paula snoozed it
            20:00 i1 v4 Reopened Nobody muted until 61:00: paula snoozed it
                fairlead: it came back
            30:00 i1 v5 Escalated Owner
                fairlead: it got worse, now Critical: as the script says
                fairlead: the snooze is over, for it is worse than when it was snoozed
        "#]],
    );
}

#[test]
fn silences_mute_an_incident_only_while_they_cover_all_that_fires() {
    check(
        "0:00 incident i1 v=1 mention=owner alerts=a,b
         1:00 respond r1 silence=s1 of=a until=60:00 comment=known
         2:00 respond r2 silence=s2 of=b,c until=30:00 by=max
         2:01 respond r2 silence=s2 of=b,c until=30:00 by=max
         3:00 incident i1 v=2 change=alerts_changed alerts=a,b,d
         4:00 incident i1 v=3 change=alerts_changed alerts=a,b
         30:00 wait
         31:00 respond r3 silence=s2 of=b until=50:00 by=max
         40:00 respond r4 unsilence=s1
         41:00 respond r5 unsilence=s1
         42:00 respond r6 silence=s9 of=a until=42:00",
        expect![[r#"
            0:00 i1 v1 Opened Owner
            2:00 i1 v2 Muted Nobody muted until 30:00: silence s2 by max
                fairlead: nobody is told: silence s2 by max
            3:00 i1 v3 Unmuted Owner
                fairlead: not all that fires is silenced any more
            4:00 i1 v4 Muted Nobody muted until 30:00: silence s2 by max
                fairlead: nobody is told: silence s2 by max
            30:00 i1 v5 Unmuted Owner
                fairlead: not all that fires is silenced any more
            31:00 i1 v6 Muted Nobody muted until 50:00: silence s2 by max
                fairlead: nobody is told: silence s2 by max
            40:00 i1 v7 Unmuted Owner
                fairlead: not all that fires is silenced any more
        "#]],
    );
}

#[test]
fn an_alert_that_is_told_silenced_is_muted_from_its_first_moment_and_until_the_silence_is_over_or_ended() {
    check(
        "0:00 incident i1 v=1 mention=sre alerts=a:s1:90:00
         10:00 incident i1 v=2 change=escalated level=critical mention=sre alerts=a:s1:90:00
         90:00 wait
         100:00 incident i2 v=1 mention=owner alerts=b:s2:190:00
         110:00 respond r1 unsilence=s2
         111:00 incident i2 v=2 change=alerts_changed alerts=b:s2:190:00,c:s2:190:00
         120:00 incident i3 v=1 mention=owner alerts=d:s3:130:00
         125:00 incident i3 v=2 change=resolved alerts=d:s3:130:00",
        expect![[r#"
            0:00 i1 v1 Opened Nobody muted until 90:00: silence s1
                fairlead: nobody is told: silence s1
            10:00 i1 v2 Escalated Nobody muted until 90:00: silence s1
                fairlead: it got worse, now Critical: as the script says
            90:00 i1 v3 Unmuted Sre
                fairlead: not all that fires is silenced any more
            95:00 i1 v4 Unattended Owner
                fairlead: nobody had it in hand for 5 min: told the owner
            100:00 i2 v1 Opened Nobody muted until 190:00: silence s2
                fairlead: nobody is told: silence s2
            105:00 i1 v5 Unattended Sre
                fairlead: nobody had it in hand for 15 min: told SRE
            110:00 i2 v2 Unmuted Owner
                fairlead: not all that fires is silenced any more
            111:00 i2 v3 AlertsChanged Nobody
            115:00 i2 v4 Unattended Owner
                fairlead: nobody had it in hand for 5 min: told the owner
            120:00 i3 v1 Opened Nobody muted until 130:00: silence s3
                fairlead: nobody is told: silence s3
            125:00 i2 v5 Unattended Sre
                fairlead: nobody had it in hand for 15 min: told SRE
            125:00 i3 v2 Resolved Nobody muted until 130:00: silence s3
        "#]],
    );
}

#[test]
fn a_run_is_asked_for_once_and_its_steps_are_told() {
    check(
        "0:00 incident i1 v=1 level=medium
         1:00 respond r1 run=i1 action=restart
         1:00 respond r1 run=i1 action=restart
         1:01 run r1 of=i1 status=requested
         1:02 respond r2 run=i1 action=restart by=max
         1:03 run r1 of=i1 status=started
         1:04 respond r3 run=i1 action=scale-up
         1:05 run r1 of=i1 status=succeeded result=200
         1:06 run r1 of=i1 status=started
         1:07 run r1 of=i1 status=failed result=late
         1:06 respond r6 run=i1 action=restart v=1
         1:08 respond r4 run=i1 action=restart v=7
         2:00 incident i1 v=2 level=medium change=resolved
         2:01 run r3 of=i1 status=failed result=exit_1
         2:02 run r4 of=i1 status=unknown
         2:03 run r9 of=i1 status=failed
         2:04 respond r5 run=i1 action=restart",
        expect![[r#"
            0:00 i1 v1 Opened Nobody
            1:00 i1 v2 Noted Nobody
                paula: asked for restart
            1:00 r1 of i1: restart Requested
            1:02 i1 v3 Noted Nobody
                max: asked for restart, which already runs
            1:03 i1 v4 Noted Nobody
                fairlead: restart started
            1:04 i1 v5 Noted Nobody
                paula: asked for scale-up
            1:04 r3 of i1: scale-up Requested
            1:05 i1 v6 Noted Nobody
                fairlead: restart succeeded: 200
            1:06 i1 v7 Noted Nobody
                paula: asked for restart, which somebody had asked for already
            1:08 i1 v8 Noted Nobody
                paula: asked for restart
            1:08 r4 of i1: restart Requested
            2:00 i1 v9 Resolved Nobody
            2:01 i1 v10 Noted Nobody
                fairlead: scale-up failed: exit_1
            2:02 i1 v11 Noted Nobody
                fairlead: restart was started, and nobody knows how it ended
        "#]],
    );
}

#[test]
fn a_symptom_is_told_when_its_cause_is_over_hidden_or_lower() {
    check(
        "0:00 cause p1 from=payments level=critical
         5:00 incident i1 v=1 mention=owner
         6:00 incident i2 v=1 level=critical mention=sre
         7:00 cause p2 from=postgres level=high
         8:00 cause p1 from=payments level=critical v=2 open=false
         8:01 cause p1 from=payments level=critical v=1
         9:00 cause p2 from=postgres v=2 open=false
         40:00 incident i3 v=1 mention=owner
         49:00 cause p3 from=payments
         50:00 cause p3 from=payments v=2 open=false
         51:00 cause p4 from=payments
         52:00 respond r1 acknowledge=i1",
        expect![[r#"
            5:00 i1 v1 Opened Nobody muted until its end: symptom of payments, which has p1
                fairlead: nobody is told: symptom of payments, which has p1
            6:00 i2 v1 Opened Nobody muted until its end: symptom of payments, which has p1
                fairlead: nobody is told: symptom of payments, which has p1
            8:00 i1 v2 Muted Nobody muted until its end: symptom of postgres, which has p2
            8:00 i2 v2 Unmuted Sre
                fairlead: what it was a symptom of is over, or tells nobody
            9:00 i1 v3 Unmuted Owner
                fairlead: what it was a symptom of is over, or tells nobody
            13:00 i2 v3 Unattended Owner
                fairlead: nobody had it in hand for 5 min: told the owner
            14:00 i1 v4 Unattended Owner
                fairlead: nobody had it in hand for 5 min: told the owner
            23:00 i2 v4 Unattended Sre
                fairlead: nobody had it in hand for 15 min: told SRE
            24:00 i1 v5 Unattended Sre
                fairlead: nobody had it in hand for 15 min: told SRE
            40:00 i3 v1 Opened Owner
            45:00 i3 v2 Unattended Owner
                fairlead: nobody had it in hand for 5 min: told the owner
            49:00 i3 v3 Muted Nobody muted until its end: symptom of payments, which has p3
                fairlead: nobody is told: symptom of payments, which has p3
            50:00 i3 v4 Unmuted Owner
                fairlead: what it was a symptom of is over, or tells nobody
            52:00 i1 v6 Acknowledged Nobody acknowledged by paula
                paula: acknowledged it
        "#]],
    );
}

#[test]
fn a_cause_of_which_nothing_is_heard_any_more_hides_nothing() {
    let weeks = told(
        &Attend::default(),
        "0:00 cause p1 from=payments\n1:00 incident i1 v=1 mention=owner\n11519:00 wait\n11521:00 wait",
    );
    let lines: Vec<_> = weeks.lines().collect();
    assert!(lines[0].contains("Opened Nobody") && lines[2] == "11520:00 i1 v2 Unmuted Owner", "{lines:#?}");
}

fn helped(script: &str) -> Vec<String> {
    let run = script::run(&shipped(), script);
    let mut told = run.told.iter().filter_map(|(_, _, fact)| match fact {
        Fact::Incident(told) if told.change == IncidentChange::Opened => told.attention.as_ref(),
        _ => None,
    });
    let helped = |one: &crate::event::Helped| format!("{}: {}", one.incident_id, one.text);
    told.next_back().expect("one opened").helped.iter().map(helped).collect()
}

#[test]
fn what_came_before_the_end_of_the_last_times_is_told_when_it_happens_again() {
    let earlier = "0:00 incident i1 v=1 alerts=a,b
         2:00 deploy v7 kind=deploy
         3:00 respond r1 run=i1 action=restart
         4:00 run r1 of=i1 status=succeeded
         20:00 incident i1 v=2 change=resolved alerts=a,b
         100:00 incident i2 v=1 alerts=b
         110:00 deploy v6 kind=rollback
         111:00 deploy v9 outcome=failed
         115:00 incident i2 v=2 change=resolved alerts=b
         200:00 incident i3 v=1 alerts=c
         245:00 incident i3 v=2 change=resolved alerts=c
         ";
    let again = |alerts: &str| helped(&format!("{earlier}300:00 incident i4 v=1 alerts={alerts}"));
    assert_eq!(
        again("a,b"),
        [
            "i2: rolled back to v6 5 min before it resolved",
            "i1: paula ran restart 16 min before it resolved; deployed v7 18 min before it resolved"
        ]
    );
    assert_eq!(again("c"), ["i3: it resolved by itself after 45 min"]);
    assert_eq!(again("d"), [""; 0]);
    let reopened = format!("{earlier}250:00 incident i3 v=3 change=reopened alerts=c\n300:00 incident i4 v=1 alerts=c");
    assert_eq!(helped(&reopened), [""; 0], "its end did not last");
    let months = format!("{earlier}130000:00 incident i4 v=1 alerts=a,b,c");
    assert_eq!(helped(&months), [""; 0]);
}

#[test]
fn of_an_alert_only_the_last_times_are_remembered() {
    let often: String = (0..20)
        .map(|n| {
            let (opens, ends) = (n * 100, n * 100 + n);
            format!("{opens}:00 incident i{n} v=1 alerts=a,b\n{ends}:30 incident i{n} v=2 change=resolved alerts=a,b\n")
        })
        .collect();
    let run = script::run(&shipped(), &often);
    assert_eq!(run.states["shop"].endings.len(), 3);
    let told = helped(&format!("{often}2500:00 incident j v=1 alerts=b"));
    assert_eq!(told[0], "i19: it resolved by itself after 19 min");
    assert_eq!(told.len(), 3);
}

#[test]
fn the_log_is_bounded_and_tells_of_flapping_by_doublings() {
    let mut script = "0:00 incident i1 v=1\n".to_owned();
    for n in 1..=20 {
        script += &format!("{n}:00 respond a{n} acknowledge=i1\n{n}:30 respond u{n} unacknowledge=i1\n");
    }
    script +=
        "30:00 incident i1 v=2 change=alerts_changed flaps=1\n31:00 incident i1 v=3 change=alerts_changed flaps=4";
    let run = script::run(&Attend::default(), &script);
    let Some((_, _, Fact::Incident(last))) = run.told.last() else { panic!("incidents only") };
    let attention = last.attention.as_ref().unwrap();
    assert_eq!((attention.log.len(), attention.log_omitted), (30, 11));
    assert_eq!(attention.log[29].text, "it is flapping: alerts went and came back 4 times");
}

const WINDOWS: &str = r#"
maintenance:
  - { name: once, services: [shop], environments: [live], from: 2026-12-01T22:00Z, to: 2026-12-02T01:00+01:00, reason: PostgreSQL }
  - { name: weekly, services: [shop], alerts: [Errors], weekly: { days: [sat], from: "22:00", to: "02:00", zone: Europe/Berlin } }
"#;

fn windows() -> Attend {
    let attend: Attend = serde_saphyr::from_str(WINDOWS).unwrap();
    assert_eq!((attend.problems(), attend.warnings()), (Vec::new(), Vec::new()));
    attend
}

/// As a script spells it.
fn minute_of(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_millisecond() / 60_000
}

#[test]
fn in_a_planned_window_nobody_is_told_of_what_begins_before_or_in_it() {
    let at = |time: &str, minutes: i64| format!("{}:00", minute_of(time) + minutes);
    let once = "2026-12-01T22:00Z";
    let script = format!(
        "{} incident i1 v=1 mention=owner env=live
         {} incident other v=1 mention=owner env=test
         {} incident i2 v=1 mention=sre env=live
         {} incident i2 v=2 change=resolved env=live
         {} wait",
        at(once, -10),
        at(once, -10),
        at(once, 60),
        at(once, 90),
        at(once, 200)
    );
    let told = told(&windows(), &script);
    let (from, to) = (at(once, 0), at(once, 120));
    let until = format!("muted until {to}: maintenance once: PostgreSQL");
    let lines: Vec<_> = told.lines().filter(|line| !line.starts_with("    ")).collect();
    assert_eq!(
        lines,
        [
            format!("{} i1 v1 Opened Owner", at(once, -10)),
            format!("{} other v1 Opened Owner", at(once, -10)),
            format!("{from} i1 v2 Muted Nobody {until}"),
            format!("{} i2 v1 Opened Nobody {until}", at(once, 60)),
            format!("{} i2 v2 Resolved Nobody {until}", at(once, 90)),
            format!("{to} i1 v3 Unmuted Owner"),
        ]
    );
}

#[test]
fn a_weekly_window_follows_its_zone_s_clock_over_the_change_of_it() {
    let attend = windows();
    let weekly = &attend.maintenance[1];
    let time = |text: &str| EventTime(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    // Saturday 24 October 2026, 22:00 in summer, and Sunday, 02:00: the first of two.
    let winter = time("2026-10-24T20:00Z");
    assert_eq!(weekly.begins_after(time("2026-10-19T00:00Z")), Some(winter));
    assert_eq!(weekly.ends(winter), Some(time("2026-10-25T00:00Z")));
    assert_eq!((weekly.ends(winter.plus_ms(-1)), weekly.ends(time("2026-10-25T00:00Z"))), (None, None));
    assert_eq!(weekly.begins_after(winter), Some(time("2026-10-31T21:00Z")), "an hour later by winter's clock");
    // Saturday 27 March 2027: 02:00 is not there on Sunday, and is 03:00.
    assert_eq!(weekly.ends(time("2027-03-27T21:00Z")), Some(time("2027-03-28T01:00Z")));
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() {
    let attend: Attend = serde_saphyr::from_str(
        r#"
escalation: [{ after_secs: 0, mention: owner }, { after_secs: 300, mention: nobody }, { after_secs: 300, mention: sre }]
escalation_level_at_least: low
incidents_max: 0
maintenance:
  - { name: a, services: [x], from: 2026-12-02T00:00Z, to: 2026-12-01T00:00Z }
  - { name: a, from: 2026-12-02T00:00Z }
  - { name: "", services: [""], weekly: { days: [], from: "24:00", to: "24:00", zone: UTC } }
  - { name: b, from: 2026-12-02T00:00Z, to: 2026-12-03T00:00Z, weekly: { days: [mon, mon], from: "00:00", to: "24:00", zone: UTC } }
"#,
    )
    .unwrap();
    let found = attend.problems();
    let expected = [
        "incidents_max: must be at least 1",
        "escalation_level_at_least: level low never mentions",
        "escalation[0].after_secs: must be later",
        "escalation[1].mention: a step that tells nobody",
        "escalation[2].after_secs: must be later",
        "maintenance[0].to: it ends before it begins",
        "maintenance[1].say both `from` and `to`",
        "maintenance[1].name: `a` is there twice",
        "maintenance[2].name: is empty",
        "maintenance[2].weekly.days: name one",
        "maintenance[2].weekly.to: it ends as it begins",
        "maintenance[2].weekly.from: 24:00",
        "maintenance[2].services: an empty name",
        "maintenance[3].weekly: a window holds once or weekly",
        "maintenance[3].weekly.days: a day is there twice",
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{expected}: {found}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert_eq!(attend.warnings().len(), 2, "{:#?}", attend.warnings());
    for (wrong, said) in [
        ("Europe/Berlin", "did you mean `Europe/Berlin`?"),
        ("\"22:00\"", "`22:0` is no time of the day"),
        ("2026-12-01T22:00Z", "is no time with its offset"),
    ] {
        let mistaken =
            WINDOWS.replace(wrong, &wrong.replace("Berlin", "Berlim").replace("22:00\"", "22:0\"").replace('Z', ""));
        let error = serde_saphyr::from_str::<Attend>(&mistaken).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn no_way_leads_to_a_mention_of_what_is_low_resolved_muted_or_in_hand() {
    use crate::event::Mention::{Channel, Here, Nobody, Owner, Sre};
    use IncidentChange::*;
    let changes = [
        Opened,
        Escalated,
        AlertsChanged,
        SuspectsChanged,
        Resolved,
        Reopened,
        Acknowledged,
        Unacknowledged,
        Unattended,
        Assigned,
        Muted,
        Unmuted,
        Noted,
    ];
    let mut awake = 0;
    for change in changes {
        for state in [IncidentState::Open, IncidentState::Resolved] {
            for level in [Level::Low, Level::Medium, Level::High, Level::Critical] {
                for (muted, acknowledged) in [(false, false), (false, true), (true, false), (true, true)] {
                    for asked in [Nobody, Owner, Sre, Here, Channel] {
                        let standing = policy::Standing { state, level, muted, acknowledged };
                        let mention = policy::mention(change, standing, asked);
                        assert!(mention == Nobody || mention == asked);
                        let silent = muted || level == Level::Low || state == IncidentState::Resolved;
                        let by_chain = matches!(change, Unattended | Unmuted);
                        let silent = silent || by_chain && acknowledged;
                        assert!(!silent || mention == Nobody, "{change:?} {standing:?}");
                        awake += u32::from(mention != Nobody);
                    }
                }
            }
        }
    }
    // Three levels, four that ask: three changes whether it is in hand or not, two only if it is not.
    assert_eq!(awake, 3 * 4 * (3 * 2 + 2));
    // Two steps; high and critical, open, neither muted nor in hand, lead to a mention.
    assert_eq!(shipped().mention_ways(), Ways { all: 2 * 2 * 4 * 4, waking: 2 * 2 });
}

fn any_script() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let line = (0..14u8, 0..3u8, 0..4usize, 0..5usize, 1..90i64, 0..4usize, any::<bool>());
    prop::collection::vec(line, 1..60).prop_map(|lines| {
        let mut script = String::new();
        for (at, (verb, incident, level, mention, minutes, change, odd)) in lines.into_iter().enumerate() {
            let level = ["low", "medium", "high", "critical"][level];
            let mention = ["nobody", "owner", "sre", "here", "channel"][mention];
            let change = ["escalated", "alerts_changed", "resolved", "reopened"][change];
            let (until, version) = (at as i64 * 7 + minutes, at + 1);
            let silenced = if odd { format!(":s1:{until}:00") } else { String::new() };
            let said = match verb {
                0..5 => format!("incident i{incident} v={version} change={change} level={level} mention={mention} alerts=a{incident}{silenced}"),
                5 => format!("respond r{} acknowledge=i{incident}", at / 2),
                6 => format!("respond r{at} unacknowledge=i{incident}"),
                7 => format!("respond r{at} snooze=i{incident} until={until}:00"),
                8 => format!("respond r{at} silence=s1 of=a{incident} until={until}:00"),
                9 => format!("respond r{at} {}", if odd { "unsilence=s1" } else { "unsnooze=i0" }),
                10 => format!("cause c{} from=payments v={version} level={level} open={odd}", incident % 2),
                11 => format!("fire a{incident}"),
                12 => format!("resolve a{incident}"),
                _ => format!("respond r{at} run=i{incident} action=restart"),
            };
            script += &format!("{}:00 {said}\n", at * 7);
        }
        script + "6000:00 wait"
    })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn deterministic_bounded_versions_grow_and_nobody_is_woken_in_vain(script in any_script()) {
        use proptest::{prop_assert, prop_assert_eq};
        let attend = Attend { incidents_max: 2, ..shipped() };
        let run = script::run(&attend, &script);
        prop_assert_eq!(&run.told, &script::run(&attend, &script).told);
        for state in run.states.values() {
            prop_assert!(state.incidents.len() <= 2);
        }
        let mut last: std::collections::BTreeMap<&str, &Incident> = Default::default();
        for (_, _, fact) in &run.told {
            let Fact::Incident(told) = fact else { continue };
            let attention = told.attention.as_ref().expect("filled");
            let silent = attention.muted.is_some() || told.level == Level::Low || told.state == IncidentState::Resolved;
            prop_assert!(!silent || told.mention == crate::event::Mention::Nobody, "{:?}", told);
            prop_assert!(attention.log.len() <= 30 && attention.runs.len() <= 10);
            if let Some(before) = last.insert(&told.id, told) {
                // Only what was forgotten, with two remembered of three, begins anew.
                prop_assert!(told.version > before.version || before.attention != told.attention, "{:?}", told);
            }
        }
        // In the end nothing that is open is quiet: no mute lasts for ever but a cause, and that for eight days.
        let end = EventTime(script::minutes("30000:00").0);
        let settled = script::run(&attend, &format!("{script}\n{}", format_args!("{} wait", clock(end))));
        prop_assert!(settled.states.values().flat_map(State::open).all(|known| !known.is_muted()));
    }
}

#[test]
fn the_chain_rests_while_all_alerts_have_ended_and_goes_on_when_one_fires_again() {
    check(
        "0:00 fire a
         0:00 fire b
         0:00 incident i1 v=1 mention=owner alerts=a,b
         2:00 resolve a
         3:00 resolve b
         3:30 fire b starts=0:00
         7:00 fire a
         16:00 resolve a starts=7:00
         16:30 resolve b starts=0:00
         21:30 incident i1 v=2 change=resolved alerts=a,b
         40:00 wait",
        expect![[r#"
            0:00 i1 v1 Opened Owner
            7:00 i1 v2 Unattended Owner
                fairlead: nobody had it in hand for 7 min: told the owner
            15:00 i1 v3 Unattended Sre
                fairlead: nobody had it in hand for 15 min: told SRE
            21:30 i1 v4 Resolved Nobody
        "#]],
    );
}

#[test]
fn what_came_due_of_the_chain_while_all_had_ended_is_one_telling_to_the_widest() {
    check(
        "0:00 fire a
         0:00 incident i1 v=1 mention=owner alerts=a
         2:00 resolve a
         20:00 fire a
         21:30 resolve a starts=20:00
         22:30 incident i1 v=2 change=resolved alerts=a
         40:00 wait",
        expect![[r#"
            0:00 i1 v1 Opened Owner
            20:00 i1 v2 Unattended Sre
                fairlead: nobody had it in hand for 20 min: told SRE
            22:30 i1 v3 Resolved Nobody
        "#]],
    );
}

#[test]
fn the_end_of_one_alert_or_of_an_earlier_episode_does_not_rest_the_chain() {
    let unattended = expect![[r#"
        0:00 i1 v1 Opened Owner
        5:00 i1 v2 Unattended Owner
            fairlead: nobody had it in hand for 5 min: told the owner
    "#]];
    let script = |between: &str| format!("0:00 incident i1 v=1 mention=owner alerts=a,b\n{between}\n6:00 wait");
    for between in [
        "1:00 resolve a starts=0:00",
        "1:00 resolve a starts=0:00\n1:00 resolve c starts=0:00",
        "1:00 resolve b starts=0:00\n2:00 fire a starts=2:00\n3:00 resolve a starts=0:00",
        "1:00 resolve a starts=0:00\n2:00 resolve b starts=0:00\n3:00 fire a starts=3:00",
        "1:00 resolve a starts=0:00\n2:00 resolve b starts=0:00\n3:00 incident i1 v=2 change=alerts_changed alerts=a,b,c",
    ] {
        let told = told(&shipped(), &script(between));
        assert!(told.contains("5:00 i1") && told.contains("Unattended Owner"), "{between}: {told}");
    }
    unattended.assert_eq(&told(&shipped(), &script("1:00 resolve a starts=0:00")));
    let both = told(&shipped(), &script("1:00 resolve a starts=0:00\n2:00 resolve b starts=0:00"));
    assert!(!both.contains("Unattended"), "{both}");
}

#[test]
fn a_source_that_names_its_episodes_ends_and_begins_them_by_telling() {
    check(
        "0:00 incident i1 v=1 mention=owner alerts=a
         1:00 fire a episode=e1
         2:00 resolve a episode=e1 starts=2:00
         6:00 fire a episode=e1
         40:00 wait",
        expect![[r#"
            0:00 i1 v1 Opened Owner
            6:00 i1 v2 Unattended Owner
                fairlead: nobody had it in hand for 6 min: told the owner
            15:00 i1 v3 Unattended Sre
                fairlead: nobody had it in hand for 15 min: told SRE
        "#]],
    );
}
