//! Every file of a data set is used or reported, and none has two roles.

use macula::data::photographs::{PhotographFacts, PhotographSet};
use macula::lang::value::Value;
use macula::stage::{Cell, Outcome, StageError};

use super::lab::Lab;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Code, text and hint of an error.
fn refused(result: Result<Outcome, StageError>) -> (String, String, String) {
    match result {
        Err(StageError::Input { code, text, hint, .. }) => (code.to_owned(), text, hint.unwrap_or_default()),
        other => panic!("it should be refused: {other:?}"),
    }
}

/// A lab with files that hold their own names.
fn lab(files: &[&str]) -> Lab {
    let lab = Lab::new();
    for file in files {
        lab.write(file, file.as_bytes());
    }
    lab
}

/// `folder` over a lab with one class and patterns.
fn folder(lab: &Lab, photographs: &str, masks: &[(&str, &str)], absent: &str) -> Result<Outcome, StageError> {
    let masks = masks.iter().map(|(class, pattern)| ((*class).to_owned(), text(pattern))).collect();
    lab.folder(&[("photographs", text(photographs)), ("masks", Value::Map(masks)), ("absent-mask", text(absent))])
}

/// Names of a set's photographs.
fn set(lab: &Lab, outcome: &Outcome) -> Vec<String> {
    let bytes = lab.objects.read_in(&outcome.outputs["out"], "set.json").unwrap().unwrap();
    serde_json::from_slice::<PhotographSet>(&bytes).unwrap().photographs
}

