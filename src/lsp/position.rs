//! Positions as editors count them: lines, and columns in UTF-16 units or bytes. Knows no document.

use gen_lsp_types::{Position, PositionEncodingKind, Range};

/// Unit of columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Bytes, if the client offers it.
    Utf8,
    /// UTF-16 units, which every client supports.
    #[default]
    Utf16,
}

impl Encoding {
    /// Name in the protocol.
    pub(super) fn kind(self) -> PositionEncodingKind {
        match self {
            Self::Utf8 => PositionEncodingKind::UTF8,
            Self::Utf16 => PositionEncodingKind::UTF16,
        }
    }
}

/// Byte offsets of the line starts of a text.
#[derive(Clone, Debug, Default)]
pub(super) struct LineIndex {
    starts: Vec<usize>,
    encoding: Encoding,
}

impl LineIndex {
    /// Line starts of `text`. Only `\n`, `\r\n` and `\r` end a line in the protocol, not KDL's other line ends.
    pub(super) fn new(text: &str, encoding: Encoding) -> Self {
        let bytes = text.as_bytes();
        let ends = bytes.iter().enumerate().filter(|&(at, byte)| match byte {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        Self { starts: std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect(), encoding }
    }

    /// Line of byte `at`, from 0.
    pub(super) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|&start| start <= at).saturating_sub(1)
    }

    /// Position of byte `at`.
    pub(super) fn position(&self, text: &str, at: usize) -> Position {
        let at = text.floor_char_boundary(at.min(text.len()));
        let line = self.line(at);
        let before = &text[self.starts[line]..at];
        let column = match self.encoding {
            Encoding::Utf8 => before.len(),
            Encoding::Utf16 => before.chars().map(char::len_utf16).sum(),
        };
        Position { line: line as u32, character: column as u32 }
    }

    /// Byte offset of a position; clamped to the end of the line and of the text.
    pub(super) fn offset(&self, text: &str, position: Position) -> usize {
        let line = position.line as usize;
        let Some(&start) = self.starts.get(line) else { return text.len() };
        let next = self.starts.get(line + 1).copied().unwrap_or(text.len());
        let within = text[start..next].trim_end_matches(['\n', '\r']);
        let mut column = 0;
        for (at, c) in within.char_indices() {
            // A position inside a character means before it.
            column += if self.encoding == Encoding::Utf8 { c.len_utf8() } else { c.len_utf16() };
            if column > position.character as usize {
                return start + at;
            }
        }
        start + within.len()
    }

    /// Range of positions of a range of bytes.
    pub(super) fn range(&self, text: &str, range: std::ops::Range<usize>) -> Range {
        Range { start: self.position(text, range.start), end: self.position(text, range.end.max(range.start)) }
    }

    /// Range of bytes of a range of positions.
    pub(super) fn bytes(&self, text: &str, range: Range) -> std::ops::Range<usize> {
        let (start, end) = (self.offset(text, range.start), self.offset(text, range.end));
        start.min(end)..end.max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, character: u32) -> Position {
        Position { line, character }
    }

    #[test]
    fn columns_count_what_was_agreed_on() {
        let text = "a\nä𝄞b\r\nc";
        let utf16 = LineIndex::new(text, Encoding::Utf16);
        let utf8 = LineIndex::new(text, Encoding::Utf8);
        let b = text.find('b').expect("there is one");
        assert_eq!(utf16.position(text, b), at(1, 3));
        assert_eq!(utf8.position(text, b), at(1, 6));
        assert_eq!(utf16.offset(text, at(1, 3)), b);
        assert_eq!(utf8.offset(text, at(1, 6)), b);
        assert_eq!(utf16.position(text, text.len()), at(2, 1));
    }

    #[test]
    fn a_place_past_the_end_is_the_end() {
        let text = "ab\r\ncd";
        let lines = LineIndex::new(text, Encoding::Utf16);
        assert_eq!(lines.offset(text, at(0, 99)), 2);
        assert_eq!(lines.offset(text, at(9, 0)), text.len());
        assert_eq!(lines.offset("𝄞", at(0, 1)), 0);
    }
}
