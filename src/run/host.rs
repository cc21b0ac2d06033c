//! The host of a run: clock, environment, working folder, stop signal.

use std::collections::BTreeMap;
use std::path::{Component, Display, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::usage::memory_there;
use crate::base::{Sources, Span};
use crate::lang::project::{self, ProjectFile};
use crate::stage::Stop;

/// Folder of a project's store, unless `project.kdl` names another.
pub const STORE: &str = ".macula";

/// What makes a folder the project of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectMark {
    /// It contains `project.kdl`.
    File,
    /// It contains a store.
    Store,
    /// It contains the pipeline's file, and nothing marks another folder.
    Pipeline,
}

/// Clock, environment and stop signal, passed in so that tests can supply their own.
#[derive(Clone, Debug)]
pub struct Host {
    /// The clock.
    pub now: fn() -> SystemTime,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// The folder that relative paths on the command line start from.
    pub folder: PathBuf,
    /// macula's own executable, which starts itself to sandbox commands.
    pub executable: Option<PathBuf>,
    /// Number of usable processors.
    pub processors: usize,
    /// Usable memory in bytes, if known.
    pub memory: Option<u64>,
    /// Raised when the user asks to stop.
    pub stop: Arc<Stop>,
    /// Set by the signal handler; the executor polls it and raises `stop`.
    pub signalled: Arc<AtomicBool>,
}

