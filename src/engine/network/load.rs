//! Loading of weights into a network: matching, missing and folded tensors. Knows no files.

use std::collections::{BTreeMap, BTreeSet};

use super::compile::{compile, compile_features};
use super::program::{Norm, Program};
use super::weights::fitting;
use super::{Network, Weights, WeightsHeader, heads, last_linear, layout};
use crate::base::figure::counted;
use crate::engine::kernels::norm::Statistics;
use crate::lang::network::NetworkSpec;
use crate::lang::network::attention::{BIAS_TABLE, table_rows};
use crate::lang::network::parts::is_below;
use crate::stage::{Params, StageError, Warning};

/// Tensors of another shape that are named.
const MOST_MISFITS: usize = 6;

/// Reaction to weights that lack tensors of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Error that lists them.
    Error,
    /// Initial values are kept.
    Initialise,
}

impl Missing {
    /// From the parameters of `train`.
    ///
    /// # Errors
    /// [`StageError::Bug`] if they do not match the signature.
    pub fn from_params(params: &Params) -> Result<Self, StageError> {
        Ok(if params.text("missing")? == "initialise" { Self::Initialise } else { Self::Error })
    }
}

/// Report on loaded weights. All lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors loaded from the file.
    pub loaded: Vec<String>,
    /// Tensors missing from the file, which keep their initial values.
    pub missing: Vec<String>,
    /// Tensors of the file that the network lacks.
    pub unexpected: Vec<String>,
    /// Tensors of the last linear layer that keep their initial values because those of the file have other classes.
    pub replaced: Vec<String>,
    /// Batch norms that the file has folded into the preceding convolution; they need [`Network::calibrate`].
    pub folded: Vec<String>,
    /// Prefix removed from the names of the file (`module.`), because more names match without it.
    pub prefix: String,
    /// Prefixes of the network that the file does not have: what is below them was loaded from names without them.
    pub bare: Vec<String>,
}

impl LoadReport {
    /// Missing tensors that are not below one of the layers in `new`.
    fn required(&self, new: &[String]) -> Vec<String> {
        self.missing.iter().filter(|name| !new.iter().any(|part| is_below(name, part))).cloned().collect()
    }

    fn sort(&mut self) {
        for list in [&mut self.loaded, &mut self.missing, &mut self.replaced, &mut self.folded] {
            list.sort_unstable();
        }
    }

    /// Warning if the file both lacks tensors of the network, besides those below the layers in `new`, and has unused ones: the names may not
    /// match.
    #[must_use]
    pub fn doubt(&self, weights: &str, network: &str, new: &[String]) -> Option<Warning> {
        let missing = self.required(new);
        if missing.is_empty() || self.unexpected.is_empty() {
            return None;
        }
        let text = format!(
            "{weights} lacks {} of network `{network}`, which are initialised randomly ({}), and has {} that the network lacks ({}): check that the names match",
            counted(missing.len() as u64, "tensor", "tensors"),
            list(&missing, 3),
            counted(self.unexpected.len() as u64, "tensor", "tensors"),
            list(&self.unexpected, 3),
        );
        Some(Warning { code: "weights-names".to_owned(), text })
    }
}

/// Tensors of a file by the names of a network, regardless of prefixes.
struct FileTensors<'a, T> {
    tensors: &'a BTreeMap<String, T>,
    refused: &'a BTreeMap<String, String>,
    prefix: String,
    /// Prefixes of the network that no name of the file begins with, the shortest first.
    bare: Vec<&'a str>,
    /// Name of the file, for messages.
    file: String,
}

