//! `textDocument/codeAction`: fixes that a hint is certain of.

use std::collections::HashMap;

use gen_lsp_types::{CodeAction, CodeActionKind, CodeActionParams, TextEdit, Uri, WorkspaceEdit};

use super::diagnostics;
use super::view::View;

/// Code actions for the diagnostics in a range.
pub(super) fn actions(view: &View, params: &CodeActionParams) -> Vec<CodeAction> {
    let wanted = |kind: &CodeActionKind| {
        let kind = kind.as_str();
        kind.is_empty() || kind == "quickfix"
    };
    if params.context.only.as_ref().is_some_and(|only| !only.iter().any(wanted)) {
        return Vec::new();
    }
    let bytes = view.document.lines.bytes(&view.document.text, params.range);
    let mut all = Vec::new();
    for diag in &view.read.analysis.diags {
        let Some(span) = diag.labels.first().map(|label| label.span) else { continue };
        if span.file != view.file() || span.start > bytes.end || span.end < bytes.start {
            continue;
        }
        let Some(fix) = view.document.text.get(span.range()).and_then(|text| diag.fix(text)) else { continue };
        let (_, told) = diagnostics::one(diag, view.read, &view.document.uri, view.documents, view.library);
        let edit = TextEdit { range: view.read.range(span), new_text: fix.text };
        let changes: HashMap<Uri, Vec<TextEdit>> = HashMap::from([(view.document.uri.clone().into(), vec![edit])]);
        all.push(CodeAction {
            title: fix.title,
            kind: Some(CodeActionKind::QuickFix),
            diagnostics: Some(vec![told]),
            is_preferred: Some(true),
            edit: Some(WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() }),
            ..CodeAction::default()
        });
    }
    all
}
