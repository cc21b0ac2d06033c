//! `macula package`: the packages of a project, and the digests that pin them.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::failure::{say, wrong};
use super::{Exit, Failure};
use crate::base::{Sources, disk};
use crate::lang::near::near;
use crate::lang::package;
use crate::lang::project::{self, Package, ProjectFile};
use crate::progress::out;
use crate::progress::table::{counted, render};
use crate::run::Host;
use crate::stage::{Cell, Table};

/// The arguments of `macula package`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List the packages, and whether they match their pins
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the digest of a package's files into `project.kdl`
    Pin {
        /// The package
        name: String,
    },
}

/// Lists packages, or pins one.
///
/// # Errors
/// A [`Failure`] if there is no `project.kdl`, the package is unknown, or its files cannot be read.
pub fn package(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let mut sources = Sources::default();
    // Of the folder that macula was started in: no file is named.
    let path = project::find(&host.folder.join(project::FILE))
        .ok_or_else(|| Failure::user("no `project.kdl` in this folder or above it").hint(FORM))?;
    let cannot = |error| Failure::user(format!("cannot read `{}`: {error}", path.display()));
    let (project, diags) = project::read(&path, &mut sources).map_err(cannot)?;
    say(&diags, &sources);
    if wrong(&diags) {
        return Err(Failure::said(Exit::User));
    }
    let (text, exit) = match &arguments.verb {
        Verb::List { json } => list(&project, *json),
        Verb::Pin { name } => (pin(&path, &project, name, &sources)?, Exit::Done),
    };
    out::say(&text);
    Ok(exit)
}

const FORM: &str = "write one: `package lesions { path \"vendor/lesions\" }`";

/// State of a package.
struct PackageState {
    /// `pinned`, `differs`, `not pinned` or `can't be read`.
    word: &'static str,
    digest: Option<String>,
    files: Option<usize>,
    why: Option<String>,
}

fn state(project: &ProjectFile, one: &Package) -> PackageState {
    let read = one.folder(project).ok_or_else(String::new).and_then(|folder| package::read(&folder));
    match read {
        Err(why) => PackageState { word: "can't be read", digest: None, files: None, why: Some(why) },
        Ok(files) => {
            let digest = package::digest(&files);
            let word = match one.digest {
                Some((pinned, _)) if pinned == digest => "pinned",
                Some(_) => "differs",
                None => "not pinned",
            };
            PackageState { word, digest: Some(package::written(&digest)), files: Some(files.len()), why: None }
        }
    }
}

fn list(project: &ProjectFile, as_json: bool) -> (String, Exit) {
    let states: Vec<(&Package, PackageState)> = project.packages.iter().map(|one| (one, state(project, one))).collect();
    let exit = if states.iter().all(|(_, state)| state.word == "pinned") { Exit::Done } else { Exit::Differs };
    if as_json {
        let of = |(one, state): &(&Package, PackageState)| {
            let pinned = one.digest.map(|(digest, _)| package::written(&digest));
            json!({"name": one.name, "path": one.path, "state": state.word, "digest": state.digest, "pinned": pinned,
                "files": state.files, "why": state.why})
        };
        return (format!("{:#}\n", Value::Array(states.iter().map(of).collect())), exit);
    }
    if states.is_empty() {
        return (format!("no packages; {FORM}\n"), exit);
    }
    let row = |(one, state): &(&Package, PackageState)| {
        let files = state.files.map_or(Cell::Null(()), |files| Cell::Int(files as i64));
        let path = one.path.clone().unwrap_or_default();
        vec![Cell::Text(one.name.clone()), Cell::Text(state.word.to_owned()), files, Cell::Text(path)]
    };
    let columns = ["package", "state", "files", "folder"].map(str::to_owned).to_vec();
    let mut text =
        render(&Table { title: String::new(), columns, rows: states.iter().map(row).collect() }, out::stdout_width());
    for (one, state) in &states {
        if let Some(why) = &state.why {
            let _ = writeln!(text, "{}: {why}", one.name);
        }
    }
    (text, exit)
}

