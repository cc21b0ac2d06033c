//! Assignment of photographs to splits.

use std::collections::BTreeSet;

use macula::base::Digest;
use macula::data::patches::{Part, PatchSet};
use macula::data::photographs::Official;
use macula::data::split::{SplitUnit, drawn, folded, official, subset, sum_to_one, units};
use macula::data::split_names::named;
use macula::stage::StageError;
use proptest::prelude::*;

use super::sets::{part, set, streams};

const SHARES: [f64; 3] = [0.6, 0.2, 0.2];

fn of_patient(patient: &str, part: Part) -> Part {
    Part { patient: Some(patient.to_owned()), ..part }
}

fn on_side(side: Official, part: Part) -> Part {
    Part { official: Some(side), ..part }
}

fn sides(set: &PatchSet, unit: SplitUnit, seed: u64) -> Vec<usize> {
    let all: Vec<usize> = (0..set.parts.len()).collect();
    let mut sides = vec![usize::MAX; all.len()];
    for (at, side) in drawn(set, unit, &all, &SHARES, &streams(seed)) {
        sides[at] = side;
    }
    sides
}

fn text_of(error: &StageError) -> (&'static str, String, Option<&str>) {
    match error {
        StageError::Input { code, text, field, .. } => (code, text.clone(), field.as_deref()),
        other => panic!("expected an input error, got {other}"),
    }
}

#[test]
fn photographs_of_a_patient_and_copies_of_a_photograph_are_one_unit() {
    let copy = Part { digest: Digest::of(b"c"), ..part("copy of c", "0000") };
    let parts = vec![
        of_patient("P1", part("a", "1000")),
        of_patient("P2", part("b", "0000")),
        part("c", "0000"),
        copy,
        of_patient("P1", part("e", "0001")),
    ];
    let set = set(parts);
    let together = |unit| units(&set, unit).into_iter().map(|unit| unit.parts).collect::<Vec<_>>();
    assert_eq!(together(SplitUnit::Patient), [vec![0, 4], vec![1], vec![2, 3]]);
    assert_eq!(together(SplitUnit::Photograph), [vec![0], vec![1], vec![2, 3], vec![4]]);
}

#[test]
fn patients_who_share_a_photograph_are_one_unit() {
    let same = |name: &str| Part { digest: Digest::of(b"same"), ..part(name, "1000") };
    let set = set(vec![of_patient("P1", same("a")), of_patient("P2", same("b")), of_patient("P2", part("c", "0000"))]);
    assert_eq!(units(&set, SplitUnit::Patient).len(), 1);
}

#[test]
fn the_official_training_side_is_shared_out_where_there_is_no_validation_side() {
    let mut parts: Vec<Part> =
        (0..20).map(|at| on_side(Official::Train, part(&format!("a{at:02}"), "1000 0000*3"))).collect();
    parts.extend((0..5).map(|at| on_side(Official::Test, part(&format!("b{at}"), "1000 0000*3"))));
    let set = set(parts);
    // 0.6 and 0.2 of the training side are three quarters and one quarter of it: 15 and 5.
    let sides = official(&set, SplitUnit::Patient, SHARES, &streams(1)).unwrap();
    let on = |side| sides.iter().filter(|at| **at == side).count();
    assert_eq!([on(0), on(1), on(2)], [15, 5, 5]);
    assert!(sides[20..].iter().all(|side| *side == 2));
}

#[test]
fn official_sides_are_taken_as_they_are_and_a_photograph_without_one_is_an_error() {
    let mut parts = vec![
        on_side(Official::Valid, part("a", "1000")),
        on_side(Official::Train, part("b", "1000")),
        on_side(Official::Test, part("c", "1000")),
    ];
    assert_eq!(official(&set(parts.clone()), SplitUnit::Patient, SHARES, &streams(1)).unwrap(), [1, 0, 2]);
    parts.push(part("d", "0000"));
    let error = official(&set(parts), SplitUnit::Patient, SHARES, &streams(1)).unwrap_err();
    assert_eq!(text_of(&error), ("official-side", "photograph `d` is not in the official split".into(), Some("by")));
}

#[test]
fn shares_that_do_not_sum_to_one_are_an_error_with_all_three_fields() {
    assert!(sum_to_one([0.7, 0.15, 0.15]).is_ok() && sum_to_one([0.1, 0.2, 0.7]).is_ok());
    let error = sum_to_one([0.8, 0.2, 0.15]).unwrap_err();
    let expected = "`train` 0.8, `valid` 0.2 and `test` 0.15 sum to 1.15, not 1";
    assert_eq!(text_of(&error), ("shares", expected.into(), Some("test")));
    let StageError::Input { hint, .. } = error else { unreachable!("it is an input error") };
    assert_eq!(hint.as_deref(), Some("write e.g. `test 0.0`"));
}

