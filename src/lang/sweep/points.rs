//! The pipelines of a sweep: its own with each value, and with every combination.

use std::collections::{BTreeMap, BTreeSet};

use super::super::arguments::Setting;
use super::super::hints;
use super::super::lower::repeat::without_numbers;
use super::super::lower::{Lowered, Reported, lower};
use super::super::near;
use super::super::ranking;
use super::super::scope::Scope;
use super::super::spec::{Axis, Pipeline, Point, Points, Rank, Sweep};
use super::read::{Alternative, ParsedSweep, Varied, equal};
use super::{FEW, MOST_POINTS};
use crate::base::Span;
use crate::diag::{Diag, Severity};
use crate::syntax::Node;

/// The result of lowering a sweep.
pub(in super::super) struct LoweredSweep {
    /// The sweep; usable if no diagnostic is an error.
    pub(in super::super) sweep: Sweep,
    pub(in super::super) diags: Vec<Diag>,
    /// Settings of the command line that named something, by index.
    pub(in super::super) matched: BTreeSet<usize>,
    /// The names that they could have.
    pub(in super::super) names: Vec<String>,
}

/// Lowers the pipeline of a sweep with its values. `base` is the pipeline's node, `settings` the command line's.
pub(in super::super) fn sweep(
    reading: &ParsedSweep,
    base: &Node,
    scope: &Scope,
    settings: &[Setting],
    reported: &mut Reported,
    points: Points,
) -> LoweredSweep {
    let Lowered { pipeline, diags, matched, names } = lower(base, scope, settings, reported);
    let mut sweeper = Sweeper { reading, base, scope, settings, reported, seen: diags.clone(), diags, names: &names };
    let wanted = points.made_of(&reading.name);
    if wanted {
        sweeper.settings_on_axes();
    }
    let counts: Vec<usize> = reading.dimensions.iter().map(|dimension| dimension[0].values.len()).collect();
    let repeats = reading.repeat.as_ref().map_or(1, |repeat| repeat.count);
    let count = counts.iter().fold(repeats, |all, count| all.saturating_mul(*count));
    for dimension in &reading.dimensions {
        sweeper.alone(dimension, if count > MOST_POINTS { FEW } else { MOST_POINTS });
    }
    let skips = sweeper.skips();
    let only = sweeper.only(&pipeline);
    let rank = sweeper.rank(&pipeline);
    let mut made = Vec::new();
    let mut left = Vec::new();
    if count > MOST_POINTS {
        let message = format!("sweep `{}` has {count} points, but at most {MOST_POINTS} are allowed", reading.name);
        let found = Diag::error("too-many-points", reading.span, message);
        sweeper.diags.push(found.hint("use fewer values, combine axes in a `zip`, or split it into several sweeps"));
    } else {
        left = every(&counts).filter(|point| !skips.iter().any(|skip| skipped(point, skip))).collect();
        sweeper.useless_skips(&counts, &skips);
        if left.is_empty() {
            let found = Diag::error("sweep-axis", reading.span, "every point is skipped");
            sweeper.diags.push(found.hint("remove a `skip`"));
        }
        if wanted && sweeper.diags.iter().all(|diag| diag.severity != Severity::Error) {
            made = sweeper.all(&left, repeats, only.as_ref());
        }
    }
    let diags = sweeper.diags;
    let sweep = Sweep {
        name: reading.name.clone(),
        doc: reading.doc.clone(),
        axes: axes(reading, pipeline.seed),
        base: pipeline,
        points: made,
        count: left.len() * repeats,
        rank,
        span: reading.span,
    };
    LoweredSweep { sweep, diags, matched, names }
}

struct Sweeper<'a, 'b> {
    reading: &'a ParsedSweep,
    base: &'a Node,
    scope: &'a Scope<'a>,
    settings: &'a [Setting],
    reported: &'b mut Reported,
    /// Diagnostics of the pipeline, or of a single value.
    seen: Vec<Diag>,
    diags: Vec<Diag>,
    names: &'a [String],
}

