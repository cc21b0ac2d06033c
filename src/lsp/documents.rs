//! The texts that the editor has open, and what was understood of each.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use gen_lsp_types::{Position, Range, TextDocumentContentChangeEvent};

use super::position::{Encoding, Lines};
use super::uri;
use crate::base::{FileId, Sources, Span};
use crate::lang::places::{Occurrence, Places};
use crate::lang::spec::Points;
use crate::lang::{self, Analysis, project};
use crate::plan;
use crate::stage::Implementation;
use crate::syntax::{LARGEST, Memory};

/// One open text.
pub(super) struct Document {
    /// As the client spells it.
    pub(super) uri: String,
    /// The file, where it is one.
    pub(super) path: Option<PathBuf>,
    /// The client's count of changes.
    pub(super) version: i32,
    /// The text.
    pub(super) text: String,
    /// Its lines.
    pub(super) lines: Lines,
    /// What was understood of it; none since its last change, or since one of a file that it uses.
    read: Option<Rc<Read>>,
    /// What the last reading found, so that the next one need not find it again.
    memory: Memory,
    /// Whether what the client was told of it is older than its text.
    pub(super) untold: bool,
}

/// What was understood of a text.
pub(super) struct Read {
    /// By the language.
    pub(super) analysis: Analysis,
    /// The texts that its spans point into.
    pub(super) sources: Sources,
    /// The lines of each of them, found when a place in it is asked for.
    lines: BTreeMap<FileId, OnceCell<Lines>>,
    /// What columns count.
    encoding: Encoding,
    /// The words with a meaning, found when the first request asks.
    words: OnceCell<Vec<Occurrence>>,
}

impl Read {
    fn new(analysis: Analysis, sources: Sources, encoding: Encoding) -> Self {
        let lines = sources.iter().map(|(file, _)| (file, OnceCell::new())).collect();
        Self { analysis, sources, lines, encoding, words: OnceCell::new() }
    }

    /// The words with a meaning in the text and in those that it brings in; `places` are those of its analysis.
    pub(super) fn occurrences(&self, places: &Places) -> &[Occurrence] {
        self.words.get_or_init(|| places.occurrences())
    }

    /// Where a span lies, in its own text.
    pub(super) fn range(&self, span: Span) -> Range {
        let text = &self.sources.get(span.file).text;
        let lines = self.lines.get(&span.file);
        let lines = lines.map(|lines| lines.get_or_init(|| Lines::new(text, self.encoding)));
        lines.map_or_else(Range::default, |lines| lines.range(text, span.range()))
    }
}

/// All open texts.
pub(super) struct Documents {
    /// What columns count.
    pub(super) encoding: Encoding,
    /// What stages do: their word on their parameters.
    implementations: &'static [Implementation],
    open: BTreeMap<String, Document>,
    /// What was understood before the last changes: to let go of it takes time, which is taken once nobody waits.
    old: Vec<Rc<Read>>,
}

impl Documents {
    /// None yet.
    pub(super) fn new(implementations: &'static [Implementation]) -> Self {
        Self { encoding: Encoding::default(), implementations, open: BTreeMap::new(), old: Vec::new() }
    }

    /// The client opened a text.
    pub(super) fn open(&mut self, uri: String, version: i32, text: String) {
        let lines = Lines::new(&text, self.encoding);
        let path = uri::path(&uri);
        let document = Document {
            uri: uri.clone(),
            path,
            version,
            text,
            lines,
            read: None,
            memory: Memory::default(),
            untold: true,
        };
        self.touched(document.path.as_deref());
        self.open.insert(uri, document);
    }

