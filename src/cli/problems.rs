//! Problems of topology files, told to people.

use anyhow::{Result, bail};

use crate::topology::compile::Compiled;
use crate::topology::plan::Topology;

/// As [`require`]; warnings are logged.
pub fn require_and_warn(compiled: Compiled) -> Result<Topology> {
    if compiled.topology.is_some() {
        compiled.problems.iter().for_each(|problem| tracing::warn!("{problem}"));
    }
    require(compiled)
}

/// The topology, or all that is wrong with it as one error. What it is only warned of is for `check` to say.
pub fn require(compiled: Compiled) -> Result<Topology> {
    let Compiled { topology, problems } = compiled;
    match topology {
        Some(topology) => Ok(topology),
        None => {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            bail!("the topology cannot run:\n{}", lines.join("\n"))
        }
    }
}
