//! `ddr`: any value is lesion, the official split is kept, and what an incomplete download looks like.

use macula::data::patches::PatchSet;
use macula::data::photographs::Official;
use macula::lang::value::Value;
use macula::stage::{Cell, Outcome, StageError};

use super::{facts, jpeg, labels, of, png_mask, says, set, text, tiff_mask, warned};
use crate::extract::lab::Lab;

fn ddr(lab: &Lab, root: &str, split: &str) -> Result<Outcome, StageError> {
    lab.source("ddr", &[("root", Value::Path(root.to_owned())), ("split", text(split))])
}

/// The release of DDR with one photograph in each set, and grades, boxes and lists next to it. MA of the training photograph has
/// value 1, SE of the test photograph 255.
fn ddr_tree(lab: &Lab, root: &str) {
    for (set, name, labels) in [
        ("train", "007-1774-100", "label"),
        ("valid", "007-2846-100", "segmentation label"),
        ("test", "007-3036-300", "label"),
    ] {
        lab.write(&format!("{root}/lesion_segmentation/{set}/image/{name}.jpg"), &jpeg(name));
        for class in ["MA", "HE", "EX", "SE"] {
            let values: &[u8] = match (set, class) {
                ("train", "MA") => &[1],
                ("valid", "EX") => &[9, 128],
                ("test", "SE") => &[255],
                _ => &[],
            };
            let file = format!("{root}/lesion_segmentation/{set}/{labels}/{class}/{name}.tif");
            lab.write(&file, &tiff_mask(values));
        }
        lab.write(&format!("{root}/DR_grading/{set}/{name}.jpg"), b"a grade's photograph");
        lab.write(&format!("{root}/lesion_detection/{set}/{name}.xml"), b"<annotation/>");
    }
    lab.write(&format!("{root}/DR_grading/train.txt"), b"007-1774-100.jpg 2");
    lab.write(&format!("{root}/lesion_segmentation/train/image/Thumbs.db"), b"");
}

#[test]
fn ddr_is_read_from_its_folder_from_above_and_from_within() {
    let lab = Lab::new();
    ddr_tree(&lab, "data/DDR-dataset");
    let outcome = ddr(&lab, "data/DDR-dataset", "all").unwrap();
    assert_eq!(outcome.outputs, ddr(&lab, "data", "all").unwrap().outputs);
    assert_eq!(outcome.outputs, ddr(&lab, "data/DDR-dataset/lesion_segmentation", "all").unwrap().outputs);
    assert_eq!(outcome.summary.headline, "3 photographs with 12 lesion masks");
    assert_eq!(warned(&outcome), [""; 0]);
    assert_eq!(set(&lab, &outcome).classes, ["MA", "HE", "EX", "SE"]);
    let table = outcome.summary.tables.iter().find(|table| table.title == "unused files").unwrap();
    assert_eq!(table.rows[0][..2], [Cell::Text("not an image".into()), Cell::Int(1)]);
}

#[test]
fn any_pixel_of_ddr_but_zero_is_lesion_and_no_label_is_unknown() {
    let lab = Lab::new();
    ddr_tree(&lab, "ddr");
    let outcome = ddr(&lab, "ddr", "all").unwrap();
    let expected = of(&[("007-1774-100", "1000"), ("007-2846-100", "0010"), ("007-3036-300", "0001")]);
    assert_eq!(labels(&lab, &outcome), expected);
    let cut = lab.extract(&outcome.outputs["out"], &[("size", Value::Int(16))]).unwrap();
    let parts = PatchSet::read(&cut.outputs["out"], &lab.objects).unwrap().parts;
    let valid = parts.iter().find(|part| part.photograph == "007-2846-100").unwrap();
    assert_eq!(valid.rows[0].mask_pixels[2], 2, "9 counts as well as 128");
}

#[test]
fn the_official_split_of_ddr_is_kept() {
    let lab = Lab::new();
    ddr_tree(&lab, "ddr");
    let all = ddr(&lab, "ddr", "all").unwrap();
    for (name, official, split) in [
        ("007-1774-100", Official::Train, "train"),
        ("007-2846-100", Official::Valid, "valid"),
        ("007-3036-300", Official::Test, "test"),
    ] {
        assert_eq!(facts(&lab, &all, name).official, Some(official));
        assert_eq!(facts(&lab, &all, name).patient, None);
        let one = ddr(&lab, "ddr", split).unwrap();
        assert_eq!(set(&lab, &one).photographs, [name]);
    }
}