impl<'a, T> FileTensors<'a, T> {
    fn new(
        tensors: &'a BTreeMap<String, T>,
        refused: &'a BTreeMap<String, String>,
        file: String,
        own: &[String],
        prefixes: &'a BTreeSet<String>,
    ) -> Result<Self, StageError> {
        let names = tensors.keys().chain(refused.keys()).map(String::as_str);
        let mut wanted: BTreeSet<&str> = own.iter().map(String::as_str).collect();
        for prefix in prefixes {
            wanted.extend(own.iter().filter_map(|name| name.strip_prefix(prefix.as_str())));
        }
        let prefix = fitting(&names, &wanted);
        let has = |below: &str| {
            names.clone().any(|name| name.strip_prefix(prefix.as_str()).unwrap_or(name).starts_with(below))
        };
        let bare = prefixes.iter().map(String::as_str).filter(|below| !has(below)).collect();
        let found = Self { tensors, refused, prefix, bare, file };
        let refused = |name: &String| found.with_prefix(name, |full| refused.get(full));
        if let Some((name, what)) = own.iter().find_map(|name| Some((name, refused(name)?))) {
            let text = format!("tensor `{name}` of {} is {what}, which is not supported", found.file);
            return Err(StageError::input("weights-format", text)
                .hint("convert it with `.float()` or `.to_dense()` before saving it"));
        }
        Ok(found)
    }

    fn get(&self, name: &str) -> Option<&'a T> {
        self.with_prefix(name, |full| self.tensors.get(full))
    }

    fn with_prefix<U>(&self, name: &str, get: impl Fn(&str) -> Option<U>) -> Option<U> {
        self.names_of(name).into_iter().find_map(|name| {
            if self.prefix.is_empty() {
                return get(name);
            }
            // If the file has a name both with and without the prefix, the one with it belongs to the matching network.
            let bare = || if name.starts_with(&self.prefix) { None } else { get(name) };
            get(&format!("{}{name}", self.prefix)).or_else(bare)
        })
    }

    /// The names under which the file may have a tensor of the network, without the prefix of the file.
    fn names_of<'b>(&self, name: &'b str) -> Vec<&'b str> {
        let bare = self.bare.iter().filter_map(|below| name.strip_prefix(below));
        std::iter::once(name).chain(bare).collect()
    }

    /// The prefixes without which tensors in `loaded` were found.
    fn left_out(&self, loaded: &[String]) -> Vec<String> {
        let used = self.bare.iter().filter(|below| loaded.iter().any(|name| name.starts_with(**below)));
        used.map(|below| (*below).to_owned()).collect()
    }

    /// Names of the file, without the prefix, that are not in `known`.
    fn others<'b>(&self, known: impl Iterator<Item = &'b String>) -> Vec<String> {
        let known: BTreeSet<&str> = known.flat_map(|name| self.names_of(name)).collect();
        let short = |name: &'a String| name.strip_prefix(self.prefix.as_str()).unwrap_or(name);
        let all: BTreeSet<&str> = self.tensors.keys().chain(self.refused.keys()).map(short).collect();
        all.into_iter().filter(|name| !known.contains(name)).map(str::to_owned).collect()
    }
}

/// Predicts the report of loading a file from the names and shapes in its header; a last layer of other classes counts as loaded. `file`
/// is its name, for messages.
///
/// # Errors
/// [`StageError::Input`] if loading will fail because of its names or shapes.
pub fn foresee(
    header: &WeightsHeader,
    file: &str,
    spec: &NetworkSpec,
    missing: Missing,
) -> Result<LoadReport, StageError> {
    // Names do not depend on the size of the patches, which is not known yet; but a network may be too deep for small patches.
    let sizes = [64, 224, 512, 32, 16, 1024];
    // Nor are the embeddings; with several shapes of them, only what does not depend on them is compared.
    let joined = |size| spec.embeddings().into_iter().map(|name| (name, [1, 1, size])).collect();
    let mut programs = sizes.into_iter().filter_map(|size| {
        let classifier = compile(spec, size, &joined(size), 2);
        classifier.or_else(|_| compile_features(spec, size)).ok()
    });
    let Some(program) = programs.next() else { return Ok(LoadReport::default()) };
    let own = program.names();
    let found = FileTensors::new(&header.shapes, &header.refused, header.name(file), &own, &spec.prefixes)?;
    let mut report = LoadReport { prefix: found.prefix.clone(), ..LoadReport::default() };
    let shape = |name: &str| found.get(name).map(Vec::as_slice);
    let mut folded = BTreeSet::new();
    for norm in program.norms.iter().filter(|norm| is_folded(&program, norm, &shape)) {
        folded.extend(["weight", "bias", "running_mean", "running_var"].map(|end| format!("{}.{end}", norm.name)));
        report.folded.push(norm.name.clone());
        report.loaded.push(format!("{}.bias", norm.conv.as_deref().unwrap_or_default()));
    }
    for name in own.into_iter().filter(|name| !folded.contains(name)) {
        if found.get(&name).is_some() { &mut report.loaded } else { &mut report.missing }.push(name);
    }
    report.sort();
    report.unexpected = found.others(report.loaded.iter());
    report.bare = found.left_out(&report.loaded);
    fitted(&misfits(&program, programs.next().as_ref(), &found, spec), spec, &found.file)?;
    lacking(&report, missing, &[], &found.file, &spec.name)?;
    Ok(report)
}

