//! A file of the results that is asked for as if it were a stage: `macula show F predictions.parquet`.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Failure, Loaded};
use crate::run::results;

/// Folders below a stage's own that are searched.
const DEEPEST: usize = 4;

/// Files that are looked at: a stage may have a million.
const MOST_SEEN: usize = 20_000;

/// Endings of result files, and how Python reads such a file.
const ENDINGS: [(&str, &str); 7] = [
    ("parquet", "pandas.read_parquet"),
    ("csv", "pandas.read_csv"),
    ("json", "json.load"),
    ("safetensors", "safetensors.numpy.load_file"),
    ("pth", "torch.load"),
    ("png", ""),
    ("html", ""),
];

/// Files that are named instead of one that does not exist.
const NAMED: usize = 4;

/// Failure that names the stage and the place of the result file that `wanted` names; if it does not exist, the files of the stage
/// that it begins with.
pub(super) fn named(loaded: &Loaded, wanted: &str) -> Option<Failure> {
    let root = results::folder(&loaded.folder, &loaded.pipeline.name);
    if !wanted.contains('.') || !root.is_dir() {
        return None;
    }
    let Some(found) = search(&root, Path::new(wanted)) else { return missing(loaded, &root, wanted) };
    let stage = found.strip_prefix(&root).ok()?.components().next()?.as_os_str().to_string_lossy().into_owned();
    let shown = found.strip_prefix(&loaded.folder).unwrap_or(&found).display().to_string();
    let failure = Failure::user(format!("`{wanted}` is a file of the stage `{stage}`"));
    let reader = reader(wanted).filter(|reader| !reader.is_empty());
    let python = reader.map(|reader| format!(" (in Python, `{reader}` reads it)")).unwrap_or_default();
    Some(failure.hint(format!("it is at `{shown}`{python}; `macula show {} {stage}` shows the stage", loaded.file)))
}

/// How Python reads a file, by its ending; [`None`] if no result has that ending.
fn reader(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, reader)| *reader)
}

/// `scores.parquet`, where the files of `scores` have other names.
fn missing(loaded: &Loaded, root: &Path, wanted: &str) -> Option<Failure> {
    reader(wanted)?;
    let (stage, ending) = wanted.rsplit_once('.')?;
    loaded.pipeline.stages.iter().find(|known| known.name == stage)?;
    let mut files: Vec<String> = fs::read_dir(root.join(stage))
        .ok()?
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| reader(name).is_some())
        .collect();
    files.sort_by_key(|name| (!name.ends_with(ending), name.clone()));
    let names: Vec<String> = files.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    let has = if names.is_empty() { String::new() } else { format!("its files include {}; ", names.join(", ")) };
    let failure = Failure::user(format!("the stage `{stage}` has no file `{wanted}`"));
    Some(failure.hint(format!("{has}`macula show {} {stage}` shows the stage", loaded.file)))
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
