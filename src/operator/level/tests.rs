use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::operator::script;

/// The acceptance example of the design, and a few neighbours.
const RULES: &str = r#"
rules:
  - name: test-clusters
    when: { environments: [test] }
    drop: test clusters wake nobody
  - name: ingress-503-flood
    when: { alerts: [Ingress5xx], matchers: ['code="503"'], value_above: 1200 }
    level: critical
    mention: sre
    reason: the whole ingress is failing
  - name: ingress-503-many
    when: { alerts: [Ingress5xx], matchers: ['code="503"'], value_above: 1000 }
    level: high
    mention: owner
    reason: many requests fail
  - name: ingress-503-upstream-closed
    when: { alerts: [Ingress5xx], matchers: ['code="503"', 'response_flag="UC"'] }
    level: high
    mention: owner
    reason: the upstream closed the connection
  - name: ingress-503
    when: { alerts: [Ingress5xx], matchers: ['code="503"'] }
    level: medium
    reason: a 503 is mostly a rollout
  - name: batch
    when: { matchers: ['job=~"batch-.*"'] }
    level: low
raises:
  - name: third-and-worse
    when: { repeats_at_least: 3, worsening: rising }
    reason: told three times and worse each time
otherwise: { level: medium, reason: no rule holds for it }
"#;

fn levels() -> Levels {
    serde_saphyr::from_str(RULES).unwrap()
}

fn check(script: &str, expected: Expect) {
    let run = script::run(&levels(), script);
    let told: Vec<String> = run
        .told
        .into_iter()
        .map(|(at, port, fact)| {
            let Fact::Alert(alert) = fact else { panic!("alerts only") };
            let level = alert.level.map_or("-".to_owned(), |level| format!("{level:?}"));
            let reason = alert.level_reason.unwrap_or_default();
            format!("{} {port} {} {level} {:?}: {reason}\n", script::clock(at), alert.fingerprint, alert.mention)
        })
        .collect();
    let left: Vec<_> = run.states.into_values().flat_map(|state| state.alerts).map(|left| left.fingerprint).collect();
    expected.assert_eq(&format!("{}remembers {left:?}\n", told.concat()));
}

