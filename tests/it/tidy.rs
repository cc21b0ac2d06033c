//! House rules that the compiler does not check: layers, which layer may use which crate, who may print, and what no file may
//! contain.

mod circles;
mod comments;
mod links;
mod names;
mod scan;
mod words;

use std::path::{Path, PathBuf};

/// The layers, lowest first (`docs/architecture.md`): a module names only its own layer and those before it.
const LAYERS: [&str; 18] = [
    "base", "sandbox", "diag", "syntax", "lang", "store", "stage", "plan", "engine", "data", "learn", "report",
    "stages", "run", "tracking", "progress", "lsp", "cli",
];

/// Lower layers that a layer may not use: the language server starts at once and computes nothing.
const LEAVES_ALONE: [(&str, &[&str], &str); 1] =
    [("lsp", &["engine", "data", "learn", "report", "stages"], "a language server computes nothing")];

/// Third-party crates, and the only layers that may use them.
const CRATES: [(&str, &[&str]); 26] = [
    ("landlock", &["sandbox"]),
    ("seccompiler", &["sandbox"]),
    ("miette", &["diag"]),
    ("kdl", &["syntax"]),
    ("petgraph", &["plan"]),
    ("ureq", &["store"]),
    ("rustls", &["store"]),
    ("object_store", &["store"]),
    ("http_body", &["store"]),
    ("tokio", &["store"]),
    ("futures_util", &["store"]),
    ("image", &["data"]),
    ("tiff", &["data"]),
    ("zune_jpeg", &["data"]),
    ("png", &["data"]),
    ("weezl", &["data"]),
    ("parquet", &["data"]),
    ("quick_xml", &["data"]),
    ("prost", &["learn", "tracking"]),
    ("candle_core", &["engine", "learn"]),
    ("candle_nn", &["engine"]),
    ("chrono", &["run"]),
    ("unicode_width", &["progress"]),
    ("lsp_server", &["lsp"]),
    ("gen_lsp_types", &["lsp"]),
    ("tracing_subscriber", &["cli"]),
];

/// Calls that only some layers may make: the words, the layers, and the reason.
const DEEDS: [(&[&str], &[&str], &str); 3] = [
    (&["SystemTime::now", "Instant::now"], &["run", "progress", "cli", "lsp"], "the clock comes in from run"),
    (&["env::var", "env::vars", "env::current_dir", "env::args"], &["run", "cli"], "the environment comes in from cli"),
    (&["clap::"], &["cli"], "`clap` stays in cli"),
];

/// Code that no source file may contain, outside texts and comments. Split in two so that this list does not contain it.
const NOWHERE: [(&str, &str); 6] = [
    (concat!("#[al", "low("), "say `#[expect(lint, reason = \"…\")]`"),
    (concat!("#![al", "low("), "say `#![expect(lint, reason = \"…\")]`"),
    (concat!("to", "do!("), "unfinished code is not landed"),
    (concat!("unimple", "mented!("), "unfinished code is not landed"),
    (concat!("db", "g!("), "left over from debugging"),
    (concat!("#[ign", "ore"), "a test that never runs proves nothing"),
];

/// The only file that opens stdout and stderr: output that bypasses it is neither checked nor escaped.
const PRINTER: (&str, [&str; 6]) =
    ("src/progress/out.rs", ["stdout()", "stderr()", "println!", "print!", "eprintln!", "eprint!"]);

/// Files that still hold unfinished code. Empty before the first release.
const UNFINISHED: [&str; 0] = [];

/// Maximum number of lines of a file.
const LONGEST: usize = 600;

