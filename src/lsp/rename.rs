//! `textDocument/rename` of stages, parameters, templates, networks and the like, in every file of the project that uses them.

use std::collections::{BTreeMap, HashMap};

use gen_lsp_types::{PrepareRenamePlaceholder, PrepareRenameResult, TextEdit, Uri, WorkspaceEdit};

use super::view::View;
use super::workspace::elsewhere;
use crate::lang::describe::is_tensor_name;
use crate::lang::index::{NameScope, Occurrence, Symbol};
use crate::lang::network::InputKind;
use crate::lang::{self, NAME_RULE};

/// The name at a byte, if it can be renamed.
///
/// # Errors
/// A message, if it cannot be renamed.
pub(super) fn prepare(view: &View, at: usize) -> Result<PrepareRenameResult, String> {
    let word = renamable(view, at)?;
    let text = &view.document.text;
    let placeholder = text.get(word.span.range()).unwrap_or_default().to_owned();
    Ok(PrepareRenameResult::PrepareRenamePlaceholder(PrepareRenamePlaceholder {
        range: view.read.range(word.span),
        placeholder,
    }))
}

/// Edits that rename the name at a byte.
///
/// # Errors
/// A message, if it cannot be renamed.
pub(super) fn rename(view: &View, at: usize, new: &str) -> Result<WorkspaceEdit, String> {
    let word = renamable(view, at)?;
    let is_tap = matches!(word.symbol, Symbol::Tap(..));
    let fits = if is_tap { is_tensor_name(new) && InputKind::named(new).is_none() } else { lang::is_name(new) };
    if !fits {
        return Err(format!("`{new}` is not a valid name: {NAME_RULE}"));
    }
    if taken(view, &word.symbol, new) {
        return Err(format!("`{new}` is already in use"));
    }
    let words = view.read.occurrences(&view.index);
    let same = words.iter().filter(|one| one.symbol == word.symbol);
    let here = same.filter_map(|one| Some((view.uri(one.span.file)?, view.read.range(one.span))));
    let mut edits: BTreeMap<String, Vec<TextEdit>> = BTreeMap::new();
    for (uri, range) in here.chain(elsewhere(view, &word.symbol)) {
        let edit = TextEdit { range, new_text: new.to_owned() };
        let edits = edits.entry(uri).or_default();
        if !edits.contains(&edit) {
            edits.push(edit);
        }
    }
    let changes: HashMap<Uri, Vec<TextEdit>> = edits.into_iter().map(|(uri, edits)| (uri.into(), edits)).collect();
    Ok(WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() })
}

fn renamable(view: &View, at: usize) -> Result<Occurrence, String> {
    let word = view.word_at(at).ok_or("no name at this position")?;
    let of_user = match &word.symbol {
        Symbol::Module(_) | Symbol::File(_) => return Err("files are renamed by the editor".to_owned()),
        Symbol::Layer(_) | Symbol::LayerParam(..) => false,
        symbol => symbol.definition().is_none_or(|thing| thing.file.is_some()),
    };
    let text = view.document.text.get(word.span.range()).unwrap_or_default();
    if of_user { Ok(word) } else { Err(format!("`{text}` is part of the standard library")) }
}

/// Whether a new name would collide in the scope of a symbol.
fn taken(view: &View, symbol: &Symbol, new: &str) -> bool {
    let words = view.read.occurrences(&view.index);
    let new_name = || new.to_owned();
    let rivals = match symbol {
        Symbol::Stage(scope @ NameScope::Body(thing), _) => {
            vec![Symbol::Stage(scope.clone(), new_name()), Symbol::Port(thing.clone(), new_name())]
        }
        // Within a body, ports share the namespace of stages.
        Symbol::Port(thing, _) | Symbol::Param(thing, _) => vec![
            Symbol::Port(thing.clone(), new_name()),
            Symbol::Param(thing.clone(), new_name()),
            Symbol::Stage(NameScope::Body(thing.clone()), new_name()),
        ],
        Symbol::Stage(scope, _) | Symbol::Value(scope, _) => {
            vec![Symbol::Stage(scope.clone(), new_name()), Symbol::Value(scope.clone(), new_name())]
        }
        Symbol::Output(thing, _) => vec![Symbol::Output(thing.clone(), new_name())],
        Symbol::NetworkParam(thing, block, _) => vec![Symbol::NetworkParam(thing.clone(), block.clone(), new_name())],
        Symbol::Block(thing, _) => vec![Symbol::Block(thing.clone(), new_name()), Symbol::Layer(new_name())],
        Symbol::Tap(thing, _) => vec![Symbol::Tap(thing.clone(), new_name())],
        Symbol::Pipeline(file, _) => vec![Symbol::Pipeline(*file, new_name())],
        Symbol::Alias(file, _) => vec![Symbol::Alias(*file, new_name())],
        _ => Vec::new(),
    };
    let global = match symbol {
        Symbol::StageType(_) => view.index.kinds(view.file()).contains_key(new) || RESERVED.contains(&new),
        Symbol::Network(_) => view.index.networks(view.file()).contains_key(new),
        Symbol::Stage(scope, _) => {
            let names = view.index.names_of(scope);
            names.is_some_and(|names| names.stages.contains_key(new) || names.values.contains_key(new))
        }
        _ => false,
    };
    global || words.iter().any(|one| rivals.contains(&one.symbol))
}

/// Words that cannot be stage types.
const RESERVED: [&str; 9] = ["pipeline", "stage", "network", "use", "doc", "param", "sweep", "extends", "body"];
