//! Sums over a plan: how many stages do what, and the time that a run may take.

use std::fmt::Write as _;

use super::lines::{Planned, PlannedAction};
use crate::plan::Decision;
use crate::progress::table::{counted, thousands};
use crate::progress::text::duration;

impl Planned<'_, '_> {
    /// How many stages do what: `1 will run (new), 3 reused, 4 wait (2 new), 1 source`.
    pub(super) fn counts(&self) -> String {
        let of = |wanted: &[PlannedAction]| {
            let will = |(id, decision, explanation): &&(_, &Decision, _)| self.will(*id, decision, explanation);
            self.explained.iter().filter(|stage| wanted.contains(&will(stage))).count()
        };
        let kinds = [
            (PlannedAction::New, "new"),
            (PlannedAction::Changed, "changed"),
            (PlannedAction::Unfinished, "unfinished"),
            (PlannedAction::Lost, "lost result"),
            (PlannedAction::OtherTarget, "of another target"),
        ];
        let run = kinds.map(|(will, word)| (of(&[will]), word));
        let total: usize = run.iter().map(|(count, _)| count).sum();
        let new = of(&[PlannedAction::WaitsNew]);
        let waits = new + of(&[PlannedAction::Waits]);
        let running = of(&[PlannedAction::Running]);
        let mut parts = Vec::new();
        if running > 0 {
            parts.push(format!("{} running", number(running)));
        }
        if total > 0 || running == 0 {
            parts.push(format!("{} will run{}", number(total), within(total, &run)));
        }
        parts.push(format!("{} reused", number(of(&[PlannedAction::Reused]))));
        if waits > 0 {
            let verb = if waits == 1 { "waits" } else { "wait" };
            parts.push(format!("{} {verb}{}", number(waits), within(waits, &[(new, "new")])));
        }
        let (sources, failing) = (of(&[PlannedAction::Source]), of(&[PlannedAction::Fails, PlannedAction::Blocked]));
        if sources > 0 {
            parts.push(counted(sources as u64, "source", "sources"));
        }
        if failing > 0 {
            parts.push(format!("{} cannot run", number(failing)));
        }
        parts.join(", ")
    }

    /// The estimated time of what runs, and of what may run after it; [`None`] if nothing does.
    pub(super) fn time(&self) -> Option<String> {
        let mut sums = [0.0, 0.0];
        let mut unknown = 0;
        for (_, decision, explanation) in self.explained {
            let sum = match decision {
                Decision::Run(_) => &mut sums[0],
                Decision::Unknown(_) => &mut sums[1],
                _ => continue,
            };
            match explanation.estimate(decision) {
                Some(seconds) => *sum += seconds,
                None => unknown += 1,
            }
        }
        let [run, wait] = sums;
        let stages = counted(unknown, "stage", "stages");
        let mut text = match (run > 0.0, wait > 0.0) {
            (false, false) if unknown == 0 => return None,
            (false, false) => return Some("estimated time: not known (no earlier run of these stages)".to_owned()),
            (true, false) => format!("estimated time: {}", duration(run)),
            (true, true) => {
                format!("estimated time: {}; {} if all waiting stages run", duration(run), duration(run + wait))
            }
            (false, true) => format!("estimated time: {} if all waiting stages run", duration(wait)),
        };
        if unknown > 0 {
            let _ = write!(text, "; not known for {stages}");
        }
        Some(text)
    }
}

/// The parts of a count in parentheses: ` (1 new, 2 changed)`, or ` (new)` if it is all of them.
fn within(total: usize, parts: &[(usize, &str)]) -> String {
    let words: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| if *count == total { (*word).to_owned() } else { format!("{} {word}", number(*count)) })
        .collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

fn number(count: usize) -> String {
    thousands(count as i64)
}
