//! A project folder of its own for an end-to-end test: write files, run the binary there, compare what it said.
//!
//! The binary sees none of the caller's `MACULA_*` variables, no terminal and no colour. What it says is compared whole: times
//! become `[time]`, digests `[digest]`, run ids `[run]` and the folder `[space]`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A temporary project folder, removed when dropped.
pub(crate) struct Space {
    folder: TempDir,
    /// What the binary prints goes here, outside the project, so that it is not found among the project's files.
    output: TempDir,
}

/// What one call of the binary said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    /// The exit code; [`None`] where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// stdout as it was printed, for those who parse it.
    pub(crate) raw: String,
}

impl Space {
    /// An empty project.
    pub(crate) fn new() -> Self {
        let folder = || TempDir::new().expect("a temporary folder can be made");
        Self { folder: folder(), output: folder() }
    }

    /// A project with one pipeline, `pipeline.kdl`.
    pub(crate) fn with(pipeline: &str) -> Self {
        let space = Self::new();
        space.write("pipeline.kdl", pipeline);
        space
    }

    /// The place of a file or folder of the project.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A place next to the project, removed with it.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.output.path().join(name)
    }

    /// Writes a file, its folders too.
    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder can be made");
        fs::write(path, bytes).expect("a file can be written");
    }

    /// Replaces the one place where `old` stands in a file.
    pub(crate) fn edit(&self, path: &str, old: &str, new: &str) {
        let text = self.read(path);
        assert_eq!(text.matches(old).count(), 1, "`{old}` should stand once in {path}:\n{text}");
        self.write(path, text.replace(old, new));
    }

    /// The text of a file.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The files below a folder of the project, relative to it with `/`, sorted.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let root = self.path(folder);
        let mut found = Vec::new();
        let mut waiting = vec![root.clone()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    waiting.push(entry.path());
                } else {
                    let path = entry.path();
                    found.push(path.strip_prefix(&root).expect("it lies below").to_string_lossy().into_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// A folder of the project and all folders below it, each before those within it.
    pub(crate) fn folders(&self, folder: &str) -> Vec<String> {
        let mut found = vec![folder.to_owned()];
        let mut next = 0;
        while let Some(folder) = found.get(next).cloned() {
            next += 1;
            for entry in fs::read_dir(self.path(&folder)).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    found.push(format!("{folder}/{}", entry.file_name().to_string_lossy()));
                }
            }
        }
        found
    }

    /// The binary with arguments, to run in the project.
    pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_macula"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MACULA_")) {
            command.env_remove(name);
        }
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "COLUMNS"] {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs the binary with arguments (parted at spaces) and waits for its end, at most two minutes.
    pub(crate) fn macula(&self, arguments: &str) -> Said {
        self.finish(self.command(&arguments.split_whitespace().collect::<Vec<_>>()))
    }

    /// Runs a command that [`Space::command`] prepared and waits for its end, at most two minutes.
    pub(crate) fn finish(&self, mut command: Command) -> Said {
        let names = ["stdout", "stderr"].map(|name| self.output.path().join(name));
        let [stdout, stderr] = names.each_ref().map(|path| fs::File::create(path).expect("a file can be made"));
        let mut child = command.stdout(stdout).stderr(stderr).spawn().expect("the binary starts");
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                break status;
            }
            if begun.elapsed() > Duration::from_mins(2) {
                child.kill().expect("a child can be killed");
                let said = names.map(|path| fs::read_to_string(path).unwrap_or_default());
                panic!("{command:?} did not end in two minutes; it said:\n{}\n{}", said[0], said[1]);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let [stdout, stderr] =
            names.map(|path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned());
        Said { code: status.code(), stdout: self.normal(&stdout), stderr: self.normal(&stderr), raw: stdout }
    }

    /// Text with all that differs between two calls made equal.
    fn normal(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let real = fs::canonicalize(self.folder.path()).unwrap_or_else(|_| self.folder.path().to_owned());
        for folder in [real.as_path(), self.folder.path()] {
            text = text.replace(&*folder.to_string_lossy(), "[space]");
        }
        normalise(&text)
    }
}

