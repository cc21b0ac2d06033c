//! Photographs that show the same picture although their files differ: what `near-duplicates` finds, and what every run warns of.

use macula::base::Streams;
use macula::data::decode::Photograph;
use macula::data::duplicates::{NearDuplicate, from_parquet};
use macula::data::orientation::Orientation;
use macula::data::png_image::{PixelFormat, png};

use crate::space::{Said, Space};

const SIDE: usize = 160;

/// A bright disc with patches of random brightness on black.
fn disc(seed: u64) -> Photograph {
    let streams = Streams::new(seed, "disc");
    let value = |at: usize| {
        let (x, y) = (at % SIDE, at / SIDE);
        let from_centre = |place: usize| (2 * place + 1).abs_diff(SIDE).pow(2);
        let cell = (y / 8 * SIDE + x / 8) as u64;
        let random = (streams.rank("cell", cell, b"") >> 57) as u8;
        if from_centre(x) + from_centre(y) < SIDE * SIDE { 70 + random } else { 0 }
    };
    let rgb = (0..SIDE * SIDE).map(value).flat_map(|value| [value, value / 2, value / 4]).collect();
    Photograph { width: SIDE, height: SIDE, rgb }
}

fn changed(photograph: &Photograph, change: impl Fn(u8) -> u8) -> Photograph {
    Photograph { rgb: photograph.rgb.iter().map(|value| change(*value)).collect(), ..photograph.clone() }
}

fn turned(photograph: &Photograph, number: f64) -> Photograph {
    let rgb = Orientation::of(number).turn_rgb(&photograph.rgb, (SIDE, SIDE));
    Photograph { rgb, ..photograph.clone() }
}

fn write(space: &Space, name: &str, photograph: &Photograph) {
    let (width, height) = (photograph.width, photograph.height);
    space.write(&format!("data/{name}.png"), png(&photograph.rgb, width as u32, height as u32, PixelFormat::Rgb));
    let mask: Vec<u8> = (0..width * height).map(|at| if at % width / 40 == 1 { 255 } else { 0 }).collect();
    space.write(&format!("data/masks/{name}.png"), png(&mask, width as u32, height as u32, PixelFormat::Grey));
}

/// A field of view that fills the photograph, with something to recognise everywhere.
fn texture(seed: u64, side: usize) -> Photograph {
    let streams = Streams::new(seed, "texture");
    let cell = |x: usize, y: usize, size: usize| {
        (streams.rank("cell", (y / size * side + x / size) as u64, &[size as u8]) >> 58) as u8
    };
    let value = |x: usize, y: usize| 40 + cell(x, y, 13) + cell(x, y, 31) + cell(x, y, 70);
    let rgb = (0..side * side).flat_map(|at| [value(at % side, at / side); 3]).collect();
    Photograph { width: side, height: side, rgb }
}

/// The part of a photograph from (left, top) on.
fn part(photograph: &Photograph, (left, top): (usize, usize), side: usize) -> Photograph {
    let rows = (top..top + side).flat_map(|y| photograph.row(y)[left * 3..(left + side) * 3].to_vec());
    Photograph { width: side, height: side, rgb: rows.collect() }
}

const SOURCE: &str = r#"folder eyes { root "data"; photographs "*.png"; masks MA "masks/*.png" }"#;

