//! Unpacks packs. Nobody vouches for one: its structure, names and sizes are checked before anything is written, every byte
//! against its digest before it is believed, and nothing in it is run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::super::host::STORE;
use super::PackError;
use super::archive::{ArchiveEntry, BadArchive, PackArchive, unsafe_name};
use super::contents::{CONTENTS, FORMAT, OUTPUTS, PROJECT, PackContents, PackedResult};
use crate::base::{Digest, Sources, disk};
use crate::lang::project;
use crate::store::{Entry, Location, Objects, Store, Tree};

/// Largest description of a pack, bytes.
const LARGEST_CONTENTS: u64 = 512 << 20;

/// A pack that was unpacked.
#[derive(Debug)]
pub struct Unpacked {
    /// Its description.
    pub contents: PackContents,
    /// Its files.
    pub files: usize,
    /// Results that the store has now.
    pub results: usize,
    /// The folder that it was unpacked into.
    pub folder: PathBuf,
}

impl From<BadArchive> for PackError {
    fn from(error: BadArchive) -> Self {
        match error {
            BadArchive::Malformed(text) => Self::Refused(text),
            BadArchive::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Self::Refused("it is cut off".to_owned())
            }
            BadArchive::Io(error) => Self::io("cannot read it")(error),
        }
    }
}

fn refused<T>(text: impl Into<String>) -> Result<T, PackError> {
    Err(PackError::Refused(text.into()))
}

/// Unpacks a pack into a folder that does not exist, or is empty. `on_progress` gets the bytes read so far, and how many there are,
/// and returns whether to continue.
///
/// # Errors
/// [`PackError`]; then there is no such folder, or it is still empty.
pub fn unpack(file: &Path, folder: &Path, on_progress: &dyn Fn(u64, u64) -> bool) -> Result<Unpacked, PackError> {
    let archive = PackArchive::open(file).map_err(|error| match error {
        BadArchive::Io(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            PackError::user(format!("cannot read `{}`: {}", file.display(), disk::without_path(error)), "")
        }
        error => error.into(),
    })?;
    let contents = contents(&archive)?;
    check(&archive, &contents)?;
    is_free(folder)?;
    let above = folder.parent().filter(|above| *above != Path::new("")).unwrap_or(Path::new("."));
    disk::make_folder(above).map_err(PackError::io(format!("cannot create `{}`", above.display())))?;
    let cannot = || PackError::io(format!("cannot create a folder in `{}`", above.display()));
    let scratch = tempfile::Builder::new().prefix(".unpack-").tempdir_in(above).map_err(cannot())?;
    let root = scratch.path().join("pack");
    fs::create_dir(&root).map_err(cannot())?;
    let project = root.join(&contents.pipeline.project);
    disk::make_folder(&project).map_err(cannot())?;
    // Its settings are known only now, and may not name a store.
    let total: u64 = archive.entries().iter().map(|entry| entry.size).sum();
    let mut unpacking = Unpacking { archive: &archive, contents: &contents, root: &root, read: 0, total, on_progress };
    unpacking.texts(&project)?;
    // A store of its own: what a pack claims must not become a result of other projects.
    let store = Store::open(&project.join(STORE))?;
    unpacking.files(&store.objects)?;
    let results = import(&store, &contents.results)?;
    drop(store);
    if folder.is_dir() {
        fs::remove_dir(folder).map_err(PackError::io(format!("cannot replace `{}`", folder.display())))?;
    }
    fs::rename(&root, folder).map_err(PackError::io(format!("cannot create `{}`", folder.display())))?;
    Ok(Unpacked { files: archive.entries().len(), contents, results, folder: folder.to_owned() })
}

/// The description of a pack.
fn contents(archive: &PackArchive) -> Result<PackContents, PackError> {
    let Some(entry) = archive.entries().iter().find(|entry| entry.name == CONTENTS) else {
        return refused(format!("it has no `{CONTENTS}`: it is a zip archive, but no pack"));
    };
    let bytes = archive.bytes(entry, LARGEST_CONTENTS)?;
    let format: Option<u64> =
        serde_json::from_slice(&bytes).ok().and_then(|value: serde_json::Value| value.get("format")?.as_u64());
    match format {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(format) => {
            return refused(format!("its format is {format}, which is newer than this macula supports ({FORMAT})"));
        }
        None => return refused(format!("its `{CONTENTS}` cannot be read")),
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| PackError::Refused(format!("its `{CONTENTS}` cannot be read: {error}")))
}

