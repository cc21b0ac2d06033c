//! Lists the files below a user's folder. A link that cannot be followed is an error: a source would take an unlisted
//! file for a missing one.

use std::fs::{DirEntry, FileType};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::base::regular;
use crate::stage::StageError;

/// Maximum depth of followed links.
pub(super) const DEEPEST: usize = 32;

/// A folder's identity under any name: device and inode.
pub(super) type Identity = (u64, u64);

/// The regular files below `folder`, relative with `/`, sorted; hidden ones are left out. `results` is the folder of
/// macula's own links, whose dangling links are ignored when found from above. A `folder` that does not exist is the caller's
/// to report.
///
/// # Errors
/// `missing-folder`, `unreadable-folder`, `unreadable-file`, `broken-link` or `special-file`, naming the path.
pub(super) fn list(folder: &Path, results: &Path) -> Result<Vec<String>, StageError> {
    let walk = walked(folder, results)?;
    match walk.broken.iter().min_by_key(|(path, ..)| path) {
        Some((path, _, error)) => Err(broken(path, error, folder, walk.broken.len())),
        None => Ok(walk.found),
    }
}

/// Files below a folder, and the error of each link among them that cannot be followed.
pub(super) type ListedWithBroken = (Vec<String>, Vec<(PathBuf, StageError)>);

/// As [`list`], with the links that cannot be followed among the files, and the error of each.
///
/// # Errors
/// As [`list`], but for `broken-link`.
pub(super) fn list_with_broken(folder: &Path, results: &Path) -> Result<ListedWithBroken, StageError> {
    let mut walk = walked(folder, results)?;
    walk.broken.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    let of_link = |(path, _, error): &(PathBuf, String, Error)| (path.clone(), broken(path, error, folder, 1));
    let errors = walk.broken.iter().map(of_link).collect();
    walk.found.extend(walk.broken.into_iter().map(|(_, name, _)| name));
    walk.found.sort_unstable();
    Ok((walk.found, errors))
}

/// What is below `folder`, sorted.
fn walked(folder: &Path, results: &Path) -> Result<Walk, StageError> {
    let chain = above(folder).map_err(|error| unlisted(folder, &error))?;
    if chain.len() == 1 {
        let text = format!("`{}` is the root of the file system", folder.display());
        return Err(StageError::input("unreadable-folder", text).hint("name the folder that holds the data"));
    }
    if let Ok(real) = folder.canonicalize()
        && of_the_system(&real)
    {
        return Err(system(folder));
    }
    let results = identity(results).filter(|results| !chain.contains(results));
    let mut walk = Walk { chain, results, ours: false, found: Vec::new(), broken: Vec::new() };
    walk.below(folder, "")?;
    walk.found.par_sort_unstable();
    Ok(walk)
}

/// The identities of a folder and all its parents, outermost first.
pub(super) fn above(folder: &Path) -> std::io::Result<Vec<Identity>> {
    let real = folder.canonicalize()?;
    let mut chain: Vec<Identity> = real.ancestors().filter_map(identity).collect();
    chain.reverse();
    Ok(chain)
}

fn identity(folder: &Path) -> Option<Identity> {
    folder.metadata().ok().map(|facts| (facts.dev(), facts.ino()))
}

struct Walk {
    /// The folders on the path to the current one.
    chain: Vec<Identity>,
    results: Option<Identity>,
    /// Whether the current folder holds macula's own links.
    ours: bool,
    found: Vec<String>,
    /// Links that cannot be followed: path, path below the first folder, reason.
    broken: Vec<(PathBuf, String, Error)>,
}

impl Walk {
    /// Adds every file below `folder`, relative to the first folder.
    fn below(&mut self, folder: &Path, prefix: &str) -> Result<(), StageError> {
        for entry in std::fs::read_dir(folder).map_err(|error| unlisted(folder, &error))? {
            let entry = entry.map_err(|error| unlisted(folder, &error))?;
            let name = entry.file_name().into_string().map_err(|name| {
                let text = format!("the name of `{}` in `{}` is not UTF-8", name.display(), folder.display());
                StageError::input("unreadable-file", text).hint("rename it")
            })?;
            if name.starts_with('.') {
                continue;
            }
            let path = format!("{prefix}{name}");
            match kind_of(&entry) {
                Ok(kind) if kind.is_file() => self.found.push(path),
                Ok(kind) if kind.is_dir() => self.folder(&entry, &path)?,
                Ok(kind) => return Err(special(&entry.path(), kind)),
                // It disappeared while the folder was read, or it is macula's own link to a file that did.
                Err(error) if error.kind() == ErrorKind::NotFound && (self.ours || !is_link(&entry.path())) => {}
                Err(error) => self.broken.push((entry.path(), path, error)),
            }
        }
        Ok(())
    }

