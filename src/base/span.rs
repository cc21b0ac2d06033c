//! Locations in source texts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Identifies a text in [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// A location in a text: byte offsets, end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// A span of `file` over `range`.
    #[must_use]
    pub const fn new(file: FileId, range: Range<usize>) -> Self {
        Self { file, start: range.start, end: range.end }
    }

    /// Its byte range.
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// The texts that spans point into: pipeline files, stdlib modules, `--set` arguments.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    texts: Vec<Source>,
    held: BTreeMap<PathBuf, String>,
}

/// A text and its origin.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its display name: a path, `std:stages/extract`, `--set`.
    pub name: String,
    /// The file on disk, if there is one.
    pub path: Option<PathBuf>,
    /// The text.
    pub text: String,
}

impl Sources {
    /// Adds a text.
    ///
    /// # Panics
    /// Beyond 2^32 texts.
    pub fn add(&mut self, name: impl Into<String>, path: Option<PathBuf>, text: impl Into<String>) -> FileId {
        self.texts.push(Source { name: name.into(), path, text: text.into() });
        FileId(u32::try_from(self.texts.len() - 1).expect("fewer than 2^32 texts"))
    }

    /// Replaces the content of the file at `path` (a real path) by `text`, which an editor has open and may not have
    /// saved.
    pub fn hold(&mut self, path: PathBuf, text: impl Into<String>) {
        self.held.insert(path, text.into());
    }

    /// The text that replaces a file's content.
    #[must_use]
    pub fn held(&self, path: &Path) -> Option<&str> {
        self.held.get(path).map(String::as_str)
    }

    /// The text of `file`.
    #[must_use]
    pub fn get(&self, file: FileId) -> &Source {
        &self.texts[file.0 as usize]
    }

    /// All texts, with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        (0..).map(FileId).zip(&self.texts)
    }

    /// Line and column of a span's start, both from 1; columns count characters.
    #[must_use]
    pub fn line_column(&self, span: Span) -> (usize, usize) {
        let text = &self.get(span.file).text;
        let before = &text.as_bytes()[..span.start.min(text.len())];
        let line = before.split(|&byte| byte == b'\n').count();
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        (line, column)
    }

    /// `name:line` of a span, as `why` and warnings cite it; a flag has no lines.
    #[must_use]
    pub fn cite(&self, span: Span) -> String {
        let source = self.get(span.file);
        if source.path.is_none() && source.name.starts_with("--") {
            return source.name.clone();
        }
        format!("{}:{}", source.name, self.line_column(span).0)
    }
}
