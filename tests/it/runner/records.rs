//! Records of runs: which are read, what a missing, old or damaged index does, and which ones collection deletes.

use std::collections::BTreeSet;
use std::fs;

use macula::base::Digest;
use macula::lang::spec::Pipeline;
use macula::store::RunOutcome;
use macula::store::collect::{Collected, Mode, Policy, collect};
use rustix::fs::{CWD, FileType, Mode as Rights, mknodat};

use super::bench::{Bench, pipeline, source, wrap};
use crate::space::Space;

const PIPELINE: &str = "pipeline small seed=1 {\n    synthetic photos { photographs 2; size 128 }\n}\n";
const OTHER: &str = "pipeline other seed=1 {\n    synthetic photos { photographs 1; size 192 }\n}\n";

/// The ids of the recorded runs, the oldest first.
fn recorded(folder: &std::path::Path) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A record that is a pipe: reading it blocks until the test fails.
#[test]
fn of_many_records_only_those_are_read_that_say_something() {
    let space = Space::with(PIPELINE);
    space.write("other.kdl", OTHER);
    for file in ["pipeline.kdl", "other.kdl", "pipeline.kdl", "pipeline.kdl", "other.kdl"] {
        space.macula(&format!("run {file}")).code(0);
    }
    let plan = space.macula("plan pipeline.kdl").code(0).stdout;
    let why = space.macula("why pipeline.kdl photos").code(0).stdout;
    let runs = recorded(&space.path(".macula/v1/runs"));
    // `runs` compares a run with the one before it.
    for id in [&runs[0], &runs[1], &runs[4]] {
        let record = space.path(".macula/v1/runs").join(id).join("run.json");
        fs::remove_file(&record).expect("deleted");
        mknodat(CWD, &record, FileType::Fifo, Rights::RUSR, 0).expect("a pipe");
    }
    assert_eq!(space.macula("plan pipeline.kdl").code(0).stdout, plan);
    assert_eq!(space.macula("why pipeline.kdl photos").code(0).stdout, why);
    let listed = space.macula("runs pipeline.kdl -n 1").code(0).raw;
    let part = runs[3].rsplit('-').next().unwrap_or_default();
    assert!(listed.contains(&part[..4]) && listed.contains("no change"), "{listed}");
    space.macula("store stats").code(0).says(&["5 runs"]);
    space.macula(&format!("store pin {}", runs[0])).code(0);
    space.edit("pipeline.kdl", "size 128", "size 160");
    space.macula("plan pipeline.kdl").code(0).says(&["size 128 -> 160"]);
}

fn chain(add: &str) -> Pipeline {
    pipeline(vec![source("in", "file", "in.txt"), wrap("one", "in", add), wrap("two", "one", add)])
}

/// A store in which `one` and `two` ran twice and `one` once more.
fn bench() -> (Bench, Vec<String>) {
    let bench = Bench::new();
    bench.write("in.txt", "x\n");
    let short = pipeline(vec![source("in", "file", "in.txt"), wrap("one", "in", "c")]);
    let runs = [chain("a"), chain("b"), short].map(|pipeline| bench.run(&pipeline).done().report.record.id);
    (bench, runs.to_vec())
}

/// The last runs of `one` and `two`, as read from a newly opened store.
fn last(bench: &Bench) -> [Option<String>; 2] {
    let store = bench.store();
    ["one", "two"].map(|stage| store.runs.last_of("bench", stage).map(|(run, _)| run.id.clone()))
}

