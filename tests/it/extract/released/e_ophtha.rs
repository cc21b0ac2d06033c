//! `e-ophtha`: one known class per half, photographs in both halves, and patients.

use macula::data::photographs::WithoutMask;
use macula::lang::value::Value;
use macula::stage::{Outcome, StageError};

use super::{facts, jpeg, labels, of, png_mask, says, set, text, warned};
use crate::extract::lab::Lab;

fn ophtha(lab: &Lab, root: &str, part: &str) -> Result<Outcome, StageError> {
    lab.source("e-ophtha", &[("root", Value::Path(root.to_owned())), ("part", text(part))])
}

/// The release of e-ophtha. `DS000DGS` is in both halves, with lesions of both; `DS000DGV` has exudates and is healthy in the other
/// half.
fn ophtha_tree(lab: &Lab, root: &str, spelled: &str) {
    let (ma, ex) = (format!("{root}/{spelled}_MA"), format!("{root}/{spelled}_EX"));
    for (file, name) in [
        (format!("{ma}/MA/E0000043/DS000DGS.JPG"), "both"),
        (format!("{ma}/healthy/E0000043/DS000DGV.jpg"), "half"),
        (format!("{ma}/healthy/E0000475/C0001629.jpg"), "healthy"),
        (format!("{ex}/EX/E0000043/DS000DGS.jpg"), "both"),
        (format!("{ex}/EX/E0000043/DS000DGV.JPG"), "half"),
        (format!("{ex}/healthy/E0000404/C0021833.jpg"), "other"),
    ] {
        lab.write(&file, &jpeg(name));
    }
    lab.write(&format!("{ma}/Annotation_MA/E0000043/DS000DGS.png"), &png_mask(&[255]));
    lab.write(&format!("{ex}/Annotation_EX/E0000043/DS000DGS_EX.png"), &png_mask(&[255]));
    lab.write(&format!("{ex}/Annotation_EX/E0000043/DS000DGV_EX.png"), &png_mask(&[255]));
    lab.write(&format!("{ma}/MA/E0000043/Thumbs.db"), b"");
}

#[test]
fn only_the_class_of_a_half_of_e_ophtha_is_known() {
    let lab = Lab::new();
    ophtha_tree(&lab, "e", "e_optha");
    let ma = ophtha(&lab, "e", "ma").unwrap();
    assert_eq!(labels(&lab, &ma), of(&[("C0001629", "0???"), ("DS000DGS", "1???"), ("DS000DGV", "0???")]));
    let ex = ophtha(&lab, "e", "ex").unwrap();
    assert_eq!(labels(&lab, &ex), of(&[("C0021833", "??0?"), ("DS000DGS", "??1?"), ("DS000DGV", "??1?")]));
    assert_eq!(set(&lab, &ma).classes, ["MA", "HE", "EX", "SE"]);
    assert_eq!(warned(&ma), [""; 0]);
}

#[test]
fn a_photograph_in_both_halves_of_e_ophtha_is_one_with_both_labels() {
    let lab = Lab::new();
    ophtha_tree(&lab, "e", "e_optha");
    let both = ophtha(&lab, "e", "both").unwrap();
    let expected = of(&[("C0001629", "0???"), ("C0021833", "??0?"), ("DS000DGS", "1?1?"), ("DS000DGV", "0?1?")]);
    assert_eq!(labels(&lab, &both), expected);
    assert_eq!(both.summary.headline, "4 photographs with 3 lesion masks; 2 in both halves");
    assert_eq!(warned(&both), [""; 0]);
    assert_eq!(facts(&lab, &both, "DS000DGS").patient.as_deref(), Some("E0000043"));
    assert_eq!(facts(&lab, &both, "C0001629").patient.as_deref(), Some("E0000475"));
    assert_eq!(facts(&lab, &both, "DS000DGS").official, None);
    let unknown = WithoutMask::Unknown;
    assert_eq!(facts(&lab, &both, "C0021833").without_mask, [unknown, unknown, WithoutMask::Absent, unknown]);
    // One half is enough, in either spelling, in a folder of its own name.
    std::fs::remove_dir_all(lab.path("e/e_optha_EX")).unwrap();
    assert_eq!(ophtha(&lab, "e", "both").unwrap().outputs, ophtha(&lab, "e", "ma").unwrap().outputs);
    ophtha_tree(&lab, "f/e_ophtha_MA", "e_ophtha");
    ophtha_tree(&lab, "g", "e-ophtha");
    std::fs::remove_dir_all(lab.path("f/e_ophtha_MA/e_ophtha_EX")).unwrap();
    std::fs::remove_dir_all(lab.path("g/e-ophtha_EX")).unwrap();
    assert_eq!(ophtha(&lab, "f", "both").unwrap().outputs, ophtha(&lab, "e", "both").unwrap().outputs);
    assert_eq!(ophtha(&lab, "g", "both").unwrap().outputs, ophtha(&lab, "e", "both").unwrap().outputs);
}

