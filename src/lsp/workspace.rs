//! Other pipeline files of a project that use names declared in an open text. Bounded, and read on demand only.

use std::path::{Path, PathBuf};

use gen_lsp_types::Range;

use super::documents::ReadText;
use super::view::View;
use crate::base::FileId;
use crate::lang::index::Symbol;

/// Maximum number of files examined.
const MOST: usize = 500;
/// Maximum folder depth.
const DEEPEST: usize = 8;

/// Occurrences of a symbol in files that import the open text, and are not imported by it.
pub(super) fn elsewhere(view: &View, symbol: &Symbol) -> Vec<(String, Range)> {
    let (Some(own), Some(scope)) = (&view.document.path, &view.scope) else { return Vec::new() };
    let Some(declared) = symbol.file() else { return Vec::new() };
    let Some(target) = view.read.real_path(declared) else { return Vec::new() };
    let stem = target.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    let own = own.canonicalize().unwrap_or_else(|_| own.clone());
    let mut found = Vec::new();
    for path in files(scope) {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        if real == own || view.read.has(&real) {
            continue;
        }
        let Some(read) = view.documents.read_other(&path, |text| text.contains(&stem)) else { continue };
        let here = |file: FileId| read.real_path(file).is_some_and(|other| other == target);
        let index = read.analysis.index(&read.sources);
        let words = read.occurrences(&index);
        let same =
            words.iter().filter(|one| one.symbol.file().is_some_and(here) && one.symbol.in_file(declared) == *symbol);
        for one in same {
            if let Some(path) = read.real_path(one.span.file) {
                found.push((view.documents.uri(&path), read.range(one.span)));
            }
        }
    }
    found
}

impl ReadText {
    /// Canonical path of a text.
    fn real_path(&self, file: FileId) -> Option<PathBuf> {
        let path = self.sources.get(file).path.as_ref()?;
        Some(path.canonicalize().unwrap_or_else(|_| path.clone()))
    }

    /// Whether a file is part of this analysis.
    fn has(&self, real: &Path) -> bool {
        self.sources.iter().any(|(file, _)| self.real_path(file).is_some_and(|path| path == real))
    }
}

/// Pipeline files below a folder, sorted, without hidden and generated folders.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                let made = matches!(&*name, "results" | "target" | "node_modules");
                if !name.starts_with('.') && !made && depth < DEEPEST {
                    waiting.push((path, depth + 1));
                }
            } else if name.ends_with(".kdl") && found.len() < MOST {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
