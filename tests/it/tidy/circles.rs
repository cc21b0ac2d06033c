//! Files that import each other in a circle. Knows paths, not what is done with them.
//!
//! A file and the files in its folder (`plan/drawings/mod.rs` and `plan/drawings/layout.rs`) are one unit: the parent passes on
//! what its children define, and children use types of the parent. That is harmless and not counted, and neither are tests
//! inside a file, nor imports between a network's program and its operations ([`VARIANTS`]). All other imports count, each of
//! the file that defines the name, however many re-exports it came through.

use std::collections::{BTreeMap, BTreeSet};

use super::{files, scan};

/// A module by its names: `plan`, `drawings`, `layout`.
type Module = Vec<String>;

/// A folder of variants, and the folder of what lists them: a program is a list of operations, and what an operation computes
/// depends on the program. Imports of a variant, or by one, within that folder are not counted.
const VARIANTS: (&str, &str) = ("engine/network/ops", "engine/network");

/// Words that come before the name of what they define.
const DEFINES: [&str; 9] = ["struct", "enum", "trait", "type", "union", "fn", "const", "static", "macro_rules!"];

/// What the rule needs to know of one file.
struct Imports {
    /// Paths from the crate's root.
    paths: Vec<Module>,
    /// Names imported here, each with its path.
    names: Vec<(String, Module)>,
    /// Names defined here.
    defined: BTreeSet<String>,
}

impl Imports {
    fn of(module: &Module, source: &str, modules: &BTreeSet<Module>) -> Self {
        let code = scan::code(source.split("#[cfg(test)]\nmod ").next().unwrap_or_default());
        let (mut paths, mut names) = (Vec::new(), Vec::new());
        for path in scan::paths(&code) {
            let mut segments = path.segments;
            let alias = segments.pop_if(|last| last.starts_with('='));
            let Some(path) = absolute(module, &segments, modules) else { continue };
            let name = alias.map_or_else(|| path.last().cloned(), |alias| Some(alias[1..].to_owned()));
            names.extend(name.map(|name| (name, path.clone())));
            paths.push(path);
        }
        let words: Vec<&str> = code.split_whitespace().collect();
        let defined = words.windows(2).filter(|pair| DEFINES.contains(&pair[0]));
        let defined = defined.filter_map(|pair| pair[1].split(|c: char| !c.is_alphanumeric() && c != '_').next());
        Self { paths, names, defined: defined.map(str::to_owned).collect() }
    }
}

/// A path from the crate's root, if it is one of ours.
fn absolute(module: &Module, segments: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    let supers = segments.iter().take_while(|segment| *segment == "super").count();
    match segments.first()?.as_str() {
        "crate" => Some(segments[1..].to_vec()),
        "self" => Some([module, &segments[1..]].concat()),
        "super" => Some([module.get(..module.len().checked_sub(supers)?)?, &segments[supers..]].concat()),
        first => {
            let child: Module = module.iter().cloned().chain([first.to_owned()]).collect();
            modules.contains(&child).then(|| [module, segments].concat())
        }
    }
}

/// The module that defines what a path names, through re-exports.
fn definer(path: &[String], all: &BTreeMap<Module, Imports>, seen: &mut BTreeSet<Module>) -> Option<Module> {
    let length = (1..=path.len()).rev().find(|length| all.contains_key(&path[..*length]))?;
    let (module, rest) = path.split_at(length);
    let Some(name) = rest.first().filter(|name| *name != "*") else { return Some(module.to_vec()) };
    let imports = &all[module];
    if imports.defined.contains(name) || !seen.insert(path[..=length].to_vec()) {
        return Some(module.to_vec());
    }
    let named = imports.names.iter().filter(|(own, _)| own == name).find_map(|(_, path)| definer(path, all, seen));
    let globbed = || {
        let globs = imports.names.iter().filter(|(own, _)| own == "*");
        globs.filter_map(|(_, path)| definer(path, all, seen)).find(|module| all[module].defined.contains(name))
    };
    named.or_else(globbed).or_else(|| Some(module.to_vec()))
}

