//! Slack's rate limits: so many calls at once, then one an interval.
//!
//! Written for itself and not shared with the sink, which this stand-in is there to check.

use std::collections::BTreeMap;

/// `interval_ms` between calls in the long run, `burst` of them at once.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    interval_ms: i64,
    burst: i64,
}

/// About one message a second in a channel, with bursts tolerated.
pub const POSTS_PER_CHANNEL: Limit = Limit { interval_ms: 1_000, burst: 5 };

/// The tier of a method, as Slack documents it; `None` for a method that is not offered here.
pub fn of_method(method: &str) -> Option<Limit> {
    let per_minute = |calls| Some(Limit { interval_ms: 60_000 / calls, burst: calls });
    match method {
        "conversations.list" | "usergroups.users.list" | "usergroups.users.update" => per_minute(20),
        "chat.update" | "chat.delete" | "conversations.history" | "conversations.replies" | "reactions.add" => {
            per_minute(50)
        }
        // Posting is limited by channel; for a workspace Slack names no figure.
        "chat.postMessage" => per_minute(600),
        "auth.test" => per_minute(100),
        _ => None,
    }
}

/// When each limit would be free of all calls it has let through.
#[derive(Debug, Default)]
pub struct Paces {
    free_at_ms: BTreeMap<String, i64>,
}

impl Paces {
    /// Takes one call, or says after how many milliseconds to come again.
    pub fn take(&mut self, name: &str, limit: Limit, now_ms: i64) -> Result<(), i64> {
        let free_at = self.free_at_ms.get(name).copied().unwrap_or(now_ms).max(now_ms);
        let excess = free_at - now_ms - (limit.burst - 1) * limit.interval_ms;
        if excess > 0 {
            return Err(excess);
        }
        self.free_at_ms.insert(name.to_owned(), free_at + limit.interval_ms);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_an_interval() {
        let mut paces = Paces::default();
        let mut take = |at| paces.take("C1", POSTS_PER_CHANNEL, at);
        assert_eq!((0..5).map(|_| take(0)).collect::<Vec<_>>(), vec![Ok(()); 5]);
        assert_eq!(take(0), Err(1_000));
        assert_eq!(take(999), Err(1));
        assert_eq!(take(1_000), Ok(()));
        assert_eq!(take(1_000), Err(1_000));
    }
}
