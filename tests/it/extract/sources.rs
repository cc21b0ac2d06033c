//! `idrid`, `folder` and `weights` on small folders.

use macula::data::photographs::{Official, PhotographFacts, PhotographSet, WithoutMask};
use macula::lang::value::Value;
use macula::stage::{Outcome, StageError};

use super::lab::Lab;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn refused(result: Result<Outcome, StageError>) -> (String, String) {
    match result {
        Err(StageError::Input { code, text, .. }) => (code.to_owned(), text),
        other => panic!("it should be refused: {other:?}"),
    }
}

fn names(outcome: &Outcome) -> Vec<String> {
    outcome.outputs["out"].entries.keys().cloned().collect()
}

fn facts(lab: &Lab, outcome: &Outcome, name: &str) -> PhotographFacts {
    let bytes = lab.objects.read_in(&outcome.outputs["out"], &format!("{name}/facts.json")).unwrap().unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// A small official layout: 1 and 2 for training, 55 for testing, and unrelated files.
fn official(lab: &Lab, root: &str) {
    let files = [
        "1. Original Images/a. Training Set/IDRiD_01.jpg",
        "1. Original Images/A. training set/IDRiD_02.JPG",
        "1. Original Images/b. Testing Set/IDRiD_55.jpg",
        "2. All Segmentation Groundtruths/a. Training Set/1. Microaneurysms/IDRiD_01_MA.tif",
        "2. All Segmentation Groundtruths/a. Training Set/5. Optic Disc/IDRiD_01_OD.tif",
        "2. All Segmentation Groundtruths/a. Training Set/2. Haemorrhages/IDRiD_02_HE.tif",
        "2. All Segmentation Groundtruths/a. Training Set/3. Hard Exudates/IDRiD_02_EX.tif",
        "2. All Segmentation Groundtruths/b. Testing Set/4. Soft Exudates/IDRiD_55_SE.tif",
        "1. Original Images/a. Training Set/Thumbs.db",
    ];
    for file in files {
        lab.write(&format!("{root}/{file}"), file.as_bytes());
    }
}

fn idrid(lab: &Lab, root: &str, split: &str) -> Result<Outcome, StageError> {
    lab.source("idrid", &[("root", Value::Path(root.to_owned())), ("split", text(split))])
}

#[test]
fn the_official_tree_is_read_from_above_and_from_within() {
    let lab = Lab::new();
    official(&lab, "data/A. Segmentation");
    // Part B has folders of the same names.
    lab.write("data/B. Disease Grading/1. Original Images/a. Training Set/IDRiD_001.jpg", b"other");
    let above = idrid(&lab, "data", "all").unwrap();
    let within = idrid(&lab, "data/A. Segmentation", "all").unwrap();
    assert_eq!(above.outputs, within.outputs, "the spelling of the path does not count");
    assert_eq!(
        names(&above),
        [
            "IDRiD_01/facts.json",
            "IDRiD_01/mask.MA.tif",
            "IDRiD_01/photograph.jpg",
            "IDRiD_02/facts.json",
            "IDRiD_02/mask.EX.tif",
            "IDRiD_02/mask.HE.tif",
            "IDRiD_02/photograph.jpg",
            "IDRiD_55/facts.json",
            "IDRiD_55/mask.SE.tif",
            "IDRiD_55/photograph.jpg",
            "set.json",
        ]
    );
    assert_eq!(facts(&lab, &above, "IDRiD_02").official, Some(Official::Train));
    assert_eq!(facts(&lab, &above, "IDRiD_55").official, Some(Official::Test));
    assert_eq!(facts(&lab, &above, "IDRiD_55").without_mask, [WithoutMask::Absent; 4]);
    assert_eq!(idrid(&lab, "data", "test").unwrap().outputs["out"].entries.len(), 4);
    assert_eq!(idrid(&lab, "data", "train").unwrap().outputs["out"].entries.len(), 8);
}

#[test]
fn a_class_of_idrid_without_a_single_mask_is_refused() {
    let lab = Lab::new();
    let photographs = "data/1. Original Images/a. Training Set";
    let masks = "data/2. All Segmentation Groundtruths/a. Training Set";
    lab.write(&format!("{photographs}/IDRiD_01.jpg"), b"one");
    for (folder, name) in [("1. Microaneurysms", "01_MA"), ("2. Haemorrhages", "01_HE"), ("3. Hard Exudates", "01_EX")]
    {
        lab.write(&format!("{masks}/{folder}/IDRiD_{name}.tif"), name.as_bytes());
    }
    let (code, text) = refused(idrid(&lab, "data", "all"));
    assert_eq!(code, "no-mask-fits");
    assert!(text.contains("no masks of SE"), "{text}");
    lab.write(&format!("{masks}/4. Soft Exudates/IDRiD_01.tif"), b"misnamed");
    let (code, text) = refused(idrid(&lab, "data", "all"));
    assert_eq!(code, "no-mask-fits");
    assert!(text.contains("4. Soft Exudates/IDRiD_01.tif"), "{text}");
    lab.write(&format!("{masks}/4. Soft Exudates/IDRiD_01_SE.tif"), b"named");
    assert_eq!(idrid(&lab, "data", "all").unwrap().outputs["out"].entries.len(), 7);
}

#[test]
fn a_photograph_of_idrid_without_any_mask_is_refused() {
    let lab = Lab::new();
    official(&lab, "data");
    lab.write("data/1. Original Images/a. Training Set/IDRiD_03.jpg", b"three");
    let (code, text) = refused(idrid(&lab, "data", "all"));
    assert_eq!(code, "photograph-without-mask");
    assert!(text.contains("a. Training Set/IDRiD_03.jpg"), "{text}");
    let (code, text) = refused(idrid(&lab, "elsewhere", "all"));
    assert_eq!(code, "no-photographs");
    assert!(text.contains("elsewhere"), "{text}");
}

#[test]
fn a_folder_is_read_by_its_patterns() {
    let lab = Lab::new();
    for file in ["photographs/a.jpg", "photographs/B.JPG", "photographs/Thumbs.db", "ma/a.png", "ma/b.tif", "he/a.png"]
    {
        lab.write(file, file.as_bytes());
    }
    let outcome = lab.folder(&[("absent-mask", text("unknown")), ("mask-from", Value::Int(128))]).unwrap();
    let set: PhotographSet =
        serde_json::from_slice(&lab.objects.read_in(&outcome.outputs["out"], "set.json").unwrap().unwrap()).unwrap();
    assert_eq!(set.classes, ["MA", "HE"], "the usual order, not that of the alphabet");
    assert_eq!(set.photographs, ["B", "a"]);
    assert_eq!(facts(&lab, &outcome, "a").mask_from, 128);
    assert_eq!(facts(&lab, &outcome, "a").without_mask, [WithoutMask::Unknown; 2]);
    assert_eq!(outcome.summary.headline, "2 photographs with 3 lesion masks; 1 non-image file ignored");
    let codes: Vec<_> = outcome.summary.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, [""; 0], "`ma/b.tif` is the mask of `photographs/B.JPG`: case does not count");
}

