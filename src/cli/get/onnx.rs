//! `macula get --onnx`: a trained network, the mean of several, or an encoder as one ONNX file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::base::{Digest, disk};
use crate::cli::predict::scorer::{Member, Scorer};
use crate::cli::{Exit, Failure, Loaded, artifact};
use crate::engine::network::{JoinedShapes, Weights};
use crate::learn::metrics::DecisionRule;
use crate::learn::model::{ModelInfo, WEIGHTS, shapes};
use crate::learn::onnx::{OnnxExport, OnnxFile, OnnxNetwork, OnnxOutput, PixelForm};
use crate::learn::pretrain::PretrainedInfo;
use crate::learn::tta::Tta;
use crate::progress::out;
use crate::progress::table::{bytes, counted};
use crate::run::Host;
use crate::stage::StageError;
use crate::stages::heat_map::combined;
use crate::store::{Objects, StoreError, Tree};

/// `--input`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum InputForm {
    /// 32-bit floats, RGB from 0 to 1, N x 3 x H x W
    #[default]
    Float,
    /// Bytes, RGB, N x H x W x 3
    Bytes,
}

impl From<InputForm> for PixelForm {
    fn from(form: InputForm) -> Self {
        match form {
            InputForm::Float => Self::Unit,
            InputForm::Bytes => Self::Bytes,
        }
    }
}

/// Writes the network of a stage to a file.
///
/// # Errors
/// A [`Failure`] if the stage has no network, or its result is not that of the current pipeline; if the file exists, or writing fails.
pub(super) fn write(
    host: &Host,
    loaded: &Loaded,
    wanted: &str,
    file: &Path,
    pixels: PixelForm,
    force: bool,
) -> Result<Exit, Failure> {
    let (path, shown) = (host.folder.join(file), file.display());
    if path.is_dir() {
        return Err(Failure::user(format!("`{shown}` is a folder")).hint("name a file, such as `model.onnx`"));
    }
    if path.exists() && !force {
        return Err(
            Failure::user(format!("`{shown}` exists")).hint("name another file, or use `--force` to replace it")
        );
    }
    let name = loaded.pipeline.outlet(wanted).map_or(wanted, |reference| reference.stage.as_str());
    let stage = loaded.pipeline.stages.iter().find(|stage| stage.name == name);
    let gives = |ty: &str| stage.is_some_and(|stage| stage.outputs.iter().any(|output| output.ty == ty));
    let is_average = stage.is_some_and(|stage| stage.implementation == "average");
    let (what, written) = match stage {
        Some(stage) if stage.implementation == "pretrain" => encoder(host, loaded, wanted, pixels)?,
        Some(stage) if !is_average && !gives("model") => {
            let text = format!("`{}` is a `{}` stage, which has no network", stage.name, stage.stage_type);
            return Err(
                Failure::user(text).hint("name a `train`, `import-model`, `calibrate`, `average` or `pretrain` stage")
            );
        }
        // What is unknown is reported with the names that it may mean.
        _ => classifier(host, loaded, wanted, pixels)?,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(StoreError::disk("create", folder))?;
    }
    disk::write_lightly(&path, &written.bytes).map_err(StoreError::disk("write", &path))?;
    let mut said = format!("{what}, {}, in {shown}\n", bytes(written.bytes.len() as u64));
    let ports: Vec<&(String, String)> = written.inputs.iter().chain(&written.outputs).collect();
    let width = ports.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, what) in ports {
        let _ = writeln!(said, "  {name:width$}  {what}");
    }
    out::say(&said);
    Ok(Exit::Done)
}

