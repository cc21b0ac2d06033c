//! Rows of a manifest as photographs. Every mistake is collected with its line; a photograph with one is left out of the result, which is
//! then an error.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::settings::{ManifestSpec, by_cell};
use crate::data::name_normalisation::normalised;
use crate::data::photographs::{LabelScheme, Official, PhotographFacts, WithoutMask};
use crate::data::slides::is_slide;
use crate::data::source_tree::{
    SourcePhotograph, clash, extension, is_photograph, is_picture, is_reserved, is_unnamed_dicom, stem,
};
use crate::data::text_table::{TextRow, TextTable, is_missing};
use crate::lang::near::one_of;

/// Photographs of the rows, and every mistake.
pub(super) struct ManifestRows {
    /// Photographs, in the order of the table.
    pub(super) photographs: Vec<SourcePhotograph>,
    /// Place of each photograph: `line 12`.
    pub(super) places: Vec<String>,
    /// Mistakes with their places.
    pub(super) mistakes: Vec<String>,
    /// Numbers of the entries of the exclusion list that were found.
    pub(super) excluded: Vec<bool>,
    /// Photographs that it leaves out.
    pub(super) left_out: usize,
    /// Everything that an entry of the list may call a photograph of the table, normalised.
    pub(super) known: HashSet<String>,
}

/// Columns by their numbers in the table.
struct ColumnNumbers {
    path: usize,
    name: Option<usize>,
    patient: Option<usize>,
    split: Option<usize>,
    class: Option<usize>,
    mask: Option<usize>,
    /// Label and mask of each class.
    classes: Vec<[Option<usize>; 2]>,
}

/// Reads all rows. `mask_from` as in [`PhotographFacts`]; paths start in `root`.
///
/// # Errors
/// Every column that is missing.
pub(super) fn read(
    table: &TextTable,
    spec: &ManifestSpec<'_>,
    mask_from: u8,
    exclude: &[&str],
    root: &Path,
) -> Result<ManifestRows, Vec<String>> {
    let columns = columns(table, spec)?;
    let mut found = ManifestRows {
        photographs: Vec::new(),
        places: Vec::new(),
        mistakes: Vec::new(),
        excluded: vec![false; exclude.len()],
        left_out: 0,
        known: HashSet::new(),
    };
    let mut excluded_by: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, name) in exclude.iter().enumerate() {
        excluded_by.entry(normalised(name)).or_default().push(at);
    }
    let mut paths: HashMap<String, &TextRow> = HashMap::new();
    for row in &table.rows {
        let cell = |column: usize| row.cell(column);
        let place = table.place(row);
        let Some(path) = cell(columns.path) else {
            found.mistakes.push(format!("{place}, column `{}`: no path", spec.path));
            continue;
        };
        let file = spec.photographs.path(path);
        let name = columns.name.and_then(cell);
        let known_as = [Some(path), Some(file.as_str()), Some(stem(&file)), name];
        if !exclude.is_empty() {
            found.known.extend(known_as.into_iter().flatten().map(normalised));
        }
        let hits: Vec<usize> = known_as
            .into_iter()
            .flatten()
            .filter_map(|name| excluded_by.get(&normalised(name)))
            .flatten()
            .copied()
            .collect();
        if !hits.is_empty() {
            for at in hits {
                found.excluded[at] = true;
            }
            found.left_out += 1;
            continue;
        }
        if let Some(other) = paths.insert(normalised(&file), row) {
            found.mistakes.push(format!("{place}: `{path}` is listed on {} already", table.place(other)));
            continue;
        }
        let mut mistakes = Vec::new();
        let photograph =
            RowReader { row, spec, columns: &columns, root, mistakes: &mut mistakes }.photograph(file, mask_from);
        found.mistakes.extend(mistakes.into_iter().map(|text| format!("{place}, {text}")));
        found.photographs.push(photograph);
        found.places.push(place);
    }
    name_photographs(&mut found, columns.name.is_some());
    Ok(found)
}

fn columns(table: &TextTable, spec: &ManifestSpec<'_>) -> Result<ColumnNumbers, Vec<String>> {
    let mut missing: Vec<String> = Vec::new();
    let mut number = |column: &str| {
        let found = table.column(column);
        if let Err(text) = &found
            && !missing.contains(text)
        {
            missing.push(text.clone());
        }
        found.ok()
    };
    let found = ColumnNumbers {
        path: number(spec.path).unwrap_or_default(),
        name: spec.name.and_then(&mut number),
        patient: spec.patient.and_then(&mut number),
        split: spec.split.and_then(&mut number),
        class: spec.class.and_then(&mut number),
        mask: spec.mask.and_then(&mut number),
        classes: spec
            .classes
            .iter()
            .map(|class| [class.label.and_then(&mut number), class.mask.and_then(&mut number)])
            .collect(),
    };
    if missing.is_empty() { Ok(found) } else { Err(missing) }
}

