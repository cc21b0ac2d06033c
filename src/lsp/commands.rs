//! `workspace/executeCommand`: the commands of code lenses, for clients that do not execute them. They only show what is known, and
//! start nothing: a run begins in a terminal, where it can be seen and stopped.

use serde::Deserialize;
use serde_json::Value;

use super::state::{CacheStates, StageCacheState, is_about};
use crate::base::figure::counted;
use crate::base::shell::quoted;

/// Runs a pipeline, or one stage with everything it needs.
pub(super) const RUN: &str = "macula.run";
/// Shows what a run would do.
pub(super) const PLAN: &str = "macula.plan";
/// Shows why a stage will run.
pub(super) const WHY: &str = "macula.why";
/// Shows the result of a stage.
pub(super) const SHOW: &str = "macula.show";

/// All commands of code lenses.
pub(super) const COMMANDS: [&str; 4] = [RUN, PLAN, WHY, SHOW];

/// Maximum number of stages listed.
const MOST: usize = 20;

/// What a command is about.
#[derive(Debug, Deserialize)]
pub(super) struct CommandTarget {
    /// Path of the file.
    pub(super) file: String,
    /// The pipeline, if the file has several.
    pipeline: Option<String>,
    sweep: Option<String>,
    /// Dotted name of the stage.
    stage: Option<String>,
}

impl CommandTarget {
    /// The argument of a command.
    pub(super) fn new(arguments: Option<Vec<Value>>) -> Option<Self> {
        serde_json::from_value(arguments?.into_iter().next()?).ok()
    }
}

/// Text that a command shows; `states` are those of the file.
pub(super) fn answer(command: &str, target: &CommandTarget, states: Option<&CacheStates>) -> String {
    let written = written(command, target);
    if command == RUN {
        return format!("Run this in a terminal: {written}");
    }
    let known: Vec<(&str, &str, &StageCacheState)> = states.map(|states| states.all().collect()).unwrap_or_default();
    let wanted = |pipeline: &str| target.pipeline.as_deref().is_none_or(|wanted| wanted == pipeline);
    let known: Vec<_> = known.into_iter().filter(|(pipeline, ..)| wanted(pipeline)).collect();
    if known.is_empty() || target.sweep.is_some() {
        return format!("Not known here; run this in a terminal: {written}");
    }
    let Some(stage) = &target.stage else { return plan(&known) };
    let of_stage = known.iter().filter(|(_, name, _)| is_about(stage, name));
    let line = |(_, name, state): &(&str, &str, &StageCacheState)| {
        let verdict = format!("{name}: {}", state.verdict());
        let made = Some(state.made.as_str()).filter(|made| !made.is_empty());
        if command == SHOW { made.map_or(verdict, |made| format!("{name}: {made}")) } else { verdict }
    };
    let lines: Vec<String> = of_stage.take(MOST).map(line).collect();
    if lines.is_empty() {
        return format!("Not known here; run this in a terminal: {written}");
    }
    lines.join("\n")
}

fn plan(known: &[(&str, &str, &StageCacheState)]) -> String {
    let open: Vec<_> = known.iter().filter(|(.., state)| state.will.is_open()).collect();
    let count = counted(known.len() as u64, "stage", "stages");
    if open.is_empty() {
        return format!("{count}: nothing will run");
    }
    let lines = open.iter().take(MOST).map(|(_, name, state)| format!("\n{name}: {}", state.verdict()));
    let more = open.len().saturating_sub(MOST);
    let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
    format!("{count}, {} not up to date:{}{more}", open.len(), lines.collect::<String>())
}

/// The command as typed in a terminal.
fn written(command: &str, target: &CommandTarget) -> String {
    let verb = command.rsplit('.').next().unwrap_or(command);
    let mut words = vec!["macula".to_owned(), verb.to_owned(), quoted(&target.file)];
    for (flag, value) in [("--pipeline", &target.pipeline), ("--sweep", &target.sweep)] {
        if let Some(value) = value {
            words.extend([flag.to_owned(), quoted(value)]);
        }
    }
    words.extend(target.stage.as_deref().map(quoted));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_run_is_written_for_a_terminal_and_not_started() {
        let about = json!({"file": "/my data/it's.kdl", "pipeline": "p", "stage": "classifier"});
        let target = CommandTarget::new(Some(vec![about])).expect("it has a file");
        let said = answer(RUN, &target, None);
        assert_eq!(said, r"Run this in a terminal: macula run '/my data/it'\''s.kdl' --pipeline p classifier");
    }
}