/// The steps that a `skip` excludes in combination, by dimension.
struct Skipped {
    span: Span,
    wanted: BTreeMap<usize, BTreeSet<usize>>,
}

impl Sweeper<'_, '_> {
    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.diags.push(Diag::error(code, span, message).hint(hint));
    }

    /// Reports settings that conflict with the axes.
    fn settings_on_axes(&mut self) {
        for setting in self.settings {
            let within = |path: &str| {
                // An axis without the number of a copy varies all of them.
                let plain = without_numbers(&setting.path);
                let own = if without_numbers(path) == path { &plain } else { &setting.path };
                own.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let varied = self.reading.dimensions.iter().flatten().find(|varied| within(&varied.path));
            if let Some(varied) = varied {
                let message = format!("sweep `{}` varies `{}`", self.reading.name, varied.path);
                let found = Diag::error("sweep-axis", setting.given.name, message).also(varied.span, "here");
                self.diags.push(found.hint("set another parameter, or run the pipeline without the sweep"));
            }
        }
    }

    fn lowered(&mut self, values: &[&Alternative]) -> (Lowered, usize) {
        let mut settings = self.settings.to_vec();
        let own = settings.len();
        settings.extend(values.iter().flat_map(|value| value.settings.iter().cloned()));
        (lower(self.base, self.scope, &settings, self.reported), own)
    }

    /// Checks each value of a dimension by itself, up to `most`.
    fn alone(&mut self, dimension: &[Varied], most: usize) {
        let mut unknown = BTreeSet::new();
        for step in 0..dimension[0].values.len().min(most) {
            let values: Vec<&Alternative> = dimension.iter().map(|varied| &varied.values[step]).collect();
            let (lowered, own) = self.lowered(&values);
            let mut at = own;
            for (varied, value) in dimension.iter().zip(&values) {
                let unmet = (at..at + value.settings.len()).any(|i| !lowered.matched.contains(&i));
                at += value.settings.len();
                if unmet && unknown.insert(varied.path.clone()) {
                    let first = varied.path.split('.').next().unwrap_or_default();
                    let message = format!("unknown stage or parameter `{first}`");
                    let stage = |kind: &str| self.scope.stage(kind, varied.span);
                    let hint = match hints::settings(&varied.path, &lowered.pipeline, stage).first() {
                        Some(meant) => format!("write `over {meant} …`"),
                        None => {
                            near::hint(first, self.names.iter().map(String::as_str), "write `over stage.param 1 2 4`")
                        }
                    };
                    self.error("unknown-name", varied.span, message, hint);
                }
            }
            let new: Vec<Diag> = lowered.diags.into_iter().filter(|diag| !self.seen.contains(diag)).collect();
            for diag in new {
                self.report(diag, &values);
            }
        }
    }

    /// Reports a diagnostic that only certain values cause, once, with these values.
    fn report(&mut self, diag: Diag, values: &[&Alternative]) {
        let place = diag.labels.first().map(|label| label.span);
        let inside = |value: &&Alternative| {
            place.is_some_and(|place| {
                place.file == value.span.file && value.span.start <= place.start && place.end <= value.span.end
            })
        };
        let again = |other: &Diag| {
            (other.code, &other.message, other.labels.first().map(|label| label.span))
                == (diag.code, &diag.message, place)
        };
        if self.seen.iter().any(again) {
            return;
        }
        self.seen.push(diag.clone());
        let mut found = diag;
        if !values.iter().any(inside) {
            for value in values {
                found = found.also(value.span, "with this value");
            }
        }
        self.diags.push(found);
    }

    /// For each valid skip, its dimensions and the steps that it excludes.
    fn skips(&mut self) -> Vec<Skipped> {
        let reading = self.reading;
        let mut all = Vec::new();
        for skip in &reading.skips {
            let mut wanted: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
            let mut whole = true;
            for (path, key, entry) in &skip.wanted {
                let found = reading
                    .dimensions
                    .iter()
                    .enumerate()
                    .find_map(|(at, dimension)| Some((at, dimension.iter().find(|varied| varied.path == *path)?)));
                let Some((at, varied)) = found else {
                    let names = reading.dimensions.iter().flatten().map(|varied| varied.path.as_str());
                    let hint = near::hint(path, names, "use the name after `over`");
                    self.error("unknown-name", *key, format!("`{path}` is not varied"), hint);
                    whole = false;
                    continue;
                };
                let fits = |value: &Alternative| value.value.as_ref().is_some_and(|value| equal(value, &entry.value));
                let steps: BTreeSet<usize> =
                    (0..varied.values.len()).filter(|step| fits(&varied.values[*step])).collect();
                if steps.is_empty() {
                    let values = varied.values.iter().map(|value| value.shown.as_str());
                    let hint = near::hint(&entry.value.to_string(), values, "use one of the values after its `over`");
                    self.error("unknown-name", entry.span, format!("`{path}` does not take this value"), hint);
                    whole = false;
                }
                wanted.entry(at).and_modify(|old| old.retain(|step| steps.contains(step))).or_insert(steps);
            }
            if whole {
                all.push(Skipped { span: skip.span, wanted });
            }
        }
        all
    }

    fn useless_skips(&mut self, counts: &[usize], skips: &[Skipped]) {
        for skip in skips {
            if !every(counts).any(|point| skipped(&point, skip)) {
                let found = Diag::warning("sweep-axis", skip.span, "this skips no point");
                self.diags.push(found.hint("its values are paired with others by the same `zip`"));
            }
        }
    }

    /// The stages whose seeds a repeat changes; [`None`] for all. Each name is that of a stage, of an instance of a template (all its
    /// stages), or, if the pipeline itself has neither, of a stage in the bodies of templates (in every instance).
    fn only(&mut self, pipeline: &Pipeline) -> Option<BTreeSet<String>> {
        let only = &self.reading.repeat.as_ref()?.only;
        let mut all = BTreeSet::new();
        for entry in only {
            let name = entry.text().unwrap_or_default();
            let begins =
                |stage: &str| stage.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            // A name without the numbers of copies is that of all of them.
            let at_start = |stage: &str| begins(stage) || begins(&without_numbers(stage));
            let in_body = |stage: &str| {
                let plain = without_numbers(stage);
                [stage, &plain].iter().any(|stage| stage.match_indices('.').any(|(dot, _)| begins(&stage[dot + 1..])))
            };
            let names = || pipeline.stages.iter().map(|stage| stage.base_name.clone());
            let mut stages: BTreeSet<String> = names().filter(|stage| at_start(stage)).collect();
            let mut inner: BTreeSet<String> = names().filter(|stage| !at_start(stage) && in_body(stage)).collect();
            if stages.is_empty() {
                stages = std::mem::take(&mut inner);
            }
            if let Some(other) = inner.first() {
                let message = format!("`only {name}` is the pipeline's own `{name}`: `{other}` keeps its seed");
                let found = Diag::warning("sweep-axis", entry.span, message);
                self.diags.push(found.hint("give one of them another name"));
            }
            if stages.is_empty() {
                let names = pipeline.stages.iter().map(|stage| stage.base_name.as_str());
                let hint = near::hint(name, names, "name the stage whose seed changes");
                self.error("unknown-name", entry.span, format!("unknown stage `{name}`"), hint);
            }
            all.extend(stages);
        }
        (!only.is_empty()).then_some(all)
    }

    fn rank(&mut self, pipeline: &Pipeline) -> Option<Rank> {
        let entry = self.reading.rank.as_ref()?;
        let by = entry.text().unwrap_or_default();
        match ranking::find(pipeline, by) {
            Ok(rank) => {
                if ranking::sees_test(pipeline, &rank.stage) {
                    let message = format!("`{by}` is a metric on the test set");
                    let found = Diag::warning("chosen-on-test", entry.span, message);
                    let hint = "the best point by it is optimistic; rank by a metric on the validation set, such as the classifier's";
                    self.diags.push(found.hint(hint));
                }
                Some(rank)
            }
            Err(refusal) => {
                self.error(refusal.code, entry.span, refusal.text, refusal.hint);
                None
            }
        }
    }

    /// All points; repeats vary slowest, so that every value is computed once before any is repeated.
    fn all(&mut self, left: &[Vec<usize>], repeats: usize, only: Option<&BTreeSet<String>>) -> Vec<Point> {
        let reading = self.reading;
        let mut first = Vec::with_capacity(left.len());
        for steps in left {
            let values: Vec<&Alternative> = reading
                .dimensions
                .iter()
                .zip(steps)
                .flat_map(|(dimension, step)| dimension.iter().map(move |varied| &varied.values[*step]))
                .collect();
            let (lowered, _) = self.lowered(&values);
            let new: Vec<Diag> = lowered.diags.into_iter().filter(|diag| !self.seen.contains(diag)).collect();
            for diag in new {
                self.report(diag, &values);
            }
            let zipped = reading.dimensions.iter().zip(steps);
            let at = zipped.flat_map(|(dimension, step)| dimension.iter().map(|varied| varied.first_equal(*step)));
            let at: Vec<usize> = at.collect();
            first.push(Point { at, pipeline: lowered.pipeline });
        }
        if reading.repeat.is_none() {
            return first;
        }
        let mut all = Vec::with_capacity(first.len() * repeats);
        for repeat in 0..repeats {
            all.extend(first.iter().map(|point| again(point, repeat, only)));
        }
        all
    }
}

