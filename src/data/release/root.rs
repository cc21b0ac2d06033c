//! A folder that does not hold a data set: what was found in it, and which folder to name. Knows no data set.

use std::collections::BTreeSet;
use std::path::Path;

use crate::data::source_tree::extension;
use crate::stage::StageError;

/// Most folders between a source's `root` and the folder that the data set is known by.
pub const REACH: usize = 2;

/// Folders that a message names.
const NAMED: usize = 4;

/// Extensions of archives, and of parts of one.
const ARCHIVES: [&str; 9] = ["zip", "rar", "7z", "tar", "gz", "tgz", "xz", "bz2", "001"];

/// A `root` without photographs of a data set.
pub struct WrongRoot<'a> {
    /// Name of the data set.
    pub name: &'static str,
    /// `root` as the user wrote it.
    pub written: &'a str,
    /// Folder that it stands for.
    pub folder: &'a Path,
    /// Files below it.
    pub listed: &'a [String],
    /// Sentence on the folder to name.
    pub expected: &'a str,
    /// Whether a folder has a name by which the data set is known.
    pub marks: fn(folder: &str) -> bool,
    /// Hint if the root is a folder inside the data set.
    pub inside: Option<&'a str>,
}

/// Error for a root without photographs of a data set.
#[must_use]
pub fn no_photographs(wrong: &WrongRoot<'_>) -> StageError {
    let text = format!("no {} photographs in `{}`", wrong.name, wrong.folder.display());
    let hint = match (wrong.inside, deeper(wrong)) {
        (Some(inside), _) => format!("{}; {inside}", wrong.expected),
        (None, Some(folder)) => {
            let root = format!("{}/{folder}", wrong.written.trim_end_matches('/'));
            format!("{}; did you mean `root \"{root}\"`?", wrong.expected)
        }
        (None, None) => format!("{}; {}", wrong.expected, found(wrong.listed)),
    };
    StageError::input("no-photographs", text).hint(hint).field("root")
}

/// Folder above the first one that the data set is known by, if that is too far below for the source.
fn deeper(wrong: &WrongRoot<'_>) -> Option<String> {
    wrong.listed.iter().find_map(|file| {
        let mut folders: Vec<&str> = file.split('/').collect();
        folders.pop();
        let at = folders.iter().position(|folder| (wrong.marks)(folder))?;
        (at > REACH).then(|| folders[..at].join("/"))
    })
}

/// What a folder holds, in words.
fn found(listed: &[String]) -> String {
    if let Some(archive) = listed.iter().find(|file| ARCHIVES.contains(&extension(file).as_str())) {
        return format!("found the archive `{archive}`: unpack it first");
    }
    let folders: BTreeSet<&str> = listed.iter().filter_map(|file| Some(file.split_once('/')?.0)).collect();
    if folders.is_empty() {
        return match listed.first() {
            Some(first) => format!("found only files (first: `{first}`)"),
            None => "the folder has no files".to_owned(),
        };
    }
    let mut names: Vec<String> = folders.iter().take(NAMED).map(|folder| format!("`{folder}`")).collect();
    if folders.len() > NAMED {
        names.push(format!("{} more", folders.len() - NAMED));
    }
    let last = names.pop().unwrap_or_default();
    let folder = if folders.len() == 1 { "folder" } else { "folders" };
    if names.is_empty() {
        return format!("found the {folder} {last}");
    }
    format!("found the {folder} {} and {last}", names.join(", "))
}
