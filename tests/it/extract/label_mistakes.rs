//! Mistakes in labels that leave everything readable: values of no class, tables that contradict masks, files of other photographs.

use std::fmt::Write as _;

use macula::data::png_image::{PixelFormat, png};

use crate::space::Space;

fn picture(space: &Space, file: &str, shade: u8) {
    let rgb: Vec<u8> = (0..40 * 40 * 3).map(|at| shade ^ (at % 61) as u8).collect();
    space.write(file, png(&rgb, 40, 40, PixelFormat::Rgb));
}

/// A mask of 40 x 40 px with so many pixels of each value, from the top.
fn mask(space: &Space, file: &str, values: &[(u8, usize)]) {
    let mut grey: Vec<u8> = values.iter().flat_map(|(value, count)| vec![*value; *count]).collect();
    grey.resize(40 * 40, 0);
    space.write(file, png(&grey, 40, 40, PixelFormat::Grey));
}

fn pipeline(source: &str) -> String {
    format!("pipeline study seed=7 {{\n    {source}\n    extract patches {{ from eyes; size 20 }}\n}}\n")
}

/// Two photographs with a common mask each.
fn common(params: &str) -> Space {
    let source = format!("manifest eyes {{ table \"eyes.csv\"; mask \"mask\"; {params} }}");
    let space = Space::with(&pipeline(&source));
    for name in ["a", "b"] {
        picture(&space, &format!("{name}.png"), name.as_bytes()[0]);
        mask(&space, &format!("m/{name}.png"), &[(1, 30), (2, 40), (7, 5), (255, 9)]);
    }
    space.write("eyes.csv", "path,mask\na.png,m/a.png\nb.png,m/b.png\n");
    space
}

#[test]
fn values_that_belong_to_no_class_are_counted() {
    let space = common("mask-values MA \"1\" HE \"2\"");
    let words = "2 masks have values of no class: `255` (18 pixels), `7` (10 pixels); they count as background (first: that of `a`)";
    space.macula("run pipeline.kdl").code(0).says(&["value-of-no-class", words]);
    let checked = space.macula("data check pipeline.kdl --json").code(0);
    let found: serde_json::Value = serde_json::from_str(&checked.raw).expect("JSON");
    let findings = found["findings"].as_array().expect("findings").iter();
    let own: Vec<_> = findings.filter(|finding| finding["code"] == "value-of-no-class").collect();
    assert_eq!(own.len(), 2, "one for each file, not for each class: {own:?}");
    assert_eq!(own[0]["file"], "m/a.png");
    let all = common("mask-values MA \"1\" HE \"2\" EX \"7\" SE \"255\"");
    all.macula("run pipeline.kdl").code(0).says_not(&["value-of-no-class"]);
}

#[test]
fn parameters_of_common_masks_that_contradict_each_other_are_refused() {
    for (params, words) in [
        ("mask-values MA \"1\" HE \"1\"", "`HE` and `MA` have the same value"),
        ("mask-values MA \"1\" HE \"2\"; mask-from 128", "`mask-from` is a threshold"),
    ] {
        common(params).macula("check pipeline.kdl").code(2).says(&["mask-value", words]);
    }
    let folder = |params: &str| {
        Space::with(&pipeline(&format!("folder eyes {{ root \"eyes\"; photographs \"p/*\"; {params} }}")))
            .macula("check pipeline.kdl")
    };
    folder("masks MA \"m/*\" HE \"n/*\"; mask-values MA \"1\" HE \"2\"")
        .code(2)
        .says(&["different patterns: `m/*` and `n/*`"]);
    folder("masks MA \"m/*\" HE \"m/*\"; mask-values MA \"1\" HE \"1\"").code(2).says(&["have the same value"]);
    folder("masks MA \"m/*\"; mask-values MA \"1\"; mask-from 9").code(2).says(&["`mask-from` is a threshold"]);
    folder("masks MA \"m/*\" EX \"e/*\"; mask-values MA \"1\"; mask-from 9").says_not(&["error[mask-value]"]);
}

#[test]
fn labels_that_contradict_their_masks_are_reported() {
    let source =
        "manifest eyes { table \"eyes.csv\"; labels MA \"ma\" HE \"he\"; masks MA \"ma_mask\" HE \"he_mask\" }";
    let space = Space::with(&pipeline(source));
    for name in ["a", "b"] {
        picture(&space, &format!("{name}.png"), name.as_bytes()[0]);
        mask(&space, &format!("m/{name}.png"), &[(255, 30)]);
        mask(&space, &format!("n/{name}.png"), &[]);
    }
    space.write("eyes.csv", "path,ma,he,ma_mask,he_mask\na.png,0,1,m/a.png,n/a.png\nb.png,1,0,m/b.png,n/b.png\n");
    let words = [
        "label-contradicts-mask",
        "the mask of `MA` of `a` has lesion pixels, but its label in the table is absent: the mask decides",
        "the mask of `HE` of `a` has no lesion pixel, but its label in the table is present: the mask decides",
    ];
    // A run shows the first of a kind.
    space.macula("run pipeline.kdl").code(0).says(&words[..2]);
    space.macula("data check pipeline.kdl").code(0).says(&words);
}

