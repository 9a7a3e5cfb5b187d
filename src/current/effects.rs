//! Which responses are due: whoever a silence has begun or ceased to cover, service by service.
//!
//! What is due follows from the alerts, the silences and the time alone; memory of what was told only spares saying it again, and ends
//! with the process. Work is in proportion to what has changed: a silence that is new, has begun or has ended is compared with all
//! alerts, an alert that was told is compared with all silences.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::alerts::{Alerts, Told};
use super::silences::{Known, Silences, State};
use crate::event::{Response, ResponseVerb, Silence};
use crate::record::EventTime;

/// Who says that a silence was ended, for Alertmanager's API does not tell who asks.
const BY: &str = "alertmanager-api";

#[derive(Debug, Default)]
pub struct Effects {
    changed: Changed,
    /// Up to this time it was seen which silences begin.
    seen: EventTime,
    /// Fingerprints for which a silence, as it was updated last, was told.
    told: BTreeMap<String, (i64, BTreeSet<String>)>,
}

/// To be compared.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    silences: BTreeSet<String>,
    fingerprints: BTreeSet<String>,
}

/// Responses, and what is to be looked at again if they cannot be stored.
#[derive(Debug, Default)]
pub struct Due {
    pub responses: Vec<Response>,
    changed: Changed,
}

impl Effects {
    pub fn alert_changed(&mut self, fingerprint: &str) {
        self.changed.fingerprints.insert(fingerprint.to_owned());
    }

    pub fn silence_changed(&mut self, id: &str) {
        self.changed.silences.insert(id.to_owned());
    }

    /// Takes what has changed; [`Effects::stored`] or [`Effects::not_stored`] is to be told.
    pub fn due(&mut self, alerts: &Alerts, silences: &Silences, now: EventTime) -> Due {
        let begun = silences.iter().map(|known| &known.silence);
        let begun = begun.filter(|silence| (self.seen.0..now.0).contains(&(silence.starts_at_ms - 1)));
        self.changed.silences.extend(begun.map(|silence| silence.id.clone()));
        self.seen = now;
        self.told.retain(|id, _| silences.get(id).is_some());
        let changed = std::mem::take(&mut self.changed);
        let told_again: Vec<&Told> = changed.fingerprints.iter().filter_map(|changed| alerts.get(changed)).collect();
        let mut covered: BTreeMap<(ResponseVerb, &str, &str), Vec<&Told>> = BTreeMap::new();
        for known in silences.iter() {
            let Some(verb) = verb(known, now) else { continue };
            let take = |told: &Told| self.concerns(known, verb, told);
            let concerned: Vec<&Told> = if changed.silences.contains(&known.silence.id) {
                alerts.iter().filter(|told| take(told)).collect()
            } else {
                told_again.iter().copied().filter(|told| take(told)).collect()
            };
            for told in concerned {
                covered.entry((verb, &known.silence.id, &told.alert.service)).or_default().push(told);
            }
        }
        // A silence is told before the one that it replaces is taken back.
        let responses = covered.into_iter().filter_map(|((verb, id, service), covered)| {
            Some(response(&silences.get(id)?.silence, verb, service, &covered))
        });
        Due { responses: responses.collect(), changed }
    }

    /// Every response is durable.
    pub fn stored(&mut self, due: &Due, silences: &Silences) {
        for response in &due.responses {
            let Some(known) = response.silence_id.as_deref().and_then(|id| silences.get(id)) else { continue };
            let Silence { id, updated_at_ms, .. } = &known.silence;
            let (of, told) = self.told.entry(id.clone()).or_default();
            if of != updated_at_ms {
                (*of, *told) = (*updated_at_ms, BTreeSet::new());
            }
            told.extend(response.fingerprints.iter().cloned());
        }
    }

    /// They are to be told again.
    pub fn not_stored(&mut self, due: Due) {
        self.changed.silences.extend(due.changed.silences);
        self.changed.fingerprints.extend(due.changed.fingerprints);
    }

