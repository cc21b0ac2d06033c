//! Photographs as they are, with their masks as PNG, COCO JSON or `GeoJSON`.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::{COCO, ExportSpec, LabelFormat, MANIFEST, cell, coco, labels};
use crate::base::figure::counted;
use crate::data::bitmap::Bitmap;
use crate::data::csv;
use crate::data::decode::{Photograph, PictureFormat};
use crate::data::image_issues;
use crate::data::item::{self, Annotation, OpenPhotograph};
use crate::data::label_files::{LabelledPicture, feature_collection, lesions};
use crate::data::mask::Mask;
use crate::data::patches::Label;
use crate::data::photographs::Official;
use crate::data::png_image::{PixelFormat, png};
use crate::stage::{Ctx, Item, Outcome, StageError, Summary};
use crate::store::{Entry, Tree};

/// Folder of the photographs.
const IMAGES: &str = "images";

/// A photograph as it is written.
struct PhotographFiles {
    labelled: LabelledPicture,
    /// Its line in the table.
    line: String,
    tree: Tree,
    /// Result of an item with what looks wrong about it, as [`image_issues::warnings`] reads it.
    issues: Tree,
}

pub(super) fn run(ctx: &Ctx, spec: &ExportSpec, from: &Tree) -> Result<Outcome, StageError> {
    let classes = item::classes(from, ctx.objects)?;
    let items = item::items(from, ctx.objects)?;
    let (done, all) = (AtomicU64::new(0), items.len() as u64);
    let write = |item: &Item| {
        ctx.stop.check()?;
        let written = photograph(ctx, spec, item)?;
        ctx.progress.step(done.fetch_add(1, Ordering::Relaxed) + 1, all, "photographs");
        Ok(written)
    };
    let written: Vec<Result<PhotographFiles, StageError>> = items.par_iter().map(write).collect();
    let mut files = written.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut tree = Tree::default();
    let mut issues = Vec::new();
    for (item, file) in items.into_iter().zip(&mut files) {
        tree.entries.append(&mut file.tree.entries);
        issues.push((item, std::mem::take(&mut file.issues)));
    }
    if spec.manifest {
        let head = ["path", "photograph", "patient", "split"].into_iter();
        let head = csv::line(head.chain(classes.iter().map(String::as_str)));
        let text: String = std::iter::once(head).chain(files.iter().map(|file| file.line.clone())).collect();
        tree.insert(MANIFEST, ctx.objects.put(text.as_bytes())?);
    }
    let pictures: Vec<&LabelledPicture> = files.iter().map(|file| &file.labelled).collect();
    if spec.format == LabelFormat::Coco {
        tree.insert(COCO, coco(ctx, &classes, pictures.iter().copied())?);
    }
    let (table, warning) = labels(&classes, &pictures, spec.format);
    let found: usize = pictures.iter().map(|picture| picture.lesions.len()).sum();
    let format = match spec.format {
        LabelFormat::Png => "masks as PNG",
        LabelFormat::Coco => "COCO",
        LabelFormat::GeoJson => "GeoJSON",
    };
    let mut summary = Summary {
        headline: format!(
            "{} with {} as {format}",
            counted(all, "photograph", "photographs"),
            counted(found as u64, "lesion", "lesions")
        ),
        tables: vec![table],
        ..Summary::default()
    };
    summary.warnings.extend(warning);
    summary.warnings.extend(image_issues::warnings(&issues, ctx.objects)?);
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

fn photograph(ctx: &Ctx, spec: &ExportSpec, item: &Item) -> Result<PhotographFiles, StageError> {
    let name = &item.name;
    let opened = OpenPhotograph::new(name, &item.tree, ctx.objects)?;
    let mut photograph = Photograph::default();
    let digest = opened.photograph(&mut photograph)?;
    let mut tree = Tree::default();
    let (extension, image) = image(ctx, spec, item, &opened, &photograph)?;
    let file = format!("{name}.{extension}");
    if let Some(image) = image {
        tree.insert(format!("{IMAGES}/{file}"), image);
    }
    let (mut states, mut found) = (Vec::new(), Vec::new());
    for (class, class_name) in opened.classes.iter().enumerate() {
        let annotation = match opened.annotation(class, &photograph)? {
            Annotation::Mask(mask) => Annotation::Mask(mask),
            other if opened.is_part() => other.of_part(opened.facts.labels),
            other => other,
        };
        states.push(match &annotation {
            Annotation::Mask(mask) if mask.bits().count() > 0 => Label::Present,
            Annotation::Mask(_) | Annotation::Absent => Label::Absent,
            Annotation::Present => Label::Present,
            Annotation::Unknown => Label::Unknown,
        });
        let black = || Bitmap::new(photograph.width, photograph.height);
        let mask = match annotation {
            Annotation::Mask(mask) => mask,
            Annotation::Absent => Mask::released(black()),
            Annotation::Present | Annotation::Unknown => continue,
        };
        found.extend(lesions(class, &mask));
        if spec.format == LabelFormat::Png {
            tree.insert(format!("masks/{class_name}/{name}.png"), ctx.objects.put(&grey(&mask))?);
        }
    }
    let labelled = LabelledPicture {
        photograph: name.clone(),
        digest,
        size: [photograph.width as u32, photograph.height as u32],
        scale: opened.facts.scale,
        labels: states,
        lesions: found,
        file: file.clone(),
    };
    if spec.format == LabelFormat::GeoJson {
        let text = feature_collection(&labelled, &opened.classes)?;
        tree.insert(format!("geojson/{name}.geojson"), ctx.objects.put(&text)?);
    }
    let facts = &opened.facts;
    let patient = facts.patient.as_deref().unwrap_or_default();
    let split = facts.official.map(Official::name).unwrap_or_default();
    let labels = labelled.labels.iter().map(|label| cell(*label));
    let line = csv::line([&format!("{IMAGES}/{file}"), name.as_str(), patient, split].into_iter().chain(labels));
    let mut issues = Tree::default();
    image_issues::write(&opened.issues(), &mut issues, ctx.objects)?;
    Ok(PhotographFiles { labelled, line, tree, issues })
}

/// Extension and file of a photograph: a copy, or a PNG if other programs may show it in another orientation or not at all. The file is
/// only written if images are.
fn image(
    ctx: &Ctx,
    spec: &ExportSpec,
    item: &Item,
    opened: &OpenPhotograph<'_>,
    photograph: &Photograph,
) -> Result<(String, Option<Entry>), StageError> {
    let file = item.tree.under("photograph.").next();
    let (extension, entry) = file.ok_or_else(|| StageError::Bug("a photograph without a picture".to_owned()))?;
    // A DICOM would take the header with names and dates along, and a region the whole slide.
    let is_copied = opened.decoded().is_some_and(|info| {
        info.orientation.is_upright() && info.format != PictureFormat::Dicom && !opened.is_region()
    });
    let is_copied = is_copied && matches!(extension, "jpg" | "jpeg" | "png" | "tif" | "tiff");
    let extension = if is_copied { extension } else { "png" }.to_owned();
    if !spec.images {
        return Ok((extension, None));
    }
    if is_copied {
        return Ok((extension, Some(ctx.objects.put(&ctx.objects.read(entry)?)?)));
    }
    let (width, height) = (photograph.width as u32, photograph.height as u32);
    Ok((extension, Some(ctx.objects.put(&png(&photograph.rgb, width, height, PixelFormat::Rgb))?)))
}

/// A mask as PNG: lesion pixels are white.
fn grey(mask: &Mask) -> Vec<u8> {
    let bits = mask.bits();
    let mut pixels = vec![0; bits.width() * bits.height()];
    bits.pixels().for_each(|(x, y)| pixels[y * bits.width() + x] = 255);
    png(&pixels, bits.width() as u32, bits.height() as u32, PixelFormat::Grey)
}
