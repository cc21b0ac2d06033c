//! Photographs that are split before they are cut: as a set with one row per photograph, which has labels but no pixels. Knows no rule of
//! splitting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;

use super::item::{self, OpenPhotograph};
use super::patches::{Label, Part, PatchRow, PatchSet, SetInfo};
use super::photographs::PhotographSet;
use crate::stage::{Item, StageError};
use crate::store::{Objects, Tree};

/// Photographs as a set with one row each. A class is present if its mask has a lesion pixel.
///
/// # Errors
/// `damaged-mask`; store errors.
pub fn labelled(set: &Tree, objects: &Objects) -> Result<PatchSet, StageError> {
    let label = |photograph: &OpenPhotograph<'_>, class: usize| {
        Ok(match photograph.has_lesion(class)? {
            Some(true) => Label::Present,
            Some(false) => Label::Absent,
            None => Label::Unknown,
        })
    };
    units(set, objects, &label)
}

/// Photographs as a set with one row each, without reading masks: no label is known.
///
/// # Errors
/// Store errors.
pub fn unlabelled(set: &Tree, objects: &Objects) -> Result<PatchSet, StageError> {
    units(set, objects, &|_, _| Ok(Label::Unknown))
}

/// Label of a class in a photograph.
type LabelOf<'a> = &'a (dyn Fn(&OpenPhotograph<'_>, usize) -> Result<Label, StageError> + Sync);

fn units(set: &Tree, objects: &Objects, label: LabelOf<'_>) -> Result<PatchSet, StageError> {
    let unit = |item: &Item| {
        let photograph = OpenPhotograph::new(&item.name, &item.tree, objects)?;
        let classes = 0..photograph.classes.len();
        let labels = classes.map(|class| label(&photograph, class)).collect::<Result<Vec<_>, StageError>>()?;
        let row = PatchRow {
            x: 0,
            y: 0,
            index: 0,
            copies: 1,
            mask_pixels: vec![0; labels.len()],
            mask_distance: vec![f32::NAN; labels.len()],
            labels,
            mean: [0.0; 3],
            deviation: [0.0; 3],
            histogram: Arc::new([0; 256]),
        };
        Ok(Part {
            photograph: item.name.clone(),
            digest: photograph.digest()?,
            patient: photograph.facts.patient.clone(),
            official: photograph.facts.official,
            shard: Part::NO_SHARD,
            embeddings: BTreeMap::new(),
            rows: vec![row],
        })
    };
    let items = item::items(set, objects)?;
    let parts = items.par_iter().map(unit).collect::<Result<Vec<_>, StageError>>()?;
    let info = SetInfo {
        classes: item::classes(set, objects)?,
        size: 1,
        margin: 0,
        masks: false,
        scale: 1,
        resampled: false,
        min_pixels: 1,
        min_fraction: 0.0,
        labels: item::labels(set, objects)?,
    };
    Ok(PatchSet { info, embeddings: Vec::new(), parts })
}

/// The photographs of a set with these names; their files, and so their items, stay the same.
///
/// # Errors
/// Store errors.
pub fn subset(set: &Tree, names: &BTreeSet<&str>, objects: &Objects) -> Result<Tree, StageError> {
    let mut described: PhotographSet = item::described(set, objects)?;
    described.photographs.retain(|name| names.contains(name.as_str()));
    let mut tree = Tree::default();
    for name in &described.photographs {
        let folder = format!("{name}/");
        tree.entries.extend(set.under(&folder).map(|(file, entry)| (format!("{folder}{file}"), *entry)));
    }
    let text = serde_json::to_vec(&described).map_err(|error| StageError::Bug(error.to_string()))?;
    tree.insert("set.json", objects.put(&text)?);
    Ok(tree)
}
