//! `annotations`: photographs whose lesions are drawn in an annotation tool.
//!
//! Photographs are found by a pattern. Files about one photograph (labelme, `QuPath`, YOLO) are matched to them by pattern, files about many
//! (COCO, CVAT) by the names in them. All mistakes of all files are reported together. The shapes of a photograph and class are stored next
//! to it, checked against the size that its header states; they become pixels when a stage reads the mask.

mod attach;
mod sizes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use attach::{Attached, ReadFile, attach};
use rayon::prelude::*;

use crate::base::figure::counted;
use crate::data::annotations::{
    self, AnnotationFormat, AnnotationMistakes, DrawnMask, LabelMap, ReadingRule, unmapped, yolo_names,
};
use crate::data::class_names;
use crate::data::name_normalisation::normalised;
use crate::data::patients;
use crate::data::pattern::Pattern;
use crate::data::pattern_matches::{PatternMatch, fitting, names};
use crate::data::photographs::{PhotographFacts, WithoutMask};
use crate::data::slides::{self, RegionSettings, is_slide};
use crate::data::source_tree::{SourcePhotograph, extension, gather, is_photograph, is_unnamed_dicom, read_text};
use crate::data::text_table;
use crate::lang::near::near;
use crate::lang::value::Value;
use crate::stage::{Cell, Determinism, Files, Implementation, Outcome, Params, StageError, Table, Warning, Work};

/// The implementation of `annotations`.
pub const ANNOTATIONS: Implementation = Implementation {
    name: "annotations",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: Some(|params, _| check(params).map(|()| Vec::new())),
    foresee: None,
    narrow: None,
    work: Work::Source(source),
};

/// Code of mistakes in annotation files.
const DAMAGED: &str = "damaged-annotation";

fn check(params: &Params) -> Result<(), StageError> {
    Pattern::of_param("photographs", params.text("photographs")?)?;
    patients::pattern(params)?;
    RegionSettings::of(params)?;
    let (format, field) = format(params)?;
    if !format.names_pictures() {
        Pattern::of_param(&field, params.text(&field)?)?;
    }
    labels(params).map(|_| ())
}

/// The format, and the parameter with its files.
fn format(params: &Params) -> Result<(AnnotationFormat, String), StageError> {
    let name = params.text("format")?;
    let format = AnnotationFormat::named(name)
        .ok_or_else(|| StageError::Bug(format!("`{name}` is not a format of annotations")))?;
    Ok((format, format!("format.{}", if format.names_pictures() { "file" } else { "files" })))
}

/// Classes in label order, and the labels of each.
fn labels(params: &Params) -> Result<(Vec<&str>, LabelMap), StageError> {
    let mut classes = Vec::new();
    for (name, text) in params.map("classes").into_iter().flatten() {
        let Value::Text(text) = text else {
            return Err(StageError::Bug(format!("the labels of `{name}` are not a text")));
        };
        classes.push((name.as_str(), text.as_str()));
    }
    if classes.is_empty() {
        let hint = "write e.g. `classes MA \"microaneurysm\"`";
        return Err(StageError::input("no-classes", "`classes` has no lesion class").hint(hint).field("classes"));
    }
    classes.sort_by_key(|(class, _)| class_names::order(class));
    let names: Vec<&str> = classes.iter().map(|(class, _)| *class).collect();
    class_names::check(&names, &|class| format!("classes.{class}"))?;
    let labels = LabelMap::new("classes", &classes)?;
    Ok((classes.into_iter().map(|(class, _)| class).collect(), labels))
}

