//! What goes to stdout and stderr: all of it or an error, and nothing in it that acts on a terminal.

use std::fs::File;
use std::process::Stdio;

use serde_json::Value;

use crate::space::Space;

const PIPELINE: &str = "pipeline a seed=1 {
    synthetic eyes { photographs 3; size 128 }
    extract patches { from eyes; size 32 }
}
";

/// Commands that print something, and end well where it can be printed.
const ALL: [&str; 36] = [
    "--help",
    "--version",
    "run --help",
    "new b.kdl",
    "check pipeline.kdl",
    "check --json pipeline.kdl",
    "fmt --json pipeline.kdl",
    "plan pipeline.kdl",
    "plan --json pipeline.kdl",
    "run pipeline.kdl",
    "run --json pipeline.kdl",
    "lock pipeline.kdl",
    "why pipeline.kdl patches",
    "show pipeline.kdl patches",
    "show --json pipeline.kdl patches",
    "get pipeline.kdl patches out",
    "graph pipeline.kdl",
    "graph --format svg pipeline.kdl",
    "graph --format dot pipeline.kdl",
    "graph --format mermaid pipeline.kdl",
    "doc",
    "doc train",
    "std list",
    "std show resnet18",
    "explain",
    "explain port-type",
    "schema",
    "runs pipeline.kdl",
    "runs --json pipeline.kdl",
    "completions bash",
    "completions zsh",
    "man",
    "man run",
    "store stats",
    "store verify",
    "store gc --dry-run",
];

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_a_failure_of_every_command() {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl").code(0);
    for words in ALL {
        let words: Vec<&str> = words.split(' ').collect();
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        let said = space.command(&words).stdout(full).stderr(Stdio::piped()).output().expect("the binary starts");
        let told = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(3), "{words:?}: {told}");
        assert!(told.contains("error: cannot write to stdout: No space left on device"), "{words:?}: {told}");
    }
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let space = Space::with(PIPELINE);
    for words in ["schema", "run pipeline.kdl", "doc"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = space.command(&words.split(' ').collect::<Vec<_>>());
        let said = command.stdout(writer).stderr(Stdio::piped()).output().expect("the binary starts");
        assert_eq!((said.status.code(), said.stderr), (Some(0), Vec::new()), "{words}");
    }
}

/// What acts on a terminal: a clear screen, a C1 colour, a title, an override of direction, a carriage return.
const ACTS: &str = "\u{1b}[2J\u{9b}31m\u{1b}]0;t\u{7}\u{202e}";

#[track_caller]
fn is_harmless(text: &str) {
    let acts = |c: char| {
        !matches!(c, '\n' | '\t') && c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert_eq!(text.chars().find(|&c| acts(c)), None, "{text:?}");
}

/// An eight-bit grey picture of 64 px.
fn picture(bright: impl Fn(u32, u32) -> bool) -> Vec<u8> {
    let grey = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([if bright(x, y) { 255 } else { 40 }]));
    let mut png = std::io::Cursor::new(Vec::new());
    image::DynamicImage::ImageLuma8(grey).to_rgb8().write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
    png.into_inner()
}

#[test]
fn names_and_texts_of_others_do_not_act_on_a_terminal() {
    let space = Space::new();
    let name = format!("one{ACTS}\nerror: two");
    space.write(&format!("p/{name}.png"), picture(|x, y| x > 8 && y > 8));
    space.write("p/cut.png", b"\x89PNG\r\n");
    space.write(
        "pipeline.kdl",
        "pipeline a seed=1 {\n    folder eyes { root \".\"; photographs \"p/*.png\" }\n    extract patches { from eyes; size 32 }\n}\n",
    );
    // The file itself, in a text, in a comment and as a name.
    for text in [
        format!("pipeline a {{ {ACTS} }}\n"),
        format!("// {ACTS}\npipeline a {{ nothing \"{ACTS}\" }}\n"),
        format!("pipeline \"a{}\" {{ synthetic x }}\n", ACTS.escape_unicode().to_string().replace('\'', "")),
    ] {
        space.write("odd.kdl", text);
        for words in ["check odd.kdl", "check --json odd.kdl", "fmt --check odd.kdl", "plan odd.kdl"] {
            let said = space.macula(words);
            is_harmless(&said.raw);
            is_harmless(&said.stderr);
            if words.contains("--json") {
                assert!(serde_json::from_str::<Value>(&said.raw).is_ok(), "{}", said.raw);
            }
        }
    }
    for words in [
        "run --keep-going pipeline.kdl",
        "run --json pipeline.kdl",
        "plan pipeline.kdl",
        "plan --json pipeline.kdl",
        "show pipeline.kdl eyes",
        "show --json pipeline.kdl eyes",
        "why pipeline.kdl patches",
        "runs pipeline.kdl",
    ] {
        let said = space.macula(words);
        is_harmless(&said.raw);
        is_harmless(&said.stderr);
        // A line break in a name does not begin a line of macula's.
        let all = format!("{}{}", said.raw, said.stderr);
        assert!(!all.lines().any(|line| line.trim_start().starts_with("error: two")), "{words}: {all}");
        if words.contains("--json") {
            let lines =
                if words.starts_with("run") { said.raw.lines().map(str::to_owned).collect() } else { vec![said.raw] };
            for line in lines.iter().filter(|line| !line.is_empty()) {
                assert!(serde_json::from_str::<Value>(line).is_ok(), "{words}: {line}");
            }
        }
    }
    let odd = format!("no\u{1b}[2J{}", '\u{202e}');
    for words in [["explain", odd.as_str()], ["doc", odd.as_str()], ["check", odd.as_str()], [odd.as_str(), "x"]] {
        let said = space.finish(space.command(&words));
        is_harmless(&said.stderr);
        assert_ne!(said.code, Some(0));
    }
}

#[test]
fn a_line_of_a_source_is_shown_with_its_place() {
    let space = Space::with("pipeline a seed=1 {\n    synthetic \"\u{2066}eyes\" { sizes 64 }\n}\n");
    let said = space.macula("check pipeline.kdl").code(2);
    assert!(said.stderr.contains("synthetic \"\\u2066eyes\""), "{}", said.stderr);
    is_harmless(&said.stderr);
}
