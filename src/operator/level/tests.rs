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

/// The same in CEL's syntax: whatever the mapping decides, this decides.
const EXPRESSIONS: &str = r#"
rules:
  - name: test-clusters
    when: alert.environment == "test"
    drop: test clusters wake nobody
  - name: ingress-503-flood
    when: 'alert.name == "Ingress5xx" && alert.labels["code"] == "503" && alert.value > 1200.0'
    level: critical
    mention: sre
    reason: the whole ingress is failing
  - name: ingress-503-many
    when: 'alert.name == "Ingress5xx" && alert.labels["code"] == "503" && alert.value > 1000.0'
    level: high
    mention: owner
    reason: many requests fail
  - name: ingress-503-upstream-closed
    when: 'alert.name == "Ingress5xx" && alert.labels["code"] == "503" && alert.labels["response_flag"] == "UC"'
    level: high
    mention: owner
    reason: the upstream closed the connection
  - name: ingress-503
    when: 'alert.name == "Ingress5xx" && alert.labels.code == "503"'
    level: medium
    reason: a 503 is mostly a rollout
  - name: batch
    when: alert.labels.job.startsWith("batch-")
    level: low
raises:
  - name: third-and-worse
    when: repeats >= 3 && trend == "rising"
    reason: told three times and worse each time
"#;

fn levels() -> Levels {
    serde_saphyr::from_str(RULES).unwrap()
}

fn expressed() -> Levels {
    serde_saphyr::from_str(EXPRESSIONS).unwrap()
}

