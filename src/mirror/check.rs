//! What of the section `mirrors` cannot be meant, told from the files alone: each with its path in front and the mend behind.
//!
//! Invariant: all is told at once. What only the clusters can tell (topics that clash, are missing, or were created anew) is the plan's.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::BTreeMap;

use regex_lite::Regex;

use super::naming::Naming;
use super::rename::{Rename, captures_of, whole};
use super::{Groups, Mirror, Mirrors, TopicConfig};
use crate::event::words::suggest;
use crate::record::{TOPIC_NAME_CHARS_MAX, is_topic_name};

const FLOW_CHARS_MAX: usize = 60;
/// Each is a producer, a thread of librdkafka's and a transaction at a time.
const SHARDS_MAX: u16 = 256;
/// A day: what is looked at more seldom is not looked at.
const SECS_MAX: u32 = 86_400;
/// Facts have names that follow fairlead's own rule.
const TOPIC_RULE: &str = "`<domain>.<name>.v<N>`, such as `migration.mirror-offsets.v1`";

/// Of all mirrors; `clusters` are the names that may stand in `from` and `to`.
pub fn problems<'a>(mirrors: &Mirrors, clusters: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let each = mirrors.iter().flat_map(|(flow, mirror)| Told::of(flow, mirror, clusters.clone()));
    each.chain(reverses(mirrors)).chain(shared_topics(mirrors)).collect()
}

fn reverses(mirrors: &Mirrors) -> Vec<String> {
    let mut told = Vec::new();
    for (flow, mirror) in mirrors {
        let Some(forward) = &mirror.reverse_of else { continue };
        let mut say = |problem: String| told.push(format!("mirrors.{flow}.reverse_of: {problem}"));
        match mirrors.get(forward) {
            None => {
                say(format!("there is no mirror `{forward}`{}", suggest(forward, mirrors.keys().map(String::as_str))))
            }
            Some(forward) if forward.reverse_of.is_some() => {
                say("that is a way back itself; name the way there".to_owned())
            }
            Some(forward) if forward.merge => say("that one merges topics, so there is no one way back".to_owned()),
            Some(_) => {}
        }
        if mirror.from.is_some() || mirror.to.is_some() || !mirror.topics.is_empty() || mirror.merge {
            say("clusters and names are the other's, exchanged; leave out `from`, `to`, `topics` and `merge`"
                .to_owned());
        }
    }
    told
}

/// Complaints about one mirror.
struct Told {
    path: String,
    problems: Vec<String>,
}

