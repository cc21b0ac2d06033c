//! What a command is given, what it leaves, and when it runs again.

use super::{command, confines, macula, run, space};
use crate::space::Space;

const ONE: &str = "gives \"a.json\" json";

#[test]
fn a_command_runs_once_and_again_when_its_code_its_words_or_its_environment_change() {
    if !confines() {
        return;
    }
    let space = space("echo \"{\\\"n\\\": ${N:-0}}\" > outputs/a.json\n", ONE);
    run(&space).code(0).says(&["a.json, 9 bytes"]);
    assert_eq!(space.read("results/p/made/a.json"), "{\"n\": 0}\n");
    run(&space).code(0).says(&["nothing to compute"]);
    space.edit("run.sh", "\\\"n", "\\\"m");
    macula(&space, "plan pipeline.kdl").says(&["`script` changed"]);
    run(&space).code(0);
    assert_eq!(space.read("results/p/made/a.json"), "{\"m\": 0}\n");
    space.edit("pipeline.kdl", ONE, "gives \"a.json\" json; environment N \"5\"");
    macula(&space, "plan pipeline.kdl").says(&["environment"]);
    run(&space).code(0);
    assert_eq!(space.read("results/p/made/a.json"), "{\"m\": 5}\n");
    space.edit("pipeline.kdl", "environment N \"5\"", "environment N \"5\"; timeout 60; memory 512");
    run(&space).code(0).says(&["nothing to compute"]);
}

#[test]
fn a_command_sees_none_of_the_users_environment_but_what_it_names() {
    if !confines() {
        return;
    }
    let space = space("env | sort > outputs/env.txt\n", "gives \"env.txt\" text; environment MINE \"1\"; passes LENT");
    let mut all = command(&space, "run --trust pipeline.kdl");
    all.env("SECRET_TOKEN", "hunter2").env("LENT", "2");
    space.finish(all).code(0);
    let seen = space.read("results/p/made/env.txt");
    let names: Vec<&str> = seen.lines().filter_map(|line| line.split('=').next()).collect();
    let own = |name: &&str| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name);
    let names: Vec<&str> = names.into_iter().filter(own).collect();
    assert_eq!(names, ["HOME", "LANG", "LENT", "MINE", "PATH", "TMPDIR"], "{seen}");
}

#[test]
fn what_a_command_leaves_must_be_what_it_declared() {
    if !confines() {
        return;
    }
    let refused = |script: &str, statements: &str, words: &[&str]| {
        run(&space(script, statements)).code(1).says(words);
    };
    refused("true", ONE, &["missing-output", "`outputs/a.json`"]);
    refused("echo nonsense > outputs/a.json", ONE, &["output-format", "`outputs/a.json`"]);
    refused("echo 1 > outputs/a.json; echo 2 > outputs/b", ONE, &["undeclared-output", "`outputs/b`"]);
    refused("ln -s /etc/passwd outputs/a.json", ONE, &["undeclared-output", "not links"]);
    // Reported before anything runs.
    let declared = |statements: &str, words: &[&str]| _ = run(&space("true", statements)).code(2).says(words);
    declared("gives \"../a.json\" json", &["is outside `outputs/`"]);
    declared("gives \"a.json\" jsonn", &["unknown format `jsonn`"]);
    refused("echo x > outputs/a", "gives \"a\" parquet", &["output-format"]);
    refused("echo x > outputs/a", "gives \"a\" safetensors", &["output-format"]);
    refused("echo x > outputs/a.csv", "gives \"a.csv\" predictions", &["output-format", "column `photograph` is"]);
}

#[test]
fn a_folder_is_adopted_completely() {
    if !confines() {
        return;
    }
    let space = space("mkdir -p outputs/d/e; echo 1 > outputs/d/x; echo 2 > outputs/d/e/y", "gives \"d/\" any");
    run(&space).code(0).says(&["2 files"]);
    assert_eq!(space.read("results/p/made/d/e/y"), "2\n");
}