/// Content of a file of the set: its own path.
fn at(lab: &Lab, outcome: &Outcome, place: &str) -> Option<String> {
    let bytes = lab.objects.read_in(&outcome.outputs["out"], place).unwrap()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn warned(outcome: &Outcome) -> Vec<&str> {
    outcome.summary.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

const MA: [(&str, &str); 1] = [("MA", "m/*")];

#[test]
fn a_file_that_was_probably_meant_as_a_mask_is_an_error_where_absence_would_follow() {
    for (pattern, file) in [
        ("m/*", "m/a.bmp"),
        ("m/*", "m/a.png.part"),
        ("m/*", "m/a.tif.crdownload"),
        ("m/*", "m/a (1).png"),
        ("m/*", "m/Copy of a.png"),
        ("m/*", "m/a_copy.tif"),
        ("m/*", "m/a"),
        ("m/*", "m/a.png.dvc"),
        ("m/*", "m/old/a.png"),
        ("m/*", "m/Unconfirmed 4711.crdownload"),
        ("m/*.png", "m/a.jpg"),
        ("m/*_MA.tif", "m/a-MA.tif"),
        ("m/*_MA.tif", "m/a_MA.tif.tif"),
        ("m/*_MA.tif", "m/a_ma (1).TIF"),
        ("m/*_MA.tif", "m/a.tif"),
    ] {
        let other = pattern.replace('*', "b");
        let other = if pattern == "m/*" { "m/b.png".to_owned() } else { other };
        let lab = lab(&["p/a.png", "p/b.png", &other, file]);
        let (code, said, hint) = refused(folder(&lab, "p/*", &[("MA", pattern)], "absent"));
        assert_eq!(code, "unused-file", "{file}");
        assert!(said.contains(&format!("`{file}`")) && said.contains("no mask of `MA`"), "{said}");
        assert!(!hint.is_empty(), "{file}");
        let outcome = folder(&lab, "p/*", &[("MA", pattern)], "unknown").unwrap();
        let told =
            outcome.summary.warnings.iter().any(|warning| warning.code == "unused-file" && warning.text.contains(file));
        assert!(told, "{file}: {:?}", outcome.summary.warnings);
    }
}

#[test]
fn what_is_no_mask_is_counted_by_its_reason() {
    let lab = lab(&[
        "p/a.png",
        "p/b.png",
        "m/a_MA.png",
        "m/a_OD.png",
        "m/b_OD.png",
        "m/Thumbs.db",
        "m/a_MA (1).png",
        "m/b.json",
    ]);
    let outcome = folder(&lab, "p/*", &[("MA", "m/*_MA.png")], "absent").unwrap();
    assert_eq!(warned(&outcome), ["unused-file"]);
    assert!(outcome.summary.warnings[0].text.contains("`m/a_MA (1).png`"), "{:?}", outcome.summary.warnings);
    let table = outcome.summary.tables.iter().find(|table| table.title == "unused files").unwrap();
    let row =
        |reason: &str, count, first: &str| vec![Cell::Text(reason.into()), Cell::Int(count), Cell::Text(first.into())];
    assert_eq!(
        table.rows,
        [row("name matches no pattern", 3, "m/a_MA (1).png"), row("not an image", 2, "m/Thumbs.db")]
    );
    // Nothing is said of a folder that holds what it should.
    let lab = self::lab(&["p/a.png", "m/a.png"]);
    let summary = folder(&lab, "p/*", &MA, "absent").unwrap().summary;
    assert_eq!((summary.tables.len(), summary.warnings.len()), (1, 0));
    assert_eq!(summary.headline, "1 photograph with 1 lesion mask");
}

#[test]
fn a_photograph_that_is_not_read_is_named() {
    for file in ["p/b.bmp", "p/b.png.part", "p/b.gif"] {
        let lab = lab(&["p/a.png", "m/a.png", file]);
        for pattern in ["p/*", "p/*.png"] {
            let outcome = folder(&lab, pattern, &MA, "absent").unwrap();
            assert!(outcome.summary.warnings[0].text.contains(file), "{file}: {:?}", outcome.summary.warnings);
        }
    }
}

#[test]
fn one_file_is_the_mask_of_one_class() {
    let lab = lab(&["p/a.png", "m/a.png"]);
    let (code, said, _) = refused(folder(&lab, "p/*", &[("MA", "m/*"), ("HE", "m/*.png")], "absent"));
    assert_eq!(code, "two-roles");
    assert!(said.contains("`m/a.png`") && said.contains("`MA`") && said.contains("`HE`"), "{said}");
    // A pattern that fits another class's masks, too, takes none of them.
    let lab = self::lab(&["p/a.png", "m/a.png", "m/a_EX.png"]);
    let outcome = folder(&lab, "p/*", &[("MA", "m/*"), ("EX", "m/*_EX.png")], "absent").unwrap();
    assert_eq!(at(&lab, &outcome, "a/mask.MA.png").as_deref(), Some("m/a.png"));
    assert_eq!(at(&lab, &outcome, "a/mask.EX.png").as_deref(), Some("m/a_EX.png"));
    assert!(warned(&outcome).is_empty(), "{:?}", outcome.summary.warnings);
}

#[test]
fn masks_next_to_their_photographs_are_no_photographs() {
    let lab = lab(&["d/a.png", "d/a_MA.png", "d/b.png", "d/b_MA.png"]);
    let outcome = folder(&lab, "d/*", &[("MA", "d/*_MA.png")], "absent").unwrap();
    assert_eq!(set(&lab, &outcome), ["a", "b"]);
    assert_eq!(at(&lab, &outcome, "b/mask.MA.png").as_deref(), Some("d/b_MA.png"));
    assert!(
        outcome.summary.headline.contains("2 files matching `photographs` used as masks"),
        "{}",
        outcome.summary.headline
    );
    // Without its photograph, or with a pattern that takes all, nobody can tell.
    lab.write("d/c_MA.png", b"c");
    let (code, said, _) = refused(folder(&lab, "d/*", &[("MA", "d/*_MA.png")], "absent"));
    assert_eq!(code, "two-roles");
    assert!(said.contains("`d/c_MA.png`"), "{said}");
    assert_eq!(refused(folder(&lab, "d/*.png", &[("MA", "d/*")], "absent")).0, "two-roles");
}

#[test]
fn all_stars_of_a_pattern_distinguish_files() {
    let lab = lab(&["p/A/1.png", "p/B/2.png", "m/A/2.png", "m/B/1.png"]);
    let (code, _, hint) = refused(folder(&lab, "p/*/*", &[("MA", "m/*/*")], "absent"));
    assert_eq!(code, "no-mask-fits");
    assert!(hint.contains("`m/A/2.png` is `A/2`") && hint.contains("`p/B/2.png` is `B/2`"), "{hint}");
    // The usual tree: each patient's eyes have the same names.
    let lab = self::lab(&["p/A/left.png", "p/B/left.png", "p/B/right.png", "m/A/left.png", "m/B/right.png"]);
    let outcome = folder(&lab, "p/*/*", &[("MA", "m/*/*")], "absent").unwrap();
    assert_eq!(set(&lab, &outcome), ["A_left", "B_left", "B_right"]);
    assert_eq!(at(&lab, &outcome, "B_right/mask.MA.png").as_deref(), Some("m/B/right.png"));
    assert_eq!(at(&lab, &outcome, "B_left/mask.MA.png"), None);
    lab.write("n/left.png", b"whose?");
    let (code, said, _) = refused(folder(&lab, "p/*/*", &[("MA", "n/*")], "absent"));
    assert_eq!(code, "ambiguous-mask");
    assert!(said.contains("`n/left.png`") && said.contains("`p/B/left.png`"), "{said}");
    // A mask that fits by its last star only is no one's.
    lab.write("m/C/left.png", b"of another");
    let outcome = folder(&lab, "p/*/*", &[("MA", "m/*/*")], "unknown").unwrap();
    assert!(outcome.summary.warnings[0].text.contains("`m/C/left.png` is `C/left`"), "{:?}", outcome.summary.warnings);
}

#[test]
fn spellings_of_a_name_are_one() {
    let lab = lab(&["p/Zo\u{eb}.png", "m/Zoe\u{308}.png", "p/IMG_1.PNG", "m/img_1.png", "p/É.JPG", "m/e\u{301}.tif"]);
    let outcome = folder(&lab, "P/*", &MA, "absent").unwrap();
    assert_eq!(set(&lab, &outcome), ["IMG_1", "Zo\u{eb}", "É"], "names stay as photographs are spelled");
    assert_eq!(at(&lab, &outcome, "IMG_1/mask.MA.png").as_deref(), Some("m/img_1.png"));
    assert!(at(&lab, &outcome, "Zo\u{eb}/mask.MA.png").is_some() && at(&lab, &outcome, "É/mask.MA.tif").is_some());
    assert!(warned(&outcome).is_empty(), "{:?}", outcome.summary.warnings);
    lab.write("m/IMG_1.png", b"another");
    let (code, said, _) = refused(folder(&lab, "p/*", &MA, "absent"));
    assert_eq!(code, "duplicate-mask");
    assert!(said.contains("`m/IMG_1.png`") && said.contains("`m/img_1.png`"), "{said}");
    let lab = self::lab(&["p/a.png", "p/A.png", "m/a.png"]);
    assert_eq!(refused(folder(&lab, "p/*", &MA, "absent")).0, "duplicate-photograph");
    // What nearly matches is said.
    let lab = self::lab(&["p/eye-01.png", "p/b.png", "m/eye_1.png", "m/b.png"]);
    let outcome = folder(&lab, "p/*", &MA, "unknown").unwrap();
    assert!(outcome.summary.warnings[0].text.contains("`m/eye_1.png` nearly matches `p/eye-01.png`"));
}

#[test]
fn one_patient_in_two_spellings_is_one_and_reported() {
    let lab = lab(&["p/Zo\u{eb}/1.png", "p/zoe\u{308}/2.png", "p/b/3.png", "m/1.png", "m/2.png", "m/3.png"]);
    let masks = Value::Map([("MA".to_owned(), text("m/*"))].into());
    let of = |patient: &str| {
        let params = [("photographs", text("p/*/*")), ("masks", masks.clone()), ("patient", text(patient))];
        lab.folder(&params).unwrap()
    };
    let patient = |outcome: &Outcome, name: &str| {
        let facts: PhotographFacts =
            serde_json::from_str(&at(&lab, outcome, &format!("{name}/facts.json")).unwrap()).unwrap();
        facts.patient.unwrap()
    };
    let outcome = of("p/*/");
    assert_eq!(patient(&outcome, "1"), patient(&outcome, "2"));
    assert_eq!(warned(&outcome), ["patient-spelling"]);
    assert_eq!(patient(&outcome, "3"), "b");
    assert_eq!(patient(&of("p/*/*"), "3"), "b", "the last star is the photograph's own name");
    assert_eq!(patient(&of("*/*/"), "3"), "p/b", "all stars count");
}

#[test]
fn classes_have_names_that_meet_none_of_maculas() {
    let lab = lab(&["p/a.png", "m/a.png", "n/a.png"]);
    for class in ["healthy", "MA+EX", "x", "Undetermined"] {
        let (code, said, _) = refused(folder(&lab, "p/*", &[("MA", "m/*"), (class, "n/*")], "absent"));
        assert_eq!(code, "class-name");
        assert!(said.contains(&format!("`{class}`")), "{said}");
    }
    assert_eq!(refused(folder(&lab, "p/*", &[("MA", "m/*"), ("ma", "n/*")], "absent")).0, "class-name");
}

#[test]
fn photographs_without_any_mask_are_read_where_lesions_are_unknown() {
    let lab = lab(&["p/a.png", "p/b.png"]);
    let classes = [("MA", "ma/*"), ("HE", "he/*_HE.tif")];
    let outcome = folder(&lab, "p/*", &classes, "unknown").unwrap();
    assert_eq!(set(&lab, &outcome), ["a", "b"]);
    assert_eq!(warned(&outcome), ["photograph-without-mask"]);
    assert_eq!(refused(folder(&lab, "p/*", &classes, "absent")).0, "no-mask-fits", "all would count as healthy");
    // Something lies where masks would, or another class has some: then a pattern is wrong.
    lab.write("he/a.tif", b"misnamed");
    assert_eq!(refused(folder(&lab, "p/*", &classes, "unknown")).0, "no-mask-fits");
    lab.write("he/a_HE.tif", b"a mask");
    assert_eq!(refused(folder(&lab, "p/*", &classes, "unknown")).0, "no-mask-fits");
}

/// The `IDRiD` layout with masks of all classes for three photographs, except for one file.
fn official(without: &str, with: &str) -> Lab {
    let lab = Lab::new();
    let masks = "A. Segmentation/2. All Segmentation Groundtruths/a. Training Set";
    let folders = [
        ("1. Microaneurysms", "MA"),
        ("2. Haemorrhages", "HE"),
        ("3. Hard Exudates", "EX"),
        ("4. Soft Exudates", "SE"),
    ];
    let mut files = vec![format!("{masks}/5. Optic Disc/IDRiD_01_OD.tif"), format!("{masks}/{with}")];
    for number in ["01", "02", "03"] {
        files.push(format!("A. Segmentation/1. Original Images/a. Training Set/IDRiD_{number}.jpg"));
        files.extend(folders.iter().map(|(folder, class)| format!("{masks}/{folder}/IDRiD_{number}_{class}.tif")));
    }
    for file in files.iter().filter(|file| !file.ends_with(&format!("/{without}"))) {
        lab.write(file, file.as_bytes());
    }
    lab
}

fn idrid(lab: &Lab) -> Result<Outcome, StageError> {
    lab.source("idrid", &[("root", Value::Path(String::new())), ("split", text("all"))])
}

#[test]
fn a_mask_of_idrid_under_another_name_is_an_error() {
    for name in [
        "IDRiD_01_MA (1).tif",
        "IDRiD_01_MA.jpg",
        "IDRiD_01_MA.bmp",
        "IDRiD_01_MA_copy.tif",
        "IDRiD_01_MA.tif.tif",
        "Copy of IDRiD_01_MA.tif",
        "IDRiD_01-MA.tif",
        "IDRiD_01MA.tif",
        "IDRiD_01.tif",
        "IDRiD_01_MA",
        "IDRiD_01_MA.tif.part",
        "IDRiD_01_MA.tif.crdownload",
        "Unconfirmed 88.crdownload",
        "unnamed.tif",
    ] {
        let file = format!("1. Microaneurysms/{name}");
        let (code, said, _) = refused(idrid(&official("IDRiD_01_MA.tif", &file)));
        assert_eq!(code, "unused-file", "{name}");
        assert!(said.contains(name) && said.contains("`IDRiD_01` has no mask of MA"), "{said}");
        // Next to the mask itself it is only reported.
        let outcome = idrid(&official("nothing", &file)).unwrap();
        assert_eq!(outcome.outputs["out"].entries.len(), 3 * 6 + 1);
        assert!(outcome.summary.warnings[0].text.contains(name), "{:?}", outcome.summary.warnings);
    }
}

#[test]
fn idrids_own_files_are_not_reported() {
    let outcome = idrid(&official("nothing", "5. Optic Disc/IDRiD_02_OD.tif")).unwrap();
    assert!(outcome.summary.warnings.is_empty(), "{:?}", outcome.summary.warnings);
    assert_eq!(outcome.summary.tables.len(), 1);
    let outcome = idrid(&official("nothing", "1. Microaneurysms/Thumbs.db")).unwrap();
    assert!(outcome.summary.warnings.is_empty());
    assert_eq!(outcome.summary.tables[1].title, "unused files");
    // A lesion that a photograph does not have is no error.
    assert!(idrid(&official("IDRiD_01_MA.tif", "5. Optic Disc/IDRiD_02_OD.tif")).unwrap().summary.warnings.is_empty());
}

#[test]
fn a_pointer_in_the_place_of_a_picture_says_what_fetches_its_content() {
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 70\n";
    for (pointer, command) in [(lfs, "`git lfs pull`"), ("/annex/objects/SHA256E-s70--00.png\n", "`git annex get`")] {
        let lab = lab(&["p/a.png", "p/b.png", "m/a.png"]);
        lab.write("m/b.png", pointer.as_bytes());
        let (code, said, hint) = refused(folder(&lab, "p/*", &MA, "absent"));
        assert_eq!(code, "content-elsewhere");
        assert!(said.contains("m/b.png") && hint.contains(command), "{said} / {hint}");
    }
}

#[test]
fn a_mask_is_named_by_its_own_path_though_another_has_the_same_bytes() {
    let lab = Lab::new();
    let picture = |side: u32| {
        let pixels = vec![0; (3 * side * side) as usize];
        macula::data::png_image::png(&pixels, side, side, macula::data::png_image::PixelFormat::Rgb)
    };
    for (name, side) in [("a", 16), ("b", 8), ("c", 16)] {
        lab.write(&format!("p/{name}.png"), &picture(side));
        lab.write(&format!("m/{name}.png"), &picture(16));
    }
    let outcome = folder(&lab, "p/*", &MA, "absent").unwrap();
    let (code, said, _) = refused(lab.extract(&outcome.outputs["out"], &[("size", Value::Int(8))]));
    assert_eq!(code, "mask-size");
    assert!(said.contains("m/b.png") && said.contains("p/b.png"), "{said}");
}
