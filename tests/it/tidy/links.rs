//! Links and paths in the documentation: each leads to a file of the project, and to a heading of it.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::files;

/// The documents.
const DOCUMENTS: [&str; 5] = ["docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "tests/fuzz/README.md"];

/// Folders with files that documents name in their text.
const FOLDERS: [&str; 5] = ["docs/", "pipelines/", "src/", "stdlib/", "tests/"];

/// Links of a document that leave the project's documentation, as `target` or `target#heading`.
fn links(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    let targets = prose.flat_map(|part| part.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
    targets.filter(|target| !target.starts_with("http") && !target.contains(char::is_whitespace)).collect()
}

/// Paths of the project that a document names.
fn paths(text: &str) -> Vec<&str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let words = text.split(|c| !inside(c)).map(|word| word.trim_end_matches(['.', '/']));
    words.filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder))).collect()
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

/// A path without `..`, relative to the project.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = normal.pop(),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn links_and_paths_of_the_documentation_lead_somewhere() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let documents: Vec<_> = files(&DOCUMENTS)
        .into_iter()
        .filter(|(path, _)| Path::new(path).extension().is_some_and(|kind| kind == "md"))
        .collect();
    assert!(documents.len() > 20, "the documents were not found");
    let mut wrong = Vec::new();
    for (document, text) in &documents {
        for link in links(text) {
            let (target, heading) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(document).parent().expect("a file lies in a folder");
            let target = if target.is_empty() { PathBuf::from(document) } else { normal(&folder.join(target)) };
            if !root.join(&target).exists() {
                wrong.push(format!("{document}: the link `{link}` leads nowhere"));
            } else if !heading.is_empty() {
                let there = std::fs::read_to_string(root.join(&target)).unwrap_or_default();
                if !anchors(&there).contains(heading) {
                    wrong.push(format!("{document}: `{}` has no heading `#{heading}`", target.display()));
                }
            }
        }
        // A changelog names files that are gone, and examples have a name in capitals.
        let named = paths(text).into_iter().filter(|path| !path.contains("NAME") && document != "CHANGELOG.md");
        let missing = named.filter(|path| !path.contains("corpus") && !root.join(path).exists());
        wrong.extend(missing.map(|path| format!("{document}: `{path}` does not exist")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn links_paths_and_anchors_are_found() {
    assert_eq!(links("[a](b.md#c) `[d](e f)` [g](https://h)\n```\n[i](j)\n```\n[k](#l)"), ["b.md#c", "#l"]);
    assert_eq!(paths("See `src/lib.rs`, docs/a-b.md. And /tmp/docs/c."), ["src/lib.rs", "docs/a-b.md"]);
    assert!(anchors("# How do I, a *user*, stop?\n#tag").contains("how-do-i-a-user-stop"));
    assert_eq!(normal(Path::new("docs/design/../a.md")), Path::new("docs/a.md"));
}
