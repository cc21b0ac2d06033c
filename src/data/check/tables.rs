//! What was found, as tables that people read on a terminal and on a page.

use std::collections::BTreeMap;

use super::pairs::CheckedPair;
use super::photograph::{CheckedClass, LesionPresence, PictureFacts};
use super::source::{CheckedSource, PatientCounts};
use super::whole::DataCheck;
use crate::data::orientation::Orientation;
use crate::data::photographs::Official;
use crate::stage::{Cell, Table};

/// Pairs in the table; JSON has all.
const LISTED: usize = 24;

/// The tables of a source: its photographs, their files, its classes, then those of the stage.
#[must_use]
pub fn source_tables(source: &CheckedSource) -> Vec<Table> {
    if source.photographs.is_empty() {
        return Vec::new();
    }
    let own = [Some(photographs(source)), pictures(source), profiles(source), classes(source), lesions(source)];
    own.into_iter().flatten().chain(source.tables.iter().cloned()).collect()
}

fn int(count: u64) -> Cell {
    Cell::Int(count as i64)
}

fn text(words: impl Into<String>) -> Cell {
    Cell::Text(words.into())
}

/// Counts of photographs and patients.
fn photographs(source: &CheckedSource) -> Table {
    let total = source.photographs.len() as u64;
    let decoded = source.photographs.iter().filter(|photograph| photograph.picture.is_some()).count() as u64;
    let mut rows = vec![("checked", total), ("decoded", decoded)];
    for (words, side) in [
        ("in the official training set", Official::Train),
        ("in the official validation set", Official::Valid),
        ("in the official test set", Official::Test),
    ] {
        let count = source.photographs.iter().filter(|photograph| photograph.official == Some(side)).count() as u64;
        rows.extend((count > 0).then_some((words, count)));
    }
    let PatientCounts { patients, fewest, most, unknown } = source.patients();
    if patients > 0 {
        rows.extend([("patients", patients), ("fewest of a patient", fewest), ("most of a patient", most)]);
    }
    rows.push(("of an unknown patient", unknown));
    Table {
        title: "photographs".to_owned(),
        columns: vec![String::new(), "count".to_owned()],
        rows: rows.into_iter().map(|(words, count)| vec![text(words), int(count)]).collect(),
    }
}

