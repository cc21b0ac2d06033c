//! Mistakes that are reported before anything runs, and errors that are reported once.

use crate::space::Space;

const WIDE: &str = r"network tiny {
    param width default=4
    conv conv out=$width kernel=3
    relu
    tap early
    global-avg-pool
    tap features
    linear fc
}

pipeline small seed=7 {
    synthetic eyes { photographs 6; size 128; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 32 }
    split folds { from patches; train 0.5; valid 0.25; test 0.25 }
    train first { data folds.train; valid folds.valid; network tiny; epochs 1 }
    encode vectors { from eyes; init first; network tiny width=8 to=features; side 64 }
    join tested { patches folds.test; embeddings vectors; as whole }
    predict guesses { model first; data tested }
}
";

#[test]
fn weights_that_fit_no_photograph_are_reported_once_with_their_stage() {
    let space = Space::with(WIDE);
    let said = space
        .macula("run pipeline.kdl")
        .code(1)
        .says(&["weights-shape", "`first` does not match network `tiny to=features`"]);
    let all = said.stdout.clone() + &said.stderr;
    assert_eq!(all.matches("does not match network").count(), 1, "{all}");
}
