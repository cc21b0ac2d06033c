//! `exec`: a command of the user's as a stage. Lays out its inputs in a fresh folder, has it run, and stores its declared outputs after
//! checking them. Sandboxing and supervision are up to the runner. Labels of test photographs are left out in `withheld`.

mod withheld;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::withheld::{GivenFile, without_labels};
use crate::base::beneath::{Beneath, Unlisted};
use crate::base::figure::counted;
use crate::base::{Digest, disk, figure};
use crate::data::patches::PatchSet;
use crate::data::predictions::{Predictions, patches_csv};
use crate::data::slide_region;
use crate::data::table::Columns;
use crate::lang::value::Value;
use crate::stage::{
    Code, Command, CommandNames, CommandOutput, CommandRunner, Ctx, Determinism, Implementation, NetworkAccess,
    Outcome, Params, StageError, Summary, Warning, Work,
};
use crate::store::{Entry, Location, Objects, StoreError, Tree, as_path};

/// The implementation.
pub const EXEC: Implementation = Implementation {
    name: "exec",
    version: 2,
    // Only commands that get test photographs without their labels.
    revised: Some(|params| if params.contains_key(WITHHELD) { 2 } else { 1 }),
    seeded: false,
    determinism: Determinism::Unknown,
    check: Some(|params, _| declared(params).map(|_| Vec::new())),
    foresee: None,
    narrow: None,
    work: Work::Command { run, code: CODE },
};

/// Parameters and ports that determine its command.
const NAMES: CommandNames = CommandNames {
    words: "command",
    reads: "reads",
    network: "network",
    timeout: "timeout",
    memory: "memory",
    code: ["script", "files"],
};

/// Sources of its code.
const CODE: Code = Code { pinned: &["script"], of_sources: &["files"], program: "interpreter", word, memory };

/// Parameter with the inputs whose labels are withheld, which the language sets: `patches`, or `patches[1]` of several.
const WITHHELD: &str = "withheld";

/// The program to start.
fn word(params: &Params) -> Option<String> {
    params.list("command").first().map(Value::to_string)
}

/// The memory limit for each process, bytes; the parameter is in MiB.
fn memory(params: &Params) -> Option<u64> {
    params.count_or_none("memory").ok()?.map(|mib| (mib as u64) << 20)
}

/// Ports whose content is laid out; the program at `interpreter` is only identified.
const LAID_OUT: [&str; 8] = ["script", "photographs", "patches", "weights", "model", "thresholds", "scores", "files"];

