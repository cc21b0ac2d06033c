//! Paths that a pipeline's sources name and that do not exist, and the folder that is its project. The language reads no data;
//! `check` looks whether it is there.

use std::collections::BTreeSet;
use std::path::Path;

use crate::diag::Diag;
use crate::lang::spec::Contents;
use crate::lang::value::Value;
use crate::progress::out;
use crate::run::host::{ProjectMark, STORE};
use crate::run::{Host, missing};
use crate::stage::{Params, Work};
use crate::stages::annotations::{self, ANNOTATIONS};
use crate::stages::folder::{self, FOLDER};

/// Warns of each path that leads nowhere, in order of place.
pub(super) fn missing(host: &Host, file: &Path, contents: &Contents, diags: &mut Vec<Diag>) {
    let project = host.project(file);
    let registry = crate::stages::registry();
    let is_source =
        |name: &str| registry.iter().any(|known| known.name == name && matches!(known.work, Work::Source(_)));
    let of_sweeps = contents.sweeps.iter().flat_map(|sweep| sweep.points.iter().map(|point| &point.pipeline));
    let stages = contents.pipelines.iter().chain(of_sweeps).flat_map(|pipeline| &pipeline.stages);
    let mut told = BTreeSet::new();
    for stage in stages.filter(|stage| is_source(&stage.implementation)) {
        for (name, param) in &stage.params {
            let Value::Path(path) = &param.value else { continue };
            let span = stage.place(Some(name));
            if project.join(path).symlink_metadata().is_ok() || !told.insert((span, path.clone())) {
                continue;
            }
            let code = if Path::new(path).extension().is_some() { "missing-file" } else { "missing-folder" };
            let found = missing::missing(code, Path::new(path), &project, host);
            let diag = Diag::warning(found.code, span, found.text);
            diags.push(match found.hint {
                Some(hint) => diag.hint(hint),
                None => diag,
            });
        }
    }
    for stage in contents.pipelines.iter().flat_map(|pipeline| &pipeline.stages) {
        let root = stage.value("root").map(ToString::to_string).unwrap_or_default();
        let named = match stage.implementation.as_str() {
            name if name == FOLDER.name => folder::named_folders,
            name if name == ANNOTATIONS.name => annotations::named_folders,
            _ => continue,
        };
        if !project.join(&root).is_dir() {
            continue;
        }
        for (field, below) in named(&Params(stage.values())) {
            let path = Path::new(&root).join(below);
            let span = stage.place(Some(&field));
            if project.join(&path).is_dir() || !told.insert((span, path.display().to_string())) {
                continue;
            }
            let text = format!("`{}` does not exist", path.display());
            diags.push(Diag::warning("missing-folder", span, text).hint("patterns start from `root`"));
        }
    }
    diags.sort_by_key(|diag| diag.labels.first().map(|label| (label.span.file, label.span.start, label.span.end)));
}

/// Notes a store in the current folder that macula used before a pipeline's own folder became its project, and uses no more. `store`
/// is the pipeline's store.
pub(super) fn note_old_store(host: &Host, file: &Path, folder: &Path, store: &Path) {
    let old = host.folder.join(STORE);
    if store.exists() || old == store || !old.is_dir() || host.find_project(file).1 != ProjectMark::Pipeline {
        return;
    }
    out::note(&format!(
        "note: the project of `{}` is its folder, `{}`; the store in the current folder is not used\n",
        file.display(),
        folder.display()
    ));
    hint(&format!("to keep using it, move `{STORE}` and `results` there, or set MACULA_STORE={}", old.display()));
}

/// Notes that a pipeline belongs to a folder above its own only because there is a store.
pub(super) fn note_project(host: &Host, file: &Path) {
    let (folder, mark) = host.find_project(file);
    if mark != ProjectMark::Store || folder == host.folder_of(file) {
        return;
    }
    out::note(&format!(
        "note: the project of `{}` is `{}`, the nearest folder with a store\n",
        file.display(),
        folder.display()
    ));
    hint(
        "an empty `project.kdl` makes a folder the project: write one there, or next to the file for a project of its own",
    );
}

/// Prints what to do about a note, in one line.
fn hint(text: &str) {
    if out::volume() > out::Volume::Quiet {
        out::talk(&out::message(&format!("  hint: {text}\n")));
    }
}