fn patterns(train: &[&str], valid: &[&str], test: &[&str]) -> [Vec<String>; 3] {
    [train, valid, test].map(|side| side.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn names_put_photographs_and_patients_on_sides_and_the_rest_trains() {
    let mut parts: Vec<Part> = (1..=8).map(|at| part(&format!("IDRiD_{at:02}"), "0000")).collect();
    parts.push(of_patient("Smith", part("x", "0000")));
    let set = set(parts);
    let sides = named(&set, &patterns(&[], &["IDRiD_03..IDRiD_04"], &["IDRiD_08", "Sm*"])).unwrap();
    assert_eq!(sides, [0, 0, 1, 1, 0, 0, 0, 2, 2]);
}

#[test]
fn names_that_match_nothing_or_twice_or_leave_one_over_are_errors() {
    let set = set(vec![part("a1", "0000"), part("a2", "0000")]);
    let fails = |patterns: [Vec<String>; 3]| {
        let error = named(&set, &patterns).unwrap_err();
        let (code, text, field) = text_of(&error);
        (code, text, field.map(str::to_owned))
    };
    let (_, text, field) = fails(patterns(&["a*"], &["b1"], &[]));
    assert_eq!((text.as_str(), field.as_deref()), ("`b1` matches no photograph or patient", Some("names.valid")));
    let (_, text, _) = fails(patterns(&["a*"], &[], &["a2"]));
    assert_eq!(text, "photograph `a2` matches `a*` of `train` and `a2` of `test`");
    let (_, text, _) = fails(patterns(&["a1"], &[], &[]));
    assert_eq!(text, "photograph `a2` is not assigned to any split");
}

fn photographs() -> impl Strategy<Value = PatchSet> {
    let label = prop::sample::select(vec!["0000", "0000", "0000", "1000", "0100", "0010", "0001", "1100", "00?0"]);
    let photograph = (prop::collection::vec(label, 0..12), prop::option::of(0..6_u8));
    prop::collection::vec(photograph, 1..24).prop_map(|drawn| {
        let parts = (0..).zip(drawn).map(|(at, (labels, patient))| Part {
            patient: patient.map(|patient| format!("patient {patient}")),
            ..part(&format!("photograph {at:02}"), &labels.join(" "))
        });
        set(parts.collect())
    })
}

proptest! {
    #[test]
    fn sides_are_disjoint_and_complete_and_patients_are_not_split(set in photographs(), seed in 0..3_u64) {
        let sides = sides(&set, SplitUnit::Patient, seed);
        prop_assert!(sides.iter().all(|side| *side < 3));
        let split = [0, 1, 2].map(|side| subset(&set, &sides, side));
        prop_assert_eq!(split.iter().map(|side| side.parts.len()).sum::<usize>(), set.parts.len());
        prop_assert_eq!(split.iter().map(PatchSet::len).sum::<u64>(), set.len());
        let patients = |side: usize| split[side].parts.iter().filter_map(|part| part.patient.clone()).collect::<BTreeSet<_>>();
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            prop_assert!(patients(a).is_disjoint(&patients(b)));
        }
    }

    #[test]
    fn the_order_of_photographs_does_not_matter(set in photographs(), seed in 0..3_u64) {
        let before = sides(&set, SplitUnit::Patient, seed);
        let mut reversed = set.clone();
        reversed.parts.reverse();
        let mut after = sides(&reversed, SplitUnit::Patient, seed);
        after.reverse();
        prop_assert_eq!(before, after);
    }
}

#[test]
fn every_photograph_is_on_the_test_side_of_one_fold_and_patients_are_not_split() {
    let parts: Vec<Part> = (0..23)
        .map(|at| {
            of_patient(
                &format!("P{}", at / 2),
                part(&format!("a{at:02}"), if at % 3 == 0 { "1000 0000" } else { "0000*2" }),
            )
        })
        .collect();
    let set = set(parts);
    let mut tested = vec![0; set.parts.len()];
    for fold in 0..4 {
        let sides = folded(&set, SplitUnit::Patient, (fold, 4), [0.75, 0.25, 0.0], &streams(3)).unwrap();
        for (at, side) in sides.iter().enumerate() {
            tested[at] += usize::from(*side == 2);
            let same = sides[at ^ 1..].first().filter(|_| (at ^ 1) < sides.len());
            assert!(same.is_none_or(|same| same == side), "a patient on two sides of fold {fold}: {sides:?}");
        }
        let positives =
            |wanted: usize| (0..sides.len()).filter(|at| sides[*at] == wanted && at.is_multiple_of(3)).count();
        assert!(positives(2) >= 1 && positives(1) >= 1 && positives(0) >= 3, "fold {fold}: {sides:?}");
    }
    assert_eq!(tested, vec![1; 23]);
    let none = folded(&set, SplitUnit::Patient, (0, 4), [0.0, 0.0, 1.0], &streams(3)).unwrap_err();
    assert_eq!(text_of(&none).0, "shares");
}
