//! Events of a run as text of a given width. Knows nothing of terminals except whether colours are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::epochs;
use super::out::{Colours, Tint, Volume};
use super::table::{Grid, counted, flow, thousands};
use crate::base::shown;
use crate::run::events::JobPhase;
use crate::run::{Event, looks};
use crate::stage::{Metrics, Summary, Table, Warning};
use crate::store::remote::Trouble;
use crate::store::{ComputedItems, RunOutcome, StageOutcome};

/// Widest column of names.
const WIDEST_NAME: usize = 24;

/// Column of names if some names are too wide for a column: these have lines of their own.
const SHORT_NAME: usize = 12;

/// Rows of a table that are printed.
const ROWS: usize = 20;

/// How much is printed about each stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Failures.
    Quiet,
    /// One line for each stage that was computed or failed: a sweep has hundreds of stages.
    Brief,
    /// Each stage's outcome, the main metrics of its epochs, its warnings.
    Full,
    /// Also each stage's start, all metrics, its first table, every warning.
    Verbose,
}

impl Detail {
    /// Detail for a run; a sweep gets less.
    #[must_use]
    pub fn of(volume: Volume, sweep: bool) -> Self {
        match volume {
            Volume::Quiet => Self::Quiet,
            Volume::Normal if sweep => Self::Brief,
            Volume::Normal => Self::Full,
            Volume::Verbose => Self::Verbose,
        }
    }
}

/// Who reads the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// Who runs it: Ctrl-C stops the run.
    Runner,
    /// Somebody at another terminal (`macula watch`): Ctrl-C ends only the watching.
    Watcher,
}

/// Formatter of events. Remembers the width of names, the progress of the run and what was printed.
#[derive(Clone, Debug)]
pub struct EventText {
    colours: Colours,
    detail: Detail,
    /// Columns of the terminal.
    pub width: usize,
    /// Whether errors, warnings and hints stay on one line each, however long: files and pipes are searched by line.
    pub unbroken: bool,
    /// Who reads it.
    pub viewer: Viewer,
    widest: usize,
    stages: usize,
    /// Stages that ended; a repaired stage ends twice.
    ended: BTreeSet<String>,
    /// Reasons for stages that were not run, and their number.
    left: BTreeMap<String, usize>,
    /// Warnings printed for each stage: code and text.
    warned: BTreeMap<String, BTreeSet<(String, String)>>,
    /// Number of warnings of each stage that were left out because one of the same code was printed.
    unsaid: BTreeMap<String, usize>,
    /// The pipeline's file.
    file: String,
    /// Stages that reported epochs.
    with_epochs: BTreeSet<String>,
    /// Stage whose table of epochs was printed last.
    table_of: Option<String>,
}

impl EventText {
    /// Formatter for lines of `width` columns.
    #[must_use]
    pub fn new(colours: Colours, detail: Detail, width: usize) -> Self {
        Self {
            colours,
            detail,
            width,
            unbroken: false,
            viewer: Viewer::Runner,
            widest: 8,
            stages: 0,
            ended: BTreeSet::new(),
            left: BTreeMap::new(),
            warned: BTreeMap::new(),
            unsaid: BTreeMap::new(),
            file: String::new(),
            with_epochs: BTreeSet::new(),
            table_of: None,
        }
    }

    /// How much it prints about each stage.
    #[must_use]
    pub fn detail(&self) -> Detail {
        self.detail
    }

