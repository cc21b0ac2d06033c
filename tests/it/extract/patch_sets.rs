//! Patch sets on disk: round trips and golden bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use macula::base::Digest;
use macula::data::patches::{Label, Part, PatchRow, PatchSet, SetInfo, Shard, shard_head};
use macula::data::photographs::{LabelScheme, Official};
use macula::store::Objects;

pub(crate) fn info(masks: bool) -> SetInfo {
    SetInfo {
        classes: ["MA", "HE"].map(str::to_owned).to_vec(),
        size: 8,
        margin: 1,
        masks,
        scale: 1,
        resampled: false,
        min_pixels: 1,
        min_fraction: 0.0,
        labels: LabelScheme::MultiLabel,
    }
}

fn row(index: u32) -> PatchRow {
    let mut histogram = [0; 256];
    histogram[index as usize] = 60;
    histogram[255] = 4;
    PatchRow {
        x: index * 8,
        y: 16,
        index,
        copies: 1 + index % 2,
        labels: vec![[Label::Absent, Label::Present, Label::Unknown][index as usize % 3], Label::Absent],
        mask_pixels: vec![if index % 3 == 1 { 5 } else { 0 }, 0],
        mask_distance: vec![if index % 3 == 1 { 2.5 } else { f32::NAN }, f32::NAN],
        mean: [1.5, 2.25, index as f32],
        deviation: [0.5, 0.0, 3.0],
        histogram: Arc::new(histogram),
    }
}

/// A set of two photographs, one without patches.
fn small(objects: &Objects, masks: bool) -> PatchSet {
    let info = info(masks);
    let mut shard = shard_head(5, &info);
    shard.extend((0..1500).map(|i| i as u8));
    shard.extend((0..if masks { 130 } else { 0 }).map(|i: u8| !i));
    let shard = objects.put(&shard).unwrap();
    let part = Part {
        photograph: "IDRiD_07".to_owned(),
        digest: Digest::of(b"a photograph"),
        patient: Some("p7".to_owned()),
        official: Some(Official::Train),
        shard,
        embeddings: BTreeMap::new(),
        rows: (0..5).map(row).collect(),
    };
    let empty = Part {
        photograph: "IDRiD_08".to_owned(),
        patient: None,
        official: None,
        shard: Part::NO_SHARD,
        rows: Vec::new(),
        ..part.clone()
    };
    PatchSet { info, embeddings: Vec::new(), parts: vec![part, empty] }
}

/// As text, where a NaN equals itself.
fn text(set: &PatchSet) -> String {
    format!("{set:?}")
}

#[test]
fn a_patch_set_reads_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    let set = small(&objects, true);
    let tree = set.write(&objects).unwrap();
    let names: Vec<_> = tree.entries.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["parts/IDRiD_07.parquet", "parts/IDRiD_08.parquet", "set.json", "shards/IDRiD_07.safetensors"],
        "a photograph without patches has a part and no shard"
    );
    let back = PatchSet::read(&tree, &objects).unwrap();
    assert_eq!(text(&back), text(&set));
    assert_eq!(back.len(), 7, "copies count");
    let again = back.write(&objects).unwrap();
    assert_eq!(again.digest(), tree.digest());
}

#[test]
fn a_shard_gives_the_pixels_and_masks_of_each_row() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    for masks in [true, false] {
        let set = small(&objects, masks);
        let shard = Shard::open(&set.parts[0], &set.info, &objects).unwrap();
        assert_eq!(shard.pixels(0).len(), 300);
        assert_eq!(shard.pixels(2)[..3], [88, 89, 90], "row 2 begins at byte 600");
        assert_eq!(shard.mask(1, 1).map(<[u8]>::to_vec), masks.then(|| (39..52).map(|i: u8| !i).collect()));
    }
}

#[test]
fn a_shard_of_another_shape_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    let set = small(&objects, false);
    let error = Shard::open(&set.parts[0], &SetInfo { size: 9, ..set.info.clone() }, &objects).unwrap_err();
    assert!(error.to_string().contains("shard of `IDRiD_07`"), "{error}");
    let error = Shard::open(&set.parts[0], &SetInfo { masks: true, ..set.info.clone() }, &objects).unwrap_err();
    assert!(error.to_string().contains("shard of `IDRiD_07`"), "{error}");
}

#[test]
fn a_part_and_a_shard_have_the_same_bytes_with_every_version_of_the_crates() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    let tree = small(&objects, true).write(&objects).unwrap();
    let digests: Vec<_> = tree.entries.iter().map(|(name, entry)| format!("{} {name}", entry.digest.short())).collect();
    insta::assert_snapshot!(digests.join("\n"), @"
    ff8deaff parts/IDRiD_07.parquet
    fe22e09a parts/IDRiD_08.parquet
    49773ad3 set.json
    273ef234 shards/IDRiD_07.safetensors
    ");
}
