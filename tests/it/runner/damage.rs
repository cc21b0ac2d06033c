//! Damaged and missing objects are found, reported, and recomputed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use macula::lang::spec::Pipeline;
use macula::run::Event;

use super::bench::{Bench, Came, With, pipeline, source, stage, wrap};

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
fn a_flipped_byte_is_found_reported_and_repaired_when_it_is_read() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    let first = bench.run(&chain("c")).done();
    flip(&bench.object_of(&first, "two"));
    let healed = bench.run(&chain("d")).done();
    assert_eq!(healed.of("two"), "repaired");
    assert_eq!(healed.of("one"), "reused");
    assert_eq!(healed.text("three.out"), "d(b(a(x)))");
    let told = healed.events.iter().any(
        |event| matches!(event, Event::Repairing { stage, text, .. } if stage == "two" && text.contains("damaged")),
    );
    assert!(told, "the damage is told");
    let shown = fs::read_to_string(bench.path("results/bench/two/text")).expect("linked");
    assert_eq!(shown, "b(a(x))", "the link leads to the healed bytes");
    assert!(!super::stages::is_empty(&bench.path(".macula/v1/objects/quarantine")), "the damaged bytes are kept aside");
    assert_eq!(bench.run(&chain("d")).done().computed(), [""; 0]);
}

/// The plan from before the damage was found is outdated: the next stage may pass on missing objects.
#[test]
fn what_needs_a_damaged_result_is_decided_after_that_was_made_again() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    let first = bench.run(&chain("c")).done();
    flip(&bench.object_of(&first, "one"));
    // It is read when it is linked again.
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::remove_file(bench.path("results/bench/one/text")).expect("deleted");
    let healed = bench.run(&chain("c")).done();
    assert_eq!(["one", "two", "three"].map(|stage| healed.of(stage)), ["repaired", "reused", "reused"]);
    let ended = |wanted: &str| {
        let of = |event: &Event| matches!(event, Event::StageEnded { stage, .. } if stage == wanted);
        healed.events.iter().position(of).expect("it ended")
    };
    assert!(ended("one") < ended("two") && ended("two") < ended("three"));
}

#[test]
fn a_result_that_was_deleted_or_replaced_is_linked_again() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    bench.run(&chain("c")).done();
    let [one, two] = ["one", "two"].map(|stage| bench.path(&format!("results/bench/{stage}/text")));
    // Longer than the resolution of file times.
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::remove_file(&one).expect("deleted");
    fs::remove_file(&two).expect("deleted");
    fs::write(&two, "b(a(y))").expect("written");
    assert_eq!(bench.run(&chain("c")).done().computed(), [""; 0]);
    assert_eq!([one, two].map(|path| fs::read_to_string(path).expect("linked")), ["a(x)", "b(a(x))"]);
}

#[test]
fn what_is_linked_by_name_again_is_verified_before() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    let first = bench.run(&chain("c")).done();
    flip(&bench.object_of(&first, "two"));
    fs::remove_dir_all(bench.path("results")).expect("deleted");
    let healed = bench.run(&chain("c")).done();
    assert_eq!([healed.of("one"), healed.of("two"), healed.of("three")], ["reused", "repaired", "reused"]);
    assert_eq!(fs::read_to_string(bench.path("results/bench/two/text")).expect("linked"), "b(a(x))");
    assert_eq!(bench.run(&chain("c")).done().computed(), [""; 0]);
}

#[test]
fn what_a_process_that_was_killed_left_among_the_results_is_swept() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    bench.write("results/bench/.new-abc/text", "half");
    bench.write("results/bench/.old-abc/was/text", "half");
    bench.run(&chain("c")).done();
    let names = fs::read_dir(bench.path("results/bench")).expect("there").flatten();
    let mut names: Vec<String> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, [".lock", "one", "three", "two"]);
}

#[test]
fn remembered_digests_that_were_damaged_are_not_believed() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    let first = bench.run(&chain("c")).done();
    let files = bench.path(".macula/v1/files");
    let mut bytes = fs::read(&files).expect("readable");
    let digest = macula::base::Digest::of(b"x");
    let at = bytes.windows(32).position(|window| window == digest.bytes()).expect("its digest is remembered");
    bytes[at..at + 32].copy_from_slice(macula::base::Digest::of(b"y").bytes());
    fs::write(&files, bytes).expect("written");
    assert_eq!(bench.run(&chain("c")).done().computed(), [""; 0]);
    assert_eq!(bench.run(&chain("d")).done().text("three.out"), first.text("three.out").replacen('c', "d", 1));
}

#[test]
fn a_file_that_changed_behind_its_time_is_seen() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    let short = |add: &str| pipeline(vec![source("in", "file", "in.txt"), wrap("one", "in", add)]);
    bench.run(&short("a")).done();
    // Written in place, with its time restored: what `cp --preserve` over a file does.
    let time = bench.path("in.txt").metadata().and_then(|facts| facts.modified()).expect("a time");
    fs::write(bench.path("in.txt"), "y").expect("written");
    let file = fs::File::options().write(true).open(bench.path("in.txt")).expect("opens");
    file.set_modified(time).expect("its time can be set");
    assert_eq!(bench.run(&short("b")).done().text("one.out"), "b(y)");
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
    assert_eq!(healed.report.record.stages["each"].items.map(Into::into), Some((1, 6)));
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
    store.objects.put_external([(&entry, bench.path("in.txt").as_path())]);
    assert_eq!(&*store.objects.read(&entry).expect("readable"), b"x");
    bench.write("in.txt", "y");
    let error = store.objects.read(&entry).expect_err("it changed").to_string();
    assert!(error.contains("in.txt` changed while macula was running"), "{error}");
}

/// Like a store folder without write permission: a file blocks the quarantine folder.
#[test]
fn what_a_source_made_is_repaired_once_where_it_cannot_be_moved_out_of_the_way() {
    let bench = Bench::new();
    (0..3).for_each(|at| bench.write(&format!("data/{at}"), &at.to_string()));
    let handed = pipeline(vec![
        source("in", "folder", "data"),
        // Passes on what the source created.
        stage("same", "same").given("from", &["in"]),
        wrap("last", "same", "a"),
    ]);
    bench.run(&handed).done();
    let index = macula::base::Digest::of(b"3 files").to_string();
    let path = bench.path(".macula/v1/objects").join(&index[..2]).join(&index[2..]);
    flip(&path);
    fs::write(bench.path(".macula/v1/objects/quarantine"), "").expect("written");
    fs::remove_dir_all(bench.path("results")).expect("deleted");
    let healed = bench.run(&handed).done();
    assert_eq!(repairs(&healed), ["in"]);
    let shown = fs::read_to_string(bench.path("results/bench/same/index")).expect("linked");
    assert_eq!(shown, "3 files");
}

/// However often it is repaired: a run ends.
#[test]
fn a_stage_that_goes_on_finding_damage_fails() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    let spoilt = [wrap("one", "in", "a"), stage("bad", "spoils").given("from", &["one"])];
    let came = bench.run(&pipeline([vec![source("in", "file", "in.txt")], spoilt.to_vec()].concat()));
    assert_eq!(came.of("bad"), "failed");
    assert!(came.report.failed[0].error.to_string().contains("is damaged"), "{:?}", came.report.failed);
    assert_eq!(repairs(&came), ["one", "one"]);
}

/// The stages that were reported as being repaired, in order.
fn repairs(came: &Came) -> Vec<&str> {
    let told = came.events.iter().filter_map(|event| match event {
        Event::Repairing { stage, .. } => Some(&**stage),
        _ => None,
    });
    told.collect()
}