/// Whether the archive has the files of its description, with their sizes, and everything that the description names is one
/// of them.
fn check(archive: &PackArchive, contents: &PackContents) -> Result<(), PackError> {
    let entries: BTreeMap<&str, u64> = archive
        .entries()
        .iter()
        .map(|entry| (entry.name.as_str(), entry.size))
        .filter(|(name, _)| *name != CONTENTS)
        .collect();
    let is_of_store = |name: &&str| name.split('/').any(|part| part.eq_ignore_ascii_case(STORE));
    if let Some(name) = entries.keys().find(|name| is_of_store(name)) {
        return refused(format!("`{name}` would be part of a store"));
    }
    let described: BTreeMap<&str, u64> =
        contents.files.iter().map(|(path, entry)| (path.as_str(), entry.size)).collect();
    if let Some((name, _)) = entries.iter().find(|(name, size)| described.get(*name) != Some(size)) {
        return refused(format!("`{name}` is not in its description, or with another size"));
    }
    if let Some((path, _)) = described.iter().find(|(path, _)| !entries.contains_key(*path)) {
        return refused(format!("`{}` is missing", shown(path)));
    }
    let pipeline = &contents.pipeline;
    let is_project = pipeline.project == PROJECT || pipeline.project.starts_with("project/");
    if !is_project || unsafe_name(&pipeline.project).is_some() || contents.files.contains_key(&pipeline.project) {
        return refused(format!("its project folder is `{}`", shown(&pipeline.project)));
    }
    for path in [&pipeline.file, &contents.lock] {
        if !path.starts_with("project/") || !contents.files.contains_key(path) {
            return refused(format!("`{}` is missing", shown(path)));
        }
    }
    let words = [&pipeline.name].into_iter().chain(&pipeline.pipeline).chain(&pipeline.sweep).chain(&pipeline.set);
    if let Some(word) = words.into_iter().find(|word| word.chars().any(crate::base::shown::acts)) {
        return refused(format!("`{}` contains a control character", shown(word)));
    }
    for result in &contents.results {
        for file in result.outputs.values().flat_map(BTreeMap::values) {
            if contents.files.get(&file.path) != Some(&file.entry) {
                return refused(format!("a result of `{}` names a file that is not inside", shown(&result.stage)));
            }
        }
    }
    Ok(())
}

fn shown(text: &str) -> String {
    crate::base::shown::line(text).into_owned()
}

