//! Every command that reads through a remote reports problems with it, once, on stderr.

use super::{PIPELINE, project};

const SWEEP: &str = r"sweep rates {
    over classifier.epochs 1 2
}
";

#[test]
fn every_command_that_reads_through_reports_a_remote_that_fails_once() {
    for (command, code, says) in [
        ("plan pipeline.kdl", 0, "1 will run"),
        ("why pipeline.kdl classifier", 0, "classifier"),
        ("graph pipeline.kdl --states", 0, "classifier"),
        ("lock pipeline.kdl", 1, "`eyes` has no result to lock"),
        ("lock pipeline.kdl --check", 1, "`eyes` has no result to lock"),
        ("show pipeline.kdl classifier", 2, "`classifier` has no result yet"),
        ("get pipeline.kdl classifier out", 2, "`classifier` has no result yet"),
        ("compare pipeline.kdl --sweep rates", 0, "2 points"),
        ("compare pipeline.kdl --sweep rates --json", 0, "point 1"),
        ("rebuild pipeline.kdl eyes", 0, "no stored result"),
        ("pull pipeline.kdl", 3, "0 results downloaded"),
    ] {
        let space = project("\"nowhere\"");
        space.write("pipeline.kdl", format!("{PIPELINE}{SWEEP}"));
        let said = space.macula(command).code(code).says(&[says, "folder `", "does not exist; mount its disk"]);
        assert_eq!(said.stderr.matches("warning[remote]").count(), 1, "{command}\n{}", said.stderr);
        assert!(!said.raw.contains("warning[remote]"), "{command}: stdout is for data\n{}", said.raw);
    }
}

#[test]
fn commands_say_nothing_about_a_remote_that_answers() {
    let (_first, folder) = super::pushed("photographs=#true");
    for command in ["lock pipeline.kdl", "show pipeline.kdl classifier", "plan pipeline.kdl"] {
        let other = project(&format!("{folder:?}"));
        other.macula(command).code(0).says_not(&["warning[remote]"]);
    }
}
