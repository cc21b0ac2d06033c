//! Trainings that continue from shorter ones, and those that cannot.

use std::sync::atomic::Ordering;

use macula::lang::value::Value;
use macula::stage::Params;
use macula::store::Tree;

use super::fitting::Bench;
use super::made::{Watcher, params};

fn epochs(count: i64, changed: &[(&str, Value)]) -> Params {
    let mut all = params(changed);
    all.0.insert("epochs".to_owned(), Value::Int(count));
    all
}

/// The model, the number of batches computed for it, and the messages about other trainings.
fn fit(bench: &Bench, place: &str, params: &Params, data: &Tree) -> (Tree, u64, Vec<String>) {
    let watcher = Watcher::default();
    let out = bench.train(params, data, &bench.partial(place), &watcher).unwrap_or_else(|error| panic!("{error}"));
    let lines = watcher.lines.lock().expect("no panic").clone();
    let told = lines.into_iter().filter(|line| line.contains("run of")).collect();
    (out.outputs["out"].clone(), watcher.batches.load(Ordering::SeqCst), told)
}

#[test]
fn a_longer_training_continues_a_shorter_one_and_ends_in_the_same_bytes() {
    let bench = Bench::new();
    let step = [
        ("schedule", Value::Text("step".to_owned())),
        ("schedule.every", Value::Int(2)),
        ("schedule.factor", Value::Real(0.5)),
    ];
    for changed in [&[][..], &step[..]] {
        let place = changed.len();
        let (whole, all, told) = fit(&bench, &format!("apart-{place}/whole"), &epochs(5, changed), &bench.data);
        assert_eq!(told, Vec::<String>::new());
        let (_, of_two, _) = fit(&bench, &format!("{place}/two"), &epochs(2, changed), &bench.data);
        let (longer, rest, told) = fit(&bench, &format!("{place}/five"), &epochs(5, changed), &bench.data);
        assert_eq!(told, ["continuing from a run of 2 epochs that differs only in `epochs`"]);
        assert_eq!(of_two + rest, all);
        assert_eq!(longer, whole);
        // A training of fewer epochs cannot use one of more.
        let (_, of_three, told) = fit(&bench, &format!("{place}/three"), &epochs(3, changed), &bench.data);
        assert_eq!((of_three, told), (all / 5 * 3, Vec::new()));
    }
}

#[test]
fn a_longer_training_that_was_interrupted_at_once_continues_too() {
    let bench = Bench::new();
    let (whole, ..) = fit(&bench, "apart/whole", &epochs(4, &[]), &bench.data);
    fit(&bench, "two", &epochs(2, &[]), &bench.data);
    let watcher = Watcher { stop_after: Some(1), ..Watcher::default() };
    assert!(bench.train(&epochs(4, &[]), &bench.data, &bench.partial("four"), &watcher).is_err());
    assert_eq!(fit(&bench, "four", &epochs(4, &[]), &bench.data).0, whole);
}

#[test]
fn a_schedule_over_all_epochs_and_other_data_start_over_with_a_message() {
    let bench = Bench::new();
    let cosine = [("schedule", Value::Text("cosine".to_owned())), ("schedule.final", Value::Real(0.0))];
    let warm = [("schedule.warmup", Value::Real(0.2))];
    for (place, changed, why) in
        [("cosine", &cosine[..], "its cosine spans"), ("warm", &warm[..], "its warm-up is a fraction of")]
    {
        fit(&bench, &format!("{place}/two"), &epochs(2, changed), &bench.data);
        let (_, computed, told) = fit(&bench, &format!("{place}/three"), &epochs(3, changed), &bench.data);
        assert!(computed >= 3 && told.len() == 1 && told[0].contains(why), "{told:?}");
        assert!(told[0].contains("2 epochs") && told[0].ends_with("starting from epoch 1"), "{told:?}");
    }
    fit(&bench, "data/two", &epochs(2, &[]), &bench.data);
    let (_, _, told) = fit(&bench, "data/three", &epochs(3, &[]), &bench.valid);
    assert_eq!(told, ["an earlier run of 2 epochs used other data: starting from epoch 1"]);
    // A training that differs in another parameter is unrelated.
    let other = epochs(3, &[("optimizer.lr", Value::Real(0.5e-3))]);
    assert_eq!(fit(&bench, "data/other", &other, &bench.data).2, Vec::<String>::new());
}

#[test]
fn a_damaged_state_of_a_shorter_training_is_not_used() {
    let bench = Bench::new();
    let (whole, ..) = fit(&bench, "apart/whole", &epochs(3, &[]), &bench.data);
    fit(&bench, "two", &epochs(2, &[]), &bench.data);
    let parent = bench.partial("two").parent().expect("a folder").to_owned();
    let states: Vec<_> = walk(&parent).into_iter().filter(|path| path.ends_with("checkpoint.bin")).collect();
    let state = states.iter().find(|path| !path.starts_with(parent.join("two"))).expect("it was kept");
    let mut bytes = std::fs::read(state).expect("a state");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(state).expect("a file");
    std::fs::write(state, bytes).expect("written");
    assert_eq!(fit(&bench, "three", &epochs(3, &[]), &bench.data).0, whole);
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
