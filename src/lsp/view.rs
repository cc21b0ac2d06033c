//! Context of a request: an open text, its analysis and its surroundings.

use std::path::PathBuf;

use gen_lsp_types::{Location, Range};

use super::capabilities::Client;
use super::diagnostics;
use super::documents::{Documents, OpenDocument, ReadText};
use super::library::Library;
use super::state::CacheStates;
use super::uri;
use crate::base::{FileId, Span};
use crate::lang::index::{self, NameRole, Occurrence, Symbol, SymbolIndex};
use crate::lang::stdlib::stdlib;

/// An open text with its analysis and surroundings.
pub(super) struct View<'a> {
    pub(super) documents: &'a Documents,
    pub(super) document: &'a OpenDocument,
    pub(super) read: &'a ReadText,
    pub(super) index: SymbolIndex<'a>,
    pub(super) library: &'a Library,
    pub(super) client: Client,
    /// Project folder, if the text is a file.
    pub(super) project: Option<PathBuf>,
    /// Folder whose files may use the names of the text: the one open in the client if it contains the project, else the project.
    pub(super) scope: Option<PathBuf>,
    /// Cache states of its stages.
    pub(super) states: Option<&'a CacheStates>,
}

impl View<'_> {
    /// File of the text itself.
    pub(super) fn file(&self) -> FileId {
        self.read.analysis.file
    }

    /// Occurrence at a byte of the text. If two words meet there, the one that begins.
    pub(super) fn word_at(&self, at: usize) -> Option<Occurrence> {
        let file = self.file();
        let holds = |one: &&Occurrence| one.span.file == file && one.span.start <= at && at <= one.span.end;
        let words = self.read.occurrences(&self.index);
        let mut found: Vec<&Occurrence> = words.iter().filter(holds).collect();
        found.sort_by_key(|one| (one.span.end == at, one.role));
        found.first().map(|one| (*one).clone())
    }

    /// URI of a text that spans point into.
    pub(super) fn uri(&self, file: FileId) -> Option<String> {
        diagnostics::uri_of(file, self.read, &self.document.uri, self.documents, self.library)
    }

    /// Location of a span.
    pub(super) fn location(&self, span: Span) -> Option<Location> {
        Some(Location { uri: self.uri(span.file)?.into(), range: self.read.range(span) })
    }

    /// Declaration of a symbol, in the user's files or in the standard library.
    pub(super) fn declaration(&self, symbol: &Symbol) -> Option<Location> {
        match symbol {
            Symbol::File(file) => return Some(Location { uri: self.uri(*file)?.into(), range: Range::default() }),
            Symbol::Module(module) => {
                let path: PathBuf = self.library.file(module)?;
                return Some(Location { uri: uri::of(&path).into(), range: Range::default() });
            }
            _ => {}
        }
        let words = self.read.occurrences(&self.index);
        let declares = |one: &&Occurrence| one.role == NameRole::Declares && one.symbol == *symbol;
        if let Some(one) = words.iter().find(declares) {
            return self.location(one.span);
        }
        let module = index::module_of(symbol)?;
        let found = index::in_module(module);
        let span = found.iter().find(declares)?.span;
        let text = &stdlib().sources.get(span.file).text;
        let range = super::position::LineIndex::new(text, self.client.encoding).range(text, span.range());
        Some(Location { uri: uri::of(&self.library.file(module)?).into(), range })
    }
}