fn is_free(folder: &Path) -> Result<(), PackError> {
    let is_used = match fs::read_dir(folder) {
        Ok(mut files) => files.next().is_some(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    if is_used {
        let text = format!("`{}` exists and is not an empty folder", folder.display());
        return Err(PackError::user(text, "name another folder: `macula unpack FILE FOLDER`"));
    }
    Ok(())
}

struct Unpacking<'a> {
    archive: &'a PackArchive,
    contents: &'a PackContents,
    root: &'a Path,
    read: u64,
    total: u64,
    on_progress: &'a dyn Fn(u64, u64) -> bool,
}

/// Whether an entry is written before the store is opened: it says where the store is.
fn is_text(name: &str) -> bool {
    name == project::FILE || name.ends_with("/project.kdl")
}

impl Unpacking<'_> {
    /// Writes the settings of the project, and refuses those that lead out of it.
    fn texts(&mut self, project: &Path) -> Result<(), PackError> {
        for entry in self.archive.entries().iter().filter(|entry| is_text(&entry.name)) {
            self.file(entry)?;
            let path = self.root.join(&entry.name);
            let (settings, _) = project::read(&path, &mut Sources::default())
                .map_err(|error| PackError::Refused(format!("`{}` cannot be read: {error}", entry.name)))?;
            let packages = settings.packages.iter().filter_map(|package| package.path.as_deref());
            let leads_out =
                packages.into_iter().any(|path| Path::new(path).is_absolute() || unsafe_name(path).is_some());
            let acts = settings.executor.is_some() || !settings.tracking.is_empty();
            if settings.store.is_some() || !settings.remotes.is_empty() || leads_out || acts {
                return refused(format!(
                    "its `{}` names a store, a remote, an executor, a folder of dashboards or a package elsewhere, which a pack may not",
                    entry.name
                ));
            }
        }
        let settings = project.join(project::FILE);
        if settings.is_file() { Ok(()) } else { refused(format!("its project has no `{}`", project::FILE)) }
    }

    /// Writes all other files; those of results become objects of the store, and links to them.
    fn files(&mut self, objects: &Objects) -> Result<(), PackError> {
        let of_results = self.contents.results.iter().flat_map(|result| result.outputs.values().flatten());
        let of_results: BTreeSet<&str> = of_results.map(|(_, file)| file.path.as_str()).collect();
        let mut waiting = 0;
        for entry in self.archive.entries().iter().filter(|entry| !is_text(&entry.name)) {
            if !of_results.contains(entry.name.as_str()) {
                self.file(entry)?;
                continue;
            }
            let object = self.object(entry, objects)?;
            waiting += 1;
            // Published in groups, so that few files wait.
            if waiting % 256 == 0 {
                objects.publish()?;
            }
            let is_output = entry.name.starts_with(OUTPUTS);
            let path = self.place(&entry.name)?;
            let Location::Stored(stored) = objects.verified_path(&object)? else { continue };
            if !(is_output && fs::hard_link(&stored, &path).is_ok()) {
                fs::copy(&stored, &path).map_err(PackError::io(format!("cannot write `{}`", path.display())))?;
                let file = File::open(&path).map_err(PackError::io(format!("cannot read `{}`", path.display())))?;
                disk::permit(&file, 0o644).map_err(PackError::io(format!("cannot write `{}`", path.display())))?;
            }
        }
        objects.publish()?;
        Ok(())
    }

    /// The path of an entry, whose folders exist.
    fn place(&self, name: &str) -> Result<PathBuf, PackError> {
        let path = self.root.join(name);
        let folder = path.parent().unwrap_or(self.root);
        fs::create_dir_all(folder).map_err(PackError::io(format!("cannot create `{}`", folder.display())))?;
        Ok(path)
    }

    fn expected(&self, entry: &ArchiveEntry) -> Option<Entry> {
        self.contents.files.get(&entry.name).copied()
    }

    /// Writes an entry as a file, and checks its digest.
    fn file(&mut self, entry: &ArchiveEntry) -> Result<(), PackError> {
        let path = self.place(&entry.name)?;
        let cannot = || PackError::io(format!("cannot write `{}`", entry.name));
        let mut file = File::create_new(&path).map_err(cannot())?;
        let mut hasher = blake3::Hasher::new();
        let archive = self.archive;
        archive.read(entry, |piece| {
            hasher.update(piece);
            file.write_all(piece).map_err(cannot())?;
            self.step(piece.len())
        })?;
        let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
        match self.expected(entry) {
            Some(expected) if expected.digest != digest => lying(&entry.name),
            _ => Ok(()),
        }
    }

    /// Makes an entry an object, if it has its digest.
    fn object(&mut self, entry: &ArchiveEntry, objects: &Objects) -> Result<Entry, PackError> {
        let Some(expected) = self.expected(entry) else { return lying(&entry.name) };
        let mut writer = objects.writer()?;
        let archive = self.archive;
        archive.read(entry, |piece| {
            writer.add(piece)?;
            self.step(piece.len())
        })?;
        if writer.finish_as(&expected)? { Ok(expected) } else { lying(&entry.name) }
    }

    fn step(&mut self, bytes: usize) -> Result<(), PackError> {
        self.read += bytes as u64;
        if (self.on_progress)(self.read, self.total) { Ok(()) } else { Err(PackError::Stopped) }
    }
}

fn lying<T>(name: &str) -> Result<T, PackError> {
    refused(format!("`{}` has other bytes than its digest says", shown(name)))
}

/// Records all results; returns their number.
fn import(store: &Store, results: &[PackedResult]) -> Result<usize, PackError> {
    for result in results {
        let trees = result.outputs.values().map(|files| {
            let entries = files.iter().map(|(name, file)| (name.clone(), file.entry)).collect();
            Tree::checked(entries).map_err(PackError::Refused)
        });
        let trees: Vec<Tree> = trees.collect::<Result<_, _>>()?;
        let same_ports = result.outputs.keys().eq(result.record.outputs.keys());
        if !same_ports || store.import(&result.record, &trees)?.is_none() {
            return refused(format!("the record of `{}` does not belong to its files", shown(&result.stage)));
        }
    }
    Ok(results.len())
}
