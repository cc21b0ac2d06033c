//! Sweeps through the binary: planned, run, killed, run again, compared.

use serde_json::Value;

use crate::space::Space;

const SWEPT: &str = r"pipeline small seed=7 {
    synthetic eyes { photographs 6; size 192; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 48 }
    split folds { from patches; by patient; train 0.5; valid 0.25; test 0.25 }
    train classifier {
        data folds.train
        valid folds.valid
        network shallow-cnn
        epochs 1
        batch 32
    }
    eval scores { model classifier; data folds.test }
}

sweep rates {
    over classifier.optimizer.lr 1e-3 1e-4
    repeat 2 only=classifier
    rank by=classifier.loss
}
";

#[test]
fn a_sweep_is_planned_run_and_compared() {
    let space = Space::with(SWEPT);
    space
        .macula("check pipeline.kdl")
        .code(0)
        .says(&["pipeline `small`", "sweep `rates`, 4 points of `small`: lr 1e-3 | 1e-4, 2 seeds"]);
    let plan = "plan pipeline.kdl --sweep rates";
    space.macula(plan).code(0).says(&["rates: 4 points of `small`: 11 stages instead of 20, 3 shared"]);
    space.macula("compare pipeline.kdl --sweep rates").code(0).says(&["0 of 2 done"]);
    // What has no figure has no rank.
    let unranked = space.macula("compare pipeline.kdl --sweep rates --format csv").code(0);
    assert!(unranked.raw.lines().skip(1).all(|line| line.starts_with(',')), "{}", unranked.raw);
    let ran = space.macula("run pipeline.kdl --sweep rates").code(0);
    ran.says(&["done in", "ranked by classifier.loss (lower is better)", "2 of 2 done"]);
    space.macula("run pipeline.kdl --sweep rates").code(0).says(&["nothing to compute: 11 reused"]);
    space.macula("show pipeline.kdl --sweep rates scores").code(2).says(&["4 stages `scores`", "scores@lr="]);
    space.macula("show pipeline.kdl --sweep rates scores@lr=1e-4,seed=8").code(0).says(&["eval, computed in run"]);
    space.macula("why pipeline.kdl --sweep rates patches").code(0).says(&["will not run"]);
    assert!(space.path("results/rates/classifier@lr=1e-3,seed=7/weights.safetensors").is_file());

    // With other settings these are other points.
    space.macula("compare pipeline.kdl --sweep rates --set classifier.batch=7").code(0).says(&["0 of 2 done"]);
    space.macula("compare pipeline.kdl --sweep rates --set classifier.bath=7").code(2).says(&["did you mean `batch`"]);

    let compared = space.macula("compare pipeline.kdl --sweep rates --json").code(0);
    let compared: Value = serde_json::from_str(&compared.raw).expect("JSON");
    let groups = compared["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 2);
    assert_eq!((&groups[0]["rank"], &groups[1]["rank"]), (&Value::from(1), &Value::from(2)));
    let loss = |group: &Value| group["figures"]["classifier"]["loss"].clone();
    assert!(groups.iter().all(|group| loss(group)["n"] == 2 && loss(group)["deviation"].is_f64()), "{compared:#}");
    assert!(loss(&groups[0])["mean"].as_f64() <= loss(&groups[1])["mean"].as_f64(), "the least loss is first");
    assert_eq!(compared["differs"], serde_json::json!(["classifier.optimizer.lr"]));
    let csv = space.macula("compare pipeline.kdl --sweep rates --format csv --each").code(0);
    assert_eq!(csv.raw.lines().count(), 5, "{}", csv.raw);
    assert!(csv.raw.starts_with("rank,name,seed,state,classifier.optimizer.lr,classifier.loss,"), "{}", csv.raw);

    // The pipeline alone is one of the points: its default rate is another, so its classifier is new and all else there.
    space.macula("run pipeline.kdl --set classifier.optimizer.lr=1e-3").code(0).says(&["nothing to compute"]);
    space
        .macula("compare pipeline.kdl --sweep rates --by classifier.los")
        .code(2)
        .says(&["did you mean `classifier.loss`"]);
}

#[test]
fn a_failed_point_stops_no_other() {
    // At the second point the validation side has no patch.
    let sides = "zip { over folds.train 0.5 0.7499; over folds.valid 0.25 0.0001 }";
    let text = SWEPT.replace("over classifier.optimizer.lr 1e-3 1e-4", sides);
    let space = Space::with(&text);
    let ran = space.macula("run pipeline.kdl --sweep rates");
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    ran.says(&["failed", "skipped:", "2 of 2 done", "0 of 2 done, failed: "]);
}

#[test]
fn runs_are_compared_by_what_differs() {
    let space = Space::with(SWEPT);
    space.macula("run pipeline.kdl").code(0);
    space.macula("run pipeline.kdl --set classifier.epochs=2").code(0);
    space.macula("run pipeline.kdl --set seed=8").code(0);
    let compared = space.macula("compare pipeline.kdl --pipeline small --by scores.mean-average-precision").code(0);
    compared.says(&["small: 3 runs, ranked by scores.mean-average-precision (higher is better)", "classifier.epochs"]);
    let json = space.macula("compare pipeline.kdl --json").code(0);
    let json: Value = serde_json::from_str(&json.raw).expect("JSON");
    let differs: Vec<&str> = json["differs"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    assert_eq!(differs, ["classifier.epochs"], "{json:#}");
    let listed = space.macula("runs pipeline.kdl --json").code(0);
    let ids: Vec<String> = listed
        .raw
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["id"].as_str().expect("an id").to_owned())
        .collect();
    let two = space.macula(&format!("compare {} {} --json", ids[1], ids[2])).code(0);
    let two: Value = serde_json::from_str(&two.raw).expect("JSON");
    assert_eq!(two["differs"], serde_json::json!(["classifier.epochs"]));
    space.macula("compare 1999").code(2).says(&["no run and no file `1999`"]);
}
