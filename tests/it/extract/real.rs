//! `IDRiD` photographs, if available: counts computed independently by `tests/expected/patch_counts.py`.
//!
//! Four photographs here, with two or more lesions, with all four, with two absent; all 54 in `tests/bench/extract.sh`.

use macula::data::mask::{Mask, MaskContent, Threshold};
use macula::lang::value::Value;
use macula::stage::{Cell, Outcome};
use macula::store::Tree;

use super::lab::{Lab, real_data};

/// Photograph; number of patches, healthy ones, black ones of those, positives of MA, HE, EX, SE, then mask pixels of each.
const NATIVE: [(&str, [i64; 11]); 2] = [
    ("IDRiD_19", [726, 624, 199, 35, 46, 19, 28, 6092, 62604, 17431, 81903]),
    ("IDRiD_40", [726, 666, 199, 42, 3, 19, 0, 6592, 3642, 7779, 0]),
];
const HALF: [(&str, [i64; 11]); 2] = [
    ("IDRiD_03", [176, 78, 37, 43, 55, 77, 1, 11288, 162_228, 301_586, 3318]),
    ("IDRiD_54", [176, 112, 38, 45, 24, 12, 8, 24011, 38734, 9450, 29481]),
];

/// `IDRiD` reduced to one photograph.
fn only(all: &Tree, name: &str, lab: &Lab) -> Tree {
    let mut tree = Tree::default();
    for (file, entry) in all.under(&format!("{name}/")) {
        tree.insert(format!("{name}/{file}"), *entry);
    }
    let set = format!(r#"{{"classes":["MA","HE","EX","SE"],"photographs":["{name}"]}}"#);
    tree.insert("set.json", lab.objects.put(set.as_bytes()).unwrap());
    tree
}

fn counts(outcome: &Outcome) -> Vec<i64> {
    let [patches, lesions] = outcome.summary.tables.as_slice() else { panic!("two tables") };
    let int = |cell: &Cell| if let Cell::Int(value) = cell { *value } else { panic!("{cell:?} is no count") };
    let mut counts = vec![int(&patches.rows[0][1]), int(&patches.rows[1][1]), int(&patches.rows[1][2])];
    counts.extend(lesions.rows.iter().map(|row| int(&row[1])));
    counts.extend(lesions.rows.iter().map(|row| int(&row[5])));
    counts
}

#[test]
fn the_counts_of_real_photographs_are_those_computed_in_python() {
    let Some(data) = real_data() else { return };
    let lab = Lab::new();
    let root = Value::Path(data.join("idrid").display().to_string());
    let all = lab.source("idrid", &[("root", root), ("split", Value::Text("all".to_owned()))]).unwrap();
    let all = &all.outputs["out"];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (name, expected) in NATIVE {
                let cut = lab.extract(&only(all, name, &lab), &[]).unwrap();
                assert_eq!(counts(&cut), expected, "{name} as released");
            }
        });
        for (name, expected) in HALF {
            let half = lab.preprocess(&only(all, name, &lab), &[("shrink", Value::Int(2))]).unwrap();
            let cut = lab.extract(&half.outputs["out"], &[]).unwrap();
            assert_eq!(counts(&cut), expected, "{name} at half scale");
        }
    });
}

#[test]
fn masks_as_released_are_the_re_encoded_ones() {
    let Some(data) = real_data() else { return };
    let folder = data.join("idrid/as-released");
    let mut compared = 0;
    for file in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let lesion = ["1. Microaneurysms", "2. Haemorrhages", "3. Hard Exudates", "4. Soft Exudates", "5. Optic Disc"]
            .into_iter()
            .map(|folder| {
                let tree = "idrid/A. Segmentation/2. All Segmentation Groundtruths/a. Training Set";
                data.join(tree).join(folder).join(format!("{name}.tif"))
            })
            .find(|path| path.exists());
        let read = |path| Mask::read(&std::fs::read(path).unwrap(), MaskContent::Lesion(Threshold::Automatic)).unwrap();
        assert_eq!(read(file), read(lesion.unwrap()), "{name}");
        compared += 1;
    }
    assert!(compared > 0, "no mask in {}", folder.display());
}
