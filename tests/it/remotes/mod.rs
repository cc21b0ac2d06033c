//! Results are shared through remotes: pushed, read through by a run elsewhere, and always verified by digest.

#[cfg(feature = "cloud")]
mod credentials;
mod damage;
mod sending;
mod server;
mod slow;
mod warnings;
mod web;

use std::fs;
use std::path::PathBuf;

use crate::space::Space;

const PIPELINE: &str = r"pipeline small seed=7 {
    synthetic eyes { photographs 6; size 192; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 48 }
    split folds { from patches; by patient; train 0.5; valid 0.25; test 0.25 }
    train classifier {
        data folds.train
        valid folds.valid
        network shallow-cnn
        epochs 1
        batch 32
    }
    threshold-tune cuts { model classifier; data folds.valid }
}
";

/// A project with a store of its own and one remote.
fn project(remote: &str) -> Space {
    let space = Space::with(PIPELINE);
    space.write("project.kdl", format!("remote lab {remote}\n"));
    space
}

/// A project that computed everything and pushed it to a folder, and that folder.
fn pushed(may: &str) -> (Space, PathBuf) {
    let space = project(&format!("\"remote\" write=#true {may}"));
    space.macula("run pipeline.kdl").code(0);
    space.macula("push pipeline.kdl").code(0);
    let folder = space.path("remote");
    (space, folder)
}

/// The results of a run, by name.
fn results(space: &Space) -> Vec<(String, Vec<u8>)> {
    let files = space.files("results/small");
    let own = files.into_iter().filter(|name| !name.ends_with("README.txt") && !name.ends_with(".macula"));
    own.map(|name| (name.clone(), fs::read(space.path("results/small").join(&name)).expect("readable"))).collect()
}

#[test]
fn what_was_pushed_to_a_folder_is_reused_by_an_empty_store() {
    let (first, folder) = pushed("photographs=#true");
    first.macula("push pipeline.kdl").code(0).says(&["already there", "0 results uploaded"]);
    let other = project(&format!("{folder:?}"));
    let plan = other.macula("plan pipeline.kdl").code(0);
    plan.says(&["0 will run, 5 reused", "(from remote `lab`"]);
    other.macula("why pipeline.kdl classifier").code(0).says(&["remote `lab` has its result"]);
    other.macula("run pipeline.kdl").code(0).says(&["nothing to compute: 5 reused", "(from remote `lab`)"]);
    assert_eq!(results(&other), results(&first));
    other.macula("store verify").code(0).says(&["store is intact"]);
    other.macula("store gc --dry-run").code(0);
    // From now on the remote is not needed.
    fs::remove_dir_all(&folder).expect("deleted");
    other.macula("run pipeline.kdl").code(0).says(&["nothing to compute: 5 reused"]).says_not(&["remote"]);
}

#[test]
fn pull_brings_what_a_run_would_need() {
    let (_first, folder) = pushed("photographs=#true");
    let other = project(&format!("{folder:?}"));
    other.macula("pull pipeline.kdl --dry-run").code(0).says(&["5 results would be downloaded"]);
    other.macula("pull pipeline.kdl").code(0).says(&["5 results downloaded"]);
    other.macula("pull pipeline.kdl").code(0).says(&["already there", "0 results downloaded"]);
    other.write("project.kdl", "");
    other.macula("run pipeline.kdl").code(0).says(&["nothing to compute: 5 reused"]);
    let alone = other.macula("pull pipeline.kdl");
    alone.code(2).says(&["no remote is declared"]);
}

#[test]
fn photographs_stay_unless_they_are_asked_for_and_trainings_are_shared_all_the_same() {
    let (first, folder) = pushed("");
    let said = first.macula("push pipeline.kdl").code(0);
    said.says(&["withheld", "photographs=#true", "0 results uploaded"]);
    let names = ["synthetic_", "patient_"];
    for file in first.files("remote") {
        let bytes = fs::read(folder.join(&file)).expect("readable");
        for name in names {
            let found = memchr::memmem::find(&bytes, name.as_bytes());
            assert!(found.is_none(), "{file} holds `{name}`");
        }
    }
    // The same data give the same keys: only withheld results are computed again.
    let other = project(&format!("{folder:?}"));
    other.macula("run pipeline.kdl").code(0).says(&["3 computed, 2 reused", "(from remote `lab`)"]);
    assert_eq!(results(&other), results(&first));
    other.macula("store verify").code(0).says(&["store is intact"]);
}

