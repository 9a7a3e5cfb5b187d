//! Access rules, carried over through the names of the copies; and which are not, and why.
//!
//! Invariant: nobody gains a right on what is not a copy of a topic on which he had it. A rule for a prefix stays one where all that it
//! covers is renamed by exchanging that prefix for another, under which nothing else lies; else it becomes a rule for each copy.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::BTreeSet;

use serde::Serialize;

use super::super::selection::Pair;
use super::{Observed, Plan, Step};

/// One access rule, in Kafka's words: `TOPIC`, `LITERAL`, `READ`, `ALLOW`, as `kafka-acls` prints them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Rule {
    pub resource: String,
    pub pattern: String,
    pub name: String,
    pub principal: String,
    pub host: String,
    pub operation: String,
    pub permission: String,
}

/// A rule of the source that does not hold on the target, or only for what is there now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotCarried {
    pub rule: Rule,
    pub why: String,
}

pub fn carry(plan: &mut Plan, observed: &Observed) {
    let Some(rules) = &observed.source_rules else {
        return plan
            .warnings
            .push(super::Complaint { topic: None, message: "the source has no access rules".to_owned() });
    };
    let Some(existing) = &observed.target_rules else {
        let message =
            "the target has no authorizer: everybody may do everything there, and no rule can be carried over";
        return plan.warnings.push(super::Complaint { topic: None, message: message.to_owned() });
    };
    let existing: BTreeSet<_> = existing.iter().collect();
    let mut wanted = BTreeSet::new();
    let mut rules: Vec<_> = rules.iter().collect();
    rules.sort();
    for rule in rules {
        let (carried, why) = carried(rule, &plan.pairs, observed);
        wanted.extend(carried);
        plan.not_carried.extend(why.map(|why| NotCarried { rule: rule.clone(), why }));
    }
    let missing = wanted.into_iter().filter(|rule| !existing.contains(rule));
    plan.steps.extend(missing.map(|rule| Step::Allow { rule }));
}

/// What becomes of a rule, and what does not.
fn carried(rule: &Rule, pairs: &[Pair], observed: &Observed) -> (Vec<Rule>, Option<String>) {
    let left = |why: &str| (Vec::new(), Some(why.to_owned()));
    let known = |word: &str| !word.starts_with("OTHER");
    if ![&rule.operation, &rule.permission, &rule.pattern].into_iter().all(|word| known(word)) {
        return left("it says something that this version of fairlead does not know; make it by hand");
    }
    match (&*rule.resource, &*rule.pattern) {
        ("GROUP" | "TRANSACTIONAL_ID", _) => (vec![rule.clone()], None),
        ("TOPIC", "LITERAL") if rule.name == "*" => left(
            "it is for every topic, and on the target there may be others; make it by hand if it is to hold there too",
        ),
        ("TOPIC", "LITERAL") => match pairs.iter().find(|pair| pair.source == rule.name) {
            Some(pair) => (vec![renamed(rule, "LITERAL", &pair.target)], None),
            None => left("its topic is not copied"),
        },
        ("TOPIC", _) => prefixed(rule, pairs, observed),
        _ => left("it is not about a topic, a group or a transactional id, and belongs to its cluster"),
    }
}

fn prefixed(rule: &Rule, pairs: &[Pair], observed: &Observed) -> (Vec<Rule>, Option<String>) {
    let covered: Vec<_> = pairs.iter().filter(|pair| pair.source.starts_with(&rule.name)).collect();
    let Some(first) = covered.first() else {
        return (Vec::new(), Some("no topic that it covers is copied".to_owned()));
    };
    let suffix = |pair: &Pair| pair.source[rule.name.len()..].to_owned();
    let prefix = first.target.strip_suffix(&suffix(first)).unwrap_or_default();
    let exchanged = covered.iter().all(|pair| pair.target == format!("{prefix}{}", suffix(pair)));
    let copies: BTreeSet<_> = covered.iter().map(|pair| &*pair.target).collect();
    let all = observed.target.keys().map(String::as_str).chain(pairs.iter().map(|pair| &*pair.target));
    let stranger = all.into_iter().find(|name| name.starts_with(prefix) && !copies.contains(name));
    // One topic alone says nothing of how others would be renamed.
    if exchanged && !prefix.is_empty() && stranger.is_none() && covered.iter().any(|pair| !suffix(pair).is_empty()) {
        return (vec![renamed(rule, "PREFIXED", prefix)], None);
    }
    let why = match stranger.filter(|_| exchanged && !prefix.is_empty()) {
        Some(name) => format!("`{name}` begins with `{prefix}` too, and is no copy"),
        None => "its topics do not keep what follows the prefix".to_owned(),
    };
    let each = covered.iter().map(|pair| renamed(rule, "LITERAL", &pair.target)).collect();
    (
        each,
        Some(format!(
            "{why}: it becomes a rule for each of its {} copies, and for those to come when they come",
            covered.len()
        )),
    )
}

