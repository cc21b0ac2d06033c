//! What is said of a command or a flag that macula does not have: what people who come from other tools look for.

use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use textwrap::Options;
use textwrap::WordSplitter::NoHyphenation;
use textwrap::core::display_width;

use super::{Failure, command, file};
use crate::base::Sources;
use crate::lang;
use crate::lang::foreign::{ForeignWord, To};
use crate::lang::hints::{foreign, spelled};
use crate::lang::lookup;
use crate::lang::spec::Points;

/// What stands before the further lines of a broken line: as wide as `error: ` and `  tip: `.
const INDENT: &str = "       ";

/// What stands for a value that was not given.
const VALUE: &str = "VALUE";

/// Puts what was likely meant into an error of the command line, instead of clap's guess. `words` are those after `macula`.
pub(super) fn explain(error: &mut clap::Error, words: &[String]) {
    let Some(hint) = hint(error, words) else {
        // A flag that does not exist is never meant as a value.
        let near = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand].map(|kind| error.get(kind).is_some());
        if error.kind() == ErrorKind::UnknownArgument && near == [false; 2] {
            error.remove(ContextKind::Suggested);
        }
        return;
    };
    for kind in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue] {
        error.remove(kind);
    }
    // It names flags that resemble the word, which is not what was meant.
    error.remove(ContextKind::Usage);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
}

/// The error for `--set stage.param 3`, where the value became the name of a stage; none if every `--set` has its `=`.
pub(super) fn setting_apart(words: &[String]) -> Option<Failure> {
    let options: Vec<String> = words.iter().take_while(|word| *word != "--").cloned().collect();
    let (name, value) = options.windows(3).find_map(|three| match three {
        [flag, name, value] if flag == "--set" => Some((name, value)),
        _ => None,
    })?;
    if name.contains('=') || value.starts_with('-') || is_pipeline(&file::found(PathBuf::from(value))) {
        return None;
    }
    let found = Failure::user(format!("`--set {name}` is missing `=`"));
    Some(Failure { code: Some("set-form"), ..found.hint(format!("write `--set {name}={value}`")) })
}

/// An error's text with its long lines broken.
pub(super) fn broken(text: &str, width: usize) -> String {
    let options = Options::new(width).subsequent_indent(INDENT).break_words(false).word_splitter(NoHyphenation);
    let line = |line: &str| {
        if display_width(line) <= width { line.to_owned() } else { textwrap::fill(line, &options) }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn hint(error: &clap::Error, words: &[String]) -> Option<String> {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => of_command(said(ContextKind::InvalidSubcommand)?, words),
        ErrorKind::UnknownArgument => of_flag(said(ContextKind::InvalidArg)?, words),
        _ => None,
    }
}

fn of_command(name: &str, words: &[String]) -> Option<String> {
    let of_store = words.iter().find(|word| !word.starts_with('-')).is_some_and(|verb| verb == "store");
    let is_command = |row: &&ForeignWord| match row.to {
        To::Command(command) => !of_store || command.starts_with("store "),
        _ => false,
    };
    if let Some(row) = foreign(name).find(is_command) {
        return Some(row.hint());
    }
    if !of_store && command().find_subcommand("store")?.find_subcommand(name).is_some() {
        return Some(format!("use `macula store {name}`"));
    }
    if of_store && command().find_subcommand(name).is_some() {
        return Some(format!("use `macula {name}`"));
    }
    let path = file::found(PathBuf::from(name));
    if path.is_file() {
        return Some(format!("use `macula run {}`", path.display()));
    }
    foreign(name).next().map(ForeignWord::hint).or_else(|| {
        let page = lang::manual::names().any(|page| page == name);
        page.then(|| format!("`{name}` is written in a pipeline; `macula doc {name}` describes it"))
    })
}

fn of_flag(flag: &str, words: &[String]) -> Option<String> {
    if !flag.starts_with('-') {
        return None;
    }
    let name = flag.trim_start_matches('-');
    let verb = words.iter().find(|word| !word.starts_with('-'))?;
    let takes_settings = command().find_subcommand(verb)?.get_arguments().any(|known| known.get_long() == Some("set"));
    let given = value(flag, words);
    let is_long = flag.starts_with("--");
    let first = foreign(flag).chain(foreign(name).filter(|_| is_long)).next();
    match first.map(|row| row.to) {
        Some(To::Case(_, path, case)) if takes_settings => {
            let note = first.map_or("", |row| row.note);
            set(path, Some(case), words).map(|hint| if note.is_empty() { hint } else { format!("{hint} ({note})") })
        }
        Some(To::Param(_, path)) if takes_settings => set(path, given.as_deref(), words),
        Some(_) => first.map(ForeignWord::hint),
        None if takes_settings && is_long => set(name, given.as_deref(), words),
        None => None,
    }
}

/// The value behind a flag: after its `=`, or the next word.
fn value(flag: &str, words: &[String]) -> Option<String> {
    let at = words.iter().position(|word| word.split('=').next() == Some(flag))?;
    if let Some((_, value)) = words[at].split_once('=') {
        return Some(value.to_owned());
    }
    let next = words.get(at + 1).filter(|next| !next.starts_with("--"))?;
    (!is_pipeline(Path::new(next))).then(|| next.clone())
}

fn is_pipeline(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "kdl")
}

