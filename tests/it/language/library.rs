//! The standard library: complete, right, and what its pages say.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use macula::base::Sources;
use macula::diag::{Severity, catalogue};
use macula::lang::{builtin_network, lookup, manual, shapes, signatures, stdlib};
use macula::syntax;

use super::{codes, load};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn it_is_without_fault() {
    assert_eq!(stdlib::stdlib().diags, []);
    // macula trusts that its texts are KDL.
    for (name, text) in stdlib::MODULES {
        let file = Sources::default().add((*name).to_owned(), None, *text);
        let (document, diags) = syntax::parse(file, text);
        assert_eq!(diags, [], "{name}");
        assert_eq!(document, syntax::parse_valid(file, text).0, "{name}");
    }
}

#[test]
fn what_is_embedded_is_what_the_folder_holds() {
    let mut found = BTreeSet::new();
    for folder in ["networks", "stages", "templates"] {
        for entry in fs::read_dir(root().join("stdlib").join(folder)).expect("the folder is there") {
            let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
            found.insert(format!("{folder}/{}", name.strip_suffix(".kdl").expect("only KDL lies there")));
        }
    }
    assert_eq!(stdlib::MODULES.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), found);
}

#[test]
fn its_stages_are_those_that_rust_implements() {
    let told: BTreeSet<&str> = signatures().iter().map(|signature| signature.implementation.as_str()).collect();
    let done: BTreeSet<&str> = macula::stages::registry().iter().map(|one| one.name).collect();
    assert_eq!(told, done);
}

#[test]
fn the_classes_of_a_signature_are_those_of_its_stage() {
    use macula::lang::signature::ClassNames;
    let told = |name: &str| {
        let signature = signatures().iter().find(|signature| signature.name == name).expect("a stage");
        signature.outputs[0].classes.clone().expect("classes")
    };
    let fixed = ClassNames::Fixed(macula::data::synthetic::CLASSES.map(str::to_owned).to_vec());
    for name in ["synthetic", "idrid", "ddr", "e-ophtha"] {
        assert_eq!(told(name), fixed, "{name}");
    }
    assert_eq!(told("folder"), ClassNames::NamedIn(vec!["masks".to_owned()]));
    assert_eq!(told("fgadr"), ClassNames::NamedIn(vec!["classes".to_owned()]));
}

#[test]
fn every_stage_has_an_example_and_a_counter_example_and_they_are_what_they_say() {
    for signature in signatures().iter().chain(&stdlib::stdlib().templates) {
        let right = signature.examples.iter().filter(|example| example.code.is_none()).count();
        assert!(right > 0 && right < signature.examples.len(), "`{}` needs one of each", signature.name);
        for example in &signature.examples {
            let text = format!("pipeline example seed=1 {{\n{}}}\n", manual::text(example));
            let found = load(&text).1;
            let found = codes(&found);
            match &example.code {
                None => assert!(found.is_empty(), "`{}`: {found:?}\n{text}", signature.name),
                Some(code) => assert_eq!(found, [code.as_str()], "`{}`\n{text}", signature.name),
            }
        }
    }
}

#[test]
fn everything_in_a_signature_is_described() {
    for signature in signatures().iter().chain(&stdlib::stdlib().templates) {
        let ports = signature.inputs.iter().map(|port| &port.doc).chain(signature.outputs.iter().map(|port| &port.doc));
        let params = signature.params.iter().map(|param| &param.doc);
        let all: Vec<&String> = ports.chain(params).chain([&signature.doc]).collect();
        assert!(all.iter().all(|doc| doc.ends_with(['.', ':'])), "`{}`: {all:#?}", signature.name);
    }
}

#[test]
fn resnet18_has_the_parameters_and_the_cost_of_torchvisions() {
    let network = builtin_network("resnet18").expect("it is built in");
    let rows = shapes::shapes(&network, 224, 1000).expect("it fits");
    // As torchvision states for IMAGENET1K_V1: 11,689,512 parameters, 1.814 billion multiply-adds at 224 px.
    assert_eq!(rows.iter().map(|row| row.parameters).sum::<u64>(), 11_689_512);
    assert_eq!(rows.iter().map(|row| row.multiply_adds).sum::<u64>(), 1_814_073_344);
    assert!(rows.iter().any(|row| row.name == "layer4.0.downsample.1"));
}

