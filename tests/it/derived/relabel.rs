//! Relabelling from recorded mask pixels.

use macula::data::lesion_extent::{LesionExtent, LesionExtents};
use macula::data::patches::{Label, PatchSet};
use macula::data::rebalance::{LesionSampling, RebalanceSpec, Undetermined, rebalance};
use macula::data::relabel::{BelowRule, LabelBounds, LabelRule};

use super::sets::{part, set, streams};

/// One photograph of 16 px patches, each with its labels and its number of pixels of the first class.
fn made(patches: &[(&str, u32)]) -> PatchSet {
    let text: Vec<&str> = patches.iter().map(|(labels, _)| *labels).collect();
    let mut set = set(vec![part("a", &text.join(" "))]);
    for (row, (_, pixels)) in set.parts[0].rows.iter_mut().zip(patches) {
        row.mask_pixels[0] = *pixels;
    }
    set
}

/// Labels of the first class, one letter per patch.
fn first(set: &PatchSet) -> String {
    let letter = |label| match label {
        Label::Present => '1',
        Label::Absent => '0',
        Label::Unknown => '?',
    };
    set.parts[0].rows.iter().map(|row| letter(row.labels[0])).collect()
}

const PATCHES: [(&str, u32); 5] = [("0000", 0), ("1000", 1), ("1000", 15), ("1000", 16), ("?000", 0)];

fn rule(min_pixels: u32, less: BelowRule) -> LabelRule {
    LabelRule { present: LabelBounds { min_pixels, ..LabelBounds::ANY }, unknown: None, less }
}

fn relabel(set: &PatchSet, rule: &LabelRule) -> (PatchSet, Vec<u64>) {
    macula::data::relabel::relabel(set, rule, None)
}

#[test]
fn a_stricter_rule_makes_small_lesions_absent_unknown_or_none() {
    let set = made(&PATCHES);
    let (absent, changed) = relabel(&set, &rule(16, BelowRule::Absent));
    assert_eq!((first(&absent).as_str(), changed), ("0001?", vec![2, 0, 0, 0]));
    assert_eq!(first(&relabel(&set, &rule(16, BelowRule::Unknown)).0), "0??1?");
    assert_eq!(first(&relabel(&set, &rule(16, BelowRule::Drop)).0), "01?", "patches without the lesion stay");
    assert_eq!(absent.info.min_pixels, 16, "augmentation of kept masks goes by the set's rule");
}

#[test]
fn a_looser_rule_finds_again_what_a_stricter_one_left_out() {
    let set = made(&PATCHES);
    let strict = relabel(&set, &rule(16, BelowRule::Absent)).0;
    let (loose, changed) = relabel(&strict, &rule(1, BelowRule::Absent));
    assert_eq!((loose, changed), (set, vec![2, 0, 0, 0]));
}

#[test]
fn a_share_is_of_the_patchs_area_as_released() {
    let mut set = made(&PATCHES);
    let share = |least: f64| {
        let present = LabelBounds { min_fraction: least, ..LabelBounds::ANY };
        LabelRule { present, unknown: None, less: BelowRule::Absent }
    };
    // 16 of 256 pixels.
    assert_eq!(first(&relabel(&set, &share(0.0625)).0), "0001?");
    assert_eq!(first(&relabel(&set, &share(0.0626)).0), "0000?");
    // At half scale a patch covers four times as many pixels as released.
    set.info.scale = 2;
    assert_eq!(first(&relabel(&set, &share(0.0625)).0), "0000?");
}

#[test]
fn copies_count() {
    let mut set = made(&PATCHES);
    set.parts[0].rows[1].copies = 3;
    assert_eq!(relabel(&set, &rule(2, BelowRule::Absent)).1, [3, 0, 0, 0]);
}

#[test]
fn patches_between_two_bounds_are_unknown_and_neither_dropped_nor_drawn_as_healthy() {
    let set = made(&PATCHES);
    let unknown = Some(LabelBounds { min_pixels: 15, ..LabelBounds::ANY });
    let between = |less| LabelRule { unknown, ..rule(16, less) };
    assert_eq!(first(&relabel(&set, &between(BelowRule::Absent)).0), "00?1?");
    assert_eq!(first(&relabel(&set, &between(BelowRule::Unknown)).0), "0??1?");
    let dropped = relabel(&set, &between(BelowRule::Drop)).0;
    assert_eq!(first(&dropped), "0?1?", "only what is outside both bounds is dropped");
    let recipe = RebalanceSpec {
        lesions: LesionSampling::Keep,
        healthy_per_lesion_patch: Some(5.0),
        undetermined: Undetermined::Drop,
    };
    let balanced = rebalance(&relabel(&set, &between(BelowRule::Absent)).0, &recipe, &streams(1));
    assert_eq!(first(&balanced), "001", "an unknown lesion does not make a patch healthy");
}

#[test]
fn bounds_are_of_the_lesion_and_of_its_place_in_the_patch() {
    let mut set = made(&[("1000", 9), ("1000", 9), ("1000", 9), ("0000", 0)]);
    let distances = [2.0, 5.0, 5.5, f32::NAN];
    set.parts[0].rows.iter_mut().zip(distances).for_each(|(row, distance)| row.mask_distance[0] = distance);
    let extent = |share, rim| {
        let mut extents = vec![LesionExtent::default(); 4];
        extents[0] = LesionExtent { share, rim };
        extents
    };
    let extents = LesionExtents(vec![vec![extent(1.0, 0), extent(0.5, 6), extent(0.49, 3), extent(0.0, 0)]]);
    let by = |present: LabelBounds, unknown: Option<LabelBounds>| {
        let rule = LabelRule { present, unknown, less: BelowRule::Absent };
        first(&macula::data::relabel::relabel(&set, &rule, Some(&extents)).0)
    };
    let any = LabelBounds::ANY;
    assert_eq!(by(LabelBounds { min_lesion_share: 0.5, ..any }, None), "1100");
    assert_eq!(by(LabelBounds { max_centre_distance: 5.0, ..any }, None), "1100");
    assert_eq!(by(LabelBounds { min_rim_distance: 3, ..any }, None), "0110");
    let half = LabelBounds { min_lesion_share: 0.5, ..any };
    assert_eq!(by(LabelBounds { min_rim_distance: 1, ..half }, Some(half)), "?100");
    assert_eq!(by(LabelBounds { min_rim_distance: 1, ..half }, Some(any)), "?1?0");
}