impl Host {
    /// The real host.
    #[must_use]
    pub fn real() -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            now: SystemTime::now,
            environment,
            folder: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            executable: std::env::current_exe().ok(),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: memory_there(),
            stop: Arc::default(),
            signalled: Arc::default(),
        }
    }

    /// An environment variable that is set and not empty.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether the user asked to stop; if so, raises the flag for all stages.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        if self.signalled.load(Ordering::SeqCst) {
            self.stop.raise();
        }
        self.stop.raised()
    }

    /// The program `name` in the user's `PATH`, or at a path with `/` relative to `folder`.
    #[must_use]
    pub fn program(&self, name: &str, folder: &Path) -> Option<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let runs = |path: &PathBuf| {
            path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
        };
        if name.contains('/') {
            return Some(folder.join(name)).filter(runs);
        }
        let folders = std::env::split_paths(self.variable("PATH")?).filter(|folder| folder.is_absolute());
        folders.map(|folder| folder.join(name)).find(runs)
    }

    /// Home folders: `HOME`, and those of the system's user list. Folders that belong to the system are excluded.
    #[must_use]
    pub fn homes(&self) -> Vec<PathBuf> {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let listed = passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let id: u32 = fields.get(2)?.parse().ok()?;
            // Users below 1000 are services, whose homes are `/usr/sbin` and the like.
            let person = id == 0 || id >= 1000 || id == rustix::process::getuid().as_raw();
            fields.get(5).filter(|home| person && home.len() > 1 && **home != "/nonexistent").map(PathBuf::from)
        });
        let own = self.variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute() && home.parent().is_some());
        own.into_iter().chain(listed).collect()
    }

    /// The file with the digests that the user trusts: outside every project, so that no project can bring its own.
    /// `MACULA_TRUST` overrides it.
    #[must_use]
    pub fn trusted(&self) -> Option<PathBuf> {
        if let Some(file) = self.variable("MACULA_TRUST") {
            return Some(self.folder.join(file));
        }
        Some(self.config()?.join("trusted"))
    }

    /// macula's folder of the user's settings: in `XDG_CONFIG_HOME`, else `~/.config`. [`None`] without a home.
    #[must_use]
    pub fn config(&self) -> Option<PathBuf> {
        let config = self.variable("XDG_CONFIG_HOME").map(PathBuf::from);
        let config = config.or_else(|| Some(Path::new(self.variable("HOME")?).join(".config")))?;
        Some(config.join("macula"))
    }

    /// macula's cache folder: in `XDG_CACHE_HOME`, else `~/.cache`. [`None`] without a home.
    #[must_use]
    pub fn cache(&self) -> Option<PathBuf> {
        let absolute = |name| self.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
        Some(cache.join("macula"))
    }

    /// Nanoseconds since 1970, UTC.
    #[must_use]
    pub fn nanoseconds(&self) -> u64 {
        (self.now)().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    }

    /// The project's folder: the nearest folder at or above the pipeline's that contains `project.kdl`, else the nearest one
    /// with a store (`.macula`), else the pipeline's. The working folder does not matter.
    #[must_use]
    pub fn project(&self, pipeline: &Path) -> PathBuf {
        self.find_project(pipeline).0
    }

    /// The project's folder, and what makes it that.
    #[must_use]
    pub fn find_project(&self, pipeline: &Path) -> (PathBuf, ProjectMark) {
        if let Some(folder) = project::find(&self.folder.join(pipeline)).as_deref().and_then(Path::parent) {
            return (folder.to_owned(), ProjectMark::File);
        }
        let own = self.folder_of(pipeline);
        match own.ancestors().find(|folder| folder.join(STORE).is_dir()) {
            Some(folder) => (folder.to_owned(), ProjectMark::Store),
            None => (own, ProjectMark::Pipeline),
        }
    }

    /// The project of commands that take no file: that of a pipeline in the working folder.
    #[must_use]
    pub fn project_here(&self) -> PathBuf {
        self.project(Path::new(project::FILE))
    }

    /// The folder of a file, absolute and without `.` and `..`.
    #[must_use]
    pub fn folder_of(&self, file: &Path) -> PathBuf {
        let path = self.folder.join(file);
        let folder: PathBuf = path.parent().unwrap_or(&self.folder).components().collect();
        // `a/..` is not the folder of `a` if `a` is a link.
        let upwards = folder.components().any(|part| part == Component::ParentDir);
        if upwards { folder.canonicalize().unwrap_or(folder) } else { folder }
    }

    /// A path as it is shown: relative to the working folder if it is below it.
    #[must_use]
    pub fn shown<'a>(&self, path: &'a Path) -> Display<'a> {
        path.strip_prefix(&self.folder).unwrap_or(path).display()
    }

    /// The store of a project: `MACULA_STORE`, else as in `project.kdl`, else `.macula` in the project.
    #[must_use]
    pub fn store(&self, project: &Path) -> PathBuf {
        if let Some(store) = self.variable("MACULA_STORE") {
            return self.folder.join(store);
        }
        // Errors in it are reported when a pipeline is read.
        let said = project::read(&project.join(project::FILE), &mut Sources::default()).ok();
        let store = said.and_then(|(said, _)| said.store).map_or_else(|| PathBuf::from(STORE), |(store, _)| store);
        project.join(store)
    }

    /// Whether the photographs of a project are compared with each other: `near-duplicates` in its `project.kdl`, true without it.
    #[must_use]
    pub fn compares_photographs(&self, project: &Path) -> bool {
        is_on(project, |said| said.near_duplicates)
    }

    /// Whether looks at the test sets of a project are recorded: `test-looks` in its `project.kdl`, true without it.
    #[must_use]
    pub fn records_looks(&self, project: &Path) -> bool {
        is_on(project, |said| said.test_looks)
    }

    /// Folders in which runs are recorded for the dashboards of other tools, by the tool's word in `project.kdl`.
    #[must_use]
    pub fn tracking(&self, project: &Path) -> BTreeMap<&'static str, PathBuf> {
        // Errors in it are reported when a pipeline is read.
        let said = project::read(&project.join(project::FILE), &mut Sources::default()).ok();
        let folders = said.map(|(said, _)| said.tracking).unwrap_or_default();
        folders.into_iter().map(|(tool, folder)| (tool, project.join(folder))).collect()
    }

    /// Where `project.kdl` names the store; [`None`] if that is not where it comes from.
    #[must_use]
    pub fn store_setting(&self, project: &Path) -> Option<(Sources, Span)> {
        if self.variable("MACULA_STORE").is_some() {
            return None;
        }
        let mut sources = Sources::default();
        let (said, _) = project::read(&project.join(project::FILE), &mut sources).ok()?;
        said.store.map(|(_, span)| (sources, span))
    }
}

/// Whether `project.kdl` leaves a switch on, as it is without one.
fn is_on(project: &Path, switch: fn(&ProjectFile) -> Option<bool>) -> bool {
    // Errors in it are reported when a pipeline is read.
    let said = project::read(&project.join(project::FILE), &mut Sources::default()).ok();
    said.and_then(|(said, _)| switch(&said)).unwrap_or(true)
}
