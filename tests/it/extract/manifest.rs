//! `manifest`: photographs listed in a table, alone and through the binary.

use std::fmt::Write as _;

use macula::data::patches::{Label, PatchSet};
use macula::data::photographs::{Official, PhotographFacts, PhotographSet, WithoutMask};
use macula::data::png_image::{PixelFormat, png};
use macula::lang::value::Value;
use macula::stage::{Outcome, StageError};

use super::lab::Lab;
use crate::space::Space;

/// A grey picture of 40 x 30 px.
fn picture(level: u8) -> Vec<u8> {
    png(&[level; 40 * 30 * 3], 40, 30, PixelFormat::Rgb)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn map(pairs: &[(&str, &str)]) -> Value {
    Value::Map(pairs.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect())
}

/// `manifest` of `clinic/list.csv`, with defaults for all other parameters.
fn manifest(lab: &Lab, table: &str, params: &[(&str, Value)]) -> Result<Outcome, StageError> {
    lab.write("clinic/list.csv", table.as_bytes());
    let mut all = vec![
        ("table", Value::Path("clinic/list.csv".to_owned())),
        ("path", text("path")),
        ("photographs", text("*")),
        ("mask-files", text("*")),
        ("ordered", Value::Bool(false)),
        ("absent-mask", text("unknown")),
    ];
    all.retain(|(name, _)| params.iter().all(|(own, _)| own != name));
    all.extend(params.iter().cloned());
    lab.source("manifest", &all)
}

fn mistakes(found: Result<Outcome, StageError>) -> Vec<String> {
    match found {
        Err(StageError::Input { text, .. }) => text.lines().map(|line| line.trim().to_owned()).collect(),
        other => panic!("it should be refused: {other:?}"),
    }
}

fn facts(lab: &Lab, outcome: &Outcome, name: &str) -> PhotographFacts {
    let bytes = lab.objects.read_in(&outcome.outputs["out"], &format!("{name}/facts.json")).unwrap();
    serde_json::from_slice(&bytes.unwrap_or_else(|| panic!("no `{name}`"))).unwrap()
}

fn set(lab: &Lab, outcome: &Outcome) -> PhotographSet {
    serde_json::from_slice(&lab.objects.read_in(&outcome.outputs["out"], "set.json").unwrap().unwrap()).unwrap()
}

#[test]
fn labels_patients_and_splits_are_read_from_their_columns() {
    let lab = Lab::new();
    for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
        lab.write(&format!("clinic/eyes/{name}.png"), &picture(50 + at as u8));
    }
    let table =
        "path;patient;fold;ma;he\neyes/a.png;Ada;training;1;no\neyes/b.png;ADA;val;0;\neyes/c.png;Bob;TEST;yes;?\n";
    let columns = [
        ("patient", text("patient")),
        ("split", text("fold")),
        ("labels", map(&[("HE", "he"), ("MA", "ma")])),
        ("unknown", Value::List(vec![text("EX")])),
    ];
    let found = manifest(&lab, table, &columns).unwrap();
    assert_eq!(set(&lab, &found).classes, ["MA", "HE", "EX"]);
    let a = facts(&lab, &found, "a");
    assert_eq!(a.without_mask, [WithoutMask::Present, WithoutMask::Absent, WithoutMask::Unknown]);
    assert_eq!((a.patient.as_deref(), a.official), (Some("ADA"), Some(Official::Train)));
    let b = facts(&lab, &found, "b");
    assert_eq!(b.without_mask, [WithoutMask::Absent, WithoutMask::Unknown, WithoutMask::Unknown]);
    assert_eq!((b.patient.as_deref(), b.official), (Some("ADA"), Some(Official::Valid)), "one patient");
    let c = facts(&lab, &found, "c");
    assert_eq!((c.without_mask[1], c.official), (WithoutMask::Unknown, Some(Official::Test)));
    let codes: Vec<&str> = found.summary.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["patient-spelling"]);
    // Cells that mean sets, by value.
    let table = "path,fold\neyes/a.png,0.0\neyes/b.png,1\neyes/c.png,2\n";
    let list = |cells: &[&str]| Value::List(cells.iter().map(|cell| text(cell)).collect());
    let sides = [("train", list(&["0", "1"])), ("test", list(&["2"]))].map(|(side, cells)| (side.to_owned(), cells));
    let unknown = ("unknown", Value::List(vec![text("MA")]));
    let found =
        manifest(&lab, table, &[unknown, ("split", text("fold")), ("sides", Value::Map(sides.into()))]).unwrap();
    assert_eq!(
        ["a", "b", "c"].map(|name| facts(&lab, &found, name).official),
        [Some(Official::Train), Some(Official::Train), Some(Official::Test)]
    );
}

