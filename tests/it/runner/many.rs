//! Results of many objects: cached presence is used only while the object folders are unchanged, and links are updated
//! where they differ.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use macula::lang::spec::Pipeline;
use macula::lang::value::Value;

use super::bench::{Bench, With, pipeline, source, stage};

/// A bench in which one object counts as many, and a folder need only be unchanged since an earlier clock tick.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.listing = Some((1, 0));
    (0..8).for_each(|at| bench.write(&format!("data/{at}.txt"), &"z".repeat(at + 1)));
    bench
}

fn each() -> Pipeline {
    pipeline(vec![source("in", "folder", "data"), stage("each", "each").given("from", &["in"]).add("s")])
}

fn objects(bench: &Bench) -> Vec<PathBuf> {
    let folders = fs::read_dir(bench.path(".macula/v1/objects")).expect("listed").flatten();
    let folders = folders.filter(|folder| folder.file_name().len() == 2);
    folders.flat_map(|folder| fs::read_dir(folder.path()).expect("listed").flatten()).map(|file| file.path()).collect()
}

/// Runs until the store has cached that its results are complete, which takes a tick of the disk's clock.
fn remembered(bench: &Bench, pipeline: &Pipeline) {
    bench.run(pipeline).done();
    let path = bench.path(".macula/v1/whole");
    let _ = fs::remove_file(&path);
    for _ in 0..1000 {
        assert_eq!(bench.run(pipeline).done().computed(), [""; 0]);
        if path.exists() {
            assert_eq!(bench.run(pipeline).done().computed(), [""; 0]);
            return;
        }
    }
    panic!("folders that were left alone are remembered");
}

#[test]
fn folders_that_just_changed_are_not_remembered() {
    let mut bench = bench();
    // Everything within a year counts as recent.
    bench.listing = Some((1, 365 * 86_400_000_000_000));
    for _ in 0..3 {
        bench.run(&each()).done();
        assert!(!bench.path(".macula/v1/whole").exists());
    }
}

#[test]
fn an_object_that_is_deleted_is_missed_although_its_result_was_complete() {
    let bench = bench();
    remembered(&bench, &each());
    let large = objects(&bench).into_iter().filter(|path| path.metadata().expect("there").len() > 100_000);
    let large: Vec<PathBuf> = large.collect();
    assert_eq!(large.len(), 8);
    for path in large {
        fs::remove_file(&path).expect("deleted");
        assert_eq!(bench.plan(&each())["each"], "run", "{}", path.display());
        let came = bench.run(&each()).done();
        assert_eq!(came.report.record.stages["each"].items.map(Into::into), Some((1, 8)));
        assert!(path.exists());
        remembered(&bench, &each());
    }
}

#[test]
fn a_cache_of_complete_results_that_was_damaged_is_not_believed() {
    let bench = bench();
    remembered(&bench, &each());
    let path = bench.path(".macula/v1/whole");
    let whole = fs::read(&path).expect("readable");
    for at in [0, 40, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).expect("written");
        assert_eq!(bench.run(&each()).done().computed(), [""; 0]);
        assert_eq!(fs::read(&path).expect("readable"), whole, "it is made anew");
    }
    fs::write(&path, &whole[..20]).expect("written");
    assert_eq!(bench.run(&each()).done().computed(), [""; 0]);
}

/// Enough files for a large table of names.
const FILES: i64 = 1400;

fn list(count: i64) -> Pipeline {
    pipeline(vec![stage("list", "numbered").add("a").with("count", Value::Int(count))])
}

/// Names below `results/` that start with a digit.
fn shown(bench: &Bench) -> Vec<String> {
    let names = fs::read_dir(bench.path("results/bench/list")).expect("listed").flatten();
    let mut names: Vec<String> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with(char::is_numeric));
    names.sort();
    names
}

fn expected(count: i64) -> Vec<String> {
    let mut names: Vec<String> = (0..count).map(|number| format!("{number:03}")).collect();
    names.sort();
    names
}

#[test]
fn of_many_links_only_those_that_differ_are_made() {
    let bench = Bench::new();
    bench.run(&list(FILES)).done();
    let folder = bench.path("results/bench/list");
    let inode = || folder.metadata().expect("there").ino();
    let before = inode();
    for count in [FILES + 2, FILES - 3, FILES] {
        bench.run(&list(count)).done();
        assert_eq!(shown(&bench), expected(count));
        assert_eq!(inode(), before, "the folder is the same");
        let readme = fs::read_to_string(folder.join("README.txt")).expect("readable");
        assert!(readme.starts_with(&format!("list: {count} items")), "{readme}");
        let last = expected(count).pop().expect("some");
        assert!(fs::read_to_string(folder.join(&last)).expect("readable").starts_with(&format!("a{last} of ")));
    }
}

#[test]
fn what_a_process_that_was_killed_while_it_changed_links_left_is_made_again() {
    let bench = Bench::new();
    bench.run(&list(FILES)).done();
    let folder = bench.path("results/bench/list");
    fs::remove_file(folder.join("003")).expect("deleted");
    fs::write(folder.join(".macula"), "being changed\n").expect("written");
    assert_eq!(bench.run(&list(FILES)).done().computed(), [""; 0]);
    assert_eq!(shown(&bench), expected(FILES));
}

#[test]
fn a_file_of_the_user_is_no_way_into_the_store() {
    let bench = Bench::new();
    bench.run(&list(FILES)).done();
    let folder = bench.path("results/bench/list");
    // A link to an object, under a name that the next result needs.
    let next = folder.join(format!("{FILES}"));
    fs::hard_link(folder.join("007"), &next).expect("linked");
    bench.run(&list(FILES + 1)).done();
    let begins = |path: PathBuf| fs::read_to_string(path).expect("readable")[..5].to_owned();
    assert_eq!([begins(next), begins(folder.join("007"))], [format!("a{FILES}"), "a007 ".to_owned()]);
}
