//! What mirrors need, each on both of its clusters.
//!
//! Kafka's rules know names and beginnings of names, no patterns: a rule for a pattern covers what all its names begin with, and every
//! topic or group where that is nothing. Who runs `fairlead mirror` needs the same as `fairlead run`.

use super::{CLUSTER, Needs, Operation, Pattern, Resource};
use crate::mirror::rename::Rename;
use crate::mirror::{Groups, Mirror};
use crate::topology::plan::Topology;

const PART: &str = "mirror";
/// AlterConfigs implies DescribeConfigs.
const COPIES: [Operation; 5] =
    [Operation::Read, Operation::Write, Operation::Create, Operation::Alter, Operation::AlterConfigs];
const FACTS: [Operation; 4] = [Operation::Read, Operation::Write, Operation::Create, Operation::DescribeConfigs];

/// A name, or what names begin with.
type Named = (Pattern, String);

pub(super) fn needs(topology: &Topology, needs: &mut Needs) {
    let mirrors = &topology.settings.mirrors;
    for (flow, mirror) in mirrors {
        let forward = mirror.reverse_of.as_ref().and_then(|forward| mirrors.get(forward));
        let named = forward.unwrap_or(mirror);
        let originals: Vec<Named> = named.topics.iter().map(original).collect();
        let copies: Vec<Named> = named.topics.iter().map(|rename| copy(rename, named)).collect();
        let groups = mirror.groups.iter().flat_map(groups);
        let groups: Vec<Named> = groups.collect();
        let (source, target, read, written) = match forward {
            Some(forward) => (&forward.to, &forward.from, copies, originals),
            None => (&mirror.from, &mirror.to, originals, copies),
        };
        needs.cluster.clone_from(source);
        of_source(topology, needs, flow, mirror, &read, &groups);
        if let Some(forward) = forward {
            // What is native there is told by the ranges of the way there.
            needs.topic(PART, &forward.offsets, Operation::Read);
        }
        needs.cluster.clone_from(target);
        of_target(topology, needs, flow, mirror, &written, &groups);
    }
    needs.cluster = None;
}

fn of_source(topology: &Topology, needs: &mut Needs, flow: &str, mirror: &Mirror, topics: &[Named], groups: &[Named]) {
    let names = &topology.names;
    for (pattern, name) in topics {
        for operation in [Operation::Read, Operation::DescribeConfigs] {
            needs.add(PART, Resource::Topic, *pattern, name.clone(), operation);
        }
    }
    // Who reads outside a group asks for its coordinator all the same.
    for group in [names.mirror_group(flow), names.reader_group()] {
        needs.add(PART, Resource::Group, Pattern::Literal, group, Operation::Describe);
    }
    for (pattern, name) in groups {
        needs.add(PART, Resource::Group, *pattern, name.clone(), Operation::Describe);
    }
    if mirror.acls {
        needs.add(PART, Resource::Cluster, Pattern::Literal, CLUSTER.to_owned(), Operation::Describe);
    }
}

fn of_target(topology: &Topology, needs: &mut Needs, flow: &str, mirror: &Mirror, topics: &[Named], groups: &[Named]) {
    let names = &topology.names;
    for (pattern, name) in topics {
        COPIES.iter().for_each(|operation| needs.add(PART, Resource::Topic, *pattern, name.clone(), *operation));
    }
    let of_groups = mirror.groups.as_ref().map(|groups| &groups.offsets);
    for facts in [Some(&mirror.offsets), mirror.audits.as_ref(), of_groups].into_iter().flatten() {
        FACTS.iter().for_each(|operation| needs.topic(PART, facts, *operation));
    }
    let audits = mirror.audits.as_ref().map(|_| names.mirror_audit_group(flow));
    for group in [Some(names.mirror_group(flow)), audits].into_iter().flatten() {
        needs.add(PART, Resource::TransactionalId, Pattern::Prefixed, format!("{group}."), Operation::Write);
        needs.add(PART, Resource::Group, Pattern::Literal, group, Operation::Read);
    }
    needs.add(PART, Resource::Group, Pattern::Literal, names.reader_group(), Operation::Describe);
    // To commit for them.
    for (pattern, name) in groups {
        needs.add(PART, Resource::Group, *pattern, name.clone(), Operation::Read);
    }
    if mirror.acls {
        for operation in [Operation::Describe, Operation::Alter] {
            needs.add(PART, Resource::Cluster, Pattern::Literal, CLUSTER.to_owned(), operation);
        }
    }
}

fn original(rename: &Rename) -> Named {
    match rename {
        Rename::Topic { topic, .. } => (Pattern::Literal, topic.clone()),
        Rename::Pattern { pattern, .. } | Rename::ByRule { pattern, .. } => beginning(pattern),
    }
}

fn copy(rename: &Rename, mirror: &Mirror) -> Named {
    // What cannot be read is complained about elsewhere.
    let to = rename.to(mirror.naming.as_ref()).unwrap_or_default();
    match rename {
        Rename::Topic { .. } => (Pattern::Literal, to),
        Rename::Pattern { .. } | Rename::ByRule { .. } => match to.split_once('$') {
            Some((before, _)) => begins_with(before),
            None => (Pattern::Literal, to),
        },
    }
}

fn groups(groups: &Groups) -> impl Iterator<Item = Named> {
    groups.include.iter().map(|pattern| beginning(pattern))
}

fn begins_with(text: &str) -> Named {
    if text.is_empty() { (Pattern::Literal, "*".to_owned()) } else { (Pattern::Prefixed, text.to_owned()) }
}

/// What all names begin with that match. The name itself if it is no more than one.
fn beginning(pattern: &str) -> Named {
    let mut text = String::new();
    let mut signs = pattern.chars().peekable();
    while let Some(sign) = signs.next() {
        let sign = match sign {
            '\\' if signs.peek().is_some_and(char::is_ascii_punctuation) => signs.next().unwrap_or_default(),
            '\\' | '.' | '(' | '[' | '^' | '$' | '|' => return cut(&text, pattern),
            sign => sign,
        };
        if signs.peek().is_some_and(|next| matches!(next, '*' | '+' | '?' | '{')) {
            return cut(&text, pattern);
        }
        text.push(sign);
    }
    (Pattern::Literal, text)
}

/// Where one of several ways may be gone nothing is sure.
fn cut(text: &str, pattern: &str) -> Named {
    let mut depth = 0;
    let is_open = pattern.chars().any(|sign| {
        depth += i32::from(sign == '(') - i32::from(sign == ')');
        sign == '|' && depth == 0
    });
    begins_with(if is_open { "" } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_covered_by_what_all_its_names_begin_with() {
        let covered = |pattern: &str| {
            let (kind, name) = beginning(pattern);
            format!("{name}{}", if kind == Pattern::Prefixed { "*" } else { "" })
        };
        for (pattern, expected) in [
            ("legacy-(?<domain>[a-z]+)-(.+)", "legacy-*"),
            (r"shop\.orders\..*", "shop.orders.*"),
            ("orders", "orders"),
            ("orders?", "order*"),
            ("ab*c", "a*"),
            (".*", "*"),
            ("a.*|b.*", "*"),
            ("a(x|y)", "a*"),
            ("(a)|b", "*"),
            (r"a\d+", "a*"),
        ] {
            assert_eq!(covered(pattern), expected, "{pattern}");
        }
    }
}