#[test]
fn an_index_that_is_missing_old_damaged_or_wrong_is_made_from_the_records() {
    let (bench, runs) = bench();
    let index = bench.path(".macula/v1/runs-index");
    let expected = [Some(runs[2].clone()), Some(runs[1].clone())];
    assert_eq!(last(&bench), expected);
    let whole = fs::read(&index).expect("written");
    let text = String::from_utf8(whole.clone()).expect("text");
    let memory = bench.store().runs.memory_of("bench", "two");
    assert!(memory.is_some());
    let sealed = |text: &str| format!("{}\n{text}\n", Digest::of(text.as_bytes())).into_bytes();
    let body = text.lines().nth(1).expect("two lines");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (how, bytes) in [
        ("damaged", flipped),
        ("cut short", whole[..whole.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("another's", sealed("{}")),
        // The last run lacks `two`.
        ("wrong", sealed(&body.replace(&format!("\"known\":\"{}\"", runs[1]), &format!("\"known\":\"{}\"", runs[2])))),
    ] {
        fs::write(&index, bytes).expect("written");
        assert_eq!(last(&bench), expected, "{how}");
        assert_eq!(fs::read(&index).expect("written"), whole, "{how}: it is as before");
        assert_eq!(bench.store().runs.memory_of("bench", "two"), memory, "{how}");
    }
    fs::remove_file(&index).expect("deleted");
    assert_eq!(last(&bench), expected);
    // Another process overwrote a later index with its own.
    let newer = bench.run(&chain("d")).done().report.record.id;
    fs::write(&index, &whole).expect("written");
    assert_eq!(last(&bench), [Some(newer.clone()), Some(newer.clone())]);
    // Runs that somebody deleted.
    for gone in [newer, runs[2].clone()] {
        fs::remove_dir_all(bench.path(".macula/v1/runs").join(gone)).expect("deleted");
    }
    assert_eq!(last(&bench), [Some(runs[1].clone()), Some(runs[1].clone())]);
    assert_eq!(bench.store().runs.ids(), [runs[1].clone(), runs[0].clone()]);
}

#[test]
fn a_run_that_ends_after_it_was_indexed_is_read_again() {
    let (bench, _) = bench();
    let store = bench.store();
    let mut record = store.runs.newest_first(None).last().expect("a run");
    "99990101-000000".clone_into(&mut record.id);
    let stages = std::mem::take(&mut record.stages);
    record.ended = RunOutcome::Running;
    assert!(store.runs.write(&record));
    assert_eq!(bench.store().runs.ids()[0], record.id);
    assert_ne!(last(&bench)[1].as_deref(), Some("99990101-000000"));
    record.stages = stages;
    record.ended = RunOutcome::Done;
    assert!(store.runs.write(&record));
    assert_eq!(last(&bench)[1].as_deref(), Some("99990101-000000"));
}

#[test]
fn several_that_write_the_index_at_once_leave_it_right() {
    let (bench, runs) = bench();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let _ = fs::remove_file(bench.path(".macula/v1/runs-index"));
                    assert_eq!(last(&bench), [Some(runs[2].clone()), Some(runs[1].clone())]);
                }
            });
        }
    });
}

fn gc(bench: &Bench, policy: Policy, later: u64) -> Collected {
    let now = bench.host.nanoseconds() + later;
    let said = collect(&bench.store(), policy, Mode::DryRun, now).expect("said");
    let done = collect(&bench.store(), policy, Mode::Sweep, now).expect("collected");
    assert_eq!(said, done, "a dry run says what is done");
    assert_eq!(done.runs > 0, done.run_bytes > 0);
    done
}

const HOUR: u64 = 3_600_000_000_000;

#[test]
fn records_go_that_no_rule_keeps() {
    let (bench, runs) = bench();
    let folder = bench.path(".macula/v1/runs");
    let left = || recorded(&folder);
    for policy in [Policy::default(), Policy { max_size: Some(0), ..Policy::default() }] {
        assert_eq!((gc(&bench, policy, 0).runs, left()), (0, runs.clone()));
    }
    let keep = |runs| Policy { keep_runs: Some(runs), ..Policy::default() };
    let older = Policy { younger_than: Some(HOUR), ..Policy::default() };
    let both = Policy { keep_runs: Some(1), younger_than: Some(HOUR), max_size: None };
    assert_eq!((gc(&bench, older, 0).runs, gc(&bench, both, 0).runs), (0, 0), "they are young");
    bench.store().pin(&runs[0]).expect("pinned");
    assert_eq!((gc(&bench, both, 2 * HOUR).runs, left()), (1, vec![runs[0].clone(), runs[2].clone()]));
    assert_eq!(last(&bench), [Some(runs[2].clone()), Some(runs[0].clone())]);
    bench.store().unpin(&runs[0]).expect("unpinned");
    assert_eq!((gc(&bench, keep(1), 0).runs, left()), (1, vec![runs[2].clone()]));
    // What a killed collection left behind.
    fs::create_dir(folder.join(".gone-20250101")).expect("made");
    assert_eq!((gc(&bench, older, 2 * HOUR).runs, left()), (1, vec![]));
    assert_eq!(last(&bench), [None, None]);
    bench.run(&chain("a")).done();
    assert_eq!(left().len(), 1);
}

#[test]
fn the_record_of_a_run_that_may_be_alive_stays() {
    let (bench, runs) = bench();
    let store = bench.store();
    let mut record = store.runs.record(&runs[0]).expect("recorded");
    record.ended = RunOutcome::Running;
    store.runs.write(&record);
    // Looking up a key takes a lease.
    let key = record.stages["one"].key.expect("a key");
    let _ = store.find(&key, "any", macula::store::Accept::AnyTarget).expect("looked up");
    let policy = Policy { keep_runs: Some(0), ..Policy::default() };
    assert_eq!(gc(&bench, policy, 0).runs, 2);
    assert_eq!(recorded(&bench.path(".macula/v1/runs")), [runs[0].clone()]);
    drop(store);
    assert_eq!(gc(&bench, policy, 0).runs, 1);
}