fn run(ctx: &Ctx<'_>, commands: &dyn CommandRunner) -> Result<Outcome, StageError> {
    let words = texts(ctx.params, "command");
    let declared = declared(ctx.params)?;
    interpreter(ctx, commands, words.first().map_or("", String::as_str))?;
    whole_photographs(ctx)?;
    let folder = fresh(ctx.partial)?;
    lay_out(ctx, &folder, commands.is_sandboxed())?;
    let (outputs, scratch) = (folder.join("outputs"), folder.join("tmp"));
    for place in [&outputs, &scratch] {
        fs::create_dir(place).map_err(StoreError::disk("create", place))?;
    }
    let timeout = ctx.params.real_or_none("timeout")?.map(Duration::from_secs_f64);
    let began = ctx.progress.elapsed();
    let output = commands.run(&Command {
        words,
        writes: vec![outputs.clone(), scratch],
        reads: texts(ctx.params, "reads").into_iter().map(PathBuf::from).collect(),
        environment: environment(ctx.params),
        inherited: texts(ctx.params, "passes"),
        network: if ctx.params.flag("network")? { NetworkAccess::Allowed } else { NetworkAccess::Denied },
        timeout,
        memory: memory(ctx.params),
        folder: folder.clone(),
        names: NAMES,
    });
    // Folders without permissions could neither be stored nor removed.
    disk::unlock_folders(&folder);
    let withheld = texts(ctx.params, WITHHELD);
    let output = output.map_err(|error| reminded(error, &withheld))?;
    let late = || {
        let taken = ctx.progress.elapsed().zip(began).map(|(now, began)| now.saturating_sub(began));
        taken.zip(timeout).is_some_and(|(taken, timeout)| taken > timeout)
    };
    let taking = OutputCollector { objects: ctx.objects, go_on: &|| !ctx.stop.raised() && !late() };
    let Some(tree) = taking.all(&outputs, &declared)? else {
        ctx.stop.check()?;
        let seconds = timeout.unwrap_or_default().as_secs_f64();
        let text = format!("storing the command's outputs exceeded the timeout of {seconds} s");
        return Err(StageError::input("command-timeout", text)
            .hint("check for an unexpectedly large output, or raise `timeout` (seconds)")
            .field("timeout"));
    };
    // Leftovers do not matter: the next attempt begins with a fresh folder.
    let _ = fs::remove_dir_all(&folder);
    let summary = Summary { headline: headline(&tree, &withheld), warnings: warnings(&output), ..Summary::default() };
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// Refuses regions of slides: the command would get a copy of the whole slide for each.
fn whole_photographs(ctx: &Ctx<'_>) -> Result<(), StageError> {
    let is_region = |name: &String| name.rsplit('/').next() == Some(slide_region::FILE);
    if ctx.inputs.many("photographs").iter().any(|named| named.tree.entries.keys().any(is_region)) {
        let text = "commands get photographs as files, which regions of slides are not";
        let hint = "give the command patches (`extract`), or photographs that `preprocess` wrote";
        return Err(StageError::input("slide", text).hint(hint).field("photographs"));
    }
    Ok(())
}

/// The command's folder, empty.
fn fresh(partial: &Path) -> Result<PathBuf, StageError> {
    let partial = partial.canonicalize().map_err(StoreError::disk("read", partial))?;
    let folder = partial.join("command");
    if folder.exists() {
        disk::unlock_folders(&folder);
        fs::remove_dir_all(&folder).map_err(StoreError::disk("delete", &folder))?;
    }
    fs::create_dir_all(&folder).map_err(StoreError::disk("create", &folder))?;
    Ok(folder)
}

/// Lays out the content of the ports below `inputs/`, read-only. Sandboxed commands get hard links to the store's files, which they
/// cannot write; others get copies.
fn lay_out(ctx: &Ctx<'_>, folder: &Path, sandboxed: bool) -> Result<(), StageError> {
    let inputs = folder.join("inputs");
    let withheld = texts(ctx.params, WITHHELD);
    fs::create_dir_all(&inputs).map_err(StoreError::disk("create", &inputs))?;
    for port in LAID_OUT {
        let given = ctx.inputs.many(port);
        for (at, named) in given.iter().enumerate() {
            let place = inputs.join(port);
            let place = if given.len() > 1 { place.join(at.to_string()) } else { place };
            let path = if given.len() > 1 { format!("{port}[{at}]") } else { port.to_owned() };
            if withheld.contains(&path) {
                for (name, file) in without_labels(port, &named.tree, ctx.objects)? {
                    ctx.stop.check()?;
                    let path = place.join(&*as_path(&name));
                    match file {
                        GivenFile::Whole(entry) => lend(ctx.objects, &entry, &path, sandboxed)?,
                        GivenFile::Changed(bytes) => write_protected(&path, &bytes)?,
                    }
                }
                continue;
            }
            for (name, entry) in &named.tree.entries {
                ctx.stop.check()?;
                lend(ctx.objects, entry, &place.join(&*as_path(name)), sandboxed)?;
            }
            if port == "patches" {
                let text = patches_csv(&PatchSet::read(&named.tree, ctx.objects)?);
                let path = place.join("patches.csv");
                disk::write_lightly(&path, text.as_bytes()).map_err(StoreError::disk("write", &path))?;
            }
        }
    }
    Ok(())
}

fn lend(objects: &Objects, entry: &Entry, path: &Path, sandboxed: bool) -> Result<(), StageError> {
    let linked =
        |location: &Location| matches!(location, Location::Stored(object) if fs::hard_link(object, path).is_ok());
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(StoreError::disk("create", parent))?;
    if sandboxed && linked(&objects.verified_path(entry)?) {
        return Ok(());
    }
    write_protected(path, &objects.read(entry)?) // verified
}

fn write_protected(path: &Path, bytes: &[u8]) -> Result<(), StageError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(StoreError::disk("create", parent))?;
    fs::write(path, bytes).map_err(StoreError::disk("write", path))?;
    let permitted = fs::File::open(path).and_then(|file| disk::permit(&file, 0o444));
    Ok(permitted.map_err(StoreError::disk("protect", path))?)
}

