//! `export`: patches as PNG files in folders by label, and a table of them.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::base::figure::{counted, thousands};
use crate::data::csv;
use crate::data::leak::inner;
use crate::data::patches::{Label, Part, PatchRow, PatchSet, SetInfo, Shard};
use crate::data::photographs::Official;
use crate::data::png_image::{PixelFormat, png};
use crate::lang::value::Value;
use crate::stage::{Cell, Ctx, Determinism, Implementation, Outcome, StageError, Summary, Table, Work};
use crate::store::{Entry, Tree};

/// The implementation of `export`.
pub const EXPORT: Implementation = Implementation {
    name: "export",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

fn run(ctx: &Ctx) -> Result<Outcome, StageError> {
    let set = PatchSet::read(ctx.inputs.one("from")?, ctx.objects)?;
    let written: Vec<Result<Vec<PatchFile>, StageError>> =
        set.parts.par_iter().map(|part| photograph(ctx, &set.info, part)).collect();
    let mut tree = Tree::default();
    let mut folders: BTreeMap<String, i64> = BTreeMap::new();
    let mut listed: BTreeMap<String, String> = BTreeMap::new();
    for (part, files) in set.parts.iter().zip(written) {
        for ((folder, name, entry), row) in files?.into_iter().zip(&part.rows) {
            let path = format!("{folder}/{name}");
            listed.insert(path.clone(), manifest_line(&path, part, row));
            tree.insert(path, entry);
            *folders.entry(folder).or_default() += 1;
        }
    }
    let files = tree.entries.len() as u64;
    if matches!(ctx.params.get("manifest"), Value::Bool(true)) {
        let head = ["path", "photograph", "patient", "split", "x", "y"].into_iter();
        let head = csv::line(head.chain(set.info.classes.iter().map(String::as_str)));
        let text: String = std::iter::once(head).chain(listed.into_values()).collect();
        tree.insert("manifest.csv", ctx.objects.put(text.as_bytes())?);
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
    let summary = Summary {
        headline,
        tables: vec![Table { title: "folders".into(), columns, rows }],
        warnings: Vec::new(),
        ..Summary::default()
    };
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// Line of a patch in `manifest.csv`; a label is 1, 0 or empty.
fn manifest_line(path: &str, part: &Part, row: &PatchRow) -> String {
    let (x, y) = (row.x.to_string(), row.y.to_string());
    let patient = part.patient.as_deref().unwrap_or_default();
    let split = part.official.map(Official::name).unwrap_or_default();
    let label = |label: &Label| match label {
        Label::Present => "1",
        Label::Absent => "0",
        Label::Unknown => "",
    };
    csv::line([path, &part.photograph, patient, split, &x, &y].into_iter().chain(row.labels.iter().map(label)))
}

/// A written patch: folder, file name, content.
type PatchFile = (String, String, Entry);

fn photograph(ctx: &Ctx, info: &SetInfo, part: &Part) -> Result<Vec<PatchFile>, StageError> {
    ctx.stop.check()?;
    if part.rows.is_empty() {
        return Ok(Vec::new());
    }
    let shard = Shard::open(part, info, ctx.objects)?;
    part.rows
        .iter()
        .map(|row| {
            let pixels = inner(shard.pixels(row.index), info.size, info.margin);
            let entry = ctx.objects.put(&png(&pixels, info.size, info.size, PixelFormat::Rgb))?;
            Ok((folder_of(row, &info.classes), format!("{}_x{}_y{}.png", part.photograph, row.x, row.y), entry))
        })
        .collect()
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