fn pin(path: &Path, project: &ProjectFile, name: &str, sources: &Sources) -> Result<String, Failure> {
    let Some(one) = project.package_named(name) else {
        let near = near(name, project.packages.iter().map(|one| one.name.as_str()));
        let hint = near.map_or_else(|| FORM.to_owned(), |near| format!("did you mean `{near}`?"));
        return Err(Failure::user(format!("`{}` has no package `{name}`", path.display())).hint(hint));
    };
    let state = state(project, one);
    let (Some(digest), Some(files)) = (state.digest, state.files) else {
        return Err(Failure::user(format!("package `{name}`: {}", state.why.unwrap_or_default())));
    };
    let files = counted(files as u64, "file", "files");
    if state.word == "pinned" {
        return Ok(format!("{name} is already pinned to its {files}: {digest}\n"));
    }
    let text = with_digest(&sources.get(project.file).text, one, &digest);
    disk::rewrite(path, text.as_bytes()).map_err(|error| Failure::unwritten(&path.display(), &error))?;
    let was = one.digest.map(|(digest, _)| format!("\n  was {}", package::written(&digest))).unwrap_or_default();
    Ok(format!("pinned {name} to its {files}: {digest}{was}\n"))
}

/// The text with a package's digest put in; every other byte stays.
fn with_digest(text: &str, one: &Package, digest: &str) -> String {
    if let Some(entry) = one.node.child("digest").and_then(|node| node.args().next()) {
        return format!("{}\"{digest}\"{}", &text[..entry.span.start], &text[entry.span.end..]);
    }
    let Some(path) = one.node.child("path") else { return text.to_owned() };
    let line = text[..path.span.start].rfind('\n').map_or(0, |at| at + 1);
    let indent = &text[line..path.span.start];
    let end = path.span.end;
    let rest = &text[end..][..text[end..].find(['\n', '\r']).unwrap_or(text.len() - end)];
    // On a line of its own, and then behind what stands next to it; else on the same line.
    let comment = rest.trim_start().is_empty() || rest.trim_start().starts_with("//");
    if indent.trim().is_empty() && comment {
        let (before, after) = text.split_at(end + rest.len());
        let line_end = if after.starts_with('\r') { "\r\n" } else { "\n" };
        return format!("{before}{line_end}{indent}digest \"{digest}\"{after}");
    }
    format!("{}; digest \"{digest}\"{}", &text[..end], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(text: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(project::FILE);
        std::fs::write(&path, text).expect("written");
        let (project, diags) = project::read(&path, &mut Sources::default()).expect("readable");
        assert_eq!(diags, []);
        with_digest(text, &project.packages[0], "blake3:0")
    }

    #[test]
    fn a_digest_goes_where_it_belongs_and_all_else_stays() {
        let old = format!("package a {{\n  // why\n  digest   \"blake3:{}\" // note\n  path \"x\"\n}}", "1".repeat(64));
        assert_eq!(pinned(&old), "package a {\n  // why\n  digest   \"blake3:0\" // note\n  path \"x\"\n}");
        for (text, expected) in [
            ("package a { path x }\n", "package a { path x; digest \"blake3:0\" }\n"),
            ("package a { path x; }\n", "package a { path x; digest \"blake3:0\"; }\n"),
            ("package a {\n\tpath \"x\"\n}\n", "package a {\n\tpath \"x\"\n\tdigest \"blake3:0\"\n}\n"),
            ("package a {\r\n  path x // it\r\n}", "package a {\r\n  path x // it\r\n  digest \"blake3:0\"\r\n}"),
            ("package a {\n  path x }", "package a {\n  path x; digest \"blake3:0\" }"),
        ] {
            assert_eq!(pinned(text), expected);
        }
    }
}
