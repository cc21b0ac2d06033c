//! `MACULA_LOG`: what it prints, where, and that it changes nothing else.

use crate::space::{Said, Space};

const PIPELINE: &str = "pipeline p seed=1 {
    synthetic eyes { photographs 2; size 128 }
    extract patches { from eyes; size 32 }
}
";

fn logged(space: &Space, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = space.command(arguments);
    command.envs(variables.iter().copied());
    space.finish(command)
}

const RUN: [&str; 2] = ["run", "pipeline.kdl"];

#[test]
fn a_log_names_stages_items_and_the_store_with_times_and_changes_no_result() {
    let (silent, spoken) = (Space::with(PIPELINE), Space::with(PIPELINE));
    let plain = logged(&silent, &RUN, &[]);
    assert_eq!((plain.code, plain.stderr.contains("macula::")), (Some(0), false), "{}", plain.stderr);

    let said = logged(&spoken, &RUN, &[("MACULA_LOG", "debug")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let has = |target: &str, words: &[&str]| {
        let mut lines = said.stderr.lines().filter(|line| line.contains(&format!(" {target}: close ")));
        lines.any(|line| words.iter().all(|words| line.contains(words)))
    };
    assert!(has("macula::stage", &["INFO stage{name=\"patches\" job=\"compute\" items=2 bytes="]), "{}", said.stderr);
    assert!(has("macula::item", &["DEBUG stage{name=\"patches\"", ":item{name=", "bytes=", "time.busy="]));
    // A result of an item is stored on a thread of the pool, which knows the item too.
    assert!(has("macula::store", &[":item{name=", "}:put{bytes="]));
    assert!(has("macula::store", &["stage{name=\"patches\"", "}:commit{key="]));
    assert!(!said.stderr.contains('\u{1b}'), "no colours");

    for space in [&silent, &spoken] {
        assert_eq!(space.macula("lock pipeline.kdl").code, Some(0));
    }
    assert_eq!(silent.read("p.lock.kdl"), spoken.read("p.lock.kdl"));
}

#[test]
fn a_target_is_logged_by_itself_and_a_file_takes_the_log() {
    let space = Space::with(PIPELINE);
    let of = [("MACULA_LOG", "macula::stage=info"), ("MACULA_LOG_FILE", "macula.log")];
    let said = logged(&space, &RUN, &of);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    let log = space.read("macula.log");
    assert!(log.lines().all(|line| line.contains(" macula::stage: close ")), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("name=\"patches\"")).count(), 1, "{log}");
    // The next run appends; it has nothing to do, so no stage is logged.
    assert_eq!(logged(&space, &RUN, &of).code, Some(0));
    assert_eq!(space.read("macula.log"), log);

    let nowhere = logged(&space, &RUN, &[("MACULA_LOG", "info"), ("MACULA_LOG_FILE", "missing/macula.log")]);
    assert_eq!(nowhere.code, Some(3));
    assert!(nowhere.stderr.starts_with("error: cannot write `missing/macula.log`: "), "{}", nowhere.stderr);
}

#[test]
fn a_wrong_value_is_an_error_before_anything_runs() {
    let space = Space::with(PIPELINE);
    let said = logged(&space, &RUN, &[("MACULA_LOG", "loud")]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.stderr.starts_with("error: unknown level `loud` in MACULA_LOG\n  hint: write a level "),
        "{}",
        said.stderr
    );
    assert!(space.files(".macula").is_empty());
    // Completion prints nothing that its shell does not expect.
    let asked = logged(&space, &["complete-words", "--", "why", "pipeline.kdl", "pat"], &[("MACULA_LOG", "loud")]);
    assert_eq!((asked.code, asked.stdout.as_str(), asked.stderr.as_str()), (Some(0), "patches\n", ""));
}
