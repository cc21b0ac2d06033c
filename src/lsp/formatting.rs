//! `textDocument/formatting`: the layout of `macula fmt`, as one edit.

use gen_lsp_types::TextEdit;

use super::documents::OpenDocument;
use crate::base::FileId;
use crate::syntax;

/// Edit that formats a text; empty if it is formatted, [`None`] if it has syntax errors, which are reported elsewhere.
pub(super) fn formatting(document: &OpenDocument) -> Option<Vec<TextEdit>> {
    let text = &document.text;
    let formatted = syntax::format(FileId(0), text).ok()?;
    if formatted == *text {
        return Some(Vec::new());
    }
    // Only from the first to the last line that differs: the client keeps marks and cursor elsewhere.
    let first = common(text.split_inclusive('\n'), formatted.split_inclusive('\n'));
    let (old, new) = (&text[first..], &formatted[first..]);
    let last = common(old.split_inclusive('\n').rev(), new.split_inclusive('\n').rev());
    let range = document.range(first..text.len() - last);
    Some(vec![TextEdit { range, new_text: new[..new.len() - last].to_owned() }])
}

/// Length in bytes of the common leading lines.
fn common<'a>(one: impl Iterator<Item = &'a str>, other: impl Iterator<Item = &'a str>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).map(|(line, _)| line.len()).sum()
}
