//! A run's events as text. Knows nothing of terminals but whether colours are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::table::{counted, render, thousands};
use crate::base::shown;
use crate::run::{Became, Event};
use crate::stage::{Summary, Warning};
use crate::store::remote::Trouble;

/// Whether text may hold colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// ANSI colours.
    Ansi,
    /// None.
    Off,
}

/// How much is said of each stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// That it begins, its lines, its first table, its warnings.
    Full,
    /// One line where it was computed or failed: a sweep has hundreds of stages.
    Brief,
}

/// Turns events into text; remembers how wide names are, and how far the run is.
#[derive(Clone, Debug)]
pub struct Text {
    colours: Colours,
    detail: Detail,
    widest: usize,
    stages: usize,
    /// The stages that ended; one that is repaired ends twice.
    ended: BTreeSet<String>,
    /// Why stages were not run, and how many.
    left: BTreeMap<String, usize>,
}

impl Text {
    /// Text with or without colours.
    #[must_use]
    pub fn new(colours: Colours, detail: Detail) -> Self {
        Self { colours, detail, widest: 8, stages: 0, ended: BTreeSet::new(), left: BTreeMap::new() }
    }

    /// How much it says of each stage.
    #[must_use]
    pub fn detail(&self) -> Detail {
        self.detail
    }