/// Tensors of a file that have another shape than the network's, in words. `other` is the network for patches of another size: where the
/// two differ, the shape depends on the patches, and nothing is said.
fn misfits(
    program: &Program,
    other: Option<&Program>,
    found: &FileTensors<Vec<usize>>,
    spec: &NetworkSpec,
) -> Vec<String> {
    let heads = heads(spec);
    let of_head = |name: &str| name.rsplit_once('.').is_some_and(|(layer, _)| heads.contains(&layer));
    let mut wrong = Vec::new();
    for (at, parameter) in program.parameters.iter().enumerate() {
        let is_fixed = other.and_then(|other| other.parameters.get(at)).is_some_and(|one| one.shape == parameter.shape);
        let Some(shape) = found.get(&parameter.name).filter(|_| is_fixed) else { continue };
        let own = &parameter.shape;
        let same_inputs = shape.len() == own.len() && shape.get(1..) == own.get(1..);
        if shape != own && !(of_head(&parameter.name) && same_inputs) {
            wrong.push(misfit(&parameter.name, shape, own));
        }
    }
    for norm in &program.norms {
        for name in ["running_mean", "running_var"].map(|end| format!("{}.{end}", norm.name)) {
            let Some(shape) = found.get(&name).filter(|shape| **shape != [norm.channels]) else { continue };
            wrong.push(format!("`{name}` is {} in the file and {} in the network", product(shape), norm.channels));
        }
    }
    wrong
}