impl Told {
    fn of<'a>(flow: &str, mirror: &Mirror, clusters: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
        let mut told = Self { path: format!("mirrors.{flow}"), problems: Vec::new() };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if flow.is_empty() || flow.len() > FLOW_CHARS_MAX || !flow.chars().all(is_name) {
            told.say("", "a mirror's name is part of keys and ids; write letters, digits, `-` and `_`, at most 60");
        }
        if mirror.reverse_of.is_none() {
            told.clusters(mirror, clusters);
            told.topics(mirror);
        }
        told.patterns("exclude", &mirror.exclude);
        told.numbers(mirror);
        told.config(&mirror.config);
        told.facts(mirror);
        if let Some(groups) = &mirror.groups {
            told.groups(groups, mirror.merge);
        }
        told.problems
    }

    /// `option` is a path below the mirror.
    fn say(&mut self, option: &str, problem: impl AsRef<str>) {
        let dot = if option.is_empty() { "" } else { "." };
        self.problems.push(format!("{}{dot}{option}: {}", self.path, problem.as_ref()));
    }

    fn clusters<'a>(&mut self, mirror: &Mirror, clusters: impl Iterator<Item = &'a str> + Clone) {
        for (option, name) in [("from", &mirror.from), ("to", &mirror.to)] {
            let Some(name) = name else { continue };
            if !clusters.clone().any(|known| known == name) {
                let known = suggest(name, clusters.clone());
                self.say(option, format!("there is no cluster `{name}` under `clusters`{known}"));
            }
        }
        if mirror.from == mirror.to {
            let (option, which) = match &mirror.to {
                Some(name) => ("to", format!("`{name}` is where it copies from, too")),
                None => ("", "it copies from the application's own cluster to that same one".to_owned()),
            };
            self.say(option, format!("{which}; name another cluster in `from` or `to`, for a loop would never end"));
        }
    }

    fn topics(&mut self, mirror: &Mirror) {
        if mirror.topics.is_empty() {
            self.say("topics", "nothing would be copied; write `- { topic: orders, to: shop.orders.v1 }`");
        }
        // One that cannot be read is complained about at its own place.
        let rule = mirror.naming.as_ref().map(Naming::rule);
        for (at, rename) in mirror.topics.iter().enumerate() {
            let path = format!("topics[{at}]");
            match rename {
                Rename::Topic { topic, to } => {
                    for (option, name) in [("topic", topic), ("to", to)] {
                        if !is_topic_name(name) {
                            self.say(&format!("{path}.{option}"), no_topic_name(name));
                        }
                    }
                }
                Rename::Pattern { pattern, to } => self.pattern(&path, pattern, to, mirror.merge),
                Rename::ByRule { pattern, .. } => match rename.to(mirror.naming.as_ref()) {
                    Ok(to) => self.pattern(&path, pattern, &to, mirror.merge),
                    Err(why) => self.say(&path, why),
                },
            }
            if let (Rename::Topic { to, .. }, Some(Ok(rule))) = (rename, &rule)
                && let Err(why) = rule.against(to)
            {
                self.say(&format!("{path}.to"), why);
            }
        }
        self.reached(&mirror.topics);
        if !mirror.merge {
            self.injective(&mirror.topics);
        }
    }

    fn pattern(&mut self, path: &str, pattern: &str, to: &str, merge: bool) {
        let compiled = match whole(pattern) {
            Ok(compiled) => compiled,
            Err(why) => return self.say(&format!("{path}.pattern"), why),
        };
        let captures = captures_of(to);
        let known = known_captures(&compiled);
        for name in captures.iter().filter(|name| !known.contains(name)) {
            // `$1_v` means the capture `1_v`: the braces are what is missing.
            let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
            let mend = match (known.contains(&digits), digits.len() == name.len()) {
                (true, _) => format!("; write `${{{digits}}}` if `{}` is to follow it", &name[digits.len()..]),
                (false, true) => format!("; it has $0 to ${}", compiled.captures_len() - 1),
                (false, false) => suggest(name, known.iter().map(String::as_str)),
            };
            self.say(&format!("{path}.to"), format!("the pattern has no group `{name}`{mend}"));
        }
        if captures.is_empty() && !merge {
            let message = "every topic that matches would have this one name; put what differs in, as `$1`, or write `merge: true`";
            self.say(&format!("{path}.to"), message);
        }
        // Whatever is captured is made of a topic's name.
        if captures.iter().all(|name| known.contains(name)) && !is_topic_name(&with_each_capture_as(to, "x")) {
            self.say(&format!("{path}.to"), no_topic_name(to));
        }
    }

    /// The first that matches counts: a line that is never reached is a mistake.
    fn reached(&mut self, topics: &[Rename]) {
        for (at, rename) in topics.iter().enumerate() {
            let Rename::Topic { topic, .. } = rename else { continue };
            let first = topics[..at].iter().position(|before| match before {
                Rename::Topic { topic: this, .. } => this == topic,
                Rename::Pattern { pattern, .. } | Rename::ByRule { pattern, .. } => {
                    whole(pattern).is_ok_and(|pattern| pattern.is_match(topic))
                }
            });
            if let Some(first) = first {
                let message = format!("topics[{first}] takes `{topic}` before this; put this line above it");
                self.say(&format!("topics[{at}]"), message);
            }
        }
    }

    fn injective(&mut self, topics: &[Rename]) {
        let mut taken: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for (at, rename) in topics.iter().enumerate() {
            let Rename::Topic { topic, to } = rename else { continue };
            match taken.get(&**to) {
                Some((first, other)) if other != topic => {
                    let message =
                        format!("topics[{first}] copies to `{to}` too; choose another name, or write `merge: true`");
                    self.say(&format!("topics[{at}].to"), message);
                }
                _ => _ = taken.insert(to, (at, topic)),
            }
        }
    }

    fn patterns(&mut self, option: &str, patterns: &[String]) {
        for (at, pattern) in patterns.iter().enumerate() {
            if let Err(why) = whole(pattern) {
                self.say(&format!("{option}[{at}]"), why);
            }
        }
    }

    fn numbers(&mut self, mirror: &Mirror) {
        if !(1..=SHARDS_MAX).contains(&mirror.shards) {
            self.say("shards", format!("must be 1 to {SHARDS_MAX}"));
        }
        if !(1..=SECS_MAX).contains(&mirror.refresh_secs) {
            self.say("refresh_secs", format!("must be 1 to {SECS_MAX}"));
        }
        if mirror.rate_bytes_max == Some(0) {
            self.say("rate_bytes_max", "nothing would be copied; must be at least 1, or take it out for no bound");
        }
    }

    fn config(&mut self, config: &TopicConfig) {
        for (at, name) in config.leave.iter().enumerate() {
            if config.copy.iter().flatten().any(|copied| copied == name) {
                self.say(&format!("config.leave[{at}]"), format!("`{name}` stands under `copy` too; take one out"));
            }
        }
        if config.set.get("message.timestamp.type").is_some_and(|kind| kind != "CreateTime") {
            let message = "copies keep the timestamps of their records, which only CreateTime allows; take it out";
            self.say("config.set.message.timestamp.type", message);
        }
    }

    /// The topics of facts that it names.
    fn facts(&mut self, mirror: &Mirror) {
        let groups = mirror.groups.as_ref().map(|groups| ("groups.offsets", &groups.offsets));
        let audits = mirror.audits.as_ref().map(|audits| ("audits", audits));
        let named: Vec<_> = [Some(("offsets", &mirror.offsets)), groups, audits].into_iter().flatten().collect();
        for (at, (option, name)) in named.iter().enumerate() {
            if !is_topic_name(name) {
                self.say(option, no_topic_name(name));
            } else if !follows_rule(name) {
                self.say(option, format!("`{name}` does not follow the rule {TOPIC_RULE}; rename it"));
            }
            if let Some((other, _)) = named[..at].iter().find(|(_, taken)| taken == name) {
                self.say(option, format!("`{name}` is that of `{other}` too; each fact has a topic of its own"));
            }
        }
    }

    fn groups(&mut self, groups: &Groups, merge: bool) {
        self.patterns("groups.include", &groups.include);
        self.patterns("groups.exclude", &groups.exclude);
        if !(1..=SECS_MAX).contains(&groups.every_secs) {
            self.say("groups.every_secs", format!("must be 1 to {SECS_MAX}"));
        }
        if merge {
            self.say("groups", "where topics are merged no offset has a place on the other side; take one of them out");
        }
    }
}

