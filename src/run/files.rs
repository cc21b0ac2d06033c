//! Files outside the store, as sources see them.

use std::fs::{DirEntry, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::World;
use crate::base::Hasher;
use crate::stage::{Files, StageError};
use crate::store::{Asked, Entry, Stamp, Store};

/// The files of a project.
pub struct ProjectFiles<'a> {
    folder: PathBuf,
    world: &'a World,
    store: &'a Store,
}

impl<'a> ProjectFiles<'a> {
    /// The files that paths against `folder` lead to.
    #[must_use]
    pub fn new(world: &'a World, folder: &Path, store: &'a Store) -> Self {
        Self { folder: folder.to_owned(), world, store }
    }
}

impl Files for ProjectFiles<'_> {
    fn list(&self, folder: &Path) -> Result<Vec<String>, StageError> {
        let mut found = Vec::new();
        walk(folder, "", 0, &mut |name, kind, _| {
            if kind == Kind::File {
                found.push(name);
            }
        })?;
        found.par_sort_unstable();
        Ok(found)
    }

    fn entry(&self, file: &Path) -> Result<Entry, StageError> {
        let entry = self.store.files.entry(file, self.world.nanoseconds()).map_err(|error| {
            let code = if error.kind() == ErrorKind::NotFound { "missing-file" } else { "unreadable-file" };
            StageError::input(code, format!("cannot read `{}`: {error}", file.display()))
        })?;
        self.store.objects.put_external(&entry, file);
        Ok(entry)
    }

    fn put(&self, bytes: &[u8]) -> Result<Entry, StageError> {
        Ok(self.store.objects.put(bytes)?)
    }

    fn resolve(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        self.world.program(name, &self.folder)
    }

    fn stamp(&self, asked: &[Asked]) -> Option<Stamp> {
        let mut hasher = Hasher::new("macula stamp 1");
        let (mut modified, mut changed) = (0, 0);
        let mut add = |name: &[u8], facts: &Metadata, kind: Kind| {
            hasher.bytes(name).int(facts.dev()).int(facts.ino()).int(facts.mode().into());
            let (since, moved) =
                (nanoseconds(facts.mtime(), facts.mtime_nsec()), nanoseconds(facts.ctime(), facts.ctime_nsec()));
            if kind == Kind::File {
                hasher.int(facts.len()).int(since);
                modified = modified.max(since);
            }
            hasher.int(moved);
            changed = changed.max(moved);
        };
        for asked in asked {
            match asked {
                Asked::Listed(folder) => stamp_folder(folder, &mut add)?,
                Asked::Read(file) => {
                    let facts = std::fs::metadata(file).ok().filter(Metadata::is_file)?;
                    add(file.as_os_str().as_encoded_bytes(), &facts, Kind::File);
                }
                Asked::Program(name, found) if self.program(name) == *found => {}
                Asked::Program(..) => return None,
            }
        }
        Some(Stamp { digest: hasher.finish(), modified, changed })
    }

    fn worth_remembering(&self) -> usize {
        // Tests remember everything.
        self.world.variable("MACULA_LOOKS").and_then(|from| from.parse().ok()).unwrap_or(1000)
    }

    fn now(&self) -> u64 {
        self.world.nanoseconds()
    }
}

/// Adds all files and folders below `folder`, in the order in which the system lists them: another order is another stamp.
fn stamp_folder(folder: &Path, add: &mut impl FnMut(&[u8], &Metadata, Kind)) -> Option<()> {
    let mut found = Vec::new();
    walk(folder, "", 0, &mut |name, kind, entry| found.push((name, kind, entry))).ok()?;
    let facts = found.par_iter().map(|(_, kind, entry)| {
        let of_path = || entry.as_ref().map_or_else(|| folder.to_owned(), DirEntry::path);
        match entry {
            // Asked of the open folder, which is cheaper than by path.
            Some(entry) if *kind == Kind::File && entry.file_type().is_ok_and(|kind| kind.is_file()) => {
                entry.metadata()
            }
            _ => std::fs::metadata(of_path()),
        }
    });
    // One that is gone by now makes it another stamp.
    let facts: Vec<Metadata> = facts.collect::<Result<_, _>>().ok()?;
    for ((name, kind, _), facts) in found.iter().zip(&facts) {
        add(name.as_bytes(), facts, *kind);
    }
    Some(())
}

const fn nanoseconds(seconds: i64, rest: i64) -> u64 {
    (seconds as u64).wrapping_mul(1_000_000_000).wrapping_add(rest as u64)
}

/// What lies in a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
}

/// Links are followed; a ring of links ends at this depth.
const DEEPEST: usize = 32;

/// Hands over every file below `folder` by its path from there, and every folder, `folder` itself too (that one has no entry).
fn walk(
    folder: &Path,
    prefix: &str,
    depth: usize,
    take: &mut impl FnMut(String, Kind, Option<DirEntry>),
) -> Result<(), StageError> {
    let fail = |error: std::io::Error| {
        let code = if error.kind() == ErrorKind::NotFound { "missing-folder" } else { "unreadable-folder" };
        StageError::input(code, format!("cannot list the folder `{}`: {error}", folder.display()))
            .hint("paths start from the project's folder: the nearest one above the pipeline that holds `project.kdl`, else the current one")
    };
    if depth > DEEPEST {
        let text = format!("`{}` lies more than {DEEPEST} folders deep", folder.display());
        return Err(StageError::input("unreadable-folder", text).hint("does a link lead back to a folder above it?"));
    }
    if depth == 0 {
        take(String::new(), Kind::Folder, None);
    }
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().into_string().map_err(|name| {
            let text = format!("the name of `{}` in `{}` is not UTF-8", name.display(), folder.display());
            StageError::input("unreadable-file", text).hint("rename it")
        })?;
        if name.starts_with('.') {
            continue;
        }
        let path = if prefix.is_empty() { name } else { format!("{prefix}{name}") };
        match kind_of(&entry) {
            Some(Kind::File) => take(path, Kind::File, Some(entry)),
            Some(Kind::Folder) => {
                let below = entry.path();
                take(path.clone(), Kind::Folder, Some(entry));
                walk(&below, &format!("{path}/"), depth + 1, take)?;
            }
            None => {}
        }
    }
    Ok(())
}

/// What an entry is, or leads to as a link. A link that leads nowhere is as good as hidden.
fn kind_of(entry: &DirEntry) -> Option<Kind> {
    let own = entry.file_type().ok()?;
    if own.is_file() {
        return Some(Kind::File);
    }
    if own.is_dir() {
        return Some(Kind::Folder);
    }
    let facts = std::fs::metadata(entry.path()).ok()?;
    if facts.is_file() { Some(Kind::File) } else { facts.is_dir().then_some(Kind::Folder) }
}