fn source(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let root = files.resolve(params.text("root")?);
    let listed = files.list(&root)?;
    let (classes, labels) = labels(params)?;
    let (format, field) = format(params)?;
    let regions = RegionSettings::of(params)?;
    let fits = photographs(params, &root, &listed, regions.is_some())?;
    let mut warnings = Vec::new();
    let patients = patients::of_files(params, fits.iter().map(|fit| fit.file), &mut warnings)?;

    let mut mistakes = AnnotationMistakes::default();
    let names_of_numbers = numbers(params, &root, &listed, files, &mut mistakes)?;
    let rule =
        ReadingRule { labels: &labels, point_radius: params.real_or_none("point-radius")?, names: &names_of_numbers };
    let found = annotation_files(params, format, &field, &root, &listed)?;
    // Recorded as read by the source, all at once.
    let paths: Vec<_> = found.iter().map(|fit| root.join(fit.file)).collect();
    files.entries(&paths)?;
    let read: Vec<ReadFile<'_>> = read(format, found, &root, &rule, files, &mut mistakes)?;
    failed(&mistakes)?;
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for file in &read {
        file.content.labels.iter().for_each(|(label, count)| *seen.entry(label.clone()).or_default() += count);
        let declared = file.content.declared.iter().flatten();
        declared.for_each(|label| *seen.entry(label.clone()).or_default() += 0);
    }
    // One of several spellings is enough.
    let spelled: BTreeSet<usize> = seen.keys().filter_map(|label| labels.class(label)).collect();
    if params.text("missing-label")? == "error"
        && let Some((label, class)) = labels.unseen(&seen).find(|(_, class)| !spelled.contains(class))
    {
        return Err(missing_label(label, classes[class], &seen));
    }
    let ignored: Vec<String> = params.list("ignore").iter().map(text_of).collect();
    warnings.extend(unmapped(&labels, &seen, &ignored));

    let attached = attach(format, &field, &fits, &read, &mut mistakes, &mut warnings)?;
    failed(&mistakes)?;
    let sized = sizes::fit(&fits, attached, &root, format, regions.is_some(), &mut mistakes)?;
    if let Some(error) = sized.error {
        return Err(error);
    }
    failed(&mistakes)?;
    warnings.extend(sized.warnings);
    unlisted(params, &fits, &sized.photographs, &mut warnings)?;

    let covers = covered(&read, &labels, classes.len());
    let absent = |absent: bool| if absent { WithoutMask::Absent } else { WithoutMask::Unknown };
    let absent_shape = params.text("absent-shape")?;
    let absent_unlisted = params.text("unlisted")? == "absent";
    let decides = sized.photographs.iter().any(|own| !own.sources.is_empty() && own.shapes.len() < classes.len());
    let mut listed = sized.photographs.iter().flat_map(|own| &own.sources).filter(|one| !one.searched.is_empty());
    if absent_shape == "listed" && decides && listed.next().is_none() {
        let text = "no annotation file says which classes were searched for";
        let hint = "COCO lists absent ones in `neg_category_ids`, GeoJSON of macula all of them in `classes`; otherwise write `absent-shape absent` or `absent-shape unknown`";
        return Err(StageError::input("nothing-listed", text).hint(hint).field("absent-shape"));
    }
    let without = |own: &Attached<'_>| -> Vec<WithoutMask> {
        if own.sources.is_empty() {
            return vec![absent(absent_unlisted); classes.len()];
        }
        let known = |class: usize| {
            own.sources.iter().any(|source| match absent_shape {
                "absent" => covers[source.file][class],
                "listed" => source.searched.contains(&class),
                _ => false,
            })
        };
        (0..classes.len()).map(|class| absent(known(class))).collect()
    };
    let mut counts = vec![ClassCounts::default(); classes.len()];
    let mut sources = Vec::new();
    for (((name, fit), own), patient) in names(&fits)?.into_iter().zip(&fits).zip(&sized.photographs).zip(patients) {
        let without_mask = without(own);
        let mut drawn = BTreeMap::new();
        for (class, shapes) in &own.shapes {
            let mask = DrawnMask { size: own.size, shapes: shapes.clone() };
            drawn.insert(classes[*class].to_owned(), mask);
        }
        for (class, counts) in counts.iter_mut().enumerate() {
            match own.shapes.get(&class) {
                Some(shapes) => {
                    counts.photographs += 1;
                    counts.shapes += shapes.len() as i64;
                }
                None if without_mask[class] == WithoutMask::Absent => counts.absent += 1,
                None => counts.unknown += 1,
            }
        }
        let facts = PhotographFacts { patient, ..PhotographFacts::released(without_mask) };
        let file = fit.file.to_owned();
        sources.push(SourcePhotograph { name, file, masks: BTreeMap::new(), drawn, facts, region: None });
    }
    sources = slides::cut(sources, regions.as_ref(), &root, files)?;
    sources.sort_by(|one, other| one.name.cmp(&other.name));
    let mut outcome = gather(&sources, &classes, files, &root, warnings)?;
    let shapes: i64 = counts.iter().map(|counts| counts.shapes).sum();
    outcome.summary.headline = format!("{} of {}", outcome.summary.headline, counted(shapes as u64, "shape", "shapes"));
    outcome.summary.tables = vec![table(&classes, &counts)];
    Ok(outcome)
}

fn text_of(value: &Value) -> String {
    if let Value::Text(text) = value { text.clone() } else { value.to_string() }
}

fn failed(mistakes: &AnnotationMistakes) -> Result<(), StageError> {
    mistakes.error(DAMAGED).map_or(Ok(()), Err)
}

/// Photographs and shapes of a class.
#[derive(Clone, Default)]
struct ClassCounts {
    photographs: i64,
    shapes: i64,
    absent: i64,
    unknown: i64,
}

