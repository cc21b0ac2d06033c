//! `textDocument/definition`, `references` and `documentHighlight`: where a name is declared, and where it is used.

use gen_lsp_types::{DocumentHighlight, DocumentHighlightKind, Location};

use super::view::View;
use crate::lang::index::{NameRole, Symbol};

/// Declaration of the name at a byte, possibly in the standard library.
pub(super) fn definition(view: &View, at: usize) -> Option<Location> {
    view.declaration(&view.word_at(at)?.symbol)
}

/// Every occurrence of the name at a byte, in the text and in the files it imports.
pub(super) fn references(view: &View, at: usize, with_declaration: bool) -> Option<Vec<Location>> {
    let symbol = view.word_at(at)?.symbol;
    let words = view.read.occurrences(&view.index);
    let same = words.iter().filter(|one| one.symbol == symbol);
    let wanted = same.filter(|one| with_declaration || one.role == NameRole::Uses);
    let mut found: Vec<Location> = wanted.filter_map(|one| view.location(one.span)).collect();
    if with_declaration && words.iter().all(|one| one.symbol != symbol || one.role == NameRole::Uses) {
        found.extend(view.declaration(&symbol));
    }
    Some(found)
}

/// Every occurrence of the name at a byte in the text itself.
pub(super) fn highlights(view: &View, at: usize) -> Option<Vec<DocumentHighlight>> {
    let symbol = view.word_at(at)?.symbol;
    if matches!(symbol, Symbol::File(_) | Symbol::Module(_)) {
        return None;
    }
    let words = view.read.occurrences(&view.index);
    let same = words.iter().filter(|one| one.symbol == symbol && one.span.file == view.file());
    let highlight = same.map(|one| DocumentHighlight {
        range: view.read.range(one.span),
        kind: Some(match one.role {
            NameRole::Declares => DocumentHighlightKind::Write,
            NameRole::Uses => DocumentHighlightKind::Read,
        }),
    });
    Some(highlight.collect())
}
