//! Packs: a pipeline with its results as one file, unpacked by somebody who has neither store nor data.

mod forged;
mod hostile;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use macula::base::Streams;
use macula::data::png_image::{PixelFormat, png};
use serde_json::Value;

use crate::space::{Said, Space};

/// Side of the photographs, px.
const SIDE: usize = 96;

/// A pipeline over photographs in `{data}`; the last `{}` is for more stages.
const PIPELINE: &str = r#"use "parts/net.kdl"

pipeline small seed=7 {
    // Spots.
    folder eyes { root "{data}"; photographs "photos/*"; masks MA "ma/*" EX "ex/*" }
    extract patches { from eyes; size 48; label min-pixels=1 }
    split folds { from patches; by image; train 0.5; valid 0.25; test 0.25 }
    train classifier { data folds.train; valid folds.valid; network tiny; epochs 1; batch 32 }
    threshold-tune cuts { model classifier; data folds.valid }
    eval scores { model classifier; thresholds cuts; data folds.test }
    {more}
}
"#;

const NETWORK: &str = "network tiny {\n    conv first out=8 kernel=3\n    relu\n    max-pool kernel=2 stride=2\n    global-avg-pool\n    linear fc\n}\n";

/// Names of photographs: of a kind that occurs nowhere by chance.
fn name(at: usize) -> String {
    format!("Patient7_{at:02}")
}

fn picture(seed: u64, format: PixelFormat) -> Vec<u8> {
    let streams = Streams::new(seed, "picture");
    let value = |at: usize| 60 + (streams.rank("pixel", (at / 7) as u64, b"") >> 57) as u8;
    let channels = if matches!(format, PixelFormat::Grey) { 1 } else { 3 };
    let pixels: Vec<u8> = (0..SIDE * SIDE * channels).map(value).collect();
    png(&pixels, SIDE as u32, SIDE as u32, format)
}

fn mask(at: usize) -> Vec<u8> {
    let inside = |x: usize, y: usize| (at * 5..at * 5 + 9).contains(&x) && (20..30).contains(&y);
    let pixels: Vec<u8> = (0..SIDE * SIDE).map(|at| if inside(at % SIDE, at / SIDE) { 255 } else { 0 }).collect();
    png(&pixels, SIDE as u32, SIDE as u32, PixelFormat::Grey)
}

/// A project whose photographs lie outside of it, and that folder.
fn project(more: &str) -> (Space, PathBuf) {
    let space = Space::new();
    let data = space.outside("fundus");
    for folder in ["photos", "ma", "ex"] {
        fs::create_dir_all(data.join(folder)).expect("a folder");
    }
    for at in 0..8 {
        let file = format!("{}.png", name(at));
        fs::write(data.join("photos").join(&file), picture(at as u64, PixelFormat::Rgb)).expect("written");
        fs::write(data.join("ma").join(&file), mask(at)).expect("written");
        fs::write(data.join("ex").join(&file), mask(at + 4)).expect("written");
    }
    let text = PIPELINE.replace("{data}", &data.display().to_string()).replace("{more}", more);
    space.write("exp/small.kdl", text);
    space.write("exp/parts/net.kdl", NETWORK);
    space.write("project.kdl", "store \"my-store\"\nremote lab \"/mnt/nobody/secret\"\nnear-duplicates #false\n");
    (space, data)
}

/// The binary for somebody named so that the name can be found again.
fn command(space: &Space, arguments: &str) -> Command {
    let mut command = space.command(&arguments.split_whitespace().collect::<Vec<_>>());
    command.env("USER", "marianas").env("MACULA_TRUST", space.outside("trusted")).env("MACULA_REMOTE", "none");
    command
}

fn macula(space: &Space, arguments: &str) -> Said {
    space.finish(command(space, arguments))
}

/// A project that was run.
fn computed() -> (Space, PathBuf) {
    let (space, data) = project("");
    macula(&space, "run exp/small.kdl").code(0);
    (space, data)
}

/// An empty folder of somebody else, with a pack in it.
fn received(from: &Space, pack: &str) -> Space {
    let other = Space::new();
    fs::copy(from.path(pack), other.path("small.macula.zip")).expect("copied");
    other
}

fn contains(bytes: &[u8], words: &str) -> bool {
    bytes.windows(words.len()).any(|window| window == words.as_bytes())
}

#[test]
fn a_pack_has_models_and_metrics_and_no_name() {
    let (space, data) = computed();
    let said = macula(&space, "pack exp/small.kdl").code(0);
    said.says(&["wrote small.macula.zip", "2 results: classifier, cuts", "3 withheld", "project/data/fundus"]);
    let bytes = fs::read(space.path("small.macula.zip")).expect("a pack");
    let words = [name(1), "marianas".into(), "nobody/secret".into(), "my-store".into(), data.display().to_string()];
    for word in words {
        assert!(!contains(&bytes, &word), "the pack contains `{word}`");
    }
    for file in [
        "README.md",
        "ro-crate-metadata.json",
        "macula.json",
        "outputs/classifier/weights.safetensors",
        "outputs/scores/scores.json",
        "project/exp/small.kdl",
        "project/exp/parts/net.kdl",
        "project/exp/small.lock.kdl",
    ] {
        assert!(contains(&bytes, file), "the pack lacks `{file}`");
    }
    assert!(!contains(&bytes, "croissant.json"), "it has no patches");
    // The same results give the same bytes.
    macula(&space, "pack exp/small.kdl --output again.zip").code(0);
    assert_eq!(fs::read(space.path("again.zip")).expect("a pack"), bytes);
    macula(&space, "pack exp/small.kdl").code(2).says(&["`small.macula.zip` exists"]);
}

