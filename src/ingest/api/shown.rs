//! What is known, in the JSON of Alertmanager's API v2.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::query::Query;
use crate::current::{Alerts, Known, STALE_MS, Silences, State, Told};
use crate::event::Labels;
use crate::record::EventTime;

/// Alerts that are asked for, by fingerprint.
pub fn alerts(alerts: &Alerts, silences: &Silences, query: &Query, receiver: &str, now: EventTime) -> Value {
    Value::Array(wanted(alerts, silences, query, receiver, now).map(|(_, shown)| shown).collect())
}

/// The same, service by service.
pub fn groups(alerts: &Alerts, silences: &Silences, query: &Query, receiver: &str, now: EventTime) -> Value {
    let mut groups: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (told, shown) in wanted(alerts, silences, query, receiver, now) {
        groups.entry(&told.alert.service).or_default().push(shown);
    }
    let shown =
        |(service, alerts)| json!({"labels": {"service": service}, "receiver": {"name": receiver}, "alerts": alerts});
    groups.into_iter().map(shown).collect()
}

fn wanted<'a>(
    alerts: &'a Alerts,
    silences: &'a Silences,
    query: &'a Query,
    receiver: &'a str,
    now: EventTime,
) -> impl Iterator<Item = (&'a Told, Value)> {
    let receives = query.wants_receiver(receiver);
    let fresh = move |told: &&Told| receives && told.at.plus_ms(STALE_MS) > now;
    alerts.iter().filter(fresh).filter_map(move |told| {
        let over: Vec<&str> = silences.over(&told.alert.labels, now).map(|known| &*known.silence.id).collect();
        query.wants_alert(told, !over.is_empty()).then(|| (told, alert(told, &over, receiver)))
    })
}

fn alert(told: &Told, silenced_by: &[&str], receiver: &str) -> Value {
    let alert = &told.alert;
    json!({
        "annotations": pairs(&alert.annotations),
        // As long as nobody says otherwise.
        "endsAt": time(told.at.plus_ms(STALE_MS).0),
        "fingerprint": alert.fingerprint,
        "receivers": [{"name": receiver}],
        "startsAt": time(alert.starts_at_ms),
        "status": {
            "inhibitedBy": [],
            "mutedBy": [],
            "silencedBy": silenced_by,
            "state": if silenced_by.is_empty() { "active" } else { "suppressed" },
        },
        "updatedAt": time(told.at.0),
        "generatorURL": alert.generator_url.as_deref().unwrap_or_default(),
        "labels": pairs(&alert.labels),
    })
}

/// Silences that are asked for: those in force, the next to end first; those to come, the next to begin first; those that ended,
/// the last first.
pub fn silences(silences: &Silences, query: &Query, now: EventTime) -> Value {
    let mut wanted: Vec<&Known> = silences.iter().filter(|known| query.wants_silence(known)).collect();
    wanted.sort_by_key(|known| {
        let state = known.state(now);
        let next = match state {
            State::Active => known.silence.ends_at_ms,
            State::Pending => known.silence.starts_at_ms,
            State::Expired => -known.silence.ends_at_ms,
        };
        (state, next)
    });
    wanted.into_iter().map(|known| silence(known, now)).collect()
}

pub fn silence(known: &Known, now: EventTime) -> Value {
    let told = &known.silence;
    let matchers = told.matchers.iter().map(
        |matcher| json!({"isEqual": matcher.is_equal, "isRegex": matcher.is_regex, "name": matcher.name, "value": matcher.value}),
    );
    json!({
        "id": told.id,
        "status": {"state": known.state(now).name()},
        "updatedAt": time(told.updated_at_ms),
        "comment": told.comment,
        "createdBy": told.created_by,
        "endsAt": time(told.ends_at_ms),
        "matchers": matchers.collect::<Value>(),
        "startsAt": time(told.starts_at_ms),
    })
}

pub fn receivers(receiver: &str) -> Value {
    json!([{"name": receiver}])
}

/// `up_since` is when this process began to serve.
pub fn status(receiver: &str, up_since: EventTime) -> Value {
    json!({
        "cluster": {"peers": [], "status": "disabled"},
        "config": {"original": configuration(receiver)},
        "uptime": time(up_since.0),
        "versionInfo": {
            "branch": "",
            "buildDate": "",
            "buildUser": "fairlead",
            "goVersion": "",
            "revision": "",
            "version": env!("CARGO_PKG_VERSION"),
        },
    })
}

/// What an Alertmanager that did the same would be told: `amtool` reads it as such.
fn configuration(receiver: &str) -> String {
    format!(
        "# fairlead's own is its topology: `fairlead explain` shows it.\nroute:\n  receiver: {receiver}\n  group_by: [service]\nreceivers:\n- name: \
         {receiver}\n"
    )
}