#[test]
fn all_mistakes_of_a_table_are_reported_with_their_lines() {
    let lab = Lab::new();
    lab.write("clinic/a.png", &picture(50));
    lab.write("clinic/b.JPG", &picture(51));
    let table = "path,ma,fold\na.png,maybe,train\nb.png,1,test\n,1,test\na.png,0,test\nc.bmp,2,holdout\n";
    let labels = ("labels", map(&[("MA", "ma")]));
    let found = mistakes(manifest(&lab, table, &[labels.clone(), ("split", text("fold"))]));
    assert_eq!(found[0], "7 mistakes in `clinic/list.csv`");
    let expected = [
        "line 2, column `ma`: `maybe` is not a label; write 1, 0 or leave it empty",
        "line 4, column `path`: no path",
        "line 5: `a.png` is listed on line 2 already",
        "line 6, column `path`: `c.bmp` is not a JPEG, PNG, TIFF or DICOM",
        "line 6, column `ma`: `2` is not a label; write 1, 0 or leave it empty",
        "line 6, column `fold`: `holdout` is not a set of a split; expected train, valid or test, or say in `sides` what it means",
    ];
    for line in expected {
        assert!(found.iter().any(|own| own == line), "{line}\n{found:#?}");
    }
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("line 3: `") && line.ends_with("b.png` does not exist (found `b.JPG`)"))
    );
    let found = mistakes(manifest(&lab, "path,ma\na.png,1\n", &[("labels", map(&[("MA", "MA"), ("HE", "he")]))]));
    assert!(found[1].contains("did you mean `ma`?") && found[2].contains("column `he` is missing"), "{found:#?}");
    let found = mistakes(manifest(&lab, "path,ma\na.png\na.png,1,2\n", std::slice::from_ref(&labels)));
    assert_eq!(found[1..], ["line 2 has 1 cell, the header 2", "line 3 has 3 cells, the header 2"]);
    let long: Vec<String> = (0..100).map(|at| format!("{at}.png,x\n")).collect();
    let found = mistakes(manifest(&lab, &format!("path,ma\n{}", long.concat()), &[labels]));
    assert_eq!((found.len(), found.last().map(String::as_str)), (42, Some("and 160 more")));
}

#[test]
fn parameters_that_do_not_go_together_are_refused() {
    let lab = Lab::new();
    lab.write("clinic/a.png", &picture(50));
    let refused = |params: &[(&str, Value)], code: &str| {
        let error = manifest(&lab, "path,x\na.png,1\n", params).unwrap_err();
        assert!(error.has_code(code), "{error:?}");
    };
    refused(&[], "no-classes");
    refused(&[("class", text("x"))], "manifest-columns");
    refused(&[("class-values", map(&[("one", "1")]))], "manifest-columns");
    refused(&[("class", text("x")), ("class-values", map(&[("a", "1"), ("b", "1.0")]))], "manifest-columns");
    refused(&[("mask-values", map(&[("MA", "1")]))], "manifest-columns");
    refused(&[("mask", text("x")), ("mask-values", map(&[("MA", "red")]))], "mask-value");
    refused(&[("labels", map(&[("MA", "x")])), ("ordered", Value::Bool(true))], "manifest-columns");
    refused(&[("labels", map(&[("MA", "x")])), ("unknown", Value::List(vec![text("MA")]))], "manifest-columns");
    refused(&[("labels", map(&[("healthy", "x")]))], "class-name");
    refused(&[("labels", map(&[("MA", "x")])), ("photographs", text("a.png"))], "pattern");
}

#[test]
fn excluded_photographs_are_left_out_before_their_mistakes_count() {
    let lab = Lab::new();
    lab.write("clinic/images/a.png", &picture(50));
    lab.write("clinic/out.txt", b"# blurred\nb\nimages/c.png\nnowhere\n");
    let params = [
        ("photographs", text("images/*.png")),
        ("labels", map(&[("MA", "ma")])),
        ("exclude", Value::Path("clinic/out.txt".to_owned())),
    ];
    let found = manifest(&lab, "path,ma\na,1\nb,what\nc,0\n", &params).unwrap();
    assert_eq!(set(&lab, &found).photographs, ["a"]);
    assert_eq!(found.summary.headline, "1 photograph, 1 class; 2 excluded");
    assert!(found.summary.warnings[0].text.contains("1 entry of `exclude` not in the table (first: `nowhere`)"));
}

