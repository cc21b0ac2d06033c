//! Texts open in the editor, and the analysis of each.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use gen_lsp_types::{Position, Range, TextDocumentContentChangeEvent};

use super::position::{Encoding, LineIndex};
use super::uri;
use crate::base::{FileId, Sources, Span};
use crate::lang::index::{Occurrence, SymbolIndex};
use crate::lang::spec::Points;
use crate::lang::{self, Analysis, project};
use crate::plan;
use crate::stage::Implementation;
use crate::syntax::{LARGEST, ValidationCache};

/// One open text.
pub(super) struct OpenDocument {
    /// URI as the client spells it.
    pub(super) uri: String,
    /// Path, if the text is a file.
    pub(super) path: Option<PathBuf>,
    /// Version number assigned by the client.
    pub(super) version: i32,
    /// The text.
    pub(super) text: String,
    /// Its lines.
    pub(super) lines: LineIndex,
    /// Current analysis; [`None`] after a change of it or of a file that it uses.
    read: Option<Rc<ReadText>>,
    /// Parser cache from the last analysis.
    cache: ValidationCache,
    /// Whether its published diagnostics are older than its text.
    pub(super) untold: bool,
}

/// Analysis of a text.
pub(super) struct ReadText {
    /// Result of [`lang::analyse`].
    pub(super) analysis: Analysis,
    /// Texts that its spans point into.
    pub(super) sources: Sources,
    /// Line starts of each of them, computed on demand.
    lines: BTreeMap<FileId, OnceCell<LineIndex>>,
    /// Unit of columns.
    encoding: Encoding,
    /// Occurrences of symbols, computed on demand.
    words: OnceCell<Vec<Occurrence>>,
}

impl ReadText {
    fn new(analysis: Analysis, sources: Sources, encoding: Encoding) -> Self {
        let lines = sources.iter().map(|(file, _)| (file, OnceCell::new())).collect();
        Self { analysis, sources, lines, encoding, words: OnceCell::new() }
    }

    /// Occurrences of symbols in the text and in the files it imports; `index` belongs to its analysis.
    pub(super) fn occurrences(&self, index: &SymbolIndex) -> &[Occurrence] {
        self.words.get_or_init(|| index.occurrences())
    }

    /// Line and column range of a span, in its own text.
    pub(super) fn range(&self, span: Span) -> Range {
        let text = &self.sources.get(span.file).text;
        let lines = self.lines.get(&span.file);
        let lines = lines.map(|lines| lines.get_or_init(|| LineIndex::new(text, self.encoding)));
        lines.map_or_else(Range::default, |lines| lines.range(text, span.range()))
    }
}

/// All open texts.
pub(super) struct Documents {
    /// Unit of columns.
    pub(super) encoding: Encoding,
    /// Implementations, for validating parameters.
    implementations: &'static [Implementation],
    open: BTreeMap<String, OpenDocument>,
    /// Outdated analyses. Dropping them takes time, so it is done when idle.
    old: Vec<Rc<ReadText>>,
}

impl Documents {
    /// An empty set of texts.
    pub(super) fn new(implementations: &'static [Implementation]) -> Self {
        Self { encoding: Encoding::default(), implementations, open: BTreeMap::new(), old: Vec::new() }
    }

    /// Handles an opened text.
    pub(super) fn open(&mut self, uri: String, version: i32, text: String) {
        let lines = LineIndex::new(&text, self.encoding);
        let path = uri::path(&uri);
        let document = OpenDocument {
            uri: uri.clone(),
            path,
            version,
            text,
            lines,
            read: None,
            cache: ValidationCache::default(),
            untold: true,
        };
        self.touched(document.path.as_deref());
        self.open.insert(uri, document);
    }

    /// Handles changes of a text.
    pub(super) fn change(&mut self, uri: &str, version: i32, changes: Vec<TextDocumentContentChangeEvent>) {
        let encoding = self.encoding;
        let Some(document) = self.open.get_mut(uri) else { return };
        for change in changes {
            match change {
                TextDocumentContentChangeEvent::TextDocumentContentChangePartial(part) => {
                    let range = document.lines.bytes(&document.text, part.range);
                    document.text.replace_range(range, &part.text);
                }
                TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(whole) => {
                    document.text = whole.text;
                }
            }
            document.lines = LineIndex::new(&document.text, encoding);
        }
        document.version = version;
        self.old.extend(document.read.take());
        document.untold = true;
        let path = document.path.clone();
        self.touched(path.as_deref());
    }

    /// Handles a closed text.
    pub(super) fn close(&mut self, uri: &str) {
        if let Some(document) = self.open.remove(uri) {
            self.touched(document.path.as_deref());
        }
    }