/// Reader of one row.
struct RowReader<'a> {
    row: &'a TextRow,
    spec: &'a ManifestSpec<'a>,
    columns: &'a ColumnNumbers,
    root: &'a Path,
    mistakes: &'a mut Vec<String>,
}

impl<'a> RowReader<'a> {
    fn cell(&self, column: Option<usize>) -> Option<&'a str> {
        self.row.cell(column?)
    }

    fn photograph(&mut self, file: String, mask_from: u8) -> SourcePhotograph {
        let is_slide = is_slide(&file);
        let may_be = is_photograph(&file) || is_slide && self.spec.regions.is_some();
        if !may_be && !is_unnamed_dicom(self.root, &file) {
            let column = self.spec.path;
            let hint = if extension(&file).is_empty() {
                "; if it is a name, write e.g. `photographs \"images/*.png\"`"
            } else if is_slide {
                "; slides are read in regions: add `regions size=4096`"
            } else {
                ""
            };
            self.mistakes.push(format!("column `{column}`: `{file}` is not a JPEG, PNG, TIFF or DICOM{hint}"));
        }
        let masks = self.masks();
        let without_mask = self.without_mask(&masks);
        // Without a label, a class with a mask is unknown.
        let is_told = |(class, meaning): (usize, &WithoutMask)| {
            (*meaning == WithoutMask::Absent && masks.contains_key(self.spec.classes[class].name)).then_some(class)
        };
        let told_absent = without_mask.iter().enumerate().filter_map(is_told).collect();
        let patient =
            self.cell(self.columns.patient).filter(|cell| !is_missing(cell)).map(|cell| whole(cell).to_owned());
        let name = self.cell(self.columns.name).unwrap_or_else(|| stem(&file)).to_owned();
        let mask_values: Vec<_> = self.spec.classes.iter().map(|class| class.value).collect();
        SourcePhotograph {
            name,
            masks,
            drawn: BTreeMap::new(),
            region: None,
            facts: PhotographFacts {
                patient,
                official: self.official(),
                mask_from,
                labels: self.spec.labels,
                told_absent,
                mask_values: if mask_values.iter().any(Option::is_some) { mask_values } else { Vec::new() },
                ..PhotographFacts::released(without_mask)
            },
            file,
        }
    }

    /// Mask file of each class that has one.
    fn masks(&mut self) -> BTreeMap<String, String> {
        let common = self.cell(self.columns.mask).filter(|cell| !is_missing(cell));
        let mut masks = BTreeMap::new();
        for (class, columns) in self.spec.classes.iter().zip(&self.columns.classes) {
            let own = self.cell(columns[1]).filter(|cell| !is_missing(cell));
            let Some(cell) = class.value.and(common).or(own) else { continue };
            let file = self.spec.mask_files.path(cell);
            if !is_picture(&file) {
                let column = class.mask.or(self.spec.mask).unwrap_or_default();
                let text = format!("column `{column}`: mask `{file}` is not a PNG, TIFF or JPEG");
                if !self.mistakes.contains(&text) {
                    self.mistakes.push(text);
                }
            }
            masks.insert(class.name.to_owned(), file);
        }
        masks
    }

    /// Meaning of each class that has no mask.
    fn without_mask(&mut self, masks: &BTreeMap<String, String>) -> Vec<WithoutMask> {
        if self.spec.labels != LabelScheme::MultiLabel {
            return self.single();
        }
        let mut found = Vec::with_capacity(self.spec.classes.len());
        for (class, columns) in self.spec.classes.iter().zip(&self.columns.classes) {
            let label = self.cell(columns[0]).map(|cell| (cell, label(cell)));
            if let Some((cell, None)) = label {
                let column = class.label.unwrap_or_default();
                self.mistakes.push(format!("column `{column}`: `{cell}` is not a label; write 1, 0 or leave it empty"));
            }
            // A cell that says unknown decides as well; an empty one does not.
            let told = label.and_then(|(_, label)| label);
            let has_column = class.mask.is_some() || class.value.is_some();
            let meaning = match told {
                Some(told) => told,
                None if !has_column || masks.contains_key(class.name) => WithoutMask::Unknown,
                None => self.spec.absent_mask.unwrap_or_else(|| {
                    let column = class.mask.or(self.spec.mask).unwrap_or_default();
                    self.mistakes.push(format!("column `{column}`: no mask of `{}`", class.name));
                    WithoutMask::Unknown
                }),
            };
            found.push(meaning);
        }
        found
    }

    /// The class of a photograph that has exactly one.
    fn single(&mut self) -> Vec<WithoutMask> {
        let classes = &self.spec.classes;
        let unknown = || vec![WithoutMask::Unknown; classes.len()];
        let Some(cell) = self.cell(self.columns.class) else { return unknown() };
        let is = |wanted: Option<&str>| wanted.is_some_and(|wanted| by_cell(wanted, cell).is_eq());
        if !classes.iter().any(|class| is(class.cell)) {
            if label(cell) != Some(WithoutMask::Unknown) {
                let known = one_of(classes.iter().filter_map(|class| class.cell).take(12));
                let column = self.spec.class.unwrap_or_default();
                self.mistakes
                    .push(format!("column `{column}`: `{cell}` is not among `class-values`, which has {known}"));
            }
            return unknown();
        }
        // A class that these data do not annotate is not the photograph's, since that has another.
        let of = |wanted: Option<&str>| if is(wanted) { WithoutMask::Present } else { WithoutMask::Absent };
        classes.iter().map(|class| of(class.cell)).collect()
    }

    fn official(&mut self) -> Option<Official> {
        let cell = self.cell(self.columns.split).filter(|cell| !is_missing(cell))?;
        let found = if self.spec.sides.is_empty() {
            side(cell)
        } else {
            let number = self.spec.sides.iter().find(|(wanted, _)| by_cell(wanted, cell).is_eq());
            number.map(|(_, side)| *side)
        };
        if found.is_none() {
            let column = self.spec.split.unwrap_or_default();
            let hint = if self.spec.sides.is_empty() {
                "expected train, valid or test, or say in `sides` what it means"
            } else {
                "it is not listed in `sides`"
            };
            self.mistakes.push(format!("column `{column}`: `{cell}` is not a set of a split; {hint}"));
        }
        found
    }
}

