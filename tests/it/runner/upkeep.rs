//! Verification and repair of a whole store: damage is reported with the stage that produced the data, and repaired
//! from records only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use macula::lang::spec::Pipeline;
use macula::run::repair::{self, Repaired};
use macula::run::{Nobody, Options};
use macula::store::verify::{self, Finding, Verified, Wrong};
use macula::store::{Inventory, Layout, Store};

use super::bench::{Bench, With, pipeline, source, stage, wrap};

/// All kinds of work, a source with external files, and a stage that draws random numbers.
fn everything() -> Pipeline {
    pipeline(vec![
        source("in", "file", "in.txt"),
        source("many", "folder", "data"),
        wrap("one", "in", "a"),
        stage("parts", "halves").given("from", &["one"]).makes(&["left", "right"]),
        stage("each", "each").given("from", &["many"]).add("s"),
        stage("dice", "draws"),
        stage("all", "join").given("of", &["parts.left", "each", "dice"]),
        stage("sheet", "page").given("of", &["all", "one"]),
    ])
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("in.txt", "some text");
    (0..6).for_each(|at| bench.write(&format!("data/{at}"), &at.to_string()));
    bench
}

fn verified(bench: &Bench) -> Verified {
    let store = Store::open_read_only(&bench.path(".macula")).expect("there is a store");
    verify::verify(&store, &Inventory::of(&store).expect("listed")).expect("verified")
}

fn repaired(bench: &Bench, findings: &[Finding]) -> Repaired {
    repair::repair(&bench.host, &bench.store(), findings, bench.implementations, &Options::usual(2), &Nobody)
        .expect("repaired")
}

/// The files below a folder of the store, sorted.
fn files(bench: &Bench, folder: &str) -> Vec<PathBuf> {
    let folders = fs::read_dir(bench.path(".macula/v1").join(folder)).expect("there").flatten();
    let folders = folders.filter(|folder| folder.file_name().len() == 2);
    let mut files: Vec<PathBuf> = folders
        .flat_map(|folder| fs::read_dir(folder.path()).expect("readable").flatten())
        .map(|file| file.path())
        .collect();
    files.sort();
    files
}

fn flip(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("permissions");
    let mut bytes = fs::read(path).expect("readable");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("written");
}

#[test]
fn an_intact_store_is_found_intact() {
    let bench = bench();
    bench.run(&everything()).done();
    let found = verified(&bench);
    assert_eq!(found.findings, []);
    assert_eq!((found.records, found.items), (6, 6));
    assert_eq!(found.objects, files(&bench, "objects").len());
}

#[test]
fn every_damaged_object_is_found_named_and_healed_without_the_pipeline() {
    let bench = bench();
    let first = bench.run(&everything()).done();
    let mut of_sources = Vec::new();
    for path in files(&bench, "objects") {
        flip(&path);
        let found = verified(&bench);
        let [Finding { wrong: Wrong::Damaged(_), maker }] = &found.findings[..] else {
            panic!("{}: {:?}", path.display(), found.findings)
        };
        let Some(maker) = maker else {
            // Restored: its repair comes last, because it removes something.
            flip(&path);
            of_sources.push(path);
            continue;
        };
        assert_eq!(maker.pipeline, "bench");
        let repaired = repaired(&bench, &found.findings);
        assert_eq!(repaired.left, [], "{maker:?}");
        assert!(!repaired.healed.is_empty(), "{maker:?}");
        assert!(path.exists(), "{maker:?}");
        assert_eq!(verified(&bench).findings, []);
    }
    // What sources found is recorded for repair only: results stay.
    assert!(!of_sources.is_empty());
    for path in &of_sources {
        flip(path);
    }
    let without = repaired(&bench, &verified(&bench).findings);
    assert!(without.without_recipe > 0 && without.left.is_empty(), "{without:?}");
    assert_eq!(verified(&bench).findings, []);
    let again = bench.run(&everything()).done();
    assert_eq!(again.computed(), [""; 0]);
    assert_eq!(again.texts(), first.texts());
}