#[test]
fn a_labelme_file_that_names_another_photograph_is_reported() {
    let source =
        "annotations eyes { root \".\"; photographs \"p/*\"; format labelme files=\"l/*.json\"; classes MA \"ma\" }";
    let space = Space::with(&pipeline(source));
    for (name, stated) in [("a", "..\\\\p\\\\A.PNG"), ("b", "a.png")] {
        picture(&space, &format!("p/{name}.png"), name.as_bytes()[0]);
        let shape = "{\"label\": \"ma\", \"points\": [[1, 1], [9, 1], [9, 9]], \"shape_type\": \"polygon\"}";
        let text = format!("{{\"imagePath\": \"{stated}\", \"shapes\": [{shape}]}}");
        space.write(&format!("l/{name}.json"), text);
    }
    let words =
        "1 annotation file names another photograph than the one with the same name (first: `l/b.json` names `a.png`";
    space.macula("run pipeline.kdl").code(0).says(&["other-photograph", words]);
}

#[test]
fn identical_files_with_opposite_labels_are_reported() {
    let space = Space::with(&pipeline("manifest eyes { table \"eyes.csv\"; labels MA \"ma\" HE \"he\" }"));
    for name in ["a", "b", "c"] {
        picture(&space, &format!("{name}.png"), 9);
    }
    space.write("eyes.csv", "path,ma,he\na.png,1,0\nb.png,0,0\nc.png,0,\n");
    let words = ["opposite-labels", "`a.png` and `b.png` are identical files with opposite labels of `MA`"];
    let said = space.macula("data check pipeline.kdl").code(0).says(&words);
    assert_eq!(said.stdout.matches("opposite-labels").count(), 1, "{}", said.stdout);
}

#[test]
fn several_names_on_a_line_of_an_exclusion_list_are_a_mistake() {
    let space = Space::with(&pipeline("manifest eyes { table \"eyes.csv\"; labels MA \"ma\"; exclude \"out.txt\" }"));
    for name in ["a", "b", "c d"] {
        picture(&space, &format!("{name}.png"), name.as_bytes()[0]);
    }
    space.write("eyes.csv", "path,ma\na.png,1\nb.png,0\nc d.png,0\n");
    for list in ["a, b\n", "a b\n", "a;b\n", "x\na.png, b.png\n"] {
        space.write("out.txt", list);
        let words = ["of `out.txt` names several photographs, such as `b", "write one on each line"];
        space.macula("run pipeline.kdl").code(1).says(&words);
    }
    // A name with a blank, and a table whose other columns name photographs.
    for list in ["c d\n", "excluded,of\nc d.png,a.png\n"] {
        space.write("out.txt", list);
        space.macula("run pipeline.kdl").code(0).says(&["1 excluded"]);
    }
}

#[test]
fn patients_of_two_tables_in_one_folder_are_the_same_people() {
    let text = "pipeline study seed=7 {
    manifest first { table \"data/first.csv\"; patient \"who\"; labels MA \"ma\" ROOT }
    manifest second { table \"data/second.csv\"; patient \"who\"; labels MA \"ma\" ROOT }
    extract whole { from first; size 40 }
    split folds { from whole; by image; train 0.5; valid 0.5; test 0.0 }
    train model { data folds.train; valid folds.valid; network shallow-cnn; epochs 1 }
    extract others { from second; size 40 }
    eval scores { model model; data others }
}
";
    let space = Space::new();
    for (table, names) in [("first", ["a", "b", "c", "d"]), ("second", ["e", "f", "g", "h"])] {
        let mut text = "path,who,ma\n".to_owned();
        for (at, name) in names.iter().enumerate() {
            picture(&space, &format!("data/{name}.png"), name.as_bytes()[0]);
            let _ = writeln!(text, "{name}.png,P{at},{}", at % 2);
        }
        space.write(&format!("data/{table}.csv"), text);
    }
    for root in ["", "; root \"data\""] {
        space.write("pipeline.kdl", text.replace(" ROOT", root));
        space.macula("run pipeline.kdl").code(1).says(&["fitted-on", "other photographs of"]);
    }
}

#[test]
fn tables_in_encodings_that_are_not_read_say_which_they_are() {
    let space = Space::with(&pipeline("manifest eyes { table \"eyes.csv\"; labels MA \"ma\" }"));
    let text = "path,ma\na.png,1\n";
    let wide = |mark: &[u8], to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        mark.iter().copied().chain(text.encode_utf16().flat_map(to_bytes)).collect()
    };
    for bytes in [wide(&[0xff, 0xfe], u16::to_le_bytes), wide(&[], u16::to_be_bytes)] {
        space.write("eyes.csv", bytes);
        space.macula("run pipeline.kdl").code(1).says(&["it is UTF-16", "save it as \"CSV UTF-8\""]);
    }
    for (start, what) in [(&b"\x1f\x8b\x08\0rest"[..], "gunzip"), (b"PK\x03\x04rest", "a spreadsheet such as .xlsx")] {
        space.write("eyes.csv", start);
        space.macula("run pipeline.kdl").code(1).says(&["`eyes.csv`", what]);
    }
    space.edit("pipeline.kdl", "eyes.csv", "eyes.parquet");
    space.write("eyes.parquet", include_bytes!("../../expected/gzip.parquet"));
    space.macula("run pipeline.kdl").code(1).says(&["it is compressed with gzip", "compression=\"zstd\""]);
}

#[test]
fn spellings_of_a_patient_are_shown_as_they_are() {
    let space = Space::with(&pipeline("manifest eyes { table \"eyes.csv\"; patient \"who\"; labels MA \"ma\" }"));
    for name in ["a", "b"] {
        picture(&space, &format!("{name}.png"), name.as_bytes()[0]);
    }
    space.write("eyes.csv", "path,who,ma\na.png,José,1\nb.png,JOSÉ,0\n");
    space.macula("run pipeline.kdl").code(0).says(&["patient-spelling", "`JOSÉ` and `José`"]);
}
