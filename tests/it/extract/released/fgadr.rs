//! `fgadr`: soft edges, classes that few photographs have a mask of, and spellings of folders.

use macula::data::patches::PatchSet;
use macula::data::png_image::{PixelFormat, png};
use macula::lang::value::Value;
use macula::stage::{Outcome, StageError};

use super::{SIDE, facts, labels, of, pixels, png_mask, rgb_mask, says, set, text, warned};
use crate::extract::lab::Lab;

fn fgadr(lab: &Lab, root: &str, params: &[(&str, Value)]) -> Result<Outcome, StageError> {
    let mut all = vec![
        ("root", Value::Path(root.to_owned())),
        ("classes", classes(&["MA", "HE", "EX", "SE"])),
        ("absent-mask", text("unknown")),
        ("mask-from", Value::None),
    ];
    all.extend(params.iter().cloned());
    lab.source("fgadr", &all)
}

fn classes(names: &[&str]) -> Value {
    Value::List(names.iter().map(|name| text(name)).collect())
}

const ALL: [&str; 6] = ["MA", "HE", "EX", "SE", "IRMA", "NV"];

/// The release of FGADR with two photographs. `0000_1` has soft-edged MA, in which 1 and 127 are edge and 128 and 255 lesion, and a
/// mask of IRMA; `0001_3` has HE whose edge is below half of white.
fn fgadr_tree(lab: &Lab, root: &str, hemorrhages: &str) {
    for name in ["0000_1", "0001_3"] {
        let photograph = png(&pixels(name), SIDE as u32, SIDE as u32, PixelFormat::Rgb);
        lab.write(&format!("{root}/Original_Images/{name}.png"), &photograph);
        for folder in ["Microaneurysms_Masks", hemorrhages, "HardExudate_Masks", "SoftExudate_Masks"] {
            let mask = match (name, folder) {
                ("0000_1", "Microaneurysms_Masks") => rgb_mask(&[1, 127, 128, 255]),
                ("0001_3", folder) if folder == hemorrhages => png_mask(&[255, 100]),
                _ => png_mask(&[]),
            };
            lab.write(&format!("{root}/{folder}/{name}.png"), &mask);
        }
    }
    lab.write(&format!("{root}/IRMA_Masks/0000_1.png"), &png_mask(&[255]));
    lab.write(&format!("{root}/Neovascularization_Masks/0001_3.png"), &png_mask(&[]));
    lab.write(&format!("{root}/DR_Seg_Grading_Label.csv"), b"0000_1.png,2\n0001_3.png,3\n");
}

#[test]
fn fgadr_is_read_with_either_spelling_from_every_level() {
    let lab = Lab::new();
    fgadr_tree(&lab, "release/Seg-set", "Hemohedge_Masks");
    fgadr_tree(&lab, "copy", "Hemorrhage_Masks");
    let outcome = fgadr(&lab, "release/Seg-set", &[]).unwrap();
    assert_eq!(outcome.outputs, fgadr(&lab, "release", &[]).unwrap().outputs);
    assert_eq!(outcome.outputs, fgadr(&lab, "copy", &[]).unwrap().outputs);
    assert_eq!(outcome.summary.headline, "2 photographs with 8 lesion masks");
    assert_eq!(warned(&outcome), [""; 0]);
    assert_eq!(labels(&lab, &outcome), of(&[("0000_1", "1000"), ("0001_3", "0100")]));
    let facts = facts(&lab, &outcome, "0001_3");
    assert_eq!((facts.patient.as_deref(), facts.official), (Some("0001_3"), None));
}

#[test]
fn soft_edges_of_fgadr_are_cut_at_half_of_white_or_where_the_pipeline_says() {
    let lab = Lab::new();
    fgadr_tree(&lab, "f", "Hemohedge_Masks");
    let lesion = |params: &[(&str, Value)]| {
        let outcome = fgadr(&lab, "f", params).unwrap();
        let cut = lab.extract(&outcome.outputs["out"], &[("size", Value::Int(16))]).unwrap();
        let set = PatchSet::read(&cut.outputs["out"], &lab.objects).unwrap();
        let pixels = |name: &str, class: usize| {
            set.parts.iter().find(|part| part.photograph == name).unwrap().rows[0].mask_pixels[class]
        };
        (pixels("0000_1", 0), pixels("0001_3", 1))
    };
    assert_eq!(lesion(&[]), (2, 1));
    assert_eq!(lesion(&[("mask-from", Value::Int(128))]), (2, 1));
    assert_eq!(lesion(&[("mask-from", Value::Int(1))]), (4, 2));
    assert_eq!(lesion(&[("mask-from", Value::Int(255))]), (1, 1));
}

