//! The pipelines of a sweep: its own with each value, and with every combination.

use std::collections::{BTreeMap, BTreeSet};

use super::super::figures;
use super::super::given::Setting;
use super::super::hints;
use super::super::lower::{Lowered, Told, lower};
use super::super::near;
use super::super::scope::Scope;
use super::super::spec::{Axis, Pipeline, Point, Points, Rank, Sweep};
use super::read::{Alternative, Reading, Varied, equal};
use super::{FEW, MOST_POINTS};
use crate::base::Span;
use crate::diag::{Diag, Severity};
use crate::syntax::Node;

/// What came of a sweep.
pub(in super::super) struct Swept {
    /// The sweep; it can be used where no diagnostic is an error.
    pub(in super::super) sweep: Sweep,
    pub(in super::super) diags: Vec<Diag>,
    /// Settings of the command line that named something, by index.
    pub(in super::super) met: BTreeSet<usize>,
    /// What they could have named.
    pub(in super::super) names: Vec<String>,
}

/// Lowers the pipeline of a sweep with its values. `base` is the pipeline's node, `settings` the command line's.
pub(in super::super) fn sweep(
    reading: &Reading,
    base: &Node,
    scope: &Scope,
    settings: &[Setting],
    told: &mut Told,
    points: Points,
) -> Swept {
    let Lowered { pipeline, diags, met, names } = lower(base, scope, settings, told);
    let mut sweeper = Sweeper { reading, base, scope, settings, told, seen: diags.clone(), diags, names: &names };
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
        let message = format!("sweep `{}` has {count} points; {MOST_POINTS} are the most", reading.name);
        let found = Diag::error("too-many-points", reading.span, message);
        sweeper.diags.push(found.hint("take fewer values, put axes in a `zip`, or make several sweeps"));
    } else {
        left = every(&counts).filter(|point| !skips.iter().any(|skip| skipped(point, skip))).collect();
        sweeper.useless_skips(&counts, &skips);
        if left.is_empty() {
            let found = Diag::error("sweep-axis", reading.span, "every point is skipped");
            sweeper.diags.push(found.hint("leave a `skip` out"));
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
    Swept { sweep, diags, met, names }
}

struct Sweeper<'a, 'b> {
    reading: &'a Reading,
    base: &'a Node,
    scope: &'a Scope<'a>,
    settings: &'a [Setting],
    told: &'b mut Told,
    /// What was said of the pipeline, or of a value alone.
    seen: Vec<Diag>,
    diags: Vec<Diag>,
    names: &'a [String],
}

/// The steps that a `skip` leaves out where they come together, by dimension.
struct Skipped {
    span: Span,
    wanted: BTreeMap<usize, BTreeSet<usize>>,
}

impl Sweeper<'_, '_> {
    fn wrong(&mut self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.diags.push(Diag::error(code, span, message).hint(hint));
    }

    /// Tells of settings that would undo what the sweep varies.
    fn settings_on_axes(&mut self) {
        for setting in self.settings {
            let within = |path: &str| {
                setting.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let varied = self.reading.dimensions.iter().flatten().find(|varied| within(&varied.path));
            if let Some(varied) = varied {
                let message = format!("sweep `{}` varies `{}`", self.reading.name, varied.path);
                let found = Diag::error("sweep-axis", setting.given.name, message).also(varied.span, "here");
                self.diags.push(found.hint("set what it does not vary, or run the pipeline without the sweep"));
            }
        }
    }

    fn lowered(&mut self, values: &[&Alternative]) -> (Lowered, usize) {
        let mut settings = self.settings.to_vec();
        let own = settings.len();
        settings.extend(values.iter().flat_map(|value| value.settings.iter().cloned()));
        (lower(self.base, self.scope, &settings, self.told), own)
    }

    /// Checks each value of a dimension by itself, at most so many.
    fn alone(&mut self, dimension: &[Varied], most: usize) {
        let mut unknown = BTreeSet::new();
        for step in 0..dimension[0].values.len().min(most) {
            let values: Vec<&Alternative> = dimension.iter().map(|varied| &varied.values[step]).collect();
            let (lowered, own) = self.lowered(&values);
            let mut at = own;
            for (varied, value) in dimension.iter().zip(&values) {
                let unmet = (at..at + value.settings.len()).any(|i| !lowered.met.contains(&i));
                at += value.settings.len();
                if unmet && unknown.insert(varied.path.clone()) {
                    let first = varied.path.split('.').next().unwrap_or_default();
                    let message = format!("there is no stage or parameter `{first}`");
                    let stage = |kind: &str| self.scope.stage(kind, varied.span);
                    let hint = match hints::settings(&varied.path, &lowered.pipeline, stage).first() {
                        Some(meant) => format!("write `over {meant} …`"),
                        None => {
                            near::hint(first, self.names.iter().map(String::as_str), "write `over stage.param 1 2 4`")
                        }
                    };
                    self.wrong("unknown-name", varied.span, message, hint);
                }
            }
            let new: Vec<Diag> = lowered.diags.into_iter().filter(|diag| !self.seen.contains(diag)).collect();
            for diag in new {
                self.tell(diag, &values);
            }
        }
    }

    /// Tells of what only certain values bring about, once, and says which values.
    fn tell(&mut self, diag: Diag, values: &[&Alternative]) {
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
        let mut told = diag;
        if !values.iter().any(inside) {
            for value in values {
                told = told.also(value.span, "with this value");
            }
        }
        self.diags.push(told);
    }

    /// For each skip that can be read, its dimensions and the steps there that it leaves out.
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
                    let hint = near::hint(path, names, "name what `over` names");
                    self.wrong("unknown-name", *key, format!("`{path}` is not varied"), hint);
                    whole = false;
                    continue;
                };
                let fits = |value: &Alternative| value.value.as_ref().is_some_and(|value| equal(value, &entry.value));
                let steps: BTreeSet<usize> =
                    (0..varied.values.len()).filter(|step| fits(&varied.values[*step])).collect();
                if steps.is_empty() {
                    let values = varied.values.iter().map(|value| value.shown.as_str());
                    let hint = near::hint(&entry.value.to_string(), values, "take one of the values behind its `over`");
                    self.wrong("unknown-name", entry.span, format!("`{path}` does not take this value"), hint);
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
                let found = Diag::warning("sweep-axis", skip.span, "no point is left out by this");
                self.diags.push(found.hint("its values go in step with others of the same `zip`"));
            }
        }
    }

    /// The stages whose seeds a repeat changes; all where it says nothing.
    fn only(&mut self, pipeline: &Pipeline) -> Option<BTreeSet<String>> {
        let entry = self.reading.repeat.as_ref()?.only.as_ref()?;
        let name = entry.text().unwrap_or_default();
        let within =
            |stage: &str| stage.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let stages: BTreeSet<String> =
            pipeline.stages.iter().map(|stage| stage.own.clone()).filter(|stage| within(stage)).collect();
        if stages.is_empty() {
            let names = pipeline.stages.iter().map(|stage| stage.own.as_str());
            let hint = near::hint(name, names, "name the stage whose seed is to change");
            self.wrong("unknown-name", entry.span, format!("there is no stage `{name}`"), hint);
        }
        Some(stages)
    }

    fn rank(&mut self, pipeline: &Pipeline) -> Option<Rank> {
        let entry = self.reading.rank.as_ref()?;
        let by = entry.text().unwrap_or_default();
        match figures::find(pipeline, by) {
            Ok(rank) => {
                if figures::sees_test(pipeline, &rank.stage) {
                    let message = format!("`{by}` is a figure of test patches");
                    let found = Diag::warning("chosen-on-test", entry.span, message);
                    let hint = "what is chosen by it looks better than it is: rank by a figure of validation patches, such as \
                                the classifier's";
                    self.diags.push(found.hint(hint));
                }
                Some(rank)
            }
            Err(refusal) => {
                self.wrong(refusal.code, entry.span, refusal.text, refusal.hint);
                None
            }
        }
    }

    /// All points: repeats are the slowest, so that all values are seen once before any is repeated.
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
                self.tell(diag, &values);
            }
            let in_step = |(dimension, step): (&Vec<Varied>, &usize)| vec![*step; dimension.len()];
            let at: Vec<usize> = reading.dimensions.iter().zip(steps).flat_map(in_step).collect();
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
        if only.is_none_or(|only| only.contains(&stage.own)) {
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

/// What is varied, under the shortest names that tell it apart.
fn axes(reading: &Reading, seed: u64) -> Vec<Axis> {
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
