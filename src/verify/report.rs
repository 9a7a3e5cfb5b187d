//! What a check found, for people and for programs.

use std::fmt;

use serde::Serialize;

/// So many differences are kept with their words; all are counted.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub application: String,
    pub tasks: Vec<TaskReport>,
    /// Input offsets that no commit of the journal covers, and those that two cover.
    pub inputs_lost: u64,
    pub inputs_doubled: u64,
    /// Outputs and dead letters that a commit must have written and that are not there, and those that are there too often.
    pub outputs_lost: u64,
    pub outputs_doubled: u64,
    pub model: Option<ModelReport>,
    pub differences_total: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
    /// What could not be checked, and why.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TaskReport {
    pub task: String,
    /// Sequences of the first and the last commit that were checked.
    pub first: i64,
    pub last: i64,
    /// Input offsets covered, outputs and dead letters found.
    pub inputs: i64,
    pub outputs: u64,
    pub dead_letters: u64,
    /// Commits that were recomputed and compared byte for byte.
    pub recomputed: u64,
    /// States recomputed and compared with the changelogs.
    pub states: u64,
}

/// What the plain model looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelReport {
    pub alerts: u64,
    pub deploys: u64,
    pub rubbish: u64,
    pub incidents: u64,
    pub open: u64,
    pub snapshots: u64,
}

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    pub kind: Kind,
    pub topic: String,
    pub partition: i32,
    pub offset: Option<i64>,
    pub expected: String,
    pub found: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    InputLost,
    InputDoubled,
    OutputLost,
    OutputDoubled,
    OutputDiffers,
    Order,
    State,
    Model,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Kind::InputLost => "input lost",
            Kind::InputDoubled => "input doubled",
            Kind::OutputLost => "output lost",
            Kind::OutputDoubled => "output doubled",
            Kind::OutputDiffers => "output differs",
            Kind::Order => "out of order",
            Kind::State => "state differs",
            Kind::Model => "the model disagrees",
        }
    }
}

impl Report {
    /// Counts the difference as `count` records of its kind.
    pub fn differs_by(&mut self, difference: Difference, count: u64) {
        match difference.kind {
            Kind::InputLost => self.inputs_lost += count,
            Kind::InputDoubled => self.inputs_doubled += count,
            Kind::OutputLost => self.outputs_lost += count,
            Kind::OutputDoubled => self.outputs_doubled += count,
            Kind::OutputDiffers | Kind::Order | Kind::State | Kind::Model => {}
        }
        self.differences_total += 1;
        if self.differences.len() < SHOWN_MAX {
            self.differences.push(difference);
        }
    }

    pub fn differs(&mut self, difference: Difference) {
        self.differs_by(difference, 1);
    }

    pub fn is_sound(&self) -> bool {
        self.differences_total == 0
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}-{}", self.kind.words(), self.topic, self.partition)?;
        if let Some(offset) = self.offset {
            write!(f, "@{offset}")?;
        }
        write!(f, "\n    expected: {}\n    found:    {}", self.expected, self.found)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:>15} {:>8} {:>8} {:>8} {:>11} {:>7}",
            "task", "commits", "inputs", "outputs", "letters", "recomputed", "states"
        )?;
        for task in &self.tasks {
            let TaskReport { task: name, first, last, inputs, outputs, dead_letters, recomputed, states } = task;
            let commits = format!("{first}..{last}");
            writeln!(
                f,
                "{name:<12} {commits:>15} {inputs:>8} {outputs:>8} {dead_letters:>8} {recomputed:>11} {states:>7}"
            )?;
        }
        if let Some(ModelReport { alerts, deploys, rubbish, incidents, open, snapshots }) = &self.model {
            writeln!(
                f,
                "model: {alerts} alerts, {deploys} deploys, {rubbish} unreadable; {incidents} incidents ({open} open) in {snapshots} snapshots"
            )?;
        }
        writeln!(f, "inputs:  lost {}, doubled {}", self.inputs_lost, self.inputs_doubled)?;
        writeln!(f, "outputs: lost {}, doubled {}", self.outputs_lost, self.outputs_doubled)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        self.differences.iter().try_for_each(|difference| writeln!(f, "{difference}"))?;
        match self.differences_total {
            0 => write!(f, "sound: no difference"),
            1 => write!(f, "1 difference"),
            total => write!(f, "{total} differences, the first {} of them above", self.differences.len()),
        }
    }
}