fn table(classes: &[&str], counts: &[ClassCounts]) -> Table {
    let row = |(class, counts): (&&str, &ClassCounts)| {
        let numbers = [counts.photographs, counts.shapes, counts.absent, counts.unknown];
        let name = [Cell::Text((*class).to_owned())];
        name.into_iter().chain(numbers.map(Cell::Int)).collect()
    };
    let columns = ["lesion", "photographs", "shapes", "absent", "unknown"].map(str::to_owned).to_vec();
    Table { title: "annotations".to_owned(), columns, rows: classes.iter().zip(counts).map(row).collect() }
}

/// Folders that the patterns of photographs and annotation files name without a star, relative to the root, each with its parameter.
#[must_use]
pub fn named_folders(params: &Params) -> Vec<(String, String)> {
    let fields = ["photographs", "format.files", "format.file"].into_iter();
    let folder = |field: &str| {
        let text = params.text(field).ok()?;
        let folder = match Pattern::new(text) {
            Some(pattern) => pattern.fixed_folder(),
            None => text.rsplit_once('/')?.0,
        };
        Some((field.to_owned(), folder.trim_start_matches("./").to_owned()))
    };
    fields.filter_map(folder).filter(|(_, folder)| !folder.is_empty()).collect()
}

/// The photographs that match the pattern.
fn photographs<'f>(
    params: &Params,
    root: &Path,
    listed: &'f [String],
    are_slides: bool,
) -> Result<Vec<PatternMatch<'f>>, StageError> {
    let pattern = Pattern::of_param("photographs", params.text("photographs")?)?;
    let is_unnamed = |file: &str| pattern.captures(file).is_some() && is_unnamed_dicom(root, file);
    let may_be = |file: &&str| if are_slides { is_slide(file) } else { is_photograph(file) || is_unnamed(file) };
    let pictures: Vec<&str> = listed.iter().map(String::as_str).filter(may_be).collect();
    let fits = fitting(&pattern, &pictures, "duplicate-photograph", "photographs")?;
    if fits.is_empty() {
        let text = format!("no photograph in `{}` matches `{}`", root.display(), pattern.text());
        let slide = slides::unread_hint(listed, |file| pattern.names(file).is_some());
        let hint = match pictures.first() {
            _ if slide.is_some() => slide.unwrap_or_default(),
            Some(first) => format!("found `{first}`; `*` stands for the photograph's name"),
            None => "the folder contains no JPEG, PNG, TIFF or DICOM".to_owned(),
        };
        return Err(StageError::input("no-photographs", text).hint(hint).field("photographs"));
    }
    Ok(fits)
}

/// Names of YOLO's numbers; empty if the pipeline names no file.
fn numbers(
    params: &Params,
    root: &Path,
    listed: &[String],
    files: &dyn Files,
    mistakes: &mut AnnotationMistakes,
) -> Result<BTreeMap<u32, String>, StageError> {
    let Value::Text(name) = params.get("format.names") else { return Ok(BTreeMap::new()) };
    let file = exact(name, listed).ok_or_else(|| absent_file(name, root, listed, "format.names"))?;
    let bytes = read_text(&root.join(file), files)?;
    let mut own = AnnotationMistakes::of(file);
    let is_yaml = matches!(extension(file).as_str(), "yaml" | "yml");
    let found = if let Ok(text) = std::str::from_utf8(&bytes) {
        yolo_names(text, is_yaml, &mut own)
    } else {
        own.add("", text_table::not_text(&bytes));
        BTreeMap::new()
    };
    mistakes.append(own);
    Ok(found)
}

/// The listed file with this path.
fn exact<'f>(path: &str, listed: &'f [String]) -> Option<&'f str> {
    let wanted = normalised(path.trim_start_matches("./"));
    listed.iter().map(String::as_str).find(|file| normalised(file) == wanted)
}

fn absent_file(name: &str, root: &Path, listed: &[String], field: &str) -> StageError {
    let text = format!("`{}` has no file `{name}`", root.display());
    let leaves = name.starts_with('/') || name.split('/').any(|part| part == "..");
    let hint = match near(name, listed.iter().map(String::as_str)) {
        _ if leaves => "the path is relative to `root`, and does not leave it".to_owned(),
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "the path is relative to `root`".to_owned(),
    };
    StageError::input("no-annotation-fits", text).hint(hint).field(field)
}

