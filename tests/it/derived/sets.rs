//! Small hand-made patch sets.

use std::collections::BTreeMap;
use std::sync::Arc;

use macula::base::{Digest, Streams};
use macula::data::patches::{Label, Part, PatchRow, PatchSet, SetInfo};
use macula::data::photographs::LabelScheme;
use macula::store::Entry;

/// Labels of a patch from text, one letter per class: `1` present, `0` absent, `?` unknown.
pub(crate) fn labels(text: &str) -> Vec<Label> {
    text.chars()
        .map(|letter| match letter {
            '1' => Label::Present,
            '0' => Label::Absent,
            _ => Label::Unknown,
        })
        .collect()
}

/// A grey patch of 16 px in the column `column`.
pub(crate) fn row(column: u32, text: &str) -> PatchRow {
    let mut histogram = [0; 256];
    histogram[100] = 256;
    PatchRow {
        x: 16 * column,
        y: 0,
        index: column,
        copies: 1,
        labels: labels(text),
        mask_pixels: vec![0; text.len()],
        mask_distance: vec![5.0; text.len()],
        mean: [100.0; 3],
        deviation: [0.0; 3],
        histogram: Arc::new(histogram),
    }
}

/// A photograph whose patches have these labels, separated by blanks; `1000*3` are three of them.
pub(crate) fn part(name: &str, patches: &str) -> Part {
    let texts = patches.split_whitespace().flat_map(|text| {
        let (text, times) = text.split_once('*').unwrap_or((text, "1"));
        std::iter::repeat_n(text, times.parse().expect("a count"))
    });
    Part {
        photograph: name.to_owned(),
        digest: Digest::of(name.as_bytes()),
        patient: None,
        official: None,
        shard: Entry { digest: Digest::of(b"shard"), size: 5 },
        embeddings: BTreeMap::new(),
        rows: (0..).zip(texts).map(|(column, text)| row(column, text)).collect(),
    }
}

/// A set of photographs with four classes.
pub(crate) fn set(parts: Vec<Part>) -> PatchSet {
    let info = SetInfo {
        classes: ["MA", "HE", "EX", "SE"].map(str::to_owned).to_vec(),
        size: 16,
        margin: 0,
        masks: false,
        scale: 1,
        resampled: false,
        min_pixels: 1,
        min_fraction: 0.0,
        labels: LabelScheme::MultiLabel,
    };
    PatchSet { info, embeddings: Vec::new(), parts }
}

pub(crate) fn streams(seed: u64) -> Streams {
    Streams::new(seed, "test")
}