#[test]
fn masks_of_the_validation_set_may_be_in_a_folder_named_as_in_the_other_sets() {
    let lab = Lab::new();
    ddr_tree(&lab, "ddr");
    let valid = lab.path("ddr/lesion_segmentation/valid");
    let before = ddr(&lab, "ddr", "all").unwrap();
    std::fs::rename(valid.join("segmentation label"), valid.join("label")).unwrap();
    assert_eq!(ddr(&lab, "ddr", "all").unwrap().outputs, before.outputs);
}

#[test]
fn names_in_two_sets_of_ddr_differ_whatever_set_is_read() {
    let lab = Lab::new();
    ddr_tree(&lab, "ddr");
    let test = "ddr/lesion_segmentation/test";
    lab.write(&format!("{test}/image/007-1774-100.JPG"), &jpeg("another"));
    for class in ["MA", "HE", "EX", "SE"] {
        lab.write(&format!("{test}/label/{class}/007-1774-100.tif"), &tiff_mask(&[]));
    }
    let all = ddr(&lab, "ddr", "all").unwrap();
    let expected = ["007-2846-100", "007-3036-300", "test_007-1774-100", "train_007-1774-100"];
    assert_eq!(set(&lab, &all).photographs, expected);
    assert_eq!(labels(&lab, &all)["train_007-1774-100"], "1000");
    assert_eq!(labels(&lab, &all)["test_007-1774-100"], "0000");
    assert_eq!(set(&lab, &ddr(&lab, "ddr", "train").unwrap()).photographs, ["train_007-1774-100"]);
}

#[test]
fn an_incomplete_download_of_ddr_is_an_error() {
    let lab = Lab::new();
    ddr_tree(&lab, "ddr");
    let folder = lab.path("ddr/lesion_segmentation");
    let mask = folder.join("train/label/SE/007-1774-100.tif");
    // A whole folder.
    std::fs::remove_file(&mask).unwrap();
    let found = [
        "no masks of SE",
        "`train/label/SE`",
        "`EX`, `HE`, `MA`",
        "four masks for each photograph",
        "download is complete",
    ];
    says(ddr(&lab, "ddr", "all"), "no-mask-fits", &found);
    assert!(ddr(&lab, "ddr", "test").is_ok(), "the other sets are complete");
    // A single mask.
    lab.write("ddr/lesion_segmentation/train/image/007-9-1.jpg", &jpeg("more"));
    for class in ["MA", "HE", "EX", "SE"] {
        lab.write(&format!("ddr/lesion_segmentation/train/label/{class}/007-9-1.tif"), &tiff_mask(&[]));
    }
    let found = ["train/image/007-1774-100.jpg", "no mask of SE", "`train/label/SE/007-1774-100.tif` is missing"];
    says(ddr(&lab, "ddr", "all"), "photograph-without-mask", &found);
    std::fs::remove_file(folder.join("train/label/EX/007-9-1.tif")).unwrap();
    says(ddr(&lab, "ddr", "all"), "photograph-without-mask", &["1 more mask is missing"]);
    lab.write("ddr/lesion_segmentation/train/label/EX/007-9-1.tif", &tiff_mask(&[]));
    // A mask that is there under another name, in another format, or in part.
    for (file, hint) in [
        ("007-1774-100 (1).tif", "rename it to match `007-1774-100.tif`"),
        ("007-1774-100.bmp", "save it as PNG or TIFF"),
        ("007-1774-100.jpg", "JPEG blurs"),
        ("007-1774-100.tif.part", "finish the download"),
        ("Unconfirmed 4711.crdownload", "finish the download"),
        ("old/007-1774-100.tif", "rename it"),
    ] {
        let path = format!("ddr/lesion_segmentation/train/label/SE/{file}");
        lab.write(&path, &tiff_mask(&[]));
        says(ddr(&lab, "ddr", "all"), "unused-file", &[&format!("SE/{file}`"), "no mask of SE", hint]);
        std::fs::remove_file(lab.path(&path)).unwrap();
    }
    std::fs::write(mask, tiff_mask(&[])).unwrap();
    assert!(ddr(&lab, "ddr", "all").is_ok());
    // A set of the split.
    std::fs::remove_dir_all(folder.join("valid/image")).unwrap();
    for split in ["all", "valid"] {
        let found = ["official set `valid`", "`valid/image` is missing", "`split train`"];
        says(ddr(&lab, "ddr", split), "no-photographs", &found);
    }
    assert!(ddr(&lab, "ddr", "test").is_ok());
}

