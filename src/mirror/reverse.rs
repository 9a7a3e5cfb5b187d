//! The way back of a flow: which clusters, which names, and which flows are each other's opposite.
//!
//! Invariants: names are inverted only where they can be: one copy, one original. Of a pair of opposite flows each copies only what is
//! native on its source, so nothing goes round.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::{BTreeMap, BTreeSet};

use super::rename::{Rename, Renames};
use super::selection::{Complaint, listed};
use super::{Mirror, Mirrors};

/// The flows that copy from the target of this one to its source; of mirrors whose clusters are named.
pub fn opposites<'m>(
    mirrors: impl Iterator<Item = (&'m str, &'m Mirror)> + Clone,
    flow: &'m str,
) -> impl Iterator<Item = &'m str> {
    let this = mirrors.clone().find(|(name, _)| *name == flow).map(|(_, mirror)| (&mirror.to, &mirror.from));
    mirrors.filter(move |(_, other)| this == Some((&other.from, &other.to))).map(|(name, _)| name)
}

/// A reverse mirror written out: the clusters of the one that it reverses, exchanged, and the names of `originals`, the topics on
/// that one's source, turned round. Of any other mirror, itself.
pub fn written_out<'t>(
    mirrors: &Mirrors,
    mirror: &Mirror,
    originals: impl IntoIterator<Item = &'t str>,
) -> Result<Mirror, String> {
    let Some(forward) = mirror.reverse_of.as_ref().and_then(|forward| mirrors.get(forward)) else {
        return Ok(mirror.clone());
    };
    let renames = Renames::of(forward)?;
    // What has no way back is told when the clusters are looked at.
    let (names, _) = inverted(&renames, originals);
    let names = names.into_iter().map(|(topic, to)| Rename::Topic { topic, to }).collect();
    Ok(Mirror { from: forward.to.clone(), to: forward.from.clone(), topics: names, naming: None, ..mirror.clone() })
}

/// By the copy's name, that of its original: over the topics that the forward flow can read. Not of the copies that have several, which
/// are told.
pub fn inverted<'t>(
    renames: &Renames,
    originals: impl IntoIterator<Item = &'t str>,
) -> (BTreeMap<String, String>, Vec<Complaint>) {
    let mut by_copy = BTreeMap::<String, BTreeSet<&str>>::new();
    for original in originals {
        if let Some(copy) = renames.target(original) {
            by_copy.entry(copy).or_default().insert(original);
        }
    }
    let (mut inverted, mut ambiguous) = (BTreeMap::new(), Vec::new());
    for (copy, originals) in by_copy {
        let originals: Vec<&str> = originals.into_iter().collect();
        match *originals {
            [original] => drop(inverted.insert(copy, original.to_owned())),
            _ => {
                let message = format!("it is the copy of {}: there is no one way back", listed(&originals));
                ambiguous.push(Complaint::of(&copy, message));
            }
        }
    }
    (inverted, ambiguous)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reverse_mirror_is_written_out_and_then_each_is_the_other_s_opposite() {
        let yaml = "
out: { from: old, topics: [{ pattern: '(.*)', to: 'new.$1' }], exclude: ['secret'] }
back: { reverse_of: out, shards: 2 }
alone: { to: older, topics: [{ topic: a, to: b }] }
";
        let mirrors: Mirrors = serde_saphyr::from_str(yaml).unwrap();
        let out = |flow: &str| written_out(&mirrors, &mirrors[flow], ["a", "secret"]).unwrap();
        let written: Mirrors = mirrors.keys().map(|flow| (flow.clone(), out(flow))).collect();
        let back = &written["back"];
        assert_eq!((back.from.as_deref(), back.to.as_deref(), back.shards), (None, Some("old"), 2));
        assert_eq!(back.topics, [Rename::Topic { topic: "new.a".into(), to: "a".into() }]);
        let all = || written.iter().map(|(name, mirror)| (name.as_str(), mirror));
        let of = |flow| opposites(all(), flow).collect::<Vec<_>>();
        assert_eq!([of("out"), of("back"), of("alone")], [vec!["back"], vec!["out"], vec![]]);
    }

    #[test]
    fn names_are_inverted_where_they_can_be() {
        let pattern = Rename::Pattern { pattern: "([a-z])-?([a-z])".into(), to: "$1.$2".into() };
        let renames = Renames::new(&[pattern], &[], None).unwrap();
        let names = BTreeMap::from([("a.b".into(), "a-b".into()), ("c.d".into(), "cd".into())]);
        assert_eq!(inverted(&renames, ["a-b", "cd", "long name"]), (names, Vec::new()));
        let (names, ambiguous) = inverted(&renames, ["a-b", "ab", "cd"]);
        assert_eq!(names, BTreeMap::from([("c.d".into(), "cd".into())]));
        let why = "it is the copy of `a-b`, `ab`: there is no one way back";
        assert_eq!(ambiguous, [Complaint::of("a.b", why)]);
    }
}
