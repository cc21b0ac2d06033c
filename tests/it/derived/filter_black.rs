//! Detection of black patches.

use std::sync::Arc;

use macula::data::black_filter::BlackFilter;
use macula::data::counts::PatchCounts;
use macula::data::patches::PatchRow;

use super::sets::{part, row, set};

fn with_dark(level: usize, dark: u32, all: u32) -> PatchRow {
    let mut histogram = [0; 256];
    histogram[level] = dark;
    histogram[200] += all - dark;
    PatchRow { histogram: Arc::new(histogram), ..row(0, "0000") }
}

#[test]
fn a_patch_is_black_when_nine_tenths_of_its_pixels_are_under_ten() {
    let black = BlackFilter { below: 10.0, fraction: 0.9 };
    assert!(black.is(&with_dark(9, 90, 100)), "just enough dark pixels");
    assert!(!black.is(&with_dark(9, 89, 100)), "one too few");
    assert!(!black.is(&with_dark(10, 100, 100)), "10 is not under 10");
    assert!(black.is(&with_dark(0, 14_746, 16_384)) && !black.is(&with_dark(0, 14_745, 16_384)));
}

#[test]
fn a_fraction_counts_like_the_next_whole_number() {
    assert!(BlackFilter { below: 9.5, fraction: 1.0 }.is(&with_dark(9, 10, 10)));
    assert!(!BlackFilter { below: 9.0, fraction: 1.0 }.is(&with_dark(9, 10, 10)));
}

#[test]
fn nothing_is_lost_between_kept_and_dropped() {
    let mut first = part("a", "1000 0000 0000");
    first.rows[1] = PatchRow { x: 16, index: 1, ..with_dark(0, 256, 256) };
    let set = set(vec![first, part("b", "0000*2")]);
    let (kept, dropped) = BlackFilter { below: 10.0, fraction: 0.9 }.divide(&set);
    assert_eq!((kept.len(), dropped.len()), (4, 1));
    assert_eq!(dropped.parts[0].rows, set.parts[0].rows[1..2]);
    assert_eq!(PatchCounts::of(&kept).healthy, 3);
    // Photographs stay, even without patches.
    assert_eq!(dropped.parts.len(), 2);
}
