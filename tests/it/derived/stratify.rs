//! Iterative stratification over groups.

use macula::data::stratify::{GroupCounts, stratify};
use proptest::prelude::*;

use super::sets::streams;

fn group(name: &str, positives: &[u64], patches: u64) -> GroupCounts {
    GroupCounts { identity: name.as_bytes().to_vec(), positives: positives.to_vec(), patches }
}

/// Largest deviation from the requested fractions over splits, per class.
fn deviation(groups: &[GroupCounts], sides: &[usize], shares: &[f64], class: usize) -> f64 {
    let all: u64 = groups.iter().map(|group| group.positives[class]).sum();
    let reached = |side: usize| {
        let here: u64 =
            groups.iter().zip(sides).filter(|(_, at)| **at == side).map(|(group, _)| group.positives[class]).sum();
        here as f64 / all as f64
    };
    (0..shares.len()).map(|side| (reached(side) - shares[side]).abs()).fold(0.0, f64::max)
}

#[test]
fn by_hand_each_class_is_halved_whatever_the_seed() {
    // Class 1 is in two groups, class 0 in three: of `d` and `e` one goes to a side by seed, the other to the other side. Then
    // `a`, `b` and `c` (4 each, 6 wanted on each side) can only be two and one.
    let groups = [
        group("a", &[4, 0], 10),
        group("b", &[4, 0], 10),
        group("c", &[4, 0], 10),
        group("d", &[0, 8], 20),
        group("e", &[0, 8], 30),
    ];
    for seed in 0..8 {
        let sides = stratify(&groups, &[0.5, 0.5], &streams(seed));
        assert_ne!(sides[3], sides[4], "seed {seed}: {sides:?}");
        let first: usize = sides[..3].iter().sum();
        assert!(first == 1 || first == 2, "seed {seed}: {sides:?}");
    }
}

#[test]
fn by_hand_a_group_goes_to_the_side_that_needs_its_class_most() {
    // 12 and 4 positives are wanted. The first two groups go to the first side (12 wanted, then 8); then both want 4: the
    // third goes to either, the fourth to the other, which still wants 4.
    let groups = ["a", "b", "c", "d"].map(|name| group(name, &[4], 10));
    for seed in 0..8 {
        let sides = stratify(&groups, &[0.75, 0.25], &streams(seed));
        assert_eq!(sides.iter().sum::<usize>(), 1, "seed {seed}: {sides:?}");
    }
}

#[test]
fn groups_without_any_class_even_out_the_patches() {
    let groups: Vec<GroupCounts> = (0..10).map(|at| group(&format!("healthy {at}"), &[0, 0], 12)).collect();
    let sides = stratify(&groups, &[0.7, 0.2, 0.1], &streams(3));
    let on = |side| sides.iter().filter(|at| **at == side).count();
    assert_eq!([on(0), on(1), on(2)], [7, 2, 1]);
}

#[test]
fn another_seed_is_another_split() {
    let groups: Vec<GroupCounts> = (0..12).map(|at| group(&at.to_string(), &[3], 20)).collect();
    let splits: Vec<Vec<usize>> = (0..4).map(|seed| stratify(&groups, &[0.5, 0.5], &streams(seed))).collect();
    assert!(splits[1..].iter().any(|split| *split != splits[0]));
}

#[test]
fn rare_classes_are_shared_out_better_than_by_chance() {
    // 54 photographs whose classes are about as rare and uneven as IDRiD's: the last is in a quarter of them.
    let mut draw = streams(1).stream("counts", 0, &[]);
    let mut some = |chance: f64, most: u64| if draw.chance(chance) { 1 + draw.below(most) } else { 0 };
    let groups: Vec<GroupCounts> = (0..54)
        .map(|at| {
            group(&format!("photograph {at}"), &[some(0.95, 60), some(0.9, 50), some(0.8, 60), some(0.26, 12)], 140)
        })
        .collect();
    let shares = [0.7, 0.15, 0.15];
    let (mut stratified, mut by_chance) = ([0.0; 4], [0.0; 4]);
    for seed in 0..20 {
        let streams = streams(seed);
        let ours = stratify(&groups, &shares, &streams);
        let mut order: Vec<usize> = (0..groups.len()).collect();
        streams.stream("plain", 0, &[]).shuffle(&mut order);
        let mut plain = vec![0; groups.len()];
        order[38..46].iter().for_each(|at| plain[*at] = 1);
        order[46..].iter().for_each(|at| plain[*at] = 2);
        for class in 0..4 {
            stratified[class] += deviation(&groups, &ours, &shares, class) / 20.0;
            by_chance[class] += deviation(&groups, &plain, &shares, class) / 20.0;
        }
    }
    assert!(stratified[3] < 0.5 * by_chance[3], "the rare class: {stratified:.4?}, by chance {by_chance:.4?}");
    let sum = |deviations: [f64; 4]| deviations.iter().sum::<f64>();
    assert!(sum(stratified) < 0.75 * sum(by_chance), "all classes: {stratified:.4?}, by chance {by_chance:.4?}");
}

fn groups() -> impl Strategy<Value = Vec<GroupCounts>> {
    let one = (prop::collection::vec(prop_oneof![3 => Just(0_u64), 1 => 1..30_u64], 3), 1..60_u64);
    prop::collection::vec(one, 1..40).prop_map(|drawn| {
        (0..).zip(drawn).map(|(at, (positives, patches))| group(&format!("group {at}"), &positives, patches)).collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_groups_does_not_matter(groups in groups(), seed in 0..4_u64) {
        let sides = stratify(&groups, &[0.6, 0.25, 0.15], &streams(seed));
        let mut order: Vec<usize> = (0..groups.len()).collect();
        streams(seed).stream("shuffle", 0, &[]).shuffle(&mut order);
        let shuffled: Vec<GroupCounts> = order.iter().map(|at| groups[*at].clone()).collect();
        let again = stratify(&shuffled, &[0.6, 0.25, 0.15], &streams(seed));
        let expected: Vec<usize> = order.iter().map(|at| sides[*at]).collect();
        prop_assert_eq!(again, expected);
    }

    #[test]
    fn a_side_without_a_share_stays_empty(groups in groups(), seed in 0..4_u64) {
        prop_assert!(!stratify(&groups, &[0.8, 0.0, 0.2], &streams(seed)).contains(&1));
    }
}

#[test]
fn with_many_groups_every_share_is_near_what_was_asked() {
    for seed in 0..5 {
        let mut draw = streams(seed).stream("many", 0, &[]);
        let groups: Vec<GroupCounts> = (0..300)
            .map(|at| {
                let positives = [1.0, 0.5, 0.1].map(|chance| if draw.chance(chance) { 1 + draw.below(20) } else { 0 });
                group(&format!("group {at}"), &positives, 50 + draw.below(20))
            })
            .collect();
        let shares = [0.7, 0.15, 0.15];
        let sides = stratify(&groups, &shares, &streams(seed));
        for class in 0..3 {
            // Groups are whole, so nothing finer than a group can be promised.
            let all: u64 = groups.iter().map(|group| group.positives[class]).sum();
            let one_group = 20.0 / all as f64;
            let far = deviation(&groups, &sides, &shares, class);
            assert!(far < one_group, "seed {seed} class {class}: {far:.4}, a group is up to {one_group:.4}");
        }
    }
}
