//! What may change: a request against what is known gives an answer and at most one [`Event`], or a [`Refusal`].
//! Nothing is changed here: the event is made durable first, then applied, then the answer is given.

use super::normal::{self, Text};
use super::query::{Number, Seen};
use super::refusal::Refusal;
use super::state::{Event, Mode, State};
use crate::codec::compat::{self, Existing, Level};
use apache_avro::Schema;
use serde_json::{Value, json};

/// The answer, given once the event (if any) is on disk.
#[derive(Debug, PartialEq)]
pub struct Decision {
    pub event: Option<Event>,
    pub answer: Value,
}

/// Longer than a topic's name and its `-value` can be.
const MAX_SUBJECT: usize = 512;

impl State {
    /// Idempotent: a schema that the subject already has is answered with its id.
    pub fn register(&self, subject: &str, text: &str) -> Result<Decision, Refusal> {
        check_subject(subject)?;
        let text = normal::read(text)?;
        if let Some((_, id)) = self.find(subject, &text, Seen::Live) {
            return Ok(Decision { event: None, answer: json!({ "id": id }) });
        }
        self.check_writable(subject)?;
        self.check_compatible(subject, &text)?;
        let id = match self.ids_by_normal.get(&text.normal) {
            Some(id) => *id,
            None => self.last_id.checked_add(1).ok_or_else(|| Refusal::Store("all ids are used".to_owned()))?,
        };
        let last =
            self.subjects.get(subject).and_then(|versions| versions.last_key_value()).map_or(0, |(last, _)| *last);
        let event = Event::Registered { subject: subject.to_owned(), version: last + 1, id, schema: text.compact };
        Ok(Decision { event: Some(event), answer: json!({ "id": id }) })
    }

    fn check_compatible(&self, subject: &str, text: &Text) -> Result<(), Refusal> {
        let conflicts = self.conflicts(subject, text, None)?;
        if conflicts.is_empty() { Ok(()) } else { Err(Refusal::Incompatible(subject.to_owned(), conflicts)) }
    }

    /// What stands against this schema as the subject's next one: judged by the subject's level, against its live
    /// versions or only the one asked for.
    pub(super) fn conflicts(
        &self,
        subject: &str,
        text: &Text,
        only: Option<u32>,
    ) -> Result<Vec<compat::Conflict>, Refusal> {
        let mut existing: Vec<(u32, Schema)> = Vec::new();
        for (version, id) in self.versions(subject, Seen::Live) {
            if only.is_none_or(|only| only == version) {
                existing.push((version, normal::read(self.text(id)?)?.schema));
            }
        }
        let existing: Vec<Existing> =
            existing.iter().map(|(version, schema)| Existing { version: *version, schema }).collect();
        Ok(compat::conflicts(self.level_of(subject), &text.schema, &existing))
    }

    pub fn delete_subject(&self, subject: &str, permanent: bool) -> Result<Decision, Refusal> {
        self.check_writable(subject)?;
        let all: Vec<u32> = self.versions(subject, Seen::All).map(|(version, _)| version).collect();
        let live: Vec<u32> = self.versions(subject, Seen::Live).map(|(version, _)| version).collect();
        let name = subject.to_owned();
        match (all.is_empty(), live.is_empty(), permanent) {
            (true, _, _) => Err(Refusal::SubjectNotFound(name)),
            (_, true, false) => Err(Refusal::SubjectSoftDeleted(name)),
            (_, false, true) => Err(Refusal::SubjectNotDeletedFirst(name)),
            (_, false, false) => {
                Ok(Decision { event: Some(Event::SubjectDeleted { subject: name }), answer: json!(live) })
            }
            (_, true, true) => Ok(Decision { event: Some(Event::SubjectPurged { subject: name }), answer: json!(all) }),
        }
    }

    pub fn delete_version(&self, subject: &str, number: Number, permanent: bool) -> Result<Decision, Refusal> {
        self.check_writable(subject)?;
        let seen = if self.versions(subject, Seen::Live).next().is_some() && number == Number::Latest {
            Seen::Live
        } else {
            Seen::All
        };
        let (version, found) = self.pick(subject, number, seen)?;
        let subject = subject.to_owned();
        let event = match (found.deleted, permanent) {
            (true, false) => return Err(Refusal::VersionSoftDeleted(subject, version)),
            (false, true) => return Err(Refusal::VersionNotDeletedFirst(subject, version)),
            (false, false) => Event::VersionDeleted { subject, version },
            (true, true) => Event::VersionPurged { subject, version },
        };
        Ok(Decision { event: Some(event), answer: json!(version) })
    }

