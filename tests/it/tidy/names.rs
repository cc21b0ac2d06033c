//! Names of types: one name, one concept.

use std::collections::{BTreeMap, BTreeSet};

use super::{files, is_rust, scan};

/// Type names that several files may define, and why.
const SEVERAL: [(&str, &str); 2] =
    [("Arguments", "each command has its own"), ("Verb", "each command with subcommands has its own, private to it")];

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

#[test]
fn types_are_found_however_visible_and_associated_ones_are_not() {
    let found = |source: &str| types(source).collect::<Vec<_>>().join(" ");
    assert_eq!(
        found("pub struct A<'a> {\n}\npub(in super::super) enum B {}\n    trait C: D {}\ntype E = u8;"),
        "A B C E"
    );
    assert_eq!(found("impl Iterator for A {\n    type Item = u8;\n}\n// struct F\nlet a = \"struct G\";"), "");
}