/// Formats and sizes of the photographs that could be decoded, the most frequent first.
fn pictures(source: &CheckedSource) -> Option<Table> {
    let mut counts: BTreeMap<PictureFacts, u64> = BTreeMap::new();
    for facts in source.photographs.iter().filter_map(|photograph| photograph.picture) {
        *counts.entry(facts).or_default() += 1;
    }
    let mut counts: Vec<(PictureFacts, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let row = |(facts, count): &(PictureFacts, u64)| {
        vec![
            text(facts.format.name()),
            text(format!("{} x {}", facts.width, facts.height)),
            Cell::Int(facts.bits.into()),
            text(if facts.grey { "grey" } else { "colour" }),
            text(Orientation::of(facts.orientation.into()).words()),
            int(*count),
        ]
    };
    let columns = ["format", "size, px", "bits", "colours", "orientation", "photographs"].map(str::to_owned).to_vec();
    let title = "formats and sizes".to_owned();
    (!counts.is_empty()).then(|| Table { title, columns, rows: counts.iter().map(row).collect() })
}

/// Colour profiles other than sRGB.
fn profiles(source: &CheckedSource) -> Option<Table> {
    let rows: Vec<Vec<Cell>> =
        source.profiles().into_iter().map(|(name, count)| vec![text(name), int(count)]).collect();
    let columns = ["profile", "photographs"].map(str::to_owned).to_vec();
    (!rows.is_empty()).then(|| Table { title: "colour profiles other than sRGB".to_owned(), columns, rows })
}

/// Columns of [`classes`] that are left out if all their counts are 0.
const RARE: [&str; 3] = ["unknown", "faulty mask", "blank mask"];

/// Photographs by presence of each class.
fn classes(source: &CheckedSource) -> Option<Table> {
    let columns = ["class", "present", "absent", "unknown", "faulty mask", "blank mask"];
    let row = |k: usize| {
        let count = |wanted| int(source.class(k).filter(|class| class.presence == wanted).count() as u64);
        let presence =
            [LesionPresence::Present, LesionPresence::Absent, LesionPresence::Unknown, LesionPresence::Faulty];
        let counts = presence.map(count).into_iter().chain([int(source.blank(k))]);
        std::iter::once(text(&source.classes[k])).chain(counts).collect::<Vec<Cell>>()
    };
    let rows: Vec<Vec<Cell>> = (0..source.classes.len()).map(row).collect();
    let is_shown = |at: usize| !RARE.contains(&columns[at]) || rows.iter().any(|row| row[at] != Cell::Int(0));
    (!rows.is_empty()).then(|| shown("photographs by class".to_owned(), &columns, &rows, is_shown))
}

/// Lesions of each class; [`None`] if no photograph has a mask.
fn lesions(source: &CheckedSource) -> Option<Table> {
    if (0..source.classes.len()).all(|k| source.class(k).all(|class| class.mask.is_none())) {
        return None;
    }
    let columns = ["class", "lesions", "lesion pixels", "smallest lesion, px", "largest lesion, px"];
    let row = |k: usize| {
        let sum = |of: fn(&CheckedClass) -> u64| int(source.class(k).map(of).sum::<u64>());
        let sizes = |of: fn(&CheckedClass) -> u64| source.class(k).filter(|class| class.lesions > 0).map(of);
        let size = |size: Option<u64>| size.map_or(Cell::Null(()), int);
        let (smallest, largest) = (sizes(|class| class.smallest).min(), sizes(|class| class.largest).max());
        let sums = [sum(|class| class.lesions), sum(|class| class.pixels)];
        [vec![text(&source.classes[k])], sums.to_vec(), vec![size(smallest), size(largest)]].concat()
    };
    let rows: Vec<Vec<Cell>> = (0..source.classes.len()).map(row).collect();
    let title = "lesions by class".to_owned();
    (!rows.is_empty()).then(|| Table { title, columns: columns.map(str::to_owned).to_vec(), rows })
}

/// The photographs that show the same picture; [`None`] if there are none.
#[must_use]
pub fn pair_table(check: &DataCheck) -> Option<Table> {
    let pairs = &check.pairs.pairs;
    let title = if pairs.len() > LISTED {
        format!("photographs that show the same picture, first {LISTED} of {} pairs", pairs.len())
    } else {
        "photographs that show the same picture".to_owned()
    };
    let several = check.sources.len() > 1;
    let row = |pair: &CheckedPair| {
        let [one, other] = [0, 1].map(|at| {
            let (source, _) = pair.places[at];
            let name = &pair.pair.members[at].name;
            if several { format!("{}/{name}", check.sources[source].stage) } else { name.clone() }
        });
        let same_file = pair.pair.members[0].digest == pair.pair.members[1].digest;
        let note = match (same_file, pair.same_patient) {
            (true, _) => "same file",
            (false, true) => "same patient",
            (false, false) => "",
        };
        let overlap = pair.pair.overlap.map_or(Cell::Null(()), Cell::Real);
        let orientation = text(pair.pair.orientation.words());
        vec![text(one), text(other), Cell::Real(pair.pair.similarity), overlap, orientation, text(note)]
    };
    let columns = ["photograph", "other", "similarity", "overlap", "orientation", "note"];
    let rows: Vec<Vec<Cell>> = pairs.iter().take(LISTED).map(row).collect();
    let usual = [text(Orientation::UPRIGHT.words()), text(""), Cell::Null(())];
    let is_shown = |at: usize| at < 3 || rows.iter().any(|row| !usual.contains(&row[at]));
    (!pairs.is_empty()).then(|| shown(title, &columns, &rows, is_shown))
}

/// A table with those of its columns that are shown.
fn shown(title: String, columns: &[&str], rows: &[Vec<Cell>], is_shown: impl Fn(usize) -> bool) -> Table {
    let places: Vec<usize> = (0..columns.len()).filter(|at| is_shown(*at)).collect();
    let cells = |row: &Vec<Cell>| places.iter().map(|at| row[*at].clone()).collect();
    Table {
        title,
        columns: places.iter().map(|at| columns[*at].to_owned()).collect(),
        rows: rows.iter().map(cells).collect(),
    }
}
