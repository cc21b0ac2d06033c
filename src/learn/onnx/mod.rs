//! Export of trained networks as ONNX files, with everything from pixels to probabilities inside. Knows no stage.
//!
//! Operators are those of opset 17. Everything is f32; only log odds of scores that are no longer logits are computed in f64.

mod attention;
mod graph;
mod layers;
mod proto;

use std::collections::BTreeMap;

use prost::Message;

use self::graph::{GraphBuilder, GraphValue, ValueLayout, attribute, attributes, int};
use self::layers::{LayerExport, ReachableValues};
use self::proto::{MetadataProperty, OnnxModel, OnnxPort, OperatorSet, data_type};
use super::calibration::Calibration;
use super::metrics::ScoreFunction;
use super::tta::Tta;
use crate::base::figure;
use crate::engine::network::{JoinedShapes, Weights, canvas};
use crate::engine::normalise::Normalisation;
use crate::lang::network::{InputKind, NetworkSpec};
use crate::stage::StageError;

/// Version of the operators.
const OPSET: i64 = 17;

/// Version of the file format that belongs to them.
const IR_VERSION: i64 = 8;

/// Largest file that the format allows, bytes: lengths in it are 31 bits.
const LARGEST: usize = (1 << 31) - 1;

/// Input with the pixels.
pub const IMAGE: &str = "image";

/// Form of the pixels that the file takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelForm {
    /// f32 RGB from 0 to 1, N x 3 x H x W.
    Unit,
    /// u8 RGB, N x H x W x 3, as decoders of images give it.
    Bytes,
}

impl PixelForm {
    /// What it is, in words.
    #[must_use]
    pub fn describe(self, side: usize) -> String {
        match self {
            Self::Unit => format!("float32, RGB from 0 to 1, N x 3 x {side} x {side}"),
            Self::Bytes => format!("uint8, RGB, N x {side} x {side} x 3"),
        }
    }
}

/// What the file gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OnnxOutput<'a> {
    /// Scores of each class, N x C.
    Probabilities {
        /// How logits become scores.
        activation: ScoreFunction,
        /// Calibration of the scores.
        calibration: Option<&'a Calibration>,
    },
    /// Output of a network up to a tap: N x C, or N x H x W x C of a map.
    Features,
}

/// Network in an export.
#[derive(Clone, Copy, Debug)]
pub struct OnnxNetwork<'a> {
    /// Layers.
    pub spec: &'a NetworkSpec,
    /// Tensors.
    pub weights: &'a Weights,
    /// Normalisation of RGB from 0 to 1.
    pub normalisation: Normalisation,
    /// What it gives.
    pub output: OnnxOutput<'a>,
}

/// Networks to export. The output is the mean of theirs.
#[derive(Clone, Debug)]
pub struct OnnxExport<'a> {
    /// Name of the graph.
    pub name: String,
    /// One or more networks for the same patches.
    pub networks: Vec<OnnxNetwork<'a>>,
    /// Side of a patch, px.
    pub side: usize,
    /// Number of classes.
    pub classes: usize,
    /// Shapes of the embeddings that the networks read, by name.
    pub joined: JoinedShapes,
    /// Orientations that scores are the mean of.
    pub tta: Tta,
    /// Form of the pixels.
    pub pixels: PixelForm,
    /// Properties of the file, by name.
    pub metadata: BTreeMap<String, String>,
}

/// Finished file.
#[derive(Clone, Debug)]
pub struct OnnxFile {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Names and descriptions of its inputs.
    pub inputs: Vec<(String, String)>,
    /// Names and descriptions of its outputs.
    pub outputs: Vec<(String, String)>,
}

