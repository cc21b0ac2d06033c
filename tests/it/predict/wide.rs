//! A classifier that sees the surroundings of its patches: every stage that scores patches, and new photographs.

use std::collections::BTreeMap;

use macula::data::table::Columns;

use super::{bytes, json, scores};
use crate::space::Space;

const PIPELINE: &str = r"network surroundings {
    input wide
    input half
    parallel join=concat {
        branch { shallow-cnn to=features }
        branch large from=wide { shallow-cnn to=features }
        branch from=half share=#true { shallow-cnn to=features }
    }
    linear fc
}

pipeline wide seed=7 {
    synthetic eyes { photographs 6; size 384; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    preprocess half { from eyes; shrink 2 }
    extract patches { from half; size 48; margin 24 }
    filter-black visible { from patches; share 0.6 }
    split folds { from visible; by patient; train 0.5; valid 0.25; test 0.25 }
    augment views { from folds.train; flip horizontal=0.5; color-jitter contrast=0.2 }
    train classifier { data views; valid folds.valid; network surroundings; loss bce; epochs 1; batch 32 }
    threshold-tune cuts { model classifier; data folds.valid }
    eval scores { model classifier; thresholds cuts; data folds.test }
    predict guesses { model classifier; thresholds cuts; data folds.test; tta dihedral }
    eval judged { model classifier; data folds.test; tta dihedral }
    heat-map maps { model classifier; from half; only folds.test; stride 48; black share=0.6 }
}
";

#[test]
fn a_model_with_surroundings_scores_patches_photographs_and_new_ones_alike() {
    let space = Space::with(PIPELINE);
    space.macula("check pipeline.kdl").code(0);
    space.macula("run pipeline.kdl").code(0);
    let of = |path: &str| Columns::from_parquet(&bytes(&space, path)).expect("a table");
    let table = of("results/wide/scores/predictions.parquet");
    let names = table.texts("photograph").expect("names");
    let (x, y) = (table.counts("x").expect("x"), table.counts("y").expect("y"));
    let score = table.reals("score.EX").expect("scores");
    let mut by_place = BTreeMap::new();
    for row in 0..names.len() {
        by_place.insert((names[row].clone().expect("a name"), x[row], y[row]), score[row].expect("a score"));
    }
    // Cells at the edges of the photograph, whose surroundings are black, and others.
    let (mut known, mut at_edges) = (0, 0);
    let photographs: std::collections::BTreeSet<String> = by_place.keys().map(|key| key.0.clone()).collect();
    for name in &photographs {
        let cells = scores(&space, &format!("results/wide/maps/{name}/scores.safetensors"));
        let facts = json(&space, &format!("results/wide/maps/{name}/map.json"));
        let place = facts["classes"].as_array().expect("classes").iter().position(|class| class == "EX").expect("EX");
        let [columns, rows] = ["columns", "rows"].map(|side| facts[side].as_u64().expect("a count") as usize);
        for at in 0..columns * rows {
            let (column, row) = (at % columns, at / columns);
            let key = (name.clone(), Some(column as u32 * 48), Some(row as u32 * 48));
            let Some(score) = by_place.get(&key) else { continue };
            let cell = cells[place * columns * rows + at];
            assert!(cell == *score as f32, "{name} at {column}, {row}: {cell}, {score}");
            known += 1;
            at_edges += usize::from(column == 0 || row == 0 || column + 1 == columns || row + 1 == rows);
        }
    }
    assert!(known > 10 && at_edges > 3, "{known} cells, {at_edges} at edges");
    let dihedral = of("results/wide/guesses/predictions.parquet");
    assert_eq!(
        dihedral.reals("score.EX").expect("scores"),
        of("results/wide/judged/predictions.parquet").reals("score.EX").expect("scores")
    );
    assert_ne!(dihedral.reals("score.EX").expect("scores"), score);

    // A new photograph.
    let name = photographs.iter().next().expect("a photograph");
    let files = space.files("results/wide/eyes");
    let photograph = files.into_iter().find(|file| file.starts_with(&format!("{name}/photograph."))).expect("a file");
    let file = format!("new/{name}.png");
    space.write(&file, bytes(&space, &format!("results/wide/eyes/{photograph}")));
    space.macula(&format!("predict pipeline.kdl classifier {file} --stride 48 --out looked")).code(0);
    let bits = |path: String| scores(&space, &path).iter().map(|score| score.to_bits()).collect::<Vec<_>>();
    let of_stage = bits(format!("results/wide/maps/{name}/scores.safetensors"));
    assert_eq!(bits(format!("looked/{name}/scores.safetensors")), of_stage);

    // Patches with a margin that is too small are refused by every stage.
    space.edit("pipeline.kdl", "size 48; margin 24", "size 48; margin 8");
    space
        .macula("check pipeline.kdl")
        .code(2)
        .says(&["missing-input", "a margin of 24 px, but `extract patches` stores 8 px"]);
    space.edit("pipeline.kdl", "size 48; margin 8", "size 48; margin 24");
    let other = "    extract narrow { from half; size 48 }\n    predict others { model classifier; data narrow }\n}\n";
    let text = space.read("pipeline.kdl").trim_end().trim_end_matches('}').to_owned();
    space.write("pipeline.kdl", text + other);
    let said = space.macula("run pipeline.kdl others").code(1);
    said.says(&["needs patches of 48 px with a margin of 24 px, but theirs is 0 px", "`margin 24`"]);
}
