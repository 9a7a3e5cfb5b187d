//! One transaction: outputs, changelogs, dead letters, one journal record per task and which commit it is, with the input offsets.

use super::task::{Pending, Task};
use super::{Error, Program, failpoint};
use crate::codec::Format;
use crate::log::{self, Log};
use crate::record::{EventTime, NewRecord};
use crate::topology::engine::journal_header;

/// The key under which the changelog of a task's first stage tells the last commit, as a [`CommitRecord`](super::CommitRecord) in JSON.
/// No state has it.
pub const LAST_COMMIT: &[u8] = b"\0last-commit";

/// Writes and commits what the tasks processed. On an error nothing here tells whether it was committed: the error does.
pub fn transact(log: &mut dyn Log, program: &Program, work: &[(&Task, &Pending)]) -> Result<(), Error> {
    failpoint::log("before begin")?;
    if log.in_doubt() {
        // What follows would build on it.
        return Err(log::Error::Abort("a connection broke after the last commit".to_owned()).into());
    }
    log.begin()?;
    failpoint::log("after begin")?;
    for (task, pending) in work {
        produce(log, program, task, pending)?;
    }
    failpoint::log("after produce")?;
    let offsets: Vec<_> = work.iter().flat_map(|(task, pending)| task.to_commit(pending)).collect();
    failpoint::log("before commit")?;
    log.commit(&offsets)?;
    failpoint::log("after commit")?;
    Ok(())
}

fn produce(log: &mut dyn Log, program: &Program, task: &Task, pending: &Pending) -> Result<(), Error> {
    let Pending { position, effects, journal } = pending;
    let (at, header) = (EventTime(position.acted_at_ms), journal_header(position));
    for output in &effects.outputs {
        log.produce(output)?;
    }
    let last_commit = NewRecord {
        topic: task.topology.nodes[0].changelog.clone(),
        partition: Some(task.id.partition),
        timestamp: at,
        key: Some(LAST_COMMIT.to_vec()),
        value: Some(task.commit_record(pending).to_json()),
        headers: Vec::new(),
    };
    // Filled anew for each change, which so costs no allocation.
    let mut record = last_commit.clone();
    for (stage, change) in &effects.changes {
        record.topic.clone_from(&task.topology.nodes[*stage].changelog);
        record.key.get_or_insert_default().clone_from(&change.key);
        record.value.clone_from(&change.state);
        log.produce(&record)?;
    }
    log.produce(&last_commit)?;
    for letter in &effects.dead_letters {
        log.produce(&NewRecord {
            topic: program.dead_letters.topic.clone(),
            partition: None,
            timestamp: at,
            key: Some(letter.id().into_bytes()),
            value: Some(encode(&program.dead_letters.format, letter)?),
            headers: vec![header.clone()],
        })?;
    }
    log.produce(&NewRecord {
        topic: program.journal.topic.clone(),
        partition: None,
        timestamp: at,
        key: Some(journal.task.clone().into_bytes()),
        value: Some(encode(&program.journal.format, journal)?),
        headers: Vec::new(),
    })?;
    Ok(())
}

fn encode(format: &Format, value: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    format.encode(value, &mut bytes).map_err(|error| Error::Other(format!("{}: {error}", format.name)))?;
    Ok(bytes)
}

/// Whether an error of a transaction leaves room to go on, and how.
pub enum Aftermath {
    /// Abort and read the inputs again.
    Void,
    /// Replace the producer and start the tasks over from the committed offsets.
    Unknown,
    /// Stop.
    Stop,
}

pub fn aftermath(error: &Error) -> Aftermath {
    match error {
        Error::Log(log::Error::Abort(_)) => Aftermath::Void,
        Error::Log(log::Error::UnknownOutcome(_) | log::Error::Unavailable(_)) => Aftermath::Unknown,
        _ => Aftermath::Stop,
    }
}
