//! Disk errors: messages and exit codes of the command line.

use crate::space::Space;

const PIPELINE: &str = "pipeline small seed=1 {\n    synthetic photos { photographs 2; size 128 }\n}\n";

#[test]
fn a_store_that_cannot_be_written_is_exit_3() {
    let space = Space::with(PIPELINE);
    let mut command = space.command(&["run", "pipeline.kdl"]);
    // Nobody may create folders there, not even root.
    command.env("MACULA_STORE", "/sys/macula-store");
    space.finish(command).code(3).says(&["cannot create `/sys/macula-store", "MACULA_STORE"]);
}

#[test]
fn a_full_disk_is_exit_3_and_the_next_run_goes_on() {
    let space = Space::with(PIPELINE);
    let mut command = std::process::Command::new("sh");
    // A file size limit acts like a full disk and needs no privileges.
    command.args(["-c", "ulimit -f 4; exec \"$0\" run pipeline.kdl", env!("CARGO_BIN_EXE_macula")]);
    command.current_dir(space.path("")).stdin(std::process::Stdio::null());
    let said = space.finish(command).code(3).says(&["photos", "failed", "free up space"]);
    // The path is named once.
    said.says_not(&[" at path "]);
    space.macula("run pipeline.kdl").code(0).says(&["computed"]);
    space.macula("run pipeline.kdl").code(0).says(&["nothing to compute"]);
}
