//! The keys of `pipelines/` and of every built-in stage, as they were: whoever upgrades must not train again for nothing.
//!
//! `tests/expected/keys.txt` holds one line for each stage: its implementation, the version of that, and its key. Stand-ins take the place of
//! inputs, named by the stage and the port that they come from. So one line changes where one stage changes; in a store, all that is below it
//! is computed again, too. Where that is meant, `MACULA_BLESS=1 cargo test --test it replay` writes the file again, and CHANGELOG.md says
//! under "Breaking" who computes what again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use macula::base::{Hasher, Sources};
use macula::diag::Severity;
use macula::lang::spec::{Pipeline, Points, StageSpec};
use macula::plan::{Graph, keys};
use macula::stage::{Inputs, Named, Work};
use macula::store::{Entry, Tree};
use macula::{lang, stages};

const GOLDEN: &str = "tests/expected/keys.txt";

const HEAD: &str = "\
# Stages of pipelines/, and a pipeline of all built-in stages: implementation, its version, key with stand-ins for the inputs.
# Written by `MACULA_BLESS=1 cargo test --test it replay`. A line that changes is a stage that everybody who has such a one computes again.
";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What stands in for an output, the same whatever the stage that makes it does.
fn stand_in(stage: &str, port: &str) -> Tree {
    let mut tree = Tree::default();
    tree.insert("content", Entry { digest: Hasher::new("stand-in").text(stage).text(port).finish(), size: 1 });
    tree
}

/// The line of a stage. A source has no key: what it finds is content, from which the keys below it follow.
fn line(stage: &StageSpec) -> String {
    let implementation = stages::find(&stage.implementation).expect("it is built in");
    let mut inputs = Inputs::default();
    for input in &stage.inputs {
        let named = input.from.iter().map(|from| Named {
            stage: from.stage.clone(),
            name: format!("{}.{}", from.stage, from.port),
            tree: stand_in(&from.stage, &from.port),
            summary: None,
        });
        inputs.0.insert(input.port.clone(), named.collect());
    }
    let source = matches!(implementation.work, Work::Source(_));
    let manifest = keys::manifest(stage, implementation, &inputs).expect("a manifest");
    let version = implementation.version_of(&stage.values());
    let key = if source { "a source: looked at again in each run".to_owned() } else { manifest.key().to_string() };
    format!("  {:<28} {:<16} {version:>2}  {key}\n", stage.name, implementation.name)
}

/// The lines of a pipeline's stages, in the order of their names, without those that `told` holds.
fn lines(pipeline: &Pipeline, told: &mut BTreeSet<String>) -> String {
    let (_, diags) = Graph::new(pipeline);
    assert!(diags.is_empty(), "{diags:?}");
    let all: BTreeSet<String> = pipeline.stages.iter().map(line).collect();
    all.into_iter().filter(|line| told.insert(line.clone())).collect()
}

/// The part of one file: its pipelines, and of its sweeps what points add to them.
fn part(name: &str, text: &str, path: Option<PathBuf>) -> String {
    let (contents, diags) = lang::load_text(name, path, text, &[], Points::All, &mut Sources::default());
    assert!(diags.iter().all(|diag| diag.severity != Severity::Error), "{name}: {diags:?}");
    let mut part = String::new();
    for pipeline in &contents.pipelines {
        let _ = write!(part, "\n{name}, pipeline {}\n{}", pipeline.name, lines(pipeline, &mut BTreeSet::new()));
    }
    for sweep in &contents.sweeps {
        let mut told = BTreeSet::new();
        lines(&sweep.base, &mut told);
        for point in &sweep.points {
            let own = lines(&point.pipeline, &mut told);
            if !own.is_empty() {
                let _ = write!(part, "\n{name}, sweep {}, {}\n{own}", sweep.name, sweep.words(point));
            }
        }
    }
    part
}

fn keys_now() -> String {
    let folder = root().join("pipelines");
    let files = std::fs::read_dir(&folder).expect("pipelines/ can be listed").flatten();
    let files: BTreeSet<PathBuf> = files.map(|entry| entry.path()).collect();
    let mut text = HEAD.to_owned();
    for path in files.iter().filter(|path| path.extension().is_some_and(|kind| kind == "kdl")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        text += &part(&name, &std::fs::read_to_string(path).expect("it can be read"), Some(path.clone()));
    }
    text + &part("every-stage", &super::keys::every_stage(), None)
}

/// The lines that only one of two texts has, those that were first.
fn difference(was: &str, is: &str) -> String {
    let [before, now] = [was, is].map(|text| text.lines().collect::<BTreeSet<_>>());
    let gone = was.lines().filter(|line| !now.contains(line)).map(|line| format!("- {line}\n"));
    let new = is.lines().filter(|line| !before.contains(line)).map(|line| format!("+ {line}\n"));
    gone.chain(new).collect()
}

#[test]
fn the_keys_of_all_pipelines_are_what_they_were() {
    let now = keys_now();
    let path = root().join(Path::new(GOLDEN));
    if std::env::var_os("MACULA_BLESS").is_some() {
        std::fs::write(&path, &now).expect("it can be written");
    }
    let was = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        was == now,
        "keys are not those of {GOLDEN}; if that is meant, run with MACULA_BLESS=1 and say in CHANGELOG.md who computes again:\n{}",
        difference(&was, &now)
    );
    assert!(now.lines().count() > 60, "all pipelines are there:\n{now}");
}

#[test]
fn one_stage_that_changes_changes_one_line() {
    let text = super::keys::every_stage();
    let other = text.replace("rotate degrees=15", "rotate degrees=14");
    assert_ne!(text, other);
    let changed = difference(&part("a", &text, None), &part("a", &other, None));
    assert_eq!(changed.lines().count(), 2, "{changed}");
    assert!(changed.starts_with("-   views ") && changed.contains("+   views "), "{changed}");
}
