//! What a record says of where it came from. Pure.

use super::Shown;
use crate::app::decoded::Decoded;
use crate::event::{FactKind, Incident};
use crate::topology::journal::{HEADER, Journal, JournalPosition, TaskId};
use crate::topology::plan::{Content, Topology};
use crate::topology::settings::Access;

#[derive(Debug, PartialEq)]
pub enum Origin {
    Commit(JournalPosition),
    /// It is a journal record itself.
    Journal(Journal),
}

/// How the inputs are narrowed down.
#[derive(Debug, PartialEq)]
pub enum Sought {
    Shown(Shown),
    /// It is keyed by incident: the incident's own key is the state's.
    KeyOfIncident(String),
}

/// The commit that wrote it, or why there is none.
pub fn of(topology: &Topology, record: &Decoded) -> Result<Origin, String> {
    let content = topology.topics.get(&record.topic).map(|planned| &planned.content);
    if let Some(position) = record.header(HEADER) {
        return position.parse().map(Origin::Commit);
    }
    let place = record.place();
    let text = |name: &str| record.value.get(name).map_or_else(|| "?".to_owned(), plain);
    Err(match content {
        Some(Content::Journal) => {
            let journal = serde_json::from_value(record.value.clone());
            return journal.map(Origin::Journal).map_err(|error| format!("{place} is no journal record: {error}"));
        }
        Some(Content::Changelog(operator)) => format!(
            "{place} is the state of `{operator}` after a commit; changelogs carry no journal position, so ask for an output"
        ),
        Some(Content::DeadLetters) => format!(
            "{place} was put aside by {}, which keeps no journal; the record itself is {} {} {}",
            text("reader"),
            text("topic"),
            text("partition"),
            text("offset")
        ),
        Some(Content::Fact(FactKind::SlackOutcome)) => {
            format!("{place} is what the Slack sink noted of action {}; ask for that action", text("action_id"))
        }
        Some(Content::Fact(kind)) if is_input(topology, record) => {
            format!("{place} is an input: this {kind} came from outside, and nothing of fairlead wrote it")
        }
        Some(Content::Fact(kind)) => {
            format!(
                "{place} has no `{HEADER}` header: another program wrote this {kind}, so nothing of fairlead is behind it"
            )
        }
        None => format!(
            "{place} has no `{HEADER}` header, and the topology knows no topic `{}`: nothing of fairlead wrote it",
            record.topic
        ),
    })
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_input(topology: &Topology, record: &Decoded) -> bool {
    let uses = topology.settings.topics();
    uses.iter().any(|topic_use| topic_use.access == Access::Writes && topic_use.topic.value == record.topic.as_str())
}

/// Which of the commit's records can have made this one.
pub fn sought(topology: &Topology, task: &TaskId, record: &Decoded) -> Sought {
    let all = |why: String| Sought::Shown(Shown::All(why));
    let Some(plan) = topology.sub_topologies.get(&task.sub_topology) else {
        return all(format!("the topology has no sub-topology `{}` any more", task.sub_topology));
    };
    match topology.topics.get(&record.topic).map(|planned| &planned.content) {
        Some(Content::DeadLetters) => match original(record) {
            Some(place) => Sought::Shown(Shown::Original(place)),
            None => all("the dead letter cannot be read".to_owned()),
        },
        Some(Content::Journal) => all("it is the commit itself".to_owned()),
        Some(Content::Fact(kind)) => {
            let same_key = plan.sources.values().all(|source| source.fact.keyed_by() == kind.keyed_by());
            let incident = record.value.get("incident_id").and_then(|id| id.as_str());
            match (&record.key, incident) {
                (Some(key), _) if same_key => Sought::Shown(Shown::Key(key.clone())),
                (_, Some(id)) => Sought::KeyOfIncident(id.to_owned()),
                _ => all(format!("a {kind} is keyed by {}, which the inputs are not", kind.keyed_by())),
            }
        }
        _ => all("the topology does not say what is on this topic".to_owned()),
    }
}

fn original(letter: &Decoded) -> Option<String> {
    let value = &letter.value;
    let number = |name: &str| value.get(name)?.as_i64();
    Some(format!("{}-{}@{}", value.get("topic")?.as_str()?, number("partition")?, number("offset")?))
}

pub fn incident(record: &Decoded) -> Option<Incident> {
    record.schema.as_deref().filter(|name| name.ends_with(".Incident"))?;
    serde_json::from_value(record.value.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::decoded::Header;
    use crate::record::{Offset, Partition, Topic};
    use crate::topology::catalog::catalog;
    use crate::topology::compile::compile;
    use crate::topology::spec::SourceFile;
    use serde_json::json;

    fn topology() -> Topology {
        let file = |name: &str, text: &str| SourceFile { name: name.to_owned(), text: text.to_owned() };
        let files = [
            file("app.yaml", include_str!("../../topology/app.yaml")),
            file("oncall.yaml", include_str!("../../topology/oncall.yaml")),
            file("topics.yaml", include_str!("../../topology/topics.yaml")),
        ];
        compile(&files, &catalog()).topology.expect("the shipped topology")
    }

    fn record(topic: &str, key: &str, header: Option<&str>, value: serde_json::Value) -> Decoded {
        Decoded {
            topic: Topic::from(topic),
            partition: Partition(1),
            offset: Offset(7),
            timestamp_ms: 0,
            key: Some(key.to_owned()),
            headers: header
                .map(|value| Header { name: HEADER.to_owned(), value: Some(value.to_owned()) })
                .into_iter()
                .collect(),
            schema: None,
            value,
            error: None,
        }
    }

    #[test]
    fn a_record_without_a_position_says_whose_it_is() {
        let topology = topology();
        let why = |topic: &str, value| of(&topology, &record(topic, "checkout", None, value)).unwrap_err();
        assert!(why("oncall.alerts.v1", json!({})).contains("is an input: this alert came from outside"));
        assert!(why("oncall.incidents.v1", json!({})).contains("another program wrote this incident"));
        assert!(why("oncall.slack-outcomes.v1", json!({"action_id": "i:1"})).contains("noted of action i:1"));
        assert!(why("fairlead.level-changelog.v1", json!({})).contains("state of `level`"));
        let letter =
            json!({"topic": "oncall.slack-actions.v1", "partition": 2, "offset": 5, "reader": "fairlead.sink.slack"});
        assert!(why("fairlead.dead-letters.v1", letter).ends_with("the record itself is oncall.slack-actions.v1 2 5"));
        assert!(why("other", json!({})).contains("knows no topic `other`"));
    }

    #[test]
    fn the_state_behind_an_output_is_that_of_its_key_its_incident_or_unknown() {
        let topology = topology();
        let task = TaskId { sub_topology: "oncall".to_owned(), partition: Partition(1) };
        let sought = |topic: &str, value| sought(&topology, &task, &record(topic, "k", Some("oncall/1/5@9"), value));
        assert_eq!(sought("oncall.incidents.v1", json!({})), Sought::Shown(Shown::Key("k".to_owned())));
        assert_eq!(
            sought("oncall.slack-actions.v1", json!({"incident_id": "i"})),
            Sought::KeyOfIncident("i".to_owned())
        );
        assert!(matches!(sought("oncall.slack-actions.v1", json!({})), Sought::Shown(Shown::All(_))));
        let letter = json!({"topic": "oncall.alerts.v1", "partition": 1, "offset": 3});
        assert_eq!(
            sought("fairlead.dead-letters.v1", letter),
            Sought::Shown(Shown::Original("oncall.alerts.v1-1@3".to_owned()))
        );
        let position = of(&topology, &record("oncall.incidents.v1", "k", Some("oncall/1/5@9"), json!({})));
        assert!(
            matches!(position, Ok(Origin::Commit(position)) if position.sequence == 5 && position.acted_at_ms == 9)
        );
    }
}