/// Violations in one Rust file, each with its line; `path` is relative to the project, with `/`.
fn complaints(path: &str, source: &str) -> Vec<String> {
    let code = scan::code(source);
    let mut found = Vec::new();
    let mut say = |line: usize, text: String| found.push(format!("{path}:{line}: {text}"));

    if !source.starts_with("//!") {
        say(1, "a module must start with `//!`: what it is, and what it does not know".to_owned());
    }
    let lines = source.lines().count();
    if lines > LONGEST {
        say(lines, format!("{lines} lines; split files of more than {LONGEST}"));
    }
    for (number, line) in (1..).zip(code.lines()) {
        for (words, why) in NOWHERE {
            if line.contains(words) && !UNFINISHED.contains(&path) {
                say(number, format!("`{words}`: {why}"));
            }
        }
        if let Some(layer) = layer_of(path) {
            let (printer, words) = PRINTER;
            if let Some(word) = words.iter().find(|word| holds_word(line, word) && path != printer) {
                say(number, format!("`{word}`: `{printer}` is the one way to stdout and stderr"));
            }
            for (words, layers, why) in DEEDS {
                if let Some(word) = words.iter().find(|word| holds_word(line, word) && !layers.contains(&layer)) {
                    say(number, format!("`{word}`: {why}"));
                }
            }
        }
    }
    if let Some(layer) = layer_of(path) {
        let paths = scan::paths(&code);
        for named in &paths {
            if let Some(target) = target_layer(path, &named.segments).filter(|target| rank(target) > rank(layer)) {
                say(named.line, format!("`{layer}` may not use `{target}`, which is a higher layer"));
            }
            for (_, others, why) in LEAVES_ALONE.iter().filter(|(name, ..)| *name == layer) {
                if let Some(target) = target_layer(path, &named.segments).filter(|target| others.contains(target)) {
                    say(named.line, format!("`{layer}` may not use `{target}`: {why}"));
                }
            }
        }
        for named in &paths {
            let first = named.segments[0].as_str();
            let home = CRATES.iter().find(|(name, _)| *name == first);
            if let Some((name, layers)) =
                home.filter(|(name, layers)| !layers.contains(&layer) && !is_local(name, &paths, &code))
            {
                say(named.line, format!("crate `{name}` stays in {}", layers.join(", ")));
            }
        }
    }
    found
}

/// The layer of a source file; [`None`] for `main.rs`, `lib.rs` and what is not below `src/`.
fn layer_of(path: &str) -> Option<&'static str> {
    let rest = path.strip_prefix("src/")?;
    let first = rest.split('/').next()?.trim_end_matches(".rs");
    LAYERS.into_iter().find(|layer| *layer == first)
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|other| *other == layer)
}

/// The layer that a path leads to: after `crate`, or after as many `super` as lead out of the file's layer.
fn target_layer(path: &str, segments: &[String]) -> Option<&'static str> {
    let module = path.strip_prefix("src/")?.trim_end_matches(".rs").trim_end_matches("/mod");
    let depth = module.split('/').count();
    let supers = segments.iter().take_while(|segment| *segment == "super").count();
    let name = match segments[0].as_str() {
        "crate" => segments.get(1)?,
        "super" if supers >= depth => segments.get(supers)?,
        _ => return None,
    };
    LAYERS.into_iter().find(|layer| layer == name)
}

/// Whether `name` is a module of ours here: declared, or imported from one of our paths.
fn is_local(name: &str, paths: &[scan::Path], code: &str) -> bool {
    let ours = |path: &scan::Path| {
        matches!(path.segments[0].as_str(), "crate" | "super" | "self")
            && path.segments.last().is_some_and(|last| last == name)
    };
    paths.iter().any(ours) || holds_word(code, &format!("mod {name}"))
}

/// Whether `text` holds `word` with no letter, digit or `_` before it.
fn holds_word(text: &str, word: &str) -> bool {
    let begins = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| begins(at))
}

/// Paths on somebody's machine, in any text file of the project.
fn machine_paths(path: &str, text: &str) -> Vec<String> {
    let roots = ["wo|rk", "ho|me", "ro|ot", "Us|ers", "tm|p/py"].map(|root| format!("/{}/", root.replace('|', "")));
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for root in &roots {
            let starts = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-~*>)}$".contains(c));
            if line.match_indices(root.as_str()).any(|(at, _)| starts(at)) {
                found.push(format!("{path}:{number}: `{root}…` is a path on somebody's machine"));
            }
        }
    }
    found
}

/// The project's text files below `folders`, relative with `/`, sorted.
fn files(folders: &[&str]) -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("the project's folders can be read");
            waiting.extend(entries.map(|entry| entry.expect("an entry can be read").path()));
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            found.push((relative(&root, &path), text));
        }
    }
    found.sort();
    found
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|kind| kind == "rs")
}

fn relative(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).expect("files lie below the project");
    below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[test]
