//! The scripts under tests/reliability with small counts, on this binary: killed, a full disk, flipped bytes, several at once.
//! docs/reliability.md has what they came to with large ones.

use std::path::Path;
use std::process::{Command, Stdio};

fn script(name: &str, count: u32) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reliability").join(name);
    let mut command = Command::new("bash");
    command.arg(path).arg(count.to_string()).env("MACULA", env!("CARGO_BIN_EXE_macula")).stdin(Stdio::null());
    let output = command.output().expect("bash starts");
    // The shell tells on stderr of a process that was killed, whenever it comes to notice.
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{said}{told}", output.status);
    let figures = said.lines().last().unwrap_or_default();
    assert!(figures.starts_with(&format!("{name}: {count} ")), "{name} prints its figures last:\n{said}{told}");
    println!("{figures}");
}

#[test]
fn runs_that_are_killed_lose_nothing() {
    script("killed.sh", 2);
}

#[test]
fn runs_on_a_full_disk_lose_nothing() {
    script("full.sh", 3);
}

#[test]
fn flipped_bytes_are_found_and_healed() {
    script("flipped.sh", 4);
}

#[test]
fn processes_side_by_side_lose_and_double_nothing() {
    script("together.sh", 2);
}