    /// Text for an event, ending with a line break; [`None`] if there is none.
    pub fn of(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::StageEnded { stage, .. } | Event::StageFailed { stage, .. } => _ = self.ended.insert(stage.clone()),
            Event::Repairing { stage, .. } => _ = self.ended.remove(stage),
            Event::StageLeft { reason, .. } => *self.left.entry(reason.clone()).or_default() += 1,
            _ => {}
        }
        if self.goes_unsaid(event) {
            return None;
        }
        let said = self.words(event)?;
        // Warnings and lines of the same stage leave the heads in sight.
        let within = match event {
            Event::Metrics { .. } => true,
            Event::Warned { stage, .. } | Event::Line { stage, .. } => self.table_of.as_ref() == Some(stage),
            _ => false,
        };
        if !within {
            self.table_of = None;
        }
        Some(said)
    }

    fn words(&mut self, event: &Event) -> Option<String> {
        Some(match event {
            Event::RunBegan { pipeline, file, stages, to_run, unknown, widest, .. } => {
                file.clone_into(&mut self.file);
                (self.widest, self.stages) = (self.name_column(*widest), *stages);
                let run = if *to_run == 0 { String::new() } else { format!(", {to_run} to run") };
                let them = if *to_run == 1 { "it" } else { "them" };
                let more = match unknown {
                    0 => String::new(),
                    1 => format!(", 1 depends on {them}"),
                    many => format!(", {many} depend on {them}"),
                };
                let stages = counted(*stages as u64, "stage", "stages");
                self.plain(&format!("{}: {stages}{run}{more}", shown::line(pipeline)))
            }
            Event::Upgraded { upgrade } => self.plain(&shown::line(&upgrade.words())),
            Event::StageBegan { stage, reason, items, .. } => {
                let items = items.filter(|items| items.reused > 0);
                let items = items.map(|items| {
                    format!(", {} of {} reused", number(items.reused), counted(items.total, "item", "items"))
                });
                let reason = format!("{reason}{}", items.unwrap_or_default());
                self.line(stage, "started", None, &reason, Tint::Dim)
            }
            Event::Compared { stage, seconds, headline } => {
                self.line(stage, "compared", Some(&duration(*seconds)), headline, Tint::Green)
            }
            Event::StageWaits { stage } => {
                self.line(stage, "waiting", None, "the same result is being computed", Tint::Dim)
            }
            Event::Job { stage, job, phase, node, reason } => {
                let place = [node, reason].into_iter().find(|word| !word.is_empty());
                let place = place.map_or_else(String::new, |word| format!(" ({word})"));
                self.line(stage, phase.word(), None, &format!("job {job}{place}"), Tint::Dim)
            }
            Event::StageFetched { stage, remote, bytes } => {
                let words = format!("{} from remote `{remote}`", super::table::bytes(*bytes));
                self.line(stage, "fetching", None, &words, Tint::Dim)
            }
            Event::Remote { trouble } => self.trouble(trouble),
            Event::Step { .. } | Event::ComparisonBegan { .. } | Event::ComparisonEnded { .. } => return None,
            Event::Line { stage, text } => self.line(stage, "", None, text, Tint::None),
            Event::Metrics { stage, metrics } => self.epoch(stage, metrics),
            Event::Warned { stage, warning } => return self.warning(stage, warning, 0),
            Event::StageEnded { stage, became, seconds, items, other_class, remote, summary, .. } => {
                let class = other_class.as_ref().map(|class| format!(" (computed on `{class}`)"));
                let from = remote.as_ref().map(|remote| format!(" (from remote `{remote}`)"));
                let origin = class.unwrap_or_default() + &from.unwrap_or_default();
                self.ended(stage, *became, *seconds, *items, &origin, summary)
            }
            Event::StageFailed { stage, stopped: true, resume, .. } => {
                let resume = resume.as_ref().map(|place| format!("the next run resumes {place}"));
                self.line(stage, "stopped", None, &resume.unwrap_or_default(), Tint::Yellow)
            }
            Event::StageFailed { stage, code, text, hint, at, .. } => {
                let code = code.as_ref().map(|code| format!("[{code}]")).unwrap_or_default();
                let at = at.as_ref().map(|at| format!(" ({at})")).unwrap_or_default();
                // Several items that fail alike have a line each.
                let (first, others) = text.split_once('\n').unwrap_or((text, ""));
                let words = format!("error{code}: {first}{at}");
                let mut said = self.line_within(self.for_messages(), stage, ("failed", None), &words, Tint::Red);
                others.lines().for_each(|other| said.push_str(&self.indented(other.trim_start())));
                if let Some(hint) = hint {
                    said.push_str(&self.indented(&format!("hint: {hint}")));
                }
                said
            }
            Event::Looked { looks } => self.plain(&format!("{}, recorded in `{}`", looks.words(), looks::FILE)),
            Event::Stopping if self.viewer == Viewer::Watcher => {
                self.plain("the run was asked to stop: it is finishing its current steps")
            }
            Event::Stopping => self.plain("finishing current steps, then stopping; press Ctrl-C again to quit now"),
            Event::StageLeft { stage, reason } => self.line(stage, "skipped", None, reason, Tint::Dim),
            Event::Repairing { stage, text, .. } => {
                self.line(stage, "repairing", None, &format!("{text}; it is computed again"), Tint::Yellow)
            }
            Event::RunEnded { ended, computed, reused, seconds, results, .. } => {
                let mut said = if self.detail == Detail::Brief { self.not_run() } else { String::new() };
                if self.detail == Detail::Full {
                    said.push_str(&self.left_out());
                }
                said + &self.plain(&ending(*ended, *computed, *reused, *seconds, results.as_deref()))
            }
        })
    }

    fn ended(
        &mut self,
        stage: &str,
        became: StageOutcome,
        seconds: f64,
        items: Option<ComputedItems>,
        origin: &str,
        summary: &Summary,
    ) -> String {
        let here = became.is_computed();
        let time = if here { duration(seconds) } else { String::new() };
        let mut words = summary.headline.clone();
        if let Some(ComputedItems { computed, total: all }) = items.filter(|items| here && items.computed < items.total)
        {
            let _ = write!(words, " ({} of {} computed)", number(computed), counted(all, "item", "items"));
        }
        words.push_str(origin);
        let tint = if here { Tint::Green } else { Tint::Dim };
        let mut said = self.line(stage, became.name(), Some(&time), &words, tint);
        if self.detail == Detail::Brief {
            return said;
        }
        // Metrics that no line of an epoch has shown.
        let telling = !summary.metrics.is_empty() && !self.with_epochs.contains(stage);
        if let Some(table) = summary.tables.first().filter(|_| here && (telling || self.detail == Detail::Verbose)) {
            // The line above is its title; `show` has the columns that do not fit, and all rows.
            let rows = table.rows.len();
            let first = Table { rows: table.rows.iter().take(ROWS).cloned().collect(), ..table.clone() };
            let grid = Grid::from(&first).title("").indent(self.indent());
            said.push_str(&grid.fit(self.width).0);
            if rows > ROWS {
                let words = format!("and {} more: `macula show {} {stage}`", number((rows - ROWS) as u64), self.file);
                said.push_str(&self.indented(&words));
            }
        }
        let mut of_code: BTreeMap<&str, usize> = BTreeMap::new();
        for warning in &summary.warnings {
            *of_code.entry(&warning.code).or_default() += 1;
        }
        for warning in &summary.warnings {
            let more = of_code.get(warning.code.as_str()).map_or(0, |count| count - 1);
            said.extend(self.warning(stage, warning, more));
        }
        said
    }

    /// Line of the table of epochs, after its heads unless they are in sight.
    fn epoch(&mut self, stage: &str, metrics: &Metrics) -> String {
        self.with_epochs.insert(stage.to_owned());
        let mut said = String::new();
        if self.table_of.as_deref() != Some(stage) {
            let heads = epochs::heads(stage, metrics, self.widest, self.width);
            said = format!("{}\n", self.tinted(&heads, Tint::Dim));
        }
        let tint = if metrics.best { Tint::Green } else { Tint::None };
        let row = epochs::row(metrics, self.widest, self.width);
        let _ = writeln!(said, "{}", self.tinted(&row, tint));
        self.table_of = Some(stage.to_owned());
        if self.detail == Detail::Verbose {
            said.push_str(&epochs::details(metrics, self.indent(), self.width));
            self.table_of = None;
        }
        said
    }

    /// Warning about a remote, which belongs to no stage.
    fn trouble(&self, trouble: &Trouble) -> String {
        let hint = trouble.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        let words = format!("warning[remote]: {}{hint}", trouble.text);
        self.line_within(self.for_messages(), "remote", ("", None), &words, Tint::Yellow)
    }

    /// Warning, unless one of its code was printed for the stage; `more` of them follow.
    fn warning(&mut self, stage: &str, warning: &Warning, more: usize) -> Option<String> {
        let all = self.detail == Detail::Verbose;
        let said = self.warned.entry(stage.to_owned()).or_default();
        let first = said.iter().all(|(code, _)| *code != warning.code);
        if !said.insert((warning.code.clone(), warning.text.clone())) || !first && !all {
            return None;
        }
        let text = &warning.text;
        let mut words = format!("warning[{}]: {text}", warning.code);
        if more > 0 && !all {
            *self.unsaid.entry(stage.to_owned()).or_default() += more;
            let _ = write!(words, " (and {more} more like this)");
        }
        let name = format!("  {:<width$}  ", shown::line(stage), width = self.widest);
        let tinted = self.tinted("warning", Tint::Yellow);
        Some(self.flowing(self.for_messages(), &name, &tinted, "warning", &words["warning".len()..]))
    }

    /// Whether the detail leaves an event out; it is still in the run's events.
    fn goes_unsaid(&self, event: &Event) -> bool {
        match (self.detail, event) {
            (Detail::Quiet, event) => {
                !matches!(event, Event::StageFailed { stopped: false, .. } | Event::Remote { .. })
            }
            (Detail::Brief, Event::StageEnded { became, .. }) => !became.is_computed(),
            (
                Detail::Full | Detail::Brief,
                Event::Job { phase: JobPhase::Queued | JobPhase::Running, .. }
                | Event::StageBegan { .. }
                | Event::StageFetched { .. },
            )
            | (
                Detail::Brief,
                Event::Job { phase: JobPhase::Submitted, .. }
                | Event::Line { .. }
                | Event::Metrics { .. }
                | Event::Warned { .. }
                | Event::StageLeft { .. },
            ) => true,
            (Detail::Verbose | Detail::Full | Detail::Brief, _) => false,
        }
    }

    /// Stages that were not run, counted by reason.
    fn not_run(&self) -> String {
        const REASONS: usize = 5;
        let mut reasons: Vec<(&String, &usize)> = self.left.iter().collect();
        reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(**count), *reason));
        let line =
            |(reason, count): &(&String, &usize)| self.plain(&format!("  skipped: {count}, {}", shown::line(reason)));
        let mut text: String = reasons.iter().take(REASONS).map(line).collect();
        let more: usize = reasons.iter().skip(REASONS).map(|(_, count)| **count).sum();
        if more > 0 {
            let _ = writeln!(text, "  skipped: {more} more, for other reasons");
        }
        text
    }

    /// Width of the column of names. If the widest would take too much of the line, names that do not fit get lines of their own.
    fn name_column(&self, widest: usize) -> usize {
        if widest <= (self.width / 4).clamp(SHORT_NAME, WIDEST_NAME) { widest.max(8) } else { SHORT_NAME }
    }

    /// How many warnings were left out, and where they are.
    fn left_out(&self) -> String {
        let Some(first) = self.unsaid.keys().next() else { return String::new() };
        let more = counted(self.unsaid.values().sum::<usize>() as u64, "more warning", "more warnings");
        let names: Vec<String> = self.unsaid.keys().map(|stage| format!("`{stage}`")).collect();
        let of = if names.len() == 1 { String::new() } else { format!(", of {}", names.join(", ")) };
        let ask = shown::line(&format!("`macula show {} {first} --all`", self.file)).into_owned();
        let line = shown::line(&format!("{more} of these kinds{of}:")).into_owned();
        // A command is not broken: it is to be copied.
        if line.width() + 1 + ask.width() <= self.width {
            format!("{line} {ask}\n")
        } else {
            format!("{}  {ask}\n", self.plain(&line))
        }
    }

    /// Columns for errors, warnings and hints.
    fn for_messages(&self) -> usize {
        if self.unbroken { usize::MAX } else { self.width }
    }

    fn line(&self, stage: &str, state: &str, time: Option<&str>, words: &str, tint: Tint) -> String {
        self.line_within(self.width, stage, (state, time), words, tint)
    }

    fn line_within(
        &self,
        width: usize,
        stage: &str,
        (state, time): (&str, Option<&str>),
        words: &str,
        tint: Tint,
    ) -> String {
        let far = self.far();
        let name = format!("  {far}{:<width$}  ", shown::line(stage), width = self.widest);
        let bare = match (state, time) {
            ("", _) => String::new(),
            (state, None) => format!("{state:<9}  "),
            (state, Some(time)) => format!("{state:<9}  {time:>7}  "),
        };
        let tinted = format!("{}{}", self.tinted(state, tint), &bare[state.len()..]);
        self.flowing(width, &name, &tinted, &bare, words)
    }

    /// Line that starts with `name` and `state` (`bare` without colours) and continues below the state. A name too long for its column
    /// gets a line of its own if the rest does not fit behind it.
    fn flowing(&self, width: usize, name: &str, state: &str, bare: &str, words: &str) -> String {
        let indent = self.indent();
        let words = shown::line(words);
        let begins = name.width() + bare.width();
        if name.width() > indent && begins + words.width() > width {
            let rest = self.flowing(width, &" ".repeat(indent), state, bare, &words);
            return format!("{}\n{rest}", name.trim_end());
        }
        let lines = flow(&words, width.saturating_sub(begins), width.saturating_sub(indent));
        let mut lines = lines.iter().map(String::as_str);
        let first = lines.next().unwrap_or_default();
        let mut text = format!("{}\n", format!("{name}{state}{first}").trim_end());
        for line in lines {
            let _ = writeln!(text, "{:indent$}{line}", "");
        }
        text
    }

    /// Text indented below a stage's state.
    fn indented(&self, text: &str) -> String {
        let (indent, width) = (self.indent(), self.for_messages());
        let lines = flow(&shown::line(text), width.saturating_sub(indent), width.saturating_sub(indent + 2));
        let line =
            |(at, line): (usize, &String)| format!("{:1$}{line}\n", "", if at == 0 { indent } else { indent + 2 });
        lines.iter().enumerate().map(line).collect()
    }

    /// Text about the whole run.
    fn plain(&self, text: &str) -> String {
        super::table::paragraph(text, self.width, 2)
    }

    /// Progress of the run, if only few stages have a line: `12/46`.
    fn far(&self) -> String {
        match self.detail {
            Detail::Brief => {
                let digits = self.stages.to_string().len();
                format!("{:>digits$}/{}  ", self.ended.len(), self.stages)
            }
            Detail::Quiet | Detail::Full | Detail::Verbose => String::new(),
        }
    }

    fn indent(&self) -> usize {
        self.widest + 4 + self.far().len()
    }

    fn tinted(&self, text: &str, tint: Tint) -> String {
        self.colours.tint(text, tint)
    }
}