    /// The client changed a text.
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
            document.lines = Lines::new(&document.text, encoding);
        }
        document.version = version;
        self.old.extend(document.read.take());
        document.untold = true;
        let path = document.path.clone();
        self.touched(path.as_deref());
    }

    /// The client closed a text.
    pub(super) fn close(&mut self, uri: &str) {
        if let Some(document) = self.open.remove(uri) {
            self.touched(document.path.as_deref());
        }
    }

    /// A file changed, on the disk or in the editor: what was understood of texts that use it holds no longer.
    pub(super) fn touched(&mut self, path: Option<&Path>) {
        let Some(path) = path else { return };
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        for document in self.open.values_mut() {
            let uses = document.read.as_ref().is_some_and(|read| {
                let mut texts = read.sources.iter().filter_map(|(_, source)| source.path.as_ref());
                // A file that could not be read is told of by what is wrong, not among the sources.
                let missed = read.analysis.diags.iter().any(|diag| diag.code == "unreadable-file");
                missed || texts.any(|other| *other == path || other.canonicalize().is_ok_and(|other| other == real))
            });
            if uses {
                document.read = None;
                document.untold = true;
            }
        }
    }

    /// Whether there is something to let go of.
    pub(super) fn holds_old(&self) -> bool {
        !self.old.is_empty()
    }

    /// Lets go of what is no longer needed; where much of it has come together, even while somebody waits.
    pub(super) fn let_go(&mut self, most: usize) {
        if self.old.len() > most {
            self.old.clear();
        }
    }

    /// An open text.
    pub(super) fn get(&self, uri: &str) -> Option<&Document> {
        self.open.get(uri)
    }

    /// The open text of a file.
    pub(super) fn of_file(&self, path: &Path) -> Option<&Document> {
        let same = |document: &&Document| document.path.as_deref() == Some(path);
        self.open.values().find(same).or_else(|| {
            let real = path.canonicalize().ok()?;
            self.open.values().find(|document| {
                document.path.as_ref().and_then(|path| path.canonicalize().ok()).is_some_and(|other| other == real)
            })
        })
    }

    /// The URI of a file, spelled as the client does where it has it open.
    pub(super) fn uri(&self, path: &Path) -> String {
        self.of_file(path).map_or_else(|| uri::of(path), |document| document.uri.clone())
    }

    /// What is understood of an open text; found out now where it is not known.
    pub(super) fn read(&mut self, uri: &str) -> Option<Rc<Read>> {
        if let Some(read) = self.open.get(uri)?.read.clone() {
            return Some(read);
        }
        let mut sources = self.held(uri);
        let encoding = self.encoding;
        let document = self.open.get_mut(uri)?;
        let name = document.path.as_ref().map_or_else(|| uri.to_owned(), |path| path.display().to_string());
        let Document { path, text, memory, .. } = document;
        let mut analysis = match path.as_deref().filter(|path| path.ends_with(project::FILE)) {
            Some(path) => lang::analyse_project(path, text, memory, &mut sources),
            None => lang::analyse(&name, path.clone(), text, (&[], Points::OneByOne), memory, &mut sources),
        };
        plan::settle(&analysis.contents, self.implementations, &mut analysis.diags);
        let read = Rc::new(Read::new(analysis, sources, encoding));
        document.read = Some(Rc::clone(&read));
        Some(read)
    }

    /// Sources in which the open texts stand in the place of their files, but for one.
    fn held(&self, but: &str) -> Sources {
        let mut sources = Sources::default();
        for other in self.open.values().filter(|other| other.uri != but) {
            if let Some(path) = &other.path {
                sources.hold(path.canonicalize().unwrap_or_else(|_| path.clone()), other.text.clone());
            }
        }
        sources
    }

    /// What is understood of a file that is not among the open texts, or of one that is, read beside the others; none where
    /// its text can't be read or is not `wanted`.
    pub(super) fn read_other(&self, path: &Path, wanted: impl Fn(&str) -> bool) -> Option<Read> {
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
        let analysis = lang::analyse(&name, file, &text, (&[], points), &mut Memory::default(), &mut sources);
        Some(Read::new(analysis, sources, self.encoding))
    }

    /// Whose client must be told anew what is wrong with them; after this they count as told.
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

impl Document {
    /// The byte at a place.
    pub(super) fn offset(&self, position: Position) -> usize {
        self.lines.offset(&self.text, position)
    }

    /// The places of a range of bytes.
    pub(super) fn range(&self, range: std::ops::Range<usize>) -> Range {
        self.lines.range(&self.text, range)
    }
}
