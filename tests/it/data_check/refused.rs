//! What cannot be checked, which stages are, and an interruption.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{check, healthy_space, json as checked};
use crate::space::Space;

const TWO: &str = "pipeline p seed=7 {
    synthetic eyes { photographs 3; size 128 }
    synthetic others { photographs 2; size 160 }
    preprocess half { from eyes; shrink 2 }
    extract patches { from half; size 32 }
}
";

#[test]
fn mistakes_in_the_text_are_reported_as_by_check() {
    let space = Space::with("pipeline p seed=7 { folder eyes { rot \"data\" } }\n");
    let text = space.macula("check pipeline.kdl").code(2).stderr;
    assert!(!text.is_empty());
    assert_eq!(check(&space, "").code(2).stderr, text);
}

#[test]
fn an_unknown_stage_and_one_without_photographs_are_refused() {
    let space = Space::with(TWO);
    check(&space, "--stage eye").code(2).says(&["unknown stage `eye`", "did you mean `eyes`?"]);
    check(&space, "--stage patches").code(2).says(&["`patches` does not give photographs", "`eyes`, `others`"]);
    let space = Space::with("pipeline p seed=7 { files notes { path \"notes.txt\" } }\n");
    check(&space, "").code(2).says(&["pipeline `p` has no stage that gives photographs"]);
}

#[test]
fn generated_photographs_are_made_and_kept_as_by_a_run() {
    let space = Space::with(TWO);
    let found = checked(&space, "", 0);
    let stages: Vec<_> = found["stages"].as_array().expect("stages").iter().map(|one| one["stage"].clone()).collect();
    assert_eq!(stages, ["eyes", "others"], "sources only");
    // Both stages draw the same eyes from the pipeline's seed, at different sizes.
    assert_eq!(found["verdict"], "0 errors, 2 warnings in 5 photographs");
    assert!(!space.path("results").exists());
    assert_eq!(checked(&space, "", 0), found);
    space.macula("plan pipeline.kdl eyes others").code(0).says(&["2 reused"]);
    let half = checked(&space, "--stage half", 0);
    assert_eq!(half["stages"][0]["pictures"][0]["width"], 64);
    assert_eq!(half["stages"].as_array().map(Vec::len), Some(1));
    assert_eq!(checked(&space, "--stage others", 0)["photographs"], json!(2));
}

#[test]
fn an_interruption_ends_the_check() {
    let space = healthy_space(1, "");
    let large = macula::data::png_image::png(
        &(0..1200 * 1200 * 3).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<u8>>(),
        1200,
        1200,
        macula::data::png_image::PixelFormat::Rgb,
    );
    space.write("large.png", large);
    for at in 0..600 {
        let link = space.path(&format!("data/photos/b{at}.png"));
        std::os::unix::fs::symlink(space.path("large.png"), link).expect("a link");
    }
    let mut command = space.command(&["data", "check", "pipeline.kdl", "--threads", "1"]);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("the binary starts");
    std::thread::sleep(Duration::from_millis(1500));
    kill_process(Pid::from_child(&child), Signal::INT).expect("it is still there");
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("stopped"));
}