fn every_source_file_keeps_the_rules() {
    let files = files(&["crates", "src", "tests"]);
    let rust = files.iter().filter(|(path, _)| is_rust(path));
    let found: Vec<String> = rust.clone().flat_map(|(path, source)| complaints(path, source)).collect();
    assert!(rust.count() > 20, "the sources were not found");
    assert!(found.is_empty(), "{} against the rules:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_test_that_skips_says_so_at_one_door() {
    let says = concat!("\"skip", "ped: ");
    let tests = files(&["tests/it"]);
    let found: Vec<_> = tests.iter().filter(|(_, text)| text.contains(says)).map(|(path, _)| path.as_str()).collect();
    assert_eq!(found, ["tests/it/missing.rs"], "`missing` fails where nothing may be skipped");
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    let everything = [
        "crates",
        "src",
        "tests",
        "docs",
        "stdlib",
        "pipelines",
        ".ci",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.toml",
        "clippy.toml",
        "deny.toml",
        "justfile",
    ];
    let found: Vec<String> = files(&everything).iter().flat_map(|(path, text)| machine_paths(path, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_path_to_a_higher_layer_is_found() {
    let of = |path: &str, body: &str| complaints(path, &format!("//! A file.\n{body}"));
    assert!(of("src/data/a.rs", "use crate::{base::Digest, stage::{Ctx, Stop}};").is_empty());
    assert_eq!(
        of("src/data/a.rs", "use crate::{base::Digest,\n    learn::{Adam, Loss}};").join("\n"),
        "src/data/a.rs:3: `data` may not use `learn`, which is a higher layer\n\
         src/data/a.rs:3: `data` may not use `learn`, which is a higher layer",
    );
    assert_eq!(of("src/stage/mod.rs", "fn f(x: crate::data::Row) {}").len(), 1);
    assert_eq!(of("src/data/a.rs", "use super::super::run::Slots;").len(), 1);
    assert_eq!(of("src/data/mod.rs", "use super::run::Slots;").len(), 1);
    assert!(of("src/data/a.rs", "use super::run::Slots; // a module of data's own").is_empty());
    assert!(of("src/lib.rs", "pub use crate::cli::main;").is_empty());
    assert!(of("src/lsp/a.rs", "use crate::{lang::near, run::Host};").is_empty());
    assert_eq!(
        of("src/lsp/a.rs", "use crate::learn::Adam;"),
        ["src/lsp/a.rs:2: `lsp` may not use `learn`: a language server computes nothing"]
    );
    assert!(of("src/base/a.rs", "// crate::cli\nconst A: &str = \"crate::cli::B\";").is_empty());
}

#[test]
fn a_crate_outside_its_folder_is_found() {
    let of = |path: &str, body: &str| complaints(path, &format!("//! A file.\n{body}"));
    assert_eq!(of("src/report/a.rs", "use image::RgbImage;"), ["src/report/a.rs:2: crate `image` stays in data"]);
    assert_eq!(of("src/report/a.rs", "fn f() { image::open(x); }").len(), 1);
    assert_eq!(of("src/report/a.rs", "use candle_core::{Device, Tensor};").len(), 2);
    assert!(of("src/data/a.rs", "use image::RgbImage;").is_empty());
    assert!(of("src/report/a.rs", "use crate::data::image;\nfn f() { image::open(x); }").is_empty());
    assert!(of("src/report/mod.rs", "mod image;\nuse image::Chart;").is_empty());
}

#[test]
fn printing_and_the_clock_are_found_where_they_do_not_belong() {
    let of = |path: &str, body: &str| complaints(path, &format!("//! A file.\n{body}"));
    assert_eq!(
        of("src/cli/a.rs", "fn f() { println!(); }"),
        ["src/cli/a.rs:2: `println!`: `src/progress/out.rs` is the one way to stdout and stderr"]
    );
    assert_eq!(of("src/progress/a.rs", "fn f() { std::io::stdout().lock(); }").len(), 1);
    assert!(of("src/progress/out.rs", "fn f() { std::io::stdout().lock(); }").is_empty());
    assert_eq!(of("src/learn/a.rs", "fn f() { std::time::Instant::now(); }").len(), 1);
    assert_eq!(of("src/store/a.rs", "fn f() { std::env::var(x); }").len(), 1);
    assert!(of("src/cli/a.rs", "fn f() { std::env::var(x); }").is_empty());
    assert!(of("src/data/a.rs", "// println!\nfn f() { my_println!(\"println!\"); }").is_empty());
}

#[test]
fn unfinished_code_and_missing_first_lines_are_found() {
    assert_eq!(complaints("src/base/a.rs", "fn f() {}").len(), 1);
    assert_eq!(complaints("src/base/a.rs", &format!("//! A.\n{}", "\n".repeat(LONGEST))).len(), 1);
    for (words, _) in NOWHERE {
        assert_eq!(complaints("tests/it/a.rs", &format!("//! A.\n{words}x)]")).len(), 1, "{words}");
        assert!(complaints("tests/it/a.rs", &format!("//! A.\n// {words}")).is_empty(), "{words}");
    }
}

#[test]
fn a_place_on_one_machine_is_found() {
    let roots = ["ho", "me/ada/data"].concat();
    assert_eq!(machine_paths("docs/a.md", &format!("a\nsee /{roots}")).len(), 1);
    assert!(machine_paths("docs/a.md", &format!("docs/{roots} and ~/{roots}")).is_empty());
}