/// A patient's number without the decimals that programs add to a column with empty cells: `100.0` is `100`.
fn whole(cell: &str) -> &str {
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    cell.strip_suffix(".0").filter(digits).unwrap_or(cell)
}

/// Label of a cell; [`None`] if it is not one.
fn label(cell: &str) -> Option<WithoutMask> {
    let lower = cell.to_ascii_lowercase();
    Some(match lower.as_str() {
        "1" | "1.0" | "yes" | "y" | "true" | "t" | "present" | "positive" | "pos" => WithoutMask::Present,
        "0" | "0.0" | "no" | "n" | "false" | "f" | "absent" | "negative" | "neg" => WithoutMask::Absent,
        // -1 is CheXpert's uncertain.
        "unknown" | "uncertain" | "?" | "-" | "-1" | "-1.0" => WithoutMask::Unknown,
        _ if is_missing(cell) => WithoutMask::Unknown,
        _ => return None,
    })
}

/// Set of a split by its usual names.
fn side(cell: &str) -> Option<Official> {
    Some(match cell.to_ascii_lowercase().as_str() {
        "train" | "training" | "trn" => Official::Train,
        "valid" | "validation" | "val" | "dev" | "development" => Official::Valid,
        "test" | "testing" | "tst" => Official::Test,
        _ => return None,
    })
}

/// Gives every photograph a name of its own: the file name, or the whole path if that is needed. Names of a column must be valid as they are.
fn name_photographs(found: &mut ManifestRows, given: bool) {
    if !given {
        if clash(&names_of(found)).is_some() {
            for photograph in &mut found.photographs {
                let path = photograph.file.rsplit_once('.').map_or(photograph.file.as_str(), |(path, _)| path);
                let parts: Vec<&str> =
                    path.split(['/', '\\']).filter(|part| !matches!(*part, "" | "." | "..")).collect();
                photograph.name = parts.join("_");
            }
        }
        for photograph in &mut found.photographs {
            if is_reserved(&photograph.name) {
                photograph.name =
                    photograph.file.rsplit('/').next().unwrap_or_default().trim_start_matches('.').to_owned();
            }
        }
    }
    for (photograph, place) in found.photographs.iter().zip(&found.places) {
        let name = &photograph.name;
        // Its file is missing, which says more.
        if !given && photograph.file.contains('\\') {
            continue;
        }
        if name.is_empty()
            || name.len() > 200
            || name.contains(['/', '\\'])
            || name.contains(char::is_control)
            || is_reserved(name)
        {
            let name = name.escape_debug();
            found.mistakes.push(format!("{place}: a photograph cannot be called `{name}`"));
        }
    }
    if let Some((one, other)) = clash(&names_of(found)) {
        let [first, second] = [one, other].map(|at| &found.places[at]);
        let name = &found.photographs[other].name;
        found.mistakes.push(format!("{second}: `{name}` is also the name of the photograph on {first}"));
    }
}

fn names_of(found: &ManifestRows) -> Vec<String> {
    found.photographs.iter().map(|one| one.name.clone()).collect()
}
