//! Copies of patches in a rebalanced set.

use std::collections::BTreeMap;

use macula::data::counts::PatchCounts;
use macula::data::patches::{Health, Label, Part, PatchSet};
use macula::data::rebalance::{LesionSampling, RebalanceSpec, Undetermined, check, rebalance};
use proptest::prelude::*;

use super::sets::{part, set, streams};

const KEEP: RebalanceSpec =
    RebalanceSpec { lesions: LesionSampling::Keep, healthy_per_lesion_patch: None, undetermined: Undetermined::Drop };

fn positives(set: &PatchSet) -> Vec<u64> {
    PatchCounts::of(set).positives
}

fn codes(recipe: &RebalanceSpec, before: &PatchSet, after: &PatchSet) -> Vec<String> {
    let warnings = check(recipe, &before.info, &PatchCounts::of(before), &PatchCounts::of(after));
    warnings.into_iter().map(|warning| warning.code).collect()
}

#[test]
fn undersampling_by_hand_brings_every_class_to_the_smallest() {
    // SE 2, EX 4, HE 6, MA 9; each patch has one class, so each ends with exactly 2.
    let set = set(vec![part("a", "1000*9 0100*6 0000*5"), part("b", "0010*4 0001*2 0000*5")]);
    let recipe = RebalanceSpec { lesions: LesionSampling::Undersample, ..KEEP };
    let after = rebalance(&set, &recipe, &streams(1));
    assert_eq!(positives(&after), [2, 2, 2, 2]);
    assert_eq!(PatchCounts::of(&after).healthy, 10);
    assert!(after.info.resampled && !set.info.resampled);
    assert!(codes(&recipe, &set, &after).is_empty());
}

#[test]
fn undersampling_by_hand_counts_lesions_that_ride_along() {
    // SE 2, always with MA; EX 3 alone; MA 2 + 5. The target is 2. SE takes both of its patches, which bring MA to 2, so no
    // other MA patch is taken; EX takes 2 of 3; HE has none.
    let set = set(vec![part("a", "1001*2 1000*5 0010*3")]);
    let recipe = RebalanceSpec { lesions: LesionSampling::Undersample, ..KEEP };
    let after = rebalance(&set, &recipe, &streams(1));
    assert_eq!(positives(&after), [2, 0, 2, 2]);
    assert_eq!(after.len(), 4);
    assert_eq!(codes(&recipe, &set, &after), ["class-without-positives"]);
}

#[test]
fn overshoot_and_an_unchanged_class_are_reported() {
    // EX 10 alone is the target; HE 12, each with MA 12; so MA and HE tie at 12, MA first: it takes 10, and HE rides: 10.
    let mixed = set(vec![part("a", "0010*10 1100*12")]);
    let recipe = RebalanceSpec { lesions: LesionSampling::Undersample, ..KEEP };
    assert_eq!(positives(&rebalance(&mixed, &recipe, &streams(1))), [10, 10, 10, 0]);

    // SE 3 and EX 3 and HE 3 each carry MA: MA has 9 of its 9 patches although the target is 3.
    let riding = set(vec![part("a", "1001*3 1010*3 1100*3")]);
    let after = rebalance(&riding, &recipe, &streams(1));
    assert_eq!(positives(&after), [9, 3, 3, 3]);
    assert_eq!(codes(&recipe, &riding, &after), ["class-unchanged"]);

    // With one more MA patch of its own MA changes, but is far over its target.
    let more = set(vec![part("a", "1001*3 1010*3 1100*3 1000")]);
    let after = rebalance(&more, &recipe, &streams(1));
    assert_eq!(positives(&after), [9, 3, 3, 3]);
    assert_eq!(codes(&recipe, &more, &after), ["overshoot"]);
}

#[test]
fn a_cap_leaves_rarer_classes_alone() {
    let set = set(vec![part("a", "1000*9 0100*6 0001*2 0000")]);
    let after = rebalance(&set, &RebalanceSpec { lesions: LesionSampling::Cap(5), ..KEEP }, &streams(2));
    assert_eq!(positives(&after), [5, 5, 0, 2]);
}

