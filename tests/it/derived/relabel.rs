//! Relabelling from recorded mask pixels.

use macula::data::patches::{Label, PatchSet};
use macula::data::relabel::{BelowRule, LabelRule, relabel};

use super::sets::{part, set};

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
    LabelRule { min_pixels, min_fraction: 0.0, less }
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
    let share = |least: f64| LabelRule { min_pixels: 1, min_fraction: least, less: BelowRule::Absent };
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
