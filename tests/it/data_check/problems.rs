//! Each kind of problem, all in one data set.

use std::os::unix::fs::symlink;

use super::{SIDE, check, findings, healthy_space, jpeg, json, lesion, mask, photograph};
use crate::extract::image_files::png;
use crate::space::Space;

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";

/// A photograph with 16-bit samples that only use the lowest part of their range, although the file says that white is 65,535.
fn dark() -> Vec<u8> {
    let value = |at: usize| ((at % SIDE * 40 + at / SIDE * 17) % 2000) as u16;
    let values: Vec<u8> = (0..SIDE * SIDE).flat_map(|at| value(at).to_be_bytes()).collect();
    png((SIDE, SIDE), 16, 0, &values, &[(b"sBIT", &[16])], &[])
}

/// A mask with soft edges.
fn soft() -> Vec<u8> {
    let value = |x: u32, y: u32| {
        let distance = x.abs_diff(80).max(y.abs_diff(80));
        image::Luma([255_u32.saturating_sub(distance * 20) as u8])
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    let pixels = image::GrayImage::from_fn(SIDE as u32, SIDE as u32, value);
    pixels.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
    bytes.into_inner()
}

/// A data set in which every photograph from the third on has another problem.
pub(super) fn broken_space() -> Space {
    let space = healthy_space(17, "absent-mask absent");
    let truncated = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    let replace = |name: &str, ending: &str, bytes: &[u8]| {
        std::fs::remove_file(space.path(&format!("data/photos/{name}.png"))).expect("it was there");
        space.write(&format!("data/photos/{name}.{ending}"), bytes);
    };
    replace("a03", "jpg", &truncated(jpeg(3)));
    replace("a04", "png", POINTER.as_bytes());
    replace("a05", "png", b"not a picture");
    replace("a06", "jpg", &jpeg(1));
    replace("a07", "png", &photograph(2));
    replace("a08", "png", &dark());
    replace("a09", "png", &macula::data::png_image::png(&vec![0; SIDE * SIDE * 3], 160, 160, super::PixelFormat::Rgb));
    std::fs::remove_file(space.path("data/photos/a10.png")).expect("it was there");
    symlink("../nowhere.png", space.path("data/photos/a10.png")).expect("a link");
    space.write("data/ma/a11.png", mask(80, &[[40, 40, 4, 4]]));
    space.write("data/ma/a12.png", truncated(lesion(12)));
    space.write("data/ma/a13.png", mask(SIDE, &[[2, 2, 5, 5]]));
    space.write("data/ma/a14.png", mask(SIDE, &[[10, 0, 130, 160]]));
    space.write("data/ma/a15.png", soft());
    space.write("data/ex/a16.png", lesion(16));
    space.write("data/ma/a17.png", photograph(17));
    space.write("data/ex/a12.png", mask(SIDE, &[]));
    space.write("data/ex/a02.png", lesion(1));
    space.write("data/ma/a99.png", lesion(90));
    space
}

#[test]
fn every_problem_is_found_and_everything_else_is_still_checked() {
    let space = broken_space();
    let found = json(&space, "", 1);
    let mut all = findings(&found);
    all.sort();
    let expected = [
        ["error", "broken-link", "a10", ""],
        ["error", "content-elsewhere", "a04", ""],
        ["error", "damaged-mask", "a12", "MA"],
        ["error", "damaged-photograph", "a05", ""],
        ["error", "mask-size", "a11", "MA"],
        ["error", "truncated-photograph", "a03", ""],
        ["warning", "blank-mask", "", "EX"],
        ["warning", "blank-photograph", "a09", ""],
        ["warning", "copied-mask", "a02", "EX"],
        ["warning", "dark-photograph", "a08", ""],
        ["warning", "mask-covers-most", "a14", "MA"],
        ["warning", "mask-is-photograph", "a17", "MA"],
        ["warning", "mask-outside-field", "a13", "MA"],
        ["warning", "near-duplicate", "a01", ""],
        ["warning", "opposite-labels", "a07", ""],
        ["warning", "same-photograph", "a07", ""],
        ["warning", "shared-mask", "a16", "EX"],
        ["warning", "shared-mask", "a16", "MA"],
        ["warning", "soft-mask", "a15", "MA"],
        ["warning", "unmatched-mask", "", ""],
    ];
    let all: Vec<[&str; 4]> = all.iter().map(|one| one.each_ref().map(String::as_str)).collect();
    let unexpected: Vec<_> = all.iter().filter(|one| !expected.contains(one)).collect();
    // A mask that is a photograph covers most of it.
    assert_eq!(unexpected, [&["warning", "mask-covers-most", "a17", "MA"]]);
    for one in expected {
        assert!(all.contains(&one), "{one:?} was not found in {all:#?}");
    }
    let source = &found["stages"][0];
    assert_eq!((&source["photographs"], &source["decoded"]), (&17.into(), &13.into()));
    let truncated = found["findings"].as_array().expect("findings").iter().find(|one| one["photograph"] == "a03");
    let truncated = truncated.expect("it was found");
    assert_eq!(truncated["file"], "data/photos/a03.jpg");
    assert_eq!(truncated["hint"], "copy or download the file again");
    assert_eq!(truncated["stage"], "eyes");
}

#[test]
fn the_text_lists_every_file_with_what_to_do_and_ends_with_the_verdict() {
    let space = broken_space();
    let said = check(&space, "").code(1);
    let last = said.raw.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("6 errors, ") && last.ends_with(" in 17 photographs"), "{last}");
    said.says(&[
        "error[truncated-photograph]: `data/photos/a03.jpg` is truncated: the image data ends too early",
        "hint: copy or download the file again",
        "error[content-elsewhere]: `data/photos/a04.png` is a pointer file",
        "hint: run `git lfs pull` to fetch it",
        "error[broken-link]: cannot follow the link `data/photos/a10.png`",
        "error[mask-size]: mask `data/ma/a11.png` is 80 x 80 px, but its photograph `data/photos/a11.png` is 160 x 160 px",
        "warning[same-photograph]: `data/photos/a02.png` and `data/photos/a07.png` are identical files",
        "warning[near-duplicate]: `a01` and `a06` show the same picture",
        "warning[mask-outside-field]: the mask of `MA` of `a13`",
        "eyes, folder: 17 photographs with",
    ]);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let space = broken_space();
    for form in ["", "--json"] {
        let one = check(&space, &format!("{form} --threads 1")).code(1).raw;
        let seven = check(&space, &format!("{form} --threads 7")).code(1).raw;
        assert!(one.contains("truncated-photograph"), "{one}");
        assert_eq!(one, seven);
    }
}

