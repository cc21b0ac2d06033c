//! Figures of stages by name: `scores.mean-average-precision`, `scores.average-precision.MA`.

use super::kind::Refusal;
use super::near;
use super::signature::{Better, Figure};
use super::spec::{Pipeline, Rank, StageSpec};
use super::stdlib::stdlib;

/// The figures that a kind of stage gives.
#[must_use]
pub fn of(kind: &str) -> &'static [Figure] {
    stdlib().signatures.iter().find(|signature| signature.name == kind).map_or(&[], |signature| &signature.figures)
}

/// The stages of a pipeline that give figures, in the order of the file.
pub fn stages(pipeline: &Pipeline) -> impl Iterator<Item = &StageSpec> {
    pipeline.stages.iter().filter(|stage| !of(&stage.kind).is_empty())
}

/// Whether a stage, or one whose figures it puts together, is given test patches.
#[must_use]
pub fn sees_test(pipeline: &Pipeline, name: &str) -> bool {
    let find = |name: &str| pipeline.stages.iter().find(|stage| stage.own == name);
    let Some(stage) = find(name) else { return false };
    let from = stage.inputs.iter().flat_map(|input| &input.from).filter_map(|reference| find(&reference.stage));
    let gives_figures = |stage: &&StageSpec| !of(&stage.kind).is_empty() && stage.kind != "train";
    std::iter::once(stage).chain(from.filter(gives_figures)).any(|stage| stage.marks.contains("test"))
}

/// What `by` names: a stage, or a stage with a body, and one of its figures.
///
/// # Errors
/// A [`Refusal`] where there is no such stage or figure.
pub fn find(pipeline: &Pipeline, by: &str) -> Result<Rank, Refusal> {
    let example = "name a stage and a figure: `scores.mean-average-precision`";
    let stage = |name: &str| {
        let name = pipeline.outlet(name).map_or(name, |reference| &reference.stage);
        pipeline.stages.iter().find(|stage| stage.own == name)
    };
    let found = by.rmatch_indices('.').find_map(|(at, _)| Some((stage(&by[..at])?, &by[at + 1..])));
    let Some((stage, wanted)) = found else {
        let first = by.split('.').next().unwrap_or_default();
        let hint = match stage(by) {
            Some(stage) => match of(&stage.kind).first() {
                Some(figure) => format!("write one of its figures behind it: `{by}.{}`", figure.name),
                None => {
                    stages(pipeline).next().map_or(example.to_owned(), |other| format!("`{}` gives some", other.own))
                }
            },
            None => near::hint(first, stages(pipeline).map(|stage| stage.own.as_str()), example),
        };
        let text = match stage(by) {
            Some(_) => format!("`{by}` is a stage, not a figure"),
            None => format!("there is no stage `{first}`"),
        };
        return Err(Refusal { code: "unknown-figure", text, hint });
    };
    let figures = of(&stage.kind);
    let (name, class) = wanted.split_once('.').map_or((wanted, None), |(name, class)| (name, Some(class.to_owned())));
    let text = format!("`{}` gives no figure `{wanted}`", stage.own);
    let Some(figure) = figures.iter().find(|figure| figure.name == name) else {
        let hint = if figures.is_empty() {
            let names: Vec<&str> = stages(pipeline).map(|stage| stage.own.as_str()).collect();
            if names.is_empty() {
                "no stage of this pipeline gives figures".to_owned()
            } else {
                near::names(names) + " give figures"
            }
        } else {
            near::hint(name, figures.iter().map(|figure| figure.name.as_str()), "")
        };
        return Err(Refusal { code: "unknown-figure", text, hint });
    };
    match (figure.per_class, &class) {
        (false, Some(class)) => {
            let hint = format!("`{name}` is of all classes together: leave `.{class}` out");
            Err(Refusal { code: "unknown-figure", text, hint })
        }
        (true, None) => {
            let hint = format!("`{name}` is of one class: write `{by}.MA`");
            Err(Refusal { code: "unknown-figure", text, hint })
        }
        _ => Ok(Rank { stage: stage.own.clone(), figure: wanted.to_owned(), better: figure.better }),
    }
}

/// Where a figure stands among all, by its name without stage: signatures have them in the order of interest.
#[must_use]
pub fn place(figure: &str) -> usize {
    let name = figure.split('.').next().unwrap_or(figure);
    stdlib()
        .signatures
        .iter()
        .flat_map(|signature| &signature.figures)
        .position(|known| known.name == name)
        .unwrap_or(usize::MAX)
}

/// Which of two values of a figure is better, by its name without stage.
#[must_use]
pub fn better(figure: &str) -> Better {
    let name = figure.split('.').next().unwrap_or(figure);
    let known = stdlib().signatures.iter().flat_map(|signature| &signature.figures).find(|known| known.name == name);
    known.map_or(Better::Higher, |known| known.better)
}
