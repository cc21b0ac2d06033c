//! Evaluation on data that a model has seen: test patches without a path of references from the test set, because both come from the
//! same photographs and no split separates them; its own training or validation patches. Also epochs and thresholds chosen on
//! training patches.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{DraftGraph, Marked, Trail, also_at};
use crate::base::{Digest, Hasher, Span};
use crate::diag::Diag;
use crate::lang::draft::ReferenceSite;
use crate::lang::near;
use crate::lang::network::NetworkSpec;
use crate::lang::param_role::ParamRole;
use crate::lang::port_types::CARRIERS;
use crate::lang::signature::{InPort, Param};
use crate::lang::spec::Input;
use crate::lang::value::Value;

/// The domain of digests that identify stages that compute the same.
const STEP: &str = "macula 1 step of a lineage";

/// In place of a type: embeddings that the patches of a training carry.
const JOINED: &str = "joined";

/// Most lineages followed per output; beyond that nothing is reported.
const MOST: usize = 64;

/// Where patches come from: a source, and the outputs of the splits that they went through. Stages that compute the same are
/// one, by number.
pub(super) type Lineage<'a> = (usize, BTreeMap<usize, &'a str>);

/// A trained or selected model: the stage, the port, the reference, and the output that it refers to.
pub(super) type Model<'a> = (usize, &'a str, &'a ReferenceSite, (usize, &'a str));

/// Stage that joins patches with embeddings, its reference to them, and their stage.
#[derive(Clone, Copy)]
pub(super) struct EmbeddingJoin<'a> {
    pub(super) stage: usize,
    pub(super) place: &'a ReferenceSite,
    pub(super) embeddings: usize,
}

/// Patches that are both trained on and tested on, by one mistake.
struct Leak<'a> {
    /// The split whose test set it is, and the stage from which the training patches come.
    cause: (usize, usize),
    /// What is trained or selected on them.
    fitted: Vec<Model<'a>>,
    /// What evaluates on the test set: stage, reference, and the path from the split.
    tested: Vec<(usize, &'a ReferenceSite, &'a Trail<'a>)>,
    /// How to keep the training patches apart from it.
    hint: String,
}

/// Stages that a message names at most.
const MOST_NAMED: usize = 6;

/// The lineages of each output; most share those of their inputs.
pub(super) type Lineages<'a> = BTreeMap<(usize, &'a str), Rc<BTreeSet<Lineage<'a>>>>;