/// Checks that the command starts the program whose identity is in the key.
fn interpreter(ctx: &Ctx<'_>, commands: &dyn CommandRunner, word: &str) -> Result<(), StageError> {
    let Some(tree) = ctx.inputs.optional("interpreter") else { return Ok(()) };
    let bytes = commands.program(word).map(|path| fs::read(&path).map_err(StoreError::disk("read", &path)));
    let digest = bytes.transpose()?.map(|bytes| Digest::of(&bytes));
    if digest.is_some_and(|digest| tree.entries.values().any(|entry| entry.digest == digest)) {
        return Ok(());
    }
    let named = tree.entries.keys().next().map_or("", String::as_str);
    let text = format!("`command` starts `{word}`, but `interpreter` is `{named}`");
    Err(StageError::input("interpreter", text).hint("use the same program in both").field("command"))
}

/// Format of a declared output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutputFormat {
    Predictions,
    Parquet,
    SafeTensors,
    Json,
    Text,
    Any,
}

const FORMATS: [(&str, OutputFormat); 6] = [
    ("predictions", OutputFormat::Predictions),
    ("parquet", OutputFormat::Parquet),
    ("safetensors", OutputFormat::SafeTensors),
    ("json", OutputFormat::Json),
    ("text", OutputFormat::Text),
    ("any", OutputFormat::Any),
];

fn declared(params: &Params) -> Result<BTreeMap<String, OutputFormat>, StageError> {
    let mut declared = BTreeMap::new();
    for (name, format) in params.map("gives").into_iter().flatten() {
        let word = format.to_string();
        let format = FORMATS.iter().find(|(own, _)| *own == word).map(|(_, format)| *format);
        let format = format.ok_or_else(|| {
            let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
            StageError::input("output-format", format!("unknown format `{word}`"))
                .hint(format!("known formats are {}", names.join(", ")))
                .field("gives")
        })?;
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !name.strip_suffix('/').unwrap_or(name).split('/').all(plain) {
            let text = format!("output `{name}` is outside `outputs/`");
            return Err(StageError::input("output-format", text)
                .hint("use a relative name such as `figures/f1.json`")
                .field("gives"));
        }
        declared.insert(name.clone(), format);
    }
    Ok(declared)
}

/// Collector of a command's outputs.
struct OutputCollector<'a> {
    objects: &'a Objects,
    /// Whether there is time left.
    go_on: &'a dyn Fn() -> bool,
}

impl OutputCollector<'_> {
    /// Stores all outputs if they are exactly those declared; [`None`] after a timeout.
    fn all(&self, outputs: &Path, declared: &BTreeMap<String, OutputFormat>) -> Result<Option<Tree>, StageError> {
        let folder = Beneath::open(outputs).map_err(StoreError::disk("open", outputs))?;
        let left: BTreeSet<String> = match folder.files() {
            Ok(left) => left.into_iter().collect(),
            Err(Unlisted::Odd(path)) => return Err(odd(&path)),
            Err(Unlisted::Disk(error)) => return Err(StoreError::disk("list", outputs)(error).into()),
        };
        let mut tree = Tree::default();
        for (name, format) in declared {
            let of: Vec<&String> = if name.ends_with('/') {
                left.iter().filter(|file| file.starts_with(name.as_str())).collect()
            } else {
                left.get(name).into_iter().collect()
            };
            if of.is_empty() {
                let text = format!("the command succeeded without writing `outputs/{name}`");
                return Err(StageError::input("missing-output", text).hint("write every output declared by `gives`"));
            }
            for file in of {
                let Some(entry) = self.objects.adopt_file(&folder, file, self.go_on)? else { return Ok(None) };
                let checked = match format {
                    OutputFormat::Any => Some(Ok(())),
                    format => self.check(file, *format, &self.objects.read(&entry)?),
                };
                let Some(checked) = checked else { return Ok(None) };
                checked.map_err(|reason| {
                    let text = format!("`outputs/{file}` does not have the format declared by `gives`: {reason}");
                    StageError::input("output-format", text)
                })?;
                tree.insert(file.clone(), entry);
            }
        }
        if let Some(extra) = left.iter().find(|file| tree.get(file).is_none()) {
            let text = format!("the command wrote `outputs/{extra}`, which `gives` does not declare");
            return Err(StageError::input("undeclared-output", text).hint("declare it, or write it to `tmp/`"));
        }
        Ok(Some(tree))
    }

    /// Checks the format of bytes; [`None`] after a timeout.
    fn check(&self, name: &str, format: OutputFormat, bytes: &[u8]) -> Option<Result<(), String>> {
        if matches!(format, OutputFormat::Predictions | OutputFormat::Json) && bytes.len() as u64 > LONGEST_READ {
            let text = format!("it is larger than {}", figure::size(LONGEST_READ));
            return Some(Err(text));
        }
        if format == OutputFormat::Text {
            return self.text(bytes);
        }
        Some(check(name, format, bytes))
    }

    /// Checks that bytes are UTF-8, piece by piece.
    fn text(&self, bytes: &[u8]) -> Option<Result<(), String>> {
        let mut at = 0;
        while at < bytes.len() {
            if !(self.go_on)() {
                return None;
            }
            let piece = &bytes[at..bytes.len().min(at + (4 << 20))];
            match std::str::from_utf8(piece) {
                Ok(_) => at += piece.len(),
                // A character may cross the end of the piece.
                Err(error)
                    if error.error_len().is_none() && at + piece.len() < bytes.len() && error.valid_up_to() > 0 =>
                {
                    at += error.valid_up_to();
                }
                Err(error) => return Some(Err(format!("invalid UTF-8 at byte {}", at + error.valid_up_to()))),
            }
        }
        Some(Ok(()))
    }
}

