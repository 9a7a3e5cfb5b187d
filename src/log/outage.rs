//! That Kafka is away is told once when it begins and once when it is over, however many clients notice it how often.
//!
//! It is over when a client had an answer and none has noticed it for a while: one that cannot reach Kafka while others can goes on
//! noticing, and a worker that waited for a commit hears late. Clients that are polled seldom are not asked: they hear of an outage
//! when it is over.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// While it lasts somebody notices it more than once in this time.
const QUIET: Duration = Duration::from_secs(10);

/// Of one cluster, for all clients of the process.
#[derive(Default)]
pub struct Outage(Mutex<Option<Noticed>>);

#[derive(Clone, Copy)]
struct Noticed {
    first: Instant,
    last: Instant,
}

impl Outage {
    /// What a client told of itself; all that is not taken goes to the log as it is.
    pub fn hear(&self, error: KafkaError, reason: &str) {
        if !self.takes(&error) {
            DefaultClientContext.error(error, reason);
        }
    }

    /// Takes an error that says that no broker can be reached, and that one cannot: why is in a line of librdkafka's own.
    pub fn takes(&self, error: &KafkaError) -> bool {
        if !is_of_transport(error) {
            return false;
        }
        let all = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if all && self.begins(Instant::now()) {
            tracing::warn!("kafka is away: no broker can be reached; everything waits for it");
        }
        true
    }

    /// A broker has answered.
    pub fn answered(&self) {
        if let Some(lasted) = self.ends(Instant::now()) {
            tracing::info!(away_ms = lasted.as_millis(), "kafka answers again");
        }
    }

    fn begins(&self, now: Instant) -> bool {
        let mut noticed = self.noticed();
        let first = noticed.map_or(now, |noticed| noticed.first);
        noticed.replace(Noticed { first, last: now }).is_none()
    }

    fn ends(&self, now: Instant) -> Option<Duration> {
        let mut noticed = self.noticed();
        let Noticed { first, last } =
            noticed.take_if(|noticed| now.saturating_duration_since(noticed.last) >= QUIET)?;
        Some(last - first)
    }

    fn noticed(&self) -> MutexGuard<'_, Option<Noticed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn is_of_transport(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure};
    matches!(error.rdkafka_error_code(), Some(AllBrokersDown | BrokerTransportFailure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_begins_once_and_is_over_when_nobody_notices_it_any_more() {
        let (outage, began) = (Outage::default(), Instant::now());
        let after = |ms| began + Duration::from_millis(ms);
        assert_eq!(outage.ends(began), None, "there is none");
        assert!(outage.begins(began));
        assert!(!outage.begins(after(1_000)), "told already");
        assert_eq!(outage.ends(after(2_000)), None, "one client has an answer, another has none");
        assert!(!outage.begins(after(9_000)));
        assert_eq!(outage.ends(after(19_000)), Some(Duration::from_secs(9)));
        assert_eq!(outage.ends(after(20_000)), None, "told already");
        assert!(outage.begins(after(21_000)), "another one");
    }

    #[test]
    fn only_the_loss_of_all_brokers_is_an_outage() {
        let outage = Outage::default();
        assert!(!outage.takes(&KafkaError::Global(RDKafkaErrorCode::SSL)));
        assert!(outage.takes(&KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure)));
        assert!(outage.noticed().is_none());
        assert!(outage.takes(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown)));
        assert!(outage.noticed().is_some());
    }
}