fn ending(ended: RunOutcome, computed: usize, reused: usize, seconds: f64, results: Option<&str>) -> String {
    let time = duration(seconds);
    let results = results.map(|folder| format!("; see {}/", shown::line(folder))).unwrap_or_default();
    match (ended, computed) {
        (RunOutcome::Done, 0) => format!("nothing to compute: {reused} reused, {time}{results}"),
        (RunOutcome::Done, _) => format!("done in {time}: {computed} computed, {reused} reused{results}"),
        (RunOutcome::Stopped, _) => format!("stopped after {time}: {computed} computed; run again to continue"),
        (RunOutcome::Failed | RunOutcome::Running, _) => {
            format!("failed after {time}: {computed} computed, {reused} reused; finished results are kept")
        }
    }
}

/// Duration as text: `0.12s`, `12.3s`, `3m 12s`, `1h 04m`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{seconds:.2}s")
    } else if seconds < 59.95 {
        format!("{seconds:.1}s")
    } else {
        let whole = seconds.round() as u64;
        if whole < 3600 {
            format!("{}m {:02}s", whole / 60, whole % 60)
        } else {
            format!("{}h {:02}m", whole / 3600, whole / 60 % 60)
        }
    }
}

fn number(value: u64) -> String {
    thousands(value as i64)
}