/// How a parameter is set from the command line: for the stages of the file that the command line names, else in general.
fn set(name: &str, value: Option<&str>, words: &[String]) -> Option<String> {
    let value = value.unwrap_or(VALUE);
    let file = words.iter().skip(1).map(|word| file::found(PathBuf::from(word))).find(|path| is_pipeline(path));
    let loaded = file.and_then(|file| {
        let setting = format!("{name}={value}");
        let mut sources = Sources::default();
        lang::load(&file, &[setting], Points::OneByOne, &mut sources).ok().map(|(_, diags)| (diags, sources))
    });
    if let Some((diags, sources)) = loaded {
        let mut of_setting =
            diags.iter().filter(|diag| diag.labels.iter().any(|label| sources.get(label.span.file).name == "--set"));
        match of_setting.find(|diag| diag.code == "unknown-name") {
            // The pipeline has a parameter of that name.
            None if !name.contains('.') => return Some(format!("write `--set {name}={value}`")),
            Some(diag) => {
                let hint = diag.hint.clone()?;
                return hint.contains("--set").then(|| format!("parameters are set with `--set`: {hint}"));
            }
            None => {}
        }
    }
    let params = lang::signatures().iter().any(|signature| spelled(&signature.params, name, None, "").is_some());
    let known = params || lookup::page(name).is_some();
    known.then(|| format!("parameters are set with `--set`: `--set STAGE.{name}={value}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::foreign::WORDS;

    #[test]
    fn commands_and_flags_that_words_lead_to_exist() {
        let macula = command();
        let find = |path: &str| path.split(' ').try_fold(&macula, |command, name| command.find_subcommand(name));
        for row in WORDS {
            match row.to {
                To::Command(path) => assert!(find(path).is_some(), "`{}` leads to `macula {path}`", row.word),
                To::Flag(path, flag) => {
                    let command = find(path).unwrap_or_else(|| panic!("`{}` leads to `macula {path}`", row.word));
                    let has = command.get_arguments().any(|known| known.get_long() == flag.strip_prefix("--"));
                    assert!(has, "`{}` leads to `macula {path} {flag}`", row.word);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_long_line_is_broken_and_no_other_is() {
        let long = format!("error: {}\n\nUsage: macula run\n", "words ".repeat(20).trim_end());
        let shown = broken(&long, 80);
        assert!(shown.lines().all(|line| line.len() <= 80) && shown.ends_with("\n\nUsage: macula run\n"), "{shown}");
        assert!(shown.lines().nth(1).is_some_and(|line| line.starts_with("       words")), "{shown}");
    }

    #[test]
    fn a_command_that_macula_has_is_no_word_of_another_tool_for_another() {
        for row in WORDS {
            if let To::Command(path) = row.to {
                assert!(path.starts_with("store ") || command().find_subcommand(row.word).is_none(), "`{}`", row.word);
            }
        }
    }
}
