//! A command's stderr: its beginning and end, the paths in it that the sandbox denied, and the error message made from
//! it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Logs;
use crate::base::figure;
use crate::sandbox::{DEVICES, NO_NAMESPACES, SHARED_MEMORY, SYSTEM, SandboxSpec};
use crate::stage::{Command, CommandOutput, NetworkAccess, StageError};

/// Bytes of stderr that are read, both from its beginning and from its end.
const KEPT: u64 = 64 << 10;
/// Lines of a failed command's stderr that are shown.
const SHOWN: usize = 12;
/// Characters shown of such a line.
const WIDEST: usize = 300;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
}

impl End {
    pub(super) fn success(self) -> bool {
        self.code == Some(0)
    }
}

/// The text of a log: all of it, or the beginning and the end of a long one. Invalid UTF-8 is shown as U+FFFD.
pub(super) fn text(log: &Path) -> String {
    read(log).unwrap_or_default()
}

fn read(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let size = file.metadata()?.len();
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut head = Vec::new();
    if size <= 2 * KEPT {
        // The file no longer grows, but a limit is a limit.
        file.take(2 * KEPT).read_to_end(&mut head)?;
        return Ok(lossy(&head));
    }
    (&mut file).take(KEPT).read_to_end(&mut head)?;
    file.seek(SeekFrom::End(-(KEPT as i64)))?;
    let mut tail = Vec::new();
    file.take(KEPT).read_to_end(&mut tail)?;
    let between = figure::size(size - 2 * KEPT);
    Ok(format!("{}\n[{between} omitted]\n{}", lossy(&head), lossy(&tail)))
}

/// Paths outside the sandbox that a command reported as unusable. macula only sees what the command reports; the
/// sandbox works either way. In a root of its own, a denied path does not exist, so a path counts if it exists outside,
/// or, for a command that `failed`, if its parent folder does.
pub(super) fn denied_paths(said: &str, spec: &SandboxSpec, failed: bool) -> Vec<String> {
    let mut found = Vec::new();
    for line in said.lines() {
        let lower = line.to_lowercase();
        let refused = lower.contains("permission denied");
        let absent = ["no such file or directory", "directory nonexistent", "read-only file system"];
        if !refused && !absent.iter().any(|words| lower.contains(words)) {
            continue;
        }
        let Some(start) = line.find(" /").map(|at| at + 1).or_else(|| line.find("'/").map(|at| at + 1)) else {
            continue;
        };
        let end = |c: char| c == '\'' || c == '"' || c == ':' || c.is_whitespace();
        let path: &str = line[start..].split(end).next().unwrap_or_default();
        let outside = if refused { !writes(spec, path) } else { is_outside(spec, Path::new(path), failed) };
        if path.len() > 1 && outside && !found.iter().any(|known| known == path) {
            found.push(path.to_owned());
        }
    }
    found
}

fn writes(spec: &SandboxSpec, path: &str) -> bool {
    spec.writes.iter().any(|allowed| Path::new(path).starts_with(allowed))
}

/// Whether a path exists, or could be created, outside what the command can see.
fn is_outside(spec: &SandboxSpec, path: &Path, failed: bool) -> bool {
    let own = spec.reads.iter().chain(&spec.runs).chain(&spec.writes).map(PathBuf::as_path);
    let system = SYSTEM.iter().chain(&DEVICES).chain([&SHARED_MEMORY]).map(Path::new);
    let there = || path.symlink_metadata().is_ok() || failed && path.parent().is_some_and(Path::is_dir);
    !own.chain(system).any(|shown| path.starts_with(shown)) && there()
}

/// Bytes of a program that are searched for what it starts.
const SEARCHED: u64 = 16 << 10;

/// Whether a program is a script that only starts another one, at `path`: what pyenv, asdf and similar tools have in `PATH`.
fn is_shim(program: &Path, path: &str) -> bool {
    let mut text = String::new();
    let read = File::open(program).and_then(|file| file.take(SEARCHED).read_to_string(&mut text));
    read.is_ok() && text.starts_with("#!") && text.contains(path) && text.contains("exec ")
}