#[test]
fn oversampling_repeats_patches_up_to_the_largest_class_or_the_limit() {
    let set = set(vec![part("a", "1000*9 0100*4 0001 0000*3")]);
    let recipe = RebalanceSpec { lesions: LesionSampling::Oversample { at_most: 3 }, ..KEEP };
    let after = rebalance(&set, &recipe, &streams(2));
    // HE: 4 patches twice are 8, one of them a third time is 9. SE: one patch can stand 3 times only.
    assert_eq!(positives(&after), [9, 9, 0, 3]);
    assert_eq!(after.parts[0].rows.iter().map(|row| row.copies).max(), Some(3));
    assert_eq!(codes(&recipe, &set, &after), ["class-without-positives", "under-target"]);
    assert_eq!(PatchCounts::of(&after).healthy, 3);
}

#[test]
fn healthy_patches_are_drawn_in_proportion_by_largest_remainder() {
    // 4 lesion patches and 1.5 healthy ones each are 6 of 10: shares 3.0, 1.8, 1.2 are 3 and 1 and 1, and the sixth goes to
    // the remainder .8.
    let set = set(vec![part("a", "1000*4 0000*5"), part("b", "0000*3"), part("c", "0000*2")]);
    let recipe = RebalanceSpec { healthy_per_lesion_patch: Some(1.5), ..KEEP };
    for seed in 0..5 {
        let after = rebalance(&set, &recipe, &streams(seed));
        let healthy = |at: usize| after.parts[at].rows.iter().filter(|row| row.health() == Health::Healthy).count();
        assert_eq!([healthy(0), healthy(1), healthy(2)], [3, 2, 1]);
        assert!(codes(&recipe, &set, &after).is_empty());
    }
}

#[test]
fn too_few_healthy_patches_are_all_taken_and_that_is_reported() {
    let set = set(vec![part("a", "1000*4 0000*5")]);
    let recipe = RebalanceSpec { healthy_per_lesion_patch: Some(2.0), ..KEEP };
    let after = rebalance(&set, &recipe, &streams(1));
    assert_eq!(PatchCounts::of(&after).healthy, 5);
    assert_eq!(codes(&recipe, &set, &after), ["ratio-not-reached"]);
}

#[test]
fn undetermined_patches_are_in_neither_pool_unless_asked() {
    let set = set(vec![part("a", "1?00 0?00*3 0000*2")]);
    let dropped = PatchCounts::of(&rebalance(&set, &KEEP, &streams(1)));
    assert_eq!((dropped.lesion, dropped.undetermined, dropped.healthy), (1, 0, 2));
    let kept =
        PatchCounts::of(&rebalance(&set, &RebalanceSpec { undetermined: Undetermined::Keep, ..KEEP }, &streams(1)));
    assert_eq!((kept.lesion, kept.undetermined, kept.healthy), (1, 3, 2));
}

#[test]
fn the_reports_own_case_would_have_been_seen() {
    // Its text: lesions undersampled to the smallest class, healthy patches at 2x. Its figures, after leaving out black
    // patches: 47,914 lesion patches, label sums 11991 28805 17640 3432, as before; 47,914 healthy of 113,146, 1:1.
    let asked = RebalanceSpec {
        lesions: LesionSampling::Undersample,
        healthy_per_lesion_patch: Some(2.0),
        undetermined: Undetermined::Drop,
    };
    let before = PatchCounts {
        photographs: 1842,
        patches: 161_060,
        healthy: 113_146,
        lesion: 47_914,
        undetermined: 0,
        positives: vec![11_991, 28_805, 17_640, 3_432],
        positive_photographs: vec![1; 4],
    };
    let done = PatchCounts { patches: 95_828, healthy: 47_914, ..before.clone() };
    let warnings = check(&asked, &set(Vec::new()).info, &before, &done);
    let texts: Vec<&str> = warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "`MA` is unchanged: 11,991 positives before and after, target 3,432",
            "`HE` is unchanged: 28,805 positives before and after, target 3,432",
            "`EX` is unchanged: 17,640 positives before and after, target 3,432",
            "47,914 healthy patches for 47,914 with a lesion, target 95,828 (2.0 per lesion patch); 113,146 were available",
        ]
    );
}

