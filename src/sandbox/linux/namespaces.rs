//! A command's own namespaces: users, mounts, processes, System V IPC, and the network if it is denied. Its mounts show
//! only its inputs and the system, read-only except for its own folders, so that no socket, permission, time or
//! attribute of anything else can be reached by name.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Component, Path, PathBuf};

use libc::{c_int, c_ulong};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, unmount,
};

use crate::sandbox::{DEVICES, NetworkAccess, SHARED_MEMORY, SYSTEM, SandboxSpec};

/// A short alias of the command's folder: socket names are limited to 107 bytes.
pub(super) const SHORT: &str = "/job";

/// Standard names of a process's own descriptors.
const DESCRIPTORS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Whether to create a user namespace, which any user may, or to do without one as root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Users {
    /// A new user namespace.
    Own,
    /// The system's user namespace.
    Shared,
}

/// Forks a process into new namespaces: returns its id in the parent and 0 in the child.
pub(super) fn fork(users: Users, network: NetworkAccess) -> io::Result<i32> {
    let mut flags = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::SIGCHLD;
    if users == Users::Own {
        flags |= libc::CLONE_NEWUSER;
    }
    if network == NetworkAccess::Denied {
        flags |= libc::CLONE_NEWNET;
    }
    let none: c_ulong = 0;
    #[expect(unsafe_code, reason = "a system call that neither std nor rustix offers")]
    // SAFETY: this process has one thread, so its copy is whole; no memory is shared, since `CLONE_VM` is not asked for.
    let started = unsafe { libc::syscall(libc::SYS_clone, flags as c_ulong, none, none, none, none) };
    if started < 0 { Err(io::Error::last_os_error()) } else { Ok(started as i32) }
}

/// Keeps user and group ids the same in the user namespace.
pub(super) fn keep_names(user: u32, group: u32) -> io::Result<()> {
    let map = |file: &str, text: String| fs::write(format!("/proc/self/{file}"), text);
    map("setgroups", "deny".to_owned())?;
    map("uid_map", format!("{user} {user} 1"))?;
    map("gid_map", format!("{group} {group} 1"))
}

/// Result of building a root; the error is a description.
type Built<T> = Result<T, String>;

/// Builds a root in `base` with only what the command may see, and switches to it. Returns whether the short alias of
/// the command's folder exists.
pub(super) fn enter_root(spec: &SandboxSpec, base: &Path) -> Built<bool> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).map_err(says("mounts"))?;
    let safe = MountFlags::NOSUID | MountFlags::NODEV;
    mount("macula", base, "tmpfs", safe, c"mode=0755,size=16m").map_err(says("a root"))?;
    let mut root = Root { base: base.to_owned(), shown: Vec::new() };
    let home = fs::canonicalize(&spec.folder).map_err(says("the command's folder"))?;

    let given = spec.reads.iter().chain(&spec.runs).map(PathBuf::as_path);
    let system = SYSTEM.iter().map(Path::new).filter(|path| *path != Path::new("/proc"));
    for path in system.chain(given).filter(|path| !path.starts_with(&spec.folder)) {
        root.show(path)?;
    }
    for folder in spec.environment.get("PATH").into_iter().flat_map(|path| std::env::split_paths(path)) {
        // Some systems have links to system folders in PATH.
        if folder.is_absolute() && fs::canonicalize(&folder).is_ok_and(|folder| root.shows(&folder)) {
            root.way(&folder).map_err(says("PATH"))?;
        }
    }
    root.processes(safe)?;
    for path in DEVICES {
        root.show(path.as_ref())?;
    }
    root.folder(SHARED_MEMORY.as_ref()).map_err(says(SHARED_MEMORY))?;
    for (name, target) in DESCRIPTORS {
        if !root.shows(name.as_ref()) {
            made(symlink(target, root.at(name.as_ref()))).map_err(says(name))?;
        }
    }
    let short = !root.shows(SHORT.as_ref());
    if short {
        made(symlink(&spec.folder, root.at(SHORT.as_ref()))).map_err(says(SHORT))?;
    }
    root.way(&spec.folder).map_err(says("the command's folder"))?;

    // Everything so far becomes read-only; what follows is writable by the command.
    only_read(base).map_err(says("read-only mounts"))?;
    mount("macula", root.at(SHARED_MEMORY.as_ref()), "tmpfs", safe, c"mode=1777").map_err(says(SHARED_MEMORY))?;
    let own = root.at(&home);
    mount_bind_recursive(&home, &own).map_err(says("the command's folder"))?;
    for entry in fs::read_dir(&own).map_err(says("the command's folder"))?.flatten() {
        if !spec.writes.contains(&spec.folder.join(entry.file_name())) {
            let path = entry.path();
            mount_bind_recursive(&path, &path).and_then(|()| only_read(&path)).map_err(says("inputs"))?;
        }
    }

    std::env::set_current_dir(base).map_err(says("the root"))?;
    rustix::process::pivot_root(".", ".").map_err(says("the root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(says("the root"))?;
    std::env::set_current_dir("/").map_err(says("the root"))?;
    Ok(short)
}

/// Adds the subject to an error.
fn says<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> String + '_ {
    move |error| format!("{what}: {error}")
}

