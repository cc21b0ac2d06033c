//! The pipeline file that a folder below `results/` belongs to, so that another file's pipeline of the same name does not write
//! there. Folders of older versions do not say it.

use std::path::{Path, PathBuf};

use crate::base::disk;

/// File with the path of the pipeline's file, relative to the project folder.
const FILE: &str = ".pipeline";

/// The pipeline's file, absolute; [`None`] if the folder does not say it.
#[must_use]
pub fn owner(project: &Path, folder: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(folder.join(FILE)).ok()?;
    let path = text.trim_end_matches('\n');
    (!path.is_empty()).then(|| project.join(path))
}

/// Records `file` as the owner of `folder`. A failure costs only the check of a later run.
pub(crate) fn own(project: &Path, folder: &Path, file: &Path) {
    // In-process runs may have no file.
    let Ok(file) = file.canonicalize() else { return };
    let project = project.canonicalize().unwrap_or_else(|_| project.to_owned());
    let Some(path) = file.strip_prefix(&project).unwrap_or(&file).to_str() else { return };
    let (place, text) = (folder.join(FILE), format!("{path}\n"));
    if std::fs::read_to_string(&place).ok().as_ref() != Some(&text) {
        let _ = disk::write_lightly(&place, text.as_bytes());
    }
}
