//! Which operators are fused: those joined by a port or by reading the same topic share one poll and one transaction.
//!
//! The name of a group is in the journal, in record headers and on disk. So it never depends on how many operators there
//! are: an operator alone may lend its name, several must be given one, and adding a second says so.

use std::collections::BTreeMap;

use super::wiring::{Feed, Wired, readers};
use super::{Located, Problem, check_name};

pub struct Group {
    pub name: String,
    /// Indices of operators, in an order in which every edge leads forward.
    pub members: Vec<usize>,
}

/// Without those that cannot be named or ordered.
pub fn group(operators: &[Wired<'_>], problems: &mut Vec<Problem>) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for members in components(operators) {
        let name = name(operators, &members, problems);
        let members = in_order(operators, members, problems);
        check_keys(operators, members.as_deref().unwrap_or_default(), problems);
        let (Some(name), Some(members)) = (name, members) else { continue };
        let first = &operators[members[0]];
        if let Some(other) = names.insert(name.clone(), first.name) {
            let message = format!(
                "`{}` and `{other}` are not joined, but are both in the sub-topology `{name}`; name them apart",
                first.name
            );
            problems.push(Problem::error(first.sub_topology.map_or(first.at, |name| &name.at), message));
        }
        groups.push(Group { name, members });
    }
    groups
}

/// Connected operators, each set in the order of the files.
fn components(operators: &[Wired<'_>]) -> Vec<Vec<usize>> {
    let mut component: Vec<usize> = (0..operators.len()).collect();
    let mut join = |a: usize, b: usize| {
        let (from, to) = (component[a].max(component[b]), component[a].min(component[b]));
        component.iter_mut().filter(|root| **root == from).for_each(|root| *root = to);
    };
    let mut first_reader: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, operator) in operators.iter().enumerate() {
        for input in &operator.inputs {
            match &input.feed {
                Feed::Port(other, _) => join(index, *other),
                Feed::Topic(topic) => join(index, *first_reader.entry(topic).or_insert(index)),
            }
        }
    }
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    component.iter().enumerate().for_each(|(index, root)| members.entry(*root).or_default().push(index));
    members.into_values().collect()
}

fn name(operators: &[Wired<'_>], members: &[usize], problems: &mut Vec<Problem>) -> Option<String> {
    let given: Vec<&Located<String>> = members.iter().filter_map(|member| operators[*member].sub_topology).collect();
    for name in &given {
        check_name(name, "a sub-topology", problems);
    }
    let quoted: Vec<_> = members.iter().map(|member| format!("`{}`", operators[*member].name)).collect();
    match (&given[..], members) {
        ([], [alone]) => Some(operators[*alone].name.to_owned()),
        ([], _) => {
            let message = format!(
                "{} are fused, for they are joined by ports or read the same topic; give them a name by `sub_topology:` at \
                 one of them, which stays the same when more are added",
                quoted.join(", ")
            );
            problems.push(Problem::error(operators[members[0]].at, message));
            None
        }
        ([first, rest @ ..], _) => {
            for other in rest.iter().filter(|other| other.value != first.value) {
                let message = format!(
                    "`{}` is also named `{}` (at {}), but {} are fused; choose one",
                    other.value,
                    first.value,
                    first.at,
                    quoted.join(", ")
                );
                problems.push(Problem::error(&other.at, message));
            }
            Some(first.value.clone())
        }
    }
}

/// Every edge leads forward; where that leaves a choice, the order of names decides.
fn in_order(operators: &[Wired<'_>], members: Vec<usize>, problems: &mut Vec<Problem>) -> Option<Vec<usize>> {
    let mut left = members;
    left.sort_by_key(|member| operators[*member].name);
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let fed_by_left =
            |member: usize| left.iter().any(|other| readers(operators, *other).iter().any(|(r, _)| *r == member));
        let Some(next) = left.iter().position(|member| !fed_by_left(*member)) else {
            let names: Vec<_> = left.iter().map(|member| format!("`{}`", operators[*member].name)).collect();
            let message = format!("{} wait for what they say themselves; let it go through a topic", names.join(", "));
            let first = left.iter().min().copied().unwrap_or_default();
            problems.push(Problem::error(operators[first].at, message));
            return None;
        };
        ordered.push(left.remove(next));
    }
    Some(ordered)
}

/// Fused operators share a key: what is keyed otherwise must go through a topic.
fn check_keys(operators: &[Wired<'_>], members: &[usize], problems: &mut Vec<Problem>) {
    let mut inputs = members.iter().flat_map(|member| &operators[*member].inputs);
    let Some(first) = inputs.next() else { return };
    for other in inputs.filter(|other| other.fact.keyed_by() != first.fact.keyed_by()) {
        let message = format!(
            "`{}` is keyed by {}, but `{}` by {}; facts that meet in one sub-topology must have the same key, so let it go \
             through a topic of its own",
            other.fact,
            other.fact.keyed_by(),
            first.fact,
            first.fact.keyed_by()
        );
        problems.push(Problem::error(other.at, message));
    }
}