    fn folder(&mut self, entry: &DirEntry, path: &str) -> Result<(), StageError> {
        let folder = entry.path();
        let facts = folder.metadata().map_err(|error| unlisted(&folder, &error))?;
        let own = (facts.dev(), facts.ino());
        let linked = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if self.chain.contains(&own) {
            let text = format!("`{}` is a link to a folder that contains it", folder.display());
            return Err(StageError::input("unreadable-folder", text).hint("remove the link"));
        }
        let elsewhere = self.chain.last().is_some_and(|(device, _)| *device != own.0);
        let of_system = || linked && folder.canonicalize().is_ok_and(|real| of_the_system(&real));
        let own_state = || std::fs::File::open(&folder).is_ok_and(shows_the_system);
        if elsewhere && own_state() || of_system() {
            return Err(system(&folder));
        }
        if path.matches('/').count() > DEEPEST {
            let text = format!("`{}` is more than {DEEPEST} folders deep", folder.display());
            return Err(StageError::input("unreadable-folder", text).hint("check for a link to a parent folder"));
        }
        let ours = self.ours;
        self.ours |= Some(own) == self.results;
        self.chain.push(own);
        self.below(&folder, &format!("{path}/"))?;
        self.chain.pop();
        self.ours = ours;
        Ok(())
    }
}

/// The type of an entry, after following links.
fn kind_of(entry: &DirEntry) -> std::io::Result<FileType> {
    let own = entry.file_type()?;
    if own.is_symlink() { Ok(std::fs::metadata(entry.path())?.file_type()) } else { Ok(own) }
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|facts| facts.file_type().is_symlink())
}

/// Whether a resolved path is in a system folder, where reading can block for ever. `/dev/shm` is an ordinary RAM disk.
fn of_the_system(real: &Path) -> bool {
    ["/proc", "/sys", "/dev"].iter().any(|system| real.starts_with(system)) && !real.starts_with("/dev/shm")
}

/// Whether a kernel file system such as proc is mounted there.
pub(super) fn shows_the_system(folder: impl std::os::fd::AsFd) -> bool {
    #[cfg(target_os = "linux")]
    {
        // proc, sysfs, devpts, cgroup, cgroup2, debugfs, tracefs and securityfs, by statfs(2).
        const OWN: [rustix::fs::FsWord; 8] =
            [0x9fa0, 0x6265_6572, 0x1cd1, 0x0027_e0eb, 0x6367_7270, 0x6462_6720, 0x7472_6163, 0x7363_6673];
        rustix::fs::fstatfs(folder).is_ok_and(|facts| OWN.contains(&facts.f_type))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        false
    }
}

fn unlisted(folder: &Path, error: &Error) -> StageError {
    if error.kind() == ErrorKind::NotFound && is_link(folder) {
        return broken(folder, error, folder, 1);
    }
    // One that is gone was listed by the folder that contains it.
    let code = if error.kind() == ErrorKind::NotFound { "missing-folder" } else { "unreadable-folder" };
    StageError::input(code, format!("cannot list the folder `{}`: {error}", folder.display()))
}

fn system(folder: &Path) -> StageError {
    let text = format!("`{}` leads into a system folder", folder.display());
    StageError::input("unreadable-folder", text).hint("name a folder with data, and remove links to outside")
}

/// The error for a file that was asked for by name.
pub(super) fn unreadable(file: &Path, error: &Error) -> StageError {
    match file.metadata() {
        Ok(facts) if facts.is_dir() => {
            let text = format!("`{}` is a folder, not a file", file.display());
            return StageError::input("unreadable-file", text).hint("name a file");
        }
        Ok(facts) if !facts.is_file() => return special(file, facts.file_type()),
        Err(error) if is_link(file) => return broken(file, &error, file, 1),
        _ => {}
    }
    let code = if error.kind() == ErrorKind::NotFound { "missing-file" } else { "unreadable-file" };
    StageError::input(code, format!("cannot read `{}`: {error}", file.display()))
}

