//! The way back of a flow: which clusters, which names, and which flows are each other's opposite.
//!
//! Invariants: names are inverted only where they can be: one copy, one original. Of a pair of opposite flows each copies only what is
//! native on its source, so nothing goes round.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::BTreeMap;

use super::rename::Renames;
use super::{Mirror, Mirrors};

/// The flow in the other direction, if there is one: the one that this reverses, or the one that reverses this.
pub fn opposite<'m>(mirrors: &'m Mirrors, flow: &str) -> Option<&'m str> {
    let reversed = mirrors.get(flow).and_then(|mirror| mirror.reverse_of.as_deref());
    reversed.or_else(|| {
        mirrors.iter().find(|(_, mirror)| mirror.reverse_of.as_deref() == Some(flow)).map(|(name, _)| name.as_str())
    })
}

/// Names of the clusters that a flow reads and writes; `None` is the application's own. A reverse one has the other's, exchanged.
pub fn clusters<'m>(mirrors: &'m Mirrors, mirror: &'m Mirror) -> (Option<&'m str>, Option<&'m str>) {
    match mirror.reverse_of.as_ref().and_then(|forward| mirrors.get(forward)) {
        Some(forward) => (forward.to.as_deref(), forward.from.as_deref()),
        None => (mirror.from.as_deref(), mirror.to.as_deref()),
    }
}

/// By the copy's name, that of its original: over the topics that the forward flow can read. Fails with the copy that has several.
pub fn inverted<'t>(
    renames: &Renames,
    originals: impl IntoIterator<Item = &'t str>,
) -> Result<BTreeMap<String, String>, String> {
    let mut inverted = BTreeMap::<String, String>::new();
    for original in originals {
        let Some(copy) = renames.target(original) else { continue };
        match inverted.get(&copy) {
            Some(other) if other != original => {
                return Err(format!("`{copy}` is the copy of `{other}` and of `{original}`: there is no one way back"));
            }
            _ => drop(inverted.insert(copy, original.to_owned())),
        }
    }
    Ok(inverted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::rename::Rename;

    #[test]
    fn a_pair_knows_each_other_and_has_clusters_exchanged() {
        let yaml = "
out: { from: old, topics: [{ pattern: '(.*)', to: 'new.$1' }] }
back: { reverse_of: out }
alone: { to: old, topics: [{ topic: a, to: b }] }
";
        let mirrors: Mirrors = serde_saphyr::from_str(yaml).unwrap();
        let opposites = ["out", "back", "alone", "none"].map(|flow| opposite(&mirrors, flow));
        assert_eq!(opposites, [Some("back"), Some("out"), None, None]);
        let of = |flow: &str| clusters(&mirrors, &mirrors[flow]);
        assert_eq!(
            [of("out"), of("back"), of("alone")],
            [(Some("old"), None), (None, Some("old")), (None, Some("old"))]
        );
    }

    #[test]
    fn names_are_inverted_where_they_can_be() {
        let pattern = Rename::Pattern { pattern: "([a-z])-?([a-z])".into(), to: "$1.$2".into() };
        let renames = Renames::new(&[pattern], &[]).unwrap();
        let found = inverted(&renames, ["a-b", "cd", "long name"]).unwrap();
        assert_eq!(found, BTreeMap::from([("a.b".into(), "a-b".into()), ("c.d".into(), "cd".into())]));
        assert!(inverted(&renames, ["a-b", "ab"]).unwrap_err().contains("`a.b` is the copy of `a-b` and of `ab`"));
    }
}