/// Mirrors to one cluster may share a topic of ranges: then they are divided alike.
fn shared_topics(mirrors: &Mirrors) -> Vec<String> {
    let mut told = Vec::new();
    let mut first: BTreeMap<(&Option<String>, &str), (&str, u16)> = BTreeMap::new();
    for (flow, mirror) in mirrors {
        let to = match mirror.reverse_of.as_ref().and_then(|forward| mirrors.get(forward)) {
            Some(forward) => &forward.from,
            None => &mirror.to,
        };
        let (other, shards) = first.entry((to, &mirror.offsets)).or_insert((flow, mirror.shards));
        if *shards != mirror.shards {
            told.push(format!(
                "mirrors.{flow}.shards: `{}` has a partition for each shard, and `{other}` has {shards}; write the same number, or \
                 another topic under `offsets`",
                mirror.offsets
            ));
        }
    }
    told
}

fn known_captures(pattern: &Regex) -> Vec<String> {
    let named = pattern.capture_names().flatten().map(str::to_owned);
    (0..pattern.captures_len()).map(|index| index.to_string()).chain(named).collect()
}

fn with_each_capture_as(to: &str, text: &str) -> String {
    captures_of(to).iter().fold(to.to_owned(), |name, capture| {
        name.replace(&format!("${{{capture}}}"), text).replace(&format!("${capture}"), text)
    })
}