#[test]
fn a_label_of_the_photograph_is_that_of_patches_that_cover_it() {
    let lab = Lab::new();
    for (name, level) in [("a", 90), ("b", 91)] {
        lab.write(&format!("clinic/{name}.png"), &picture(level));
    }
    let labels = ("labels", map(&[("MA", "ma")]));
    let found = manifest(&lab, "path,ma\na.png,1\nb.png,0\n", &[labels]).unwrap();
    let photographs = &found.outputs["out"];
    let labels = |outcome: &Outcome| -> Vec<Label> {
        let set = PatchSet::read(&outcome.outputs["out"], &lab.objects).unwrap();
        set.parts.iter().flat_map(|part| &part.rows).map(|row| row.labels[0]).collect()
    };
    let size = |size: i64| ("size", Value::Int(size));
    let cut = lab.extract(photographs, &[size(15)]).unwrap();
    assert_eq!(labels(&cut), [[Label::Unknown; 4], [Label::Absent; 4]].concat(), "somewhere in the photograph");
    assert!(cut.summary.warnings.iter().any(|warning| warning.code == "labels-without-place"), "{:?}", cut.summary);
    let every = lab.extract(photographs, &[size(15), ("label.photograph", text("every"))]).unwrap();
    assert_eq!(labels(&every), [[Label::Present; 4], [Label::Absent; 4]].concat());
    let fitted = lab.preprocess(photographs, &[("fit", Value::Int(20))]).unwrap();
    let whole = lab.extract(&fitted.outputs["out"], &[size(20)]).unwrap();
    assert_eq!(labels(&whole), [Label::Present, Label::Absent]);
    assert!(whole.summary.warnings.iter().all(|warning| warning.code != "labels-without-place"));
}

#[test]
fn one_mask_holds_a_value_for_each_class() {
    let lab = Lab::new();
    lab.write("clinic/a.png", &picture(90));
    lab.write("clinic/b.png", &picture(91));
    let mask: Vec<u8> = (0..40 * 30).map(|at| if at % 40 < 10 { 1 } else { 2 * u8::from(at % 40 >= 30) }).collect();
    lab.write("clinic/masks/a.png", &png(&mask, 40, 30, PixelFormat::Grey));
    let values = map(&[("MA", "1"), ("HE", "2"), ("EX", "3")]);
    let params = [
        ("mask", text("mask")),
        ("mask-values", values),
        ("mask-files", text("masks/*")),
        ("absent-mask", text("absent")),
    ];
    let found = manifest(&lab, "path,mask\na.png,a.png\nb.png,\n", &params).unwrap();
    let cut = lab.extract(&found.outputs["out"], &[("size", Value::Int(10))]).unwrap();
    let set = PatchSet::read(&cut.outputs["out"], &lab.objects).unwrap();
    let present = |row: usize| -> Vec<bool> {
        set.parts[0].rows[row].labels.iter().map(|label| *label == Label::Present).collect()
    };
    assert_eq!([0, 1, 3].map(present), [[true, false, false], [false; 3], [false, true, false]].map(Vec::from));
    assert!(set.parts[1].rows.iter().all(|row| row.labels == [Label::Absent; 3]), "no mask");
    assert!(cut.summary.warnings.iter().all(|warning| warning.code != "shared-mask"), "{:?}", cut.summary.warnings);
}

/// Photographs whose brightness is their grade.
fn graded(space: &Space) {
    let mut table = "id,patient,grade\n".to_owned();
    for at in 0..60_u32 {
        let grade = at % 3;
        let level = 60 + 60 * grade + at / 3;
        let pixels: Vec<u8> = (0..48 * 48 * 3).map(|i| (level + i * 7 % 13) as u8).collect();
        space.write(&format!("eyes/{at:02}.png"), png(&pixels, 48, 48, PixelFormat::Rgb));
        let cell = if at == 59 { String::new() } else { grade.to_string() };
        let _ = writeln!(table, "{at:02},p{at},{cell}");
    }
    space.write("grades.csv", table);
}