impl Said {
    /// Fails with all that was said unless the exit code is `code`.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code\n-- stdout\n{}\n-- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Whether stdout or stderr holds `words`, wherever their lines break.
    fn holds(&self, words: &str) -> bool {
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let all = [&self.stdout, &self.stderr];
        all.iter().any(|text| text.contains(words) || flat(text).contains(&flat(words)))
    }

    /// Fails with all that was said unless stdout or stderr holds each of `words`.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            let found = self.holds(word);
            assert!(found, "`{word}` was not said\n-- stdout\n{}\n-- stderr\n{}", self.stdout, self.stderr);
        }
        self
    }

    /// Fails with all that was said if stdout or stderr holds one of `words`.
    #[track_caller]
    pub(crate) fn says_not(self, words: &[&str]) -> Self {
        for word in words {
            let found = self.holds(word);
            assert!(!found, "`{word}` was said\n-- stdout\n{}\n-- stderr\n{}", self.stdout, self.stderr);
        }
        self
    }
}

/// Times to `[time]`, digests of 64 or 8 hexadecimal digits to `[digest]`.
fn normalise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '.' && c != '_').unwrap_or(rest.len());
        if word == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(word);
        // `1.2 s` and `3m 12s` are two words, `1.2s` and `3m12s` one.
        let unit = after.strip_prefix(' ').map(|next| next.split(|c: char| !c.is_alphanumeric()).next().unwrap_or(""));
        if is_number(word) && unit.is_some_and(|unit| ["ms", "s", "min", "h"].contains(&unit)) {
            out.push_str("[time]");
            rest = &after[1 + unit.map_or(0, str::len)..];
            continue;
        }
        if word.ends_with(['h', 'm'])
            && is_time(word)
            && let Some(second) = unit.filter(|second| is_time(second))
        {
            out.push_str("[time]");
            rest = &after[1 + second.len()..];
            continue;
        }
        out.push_str(if is_time(word) {
            "[time]"
        } else if is_digest(word) {
            "[digest]"
        } else {
            word
        });
        rest = after;
    }
    out
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(|c| c.is_ascii_digit() || c == '.')
}

fn is_time(word: &str) -> bool {
    let number_and_unit = |part: &str| {
        let number = part.trim_end_matches(['h', 'm', 's']);
        part.len() > number.len() && is_number(number)
    };
    let word = word.strip_suffix("ms").map_or_else(|| word.to_owned(), |number| format!("{number}s"));
    !word.is_empty() && word.split_inclusive(|c: char| c.is_alphabetic()).all(number_and_unit)
}

fn is_digest(word: &str) -> bool {
    let hexadecimal = word.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (word.len() == 64 || word.len() == 8) && hexadecimal
}

#[test]
fn what_differs_between_calls_is_made_equal() {
    let digest = "0123456789abcdef".repeat(4);
    assert_eq!(normalise(&format!("key {digest}, short 01234567.")), "key [digest], short 01234567.");
    assert_eq!(normalise("(01234abc) 1234567 patches"), "([digest]) 1234567 patches");
    assert_eq!(
        normalise("took 1.2 s, 3ms, 3m 12s, 40 ms; 5 stages, 7 samples"),
        "took [time], [time], [time], [time]; 5 stages, 7 samples"
    );
    assert_eq!(normalise("0.4784 at 0.5, 12,000 mm"), "0.4784 at 0.5, 12,000 mm");
}

#[test]
fn a_space_holds_what_was_written() {
    let space = Space::with("pipeline a {}\n");
    space.write("data/x/1.txt", "one");
    space.edit("pipeline.kdl", "a", "b");
    assert_eq!(space.read("pipeline.kdl"), "pipeline b {}\n");
    assert_eq!(space.files("data"), ["x/1.txt"]);
    assert!(space.path("pipeline.kdl").is_file());
}
