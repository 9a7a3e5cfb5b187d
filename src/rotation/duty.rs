//! Who is on call at a moment, and when others are next.

use serde::{Deserialize, Serialize};

use crate::event::Shift;

/// Somebody on call. In order of their Slack ids, which are empty where the topology knows none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OnCall {
    pub person: String,
    pub name: String,
}

/// Each once, in their order.
pub fn on_call(shifts: &[Shift], at_ms: i64) -> Vec<OnCall> {
    let now = shifts.iter().filter(|shift| (shift.starts_at_ms..shift.ends_at_ms).contains(&at_ms));
    let mut on_call: Vec<_> =
        now.map(|shift| OnCall { person: shift.person.clone(), name: shift.name.clone() }).collect();
    on_call.sort();
    on_call.dedup();
    on_call
}

/// Beginnings and ends, in no order.
pub fn boundaries(shifts: &[Shift]) -> impl Iterator<Item = i64> {
    shifts.iter().flat_map(|shift| [shift.starts_at_ms, shift.ends_at_ms])
}

/// When others are on call than at this moment, and who.
pub fn next_change(shifts: &[Shift], at_ms: i64) -> Option<(i64, Vec<OnCall>)> {
    let now = on_call(shifts, at_ms);
    let mut later: Vec<_> = boundaries(shifts).filter(|boundary| *boundary > at_ms).collect();
    later.sort_unstable();
    later.dedup();
    later.into_iter().map(|boundary| (boundary, on_call(shifts, boundary))).find(|(_, then)| *then != now)
}
