//! `workspace/symbol`: pipelines, stages, templates and networks of all pipeline files of the open folders, by a part of their name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gen_lsp_types::{BaseSymbolInformation, DocumentSymbol, Location, SymbolInformation};

use super::documents::Documents;
use super::position::LineIndex;
use super::{symbols, workspace};
use crate::base::FileId;
use crate::syntax::{self, LARGEST};

/// Maximum number of symbols sent.
const MOST: usize = 500;

/// Symbols whose names contain the letters of `query` in that order; those that contain it as a whole come first.
pub(super) fn workspace_symbols(documents: &Documents, folders: &[PathBuf], query: &str) -> Vec<SymbolInformation> {
    let query: Vec<char> = query.chars().flat_map(char::to_lowercase).filter(|c| !c.is_whitespace()).collect();
    let files: BTreeSet<PathBuf> = folders.iter().flat_map(|folder| workspace::files(folder)).collect();
    let mut found = Vec::new();
    for path in files {
        let Some(text) = text(documents, &path) else { continue };
        let (document, _) = syntax::parse(FileId(0), &text);
        let lines = LineIndex::new(&text, documents.encoding);
        let range = |range: std::ops::Range<usize>| lines.range(&text, range);
        let uri = documents.uri(&path);
        for symbol in symbols::outline(&document.nodes, &range) {
            collect(symbol, None, &uri, &query, &mut found);
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.truncate(MOST);
    found.into_iter().map(|(_, symbol)| symbol).collect()
}

fn text(documents: &Documents, path: &Path) -> Option<String> {
    if let Some(open) = documents.of_file(path) {
        return Some(open.text.clone());
    }
    let small = std::fs::metadata(path).is_ok_and(|facts| facts.len() <= LARGEST as u64);
    small.then(|| crate::base::regular::read_to_string(path).ok())?
}

/// Adds a symbol and those inside, with their ranks.
fn collect(
    symbol: DocumentSymbol,
    container: Option<&str>,
    uri: &str,
    query: &[char],
    found: &mut Vec<(usize, SymbolInformation)>,
) {
    let DocumentSymbol { name, kind, selection_range, children, .. } = symbol;
    for child in children.into_iter().flatten() {
        collect(child, Some(&name), uri, query, found);
    }
    let Some(rank) = rank(&name, query) else { return };
    let base = BaseSymbolInformation { name, kind, tags: None, container_name: container.map(str::to_owned) };
    let location = Location { uri: uri.to_owned().into(), range: selection_range };
    #[expect(deprecated, reason = "a struct's literal names all of its fields")]
    found.push((rank, SymbolInformation { deprecated: None, location, base_symbol_information: base }));
}

/// 0 for a name that begins with the query, 1 if it contains it, 2 if it contains its letters; [`None`] otherwise.
fn rank(name: &str, query: &[char]) -> Option<usize> {
    let name: String = name.to_lowercase();
    let whole: String = query.iter().collect();
    if let Some(at) = name.find(&whole) {
        return Some(usize::from(at > 0));
    }
    let mut letters = name.chars();
    query.iter().all(|wanted| letters.any(|letter| letter == *wanted)).then_some(2)
}
