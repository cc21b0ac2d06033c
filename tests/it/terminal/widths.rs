//! What every command prints for people fits 80 columns, and no word of it is split.

use std::collections::BTreeSet;

use unicode_width::UnicodeWidthStr;

use super::QUICK;
use crate::space::{Said, Space};

/// A sweep of [`QUICK`].
const SIZES: &str = "sweep sizes { of quick; over patches.size 32 40 }
";

/// Long names, a source with long paths, and values that take more than a line.
const LONG: &str = "pipeline lesions-of-the-second-reading-with-all-exclusions seed=7 {
    folder photographs-of-the-second-reading {
        root \"a-folder-with-a-long-name/and-one-in-it\"
        photographs \"*.png\"
        masks MA \"masks-of-microaneurysms-by-the-first-reader/*.png\"
        absent-mask absent
    }
    extract patches-of-thirty-two-pixels-on-a-grid { from photographs-of-the-second-reading; size 32 }
    filter-black patches-that-are-not-black { from patches-of-thirty-two-pixels-on-a-grid }
    split patients-for-training-validation-and-test-as-in-the-protocol {
        from patches-that-are-not-black; by image; train 0.5; valid 0.25; test 0.25
    }
    augment views-of-patches {
        from patients-for-training-validation-and-test-as-in-the-protocol.train
        flip horizontal=0.5
    }
    train classifier-of-microaneurysms-only {
        data views-of-patches
        valid patients-for-training-validation-and-test-as-in-the-protocol.valid
        network shallow-cnn; epochs 1; batch 16
    }
    eval scores-on-the-patients-of-the-test-set {
        model classifier-of-microaneurysms-only
        data patients-for-training-validation-and-test-as-in-the-protocol.test
    }
    report page-with-everything {
        of photographs-of-the-second-reading patches-that-are-not-black scores-on-the-patients-of-the-test-set
    }
}
";

/// A photograph of 64 px like no other.
fn picture(at: u32) -> Vec<u8> {
    let noise = |x: u32, y: u32| (x * 7919 + y * 104_729 + at * 1_299_709).wrapping_mul(2_654_435_761) >> 24;
    let grey = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([60 + (noise(x, y) % 180) as u8]));
    png(&image::DynamicImage::ImageLuma8(grey).to_rgb8().into())
}

fn png(picture: &image::DynamicImage) -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
    png.into_inner()
}

fn mask() -> Vec<u8> {
    let grey = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([if x / 4 == 5 && y / 4 == 5 { 255 } else { 0 }]));
    png(&image::DynamicImage::ImageLuma8(grey))
}

fn at(space: &Space, words: &str, columns: usize) -> Said {
    let mut command = space.command(&words.split_whitespace().collect::<Vec<_>>());
    command.env("COLUMNS", columns.to_string());
    space.finish(command)
}

/// In a pipe, an error, a warning or a hint is one line however long, so that it can be found by line.
fn is_message(line: &str) -> bool {
    let first = line.trim_start();
    let begins = ["error", "warning", "hint:", "help:", "tip:", "×", "⚠"];
    begins.iter().any(|word| first.starts_with(word)) || line.contains(" warning[") || line.contains(" error[")
}

/// Lines that are too wide; one of a single word may be, such as a path, and so may a command to copy.
fn wide(text: &str, columns: usize) -> Vec<&str> {
    let is_whole = |line: &str| {
        let line = line.trim();
        line.split_whitespace().count() == 1 || line.starts_with("`macula ") && line.ends_with('`')
    };
    let too_wide = |line: &&str| line.width() > columns && !is_whole(line) && !is_message(line);
    text.lines().filter(too_wide).collect()
}

/// The words of a text that could be split: not rails, nor what was cut at an `…`, nor a note on columns that are not shown.
fn words(text: &str) -> BTreeSet<String> {
    let note = "(not shown at this width:";
    let text = match text.split_once(note) {
        Some((before, after)) => format!("{before} {}", after.split_once(')').map_or("", |(_, rest)| rest)),
        None => text.to_owned(),
    };
    let bare = |word: &str| word.trim_start_matches('(').trim_end_matches([',', ';', ':', ')']).to_owned();
    let words = text.split_whitespace().filter(|word| !word.contains('…') && word.contains(char::is_alphanumeric));
    // Numbers may be times.
    words.map(bare).filter(|word| !word.starts_with(|c: char| c.is_ascii_digit() || c == '~')).collect()
}

/// Fails unless what is printed at 80 columns fits, and has only words that are also there where nothing needs to be broken.
#[track_caller]
fn fits(space: &Space, command: &str) {
    let narrow = at(space, command, 80);
    assert!([0, 1, 2].contains(&narrow.code.unwrap_or(-1)), "{command}: {narrow:?}");
    let broad = at(space, command, 1000);
    for (narrow, broad) in [(&narrow.raw, &broad.raw), (&narrow.stderr, &broad.stderr)] {
        assert_eq!(wide(narrow, 80), Vec::<&str>::new(), "`macula {command}`:\n{narrow}");
        let known = words(broad);
        let split: Vec<String> = words(narrow).into_iter().filter(|word| !known.contains(word)).collect();
        assert!(split.is_empty(), "`macula {command}` splits {split:?}:\n{narrow}");
    }
}

