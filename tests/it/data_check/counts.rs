//! What is counted: formats, classes, lesions, patients, pairs.

use serde_json::json;

use super::{SIDE, check, findings, healthy_space, jpeg, json as checked, lesion, mask, photograph};

#[test]
fn nothing_is_wrong_with_good_data() {
    let space = healthy_space(4, "absent-mask absent");
    let said = check(&space, "").code(0);
    assert!(said.raw.ends_with("0 errors, 0 warnings in 4 photographs\n"), "{}", said.raw);
    assert_eq!(said.stderr, "");
    let found = checked(&space, "", 0);
    let fields: Vec<&String> = found.as_object().expect("an object").keys().collect();
    let expected = [
        "macula",
        "file",
        "pipeline",
        "verdict",
        "photographs",
        "errors",
        "warnings",
        "findings",
        "stages",
        "compared",
        "pairs",
    ];
    assert_eq!(fields, expected);
    assert_eq!(found["findings"], json!([]));
    assert_eq!(found["compared"], "whole-and-parts");
}

#[test]
fn classes_and_lesions_are_counted() {
    let space = healthy_space(4, "absent-mask absent");
    space.write("data/ma/a02.png", mask(SIDE, &[[80, 80, 3, 3], [90, 90, 2, 1], [50, 50, 20, 10]]));
    space.write("data/ma/a03.png", mask(SIDE, &[]));
    let found = checked(&space, "", 0);
    assert_eq!(
        found["stages"][0]["classes"],
        json!([
            {
                "class": "MA", "present": 3, "absent": 1, "unknown": 0, "faulty": 0, "masks": 4, "blank-masks": 1,
                "lesion-pixels": 24 + 9 + 2 + 200 + 24, "lesions": 5, "smallest-lesion": 2, "largest-lesion": 200,
            },
            {
                "class": "EX", "present": 1, "absent": 3, "unknown": 0, "faulty": 0, "masks": 1, "blank-masks": 0,
                "lesion-pixels": 100, "lesions": 1, "smallest-lesion": 100, "largest-lesion": 100,
            },
        ])
    );
    // Missing masks mean absent lesions here, so a blank one is strange.
    assert_eq!(findings(&found), [["warning", "blank-mask", "", "MA"]]);
    check(&space, "").says(&[
        "1 mask of `MA` without a lesion pixel (first: `a03`), while 3 other absent lesions have no mask file",
    ]);
    space.edit("pipeline.kdl", "absent-mask absent", "absent-mask unknown");
    let found = checked(&space, "", 0);
    assert_eq!(found["stages"][0]["classes"][1]["unknown"], 3);
    assert_eq!(findings(&found), Vec::<[String; 4]>::new());
    // No mask of the class has a lesion pixel.
    for at in [1, 2, 4] {
        space.write(&format!("data/ma/a{at:02}.png"), mask(SIDE, &[]));
    }
    assert_eq!(findings(&checked(&space, "", 0)), [["warning", "blank-mask", "", "MA"]]);
    check(&space, "").says(&["no mask of `MA` has a lesion pixel (4 masks, first: `a01`)"]);
}

#[test]
fn formats_sizes_and_patients_are_counted() {
    let space = healthy_space(0, "patient \"photos/*_\"");
    for (name, seed) in [("p1_l", 1), ("p1_r", 2), ("p2_l", 3)] {
        space.write(&format!("data/photos/{name}.jpg"), jpeg(seed));
        space.write(&format!("data/ma/{name}.png"), lesion(seed));
    }
    let grey: Vec<u8> = (0..100 * 50).map(|at: usize| 90 + (at * 7919 % 97) as u8).collect();
    let grey = macula::data::png_image::png(&grey, 100, 50, macula::data::png_image::PixelFormat::Grey);
    space.write("data/photos/p3_l.png", grey);
    std::fs::rename(space.path("data/ex/a01.png"), space.path("data/ex/p1_l.png")).expect("it was there");
    let found = checked(&space, "", 0);
    let source = &found["stages"][0];
    assert_eq!(
        source["pictures"],
        json!([
            {
                "format": "JPEG", "width": 160, "height": 160, "bits": 8, "grey": false, "orientation": 1,
                "photographs": 3,
            },
            { "format": "PNG", "width": 100, "height": 50, "bits": 8, "grey": true, "orientation": 1, "photographs": 1 },
        ])
    );
    assert_eq!(
        source["patients"],
        json!({ "count": 3, "fewest-photographs": 1, "most-photographs": 2, "photographs-without": 0 })
    );
    check(&space, "").says(&["JPEG    160 x 160", "PNG     100 x 50", "most of a patient"]);
}