/// Whether nothing at all has that name, not even a broken link.
pub(super) fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

fn special(path: &Path, kind: FileType) -> StageError {
    let text = format!("`{}` is {}, not a file", path.display(), regular::named(kind));
    StageError::input("special-file", text).hint("remove it from the folder, or name another file")
}

/// The error for links that cannot be followed: the first of `count` below `folder`.
fn broken(path: &Path, error: &Error, folder: &Path, count: usize) -> StageError {
    let target = std::fs::read_link(path).unwrap_or_default();
    let why =
        if error.kind() == ErrorKind::NotFound { "its target does not exist".to_owned() } else { error.to_string() };
    let mut text = format!("cannot follow the link `{}` to `{}`: {why}", path.display(), target.display());
    if count > 1 {
        text = format!("{text} ({count} such links in `{}`)", folder.display());
    }
    let fetched = if count > 1 { folder } else { path };
    let hint = match keeper(path, &target) {
        Some(Keeper::Annex) => format!(
            "its content is not on this machine; fetch it with `git annex get {0}` or `datalad get {0}`",
            quoted(fetched)
        ),
        Some(Keeper::Dvc) => {
            format!("its content is not on this machine; fetch it with `dvc pull {}`", quoted(fetched))
        }
        None => "restore its target or remove the link".to_owned(),
    };
    StageError::input("broken-link", text).hint(hint)
}

/// A tool that manages the content of links.
enum Keeper {
    Annex,
    Dvc,
}

fn keeper(path: &Path, target: &Path) -> Option<Keeper> {
    let target = target.to_string_lossy();
    if target.contains("annex/objects/") {
        return Some(Keeper::Annex);
    }
    let beside = || {
        let mut name = path.as_os_str().to_owned();
        name.push(".dvc");
        Path::new(&name).is_file()
    };
    let dvc = target.contains(".dvc/") || target.contains("/files/md5/") || beside();
    dvc.then_some(Keeper::Dvc)
}

fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    if path.contains(|c: char| !c.is_alphanumeric() && !"/._-+".contains(c)) { format!("'{path}'") } else { path }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A project folder with `data/a/1.png` and `data/2.png`.
    fn project() -> tempfile::TempDir {
        let project = tempfile::tempdir().expect("a folder");
        let data = project.path().join("data");
        std::fs::create_dir_all(data.join("a")).expect("a folder");
        for name in ["a/1.png", "2.png", ".hidden"] {
            std::fs::write(data.join(name), name).expect("written");
        }
        project
    }

    fn listed(project: &tempfile::TempDir, folder: &str) -> Result<Vec<String>, (String, String, String)> {
        let found = list(&project.path().join(folder), &project.path().join("results"));
        found.map_err(|error| match error {
            StageError::Input { code, text, hint, .. } => (code.to_owned(), text, hint.unwrap_or_default()),
            other => panic!("{other}"),
        })
    }

    /// The code of the error, whose message contains `path` and `words`.
    fn refused(project: &tempfile::TempDir, folder: &str, path: &str, words: &str) -> String {
        let (code, text, hint) = listed(project, folder).expect_err("refused");
        assert!(text.contains(path) && (text.contains(words) || hint.contains(words)), "{text} / {hint}");
        code
    }

    #[test]
    fn links_are_followed() {
        let project = project();
        let data = project.path().join("data");
        symlink("2.png", data.join("3.png")).expect("a link");
        symlink("a", data.join("b")).expect("a link");
        symlink(".", data.join(".up")).expect("a link");
        assert_eq!(listed(&project, "data").expect("listed"), ["2.png", "3.png", "a/1.png", "b/1.png"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named_with_what_fetches_its_content() {
        for (target, words) in [
            ("../none", "`../none`: its target does not exist"),
            ("../.git/annex/objects/Xf/k1/MD5E-s5--0.tif/MD5E-s5--0.tif", "git annex get "),
            ("../.git/annex/objects/Xf/k1/MD5E-s5--0.tif/MD5E-s5--0.tif", "datalad get "),
            ("/elsewhere/.dvc/cache/files/md5/ab/cdef", "dvc pull "),
            ("lost.tif", "Too many levels of symbolic links"),
        ] {
            let project = project();
            symlink(target, project.path().join("data/a/lost.tif")).expect("a link");
            assert_eq!(refused(&project, "data", "data/a/lost.tif", words), "broken-link", "{target}");
            assert_eq!(refused(&project, ".", "data/a/lost.tif", words), "broken-link", "{target}");
        }
        let project = project();
        symlink("../none", project.path().join("data/masks")).expect("a link");
        assert_eq!(refused(&project, "data", "data/masks", "remove the link"), "broken-link");
        assert_eq!(refused(&project, "data/masks", "data/masks", "does not exist"), "broken-link");
        symlink("../none", project.path().join("data/a/x.png")).expect("a link");
        assert_eq!(refused(&project, "data", "data/a/x.png", "2 such links"), "broken-link");
    }

    #[test]
    fn all_links_that_lead_nowhere_are_listed_with_their_reasons() {
        let project = project();
        let data = project.path().join("data");
        for name in ["a/x.png", "b.png"] {
            symlink("../none", data.join(name)).expect("a link");
        }
        let (found, broken) = list_with_broken(&data, &project.path().join("results")).expect("listed");
        assert_eq!(found, ["2.png", "a/1.png", "a/x.png", "b.png"]);
        let paths: Vec<_> = broken.iter().map(|(path, _)| path.clone()).collect();
        assert_eq!(paths, [data.join("a/x.png"), data.join("b.png")]);
        for (path, error) in broken {
            let text = error.to_string();
            assert!(error.has_code("broken-link") && text.contains(&*path.to_string_lossy()), "{text}");
            assert!(!text.contains("such links"), "{text}");
        }
    }

    #[test]
    fn links_of_maculas_own_may_lead_nowhere_when_met_from_above() {
        let project = project();
        std::fs::create_dir_all(project.path().join("results/p/eyes")).expect("a folder");
        symlink("../../../data/gone.png", project.path().join("results/p/eyes/gone.png")).expect("a link");
        assert_eq!(listed(&project, ".").expect("listed"), ["data/2.png", "data/a/1.png"]);
        assert_eq!(refused(&project, "results/p", "results/p/eyes/gone.png", "does not exist"), "broken-link");
    }

    #[test]
    fn a_folder_that_leads_back_or_into_the_system_is_refused_before_it_is_walked() {
        for (target, words) in [
            ("/", "a folder that contains it"),
            ("..", "contains it"),
            (".", "contains it"),
            ("/proc", "a system folder"),
            ("/sys/kernel", "a system folder"),
            ("/dev", "a system folder"),
        ] {
            let project = project();
            symlink(target, project.path().join("data/a/link")).expect("a link");
            assert_eq!(refused(&project, "data", "data/a/link", words), "unreadable-folder", "{target}");
        }
        let project = project();
        for (from, to) in [("x/to-y", "../y"), ("y/to-x", "../x")] {
            std::fs::create_dir_all(project.path().join("data").join(&from[..1])).expect("a folder");
            symlink(to, project.path().join("data").join(from)).expect("a link");
        }
        assert_eq!(refused(&project, "data", "to-", "contains it"), "unreadable-folder");
        for folder in ["/", "/proc/self"] {
            assert_eq!(refused(&project, folder, folder, ""), "unreadable-folder");
        }
    }

    #[test]
    fn what_is_neither_a_file_nor_a_folder_is_refused_by_name() {
        let project = project();
        let _listener = std::os::unix::net::UnixListener::bind(project.path().join("data/a/s.png")).expect("a socket");
        assert_eq!(refused(&project, "data", "data/a/s.png", "a socket"), "special-file");
        let StageError::Input { code, text, .. } = unreadable(Path::new("/dev/null"), &ErrorKind::InvalidInput.into())
        else {
            panic!("another error")
        };
        assert_eq!(code, "special-file");
        assert!(text.contains("`/dev/null` is a device"), "{text}");
    }
}