/// What Kafka would refuse, and why most of such names are written.
pub fn no_topic_name(name: &str) -> String {
    let mend = match name.contains(['*', '(', '$', '[', '+', '\\']) {
        true => "; write `pattern` instead of `topic` if it is to match names",
        false => "",
    };
    format!(
        "`{name}` is no legal name for a topic; use letters, digits, `.`, `_`, `-`, at most {TOPIC_NAME_CHARS_MAX} of them{mend}"
    )
}

fn follows_rule(name: &str) -> bool {
    let is_word = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let version = |text: &str| text.strip_prefix('v').is_some_and(|n| !n.starts_with('0') && n.parse::<u32>().is_ok());
    matches!(name.split('.').collect::<Vec<_>>()[..], [domain, noun, last] if is_word(domain) && is_word(noun) && version(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> Vec<String> {
        let mirrors: Mirrors = serde_json::from_str(json).unwrap();
        problems(&mirrors, ["old", "new"].into_iter())
    }

    #[test]
    fn what_can_be_meant_is_not_complained_about() {
        let fine = r#"{"to-new": {"from": "old", "topics": [
            {"topic": "orders", "to": "shop.orders.v1"},
            {"pattern": "legacy-(?<domain>[a-z]+)-(.*)", "to": "${domain}.${2}.v1"},
            {"pattern": ".*", "to": "$0"}], "exclude": ["tmp-.*"], "groups": {}, "audits": "migration.audits.v1"}}"#;
        assert_eq!(told(fine), Vec::<String>::new());
        let merged = r#"{"m": {"from": "old", "merge": true, "topics": [{"pattern": "log-.*", "to": "logs"}]}}"#;
        assert_eq!(told(merged), Vec::<String>::new());
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_place_and_mend() {
        let broken = r#"{"to new": {"from": "odl", "to": "new", "topics": [
            {"topic": "a*", "to": "b"},
            {"pattern": "(x", "to": "$1"},
            {"pattern": "p-(.*)", "to": "$1_v1"},
            {"pattern": "q-(?<name>.*)", "to": "${nmae}"},
            {"pattern": "r-.*", "to": "r"},
            {"pattern": "s-(.*)", "to": "s/$1"},
            {"topic": "p-x", "to": "b"}],
            "exclude": ["["], "shards": 0, "refresh_secs": 0, "rate_bytes_max": 0, "offsets": "Offsets",
            "audits": "migration.audits.v1",
            "config": {"copy": ["a"], "leave": ["a"], "set": {"message.timestamp.type": "LogAppendTime"}},
            "groups": {"include": ["("], "every_secs": 0, "offsets": "migration.audits.v1"}}}"#;
        let told = told(broken);
        let expected = [
            "mirrors.to new: a mirror's name",
            "mirrors.to new.from: there is no cluster `odl` under `clusters`; did you mean `old`?",
            "mirrors.to new.topics[0].topic: `a*` is no legal name",
            "mirrors.to new.topics[1].pattern: `(x` is no pattern",
            "mirrors.to new.topics[2].to: the pattern has no group `1_v1`; write `${1}` if `_v1` is to follow it",
            "mirrors.to new.topics[3].to: the pattern has no group `nmae`; did you mean `name`?",
            "mirrors.to new.topics[4].to: every topic that matches would have this one name",
            "mirrors.to new.topics[5].to: `s/$1` is no legal name",
            "mirrors.to new.topics[6]: topics[2] takes `p-x` before this",
            "mirrors.to new.topics[6].to: topics[0] copies to `b` too",
            "mirrors.to new.exclude[0]: `[` is no pattern",
            "mirrors.to new.shards: ",
            "mirrors.to new.refresh_secs: ",
            "mirrors.to new.rate_bytes_max: ",
            "mirrors.to new.config.leave[0]: `a`",
            "mirrors.to new.config.set.message.timestamp.type: ",
            "mirrors.to new.offsets: `Offsets` does not follow the rule",
            "mirrors.to new.audits: `migration.audits.v1` is that of `groups.offsets` too",
            "mirrors.to new.groups.include[0]: ",
            "mirrors.to new.groups.every_secs: ",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}\n{expected}");
        }
    }

    #[test]
    fn copies_follow_the_naming_rule_or_are_named_by_it() {
        let naming: Naming = serde_json::from_str(
            r#"{"template": "{domain}.{name}.v{n}", "fields": {"domain": "shop|pay", "name": "[a-z]+", "n": "[0-9]+"}}"#,
        )
        .unwrap();
        let json = r#"{"m": {"from": "old", "topics": [
            {"pattern": "legacy-(?<domain>[a-z]+)-(?<name>.+)", "fields": {"n": "1"}},
            {"pattern": "x-(?<name>.+)", "fields": {"n": "1"}},
            {"pattern": "y-(?<name>.+)", "fields": {"n": "one", "domain": "shop"}},
            {"topic": "orders", "to": "shop.orders"},
            {"topic": "pays", "to": "pay.pays.v2"}]}}"#;
        let mut mirrors: Mirrors = serde_json::from_str(json).unwrap();
        let unnamed = problems(&mirrors, ["old"].into_iter());
        assert!(unnamed.len() == 3 && unnamed[0].contains("write `to`, or a section `naming`"), "{unnamed:#?}");
        mirrors.values_mut().for_each(|mirror| mirror.naming = Some(naming.clone()));
        let told = problems(&mirrors, ["old"].into_iter());
        let expected = [
            "mirrors.m.topics[1]: the naming rule asks for `domain`; name a group",
            "mirrors.m.topics[2]: n `one` does not match `[0-9]+`",
            "mirrors.m.topics[3].to: `shop.orders` does not follow the naming rule `{domain}.{name}.v{n}`",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        assert!(told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected)), "{told:#?}");
        let renames = super::super::rename::Renames::new(&mirrors["m"].topics[..1], &[], Some(&naming)).unwrap();
        assert_eq!(renames.target("legacy-pay-bills").as_deref(), Some("pay.bills.v1"));
        assert!(renames.follows_rule("pay.bills.v1").is_ok() && renames.follows_rule("stock.bills.v1").is_err());
    }

    #[test]
    fn a_mirror_copies_to_another_cluster_and_divides_a_shared_topic_as_the_others_do() {
        let own = told(r#"{"m": {"topics": [{"topic": "a", "to": "b"}]}}"#);
        assert!(
            own[0].starts_with("mirrors.m: it copies from the application's own cluster to that same one"),
            "{own:?}"
        );
        let same = told(r#"{"m": {"from": "old", "to": "old", "topics": [{"topic": "a", "to": "b"}]}}"#);
        assert!(same[0].starts_with("mirrors.m.to: `old` is where it copies from, too"), "{same:?}");
        let shared = told(
            r#"{"a": {"from": "old", "shards": 2, "topics": [{"topic": "a", "to": "b"}]},
                "b": {"from": "new", "topics": [{"topic": "c", "to": "d"}]}}"#,
        );
        assert!(shared[0].starts_with("mirrors.b.shards: ") && shared.len() == 1, "{shared:?}");
        let merged = told(
            r#"{"a": {"from": "old", "merge": true, "groups": {}, "topics": [{"topic": "a", "to": "b"}, {"topic": "c", "to": "b"}]},
                "e": {"from": "old", "to": "new", "topics": []}}"#,
        );
        assert!(
            merged[0].starts_with("mirrors.a.groups: ") && merged[1].starts_with("mirrors.e.topics: "),
            "{merged:?}"
        );
        assert_eq!(merged.len(), 2, "{merged:?}");
    }
}
