//! A file of the results that is asked for as if it were a stage: `macula show F predictions.parquet`.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Failure, Loaded};
use crate::run::results;

/// Folders below a stage's own that are searched.
const DEEPEST: usize = 4;

/// Files that are looked at: a stage may have a million.
const MOST_SEEN: usize = 20_000;

/// Failure that names the stage and the place of the result file that `wanted` names, if there is one.
pub(super) fn named(loaded: &Loaded, wanted: &str) -> Option<Failure> {
    let root = results::folder(&loaded.folder, &loaded.pipeline.name);
    if !wanted.contains('.') || !root.is_dir() {
        return None;
    }
    let found = search(&root, Path::new(wanted))?;
    let stage = found.strip_prefix(&root).ok()?.components().next()?.as_os_str().to_string_lossy().into_owned();
    let shown = found.strip_prefix(&loaded.folder).unwrap_or(&found).display().to_string();
    let failure = Failure::user(format!("`{wanted}` is a file of the stage `{stage}`"));
    Some(failure.hint(format!("it is at `{shown}`; `macula show {} {stage}` shows the stage", loaded.file)))
}

/// The first file, by name, whose path ends with `wanted`.
fn search(root: &Path, wanted: &Path) -> Option<PathBuf> {
    let mut waiting = vec![(root.to_owned(), 0)];
    let mut seen = 0;
    let mut found: Option<PathBuf> = None;
    while let Some((folder, depth)) = waiting.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && depth < DEEPEST {
                waiting.push((path, depth + 1));
            } else if !is_folder && path.strip_prefix(root).is_ok_and(|below| below.ends_with(wanted)) {
                found = Some(found.map_or(path.clone(), |first| first.min(path)));
            }
            seen += 1;
        }
        if seen > MOST_SEEN {
            break;
        }
    }
    found
}
