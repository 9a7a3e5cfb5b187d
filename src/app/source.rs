//! Reads the files of a topology directory and compiles them.

use std::path::Path;

use anyhow::{Context, Result};

use crate::topology::catalog::catalog;
use crate::topology::compile::{Compiled, compile};
use crate::topology::spec::SourceFile;

/// All `*.yaml` and `*.yml` of the directory, in the order of their names.
pub fn read(directory: &Path) -> Result<Vec<SourceFile>> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("{} cannot be read; name a directory with --topology", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries {
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
