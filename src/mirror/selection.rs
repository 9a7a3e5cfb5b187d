//! Which topics a flow copies, each under which name, and which of that cannot be: over all names of both clusters at once.
//!
//! Invariant: of the pairs no two have one source, none has a name that Kafka refuses, and without `merge` no two have one target or
//! targets that differ in `.` and `_` alone (Kafka's metrics cannot tell those apart, and it refuses them). Whatever is in a problem is
//! in no pair. Kafka's own topics and fairlead's are never copied.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::check::no_topic_name;
use super::rename::{Rename, Renames};
use crate::record::is_topic_name;

/// A topic and its copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Pair {
    pub source: String,
    pub target: String,
    /// The target is itself what the source is a copy of: only what was written to the source natively is copied back.
    pub reverse: bool,
}

/// What keeps a topic, or all of the flow, from being copied, with the mend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Complaint {
    /// Of the source; `None`: it is about the flow.
    pub topic: Option<String>,
    pub message: String,
}

impl Complaint {
    pub fn of(topic: &str, message: impl Into<String>) -> Self {
        Self { topic: Some(topic.to_owned()), message: message.into() }
    }
}

/// What names are to be had.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// Of the source's topics, without Kafka's own.
    pub source: &'a BTreeSet<String>,
    pub target: &'a BTreeSet<String>,
    /// fairlead's own, on both sides: facts, changelogs, journal.
    pub own: &'a dyn Fn(&str) -> bool,
    /// Flows that copy from this one's target to its source.
    pub opposite: &'a [Renames],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// In the order of the source's names.
    pub pairs: Vec<Pair>,
    pub problems: Vec<Complaint>,
    pub warnings: Vec<Complaint>,
}

impl Selection {
    pub fn of(renames: &Renames, topics: &[Rename], merge: bool, names: Names<'_>) -> Self {
        let mut selection = Self::default();
        let copied = names.source.iter().filter(|topic| !topic.starts_with("__") && !(names.own)(topic));
        let named = copied.filter_map(|topic| Some((topic, renames.target(topic)?)));
        for (source, target) in named {
            match pair(renames, source, target, names) {
                Ok(pair) => selection.pairs.push(pair),
                Err(message) => selection.problems.push(Complaint::of(source, message)),
            }
        }
        if !merge {
            selection.injective();
        }
        selection.no_collision(names);
        selection.missing(topics, names);
        selection
    }

    fn refuse(&mut self, refused: BTreeMap<String, String>) {
        self.pairs.retain(|pair| !refused.contains_key(&pair.source));
        self.problems.extend(refused.into_iter().map(|(topic, message)| Complaint::of(&topic, message)));
    }

    fn injective(&mut self) {
        let mut by_target: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for pair in &self.pairs {
            by_target.entry(&pair.target).or_default().push(&pair.source);
        }
        let mut refused = BTreeMap::new();
        for (target, sources) in by_target.iter().filter(|(_, sources)| sources.len() > 1) {
            for source in sources {
                let others: Vec<_> = sources.iter().filter(|other| *other != source).copied().collect();
                let message = format!(
                    "`{target}` would be the copy of {} too; give them names of their own, or write `merge: true`",
                    listed(&others)
                );
                refused.insert((*source).to_owned(), message);
            }
        }
        self.refuse(refused);
    }

    /// Among the copies, and with what is on the target already.
    fn no_collision(&mut self, names: Names<'_>) {
        let metric = |name: &str| name.replace('.', "_");
        let mut known: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        let copies = self.pairs.iter().map(|pair| &*pair.target);
        for name in names.target.iter().map(String::as_str).chain(copies) {
            known.entry(metric(name)).or_default().insert(name);
        }
        let refused = self.pairs.iter().filter_map(|pair| {
            let others: Vec<_> =
                known.get(&metric(&pair.target))?.iter().filter(|name| **name != pair.target).copied().collect();
            // It is there already: Kafka took it then.
            (!others.is_empty() && !names.target.contains(&pair.target)).then(|| {
                let message = format!(
                    "`{}` differs from {} in `.` and `_` alone, which Kafka refuses; choose another name",
                    pair.target,
                    listed(&others)
                );
                (pair.source.clone(), message)
            })
        });
        let refused = refused.collect();
        self.refuse(refused);
    }

    /// A line for a topic that is not there may be a slip, and may be early.
    fn missing(&mut self, topics: &[Rename], names: Names<'_>) {
        for rename in topics {
            let Rename::Topic { topic, .. } = rename else { continue };
            if !names.source.contains(topic) {
                let known = crate::event::words::suggest(topic, names.source.iter().map(String::as_str));
                let message = format!("there is no such topic on the source; it is copied once it is there{known}");
                self.warnings.push(Complaint::of(topic, message));
            }
        }
        if self.pairs.is_empty() && self.problems.is_empty() {
            let message = "nothing on the source matches `topics`; nothing is copied".to_owned();
            self.warnings.push(Complaint { topic: None, message });
        }
    }
}

