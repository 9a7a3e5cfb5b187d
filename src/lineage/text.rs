//! Lineage for people at a terminal.

use std::fmt::{self, Write};

use super::named::Named;
use super::{Lineage, Shown};
use crate::app::decoded::{Decoded, time};
use crate::topology::journal::HEADER;

impl Lineage {
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).map(|()| out).unwrap_or_default() // writing to a `String` cannot fail
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        write!(out, "{}", self.record.text(""))?;
        self.write_commit(out)?;
        self.write_inputs(out)?;
        if !self.named.is_empty() {
            writeln!(out, "\nnamed in the incident, as told up to then")?;
            self.named.iter().try_for_each(|named| write_named(out, named))?;
        }
        Ok(())
    }

    fn write_commit(&self, out: &mut String) -> fmt::Result {
        let commit = &self.commit;
        let journal = &commit.journal;
        writeln!(
            out,
            "\nwritten by commit {} of task {}, {}  (journal {}@{})",
            journal.sequence,
            journal.task,
            time(journal.acted_at_ms),
            commit.journal_topic,
            commit.journal_offset.0
        )?;
        for range in &journal.inputs {
            writeln!(out, "  read {}-{} from {} up to {}", range.topic, range.partition, range.from, range.to)?;
        }
        if journal.tick {
            writeln!(out, "  then fired the deadlines that had passed, for its input was quiet")?;
        }
        if !commit.same_topology {
            writeln!(out, "  by a topology of fingerprint {}, which is not the one at hand", journal.topology)?;
        }
        for range in &self.gone {
            writeln!(out, "  {}-{} {}..{} is no longer retained", range.topic, range.partition, range.from, range.to)?;
        }
        Ok(())
    }

    fn write_inputs(&self, out: &mut String) -> fmt::Result {
        let which = match &self.shown {
            Shown::Key(key) => format!("with key {key}"),
            Shown::Original(place) => format!("at {place}"),
            Shown::All(why) => format!("all: {why}"),
        };
        writeln!(out, "\ninput records {which}")?;
        for input in &self.inputs {
            write!(out, "{}", input.text("  "))?;
            if input.header(HEADER).is_some() {
                writeln!(out, "    an output itself: {}", command(input))?;
            }
        }
        if self.inputs.is_empty() {
            let why = match &self.shown {
                _ if !self.gone.is_empty() => "none is retained",
                Shown::Key(_) => "none: a deadline of this key had passed",
                _ => "none: deadlines had passed",
            };
            writeln!(out, "  {why}")?;
        }
        match self.others {
            0 => Ok(()),
            1 => writeln!(out, "  1 record of other keys was in the same commit; --all shows it"),
            others => writeln!(out, "  {others} records of other keys were in the same commit; --all shows them"),
        }
    }
}

fn write_named(out: &mut String, named: &Named) -> fmt::Result {
    write!(out, "  {:6}  {}  {}  ", named.fact.name(), named.name, named.id)?;
    match (&named.first, &named.last) {
        (Some(first), None) => writeln!(out, "told at {}, {}", time(first.timestamp_ms), first.place()),
        (Some(first), Some(last)) => writeln!(
            out,
            "told {} times from {}, {} to {}, {}",
            named.told,
            time(first.timestamp_ms),
            first.place(),
            time(last.timestamp_ms),
            last.place()
        ),
        (None, _) => writeln!(out, "not found: its telling may no longer be retained"),
    }
}

fn command(record: &Decoded) -> String {
    format!("fairlead lineage {} {} {}", record.topic, record.partition.0, record.offset.0)
}