/// The error of a failed command; `said` is its stderr.
pub(super) fn failed(
    command: &Command,
    program: &Path,
    output: &CommandOutput,
    end: End,
    (said, logs): (&str, &Logs),
) -> StageError {
    let how = match (end.code, end.signal) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "failed".to_owned(),
    };
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(SHOWN)..].iter().map(|line| {
        let cut = line.char_indices().nth(WIDEST).map_or(*line, |(at, _)| &line[..at]);
        format!("\n    {cut}{}", if cut.len() < line.len() { " …" } else { "" })
    });
    let last: String = last.collect();
    let name = command.words.first().map_or("", String::as_str);
    // A script that the user names by its path is their own.
    let installed = !name.contains('/') || name.contains("/shims/");
    if let Some(path) = output.denied_paths.first().filter(|path| installed && is_shim(program, path)) {
        let print = if name.starts_with("python") {
            format!("; `{name} -c \"import sys; print(sys.executable)\"` prints it")
        } else {
            String::new()
        };
        let text = format!("`{name}` {how}: no access to `{path}`{last}");
        return StageError::input("undeclared-path", text).hint(format!(
            "`{}` is a script that starts the real `{name}`: write the path of that program in `command`{print}",
            program.display()
        ));
    }
    if let Some(path) = output.denied_paths.first() {
        return StageError::input("undeclared-path", format!("`{name}` {how}: no access to `{path}`{last}"))
            .hint(format!(
                "declare what it reads as an input (then its content is part of the key) or in `{}`; it may write below `outputs/`",
                command.names.reads
            ));
    }
    let log = logs.stderr.as_deref().map_or_else(String::new, |log| format!("full stderr: `{}`", log.display()));
    let hint = match (command.memory, command.network) {
        _ if unreachable(said) && command.network == NetworkAccess::Denied => {
            format!("it has no network access; `{} #true` allows it; {log}", command.names.network)
        }
        (Some(bytes), _) if said.contains("emory") => {
            format!("its memory limit is {} MiB (`{}`); {log}", bytes >> 20, command.names.memory)
        }
        _ if output.sandbox.contains(NO_NAMESPACES) && said.contains("peration not permitted") => {
            format!("this system has no user namespaces, so some system calls are refused (docs/exec.md); {log}")
        }
        _ => log,
    };
    StageError::input("command-failed", format!("`{name}` {how}{last}")).hint(hint)
}

fn unreachable(said: &str) -> bool {
    let words = ["etwork is unreachable", "ame resolution", "Name or service not known", "Could not resolve"];
    words.iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sandbox::SandboxMode;

    fn spec() -> SandboxSpec {
        SandboxSpec {
            program: PathBuf::new(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            folder: "/w".into(),
            reads: vec!["/w".into()],
            runs: Vec::new(),
            writes: vec!["/w/outputs".into()],
            network: NetworkAccess::Denied,
            mode: SandboxMode::Enforced,
            memory: None,
        }
    }

    #[test]
    fn a_refused_path_is_read_from_what_programs_say() {
        let of = |said: &str| denied_paths(said, &spec(), false);
        assert_eq!(of("PermissionError: [Errno 13] Permission denied: '/data/u/a b.csv'"), ["/data/u/a"]);
        assert_eq!(of("cat: /data/u/x: Permission denied"), ["/data/u/x"]);
        assert_eq!(of("sh: 1: cannot create /tmp/x: Permission denied"), ["/tmp/x"]);
        assert!(of("cat: /data/u/x: No such file or directory").is_empty());
        assert!(of("cat: /w/outputs/x: Permission denied").is_empty(), "a file of its own that it closed itself");
    }

    #[test]
    fn a_path_that_is_there_but_not_for_the_command_is_one_that_it_was_kept_from() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("x");
        let of = |failed: bool| {
            denied_paths(&format!("cat: {}: No such file or directory", path.display()), &spec(), failed)
        };
        assert!(of(false).is_empty());
        assert_eq!(of(true), [path.display().to_string()], "a file that it may have wanted to make");
        std::fs::write(&path, "").expect("written");
        assert_eq!(of(false), [path.display().to_string()]);
        // Paths that every command can see are really missing.
        assert!(denied_paths("cat: /usr/x: No such file or directory", &spec(), true).is_empty());
    }

    #[test]
    fn a_long_log_is_read_by_its_ends_and_other_bytes_than_text_are_shown() {
        let place = tempfile::tempdir().expect("a folder");
        let log = place.path().join("log");
        let mut file = File::create(&log).expect("a file");
        io::Write::write_all(&mut file, b"first \xff\n").expect("written");
        // As large as a file can be, but sparse.
        file.set_len(1 << 40).expect("a length");
        io::Seek::seek(&mut file, SeekFrom::End(0)).expect("its end");
        io::Write::write_all(&mut file, b"\nlast \xff").expect("written");
        let said = text(&log);
        assert!(said.starts_with("first \u{fffd}\n") && said.ends_with("\nlast \u{fffd}"));
        assert!(said.len() < 3 * KEPT as usize && said.contains("1.0 TiB omitted"), "{}", said.len());
    }
}