#[test]
fn an_ingress_503_mentions_nobody_but_for_the_flag_uc_or_above_1000_and_above_1200() {
    check(
        "0:00 fire a name=Ingress5xx code=503 value=900 response_flag=UF
         0:00 fire b name=Ingress5xx code=503 value=10 response_flag=UC
         0:00 fire c name=Ingress5xx code=503 value=1000
         0:00 fire d name=Ingress5xx code=503 value=1000.5
         0:00 fire e name=Ingress5xx code=503 value=1200
         0:00 fire f name=Ingress5xx code=503 value=1201 response_flag=UC
         0:00 fire g name=Ingress5xx code=504 value=5000
         0:00 fire h name=Other code=503 value=5000",
        expect![[r#"
            0:00 alert a Medium Nobody: a 503 is mostly a rollout (rule ingress-503)
            0:00 alert b High Owner: the upstream closed the connection (rule ingress-503-upstream-closed)
            0:00 alert c Medium Nobody: a 503 is mostly a rollout (rule ingress-503)
            0:00 alert d High Owner: many requests fail (rule ingress-503-many)
            0:00 alert e High Owner: many requests fail (rule ingress-503-many)
            0:00 alert f Critical Sre: the whole ingress is failing (rule ingress-503-flood)
            0:00 alert g Medium Nobody: no rule holds for it
            0:00 alert h Medium Nobody: no rule holds for it
            remembers ["a", "b", "c", "d", "e", "f", "g", "h"]
        "#]],
    );
}

#[test]
fn the_third_telling_that_worsens_raises_the_mention_by_one_step_and_a_duplicate_is_no_telling() {
    check(
        "0:00 fire a name=Ingress5xx code=503 value=100
         0:10 fire a name=Ingress5xx code=503 value=150
         5:00 fire a name=Ingress5xx code=503 value=200
         5:29 fire a name=Ingress5xx code=503 value=200
         10:00 fire a name=Ingress5xx code=503 value=300
         15:00 fire a name=Ingress5xx code=503 value=250
         20:00 fire a name=Ingress5xx code=503 value=1300",
        expect![[r#"
            0:00 alert a Medium Nobody: a 503 is mostly a rollout (rule ingress-503)
            0:10 alert a Medium Nobody: a 503 is mostly a rollout (rule ingress-503)
            5:00 alert a Medium Nobody: a 503 is mostly a rollout (rule ingress-503)
            5:29 alert a Medium Nobody: a 503 is mostly a rollout (rule ingress-503)
            10:00 alert a Medium Owner: a 503 is mostly a rollout (rule ingress-503); mention raised: told three times and worse each time (rule third-and-worse)
            15:00 alert a Medium Nobody: a 503 is mostly a rollout (rule ingress-503)
            20:00 alert a Critical Sre: the whole ingress is failing (rule ingress-503-flood)
            remembers ["a"]
        "#]],
    );
}

#[test]
fn a_resolve_never_mentions_and_starts_the_count_anew() {
    check(
        "0:00 fire a name=Ingress5xx code=503 value=100
         5:00 fire a name=Ingress5xx code=503 value=200
         6:00 resolve a name=Ingress5xx code=503 value=9000 response_flag=UC
         7:00 fire a name=Ingress5xx code=503 value=300",
        expect![[r#"
            0:00 alert a Medium Nobody: a 503 is mostly a rollout (rule ingress-503)
            5:00 alert a Medium Nobody: a 503 is mostly a rollout (rule ingress-503)
            6:00 alert a High Nobody: the upstream closed the connection (rule ingress-503-upstream-closed)
            7:00 alert a Medium Nobody: a 503 is mostly a rollout (rule ingress-503)
            remembers ["a"]
        "#]],
    );
}

#[test]
fn low_never_mentions_even_when_it_repeats_and_worsens() {
    check(
        "0:00 fire a job=batch-7 value=1
         5:00 fire a job=batch-7 value=2
         10:00 fire a job=batch-7 value=3",
        expect![[r#"
            0:00 alert a Low Nobody: rule batch
            5:00 alert a Low Nobody: rule batch
            10:00 alert a Low Nobody: rule batch
            remembers ["a"]
        "#]],
    );
}

#[test]
fn a_drop_is_told_on_its_own_port_with_its_reason() {
    check(
        "0:00 fire a name=Ingress5xx env=test code=503 value=9000
         1:00 resolve a name=Ingress5xx env=test code=503",
        expect![[r#"
            0:00 dropped a - Nobody: test clusters wake nobody (rule test-clusters)
            1:00 dropped a - Nobody: test clusters wake nobody (rule test-clusters)
            remembers []
        "#]],
    );
}

#[test]
fn tellings_of_an_older_episode_neither_count_nor_forget() {
    check(
        "5:00 fire a starts=4:00 value=1
         6:00 fire a starts=1:00 value=2
         7:00 resolve a starts=1:00",
        expect![[r#"
            5:00 alert a Medium Nobody: no rule holds for it
            6:00 alert a Medium Nobody: no rule holds for it
            7:00 alert a Medium Nobody: no rule holds for it
            remembers ["a"]
        "#]],
    );
}

#[test]
fn an_idle_episode_is_forgotten_and_nothing_is_left() {
    check(
        "0:00 fire a\n1439:59 wait",
        expect![[r#"
        0:00 alert a Medium Nobody: no rule holds for it
        remembers ["a"]
    "#]],
    );
    check(
        "0:00 fire a\n1440:00 wait",
        expect![[r#"
        0:00 alert a Medium Nobody: no rule holds for it
        remembers []
    "#]],
    );
}

#[test]
fn falling_is_worse_for_what_should_be_high() {
    let yaml = "raises: [{name: r, when: {worsening: falling, alerts: [DiskFree]}, reason: it sinks}]";
    let levels: Levels = serde_saphyr::from_str(yaml).unwrap();
    let mentions = |script| {
        script::run(&levels, script).told.into_iter().map(|(_, _, fact)| match fact {
            Fact::Alert(alert) => alert.mention,
            _ => panic!("alerts only"),
        })
    };
    let sinking = mentions("0:00 fire a name=DiskFree value=9\n1:00 fire a name=DiskFree value=8");
    assert_eq!(sinking.collect::<Vec<_>>(), [Mention::Nobody, Mention::Owner]);
    let rising = mentions("0:00 fire a name=DiskFree value=8\n1:00 fire a name=DiskFree value=9");
    assert_eq!(rising.collect::<Vec<_>>(), [Mention::Nobody, Mention::Nobody]);
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() {
    let yaml = r#"
rules:
  - { name: a, when: { matchers: ['code=~"50[3"', 'job'] }, level: low, mention: sre }
  - { name: b, when: { value_above: 5, value_below: 5, repeats_at_least: 1 } }
  - { name: c, when: { matchers: ['x=1', 'x=2'] }, level: high, drop: why not }
  - { name: broad, when: { matchers: ['code=~"5.."'] }, level: high }
  - { name: narrow, when: { matchers: ['code=503'], value_above: 3 }, level: high }
  - { name: narrow, level: medium }
  - { name: "", when: { alerts: [Late] }, drop: " " }
raises: [{ name: r, when: {}, reason: always }]
otherwise: { level: low, mention: owner, reason: x }
alerts_max: 0
"#;
    let levels: Levels = serde_saphyr::from_str(yaml).unwrap();
    let found = levels.problems();
    for (at, expected) in [
        "rules[0]: rule a: matcher `code=~\"50[3\"`: `50[3` is no regular expression",
        "rules[0]: rule a: matcher `job`: has no operator",
        "rules[0]: rule a: level low never mentions",
        "rules[1]: rule b: no value is above 5 and below 5",
        "rules[1]: rule b: repeats_at_least below 2",
        "rules[1]: rule b: says neither level nor drop",
        "rules[2]: rule c: two matchers contradict each other",
        "rules[2]: rule c: says both level and drop",
        "rules[5]: rule narrow: the name is taken",
        "rules[6]: the rule has no name",
        "rules[6]: rule : drops without a reason",
        "raises[0]: rule r: raises every alert",
        "rules[4]: rule narrow: unreachable, rule broad before it takes all its alerts",
        "rules[6]: rule : unreachable, rule narrow before it",
        "otherwise: level low never mentions",
        "alerts_max: must be at least 1",
    ]
    .iter()
    .enumerate()
    {
        assert!(found.get(at).is_some_and(|problem| problem.starts_with(expected)), "{expected}: {found:#?}");
    }
    assert_eq!(found.len(), 16, "{found:#?}");
    assert_eq!(self::levels().problems(), Vec::<String>::new());
    assert!(serde_saphyr::from_str::<Levels>("rules: [{name: a, level: high, channel: x}]").is_err());
}

#[test]
fn the_defaults_of_the_state_are_its_schemas() {
    script::defaults_agree::<Levels>();
}

fn any_script() -> impl Strategy<Value = String> {
    let line = (0..4u8, any::<bool>(), prop::option::of(0..2_000i64), 0..3u8, 0..50i64, 0..4u8);
    prop::collection::vec(line, 1..60).prop_map(|lines| {
        let mut script = String::new();
        for (at, (id, fires, value, kind, starts, job)) in lines.into_iter().enumerate() {
            let verb = if fires { "fire" } else { "resolve" };
            let kind = ["name=Ingress5xx code=503", "name=Ingress5xx code=503 response_flag=UC", "job=batch-1"]
                [usize::from(kind)];
            script += &format!("{at}:00 {verb} a{id} {kind} starts={starts}:00 ns=n{job}");
            script += &value.map(|value| format!(" value={value}")).unwrap_or_default();
            script += "\n";
        }
        script
    })
}

proptest! {
    #[test]
    fn one_answer_per_alert_bounded_deterministic_and_true_to_the_mention_policy(script in any_script()) {
        let levels = Levels { alerts_max: 2, ..levels() };
        let first = script::run(&levels, &script);
        let second = script::run(&levels, &script);
        prop_assert_eq!(&first.told, &second.told);
        prop_assert_eq!(first.told.len(), script.lines().count());
        for state in first.states.values() {
            prop_assert!(state.alerts.len() <= 2 && state.alerts.iter().all(|known| known.values.len() <= VALUES_MAX));
        }
        for (_, _, fact) in &first.told {
            let Fact::Alert(alert) = fact else { panic!("alerts only") };
            let silent = alert.level == Some(Level::Low) || alert.status == AlertStatus::Resolved;
            prop_assert!(!silent || alert.mention == Mention::Nobody);
        }
    }
}
