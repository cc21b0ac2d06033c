//! Predictions and heat maps through the binary: scores are those of `eval`, one more photograph costs one more map, and new photographs
//! are scored like the pipeline's own.

mod averages;
mod calibrated;
mod cells;
mod cross;
mod maps;
mod onnx;
mod orientations;
mod partial;
mod refused;
mod scales;
mod seen;
mod whole;
mod wide;

use std::collections::BTreeMap;

use macula::data::table::Columns;
use safetensors::SafeTensors;
use serde_json::Value;

use crate::space::{Said, Space};

/// From synthetic photographs to predictions and maps, as small as possible.
pub(super) const PIPELINE: &str = r"pipeline small seed=7 {
    synthetic eyes { photographs 6; size 384; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    preprocess half { from eyes; shrink 2 }
    extract patches { from half; size 48 }
    filter-black visible { from patches; share 0.6 }
    split folds { from visible; by patient; train 0.5; valid 0.25; test 0.25 }
    train classifier {
        data folds.train
        valid folds.valid
        network shallow-cnn
        loss bce
        epochs 1
        batch 32
    }
    threshold-tune cuts { model classifier; data folds.valid }
    eval scores { model classifier; thresholds cuts; data folds.test }
    predict guesses { model classifier; thresholds cuts; data folds.test }
    eval judged { predictions guesses; thresholds cuts; data folds.test }
    heat-map maps { model classifier; thresholds cuts; from half; only folds.test; stride 48; black share=0.6 }
}
";

pub(super) fn made() -> Space {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl").code(0);
    space
}

