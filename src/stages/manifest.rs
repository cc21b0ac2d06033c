//! `manifest`: photographs listed in a table, with labels of whole photographs, masks, or one class each.
//!
//! All mistakes of the table are one error, with their lines. Files that the table does not list are not looked at.

mod rows;
mod settings;

use std::collections::HashSet;
use std::path::Path;

use rows::ManifestRows;
use settings::ManifestSpec;

use crate::base::figure::{counted, noun};
use crate::data::csv;
use crate::data::name_normalisation::normalised;
use crate::data::patients;
use crate::data::photographs::{LabelScheme, PhotographFacts, WithoutMask};
use crate::data::slides;
use crate::data::source_tree::{SourcePhotograph, gather, is_photograph, number_of, read_text};
use crate::data::text_table::{self, TextTable};
use crate::lang::value::Value;
use crate::stage::{Cell, Determinism, Files, Implementation, Outcome, Params, StageError, Table, Warning, Work};

/// The implementation of `manifest`.
pub const MANIFEST: Implementation = Implementation {
    name: "manifest",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: Some(|params, _| ManifestSpec::new(params).map(|_| Vec::new())),
    foresee: None,
    narrow: None,
    work: Work::Source(source),
};

/// Mistakes that are printed; the others are counted.
const SHOWN: usize = 40;

fn source(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let spec = ManifestSpec::new(params)?;
    let path = files.resolve(params.text("table")?);
    let shown = params.text("table")?;
    let columns = spec.columns();
    let wanted = |name: &str| columns.iter().any(|(column, _)| *column == name);
    let table = TextTable::read(shown, &read_text(&path, files)?, None, &wanted)
        .map_err(|found| mistakes(shown, &found, None))?;
    let exclude = match params.get("exclude") {
        Value::Path(list) => excluded(&read_text(&files.resolve(list), files)?)
            .map_err(|found| mistakes(list, &[found], None).field("exclude"))?,
        _ => Vec::new(),
    };
    let mask_from = PhotographFacts::stored_mask_from(params.count_or_none("mask-from")?);
    let root = match params.get("root") {
        Value::Path(root) => files.resolve(root),
        _ => path.parent().unwrap_or(Path::new("")).to_owned(),
    };
    let names: Vec<&str> = exclude.iter().map(|entry| entry.name.as_str()).collect();
    let mut rows =
        rows::read(&table, &spec, mask_from, &names, &root).map_err(|found| mistakes(shown, &found, None))?;
    if let Value::Path(list) = params.get("exclude") {
        let found = several(list, &exclude, &rows.known);
        if !found.is_empty() {
            return Err(mistakes(list, &found, None).field("exclude"));
        }
    }
    rows.mistakes.extend(missing_files(&rows, &root));
    if !rows.mistakes.is_empty() {
        let hint = "correct them in the table, or leave photographs out by `exclude`";
        return Err(mistakes(shown, &rows.mistakes, Some(hint)));
    }
    if rows.photographs.is_empty() {
        let text = format!("`{shown}` lists no photographs");
        return Err(StageError::input("no-photographs", text).hint("it needs a row for each").field("table"));
    }
    let mut warnings: Vec<Warning> = unmatched(&exclude, &rows.excluded).into_iter().collect();
    let names: Vec<Option<String>> = rows.photographs.iter().map(|one| one.facts.patient.clone()).collect();
    let (named, spelling) = patients::in_one_spelling(&names);
    warnings.extend(spelling);
    warnings.extend(some_patients(&names, &spec));
    for (photograph, patient) in rows.photographs.iter_mut().zip(named) {
        photograph.facts.patient = patient;
    }
    let left_out = rows.left_out;
    let mut found = rows.photographs;
    let slides = found.len();
    found = slides::cut(found, spec.regions.as_ref(), &root, files)?;
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let slides = if spec.regions.is_some() { slides } else { 0 };
    let classes: Vec<&str> = spec.classes.iter().map(|class| class.name).collect();
    warnings.extend(unlabelled(&found));
    let mut outcome = gather(&found, &classes, files, &root, warnings)?;
    describe(&mut outcome, &found, slides, &classes, spec.labels, left_out);
    Ok(outcome)
}

/// One error with all mistakes of the table.
fn mistakes(table: &str, found: &[String], hint: Option<&str>) -> StageError {
    let count = counted(found.len() as u64, "mistake", "mistakes");
    let mut text = format!("{count} in `{table}`");
    for mistake in found.iter().take(SHOWN) {
        text = format!("{text}\n    {}", mistake.replace(['\n', '\r'], " "));
    }
    if found.len() > SHOWN {
        text = format!("{text}\n    and {} more", found.len() - SHOWN);
    }
    let error = StageError::input("manifest", text).field("table");
    if let Some(hint) = hint { error.hint(hint) } else { error }
}

/// Files of the table that do not exist, with their places.
fn missing_files(rows: &ManifestRows, root: &Path) -> Vec<String> {
    let is_there = |file: &str| root.join(file).metadata().is_ok_and(|found| !found.is_dir());
    let mut found = Vec::new();
    for (photograph, place) in rows.photographs.iter().zip(&rows.places) {
        let mut files: Vec<&String> = photograph.masks.values().collect();
        files.dedup();
        for file in std::iter::once(&photograph.file).chain(files) {
            if (is_photograph(file) || slides::is_slide(file)) && !is_there(file) {
                // Each looks through a folder, and the others are only counted.
                let meant = if found.len() < SHOWN { meant(root, file) } else { String::new() };
                found.push(format!("{place}: `{}` does not exist{meant}", root.join(file).display()));
            }
        }
    }
    found
}