const GRADES: &str = r#"pipeline grades seed=3 {
    manifest eyes {
        table "grades.csv"
        path "id"
        photographs "eyes/*.png"
        patient "patient"
        class "grade"
        class-values none "0" mild "1" severe "2"
        ordered #true
    }
    preprocess small { from eyes; fit 16 }
    extract whole { from small; size 16 }
    split folds { from whole; train 0.4; valid 0.2; test 0.4 }
    train classifier {
        data folds.train
        valid folds.valid
        network shallow-cnn
        loss cross-entropy label-smoothing=0.02 class-weights=inverse-frequency
        optimizer adamw lr=3e-3
        epochs 30
        choose loss
        start prior-bias=#true
    }
    eval scores { model classifier; data folds.test; tta dihedral }
    predict again { model classifier; data folds.test; tta dihedral }
    eval same { predictions again; data folds.test }
    report page { of classifier scores }
}
"#;

#[test]
fn grades_are_learnt_and_measured_from_a_table() {
    let space = Space::with(GRADES);
    graded(&space);
    let said = space.macula("run pipeline.kdl");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let read = |stage: &str| -> serde_json::Value {
        serde_json::from_str(&space.read(&format!("results/grades/{stage}/scores.json"))).expect("JSON")
    };
    let (scores, same) = (read("scores"), read("same"));
    assert_eq!(scores["single"], same["single"], "a model and its predictions");
    let single = &scores["single"];
    assert!(single["quadratic_kappa"].as_f64().expect("graded") > 0.8, "{single}");
    let counts: Vec<Vec<u64>> = serde_json::from_value(single["confusion"].clone()).expect("a matrix");
    let (all, right): (u64, u64) = (counts.iter().flatten().sum(), (0..3).map(|class| counts[class][class]).sum());
    assert_eq!(single["accuracy"].as_f64(), Some(right as f64 / all as f64));
    assert_eq!(
        scores["at_half"]["figures"]["subset_accuracy"], single["accuracy"],
        "one class is predicted, the right one"
    );
    let page = space.read("results/grades/page/report.html");
    assert!(page.contains("Confusion matrix") && page.contains("quadratic kappa"));
    let shown = space.macula("show pipeline.kdl scores");
    assert!(shown.stdout.contains("quadratic kappa"), "{}", shown.stdout);
    // Of three classes, the highest score may be below one half.
    let predicted = space.macula("predict pipeline.kdl classifier eyes/00.png eyes/01.png eyes/02.png --json");
    let predicted: serde_json::Value = serde_json::from_str(&predicted.raw).expect("JSON");
    for photograph in predicted["photographs"].as_array().expect("photographs") {
        let classes = photograph["classes"].as_array().expect("classes");
        assert_eq!(classes.iter().filter_map(|one| one["over"].as_f64()).sum::<f64>(), 1.0, "{photograph}");
    }
    for (stage, code) in [
        ("threshold-tune cuts { model classifier; data folds.valid }", "single-label"),
        ("calibrate sure { model classifier; data folds.valid; method platt }", "single-label"),
    ] {
        space.write("pipeline.kdl", GRADES.replace("    report page", &format!("    {stage}\n    report page")));
        space.macula("check pipeline.kdl").code(2).says(&[code, "chooses one class (`loss cross-entropy`)"]);
    }
}

#[test]
fn a_loss_over_exclusive_classes_needs_patches_with_one_class_each() {
    let synthetic = r"pipeline several seed=3 {
        synthetic eyes { photographs 20; size 128 }
        extract patches { from eyes; size 64 }
        split folds { from patches }
        train classifier { data folds.train; valid folds.valid; network shallow-cnn; loss cross-entropy; epochs 1 }
    }";
    let space = Space::with(synthetic);
    let said = space.macula("run pipeline.kdl");
    assert!(said.code == Some(1) && said.stdout.contains("not-exclusive"), "{}", said.stdout);
    space.write("pipeline.kdl", synthetic.replace("cross-entropy", "cross-entropy positive=2.0"));
    let said = space.macula("check pipeline.kdl");
    assert!(said.code == Some(2) && said.stderr.contains("not-of-loss"), "{}", said.stderr);
}