impl OnnxExport<'_> {
    /// Side of the pixels that the file takes, px: that of a patch, or twice as much if a network sees its surroundings.
    #[must_use]
    pub fn canvas(&self) -> usize {
        self.networks.iter().map(|network| canvas(network.spec, self.side)).max().unwrap_or(self.side)
    }

    /// Name of the output.
    #[must_use]
    pub fn output(&self) -> &'static str {
        match self.networks.first().map(|network| network.output) {
            Some(OnnxOutput::Features) => "features",
            _ => "probabilities",
        }
    }

    /// The file.
    ///
    /// # Errors
    /// `onnx-size` if it would be larger than the format allows; [`StageError::Bug`] if weights and networks do not match.
    pub fn write(mut self) -> Result<OnnxFile, StageError> {
        let mut graph = GraphBuilder::new(self.output());
        let pixels = self.image(&mut graph);
        let mut joined = self.embeddings(&mut graph);
        let image = match self.orientations() {
            1 => pixels,
            count => {
                for value in joined.values_mut() {
                    value.name = graph.concat("orientations", &vec![value.name.as_str(); count], 0);
                }
                turned(&mut graph, &pixels)?
            }
        };
        let mut found = Vec::with_capacity(self.networks.len());
        for (at, network) in self.networks.iter().enumerate() {
            if self.networks.len() > 1 {
                graph.prefix = format!("network{}.", at + 1);
            }
            found.push(self.network(&mut graph, network, &image, &joined)?);
        }
        graph.prefix.clear();
        let output = mean(&mut graph, found)?;
        let sides = match output.layout {
            ValueLayout::Vector => vec![output.channels],
            ValueLayout::Maps | ValueLayout::Pixels => vec![output.height, output.width, output.channels],
        };
        let mut finished = graph.finish(&output.name, self.output(), &sides, &floats(&sides));
        finished.name.clone_from(&self.name);
        let described = |port: &OnnxPort| (port.name.clone(), port.doc_string.clone());
        let inputs: Vec<(String, String)> = finished.input.iter().map(described).collect();
        if let Some((_, pixels)) = inputs.iter().find(|(name, _)| name == IMAGE) {
            self.metadata.insert("input".to_owned(), pixels.clone());
            self.metadata.insert("margin".to_owned(), ((self.canvas() - self.side) / 2).to_string());
        }
        let outputs = finished.output.iter().map(described).collect();
        let property = |(key, value): (&String, &String)| MetadataProperty { key: key.clone(), value: value.clone() };
        let model = OnnxModel {
            ir_version: Some(IR_VERSION),
            producer_name: "macula".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            doc_string: "For research, not for clinical use.".to_owned(),
            graph: Some(finished),
            opset_import: vec![OperatorSet { domain: String::new(), version: Some(OPSET) }],
            metadata_props: self.metadata.iter().map(property).collect(),
        };
        let size = model.encoded_len();
        if size > LARGEST {
            let (size, largest) = (figure::size(size as u64), figure::size(LARGEST as u64 + 1));
            let text = format!("the ONNX file would have {size}, and the format allows less than {largest}");
            return Err(StageError::input("onnx-size", text).hint("export a smaller network"));
        }
        Ok(OnnxFile { bytes: model.encode_to_vec(), inputs, outputs })
    }

    /// Number of orientations that scores are the mean of; encoders see one.
    fn orientations(&self) -> usize {
        if self.output() == "features" { 1 } else { self.tta.views() }
    }

    /// Input with the pixels, from 0 to 1.
    fn image(&self, graph: &mut GraphBuilder) -> GraphValue {
        let side = self.canvas();
        let margin = (side - self.side) / 2;
        let around = if margin > 0 { format!(": the patch and {margin} px around it") } else { String::new() };
        let doc = self.pixels.describe(side) + &around;
        let (name, layout) = match self.pixels {
            PixelForm::Unit => (graph.input(IMAGE, data_type::FLOAT, &[3, side, side], &doc), ValueLayout::Maps),
            PixelForm::Bytes => {
                let name = graph.input(IMAGE, data_type::UINT8, &[side, side, 3], &doc);
                let floats = graph.node("Cast", "floats", &[&name], [attribute("to", i64::from(data_type::FLOAT))]);
                let highest = graph.float(255.0);
                (graph.node("Div", "unit", &[&floats, &highest], []), ValueLayout::Pixels)
            }
        };
        GraphValue { name, height: side, width: side, channels: 3, layout }
    }

    /// Inputs with embeddings, by name.
    fn embeddings(&self, graph: &mut GraphBuilder) -> ReachableValues {
        let mut inputs = ReachableValues::new();
        for (name, &[height, width, channels]) in &self.joined {
            let (layout, sides) = match (height, width) {
                (1, 1) => (ValueLayout::Vector, vec![channels]),
                _ => (ValueLayout::Pixels, vec![height, width, channels]),
            };
            let doc = floats(&sides) + ": an embedding";
            let input = graph.input(name, data_type::FLOAT, &sides, &doc);
            inputs.insert(name.clone(), GraphValue { name: input, height, width, channels, layout });
        }
        inputs
    }

    /// Output of one network.
    fn network(
        &self,
        graph: &mut GraphBuilder,
        network: &OnnxNetwork<'_>,
        image: &GraphValue,
        joined: &ReachableValues,
    ) -> Result<GraphValue, StageError> {
        let OnnxNetwork { spec, weights, normalisation, output } = network;
        let mut layers = LayerExport { graph, weights, classes: self.classes };
        let [mean, std] = [("mean", &normalisation.mean), ("std", &normalisation.std)]
            .map(|(hint, values)| layers.by_channel(hint, image, values));
        let centred = layers.graph.node("Sub", "centred", &[&image.name, &mean], []);
        let seen = image.mapped(layers.graph.node("Div", "normalised", &[&centred, &std], []));
        let own = canvas(spec, self.side);
        let seen = middle(layers.graph, &seen, own);
        let patch = middle(layers.graph, &seen, self.side);
        let mut reach = joined.clone();
        for input in spec.inputs() {
            let from = match input {
                InputKind::Wide => &seen,
                InputKind::Half | InputKind::Patch => &patch,
            };
            let smaller = layers.pool("AveragePool", (2, 2, 0), from)?;
            reach.insert(input.name().to_owned(), smaller);
        }
        reach.insert(InputKind::Patch.name().to_owned(), patch.clone());
        let found = layers.sequence(&spec.layers, patch, &mut reach)?;
        match output {
            OnnxOutput::Features if found.layout == ValueLayout::Maps => graph.to(&found, ValueLayout::Pixels),
            OnnxOutput::Features => Ok(found),
            OnnxOutput::Probabilities { activation, calibration } => {
                let logits = graph.to(&found, ValueLayout::Vector)?;
                if logits.channels != self.classes {
                    let (own, wanted) = (logits.channels, self.classes);
                    return Err(StageError::Bug(format!("{own} logits for {wanted} classes")));
                }
                Ok(logits.mapped(self.scores(graph, &logits.name, *activation, *calibration)))
            }
        }
    }

    /// Scores of logits, calibrated, and their mean over orientations.
    fn scores(
        &self,
        graph: &mut GraphBuilder,
        logits: &str,
        activation: ScoreFunction,
        calibration: Option<&Calibration>,
    ) -> String {
        let line = calibration.map(|calibration| {
            let slopes: Vec<f64> = calibration.lines.iter().map(|line| line.slope).collect();
            (slopes, calibration.lines.iter().map(|line| line.intercept).collect::<Vec<f64>>())
        });
        let count = self.orientations();
        let narrow = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<f32>>();
        let scores = match (&line, activation) {
            // The log odds are the logits.
            (Some((slopes, intercepts)), ScoreFunction::Sigmoid) if count == 1 => {
                let slopes = graph.floats("slopes", &[slopes.len()], &narrow(slopes));
                let intercepts = graph.floats("intercepts", &[intercepts.len()], &narrow(intercepts));
                let scaled = graph.node("Mul", "calibrated", &[logits, &slopes], []);
                let moved = graph.node("Add", "calibrated", &[&scaled, &intercepts], []);
                return graph.node("Sigmoid", "scores", &[&moved], []);
            }
            (_, ScoreFunction::Sigmoid) => graph.node("Sigmoid", "scores", &[logits], []),
            (_, ScoreFunction::Softmax) => graph.node("Softmax", "scores", &[logits], [attribute("axis", 1)]),
        };
        let scores = if count == 1 {
            scores
        } else {
            let apart = graph.reshape(&scores, &[int(count), -1, int(self.classes)]);
            let given = [attributes("axes", &[0]), attribute("keepdims", 0)];
            graph.node("ReduceMean", "scores", &[&apart], given)
        };
        line.map_or(scores.clone(), |line| calibrated(graph, &scores, &line))
    }
}