#[test]
fn a_command_that_fails_is_reported_with_its_last_words_and_leaves_nothing() {
    if !confines() {
        return;
    }
    let space = space("echo 1 > outputs/a.json; echo 'it hurts here' >&2; exit 7", ONE);
    run(&space).code(1).says(&["command-failed", "exit code 7", "it hurts here"]);
    let logs = space.files(".macula/v1/runs");
    assert!(logs.iter().any(|file| file.ends_with("logs/made.stderr")), "{logs:?}");
    space.edit("run.sh", "exit 7", "exit 0");
    run(&space).code(0).says(&["a.json, 2 bytes"]);
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_that_it_started() {
    if !confines() {
        return;
    }
    let space = space("sleep 300 & sleep 300; echo 1 > outputs/a.json", "gives \"a.json\" json; timeout 0.5");
    // Fails by timeout if the run waits for it.
    run(&space).code(1).says(&["command-timeout", "timed out"]);
}

#[test]
fn a_command_that_wants_too_much_memory_fails_alone() {
    if !confines() {
        return;
    }
    let script = "python3 -c 'x = bytearray(400 << 20)' && echo 1 > outputs/a.json";
    let space = space(script, "gives \"a.json\" json; memory 100");
    run(&space).code(1).says(&["command-failed", "MemoryError", "100 MiB"]);
}

#[test]
fn the_program_that_is_named_counts_and_must_be_the_one_that_runs() {
    if !confines() {
        return;
    }
    let pipeline = "pipeline p seed=1 {\n    files script { path \"run.sh\" }\n    program shell { name \"tools/shell\" }\n    \
                    exec made { script script; interpreter shell; command \"tools/shell\" \"inputs/script/run.sh\"; gives a any }\n}\n";
    let space = Space::with(pipeline);
    space.write("run.sh", "echo 1 > outputs/a\n");
    let tool = |text: &str| {
        use std::os::unix::fs::PermissionsExt;
        space.write("tools/shell", text);
        std::fs::set_permissions(space.path("tools/shell"), std::fs::Permissions::from_mode(0o755)).expect("a mode");
    };
    tool("#!/bin/sh\nexec sh \"$@\"\n");
    run(&space).code(0);
    run(&space).code(0).says(&["nothing to compute"]);
    tool("#!/bin/sh\n# another version\nexec sh \"$@\"\n");
    macula(&space, "plan pipeline.kdl").says(&["`interpreter` changed"]);
    run(&space).code(0);
    space.edit("pipeline.kdl", "command \"tools/shell\"", "command sh");
    run(&space).code(1).says(&["but `interpreter` is"]);
}

#[test]
fn a_pipeline_that_was_not_trusted_runs_no_command() {
    if !confines() {
        return;
    }
    let space = space("echo 1 > outputs/a.json", ONE);
    macula(&space, "run pipeline.kdl").code(1).says(&["not-trusted", "`macula trust pipeline.kdl`"]);
    macula(&space, "trust --show pipeline.kdl").code(0).says(&["not trusted: pipeline.kdl"]);
    macula(&space, "trust pipeline.kdl").code(0).says(&["pipeline.kdl", "script of made"]);
    macula(&space, "run pipeline.kdl").code(0);
    // A changed script, then a changed pipeline, must be trusted again; the rest stays trusted.
    space.write("run.sh", "echo 2 > outputs/a.json");
    macula(&space, "run pipeline.kdl").code(1).says(&["not-trusted", "the code in `script`"]);
    space.write("run.sh", "echo 1 > outputs/a.json");
    space.edit("pipeline.kdl", "seed=1", "seed=2");
    space.edit("pipeline.kdl", ONE, "gives \"a.json\" text");
    macula(&space, "run pipeline.kdl").code(1).says(&["not-trusted", "this pipeline is not trusted"]);
}

#[test]
fn an_output_named_like_a_file_of_results_does_not_harm_the_store() {
    if !confines() {
        return;
    }
    let script = "echo theirs > outputs/README.txt; echo theirs > outputs/.macula\n";
    let space = space(script, "gives \"README.txt\" text \".macula\" text");
    run(&space).code(0);
    macula(&space, "store verify").code(0);
    assert_eq!(space.read("results/p/made/README.txt"), "theirs\n");
}