#[test]
fn data_that_lack_a_class_are_evaluated_with_it_unknown() {
    let space = Space::with(
        r#"pipeline outside seed=3 {
            synthetic eyes { photographs 12; size 128; severity 3.0 }
            extract patches { from eyes; size 64 }
            split folds { from patches }
            train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 1 }
            manifest clinic { table "list.csv"; masks MA "ma"; absent-mask absent; unknown HE EX SE }
            extract theirs { from clinic; size 64 }
            eval scores { model classifier; data theirs }
        }
        "#,
    );
    let mask: Vec<u8> = (0..128 * 128).map(|at| if at % 128 < 20 { 255 } else { 0 }).collect();
    space.write("m.png", png(&mask, 128, 128, PixelFormat::Grey));
    space.write("a.png", png(&vec![80; 128 * 128 * 3], 128, 128, PixelFormat::Rgb));
    space.write("b.png", png(&vec![90; 128 * 128 * 3], 128, 128, PixelFormat::Rgb));
    space.write("list.csv", "path,ma\na.png,m.png\nb.png,\n");
    let said = space.macula("run pipeline.kdl");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let scores: serde_json::Value =
        serde_json::from_str(&space.read("results/outside/scores/scores.json")).expect("JSON");
    let known: Vec<u64> = scores["baselines"]["classes"]
        .as_array()
        .expect("classes")
        .iter()
        .filter_map(|one| one["known"].as_u64())
        .collect();
    assert_eq!(known, [8, 0, 0, 0]);
}

#[test]
fn exported_patches_are_read_back_with_their_labels() {
    let made = r"pipeline made seed=3 {
        synthetic eyes { photographs 8; size 128; severity 3.0 }
        extract patches { from eyes; size 64 }
        export pictures { from patches; manifest #true }
    }";
    let space = Space::with(made);
    let said = space.macula("run pipeline.kdl");
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    let table = space.read("results/made/pictures/manifest.csv");
    assert!(table.starts_with("path,photograph,patient,split,x,y,MA,HE,EX,SE\n"), "{table}");
    assert_eq!(table.lines().count(), 1 + 8 * 4);
    space.write(
        "back.kdl",
        r#"pipeline back seed=3 {
            manifest eyes {
                table "results/made/pictures/manifest.csv"
                patient "patient"
                labels MA "MA" HE "HE" EX "EX" SE "SE"
            }
            extract patches { from eyes; size 64 }
            export pictures { from patches; manifest #true }
        }"#,
    );
    let said = space.macula("run back.kdl");
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    // Each patch is a photograph now, so that its place is 0, 0.
    let facts = |table: &str| -> Vec<String> {
        let cells = table.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        let mut facts: Vec<String> = cells.map(|cells| [&cells[2..3], &cells[6..]].concat().join(",")).collect();
        facts.sort();
        facts
    };
    assert_eq!(facts(&space.read("results/back/pictures/manifest.csv")), facts(&table));
}

#[test]
fn classes_are_in_the_order_of_their_cells_whatever_else_is_unknown() {
    let lab = Lab::new();
    lab.write("clinic/a.png", &picture(50));
    let values = map(&[("none", "0"), ("mild", "1"), ("moderate", "7"), ("severe", "2"), ("proliferative", "9")]);
    let unknown = Value::List(vec![text("other"), text("MA")]);
    let params = [("class", text("x")), ("class-values", values), ("unknown", unknown)];
    let found = manifest(&lab, "path,x\na.png,7\n", &params).unwrap();
    assert_eq!(set(&lab, &found).classes, ["none", "mild", "severe", "moderate", "proliferative", "MA", "other"]);
    let words = map(&[("none", "none"), ("mild", "mild")]);
    let params = [("class", text("x")), ("class-values", words), ("ordered", Value::Bool(true))];
    assert!(manifest(&lab, "path,x\na.png,mild\n", &params).unwrap_err().has_code("manifest-columns"), "no order");
    let values = map(&[("a", "1"), ("c", "1.0"), ("d", "0"), ("e", "2")]);
    let params = [("class", text("x")), ("class-values", values), ("unknown", Value::List(vec![text("b")]))];
    assert!(manifest(&lab, "path,x\na.png,1\n", &params).unwrap_err().has_code("manifest-columns"));
}

#[test]
fn a_cell_that_says_unknown_is_not_absent() {
    let lab = Lab::new();
    for name in ["a", "b", "c"] {
        lab.write(&format!("clinic/{name}.png"), &picture(name.as_bytes()[0]));
    }
    let params = [("labels", map(&[("MA", "ma")])), ("masks", map(&[("MA", "mask")])), ("absent-mask", text("absent"))];
    let found = manifest(&lab, "path,ma,mask\na.png,uncertain,\nb.png,-,\nc.png,,\n", &params).unwrap();
    let label = |name: &str| facts(&lab, &found, name).without_mask[0];
    assert_eq!(["a", "b", "c"].map(label), [WithoutMask::Unknown, WithoutMask::Unknown, WithoutMask::Absent]);
    let plus = mistakes(manifest(&lab, "path,ma,mask\na.png,+,\n", &params));
    assert!(plus[1].contains("`+` is not a label"), "{plus:?}");
}

