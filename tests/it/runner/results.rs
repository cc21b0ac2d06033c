//! Links below `results/`: only verified objects are linked, and users' files are never lost.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use macula::lang::spec::Pipeline;
use macula::run::Event;

use super::bench::{Bench, Came, With, pipeline, source, stage, wrap};

fn one(add: &str) -> Pipeline {
    pipeline(vec![source("in", "file", "in.txt"), wrap("one", "in", add)])
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    bench
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// The warnings about links.
fn warned(came: &Came) -> Vec<&str> {
    let told = came.events.iter().filter_map(|event| match event {
        Event::Warned { warning, .. } if warning.code == "results-links" => Some(&*warning.text),
        _ => None,
    });
    told.collect()
}

/// Replaces objects by others of the same length: disk damage does not reach other hard links.
fn harm(bench: &Bench, came: &Came, stage: &str, names: &[&str]) {
    let store = bench.store();
    let key = came.report.record.stages[stage].key;
    let known = came.report.known.values().find(|known| known.key.is_some() && known.key == key).expect("known");
    for name in names {
        let tree = known.outputs["out"].tree(&store.objects).expect("readable");
        let digest = tree.get(name).expect("a name").digest.to_string();
        let path = bench.path(".macula/v1/objects").join(&digest[..2]).join(&digest[2..]);
        let mut bytes = fs::read(&path).expect("readable");
        bytes[0] ^= 1;
        fs::remove_file(&path).expect("removed");
        fs::write(&path, bytes).expect("written");
    }
}

#[test]
fn of_several_damaged_files_of_one_stage_none_is_linked() {
    let bench = Bench::new();
    (0..6).for_each(|at| bench.write(&format!("data/{at}"), &at.to_string()));
    let mapped = pipeline(vec![
        source("in", "folder", "data"),
        stage("each", "each").given("from", &["in"]).add("s"),
        stage("same", "same").given("from", &["each"]),
    ]);
    let first = bench.run(&mapped).done();
    let good: Vec<String> = (0..6).map(|at| text(bench.path(&format!("results/bench/each/{at}")))).collect();
    for damaged in [&["1", "4"][..], &["0", "2", "3", "5"]] {
        harm(&bench, &first, "each", damaged);
        fs::remove_dir_all(bench.path("results")).expect("deleted");
        let healed = bench.run(&mapped).done();
        assert_eq!(healed.report.record.stages["each"].items.map(Into::into), Some((damaged.len() as u64, 6)));
        for stage in ["each", "same"] {
            let shown = (0..6).map(|at| text(bench.path(&format!("results/bench/{stage}/{at}"))));
            assert_eq!(shown.collect::<Vec<_>>(), good, "{stage}");
        }
        assert_eq!(bench.run(&mapped).done().computed(), [""; 0]);
    }
}

/// The stage has to run because another of its objects is gone: the objects it reuses are verified too.
#[test]
fn what_a_stage_that_runs_reuses_is_verified_before_it_is_linked() {
    let bench = Bench::new();
    (0..4).for_each(|at| bench.write(&format!("data/{at}"), &at.to_string()));
    let mapped = pipeline(vec![source("in", "folder", "data"), stage("each", "each").given("from", &["in"]).add("s")]);
    let first = bench.run(&mapped).done();
    let good = text(bench.path("results/bench/each/2"));
    harm(&bench, &first, "each", &["2"]);
    bench.store().forget(&first.report.record.stages["each"].key.expect("a key")).expect("forgotten");
    bench.write("data/9", "more");
    let healed = bench.run(&mapped).done();
    assert_eq!(healed.of("each"), "repaired");
    assert_eq!(text(bench.path("results/bench/each/2")), good);
}

#[test]
fn what_a_person_put_next_to_results_stays_when_they_are_replaced() {
    let bench = bench();
    bench.run(&one("a")).done();
    let place = bench.path("results/bench/one");
    fs::write(place.join("text.dvc"), "outs").expect("written");
    fs::create_dir_all(place.join("notes/deep")).expect("made");
    fs::write(place.join("notes/deep/mine"), "mine").expect("written");
    symlink("notes", place.join("led")).expect("linked");
    for add in ["b", "c", "a"] {
        let came = bench.run(&one(add)).done();
        assert_eq!(text(place.join("text")), format!("{add}(x)"));
        assert_eq!([text(place.join("text.dvc")), text(place.join("notes/deep/mine"))], ["outs", "mine"]);
        assert_eq!(fs::read_link(place.join("led")).expect("a link"), Path::new("notes"));
        assert_eq!(warned(&came), [""; 0]);
    }
    let names = fs::read_dir(bench.path("results/bench")).expect("listed").flatten();
    let hidden = names.filter(|entry| entry.file_name().to_string_lossy().starts_with(".old"));
    assert_eq!(hidden.count(), 0, "nothing is left over");
}

#[test]
fn a_result_that_a_person_replaced_is_kept_under_another_name() {
    let bench = bench();
    bench.run(&one("a")).done();
    let place = bench.path("results/bench/one");
    fs::remove_file(place.join("text")).expect("removed");
    fs::write(place.join("text"), "corrected").expect("written");
    fs::write(place.join("README.txt"), "what I found").expect("written");
    let came = bench.run(&one("b")).done();
    assert_eq!(text(place.join("text")), "b(x)");
    assert_eq!([text(place.join("text.kept")), text(place.join("README.txt.kept"))], ["corrected", "what I found"]);
    assert_eq!(warned(&came).len(), 2);
    assert!(warned(&came).iter().any(|told| told.contains("results/bench/one/text` was edited since the last run")));
    // Once more: neither file is lost.
    fs::remove_file(place.join("text")).expect("removed");
    fs::create_dir(place.join("text")).expect("made");
    bench.run(&one("c")).done();
    assert!(place.join("text.kept-2").is_dir());
    assert_eq!([text(place.join("text")), text(place.join("text.kept"))], ["c(x)", "corrected"]);
}

/// Links are recognised without the store, which collection empties.
#[test]
fn what_macula_linked_goes_though_the_store_has_it_no_more() {
    let bench = bench();
    bench.run(&one("a")).done();
    let place = bench.path("results/bench/one");
    fs::remove_dir_all(bench.path(".macula")).expect("deleted");
    fs::write(place.join("mine"), "mine").expect("written");
    let came = bench.run(&one("b")).done();
    assert_eq!(warned(&came), [""; 0]);
    let names = fs::read_dir(&place).expect("listed").flatten().map(|entry| entry.file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, [".macula", ".macula.out", "README.txt", "mine", "text"]);
}

/// Killed between two steps: after the old folder was moved away, and after the new one took its place.
#[test]
fn what_a_person_put_there_outlives_a_process_that_is_killed() {
    for replaced in [false, true] {
        let bench = bench();
        bench.run(&one("a")).done();
        let [place, old] = ["one", ".old-abcdef"].map(|name| bench.path("results/bench").join(name));
        fs::write(place.join("mine"), "mine").expect("written");
        fs::create_dir(&old).expect("made");
        fs::write(old.join("stage"), "one").expect("written");
        fs::rename(&place, old.join("was")).expect("renamed");
        if replaced {
            copy(&old.join("was"), &place);
            fs::remove_file(place.join("mine")).expect("removed");
        }
        bench.run(&one("b")).done();
        assert_eq!([text(place.join("text")), text(place.join("mine"))], ["b(x)", "mine"]);
        assert!(!old.exists());
    }
}

fn copy(from: &Path, to: &PathBuf) {
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(from).expect("listed").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

/// Of a large result only differing files are relinked: the same holds there.
#[test]
fn what_a_person_put_among_many_results_stays() {
    let bench = Bench::new();
    let list = |count| {
        let count = macula::lang::value::Value::Int(count);
        pipeline(vec![stage("list", "numbered").add("a").with("count", count)])
    };
    bench.run(&list(1400)).done();
    let place = bench.path("results/bench/list");
    for name in ["notes", "1399", "1400"] {
        let _ = fs::remove_file(place.join(name));
        fs::write(place.join(name), "mine").expect("written");
    }
    let came = bench.run(&list(1401)).done();
    let mine = ["notes", "1399.kept", "1400.kept"].map(|name| text(place.join(name)));
    assert_eq!(mine, ["mine"; 3]);
    assert!(text(place.join("1399")).starts_with("a1399 ") && text(place.join("1400")).starts_with("a1400 "));
    assert_eq!(warned(&came).len(), 2);
}

#[test]
fn results_that_lie_elsewhere_are_reported() {
    let bench = bench();
    fs::create_dir(bench.path("elsewhere")).expect("made");
    symlink("elsewhere", bench.path("results")).expect("linked");
    let came = bench.run(&one("a")).done();
    assert_eq!(warned(&came), ["`results` is a symbolic link; results are linked in `elsewhere`"]);
    assert_eq!(text(bench.path("elsewhere/bench/one/text")), "a(x)");
    let record = bench.path(".macula/v1/runs").join(&came.report.record.id).join("events.jsonl");
    assert!(text(record).contains("\"results-links\""), "it is on record");
}