#[test]
fn with_its_data_everything_is_reused_and_comes_out_again() {
    let (space, data) = computed();
    macula(&space, "pack exp/small.kdl --data").code(0).says(&["5 results"]).says_not(&["withheld", "not inside"]);
    let other = received(&space, "small.macula.zip");
    fs::remove_dir_all(data).expect("deleted");
    macula(&other, "unpack small.macula.zip").code(0).says(&["5 results", "macula plan small/project/exp/small.kdl"]);
    macula(&other, "plan small/project/exp/small.kdl").code(0).says(&["0 will run, 5 reused"]);
    macula(&other, "run small/project/exp/small.kdl").code(0).says(&["nothing to compute: 5 reused"]);
    macula(&other, "lock --check small/project/exp/small.kdl").code(0);
    macula(&other, "store verify small/project/exp/small.kdl");
    let croissant = other.read("small/croissant.json");
    let croissant: Value = serde_json::from_str(&croissant).expect("JSON");
    for file in croissant["distribution"][0]["includes"].as_array().expect("files") {
        assert!(other.path("small").join(file.as_str().expect("a path")).is_file(), "{file}");
    }
    let said = macula(&other, "unpack --verify --json small.macula.zip again").code(0);
    let said: Value =
        serde_json::from_str(said.raw.get(said.raw.find("{\n").unwrap_or(0)..).unwrap_or_default()).expect("JSON");
    let verdicts: Vec<_> = said["verified"].as_array().expect("stages").iter().map(|stage| &stage["verdict"]).collect();
    assert_eq!(verdicts, ["bit-for-bit"; 6]);
}

#[test]
fn whoever_has_the_photographs_computes_the_rest() {
    let (space, data) = computed();
    macula(&space, "pack exp/small.kdl").code(0);
    let other = received(&space, "small.macula.zip");
    let said = macula(&other, "unpack small.macula.zip --verify").code(1);
    said.says(&["the files of `eyes` are not inside", "small/project/data/fundus", "MISSING", "needs `eyes`"]);
    // Models are files that need no macula.
    assert_eq!(
        fs::read(other.path("small/outputs/classifier/weights.safetensors")).expect("a model"),
        fs::read(space.path("results/small/classifier/weights.safetensors")).expect("a model"),
    );
    fs::create_dir_all(other.path("small/project/data")).expect("a folder");
    fs::rename(data, other.path("small/project/data/fundus")).expect("moved");
    macula(&other, "run small/project/exp/small.kdl").code(0).says(&["2 reused"]);
    macula(&other, "run --locked small/project/exp/small.kdl").code(0).says(&["6 bit for bit"]);
}

#[test]
fn what_must_not_be_inside_is_found() {
    let (space, _) = computed();
    for (what, hint) in [
        ("// by marianas", "`marianas`"),
        ("// without Patient7_03", "`Patient7_03`"),
        ("// /srv/marianas/x", "marianas"),
    ] {
        space.edit("exp/small.kdl", "// Spots.", what);
        macula(&space, "pack exp/small.kdl").code(2).says(&["project/exp/small.kdl", hint, "--names"]);
        assert_eq!(space.files("").iter().filter(|file| file.contains(".zip") || file.contains(".pack-")).count(), 0);
        space.edit("exp/small.kdl", what, "// Spots.");
    }
    space.edit("exp/small.kdl", "// Spots.", "// without Patient7_03");
    macula(&space, "pack exp/small.kdl --names").code(0);
}

#[test]
fn a_run_is_packed_only_while_its_results_are_current() {
    let (space, _) = computed();
    let runs = macula(&space, "runs exp/small.kdl --json").code(0);
    let last: Value = serde_json::from_str(runs.raw.lines().next().expect("a run")).expect("JSON");
    let run = last["id"].as_str().expect("an id").to_owned();
    macula(&space, &format!("pack exp/small.kdl --run {run}")).code(0);
    space.edit("exp/small.kdl", "epochs 1", "epochs 2");
    macula(&space, "pack exp/small.kdl --output b.zip")
        .code(1)
        .says(&["`classifier` has no result to pack", "macula run"]);
    macula(&space, "run exp/small.kdl").code(0);
    macula(&space, &format!("pack exp/small.kdl --output b.zip --run {run}"))
        .code(2)
        .says(&["`classifier` is not as in run"]);
    macula(&space, "pack exp/small.kdl --output b.zip --run zzzz").code(2).says(&["no run `zzzz`"]);
}

#[test]
fn a_command_travels_with_its_script_and_is_not_run() {
    let more = "files script { path \"run.sh\" }\n    exec note { script script; command sh \"inputs/script/run.sh\"; gives \"note.json\" json }";
    let (space, _) = project(more);
    space.write("run.sh", "echo 1 > outputs/note.json\n");
    macula(&space, "run --trust exp/small.kdl").code(0);
    macula(&space, "pack exp/small.kdl --data").code(0);
    let other = received(&space, "small.macula.zip");
    let said = macula(&other, "unpack small.macula.zip --verify").code(1);
    said.says(&["this pipeline is not trusted", "MISSING", "7 bit for bit"]);
    assert!(other.path("small/project/run.sh").is_file());
    macula(&other, "plan small/project/exp/small.kdl").code(0).says(&["0 will run"]);
    // Trusted as any other pipeline.
    macula(&other, "trust small/project/exp/small.kdl").code(0);
    macula(&other, "unpack small.macula.zip again --verify").code(0).says(&["8 bit for bit"]);
}