#[test]
fn a_label_without_a_place_survives_motion_and_pasting() {
    use macula::data::patches::PatchRow;
    let row = |pixels: u32| PatchRow {
        x: 0,
        y: 0,
        index: 0,
        copies: 1,
        labels: vec![Label::Present],
        mask_pixels: vec![pixels],
        mask_distance: vec![f32::NAN],
        mean: [0.0; 3],
        deviation: [0.0; 3],
        histogram: [0; 256].into(),
    };
    assert!(row(0).is_placeless(0) && !row(1).is_placeless(0));
    let space = Space::with(
        r#"pipeline moved seed=3 {
            manifest eyes { table "list.csv"; labels MA "ma" }
            extract whole { from eyes; size 32; masks #true }
            split folds { from whole; train 0.6; valid 0.4; test 0.0 }
            augment views { from folds.train; rotate degrees=20.0; cutmix alpha=1.0 }
            train classifier { data views; valid folds.valid; network shallow-cnn; epochs 6; optimizer adamw lr=3e-3 }
        }"#,
    );
    let mut table = "path,ma\n".to_owned();
    for at in 0..40_u8 {
        let pixels = vec![60 + 120 * (at % 2) + at / 2; 32 * 32 * 3];
        space.write(&format!("{at}.png"), png(&pixels, 32, 32, PixelFormat::Rgb));
        let _ = writeln!(table, "{at}.png,{}", at % 2);
    }
    space.write("list.csv", table);
    let said = space.macula("run pipeline.kdl");
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    let shown = space.macula("show pipeline.kdl classifier --all");
    assert!(shown.stdout.contains("validation AP 1.000"), "{}", shown.stdout);
}

#[test]
fn the_highest_score_decides_below_one_half_and_thresholds_of_other_data_are_refused() {
    let space = Space::with(
        r#"pipeline given seed=3 {
            manifest eyes {
                table "grades.csv"
                path "id"
                photographs "eyes/*.png"
                class "grade"
                class-values none "0" mild "1" severe "2"
            }
            extract whole { from eyes; size 48 }
            files scores { path "predictions.csv" }
            eval judged { predictions scores; data whole }
            slice strata { predictions scores; data whole; by brightness; quantiles 2 }
            manifest others { table "several.csv"; path "id"; photographs "eyes/*.png"; labels none "a" mild "b" severe "c" }
            extract several { from others; size 48 }
            threshold-tune cuts { predictions scores; data several }
        }"#,
    );
    graded(&space);
    let (mut scores, mut several) =
        ("photograph,x,y,score.none,score.mild,score.severe\n".to_owned(), "id,a,b,c\n".to_owned());
    for at in 0..60 {
        let score = |class: usize| if class == at % 3 { 0.4 } else { 0.3 };
        let label = |class: usize| u8::from(class == at % 3);
        let _ = writeln!(scores, "{at:02},0,0,{},{},{}", score(0), score(1), score(2));
        let _ = writeln!(several, "{at:02},{},{},{}", label(0), label(1), label(2));
    }
    space.write("predictions.csv", scores);
    space.write("several.csv", several);
    let said = space.macula("run pipeline.kdl");
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    let read = |file: &str| -> serde_json::Value {
        serde_json::from_str(&space.read(&format!("results/given/{file}"))).expect("JSON")
    };
    assert_eq!(read("judged/scores.json")["single"]["accuracy"], 1.0);
    for class in read("strata/slices.json")["classes"].as_array().expect("classes") {
        for stratum in class["strata"].as_array().expect("strata") {
            assert_eq!(stratum["recall"]["value"], 1.0, "{stratum}");
        }
    }
    space.edit(
        "pipeline.kdl",
        "eval judged { predictions scores; data whole }",
        "eval judged { predictions scores; thresholds cuts; data whole }",
    );
    let said = space.macula("run pipeline.kdl");
    assert!(said.code == Some(1) && said.stdout.contains("single-label"), "{}", said.stdout);
}
