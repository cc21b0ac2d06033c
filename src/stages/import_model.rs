//! `import-model`: weights that another program trained, with the description of their network, as a model.

use super::fitting::{WEIGHTS, network, weights_file};
use crate::base::Streams;
use crate::base::figure::{counted, thousands};
use crate::data::class_names;
use crate::engine::network::{Missing, Network, Weights};
use crate::engine::normalise::Normalisation;
use crate::lang::shapes;
use crate::lang::value::Value;
use crate::learn::metrics::ScoreFunction;
use crate::learn::model::{DESCRIPTION, LabelCounts, ModelInfo, shapes as joined_shapes};
use crate::stage::{
    ConnectedPorts, Ctx, Determinism, Implementation, Outcome, Params, StageError, Summary, Warning, Work,
};
use crate::store::{Entry, Tree};

/// The implementation of `import-model`.
pub const IMPORT_MODEL: Implementation = Implementation {
    name: "import-model",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: Some(check),
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

/// Endings of weights files.
const ENDINGS: [&str; 3] = [".safetensors", ".pth", ".pt"];

/// Finds what is wrong with a network for these patches and classes, before anything runs.
fn check(params: &Params, _: &ConnectedPorts) -> Result<Vec<StageError>, StageError> {
    let (classes, network, size) = (classes(params)?, network(params)?, params.count("size")?);
    let wrong =
        |code, text: String, hint: &str| Err(StageError::input(code, text).hint(hint.to_owned()).field("network"));
    let name = &network.name;
    if let Some(input) = network.embeddings().first() {
        let text = format!("network `{name}` reads embeddings as `{input}`, which an imported model cannot");
        return wrong("missing-input", text, "train it with macula, or import a network that reads pixels only");
    }
    if !network.is_classifier() {
        let hint = "name the whole network; weights of an encoder are for `init` of `encode` and `train`";
        return wrong("shape-mismatch", format!("network `{name}` ends at a tap, and has no logits"), hint);
    }
    if let Err(misfits) = shapes::shapes(network, size, classes.len()) {
        let all: Vec<&str> = misfits.iter().map(|misfit| misfit.message.as_str()).collect();
        let text = format!("network `{name}` cannot take patches of {size} px: {}", all.join("; "));
        return wrong("shape-mismatch", text, misfits.first().map_or("", |misfit| &misfit.hint));
    }
    Ok(Vec::new())
}

fn classes(params: &Params) -> Result<Vec<String>, StageError> {
    let classes: Vec<String> = params.list("classes").iter().map(Value::to_string).collect();
    let names: Vec<&str> = classes.iter().map(String::as_str).collect();
    if names.is_empty() {
        return Err(StageError::input("no-classes", "the model has no class")
            .hint("name at least one")
            .field("classes"));
    }
    class_names::check(&names, &|_| "classes".to_owned())?;
    Ok(classes)
}

fn run(ctx: &Ctx) -> Result<Outcome, StageError> {
    let (mut spec, classes, size) = (network(ctx.params)?.clone(), classes(ctx.params)?, ctx.params.count("size")?);
    // Only a training reads them.
    spec.auxiliary.clear();
    let (shown, entry) = file(ctx)?;
    let weights = Weights::parse(&shown, &ctx.objects.read(&entry)?).map_err(|error| error.field("from"))?;
    let nothing = joined_shapes(&[]);
    let mut network = Network::joined(&spec, size, &nothing, classes.len(), &Streams::new(0, "import"))?;
    let report = network.load(&weights, Missing::Error).map_err(|error| error.field("from"))?;
    let mut warnings = Vec::new();
    if !report.folded.is_empty() {
        let text = format!(
            "`{shown}` has {} folded into the convolutions before them, which only a training can restore",
            counted(report.folded.len() as u64, "batch norm", "batch norms")
        );
        let hint = "save the weights before they are fused for deployment";
        return Err(StageError::input("weights-variance", text).hint(hint).field("from"));
    }
    if let Some(name) = report.replaced.first() {
        let outputs = weights.tensors.get(name).and_then(|(shape, _)| shape.first());
        let outputs = outputs.map_or_else(|| "other".to_owned(), ToString::to_string);
        let text = format!(
            "`{name}` of `{shown}` has {outputs} outputs, but `classes` has {}",
            counted(classes.len() as u64, "name", "names")
        );
        let hint = "name all classes, in the order of the logits";
        return Err(StageError::input("weights-shape", text).hint(hint).field("classes"));
    }
    if let Some(first) = report.unexpected.first() {
        let text = format!(
            "`{shown}` has {} that network `{}` lacks, such as `{first}`",
            counted(report.unexpected.len() as u64, "tensor", "tensors"),
            spec.name
        );
        warnings.push(Warning { code: "weights-names".to_owned(), text });
    }
    let activation = match ctx.params.text("scores")? {
        "softmax" => ScoreFunction::Softmax,
        _ => ScoreFunction::Sigmoid,
    };
    let parameters = report.loaded.iter().filter_map(|name| weights.tensors.get(name)).map(|(_, values)| values.len());
    let headline = format!(
        "{}, {}, {} values in {}",
        spec.name,
        counted(classes.len() as u64, "class", "classes"),
        thousands(parameters.sum::<usize>() as u64),
        counted(report.loaded.len() as u64, "tensor", "tensors")
    );
    let info = ModelInfo {
        inputs: spec.inputs(),
        margin: spec.margin(size) as u32,
        network: spec,
        embeddings: Vec::new(),
        labels: vec![LabelCounts::default(); classes.len()],
        classes,
        size: size as u32,
        scale: ctx.params.count("scale")? as u32,
        normalisation: Normalisation::from_params(ctx.params)?,
        chosen_epoch: 0,
        epochs: 0,
        kernel_path: String::new(),
        activation,
        calibration: None,
        provenance: None,
    };
    let json = serde_json::to_vec_pretty(&info).map_err(|error| StageError::Bug(error.to_string()))?;
    let mut tree = Tree::default();
    tree.insert(DESCRIPTION, ctx.objects.put(&json)?);
    tree.insert(WEIGHTS, ctx.objects.put(&network.save()?)?);
    let summary = Summary { headline, warnings, ..Summary::default() };
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// The weights file, and its name for messages.
fn file(ctx: &Ctx) -> Result<(String, Entry), StageError> {
    let tree = ctx.inputs.one("from")?;
    let wanted = match ctx.params.get("file") {
        Value::Text(name) => Some(name.as_str()),
        _ => None,
    };
    let names = || tree.entries.keys().map(|name| format!("`{name}`")).take(6).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = wanted {
        let found = tree.get(wanted).map(|entry| (wanted.to_owned(), *entry));
        return found.ok_or_else(|| {
            let text = format!("`from` has no file `{wanted}`");
            StageError::input("missing-file", text).hint(format!("it has {}", names())).field("file")
        });
    }
    if tree.entries.len() == 1 {
        return weights_file(tree, ctx.objects);
    }
    let is_weights = |name: &str| ENDINGS.iter().any(|ending| name.ends_with(ending));
    let mut found = tree.entries.iter().filter(|(name, _)| is_weights(name));
    match (found.next(), found.next()) {
        (Some((name, entry)), None) => Ok((name.clone(), *entry)),
        (None, _) => {
            let text = format!("`from` has no weights file, but {}", names());
            let hint = "give a file that ends in `.safetensors`, `.pth` or `.pt`";
            Err(StageError::input("missing-file", text).hint(hint).field("from"))
        }
        (Some(_), Some(_)) => {
            let text = format!("`from` has several weights files: {}", names());
            Err(StageError::input("missing-file", text).hint("choose one: `file \"NAME\"`").field("file"))
        }
    }
}