#[test]
fn the_same_picture_is_found_across_sources_and_not_warned_of_within_a_patient() {
    let space = healthy_space(3, "");
    space.edit(
        "pipeline.kdl",
        "\n}\n",
        "\n    folder others { root \"more\"; photographs \"*.jpg\"; masks MA \"ma/*.png\"; patient \"*_\" }\n}\n",
    );
    for (name, seed) in [("p1_l", 2), ("p1_r", 9), ("p1_s", 8), ("p2_l", 11)] {
        space.write(&format!("more/{name}.jpg"), jpeg(seed));
        space.write(&format!("more/ma/{name}.png"), mask(SIDE, &[[80, 80, 4, seed as usize]]));
    }
    // Saved again with other metadata: another file that shows the same.
    let mut again = jpeg(9);
    again.splice(2..2, [0xff, 0xfe, 0, 4, b'h', b'i']);
    space.write("more/p1_s.jpg", again);
    let found = checked(&space, "", 0);
    let pairs = found["pairs"].as_array().expect("pairs");
    let names = |at: usize| [0, 1].map(|side| pairs[at]["members"][side]["photograph"].as_str().unwrap_or_default());
    assert_eq!(pairs.len(), 2, "{pairs:#?}");
    assert_eq!((names(0), names(1)), (["a02", "p1_l"], ["p1_r", "p1_s"]));
    assert_eq!([&pairs[0]["same-patient"], &pairs[1]["same-patient"]], [false, true]);
    let duplicates: Vec<_> = findings(&found).into_iter().filter(|[_, code, ..]| code == "near-duplicate").collect();
    assert_eq!(duplicates, [["warning", "near-duplicate", "a02", ""]]);
    check(&space, "").says(&["`a02` of `eyes` and `p1_l` of `others` show the same picture", "others/p1_l"]);
    // The same file in another source is a copy; a file that two sources read is not.
    space.write("more/p3_l.jpg", photograph(1));
    let found = checked(&space, "", 0);
    assert!(findings(&found).iter().any(|[_, code, ..]| code == "same-photograph"), "{found:#}");
    std::fs::remove_file(space.path("more/p3_l.jpg")).expect("it was there");
    space.edit(
        "pipeline.kdl",
        "root \"more\"; photographs \"*.jpg\"; masks MA \"ma/*.png\"; patient \"*_\"",
        "root \"data\"; photographs \"photos/*\"; masks MA \"ma/*.png\"",
    );
    let found = checked(&space, "", 0);
    assert_eq!((&found["pairs"], &found["photographs"]), (&json!([]), &json!(6)));
}

#[test]
fn a_project_may_turn_comparisons_off() {
    let space = healthy_space(2, "");
    space.write("data/photos/b.jpg", jpeg(1));
    space.write("project.kdl", "near-duplicates #false\n");
    let found = checked(&space, "", 0);
    assert_eq!((&found["pairs"], &found["compared"]), (&json!([]), &json!("not")));
    check(&space, "").says(&["near-duplicates were not looked for: `project.kdl` turns that off"]);
    space.write("project.kdl", "");
    assert_eq!(checked(&space, "", 0)["pairs"].as_array().map(Vec::len), Some(1));
}
