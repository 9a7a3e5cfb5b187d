//! Reads the files of a topology directory and compiles them.

use std::path::Path;

use anyhow::{Context, Result};

use crate::topology::catalog::catalog;
use crate::topology::compile::{Compiled, compile};
use crate::topology::spec::SourceFile;

/// Where mirrors may stand, a file a flow, below a topology's directory.
const MIRRORS: &str = "mirrors";

/// All `*.yaml` and `*.yml` of the directory and of its folder `mirrors`, in the order of their names.
pub fn read(directory: &Path) -> Result<Vec<SourceFile>> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("{} cannot be read; name a directory with --topology", directory.display()))?;
    let mirrors = directory.join(MIRRORS);
    let below = match mirrors.is_dir() {
        true => Some(std::fs::read_dir(&mirrors).with_context(|| mirrors.display().to_string())?),
        false => None,
    };
    let mut files = Vec::new();
    for entry in entries.chain(below.into_iter().flatten()) {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            files.push(SourceFile { name: path.display().to_string(), text });
        }
    }
    anyhow::ensure!(!files.is_empty(), "{} has no *.yaml file", directory.display());
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

pub fn load(directory: &Path) -> Result<Compiled> {
    let mut compiled = compile(&read(directory)?, &catalog());
    // Calendars lie beside the files that name them.
    let rotations = compiled.topology.iter_mut().flat_map(|topology| topology.settings.rotations.values_mut());
    for file in rotations.filter_map(|rota| rota.file.as_mut()) {
        *file = directory.join(&*file).display().to_string();
    }
    Ok(compiled)
}