/// Ignores that something already exists.
fn made(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
}

/// A root under construction.
struct Root {
    base: PathBuf,
    /// Paths bound so far, with links resolved.
    shown: Vec<PathBuf>,
}

impl Root {
    /// Where a path of the new root is now.
    fn at(&self, path: &Path) -> PathBuf {
        self.base.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether a resolved path is below a bound one.
    fn shows(&self, path: &Path) -> bool {
        self.shown.iter().any(|shown| path.starts_with(shown))
    }

    /// Binds a file or folder at its own path, with all links on the way. Ignores a missing one.
    fn show(&mut self, path: &Path) -> Built<()> {
        let absolute = std::path::absolute(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
        let failed = |error: io::Error| format!("`{}`: {error}", path.display());
        let Some(real) = self.way(&absolute).map_err(failed)? else { return Ok(()) };
        if !self.shows(&real) {
            mount_bind_recursive(&real, self.at(&real)).map_err(|error| failed(error.into()))?;
            self.shown.push(real);
        }
        Ok(())
    }

    /// Creates the folders and links on the way to `path`, and a mount point for it. Returns the resolved path.
    fn way(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let mut at = PathBuf::from("/");
        let mut rest: VecDeque<OsString> = parts(path).collect();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            let Ok(facts) = next.symlink_metadata() else { return Ok(None) };
            if facts.is_symlink() {
                links += 1;
                let target = fs::read_link(&next)?;
                if links > 40 {
                    return Ok(None);
                }
                if !self.shows(&next) {
                    made(symlink(&target, self.at(&next)))?;
                }
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                parts(&target).rev().for_each(|part| rest.push_front(part));
                continue;
            }
            at = next;
            if self.shows(&at) {
                continue;
            }
            if facts.is_dir() {
                self.folder(&at)?;
            } else {
                made(File::create_new(self.at(&at)).map(drop))?;
            }
        }
        Ok(Some(at))
    }

    /// Creates a folder and its parents.
    fn folder(&self, path: &Path) -> io::Result<()> {
        if self.shows(path) {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o755).create(self.at(path))
    }

    /// Mounts `/proc` for the namespace, or binds the system's if that is not permitted.
    fn processes(&mut self, safe: MountFlags) -> Built<()> {
        let place = Path::new("/proc");
        self.folder(place).map_err(says("/proc"))?;
        let flags = safe | MountFlags::NOEXEC | MountFlags::RDONLY;
        if mount("proc", self.at(place), "proc", flags, None).is_err() {
            mount_bind_recursive(place, self.at(place)).map_err(says("/proc"))?;
        }
        self.shown.push(place.to_owned());
        Ok(())
    }
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

/// The kernel's `struct mount_attr`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// `MOUNT_ATTR_RDONLY` and `MOUNT_ATTR_NOSUID`.
const READ_ONLY: u64 = 0x1 | 0x2;
/// `AT_RECURSIVE`
const RECURSIVE: c_int = 0x8000;

/// Makes a mount and everything below it read-only, and keeps its other flags.
fn only_read(path: &Path) -> rustix::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|_| rustix::io::Errno::INVAL)?;
    let attributes = MountAttributes { set: READ_ONLY, clear: 0, propagation: 0, user_namespace: 0 };
    #[expect(unsafe_code, reason = "a system call that neither std nor rustix offers")]
    // SAFETY: the kernel reads the path up to its end and the structure by the size that it is given; both live until it returns.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            RECURSIVE,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if done == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::INVAL))
}