fn pair(renames: &Renames, source: &str, target: String, names: Names<'_>) -> Result<Pair, String> {
    if !is_topic_name(&target) {
        return Err(format!("{}; mend the line under `topics` that makes it", no_topic_name(&target)));
    }
    renames.follows_rule(&target).map_err(|why| format!("{why}; mend the line under `topics` that makes it"))?;
    if target.starts_with("__") || (names.own)(&target) {
        return Err(format!("`{target}` is the name of a topic of Kafka's or fairlead's own; choose another"));
    }
    let back: Vec<_> = names.opposite.iter().filter_map(|opposite| opposite.target(&target)).collect();
    // A copy of the copy that this flow would copy again: so it would go on for ever.
    if let Some(round) = back.iter().find(|back| *back != source && renames.target(back).is_some()) {
        return Err(format!(
            "its copy `{target}` would be copied back to `{round}` by the flow in the opposite direction, and that copied again; \
             exclude `{target}` there, or let it be named `{source}`"
        ));
    }
    Ok(Pair { source: source.to_owned(), reverse: back.iter().any(|back| back == source), target })
}

/// A few names, and how many more.
pub fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn table(lines: &[(&str, &str)]) -> Vec<Rename> {
        let line = |(topic, to): &(&str, &str)| Rename::Topic { topic: (*topic).into(), to: (*to).into() };
        lines.iter().map(line).collect()
    }

    fn pattern(pattern: &str, to: &str) -> Rename {
        Rename::Pattern { pattern: pattern.into(), to: to.into() }
    }

    fn select(topics: &[Rename], merge: bool, source: &[&str], target: &[&str], opposite: &[Renames]) -> Selection {
        let renames = Renames::new(topics, &[], None).unwrap();
        let own = |name: &str| name.starts_with("fairlead.") || name.starts_with("migration.");
        let names = Names { source: &set(source), target: &set(target), own: &own, opposite };
        Selection::of(&renames, topics, merge, names)
    }

    fn pairs(selection: &Selection) -> Vec<(&str, &str)> {
        selection.pairs.iter().map(|pair| (&*pair.source, &*pair.target)).collect()
    }

    #[test]
    fn kafkas_own_topics_and_fairleads_are_neither_copied_nor_written_to() {
        let all = select(
            &[pattern("x-(.*)", "__$1"), pattern("y-(.*)", "fairlead.$1"), pattern(".*", "$0")],
            false,
            &["__consumer_offsets", "fairlead.journal.v1", "a", "x-a", "y-a"],
            &[],
            &[],
        );
        assert_eq!(pairs(&all), [("a", "a")]);
        assert_eq!(all.problems.iter().map(|told| told.topic.as_deref().unwrap()).collect::<Vec<_>>(), ["x-a", "y-a"]);
    }

    #[test]
    fn two_topics_of_one_name_are_both_refused_unless_they_are_to_merge() {
        let topics = [pattern("[a-z]-(.*)", "$1")];
        let refused = select(&topics, false, &["a-x", "b-x", "c-y"], &[], &[]);
        assert_eq!(pairs(&refused), [("c-y", "y")]);
        assert_eq!(refused.problems.len(), 2);
        assert!(refused.problems[0].message.contains("`x` would be the copy of `b-x` too"), "{refused:?}");
        let merged = select(&topics, true, &["a-x", "b-x", "c-y"], &[], &[]);
        assert_eq!((merged.pairs.len(), merged.problems.len()), (3, 0));
    }

    #[test]
    fn names_that_metrics_cannot_tell_apart_are_refused_among_copies_and_with_what_is_there() {
        let topics = table(&[("a", "x.y"), ("b", "x_y"), ("c", "p_q"), ("d", "z")]);
        let told = select(&topics, false, &["a", "b", "c", "d"], &["p.q"], &[]);
        assert_eq!(pairs(&told), [("d", "z")]);
        assert!(told.problems.iter().any(|told| told.message.starts_with("`p_q` differs from `p.q`")), "{told:?}");
        let there = select(&table(&[("c", "p_q")]), false, &["c"], &["p.q", "p_q"], &[]);
        assert_eq!(there.pairs.len(), 1, "Kafka took it");
    }

    #[test]
    fn a_name_that_became_too_long_is_told_with_its_topic() {
        let long = "x".repeat(249);
        let told = select(&[pattern("(.*)", "copy.$1")], false, &[&long, "b"], &[], &[]);
        assert_eq!(pairs(&told), [("b", "copy.b")]);
        assert_eq!(told.problems[0].topic.as_deref(), Some(&*long));
    }

    #[test]
    fn a_copy_that_does_not_follow_the_naming_rule_is_told_with_its_topic() {
        let naming = serde_json::from_str(r#"{"template": "{name}.v1", "fields": {"name": "[a-z]+"}}"#).unwrap();
        let topics = [pattern("x-(.*)", "$1.v1")];
        let renames = Renames::new(&topics, &[], Some(&naming)).unwrap();
        let names = Names { source: &set(&["x-a", "x-B"]), target: &set(&[]), own: &|_| false, opposite: &[] };
        let told = Selection::of(&renames, &topics, false, names);
        assert_eq!(pairs(&told), [("x-a", "a.v1")]);
        assert_eq!(told.problems[0].topic.as_deref(), Some("x-B"));
        assert!(told.problems[0].message.starts_with("`B.v1` does not follow the naming rule"), "{told:?}");
    }

    #[test]
    fn the_way_back_is_a_reverse_and_a_way_round_is_a_loop() {
        let back = [Renames::new(&table(&[("shop.orders.v1", "orders")]), &[], None).unwrap()];
        let there = select(
            &table(&[("orders", "shop.orders.v1"), ("pays", "shop.pays.v1")]),
            false,
            &["orders", "pays"],
            &[],
            &back,
        );
        assert_eq!(there.pairs.iter().map(|pair| pair.reverse).collect::<Vec<_>>(), [true, false]);
        let round = [Renames::new(&[pattern("new-(.*)", "old-new-$1")], &[], None).unwrap()];
        let told = select(&[pattern("(.*)", "new-$1")], false, &["a"], &[], &round);
        assert_eq!(told.pairs, []);
        assert!(told.problems[0].message.contains("copied back to `old-new-a`"), "{told:?}");
    }

    #[test]
    fn a_line_for_a_topic_that_is_not_there_is_told_and_so_is_a_flow_that_copies_nothing() {
        let told = select(&table(&[("ordres", "x")]), false, &["orders"], &[], &[]);
        assert!(told.warnings[0].message.ends_with("did you mean `orders`?"), "{told:?}");
        assert_eq!((told.warnings.len(), told.warnings[1].topic.is_none()), (2, true));
    }

    fn name() -> impl Strategy<Value = String> {
        "[ab._-]{1,6}".prop_filter("a name", |name| is_topic_name(name))
    }

    proptest! {
        /// Whatever the names and the rules: what is selected is a function, legal, injective, and free of collisions.
        #[test]
        fn pairs_are_always_legal_and_injective(
            source in proptest::collection::btree_set(name(), 0..12),
            target in proptest::collection::btree_set(name(), 0..6),
            lines in proptest::collection::vec((name(), name()), 0..6),
            to in "[$1ab._]{0,6}",
            merge: bool,
        ) {
            let mut topics: Vec<_> = lines.iter().map(|(topic, to)| Rename::Topic { topic: topic.clone(), to: to.clone() }).collect();
            topics.push(pattern("a(.*)", &to));
            let renames = Renames::new(&topics, &["b.*".into()], None).unwrap();
            let names = Names { source: &source, target: &target, own: &|name| name == "a_a", opposite: &[] };
            let selection = Selection::of(&renames, &topics, merge, names);
            let sources: BTreeSet<_> = selection.pairs.iter().map(|pair| &pair.source).collect();
            prop_assert_eq!(sources.len(), selection.pairs.len());
            let mut metrics: BTreeMap<String, &str> = BTreeMap::new();
            let mut targets = BTreeSet::new();
            for pair in &selection.pairs {
                prop_assert!(source.contains(&pair.source) && !pair.source.starts_with('b') && pair.source != "a_a");
                prop_assert_eq!(renames.target(&pair.source), Some(pair.target.clone()));
                prop_assert!(is_topic_name(&pair.target) && pair.target != "a_a");
                prop_assert!(targets.insert(&pair.target) || merge);
                if !target.contains(&pair.target) {
                    let same = metrics.insert(pair.target.replace('.', "_"), &pair.target);
                    prop_assert!(same.is_none_or(|same| same == pair.target));
                }
            }
            // Total: each topic that a rule names is either copied or told.
            for topic in source.iter().filter(|topic| renames.target(topic).is_some() && *topic != "a_a" && !topic.starts_with("__")) {
                let told = selection.problems.iter().any(|told| told.topic.as_deref() == Some(&**topic));
                prop_assert!(told != sources.contains(topic));
            }
        }
    }
}
