//! Which deliveries were stored already: what their senders send once more is answered, and not told twice.
//!
//! Invariants: an id is remembered only once its facts are durable, so that a delivery that failed is taken when it comes
//! again. Memory is bounded: of each endpoint the last [`REMEMBERED`] ids. It ends with the process, and other processes have
//! their own: a delivery told twice all the same has facts of the same identity.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// More than any sender sends within the time in which it tries again.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub struct Deliveries(BTreeMap<&'static str, Stored>);

#[derive(Debug, Default)]
struct Stored {
    ids: BTreeSet<String>,
    /// The oldest first.
    order: VecDeque<String>,
}

impl Deliveries {
    pub fn knows(&self, endpoint: &'static str, id: &str) -> bool {
        self.0.get(endpoint).is_some_and(|stored| stored.ids.contains(id))
    }

    pub fn remember(&mut self, endpoint: &'static str, id: &str) {
        let stored = self.0.entry(endpoint).or_default();
        if !stored.ids.insert(id.to_owned()) {
            return;
        }
        stored.order.push_back(id.to_owned());
        if stored.order.len() > REMEMBERED
            && let Some(oldest) = stored.order.pop_front()
        {
            stored.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ids_of_each_endpoint_are_known() {
        let mut deliveries = Deliveries::default();
        for n in 0..=REMEMBERED {
            deliveries.remember("/a", &n.to_string());
        }
        assert!(!deliveries.knows("/a", "0") && deliveries.knows("/a", "1"));
        assert!(!deliveries.knows("/b", "1"));
        deliveries.remember("/a", "1");
        assert_eq!(deliveries.0["/a"].order.len(), REMEMBERED, "one that is known is not counted again");
    }
}