#[test]
fn of_a_map_stage_only_the_damaged_item_is_made_again_and_it_is_named() {
    let bench = bench();
    let first = bench.run(&everything()).done();
    flip(&bench.object_of(&first, "each"));
    let found = verified(&bench);
    let maker = found.findings[0].maker.as_ref().expect("it is known");
    assert_eq!((&*maker.stage, maker.item.as_deref()), ("each", Some("0")));
    assert_eq!(maker.run, first.report.record.id);
    assert_eq!(repaired(&bench, &found.findings).healed.len(), 1);
    assert_eq!(verified(&bench).items, 6);
}

#[test]
fn a_deleted_object_is_missing_and_made_again() {
    let bench = bench();
    let first = bench.run(&everything()).done();
    for stage in ["one", "all"] {
        fs::remove_file(bench.object_of(&first, stage)).expect("deleted");
    }
    let found = verified(&bench);
    assert!(found.findings.iter().all(|finding| matches!(finding.wrong, Wrong::Missing(_))), "{:?}", found.findings);
    assert_eq!(found.findings.len(), 2);
    let repaired = repaired(&bench, &found.findings);
    let healed: Vec<&str> = repaired.healed.iter().map(|(maker, _)| &*maker.stage).collect();
    assert_eq!(healed, ["one", "all"], "in the order in which they were made");
    assert_eq!(verified(&bench).findings, []);
}

#[test]
fn damaged_records_and_segments_are_found_and_put_out_of_the_way() {
    let bench = bench();
    let first = bench.run(&everything()).done();
    let records = files(&bench, "actions");
    flip(&records[0]);
    let segment = fs::read_dir(bench.path(".macula/v1/items")).expect("there").flatten().next().expect("one").path();
    flip(&segment);
    let found = verified(&bench);
    assert_eq!(found.findings.len(), 2, "{:?}", found.findings);
    let repaired = repaired(&bench, &found.findings);
    assert_eq!((repaired.records, repaired.segments), (1, 1));
    assert_eq!(verified(&bench).findings, []);
    let again = bench.run(&everything()).done();
    assert_eq!(again.computed().len(), 1);
    assert_eq!(again.texts(), first.texts());
    assert_eq!(verified(&bench).findings, []);
}

#[test]
fn what_cannot_be_computed_again_is_reported() {
    let bench = bench();
    let first = bench.run(&everything()).done();
    flip(&bench.object_of(&first, "one"));
    fs::remove_file(bench.path("in.txt")).expect("deleted");
    let found = verified(&bench);
    let repaired = repaired(&bench, &found.findings);
    assert!(repaired.left.iter().any(|(_, why)| why.contains("inputs are missing")), "{repaired:?}");
}

#[test]
fn a_store_of_a_later_macula_is_refused_and_left_alone() {
    let folder = tempfile::TempDir::new().expect("a folder");
    fs::create_dir(folder.path().join("v7")).expect("made");
    let error = Store::open(folder.path()).expect_err("refused").to_string();
    assert!(error.contains("has layout v7, which is newer"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1);
    // If this macula's layout is there too, it uses that.
    fs::create_dir(folder.path().join("v1")).expect("made");
    Store::open(folder.path()).expect("opens");
}

#[test]
fn a_shared_folder_stays_shared_below() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let root = folder.path().join("store");
    fs::create_dir(&root).expect("made");
    fs::set_permissions(&root, fs::Permissions::from_mode(0o2770)).expect("set");
    let store = Store::open(&root).expect("opens");
    store.objects.put(b"some bytes").expect("stored");
    store.objects.publish().expect("published");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    let mut open = vec![root.join("v1")];
    while let Some(folder) = open.pop() {
        assert_eq!(mode(&folder) & 0o2070, 0o2070, "{}", folder.display());
        let inner = fs::read_dir(&folder).expect("readable").flatten().map(|entry| entry.path());
        // A process's own new bytes are private.
        open.extend(
            inner.filter(|path| path.is_dir() && !path.parent().is_some_and(|above| above.ends_with("incoming"))),
        );
    }
    assert_eq!(mode(&Layout::at(&root).expect("there").gc_lock()) & 0o020, 0o020);
}