    pub fn set_level(&self, subject: Option<&str>, level: &str) -> Result<Decision, Refusal> {
        subject.map(check_subject).transpose()?;
        let level: Level = level.parse().map_err(|error| Refusal::InvalidLevel(format!("{error}")))?;
        let event = Event::LevelSet { subject: subject.map(str::to_owned), level: Some(level.name().to_owned()) };
        Ok(Decision { event: Some(event), answer: json!({ "compatibility": level.name() }) })
    }

    /// Answers with the level that is taken away.
    pub fn unset_level(&self, subject: Option<&str>) -> Result<Decision, Refusal> {
        let old = match subject {
            Some(subject) => *self.levels.get(subject).ok_or_else(|| Refusal::SubjectNotFound(subject.to_owned()))?,
            None => self.global_level(),
        };
        let event = Event::LevelSet { subject: subject.map(str::to_owned), level: None };
        Ok(Decision { event: Some(event), answer: json!({ "compatibilityLevel": old.name() }) })
    }

    pub fn set_mode(&self, subject: Option<&str>, mode: &str) -> Result<Decision, Refusal> {
        subject.map(check_subject).transpose()?;
        let mode = Mode::parse(mode).ok_or_else(|| Refusal::InvalidMode(mode.to_owned()))?;
        let event = Event::ModeSet { subject: subject.map(str::to_owned), mode: Some(mode) };
        Ok(Decision { event: Some(event), answer: json!({ "mode": mode }) })
    }

    pub fn unset_mode(&self, subject: &str) -> Result<Decision, Refusal> {
        let old = self.modes.get(subject).ok_or_else(|| Refusal::ModeNotSet(subject.to_owned()))?;
        let event = Event::ModeSet { subject: Some(subject.to_owned()), mode: None };
        Ok(Decision { event: Some(event), answer: json!({ "mode": old }) })
    }

    fn check_writable(&self, subject: &str) -> Result<(), Refusal> {
        match (self.modes.get(subject), self.mode) {
            (Some(Mode::ReadOnly), _) => Err(Refusal::ReadOnly(format!("subject '{subject}'"))),
            (None, Some(Mode::ReadOnly)) => Err(Refusal::ReadOnly("the registry".to_owned())),
            _ => Ok(()),
        }
    }
}

impl Mode {
    pub fn parse(name: &str) -> Option<Mode> {
        match name.to_ascii_uppercase().as_str() {
            "READWRITE" => Some(Mode::ReadWrite),
            "READONLY" => Some(Mode::ReadOnly),
            _ => None,
        }
    }
}

