//! What a command leaves behind: no process outlives its stage, links are not followed, and the sizes of logs and
//! outputs are bounded.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{command, confines, macula, python, run, space, without_namespaces};
use crate::space::{Said, Space};

const ONE: &str = "gives \"a.json\" any";

/// Both kinds of supervision: with and without namespaces.
fn each_way(space: &Space, look: impl Fn(Said)) {
    look(run(space));
    std::fs::remove_dir_all(space.path(".macula")).expect("the store goes");
    look(without_namespaces(space, "run --trust pipeline.kdl"));
}

/// Whether a process with that argument, started by a command, is still running.
fn alive(mark: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    processes.into_iter().any(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())
    })
}

/// A sleep that is unique on this machine: its seconds contain the test's process id and a number.
fn sleep(number: u32) -> String {
    format!("{}.{number}", 5000 + std::process::id())
}

#[test]
fn what_a_command_started_in_a_session_of_its_own_is_gone_when_its_stage_has_ended() {
    if !confines() {
        return;
    }
    let mark = sleep(1);
    let script = format!(
        "import os, subprocess\nfor _ in range(3):\n    subprocess.Popen(['sleep', '{mark}'], start_new_session=True)\n\
         if os.fork() == 0:\n    os.setsid()\n    os.fork()\n    os.execvp('sleep', ['sleep', '{mark}'])\n\
         open('outputs/a.json', 'w').write('1')\n"
    );
    let space = python(&script, ONE);
    each_way(&space, |said| {
        said.code(0);
        assert!(!alive(&mark));
    });
    // The same for one that times out, or fails.
    space.edit("pipeline.kdl", ONE, &format!("{ONE}; timeout 1"));
    space.write("run.sh", format!("{script}import time\ntime.sleep(300)\n"));
    each_way(&space, |said| {
        said.code(1).says(&["command-timeout"]);
        assert!(!alive(&mark));
    });
}

#[test]
fn a_command_ends_with_macula_whatever_ends_that() {
    if !confines() {
        return;
    }
    for (number, signal) in [(2, "KILL"), (3, "HUP"), (4, "TERM")] {
        let mark = sleep(number);
        let space = space(&format!("setsid sleep {mark} & sleep {mark}\n"), ONE);
        let mut started = command(&space, "run --trust pipeline.kdl");
        let mut started = started.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        until(|| alive(&mark));
        let id = started.id().to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{signal}"), &id]).status();
        assert!(sent.expect("kill runs").success());
        let ended = started.wait().expect("it ends");
        until(|| !alive(&mark));
        if signal != "KILL" {
            assert_eq!(ended.code(), Some(130), "{signal}");
            let runs = macula(&space, "runs --json pipeline.kdl").code(0);
            assert!(runs.stdout.contains("stopped") && !runs.stdout.contains("running"), "{}", runs.stdout);
        }
    }
}

/// Waits until a condition holds.
fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(1), "it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn no_output_is_taken_through_a_link_that_was_put_in_the_place_of_a_folder() {
    if !confines() {
        return;
    }
    let space = space("", "gives \"a/\" any \"z/\" any");
    space.write("private/key", "PRIVATE");
    let private = space.path("private").canonicalize().expect("a path").display().to_string();
    // The process that would swap them is gone before the outputs are taken.
    let script = format!(
        "mkdir outputs/a outputs/z; seq 500 | (cd outputs/a; xargs touch); echo harmless > outputs/z/key\n\
         setsid sh -c 'while [ -e outputs/a/1 ]; do :; done; mv outputs/z tmp/z; ln -s {private} outputs/z' &\n"
    );
    space.write("run.sh", &script);
    each_way(&space, |said| {
        said.code(0);
        assert_eq!(space.read("results/p/made/z/key"), "harmless\n");
        assert_eq!(space.read("private/key"), "PRIVATE");
    });
    space.write(
        "run.sh",
        script.replace("setsid sh -c 'while [ -e outputs/a/1 ]; do :; done; ", "sh -c '").replace("' &", "'"),
    );
    each_way(&space, |said| {
        said.code(1).says(&["undeclared-output", "`outputs/z`"]);
    });
}

#[test]
fn outputs_as_long_as_a_disk_are_let_go_of_when_the_time_is_over() {
    if !confines() {
        return;
    }
    let space = space("truncate -s 1T outputs/a.json\n", &format!("{ONE}; timeout 2"));
    run(&space).code(1).says(&["command-timeout", "`timeout`"]);
    space.edit("pipeline.kdl", "; timeout 2", "");
    let mut started = command(&space, "run --trust pipeline.kdl");
    let mut started = started.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    until(|| space.files(".macula/v1").iter().any(|file| file.contains("taken-")));
    let sent = std::process::Command::new("kill").args(["-TERM", &started.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    assert_eq!(started.wait().expect("it ends").code(), Some(130));
}

#[test]
fn of_what_a_command_says_the_beginning_and_the_end_are_looked_at() {
    if !confines() {
        return;
    }
    let script = "import sys\nsys.stderr.buffer.write(b'\\xff at first\\n' + b'x' * 5000 + b'\\n')\nsys.stderr.flush()\n\
                  import os\nos.ftruncate(2, 1 << 40)\nos.lseek(2, 0, 2)\nos.write(2, b'\\nat last \\xe9\\n')\nsys.exit(3)\n";
    let space = python(script, ONE);
    let said = run(&space).code(1);
    let said = said.says(&["exit code 3", "at last \u{fffd}"]);
    assert!(said.stderr.len() + said.stdout.len() < 20_000, "all of it was shown");
}

#[test]
fn folders_that_a_command_closed_to_everybody_are_taken_and_removed() {
    if !confines() {
        return;
    }
    let script = "mkdir -p outputs/d tmp/x/y; echo 1 > outputs/d/f; touch tmp/x/y/z\nchmod 0 outputs/d tmp/x/y tmp/x\n";
    let space = space(script, "gives \"d/\" any");
    run(&space).code(0);
    assert_eq!(space.read("results/p/made/d/f"), "1\n");
    assert!(!space.folders(".macula").iter().any(|folder| folder.ends_with("command")), "it could not be removed");
}