/// Names of subcommands that a page of help lists.
fn listed(space: &Space, command: &str) -> Vec<String> {
    let help = space.macula(&format!("{command} --help")).code(0).raw;
    let commands = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
    let line = |line: &str| Some(line.strip_prefix("  ")?.split_whitespace().next()?.to_owned());
    let listed = commands.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    listed.filter_map(line).filter(|name| name != "help").collect()
}

#[test]
fn help_and_manual_fit_80_columns() {
    let space = Space::new();
    fits(&space, "--help");
    for command in listed(&space, "") {
        fits(&space, &format!("{command} --help"));
        for within in listed(&space, &command) {
            fits(&space, &format!("{command} {within} --help"));
        }
    }
    // Without COLUMNS in a pipe, help has 80 columns, and never more than 100.
    let help = space.macula("run --help").code(0).raw;
    assert_eq!(help, at(&space, "run --help", 80).raw);
    assert_eq!(at(&space, "run --help", 100).raw, at(&space, "run --help", 1000).raw);
    for command in ["doc", "explain", "std list", "doc lr", "doc nothing-like-it"] {
        fits(&space, command);
    }
    for name in macula::lang::manual::names() {
        fits(&space, &format!("doc {name}"));
    }
    for page in macula::diag::catalogue::pages() {
        fits(&space, &format!("explain {}", page.code));
    }
    let markdown = space.macula("doc split --markdown").code(0).raw;
    assert!(markdown.starts_with("# split\n") && markdown.contains("\n| name | type |"), "{markdown}");
}

/// Commands on a pipeline; `PIPELINE` stands for its file.
const OF_PIPELINE: [&str; 13] = [
    "check PIPELINE",
    "fmt --check PIPELINE",
    "plan PIPELINE",
    "graph PIPELINE",
    "graph --states PIPELINE",
    "runs PIPELINE",
    "trust PIPELINE",
    "data check PIPELINE",
    "lock --check PIPELINE",
    "store stats",
    "store verify",
    "store gc --dry-run",
    "store gc --dry-run --keep-runs 0",
];

#[track_caller]
fn all_fit(space: &Space, stages: &[&str]) {
    for command in OF_PIPELINE {
        fits(space, &command.replace("PIPELINE", "pipeline.kdl"));
    }
    for stage in stages {
        fits(space, &format!("why pipeline.kdl {stage}"));
        // Less of a table is shown where there is less room.
        let shown = at(space, &format!("show pipeline.kdl {stage} --no-pictures"), 80);
        assert_eq!(wide(&shown.raw, 80), Vec::<&str>::new(), "`macula show` of `{stage}`:\n{}", shown.raw);
    }
}

#[test]
fn every_command_on_the_quick_start_fits_80_columns() {
    let space = Space::with(&format!("{QUICK}{SIZES}"));
    let stages = ["eyes", "patches", "folds", "views", "classifier", "scores", "page"];
    all_fit(&space, &stages);
    space.macula("run pipeline.kdl").code(0);
    all_fit(&space, &stages);
    fits(&space, "plan pipeline.kdl --sweep sizes");
    fits(&space, "graph pipeline.kdl --sweep sizes");
    let scores = at(&space, "show pipeline.kdl scores --no-pictures", 60).code(0);
    assert_eq!(wide(&scores.raw, 60), Vec::<&str>::new(), "{}", scores.raw);
    scores.says(&["(not shown at this width:"]);
    space.edit("pipeline.kdl", "severity 2.0", "severity 2.5");
    all_fit(&space, &stages);
    // Narrower ones, too.
    for columns in [40, 60] {
        for command in ["plan pipeline.kdl", "plan pipeline.kdl --sweep sizes", "why pipeline.kdl page", "doc split"] {
            let said = at(&space, command, columns).code(0);
            assert_eq!(wide(&said.raw, columns), Vec::<&str>::new(), "`macula {command}`:\n{}", said.raw);
        }
    }
}

#[test]
fn long_names_and_paths_fit_80_columns() {
    let space = Space::with(LONG);
    let folder = "a-folder-with-a-long-name/and-one-in-it";
    for eye in 0..6 {
        space.write(&format!("{folder}/photograph-of-an-eye-{eye}.png"), picture(eye));
        let mask_of = format!("{folder}/masks-of-microaneurysms-by-the-first-reader/photograph-of-an-eye-{eye}.png");
        if eye % 2 == 0 {
            space.write(&mask_of, mask());
        }
    }
    let stages = [
        "photographs-of-the-second-reading",
        "patients-for-training-validation-and-test-as-in-the-protocol",
        "scores-on-the-patients-of-the-test-set",
        "page-with-everything",
    ];
    all_fit(&space, &stages);
    let ran = at(&space, "run pipeline.kdl", 80).code(0);
    for text in [&ran.raw, &ran.stderr] {
        assert_eq!(wide(text, 80), Vec::<&str>::new(), "`macula run`:\n{text}");
    }
    all_fit(&space, &stages);
    space.write(&format!("{folder}/photograph-of-an-eye-6.png"), picture(6));
    space.write(&format!("{folder}/photograph-of-an-eye-0.png"), picture(7));
    all_fit(&space, &stages);
    // A photograph that cannot be read.
    space.write(&format!("{folder}/photograph-of-an-eye-1.png"), b"\x89PNG\r\n");
    all_fit(&space, &stages[..2]);
}