/// Description of floats with these sides for each patch.
fn floats(sides: &[usize]) -> String {
    let sides: Vec<String> = sides.iter().map(ToString::to_string).collect();
    format!("float32, N x {}", sides.join(" x "))
}

/// Scores on the line of their class, from their log odds in f64.
fn calibrated(graph: &mut GraphBuilder, scores: &str, (slopes, intercepts): &(Vec<f64>, Vec<f64>)) -> String {
    let to = |of: i32| [attribute("to", i64::from(of))];
    let exact = graph.node("Cast", "exact", &[scores], to(data_type::DOUBLE));
    let [low, high, one] = [f64::MIN_POSITIVE, 1.0_f64.next_down(), 1.0].map(|v| graph.doubles("bound", &[], &[v]));
    let inside = graph.node("Clip", "exact", &[&exact, &low, &high], []);
    let rest = graph.node("Sub", "rest", &[&one, &inside], []);
    let [log, log_rest] = [&inside, &rest].map(|value| graph.node("Log", "log", &[value], []));
    let odds = graph.node("Sub", "log-odds", &[&log, &log_rest], []);
    let slopes = graph.doubles("slopes", &[slopes.len()], slopes);
    let intercepts = graph.doubles("intercepts", &[intercepts.len()], intercepts);
    let scaled = graph.node("Mul", "calibrated", &[&odds, &slopes], []);
    let moved = graph.node("Add", "calibrated", &[&scaled, &intercepts], []);
    let found = graph.node("Sigmoid", "scores", &[&moved], []);
    graph.node("Cast", "scores", &[&found], to(data_type::FLOAT))
}