fn check_subject(subject: &str) -> Result<(), Refusal> {
    if subject.is_empty() || subject.chars().any(char::is_control) {
        return Err(Refusal::InvalidSubject("it is empty or has control characters".to_owned()));
    }
    if subject.len() > MAX_SUBJECT {
        return Err(Refusal::InvalidSubject(format!("{} bytes, at most {MAX_SUBJECT} are taken", subject.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A registry in memory that checks with each step that a state rebuilt from its events is the same.
    #[derive(Default)]
    struct Driver {
        state: State,
        events: Vec<Event>,
    }

    impl Driver {
        fn go(&mut self, decide: impl FnOnce(&State) -> Result<Decision, Refusal>) -> Result<Value, u32> {
            let decision = decide(&self.state).map_err(|refusal| refusal.code())?;
            if let Some(event) = decision.event {
                self.state.evolve(&event).unwrap();
                self.events.push(event);
                let mut again = State::default();
                self.events.iter().for_each(|event| again.evolve(event).unwrap());
                assert_eq!(format!("{again:?}"), format!("{:?}", self.state));
            }
            Ok(decision.answer)
        }

        fn register(&mut self, subject: &str, schema: &str) -> Result<Value, u32> {
            self.go(|state| state.register(subject, schema)).map(|answer| answer["id"].clone())
        }

        fn delete(&mut self, subject: &str, permanent: bool) -> Result<Value, u32> {
            self.go(|state| state.delete_subject(subject, permanent))
        }

        fn delete_version(&mut self, subject: &str, number: Number, permanent: bool) -> Result<Value, u32> {
            self.go(|state| state.delete_version(subject, number, permanent))
        }
    }

    fn record(fields: &[(&str, &str)]) -> String {
        let fields: Vec<Value> = fields
            .iter()
            .map(|(name, kind)| match kind.strip_suffix('=') {
                Some(kind) => json!({ "name": name, "type": kind, "default": 0 }),
                None => json!({ "name": name, "type": kind }),
            })
            .collect();
        json!({ "type": "record", "name": "A", "fields": fields }).to_string()
    }

    #[test]
    fn one_schema_has_one_id_however_often_and_wherever_it_is_registered() {
        let mut registry = Driver::default();
        assert_eq!(registry.register("a", "\"int\""), Ok(json!(1)));
        assert_eq!(registry.register("a", "{ \"type\": \"int\" }"), Ok(json!(1)));
        assert_eq!(registry.register("b", "\"int\""), Ok(json!(1)));
        assert_eq!(registry.register("b", "\"long\""), Ok(json!(2)));
        assert_eq!(registry.events.len(), 3, "a repetition is no event");
        assert_eq!(registry.state.subject_versions("b", Seen::Live), Ok(json!([1, 2])));
        assert_eq!(registry.state.schema_subjects(1, Seen::Live), Ok(json!(["a", "b"])));
        let uses = json!([{ "subject": "a", "version": 1 }, { "subject": "b", "version": 1 }]);
        assert_eq!(registry.state.schema_versions(1, Seen::Live), Ok(uses));
    }

    #[test]
    fn an_incompatible_schema_is_refused_by_the_level_in_force() {
        let mut registry = Driver::default();
        let (one, grown) = (record(&[("f", "int")]), record(&[("f", "int"), ("g", "int")]));
        assert_eq!(registry.register("a", &one), Ok(json!(1)));
        assert_eq!(registry.register("a", &grown), Err(40901));
        let refusal = registry.state.register("a", &grown).unwrap_err();
        assert!(refusal.to_string().contains("version 1") && refusal.to_string().contains("field g"), "{refusal}");
        assert_eq!(
            registry.go(|state| state.set_level(Some("a"), "FORWARD")),
            Ok(json!({ "compatibility": "FORWARD" }))
        );
        assert_eq!(registry.register("a", &grown), Ok(json!(2)));
        assert_eq!(registry.register("b", &one), Ok(json!(1)));
        assert_eq!(registry.register("b", &grown), Err(40901), "b keeps the global level");
        assert_eq!(registry.go(|state| state.set_level(None, "none")), Ok(json!({ "compatibility": "NONE" })));
        assert_eq!(registry.register("b", &grown), Ok(json!(2)));
        assert_eq!(registry.register("b", "\"string\""), Ok(json!(3)));
        assert_eq!(registry.go(|state| state.set_level(None, "MAYBE")), Err(42203));
    }

    #[test]
    fn transitive_levels_look_at_all_live_versions() {
        let mut registry = Driver::default();
        let (one, two, three) =
            (record(&[("f", "int")]), record(&[("f", "int"), ("g", "int=")]), record(&[("g", "int")]));
        registry.register("a", &one).unwrap();
        registry.register("a", &two).unwrap();
        registry.go(|state| state.set_level(Some("a"), "BACKWARD_TRANSITIVE")).unwrap();
        assert_eq!(registry.register("a", &three), Err(40901), "three cannot read one");
        let verdict = |registry: &Driver, number| registry.state.compatibility("a", number, &three, false);
        assert_eq!(verdict(&registry, Some(Number::Latest)), Ok(json!({ "is_compatible": true })));
        assert_eq!(verdict(&registry, Some(Number::Exact(1))), Ok(json!({ "is_compatible": false })));
        assert_eq!(verdict(&registry, None), Ok(json!({ "is_compatible": false })));
        assert_eq!(registry.delete_version("a", Number::Exact(1), false), Ok(json!(1)));
        assert_eq!(registry.register("a", &three), Ok(json!(3)), "a soft-deleted version no longer counts");
    }

    #[test]
    fn deleting_is_soft_first_and_for_good_second() {
        let mut registry = Driver::default();
        registry.register("a", "\"int\"").unwrap();
        registry.register("a", "\"long\"").unwrap();
        assert_eq!(registry.delete_version("a", Number::Exact(1), true), Err(40407));
        assert_eq!(registry.delete_version("a", Number::Exact(9), false), Err(40402));
        assert_eq!(registry.delete_version("a", Number::Exact(1), false), Ok(json!(1)));
        assert_eq!(registry.delete_version("a", Number::Exact(1), false), Err(40406));
        assert_eq!(
            registry.state.schema(1, false),
            Ok(json!({ "schema": "\"int\"" })),
            "what was written stays readable"
        );
        assert_eq!(registry.delete("a", true), Err(40405));
        assert_eq!(registry.delete("a", false), Ok(json!([2])));
        assert_eq!(registry.delete("a", false), Err(40404));
        assert_eq!(registry.state.subjects(Seen::Live, ""), json!([]));
        assert_eq!(registry.state.subjects(Seen::All, ""), json!(["a"]));
        assert_eq!(registry.state.subject_versions("a", Seen::Live), Err(Refusal::SubjectNotFound("a".to_owned())));
        assert_eq!(registry.delete("a", true), Ok(json!([1, 2])));
        assert_eq!(registry.delete("a", true), Err(40401));
        assert_eq!(registry.state.schema(1, false), Err(Refusal::SchemaNotFound));
    }

    #[test]
    fn an_id_is_never_given_twice_and_a_returning_subject_counts_on() {
        let mut registry = Driver::default();
        registry.register("a", "\"int\"").unwrap();
        registry.register("a", "\"long\"").unwrap();
        registry.delete("a", false).unwrap();
        assert_eq!(registry.register("a", "\"int\""), Ok(json!(1)), "soft-deleted: the id is still this schema's");
        assert_eq!(registry.state.subject_versions("a", Seen::Live), Ok(json!([3])));
        registry.delete("a", false).unwrap();
        registry.delete("a", true).unwrap();
        assert_eq!(registry.register("a", "\"string\""), Ok(json!(3)), "ids 1 and 2 are gone for ever");
    }

    #[test]
    fn a_schema_that_another_subject_uses_outlives_a_purge() {
        let mut registry = Driver::default();
        registry.register("a", "\"int\"").unwrap();
        registry.register("b", "\"int\"").unwrap();
        registry.delete("a", false).unwrap();
        registry.delete("a", true).unwrap();
        assert_eq!(registry.state.schema_subjects(1, Seen::All), Ok(json!(["b"])));
    }

    #[test]
    fn deleting_a_subject_takes_its_level_and_mode_along() {
        let mut registry = Driver::default();
        registry.register("a", "\"int\"").unwrap();
        registry.go(|state| state.set_level(Some("a"), "FULL")).unwrap();
        registry.delete("a", false).unwrap();
        assert_eq!(registry.state.config(Some("a"), false), Err(Refusal::LevelNotSet("a".to_owned())));
        assert_eq!(registry.state.config(Some("a"), true), Ok(json!({ "compatibilityLevel": "BACKWARD" })));
        assert_eq!(registry.go(|state| state.unset_level(Some("a"))), Err(40401));
    }

    #[test]
    fn read_only_takes_no_new_schema_and_knows_the_old_ones() {
        let mut registry = Driver::default();
        registry.register("a", "\"int\"").unwrap();
        registry.go(|state| state.set_mode(None, "READONLY")).unwrap();
        assert_eq!(registry.register("a", "\"int\""), Ok(json!(1)));
        assert_eq!(registry.register("a", "\"long\""), Err(42205));
        assert_eq!(registry.delete("a", false), Err(42205));
        registry.go(|state| state.set_mode(Some("a"), "READWRITE")).unwrap();
        assert_eq!(registry.register("a", "\"long\""), Ok(json!(2)));
        assert_eq!(registry.go(|state| state.unset_mode("a")), Ok(json!({ "mode": "READWRITE" })));
        assert_eq!(registry.go(|state| state.unset_mode("a")), Err(40409));
        assert_eq!(registry.go(|state| state.set_mode(None, "IMPORT")), Err(42204));
    }

    #[test]
    fn names_and_numbers_that_mean_nothing_are_refused() {
        let mut registry = Driver::default();
        assert_eq!(registry.register("", "\"int\""), Err(42208));
        assert_eq!(registry.register("a\nb", "\"int\""), Err(42208));
        assert_eq!(registry.register(&"a".repeat(MAX_SUBJECT + 1), "\"int\""), Err(42208));
        assert_eq!(registry.register("a", "\"integer\""), Err(42201));
        for text in ["0", "-2", "first", "", "4294967296"] {
            assert_eq!(Number::parse(text), Err(Refusal::InvalidVersion(text.to_owned())));
        }
        assert_eq!(Number::parse("-1"), Ok(Number::Latest));
        assert_eq!(registry.events, []);
    }
}
