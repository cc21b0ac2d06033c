//! Checks of a pipeline as a whole: cycles, marks that must not reach a port, networks against their patch size, and
//! unused stages.

mod embeddings;
mod encoders;
mod initial;
mod lineage;
mod memorised;
mod names;
mod orientations;
mod scorers;
mod several;
mod sizes;
mod stacked;
mod withheld;

use std::collections::{BTreeMap, BTreeSet};

use super::describe::misfit;
use super::draft::{Draft, ReferenceSite};
use super::network::NetworkSpec;
use super::port_types::{CARRIERS, DUPLICATES, FILES, PRETRAINED};
use super::scope::Scope;
use super::shapes::{self, TensorShape};
use super::signature::{InPort, OutPort};
use super::spec::{ParamValue, Reference};
use super::value::Value;
use crate::base::Span;
use crate::diag::{Diag, LabeledSpan};

/// Types of outputs that a pipeline exists for.
const GOALS: [&str; 10] =
    [DUPLICATES, "lesions", "thresholds", "predictions", "maps", "scores", "spread", "analysis", "report", FILES];

/// What the other stages of a pipeline mean for one of them.
#[derive(Clone, Debug, Default)]
pub(super) struct FlowContext {
    /// The marks of its inputs.
    pub(super) marks: BTreeSet<String>,
    /// A parameter with the inputs whose labels are withheld.
    pub(super) withheld: Option<(String, ParamValue)>,
}

/// Checks all stages together. Returns what they mean for each stage, and the mistakes. `whole` means no mistakes so far.
pub(super) fn check(drafts: &[Draft], scope: &Scope, whole: bool) -> (Vec<FlowContext>, Vec<Diag>) {
    let by_name: BTreeMap<&str, usize> =
        drafts.iter().enumerate().map(|(i, draft)| (draft.spec.name.as_str(), i)).collect();
    let graph = DraftGraph { drafts, by_name };
    let mut diags = Vec::new();
    let mut contexts = vec![FlowContext::default(); drafts.len()];
    match graph.order() {
        Ok(order) => {
            let marked = graph.marked(&order);
            diags.extend(graph.marks(&order, &marked));
            let lineages = graph.lineages(&order);
            let of_stages = graph.reaching(&marked).into_iter().zip(graph.withheld(&marked, &lineages));
            contexts = of_stages.map(|(marks, withheld)| FlowContext { marks, withheld }).collect();
            diags.extend(graph.leaks(&order, &marked, &lineages));
            diags.extend(graph.stacked(&order, &lineages));
            diags.extend(graph.networks(scope));
            diags.extend(graph.embeddings_of_models());
            diags.extend(graph.sides());
            diags.extend(graph.orientations());
            diags.extend(graph.names());
            diags.extend(graph.several(&order, &lineages));
            diags.extend(graph.other_encoders(&order));
            diags.extend(graph.crossed());
            diags.extend(graph.initial());
            diags.extend(graph.scorers(&order));
            diags.extend(graph.sizes());
        }
        Err(cycle) => diags.push(graph.cycle(&cycle)),
    }
    if whole {
        diags.extend(graph.unused());
    }
    (contexts, diags)
}

/// Labels of a diagnostic from which on others are left out.
const MOST_LABELS: usize = 12;

/// Adds a label, unless its place has one.
fn also_at(diag: &mut Diag, span: Span, text: String) {
    if diag.labels.len() < MOST_LABELS && diag.labels.iter().all(|label| label.span != span) {
        diag.labels.push(LabeledSpan { span, text });
    }
}

/// Adds where the templates around a stage are used.
fn in_bodies(diag: Diag, draft: &Draft) -> Diag {
    let used = draft.used.iter();
    used.fold(diag, |diag, (span, name)| diag.also(*span, format!("in `{name}`, which is used here")))
}

/// The stages on a path, from the first, each with the reference by which it reads the one before.
type Trail<'a> = Vec<(usize, Option<&'a ReferenceSite>)>;

