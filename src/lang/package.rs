//! Packages: folders of KDL files that `project.kdl` pins by digest. Read completely before any of it is used, so that what
//! is used is what was verified. Knows no network.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::base::{Digest, Hasher, regular};
use crate::syntax::LARGEST;

/// The KDL files of a package, by their path in its folder, with `/`.
pub type PackageFiles = BTreeMap<String, String>;

/// Most entries in all folders of a package.
const MOST_ENTRIES: usize = 10_000;
/// Most KDL files of a package.
const MOST_FILES: usize = 1_000;
/// Most bytes in all KDL files of a package.
const MOST_BYTES: usize = 16 << 20;
/// Deepest nesting of folders.
const DEEPEST: usize = 16;

/// Reads every KDL file in a folder and its subfolders. Names that start with a dot are ignored.
///
/// # Errors
/// A message, if something cannot be read, is a link, or exceeds the limits of a package.
pub fn read(folder: &Path) -> Result<PackageFiles, String> {
    let mut files = PackageFiles::new();
    let (mut entries, mut bytes) = (0, 0);
    let mut todo: Vec<(PathBuf, String, usize)> = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((path, prefix, depth)) = todo.pop() {
        let shown = if prefix.is_empty() { path.display().to_string() } else { prefix.clone() };
        let listed = fs::read_dir(&path).map_err(|error| format!("cannot read `{shown}`: {error}"))?;
        for entry in listed {
            let entry = entry.map_err(|error| format!("cannot read `{shown}`: {error}"))?;
            entries += 1;
            if entries > MOST_ENTRIES {
                return Err(format!("it contains more than {MOST_ENTRIES} files and folders"));
            }
            let Ok(name) = entry.file_name().into_string() else {
                return Err(format!("a file name in `{shown}` is not UTF-8"));
            };
            if name.starts_with('.') {
                continue;
            }
            let name = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(|error| format!("cannot read `{name}`: {error}"))?;
            let is_kdl = Path::new(&name).extension().is_some_and(|extension| extension == "kdl");
            if kind.is_symlink() {
                return Err(format!("`{name}` is a link; a package may contain only files"));
            } else if kind.is_dir() {
                if depth == DEEPEST {
                    return Err(format!("its folders are nested more than {DEEPEST} levels deep"));
                }
                todo.push((entry.path(), format!("{name}/"), depth + 1));
            } else if is_kdl && !kind.is_file() {
                return Err(format!("`{name}` is not a regular file"));
            } else if is_kdl {
                let text = text(&entry.path()).map_err(|error| format!("`{name}` {error}"))?;
                bytes += text.len();
                files.insert(name, text);
                if files.len() > MOST_FILES || bytes > MOST_BYTES {
                    let most = MOST_BYTES >> 20;
                    return Err(format!(
                        "it contains more than {MOST_FILES} KDL files, or more than {most} MiB of them"
                    ));
                }
            }
        }
    }
    Ok(files)
}

fn text(path: &Path) -> Result<String, String> {
    let cannot = |error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = regular::open(path).map_err(cannot)?;
    file.take(LARGEST as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() > LARGEST {
        return Err(format!("is larger than {} KiB", LARGEST / 1024));
    }
    super::text::decoded(bytes).map_err(|error| format!("cannot be read: {error}"))
}

/// Digest of a package: of the number of files, then of each file's name and bytes, in the order of names.
#[must_use]
pub fn digest(files: &PackageFiles) -> Digest {
    let mut hasher = Hasher::new("macula package 1");
    hasher.int(files.len() as u64);
    for (name, text) in files {
        hasher.text(name).bytes(text.as_bytes());
    }
    hasher.finish()
}

/// A digest as written in `project.kdl`.
#[must_use]
pub fn written(digest: &Digest) -> String {
    format!("blake3:{digest}")
}

/// The file that `target` refers to in a file of a package, relative to that file's folder. [`None`] if it is outside the package.
#[must_use]
pub fn within(file: &str, target: &str) -> Option<String> {
    if target.starts_with('/') || target.contains('\\') {
        return None;
    }
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_in_its_package_or_means_nothing() {
        assert_eq!(within("a.kdl", "b.kdl").as_deref(), Some("b.kdl"));
        assert_eq!(within("one/a.kdl", "../two/./b.kdl").as_deref(), Some("two/b.kdl"));
        assert_eq!(within("one/a.kdl", "../../b.kdl"), None);
        assert_eq!(within("a.kdl", "one/../../p/a.kdl"), None, "out and in again is out");
        assert_eq!(within("a.kdl", "/etc/x.kdl"), None);
    }

    #[test]
    fn the_digest_is_of_names_and_bytes() {
        let files =
            |all: &[(&str, &str)]| all.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let one = digest(&files(&[("a.kdl", "x"), ("b.kdl", "")]));
        for other in [&[("a.kdl", "x")][..], &[("a.kdl", ""), ("b.kdl", "x")], &[("a.kdl", "x"), ("c.kdl", "")]] {
            assert_ne!(digest(&files(other)), one);
        }
        // Digests are in users' files: this one must never change.
        assert_eq!(one.to_string(), "1e4bc65017aca37eb2f79b2591d9a22cf1989c92c8257f4b16d832fed1e64f5f");
    }
}
