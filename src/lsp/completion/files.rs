//! Completion of quoted names: modules of the standard library, and files next to the text.

use std::path::Path;

use gen_lsp_types::CompletionItemKind;

use super::super::view::View;
use super::CompletionCandidate;
use crate::lang::stdlib::MODULES;
use crate::syntax::{Cursor, NodeEntry};

/// Maximum number of names offered from one folder.
const MOST: usize = 500;

/// Candidates for `use`.
pub(super) fn modules(view: &View, cursor: &Cursor) -> Vec<CompletionCandidate> {
    let mut items = beside(view, cursor, is_pipeline_file);
    let item = |name: &str| {
        CompletionCandidate::new(format!("\"std:{name}\""), CompletionItemKind::Module, "standard library").rank(2)
    };
    items.extend(MODULES.iter().map(|(name, _)| item(name)));
    items
}

/// Candidates for `extends`: files, and other pipelines of this file.
pub(super) fn pipelines(view: &View, cursor: &Cursor) -> Vec<CompletionCandidate> {
    let own = cursor.within.first().map_or(0, |head| head.start);
    let nodes = view.read.analysis.document().nodes.iter();
    let others = nodes.filter(|node| node.name.text == "pipeline" && node.name.span.start != own);
    let names = others.filter_map(|node| node.args().next().and_then(NodeEntry::text));
    let mut items: Vec<CompletionCandidate> =
        names.map(|name| CompletionCandidate::new(name, CompletionItemKind::Module, "pipeline").rank(0)).collect();
    items.extend(beside(view, cursor, is_pipeline_file));
    items
}

/// Candidates for a path: files and folders, relative to the project folder.
pub(super) fn paths(view: &View, cursor: &Cursor) -> Vec<CompletionCandidate> {
    view.project.as_deref().map(|folder| listed(folder, cursor, |_| true)).unwrap_or_default()
}

fn is_pipeline_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|kind| kind == "kdl")
}

fn beside(view: &View, cursor: &Cursor, wanted: impl Fn(&str) -> bool) -> Vec<CompletionCandidate> {
    let path = view.document.path.as_deref();
    let own = path.and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let folder = path.and_then(Path::parent);
    folder.map(|folder| listed(folder, cursor, |name| wanted(name) && name != own)).unwrap_or_default()
}

/// Contents of the folder typed so far.
fn listed(folder: &Path, cursor: &Cursor, wanted: impl Fn(&str) -> bool) -> Vec<CompletionCandidate> {
    let typed = cursor.typed.rfind('/').map_or("", |at| &cursor.typed[..=at]);
    let entries = std::fs::read_dir(folder.join(typed)).into_iter().flatten().flatten();
    let mut names: Vec<(bool, String)> = entries
        .take(MOST)
        .filter_map(|entry| Some((entry.path().is_dir(), entry.file_name().into_string().ok()?)))
        .filter(|(is_folder, name)| !name.starts_with('.') && (*is_folder || wanted(name)))
        .collect();
    names.sort_by(|(folder, name), (other_folder, other)| other_folder.cmp(folder).then_with(|| name.cmp(other)));
    let item = |(is_folder, name): (bool, String)| {
        let (kind, end) = if is_folder { (CompletionItemKind::Folder, "/") } else { (CompletionItemKind::File, "") };
        CompletionCandidate::new(format!("\"{typed}{name}{end}\""), kind, "")
    };
    names.into_iter().map(item).collect()
}
