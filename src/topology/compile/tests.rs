//! What `check` says about wrong files: all of it, each in its place, with what to do.

use expect_test::{Expect, expect};
use serde::{Deserialize, Serialize};

use super::*;
use crate::event::{Fact, FactKind};
use crate::operator::{Operator, Port};
use crate::record::EventTime;

const STATE_SCHEMA: &str =
    r#"{"type": "record", "name": "Count", "namespace": "test", "fields": [{"name": "seen", "type": "long"}]}"#;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Count {
    seen: i64,
}

/// Any fact, for operators that do nothing.
struct Anything;

impl TryFrom<Fact<'_>> for Anything {
    type Error = FactKind;
    fn try_from(_: Fact<'_>) -> Result<Self, FactKind> {
        Ok(Self)
    }
}

macro_rules! silent_operator {
    ($name:ident, $kind:literal, $inputs:expr, $ports:expr, $config:tt, |$this:ident| $problems:expr) => {
        #[allow(dead_code, reason = "only their being read from YAML matters")]
        #[derive(Clone, Debug, Deserialize)]
        struct $name $config

        impl Operator for $name {
            const KIND: &'static str = $kind;
            const INPUTS: &'static [FactKind] = $inputs;
            const PORTS: &'static [(Port, FactKind)] = $ports;
            const STATE_SCHEMA: &'static str = STATE_SCHEMA;
            type Input<'a> = Anything;
            type Event = ();
            type State = Count;
            fn problems(&self) -> Vec<String> {
                let $this = self;
                $problems
            }
            fn decide(&self, _: &Count, _: &Anything, _: EventTime) -> Vec<()> {
                Vec::new()
            }
            fn evolve(state: Count, (): &()) -> Count {
                state
            }
            fn publish((): ()) -> Option<(Port, Fact<'static>)> {
                None
            }
        }
    };
}

#[expect(dead_code, reason = "only their being read from YAML matters")]
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    when: String,
    #[serde(default)]
    after_secs: u32,
}

silent_operator!(Level, "level", &[FactKind::Alert], &[("alert", FactKind::Alert)], {
    threshold: f64,
    #[serde(default)]
    rules: Vec<Rule>,
}, |this| {
    let wrong = this.rules.iter().enumerate().filter(|(_, rule)| rule.when.is_empty());
    wrong.map(|(index, _)| format!("rules[{index}].when: holds for nothing; name a label")).collect()
});

silent_operator!(
    Join,
    "join",
    &[FactKind::Alert, FactKind::Deploy],
    &[("incident", FactKind::Incident)],
    {},
    |_this| Vec::new()
);
silent_operator!(Notify, "notify", &[FactKind::Incident], &[("action", FactKind::SlackAction)], {}, |_this| Vec::new());
silent_operator!(Thread, "thread", &[FactKind::SlackAction], &[("alert", FactKind::Alert)], {}, |_this| Vec::new());

fn catalog() -> Vec<OperatorKind> {
    vec![
        OperatorKind::of::<Level>(),
        OperatorKind::of::<Join>(),
        OperatorKind::of::<Notify>(),
        OperatorKind::of::<Thread>(),
    ]
}

const APP: &str = "application: fairlead\n";

const TOPICS: &str = "\
topics:
  oncall.alerts.v1: { fact: alert, partitions: 4 }
  delivery.deploys.v1: { fact: deploy, partitions: 4, retention_ms: 1000, config: { max.message.bytes: 2000000 } }
  oncall.incidents.v1: { fact: incident, partitions: 8 }
  oncall.slack-actions.v1: { fact: slack_action, partitions: 4 }
";

const OPERATORS: &str = "\
operators:
  notify: { inputs: { incident: join.incident }, outputs: { action: oncall.slack-actions.v1 } }
  join:
    sub_topology: oncall
    inputs: { alert: strict.alert, deploy: delivery.deploys.v1 }
    outputs: { incident: oncall.incidents.v1 }
  strict: { kind: level, inputs: { alert: oncall.alerts.v1 }, config: { threshold: 5 } }
";

fn compiled(files: &[(&str, &str)]) -> Compiled {
    let file = |(name, text): &(&str, &str)| SourceFile { name: (*name).to_owned(), text: (*text).to_owned() };
    compile(&files.iter().map(file).collect::<Vec<_>>(), &catalog())
}