#[test]
fn files_of_ddr_without_a_role_are_warned_of() {
    let lab = Lab::new();
    ddr_tree(&lab, "ddr");
    lab.write("ddr/lesion_segmentation/train/label/MA/007-5-5.tif", &tiff_mask(&[]));
    lab.write("ddr/lesion_segmentation/train/label/MA/007-1774-100 (1).tif", &tiff_mask(&[]));
    lab.write("ddr/lesion_segmentation/train/image/007-1774-100.bmp", b"BM");
    lab.write("ddr/lesion_segmentation/test/label/OD/007-3036-300.tif", &tiff_mask(&[]));
    let outcome = ddr(&lab, "ddr", "all").unwrap();
    assert_eq!(warned(&outcome), ["unmatched-mask", "unused-file", "unused-file"]);
    let texts: Vec<&str> = outcome.summary.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert!(texts[0].starts_with("2 masks of `MA` without a photograph"), "{texts:?}");
    assert!(texts[1].contains("a folder of photographs") && texts[1].contains("007-1774-100.bmp"), "{texts:?}");
    assert!(texts[2].contains("a folder of masks") && texts[2].contains("OD/007-3036-300.tif"), "{texts:?}");
}

#[test]
fn two_files_of_one_photograph_or_mask_are_an_error() {
    let lab = Lab::new();
    ddr_tree(&lab, "ddr");
    lab.write("ddr/lesion_segmentation/train/label/MA/007-1774-100.png", &png_mask(&[]));
    says(ddr(&lab, "ddr", "all"), "duplicate-mask", &["007-1774-100.png", "007-1774-100.tif"]);
    std::fs::remove_file(lab.path("ddr/lesion_segmentation/train/label/MA/007-1774-100.png")).unwrap();
    lab.write("ddr/lesion_segmentation/train/image/007-1774-100.PNG", b"another");
    says(ddr(&lab, "ddr", "all"), "duplicate-photograph", &["007-1774-100.PNG", "007-1774-100.jpg"]);
    // Two copies of the data set.
    let lab = Lab::new();
    ddr_tree(&lab, "data/DDR");
    ddr_tree(&lab, "data/DDR copy");
    says(ddr(&lab, "data", "all"), "duplicate-photograph", &["DDR/lesion", "DDR copy/lesion"]);
}

#[test]
fn pointers_of_git_lfs_are_an_error() {
    let lab = Lab::new();
    ddr_tree(&lab, "ddr");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
    lab.write("ddr/lesion_segmentation/test/label/HE/007-3036-300.tif", pointer);
    says(ddr(&lab, "ddr", "all"), "content-elsewhere", &["007-3036-300.tif", "git lfs pull"]);
}

#[test]
fn a_wrong_root_of_ddr_is_an_error_with_the_right_one() {
    let lab = Lab::new();
    ddr_tree(&lab, "a/b/c/DDR-dataset");
    let expected = "`root` is the folder that holds `lesion_segmentation`";
    says(ddr(&lab, "a", "all"), "no-photographs", &[expected, "did you mean `root \"a/b/c/DDR-dataset\"`?"]);
    let set = "a/b/c/DDR-dataset/lesion_segmentation/train";
    says(ddr(&lab, set, "all"), "no-photographs", &[expected, "name the folder two levels above"]);
    let grades = "a/b/c/DDR-dataset/DR_grading";
    says(ddr(&lab, grades, "all"), "no-photographs", &[expected, "found the folders `test`, `train` and `valid`"]);
    lab.write("zip/DDR-dataset.zip.001", b"PK");
    says(ddr(&lab, "zip", "all"), "no-photographs", &["found the archive `DDR-dataset.zip.001`: unpack it first"]);
    says(ddr(&lab, "elsewhere", "all"), "no-photographs", &["elsewhere", "the folder has no files"]);
}