/// A point with the seeds of a repeat, counted from 0.
fn again(point: &Point, repeat: usize, only: Option<&BTreeSet<String>>) -> Point {
    let mut point = point.clone();
    point.at.push(repeat);
    for stage in &mut point.pipeline.stages {
        if only.is_none_or(|only| only.contains(&stage.base_name)) {
            stage.seed = stage.seed.wrapping_add(repeat as u64);
        }
    }
    point
}

/// All combinations, the last the fastest.
fn every(counts: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let all: usize = counts.iter().product();
    (0..all).map(move |number| {
        let mut rest = number;
        let mut point: Vec<usize> = counts
            .iter()
            .rev()
            .map(|count| {
                let step = rest % count;
                rest /= count;
                step
            })
            .collect();
        point.reverse();
        point
    })
}

fn skipped(point: &[usize], skip: &Skipped) -> bool {
    skip.wanted.iter().all(|(dimension, steps)| steps.contains(&point[*dimension]))
}

/// The axes, under the shortest names that distinguish them.
fn axes(reading: &ParsedSweep, seed: u64) -> Vec<Axis> {
    let paths: Vec<&str> = reading.dimensions.iter().flatten().map(|varied| varied.path.as_str()).collect();
    let short = |path: &str| {
        let starts = path.match_indices('.').map(|(at, _)| at + 1).collect::<Vec<_>>();
        let ends = starts.iter().rev().copied().chain([0]).map(|at| &path[at..]);
        let clear = |end: &&str| {
            let same = |other: &&&str| **other == *end || other.ends_with(&format!(".{end}"));
            paths.iter().filter(same).count() == 1 && (*end != "seed" || path == "seed")
        };
        ends.clone().find(clear).unwrap_or(path).to_owned()
    };
    let mut axes: Vec<Axis> = reading
        .dimensions
        .iter()
        .flatten()
        .map(|varied| Axis {
            path: varied.path.clone(),
            name: short(&varied.path),
            values: varied.values.iter().map(|value| value.shown.clone()).collect(),
            repeats: false,
        })
        .collect();
    if let Some(repeat) = &reading.repeat {
        let values = (0..repeat.count).map(|again| seed.wrapping_add(again as u64).to_string());
        axes.push(Axis { path: "seed".into(), name: "seed".into(), values: values.collect(), repeats: true });
    }
    axes
}