/// A training on `a01` to `a08` with validation on `a09` and `a10`, and an evaluation on the others.
fn experiment() -> Space {
    let space = Space::with(&format!(
        "network tiny {{ conv conv out=2 kernel=2; global-avg-pool; linear fc }}
pipeline p seed=7 {{
    {SOURCE}
    extract patches {{ from eyes; size 32 }}
    split folds {{ from patches; by names; names valid \"a09..a10\"; names test \"a11..a14\" }}
    train fit {{ data folds.train; valid folds.valid; network tiny; epochs 1 }}
    predict guesses {{ model fit; data folds.test }}
    eval scores {{ model fit; data folds.test }}
}}
"
    ));
    space.write("project.kdl", "");
    for at in 1..=11 {
        write(&space, &format!("a{at:02}"), &disc(at));
    }
    write(&space, "a12", &turned(&disc(1), 2.0));
    write(&space, "a13", &changed(&disc(9), |value| value / 2));
    write(&space, "a14", &disc(14));
    space
}

fn run(space: &Space) -> Said {
    space.macula("run pipeline.kdl")
}

fn pairs(space: &Space, folder: &str) -> Vec<NearDuplicate> {
    let bytes = std::fs::read(space.path(&format!("results/p/{folder}/pairs.parquet"))).expect("a table");
    from_parquet(&bytes).expect("pairs")
}

#[test]
fn copies_are_found_in_each_orientation_and_other_photographs_are_not() {
    let space = Space::with(&format!("pipeline p seed=7 {{ {SOURCE}\n near-duplicates pairs {{ from eyes }} }}\n"));
    for at in 1..=12 {
        write(&space, &format!("a{at:02}"), &disc(at));
    }
    for number in 2..=8_u8 {
        write(&space, &format!("b{number}"), &turned(&disc(u64::from(number)), number.into()));
    }
    write(&space, "c1", &changed(&disc(10), |value| value.saturating_add(40)));
    write(&space, "c2", &disc(11));
    run(&space)
        .code(0)
        .says(&["21 photographs, 9 pairs of near-duplicates (18 photographs)", "warning[near-duplicate]"]);
    let found: Vec<(String, String, u8)> = pairs(&space, "pairs")
        .into_iter()
        .map(|pair| {
            let [first, second] = pair.members;
            (first.name, second.name, pair.orientation.number())
        })
        .collect();
    let mut expected: Vec<(String, String, u8)> =
        (2..=8).map(|number| (format!("a{number:02}"), format!("b{number}"), number)).collect();
    expected.extend([("a10".to_owned(), "c1".to_owned(), 1), ("a11".to_owned(), "c2".to_owned(), 1)]);
    assert_eq!(found, expected);
    assert!(space.path("results/p/pairs/pairs.png").exists());
    // One photograph more is one fingerprint more.
    write(&space, "c3", &disc(40));
    run(&space).code(0).says(&["22 photographs, 9 pairs", "1 of 22 items computed"]);
}

#[test]
fn a_part_of_a_photograph_is_found() {
    let space = Space::with(&format!("pipeline p seed=7 {{ {SOURCE}\n near-duplicates pairs {{ from eyes }} }}\n"));
    for at in 1..=4 {
        write(&space, &format!("a{at}"), &texture(at, 640));
    }
    write(&space, "b1", &part(&texture(1, 640), (101, 37), 470));
    let crop = part(&texture(2, 640), (20, 90), 500);
    let rgb = Orientation::of(2.0).turn_rgb(&crop.rgb, (500, 500));
    write(&space, "b2", &Photograph { rgb, ..crop });
    run(&space).code(0).says(&[
        "6 photographs, 2 pairs of near-duplicates (4 photographs)",
        "2 pairs of photographs show the same picture or a part of it",
        "`a1` and `b1` (a part), `a2` and `b2` (a part, mirrored)",
    ]);
    for pair in pairs(&space, "pairs") {
        assert!(pair.overlap.is_some_and(|overlap| overlap > 0.8 && overlap <= 1.0), "{pair:?}");
    }
    assert!(space.path("results/p/pairs/pairs.png").exists());
}

#[test]
fn a_run_warns_of_photographs_that_show_what_was_trained_on() {
    let space = experiment();
    let fitted = "1 of 4 photographs of `folds.test` shows the same picture as a photograph used for training, in `folds.train`: `a12` (there `a01`, mirrored)";
    let chosen = "1 of 4 photographs of `folds.test` shows the same picture as a photograph that chose the epoch or the thresholds, in `folds.valid`: `a13` (there `a09`)";
    // A cached result is warned of like a new one.
    for at in 0..2 {
        let said = run(&space).code(0).says(&[fitted, chosen, "the metrics are optimistic", "such scores say nothing"]);
        let text = said.stdout + &said.stderr;
        assert_eq!(text.matches("warning[near-duplicate]").count(), 2, "{text}");
        assert_eq!(text.matches("compared").count(), usize::from(at == 0), "only once: {text}");
    }
    space.macula("plan pipeline.kdl").code(0).says(&["warning[near-duplicate]: `scores`: 1 of 4"]);
    space.macula("show pipeline.kdl scores").code(0).says(&["warning[near-duplicate]"]);
    assert_eq!(pairs(&space, "near-duplicates").len(), 2);
    assert!(space.path("results/p/near-duplicates/pairs.png").exists());
}

#[test]
fn collection_keeps_what_a_run_compared() {
    let space = experiment();
    run(&space).code(0);
    // The second run computes nothing; the first one's record goes.
    run(&space).code(0).says(&["nothing to compute"]);
    space.macula("store gc --keep-runs 1").code(0);
    let said = run(&space).code(0).says(&["nothing to compute", "warning[near-duplicate]"]);
    said.says_not(&["compared"]);
}

#[test]
fn without_pairs_nothing_is_said_of_any_stage() {
    let space = experiment();
    write(&space, "a12", &disc(12));
    write(&space, "a13", &disc(13));
    let said = run(&space).code(0).says(&["14 photographs, no near-duplicates"]);
    said.says_not(&["warning[near-duplicate]"]);
    assert!(!space.path("results/p/near-duplicates").exists());
    let events = space.macula("run pipeline.kdl --json").code(0);
    events.says_not(&["near-duplicate"]);
}

#[test]
fn the_project_turns_the_comparison_off_and_no_result_depends_on_it() {
    let space = experiment();
    space.write("project.kdl", "near-duplicates #false\n");
    run(&space).code(0).says_not(&["near-duplicate", "compared"]);
    assert!(!space.path("results/p/near-duplicates").exists());
    space.write("project.kdl", "near-duplicates #true\n");
    run(&space).code(0).says(&["warning[near-duplicate]", "nothing to compute"]);
    space.write("project.kdl", "near-duplicates 3\n");
    space.macula("check pipeline.kdl").code(2).says(&["`near-duplicates` takes `#true` or `#false`"]);
}

#[test]
fn a_photograph_that_cannot_be_read_is_reported_by_the_stage_that_reads_it() {
    let space = experiment();
    space.write("data/a03.png", b"not a picture");
    let said = run(&space).code(1).says(&["patches", "a03.png"]);
    said.says_not(&["near-duplicates", "compared"]);
}
