//! A network of two scales in a pipeline: it starts from the weights of one trunk, trains, is evaluated and shown.

use crate::space::Space;

const PIPELINE: &str = r"network two-scales {
    input half
    parallel join=concat {
        branch { resnet18 to=features }
        branch small from=half { resnet18 to=features }
    }
    linear head
}
network shared {
    input half
    parallel join=concat {
        branch { resnet18 to=features }
        branch from=half share=#true { resnet18 to=features }
    }
    linear head
}

pipeline scales seed=7 {
    synthetic eyes { photographs 4; size 192; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 32 }
    filter-black visible { from patches; share 0.6 }
    split folds { from visible; by patient; train 0.5; valid 0.25; test 0.25 }
    train trunk { data folds.train; valid folds.valid; network resnet18; epochs 1; batch 32 }
    train two { data folds.train; valid folds.valid; network two-scales; init trunk; missing initialise; epochs 1; batch 32 }
    train one { data folds.train; valid folds.valid; network shared; init trunk; missing initialise; epochs 1; batch 32 }
    eval scores { model two; data folds.test }
    eval others { model one; data folds.test }
}
";

#[test]
fn two_scales_of_a_resnet_train_from_the_weights_of_one() {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl").code(0);
    let info = space.read("results/scales/two/model.json");
    assert!(info.contains(r#""inputs""#) && info.contains(r#""half""#), "{info}");
    assert!(!space.read("results/scales/trunk/model.json").contains("inputs"));
    // The trunk without a prefix is loaded, in the shared network both.
    space.macula("show pipeline.kdl two").code(0).says(&["initialisation of tensors"]);
    let size = |stage: &str| {
        std::fs::metadata(space.path(&format!("results/scales/{stage}/weights.safetensors"))).expect("weights").len()
    };
    assert!(size("two") > 2 * size("trunk") - 100_000 && size("one") < size("trunk") + 100_000);
    let shown = space.macula("show pipeline.kdl shared").code(0);
    shown.says(&["branch from=half", "1024", "parallel"]);
    let said = space.macula("show pipeline.kdl two-scales --json").code(0);
    let facts: serde_json::Value = serde_json::from_str(&said.raw).expect("JSON");
    let point = |layer: &serde_json::Value| layer["point"] == "half";
    assert_eq!(facts["layers"].as_array().expect("layers").iter().filter(|layer| point(layer)).count(), 1);
    // A tap changes nothing.
    space.edit("pipeline.kdl", "    linear head\n}\nnetwork shared", "    tap end\n    linear head\n}\nnetwork shared");
    space.macula("run pipeline.kdl").code(0).says(&["nothing to compute"]);
    space.macula("fmt pipeline.kdl").code(0);
    space.macula("fmt --check pipeline.kdl").code(0);
    space.macula("run pipeline.kdl").code(0).says(&["nothing to compute"]);
}