fn pairs(labels: &Labels<'_>) -> Value {
    labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

/// RFC 3339 with milliseconds.
fn time(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX });
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::current::Matcher;
    use crate::event::{Alert, Silence, SilenceMatcher};
    use crate::ingest::Mapping;
    use crate::record::Offset;

    const NOW: EventTime = EventTime(1_795_424_400_000);

    fn firing(names: &[&str]) -> Alerts {
        let mut alerts = Alerts::default();
        for name in names {
            let labels: Labels<'static> =
                [("alertname".into(), (*name).to_owned().into()), ("service".into(), "s".into())].into_iter().collect();
            let alert = Mapping::default().alert("test", (*name).to_owned(), labels, Labels::default());
            alerts.apply(Alert { starts_at_ms: NOW.0 - 1_000, ..alert }, NOW);
        }
        alerts
    }

    fn silenced(id: &str, value: &str, starts: i64, ends: i64) -> Silence {
        let matcher =
            SilenceMatcher { name: "alertname".to_owned(), value: value.to_owned(), is_regex: false, is_equal: true };
        assert!(Matcher::new(matcher.clone()).is_ok());
        Silence {
            id: id.to_owned(),
            matchers: vec![matcher],
            starts_at_ms: NOW.0 + starts,
            ends_at_ms: NOW.0 + ends,
            updated_at_ms: NOW.0,
            created_by: "maria".to_owned(),
            comment: "c".to_owned(),
        }
    }

    fn known(silences: &[Silence]) -> Silences {
        let mut known = Silences::default();
        for (silence, at) in silences.iter().zip(0..) {
            known.apply(&silence.id, Some(silence.clone()), Offset(at)).unwrap();
        }
        known
    }

    fn query(pairs: &[(&str, &str)]) -> Query {
        Query::new(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn an_alert_is_shown_as_alertmanager_shows_it() {
        let shown = alerts(&firing(&["A"]), &known(&[silenced("i", "A", -5, 5)]), &query(&[]), "fairlead", NOW);
        let expected = json!([{
            "annotations": {}, "endsAt": "2026-11-23T14:00:00.000Z", "fingerprint": "A", "generatorURL": "",
            "labels": {"alertname": "A", "service": "s"}, "receivers": [{"name": "fairlead"}],
            "startsAt": "2026-11-23T08:59:59.000Z", "updatedAt": "2026-11-23T09:00:00.000Z",
            "status": {"inhibitedBy": [], "mutedBy": [], "silencedBy": ["i"], "state": "suppressed"},
        }]);
        assert_eq!(shown, expected);
    }

    #[test]
    fn filters_choose_alerts_by_label_state_and_receiver() {
        let (firing, silences) =
            (firing(&["A", "B", "C"]), known(&[silenced("i", "A", -5, 5), silenced("j", "B", 5, 9)]));
        let chosen = |pairs: &[(&str, &str)]| {
            let shown = alerts(&firing, &silences, &query(pairs), "fairlead", NOW);
            let names: Vec<_> = shown
                .as_array()
                .unwrap()
                .iter()
                .map(|alert| alert["fingerprint"].as_str().unwrap().to_owned())
                .collect();
            names.concat()
        };
        assert_eq!(chosen(&[]), "ABC");
        assert_eq!(chosen(&[("filter", "alertname!=A"), ("filter", "alertname=~[AB]")]), "B");
        assert_eq!(
            (chosen(&[("silenced", "false")]), chosen(&[("active", "false")])),
            ("BC".to_owned(), "A".to_owned())
        );
        assert_eq!(
            (chosen(&[("receiver", "fair")]), chosen(&[("receiver", "fair.*")])),
            (String::new(), "ABC".to_owned())
        );
        let shown = groups(&firing, &silences, &query(&[("silenced", "false")]), "fairlead", NOW);
        assert_eq!((shown.as_array().unwrap().len(), shown[0]["alerts"].as_array().unwrap().len()), (1, 2));
        assert_eq!(
            (&shown[0]["labels"], &shown[0]["receiver"]["name"]),
            (&json!({"service": "s"}), &json!("fairlead"))
        );
    }

    #[test]
    fn silences_come_in_alertmanagers_order_and_are_chosen_by_their_matchers() {
        let all = known(&[
            silenced("a-expired", "A", -9, -5),
            silenced("b-active-long", "A", -5, 9),
            silenced("c-pending-late", "B", 8, 9),
            silenced("d-active-short", "B", -5, 5),
            silenced("e-expired-later", "B", -9, -2),
            silenced("f-pending-soon", "B", 2, 9),
        ]);
        let ids = |pairs: &[(&str, &str)]| {
            let shown = silences(&all, &query(pairs), NOW);
            let ids = shown.as_array().unwrap().iter().map(|silence| silence["id"].as_str().unwrap()[..1].to_owned());
            ids.collect::<String>()
        };
        assert_eq!(ids(&[]), "dbfcea");
        assert_eq!(ids(&[("filter", "alertname=A")]), "ba");
        assert_eq!(
            (ids(&[("filter", "alertname=~A")]), ids(&[("filter", "alertname=A"), ("filter", "alertname=B")])),
            Default::default()
        );
        let shown = silence(all.get("f-pending-soon").unwrap(), NOW);
        assert_eq!(
            (&shown["status"]["state"], &shown["startsAt"]),
            (&json!("pending"), &json!("2026-11-23T09:00:00.002Z"))
        );
        assert_eq!(shown["matchers"], json!([{"isEqual": true, "isRegex": false, "name": "alertname", "value": "B"}]));
    }
}
