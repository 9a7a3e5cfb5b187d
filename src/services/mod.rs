//! The service catalogue: who owns what, where to read more about it, and which service depends on which. The section `services` of a
//! topology's files, in one of them or spread over several.
//!
//! It belongs to no operator: each that asks for it (`Operator::SECTIONS`) finds it in its configuration. What a team is called in
//! Slack is not here but with the mentions of the operator that tells Slack.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

pub mod backstage;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::event::words::suggest;

/// By name, as alerts and deploys name them.
pub type Services = BTreeMap<String, Service>;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// A team's name, or the Slack id of a user group (`S…`) or a person (`U…`, `W…`).
    pub owner: Option<String>,
    /// Where to read what to do, if no alert says it.
    pub runbook: Option<String>,
    /// Where to look at it, if no alert says it.
    pub dashboard: Option<String>,
    /// The services without which this one fails.
    #[serde(default)]
    pub depends_on: Vec<String>,
}

/// Names that nobody bears, and cycles: who depends on itself would hide itself.
pub fn dependency_problems(services: &Services) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, service) in services {
        for (at, other) in service.depends_on.iter().enumerate() {
            let place = format!("services.{name}.depends_on[{at}]");
            if !services.contains_key(other) {
                let known = suggest(other, services.keys().map(String::as_str));
                problems.push(format!("{place}: `{other}` is not in the service catalogue{known}"));
            } else if service.depends_on[..at].contains(other) {
                problems.push(format!("{place}: `{other}` is there twice"));
            }
        }
    }
    let mut told = BTreeSet::new();
    for name in services.keys() {
        if let Some(cycle) = cycle_from(services, name)
            && !cycle.iter().any(|service| told.contains(service))
        {
            let way = cycle.join(" → ");
            problems.push(format!("services.{name}.depends_on: a service cannot depend on itself: {way} → {name}"));
            told.extend(cycle);
        }
    }
    problems
}

/// A way along the dependencies back to where it began, without its end.
fn cycle_from<'a>(services: &'a Services, start: &'a str) -> Option<Vec<&'a str>> {
    let mut seen = BTreeSet::new();
    let mut ways = vec![vec![start]];
    while let Some(way) = ways.pop() {
        let depends_on = way.last().and_then(|last| services.get(*last)).map(|service| &service.depends_on);
        for next in depends_on.into_iter().flatten() {
            if next == start {
                return Some(way);
            }
            if seen.insert(next.as_str()) {
                ways.push(way.iter().copied().chain([next.as_str()]).collect());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(dependencies: &[(&str, &[&str])]) -> Vec<String> {
        let service = |depends_on: &[&str]| Service {
            depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
            ..Service::default()
        };
        dependency_problems(&dependencies.iter().map(|(name, on)| ((*name).to_owned(), service(on))).collect())
    }

    #[test]
    fn dependencies_are_known_and_lead_nowhere_back() {
        assert_eq!(problems(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[]), ("d", &["a"])]), [""; 0]);
        let unknown = problems(&[("checkout", &["paymens", "payments", "payments"]), ("payments", &[])]);
        assert_eq!(
            unknown,
            [
                "services.checkout.depends_on[0]: `paymens` is not in the service catalogue; did you mean `payments`?",
                "services.checkout.depends_on[2]: `payments` is there twice"
            ]
        );
        assert_eq!(
            problems(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"]), ("e", &["e"])]),
            [
                "services.a.depends_on: a service cannot depend on itself: a → b → c → a",
                "services.e.depends_on: a service cannot depend on itself: e → e"
            ]
        );
    }
}
