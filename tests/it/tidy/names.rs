//! Names of types and stages: one name, one concept, and a runner that names no stage.

use std::collections::{BTreeMap, BTreeSet};

use super::{files, is_rust, scan};

/// Type names that several files may define, and why.
const SEVERAL: [(&str, &str); 3] = [
    ("Arguments", "each command has its own"),
    ("Conv", "a layer, and the prepared convolution that computes it"),
    ("Verb", "each command with subcommands has its own, private to it"),
];

/// Folders in which a layer of the language and the operation that computes it have the same name.
const LAYERS: [&str; 2] = ["src/lang/network/", "src/engine/network/ops/"];

/// Folders that know stages only by their contract.
const RUNNER: [&str; 2] = ["src/plan", "src/run"];

/// Names of stages that are words of something else: the file, and the word.
const OTHER_WORDS: [(&str, &str); 4] = [
    // A word of the format, a noun, a temporary file, and the name of a program without a name.
    ("src/run/lockfile/text.rs", "files"),
    ("src/run/lockfile/verdict.rs", "files"),
    ("src/run/commands/mod.rs", "report"),
    ("src/plan/decision.rs", "program"),
];

/// The types that a file defines.
fn types(source: &str) -> impl Iterator<Item = String> {
    let code = scan::code(source);
    let mut found = BTreeSet::new();
    for line in code.lines() {
        let mut words = line
            .split_whitespace()
            .skip_while(|word| word.starts_with("pub") || word.ends_with(')') || *word == "unsafe");
        let first = words.next();
        // An associated type of an implementation is no definition.
        let defines = matches!(first, Some("struct" | "enum" | "trait" | "union"))
            || first == Some("type") && !line.starts_with(char::is_whitespace);
        let name = words.next().filter(|_| defines).map(|word| word.split(|c: char| !c.is_alphanumeric()).next());
        found.extend(name.flatten().map(str::to_owned));
    }
    found.into_iter()
}

#[test]
fn a_type_name_is_defined_in_one_file() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, source) in files(&["src"]).into_iter().filter(|(path, _)| is_rust(path)) {
        types(&source).for_each(|name| places.entry(name).or_default().push(path.clone()));
    }
    assert!(places.len() > 300, "the types were not found");
    for places in places.values_mut().filter(|places| places.iter().any(|path| path.starts_with(LAYERS[0]))) {
        places.retain(|path| !path.starts_with(LAYERS[1]));
    }
    let several = |name: &str| SEVERAL.iter().any(|(known, _)| *known == name);
    let found: Vec<String> = places
        .iter()
        .filter(|(name, places)| places.len() > 1 && !several(name))
        .map(|(name, places)| format!("`{name}` is defined in {}", places.join(" and ")))
        .collect();
    assert!(found.is_empty(), "one name, one concept:\n{}", found.join("\n"));
    let unused = SEVERAL.iter().find(|(name, _)| places.get(*name).is_none_or(|places| places.len() < 2));
    assert!(unused.is_none(), "{unused:?} needs no exception");
}

/// The names of the stages in the standard library.
fn stages() -> Vec<String> {
    let name =
        |(path, _): &(String, String)| Some(path.strip_prefix("stdlib/stages/")?.strip_suffix(".kdl")?.to_owned());
    files(&["stdlib/stages"]).iter().filter_map(name).collect()
}

/// Texts of a file of the runner that name a stage, or a parameter of one.
fn named(path: &str, source: &str, stages: &[String]) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut found = Vec::new();
    for (line, text) in scan::texts(source) {
        let names = |stage: &&String| text == **stage || text.contains(&format!("`{stage}`"));
        if let Some(stage) = stages.iter().find(names).filter(|stage| !OTHER_WORDS.contains(&(path, stage.as_str()))) {
            found.push(format!("{path}:{line}: names the stage `{stage}`"));
        }
    }
    let fields = (1..).zip(source.lines()).filter(|(_, line)| line.contains(".field(\""));
    found.extend(fields.map(|(line, _)| format!("{path}:{line}: names a parameter of a stage")));
    found
}

#[test]
fn the_runner_names_no_stage() {
    let stages = stages();
    assert!(stages.len() > 15, "the stages were not found");
    let sources = files(&RUNNER);
    let found: Vec<String> = sources.iter().flat_map(|(path, source)| named(path, source, &stages)).collect();
    assert!(found.is_empty(), "what a stage is belongs in its `Implementation`:\n{}", found.join("\n"));
    let unused = OTHER_WORDS.iter().find(|(file, word)| {
        let text = sources.iter().find(|(path, _)| path == file).map_or("", |(_, text)| text);
        !scan::texts(text).iter().any(|(_, text)| text == word || text.contains(&format!("`{word}`")))
    });
    assert!(unused.is_none(), "{unused:?} needs no exception");
}

#[test]
fn a_stage_and_a_parameter_named_by_the_runner_are_found() {
    let stages = ["extract".to_owned(), "eval".to_owned()];
    let of = |source: &str| named("src/run/a.rs", source, &stages).len();
    assert_eq!(of("if stage.stage_type == \"extract\" {}"), 1);
    assert_eq!(of("let hint = \"connect it to an `eval` stage\";"), 1);
    assert_eq!(of("StageError::input(code, text).field(\"timeout\")"), 1);
    assert_eq!(of("// extract, `eval`\nlet text = \"extracted\";"), 0);
}

#[test]
fn types_are_found_however_visible_and_associated_ones_are_not() {
    let found = |source: &str| types(source).collect::<Vec<_>>().join(" ");
    assert_eq!(
        found("pub struct A<'a> {\n}\npub(in super::super) enum B {}\n    trait C: D {}\ntype E = u8;"),
        "A B C E"
    );
    assert_eq!(found("impl Iterator for A {\n    type Item = u8;\n}\n// struct F\nlet a = \"struct G\";"), "");
}
