//! The language: what is said of a file, and what is made of it.

use macula::lang::value::Value;
use macula::lang::{builtin_network, shapes, stdlib};

#[test]
fn the_standard_library_is_without_fault() {
    assert_eq!(stdlib::stdlib().diags, []);
}

#[test]
fn resnet18_has_the_parameters_and_the_cost_of_torchvisions() {
    let network = builtin_network("resnet18").expect("it is built in");
    let rows = shapes::shapes(&network, 224, 1000).expect("it fits");
    // As torchvision states for IMAGENET1K_V1: 11,689,512 parameters, 1.814 billion multiply-adds at 224 px.
    assert_eq!(rows.iter().map(|row| row.parameters).sum::<u64>(), 11_689_512);
    assert_eq!(rows.iter().map(|row| row.multiply_adds).sum::<u64>(), 1_814_073_344);
    assert!(rows.iter().any(|row| row.name == "layer4.0.downsample.1"));
}

const BASELINE: &str = r#"
use "std:networks/resnet18"

pipeline patch-baseline seed=7 {
    doc "ResNet18 on balanced lesion patches, focal loss."
    param size type=px default=128

    idrid fundus { root "data/idrid" }
    weights imagenet { file "weights/resnet18.safetensors" }

    extract patches { from fundus; size $size; label min-pixels=1 }
    filter-black visible { from patches }
    split folds { from visible; by image; train 0.70; valid 0.15; test 0.15 }
    rebalance balanced { from folds.train; lesions undersample to=smallest; healthy per-lesion-patch=2.0 }
    augment views { from balanced; flip horizontal=0.5; rotate degrees=15; color-jitter brightness=0.2 contrast=0.2 saturation=0.2 hue=0.02 }
    train classifier {
        data views
        valid folds.valid
        init imagenet
        network resnet18
        loss focal gamma=2.0 class-weights=inverse-frequency
        optimizer adam lr=1e-4 weight-decay=1e-5
        epochs 20
        batch 64
    }
    threshold-tune cuts { model classifier; data folds.valid; maximize f1 }
    eval scores { model classifier; thresholds cuts; data folds.test }
    report page { of scores }
}
"#;

#[test]
fn the_baseline_of_the_design_is_right() {
    let mut sources = macula::base::Sources::default();
    let (pipelines, diags) = macula::lang::load_text("baseline.kdl", None, BASELINE, &[], &mut sources);
    assert_eq!(diags, []);
    let train = pipelines[0].stages.iter().find(|stage| stage.kind == "train").expect("it trains");
    assert_eq!(train.params["loss.gamma"], Value::Real(2.0));
    assert_eq!(train.params["optimizer.beta1"], Value::Real(0.9), "defaults are filled in");
}
