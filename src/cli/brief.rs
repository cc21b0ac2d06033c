//! The first screen of a stage's result: what matters most in at most [`LINES`] lines, and how to see the rest.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::artifact::StageArtifact;
use crate::base::shown;
use crate::learn::evaluation::Scores;
use crate::progress::table::{Grid, bytes, counted, not_shown, paragraph};
use crate::report::brief::{self, Brief, EPOCHS};
use crate::report::{scores, whole};
use crate::stage::{Summary, Table, Warning};
use crate::store::Objects;

/// Lines of a screen without the one for the prompt.
const LINES: usize = 23;

/// Fewest lines for tables, however long the rest is.
const FEWEST: usize = 6;

/// Maximum number of warnings shown; warnings of one kind are one.
const WARNINGS: usize = 3;

/// Maximum number of outputs and of images shown.
const LISTED: usize = 3;

/// Rows of the table of epochs.
const EPOCHS_SHOWN: usize = 8;

/// File of an evaluation's metrics.
const SCORES: &str = "scores.json";

/// What is left out.
#[derive(Default)]
struct LeftOut {
    tables: usize,
    rows: usize,
    warnings: usize,
    outputs: usize,
    images: usize,
}

impl LeftOut {
    /// `5 more tables, 4 more warnings and 1 more image`; [`None`] if nothing is left out.
    fn words(&self) -> Option<String> {
        let Self { tables, rows, warnings, outputs, images } = *self;
        let all = [
            (tables, "more table", "more tables"),
            (rows, "more row", "more rows"),
            (warnings, "more warning", "more warnings"),
            (outputs, "more output", "more outputs"),
            (images, "more image", "more images"),
        ];
        let words = all.iter().filter(|(count, ..)| *count > 0);
        let mut words: Vec<String> = words.map(|(count, one, many)| counted(*count as u64, one, many)).collect();
        let last = words.pop()?;
        Some(if words.is_empty() { last } else { format!("{} and {last}", words.join(", ")) })
    }
}

/// The first screen: `head` names the stage, `folder` is where its files are linked, `ask` is the command that shows everything.
pub(super) fn text(
    artifact: &StageArtifact,
    objects: &Objects,
    head: &str,
    folder: Option<&str>,
    pictures: &[String],
    (width, ask): (usize, &str),
) -> String {
    let mut left = LeftOut::default();
    let summary = &artifact.own_summary();
    let files = files(artifact, folder, width, &mut left);
    let images = images(pictures, &mut left);
    let (lines, first, rest) = main(artifact, summary, objects, &mut left);
    let mut top = paragraph(head, width, 2) + "\n";
    for line in &lines {
        top.push_str(&paragraph(&shown::line(line), width, 2));
    }
    let first = first.map(|Brief { table, priorities, .. }| Grid::from(&table).priorities(&priorities).render(width));
    // An empty line before each part, and the last line.
    let lines = |part: &str| part.lines().count() + usize::from(!part.is_empty());
    let room = |warnings: &str| {
        LINES.saturating_sub([top.as_str(), warnings, files.as_str(), images.as_str()].map(lines).iter().sum::<usize>())
    };
    // The first table is worth more than the last warnings.
    let fits = |warnings: &str| first.as_ref().is_none_or(|first| first.lines().count() <= room(warnings));
    let all = &summary.warnings;
    let warnings = (1..=WARNINGS).rev().map(|most| warnings(all, width, most)).find(|(text, _)| fits(text));
    let (warnings, hidden) = warnings.unwrap_or_else(|| self::warnings(all, width, 1));
    left.warnings = hidden;
    let room = room(&warnings).max(FEWEST);
    let tables = tables(first, rest, width, room, &mut left);
    let mut parts = vec![top];
    parts.extend([tables, warnings, files + &images].into_iter().filter(|part| !part.is_empty()));
    let mut text = parts.join("\n");
    if let Some(words) = left.words() {
        // A command is not broken: it is to be copied.
        let line = format!("{words}: {ask}");
        let line = if line.chars().count() <= width { line } else { format!("{words}:\n  {ask}") };
        let _ = writeln!(text, "{line}");
    }
    text
}

