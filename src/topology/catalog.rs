//! The operators that topology files can name: a plain list, one line an operator.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::problem::{Problem, Severity};
use super::spec::at_path;
use super::stage::{self, Stage};
use super::yaml::{self, Node};
use crate::codec::Format;
use crate::event::FactKind;
use crate::operator::{
    Operator, Port, alert_samples, attention, dependents, incident, level, notify, rotation, suspects, trend,
};

/// Every operator there is. A new one is a new line here, and nothing else outside its own file.
pub fn catalog() -> Vec<OperatorKind> {
    vec![
        OperatorKind::of::<level::Levels>(),
        OperatorKind::of::<incident::Incidents>(),
        OperatorKind::of::<suspects::Suspects>(),
        OperatorKind::of::<attention::Attend>(),
        OperatorKind::of::<dependents::Dependents>(),
        OperatorKind::of::<notify::Notify>(),
        OperatorKind::of::<rotation::HandOver>(),
        OperatorKind::of::<trend::Trend>(),
        OperatorKind::of::<alert_samples::AlertSamples>(),
    ]
}

/// Makes a stage out of a checked configuration: its name, and the format of its state.
pub type Build = Arc<dyn Fn(&str, Format) -> Box<dyn Stage> + Send + Sync>;

/// What `compile` must know of an operator before it has one.
#[derive(Clone)]
pub struct OperatorKind {
    /// As topology files spell it.
    pub name: &'static str,
    pub inputs: &'static [FactKind],
    pub ports: &'static [(Port, FactKind)],
    pub state_schema: &'static str,
    /// Inputs that end a cycle.
    pub come_to_rest: &'static [FactKind],
    /// Sections that belong to its configuration too.
    pub sections: &'static [&'static str],
    /// From the `config` of a topology file; `None` if there is an error among what is told of it.
    pub configure: fn(&Node, &mut Vec<Problem>) -> Option<Build>,
}

impl OperatorKind {
    pub fn of<O: Operator + Clone + DeserializeOwned + Sync>() -> Self {
        Self {
            name: O::KIND,
            inputs: O::INPUTS,
            ports: O::PORTS,
            state_schema: O::STATE_SCHEMA,
            come_to_rest: O::COME_TO_REST,
            sections: O::SECTIONS,
            configure: configure::<O>,
        }
    }
}

fn configure<O: Operator + Clone + DeserializeOwned + Sync>(
    config: &Node,
    problems: &mut Vec<Problem>,
) -> Option<Build> {
    let before = problems.len();
    let operator: Option<O> = yaml::read(config, problems);
    // An operator names the place by a path in front: `rules[2].when: …`.
    problems.extend(operator.iter().flat_map(O::problems).map(|problem| at_path(config, problem)));
    let operator = operator.filter(|_| problems.len() == before)?;
    let warning = |told| Problem { severity: Severity::Warning, ..at_path(config, told) };
    problems.extend(operator.warnings().into_iter().map(warning));
    Some(Arc::new(move |name, format| stage::stage(name, operator.clone(), format)))
}

impl fmt::Debug for OperatorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorKind").field("name", &self.name).finish_non_exhaustive()
    }
}
