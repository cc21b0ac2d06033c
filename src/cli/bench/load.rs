//! Loader benchmark: patches from a mapped shard, augmented and normalised.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Augment, BenchSize, Failure, Measured, failure, measure};
use crate::base::{Digest, Streams};
use crate::data::patches::{Label, Part, PatchRow, PatchSet, SetInfo, ShardBytes};
use crate::data::photographs::LabelScheme;
use crate::engine::augment::Augmentation;
use crate::engine::normalise::Normalisation;
use crate::learn::loader::OpenPatchSet;
use crate::store::Objects;

/// Number of patches in the shard, used cyclically.
const PATCHES: u32 = 512;
/// `ImageNet` normalisation, as in `train`.
const NORMAL: Normalisation = Normalisation { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

pub(super) fn load(augment: Augment, asked: BenchSize) -> Result<Measured, Failure> {
    let folder = tempfile::tempdir().map_err(|error| Failure::user(format!("no temporary folder: {error}")))?;
    let objects = Objects::open(folder.path()).map_err(|error| failure(error.into()))?;
    let set = patches(asked.size as u32, &objects).map_err(failure)?;
    let samples = OpenPatchSet::open(set, recipe(augment), NORMAL, &objects).map_err(failure)?;
    let (all, streams) = (samples.all(), Streams::new(1, "bench"));
    measure(asked, |at| {
        let draws: Vec<_> = all.iter().copied().cycle().skip(at * asked.batch % all.len()).take(asked.batch).collect();
        let batch = samples.augmented(&draws, &streams, at as u64);
        std::hint::black_box(batch);
        Ok(())
    })
}

fn recipe(augment: Augment) -> Option<Augmentation> {
    let flips = Augmentation { flip_horizontal: 0.5, flip_vertical: 0.5, ..Augmentation::none() };
    let moves = Augmentation { rotate_degrees: 15.0, ..flips.clone() };
    match augment {
        Augment::None => None,
        Augment::Flip => Some(flips),
        Augment::Move => Some(moves),
        Augment::All => Some(Augmentation { brightness: 0.2, contrast: 0.2, saturation: 0.2, hue: 0.02, ..moves }),
    }
}

/// Random pixels without masks, so labels do not change.
fn patches(size: u32, objects: &Objects) -> Result<PatchSet, crate::stage::StageError> {
    let info = SetInfo {
        classes: ["MA", "HE", "EX", "SE"].map(str::to_owned).to_vec(),
        size,
        margin: 0,
        masks: false,
        scale: 1,
        resampled: false,
        min_pixels: 1,
        min_fraction: 0.0,
        labels: LabelScheme::MultiLabel,
    };
    let mut shard = ShardBytes::new(PATCHES as usize, &info);
    let mut stream = Streams::new(1, "bench").stream("pixels", 0, &[]);
    for bytes in shard.parts().0.chunks_mut(8) {
        bytes.copy_from_slice(&stream.bits().to_le_bytes()[..bytes.len()]);
    }
    let row = |index: u32| PatchRow {
        x: index * size,
        y: 0,
        index,
        copies: 1,
        labels: vec![Label::Absent; 4],
        mask_pixels: vec![0; 4],
        mask_distance: vec![f32::NAN; 4],
        mean: [0.0; 3],
        deviation: [0.0; 3],
        histogram: Arc::new([0; 256]),
    };
    let part = Part {
        photograph: "bench".to_owned(),
        digest: Digest::of(b"bench"),
        patient: None,
        official: None,
        shard: objects.put(&shard.finish())?,
        embeddings: BTreeMap::new(),
        rows: (0..PATCHES).map(row).collect(),
    };
    Ok(PatchSet { info, embeddings: Vec::new(), parts: vec![part] })
}
