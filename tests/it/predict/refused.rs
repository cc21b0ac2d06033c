//! Refused inputs and their messages.

use super::{PIPELINE, made};
use crate::space::Space;

#[test]
fn impossible_predictions_are_refused_with_a_hint() {
    let space = made();
    space.write("new/eye.jpg", b"no photograph");
    space.macula("predict pipeline.kdl classifier").code(2);
    space.macula("predict pipeline.kdl classifier new/none.jpg").code(2).says(&["cannot read", "none.jpg"]);
    space.macula("predict pipeline.kdl classifier new/eye.jpg").code(1).says(&["damaged-photograph"]);
    space
        .macula("predict pipeline.kdl cuts new/eye.jpg")
        .code(2)
        .says(&["`cuts` is a `threshold-tune` stage; `macula predict` takes a classifier", "use `classifier`"]);
    space.macula("predict pipeline.kdl clasifier new/eye.jpg").code(2).says(&["did you mean `classifier`?"]);
    space.write("other/eye.png", b"x");
    space
        .macula("predict pipeline.kdl classifier new/eye.jpg other/eye.png")
        .code(2)
        .says(&["two photographs are named `eye`"]);
    let grey = vec![128; 40 * 60 * 3];
    space
        .write("new/small.png", macula::data::png_image::png(&grey, 40, 60, macula::data::png_image::PixelFormat::Rgb));
    let said = space.macula("predict pipeline.kdl classifier new/small.png").code(1);
    said.says(&["too-small", "`small` is 20 x 30 px, smaller than a patch of the model (48 px)"]);

    // Maps that do not fit the photographs.
    space.edit("pipeline.kdl", "from half; only", "from half; classes NV; only");
    space.macula("run pipeline.kdl maps").code(2).says(&[
        "unknown-class",
        "the data of `heat-map maps` have no class `NV`",
        "the classes are MA, HE, EX, SE",
    ]);
    space.edit("pipeline.kdl", "from half; classes NV; only folds.test", "from eyes; only folds.valid");
    space.macula("run pipeline.kdl maps").code(0).says(&["other-scale", "pixels of 2 x 2 original pixels"]);
    space.edit("pipeline.kdl", "only folds.valid; stride 48", "only folds.valid; stride 0");
    space.macula("run pipeline.kdl maps").code(2).says(&["cannot be 0"]);
    space.edit("pipeline.kdl", "only folds.valid; stride 0", "only folds.valid");

    // The preprocessing of photographs from another file is unknown.
    space.edit("pipeline.kdl", "shrink 2", "shrink 3");
    let said = space.macula("predict pipeline.kdl classifier new/small.png").code(2);
    said.says(&["the pipeline has changed since `classifier` was trained", "macula run pipeline.kdl classifier"]);
}

#[test]
fn a_classifier_that_was_never_trained_is_no_classifier_yet() {
    let space = Space::with(super::PIPELINE);
    space.write("new/eye.jpg", b"no photograph");
    space.macula("predict pipeline.kdl classifier new/eye.jpg").code(2).says(&["`classifier` has no result yet"]);
}

#[test]
fn patches_at_another_resolution_than_in_training_are_reported_wherever_they_are_scored() {
    let more = "    extract native { from eyes; size 48 }
    split large { from native; like folds }
    threshold-tune far-cuts { model classifier; data large.valid }
    eval far { model classifier; data large.test }
    calibrate far-calibrated { model classifier; data large.valid }
}
";
    let space = Space::with(&format!("{}{more}", PIPELINE.trim_end().trim_end_matches('}')));
    let said = space.macula("run pipeline.kdl far far-cuts far-calibrated scores cuts").code(0);
    for stage in ["far", "far-cuts", "far-calibrated", "scores", "cuts"] {
        let shown = space.macula(&format!("show pipeline.kdl {stage} --all")).code(0);
        assert_eq!(shown.stdout.contains("warning[other-scale]"), stage.starts_with("far"), "{stage}: {}", shown.raw);
    }
    said.says(&["pixels of 2 x 2 original pixels, but those of the patches are 1 x 1"]);
}