/// The sentences, the first table, and the other tables in order of importance.
fn main<'a>(
    artifact: &StageArtifact,
    summary: &'a Summary,
    objects: &Objects,
    left: &mut LeftOut,
) -> (Vec<String>, Option<Brief>, Vec<&'a Table>) {
    if let Some(scores) = evaluation(artifact, objects) {
        let data = artifact.stage.inputs.iter().find(|input| input.port == "data").and_then(|input| input.from.first());
        let data = data
            .map(|from| if from.port == "out" { from.stage.clone() } else { format!("{}.{}", from.stage, from.port) });
        let brief = match &scores.single {
            Some(single) => brief::of_choice(&scores, single, data.as_deref()),
            None => brief::of_scores(&scores, data.as_deref()),
        };
        // What its own tables say of all classes is in the sentences. Of the others, those that were asked for matter most.
        let asked = [whole::table(&scores), scores::within_photograph(&scores), scores::calibration(&scores)];
        let asked: Vec<String> = asked.into_iter().flatten().map(|table| table.title).collect();
        let asked: Vec<&Table> =
            asked.iter().filter_map(|title| summary.tables.iter().find(|table| table.title == *title)).collect();
        left.tables = summary.tables.len() - asked.len();
        return (brief.lines.clone(), Some(brief), asked);
    }
    let lines = vec![summary.headline.clone()];
    if let Some(epochs) = summary.tables.iter().find(|table| table.title == EPOCHS) {
        let brief = brief::of_epochs(epochs, summary.metrics.get("epoch").copied(), EPOCHS_SHOWN);
        let rest = summary.tables.iter().filter(|table| table.title != EPOCHS);
        return (lines, Some(brief), rest.collect());
    }
    (lines, None, summary.tables.iter().collect())
}

/// Metrics of an evaluation, if these can be read.
fn evaluation(artifact: &StageArtifact, objects: &Objects) -> Option<Scores> {
    let (_, tree) = artifact.typed().find(|(_, tree)| tree.entries.contains_key(SCORES))?;
    if artifact.stage.stage_type != "eval" {
        return None;
    }
    serde_json::from_slice(&objects.read_in(tree, SCORES).ok()??).ok()
}

/// `first`, and as many other tables as fit into `room` lines; without `first`, the first of them is cut to fit.
fn tables(first: Option<String>, rest: Vec<&Table>, width: usize, room: usize, left: &mut LeftOut) -> String {
    let mut parts: Vec<String> = first.into_iter().collect();
    let mut used: usize = parts.iter().map(|part| part.lines().count()).sum();
    for table in rest {
        let (text, hidden) = Grid::from(table).fit(width);
        let mut lines: Vec<&str> = text.lines().collect();
        let note = not_shown(&hidden, width);
        lines.extend(note.lines());
        let gap = usize::from(!parts.is_empty());
        if used + gap + lines.len() > room {
            if !parts.is_empty() {
                left.tables += 1;
                continue;
            }
            // Its title, its heads and at least one row stay.
            let cut = (lines.len() - room).min(table.rows.len().saturating_sub(1));
            let rows = lines.len() - note.lines().count();
            lines.drain(rows - cut..rows);
            left.rows = cut;
        }
        used += gap + lines.len();
        parts.push(lines.join("\n") + "\n");
    }
    parts.join("\n")
}

/// The first warning of each of the first `most` kinds, with the number of others, and how many are left out.
fn warnings(all: &[Warning], width: usize, most: usize) -> (String, usize) {
    let mut of_code: BTreeMap<&str, usize> = BTreeMap::new();
    for warning in all {
        *of_code.entry(&warning.code).or_default() += 1;
    }
    let mut text = String::new();
    let mut shown_codes: Vec<&str> = Vec::new();
    for warning in all {
        if shown_codes.contains(&warning.code.as_str()) {
            continue;
        }
        if shown_codes.len() == most {
            break;
        }
        shown_codes.push(&warning.code);
        let others = of_code[warning.code.as_str()] - 1;
        let more = if others > 0 { format!(" (and {others} more like this)") } else { String::new() };
        text.push_str(&paragraph(
            &format!("warning[{}]: {}{more}", warning.code, shown::line(&warning.text)),
            width,
            2,
        ));
    }
    (text, all.len() - shown_codes.len())
}

/// A line for each output: its type, its files and where they are.
fn files(artifact: &StageArtifact, folder: Option<&str>, width: usize, left: &mut LeftOut) -> String {
    let mut text = String::new();
    left.outputs = artifact.typed().count().saturating_sub(LISTED);
    for (output, tree) in artifact.typed().take(LISTED) {
        let count = tree.entries.len();
        let port = if output.port == "out" { String::new() } else { format!("{}: ", output.port) };
        let what = match tree.entries.keys().next() {
            Some(name) if count == 1 => name.clone(),
            _ => counted(count as u64, "file", "files"),
        };
        let place = folder.map(|folder| match artifact.linked_in(&output.port) {
            Some(port) => format!(" in {folder}/{port}/"),
            None => format!(" in {folder}/"),
        });
        let line = format!("{port}{}, {what}, {}{}", output.ty, bytes(tree.size()), place.unwrap_or_default());
        text.push_str(&paragraph(&shown::line(&line), width, 2));
    }
    text
}

fn images(pictures: &[String], left: &mut LeftOut) -> String {
    left.images = pictures.len().saturating_sub(LISTED);
    let mut text = String::new();
    for path in pictures.iter().take(LISTED) {
        let _ = writeln!(text, "image: {}", shown::line(path));
    }
    text
}
