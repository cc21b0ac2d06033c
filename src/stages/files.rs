//! `files` and `program`: arbitrary files, and programs, as sources.

use std::path::{Path, PathBuf};

use crate::base::figure::counted;
use crate::stage::{Determinism, Files, Implementation, Outcome, Params, StageError, Summary, Work};
use crate::store::Tree;

/// The implementation of `files`.
pub const FILES: Implementation = Implementation {
    name: "files",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Source(files),
};

/// The implementation of `program`.
pub const PROGRAM: Implementation = Implementation {
    name: "program",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Source(program),
};

fn files(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let path = files.resolve(params.text("path")?);
    let mut tree = Tree::default();
    if path.is_dir() {
        let names = files.list(&path)?;
        let paths: Vec<PathBuf> = names.iter().map(|name| path.join(name)).collect();
        for (name, entry) in names.into_iter().zip(files.entries(&paths)?) {
            tree.insert(name, entry);
        }
        if tree.entries.is_empty() {
            let text = format!("folder `{}` is empty", path.display());
            return Err(StageError::input("no-files", text).hint("hidden files are ignored").field("path"));
        }
    } else {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file").to_owned();
        tree.insert(name, files.entry(&path)?);
    }
    let headline = match tree.entries.len() {
        1 => tree.entries.keys().next().cloned().unwrap_or_default(),
        many => counted(many as u64, "file", "files"),
    };
    Ok(outcome(tree, headline))
}

fn program(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let name = params.text("name")?;
    let path = files.program(name).ok_or_else(|| {
        StageError::input("command-not-found", format!("program `{name}` not found"))
            .hint("a bare name is looked up in PATH, one with `/` relative to the project folder")
            .field("name")
    })?;
    let mut tree = Tree::default();
    let bare = Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or(name);
    tree.insert(bare, files.entry(&path)?);
    Ok(outcome(tree, path.display().to_string()))
}

fn outcome(tree: Tree, headline: String) -> Outcome {
    let summary = Summary { headline, ..Summary::default() };
    Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None }
}