    /// Handles a changed file, on disk or in the editor: analyses of texts that use it are outdated.
    pub(super) fn touched(&mut self, path: Option<&Path>) {
        let Some(path) = path else { return };
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        for document in self.open.values_mut() {
            let uses = document.read.as_ref().is_some_and(|read| {
                let mut texts = read.sources.iter().filter_map(|(_, source)| source.path.as_ref());
                // An unreadable file appears in the diagnostics, not in the sources.
                let missed = read.analysis.diags.iter().any(|diag| diag.code == "unreadable-file");
                missed || texts.any(|other| *other == path || other.canonicalize().is_ok_and(|other| other == real))
            });
            if uses {
                document.read = None;
                document.untold = true;
            }
        }
    }

    /// Whether there are outdated analyses to drop.
    pub(super) fn holds_old(&self) -> bool {
        !self.old.is_empty()
    }

    /// Drops outdated analyses if there are more than `most`.
    pub(super) fn let_go(&mut self, most: usize) {
        if self.old.len() > most {
            self.old.clear();
        }
    }

    /// An open text.
    pub(super) fn get(&self, uri: &str) -> Option<&OpenDocument> {
        self.open.get(uri)
    }

    /// The open text of a file.
    pub(super) fn of_file(&self, path: &Path) -> Option<&OpenDocument> {
        let same = |document: &&OpenDocument| document.path.as_deref() == Some(path);
        self.open.values().find(same).or_else(|| {
            let real = path.canonicalize().ok()?;
            self.open.values().find(|document| {
                document.path.as_ref().and_then(|path| path.canonicalize().ok()).is_some_and(|other| other == real)
            })
        })
    }

    /// URI of a file, in the client's spelling if it is open.
    pub(super) fn uri(&self, path: &Path) -> String {
        self.of_file(path).map_or_else(|| uri::of(path), |document| document.uri.clone())
    }

    /// Analysis of an open text, computed if necessary.
    pub(super) fn read(&mut self, uri: &str) -> Option<Rc<ReadText>> {
        if let Some(read) = self.open.get(uri)?.read.clone() {
            return Some(read);
        }
        let mut sources = self.held(uri);
        let encoding = self.encoding;
        let document = self.open.get_mut(uri)?;
        let name = document.path.as_ref().map_or_else(|| uri.to_owned(), |path| path.display().to_string());
        let OpenDocument { path, text, cache, .. } = document;
        let mut analysis = match path.as_deref().filter(|path| path.ends_with(project::FILE)) {
            Some(path) => lang::analyse_project(path, text, cache, &mut sources),
            None => lang::analyse(&name, path.clone(), text, (&[], Points::OneByOne), cache, &mut sources),
        };
        plan::validate_params(&analysis.contents, self.implementations, &mut analysis.diags);
        let read = Rc::new(ReadText::new(analysis, sources, encoding));
        document.read = Some(Rc::clone(&read));
        Some(read)
    }

    /// Sources in which open texts replace their files, except for one.
    fn held(&self, but: &str) -> Sources {
        let mut sources = Sources::default();
        for other in self.open.values().filter(|other| other.uri != but) {
            if let Some(path) = &other.path {
                sources.hold(path.canonicalize().unwrap_or_else(|_| path.clone()), other.text.clone());
            }
        }
        sources
    }

    /// Analysis of any file, open or not, computed apart from the stored ones; [`None`] if its text cannot be read or is not
    /// `wanted`.
    pub(super) fn read_other(&self, path: &Path, wanted: impl Fn(&str) -> bool) -> Option<ReadText> {
        let open = self.of_file(path);
        let text = match open {
            Some(document) => document.text.clone(),
            None => std::fs::metadata(path)
                .is_ok_and(|facts| facts.len() <= LARGEST as u64)
                .then(|| crate::base::regular::read_to_string(path).ok())??,
        };
        if !wanted(&text) {
            return None;
        }
        let mut sources = self.held(open.map_or("", |document| &document.uri));
        let name = path.display().to_string();
        let file = Some(path.to_owned());
        let points = Points::OneByOne;
        let analysis = lang::analyse(&name, file, &text, (&[], points), &mut ValidationCache::default(), &mut sources);
        Some(ReadText::new(analysis, sources, self.encoding))
    }

    /// URIs of texts whose diagnostics must be published again; marks them as published.
    pub(super) fn untold(&mut self) -> Vec<String> {
        let untold = self.open.values_mut().filter(|document| document.untold);
        untold
            .map(|document| {
                document.untold = false;
                document.uri.clone()
            })
            .collect()
    }
}

impl OpenDocument {
    /// Byte offset of a position.
    pub(super) fn offset(&self, position: Position) -> usize {
        self.lines.offset(&self.text, position)
    }

    /// Range of positions of a range of bytes.
    pub(super) fn range(&self, range: std::ops::Range<usize>) -> Range {
        self.lines.range(&self.text, range)
    }
}
