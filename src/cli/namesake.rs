//! Pipelines and sweeps of one name in two files of a project: `results/`, `runs` and `why` go by names, so they would write over
//! each other's results.

use std::path::{Path, PathBuf};

use super::{Exit, Failure, Loaded};
use crate::base::{Sources, regular};
use crate::run::{Host, results};
use crate::syntax;

/// The error if the results folder of the pipeline belongs to another file that still has a pipeline or sweep called the same.
pub(super) fn find(host: &Host, loaded: &Loaded) -> Option<Failure> {
    let name = &loaded.pipeline.name;
    let folder = results::folder(&loaded.folder, name);
    let own = host.folder.join(&loaded.file).canonicalize().ok()?;
    let known = match results::owner(&loaded.folder, &folder) {
        Some(file) => vec![file],
        // Older versions recorded the file only in runs, relative to the current folder.
        None if folder.is_dir() => {
            let last = loaded.store.runs.newest_first(Some(name)).next()?;
            vec![host.folder.join(&last.file), loaded.folder.join(&last.file)]
        }
        None => return None,
    };
    let known: Vec<PathBuf> = known.iter().filter_map(|file| file.canonicalize().ok()).collect();
    if known.contains(&own) {
        return None;
    }
    let (other, kind) = known.iter().find_map(|file| Some((file, kind(file, name)?)))?;
    let (other, own_kind) = (host.shown(other), if loaded.sweep.is_some() { "sweep" } else { "pipeline" });
    let has = if kind == own_kind {
        format!("`{}` and `{other}` both have a {kind} `{name}`", loaded.file)
    } else {
        format!("`{}` has a {own_kind} `{name}`, and `{other}` a {kind} with the same name", loaded.file)
    };
    Some(Failure {
        exit: Exit::User,
        code: Some("duplicate-name"),
        text: format!("{has}: they would share the folder `{}`", host.shown(&folder)),
        hint: Some("rename one of them, or delete the file that is not needed".to_owned()),
    })
}

/// What a file declares under a name: a pipeline or a sweep.
fn kind(file: &Path, name: &str) -> Option<&'static str> {
    let text = regular::read_to_string(file).ok()?;
    let id = Sources::default().add("", None, "");
    let (document, _) = syntax::parse(id, &text);
    let of = |kind: &str| {
        let mut nodes = document.nodes.iter().filter(|node| node.name.text == kind);
        nodes.any(|node| node.args().next().and_then(|entry| entry.text()) == Some(name))
    };
    ["pipeline", "sweep"].into_iter().find(|kind| of(kind))
}