#[test]
fn rare_classes_of_fgadr_are_unknown_without_a_mask_unless_the_pipeline_says_absent() {
    let lab = Lab::new();
    fgadr_tree(&lab, "f", "Hemohedge_Masks");
    let six = [("classes", classes(&["NV", "IRMA", "SE", "EX", "HE", "MA"]))];
    let outcome = fgadr(&lab, "f", &six).unwrap();
    assert_eq!(set(&lab, &outcome).classes, ALL, "label order");
    assert_eq!(labels(&lab, &outcome), of(&[("0000_1", "10001?"), ("0001_3", "0100?0")]));
    let absent = [six[0].clone(), ("absent-mask", text("absent"))];
    let outcome = fgadr(&lab, "f", &absent).unwrap();
    assert_eq!(labels(&lab, &outcome), of(&[("0000_1", "100010"), ("0001_3", "010000")]));
    // A file that was meant as a mask is a warning, or an error if its lesion would count as absent.
    lab.write("f/IRMA_Masks/0001_3 (1).png", &png_mask(&[255]));
    says(fgadr(&lab, "f", &absent), "unused-file", &["0001_3 (1).png", "no mask of IRMA", "would count as absent"]);
    assert_eq!(warned(&fgadr(&lab, "f", &six).unwrap()), ["unmatched-mask"]);
    assert_eq!(warned(&fgadr(&lab, "f", &[]).unwrap()), [""; 0], "nobody asked for IRMA");
    let two = fgadr(&lab, "f", &[("classes", classes(&["EX", "MA"]))]).unwrap();
    assert_eq!(set(&lab, &two).classes, ["MA", "EX"]);
}

#[test]
fn mistakes_with_fgadr_are_errors() {
    let lab = Lab::new();
    fgadr_tree(&lab, "a/b/c/Seg-set", "Hemohedge_Masks");
    let root = "a/b/c/Seg-set";
    let expected = "`root` is the folder that holds `Original_Images`";
    says(fgadr(&lab, "a", &[]), "no-photographs", &[expected, "did you mean `root \"a/b/c/Seg-set\"`?"]);
    says(fgadr(&lab, &format!("{root}/Original_Images"), &[]), "no-photographs", &[expected, "name the one above"]);
    let hint = ["no class `OD`", "MA, HE, EX, SE, IRMA, NV"];
    says(fgadr(&lab, root, &[("classes", classes(&["MA", "OD"]))]), "unknown-class", &hint);
    // Folders that are missing, or are called otherwise.
    std::fs::rename(lab.path(&format!("{root}/Hemohedge_Masks")), lab.path(&format!("{root}/HE"))).unwrap();
    let found = ["no masks of HE", "`Hemohedge_Masks` is missing", "`HE`, `HardExudate_Masks`"];
    says(fgadr(&lab, root, &[]), "no-mask-fits", &found);
    assert!(fgadr(&lab, root, &[("classes", classes(&["MA"]))]).is_ok(), "nobody asked for HE");
    std::fs::remove_dir_all(lab.path(&format!("{root}/Neovascularization_Masks"))).unwrap();
    says(fgadr(&lab, root, &[("classes", classes(&["MA", "NV"]))]), "no-mask-fits", &["no masks of NV"]);
    // A missing mask of a class that every photograph has.
    std::fs::remove_file(lab.path(&format!("{root}/SoftExudate_Masks/0000_1.png"))).unwrap();
    let found = ["0000_1.png", "no mask of SE", "`SoftExudate_Masks/0000_1.png` is missing"];
    says(fgadr(&lab, root, &[("classes", classes(&["SE"]))]), "photograph-without-mask", &found);
}
