//! What may be asked: answers from [`State`] as Confluent's JSON, nothing changed.

use super::normal::{self, Text};
use super::refusal::Refusal;
use super::state::{Mode, State, Version};
use crate::codec::compat::Level;
use serde_json::{Value, json};

/// What is in force when nobody has said otherwise; Confluent's default.
const DEFAULT_LEVEL: Level = Level::Backward;

/// Whether soft-deleted versions are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Live,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    Latest,
    Exact(u32),
}

impl Number {
    pub fn parse(text: &str) -> Result<Number, Refusal> {
        match text {
            "latest" | "-1" => Ok(Number::Latest),
            text => match text.parse() {
                Ok(number) if number > 0 && number <= i32::MAX as u32 => Ok(Number::Exact(number)),
                _ => Err(Refusal::InvalidVersion(text.to_owned())),
            },
        }
    }
}

impl State {
    pub fn subjects(&self, seen: Seen, prefix: &str) -> Value {
        let visible = |subject: &&String| subject.starts_with(prefix) && self.versions(subject, seen).next().is_some();
        json!(self.subjects.keys().filter(visible).collect::<Vec<_>>())
    }

    pub fn subject_versions(&self, subject: &str, seen: Seen) -> Result<Value, Refusal> {
        let numbers: Vec<u32> = self.versions(subject, seen).map(|(number, _)| number).collect();
        if numbers.is_empty() { Err(Refusal::SubjectNotFound(subject.to_owned())) } else { Ok(json!(numbers)) }
    }

    pub fn version(&self, subject: &str, number: Number, seen: Seen) -> Result<Value, Refusal> {
        let (version, found) = self.pick(subject, number, seen)?;
        let schema = self.text(found.id)?;
        Ok(json!({ "subject": subject, "version": version, "id": found.id, "schema": schema }))
    }

    pub fn version_schema(&self, subject: &str, number: Number, seen: Seen) -> Result<String, Refusal> {
        let (_, found) = self.pick(subject, number, seen)?;
        self.text(found.id).map(str::to_owned)
    }

    /// Under which version and id the subject has this schema.
    pub fn look_up(&self, subject: &str, text: &str, seen: Seen) -> Result<Value, Refusal> {
        if self.versions(subject, seen).next().is_none() {
            return Err(Refusal::SubjectNotFound(subject.to_owned()));
        }
        let text = normal::read(text)?;
        let (version, id) = self.find(subject, &text, seen).ok_or(Refusal::SchemaNotFound)?;
        Ok(json!({ "subject": subject, "version": version, "id": id, "schema": self.text(id)? }))
    }

    pub fn schema(&self, id: u32, with_max_id: bool) -> Result<Value, Refusal> {
        let mut answer = json!({ "schema": self.text(id)? });
        if with_max_id {
            answer["maxId"] = json!(self.last_id);
        }
        Ok(answer)
    }

    pub fn schema_versions(&self, id: u32, seen: Seen) -> Result<Value, Refusal> {
        self.text(id)?;
        let uses = self.uses(id, seen).map(|(subject, version)| json!({ "subject": subject, "version": version }));
        Ok(uses.collect())
    }

    pub fn schema_subjects(&self, id: u32, seen: Seen) -> Result<Value, Refusal> {
        self.text(id)?;
        let mut subjects: Vec<&str> = self.uses(id, seen).map(|(subject, _)| subject).collect();
        subjects.dedup();
        Ok(json!(subjects))
    }

    /// Against one version, or without a number against as many as the level asks for.
    pub fn compatibility(
        &self,
        subject: &str,
        number: Option<Number>,
        text: &str,
        verbose: bool,
    ) -> Result<Value, Refusal> {
        let only = number.map(|number| self.pick(subject, number, Seen::Live)).transpose()?;
        let text = normal::read(text)?;
        let conflicts = self.conflicts(subject, &text, only.map(|(version, _)| version))?;
        let mut answer = json!({ "is_compatible": conflicts.is_empty() });
        if verbose {
            answer["messages"] = conflicts.iter().map(|conflict| json!(conflict.to_string())).collect();
        }
        Ok(answer)
    }

    pub fn config(&self, subject: Option<&str>, or_global: bool) -> Result<Value, Refusal> {
        let level = match subject.map(|subject| (subject, self.levels.get(subject))) {
            Some((_, Some(level))) => *level,
            Some((subject, None)) if !or_global => return Err(Refusal::LevelNotSet(subject.to_owned())),
            _ => self.global_level(),
        };
        Ok(json!({ "compatibilityLevel": level.name() }))
    }

    pub fn mode(&self, subject: Option<&str>, or_global: bool) -> Result<Value, Refusal> {
        let mode = match subject.map(|subject| (subject, self.modes.get(subject))) {
            Some((_, Some(mode))) => *mode,
            Some((subject, None)) if !or_global => return Err(Refusal::ModeNotSet(subject.to_owned())),
            _ => self.mode.unwrap_or(Mode::ReadWrite),
        };
        Ok(json!({ "mode": mode }))
    }

    pub(super) fn level_of(&self, subject: &str) -> Level {
        self.levels.get(subject).copied().unwrap_or_else(|| self.global_level())
    }

    pub(super) fn global_level(&self) -> Level {
        self.level.unwrap_or(DEFAULT_LEVEL)
    }

    /// Number and id of a subject's versions, oldest first.
    pub(super) fn versions(&self, subject: &str, seen: Seen) -> impl Iterator<Item = (u32, u32)> {
        let versions = self.subjects.get(subject).into_iter().flatten();
        versions.filter(move |(_, version)| seen == Seen::All || !version.deleted).map(|(n, version)| (*n, version.id))
    }

    pub(super) fn pick(&self, subject: &str, number: Number, seen: Seen) -> Result<(u32, &Version), Refusal> {
        let mut visible = self.versions(subject, seen).map(|(number, _)| number).peekable();
        if visible.peek().is_none() {
            return Err(Refusal::SubjectNotFound(subject.to_owned()));
        }
        let found = match number {
            Number::Latest => visible.last(),
            Number::Exact(number) => visible.find(|version| *version == number),
        };
        let found = found.and_then(|number| self.subjects.get(subject)?.get_key_value(&number));
        match (found, number) {
            (Some((version, found)), _) => Ok((*version, found)),
            (None, Number::Exact(number)) => Err(Refusal::VersionNotFound(number.to_string())),
            (None, Number::Latest) => Err(Refusal::VersionNotFound("latest".to_owned())),
        }
    }

    /// The newest version of the subject that has this schema.
    pub(super) fn find(&self, subject: &str, text: &Text, seen: Seen) -> Option<(u32, u32)> {
        let id = *self.ids_by_normal.get(&text.normal)?;
        self.versions(subject, seen).filter(|(_, have)| *have == id).last()
    }

    pub(super) fn text(&self, id: u32) -> Result<&str, Refusal> {
        self.schemas.get(&id).map(String::as_str).ok_or(Refusal::SchemaNotFound)
    }

    fn uses(&self, id: u32, seen: Seen) -> impl Iterator<Item = (&str, u32)> {
        self.subjects.keys().flat_map(move |subject| {
            let versions = self.versions(subject, seen).filter(move |(_, have)| *have == id);
            versions.map(move |(version, _)| (subject.as_str(), version))
        })
    }
}
