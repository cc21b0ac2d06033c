//! Threads that the system refuses: a run continues with fewer, or fails; it never waits for one that does not exist.

use crate::space::Space;

const PIPELINE: &str = "pipeline small seed=7 {\n    synthetic eyes { photographs 3; size 128 }\n    \
                        extract patches { from eyes; size 64 }\n    export pictures { from patches }\n}\n";

#[test]
fn a_run_ends_whatever_room_there_is_for_threads() {
    let space = Space::with(PIPELINE);
    let binary = space.command::<&str>(&[]).get_program().to_owned();
    // KiB of address space for a pool whose stacks need a gigabyte: from too little to enough for all of them.
    for room in [600_000, 2_000_000, 64_000_000] {
        let mut command = std::process::Command::new("sh");
        let run = format!("ulimit -v {room}; exec \"$0\" run --threads 64 pipeline.kdl");
        command.args(["-c", &run]).arg(&binary).current_dir(space.path("")).stdin(std::process::Stdio::null());
        let said = space.finish(command);
        let told = format!("{}{}", said.stdout, said.stderr);
        match said.code {
            Some(0) => {}
            Some(1 | 2) if room < 64_000_000 => assert!(
                told.contains("cannot start a thread") || told.contains("cannot start threads"),
                "{room}: {told}"
            ),
            other => panic!("{room}: ended with {other:?}: {told}"),
        }
    }
}

#[test]
fn more_threads_than_any_machine_has_are_as_good_as_many() {
    let space = Space::with(PIPELINE);
    space.macula("run --threads 1000000 pipeline.kdl").code(0);
}