/// What a missing file may be, in brackets.
fn meant(root: &Path, file: &str) -> String {
    let path = root.join(file);
    if file.contains('\\') {
        return " (write `/` instead of `\\`)".to_owned();
    }
    let Some((folder, name)) = path.parent().zip(path.file_name().and_then(|name| name.to_str())) else {
        return String::new();
    };
    let Ok(entries) = folder.read_dir() else { return String::new() };
    let stem_of = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_lowercase();
    let mut same: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|other| stem_of(other) == stem_of(name))
        .collect();
    same.sort();
    same.first().map_or(String::new(), |other| format!(" (found `{other}`)"))
}

/// An entry of an exclusion list.
struct ExcludedName {
    /// The first cell of its line.
    name: String,
    /// Its line.
    line: usize,
    /// Its other cells.
    rest: Vec<String>,
}

/// Entries of an exclusion list: the first cell of each line.
fn excluded(bytes: &[u8]) -> Result<Vec<ExcludedName>, String> {
    let text = text_table::decoded(bytes)?;
    let records = csv::records_separated(text, csv::separator(text))?;
    let entry = |record: csv::CsvRecord| {
        let mut cells = record.cells.iter().map(|cell| cell.trim().to_owned());
        let name = cells.next()?;
        let rest = cells.filter(|text| !text.is_empty()).collect();
        Some(ExcludedName { name, line: record.line, rest })
    };
    let entries = records.into_iter().filter_map(entry);
    Ok(entries.filter(|entry| !entry.name.is_empty() && !entry.name.starts_with('#')).collect())
}

/// Mistakes of lines of an exclusion list that name several photographs of the table.
fn several(list: &str, exclude: &[ExcludedName], known: &HashSet<String>) -> Vec<String> {
    let is_known = |name: &str| known.contains(&normalised(name));
    // A list with a header is a table, whose other columns may name photographs too.
    let is_table = exclude.first().is_some_and(|first| !is_known(&first.name) && !first.rest.is_empty());
    let mistake = |entry: &ExcludedName| {
        let cells = entry.rest.iter().map(String::as_str).filter(|_| !is_table);
        // A name may have blanks.
        let words = if is_known(&entry.name) { "" } else { entry.name.as_str() };
        let other = cells.chain(words.split([' ', ',', ';']).skip(1)).find(|name| is_known(name))?;
        let line = entry.line;
        Some(format!("line {line} of `{list}` names several photographs, such as `{other}`; write one on each line"))
    };
    exclude.iter().filter_map(mistake).collect()
}

/// Warning about entries of the exclusion list that are not in the table; the first line may be a header.
fn unmatched(exclude: &[ExcludedName], found: &[bool]) -> Option<Warning> {
    let is_head = |at: usize| at == 0 && found.iter().any(|found| *found);
    let left = |at: &usize| !found[*at] && !is_head(*at);
    let left: Vec<usize> = (0..exclude.len()).filter(left).collect();
    let first = &exclude[*left.first()?].name;
    let count = counted(left.len() as u64, "entry", "entries");
    let text = format!("{count} of `exclude` not in the table (first: `{first}`)");
    Some(Warning { code: "exclude-unmatched".to_owned(), text })
}

/// Warning if only some photographs have a patient.
fn some_patients(names: &[Option<String>], spec: &ManifestSpec<'_>) -> Option<Warning> {
    let without = names.iter().filter(|name| name.is_none()).count() as u64;
    let column = spec.patient?;
    (without > 0).then(|| {
        let are = noun(without, "photograph has", "photographs have");
        let text = format!("{without} {are} no patient in column `{column}`, and count as patients of their own");
        Warning { code: "patients-missing".to_owned(), text }
    })
}

/// Warning about photographs without any label.
fn unlabelled(found: &[SourcePhotograph]) -> Option<Warning> {
    let is_bare = |one: &&SourcePhotograph| {
        one.masks.is_empty() && one.facts.without_mask.iter().all(|label| *label == WithoutMask::Unknown)
    };
    let mut bare = found.iter().filter(is_bare);
    let first = &bare.next()?.file;
    let count = counted(bare.count() as u64 + 1, "photograph", "photographs");
    let text = format!("{count} without any label or mask (first: `{first}`): their labels are unknown");
    Some(Warning { code: "photograph-without-mask".to_owned(), text })
}

/// Replaces the summary of masks by one of labels and masks.
fn describe(
    outcome: &mut Outcome,
    found: &[SourcePhotograph],
    slides: usize,
    classes: &[&str],
    labels: LabelScheme,
    left_out: usize,
) {
    let count = |holds: &dyn Fn(&SourcePhotograph) -> bool| found.iter().filter(|one| holds(one)).count() as i64;
    let row = |(k, class): (usize, &&str)| {
        let bare =
            |one: &SourcePhotograph, wanted| !one.masks.contains_key(*class) && one.facts.without_mask[k] == wanted;
        let counts = [WithoutMask::Present, WithoutMask::Absent, WithoutMask::Unknown];
        let mut cells = vec![Cell::Text((*class).to_owned())];
        cells.extend(counts.map(|wanted| Cell::Int(count(&|one| bare(one, wanted)))));
        cells.push(Cell::Int(count(&|one| one.masks.contains_key(*class))));
        cells
    };
    outcome.summary.tables = vec![Table {
        title: "labels".to_owned(),
        columns: ["class", "present", "absent", "unknown", "masks"].map(str::to_owned).to_vec(),
        rows: classes.iter().enumerate().map(row).collect(),
    }];
    let one_each = if labels == LabelScheme::MultiLabel { "" } else { ", one per photograph" };
    let mut headline =
        format!("{}, {}{one_each}", number_of(found.len(), slides), counted(classes.len() as u64, "class", "classes"));
    if left_out > 0 {
        headline = format!("{headline}; {left_out} excluded");
    }
    outcome.summary.headline = headline;
}
