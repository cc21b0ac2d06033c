//! `rebuild`: guarantees hold with any number of threads, and stages without guarantees are reported.

use super::{confines, macula, run};
use crate::space::Space;

#[test]
fn rebuilt_stages_give_the_same_bytes_with_one_thread_two_and_seven() {
    let space = Space::with(
        "pipeline p seed=3 {\n    synthetic fundus { photographs 4; size 256; photographs-per-patient 1 }\n    extract patches { from fundus; size 64 }\n    \
         split folds { from patches; by image; train 0.5; valid 0.25; test 0.25 }\n    \
         train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 1 }\n    \
         eval scores { model classifier; data folds.test }\n}\n",
    );
    macula(&space, "run --threads 2 pipeline.kdl").code(0);
    let before = space.files("results");
    for threads in ["1", "2", "7"] {
        let said = macula(&space, &format!("rebuild --threads {threads} pipeline.kdl")).code(0);
        let said = said.says(&["bit-exact", "path-exact"]).says_not(&["DIFFERS", "no stored"]);
        assert_eq!(said.stdout.matches("same bytes").count(), 5, "{}", said.stdout);
    }
    assert_eq!(space.files("results"), before);
    let left = std::fs::read_dir(space.path(".macula")).expect("a store").flatten();
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with("rebuild-")));
}

#[test]
fn a_command_that_never_says_the_same_is_reported_and_breaks_no_promise() {
    if !confines() {
        return;
    }
    let space = super::space("date +%s%N > outputs/a", "gives a any");
    run(&space).code(0);
    macula(&space, "rebuild pipeline.kdl").code(0).says(&["unknown", "differs (not deterministic)"]);
}
