//! Plans of clusters that are written out, and the law that a plan which was carried out leaves nothing to do.

use proptest::prelude::*;

use super::*;
use crate::mirror::rename::Rename;

fn mirror(yaml: &str) -> Mirror {
    serde_json::from_str(yaml).unwrap()
}

fn plain() -> Mirror {
    mirror(r#"{"from": "old", "topics": [{"pattern": "(.*)", "to": "new.$1"}], "shards": 2}"#)
}

fn topic(ends: &[(i64, i64)], configs: &[(&str, &str)]) -> Topic {
    let defaults = [("max.message.bytes", "1048588"), ("cleanup.policy", "delete"), ("retention.ms", "604800000")];
    let default = |(name, value): (&str, &str)| (name.to_owned(), Config { value: Some(value.to_owned()), own: false });
    let mut all: BTreeMap<_, _> = defaults.into_iter().map(default).collect();
    all.extend(
        configs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Config { value: Some((*value).to_owned()), own: true })),
    );
    let partitions = ends.iter().map(|(start, end)| Ends { start: *start, end: *end, settled: *end }).collect();
    Topic { id: Some("id".into()), partitions, replication: 3, configs: all, has_records: false }
}

fn with_facts(mut observed: Observed) -> Observed {
    let kept = [("cleanup.policy", "delete"), ("retention.bytes", "-1"), ("retention.ms", "-1")];
    observed.target.insert("migration.mirror-offsets.v1".into(), topic(&[(0, 0), (0, 0)], &kept));
    observed
}

fn seen(source: &[(&str, Topic)], target: &[(&str, Topic)]) -> Observed {
    let named =
        |topics: &[(&str, Topic)]| topics.iter().map(|(name, topic)| ((*name).to_owned(), topic.clone())).collect();
    with_facts(Observed { source: named(source), target: named(target), ..Observed::default() })
}

fn copied(observed: &mut Observed, source: &str, partition: i32, to: i64, target_end: i64) {
    let frontier = Frontier {
        source_id: Some("id".into()),
        source_end: to,
        target_topic: format!("new.{source}"),
        target_partition: partition,
        target_end,
    };
    observed.frontiers.entry(source.into()).or_default().insert(partition, frontier);
    observed.writers.entry(format!("new.{source}")).or_default().insert("flow".into());
}

fn planned(mirror: &Mirror, observed: &Observed) -> Plan {
    planned_with(mirror, observed, &[], None)
}

fn planned_with(mirror: &Mirror, observed: &Observed, opposite: &[Renames], replication: Option<i16>) -> Plan {
    let renames = Renames::of(mirror).unwrap();
    let own = |name: &str| name.starts_with("migration.");
    plan(&Flow { name: "flow", mirror, renames: &renames, replication, own: &own, opposite }, observed)
}