    /// What is said of an event, ending with a line break; [`None`] where nothing is.
    pub fn of(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::StageEnded { stage, .. } | Event::StageFailed { stage, .. } => _ = self.ended.insert(stage.clone()),
            Event::Repairing { stage, .. } => _ = self.ended.remove(stage),
            Event::StageLeft { reason, .. } => *self.left.entry(reason.clone()).or_default() += 1,
            _ => {}
        }
        if self.detail == Detail::Brief && Self::goes_unsaid(event) {
            return None;
        }
        match event {
            Event::RunBegan { pipeline, stages, to_run, unknown, widest, .. } => {
                (self.widest, self.stages) = (*widest, *stages);
                let run = if *to_run == 0 { String::new() } else { format!(", {to_run} to run") };
                let more = if *unknown == 0 { String::new() } else { format!(", {unknown} depend on them") };
                Some(format!("{}: {}{run}{more}\n", shown::line(pipeline), counted(*stages as u64, "stage", "stages")))
            }
            Event::Upgraded { upgrade } => Some(format!("{}\n", shown::line(&upgrade.words()))),
            Event::StageBegan { stage, reason, items, .. } => {
                let items = items.filter(|(there, _)| *there > 0);
                let items = items
                    .map(|(there, all)| format!(", {} of {} reused", number(there), counted(all, "item", "items")));
                let reason = format!("{reason}{}", items.unwrap_or_default());
                Some(self.line(stage, "begins", "", &reason, Tint::Dim))
            }
            Event::StageWaits { stage } => {
                Some(self.line(stage, "waits", "", "it is being computed already", Tint::Dim))
            }
            Event::StageFetched { stage, remote, bytes } => {
                let words = format!("from remote `{remote}`, {}", super::table::bytes(*bytes));
                Some(self.line(stage, "comes", "", &words, Tint::Dim))
            }
            Event::Remote { trouble } => Some(self.trouble(trouble)),
            Event::Step { .. } => None,
            Event::Line { stage, text } => Some(self.line(stage, "", "", text, Tint::None)),
            Event::Warned { stage, warning } => Some(self.warning(stage, warning)),
            Event::StageEnded { stage, became, seconds, items, other_class, remote, summary, .. } => {
                let class = other_class.as_ref().map(|class| format!(" (computed on `{class}`)"));
                let from = remote.as_ref().map(|remote| format!(" (from remote `{remote}`)"));
                let origin = class.unwrap_or_default() + &from.unwrap_or_default();
                Some(self.ended(stage, *became, *seconds, *items, &origin, summary))
            }
            Event::StageFailed { stage, code, text, hint, at, stopped } => {
                if *stopped {
                    return Some(self.line(stage, "stopped", "", "", Tint::Yellow));
                }
                let code = code.as_ref().map(|code| format!("[{code}]")).unwrap_or_default();
                let at = at.as_ref().map(|at| format!(" ({at})")).unwrap_or_default();
                // What fails alike with several items has a line for each.
                let (first, others) = text.split_once('\n').unwrap_or((text, ""));
                let mut said = self.line(stage, "failed", "", &format!("error{code}: {first}{at}"), Tint::Red);
                for other in others.lines() {
                    let _ = writeln!(said, "{}{}", self.indent(), shown::line(other));
                }
                if let Some(hint) = hint {
                    let _ = writeln!(said, "{}hint: {}", self.indent(), shown::line(hint));
                }
                Some(said)
            }
            Event::Stopping => Some("stopping where that is safe; Ctrl-C again ends at once\n".to_owned()),
            Event::StageLeft { stage, reason } => Some(self.line(stage, "not run", "", reason, Tint::Dim)),
            Event::Repairing { stage, text, .. } => {
                Some(self.line(stage, "repairs", "", &format!("{text}; it is computed again"), Tint::Yellow))
            }
            Event::RunEnded { ended, computed, reused, seconds, results, .. } => {
                let ending = ending(ended, *computed, *reused, *seconds, results.as_deref());
                Some(if self.detail == Detail::Brief { self.not_run() + &ending } else { ending })
            }
        }
    }

    fn ended(
        &self,
        stage: &str,
        became: Became,
        seconds: f64,
        items: Option<(u64, u64)>,
        origin: &str,
        summary: &Summary,
    ) -> String {
        let here = matches!(became, Became::Computed | Became::Repaired);
        let time = if here { duration(seconds) } else { String::new() };
        let mut words = summary.headline.clone();
        if let Some((computed, all)) = items.filter(|(computed, all)| computed < all) {
            let _ = write!(words, " ({} of {} computed)", number(computed), counted(all, "item", "items"));
        }
        words.push_str(origin);
        let tint = if here { Tint::Green } else { Tint::Dim };
        let mut said = self.line(stage, became.name(), &time, &words, tint);
        if self.detail == Detail::Brief {
            return said;
        }
        if let (true, Some(table)) = (here, summary.tables.first()) {
            for line in render(table).lines() {
                said.push_str(format!("{}{line}", self.indent()).trim_end());
                said.push('\n');
            }
        }
        said.extend(summary.warnings.iter().map(|warning| self.warning(stage, warning)));
        said
    }

    /// A remote's trouble is no stage's.
    fn trouble(&self, trouble: &Trouble) -> String {
        let hint = trouble.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        self.line("remote", "", "", &format!("warning[remote]: {}{hint}", trouble.text), Tint::Yellow)
    }

    fn warning(&self, stage: &str, warning: &Warning) -> String {
        let words = format!("warning[{}]: {}", warning.code, warning.text);
        self.line(stage, "", "", &words, Tint::Yellow)
    }

    /// What is too much in a run of hundreds of stages: it is in the run's events, and `macula show` has it.
    fn goes_unsaid(event: &Event) -> bool {
        match event {
            Event::StageBegan { .. }
            | Event::StageFetched { .. }
            | Event::Line { .. }
            | Event::Warned { .. }
            | Event::StageLeft { .. } => true,
            Event::StageEnded { became, .. } => !matches!(became, Became::Computed | Became::Repaired),
            _ => false,
        }
    }

    /// What was not run, counted by the reason.
    fn not_run(&self) -> String {
        const REASONS: usize = 5;
        let mut reasons: Vec<(&String, &usize)> = self.left.iter().collect();
        reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(**count), *reason));
        let lines = reasons
            .iter()
            .take(REASONS)
            .map(|(reason, count)| format!("  not run: {count}, {}\n", shown::line(reason)));
        let mut text: String = lines.collect();
        let more: usize = reasons.iter().skip(REASONS).map(|(_, count)| **count).sum();
        if more > 0 {
            let _ = writeln!(text, "  not run: {more} more, for other reasons");
        }
        text
    }

    fn line(&self, stage: &str, state: &str, time: &str, words: &str, tint: Tint) -> String {
        let (stage, words) = (shown::line(stage), shown::line(words));
        let state = self.tinted(&format!("{state:<8}"), tint);
        let far = self.far();
        let line = format!("  {far}{stage:<width$}  {state}  {time:>7}  {words}", width = self.widest);
        format!("{}\n", line.trim_end())
    }

    /// How far the run is, where lines are few: `12/46`.
    fn far(&self) -> String {
        match self.detail {
            Detail::Full => String::new(),
            Detail::Brief => {
                let digits = self.stages.to_string().len();
                format!("{:>digits$}/{}  ", self.ended.len(), self.stages)
            }
        }
    }

    fn indent(&self) -> String {
        " ".repeat(self.widest + 4 + self.far().len())
    }

    fn tinted(&self, text: &str, tint: Tint) -> String {
        let code = match (self.colours, tint) {
            (Colours::Off, _) | (_, Tint::None) => return text.to_owned(),
            (_, Tint::Dim) => "2",
            (_, Tint::Green) => "32",
            (_, Tint::Yellow) => "33",
            (_, Tint::Red) => "1;31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

#[derive(Clone, Copy)]
enum Tint {
    None,
    Dim,
    Green,
    Yellow,
    Red,
}

fn ending(ended: &str, computed: usize, reused: usize, seconds: f64, results: Option<&str>) -> String {
    let time = duration(seconds);
    let results = results.map(|folder| format!("; see {}/", shown::line(folder))).unwrap_or_default();
    match (ended, computed) {
        ("done", 0) => format!("nothing to compute: {reused} reused, {time}{results}\n"),
        ("done", _) => format!("done in {time}: {computed} computed, {reused} reused{results}\n"),
        ("stopped", _) => format!("stopped after {time}: {computed} computed; run again to go on\n"),
        _ => format!("failed after {time}: {computed} computed, {reused} reused; what was finished is kept\n"),
    }
}

/// A time for people: `0.12 s`, `12.3 s`, `3m12s`, `1h04m`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{seconds:.2} s")
    } else if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else {
        let whole = seconds.round() as u64;
        if whole < 3600 {
            format!("{}m{:02}s", whole / 60, whole % 60)
        } else {
            format!("{}h{:02}m", whole / 3600, whole / 60 % 60)
        }
    }
}

fn number(value: u64) -> String {
    thousands(value as i64)
}

#[test]
fn times_are_short() {
    let shown = [0.034, 1.25, 59.0, 59.96, 192.4, 3870.0].map(duration);
    assert_eq!(shown, ["0.03 s", "1.2 s", "59.0 s", "1m00s", "3m12s", "1h04m"]);
}
