//! Registers every schema of a topology and fills the table of formats.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Handle;

use super::Endpoints;
use crate::codec::registry::RegistryClient;
use crate::codec::{Format, Formats, SchemaId};
use crate::runtime::{SchemaAnswer, SchemaSource};
use crate::topology::plan::{Content, StateFormats, Subject, Topology};

/// How long a registry may take to come up before the start is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// All that is needed to read and write what the topology declares.
pub struct Registered {
    pub formats: Formats,
    pub states: StateFormats,
    pub journal: Format,
    pub dead_letter: Format,
    /// Asks for writers' schemas that are met later. Called from threads outside the async runtime.
    pub source: SchemaSource,
}

pub async fn register(topology: &Topology, endpoints: &Endpoints) -> Result<Registered> {
    let client = endpoints.registry(PATIENCE)?;
    let id_of = async |subject: &Subject| Ok(client.register(&subject.name, subject.schema_json).await?);
    collect(topology, source(client.clone()), id_of).await
}

/// The same without registering anything: for commands that only look.
pub async fn look_up(topology: &Topology, endpoints: &Endpoints) -> Result<Registered> {
    let client = endpoints.registry(PATIENCE)?;
    let id_of = async |subject: &Subject| {
        let id = client.registered(&subject.name, subject.schema_json).await?;
        id.with_context(|| {
            format!("subject {}: the schema is not registered; has this topology run yet?", subject.name)
        })
    };
    collect(topology, source(client.clone()), id_of).await
}

async fn collect(
    topology: &Topology,
    source: SchemaSource,
    id_of: impl AsyncFn(&Subject) -> Result<SchemaId>,
) -> Result<Registered> {
    let (mut formats, mut states) = (Formats::default(), StateFormats::default());
    let (mut journal, mut dead_letter) = (None, None);
    for subject in topology.subjects() {
        let id = id_of(&subject).await?;
        let format = Format::new(id, subject.schema_json)?;
        match subject.content {
            Content::Fact(kind) => formats.write_fact_with(kind, format),
            Content::Changelog(operator) => {
                formats.read_with(format.clone());
                states.0.insert(operator, format);
            }
            Content::Journal => journal = Some(format),
            Content::DeadLetters => dead_letter = Some(format),
        }
    }
    Ok(Registered {
        formats,
        states,
        journal: journal.context("the topology has no journal")?,
        dead_letter: dead_letter.context("the topology has no dead letters")?,
        source,
    })
}

/// Asks the registry, from a thread outside the async runtime that this is called in.
pub fn source(client: RegistryClient) -> SchemaSource {
    let handle = Handle::current();
    std::sync::Arc::new(move |id| match handle.block_on(client.schema(id)) {
        Ok(Some(json)) => SchemaAnswer::Found(json),
        Ok(None) => SchemaAnswer::NotFound,
        // Whatever else it says, it did not say that there is no such schema: the records wait.
        Err(error) => SchemaAnswer::Unavailable(error.to_string()),
    })
}