#[test]
fn the_reports_own_numbers_are_rebalanced_as_its_text_says() {
    // Its label sums over 47,914 patches leave 13,954 labels beyond one a patch: here they ride in pairs HE + EX and MA + HE.
    let (he_ex, ma_he) = (9_954, 4_000);
    let (ma, se) = (11_991 - ma_he, 3_432);
    let (ex, he) = (17_640 - he_ex, 28_805 - he_ex - ma_he);
    assert_eq!(he_ex + ma_he + ma + se + ex + he, 47_914);
    let text = format!("0110*{he_ex} 1100*{ma_he} 1000*{ma} 0001*{se} 0010*{ex} 0100*{he} 0000*113146");
    let set = set(vec![part("all", &text)]);
    assert_eq!(positives(&set), [11_991, 28_805, 17_640, 3_432]);
    let recipe = RebalanceSpec {
        lesions: LesionSampling::Undersample,
        healthy_per_lesion_patch: Some(2.0),
        undetermined: Undetermined::Drop,
    };
    let after = PatchCounts::of(&rebalance(&set, &recipe, &streams(7)));
    // The walk is SE, MA, EX, HE; MA + HE and HE + EX patches bring HE with them.
    assert_eq!([after.positives[0], after.positives[2], after.positives[3]], [3_432; 3]);
    assert!(after.positives[1] >= 3_432);
    assert_eq!(after.healthy, 2 * after.lesion);
}

fn photographs() -> impl Strategy<Value = PatchSet> {
    let label = prop::sample::select(vec![
        "0000", "0000", "1000", "1000", "0100", "0010", "0001", "1100", "0110", "1011", "0?00", "1?00",
    ]);
    prop::collection::vec(prop::collection::vec(label, 0..30), 1..8).prop_map(|drawn| {
        set((0..).zip(drawn).map(|(at, labels)| part(&format!("photograph {at}"), &labels.join(" "))).collect())
    })
}

proptest! {
    #[test]
    fn undersampled_classes_reach_the_target_or_run_out_of_candidates(set in photographs(), seed in 0..3_u64) {
        let before = positives(&set);
        let after = rebalance(&set, &RebalanceSpec { lesions: LesionSampling::Undersample, ..KEEP }, &streams(seed));
        let target = before.iter().copied().filter(|count| *count > 0).min().unwrap_or(0);
        for class in (0..4).filter(|class| before[*class] > 0) {
            // Candidates that are left have a rarer class as well, which had its pick of them.
            let rarer = |other: usize| (before[other], other) < (before[class], class);
            let own = set.parts.iter().flat_map(|part| &part.rows).filter(|row| {
                let has = |class: usize| row.labels[class] == Label::Present;
                has(class) && !(0..4).any(|other| rarer(other) && has(other))
            });
            prop_assert!(positives(&after)[class] >= target.min(own.count() as u64));
        }
    }

    #[test]
    fn without_oversampling_no_patch_stands_twice_and_none_is_new(set in photographs(), ratio in 0.0..3.0_f64, seed in 0..3_u64) {
        for lesions in [LesionSampling::Keep, LesionSampling::Undersample, LesionSampling::Cap(3)] {
            let recipe = RebalanceSpec { lesions, healthy_per_lesion_patch: Some(ratio), undetermined: Undetermined::Drop };
            let after = rebalance(&set, &recipe, &streams(seed));
            for (part, source) in after.parts.iter().zip(&set.parts) {
                prop_assert!(part.rows.iter().all(|row| row.copies == 1));
                let mut places: Vec<u32> = part.rows.iter().map(|row| row.x).collect();
                places.dedup();
                prop_assert_eq!(places.len(), part.rows.len());
                prop_assert!(part.rows.iter().all(|row| source.rows.contains(row)));
            }
            let (had, has) = (PatchCounts::of(&set), PatchCounts::of(&after));
            prop_assert_eq!(has.healthy, ((ratio * has.lesion as f64).round() as u64).min(had.healthy));
        }
    }

    #[test]
    fn the_order_of_photographs_does_not_matter(set in photographs(), seed in 0..3_u64) {
        let recipe = RebalanceSpec { lesions: LesionSampling::Undersample, healthy_per_lesion_patch: Some(0.7), undetermined: Undetermined::Drop };
        let by_name = |set: PatchSet| -> BTreeMap<String, Part> {
            set.parts.into_iter().map(|part| (part.photograph.clone(), part)).collect()
        };
        let mut reversed = set.clone();
        reversed.parts.reverse();
        let forwards = format!("{:?}", by_name(rebalance(&set, &recipe, &streams(seed))));
        prop_assert_eq!(forwards, format!("{:?}", by_name(rebalance(&reversed, &recipe, &streams(seed)))));
    }
}