/// A classifier, or the mean of several.
fn classifier(host: &Host, loaded: &Loaded, wanted: &str, pixels: PixelForm) -> Result<(String, OnnxFile), Failure> {
    let Scorer { name, members, tta, tuned, .. } = Scorer::find(host, loaded, wanted)?;
    let info = combined(members.iter().map(|member| member.info.clone()).collect())?;
    for member in &members {
        member.info.calibrated_for(tta)?;
    }
    let weights = members.iter().map(|member| weights(&member.tree, &loaded.store.objects));
    let weights = weights.collect::<Result<Vec<_>, StageError>>()?;
    let mut metadata = facts(&name, info.size, info.scale, members.iter().map(|member| member.key));
    metadata.insert("classes".to_owned(), json!(info.classes).to_string());
    metadata.insert("tta".to_owned(), tta.name().to_owned());
    let decision = match info.activation.decision() {
        DecisionRule::Threshold => "threshold",
        DecisionRule::Highest => "highest",
    };
    metadata.insert("decision".to_owned(), decision.to_owned());
    if let Some(tuned) = &tuned {
        let values = info.classes.iter().zip(&tuned.values);
        let values: Map<String, Value> = values.map(|(class, value)| (class.clone(), json!(value))).collect();
        metadata.insert("thresholds".to_owned(), Value::Object(values).to_string());
        metadata.insert("thresholds.stage".to_owned(), tuned.stage.clone());
    }
    metadata.insert("calibration".to_owned(), calibrations(&members).to_string());
    metadata.insert("network".to_owned(), list(members.iter().map(|member| member.info.network.name.clone())));
    let digests = members.iter().map(|member| member.info.network.digest().to_string());
    metadata.insert("network.digest".to_owned(), list(digests));
    let networks = members.iter().zip(&weights).map(|(member, weights)| network(&member.info, weights));
    let export = OnnxExport {
        name: name.clone(),
        networks: networks.collect(),
        side: info.size as usize,
        classes: info.classes.len(),
        joined: shapes(&info.embeddings),
        tta,
        pixels,
        metadata,
    };
    let what = match members.as_slice() {
        [member] => member.info.network.name.clone(),
        several => format!("mean of {}", counted(several.len() as u64, "network", "networks")),
    };
    Ok((format!("{what}, {}", info.classes.join(" ")), export.write()?))
}

fn network<'a>(info: &'a ModelInfo, weights: &'a Weights) -> OnnxNetwork<'a> {
    let output = OnnxOutput::Probabilities { activation: info.activation, calibration: info.calibration.as_ref() };
    OnnxNetwork { spec: &info.network, weights, normalisation: info.normalisation, output }
}

/// The encoder of a pretraining.
fn encoder(host: &Host, loaded: &Loaded, wanted: &str, pixels: PixelForm) -> Result<(String, OnnxFile), Failure> {
    let artifact = artifact::find(host, loaded, wanted)?;
    let missing = || StageError::Bug("a pretraining without weights".to_owned());
    let tree = artifact.outputs.values().next().ok_or_else(missing)?;
    let info = PretrainedInfo::read(tree, &loaded.store.objects)?.ok_or_else(missing)?;
    let weights = weights(tree, &loaded.store.objects)?;
    let mut metadata = facts(&artifact.stage.base_name, info.size, info.scale, [artifact.key].into_iter());
    metadata.insert("network".to_owned(), info.network.name.clone());
    metadata.insert("network.digest".to_owned(), info.network.digest().to_string());
    let (normalisation, output) = (info.normalisation, OnnxOutput::Features);
    let export = OnnxExport {
        name: artifact.stage.base_name.clone(),
        networks: vec![OnnxNetwork { spec: &info.network, weights: &weights, normalisation, output }],
        side: info.size as usize,
        classes: 0,
        joined: JoinedShapes::new(),
        tta: Tta::None,
        pixels,
        metadata,
    };
    Ok((info.network.name.clone(), export.write()?))
}

/// Weights of the selected epoch.
fn weights(tree: &Tree, objects: &Objects) -> Result<Weights, StageError> {
    let found =
        objects.read_in(tree, WEIGHTS)?.ok_or_else(|| StageError::Bug(format!("a model without `{WEIGHTS}`")))?;
    Weights::parse(WEIGHTS, &found)
}

/// Properties that every file has.
fn facts(stage: &str, size: u32, scale: u32, keys: impl Iterator<Item = Option<Digest>>) -> BTreeMap<String, String> {
    let keys = list(keys.flatten().map(|key| key.to_string()));
    [
        ("macula", env!("CARGO_PKG_VERSION").to_owned()),
        ("stage", stage.to_owned()),
        ("key", keys),
        ("side", size.to_string()),
        ("scale", scale.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn list(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

/// How scores were calibrated, as JSON: null, or methods and lines; a list of several networks.
fn calibrations(members: &[Member]) -> Value {
    let of = |member: &Member| json!(member.info.calibration);
    match members {
        [member] => of(member),
        several => several.iter().map(of).collect(),
    }
}