fn renamed(rule: &Rule, pattern: &str, name: &str) -> Rule {
    Rule { pattern: pattern.to_owned(), name: name.to_owned(), ..rule.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(resource: &str, pattern: &str, name: &str) -> Rule {
        let word = |word: &str| word.to_owned();
        Rule {
            resource: word(resource),
            pattern: word(pattern),
            name: word(name),
            principal: word("User:a"),
            host: word("*"),
            operation: word("READ"),
            permission: word("ALLOW"),
        }
    }

    fn pairs(names: &[(&str, &str)]) -> Vec<Pair> {
        let pair = |(source, target): &(&str, &str)| Pair {
            source: (*source).into(),
            target: (*target).into(),
            reverse: false,
        };
        names.iter().map(pair).collect()
    }

    fn became(rule: &Rule, names: &[(&str, &str)], target: &[&str]) -> (Vec<(String, String)>, Option<String>) {
        let topics = target.iter().map(|name| ((*name).to_owned(), super::super::Topic::default()));
        let observed = Observed { target: topics.collect(), ..Observed::default() };
        let (carried, why) = carried(rule, &pairs(names), &observed);
        (carried.into_iter().map(|rule| (rule.pattern, rule.name)).collect(), why)
    }

    fn is(pattern: &str, name: &str) -> (String, String) {
        (pattern.to_owned(), name.to_owned())
    }

    #[test]
    fn a_rule_for_a_topic_is_one_for_its_copy_and_groups_keep_their_names() {
        let names = [("orders", "shop.orders.v1")];
        assert_eq!(
            became(&rule("TOPIC", "LITERAL", "orders"), &names, &[]),
            (vec![is("LITERAL", "shop.orders.v1")], None)
        );
        assert_eq!(became(&rule("GROUP", "PREFIXED", "bill"), &names, &[]), (vec![is("PREFIXED", "bill")], None));
        assert_eq!(became(&rule("TRANSACTIONAL_ID", "LITERAL", "t"), &names, &[]), (vec![is("LITERAL", "t")], None));
        for other in [
            rule("TOPIC", "LITERAL", "pays"),
            rule("TOPIC", "LITERAL", "*"),
            rule("CLUSTER", "LITERAL", "kafka-cluster"),
        ] {
            let (carried, why) = became(&other, &names, &[]);
            assert!(carried.is_empty() && why.is_some(), "{other:?}");
        }
        let unknown = Rule { operation: "OTHER(99)".into(), ..rule("GROUP", "LITERAL", "g") };
        assert!(became(&unknown, &names, &[]).0.is_empty());
    }

    #[test]
    fn a_prefix_stays_one_where_it_is_exchanged_for_one_that_covers_copies_alone() {
        let prefix = rule("TOPIC", "PREFIXED", "pay-");
        let names = [("orders", "shop.orders"), ("pay-a", "money.a"), ("pay-b", "money.b")];
        assert_eq!(became(&prefix, &names, &["shop.x"]), (vec![is("PREFIXED", "money.")], None));
        let each = vec![is("LITERAL", "money.a"), is("LITERAL", "money.b")];
        let (carried, why) = became(&prefix, &names, &["money.secret"]);
        assert_eq!(carried, each, "nobody may read money.secret by this");
        assert!(why.unwrap().contains("`money.secret` begins with `money.`"));
        let shop = rule("TOPIC", "PREFIXED", "o");
        let copies = [("orders", "x.orders"), ("other", "y.other")];
        assert_eq!(became(&shop, &copies, &[]).0, [is("LITERAL", "x.orders"), is("LITERAL", "y.other")]);
        let one = [("pay-", "all")];
        assert_eq!(became(&prefix, &one, &[]).0, [is("LITERAL", "all")], "nothing tells how others would be called");
        assert!(became(&rule("TOPIC", "PREFIXED", "zzz"), &names, &[]).0.is_empty());
    }

    #[test]
    fn a_prefix_that_would_become_empty_is_a_rule_for_each() {
        let (carried, why) = became(&rule("TOPIC", "PREFIXED", "old-"), &[("old-a", "a"), ("old-b", "b")], &[]);
        assert_eq!(carried, [is("LITERAL", "a"), is("LITERAL", "b")]);
        assert!(why.is_some());
    }
}