/// The marks of each output, and the path on which each came.
type Marked<'a> = BTreeMap<(usize, &'a str), BTreeMap<&'a str, Trail<'a>>>;

struct DraftGraph<'a> {
    drafts: &'a [Draft<'a>],
    by_name: BTreeMap<&'a str, usize>,
}

impl DraftGraph<'_> {
    /// What a stage reads: the port, the reference, and the stage that it refers to.
    fn reads(&self, stage: usize) -> impl Iterator<Item = (&str, &Reference, &ReferenceSite, usize)> {
        let draft = &self.drafts[stage];
        let inputs = draft.spec.inputs.iter().zip(&draft.sites);
        inputs
            .flat_map(|(input, sites)| input.from.iter().zip(sites).map(|at| (input.port.as_str(), at)))
            .filter_map(|(port, (from, place))| Some((port, from, place, *self.by_name.get(from.stage.as_str())?)))
    }

    fn references(&self, stage: usize) -> impl Iterator<Item = (&Reference, &ReferenceSite, usize)> {
        self.reads(stage).map(|(_, reference, place, source)| (reference, place, source))
    }

    /// As [`Self::references`], without those that only say something about the photographs of others.
    fn contents(&self, stage: usize) -> impl Iterator<Item = (&Reference, &ReferenceSite, usize)> {
        let reads = self.reads(stage).filter(move |(port, ..)| !self.informs(stage, port));
        reads.map(|(_, reference, place, source)| (reference, place, source))
    }

    /// Whether a port only says something about the photographs of others.
    fn informs(&self, stage: usize, port: &str) -> bool {
        self.drafts[stage].signature.input(port).is_some_and(InPort::informs)
    }

    /// Whether a port only says on which sides photographs are.
    fn takes_sides(&self, stage: usize, port: &str) -> bool {
        self.drafts[stage].signature.input(port).is_some_and(InPort::sides)
    }

    /// Errors for ports that take the sets of a split and get something else.
    fn sides(&self) -> Vec<Diag> {
        let mut diags = Vec::new();
        for (stage, draft) in self.drafts.iter().enumerate() {
            for (input, sites) in draft.spec.inputs.iter().zip(&draft.sites) {
                let outputs = draft.signature.outputs.len();
                let of_split = |reference: &Reference| {
                    let source = self.by_name.get(reference.stage.as_str());
                    source.is_some_and(|source| self.drafts[*source].signature.divides())
                };
                let one = input.from.iter().all(|reference| reference.stage == input.from[0].stage);
                let right = input.from.len() == outputs && one && input.from.iter().all(of_split);
                if right || !self.takes_sides(stage, &input.port) {
                    continue;
                }
                let (name, port) = (&draft.spec.name, &input.port);
                let message =
                    format!("`{port}` of `{} {name}` takes the {outputs} sets of another split", draft.spec.stage_type);
                let hint = format!("write `{port} folds`, the name of a `split`");
                diags.push(in_bodies(Diag::error("value-count", sites[0].span, message).hint(hint), draft));
            }
        }
        diags
    }

    /// An order in which every stage follows the stages that it reads; or a cycle, each stage reading the next.
    fn order(&self) -> Result<Vec<usize>, Vec<usize>> {
        let mut order = Vec::new();
        let mut done = vec![false; self.drafts.len()];
        for start in 0..self.drafts.len() {
            // Stages on the path down, each with the stages that it reads and how many of them were followed.
            let mut path: Vec<(usize, Vec<usize>, usize)> = Vec::new();
            if !done[start] {
                path.push((start, self.references(start).map(|(.., to)| to).collect(), 0));
            }
            while let Some((stage, reads, followed)) = path.last_mut() {
                if let Some(&next) = reads.get(*followed) {
                    *followed += 1;
                    if let Some(at) = path.iter().position(|(stage, ..)| *stage == next) {
                        return Err(path[at..].iter().map(|(stage, ..)| *stage).collect());
                    }
                    if !done[next] {
                        path.push((next, self.references(next).map(|(.., to)| to).collect(), 0));
                    }
                } else {
                    done[*stage] = true;
                    order.push(*stage);
                    path.pop();
                }
            }
        }
        Ok(order)
    }

    fn cycle(&self, cycle: &[usize]) -> Diag {
        let name = |stage: usize| self.drafts[stage].spec.name.as_str();
        let place = |i: usize| {
            let next = cycle[(i + 1) % cycle.len()];
            self.references(cycle[i])
                .find(|(.., to)| *to == next)
                .map_or(self.drafts[cycle[i]].spec.span, |(_, place, _)| place.span)
        };
        let way: Vec<String> = cycle.iter().chain(cycle.first()).map(|&stage| format!("`{}`", name(stage))).collect();
        let message = if cycle.len() == 1 {
            format!("{} reads itself", way[0])
        } else {
            format!("these stages form a cycle: {} reads {}", way[0], way[1..].join(", which reads "))
        };
        let mut diag = Diag::error("cycle", place(0), message).hint("change the input of one of them");
        for i in 1..cycle.len() {
            diag = diag.also(place(i), format!("`{}` reads `{}`", name(cycle[i]), name(cycle[(i + 1) % cycle.len()])));
        }
        diag
    }

    /// Errors for marked patches that reach a port that refuses the mark: one for each reference by which they leave the stage that marks
    /// them, or each use of a template.
    fn marks(&self, order: &[usize], marked: &Marked) -> Vec<Diag> {
        let mut diags: Vec<Diag> = Vec::new();
        let mut causes = BTreeMap::new();
        for &stage in order {
            let draft = &self.drafts[stage];
            for (input, sites) in draft.spec.inputs.iter().zip(&draft.sites) {
                let refuses = draft.signature.input(&input.port).map_or(&[][..], |port| &port.refuses);
                for (reference, place) in input.from.iter().zip(sites) {
                    let marks = self
                        .by_name
                        .get(reference.stage.as_str())
                        .and_then(|source| marked.get(&(*source, reference.port.as_str())));
                    for (mark, way) in
                        marks.into_iter().flatten().filter(|(mark, _)| refuses.iter().any(|one| one == *mark))
                    {
                        let (reader, by) = match way.get(1) {
                            Some((reader, Some(by))) => (*reader, *by),
                            _ => (stage, place),
                        };
                        let cause = (way[0].0, (*mark).to_owned(), self.outermost(reader, by));
                        let Some(&first) = causes.get(&cause) else {
                            causes.insert(cause, diags.len());
                            diags.push(self.refused(stage, &input.port, place, mark, way));
                            continue;
                        };
                        let text = format!(
                            "`{} {}` gets them too, at `{}`",
                            draft.spec.stage_type, draft.spec.name, input.port
                        );
                        also_at(&mut diags[first], self.outermost(stage, place), text);
                    }
                }
            }
        }
        diags
    }

    /// Where a user wrote a reference: in a template, where that is used.
    fn outermost(&self, stage: usize, place: &ReferenceSite) -> Span {
        self.drafts[stage].used.last().map_or(place.span, |(used, _)| *used)
    }

    /// The marks of the inputs of each stage.
    fn reaching(&self, marked: &Marked) -> Vec<BTreeSet<String>> {
        let of = |stage: usize| {
            let given = self.contents(stage).filter_map(|(from, _, source)| marked.get(&(source, from.port.as_str())));
            given.flat_map(|marks| marks.keys()).map(|mark| (*mark).to_owned()).collect()
        };
        (0..self.drafts.len()).map(of).collect()
    }

    /// The marks of each output, each with its path: from the stage that adds it, each step with the reference by which
    /// it reads the one before.
    fn marked(&self, order: &[usize]) -> Marked<'_> {
        let mut marked = Marked::new();
        // What a command wrote is made of what it read. It matters only where its files become patches again.
        let mut files = Marked::new();
        for &stage in order {
            let draft = &self.drafts[stage];
            let mut carried: BTreeMap<&str, Trail> = BTreeMap::new();
            for (reference, place, source) in self.contents(stage) {
                let from = (source, reference.port.as_str());
                for (mark, way) in marked.get(&from).or_else(|| files.get(&from)).into_iter().flatten() {
                    let longer = || way.iter().copied().chain([(stage, Some(place))]).collect();
                    carried.entry(mark).or_insert_with(longer);
                }
            }
            for out in draft.signature.outputs.iter().filter(|out| CARRIERS.contains(&out.ty.as_str())) {
                let mut marks = carried.clone();
                let has =
                    |(param, case): &(String, String)| draft.spec.value(param) == Some(&Value::Text(case.clone()));
                if out.marks_with.as_ref().is_none_or(has) {
                    marks.extend(out.marks.iter().map(|mark| (mark.as_str(), vec![(stage, None)])));
                }
                marked.insert((stage, out.name.as_str()), marks);
            }
            for out in draft.signature.outputs.iter().filter(|out| out.ty == FILES) {
                files.insert((stage, out.name.as_str()), carried.clone());
            }
        }
        marked
    }

    /// The diagnostic with every step from a port back to the stage at the start of the path, in that order.
    fn along(&self, mut diag: Diag, place: &ReferenceSite, way: &Trail) -> Diag {
        let mut reported = BTreeSet::from([place.span]);
        let steps_of = |diag: Diag, place: &ReferenceSite, reported: &mut BTreeSet<_>| {
            place
                .path
                .iter()
                .filter(|(span, _)| reported.insert(*span))
                .fold(diag, |diag, (span, step)| diag.also(*span, step))
        };
        diag = steps_of(diag, place, &mut reported);
        for (i, (stage, by)) in way.iter().enumerate().rev() {
            let Some(by) = by else { continue };
            if reported.insert(by.span) {
                let (reader, read) = (&self.drafts[*stage].spec.name, &self.drafts[way[i - 1].0].spec.name);
                diag = diag.also(by.span, format!("`{reader}` reads `{read}`"));
            }
            diag = steps_of(diag, by, &mut reported);
        }
        diag
    }

    fn refused(&self, stage: usize, port: &str, place: &ReferenceSite, mark: &str, way: &Trail) -> Diag {
        let draft = &self.drafts[stage];
        let title = format!("`{} {}`", draft.spec.stage_type, draft.spec.name);
        let source = &self.drafts[way[0].0];
        let marks = format!("`{} {}`", source.spec.stage_type, source.spec.name);
        let stages = way.iter().map(|(stage, _)| *stage).chain([stage]);
        let steps: Vec<String> = stages.map(|stage| format!("`{}`", self.drafts[stage].spec.name)).collect();
        let steps = steps.join(" -> ");
        // Patches that were cut by their labels were not drawn from others.
        let cut = source.signature.outputs.iter().find_map(|out| out.marks_with.as_ref());
        let (resamples, unsampled) = match cut {
            Some((param, case)) => (format!("{marks} cuts patches by their labels (`{param} {case}`)"), "of a grid"),
            None => (format!("{marks} resamples"), "from before the resampling"),
        };
        let (code, message, there, hint) = match mark {
            "resampled" if draft.signature.outputs.iter().any(|out| out.ty == "embeddings") => (
                "resampled-encoding",
                format!("{title} gets resampled patches at `{port}`: {steps}"),
                resamples,
                format!("encode the patches {unsampled}; which ones there are depends on their labels"),
            ),
            "resampled" => (
                "resampled-evaluation",
                format!("{title} gets resampled patches at `{port}`: {steps}"),
                resamples,
                match cut {
                    Some(_) => "use patches of a grid: a `split` of them with `like` keeps photographs on their sides",
                    None => "use a split from before the resampling; metrics on resampled patches are meaningless",
                }
                .to_owned(),
            ),
            "test" => (
                "test-in-training",
                format!("{title} gets test patches at `{port}`: {steps}"),
                format!("{marks} makes the test set"),
                "training and selection must not see the test set; use `train` or `valid`".to_owned(),
            ),
            _ => (
                "port-type",
                format!("{title} gets {mark} patches at `{port}`: {steps}"),
                format!("{marks} makes them {mark}"),
                "the port does not accept them; see `macula doc`".to_owned(),
            ),
        };
        let found = self.along(Diag::error(code, place.span, message), place, way);
        in_bodies(found.also(source.spec.span, there).hint(hint), draft)
    }

    /// Errors for networks that cannot take the patches that reach their stage.
    fn networks(&self, scope: &Scope) -> Vec<Diag> {
        let mut diags = Vec::new();
        for (stage, draft) in self.drafts.iter().enumerate() {
            let found = draft.spec.params.values().find_map(|param| match &param.value {
                Value::Network(network) => Some((param.span, network)),
                _ => None,
            });
            let Some((place, network)) = found else { continue };
            let place = place.unwrap_or(draft.spec.span);
            self.margins(stage, network, place, &mut diags);
            self.joined(stage, network, place, &mut diags);
            let gives = |ty: &str| draft.signature.outputs.iter().any(|out| out.ty == ty);
            if gives(PRETRAINED) && network.is_classifier() {
                let name = &network.name;
                let message = format!("network `{name}` is a whole classifier, but an encoder is pretrained");
                let hint = format!("end at a tap: `network {name} to=features`");
                diags.push(in_bodies(Diag::error("no-tap", place, message).hint(hint), draft));
                continue;
            }
            let Some((side, from)) = self.cuts(stage).next().and_then(|cut| Some((self.side(cut)?, cut.0))) else {
                continue;
            };
            // An encoder ends at a tap, and describes each patch by a vector.
            let misfits = if gives("embeddings") || gives(PRETRAINED) {
                match shapes::features(network, side) {
                    Ok(Some(TensorShape::Map { channels, height, width })) if height * width > 1 => {
                        let message = format!(
                            "network `{}` gives {height} x {width} vectors of {channels} values for each patch of {side} px, not one",
                            network.name
                        );
                        let hint = "end at a tap behind a global pooling, such as `to=features`";
                        let found = Diag::error("patch-grid", place, message).hint(hint);
                        diags.push(in_bodies(found.also(self.drafts[from].spec.span, "cuts the patches"), draft));
                        continue;
                    }
                    Ok(_) => continue,
                    Err(misfits) => misfits,
                }
            } else {
                let Err(misfits) = shapes::shapes(network, side, 4) else { continue };
                misfits
            };
            let described = scope.own_networks().find(|described| described.spec.digest() == network.digest());
            let least =
                shapes::least_side(network).map_or(String::new(), |least| format!("; the smallest size is {least} px"));
            let origin = &self.drafts[from].spec;
            for wrong in misfits {
                let message = format!("network `{}` cannot take patches of {side} px: {}", network.name, wrong.message);
                let mut diag = Diag::error("shape-mismatch", place, message);
                // The standard library's text is not among the user's sources.
                let layer = described.map(|it| misfit(it, &wrong));
                if let Some(label) = layer.as_ref().and_then(|layer| layer.labels.first()) {
                    diag = diag.also(label.span, "this layer");
                }
                diag = diag.also(origin.span, format!("cuts patches of {side} px"));
                diags.push(in_bodies(diag.hint(format!("{}{least}", wrong.hint)), draft));
            }
        }
        diags
    }

    /// Errors for patches whose margin is smaller than a network needs.
    fn margins(&self, stage: usize, network: &NetworkSpec, place: Span, diags: &mut Vec<Diag>) {
        let mut seen = BTreeSet::new();
        for cut in self.cuts(stage).filter(|(source, _)| seen.insert(*source)) {
            let Some(side) = self.side(cut) else { continue };
            let needed = network.margin(side);
            let draft = &self.drafts[cut.0];
            let margin = cut.1.margin.as_ref().and_then(|name| Some((name, self.count(cut.0, name)?)));
            let Some((name, margin)) = margin.filter(|(_, margin)| *margin < needed) else { continue };
            let title = format!("{} {}", draft.spec.stage_type, draft.spec.name);
            let message = format!(
                "input `wide` of network `{}` needs patches with a margin of {needed} px, but `{title}` stores {margin} px",
                network.name
            );
            let diag = Diag::error("missing-input", place, message).also(draft.spec.span, "cuts the patches");
            diags.push(in_bodies(diag.hint(format!("write `{title} {{ …; {name} {needed} }}`")), &self.drafts[stage]));
        }
    }

    /// The outputs that cut the patches that reach a stage, one for each of its ports that take patches; each with its stage.
    fn cuts(&self, stage: usize) -> impl Iterator<Item = (usize, &OutPort)> {
        self.patches(stage).filter_map(|(mut source, mut out)| {
            for _ in 0..self.drafts.len() {
                if out.side.is_some() {
                    return Some((source, out));
                }
                (source, out) = self.patches(source).next()?;
            }
            None
        })
    }

    /// The patches that a stage reads: their stage and output.
    fn patches(&self, stage: usize) -> impl Iterator<Item = (usize, &OutPort)> {
        let draft = &self.drafts[stage];
        let passes = |port: &str| draft.signature.input(port).is_none_or(|port| !port.excludes() && !port.informs());
        let reads = draft.spec.inputs.iter().filter(move |input| passes(&input.port)).flat_map(|input| &input.from);
        reads.filter_map(|reference| {
            let source = *self.by_name.get(reference.stage.as_str())?;
            let out = self.drafts[source].signature.output(Some(&reference.port))?;
            matches!(out.ty.as_str(), "patches" | "views").then_some((source, out))
        })
    }

    /// The side of the patches of an output, px.
    fn side(&self, (stage, out): (usize, &OutPort)) -> Option<usize> {
        self.count(stage, out.side.as_ref()?)
    }

    /// The value of a parameter that is a whole number.
    fn count(&self, stage: usize, name: &str) -> Option<usize> {
        match self.drafts[stage].spec.value(name) {
            Some(Value::Int(count)) => usize::try_from(*count).ok(),
            _ => None,
        }
    }

    /// Warnings for stages from which no path leads to a goal, if the pipeline has one.
    fn unused(&self) -> Vec<Diag> {
        let is_goal = |draft: &Draft| draft.signature.outputs.iter().any(|out| GOALS.contains(&out.ty.as_str()));
        let mut reached: BTreeSet<usize> =
            (0..self.drafts.len()).filter(|&stage| is_goal(&self.drafts[stage])).collect();
        if reached.is_empty() {
            return Vec::new();
        }
        let mut todo: Vec<usize> = reached.iter().copied().collect();
        while let Some(stage) = todo.pop() {
            for (.., source) in self.references(stage) {
                if reached.insert(source) {
                    todo.push(source);
                }
            }
        }
        let read: BTreeSet<usize> = (0..self.drafts.len())
            .flat_map(|stage| self.references(stage).map(|(.., to)| to).collect::<Vec<_>>())
            .collect();
        // Of a chain that leads nowhere only the last stage is reported.
        // Stages of a template may be unused, as long as some of its outputs are used.
        let outer = |stage: usize| self.drafts[stage].used.last();
        let reached_bodies: BTreeSet<&str> =
            reached.iter().filter_map(|&stage| outer(stage)).map(|(_, name)| name.as_str()).collect();
        let mut reported: BTreeSet<&str> = BTreeSet::new();
        let loose = (0..self.drafts.len()).filter(|stage| !reached.contains(stage) && !read.contains(stage));
        loose
            .filter_map(|stage| {
                let draft = &self.drafts[stage];
                let (name, span) = match outer(stage) {
                    None => (format!("{} {}", draft.spec.stage_type, draft.spec.name), draft.spec.span),
                    Some((_, name)) if reached_bodies.contains(name.as_str()) || !reported.insert(name) => return None,
                    Some((span, name)) => (name.clone(), *span),
                };
                let found = Diag::warning("unused-stage", span, format!("the output of `{name}` is not used"));
                Some(found.hint("use it in a stage that leads to an evaluation or a report, or remove it"))
            })
            .collect()
    }
}
