//! The documented example: a Python script predicts, `eval` evaluates. With the standard library only, and with pyarrow
//! if available.

use super::{confines, macula, run};
use crate::missing::missing;
use crate::space::Space;

/// The interpreter itself: the one in PATH may be a shim for one in a user's folder.
pub(super) fn python() -> String {
    let asked = std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    asked.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default()
}

/// A pipeline with synthetic photographs whose test patches a script predicts.
fn space(script: &str, gives: &str) -> Space {
    let python = python();
    let space = Space::with(&format!(
        "pipeline p seed=3 {{\n    synthetic fundus {{ photographs 8; size 256; photographs-per-patient 1 }}\n    extract patches {{ from fundus; size 64 }}\n    \
         split folds {{ from patches; by image; train 0.5; valid 0.25; test 0.25 }}\n    files script {{ path \"predict.py\" }}\n    \
         program python {{ name \"{python}\" }}\n    exec made {{\n        script script\n        interpreter python\n        patches folds.test\n        \
         command \"{python}\" \"inputs/script/predict.py\"\n        gives \"{gives}\" predictions\n    }}\n    \
         eval scores {{ predictions made; data folds.test }}\n}}\n"
    ));
    space.write("predict.py", script);
    space
}

/// Reads pixels and patches with the standard library: the brighter the red channel, the more likely a lesion.
const PLAIN: &str = r#"
import csv, json, struct
from pathlib import Path

given = Path("inputs/patches")
classes = json.loads((given / "set.json").read_text())["classes"]
shards = {}

def pixels(photograph, index):
    if photograph not in shards:
        data = (given / "shards" / f"{photograph}.safetensors").read_bytes()
        (head,) = struct.unpack("<Q", data[:8])
        facts = json.loads(data[8:8 + head])["pixels"]
        shards[photograph] = (facts["shape"], data[8 + head + facts["data_offsets"][0]:])
    shape, values = shards[photograph]
    size = shape[1] * shape[2] * shape[3]
    return values[index * size:(index + 1) * size]

with open(given / "patches.csv", newline="") as rows, open("outputs/predictions.csv", "w", newline="") as out:
    table = csv.writer(out)
    table.writerow(["photograph", "x", "y"] + [f"score.{name}" for name in classes])
    for row in csv.DictReader(rows):
        patch = pixels(row["photograph"], int(row["index"]))
        red = sum(patch[0::3]) / (len(patch) / 3) / 255
        table.writerow([row["photograph"], row["x"], row["y"]] + [round(red, 6)] * len(classes))
"#;

/// The same table as Parquet.
const ARROW: &str = r#"
import pyarrow as pa, pyarrow.csv as csv, pyarrow.parquet as pq, json
table = csv.read_csv("inputs/patches/patches.csv")
columns = {name: table[name] for name in ["photograph", "x", "y"]}
for name in json.load(open("inputs/patches/set.json"))["classes"]:
    columns[f"score.{name}"] = pa.array([0.25] * table.num_rows)
pq.write_table(pa.table(columns), "outputs/predictions.parquet", compression="none", use_dictionary=False)
"#;

#[test]
fn a_python_script_predicts_and_eval_judges_it() {
    if !confines() {
        return;
    }
    if python().is_empty() {
        return missing("python", "there is no python3 here");
    }
    let space = space(PLAIN, "predictions.csv");
    run(&space).code(0).says(&["predictions.csv", "scores"]);
    let scores: serde_json::Value = serde_json::from_str(&space.read("results/p/scores/scores.json")).expect("JSON");
    let patches = space.read("results/p/made/predictions.csv").lines().count() - 1;
    assert_eq!(scores["data"]["patches"], patches as u64);
    run(&space).code(0).says(&["nothing to compute"]);
    // A comment in the script runs it again; its predictions are the same, so the evaluation is reused.
    space.write("predict.py", format!("# the same\n{PLAIN}"));
    run(&space).code(0).says(&["1 computed"]);
    // A missing class is detected before the evaluation.
    space.edit("predict.py", "for name in classes]", "for name in classes[1:]]");
    space.edit("predict.py", "* len(classes)", "* (len(classes) - 1)");
    run(&space).code(1).says(&["predictions", "column `score."]);
}

#[test]
fn predictions_in_parquet_of_pyarrow_are_read() {
    if !confines() {
        return;
    }
    let has = std::process::Command::new(python()).args(["-c", "import pyarrow"]).output();
    if !has.is_ok_and(|out| out.status.success()) {
        return missing("pyarrow", "python3 has no pyarrow");
    }
    run(&space(ARROW, "predictions.parquet")).code(0).says(&["predictions.parquet", "scores"]);
}

#[test]
fn eval_takes_a_model_or_predictions() {
    let space = space(PLAIN, "predictions.csv");
    space.edit("pipeline.kdl", "predictions made; data", "data");
    macula(&space, "run pipeline.kdl scores").code(2).says(&["missing-port", "`model` or `predictions` is required"]);
}

#[test]
fn a_table_as_pandas_or_polars_writes_it_is_read() {
    let snappy: &[u8] = include_bytes!("../../expected/snappy.parquet");
    let zstd: &[u8] = include_bytes!("../../expected/zstd.parquet");
    for bytes in [snappy, zstd] {
        let found = macula::data::predictions::Predictions::read("predictions.parquet", bytes).expect("readable");
        assert_eq!(found.classes, ["HE", "MA"]);
        assert_eq!(found.of_patch("IDRiD_01", 128, 0), Some([0.25, 0.5].as_slice()));
        assert_eq!(found.of_patch("IDRiD_02", 0, 128), Some([0.0, 1.0].as_slice()));
    }
}