#[test]
fn what_is_odd_in_a_folder_is_refused_by_name() {
    let lab = Lab::new();
    assert_eq!(refused(lab.folder(&[])).0, "no-photographs");
    lab.write("photographs/a.jpg", b"a");
    lab.write("ma/a.png", b"m");
    let (code, text) = refused(lab.folder(&[]));
    assert_eq!(code, "no-mask-fits");
    assert!(text.contains("`HE`"), "{text}");
    lab.write("he/a.png", b"m");
    assert!(lab.folder(&[]).is_ok());
    lab.write("photographs/b.jpg", b"b");
    let (code, text) = refused(lab.folder(&[("absent-mask", self::text("error"))]));
    assert_eq!(code, "photograph-without-mask");
    assert!(text.contains("photographs/b.jpg") && text.contains("`MA`"), "{text}");
    lab.write("ma/a.tif", b"m");
    let (code, text) = refused(lab.folder(&[]));
    assert_eq!(code, "duplicate-mask");
    assert!(text.contains("ma/a.png") && text.contains("ma/a.tif"), "{text}");
    lab.write("photographs/a.png", b"a");
    assert_eq!(refused(lab.folder(&[])).0, "duplicate-photograph");
    let bad = Value::Map([("x".to_owned(), self::text("ma/*"))].into());
    assert_eq!(refused(lab.folder(&[("masks", bad)])).0, "class-name");
    assert_eq!(refused(lab.folder(&[("photographs", self::text("photographs"))])).0, "pattern");
}

#[test]
fn patients_follow_from_paths() {
    let lab = Lab::new();
    for file in ["eyes/p1/a.jpg", "eyes/p2/b.jpg", "ma/a.png", "he/b.png"] {
        lab.write(file, file.as_bytes());
    }
    let patterns = [("photographs", text("eyes/*/*")), ("patient", text("eyes/*/"))];
    let outcome = lab.folder(&patterns).unwrap();
    assert_eq!(facts(&lab, &outcome, "b").patient.as_deref(), Some("p2"));
    let patterns = [("photographs", text("eyes/*/*")), ("patient", text("other/*/"))];
    let (code, text) = refused(lab.folder(&patterns));
    assert_eq!(code, "no-patient");
    assert!(text.contains("eyes/p1/a.jpg"), "{text}");
}

#[test]
fn weights_are_looked_at_before_they_are_taken() {
    let lab = Lab::new();
    let weights = |bytes: &[u8]| {
        lab.write("weights.bin", bytes);
        lab.source("weights", &[("file", Value::Path("weights.bin".to_owned()))])
    };
    let head = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  "#;
    let whole = [(head.len() as u64).to_le_bytes().as_slice(), head, &[0; 8]].concat();
    let outcome = weights(&whole).unwrap();
    assert_eq!(names(&outcome), ["weights.safetensors"]);
    assert_eq!(outcome.summary.headline, "1 tensor");
    for length in [20, whole.len() - 1] {
        let (code, text) = refused(weights(&whole[..length]));
        assert_eq!(code, "damaged-weights");
        assert!(text.contains("weights.bin") && text.contains("truncated"), "{text}");
    }
    assert!(refused(weights(b"PK\x03\x04abcdefgh")).1.contains("truncated"));
    assert!(refused(weights(b"\x80\x02\x8a\x0al\xfc\x9c\x46")).1.contains("before 1.6"));
    assert!(refused(weights(b"hello, world")).1.contains("neither a safetensors file"));
    let pth = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/pth");
    let torch = |name: &str| weights(&std::fs::read(pth.join(name)).unwrap()).unwrap();
    let outcome = torch("key-my_own_key.pth");
    assert_eq!(outcome.summary.headline, "2 tensors of `my_own_key`");
    // Files of which the first reader took the same tensors keep the name that is in keys.
    assert_eq!(names(&outcome), ["weights-2.pth"]);
    for name in ["f16", "protocol-4", "metadata", "prefix-module", "packed"] {
        assert_eq!(names(&torch(&format!("{name}.pth"))), ["weights.pth"], "{name}");
    }
    for name in ["not-one-float8", "prefix-backbone", "key-nested"] {
        assert_eq!(names(&torch(&format!("{name}.pth"))), ["weights-2.pth"], "{name}");
    }
}