#[track_caller]
fn check(files: &[(&str, &str)], expected: Expect) {
    let compiled = compiled(files);
    let refused = compiled.problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(compiled.topology.is_none(), refused);
    let lines: Vec<String> = compiled.problems.iter().map(|problem| format!("{problem}\n")).collect();
    expected.assert_eq(&lines.concat());
}

/// As [`check`], with `oncall.yaml` alone being of interest.
#[track_caller]
fn check_operators(operators: &str, expected: Expect) {
    check(&[("app.yaml", APP), ("topics.yaml", TOPICS), ("oncall.yaml", operators)], expected);
}

#[test]
fn a_sound_topology_compiles_into_one_ordered_sub_topology_and_its_topics() {
    let compiled = compiled(&[("app.yaml", APP), ("topics.yaml", TOPICS), ("oncall.yaml", OPERATORS)]);
    assert_eq!(compiled.problems, []);
    let topology = compiled.topology.unwrap();
    let plan = &topology.sub_topologies["oncall"];
    assert_eq!(plan.nodes.iter().map(|node| &*node.name).collect::<Vec<_>>(), ["strict", "join", "notify"]);
    assert_eq!(plan.partitions, 4);
    assert_eq!(plan.sources[&Topic::from("oncall.alerts.v1")].stages, [0]);
    assert_eq!(plan.sources[&Topic::from("delivery.deploys.v1")].stages, [1]);
    assert_eq!(plan.nodes[0].routes["alert"], [Route::Stage(1)]);
    let incidents = Route::Topic(Topic::from("oncall.incidents.v1"));
    assert_eq!(plan.nodes[1].routes["incident"], [incidents, Route::Stage(2)]);
    let topics: Vec<_> = topology
        .topics
        .iter()
        .map(|(topic, planned)| format!("{topic} {} {:?}", planned.partitions, planned.config))
        .collect();
    expect![[r#"
        delivery.deploys.v1 4 {"max.message.bytes": "2000000", "retention.ms": "1000"}
        fairlead.dead-letters.v1 1 {"cleanup.policy": "delete", "retention.ms": "2592000000"}
        fairlead.join-changelog.v1 4 {"cleanup.policy": "compact"}
        fairlead.journal.v1 1 {"cleanup.policy": "delete", "retention.ms": "2592000000"}
        fairlead.notify-changelog.v1 4 {"cleanup.policy": "compact"}
        fairlead.strict-changelog.v1 4 {"cleanup.policy": "compact"}
        oncall.alerts.v1 4 {}
        oncall.incidents.v1 8 {}
        oncall.slack-actions.v1 4 {}"#]]
    .assert_eq(&topics.join("\n"));
    let (_, states) = topology.shipped_formats().unwrap();
    let first = plan.instantiate(&states).unwrap();
    let second = plan.instantiate(&states).unwrap();
    assert_eq!(first.nodes.len() + second.nodes.len(), 6);
    assert_eq!(plan.instantiate(&Default::default()).err(), Some("strict".to_owned()));
}

#[test]
fn the_fingerprint_follows_what_is_said_and_not_how() {
    let fingerprint = |files: &[(&str, &str)]| compiled(files).topology.unwrap().fingerprint;
    let one = fingerprint(&[("app.yaml", APP), ("topics.yaml", TOPICS), ("oncall.yaml", OPERATORS)]);
    let other_layout =
        OPERATORS.replace("config: { threshold: 5 } }", "\n    # a remark\n    \"config\": {threshold:   5,}}");
    assert_ne!(other_layout, OPERATORS);
    assert_eq!(one, fingerprint(&[("app.yaml", APP), ("topics.yaml", TOPICS), ("oncall.yaml", &other_layout)]));
    let other_order =
        [("a.yaml", OPERATORS), ("b.yaml", TOPICS), ("c.yaml", "engine: { workers: 7 }"), ("d.yaml", APP)];
    assert_eq!(one, fingerprint(&other_order));
    let changed = OPERATORS.replace("threshold: 5", "threshold: 6");
    assert_ne!(one, fingerprint(&[("app.yaml", APP), ("topics.yaml", TOPICS), ("oncall.yaml", &changed)]));
}

#[test]
fn names_that_are_unknown_are_told_with_what_may_have_been_meant() {
    check_operators(
        "\
operators:
  strict: { kind: levle, inputs: { alert: oncall.alerts.v1 } }
  level: { inputs: { alret: oncall.alerts.v1 }, config: { threshold: 5 } }
  join: { inputs: { alert: oncall.alert.v1, deploy: level.alrt }, outputs: { incidents: oncall.incidents.v1 } }
  notify: { inputs: { incident: elsewhere }, outputs: { action: oncall.slack-action.v1 }, config: { colour: red } }
  thread: { input: { slack_action: oncall.slack-actions.v1 } }
  half: { kind: join, inputs: { deploy: delivery.deploys.v1, incident: oncall.incidents.v1 } }
",
        expect![[r#"
            oncall.yaml:2:19: there is no operator of kind `levle`; did you mean `level`?
            oncall.yaml:3:22: `alret` is unknown; did you mean `alert`?
            oncall.yaml:4:28: `oncall.alert.v1` is neither a topic nor an `operator.port`; did you mean `oncall.alerts.v1`?
            oncall.yaml:4:78: an operator of kind `join` has no port `incidents`; did you mean `incident`?
            oncall.yaml:5:33: `elsewhere` is neither a topic nor an `operator.port`; known: delivery.deploys.v1, half.incident, join.incident, notify.action, oncall.alerts.v1, oncall.incidents.v1, oncall.slack-actions.v1
            oncall.yaml:5:65: there is no topic `oncall.slack-action.v1` under `topics`; did you mean `oncall.slack-actions.v1`?
            oncall.yaml:5:101: `colour` is unknown; there is nothing that could be named here
            oncall.yaml:6:11: `inputs` is missing; add it
            oncall.yaml:6:13: `input` is unknown; did you mean `inputs`?
            oncall.yaml:7:3: nothing feeds the input `alert` of `half`; name a topic or `operator.port` under `inputs`
            oncall.yaml:7:72: `half` (kind `join`) reads no `incident`; it reads `alert`, `deploy`
        "#]],
    );
}

#[test]
fn every_wrong_value_of_a_file_is_told_at_once() {
    check(
        &[
            (
                "app.yaml",
                "application: Fair_Lead\nengine: { workers: none, commit_interval_ms: 0, batch_bytes: 1 }\nhttp: { listen: 8080 }\nkafka:\n  properties: { sasl.password: hush, ssl.ca.location: '${home}/ca' }\nhtpp: {}\n",
            ),
            (
                "topics.yaml",
                "topics:\n  oncall.alerts.v1: { fact: alarm, partitions: many, retention: 5 }\n  oncall.deploys.v1: { fact: deploy, partitions: 0, config: { cleanup.policy: compact } }\n",
            ),
            (
                "level.yaml",
                "operators:\n  level:\n    inputs: { alert: oncall.alerts.v1 }\n    config:\n      threshold: high\n      rules:\n        - { when: x, after_secs: -1 }\n        - { wehn: y }\n        - { when: z, after_secs: soon }\n",
            ),
        ],
        expect![[r#"
            app.yaml:1:14: `Fair_Lead` is no name for an application; begin with a lower-case letter and go on with these, digits and `-`
            app.yaml:2:20: expected a whole number, not negative, found `none`
            app.yaml:2:46: engine.commit_interval_ms: must be at least 1
            app.yaml:2:49: `batch_bytes` is unknown; known: batch_bytes_max, commit_interval_ms, dead_letter_retention_ms, instance, journal_retention_ms, memory_bytes_max, state_dir, workers
            app.yaml:3:17: http.listen: `8080` is no address; write an IP address and a port: 127.0.0.1:8080
            app.yaml:5:32: kafka.properties.sasl.password: a secret must not stand in a file; write `${env:NAME}` or `${file:PATH}`
            app.yaml:5:55: `${home}` refers to nothing; write `${env:NAME}` or `${file:PATH}`
            app.yaml:6:1: `htpp` is unknown; did you mean `http`?
            level.yaml:5:18: expected a number, found `high`
            level.yaml:7:34: expected a whole number, not negative, found `-1`
            level.yaml:8:11: `when` is missing; add it
            level.yaml:8:13: `wehn` is unknown; did you mean `when`?
            level.yaml:9:34: expected a whole number, not negative, found `soon`
            topics.yaml:2:29: `alarm` is unknown; known: action_run, alert, audit, cause, deploy, group_offset, incident, mirror_range, payload, response, rotation, sample, silence, slack_action, slack_outcome
            topics.yaml:2:48: expected a whole number, found `many`
            topics.yaml:2:54: `retention` is unknown; did you mean `retention_ms`?
            topics.yaml:3:50: a topic has 1 to 1024 partitions, not 0
            topics.yaml:3:63: `cleanup.policy` has an option of its own; write `cleanup:`
        "#]],
    );
}

#[test]
fn what_the_operator_itself_refuses_is_told_at_its_place() {
    check_operators(
        "\
operators:
  level:
    inputs: { alert: oncall.alerts.v1 }
    outputs: { alert: ~ }
    config:
      threshold: 5
      rules:
        - when: a
        - when: ''
",
        expect![[r#"
            oncall.yaml:9:17: rules[1].when: holds for nothing; name a label
        "#]],
    );
}

#[test]
fn facts_keys_and_partitions_must_fit() {
    check_operators(
        "\
operators:
  level: { inputs: { alert: delivery.deploys.v1 }, outputs: { alert: oncall.incidents.v1 }, config: { threshold: 5 } }
  notify: { inputs: { incident: oncall.incidents.v1 }, outputs: { action: ~ } }
  again: { kind: notify, inputs: { incident: join.incident }, outputs: { action: ~ } }
  thread: { inputs: { slack_action: notify.action }, outputs: { alert: ~ } }
  join: { inputs: { alert: thread.alert, deploy: delivery.deploys.v1 }, sub_topology: all }
",
        expect![[r#"
            oncall.yaml:2:29: `delivery.deploys.v1` carries `deploy`, but the input of `level` is `alert`
            oncall.yaml:2:70: port `alert` of `level` says `alert`, but `oncall.incidents.v1` carries `incident`
            oncall.yaml:5:37: `slack_action` is keyed by incident, but `incident` by service; facts that meet in one sub-topology must have the same key, so let it go through a topic of its own
            oncall.yaml:6:50: `delivery.deploys.v1` has 4 partitions, but `oncall.incidents.v1`, which is read together with it, has 8; give both the same number, or the same key lies in partitions of different tasks
        "#]],
    );
    check(
        &[
            ("app.yaml", APP),
            (
                "topics.yaml",
                "topics:\n  oncall.alerts.v1: { fact: alert, partitions: 4 }\n  delivery.deploys.v1: { fact: deploy, partitions: 6 }\n",
            ),
            (
                "oncall.yaml",
                "operators:\n  join: { inputs: { alert: oncall.alerts.v1, deploy: delivery.deploys.v1 }, outputs: { incident: ~ } }\n",
            ),
        ],
        expect![[r#"
            oncall.yaml:2:54: `delivery.deploys.v1` has 6 partitions, but `oncall.alerts.v1`, which is read together with it, has 4; give both the same number, or the same key lies in partitions of different tasks
        "#]],
    );
}

#[test]
fn sub_topologies_are_named_by_people_as_soon_as_they_are_several_operators() {
    check_operators(
        "\
operators:
  level: { inputs: { alert: oncall.alerts.v1 }, config: { threshold: 5 } }
  join: { inputs: { alert: level.alert, deploy: delivery.deploys.v1 }, outputs: { incident: oncall.incidents.v1 } }
  notify: { inputs: { incident: oncall.incidents.v1 }, outputs: { action: ~ } }
  thread: { inputs: { slack_action: oncall.slack-actions.v1 }, outputs: { alert: ~ }, sub_topology: notify }
",
        expect![[r#"
            oncall.yaml:2:3: `level`, `join` are fused, for they are joined by ports or read the same topic; give them a name by `sub_topology:` at one of them, which stays the same when more are added
            oncall.yaml:5:101: `thread` and `notify` are not joined, but are both in the sub-topology `notify`; name them apart
        "#]],
    );
    check_operators(
        "\
operators:
  level: { inputs: { alert: oncall.alerts.v1 }, config: { threshold: 5 }, sub_topology: oncall }
  join: { inputs: { alert: level.alert, deploy: delivery.deploys.v1 }, outputs: { incident: ~ }, sub_topology: On_Call }
",
        expect![[r#"
            oncall.yaml:3:112: `On_Call` is also named `oncall` (at oncall.yaml:2:89), but `level`, `join` are fused; choose one
            oncall.yaml:3:112: `On_Call` is no name for a sub-topology; begin with a lower-case letter and go on with these, digits and `-`
        "#]],
    );
}

#[test]
fn cycles_are_refused_inside_a_sub_topology_and_told_through_topics() {
    check_operators(
        "\
operators:
  one: { kind: level, inputs: { alert: two.alert }, config: { threshold: 5 }, sub_topology: x }
  two: { kind: level, inputs: { alert: one.alert }, config: { threshold: 5 } }
",
        expect![[r#"
            oncall.yaml:2:3: `one`, `two` wait for what they say themselves; let it go through a topic
        "#]],
    );
    check_operators(
        "\
operators:
  loud: { kind: level, inputs: { alert: oncall.alerts.v1 }, outputs: { alert: oncall.alerts.v1 }, config: { threshold: 5 } }
  notify: { inputs: { incident: oncall.incidents.v1 }, outputs: { action: oncall.slack-actions.v1 } }
  thread: { inputs: { slack_action: oncall.slack-actions.v1 } }
",
        expect![[r#"
            oncall.yaml:2:3: warning: `loud` feeds itself through topics; make sure that this comes to rest
            oncall.yaml:4:3: warning: port `alert` of `thread` leads nowhere; name a topic under `outputs`, or write `alert: null` if it is only to be counted
            topics.yaml:3:3: warning: nothing reads or writes `delivery.deploys.v1`; take it out, or name it where it is to be used
        "#]],
    );
}

#[test]
fn a_name_is_defined_once_over_all_files_and_sections_hold_topics_that_fit() {
    check(
        &[
            (
                "app.yaml",
                "application: fairlead\nslack: { actions: oncall.slack-actions.v1, outcomes: oncall.outcomes.v1, token: xoxb }\n",
            ),
            (
                "ops.yaml",
                "application: other\ntopics:\n  oncall.alerts.v1: { fact: alert, partitions: 1 }\n  oncall.alerts.v1: { fact: alert, partitions: 2 }\n  oncall.outcomes.v1: { fact: slack_outcome, partitions: 2 }\n",
            ),
            ("topics.yaml", TOPICS),
            ("more.yaml", "topics: [a]\n"),
            ("list.yaml", "- a\n"),
            ("empty.yaml", "# nothing\n"),
        ],
        expect![[r#"
            app.yaml:2:54: `oncall.outcomes.v1` has 2 partitions, but `oncall.slack-actions.v1`, which is read together with it, has 4; give both the same number, or the same key lies in partitions of different tasks
            app.yaml:2:81: slack.token: a secret must not stand in a file; write `${env:NAME}` or `${file:PATH}`
            list.yaml:1:1: a topology file is a mapping of sections; begin with one
            more.yaml:1:1: `topics` is defined twice; the first is at ops.yaml:2:1
            ops.yaml:1:1: `application` is defined twice; the first is at app.yaml:1:1
            ops.yaml:4:3: `oncall.alerts.v1` is defined twice; the first is in line 3
            topics.yaml:2:3: `oncall.alerts.v1` is defined twice; the first is at ops.yaml:3:3
        "#]],
    );
}

#[test]
fn topics_follow_the_rule_of_names_and_are_used() {
    check(
        &[
            ("app.yaml", APP),
            (
                "topics.yaml",
                "topics:\n  Alerts_Of_Old: { fact: alert, partitions: 1 }\n  fairlead.journal.v1: { fact: alert, partitions: 1 }\n  oncall levels: { fact: alert, partitions: 1 }\n  levelled.v1: { fact: alert, partitions: 1 }\n",
            ),
            (
                "oncall.yaml",
                "operators:\n  level: { inputs: { alert: Alerts_Of_Old }, outputs: { alert: levelled.v1 }, config: { threshold: 5 } }\n",
            ),
        ],
        expect![[r#"
            topics.yaml:3:3: `fairlead.journal.v1` is the name of a topic of fairlead's own; choose another
            topics.yaml:4:3: `oncall levels` is no legal name for a topic; use letters, digits, `.`, `_`, `-`, at most 249 of them
            topics.yaml:5:3: `levelled.v1` does not follow the rule `<domain>.<name>.v<N>`, such as `oncall.alerts.v1`; rename it
        "#]],
    );
    check(
        &[
            ("app.yaml", APP),
            ("topics.yaml", "topics:\n  Alerts_Of_Old: { fact: alert, partitions: 1 }\n"),
            (
                "oncall.yaml",
                "operators:\n  level: { inputs: { alert: Alerts_Of_Old }, outputs: { alert: ~ }, config: { threshold: 5 } }\n",
            ),
        ],
        expect![[r#"
            topics.yaml:2:3: warning: `Alerts_Of_Old` does not follow the rule `<domain>.<name>.v<N>`, such as `oncall.alerts.v1`; others write it, so it is only told
        "#]],
    );
}

#[test]
fn the_topology_that_ships_has_no_problem() {
    let ship = [
        ("app.yaml", include_str!("../../../topology/app.yaml")),
        ("oncall.yaml", include_str!("../../../topology/oncall.yaml")),
        ("topics.yaml", include_str!("../../../topology/topics.yaml")),
    ];
    let files = ship.map(|(name, text)| SourceFile { name: name.to_owned(), text: text.to_owned() });
    let Compiled { topology, problems } = compile(&files, &super::super::catalog::catalog());
    assert_eq!(problems, []);
    assert!(topology.is_some());
}

/// The operators that ship, with what a shared section and an expression may have wrong.
#[test]
fn sections_that_operators_share_and_expressions_are_told_at_their_places() {
    let oncall = "\
operators:
  level:
    inputs: { alert: oncall.alerts.v1 }
    outputs: { alert: ~, dropped: ~ }
    config:
      rules:
        - name: a
          when: 'alert.labels.code == 503'
          level: high
  notify:
    inputs: { incident: oncall.incidents.v1 }
    outputs: { action: oncall.slack-actions.v1 }
    config: { channels: { default: '#a' }, mentions: { sre: S1 } }
";
    let check = |oncall: &str, catalogue: &str, expected: Expect| {
        let files = [("app.yaml", APP), ("topics.yaml", TOPICS), ("oncall.yaml", oncall), ("services.yaml", catalogue)];
        let file = |(name, text): (&str, &str)| SourceFile { name: name.to_owned(), text: text.to_owned() };
        let compiled = compile(&files.map(file), &super::super::catalog::catalog());
        let lines: Vec<String> = compiled.problems.iter().map(|problem| format!("{problem}\n")).collect();
        expected.assert_eq(&lines.concat());
        compiled.topology
    };
    check(
        oncall,
        "services:\n  checkout: { owner: payments }\n  search: { ownr: S2 }\n",
        expect![[r#"
            oncall.yaml:8:17: rules[0].when: rule a: column 1: `alert.labels.code` is text, but `503` is a whole number; write "503", or double(…) of the text
            services.yaml:3:13: `ownr` is unknown; did you mean `owner`?
        "#]],
    );
    check(
        &oncall.replace(
            "          when: 'alert.labels.code == 503'\n",
            "          when: { alrets: [A], value_above: much }\n          level: high\n        - name: b\n          when: [A]\n",
        ),
        "services: ~\n",
        expect![[r#"
            oncall.yaml:8:19: `alrets` is unknown; did you mean `alerts`?
            oncall.yaml:8:45: expected a number, found `much`
            oncall.yaml:11:17: expected an expression in quotes, or a mapping of what is asked, found a list
        "#]],
    );
    let mended = oncall.replace("== 503", "== \"503\"");
    let own = mended.replace("sre: S1 } }", "sre: S1 }, services: {} }");
    check(
        &own,
        "services:\n  checkout: { owner: payments }\n",
        expect![[r#"
            oncall.yaml:13:67: `services` is a section of its own; write it at the left, beside `operators`
            services.yaml:2:22: services.checkout.owner: `payments` is no Slack id and no team; say what it is called in Slack under `mentions.teams`
        "#]],
    );
    let covered = mended.replace(
        "          level: high\n",
        "          level: high\n        - { name: b, when: 'alert.labels.code == \"503\" && repeats > 2', level: low }\n",
    );
    let topology = check(
        &covered,
        "services:\n  checkout: { owner: S2 }\n",
        expect![[r#"
            oncall.yaml:10:11: warning: rules[1]: rule b: unreachable, rule a before it takes all its alerts; move it up or remove it
            topics.yaml:3:3: warning: nothing reads or writes `delivery.deploys.v1`; take it out, or name it where it is to be used
        "#]],
    );
    let notify = topology.unwrap();
    let notify = notify.node("notify").unwrap();
    assert_eq!(notify.config["services"]["checkout"]["owner"], "S2");
}