/// Annotation files, with the texts of the stars in their paths.
fn annotation_files<'f>(
    params: &Params,
    format: AnnotationFormat,
    field: &str,
    root: &Path,
    listed: &'f [String],
) -> Result<Vec<PatternMatch<'f>>, StageError> {
    let text = params.text(field)?;
    let Some(pattern) = Pattern::new(text) else {
        let file = exact(text, listed).ok_or_else(|| absent_file(text, root, listed, field))?;
        return Ok(vec![PatternMatch { file, stars: Vec::new() }]);
    };
    // YOLO's names often are next to its labels.
    let names = params.text("format.names").ok().and_then(|names| exact(names, listed));
    let may_be = |file: &&str| !(is_photograph(file) || is_slide(file)) && Some(*file) != names;
    let candidates: Vec<&str> = listed.iter().map(String::as_str).filter(may_be).collect();
    let found = fitting(&pattern, &candidates, "duplicate-annotation", field)?;
    if found.is_empty() {
        let text = format!("no annotation file in `{}` matches `{}`", root.display(), pattern.text());
        let kind = format.extension();
        let hint = match candidates.iter().find(|file| extension(file) == kind) {
            Some(first) => format!("found `{first}`; `*` matches any text without `/`"),
            None => format!("the folder contains no `.{kind}` file"),
        };
        return Err(StageError::input("no-annotation-fits", text).hint(hint).field(field));
    }
    Ok(found)
}

/// Reads all files, in parallel; mistakes are those of the files in order.
fn read<'f>(
    format: AnnotationFormat,
    found: Vec<PatternMatch<'f>>,
    root: &Path,
    rule: &ReadingRule<'_>,
    files: &dyn Files,
    mistakes: &mut AnnotationMistakes,
) -> Result<Vec<ReadFile<'f>>, StageError> {
    let bytes = |fit: &PatternMatch<'_>| read_text(&root.join(fit.file), files);
    let mut all = Vec::new();
    // Not all files at once: they may be large.
    let mut waiting = found.into_iter().peekable();
    while waiting.peek().is_some() {
        let batch: Vec<PatternMatch<'f>> = waiting.by_ref().take(256).collect();
        let texts: Vec<Vec<u8>> = batch.iter().map(bytes).collect::<Result<_, _>>()?;
        let parsed: Vec<_> = batch
            .par_iter()
            .zip(&texts)
            .map(|(fit, bytes)| {
                let mut own = AnnotationMistakes::of(fit.file);
                let content = annotations::read(format, bytes, rule, &mut own);
                (content, own)
            })
            .collect();
        for (fit, (content, own)) in batch.into_iter().zip(parsed) {
            mistakes.append(own);
            all.extend(content.map(|content| ReadFile { fit, content }));
        }
    }
    Ok(all)
}

fn missing_label(label: &str, class: &str, seen: &BTreeMap<String, u64>) -> StageError {
    let text = format!("label `{label}` of class `{class}` occurs in no annotation file");
    let others: Vec<&str> = seen.keys().map(String::as_str).filter(|label| !label.is_empty()).collect();
    let hint = match near(label, others.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`? `missing-label allow` accepts it"),
        None if others.is_empty() => "the files have no labels; `missing-label allow` accepts it".to_owned(),
        None => {
            let list: Vec<String> = others.iter().take(8).map(|label| format!("`{label}`")).collect();
            let more = if others.len() > 8 { ", …" } else { "" };
            format!("the files have {}{more}; `missing-label allow` accepts it", list.join(", "))
        }
    };
    StageError::input("missing-label", text).hint(hint).field(format!("classes.{class}"))
}

/// For each file and class, whether a photograph of the file without a shape of the class was looked at for it: files that declare
/// their labels declare one of the class.
fn covered(read: &[ReadFile<'_>], labels: &LabelMap, classes: usize) -> Vec<Vec<bool>> {
    let of_file = |file: &ReadFile<'_>| {
        let Some(declared) = &file.content.declared else { return vec![true; classes] };
        let known: BTreeSet<usize> =
            declared.iter().chain(file.content.labels.keys()).filter_map(|label| labels.class(label)).collect();
        (0..classes).map(|class| known.contains(&class)).collect()
    };
    read.iter().map(of_file).collect()
}

/// Reports photographs without annotations, as `unlisted` says.
fn unlisted(
    params: &Params,
    fits: &[PatternMatch<'_>],
    photographs: &[Attached<'_>],
    warnings: &mut Vec<Warning>,
) -> Result<(), StageError> {
    let mut left = fits.iter().zip(photographs).filter(|(_, own)| own.sources.is_empty()).map(|(fit, _)| fit.file);
    let Some(first) = left.next() else { return Ok(()) };
    let count = counted(1 + left.count() as u64, "photograph", "photographs");
    let code = "photograph-without-annotation";
    match params.text("unlisted")? {
        "error" => {
            let text = format!("{count} without annotations (first: `{first}`)");
            let hint = "set `unlisted absent` or `unlisted unknown` to define what that means";
            return Err(StageError::input(code, text).hint(hint).field("unlisted"));
        }
        "unknown" => {
            let text = format!("{count} without annotations (first: `{first}`): their lesions are unknown");
            warnings.push(Warning { code: code.to_owned(), text });
        }
        _ => {}
    }
    Ok(())
}
