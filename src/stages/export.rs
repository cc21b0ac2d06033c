//! `export`: patches and photographs with their labels, in files that other programs read.

mod patches;
mod photographs;

use crate::base::figure::counted;
use crate::data::label_files::{CocoWriter, LabelledPicture};
use crate::data::patches::{Label, PatchSet, SetInfo};
use crate::lang::value::Value;
use crate::stage::{Cell, Ctx, Determinism, Implementation, Outcome, Params, StageError, Table, Warning, Work};
use crate::store::Entry;

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

/// File with the annotations of all pictures.
const COCO: &str = "annotations.json";

/// Table of all pictures.
pub(super) const MANIFEST: &str = "manifest.csv";

/// Format of the labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LabelFormat {
    /// Masks as PNG; of patches, folders by label.
    Png,
    /// One COCO JSON.
    Coco,
    /// One `GeoJSON` per photograph.
    GeoJson,
}

/// What is written.
#[derive(Clone, Debug)]
struct ExportSpec {
    format: LabelFormat,
    /// Whether the pictures are.
    images: bool,
    /// Whether [`MANIFEST`] is.
    manifest: bool,
}

impl ExportSpec {
    fn new(params: &Params) -> Self {
        Self {
            format: match params.text("format") {
                Ok("coco") => LabelFormat::Coco,
                Ok("geojson") => LabelFormat::GeoJson,
                _ => LabelFormat::Png,
            },
            images: !matches!(params.get("images"), Value::Bool(false)),
            manifest: matches!(params.get("manifest"), Value::Bool(true)),
        }
    }
}

fn run(ctx: &Ctx) -> Result<Outcome, StageError> {
    let spec = ExportSpec::new(ctx.params);
    let from = ctx.inputs.one("from")?;
    if SetInfo::read(from, ctx.objects)?.is_some() {
        patches::run(ctx, &spec, &PatchSet::read(from, ctx.objects)?)
    } else {
        photographs::run(ctx, &spec, from)
    }
}

/// A label in a table: 1, 0 or empty.
const fn cell(label: Label) -> &'static str {
    match label {
        Label::Present => "1",
        Label::Absent => "0",
        Label::Unknown => "",
    }
}

/// The COCO file of these pictures.
fn coco<'p>(
    ctx: &Ctx,
    classes: &[String],
    pictures: impl Iterator<Item = &'p LabelledPicture>,
) -> Result<Entry, StageError> {
    let mut file = CocoWriter::new(classes);
    pictures.for_each(|picture| file.add(picture));
    Ok(ctx.objects.put(&file.to_bytes()?)?)
}

/// Pictures and lesions of each class, and a warning about labels that the format cannot state.
fn labels(classes: &[String], pictures: &[&LabelledPicture], format: LabelFormat) -> (Table, Option<Warning>) {
    let count = |holds: &dyn Fn(&LabelledPicture) -> bool| {
        Cell::Int(pictures.iter().filter(|picture| holds(picture)).count() as i64)
    };
    let row = |(class, name): (usize, &String)| {
        let has = |wanted: Label| count(&|picture| picture.labels[class] == wanted);
        let lesions = pictures.iter().flat_map(|picture| &picture.lesions).filter(|lesion| lesion.class == class);
        vec![
            Cell::Text(name.clone()),
            has(Label::Present),
            has(Label::Absent),
            has(Label::Unknown),
            count(&|picture| picture.is_placeless(class)),
            Cell::Int(lesions.count() as i64),
        ]
    };
    let columns = ["class", "present", "absent", "unknown", "without mask", "lesions"].map(str::to_owned).to_vec();
    let table = Table { title: "labels".to_owned(), columns, rows: classes.iter().enumerate().map(row).collect() };
    let is_lost = |picture: &LabelledPicture, class: usize| {
        picture.labels[class] == Label::Unknown || picture.is_placeless(class)
    };
    let name = match format {
        // An absent lesion has a black mask, an unknown one has none.
        LabelFormat::Png => return (table, None),
        LabelFormat::Coco => "COCO",
        LabelFormat::GeoJson => "GeoJSON",
    };
    let mut lost = pictures.iter().filter_map(|picture| {
        let class = (0..classes.len()).find(|class| is_lost(picture, *class))?;
        Some((picture, &classes[class]))
    });
    let Some((first, class)) = lost.next() else { return (table, None) };
    let how = format!(
        "{} with classes that are unknown, or present without a mask (first: `{class}` of `{}`): {name} cannot \
         say so, and other programs take them for absent",
        counted(1 + lost.count() as u64, "picture", "pictures"),
        first.photograph
    );
    (table, Some(Warning { code: "label-not-written".to_owned(), text: how }))
}
