//! `macula completions`: shell scripts, and the names that they ask macula for, such as stages of the current file.
//!
//! Not by `clap_complete`'s `CompleteEnv` (tried with 4.6.11, `unstable-dynamic`): bash takes words apart at `=`, and it completes
//! `--set classifier.loss=fo` with a stage; behind `--set classif` it writes `classifier. `, with a space.

use std::path::Path;

use clap::{Args, ValueEnum};
use clap_complete::{Shell, generate};

use super::{Exit, Failure, command};
use crate::base::Sources;
use crate::base::shown;
use crate::diag::catalogue;
use crate::lang::param_type::ParamType;
use crate::lang::signature::{Param, Signature};
use crate::lang::spec::{Pipeline, Points};
use crate::lang::stdlib::{self, stdlib};
use crate::lang::{self, manual, project, signatures};
use crate::progress::out;
use crate::run::Host;
use crate::syntax::{self, Node};

/// The arguments of `macula completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Arguments {
    /// The shell
    shell: KnownShell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KnownShell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script of a shell.
///
/// # Errors
/// None.
pub fn completions(_world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let (shell, names) = match arguments.shell {
        KnownShell::Bash => (Shell::Bash, include_str!("completions/names.bash")),
        KnownShell::Zsh => (Shell::Zsh, include_str!("completions/names.zsh")),
        KnownShell::Fish => (Shell::Fish, include_str!("completions/names.fish")),
    };
    let mut script = Vec::new();
    generate(shell, &mut command(), "macula", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    // The script's own end says which function completes; it is ours, which asks macula first.
    let end = match arguments.shell {
        KnownShell::Bash => script.rfind("if [[ \"${BASH_VERSINFO[0]}\""),
        KnownShell::Zsh => script.rfind("if [ \"$funcstack[1]\""),
        KnownShell::Fish => None,
    };
    script.truncate(end.unwrap_or(script.len()));
    out::data(&format!("{script}\n{names}"));
    Ok(Exit::Done)
}

/// The words of a command line that is being written.
#[derive(Clone, Debug, Args)]
pub struct Words {
    /// Print only the part of the last word after its `=`, as bash expects
    #[arg(long)]
    after_equals: bool,
    /// The words after `macula`; the last one is incomplete, and may be empty
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Prints the names that the last word may become, one a line; nothing where the shell's script knows better.
///
/// # Errors
/// None: unreadable files give no completions.
pub fn words(host: &Host, asked: &Words) -> Result<Exit, Failure> {
    let words = joined(&asked.words);
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut found = candidates(host, before, last);
    found.retain(|name| name.starts_with(last));
    found.sort();
    found.dedup();
    let mut text = String::new();
    for name in found {
        let shown = match name.split_once('=') {
            Some((_, value)) if asked.after_equals && last.contains('=') => value,
            _ => &name,
        };
        text.push_str(&shown::line(shown));
        text.push('\n');
    }
    out::say(&text);
    Ok(Exit::Done)
}

/// bash takes words apart at `=`; here `a`, `=`, `b` are one again.
fn joined(words: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for word in words {
        match all.last_mut() {
            Some(last) if word == "=" || last.ends_with('=') => last.push_str(word),
            _ => all.push(word.clone()),
        }
    }
    all
}

/// Options that take a value, of the commands that name stages.
const VALUED: [&str; 15] = [
    "--set",
    "--pipeline",
    "--stage",
    "--page",
    "--jobs",
    "--threads",
    "--pictures",
    "--size",
    "--classes",
    "--format",
    "--out",
    "--stride",
    "--tensorboard",
    "--mlflow",
    "--wandb",
];

fn candidates(host: &Host, before: &[String], last: &str) -> Vec<String> {
    let Some((verb, rest)) = before.split_first() else { return Vec::new() };
    let rest = if verb == "data" { rest.get(1..).unwrap_or_default() } else { rest };
    let mut named: Vec<&str> = Vec::new();
    let mut option = None;
    for word in rest {
        match (option.take(), word.as_str()) {
            (None, word) if VALUED.contains(&word) => option = Some(word),
            (None, word) if !word.starts_with('-') => named.push(word),
            _ => {}
        }
    }
    let file = named.first().map(|file| host.folder.join(file));
    match (option, file.as_deref()) {
        (Some("--set"), Some(file)) => return settings(file, last),
        (Some("--stage"), Some(file)) => return stages(file, OutputNames::Left),
        (Some("--pipeline"), Some(file)) => return pipelines(file).into_iter().map(|one| one.name).collect(),
        (Some(_), _) => return Vec::new(),
        (None, _) => {}
    }
    if last.starts_with('-') {
        return Vec::new();
    }
    match (verb.as_str(), named.as_slice(), file.as_deref()) {
        ("doc", [], _) => manual::names().map(str::to_owned).collect(),
        ("explain", [], _) => catalogue::pages().map(|page| page.code.to_owned()).collect(),
        ("std", ["show"], _) => {
            stdlib::MODULES.iter().map(|(name, _)| name.rsplit('/').next().unwrap_or(name).to_owned()).collect()
        }
        ("package", ["pin"], _) => packages(host),
        ("get", [_], Some(file)) => stages(file, OutputNames::Named),
        ("show", [_], Some(file)) => {
            let networks = lang::networks(file, &mut Sources::default()).unwrap_or_default();
            stages(file, OutputNames::Named).into_iter().chain(networks.into_keys()).collect()
        }
        ("predict", [_], Some(file)) => classifiers(file),
        ("why" | "rebuild", [_], Some(file)) | ("plan" | "run", [_, ..], Some(file)) => stages(file, OutputNames::Left),
        _ => Vec::new(),
    }
}

fn pipelines(file: &Path) -> Vec<Pipeline> {
    let loaded = lang::load(file, &[], Points::All, &mut Sources::default());
    loaded.map(|(contents, _)| contents.pipelines).unwrap_or_default()
}

fn packages(host: &Host) -> Vec<String> {
    let path = project::find(&host.folder.join(project::FILE));
    let read = path.and_then(|path| project::read(&path, &mut Sources::default()).ok());
    read.map(|(project, _)| project.packages.into_iter().map(|one| one.name).collect()).unwrap_or_default()
}

/// Whether outputs of stages with several are named too.
#[derive(Clone, Copy, PartialEq)]
enum OutputNames {
    Named,
    Left,
}

/// The stages of a file's pipelines, those with bodies too.
fn stages(file: &Path, outputs: OutputNames) -> Vec<String> {
    let mut all = Vec::new();
    for pipeline in pipelines(file) {
        for stage in &pipeline.stages {
            all.push(stage.name.clone());
            if outputs == OutputNames::Named && stage.outputs.len() > 1 {
                all.extend(stage.outputs.iter().map(|out| format!("{}.{}", stage.name, out.port)));
            }
        }
        for instance in &pipeline.instances {
            all.push(instance.name.clone());
            if outputs == OutputNames::Named && instance.outputs.len() > 1 {
                all.extend(instance.outputs.iter().map(|(port, _)| format!("{}.{port}", instance.name)));
            }
        }
    }
    all
}

/// The stages of a file's pipelines that train classifiers.
fn classifiers(file: &Path) -> Vec<String> {
    let all = pipelines(file).into_iter().flat_map(|pipeline| pipeline.stages);
    all.filter(|stage| stage.outputs.iter().any(|out| out.ty == "model")).map(|stage| stage.name).collect()
}

/// What `--set` may name in a file: `stage.param=`; behind the `=`, values where there are few.
fn settings(file: &Path, last: &str) -> Vec<String> {
    let all = pipelines(file);
    if let Some((path, _)) = last.split_once('=') {
        return values(file, &all, path).into_iter().map(|value| format!("{path}={value}")).collect();
    }
    let mut found = vec!["seed=".to_owned()];
    for pipeline in &all {
        // Stages first, their parameters once one of them is written.
        for stage in &pipeline.stages {
            let begun = last.starts_with(&format!("{}.", stage.name));
            if begun {
                found.extend(stage.params.keys().map(|param| format!("{}.{param}=", stage.name)));
            } else {
                found.push(format!("{}.", stage.name));
            }
        }
        for instance in &pipeline.instances {
            found.push(format!("{}.", instance.name));
            let signature = stdlib().templates.iter().find(|signature| signature.name == instance.stage_type);
            let params = signature.into_iter().flat_map(|signature| &signature.params);
            found.extend(params.map(|param| format!("{}.{}=", instance.name, param.name)));
        }
    }
    found.extend(declared(file).into_iter().map(|name| format!("{name}=")));
    found
}

/// The parameters that a file's pipelines declare.
fn declared(file: &Path) -> Vec<String> {
    let Ok(text) = crate::base::regular::read_to_string(file) else { return Vec::new() };
    let id = Sources::default().add("", None, "");
    let (document, _) = syntax::parse(id, &text);
    let pipelines = document.nodes.iter().filter(|node| node.name.text == "pipeline");
    let params = pipelines.flat_map(Node::nodes).filter(|node| node.name.text == "param");
    params.filter_map(|node| node.args().next()?.text().map(str::to_owned)).collect()
}

/// The values that a parameter may have, where they can be listed.
fn values(file: &Path, pipelines: &[Pipeline], path: &str) -> Vec<String> {
    let stage = pipelines
        .iter()
        .flat_map(|pipeline| &pipeline.stages)
        .find(|stage| path.starts_with(&format!("{}.", stage.name)));
    let Some(stage) = stage else { return Vec::new() };
    let signature = signatures().iter().find(|signature| signature.name == stage.stage_type);
    let param = signature.and_then(|signature: &Signature| find(&signature.params, &path[stage.name.len() + 1..]));
    match param.map(|param| (&param.ty, param)) {
        Some((ParamType::Choice, param)) => param.cases.iter().map(|case| case.name.clone()).collect(),
        Some((ParamType::Bool, _)) => vec!["#true".to_owned(), "#false".to_owned()],
        Some((ParamType::Network, _)) => {
            lang::networks(file, &mut Sources::default()).unwrap_or_default().into_keys().collect()
        }
        _ => Vec::new(),
    }
}

fn find<'a>(params: &'a [Param], path: &str) -> Option<&'a Param> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let mut of_name = params.iter().filter(|param| param.name == name);
    let Some(rest) = rest else { return of_name.next() };
    of_name.find_map(|param| {
        find(&param.params, rest).or_else(|| param.cases.iter().find_map(|case| find(&case.params, rest)))
    })
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn words_that_bash_took_apart_are_one_again() {
        let words = |all: &[&str]| all.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(joined(&words(&["--set", "a.b", "=", "c", "d"])), words(&["--set", "a.b=c", "d"]));
        assert_eq!(joined(&words(&["--set", "a.b", "=", ""])), words(&["--set", "a.b="]));
        assert_eq!(joined(&words(&["--set", "a.b=c"])), words(&["--set", "a.b=c"]));
    }
}
