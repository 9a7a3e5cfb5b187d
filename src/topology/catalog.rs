//! The operators that topology files can name: a plain list, one line an operator.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::spec::at_path;
use super::stage::{self, Stage};
use super::yaml::{self, Node};
use crate::codec::Format;
use crate::event::FactKind;
use crate::operator::{Operator, Port, incident, level, notify, suspects};

/// Every operator there is. A new one is a new line here, and nothing else outside its own file.
pub fn catalog() -> Vec<OperatorKind> {
    vec![
        OperatorKind::of::<level::Levels>(),
        OperatorKind::of::<incident::Incidents>(),
        OperatorKind::of::<suspects::Suspects>(),
        OperatorKind::of::<notify::Notify>(),
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
    /// From the `config` of a topology file, or all that is wrong with it.
    pub configure: fn(&Node) -> Result<Build, Vec<Problem>>,
}

impl OperatorKind {
    pub fn of<O: Operator + Clone + DeserializeOwned + Sync>() -> Self {
        Self {
            name: O::KIND,
            inputs: O::INPUTS,
            ports: O::PORTS,
            state_schema: O::STATE_SCHEMA,
            configure: configure::<O>,
        }
    }
}

fn configure<O: Operator + Clone + DeserializeOwned + Sync>(config: &Node) -> Result<Build, Vec<Problem>> {
    let mut problems = Vec::new();
    let operator: Option<O> = yaml::read(config, &mut problems);
    // An operator names the place by a path in front: `rules[2].when: …`.
    problems.extend(operator.iter().flat_map(O::problems).map(|problem| at_path(config, problem)));
    match operator {
        Some(operator) if problems.is_empty() => {
            Ok(Arc::new(move |name, format| stage::stage(name, operator.clone(), format)))
        }
        _ => Err(problems),
    }
}

impl fmt::Debug for OperatorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorKind").field("name", &self.name).finish_non_exhaustive()
    }
}
