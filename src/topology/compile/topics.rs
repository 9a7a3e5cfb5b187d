//! Topics: their names, what is on them, how many partitions, who uses them; and those that are derived.

use std::collections::{BTreeMap, BTreeSet};

use super::super::plan::{Content, PlannedTopic, SubTopologyPlan};
use super::super::settings::Access;
use super::super::spec::{Cleanup, Named, Spec, TopicSpec};
use super::groups::Group;
use super::wiring::{Feed, Wired};
use super::{Located, Names, Problem, Settings, Topic, suggest};
use crate::event::FactKind;
use crate::record::{TOPIC_NAME_CHARS_MAX, is_topic_name};

/// More tasks than any installation of this size can use, and still far from what a broker can hold.
const PARTITIONS_MAX: i32 = 1_024;

/// A part of a name: a lower-case letter, then these, digits and `-`.
pub fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// `<domain>.<name>.v<N>`
fn follows_rule(name: &str) -> bool {
    let version = |text: &str| text.strip_prefix('v').is_some_and(|n| !n.starts_with('0') && n.parse::<u32>().is_ok());
    matches!(name.split('.').collect::<Vec<_>>()[..], [domain, noun, last] if is_word(domain) && is_word(noun) && version(last))
}

/// Everything about topics but co-partitioning.
pub fn check(spec: &Spec, names: &Names, settings: &Settings, operators: &[Wired<'_>], problems: &mut Vec<Problem>) {
    let mut used = BTreeSet::new();
    let mut written = BTreeSet::new();
    for operator in operators {
        for (port, topic) in &operator.outputs {
            let said = operator.kind.ports.iter().find(|(known, _)| known == port).map(|(_, fact)| *fact);
            let what = format!("port `{port}` of `{}` says", operator.name);
            check_content(spec, topic, said, &what, problems);
            written.insert(&*topic.value);
        }
        let read = operator.inputs.iter().filter_map(|input| match &input.feed {
            Feed::Topic(topic) => Some(&**topic),
            Feed::Port(..) => None,
        });
        used.extend(read);
    }
    for topic_use in settings.topics() {
        check_content(spec, topic_use.topic, Some(topic_use.fact), &format!("`{}` wants", topic_use.section), problems);
        used.insert(&*topic_use.topic.value);
        if topic_use.access != Access::Reads {
            written.insert(&*topic_use.topic.value);
        }
    }
    check_sections_are_co_partitioned(spec, settings, problems);
    let derived = derived_names(names, operators);
    check_sources(spec, &derived, settings, problems);
    for topic in &spec.topics {
        check_topic(topic, &derived, written.contains(&*topic.name.value), problems);
        if topic.spec.is_some() && !used.contains(&*topic.name.value) && !written.contains(&*topic.name.value) {
            let message = format!(
                "nothing reads or writes `{}`; take it out, or name it where it is to be used",
                topic.name.value
            );
            problems.push(Problem::warning(&topic.name.at, message));
        }
    }
}

/// Topics of others are theirs: what fairlead writes would be read as if somebody else had.
fn check_sources(spec: &Spec, derived: &BTreeSet<Topic>, settings: &Settings, problems: &mut Vec<Problem>) {
    for Located { value: name, at } in settings.sources().iter().map(|source| &source.topic) {
        if derived.contains(&Topic::from(&**name)) || spec.topics.iter().any(|ours| ours.name.value == *name) {
            let message = format!("`{name}` is a topic of fairlead's own; here belongs a topic that others write");
            problems.push(Problem::error(at, message));
        } else if !is_topic_name(name) {
            problems.push(Problem::error(at, no_legal_name(name)));
        }
    }
}

fn no_legal_name(name: &str) -> String {
    format!(
        "`{name}` is no legal name for a topic; use letters, digits, `.`, `_`, `-`, at most {TOPIC_NAME_CHARS_MAX} of them"
    )
}

fn check_topic(topic: &Named<TopicSpec>, derived: &BTreeSet<Topic>, written: bool, problems: &mut Vec<Problem>) {
    let Named { name: Located { value: name, at }, spec } = topic;
    if derived.contains(&Topic::from(&**name)) {
        problems.push(Problem::error(at, format!("`{name}` is the name of a topic of fairlead's own; choose another")));
    } else if !is_topic_name(name) {
        problems.push(Problem::error(at, no_legal_name(name)));
    } else if !follows_rule(name) {
        let message = format!("`{name}` does not follow the rule `<domain>.<name>.v<N>`, such as `oncall.alerts.v1`");
        let problem = if written { Problem::error } else { Problem::warning };
        problems
            .push(problem(at, message + if written { "; rename it" } else { "; others write it, so it is only told" }));
    }
    let Some(spec) = spec else { return };
    if !(1..=PARTITIONS_MAX).contains(&spec.partitions.value) {
        let message = format!("a topic has 1 to {PARTITIONS_MAX} partitions, not {}", spec.partitions.value);
        problems.push(Problem::error(&spec.partitions.at, message));
    }
    for (option, instead) in [("cleanup.policy", "cleanup"), ("retention.ms", "retention_ms")] {
        if let Some((name, _)) = spec.config.iter().find(|(name, _)| name.value == option) {
            problems.push(Problem::error(&name.at, format!("`{option}` has an option of its own; write `{instead}:`")));
        }
    }
}

fn check_content(
    spec: &Spec,
    topic: &Located<String>,
    fact: Option<FactKind>,
    what: &str,
    problems: &mut Vec<Problem>,
) {
    let Some(declared) = spec.topics.iter().find(|declared| declared.name.value == topic.value) else {
        let known = suggest(&topic.value, spec.topics.iter().map(|topic| &*topic.name.value));
        let message = format!("there is no topic `{}` under `topics`{known}", topic.value);
        return problems.push(Problem::error(&topic.at, message));
    };
    if let (Some(fact), Some(TopicSpec { fact: carried, .. })) = (fact, &declared.spec)
        && fact != *carried
    {
        problems.push(Problem::error(&topic.at, format!("{what} `{fact}`, but `{}` carries `{carried}`", topic.value)));
    }
}

fn check_sections_are_co_partitioned(spec: &Spec, settings: &Settings, problems: &mut Vec<Problem>) {
    let uses = settings.topics();
    let read = uses.iter().filter(|topic_use| topic_use.access != Access::Writes);
    let mut first: BTreeMap<&str, (&str, i32)> = BTreeMap::new();
    for topic_use in read {
        let Some(partitions) = declared_partitions(spec, &topic_use.topic.value) else { continue };
        let (other, expected) = first.entry(topic_use.section).or_insert((&topic_use.topic.value, partitions));
        if *expected != partitions {
            problems.push(uneven(topic_use.topic, partitions, other, *expected));
        }
    }
}

/// How many partitions the sources of a group have, if they agree.
pub fn partitions(spec: &Spec, operators: &[Wired<'_>], group: &Group, problems: &mut Vec<Problem>) -> Option<i32> {
    let mut agreed: Option<(&str, i32)> = None;
    let mut even = true;
    for input in group.members.iter().flat_map(|member| &operators[*member].inputs) {
        let Feed::Topic(topic) = &input.feed else { continue };
        let Some(partitions) = declared_partitions(spec, topic) else { continue };
        let (other, expected) = agreed.get_or_insert((topic, partitions));
        if *expected != partitions {
            even = false;
            let named = Located { value: topic.clone(), at: input.at.clone() };
            problems.push(uneven(&named, partitions, other, *expected));
        }
    }
    agreed.filter(|_| even).map(|(_, partitions)| partitions)
}

fn uneven(topic: &Located<String>, partitions: i32, other: &str, expected: i32) -> Problem {
    let message = format!(
        "`{}` has {partitions} partitions, but `{other}`, which is read together with it, has {expected}; give both the same \
         number, or the same key lies in partitions of different tasks",
        topic.value
    );
    Problem::error(&topic.at, message)
}

fn declared_partitions(spec: &Spec, topic: &str) -> Option<i32> {
    let declared = spec.topics.iter().find(|declared| declared.name.value == topic)?;
    declared.spec.as_ref().map(|spec| spec.partitions.value)
}

fn derived_names(names: &Names, operators: &[Wired<'_>]) -> BTreeSet<Topic> {
    let changelogs = operators.iter().map(|operator| names.changelog(operator.name));
    changelogs.chain([names.journal(), names.dead_letters()]).collect()
}

/// Declared and derived topics with the configuration they are to be created with.
pub fn planned(
    spec: &Spec,
    names: &Names,
    settings: &Settings,
    sub_topologies: &BTreeMap<String, SubTopologyPlan>,
) -> BTreeMap<Topic, PlannedTopic> {
    let mut topics = BTreeMap::new();
    for Named { name, spec } in &spec.topics {
        let Some(spec) = spec else { continue };
        let content = Content::Fact(spec.fact);
        let planned = PlannedTopic { content, partitions: spec.partitions.value, config: config(spec) };
        topics.insert(Topic::from(&*name.value), planned);
    }
    for plan in sub_topologies.values() {
        for node in &plan.nodes {
            let config = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
            let content = Content::Changelog(node.name.clone());
            topics.insert(node.changelog.clone(), PlannedTopic { content, partitions: plan.partitions, config });
        }
    }
    let kept = |content, retention_ms: i64| PlannedTopic {
        content,
        partitions: 1,
        config: BTreeMap::from([
            ("cleanup.policy".to_owned(), "delete".to_owned()),
            ("retention.ms".to_owned(), retention_ms.to_string()),
        ]),
    };
    topics.insert(names.journal(), kept(Content::Journal, settings.engine.journal_retention_ms));
    topics.insert(names.dead_letters(), kept(Content::DeadLetters, settings.engine.dead_letter_retention_ms));
    topics
}

fn config(spec: &TopicSpec) -> BTreeMap<String, String> {
    let mut config: BTreeMap<_, _> =
        spec.config.iter().map(|(name, value)| (name.value.clone(), value.clone())).collect();
    let cleanup = spec.cleanup.map(|cleanup| match cleanup {
        Cleanup::Delete => "delete",
        Cleanup::Compact => "compact",
    });
    config.extend(cleanup.map(|policy| ("cleanup.policy".to_owned(), policy.to_owned())));
    config.extend(spec.retention_ms.map(|ms| ("retention.ms".to_owned(), ms.to_string())));
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_are_legal_and_follow_the_rule() {
        assert!(follows_rule("oncall.slack-actions.v1") && follows_rule("a.b2.v12"));
        for name in [
            "oncall.alerts",
            "oncall.alerts.1",
            "oncall.alerts.v0",
            "On.alerts.v1",
            "oncall..v1",
            "a.b.c.v1",
            "a_b.c.v1",
        ] {
            assert!(!follows_rule(name), "{name}");
        }
        assert!(is_topic_name("Old_Topic.1"));
        assert!(
            !is_topic_name("") && !is_topic_name("..") && !is_topic_name("a b") && !is_topic_name(&"a".repeat(250))
        );
    }
}