#[test]
fn times_are_short() {
    let shown = [0.034, 1.25, 59.0, 59.96, 192.4, 3870.0].map(duration);
    assert_eq!(shown, ["0.03s", "1.2s", "59.0s", "1m 00s", "3m 12s", "1h 04m"]);
}

#[test]
fn a_name_too_wide_for_a_column_has_its_own_line_and_the_rest_its_room() {
    let mut text = EventText::new(Colours::Off, Detail::Full, 80);
    let began = |widest| Event::RunBegan {
        run: "r".to_owned(),
        pipeline: "p".to_owned(),
        file: "p.kdl".to_owned(),
        stages: 2,
        to_run: 2,
        unknown: 0,
        widest,
    };
    let name = "classifier@lr=1e-4,seed=8";
    text.of(&began(name.len()));
    let words = "epoch 16 of 16 chosen by average precision; validation AP 0.755";
    let said = text.of(&Event::Line { stage: name.to_owned(), text: words.to_owned() }).unwrap_or_default();
    assert_eq!(said, format!("  {name}\n{:16}{words}\n", ""));
    // A short one is as before.
    text.of(&began(10));
    let said = text.of(&Event::Line { stage: "classifier".to_owned(), text: "words".to_owned() }).unwrap_or_default();
    assert_eq!(said, "  classifier  words\n");
}