#[test]
fn remotes_are_only_read_unless_writing_is_asked_for() {
    let space = project("\"remote\"");
    space.macula("push pipeline.kdl").code(2).says(&["no remote is writable", "write=#true"]);
    space.macula("push pipeline.kdl --to lab").code(2).says(&["remote `lab` is read-only"]);
    space.macula("push pipeline.kdl --to lap").code(2).says(&["unknown remote `lap`"]);
    assert!(!space.path("remote").exists(), "nothing was written");
    space.write("project.kdl", "remote lab \"remote\" write=#true photographs=#true\n");
    space.macula("push pipeline.kdl").code(0).says(&["not computed", "0 results uploaded"]);
    let dry = project("\"remote\" write=#true");
    dry.macula("run pipeline.kdl").code(0);
    dry.macula("push pipeline.kdl --dry-run").code(0).says(&["to upload", "2 results would be uploaded"]);
    assert!(!dry.path("remote").exists(), "nothing was written");
}

#[test]
fn the_environment_names_a_remote_in_place_of_the_file() {
    let (first, folder) = pushed("photographs=#true");
    let other = Space::with(PIPELINE);
    let with = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = other.command(arguments);
        command.envs(variables.iter().copied());
        other.finish(command)
    };
    let at = folder.to_str().expect("UTF-8");
    with(&["plan", "pipeline.kdl"], &[("MACULA_REMOTE", at)]).code(0).says(&["5 reused"]);
    with(&["push", "pipeline.kdl"], &[("MACULA_REMOTE", at)]).code(2).says(&["no remote is writable"]);
    let wrong = [("MACULA_REMOTE", at), ("MACULA_REMOTE_MAY", "wriet")];
    with(&["push", "pipeline.kdl"], &wrong).code(2).says(&["unknown remote permission `wriet`"]);
    let may = [("MACULA_REMOTE", "elsewhere"), ("MACULA_REMOTE_MAY", "write,photographs")];
    with(&["run", "pipeline.kdl"], &may).code(0);
    with(&["push", "pipeline.kdl"], &may).code(0).says(&["5 results uploaded"]);
    let none = [("MACULA_REMOTE", "none")];
    with(&["pull", "pipeline.kdl"], &none).code(2).says(&["no remote is declared"]);
    let secret = [("MACULA_REMOTE", "https://me:secret@host/a")];
    with(&["plan", "pipeline.kdl"], &secret)
        .code(2)
        .says(&["a location cannot contain a user name or password"])
        .says_not(&["secret"]);
    drop(first);
}

#[test]
fn mistakes_in_a_remote_are_reported_where_they_stand() {
    let space = Space::with(PIPELINE);
    for (line, says) in [
        ("remote", &["`remote` takes its location", "project.kdl:1:1"][..]),
        ("remote lab \"a\" wirte=#true", &["a remote has no property `wirte`", "did you mean `write`"]),
        ("remote lab \"a\" write=yes", &["this takes `#true` or `#false`"]),
        ("remote lab \"a\" timeout=0", &["`timeout` takes seconds"]),
        ("remote lab \"a\" { write }", &["a remote has no braces"]),
        ("remote \"1 2\" \"a\"", &["is not a valid remote name"]),
        ("remote \"ftp://host/a\"", &["unsupported scheme `ftp://`"]),
        ("remote \"https://host/a\" write=#true", &["this remote is read-only", "a web server is read-only"]),
        ("remote \"s3://me:secret@b/p\"", &["a location cannot contain a user name or password"]),
        ("remote lab \"a\"; remote lab \"b\"", &["two remotes are named `lab`"]),
        ("remot lab \"a\"", &["did you mean `remote`"]),
    ] {
        space.write("project.kdl", format!("{line}\n"));
        space.macula("plan pipeline.kdl").code(2).says(says);
    }
    space.write("pipeline.kdl", "remote lab \"a\"\n");
    space.write("project.kdl", "");
    space.macula("check pipeline.kdl").code(2).says(&["it belongs in `project.kdl`"]);
}
