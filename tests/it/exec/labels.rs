//! Labels of test photographs: a command gets them only if its pipeline says so.

use macula::data::table::{Column, Columns};
use serde_json::Value;

use super::{confines, macula, run};
use crate::space::Space;

/// Copies the known labels as scores, all other scores are 0.5; and everything else that it was given.
const COPY: &str = r#"
for set in inputs/patches inputs/patches/1; do
    [ -e $set/patches.csv ] || continue
    awk -F, 'NR == 1 { print "photograph,x,y,score." $6 ",score." $7 ",score." $8 ",score." $9; next }
        { line = $1 "," $2 "," $3; for (i = 6; i <= 9; i++) line = line "," ($i == "" ? 0.5 : $i); print line }' $set/patches.csv > outputs/predictions.csv
done
mkdir outputs/seen
for file in $(find inputs -type f | sort); do
    cp $file outputs/seen/$(echo $file | tr / +)
done
"#;

fn space(inputs: &str) -> Space {
    let space = Space::with(&format!(
        "network tiny {{ conv conv out=2 kernel=2 bias=#false; global-avg-pool; linear fc }}
pipeline p seed=3 {{
    synthetic fundus {{ photographs 8; size 256; photographs-per-patient 1; healthy 0.0; severity 3.0 }}
    extract patches {{ from fundus; size 64; masks #true }}
    split folds {{ from patches; by image; train 0.5; valid 0.25; test 0.25 }}
    train fit {{ data folds.train; valid folds.valid; network tiny; epochs 1 }}
    predict guesses {{ model fit; data folds.test }}
    eval judged {{ model fit; data folds.test }}
    files script {{ path \"run.sh\" }}
    exec made {{
        script script
        {inputs}
        command sh \"inputs/script/run.sh\"
        gives \"predictions.csv\" predictions \"seen/\" any
    }}
    eval scores {{ predictions made; data folds.test }}
}}
"
    ));
    space.write("run.sh", COPY);
    space
}

fn average_precision(space: &Space) -> f64 {
    let scores: Value = serde_json::from_str(&space.read("results/p/scores/scores.json")).expect("JSON");
    scores["mean_average_precision"]["value"].as_f64().expect("a number")
}

fn seen(space: &Space) -> Vec<String> {
    space.files("results/p/made/seen")
}

fn bytes(space: &Space, file: &str) -> Vec<u8> {
    std::fs::read(space.path(&format!("results/p/made/seen/{file}"))).expect("a file")
}

/// The known values of a column in the tables of patches that the command got at a place.
fn known(space: &Space, place: &str, column: &str) -> usize {
    let parts = seen(space).into_iter().filter(|file| file.starts_with(&format!("{place}+parts+")));
    let count = |file: String| match Columns::from_parquet(&bytes(space, &file)).expect("a table").get(column) {
        Some(Column::Count(cells)) => cells.iter().flatten().count(),
        Some(Column::Single(cells)) => cells.iter().flatten().count(),
        other => panic!("{column}: {other:?}"),
    };
    parts.map(count).sum()
}

#[test]
fn copying_the_labels_of_the_test_set_needs_leave() {
    if !confines() {
        return;
    }
    let space = space("patches folds.test");
    run(&space).code(0).says(&["without test labels at `patches`"]);
    assert!(average_precision(&space) < 0.9, "{}", average_precision(&space));
    for column in ["MA", "MA_pixels", "MA_distance", "EX"] {
        assert_eq!(known(&space, "inputs+patches", column), 0, "{column}");
    }
    assert!(known(&space, "inputs+patches", "x") > 0);
    let shards: Vec<String> = seen(&space).into_iter().filter(|file| file.contains("+shards+")).collect();
    assert_eq!(shards.len(), 2);
    for shard in shards {
        let shard = bytes(&space, &shard);
        let tensors = safetensors::SafeTensors::deserialize(&shard).expect("safetensors");
        assert_eq!(tensors.names(), ["pixels"]);
    }
    // What was withheld is part of the result's recipe.
    macula(&space, "rebuild pipeline.kdl made").code(0);
    space.edit("pipeline.kdl", "patches folds.test\n", "patches folds.test; labels #true\n");
    run(&space).code(0).says_not(&["without test labels"]);
    assert!((average_precision(&space) - 1.0).abs() < 1e-9, "{}", average_precision(&space));
    assert!(known(&space, "inputs+patches", "MA") > 0);
}

#[test]
fn labels_of_training_patches_are_given() {
    if !confines() {
        return;
    }
    let space = space("patches folds.train folds.test");
    run(&space).code(0).says(&["without test labels at `patches[1]`"]);
    assert!(known(&space, "inputs+patches+0", "MA") > 0);
    assert_eq!(known(&space, "inputs+patches+1", "MA"), 0);
    // A command without test photographs is as before, whatever `labels` says by default.
    space.edit("pipeline.kdl", "patches folds.train folds.test", "patches folds.train");
    space.edit("pipeline.kdl", "eval scores { predictions made; data folds.test }", "");
    run(&space).code(0).says_not(&["without test labels"]);
    space.edit("pipeline.kdl", "patches folds.train\n", "patches folds.train; labels #false\n");
    run(&space).code(0).says(&["nothing to compute"]);
}

#[test]
fn masks_and_tables_show_no_labels_of_the_test_set_either() {
    if !confines() {
        return;
    }
    let space = space("patches folds.test; photographs fundus; files guesses; scores judged");
    run(&space).code(0);
    let files = seen(&space);
    let of = |part: &str| files.iter().filter(|file| file.contains(part)).count();
    assert_eq!((of("+photograph.png"), of("+mask.")), (8, 0), "{files:?}");
    let facts: Value =
        serde_json::from_slice(&bytes(&space, "inputs+photographs+synthetic_00001+facts.json")).expect("JSON");
    assert!(facts["without_mask"].as_array().expect("a list").iter().all(|class| class == "unknown"), "{facts}");
    for table in
        ["inputs+files+predictions.parquet", "inputs+files+photographs.parquet", "inputs+scores+predictions.parquet"]
    {
        let Columns(columns) = Columns::from_parquet(&bytes(&space, table)).expect("a table");
        assert!(columns.len() > 5, "{table}");
        for (name, _) in columns {
            let is_label = ["label.", "mask_pixels.", "prevalence."].iter().any(|label| name.starts_with(label));
            assert!(!is_label, "{table}: {name}");
        }
    }
    let of_scores: Vec<&String> = files.iter().filter(|file| file.starts_with("inputs+scores+")).collect();
    assert_eq!(of_scores, ["inputs+scores+predictions.parquet", "inputs+scores+scores.json"]);
    // Unsplit photographs and patches are whole unless their test photographs are evaluated.
    space.edit(
        "pipeline.kdl",
        "patches folds.test; photographs fundus; files guesses; scores judged",
        "patches patches; photographs fundus",
    );
    run(&space).code(0).says(&["without test labels at `photographs`, `patches`"]);
    space.edit("pipeline.kdl", "eval scores { predictions made; data folds.test }", "");
    run(&space).code(0).says_not(&["without test labels"]);
    assert!(known(&space, "inputs+patches", "MA") > 0);
    assert!(seen(&space).iter().any(|file| file.contains("+mask.")));
}

#[test]
fn a_command_that_fails_without_labels_is_reminded() {
    if !confines() {
        return;
    }
    let space = space("patches folds.test");
    space.write("run.sh", "exit 3");
    run(&space).code(1).says(&["it gets no labels of test photographs at `patches`, unless `labels #true`"]);
}