#[test]
fn a_run_still_fails_on_what_was_only_reported() {
    let space = broken_space();
    // Every source would be remembered.
    let mut command = space.command(&["data", "check", "pipeline.kdl"]);
    command.env("MACULA_LOOKS", "1");
    space.finish(command).code(1);
    let mut command = space.command(&["plan", "pipeline.kdl"]);
    command.env("MACULA_LOOKS", "1");
    space.finish(command).code(1).says(&["broken-link", "a10.png"]);
    std::fs::remove_file(space.path("data/photos/a10.png")).expect("it was there");
    space.macula("plan pipeline.kdl").code(1).says(&["content-elsewhere", "a04.png"]);
    space.write("data/photos/a04.png", photograph(4));
    space.macula("plan pipeline.kdl").code(0);
}

#[test]
fn a_source_that_fails_is_an_error_and_others_are_checked() {
    let space = healthy_space(2, "");
    space.edit(
        "pipeline.kdl",
        "\n}\n",
        "\n    folder others { root \"nowhere\"; photographs \"*\"; masks MA \"ma/*\" }\n}\n",
    );
    let found = json(&space, "", 1);
    let errors: Vec<_> = findings(&found).into_iter().filter(|[level, ..]| level == "error").collect();
    assert_eq!(errors, [["error", "missing-folder", "", ""]]);
    assert_eq!(found["stages"][0]["decoded"], 2);
    assert_eq!(found["stages"][1]["photographs"], 0);
    check(&space, "").code(1).says(&["others, folder: no photographs", "1 error, "]);
}

#[test]
fn names_cannot_act_on_the_terminal() {
    let space = healthy_space(1, "");
    space.write("data/photos/b\u{1b}[2J.png", b"not a picture");
    let said = check(&space, "").code(1);
    assert!(!said.raw.contains('\u{1b}'), "{}", said.raw);
    said.says(&["b\\u001b[2J"]);
}
