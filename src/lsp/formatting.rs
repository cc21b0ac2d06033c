//! `textDocument/formatting`: the layout of `macula fmt`, as one edit.

use gen_lsp_types::TextEdit;

use super::documents::Document;
use crate::base::FileId;
use crate::syntax;

/// The edit that lays a text out; none where it is so already, and none where its form has mistakes, which are told as such.
pub(super) fn formatting(document: &Document) -> Option<Vec<TextEdit>> {
    let text = &document.text;
    let formatted = syntax::format(FileId(0), text).ok()?;
    if formatted == *text {
        return Some(Vec::new());
    }
    // From the first line that differs to the last one: the client keeps marks and cursor on the others.
    let first = common(text.split_inclusive('\n'), formatted.split_inclusive('\n'));
    let (old, new) = (&text[first..], &formatted[first..]);
    let last = common(old.split_inclusive('\n').rev(), new.split_inclusive('\n').rev());
    let range = document.range(first..text.len() - last);
    Some(vec![TextEdit { range, new_text: new[..new.len() - last].to_owned() }])
}

/// Bytes of the lines that both begin with.
fn common<'a>(one: impl Iterator<Item = &'a str>, other: impl Iterator<Item = &'a str>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).map(|(line, _)| line.len()).sum()
}