/// Largest table or JSON file that is checked, bytes.
const LONGEST_READ: u64 = 16 << 30;

fn odd(path: &str) -> StageError {
    let text = format!("the command wrote `outputs/{path}`, which is not a regular file with a UTF-8 name");
    StageError::input("undeclared-output", text).hint("write regular files, not links")
}

fn check(name: &str, format: OutputFormat, bytes: &[u8]) -> Result<(), String> {
    match format {
        OutputFormat::Predictions => Predictions::read(name, bytes).map(|_| ()).map_err(|error| error.to_string()),
        OutputFormat::Parquet => Columns::readable(bytes).map_err(|error| error.to_string()),
        OutputFormat::SafeTensors => {
            safetensors::SafeTensors::deserialize(bytes).map(|_| ()).map_err(|error| error.to_string())
        }
        OutputFormat::Json => {
            serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map(|_| ()).map_err(|error| error.to_string())
        }
        OutputFormat::Text | OutputFormat::Any => Ok(()),
    }
}

/// The error of a command, with the reminder that it got no labels of test photographs.
fn reminded(error: StageError, withheld: &[String]) -> StageError {
    let StageError::Input { hint, .. } = &error else { return error };
    if withheld.is_empty() {
        return error;
    }
    let first = hint.as_ref().map_or(String::new(), |hint| format!("{hint}; "));
    let hint = format!("{first}it gets no labels of test photographs at {}, unless `labels #true`", named(withheld));
    error.hint(hint)
}

fn named(withheld: &[String]) -> String {
    withheld.iter().map(|input| format!("`{input}`")).collect::<Vec<_>>().join(", ")
}

fn headline(tree: &Tree, withheld: &[String]) -> String {
    let size = figure::size(tree.size());
    let size = if withheld.is_empty() { size } else { format!("{size}, without test labels at {}", named(withheld)) };
    match tree.entries.len() {
        1 => format!("{}, {size}", tree.entries.keys().next().map_or("", String::as_str)),
        many => format!("{}, {size}", counted(many as u64, "file", "files")),
    }
}

fn warnings(output: &CommandOutput) -> Vec<Warning> {
    let text = |path: &String| {
        format!(
            "the sandbox denied access to `{path}`, which the stage does not declare; the command continued without it"
        )
    };
    output.denied_paths.iter().map(|path| Warning { code: "undeclared-path".into(), text: text(path) }).collect()
}

fn texts(params: &Params, name: &str) -> Vec<String> {
    params.list(name).iter().map(Value::to_string).collect()
}

fn environment(params: &Params) -> BTreeMap<String, String> {
    let given = params.map("environment").into_iter().flatten();
    given.map(|(name, value)| (name.clone(), value.to_string())).collect()
}
