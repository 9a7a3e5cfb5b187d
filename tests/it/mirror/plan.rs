//! What is missing on the target is made there, once, whoever does it and whenever it dies; what no longer fits is told.

use fairlead::mirror::plan::{Step, Why};
use fairlead::wire::{Acl, AclOperation, PatternKind, Permission, ResourceKind};

use super::clusters::{Clusters, block_on, create};
use crate::harness::apache::Kafka;
use crate::harness::until;

#[test]
fn copies_are_made_once_by_two_processes_held_back_and_put_in_force_when_they_have_caught_up() {
    let clusters = Clusters::new("made");
    clusters.create(
        "a",
        2,
        &[("retention.ms", "3600000"), ("cleanup.policy", "compact"), ("max.message.bytes", "2000000")],
    );
    clusters.create("empty", 1, &[("retention.ms", "3600000")]);
    clusters.write(&clusters.source, &clusters.topic("a"), 2, &["x", "y"], true);
    // Somebody died after the first of the calls.
    create(&clusters.at_target(), &clusters.copy_of("empty"), 1, &[]);
    let (mut one, mut other) = (clusters.provision(""), clusters.provision(""));
    let planned = block_on(one.plan()).unwrap();
    assert_eq!(planned.problems, []);
    assert_eq!(planned.steps.iter().filter(|step| matches!(step, Step::Create { .. })).count(), 2, "{planned:?}");
    let (first, second) = block_on(async { tokio::join!(one.refresh(), other.refresh()) });
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((&first.problems, first.topics.len()), (&vec![], 2));
    assert_eq!(first.topics, second.topics);
    assert_eq!((first.topics[0].partitions, first.topics[0].target_partitions), (2, 2));
    let held = clusters.configs(&clusters.copy_of("a"));
    let expected = [
        ("cleanup.policy", "delete"),
        ("max.message.bytes", "2000000"),
        ("message.timestamp.type", "CreateTime"),
        ("retention.bytes", "-1"),
        ("retention.ms", "-1"),
    ];
    assert_eq!(held, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert_eq!(clusters.configs(&clusters.copy_of("empty"))["retention.ms"], "3600000", "there is nothing to wait for");
    assert_eq!(block_on(one.refresh()).unwrap().done, []);

    let flow = clusters.flow("");
    clusters.copy(&flow, "a", 0, 0, <[u8]>::to_vec);
    assert_eq!(block_on(one.refresh()).unwrap().done, [], "one partition is behind");
    clusters.copy(&flow, "a", 1, 0, <[u8]>::to_vec);
    let released = block_on(one.refresh()).unwrap().done;
    assert!(matches!(&released[..], [Step::Alter { why: Why::CaughtUp, .. }]), "{released:?}");
    let in_force = clusters.configs(&clusters.copy_of("a"));
    assert_eq!((&*in_force["cleanup.policy"], &*in_force["retention.ms"]), ("compact", "3600000"));
    assert!(!in_force.contains_key("retention.bytes"));
    assert_eq!(block_on(other.refresh()).unwrap().done, []);
    clusters.write(&clusters.source, &clusters.topic("a"), 2, &["z"], true);
    assert_eq!(
        block_on(clusters.provision("").refresh()).unwrap().done,
        [],
        "it stays in force when the flow falls behind"
    );

    let more = [(clusters.topic("a"), 3)].into();
    block_on(clusters.at_source().create_partitions(&more, false)).unwrap();
    let grown = until("the new partition", || block_on(one.refresh()).unwrap().done.pop());
    assert_eq!(grown, Step::Grow { topic: clusters.copy_of("a"), from: 2, to: 3 });
}

#[test]
fn whatever_no_longer_fits_what_was_copied_stops_the_topic_with_the_mend() {
    let clusters = Clusters::new("unfit");
    for noun in ["anew", "cut", "fine", "foreign", "aborted"] {
        clusters.create(noun, 1, &[]);
        clusters.write(&clusters.source, &clusters.topic(noun), 1, &["x", "y"], true);
    }
    create(&clusters.at_target(), &clusters.copy_of("foreign"), 1, &[]);
    clusters.write(&clusters.target, &clusters.copy_of("foreign"), 1, &["theirs"], true);
    // A mirror that died in its first transaction has left offsets, but no record.
    create(&clusters.at_target(), &clusters.copy_of("aborted"), 1, &[]);
    clusters.write(&clusters.target, &clusters.copy_of("aborted"), 1, &["ours"], false);
    let mut provision = clusters.provision("");
    let first = block_on(provision.refresh()).unwrap();
    assert_eq!(first.problems.len(), 1, "{first:?}");
    assert_eq!(first.problems[0].topic, Some(clusters.topic("foreign")));
    assert_eq!(first.topics.len(), 4);

    let flow = clusters.flow("");
    for noun in ["anew", "cut", "fine"] {
        clusters.copy(&flow, noun, 0, 0, <[u8]>::to_vec);
    }
    block_on(clusters.at_source().delete_topics(&[clusters.topic("anew")])).unwrap();
    until("the topic to go", || {
        block_on(clusters.at_source().topics(Some(&[clusters.topic("anew")]))).unwrap().is_empty().then_some(())
    });
    clusters.create("anew", 1, &[]);
    clusters.write(&clusters.source, &clusters.topic("cut"), 1, &["p", "q"], true);
    let gone = [((clusters.topic("cut"), 0), 5)].into();
    block_on(clusters.at_source().delete_records(&gone)).unwrap();
    let told = block_on(provision.refresh()).unwrap();
    let of = |noun: &str| {
        let topic = Some(clusters.topic(noun));
        told.problems.iter().find(|problem| problem.topic == topic).map_or("", |problem| &*problem.message)
    };
    assert!(of("anew").contains("was deleted on the source and created anew"), "{told:?}");
    assert!(of("cut").contains("from offset 3 to 4: it was deleted before it was copied"), "{told:?}");
    assert!(of("cut").contains("fairlead mirror skip --flow flow --topic"), "{told:?}");
    assert!(of("foreign").contains("holds records on the target that this mirror did not write"), "{told:?}");
    let copied: Vec<_> = told.topics.iter().map(|topic| topic.source.clone()).collect();
    assert_eq!(copied, [clusters.topic("aborted"), clusters.topic("fine")]);
    assert_eq!(told.done.len(), 1, "the two that were copied whole are put in force: {:?}", told.done);
}

#[test]
fn access_rules_are_carried_through_the_names_once() {
    let mut clusters = Clusters::new("rules");
    clusters.source = Kafka::secured().bootstrap().to_owned();
    clusters.create("a", 1, &[]);
    clusters.create("b", 1, &[]);
    let rule = |resource, pattern, name: String| Acl {
        resource,
        pattern,
        name,
        principal: "User:reader".to_owned(),
        host: "*".to_owned(),
        operation: AclOperation::Read,
        permission: Permission::Allow,
    };
    let prefix = format!("{}.", clusters.name);
    let rules = [
        rule(ResourceKind::Topic, PatternKind::Literal, clusters.topic("a")),
        rule(ResourceKind::Topic, PatternKind::Prefixed, prefix.clone()),
        rule(ResourceKind::Topic, PatternKind::Literal, format!("{}-absent", clusters.name)),
    ];
    let made = block_on(clusters.at_source().create_acls(&rules)).unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let mut provision = clusters.provision(r#", "acls": true"#);
    // The broker sees a new rule a little later.
    let planned = until("the rules", || {
        let plan = block_on(provision.plan()).unwrap();
        let ours = plan.not_carried.iter().filter(|left| left.rule.name.starts_with(&clusters.name)).count();
        (ours == 1).then_some(plan)
    });
    let allowed = planned.steps.iter().filter_map(|step| match step {
        Step::Allow { rule } => Some((rule.pattern.clone(), rule.name.clone())),
        _ => None,
    });
    let expected = [("LITERAL", clusters.copy_of("a")), ("PREFIXED", format!("new-{prefix}"))];
    assert_eq!(allowed.collect::<Vec<_>>(), expected.map(|(pattern, name)| (pattern.to_owned(), name)));
    block_on(provision.refresh()).unwrap();
    let there = block_on(clusters.at_target().acls()).unwrap().unwrap();
    assert!(there.contains(&rule(ResourceKind::Topic, PatternKind::Prefixed, format!("new-{prefix}"))));
    assert_eq!(block_on(provision.refresh()).unwrap().done, []);
}