fn map(configs: &[(&str, &str)]) -> BTreeMap<String, String> {
    configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What Kafka would do.
fn carry_out(step: &Step, observed: &mut Observed) {
    match step {
        Step::Create { topic: name, partitions, configs, .. } => {
            assert!(!observed.target.contains_key(name), "{name} is there");
            let own: Vec<_> = configs.iter().map(|(name, value)| (&**name, &**value)).collect();
            observed.target.insert(name.clone(), topic(&vec![(0, 0); usize::try_from(*partitions).unwrap()], &own));
        }
        Step::Grow { topic, from, to } => {
            let topic = observed.target.get_mut(topic).unwrap();
            assert_eq!(topic.partitions.len(), usize::try_from(*from).unwrap());
            topic.partitions.resize(usize::try_from(*to).unwrap(), Ends::default());
        }
        Step::Alter { topic: name, configs, .. } => {
            let defaults = topic(&[], &[]).configs;
            let topic = observed.target.get_mut(name).unwrap();
            for (name, value) in configs {
                match (value, defaults.get(name)) {
                    (Some(value), _) => {
                        topic.configs.insert(name.clone(), Config { value: Some(value.clone()), own: true });
                    }
                    (None, Some(default)) => _ = topic.configs.insert(name.clone(), default.clone()),
                    (None, None) => _ = topic.configs.remove(name),
                }
            }
        }
        Step::Allow { rule } => observed.target_rules.get_or_insert_default().push(rule.clone()),
    }
}

#[test]
fn a_copy_has_its_sources_partitions_and_own_configuration_and_keeps_old_records() {
    let compacted =
        [("cleanup.policy", "compact"), ("segment.ms", "1000"), ("message.timestamp.type", "LogAppendTime")];
    let left = ("leader.replication.throttled.replicas", "0:1");
    let gone = ("message.format.version", "2.8");
    let observed =
        seen(&[("a", topic(&[(0, 5), (0, 0)], &[compacted[0], compacted[1], compacted[2], left, gone]))], &[]);
    let plan = planned_with(&plain(), &observed, &[], Some(3));
    assert_eq!((plan.problems, plan.warnings), (vec![], vec![]));
    let configs = map(&[
        ("cleanup.policy", "delete"),
        ("max.message.bytes", "1048588"),
        ("message.timestamp.type", "CreateTime"),
        ("retention.bytes", "-1"),
        ("retention.ms", "-1"),
        ("segment.ms", "1000"),
    ]);
    let create =
        Step::Create { topic: "new.a".into(), partitions: 2, replication: Some(3), configs, why: "copy of `a`".into() };
    assert_eq!(plan.steps, [create]);
    let compact = Some("compact".to_owned());
    let waits: BTreeMap<_, _> = [("cleanup.policy", compact), ("retention.bytes", None), ("retention.ms", None)]
        .map(|(n, v)| (n.to_owned(), v))
        .into();
    assert_eq!(plan.held["new.a"], waits);
}

#[test]
fn what_is_held_back_is_put_in_force_once_when_the_copies_have_caught_up_and_stays_so() {
    let mirror = plain();
    let source = topic(&[(0, 5)], &[("retention.ms", "1000"), ("cleanup.policy", "compact,delete")]);
    let mut observed = seen(&[("a", source)], &[]);
    for step in planned(&mirror, &observed).steps {
        carry_out(&step, &mut observed);
    }
    observed.target.get_mut("new.a").unwrap().partitions[0].end = 4;
    copied(&mut observed, "a", 0, 4, 4);
    let waiting = planned(&mirror, &observed);
    assert_eq!((waiting.steps.len(), waiting.held["new.a"]["retention.ms"].as_deref()), (0, Some("1000")));
    observed.target.get_mut("new.a").unwrap().partitions[0].end = 5;
    copied(&mut observed, "a", 0, 5, 5);
    let released = planned(&mirror, &observed);
    let [Step::Alter { why: Why::CaughtUp, configs, .. }] = &released.steps[..] else { panic!("{released:?}") };
    assert_eq!(configs["cleanup.policy"].as_deref(), Some("compact,delete"));
    assert_eq!((configs["retention.ms"].as_deref(), &configs["retention.bytes"]), (Some("1000"), &None));
    // The process died before the call, or just after it: the same again, or nothing.
    assert_eq!(planned(&mirror, &observed), released);
    carry_out(&released.steps[0], &mut observed);
    assert_eq!(planned(&mirror, &observed).steps, []);
    // It falls behind later.
    observed.source.get_mut("a").unwrap().partitions[0] = Ends { start: 0, end: 900, settled: 800 };
    assert_eq!((planned(&mirror, &observed).steps, planned(&mirror, &observed).held.len()), (vec![], 0));
}

#[test]
fn a_flow_keeps_up_if_it_has_what_was_there_at_an_earlier_look() {
    let mut observed = seen(&[("a", topic(&[(0, 9)], &[("retention.ms", "1000")]))], &[]);
    copied(&mut observed, "a", 0, 7, 7);
    observed.source.get_mut("a").unwrap().partitions[0].settled = 7;
    let keeps = [("retention.ms", "-1"), ("retention.bytes", "-1"), ("message.timestamp.type", "CreateTime")];
    observed.target.insert("new.a".into(), topic(&[(0, 7)], &keeps));
    assert!(matches!(planned(&plain(), &observed).steps[..], [Step::Alter { why: Why::CaughtUp, .. }]));
    observed.source.get_mut("a").unwrap().partitions[0].settled = 8;
    assert_eq!(planned(&plain(), &observed).steps, []);
}

#[test]
fn a_topic_that_was_prepared_is_taken_and_its_retention_held_back_before_the_first_copy() {
    let prepared = topic(&[(0, 0)], &[("retention.ms", "1000"), ("message.timestamp.type", "CreateTime")]);
    let source = topic(&[(0, 9)], &[("retention.ms", "1000")]);
    let plan = planned(&plain(), &seen(&[("a", source)], &[("new.a", prepared)]));
    let [Step::Alter { why: Why::HoldsBack, configs, .. }] = &plan.steps[..] else { panic!("{plan:?}") };
    assert_eq!(configs["retention.ms"].as_deref(), Some("-1"));
}

#[test]
fn partitions_grow_with_a_word_on_keys_and_are_never_taken_away() {
    let more = seen(&[("a", topic(&[(0, 0); 4], &[]))], &[("new.a", topic(&[(0, 0); 2], &[]))]);
    let plan = planned(&plain(), &more);
    assert_eq!(plan.steps[0], Step::Grow { topic: "new.a".into(), from: 2, to: 4 });
    assert!(plan.warnings[0].message.contains("records of one key lie in two partitions"), "{plan:?}");
    let fewer = seen(&[("a", topic(&[(0, 0); 2], &[]))], &[("new.a", topic(&[(0, 0); 4], &[]))]);
    let plan = planned(&plain(), &fewer);
    assert!(!plan.steps.iter().any(|step| matches!(step, Step::Grow { .. })) && plan.warnings.len() == 1);
}

#[test]
fn the_policy_says_what_is_copied_left_and_set() {
    let configs =
        [("segment.ms", "1"), ("segment.bytes", "2"), ("compression.type", "gzip"), ("remote.storage.enable", "true")];
    let source = seen(&[("a", topic(&[(0, 0)], &configs))], &[]);
    let named = |config: &str| {
        let mirror = mirror(&format!(
            r#"{{"from": "old", "topics": [{{"topic": "a", "to": "b"}}], "shards": 2, "config": {config}}}"#
        ));
        let plan = planned(&mirror, &source);
        let [Step::Create { configs, .. }] = &plan.steps[..] else { panic!("{plan:?}") };
        configs
            .keys()
            .filter(|name| !name.starts_with("m"))
            .map(|name| format!("{name}={}", configs[name]))
            .collect::<Vec<_>>()
    };
    assert_eq!(named("{}"), ["compression.type=gzip", "segment.bytes=2", "segment.ms=1"]);
    assert_eq!(
        named(r#"{"copy": ["segment.ms", "remote.storage.enable"]}"#),
        ["remote.storage.enable=true", "segment.ms=1"]
    );
    assert_eq!(named(r#"{"leave": ["segment.ms"]}"#), ["compression.type=gzip", "segment.bytes=2"]);
    assert_eq!(named(r#"{"copy": [], "set": {"retention.ms": "-1"}}"#), ["retention.ms=-1"]);
}

#[test]
fn a_bound_on_sizes_is_never_below_the_sources_and_too_few_replicas_are_told() {
    let large = topic(&[(0, 0)], &[("max.message.bytes", "5000000"), ("min.insync.replicas", "2")]);
    let mut target = topic(&[(0, 0)], &[("max.message.bytes", "9000000"), ("min.insync.replicas", "2")]);
    target.configs.insert("message.timestamp.type".into(), Config { value: Some("CreateTime".into()), own: true });
    let enough = seen(&[("a", large.clone())], &[("new.a", target.clone())]);
    assert_eq!(planned(&plain(), &enough).steps, []);
    target.configs.insert("max.message.bytes".into(), Config { value: Some("1048588".into()), own: false });
    let small = planned(&plain(), &seen(&[("a", large.clone())], &[("new.a", target)]));
    assert!(
        matches!(&small.steps[..], [Step::Alter { configs, .. }] if configs["max.message.bytes"].as_deref() == Some("5000000"))
    );
    let alone = planned_with(&plain(), &seen(&[("a", large)], &[]), &[], Some(1));
    assert_eq!((alone.steps, alone.pairs), (vec![], vec![]));
    assert!(alone.problems[0].message.starts_with("min.insync.replicas=2 would be copied to a topic of 1 replicas"));
}

/// One thing is wrong with what was copied: the topic is told, and neither touched nor copied.
fn refused(change: impl Fn(&mut Observed), said: &str) {
    let mut observed =
        seen(&[("a", topic(&[(0, 9)], &[])), ("b", topic(&[(0, 0)], &[]))], &[("new.a", topic(&[(0, 9)], &[]))]);
    copied(&mut observed, "a", 0, 9, 9);
    assert_eq!(planned(&plain(), &observed).problems, []);
    change(&mut observed);
    let plan = planned(&plain(), &observed);
    assert_eq!(plan.problems.len(), 1, "{plan:?}");
    assert!(plan.problems[0].message.contains(said), "{plan:?}\n{said}");
    assert_eq!(plan.pairs.iter().map(|pair| &*pair.source).collect::<Vec<_>>(), ["b"]);
    assert!(!plan.steps.iter().any(|step| step.to_string().contains("new.a")), "{plan:?}");
}

#[test]
fn whatever_no_longer_fits_what_was_copied_is_told_with_the_mend() {
    refused(|seen| seen.source.get_mut("a").unwrap().id = Some("other".into()), "created anew (id id, now other)");
    refused(|seen| seen.source.get_mut("a").unwrap().partitions[0].end = 8, "ends at offset 8 and was copied up to 9");
    refused(
        |seen| seen.source.get_mut("a").unwrap().partitions[0] = Ends { start: 11, end: 12, settled: 12 },
        "partition 0 of `a` held from offset 9 to 10: it was deleted before it was copied",
    );
    refused(|seen| copied(seen, "a", 1, 5, 5), "partition 1 of `a` was copied up to offset 5, and is gone");
    refused(|seen| _ = seen.target.remove("new.a"), "it was deleted on the target");
    refused(|seen| seen.target.get_mut("new.a").unwrap().partitions[0].end = 7, "but that ends at 7");
    refused(
        |seen| seen.frontiers.get_mut("a").unwrap().get_mut(&0).unwrap().target_topic = "former".into(),
        "it was copied to `former` so far",
    );
    refused(
        |seen| _ = seen.writers.get_mut("new.a").unwrap().insert("second".into()),
        "`new.a` is where the mirror `second` copies to",
    );
    refused(
        |seen| {
            seen.frontiers.clear();
            seen.target.get_mut("new.a").unwrap().has_records = true;
        },
        "holds records on the target that this mirror did not write",
    );
}

#[test]
fn the_origin_that_is_copied_back_to_holds_records_and_keeps_its_configuration() {
    let mirror = mirror(r#"{"from": "new", "to": "old", "shards": 2, "topics": [{"topic": "new.a", "to": "a"}]}"#);
    let mut origin = topic(&[(0, 9)], &[("retention.ms", "5")]);
    origin.has_records = true;
    let observed = seen(&[("new.a", topic(&[(0, 9)], &[]))], &[("a", origin)]);
    assert_eq!(planned(&mirror, &observed).problems.len(), 1);
    let there = [Renames::new(&[Rename::Topic { topic: "a".into(), to: "new.a".into() }], &[], None).unwrap()];
    let plan = planned_with(&mirror, &observed, &there, None);
    assert_eq!((plan.problems, plan.steps), (vec![], vec![]));
}

#[test]
fn the_topic_of_ranges_has_a_partition_a_shard_and_keeps_everything() {
    let plan = planned(&plain(), &Observed::default());
    let kept = map(&[("cleanup.policy", "delete"), ("retention.bytes", "-1"), ("retention.ms", "-1")]);
    assert!(matches!(&plan.steps[..], [Step::Create { topic, partitions: 2, configs, .. }]
        if topic == "migration.mirror-offsets.v1" && *configs == kept));
    let mut observed = Observed::default();
    observed.target.insert("migration.mirror-offsets.v1".into(), topic(&[(0, 0); 3], &[("cleanup.policy", "compact")]));
    let plan = planned(&plain(), &observed);
    assert!(plan.is_stopped() && plan.problems[0].message.contains("has 3 partitions on the target"));
    assert!(
        matches!(&plan.steps[..], [Step::Alter { configs, .. }] if configs["cleanup.policy"].as_deref() == Some("delete"))
    );
}

#[test]
fn merged_topics_share_a_copy_with_the_most_partitions() {
    let mirror =
        mirror(r#"{"from": "old", "merge": true, "shards": 2, "topics": [{"pattern": "log-.*", "to": "logs"}]}"#);
    let observed = seen(&[("log-a", topic(&[(0, 0)], &[])), ("log-b", topic(&[(0, 0); 3], &[]))], &[]);
    let plan = planned(&mirror, &observed);
    assert!(matches!(&plan.steps[..], [Step::Create { topic, partitions: 3, .. }] if topic == "logs"));
    assert_eq!((plan.pairs.len(), plan.problems.len()), (2, 0));
}

#[test]
fn a_plan_is_told_as_a_table_and_as_calls() {
    let mut observed = seen(&[("a", topic(&[(0, 5)], &[]))], &[]);
    let mut mirror = plain();
    mirror.acls = true;
    let rule = |resource: &str, name: &str| access::Rule {
        resource: resource.into(),
        pattern: "LITERAL".into(),
        name: name.into(),
        principal: "User:a".into(),
        host: "*".into(),
        operation: "READ".into(),
        permission: "ALLOW".into(),
    };
    observed.source_rules = Some(vec![rule("TOPIC", "a"), rule("TOPIC", "zzz"), rule("GROUP", "g")]);
    observed.target_rules = Some(vec![rule("GROUP", "g")]);
    let plan = planned(&mirror, &observed);
    let text = plan.text("old", "new");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "flow: 1 topic from old to new");
    assert!(lines[1].starts_with("  create  new.a: 1 partitions, max.message.bytes=1048588, "), "{text}");
    assert_eq!(lines[2], "  allow   ALLOW READ to User:a from * on TOPIC new.a (LITERAL)");
    assert!(lines[3].starts_with("  later   new.a: retention.bytes as the cluster has it, "), "{text}");
    assert!(lines[4].contains("on TOPIC zzz (LITERAL): its topic is not copied"), "{text}");
    let json = plan.json("old", "new");
    assert_eq!(
        (&json["calls"][0]["call"], &json["calls"][0]["replication_factor"]),
        (&"CreateTopics".into(), &(-1).into())
    );
    assert_eq!(json["calls"][1]["rule"]["name"], "new.a");
    assert_eq!(json["topics"][0]["target"], "new.a");
}

fn any_topic() -> impl Strategy<Value = Topic> {
    let config = prop_oneof![
        Just(("retention.ms", "1000")),
        Just(("retention.ms", "-1")),
        Just(("cleanup.policy", "compact")),
        Just(("cleanup.policy", "delete")),
        Just(("max.message.bytes", "77")),
        Just(("max.message.bytes", "9999999")),
        Just(("segment.ms", "9")),
        Just(("message.timestamp.type", "LogAppendTime")),
    ];
    let ends = (0_i64..3, 0_i64..3, 0_i64..3).prop_map(|(start, more, fewer)| (start, start + more, fewer));
    (proptest::collection::vec(ends, 1..4), proptest::collection::vec(config, 0..4), any::<bool>()).prop_map(
        |(ends, configs, has_records)| {
            let pairs: Vec<_> = ends.iter().map(|(start, end, _)| (*start, *end)).collect();
            let mut topic = topic(&pairs, &configs);
            topic.partitions.iter_mut().zip(&ends).for_each(|(partition, ends)| partition.settled -= ends.2);
            Topic { has_records, ..topic }
        },
    )
}

proptest! {
    /// Carried out in part (the process died) and planned again, or carried out whole: at last there is nothing to do, and no step
    /// was taken that Kafka would refuse.
    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(
        source in proptest::collection::btree_map("[ab]{1,2}", any_topic(), 0..4),
        target in proptest::collection::btree_map("new\\.[ab]{1,2}", any_topic(), 0..4),
        frontiers in proptest::collection::btree_map("[ab]{1,2}", 0_i64..6, 0..4),
        dies_after in 0_usize..6,
    ) {
        let mut observed = Observed { source, target, ..Observed::default() };
        for (topic, end) in frontiers {
            copied(&mut observed, &topic, 0, end, 0);
        }
        let first = planned(&plain(), &observed);
        prop_assert_eq!(&first, &planned(&plain(), &observed));
        for step in first.steps.iter().take(dies_after) {
            carry_out(step, &mut observed);
        }
        let second = planned(&plain(), &observed);
        prop_assert_eq!(&second.pairs, &first.pairs);
        prop_assert_eq!(&second.problems, &first.problems);
        for step in &second.steps {
            carry_out(step, &mut observed);
        }
        prop_assert_eq!(planned(&plain(), &observed).steps, vec![]);
        prop_assert_eq!(planned(&plain(), &observed).pairs, first.pairs);
    }
}
