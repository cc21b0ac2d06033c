//! Damaged and missing objects are found, told, and computed again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use macula::lang::spec::Pipeline;
use macula::run::Event;

use super::bench::{Bench, With, pipeline, source, stage, wrap};

fn chain(last: &str) -> Pipeline {
    pipeline(vec![
        source("in", "file", "in.txt"),
        wrap("one", "in", "a"),
        wrap("two", "one", "b"),
        wrap("three", "two", last),
    ])
}

fn flip(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("permissions");
    let mut bytes = fs::read(path).expect("readable");
    bytes[0] ^= 1;
    fs::write(path, bytes).expect("written");
}

#[test]
fn a_deleted_object_is_computed_again() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    let first = bench.run(&chain("c")).done();
    fs::remove_file(bench.object_of(&first, "two")).expect("deleted");
    assert_eq!(bench.plan(&chain("c"))["two"], "run");
    let again = bench.run(&chain("c")).done();
    assert_eq!(again.computed(), ["two"]);
    assert_eq!(again.texts(), first.texts());
}

#[test]
fn a_flipped_byte_is_found_told_and_healed_when_it_is_read() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    let first = bench.run(&chain("c")).done();
    flip(&bench.object_of(&first, "two"));
    let healed = bench.run(&chain("d")).done();
    assert_eq!(healed.of("two"), "repaired");
    assert_eq!(healed.of("one"), "reused");
    assert_eq!(healed.text("three.out"), "d(b(a(x)))");
    let told = healed
        .events
        .iter()
        .any(|event| matches!(event, Event::Repairing { stage, text } if stage == "two" && text.contains("damaged")));
    assert!(told, "the damage is told");
    assert!(!super::stages::is_empty(&bench.path(".macula/v1/objects/quarantine")), "the damaged bytes are kept aside");
    assert_eq!(bench.run(&chain("d")).done().computed(), [""; 0]);
}

#[test]
fn damage_up_the_chain_is_healed_too() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    let first = bench.run(&chain("c")).done();
    flip(&bench.object_of(&first, "one"));
    flip(&bench.object_of(&first, "two"));
    let healed = bench.run(&chain("d")).done();
    assert_eq!([healed.of("one"), healed.of("two"), healed.of("three")], ["repaired", "repaired", "computed"]);
    assert_eq!(healed.text("three.out"), "d(b(a(x)))");
}

#[test]
fn a_damaged_item_is_the_only_one_computed_again() {
    let bench = Bench::new();
    (0..6).for_each(|at| bench.write(&format!("data/{at}"), &at.to_string()));
    let mapped = |with: &str| {
        pipeline(vec![
            source("in", "folder", "data"),
            stage("each", "each").given("from", &["in"]).add("s"),
            wrap("last", "each", with),
        ])
    };
    let first = bench.run(&mapped("a")).done();
    flip(&bench.object_of(&first, "each"));
    let healed = bench.run(&mapped("b")).done();
    assert_eq!(healed.of("each"), "repaired");
    assert_eq!(healed.report.record.stages["each"].items, Some((1, 6)));
    assert_eq!(healed.text("each.out"), first.text("each.out"));
}

#[test]
fn a_damaged_record_is_a_miss() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    let first = bench.run(&chain("c")).done();
    let key = first.report.record.stages["two"].key.expect("a key");
    flip(&bench.store().layout().action(&key, "any"));
    assert_eq!(bench.run(&chain("c")).done().computed(), ["two"]);
}

#[test]
fn a_file_that_changes_while_macula_runs_is_no_damage() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    let store = bench.store();
    let entry = store.files.entry(&bench.path("in.txt"), 0).expect("readable");
    store.objects.put_external(&entry, &bench.path("in.txt"));
    assert_eq!(&*store.objects.read(&entry).expect("readable"), b"x");
    bench.write("in.txt", "y");
    let error = store.objects.read(&entry).expect_err("it changed").to_string();
    assert!(error.contains("in.txt` changed while macula was running"), "{error}");
}