fn bytes(space: &Space, path: &str) -> Vec<u8> {
    std::fs::read(space.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn json(space: &Space, path: &str) -> Value {
    serde_json::from_slice(&bytes(space, path)).expect("JSON")
}

/// Scores in the file of a map.
fn scores(space: &Space, path: &str) -> Vec<f32> {
    floats(space, path, "scores")
}

/// The tensor of a file.
fn floats(space: &Space, path: &str, tensor: &str) -> Vec<f32> {
    let bytes = bytes(space, path);
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let data = tensors.tensor(tensor).expect(tensor).data();
    data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Checks that maps with patches side by side have the scores of an evaluation. Returns the photographs of the maps.
fn same_as_patches(space: &Space, pipeline: &str, eval: &str, maps: &str) -> Vec<String> {
    let table = Columns::from_parquet(&bytes(space, &format!("results/{pipeline}/{eval}/predictions.parquet")));
    let table = table.expect("a table");
    let names = table.texts("photograph").expect("names");
    let (x, y) = (table.counts("x").expect("x"), table.counts("y").expect("y"));
    let score = table.reals("score.EX").expect("scores");
    let place = |row: usize| (names[row].clone().expect("a name"), x[row], y[row]);
    let by_place: BTreeMap<_, _> = (0..names.len()).map(|row| (place(row), score[row].expect("a score"))).collect();
    let found = json(space, &format!("results/{pipeline}/{maps}/maps.json"));
    let (mut mapped, mut known) = (Vec::new(), 0);
    for photograph in found["photographs"].as_array().expect("photographs") {
        let name = photograph["photograph"].as_str().expect("a name");
        let cells = scores(space, &format!("results/{pipeline}/{maps}/{name}/scores.safetensors"));
        let facts = json(space, &format!("results/{pipeline}/{maps}/{name}/map.json"));
        let class = facts["classes"].as_array().expect("classes").iter().position(|class| class == "EX").expect("EX");
        let [columns, rows, stride] =
            ["columns", "rows", "stride"].map(|side| facts[side].as_u64().expect("a count") as usize);
        for at in 0..columns * rows {
            let (x, y) = ((at % columns * stride) as u32, (at / columns * stride) as u32);
            let Some(score) = by_place.get(&(name.to_owned(), Some(x), Some(y))) else { continue };
            let cell = cells[class * columns * rows + at];
            assert!(cell == *score as f32, "{maps}: {name} at {x}, {y}: {cell}, {score}");
            known += 1;
        }
        mapped.push(name.to_owned());
    }
    assert_eq!(known, by_place.len(), "{maps} have every patch of {eval}");
    mapped
}

/// Checks that `macula predict` gives the first photographs the same maps as a stage.
fn same_as_maps(space: &Space, pipeline: &str, source: &str, model: &str, maps: &str, names: &[String]) -> Said {
    let files = space.files(&format!("results/{pipeline}/{source}"));
    let mut given = Vec::new();
    for name in names {
        let photograph = files.iter().find(|file| file.starts_with(&format!("{name}/photograph."))).expect("a file");
        let file = format!("new/{name}.png");
        space.write(&file, bytes(space, &format!("results/{pipeline}/{source}/{photograph}")));
        given.push(file);
    }
    let stride = json(space, &format!("results/{pipeline}/{maps}/{}/map.json", names[0]))["stride"].clone();
    let files = given.join(" ");
    let said = space.macula(&format!("predict pipeline.kdl {model} {files} --stride {stride} --out looked"));
    let said = said.code(0);
    let bits = |path: String| scores(space, &path).iter().map(|score| score.to_bits()).collect::<Vec<_>>();
    for name in names {
        let of_stage = bits(format!("results/{pipeline}/{maps}/{name}/scores.safetensors"));
        assert_eq!(bits(format!("looked/{name}/scores.safetensors")), of_stage, "{name}");
    }
    said
}

#[test]
fn predictions_evaluate_like_the_model_and_maps_hold_the_same_scores() {
    let space = made();
    // `eval` of the predictions equals `eval` of the model.
    for file in ["scores.json", "predictions.parquet", "curves.parquet"] {
        let of = |stage: &str| bytes(&space, &format!("results/small/{stage}/{file}"));
        assert!(of("scores") == of("judged"), "{file}");
    }
    assert!(
        bytes(&space, "results/small/guesses/predictions.parquet")
            == bytes(&space, "results/small/scores/predictions.parquet")
    );

    // With patches side by side, a cell is a patch.
    let table = Columns::from_parquet(&bytes(&space, "results/small/guesses/predictions.parquet")).expect("a table");
    let names = table.texts("photograph").expect("names");
    let mut by_place = BTreeMap::new();
    let (x, y) = (table.counts("x").expect("x"), table.counts("y").expect("y"));
    let score = table.reals("score.EX").expect("scores");
    for row in 0..names.len() {
        by_place.insert((names[row].clone(), x[row], y[row]), score[row].expect("a score"));
    }
    let maps = json(&space, "results/small/maps/maps.json");
    let place = maps["classes"].as_array().expect("classes").iter().position(|class| class == "EX").expect("EX");
    let mut photographs: Vec<Option<String>> = names.to_vec();
    photographs.dedup();
    assert_eq!(maps["photographs"].as_array().expect("photographs").len(), photographs.len(), "`only` was heeded");
    let (mut known, mut unknown) = (0, 0);
    for photograph in photographs {
        let name = photograph.clone().expect("a name");
        let cells = scores(&space, &format!("results/small/maps/{name}/scores.safetensors"));
        let facts = json(&space, &format!("results/small/maps/{name}/map.json"));
        let [columns, rows] = ["columns", "rows"].map(|side| facts[side].as_u64().expect("a count") as usize);
        for at in 0..columns * rows {
            let cell = cells[place * columns * rows + at];
            let (x, y) = ((at % columns * 48) as u32, (at / columns * 48) as u32);
            if let Some(score) = by_place.get(&(photograph.clone(), Some(x), Some(y))) {
                known += 1;
                assert!(cell == *score as f32, "{name} at {x}, {y}: {cell}, {score}");
            } else {
                unknown += 1;
                assert!(cell.is_nan(), "{name} at {x}, {y} is black, and its cell has {cell}");
            }
        }
        for file in ["overlay.png", "cells/1-MA.png"] {
            image::open(space.path(&format!("results/small/maps/{name}/{file}"))).expect("a PNG that opens");
        }
    }
    assert!(known > 10 && unknown > 0, "{known} known, {unknown} unknown");

    // A second run computes nothing.
    space.macula("run pipeline.kdl").code(0).says(&["nothing to compute"]);
    // More photographs: existing maps are not computed again.
    space.edit("pipeline.kdl", "only folds.test; ", "");
    let more = 6 - maps["photographs"].as_array().expect("photographs").len();
    let said = space.macula("run pipeline.kdl maps").code(0);
    said.says(&[&format!("({more} of 6 items computed)"), "seen-photographs"]);

    // A report shows them without their names.
    let text = space.read("pipeline.kdl").trim_end().trim_end_matches('}').to_owned();
    space.write("pipeline.kdl", format!("{text}    report page {{ of guesses maps }}\n}}\n"));
    space.macula("run pipeline.kdl").code(0);
    let page = space.read("results/small/page/report.html");
    assert_eq!(page.matches("heat map over photograph ").count(), 6);
    assert!(page.contains("macula is for research, not for clinical use."));
    let names = json(&space, "results/small/maps/maps.json");
    for map in names["photographs"].as_array().expect("photographs") {
        let name = map["photograph"].as_str().expect("a name");
        assert!(!page.contains(name), "{name} is on the page");
    }
    space
        .macula("show pipeline.kdl maps")
        .code(0)
        .says(&["cells of 48 px", "image: results/small/maps/pictures/maps.png"]);
    assert!(image::open(space.path("results/small/maps/pictures/maps.png")).expect("a PNG that opens").width() > 400);
}

#[test]
fn a_new_photograph_is_scored_like_the_pipelines_own_and_nothing_is_stored() {
    let space = made();
    let maps = json(&space, "results/small/maps/maps.json");
    let name = maps["photographs"][0]["photograph"].as_str().expect("a name").to_owned();
    let photograph =
        space.files("results/small/eyes").into_iter().find(|file| file.starts_with(&format!("{name}/photograph.")));
    let file = format!("new/{name}.png");
    space.write(&file, bytes(&space, &format!("results/small/eyes/{}", photograph.expect("a photograph"))));
    let objects = space.files(".macula/v1/objects");

    let said = space.macula(&format!("predict pipeline.kdl classifier {file} --stride 48 --out looked")).code(0);
    let said = said.says(&[
        "`classifier` of pipeline.kdl, trained in run",
        "patches of 48 px, after `half`",
        "the thresholds of `cuts`",
        &name,
        "macula is for research, not for clinical use.",
    ]);
    // At 80 columns every class has a row, and no line is longer.
    let table: Vec<&str> = said.raw.lines().skip_while(|line| !line.starts_with("photograph")).collect();
    assert!(said.raw.lines().all(|line| line.chars().count() <= 80), "{}", said.raw);
    assert_eq!(table[0].split_whitespace().last(), Some("over"), "{}", said.raw);
    for (row, class) in ["MA", "HE", "EX", "SE"].iter().enumerate() {
        assert!(table[1 + row].contains(&format!(" {class} ")), "{}", said.raw);
    }
    assert!(!said.raw.contains("not shown"), "{}", said.raw);
    let of_stage = scores(&space, &format!("results/small/maps/{name}/scores.safetensors"));
    let of_verb = scores(&space, &format!("looked/{name}/scores.safetensors"));
    assert_eq!(
        of_stage.iter().map(|score| score.to_bits()).collect::<Vec<_>>(),
        of_verb.iter().map(|score| score.to_bits()).collect::<Vec<_>>()
    );
    assert!(image::open(space.path(&format!("looked/{name}/overlay.png"))).is_ok());
    assert_eq!(space.files(".macula/v1/objects"), objects, "the store is as it was");

    // The metrics are those of the patches.
    let said = space.macula(&format!("predict pipeline.kdl classifier {file} --stride 48 --json")).code(0);
    let found: Value = serde_json::from_str(&said.raw).expect("JSON");
    let table = Columns::from_parquet(&bytes(&space, "results/small/guesses/predictions.parquet")).expect("a table");
    let own = table.texts("photograph").expect("names").iter().map(|own| own.as_deref() == Some(name.as_str()));
    let own: Vec<bool> = own.collect();
    for class in found["photographs"][0]["classes"].as_array().expect("classes") {
        let column = format!("score.{}", class["class"].as_str().expect("a name"));
        let scores = table.reals(&column).expect("scores").iter().zip(&own).filter(|(_, own)| **own);
        let scores: Vec<f64> = scores.map(|(score, _)| score.expect("a score")).collect();
        assert_eq!(class["highest"].as_f64(), scores.iter().copied().reduce(f64::max));
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        assert!((class["mean"].as_f64().expect("a mean") - mean).abs() < 1e-12);
    }
    assert_eq!(found["preprocess"], serde_json::json!(["half"]));
    assert_eq!(found["thresholds"]["stage"], "cuts");
    assert!(found["photographs"][0]["scale"] == 2);
}
