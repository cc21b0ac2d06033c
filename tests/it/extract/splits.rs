//! Photographs that are split before they are cut.

use std::collections::BTreeSet;

use macula::data::item;
use macula::data::png_image::{PixelFormat, png};
use macula::lang::value::Value;
use macula::stage::{Cell, Outcome, StageError, Table};
use macula::store::Tree;

use super::lab::Lab;

const SIDE: usize = 24;
const SETS: [&str; 3] = ["train", "valid", "test"];

/// Writes a photograph of its own colour; its lesions are one pixel of each class given.
fn write(lab: &Lab, name: &str, value: u8, classes: &[&str]) {
    let side = SIDE as u32;
    lab.write(&format!("photographs/{name}.png"), &png(&vec![value; SIDE * SIDE * 3], side, side, PixelFormat::Rgb));
    for class in ["ma", "he"] {
        let mut mask = vec![0; SIDE * SIDE];
        mask[30] = if classes.contains(&class) { 255 } else { 0 };
        lab.write(&format!("{class}/{name}.png"), &png(&mask, side, side, PixelFormat::Grey));
    }
}

/// Sixteen photographs of eight patients: HE in those of the first four, MA in all.
fn photographs(lab: &Lab) -> Tree {
    for at in 0..16_u8 {
        write(lab, &format!("p{}/{at:02}", at / 2), 60 + at, if at < 8 { &["ma", "he"] } else { &["ma"] });
    }
    let text = |text: &str| Value::Text(text.to_owned());
    let masks = [("MA", text("ma/*/*")), ("HE", text("he/*/*"))].map(|(class, pattern)| (class.to_owned(), pattern));
    let params = [
        ("photographs", text("photographs/*/*")),
        ("masks", Value::Map(masks.into())),
        ("patient", text("photographs/*/")),
    ];
    lab.folder(&params).unwrap().outputs["out"].clone()
}

fn split(lab: &Lab, from: &Tree, like: &[Tree], by: &str) -> Result<Outcome, StageError> {
    let from = std::slice::from_ref(from);
    let inputs = [("from", from), ("like", like)];
    let inputs = if like.is_empty() { &inputs[..1] } else { &inputs };
    let shares = [("train", 0.5), ("valid", 0.25), ("test", 0.25)].map(|(set, share)| (set, Value::Real(share)));
    lab.whole("split", inputs, &[&[("by", Value::Text(by.to_owned()))], shares.as_slice()].concat())
}

fn names(lab: &Lab, outcome: &Outcome) -> [BTreeSet<String>; 3] {
    SETS.map(|set| item::names(&outcome.outputs[set], &lab.objects).unwrap().into_iter().collect())
}

fn column(table: &Table, name: &str) -> Vec<i64> {
    let at = table.columns.iter().position(|column| column == name).unwrap();
    let count = |row: &Vec<Cell>| if let Cell::Int(count) = row[at] { count } else { panic!("{row:?}") };
    table.rows.iter().map(count).collect()
}

#[test]
fn patients_stay_together_and_classes_are_spread_by_photographs() {
    let lab = Lab::new();
    let from = photographs(&lab);
    let done = split(&lab, &from, &[], "patient").unwrap();
    let sets = names(&lab, &done);
    let all: BTreeSet<String> = item::names(&from, &lab.objects).unwrap().into_iter().collect();
    assert_eq!(sets.each_ref().map(BTreeSet::len), [8, 4, 4]);
    assert_eq!(sets.iter().flatten().cloned().collect::<BTreeSet<_>>(), all);
    let patient = |name: &String| name[name.len() - 2..].parse::<u32>().unwrap() / 2;
    for (at, set) in sets.iter().enumerate() {
        let patients: BTreeSet<u32> = set.iter().map(patient).collect();
        assert_eq!(patients.len() * 2, set.len(), "both photographs of each patient are in set {at}: {set:?}");
    }
    let [table, fractions] = done.summary.tables.as_slice() else { panic!("{:?}", done.summary.tables) };
    assert_eq!((table.title.as_str(), column(table, "photographs")), ("photographs", vec![8, 4, 4]));
    assert_eq!((column(table, "HE"), column(table, "MA")), (vec![4, 2, 2], vec![8, 4, 4]));
    assert!(
        table.columns.iter().chain(&fractions.columns).all(|column| column != "patches"),
        "{table:?} {fractions:?}"
    );
    assert!(done.summary.warnings.is_empty(), "{:?}", done.summary.warnings);
}

#[test]
fn photographs_keep_their_files_so_that_nothing_is_cut_again() {
    let lab = Lab::new();
    let from = photographs(&lab);
    let done = split(&lab, &from, &[], "patient").unwrap();
    let items = |set: &Tree| {
        let items = item::items(set, &lab.objects).unwrap();
        items.into_iter().map(|item| (item.name, item.tree.digest())).collect::<Vec<_>>()
    };
    let mut divided: Vec<_> = SETS.iter().flat_map(|set| items(&done.outputs[*set])).collect();
    divided.sort();
    assert_eq!(divided, items(&from));
    // Cut after or before the split, the patches of a set are the same.
    let params = [("size", Value::Int(8))];
    let patches = lab.extract(&from, &params).unwrap().outputs["out"].clone();
    let like = SETS.map(|set| done.outputs[set].clone());
    let after = split(&lab, &patches, &like, "patient").unwrap();
    for set in SETS {
        let before = lab.extract(&done.outputs[set], &params).unwrap().outputs["out"].clone();
        assert_eq!(before.digest(), after.outputs[set].digest(), "{set}");
    }
    // And photographs follow patches.
    let patches = SETS.map(|set| after.outputs[set].clone());
    let again = split(&lab, &from, &patches, "patient").unwrap();
    assert_eq!(names(&lab, &again), names(&lab, &done));
    assert!(again.summary.headline.ends_with("; each as in the split at `like`"), "{}", again.summary.headline);
}

#[test]
fn identical_photographs_and_classes_without_a_photograph_are_reported_as_for_patches() {
    let lab = Lab::new();
    for at in 0..4_u8 {
        write(&lab, &format!("{at}"), 60 + at / 2, &["ma"]);
    }
    let from = lab.folder(&[]).unwrap().outputs["out"].clone();
    let done = split(&lab, &from, &[], "image").unwrap();
    let sets = names(&lab, &done);
    assert!(sets.iter().all(|set| set.len() != 1 && set.len() != 3), "identical files stay together: {sets:?}");
    let texts: Vec<&str> = done.summary.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert!(texts.contains(&"the `train` split has no photograph with `HE`; no other split has any"), "{texts:?}");
    let none = photographs_of(&lab, &from, &BTreeSet::new());
    let error = split(&lab, &none, &[], "image").unwrap_err();
    assert!(error.has_code("no-patches") && error.to_string().contains("no photographs to split"), "{error}");
}

fn photographs_of(lab: &Lab, from: &Tree, names: &BTreeSet<&str>) -> Tree {
    macula::data::photograph_units::subset(from, names, &lab.objects).unwrap()
}