/// The pages of `docs/reference/`, written again if `MACULA_BLESS` is set.
#[test]
fn the_reference_pages_are_those_of_the_standard_library() {
    let folder = root().join("docs/reference");
    let mut expected: Vec<(String, String)> =
        manual::names().map(|name| (format!("{name}.md"), manual::page(name).expect("a page"))).collect();
    expected.push((
        "README.md".to_owned(),
        format!("# Reference\n\nAs `macula doc` prints it.\n\n```text\n{}```\n", manual::index()),
    ));
    let codes: Vec<String> = catalogue::pages().map(|page| format!("## {}\n\n{}\n", page.code, body(page))).collect();
    let codes = codes.concat();
    expected.push((
        "codes.md".to_owned(),
        format!("# Codes of errors and warnings\n\n{codes}").trim_end().to_owned() + "\n",
    ));
    expected.push(("words.md".to_owned(), lookup::words()));
    if std::env::var_os("MACULA_BLESS").is_some() {
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (name, text) in &expected {
            fs::write(folder.join(name), text).expect("a page can be written");
        }
    }
    let there: BTreeSet<String> = names(&folder);
    assert_eq!(
        there,
        expected.iter().map(|(name, _)| name.clone()).collect(),
        "run with MACULA_BLESS=1 to make them anew"
    );
    for (name, text) in expected {
        let found = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(
            found == text,
            "docs/reference/{name} is not what stdlib says; run with MACULA_BLESS=1 to make it anew"
        );
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn body(page: &catalogue::Page) -> String {
    let example = if page.example.is_empty() { String::new() } else { format!("```kdl\n{}\n```\n\n", page.example) };
    format!("{}\n\n{example}{}\n", page.means, page.remedy)
}

/// Stages and networks of the catalogue's examples are right but for what they show.
#[test]
fn every_example_of_the_catalogue_gives_its_code() {
    for page in catalogue::pages().filter(|page| !page.example.is_empty()) {
        let starts = |word: &str| page.example.starts_with(word);
        let whole = ["pipeline", "stage", "network", "use", "sweep", "pipline"].into_iter().any(starts);
        let text =
            if whole { page.example.to_owned() } else { format!("pipeline a seed=1 {{\n{}\n}}\n", page.example) };
        let found = load(&text).1;
        assert!(codes(&found).contains(&page.code), "{}: {:?}\n{text}", page.code, codes(&found));
    }
}

#[test]
fn every_code_in_the_sources_has_a_page_and_every_page_its_code() {
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut all = String::new();
    let mut waiting = vec![root().join("src")];
    while let Some(path) = waiting.pop() {
        if path.ends_with("catalogue") {
            continue;
        }
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).expect("sources can be read").flatten().map(|entry| entry.path()));
            continue;
        }
        let text = fs::read_to_string(&path).expect("sources are UTF-8");
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        used.extend(codes_in(text));
        all.push_str(text);
    }
    let pages: Vec<&str> = catalogue::pages().map(|page| page.code).collect();
    let unique: BTreeSet<&str> = pages.iter().copied().collect();
    assert_eq!(pages.len(), unique.len(), "two pages of one code");
    let lacking: Vec<&String> = used.iter().filter(|code| !unique.contains(code.as_str())).collect();
    assert!(lacking.is_empty(), "codes without a page in src/diag/catalogue: {lacking:?}");
    assert!(used.len() > 50, "the codes were not found");
    let needless: Vec<&&str> = unique.iter().filter(|code| !all.contains(&format!("\"{code}\""))).collect();
    assert!(needless.is_empty(), "pages of codes that nothing uses: {needless:?}");
}

/// The first text of every call that takes a code, and of every field of that name.
fn codes_in(text: &str) -> Vec<String> {
    let takers =
        ["Diag::error(", "Diag::warning(", ".wrong(", "slip(", "StageError::input(", "warn(", "code: ", "code: Some("];
    let mut found = Vec::new();
    for taker in takers {
        for (at, _) in text.match_indices(taker) {
            let rest = text[at + taker.len()..].trim_start();
            let rest = ["at,", "ROOT,"].iter().find_map(|frame| rest.strip_prefix(frame)).unwrap_or(rest);
            let Some(rest) = rest.trim_start().strip_prefix('"') else { continue };
            let code = rest.split('"').next().unwrap_or_default();
            if !code.is_empty() && code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
                found.push(code.to_owned());
            }
        }
    }
    // One of two, by what went wrong.
    for (at, _) in text.match_indices("let code = if ") {
        let end = text[at..].find(';').map_or(text.len(), |length| at + length);
        found.extend(text[at..end].split('"').skip(1).step_by(2).map(str::to_owned));
    }
    found
}

#[test]
fn a_code_is_found_where_it_is_used() {
    assert_eq!(codes_in("StageError::input(\n    \"mask-size\", format!(\"a {b}\"))"), ["mask-size"]);
    assert_eq!(codes_in("Warning { code: \"leak\".into(), text }"), ["leak"]);
    assert_eq!(codes_in("let code = if gone { \"missing\" } else { \"other\" };"), ["missing", "other"]);
    assert_eq!(codes_in("warn(&text); code: String"), [""; 0]);
}

#[test]
fn warnings_are_no_errors() {
    let diags = load("pipeline a { synthetic fundus }").1;
    assert_eq!(codes(&diags), ["no-seed"]);
    assert!(diags.iter().all(|diag| diag.severity == Severity::Warning));
}