/// Fails if tensors have another shape than the network's.
fn fitted(wrong: &[String], spec: &NetworkSpec, file: &str) -> Result<(), StageError> {
    let Some(first) = wrong.first() else { return Ok(()) };
    let more = wrong.len().saturating_sub(MOST_MISFITS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let shown = wrong[..wrong.len().min(MOST_MISFITS)].join(", ");
    let text = format!("{file} does not match network `{}`: {shown}{more}", spec.name);
    let of_head = last_linear(&spec.layers).is_some_and(|head| first.starts_with(&format!("`{head}.")));
    let hint = if wrong.len() == 1 && of_head {
        "the last layer has other inputs: give it another name, such as `linear head`, to initialise it randomly"
    } else {
        "use the network the weights were trained in; only the last linear layer may have other classes"
    };
    Err(StageError::input("weights-shape", text).hint(hint).field("init"))
}

/// Fails if a file lacks required tensors: those that are not below one of the layers in `new`.
fn lacking(report: &LoadReport, missing: Missing, new: &[String], file: &str, network: &str) -> Result<(), StageError> {
    let required = report.required(new);
    let none = report.loaded.is_empty();
    let begins = |names: &[String], prefix: &str| names.iter().any(|name| name.starts_with(prefix));
    // Swin: the final norm has one name in both.
    let renamed = begins(&report.unexpected, "layers.0.blocks.") && begins(&report.missing, "features.1.0.");
    if !none && !renamed && (missing == Missing::Initialise || required.is_empty()) {
        return Ok(());
    }
    let text = format!("{file} lacks tensors of network `{network}`: {}", list(&required, 6));
    let hint = match (none, report.unexpected.is_empty()) {
        _ if renamed => "its names are timm's (`layers.0.blocks.0…`), those of the network torchvision's (`features.1.0…`): use torchvision's weights, or describe the network with timm's names".to_owned(),
        (true, true) => "it has no floating-point tensors".to_owned(),
        (true, false) => format!("it has none of them; its tensors are {}", list(&report.unexpected, 6)),
        (false, _) => "set `missing initialise` to initialise them randomly".to_owned(),
    };
    Err(StageError::input("weights-missing", text).hint(hint).field("missing"))
}

/// As [`Network::load_part`]. Changes nothing on failure.
pub(super) fn load(
    network: &mut Network,
    weights: &Weights,
    missing: Missing,
    new: &[String],
) -> Result<LoadReport, StageError> {
    let prefixes = network.spec.prefixes.clone();
    let found = FileTensors::new(&weights.tensors, &weights.refused, weights.name(), &network.names(), &prefixes)?;
    let shape = |name: &str| found.get(name).map(|(shape, _)| shape.as_slice());
    let mut report = LoadReport::default();
    let mut wrong = Vec::new();
    let (mut flat, mut running) = (network.flat.clone(), network.running.clone());
    let heads = network.head_parameters();
    let program = &network.program;
    let folded: Vec<usize> =
        (0..program.norms.len()).filter(|&norm| is_folded(program, &program.norms[norm], &shape)).collect();

    for (at, parameter) in program.parameters.iter().enumerate() {
        let name = &parameter.name;
        if program
            .norms
            .iter()
            .enumerate()
            .any(|(i, norm)| (norm.gamma == at || norm.beta == at) && folded.contains(&i))
        {
            continue;
        }
        let Some((shape, values)) = found.get(name) else {
            report.missing.push(name.clone());
            continue;
        };
        let of_head = heads.iter().any(|(weight, bias)| *weight == at || *bias == Some(at));
        if *shape == parameter.shape {
            flat[parameter.range.clone()].copy_from_slice(&layout::from_torch(shape, values));
            report.loaded.push(name.clone());
        } else if of_head && shape.len() == parameter.shape.len() && shape[1..] == parameter.shape[1..] {
            report.replaced.push(name.clone());
        } else {
            wrong.push(misfit(name, shape, &parameter.shape));
        }
    }
    for (at, norm) in program.norms.iter().enumerate() {
        let parts = [("running_mean", norm.running), ("running_var", norm.running + norm.channels)];
        if folded.contains(&at) {
            // Reproduces the folded network: nothing is normalised, and the bias of the convolution is the shift.
            let bias = format!("{}.bias", norm.conv.as_deref().unwrap_or_default());
            let Some((_, values)) = found.get(&bias) else { continue };
            flat[program.parameters[norm.gamma].range.clone()].fill((1.0 + norm.eps).sqrt() as f32);
            flat[program.parameters[norm.beta].range.clone()].copy_from_slice(values);
            running[norm.running..][..norm.channels].fill(0.0);
            running[norm.running + norm.channels..][..norm.channels].fill(1.0);
            report.loaded.push(bias);
            report.folded.push(norm.name.clone());
            continue;
        }
        for (end, from) in parts {
            let name = format!("{}.{end}", norm.name);
            match found.get(&name) {
                None => report.missing.push(name),
                Some((_, values)) if end == "running_var" && values.iter().any(|value| *value < 0.0) => {
                    return Err(negative(&name, values, weights));
                }
                Some((shape, values)) if *shape == [norm.channels] => {
                    running[from..][..norm.channels].copy_from_slice(values);
                    report.loaded.push(name);
                }
                Some((shape, _)) => {
                    wrong.push(format!(
                        "`{name}` is {} in the file and {} in the network",
                        product(shape),
                        norm.channels
                    ));
                }
            }
        }
    }
    report.sort();
    report.unexpected = found.others(report.loaded.iter().chain(&report.replaced));

    fitted(&wrong, &network.spec, &found.file)?;
    lacking(&report, missing, new, &found.file, &network.spec.name)?;
    report.bare = found.left_out(&report.loaded);
    report.prefix = found.prefix;
    (network.flat, network.running, network.uncalibrated) = (flat, running, folded);
    Ok(report)
}

fn negative(name: &str, values: &[f32], weights: &Weights) -> StageError {
    let lowest = values.iter().copied().fold(0.0_f32, f32::min);
    let text = format!("tensor `{name}` of {} contains {lowest}, but a variance cannot be negative", weights.name());
    StageError::input("weights-variance", text).hint("use weights from another epoch, or save the file again")
}

/// Whether the file has batch norm `norm` folded into the preceding convolution: that has a kernel and a bias in the file, but no bias
/// in the network, and the batch norm has no tensors in the file.
fn is_folded<'a>(program: &Program, norm: &Norm, shape: &impl Fn(&str) -> Option<&'a [usize]>) -> bool {
    let Some(conv) = &norm.conv else { return false };
    let bias = format!("{conv}.bias");
    let has = |name: &str| shape(name).is_some();
    let ends = ["weight", "bias", "running_mean", "running_var"];
    shape(&bias).is_some_and(|shape| *shape == [norm.channels])
        && has(&format!("{conv}.weight"))
        && !program.parameters.iter().any(|parameter| parameter.name == bias)
        && !ends.iter().any(|end| has(&format!("{}.{end}", norm.name)))
}

