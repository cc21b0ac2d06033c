//! Bad input through the binary: each ends with its exit code and names the file, and the line or the field.

use std::fmt::Write;
use std::process::Command;

use super::{PREPARED, with_photographs};
use crate::space::Space;

/// The first photograph's folder below `data`.
fn first(space: &Space) -> String {
    let files = space.files("data");
    let first = files.iter().find_map(|file| file.split_once('/')).expect("photographs were written");
    format!("data/{}", first.0)
}

#[test]
fn a_truncated_photograph_is_named() {
    let space = with_photographs(2);
    let photograph = format!("{}/photograph.png", first(&space));
    let bytes = std::fs::read(space.path(&photograph)).expect("it can be read");
    space.write(&photograph, &bytes[..bytes.len() / 2]);
    space.macula("run pipeline.kdl").code(1).says(&["photograph", &photograph]);
}

#[test]
fn a_truncated_jpeg_is_named() {
    let space = with_photographs(2);
    let cut = first(&space) + "/photograph.jpg";
    for file in space.files("data").iter().filter(|file| file.ends_with("photograph.png")) {
        let png = space.path("data").join(file);
        let mut jpeg = std::io::Cursor::new(Vec::new());
        let picture = image::open(&png).expect("a PNG opens").to_rgb8();
        picture.write_to(&mut jpeg, image::ImageFormat::Jpeg).expect("a JPEG is written");
        std::fs::remove_file(&png).expect("it can be deleted");
        space.write(&format!("data/{}", file.replace(".png", ".jpg")), jpeg.into_inner());
    }
    let whole = std::fs::read(space.path(&cut)).expect("it can be read");
    space.write(&cut, &whole[..whole.len() * 2 / 3]);
    space.edit("pipeline.kdl", "*/photograph.png", "*/photograph.jpg");
    space.macula("run pipeline.kdl").code(1).says(&["truncated-photograph", &cut]);
}

#[test]
fn a_mask_of_another_size_is_named_with_its_photograph() {
    let space = with_photographs(2);
    let folder = first(&space);
    let mask = format!("{folder}/mask.MA.png");
    image::GrayImage::new(10, 12).save(space.path(&mask)).expect("a PNG is written");
    let said = space.macula("run pipeline.kdl").code(1);
    said.says(&[
        "mask-size",
        &mask,
        &format!("{}/photograph.png", folder.trim_start_matches("data/")),
        "10 x 12",
        "192 x 192",
    ]);
}

#[test]
fn a_photograph_without_a_mask_is_named_where_that_is_an_error() {
    let space = with_photographs(2);
    let folder = first(&space);
    space.edit("pipeline.kdl", "absent-mask absent", "absent-mask error");
    for class in ["MA", "HE", "EX", "SE"] {
        let _ = std::fs::remove_file(space.path(&format!("{folder}/mask.{class}.png")));
    }
    let name = folder.trim_start_matches("data/");
    space.macula("run pipeline.kdl").code(1).says(&["photograph-without-mask", name]);
}

#[test]
fn an_empty_folder_is_named() {
    let space = with_photographs(2);
    std::fs::remove_dir_all(space.path("data")).expect("it can be deleted");
    std::fs::create_dir(space.path("data")).expect("it can be made");
    space.macula("run pipeline.kdl").code(1).says(&["no-photographs", "data"]);
    std::fs::remove_dir(space.path("data")).expect("it can be deleted");
    space.macula("run pipeline.kdl").code(1).says(&["data"]);
}

#[test]
fn a_store_that_can_not_be_made_ends_with_three() {
    let space = Space::with(PREPARED);
    space.write("a-file", "not a folder");
    let mut command = space.command(&["run", "pipeline.kdl"]);
    command.env("MACULA_STORE", "a-file/store");
    space.finish(command).code(3).says(&["a-file"]);
}

#[test]
fn a_full_disk_ends_with_three_and_leaves_a_store_that_works() {
    let space = Space::with(PREPARED);
    // Files of more than 16 blocks of 1024 bytes can't be written: the system says so as it does for a full disk.
    let mut command = Command::new("bash");
    command.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" run pipeline.kdl", env!("CARGO_BIN_EXE_macula")]);
    command.current_dir(space.path(""));
    space.finish(command).code(3).says(&["cannot write"]);
    space.macula("run pipeline.kdl").code(0);
    space.macula("run pipeline.kdl").code(0);
}

#[test]
fn kdl_nested_ten_thousand_deep_is_refused() {
    let space = Space::new();
    let mut text = String::from("pipeline deep ");
    for level in 0..10_000 {
        let _ = write!(text, "{{ a{level} ");
    }
    space.write("pipeline.kdl", text + &"}".repeat(10_000));
    space.macula("check pipeline.kdl").code(2).says(&["pipeline.kdl"]);
}

#[test]
fn a_cycle_is_refused_with_its_stages() {
    let space =
        Space::with("pipeline round {\n    filter-black one { from two }\n    filter-black two { from one }\n}\n");
    for verb in ["check", "run", "plan"] {
        space.macula(&format!("{verb} pipeline.kdl")).code(2).says(&["cycle", "one", "two"]);
    }
}

#[test]
fn unknown_stages_and_outputs_are_refused_with_what_there_is() {
    let space = Space::with(PREPARED);
    space.macula("show pipeline.kdl patches").code(2).says(&["`patches` was not computed yet", "macula run"]);
    space.macula("show pipeline.kdl patchs").code(2).says(&["there is no stage `patchs`", "`patches`"]);
    space.macula("run pipeline.kdl").code(0);
    space.macula("show pipeline.kdl folds.trian").code(2).says(&["no output `trian`", "`train`"]);
    space.macula("show missing.kdl patches").code(2).says(&["missing.kdl"]);
}
