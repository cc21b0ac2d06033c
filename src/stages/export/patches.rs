//! Patches as PNG files in folders by label, and their masks as COCO JSON.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{COCO, ExportSpec, LabelFormat, MANIFEST, cell, coco, labels};
use crate::base::figure::{counted, thousands};
use crate::data::bitmap::Bitmap;
use crate::data::csv;
use crate::data::label_files::{LabelledPicture, lesions};
use crate::data::leak::inner;
use crate::data::mask::Mask;
use crate::data::patches::{Label, Part, PatchRow, PatchSet, SetInfo, Shard};
use crate::data::photographs::Official;
use crate::data::png_image::{PixelFormat, png};
use crate::stage::{Cell, Ctx, Outcome, StageError, Summary, Table};
use crate::store::{Entry, Tree};

/// A patch as it is written.
struct PatchFile {
    folder: String,
    name: String,
    /// Its pixels, if they are written.
    picture: Option<Entry>,
    /// Its labels, if they are written.
    labelled: Option<LabelledPicture>,
}

pub(super) fn run(ctx: &Ctx, spec: &ExportSpec, set: &PatchSet) -> Result<Outcome, StageError> {
    refused(spec, &set.info)?;
    let written: Vec<Result<Vec<PatchFile>, StageError>> =
        set.parts.par_iter().map(|part| photograph(ctx, spec, &set.info, part)).collect();
    let mut tree = Tree::default();
    let mut folders: BTreeMap<String, i64> = BTreeMap::new();
    let mut listed: BTreeMap<String, String> = BTreeMap::new();
    let mut labelled: Vec<LabelledPicture> = Vec::new();
    for (part, files) in set.parts.iter().zip(written) {
        for (file, row) in files?.into_iter().zip(&part.rows) {
            let path = format!("{}/{}", file.folder, file.name);
            listed.insert(path.clone(), manifest_line(&path, part, row));
            file.picture.into_iter().for_each(|entry| tree.insert(path.clone(), entry));
            labelled.extend(file.labelled);
            *folders.entry(file.folder).or_default() += 1;
        }
    }
    let files = listed.len() as u64;
    if spec.manifest {
        let head = ["path", "photograph", "patient", "split", "x", "y"].into_iter();
        let head = csv::line(head.chain(set.info.classes.iter().map(String::as_str)));
        let text: String = std::iter::once(head).chain(listed.into_values()).collect();
        tree.insert(MANIFEST, ctx.objects.put(text.as_bytes())?);
    }
    let mut headline = format!(
        "{} as PNG in {}",
        counted(files, "patch", "patches"),
        counted(folders.len() as u64, "folder", "folders")
    );
    if set.len() > files {
        let repeated = thousands(set.len());
        headline = format!("{headline}; each repeated patch is written once ({repeated} including repeats)");
    }
    let rows = folders.into_iter().map(|(folder, count)| vec![Cell::Text(folder), Cell::Int(count)]).collect();
    let columns = vec!["folder".into(), "patches".into()];
    let mut summary = Summary {
        headline,
        tables: vec![Table { title: "folders".into(), columns, rows }],
        warnings: Vec::new(),
        ..Summary::default()
    };
    if spec.format == LabelFormat::Coco {
        labelled.sort_by(|one, other| one.file.cmp(&other.file));
        tree.insert(COCO, coco(ctx, &set.info.classes, labelled.iter())?);
        let (table, warning) = labels(&set.info.classes, &labelled.iter().collect::<Vec<_>>(), spec.format);
        summary.headline = format!("{}, with outlines as COCO", summary.headline);
        summary.tables.push(table);
        summary.warnings.extend(warning);
    }
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// Refuses what patches do not have.
fn refused(spec: &ExportSpec, info: &SetInfo) -> Result<(), StageError> {
    let wrong = |code, text: &str, hint: &str, field: &str| {
        Err(StageError::input(code, text.to_owned()).hint(hint.to_owned()).field(field.to_owned()))
    };
    match spec.format {
        LabelFormat::GeoJson => wrong(
            "export-format",
            "GeoJSON has one file per photograph, and these are patches",
            "export the photographs that they were cut from, or use `format coco`",
            "format",
        ),
        LabelFormat::Coco if !info.masks => wrong(
            "no-kept-masks",
            "the patches were cut without their masks, so they have no outlines",
            "keep them with `masks #true` in `extract`, or export the photographs",
            "from",
        ),
        LabelFormat::Png if !spec.images && !spec.manifest => wrong(
            "export-format",
            "nothing would be written",
            "remove `images #false`, or add `manifest #true`",
            "images",
        ),
        _ => Ok(()),
    }
}

/// Line of a patch in the table; a label is 1, 0 or empty.
fn manifest_line(path: &str, part: &Part, row: &PatchRow) -> String {
    let (x, y) = (row.x.to_string(), row.y.to_string());
    let patient = part.patient.as_deref().unwrap_or_default();
    let split = part.official.map(Official::name).unwrap_or_default();
    let labels = row.labels.iter().map(|label| cell(*label));
    csv::line([path, &part.photograph, patient, split, &x, &y].into_iter().chain(labels))
}

fn photograph(ctx: &Ctx, spec: &ExportSpec, info: &SetInfo, part: &Part) -> Result<Vec<PatchFile>, StageError> {
    ctx.stop.check()?;
    if part.rows.is_empty() {
        return Ok(Vec::new());
    }
    let shard = Shard::open(part, info, ctx.objects)?;
    let file = |row: &PatchRow| {
        let (folder, name) = (folder_of(row, &info.classes), format!("{}_x{}_y{}.png", part.photograph, row.x, row.y));
        let picture = if spec.images {
            let pixels = inner(shard.pixels(row.index), info.size, info.margin);
            Some(ctx.objects.put(&png(&pixels, info.size, info.size, PixelFormat::Rgb))?)
        } else {
            None
        };
        let labelled = (spec.format == LabelFormat::Coco).then(|| LabelledPicture {
            photograph: part.photograph.clone(),
            digest: part.digest,
            file: format!("{folder}/{name}"),
            size: [info.size; 2],
            scale: info.scale,
            labels: row.labels.clone(),
            lesions: (0..info.classes.len())
                .filter(|class| row.labels[*class] != Label::Unknown)
                .filter_map(|class| Some(lesions(class, &mask(shard.mask(row.index, class)?, info))))
                .flatten()
                .collect(),
        });
        Ok(PatchFile { folder, name, picture, labelled })
    };
    part.rows.iter().map(file).collect()
}

/// The mask of a patch without its margin.
fn mask(bits: &[u8], info: &SetInfo) -> Mask {
    let (size, margin, side) = (info.size as usize, info.margin as usize, info.side());
    let mut inside = Bitmap::new(size, size);
    for (x, y) in (0..size).flat_map(|y| (0..size).map(move |x| (x, y))) {
        let at = (y + margin) * side + x + margin;
        if bits[at / 8] >> (7 - at % 8) & 1 == 1 {
            inside.set(x, y);
        }
    }
    Mask::released(inside)
}

/// Folder of a patch: its lesions (`MA+EX`), `healthy` or `undetermined`, followed by unknown classes: `MA_unknown-EX-SE`.
fn folder_of(row: &PatchRow, classes: &[String]) -> String {
    let with = |wanted: Label| {
        let found = classes.iter().zip(&row.labels).filter(move |(_, label)| **label == wanted);
        found.map(|(class, _)| class.as_str()).collect::<Vec<_>>()
    };
    let (present, unknown) = (with(Label::Present), with(Label::Unknown));
    let mut folder = match (present.is_empty(), unknown.is_empty()) {
        (false, _) => present.join("+"),
        (true, true) => "healthy".to_owned(),
        (true, false) => "undetermined".to_owned(),
    };
    if !unknown.is_empty() {
        folder.push_str("_unknown-");
        folder.push_str(&unknown.join("-"));
    }
    folder
}
