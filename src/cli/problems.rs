//! Problems of topology files, told to people.

use anyhow::{Result, bail};

use crate::topology::compile::Compiled;
use crate::topology::plan::Topology;

/// The topology, or all that is wrong with it as one error; warnings are logged.
pub fn require(compiled: Compiled) -> Result<Topology> {
    let Compiled { topology, problems } = compiled;
    match topology {
        Some(topology) => {
            problems.iter().for_each(|problem| tracing::warn!("{problem}"));
            Ok(topology)
        }
        None => {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            bail!("the topology cannot run:\n{}", lines.join("\n"))
        }
    }
}
