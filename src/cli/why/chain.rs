//! What changed first and how it reaches a stage, as a few lines.

use std::fmt::Write as _;
use std::path::Path;

use textwrap::core::display_width;

use crate::base::{Sources, shown};
use crate::lang::spec::StageSpec;
use crate::plan::causes::{Cause, CauseKind, FileChanges};
use crate::plan::{Engine, StageId};
use crate::progress::out;
use crate::progress::table::counted;
use crate::store::{Difference, Kind};

/// Most changes that are listed.
const MOST: usize = 8;

/// Most chains of stages.
const CHAINS: usize = 3;

/// Most files named in a line.
const FILES: usize = 3;

const MARGIN: &str = "    ";

/// A change as it is listed: the fact, old and new value, and where it is written.
type ListedCause = [String; 3];

/// Lines for the causes, and the stages between each and `id`.
pub(super) fn text(engine: &Engine, sources: &Sources, id: StageId, causes: &[Cause]) -> String {
    let of = |cause: &Cause| listed(engine, sources, id, cause).map(|text| shown::line(&text).into_owned());
    let rows: Vec<ListedCause> = causes.iter().take(MOST).map(of).collect();
    let mut text = String::new();
    let widths = [0, 1].map(|at| rows.iter().map(|row| display_width(&row[at])).max().unwrap_or(0));
    let place = rows.iter().map(|row| display_width(&row[2])).max().unwrap_or(0);
    let fits = MARGIN.len() + widths.iter().sum::<usize>() + place + 4 <= out::stdout_width();
    for [of, change, at] in &rows {
        let line = if fits {
            let fill = |text: &str, width: usize| " ".repeat(width.saturating_sub(display_width(text)));
            format!("{of}{}  {change}{}  {at}", fill(of, widths[0]), fill(change, widths[1]))
        } else if at.is_empty() {
            format!("{of}: {change}")
        } else {
            format!("{of}: {change} ({at})")
        };
        let _ = writeln!(text, "{MARGIN}{}", line.trim_end());
    }
    if causes.len() > MOST {
        let _ = writeln!(text, "{MARGIN}and {} more", causes.len() - MOST);
    }
    for chain in chains(causes).iter().take(CHAINS) {
        let names: Vec<&str> = chain.iter().map(|id| engine.stage(*id).name.as_str()).collect();
        let _ = writeln!(text, "  chain: {}", shown::line(&names.join(" -> ")));
    }
    text
}

/// The chains of several stages, without those that a longer one contains.
fn chains(causes: &[Cause]) -> Vec<&[StageId]> {
    let mut chains: Vec<&[StageId]> = Vec::new();
    // Causes are in the order of the graph, so longer chains come first.
    for chain in causes.iter().map(|cause| cause.chain.as_slice()).filter(|chain| chain.len() > 1) {
        if !chains.iter().any(|known| known.ends_with(chain)) {
            chains.push(chain);
        }
    }
    chains
}

fn listed(engine: &Engine, sources: &Sources, id: StageId, cause: &Cause) -> ListedCause {
    let at = cause.chain.first().copied().unwrap_or(id);
    let stage = engine.stage(at);
    let whole = |words: &str| [stage.name.clone(), words.to_owned(), sources.cite(stage.span)];
    match &cause.change {
        CauseKind::New => whole("new (no earlier run)"),
        CauseKind::Removed => whole("its result is no longer in the store"),
        CauseKind::Lost => whole("its result is damaged or missing"),
        CauseKind::OtherTarget(target) => whole(&format!("its result was computed on `{target}`")),
        CauseKind::Fact(_, Some(files)) if !files.is_empty() => whole(&of_files(files)),
        CauseKind::Fact(difference, _) => {
            let [of, change, place] = fact(engine, sources, stage, difference);
            [if at == id { of } else { format!("{}.{of}", stage.name) }, change, place]
        }
    }
}

/// The fact, old and new value, and where it is written.
fn fact(engine: &Engine, sources: &Sources, stage: &StageSpec, difference: &Difference) -> ListedCause {
    let Difference { path, kind, old, new } = difference;
    let change = match (old, new) {
        (Some(old), Some(new)) => format!("{old} -> {new}"),
        (None, Some(new)) => format!("{new} (new)"),
        (old, None) => format!("{} (removed)", old.as_deref().unwrap_or_default()),
    };
    let port = path.split('[').next().unwrap_or(path);
    let span = match kind {
        Kind::Parameter => stage.params.get(path).and_then(|param| param.span),
        Kind::Seed => Some(engine.pipeline.span),
        Kind::Files => Some(stage.span),
        _ => stage.inputs.iter().find(|input| input.port == port).map(|input| input.span),
    };
    let default = *kind == Kind::Parameter && new.is_some();
    let at = span.map(|span| sources.cite(span)).or_else(|| default.then(|| "default".to_owned()));
    let of = match kind {
        Kind::Implementation if path == "version" => format!("version of `{}`", stage.implementation),
        Kind::Files => "files".to_owned(),
        Kind::Summary => format!("{path}'s summary"),
        Kind::Name => format!("{path}'s name"),
        _ => path.clone(),
    };
    [of, change, at.unwrap_or_default()]
}

/// `2 files changed, 1 added: images/a.jpg, images/b.jpg, …`.
fn of_files(files: &FileChanges) -> String {
    let all = [(&files.changed, "changed"), (&files.added, "added"), (&files.removed, "removed")];
    // Facts that a source writes next to photographs say nothing to the user, unless nothing else changed.
    let own = |name: &String| Path::new(name).extension().is_none_or(|extension| extension != "json");
    let any = all.iter().any(|(names, _)| names.iter().any(own));
    let groups = all.map(|(names, verb)| (names.iter().filter(|name| !any || own(name)).collect::<Vec<_>>(), verb));
    let mut counts: Vec<String> = Vec::new();
    for (names, verb) in groups.iter().filter(|(names, _)| !names.is_empty()) {
        let count =
            if counts.is_empty() { counted(names.len() as u64, "file", "files") } else { names.len().to_string() };
        counts.push(format!("{count} {verb}"));
    }
    let named: Vec<&str> =
        groups.iter().flat_map(|(names, _)| names.iter().map(|name| name.as_str())).take(FILES).collect();
    let all: usize = groups.iter().map(|(names, _)| names.len()).sum();
    let more = if all > FILES { ", …" } else { "" };
    format!("{}: {}{more}", counts.join(", "), named.join(", "))
}
