//! Pictures and masks of evaluated patches, from a patch set that has all of them. Knows no score.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{FullPicture, Predicted};
use crate::data::patches::{Part, PatchSet, Shard};
use crate::data::thumbnail::{RgbPixels, patch_outline};
use crate::learn::evaluation::Scores;
use crate::stage::StageError;
use crate::store::Objects;

/// Shards that are open at a time: errors come from all photographs in turn.
const OPEN: usize = 64;

/// Patch set with the evaluated patches.
pub struct PictureSource<'a> {
    set: &'a PatchSet,
    objects: &'a Objects,
    /// Part and row in the shard of each evaluated patch.
    places: Vec<(usize, u32)>,
    open: RefCell<BTreeMap<usize, Rc<Shard>>>,
}

impl<'a> PictureSource<'a> {
    /// The first of some patch sets that has all evaluated patches.
    pub(in crate::report) fn find(
        sets: &[&'a PatchSet],
        scores: &Scores,
        predicted: &Predicted<'_>,
        objects: &'a Objects,
    ) -> Option<Self> {
        let fits = |set: &&&PatchSet| {
            let info = &set.info;
            (info.size, info.scale, &info.classes) == (scores.data.size, scores.data.scale, &scores.classes)
        };
        let fitting = sets.iter().filter(fits);
        fitting.into_iter().find_map(|set| {
            let rows = |(at, part): (usize, &'a Part)| {
                part.rows.iter().map(move |row| ((part.photograph.as_str(), row.x, row.y), (at, row.index)))
            };
            let known: BTreeMap<(&str, u32, u32), (usize, u32)> = set.parts.iter().enumerate().flat_map(rows).collect();
            let places: Option<Vec<_>> =
                (0..predicted.rows()).map(|row| known.get(&predicted.place(row)).copied()).collect();
            Some(Self { set, objects, places: places?, open: RefCell::default() })
        })
    }

    /// Picture of an evaluated patch, with the outlines of all classes.
    pub(super) fn picture(&self, row: usize) -> Result<FullPicture, StageError> {
        let (part, index) = self.places[row];
        let shard = self.shard(part)?;
        let info = &self.set.info;
        let outline = |class| Some((class, patch_outline(&shard, info, index, class)?));
        let outlines = (0..info.classes.len()).filter_map(outline).filter(|(_, outline)| !outline.path.is_empty());
        Ok(FullPicture { pixels: RgbPixels::of_patch(&shard, info, index), outlines: outlines.collect() })
    }

    fn shard(&self, part: usize) -> Result<Rc<Shard>, StageError> {
        let mut open = self.open.borrow_mut();
        if let Some(shard) = open.get(&part) {
            return Ok(Rc::clone(shard));
        }
        if open.len() >= OPEN {
            open.pop_first();
        }
        let shard = Rc::new(Shard::open(&self.set.parts[part], &self.set.info, self.objects)?);
        open.insert(part, Rc::clone(&shard));
        Ok(shard)
    }
}
