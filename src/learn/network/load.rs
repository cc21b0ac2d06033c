//! Weights into a network: what fits, what lacks, what is folded. Knows no files.

use std::collections::BTreeSet;

use super::weights::fitting;
use super::{Network, Weights, layout};
use crate::learn::kernels::norm::Statistics;
use crate::stage::StageError;

/// What to do where weights lack tensors of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// An error that lists them.
    Error,
    /// They keep their initial values.
    Initialise,
}

/// What a load did. All lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors taken from the file.
    pub loaded: Vec<String>,
    /// Tensors that the file lacks, left at their initial values.
    pub missing: Vec<String>,
    /// Tensors of the file that the network has no place for.
    pub unexpected: Vec<String>,
    /// Tensors of the last linear layer that stay new because the file's have other classes.
    pub replaced: Vec<String>,
    /// Batch norms that the file has folded into the convolution before them; they want [`Network::calibrate`].
    pub folded: Vec<String>,
    /// What was taken off the names of the file (`module.`), because more of the network's are found without it.
    pub prefix: String,
}

/// The tensors of a file by the names that a network has, whatever stands before them there.
struct Found<'a> {
    weights: &'a Weights,
    prefix: &'a str,
}

impl<'a> Found<'a> {
    fn get(&self, name: &str) -> Option<&'a (Vec<usize>, Vec<f32>)> {
        self.with_prefix(name, |full| self.weights.tensors.get(full))
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Why a tensor of the file is not read.
    fn refused(&self, name: &str) -> Option<&'a String> {
        self.with_prefix(name, |full| self.weights.refused.get(full))
    }

    fn with_prefix<T>(&self, name: &str, get: impl Fn(&str) -> Option<T>) -> Option<T> {
        if self.prefix.is_empty() {
            return get(name);
        }
        // Where the file has a name with the prefix and without, that with it is of the network that fits.
        get(&format!("{}{name}", self.prefix)).or_else(|| if name.starts_with(self.prefix) { None } else { get(name) })
    }
}

/// As [`Network::load`]. Nothing is changed where it fails.
pub(super) fn load(network: &mut Network, weights: &Weights, missing: Missing) -> Result<LoadReport, StageError> {
    let names = weights.tensors.keys().chain(weights.refused.keys()).map(String::as_str);
    let own = network.names();
    let prefix = fitting(names, &own.iter().map(String::as_str).collect());
    let found = Found { weights, prefix: &prefix };
    if let Some((name, what)) = own.iter().find_map(|name| Some((name, found.refused(name)?))) {
        let text = format!("tensor `{name}` of {} is {what}, which is not read", weights.name());
        return Err(StageError::input("weights-format", text)
            .hint("convert it with `.float()` or `.to_dense()` before saving it"));
    }
    let mut report = LoadReport::default();
    let mut wrong = Vec::new();
    let (mut flat, mut running) = (network.flat.clone(), network.running.clone());
    let head = network.head_parameters();
    let program = &network.program;
    let folded: Vec<usize> = (0..program.norms.len()).filter(|&norm| is_folded(network, &found, norm)).collect();

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
        let of_head = head.is_some_and(|(weight, bias)| weight == at || bias == Some(at));
        if *shape == parameter.shape {
            flat[parameter.range.clone()].copy_from_slice(&layout::from_torch(shape, values));
            report.loaded.push(name.clone());
        } else if of_head && shape.len() == parameter.shape.len() && shape[1..] == parameter.shape[1..] {
            report.replaced.push(name.clone());
        } else {
            wrong.push(format!(
                "`{name}` is {} there and {} in the network",
                product(shape),
                product(&parameter.shape)
            ));
        }
    }
    for (at, norm) in program.norms.iter().enumerate() {
        let parts = [("running_mean", norm.running), ("running_var", norm.running + norm.channels)];
        if folded.contains(&at) {
            // The folded network as it is: nothing is normalised, and the convolution's bias is the shift.
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
                    wrong.push(format!("`{name}` is {} there and {} in the network", product(shape), norm.channels));
                }
            }
        }
    }
    for list in [&mut report.loaded, &mut report.missing, &mut report.replaced, &mut report.folded] {
        list.sort_unstable();
    }
    let known: BTreeSet<&str> = report.loaded.iter().chain(&report.replaced).map(String::as_str).collect();
    let short = |name: &str| name.strip_prefix(prefix.as_str()).unwrap_or(name).to_owned();
    let names: BTreeSet<String> =
        weights.tensors.keys().chain(weights.refused.keys()).map(|name| short(name)).collect();
    report.unexpected = names.into_iter().filter(|name| !known.contains(name.as_str())).collect();

    if !wrong.is_empty() {
        let text = format!("{} does not fit network `{}`: {}", weights.name(), network.spec.name, wrong.join(", "));
        return Err(StageError::input("weights-shape", text).hint(
            "use the network that the weights were trained in; only the last linear layer may have other classes",
        ));
    }
    if report.loaded.is_empty() || (missing == Missing::Error && !report.missing.is_empty()) {
        let lacks = list(&report.missing);
        let text = format!("{} lacks tensors of network `{}`: {lacks}", weights.name(), network.spec.name);
        return Err(StageError::input("weights-missing", text)
            .hint(if report.unexpected.is_empty() && report.loaded.is_empty() {
                "it has no tensor of floating-point numbers".to_owned()
            } else if report.loaded.is_empty() {
                format!("it has none of them; it has {}", list(&report.unexpected))
            } else {
                "say `missing initialise` to give them initial values".to_owned()
            })
            .field("missing"));
    }
    (network.flat, network.running, network.uncalibrated) = (flat, running, folded);
    Ok(LoadReport { prefix, ..report })
}

fn negative(name: &str, values: &[f32], weights: &Weights) -> StageError {
    let lowest = values.iter().copied().fold(0.0_f32, f32::min);
    let text = format!("tensor `{name}` of {} holds {lowest}, and a variance is never negative", weights.name());
    StageError::input("weights-variance", text).hint("use weights from another epoch, or save them again")
}

/// Whether the file has batch norm `norm` folded into the convolution before it: that one has a kernel and a bias there,
/// which the network's lacks, and the batch norm has nothing.
fn is_folded(network: &Network, found: &Found, norm: usize) -> bool {
    let norm = &network.program.norms[norm];
    let Some(conv) = &norm.conv else { return false };
    let bias = format!("{conv}.bias");
    let has = |name: &str| found.has(name);
    let ends = ["weight", "bias", "running_mean", "running_var"];
    found.get(&bias).is_some_and(|(shape, _)| *shape == [norm.channels])
        && has(&format!("{conv}.weight"))
        && !network.program.parameters.iter().any(|parameter| parameter.name == bias)
        && !ends.iter().any(|end| has(&format!("{}.{end}", norm.name)))
}

/// Sets a batch norm to the statistics of what it was given (`sums` of x and x² over `rows`) without changing what it
/// computes in evaluation mode.
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

/// `64 x 3 x 7 x 7`.
fn product(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ")
}

/// Names in backticks; past six, how many more.
fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(6).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > 6 { format!(" and {} more", names.len() - 6) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