/// The imports among files that are in a circle, as `from -> to`. `sources` are paths below `src/` and texts.
fn circles(sources: &[(String, String)]) -> Vec<String> {
    let module = |path: &str| -> Option<Module> {
        let path = path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let module = path.strip_suffix("/mod").unwrap_or(path);
        (!matches!(module, "lib" | "main")).then(|| module.split('/').map(str::to_owned).collect())
    };
    let sources: BTreeMap<Module, &str> =
        sources.iter().filter_map(|(path, text)| Some((module(path)?, text.as_str()))).collect();
    let modules: BTreeSet<Module> = sources.keys().cloned().collect();
    let all: BTreeMap<Module, Imports> =
        sources.iter().map(|(module, text)| (module.clone(), Imports::of(module, text, &modules))).collect();
    let mut edges: BTreeSet<(Module, Module)> = BTreeSet::new();
    for (from, imports) in &all {
        let to = imports.paths.iter().filter_map(|path| definer(path, &all, &mut BTreeSet::new()));
        let to = to.filter(|to| !to.starts_with(from) && !from.starts_with(to));
        let below = |module: &Module, folder: &str| format!("{}/", module.join("/")).starts_with(&format!("{folder}/"));
        let (variants, list) = VARIANTS;
        let listed = |one: &Module, other: &Module| below(one, variants) && below(other, list);
        let to = to.filter(|to| !listed(from, to) && !listed(to, from));
        edges.extend(to.map(|to| (from.clone(), to)));
    }
    // What nothing imports, or what imports nothing, is in no circle; what is left is.
    loop {
        let [from, to]: [BTreeSet<&Module>; 2] =
            [edges.iter().map(|(from, _)| from).collect(), edges.iter().map(|(_, to)| to).collect()];
        let kept: BTreeSet<(Module, Module)> =
            edges.iter().filter(|(a, b)| to.contains(a) && from.contains(b)).cloned().collect();
        if kept.len() == edges.len() {
            return edges.into_iter().map(|(from, to)| format!("{} -> {}", from.join("/"), to.join("/"))).collect();
        }
        edges = kept;
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = files(&["src"]);
    assert!(sources.len() > 300, "the sources were not found");
    let found = circles(&sources);
    assert!(found.is_empty(), "in a circle, or between two circles:\n{}", found.join("\n"));
}

#[test]
fn a_circle_is_found_through_re_exports_and_one_within_a_folder_is_not_counted() {
    let found = |sources: &[(&str, &str)]| {
        let sources: Vec<_> = sources.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        circles(&sources).join(", ")
    };
    let a = ("src/plan/a.rs", "use super::Table;\npub struct Graph;");
    let b = ("src/plan/b.rs", "use crate::plan::a::Graph;\npub struct Table;");
    assert_eq!(
        found(&[("src/plan/mod.rs", "mod a;\nmod b;\npub use b::Table;"), a, b]),
        "plan/a -> plan/b, plan/b -> plan/a"
    );
    let child = ("src/plan/b/c.rs", "use super::Table;\npub fn lay() {}");
    let parent = ("src/plan/b.rs", "mod c;\npub use c::lay;\npub struct Table;");
    assert_eq!(found(&[child, parent]), "");
    let tests = ("src/plan/a.rs", "pub struct Graph;\n#[cfg(test)]\nmod tests {\n    use crate::plan::b::Table;\n}");
    assert_eq!(found(&[tests, b]), "");
    let three = [
        ("src/store/x.rs", "fn f() { super::y::go(); }"),
        ("src/store/y.rs", "use super::z::Z as Last;\npub fn go() {}"),
        ("src/store/z.rs", "use super::x;\npub struct Z;"),
        ("src/store/w.rs", "use super::{x, y};"),
    ];
    assert_eq!(found(&three), "store/x -> store/y, store/y -> store/z, store/z -> store/x");
}
