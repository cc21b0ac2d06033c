//! Photographs of a source divided into regions.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use super::CODE;
use super::layout::SlideLayout;
use super::settings::RegionSettings;
use super::shapes::divided;
use crate::data::slide_region::SlideRegion;
use crate::data::source_tree::{SourcePhotograph, extension, is_picture, pointer_at};
use crate::stage::{Files, StageError};

/// Whether a file can be a slide, by its extension.
#[must_use]
pub fn is_slide(file: &str) -> bool {
    is_picture(file) || matches!(extension(file).as_str(), "svs" | "btf" | "tf2" | "tf8")
}

/// Hint if a source found no photograph, but a file that it would read as a slide.
#[must_use]
pub fn unread_hint(listed: &[String], fits: impl Fn(&str) -> bool) -> Option<String> {
    let slide = listed.iter().find(|file| is_slide(file) && !is_picture(file) && fits(file))?;
    Some(format!("`{slide}` is a slide: add `regions size=4096` to read it region by region"))
}

/// The regions of slides, in the order of the slides and row by row. Without `settings`, the photographs as they are.
///
/// # Errors
/// `slide`, naming the file, if one cannot be read in regions.
pub fn cut(
    slides: Vec<SourcePhotograph>,
    settings: Option<&RegionSettings>,
    root: &Path,
    files: &dyn Files,
) -> Result<Vec<SourcePhotograph>, StageError> {
    let Some(settings) = settings else { return Ok(slides) };
    let layouts: Vec<Result<SlideLayout, StageError>> =
        slides.par_iter().map(|slide| SlideLayout::of(&root.join(&slide.file), settings)).collect();
    let mut regions = Vec::new();
    for (slide, layout) in slides.into_iter().zip(layouts) {
        match layout {
            Ok(layout) => regions.extend(of_slide(&slide, &layout)?),
            Err(error) => {
                let path = root.join(&slide.file);
                files.refuse(&path, pointer_at(&path).unwrap_or(error))?;
            }
        }
    }
    Ok(regions)
}

fn of_slide(slide: &SourcePhotograph, layout: &SlideLayout) -> Result<Vec<SourcePhotograph>, StageError> {
    let mut drawn: BTreeMap<&String, _> = BTreeMap::new();
    for (class, mask) in &slide.drawn {
        let masks = divided(mask, layout).map_err(|reason| {
            let text = format!("annotations of `{}`: {reason}", slide.file);
            StageError::input(CODE, text).hint("remove `level`, or export polygons").field("regions.level")
        })?;
        drawn.insert(class, masks.into_iter());
    }
    let mut facts = slide.facts.clone();
    // All regions of a slide stay on one side of a split.
    facts.patient.get_or_insert_with(|| slide.name.clone());
    let region = |region: SlideRegion| SourcePhotograph {
        name: region.name(&slide.name),
        file: slide.file.clone(),
        masks: slide.masks.clone(),
        drawn: drawn.iter_mut().filter_map(|(class, masks)| Some(((*class).clone(), masks.next()?))).collect(),
        facts: facts.clone(),
        region: Some(region),
    };
    Ok(layout.regions().map(region).collect())
}
