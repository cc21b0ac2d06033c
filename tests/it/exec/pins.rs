//! Code is covered by trust and part of the key, wherever it comes from: `script`, `files`, or a program in the
//! project's folder.

use std::os::unix::fs::PermissionsExt;

use super::{confines, macula, run};
use crate::space::Space;

/// A project with code in `files` and a program of its own.
fn space() -> Space {
    let space = Space::with(
        "pipeline p seed=1 {\n    files code { path \"lib\" }\n    \
         exec one { files code; command sh \"inputs/files/x.sh\"; gives a any }\n    \
         exec two { command \"tools/run.sh\"; gives a any }\n}\n",
    );
    write(&space, "good");
    space
}

fn write(space: &Space, word: &str) {
    space.write("lib/x.sh", format!("echo {word} > outputs/a\n"));
    space.write("tools/run.sh", format!("#!/bin/sh\necho {word} > outputs/a\n"));
    std::fs::set_permissions(space.path("tools/run.sh"), std::fs::Permissions::from_mode(0o755)).expect("a mode");
}

#[test]
fn code_at_files_and_a_program_of_the_project_are_pinned_and_count() {
    if !confines() {
        return;
    }
    let space = space();
    macula(&space, "trust pipeline.kdl").code(0).says(&["code of one", "tools/run.sh of two"]);
    macula(&space, "run pipeline.kdl").code(0).says(&["2 computed"]);
    write(&space, "other");
    macula(&space, "run --keep-going pipeline.kdl").code(1).says(&["not-trusted", "`code`", "`tools/run.sh`"]);
    macula(&space, "plan pipeline.kdl").code(0).says(&["`interpreter` changed", "`files` changed"]);
    std::fs::remove_dir_all(space.path(".macula")).expect("the store goes");
    macula(&space, "run --keep-going pipeline.kdl").code(1).says(&["not-trusted"]);
    run(&space).code(0);
    for stage in ["one", "two"] {
        assert_eq!(space.read(&format!("results/p/{stage}/a")), "other\n");
    }
}

#[test]
fn what_a_stage_makes_may_be_handed_to_a_command_without_asking_again() {
    if !confines() {
        return;
    }
    let space = space();
    space.edit("pipeline.kdl", "command \"tools/run.sh\"", "files one; command cp \"inputs/files/a\" \"outputs/a\"");
    macula(&space, "trust pipeline.kdl").code(0);
    macula(&space, "run pipeline.kdl").code(0).says(&["2 computed"]);
}

#[test]
fn a_file_of_the_project_that_no_port_gives_is_refused_as_a_word() {
    if !confines() {
        return;
    }
    let space = space();
    let tool = space.path("tools/run.sh").canonicalize().expect("a path").display().to_string();
    let folder = space.path("tools").canonicalize().expect("a path").display().to_string();
    space.edit("pipeline.kdl", "command \"tools/run.sh\"", &format!("command sh \"{tool}\"; reads \"{folder}\""));
    run(&space).code(1).says(&["a project file that is not among its inputs", "`script` or `files`"]);
    // A system program is not code of the project, even through a link in the project's environment.
    space.write("venv/pyvenv.cfg", "home = /usr/bin\n");
    std::fs::create_dir_all(space.path("venv/bin")).expect("a folder");
    std::os::unix::fs::symlink("/bin/sh", space.path("venv/bin/sh")).expect("a link");
    space.edit(
        "pipeline.kdl",
        &format!("command sh \"{tool}\""),
        "command \"venv/bin/sh\" \"-c\" \"echo 1 > outputs/a\"",
    );
    run(&space).code(0);
    macula(&space, "trust pipeline.kdl").code(0).says_not(&["venv/bin/sh of two"]);
}
