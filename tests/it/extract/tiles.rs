//! Tiles of two classes from a table, as `docs/data.md` describes them, from `manifest` to the report.

use std::fmt::Write as _;

use macula::data::png_image::{PixelFormat, png};

use crate::space::Space;

/// Side of a tile, px.
const SIDE: usize = 96;

/// Twelve patients with six tiles each; tiles of tumour have more dark dots.
fn tiles(space: &Space) {
    let mut table = "tile,patient,set,tissue\n".to_owned();
    for at in 0..72 {
        let (patient, is_tumour) = (at / 6, at % 2 == 1);
        let mut rgb: Vec<u8> = [225, 170, 205].repeat(SIDE * SIDE);
        for dot in 0..if is_tumour { 60 } else { 12 } {
            let (x, y) = ((at * 31 + dot * 47) % (SIDE - 4), (at * 17 + dot * 29) % (SIDE - 4));
            for pixel in (y..y + 4).flat_map(|y| (x..x + 4).map(move |x| (y * SIDE + x) * 3)) {
                rgb[pixel..pixel + 3].copy_from_slice(&[90, 40 + at as u8, 130]);
            }
        }
        let set = ["train", "train", "train", "valid", "test", "train"][patient % 6];
        space.write(&format!("data/tiles/{at:02}.png"), png(&rgb, SIDE as u32, SIDE as u32, PixelFormat::Rgb));
        let tissue = if is_tumour { "tumour" } else { "benign" };
        let _ = writeln!(table, "tiles/{at:02}.png,P{patient},{set},{tissue}");
    }
    space.write("data/tiles.csv", table);
}

fn pipeline() -> &'static str {
    let page = include_str!("../../../docs/data.md");
    let mut blocks = page.split("```kdl\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.contains("manifest tiles")).expect("the section about tiles")
}

#[test]
fn tiles_of_histology_are_classified_as_the_page_says() {
    let space = Space::with(pipeline());
    tiles(&space);
    space.macula("run pipeline.kdl").code(0).says(&["72 photographs, 2 classes, one per photograph"]);
    let scores: serde_json::Value =
        serde_json::from_str(&space.read("results/on-tiles/scores/scores.json")).expect("JSON");
    assert_eq!(scores["single"]["rows"], 12);
    // The first screen has the choice and its mistakes.
    let shown = space.macula("show pipeline.kdl scores").code(0);
    for words in
        ["balanced accuracy", "chance 0.500", "confusion matrix", "predicted tumour", "`sets.test`: 12 patches"]
    {
        assert!(shown.stdout.contains(words), "{words}: {}", shown.stdout);
    }
    let checked = space.macula("data check pipeline.kdl").code(0);
    assert!(checked.stdout.contains("photographs by class"), "{}", checked.stdout);
    assert!(!checked.stdout.contains("lesions by class"), "no mask, no lesions: {}", checked.stdout);
    // Of a table without masks, nothing is healthy.
    space.edit("pipeline.kdl", "network shallow-cnn;", "network shallow-cnn; sampler balanced;");
    space.edit("pipeline.kdl", "epochs 5", "epochs 1");
    let words = ["no-healthy-class", "`sampler balanced` draws every patch once", "class-weights=inverse-frequency"];
    space.macula("run pipeline.kdl").code(0).says(&words);
    space.edit("pipeline.kdl", "from sets.train;", "from even;");
    space.edit(
        "pipeline.kdl",
        "    augment",
        "    rebalance even { from sets.train; lesions undersample; healthy per-lesion-patch=1.0 }\n    augment",
    );
    space.macula("run pipeline.kdl").code(0).says(&["`healthy` changes nothing"]).says_not(&["ratio-not-reached"]);
}

#[test]
fn the_highest_score_decides_in_maps_of_a_classifier_that_chooses() {
    let text = pipeline().replace(
        "    report page { of classifier scores }",
        "    heat-map maps { model classifier; from tiles; only sets.test; stride 48 }\n    heat-map some { model classifier; from \
         tiles; only sets.test; stride 48; classes tumour }",
    );
    let space = Space::with(&text.replace("epochs 5", "epochs 1"));
    tiles(&space);
    space.macula("run pipeline.kdl").code(0);
    let maps: serde_json::Value = serde_json::from_str(&space.read("results/on-tiles/maps/maps.json")).expect("JSON");
    assert_eq!(maps["decision"], "highest");
    let count = |of: &str| -> Vec<u64> {
        let classes = maps["all"].as_array().expect("classes").iter();
        classes.map(|class| class[of].as_u64().expect("a count")).collect()
    };
    assert_eq!(count("over").iter().sum::<u64>(), count("cells")[0], "one class in each cell");
    space.macula("show pipeline.kdl maps --all").code(0).says(&["the highest score decides"]);
    space.macula("show pipeline.kdl some --all").code(0).says(&["not all classes are mapped"]);
}