/// Sets the statistics of a batch norm to those of its input (`sums` of x and x² over `rows`) without changing what it computes in
/// evaluation mode.
pub(super) fn settle(network: &mut Network, norm: usize, sums: &[[f64; 2]], rows: usize) {
    let layer = &network.program.norms[norm];
    let c = layer.channels;
    let (gamma, beta) =
        (network.program.parameters[layer.gamma].range.clone(), network.program.parameters[layer.beta].range.clone());
    let (mean, variance) = network.running[layer.running..][..2 * c].split_at(c);
    let statistics = Statistics::running(mean, variance, layer.eps);
    let (scale, shift) = statistics.affine(&network.flat[gamma.clone()], &network.flat[beta.clone()]);
    let found = Statistics::new(sums, rows, layer.eps);
    for channel in 0..c {
        let (scale, shift) = (f64::from(scale[channel]), f64::from(shift[channel]));
        let (mean, variance) = (f64::from(found.mean[channel]), f64::from(found.variance[channel]));
        network.flat[gamma.start + channel] = (scale * (variance + layer.eps).sqrt()) as f32;
        network.flat[beta.start + channel] = (shift + scale * mean) as f32;
    }
    network.running[layer.running..][..c].copy_from_slice(&found.mean);
    network.running[layer.running + c..][..c].copy_from_slice(&found.variance);
}

/// A tensor that has another shape in the file than in the network.
fn misfit(name: &str, file: &[usize], own: &[usize]) -> String {
    let words = |shape: &[usize]| match shape {
        [rows, heads] if name.ends_with(BIAS_TABLE) => {
            let window = (1..=*rows).find(|window| table_rows(*window) >= *rows).unwrap_or_default();
            format!("{} ({heads} heads, windows of {window} px)", product(shape))
        }
        _ => product(shape),
    };
    format!("`{name}` is {} in the file and {} in the network", words(file), words(own))
}

/// Shape as text: `64 x 3 x 7 x 7`.
fn product(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ")
}

/// Names in backticks; beyond `most`, the number of further ones.
fn list(names: &[String], most: usize) -> String {
    let shown: Vec<String> = names.iter().take(most).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > most { format!(" and {} more", names.len() - most) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
