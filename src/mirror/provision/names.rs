//! What the copies of a flow are called, as far as is known by now: the names of a way back are those of the way there turned round, over
//! the topics that there are, and topics are created later.
//!
//! Invariants: clones are one, so that whoever looks at the clusters tells all others; a copy of which several topics are the original has
//! no way back, and that is told.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::mirror::rename::Renames;
use crate::mirror::reverse::inverted;
use crate::mirror::selection::Complaint;

#[derive(Clone)]
pub struct KnownNames(Arc<Known>);

struct Known {
    /// Whose way back this is; names of any other flow do not change.
    forward: Option<Renames>,
    now: RwLock<Arc<Renames>>,
}

impl KnownNames {
    pub fn fixed(renames: Renames) -> Self {
        Self(Arc::new(Known { forward: None, now: RwLock::new(Arc::new(renames)) }))
    }

    /// Of the way back of `forward`; `now`: as of the first look.
    pub fn of_way_back(forward: Renames, now: Renames) -> Self {
        Self(Arc::new(Known { forward: Some(forward), now: RwLock::new(Arc::new(now)) }))
    }

    pub fn now(&self) -> Arc<Renames> {
        self.0.now.read().clone()
    }

    /// The name of its copy; `None`: it is not copied.
    pub fn target(&self, topic: &str) -> Option<String> {
        self.now().target(topic)
    }

    /// `originals`: what the way there can read now. Answers which copies have no way back.
    pub fn look<'t>(&self, originals: impl IntoIterator<Item = &'t str>) -> Vec<Complaint> {
        let Some(forward) = &self.0.forward else { return Vec::new() };
        let (names, ambiguous) = inverted(forward, originals);
        *self.0.now.write() = Arc::new(Renames::of_table(names));
        ambiguous
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::rename::Rename;

    #[test]
    fn a_topic_that_is_created_later_has_a_way_back_from_then_on() {
        let out = [Rename::Pattern { pattern: "(.)-?".into(), to: "new.$1".into() }];
        let out = Renames::new(&out, &[], None).unwrap();
        let back = KnownNames::of_way_back(out.clone(), Renames::new(&[], &[], None).unwrap());
        let other = back.clone();
        assert_eq!(back.look(["a"]), []);
        assert_eq!((other.target("new.a"), other.target("new.b")), (Some("a".into()), None));
        let told = back.look(["a", "a-", "b"]);
        assert_eq!(told.iter().map(|told| told.topic.as_deref()).collect::<Vec<_>>(), [Some("new.a")]);
        assert_eq!((other.target("new.a"), other.target("new.b")), (None, Some("b".into())));
        let fixed = KnownNames::fixed(out);
        fixed.look(["a"]);
        assert_eq!(fixed.target("c"), Some("new.c".into()));
    }
}