    fn concerns(&self, known: &Known, verb: ResponseVerb, told: &Told) -> bool {
        let Silence { id, updated_at_ms, ends_at_ms, .. } = &known.silence;
        let alert = &told.alert;
        let bears_it = alert.muted_by.as_deref() == Some(id);
        let at_hand = match verb {
            ResponseVerb::Silence => bears_it && alert.muted_until_ms == Some(*ends_at_ms),
            // It began when nobody was silenced any more, and who received it knew.
            _ => alert.starts_at_ms > *ends_at_ms && !bears_it,
        };
        let was_told =
            || self.told.get(id).is_some_and(|(of, told)| of == updated_at_ms && told.contains(&*alert.fingerprint));
        !at_hand && known.matches(&alert.labels) && !was_told()
    }
}

fn verb(known: &Known, now: EventTime) -> Option<ResponseVerb> {
    match known.state(now) {
        State::Active => Some(ResponseVerb::Silence),
        State::Expired if known.was_cut_short() => Some(ResponseVerb::Unsilence),
        State::Expired | State::Pending => None,
    }
}

fn response(silence: &Silence, verb: ResponseVerb, service: &str, covered: &[&Told]) -> Response {
    let fingerprints: Vec<String> = covered.iter().map(|told| told.alert.fingerprint.to_string()).collect();
    let silences = verb == ResponseVerb::Silence;
    let said = if silences { "silence" } else { "unsilence" };
    let mut hash = Sha256::new();
    for part in [said, service].into_iter().chain(fingerprints.iter().map(String::as_str)) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hex::encode(&hash.finalize()[..8]);
    Response {
        id: format!("{}/{}/{digest}", silence.id, silence.updated_at_ms),
        service: service.to_owned(),
        incident_id: None,
        version: 0,
        verb,
        by: if silences { silence.created_by.clone() } else { BY.to_owned() },
        by_name: None,
        at_ms: if silences { silence.updated_at_ms.max(silence.starts_at_ms) } else { silence.ends_at_ms },
        until_ms: silences.then_some(silence.ends_at_ms),
        assignee: None,
        action: None,
        silence_id: Some(silence.id.clone()),
        fingerprints,
        comment: (silences && !silence.comment.is_empty()).then(|| silence.comment.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::alerts::tests::alert;
    use super::super::silences::tests::{known, silence};
    use super::*;
    use crate::event::Alert;
    use crate::record::Offset;

    const NOW: EventTime = EventTime(50_000);

    fn firing<const N: usize>(alerts: [Alert<'static>; N]) -> Alerts {
        let mut firing = Alerts::default();
        for alert in alerts {
            firing.apply(alert, EventTime(20_000));
        }
        firing
    }

    /// A process that has just started and has read everything.
    fn started(silences: &Silences) -> Effects {
        let mut effects = Effects::default();
        silences.iter().for_each(|known| effects.silence_changed(&known.silence.id));
        effects
    }

    fn said(due: &Due) -> Vec<(ResponseVerb, &str, usize)> {
        due.responses.iter().map(|r| (r.verb, r.service.as_str(), r.fingerprints.len())).collect()
    }

    #[test]
    fn each_service_hears_once_of_its_alerts_and_a_restart_says_the_same() {
        let alerts = firing([
            alert(&[("a", "1"), ("service", "x"), ("n", "1")]),
            alert(&[("a", "1"), ("service", "x"), ("n", "2")]),
            alert(&[("a", "1"), ("service", "y")]),
            alert(&[("a", "2"), ("service", "z")]),
        ]);
        let silences = known([silence("s", "a", "1")]);
        let mut effects = started(&silences);
        let due = effects.due(&alerts, &silences, NOW);
        assert_eq!(said(&due), [(ResponseVerb::Silence, "x", 2), (ResponseVerb::Silence, "y", 1)]);
        let first = &due.responses[0];
        assert_eq!((first.by.as_str(), first.until_ms, first.at_ms), ("maria", Some(100_000), 10_000));
        assert_eq!((first.silence_id.as_deref(), first.comment.as_deref()), (Some("s"), Some("a deploy")));
        assert_eq!(started(&silences).due(&alerts, &silences, EventTime(60_000)).responses, due.responses);
        effects.stored(&due, &silences);
        alerts.iter().for_each(|told| effects.alert_changed(&told.alert.fingerprint));
        effects.silence_changed("s");
        assert!(effects.due(&alerts, &silences, NOW).responses.is_empty(), "all is told");
    }

    #[test]
    fn what_could_not_be_stored_is_due_again() {
        let (alerts, silences) = (firing([alert(&[("a", "1")])]), known([silence("s", "a", "1")]));
        let mut effects = started(&silences);
        let due = effects.due(&alerts, &silences, NOW);
        let before = due.responses.clone();
        effects.not_stored(due);
        assert_eq!(effects.due(&alerts, &silences, NOW).responses, before);
    }

    #[test]
    fn one_that_begins_later_is_told_when_it_begins() {
        let (alerts, silences) = (firing([alert(&[("a", "1")])]), known([silence("s", "a", "1")]));
        let mut effects = started(&silences);
        assert!(effects.due(&alerts, &silences, EventTime(9_999)).responses.is_empty());
        assert_eq!(said(&effects.due(&alerts, &silences, EventTime(10_000))).len(), 1);
        assert!(effects.due(&alerts, &silences, EventTime(10_001)).responses.is_empty());
    }

    #[test]
    fn an_alert_that_bears_the_silence_needs_no_word_and_one_that_slipped_past_it_does() {
        let one = alert(&[("a", "1")]);
        let marked = Alert { muted_by: Some("s".into()), muted_until_ms: Some(100_000), ..one.clone() };
        let silences = known([silence("s", "a", "1")]);
        let mut effects = started(&silences);
        assert!(effects.due(&firing([marked]), &silences, NOW).responses.is_empty());
        effects.alert_changed(&one.fingerprint);
        assert_eq!(said(&effects.due(&firing([one]), &silences, NOW)).len(), 1);
    }

    #[test]
    fn another_end_is_told_again_and_an_early_one_taken_back() {
        let alerts = firing([alert(&[("a", "1")])]);
        let mut silences = known([silence("s", "a", "1")]);
        let mut effects = started(&silences);
        let tell = |effects: &mut Effects, silences: &Silences| {
            effects.silence_changed("s");
            let due = effects.due(&alerts, silences, NOW);
            effects.stored(&due, silences);
            due.responses
        };
        let first = tell(&mut effects, &silences);
        let longer = Silence { ends_at_ms: 200_000, updated_at_ms: 20_000, ..silence("s", "a", "1") };
        silences.apply("s", Some(longer.clone()), Offset(5)).unwrap();
        let second = tell(&mut effects, &silences);
        assert_eq!(second[0].until_ms, Some(200_000));
        assert_ne!(first[0].id, second[0].id);
        let ended = Silence { ends_at_ms: 40_000, updated_at_ms: 40_000, ..longer };
        silences.apply("s", Some(ended.clone()), Offset(6)).unwrap();
        let third = tell(&mut effects, &silences);
        assert_eq!((third[0].verb, third[0].at_ms, third[0].until_ms), (ResponseVerb::Unsilence, 40_000, None));
        assert!(tell(&mut effects, &silences).is_empty());
        // Who was away meanwhile takes it back too.
        assert_eq!(started(&silences).due(&alerts, &silences, NOW).responses, third);
        let later = Alert { starts_at_ms: 45_000, ..alert(&[("a", "1")]) };
        assert!(started(&silences).due(&firing([later.clone()]), &silences, NOW).responses.is_empty());
        // Received by a process that did not know yet.
        let marked = Alert { muted_by: Some("s".into()), muted_until_ms: Some(200_000), ..later };
        assert_eq!(said(&started(&silences).due(&firing([marked]), &silences, NOW)).len(), 1);
        let by_itself = Silence { updated_at_ms: 10_000, ..ended };
        let silences = known([by_itself]);
        assert!(started(&silences).due(&alerts, &silences, NOW).responses.is_empty(), "its end was told");
    }

    #[test]
    fn a_silence_that_replaces_another_is_told_before_that_one_is_taken_back() {
        let alerts = firing([alert(&[("a", "1")])]);
        let old = Silence { ends_at_ms: 40_000, updated_at_ms: 40_000, ..silence("a-old", "a", "1") };
        let silences = known([old, Silence { starts_at_ms: 40_000, ..silence("b-new", "a", "1") }]);
        let verbs: Vec<_> =
            started(&silences).due(&alerts, &silences, NOW).responses.into_iter().map(|told| told.verb).collect();
        assert_eq!(verbs, [ResponseVerb::Silence, ResponseVerb::Unsilence]);
    }
}