impl DraftGraph<'_> {
    /// Errors for evaluation on patches that were, or may have been, used for training.
    pub(super) fn leaks(&self, order: &[usize], marked: &Marked, lineages: &Lineages) -> Vec<Diag> {
        let mut diags = Vec::new();
        let mut reported = BTreeSet::new();
        let mut leaking: BTreeSet<Span> = BTreeSet::new();
        let mut causes: Vec<Leak> = Vec::new();
        for &stage in order {
            let draft = &self.drafts[stage];
            if draft.spec.diagnosis(draft.signature).is_some() {
                continue;
            }
            let takes_test = |port: &str| {
                let port = draft.signature.input(port);
                port.is_some_and(|port| {
                    port.types.iter().all(|ty| CARRIERS.contains(&ty.as_str()))
                        && !port.refuses("test")
                        && !port.excludes()
                        && !port.informs()
                })
            };
            // Encoders of evaluated patches are reported where these are joined.
            let mut models = self.models_along(stage, &|ty| ty != JOINED);
            models.sort_by_key(|(fitted, ..)| *fitted);
            let unscored = self.models_before_scores(stage);
            let tested = |input: &Input| !models.is_empty() && takes_test(&input.port);
            for (input, sites) in draft.spec.inputs.iter().zip(&draft.sites).filter(|(input, _)| tested(input)) {
                for (reference, place) in input.from.iter().zip(sites) {
                    let Some(&source) = self.by_name.get(reference.stage.as_str()) else { continue };
                    let tested = (source, reference.port.as_str());
                    let marks = marked.get(&tested);
                    let Some(way) = marks.and_then(|marks| marks.get("test")) else {
                        // Resampled patches are reported elsewhere.
                        if marks.is_some_and(|marks| marks.contains_key("resampled")) {
                            continue;
                        }
                        // Whole photographs are not patches: a stage that maps them reports itself which ones the model has seen. They may
                        // stand for their patches, where a port takes both.
                        let given = self.drafts[source].signature.output(Some(&reference.port));
                        let both = draft.signature.input(&input.port).is_some_and(|port| port.types.len() > 1);
                        let patches = given.is_some_and(|out| both || out.ty != "photographs");
                        if patches && !draft.signature.metrics.is_empty() {
                            diags.extend(self.judged_by_its_own(stage, place, tested, &unscored, lineages));
                        } else if patches && draft.signature.input(&input.port).is_some_and(|port| port.unseen) {
                            diags.extend(self.memorised(stage, place, tested, &unscored, lineages));
                        }
                        continue;
                    };
                    for model @ (_, _, at, data) in &models {
                        // Marked data is reported elsewhere.
                        if marked.get(data).is_some_and(|marks| marks.contains_key("test"))
                            || !reported.insert((at.span, place.span))
                        {
                            continue;
                        }
                        let (Some(seen), Some(test)) = (lineages.get(data), lineages.get(&tested)) else { continue };
                        if !seen.iter().any(|seen| test.iter().any(|test| meet(seen, test))) {
                            continue;
                        }
                        leaking.insert(at.span);
                        let cause = (way[0].0, self.root(data.0));
                        let known = causes.iter().position(|leak| leak.cause == cause);
                        let known = known.unwrap_or_else(|| {
                            let shared = seen.iter().find(|seen| test.iter().any(|test| meet(seen, test)));
                            let hint = self.on_same_sides(shared, way[0].0);
                            causes.push(Leak { cause, fitted: Vec::new(), tested: Vec::new(), hint });
                            causes.len() - 1
                        });
                        let leak = &mut causes[known];
                        leak.fitted.push(*model);
                        if leak.tested.iter().all(|(other, ..)| *other != stage) {
                            leak.tested.push((stage, place, way));
                        }
                    }
                }
            }
        }
        diags.extend(causes.iter().filter_map(|leak| self.leak(leak)));
        // Training on all data is reported at the evaluation on a part of it.
        diags.extend(order.iter().flat_map(|&stage| self.chosen_by_fitted(stage, marked, &leaking, lineages)));
        diags
    }

    /// The stage from which training patches differ from others: the split that they went through last, or what cut them; outside of
    /// templates, if there is one.
    fn root(&self, data: usize) -> usize {
        let mut at = data;
        for _ in 0..self.drafts.len() {
            let draft = &self.drafts[at];
            let Some((next, _)) = self.patches(at).next() else { break };
            if draft.used.is_empty() && draft.signature.divides() {
                break;
            }
            at = next;
        }
        at
    }

    /// An error about one cause of patches that are both trained on and tested on, with all stages that it reaches.
    fn leak(&self, Leak { cause: (split, _), fitted, tested, hint }: &Leak) -> Option<Diag> {
        let ((model, port, at, _), (_, place, way)) = (fitted.first()?, tested.first()?);
        let title = |at: usize| format!("{} {}", self.drafts[at].spec.stage_type, self.drafts[at].spec.name);
        let mut titles: Vec<String> = tested.iter().map(|(stage, ..)| title(*stage)).collect();
        let more = titles.len().saturating_sub(MOST_NAMED);
        titles.truncate(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message = format!(
            "`{}` gets patches at `{port}` that include test patches of {}{more}",
            title(*model),
            near::names(titles.iter().map(String::as_str))
        );
        let split = &self.drafts[*split].spec;
        let found = Diag::error("test-in-training", at.span, message)
            .also(place.span, format!("evaluated here, on the test set of `{}`", split.name));
        let mut found = self.along(found, place, way).also(split.span, "training does not use this split");
        for (stage, place, _) in &tested[1..] {
            also_at(&mut found, self.outermost(*stage, place), format!("`{}` evaluates here too", title(*stage)));
        }
        // Of a template, its use is shown.
        let outside = fitted[1..].iter().filter(|(model, ..)| self.drafts[*model].used.is_empty());
        for (model, port, place, _) in outside {
            also_at(&mut found, place.span, format!("`{}` gets them at `{port}`", title(*model)));
        }
        Some(super::in_bodies(found.hint(hint.as_str()), &self.drafts[*model]))
    }

    /// Errors for epochs or thresholds chosen on patches that the model was, or may have been, trained on.
    fn chosen_by_fitted(
        &self,
        stage: usize,
        marked: &Marked,
        reported: &BTreeSet<Span>,
        lineages: &Lineages,
    ) -> Vec<Diag> {
        let draft = &self.drafts[stage];
        if !draft.spec.inputs.iter().any(|input| self.chooses(stage, &input.port)) {
            return Vec::new();
        }
        let models = self.models_before_scores(stage);
        let own = self.given(stage).filter(|(port, ..)| self.fits(stage, port));
        let own = own.map(|(port, place, data)| (stage, port, place, data));
        let fitted: Vec<Model> =
            own.chain(models.iter().copied().filter(|(at, port, ..)| self.fits(*at, port))).collect();
        let mut diags = Vec::new();
        for (port, place, chosen_by) in self.given(stage).filter(|(port, ..)| self.chooses(stage, port)) {
            // Marked data is reported elsewhere.
            let marks = marked.get(&chosen_by);
            if marks.is_some_and(|marks| marks.contains_key("test") || marks.contains_key("resampled")) {
                continue;
            }
            let Some(patches) = lineages.get(&chosen_by).filter(|_| self.are_patches(chosen_by)) else { continue };
            let shared = |(_, _, _, data): &&Model| {
                let seen = lineages.get(data).filter(|_| self.are_patches(*data));
                seen.is_some_and(|seen| seen.iter().any(|seen| patches.iter().any(|one| meet(seen, one))))
            };
            let Some((at, data, here, _)) = fitted.iter().find(shared) else { continue };
            if reported.contains(&here.span) || reported.contains(&place.span) {
                continue;
            }
            let title = format!("`{} {}`", draft.spec.stage_type, draft.spec.name);
            let model = &self.drafts[*at].spec;
            let (message, there) = if *at == stage {
                (
                    format!("{title} gets patches at `{port}` that it is trained on"),
                    format!("trained here, at `{data}`"),
                )
            } else {
                (
                    format!("{title} gets patches that `{} {}` is trained on", model.stage_type, model.name),
                    format!("trained here, at `{data}`"),
                )
            };
            let hint = "select on data that was not used for training, such as `valid`; on training data the last epoch looks best, and thresholds look better than they are";
            let found = Diag::error("fitted-on", place.span, message);
            let found = if here.span == place.span { found } else { found.also(here.span, there) };
            diags.push(super::in_bodies(found.hint(hint), draft));
        }
        diags
    }

    /// Whether a port takes training data: possibly resampled, but never test patches.
    pub(super) fn fits(&self, stage: usize, port: &str) -> bool {
        self.drafts[stage].signature.input(port).is_some_and(InPort::fits)
    }

    /// Whether a port takes selection data: neither resampled nor test patches.
    fn chooses(&self, stage: usize, port: &str) -> bool {
        self.drafts[stage].signature.input(port).is_some_and(InPort::chooses)
    }

    /// Whether an output is patches; whole photographs in their place are reported elsewhere.
    pub(super) fn are_patches(&self, (stage, port): (usize, &str)) -> bool {
        self.drafts[stage].signature.output(Some(port)).is_some_and(|out| out.ty != "photographs")
    }

    /// The patches and photographs that a stage reads: the port, the reference, and the output.
    pub(super) fn given(&self, stage: usize) -> impl Iterator<Item = (&str, &ReferenceSite, (usize, &str))> {
        let draft = &self.drafts[stage];
        let each = draft.spec.inputs.iter().zip(&draft.sites);
        each.flat_map(|(input, sites)| input.from.iter().zip(sites).map(move |(from, place)| (input, from, place)))
            .filter_map(|(input, from, place)| {
                let source = *self.by_name.get(from.stage.as_str())?;
                let out = self.drafts[source].signature.output(Some(&from.port));
                let carries = out.is_none_or(|out| CARRIERS.contains(&out.ty.as_str()));
                carries.then_some((input.port.as_str(), place, (source, from.port.as_str())))
            })
    }

    /// An error if a stage with metrics evaluates a model on its training data; a warning if on data that was used for
    /// selection.
    fn judged_by_its_own(
        &self,
        stage: usize,
        place: &ReferenceSite,
        tested: (usize, &str),
        models: &[Model],
        lineages: &Lineages,
    ) -> Option<Diag> {
        let judged = &self.drafts[stage].spec;
        let test = lineages.get(&tested)?;
        let shared = |(_, _, _, data): &&Model| {
            lineages.get(data).is_some_and(|seen| seen.iter().any(|seen| test.iter().any(|test| meet(seen, test))))
        };
        let fits = |(fitted, port, ..): &&Model| self.fits(*fitted, port);
        // Training data is worse than selection data.
        let worst = models.iter().filter(shared).max_by_key(fits)?;
        let (fitted, port, at, _) = worst;
        let model = &self.drafts[*fitted].spec;
        let (title, name) =
            (format!("`{} {}`", judged.stage_type, judged.name), format!("`{} {}`", model.stage_type, model.name));
        let what = if self.are_patches(tested) { "patches" } else { "photographs" };
        let (found, hint) = if fits(&worst) {
            let message = format!("{title} gets {what} that {name} is trained on");
            (
                Diag::error("fitted-on", place.span, message).also(at.span, format!("trained here, at `{port}`")),
                "evaluate on data that was not used for training; metrics on training data say nothing about new data",
            )
        } else {
            let message = format!("{title} gets {what} on which {name} was selected: its metrics are optimistic");
            (
                Diag::warning("chosen-by", place.span, message).also(at.span, format!("selected here, at `{port}`")),
                "evaluate on the test set, once; metrics on the validation set are for selection",
            )
        };
        Some(super::in_bodies(found.hint(hint), &self.drafts[stage]))
    }

    /// Whether each stage leads to an output of patches or photographs, or has one.
    fn carriers(&self, order: &[usize]) -> Vec<bool> {
        let carries =
            |stage: usize| self.drafts[stage].signature.outputs.iter().any(|out| CARRIERS.contains(&out.ty.as_str()));
        let mut wanted: Vec<bool> = (0..self.drafts.len()).map(carries).collect();
        for &stage in order.iter().rev() {
            if !wanted[stage] {
                continue;
            }
            for (.., source) in self.references(stage) {
                wanted[source] = true;
            }
        }
        wanted
    }

    /// For each of these stages, the first one that computes the same: same implementation, parameters in the key, seed and inputs.
    pub(super) fn same(&self, order: &[usize], wanted: &[bool]) -> Vec<usize> {
        let mut first: BTreeMap<Digest, usize> = BTreeMap::new();
        let mut same: Vec<usize> = (0..self.drafts.len()).collect();
        for &stage in order.iter().filter(|&&stage| wanted[stage]) {
            let spec = &self.drafts[stage].spec;
            let mut key = Hasher::new(STEP);
            key.text(&spec.implementation).int(spec.seed).int(spec.keyed().count() as u64);
            for (path, value) in spec.keyed() {
                value.hash(key.text(path));
            }
            for input in &spec.inputs {
                key.text(&input.port).int(input.from.len() as u64);
                for one in &input.from {
                    let source = self.by_name.get(one.stage.as_str()).map_or(u64::MAX, |&at| same[at] as u64);
                    key.int(source).text(&one.port);
                }
            }
            let key = key.finish();
            same[stage] = *first.entry(key).or_insert(stage);
        }
        same
    }

    /// The lineages of every output of patches or photographs.
    pub(super) fn lineages<'a>(&'a self, order: &[usize]) -> Lineages<'a> {
        let same = self.same(order, &self.carriers(order));
        let mut all = Lineages::new();
        let mut by_name = BTreeMap::new();
        for &stage in order {
            let signature = self.drafts[stage].signature;
            let carries = |ty: &str| CARRIERS.contains(&ty);
            let mut inherited: Rc<BTreeSet<Lineage>> = Rc::default();
            let mut unknown = false;
            // A wrong type is reported elsewhere; the lineage of its outputs is unknown.
            let fits = |port: &str, ty: &String| {
                signature.input(port).is_none_or(|port| port.types.is_empty() || port.types.contains(ty))
            };
            let inputs = self.drafts[stage].spec.inputs.iter();
            let given = inputs.flat_map(|input| input.from.iter().map(move |reference| (&input.port, reference)));
            for (port, reference) in given.filter(|(port, _)| !self.informs(stage, port)) {
                let Some(&source) = self.by_name.get(reference.stage.as_str()) else { continue };
                let Some(from) = self.drafts[source].signature.output(Some(&reference.port)) else { continue };
                unknown |= carries(&from.ty) && !fits(port, &from.ty);
                if carries(&from.ty) {
                    match all.get(&(source, reference.port.as_str())) {
                        Some(lineages) if inherited.is_empty() => inherited = Rc::clone(lineages),
                        Some(lineages) => Rc::make_mut(&mut inherited).extend(lineages.iter().cloned()),
                        None => unknown = true,
                    }
                }
            }
            if inherited.is_empty() && !unknown {
                inherited = Rc::new(BTreeSet::from([(same[stage], BTreeMap::new())]));
            }
            if unknown || inherited.len() > MOST {
                continue;
            }
            for (at, out) in signature.outputs.iter().enumerate().filter(|(_, out)| carries(&out.ty)) {
                let lineages = if signature.divides() {
                    let as_there = self.like(stage, at, &all);
                    let divided = inherited.iter().flat_map(|lineage| on_sides(lineage, &as_there));
                    // Parameters do not count if the sides are those of another stage.
                    let follows =
                        self.drafts[stage].spec.inputs.iter().any(|input| self.takes_sides(stage, &input.port));
                    let mut here = if follows { Vec::new() } else { self.fixed(stage, &out.name) };
                    let own = if follows { same[stage] } else { self.division(stage, &same, &mut by_name) };
                    here.push((own, out.name.as_str()));
                    let side = |(source, mut sides): Lineage<'a>| {
                        sides.extend(here.iter().copied());
                        (source, sides)
                    };
                    Rc::new(divided.map(side).collect())
                } else {
                    Rc::clone(&inherited)
                };
                all.insert((stage, out.name.as_str()), lineages);
            }
        }
        all
    }

    /// The number of a split: that of the first one that puts every photograph on the same side.
    fn division(&self, stage: usize, same: &[usize], by_name: &mut BTreeMap<Digest, usize>) -> usize {
        let draft = &self.drafts[stage];
        let params = &draft.signature.params;
        let chosen = |param: &&Param| {
            let choice = params.iter().find(|choice| choice.cases.iter().any(|case| case.name == param.name));
            let case = choice.and_then(|choice| draft.spec.value(&choice.name));
            matches!(case, Some(Value::Text(case)) if *case == param.name)
        };
        let named = params.iter().filter(|param| param.role == ParamRole::Divides).find(chosen);
        let Some(value) = named.and_then(|param| draft.spec.value(&param.name)) else { return same[stage] };
        let mut key = Hasher::new(STEP);
        value.hash(key.text(&draft.spec.implementation));
        *by_name.entry(key.finish()).or_insert(same[stage])
    }

    /// The sides of an output for each set that follows from the photographs alone: whether it is that set. Numbers from the last on are
    /// those of such sets, the same for each stage.
    fn fixed(&self, stage: usize, output: &str) -> Vec<(usize, &'static str)> {
        let draft = &self.drafts[stage];
        let takes = |case: &str| {
            let choices = draft.signature.params.iter().filter(|param| param.cases.iter().any(|one| one.name == case));
            let taken = |value: &Value| matches!(value, Value::Text(taken) if taken == case);
            choices.filter_map(|choice| draft.spec.value(&choice.name)).any(taken)
        };
        let is_fixed = |set: &str| {
            let param = draft.signature.params.iter().find(|param| param.name == set);
            let case = param.and_then(|param| param.fixes.as_ref());
            case.is_some_and(|case| takes(case)) && draft.spec.value(set) == Some(&Value::Real(0.0))
        };
        let sets = draft.signature.outputs.iter().enumerate().filter(|(_, out)| is_fixed(&out.name));
        sets.map(|(at, set)| (usize::MAX - at, if set.name == output { "within" } else { "outside" })).collect()
    }

    /// A hint how to keep training data with the lineage `seen` from the test set of the stage `split`.
    fn on_same_sides(&self, seen: Option<&Lineage>, split: usize) -> String {
        let of_photographs = self.drafts[split].signature.outputs.iter().any(|out| out.ty == "photographs");
        let split = &self.drafts[split].spec.name;
        let other = seen.and_then(|(_, sides)| sides.keys().rfind(|number| **number < self.drafts.len()));
        match other.map(|number| &self.drafts[*number].spec.name) {
            Some(other) => {
                format!("add `like {split}` to `split {other}`, which puts its photographs into the sets of `{split}`")
            }
            None if of_photographs => {
                format!("cut the training patches from `{split}.train`, or split them with `like {split}`")
            }
            None => format!("train on `{split}.train`, or on the `train` set of another `split` with `like {split}`"),
        }
    }

    /// The lineages of the set that an output follows, if a port says on which sides photographs are.
    fn like<'a>(&self, stage: usize, at: usize, all: &Lineages<'a>) -> BTreeSet<Lineage<'a>> {
        let inputs = self.drafts[stage].spec.inputs.iter().filter(|input| self.takes_sides(stage, &input.port));
        let references = inputs.filter_map(|input| input.from.get(at));
        let lineages = references.filter_map(|reference| {
            let source = *self.by_name.get(reference.stage.as_str())?;
            all.iter().find(|((stage, port), _)| *stage == source && *port == reference.port)
        });
        lineages.flat_map(|(_, lineages)| lineages.iter().cloned()).collect()
    }

    /// Where the patches of `source` got the embeddings that the network of a stage reads.
    pub(super) fn joins(&self, stage: usize, source: usize) -> Vec<EmbeddingJoin<'_>> {
        let read = self.drafts[stage].spec.network().map(NetworkSpec::embeddings);
        self.joins_of(read.unwrap_or_default(), source)
    }

    /// Where the patches of `source` got their embeddings under these names.
    pub(super) fn joins_of(&self, names: BTreeSet<String>, source: usize) -> Vec<EmbeddingJoin<'_>> {
        let (mut found, mut reached, mut todo) = (Vec::new(), BTreeSet::new(), vec![(source, names)]);
        while let Some((at, mut names)) = todo.pop() {
            if names.is_empty() || !reached.insert((at, names.clone())) {
                continue;
            }
            let draft = &self.drafts[at];
            let named = draft.signature.outputs.iter().filter_map(|out| draft.spec.value(out.embeddings.as_ref()?));
            let gives: Vec<String> = named.map(ToString::to_string).filter(|name| names.contains(name)).collect();
            // Embeddings of an earlier join under the same name are replaced.
            names.retain(|name| !gives.contains(name));
            for (reference, place, source) in self.contents(at) {
                let out = self.drafts[source].signature.output(Some(&reference.port));
                if out.is_some_and(|out| CARRIERS.contains(&out.ty.as_str())) {
                    todo.push((source, names.clone()));
                } else if !gives.is_empty() {
                    found.push(EmbeddingJoin { stage: at, place, embeddings: source });
                }
            }
        }
        found
    }

    /// The models trained or selected on the path to a stage: the stage, the port, the reference, and the output.
    pub(super) fn models(&self, stage: usize) -> Vec<Model<'_>> {
        self.models_along(stage, &|_| true)
    }

    /// As [`Self::models`], without those whose scores reach the stage as an evaluation: they were judged there, on the patches of that
    /// evaluation, and a stage that pools evaluations checks at run time that each patch has the score of a model that has not seen it.
    fn models_before_scores(&self, stage: usize) -> Vec<Model<'_>> {
        self.models_along(stage, &|ty| ty != "scores")
    }

    /// The models on the path to a stage, along outputs of certain types.
    fn models_along(&self, stage: usize, follows: &dyn Fn(&str) -> bool) -> Vec<Model<'_>> {
        let mut found = Vec::new();
        let mut reached = BTreeSet::from([stage]);
        let mut todo = vec![stage];
        while let Some(at) = todo.pop() {
            let draft = &self.drafts[at];
            for (input, sites) in draft.spec.inputs.iter().zip(&draft.sites) {
                let refuses = draft.signature.input(&input.port).is_some_and(|port| port.refuses("test"));
                for (reference, place) in input.from.iter().zip(sites) {
                    let Some(&source) = self.by_name.get(reference.stage.as_str()) else { continue };
                    let carries = self.drafts[source].signature.output(Some(&reference.port));
                    if carries.is_some_and(|out| !CARRIERS.contains(&out.ty.as_str())) {
                        if carries.is_some_and(|out| follows(&out.ty)) && reached.insert(source) {
                            todo.push(source);
                        }
                        continue;
                    }
                    if refuses && at != stage {
                        found.push((at, input.port.as_str(), place, (source, reference.port.as_str())));
                    }
                    // What encoded the photographs of training patches is a part of the model.
                    let encoders = if refuses && follows(JOINED) { self.joins(at, source) } else { Vec::new() };
                    todo.extend(encoders.into_iter().map(|join| join.embeddings).filter(|at| reached.insert(*at)));
                }
            }
        }
        found
    }
}

/// A lineage on the sides that its photographs have in `there`: one for each lineage of the same source that does not contradict it.
fn on_sides<'a>(lineage: &Lineage<'a>, there: &BTreeSet<Lineage<'a>>) -> Vec<Lineage<'a>> {
    let both = there.iter().filter(|other| meet(lineage, other));
    let joined: Vec<Lineage> = both
        .map(|(source, sides)| (*source, lineage.1.iter().chain(sides).map(|(split, side)| (*split, *side)).collect()))
        .collect();
    if joined.is_empty() { vec![lineage.clone()] } else { joined }
}

/// Whether two lineages may contain the same patches: the same source, and no split at which they differ.
pub(super) fn meet(one: &Lineage, other: &Lineage) -> bool {
    let apart = |(split, side): (&usize, &&str)| other.1.get(split).is_some_and(|there| there != side);
    one.0 == other.0 && !one.1.iter().any(apart)
}