/// The eight orientations of all images, one after another: 8 N images.
fn turned(graph: &mut GraphBuilder, pixels: &GraphValue) -> Result<GraphValue, StageError> {
    let maps = graph.to(pixels, ValueLayout::Maps)?;
    let flipped = graph.reversed(&maps.name, 3);
    let two = graph.concat("orientations", &[&maps.name, &flipped], 0);
    let flipped = graph.reversed(&two, 2);
    let four = graph.concat("orientations", &[&two, &flipped], 0);
    let swapped = graph.transpose(&four, &[0, 1, 3, 2]);
    Ok(maps.mapped(graph.concat("orientations", &[&four, &swapped], 0)))
}

/// The middle of an image, `side` px wide and high.
fn middle(graph: &mut GraphBuilder, image: &GraphValue, side: usize) -> GraphValue {
    if image.height == side {
        return image.clone();
    }
    let first = (image.height - side) / 2;
    let axes = if image.layout == ValueLayout::Maps { [2, 3] } else { [1, 2] };
    let name = axes.iter().fold(image.name.clone(), |name, axis| graph.slice(&name, *axis, first, first + side));
    GraphValue { name, height: side, width: side, ..image.clone() }
}

/// Mean of values of one shape.
fn mean(graph: &mut GraphBuilder, values: Vec<GraphValue>) -> Result<GraphValue, StageError> {
    let count = values.len();
    let mut values = values.into_iter();
    let first = values.next().ok_or_else(|| StageError::Bug("an export without networks".to_owned()))?;
    if count == 1 {
        return Ok(first);
    }
    let sum = values.fold(first, |sum, value| {
        let name = graph.node("Add", "sum", &[&sum.name, &value.name], []);
        GraphValue { name, ..sum }
    });
    let number = graph.float(count as f32);
    Ok(sum.mapped(graph.node("Div", "mean", &[&sum.name, &number], [])))
}
