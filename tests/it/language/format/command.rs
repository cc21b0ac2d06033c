//! `macula fmt` as it is called: what it writes, what it says, how it ends.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use crate::space::Space;

const MESSY: &str = "pipeline a seed = 1{ // opening\n\n\tsynthetic eyes {photographs 4;}\n}";
const TIDY: &str = "pipeline a seed=1 { // opening\n    synthetic eyes { photographs 4 }\n}\n";

/// What a command says to a text on stdin, with its exit code.
fn piped(mut command: Command, text: &[u8]) -> (String, String, Option<i32>) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(text).expect("it reads");
    let done = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&done.stdout), text(&done.stderr), done.status.code())
}

#[test]
fn files_are_rewritten_in_place_and_reported_once() {
    let space = Space::new();
    space.write("a.kdl", MESSY);
    space.write("b.kdl", TIDY);
    let said = space.macula("fmt a.kdl b.kdl").code(0);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("formatted a.kdl\n", ""));
    assert_eq!(space.read("a.kdl"), TIDY);
    let before = fs::metadata(space.path("a.kdl")).and_then(|file| file.modified()).expect("a time");
    let said = space.macula("fmt a.kdl b.kdl").code(0);
    assert_eq!(said.stdout, "");
    let after = fs::metadata(space.path("a.kdl")).and_then(|file| file.modified()).expect("a time");
    assert_eq!(before, after, "a formatted file is not touched");
    assert_eq!(space.files("."), ["a.kdl", "b.kdl"], "nothing is left behind");
}

#[test]
fn check_writes_nothing_and_lists_what_would_change() {
    let space = Space::new();
    space.write("a.kdl", MESSY);
    space.write("b.kdl", TIDY);
    let said = space.macula("fmt --check a.kdl b.kdl").code(1);
    assert_eq!(said.stdout, "a.kdl\n");
    assert_eq!(said.stderr, "1 file would change; run `macula fmt` without `--check` to write them\n");
    assert_eq!(space.read("a.kdl"), MESSY);
    assert_eq!(space.macula("fmt --check b.kdl").code(0).stdout, "");
}

#[test]
fn a_file_with_mistakes_is_left_alone_and_the_others_are_done() {
    let space = Space::new();
    let faulty = "pipeline a seed=1 {\n  synthetic eyes { photographs .5 }\n";
    space.write("a.kdl", faulty);
    space.write("b.kdl", MESSY);
    let said = space.macula("fmt a.kdl missing.kdl . b.kdl").code(2).says(&[
        "number-form",
        "unclosed-brace",
        "a.kdl:2",
        "cannot read `missing.kdl`",
        "name the files in it",
    ]);
    assert_eq!(said.stdout, "formatted b.kdl\n");
    assert_eq!(space.read("a.kdl"), faulty);
    assert_eq!(space.read("b.kdl"), TIDY);
    // Mistakes are graver than a layout.
    space.write("b.kdl", MESSY);
    space.macula("fmt --check b.kdl a.kdl").code(2).says(&["b.kdl\n"]);
    space.write("c.kdl", b"a\nb \xff\n");
    space.macula("fmt c.kdl").code(2).says(&["line 2 contains byte 0xff"]);
    space.write("c.kdl", "// c\n".repeat(200_000));
    space.macula("fmt c.kdl").code(2).says(&["too-large"]);
}

/// What is wrong with the meaning is no matter of layout.
#[test]
fn a_pipeline_that_would_not_run_is_formatted_all_the_same() {
    let space = Space::with("pipeline a { nonsense   b { from c } }");
    space.macula("fmt pipeline.kdl").code(0);
    assert_eq!(space.read("pipeline.kdl"), "pipeline a { nonsense b { from c } }\n");
}

#[test]
fn stdin_goes_to_stdout() {
    let space = Space::new();
    for arguments in [&["fmt"][..], &["fmt", "-"]] {
        let (out, err, code) = piped(space.command(arguments), MESSY.as_bytes());
        assert_eq!((out.as_str(), err.as_str(), code), (TIDY, "", Some(0)));
    }
    let (out, _, code) = piped(space.command(&["fmt"]), TIDY.as_bytes());
    assert_eq!((out.as_str(), code), (TIDY, Some(0)));
    let (out, err, code) = piped(space.command(&["fmt"]), b"a {");
    assert_eq!((out.as_str(), code), ("", Some(2)), "an editor must not get half a text");
    assert!(err.contains("unclosed-brace") && err.contains("<stdin>"), "{err}");
    let (out, _, code) = piped(space.command(&["fmt", "--check"]), MESSY.as_bytes());
    assert_eq!((out.as_str(), code), ("<stdin>\n", Some(1)));
}

#[test]
fn machines_get_json() {
    let space = Space::new();
    space.write("a.kdl", MESSY);
    space.write("b.kdl", TIDY);
    space.write("c.kdl", "a .5");
    let said = space.macula("fmt --json a.kdl b.kdl c.kdl d.kdl").code(2);
    let told: serde_json::Value = serde_json::from_str(&said.raw).expect("JSON");
    let outcomes: Vec<&str> = (0..4).filter_map(|i| told[i]["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["formatted", "unchanged", "faulty", "failed"]);
    assert_eq!(told[2]["diagnostics"][0]["code"], "number-form");
    assert!(told[3]["reason"].as_str().is_some_and(|reason| reason.contains("cannot read")));
    let said = space.macula("fmt --json --check b.kdl").code(0);
    assert!(said.raw.contains("unchanged"));
}

#[test]
fn links_permissions_and_read_only_files_are_respected() {
    let space = Space::new();
    space.write("real/a.kdl", MESSY);
    symlink("real/a.kdl", space.path("link.kdl")).expect("a link");
    let mode = |path: &str| fs::metadata(space.path(path)).expect("it is there").permissions().mode() & 0o777;
    let set = |path: &str, mode: u32| {
        fs::set_permissions(space.path(path), fs::Permissions::from_mode(mode)).expect("a mode");
    };
    set("real/a.kdl", 0o640);
    space.macula("fmt link.kdl").code(0).says(&["formatted link.kdl"]);
    assert_eq!(space.read("real/a.kdl"), TIDY);
    assert!(fs::symlink_metadata(space.path("link.kdl")).expect("it is there").is_symlink());
    assert_eq!(mode("real/a.kdl"), 0o640);
    space.write("b.kdl", MESSY);
    set("b.kdl", 0o444);
    space.macula("fmt b.kdl").code(3).says(&["cannot write `b.kdl`: it is read-only"]);
    assert_eq!(space.read("b.kdl"), MESSY);
}
