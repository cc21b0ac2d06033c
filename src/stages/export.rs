//! `export`: patches as PNG files in folders by label.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::base::figure::{counted, thousands};
use crate::data::leak::inner;
use crate::data::patches::{Label, Part, PatchRow, PatchSet, SetInfo, Shard};
use crate::data::png_image::{PixelFormat, png};
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
    for files in written {
        for (folder, name, entry) in files? {
            tree.insert(format!("{folder}/{name}"), entry);
            *folders.entry(folder).or_default() += 1;
        }
    }
    let files = tree.entries.len() as u64;
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