/// By mappings and by expressions alike.
fn check(script: &str, expected: Expect) {
    let run = script::run(&levels(), script);
    assert_eq!(script::run(&expressed(), script).told, run.told);
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
fn tellings_of_a_named_episode_repeat_it_until_it_ends() {
    check(
        "0:00 fire a value=1 episode=x
         5:00 fire a value=2 episode=x
         10:00 fire a value=3 episode=x
         11:00 resolve a episode=x
         15:00 fire a value=4 episode=x
         20:00 fire a value=5 episode=y
         25:00 fire a value=6 episode=y",
        // The third of x is worse each time; of y there are two.
        expect![[r#"
            0:00 alert a Medium Nobody: no rule holds for it
            5:00 alert a Medium Nobody: no rule holds for it
            10:00 alert a Medium Owner: no rule holds for it; mention raised: told three times and worse each time (rule third-and-worse)
            11:00 alert a Medium Nobody: no rule holds for it
            15:00 alert a Medium Nobody: no rule holds for it
            20:00 alert a Medium Nobody: no rule holds for it
            25:00 alert a Medium Nobody: no rule holds for it
            remembers ["a"]
        "#]],
    );
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

/// The ingress example as one would write it first: who is mentioned hangs on the flag or the value.
#[test]
fn one_expression_says_when_a_503_mentions_its_owner() {
    let yaml = r#"
rules:
  - { name: all-of-sre, when: 'alert.labels["code"] == "503" && alert.value > 1200.0', level: critical, mention: sre }
  - name: owner
    when: 'alert.labels["code"] == "503" && (alert.labels["response_flag"] == "UC" || alert.value > 1000.0)'
    level: high
    mention: owner
  - { name: nobody, when: 'alert.labels["code"] == "503"', level: medium }
"#;
    let levels: Levels = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!((levels.problems(), levels.warnings()), (Vec::new(), Vec::new()));
    let told = script::run(
        &levels,
        "0:00 fire a code=503 value=900 response_flag=UF
         0:00 fire b code=503 value=10 response_flag=UC
         0:00 fire c code=503 value=1000
         0:00 fire d code=503 value=1000.5
         0:00 fire e code=503 value=1200
         0:00 fire f code=503 value=1201
         0:00 fire g code=503
         0:00 fire h code=504 value=5000
         1:00 resolve b code=503 response_flag=UC
         1:00 resolve f code=503 value=1201",
    )
    .told;
    let mentions: Vec<_> = told
        .iter()
        .map(|(_, _, fact)| match fact {
            Fact::Alert(alert) => (&*alert.fingerprint, alert.level.unwrap(), alert.mention),
            _ => panic!("alerts only"),
        })
        .collect();
    use Level::{Critical, High, Medium};
    use Mention::{Nobody, Owner, Sre};
    assert_eq!(
        mentions,
        [
            ("a", Medium, Nobody),
            ("b", High, Owner),
            ("c", Medium, Nobody),
            ("d", High, Owner),
            ("e", High, Owner),
            ("f", Critical, Sre),
            // Without a value or a flag nothing says more than the code.
            ("g", Medium, Nobody),
            ("h", Medium, Nobody),
            // A resolve is judged by what holds whatever its value, and mentions nobody.
            ("b", High, Nobody),
            ("f", Medium, Nobody),
        ]
    );
}

#[test]
fn a_rule_that_drops_small_values_swallows_no_end_of_an_incident() {
    let yaml = "rules: [{name: small, when: 'alert.value < 5.0 || !has(alert.value)', drop: too small}]";
    let levels: Levels = serde_saphyr::from_str(yaml).unwrap();
    let ports =
        script::run(&levels, "0:00 fire a value=3\n1:00 fire b\n2:00 fire c value=7\n3:00 resolve c value=0").told;
    assert_eq!(ports.iter().map(|(_, port, _)| *port).collect::<Vec<_>>(), ["dropped", "dropped", "alert", "alert"]);
}

#[test]
fn what_is_wrong_with_an_expression_is_told_with_its_rule_and_its_column() {
    let yaml = r#"
rules:
  - { name: a, when: 'alert.lables.code == "503"', level: high }
  - { name: b, when: 'alert.value > 1000.0 &&', level: high }
  - { name: c, when: 'alert.name == "X"', level: low, mention: here }
  - { name: d, when: [], level: high }
raises: [{ name: r, when: 'true', reason: always }]
"#;
    assert!(
        serde_saphyr::from_str::<Levels>(yaml).unwrap_err().to_string().contains("an expression in quotes, or a map")
    );
    let levels: Levels = serde_saphyr::from_str(&yaml.replace("  - { name: d, when: [], level: high }\n", "")).unwrap();
    assert_eq!(
        levels.problems(),
        [
            "rules[0].when: rule a: column 1: an alert has no field `lables`; did you mean `labels`?",
            "rules[1].when: rule b: column 24: the expression ends too early; something is missing here",
            "raises[0]: rule r: raises every alert: say when",
            "rules[2]: rule c: level low never mentions: raise the level or leave the mention out",
        ]
    );
}

#[test]
fn rules_that_are_covered_by_an_earlier_one_or_never_hold_are_warned_of() {
    let yaml = r#"
rules:
  - { name: broad, when: 'alert.name == "A" && alert.value > 5.0', level: high }
  - { name: narrow, when: 'alert.value > 7.0 && alert.name == "A"', level: critical }
  - { name: other, when: 'alert.name == "A"', level: critical }
  - { name: every, level: medium }
  - { name: late, when: 'alert.name == "B"', level: low }
raises: [{ name: r, when: 'repeats > 3 && repeats < 2', reason: never }]
"#;
    let levels: Levels = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(levels.problems(), Vec::<String>::new());
    assert_eq!(
        levels.warnings(),
        [
            "raises[0].when: rule r: it can never hold, for its tests exclude each other",
            "rules[1]: rule narrow: unreachable, rule broad before it takes all its alerts; move it up or remove it",
            "rules[4]: rule late: unreachable, rule every before it takes all its alerts; move it up or remove it",
        ]
    );
}

#[test]
fn a_mention_in_words_is_warned_of_and_says_which_rule() {
    let yaml = r#"
rules:
  - { name: a, when: 'alert.name == "X"', level: high, reason: 'look <!channel> at once' }
  - { name: '<@U1>', when: { alerts: [Y] }, drop: 'no <problem>' }
raises: [{ name: r, when: { repeats_at_least: 3 }, reason: '<!subteam^S1> look' }]
otherwise: { level: medium, reason: 'x <!here|here>' }
"#;
    let levels: Levels = serde_saphyr::from_str(yaml).unwrap();
    let mend = "in words wakes nobody; say `mention: owner|sre|here|channel`";
    assert_eq!(levels.problems(), Vec::<String>::new());
    assert_eq!(
        levels.warnings(),
        [
            format!("rules[0]: rule a: `<!channel>` {mend}"),
            format!("rules[1]: rule <@U1>: `<@U1>` {mend}"),
            format!("raises[0]: rule r: `<!subteam^S1>` {mend}"),
            format!("otherwise: `<!here|here>` {mend}"),
        ]
    );
}

/// The law of mentions over all that the function can be given.
#[test]
fn no_way_leads_from_low_or_from_a_resolve_to_a_mention() {
    use Mention::{Channel, Here, Nobody, Owner, Sre};
    let mut awake = 0;
    for level in [Level::Low, Level::Medium, Level::High, Level::Critical] {
        for ruled in [Nobody, Owner, Sre, Here, Channel] {
            for raised in [false, true] {
                assert_eq!(policy::mention(level, ruled, raised, AlertStatus::Resolved), Nobody);
                let firing = policy::mention(level, ruled, raised, AlertStatus::Firing);
                assert!(level > Level::Low || firing == Nobody);
                assert!(firing < Here || firing == ruled, "a raise wakes no whole channel");
                awake += u32::from(firing > Nobody);
            }
        }
    }
    // Above Low all but nobody, not raised.
    assert_eq!(awake, 3 * 9);
    // Five rules that level and what no rule holds for, each raised or not, firing or resolved. Of those that fire: sre and twice
    // owner, raised or not; twice medium that is raised; low never.
    assert_eq!(levels().mention_ways(), Ways { all: 6 * 2 * 2, waking: 3 * 2 + 2 });
}

#[test]
fn a_trace_tells_what_was_tried_and_comes_to_what_is_decided() {
    let Some((_, script::Line::Fact(Fact::Alert(alert)))) =
        script::lines("0:00 fire a name=Ingress5xx code=503 value=1100").pop()
    else {
        panic!("an alert")
    };
    for levels in [levels(), expressed()] {
        let trace = levels.trace(&State::default(), &alert, EventTime(0));
        let tried: Vec<_> = trace.rules.iter().map(|tried| (&*tried.name, tried.outcome)).collect();
        let expected = [("test-clusters", Ok(false)), ("ingress-503-flood", Ok(false)), ("ingress-503-many", Ok(true))];
        assert_eq!(tried, expected);
        assert_eq!(trace.raises.len(), 1);
        assert_eq!((trace.level, trace.mention, trace.repeats), (Some(Level::High), Mention::Owner, 1));
        let looked: Vec<_> = trace.rules[1].findings.iter().map(|finding| finding.outcome).collect();
        assert_eq!(looked, [Ok(true), Ok(true), Ok(false)]);
    }
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
        "rules[0]: rule a: level low never mentions",
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
        let by_expressions = script::run(&Levels { alerts_max: 2, ..expressed() }, &script);
        prop_assert_eq!(&first.told, &by_expressions.told);
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