#[test]
fn identical_files_under_different_names_are_one_photograph_of_one_patient() {
    let lab = Lab::new();
    ophtha_tree(&lab, "e", "e_optha");
    lab.write("e/e_optha_EX/EX/E0000900/X1.jpg", &jpeg("healthy"));
    lab.write("e/e_optha_EX/Annotation_EX/E0000900/X1_EX.png", &png_mask(&[255]));
    lab.write("e/e_optha_EX/healthy/E0000900/X2.jpg", &jpeg("second of the patient"));
    let both = ophtha(&lab, "e", "both").unwrap();
    assert_eq!(labels(&lab, &both)["C0001629"], "0?1?");
    assert_eq!(facts(&lab, &both, "X2").patient.as_deref(), Some("E0000475"), "whose photograph it shares");
    assert_eq!(warned(&both), ["merged-photograph"]);
    let text = &both.summary.warnings[0].text;
    assert!(text.contains("healthy/E0000475/C0001629.jpg") && text.contains("EX/E0000900/X1.jpg"), "{text}");
    // Empty files are not one photograph.
    lab.write("e/e_optha_MA/healthy/E0000801/Y1.jpg", b"");
    lab.write("e/e_optha_EX/healthy/E0000802/Y2.jpg", b"");
    let both = ophtha(&lab, "e", "both").unwrap();
    assert_eq!(facts(&lab, &both, "Y2").patient.as_deref(), Some("E0000802"));
    // The same name with other content.
    let lab = Lab::new();
    ophtha_tree(&lab, "e", "e_optha");
    lab.write("e/e_optha_EX/EX/E0000043/DS000DGS.jpg", &jpeg("encoded again"));
    let both = ophtha(&lab, "e", "both").unwrap();
    assert_eq!(labels(&lab, &both)["DS000DGS"], "1?1?");
    assert_eq!(warned(&both), ["merged-photograph"]);
}

#[test]
fn photographs_of_two_patients_with_one_name_are_two() {
    let lab = Lab::new();
    ophtha_tree(&lab, "e", "e_optha");
    lab.write("e/e_optha_EX/healthy/E0000900/C0001629.jpg", &jpeg("another"));
    let both = ophtha(&lab, "e", "both").unwrap();
    let all = labels(&lab, &both);
    assert_eq!((all["E0000475_C0001629"].as_str(), all["E0000900_C0001629"].as_str()), ("0???", "??0?"));
    assert!(labels(&lab, &ophtha(&lab, "e", "ma").unwrap()).contains_key("E0000475_C0001629"));
}

#[test]
fn mistakes_with_e_ophtha_are_errors() {
    let lab = Lab::new();
    ophtha_tree(&lab, "a/b/c/d", "e_optha");
    let root = "a/b/c/d";
    says(ophtha(&lab, "a", "both"), "no-photographs", &["`e_optha_MA`, `e_optha_EX` or both", "`root \"a/b/c/d\"`?"]);
    says(
        ophtha(&lab, &format!("{root}/e_optha_MA"), "both"),
        "no-photographs",
        &["one half itself: name the folder above"],
    );
    std::fs::rename(lab.path(&format!("{root}/e_optha_EX")), lab.path("EX")).unwrap();
    let found = ["`root` is the folder that holds `e_optha_EX`", "found the folder `e_optha_MA`"];
    says(ophtha(&lab, root, "ex"), "no-photographs", &found);
    std::fs::rename(lab.path("EX"), lab.path(&format!("{root}/e_optha_EX"))).unwrap();
    // The suffix is part of the names in one half only.
    let masks = lab.path(&format!("{root}/e_optha_EX/Annotation_EX/E0000043"));
    std::fs::rename(masks.join("DS000DGS_EX.png"), masks.join("DS000DGS.png")).unwrap();
    let found = ["Annotation_EX/E0000043/DS000DGS.png", "no mask of EX", "rename it to match `DS000DGS_EX.png`"];
    says(ophtha(&lab, root, "both"), "unused-file", &found);
    assert!(ophtha(&lab, root, "ma").is_ok(), "the other half is complete");
    std::fs::remove_file(masks.join("DS000DGS.png")).unwrap();
    let found = ["EX/E0000043/DS000DGS.jpg", "`e_optha_EX/Annotation_EX/E0000043/DS000DGS_EX.png` is missing"];
    says(ophtha(&lab, root, "both"), "photograph-without-mask", &found);
    std::fs::remove_dir_all(lab.path(&format!("{root}/e_optha_EX/Annotation_EX"))).unwrap();
    let found = ["no masks of EX", "`e_optha_EX/Annotation_EX` is missing", "found the folders `EX`, `healthy`"];
    says(ophtha(&lab, root, "both"), "no-mask-fits", &found);
    // Only healthy photographs would have the lesion absent everywhere.
    std::fs::remove_dir_all(lab.path(&format!("{root}/e_optha_MA/Annotation_MA"))).unwrap();
    std::fs::remove_dir_all(lab.path(&format!("{root}/e_optha_MA/MA"))).unwrap();
    says(ophtha(&lab, root, "ma"), "no-mask-fits", &["no masks of MA"]);
}

#[test]
fn a_healthy_photograph_of_e_ophtha_with_a_mask_is_warned_of() {
    let lab = Lab::new();
    ophtha_tree(&lab, "e", "e_optha");
    lab.write("e/e_optha_MA/Annotation_MA/E0000475/C0001629.png", &png_mask(&[255]));
    lab.write("e/e_optha_MA/Annotation_MA/E0000999/C1.png", &png_mask(&[255]));
    let ma = ophtha(&lab, "e", "ma").unwrap();
    assert_eq!(warned(&ma), ["unmatched-mask", "healthy-with-mask"]);
    assert_eq!(labels(&lab, &ma)["C0001629"], "1???");
    lab.write("e/e_optha_MA/MA/E0000475/C0001629.jpg", &jpeg("healthy"));
    says(
        ophtha(&lab, "e", "ma"),
        "duplicate-photograph",
        &["MA/E0000475/C0001629.jpg", "healthy/E0000475/C0001629.jpg"],
    );
}
