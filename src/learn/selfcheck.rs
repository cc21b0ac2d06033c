//! Self-check of macula's kernels on a GPU: one step of the network at hand on a small random batch, compared with another engine. What
//! came of it is kept per GPU, driver and libraries. Opens no device.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::trial::{Trial, apart};
use crate::base::{Digest, Hasher};
use crate::engine::gpu::{self, Gpu, OpenedEngine, Precision};
use crate::engine::network::{JoinedPixels, Network};
use crate::lang::network::NetworkSpec;
use crate::stage::StageError;

/// What a network is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckedUse {
    /// Training on patches of that size with that many classes.
    Training([usize; 2]),
    /// Evaluation of patches of that size with that many classes.
    Evaluation([usize; 2]),
    /// Encoding of photographs of about that side, px.
    Encoding(usize),
}

/// What is checked.
#[derive(Clone, Copy, Debug)]
pub struct CheckSubject<'a> {
    /// The network at hand.
    pub spec: &'a NetworkSpec,
    /// What it is for.
    pub used_for: CheckedUse,
    /// Precision on the GPU.
    pub precision: Precision,
    /// Name of what the GPU is compared with.
    pub reference: &'a str,
}

/// Largest relative differences that a self-check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Differences {
    /// Of the output in evaluation mode.
    pub evaluated: f32,
    /// Of a training step, if the network is trained.
    pub training: Option<TrainingDifferences>,
}

/// Largest relative differences of a training step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingDifferences {
    /// Of the logits.
    pub logits: f32,
    /// Of the gradients.
    pub gradients: f32,
    /// Tensor with that difference.
    pub worst: String,
    /// Of the running statistics.
    pub statistics: f32,
    /// Of the optimizer's step, given the gradients.
    pub step: f32,
}

/// Largest differences that count as agreement.
#[derive(Clone, Copy, Debug, PartialEq)]
struct AgreementBounds {
    outputs: f32,
    gradients: f32,
    step: f32,
}

impl AgreementBounds {
    /// Bounds for a precision, and for a reference that may use TF32 itself: candle on a GPU uses cuDNN's default mathematics.
    fn of(precision: Precision, exact: bool) -> Self {
        let (outputs, gradients) = match precision {
            Precision::F32 if exact => (1e-3, 2e-2),
            Precision::F32 | Precision::Tf32 => (2e-2, 0.3),
            Precision::Bf16 => (0.1, 0.9),
        };
        Self { outputs, gradients, step: 1e-3 }
    }
}

/// Larger of the sides of a batch of images for which more than a few are slow to compute, px.
const LARGE: usize = 128;

/// Batch of the check: enough for batch norms over the last, small images.
fn images(size: usize) -> usize {
    if size > LARGE { 4 } else { 8 }
}

/// Larger side of the image that an encoder is checked with, px.
const ENCODED: usize = 256;

/// Runs the check.
///
/// # Errors
/// Errors of either engine.
pub fn differences(
    checked: &CheckSubject,
    gpu: Box<dyn Gpu>,
    reference: OpenedEngine,
) -> Result<Differences, StageError> {
    let trial =
        |[size, classes]: [usize; 2], engine| Trial::with_classes(checked.spec, [size, images(size), classes], engine);
    match checked.used_for {
        CheckedUse::Encoding(side) => encoded(checked.spec, side, gpu, reference),
        CheckedUse::Evaluation(shape) => {
            let (card, other) = (trial(shape, OpenedEngine::Gpu(gpu))?, trial(shape, reference)?);
            Ok(Differences { evaluated: card.evaluation_apart(&other)?, training: None })
        }
        CheckedUse::Training(shape) => {
            let (mut card, mut other) = (trial(shape, OpenedEngine::Gpu(gpu))?, trial(shape, reference)?);
            let evaluated = card.evaluation_apart(&other)?;
            let pass = card.pass_apart(&mut other)?;
            let training = TrainingDifferences {
                logits: pass.logits,
                gradients: pass.gradients,
                worst: pass.worst,
                statistics: card.statistics_apart(&mut other)?,
                step: card.step_apart()?,
            };
            Ok(Differences { evaluated, training: Some(training) })
        }
    }
}

fn encoded(
    spec: &NetworkSpec,
    side: usize,
    gpu: Box<dyn Gpu>,
    reference: OpenedEngine,
) -> Result<Differences, StageError> {
    let side = side.min(ENCODED).next_multiple_of(32);
    let mut stream = crate::base::Streams::new(1, "self-check").stream("pixels", 0, &[]);
    let pixels: Vec<f32> = (0..side * side * 3).map(|_| stream.uniform() as f32 * 2.0 - 1.0).collect();
    let features = |engine| {
        let network = Network::encoder(spec, side)?.on_engine(engine);
        network.features(&JoinedPixels::of_image(pixels.clone(), side, side)?)
    };
    let (found, wanted) = (features(OpenedEngine::Gpu(gpu))?, features(reference)?);
    Ok(Differences { evaluated: apart(&found, &wanted, 1e-20), training: None })
}

impl Differences {
    /// What agrees, or the first difference that is too large.
    ///
    /// # Errors
    /// That difference in words.
    pub fn judged(&self, precision: Precision, exact: bool) -> Result<String, String> {
        let bounds = AgreementBounds::of(precision, exact);
        let mut all = vec![("outputs", self.evaluated, bounds.outputs)];
        if let Some(TrainingDifferences { logits, gradients, statistics, step, .. }) = self.training {
            all.extend([
                ("logits", logits, bounds.outputs),
                ("statistics", statistics, bounds.outputs),
                ("gradients", gradients, bounds.gradients),
                ("steps", step, bounds.step),
            ]);
        }
        // A NaN is a disagreement.
        if let Some((what, found, bound)) = all.iter().find(|(_, found, bound)| found.is_nan() || found > bound) {
            let place = match &self.training {
                Some(training) if *what == "gradients" => format!(" of `{}`", training.worst),
                _ => String::new(),
            };
            return Err(format!(
                "{what}{place} differ by {found:.1e} of the largest, and up to {bound:.0e} is agreement"
            ));
        }
        let outputs = self.training.as_ref().map_or(self.evaluated, |training| self.evaluated.max(training.logits));
        let gradients = self.training.as_ref().map(|training| format!(", gradients by {:.1e}", training.gradients));
        Ok(format!("outputs differ by {outputs:.1e}{}", gradients.unwrap_or_default()))
    }
}

/// Result of a self-check, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptVerdict {
    /// GPU, driver and libraries.
    pub identity: String,
    /// Network, size and precision, for people who read the file.
    pub about: String,
    /// Why it disagrees; [`None`] if it agrees.
    pub disagreement: Option<String>,
    /// What agrees.
    pub agreement: Option<String>,
}

impl CheckSubject<'_> {
    /// Name of the file with the verdict about a GPU. Kernels and bounds belong to this version of macula.
    fn file(&self, identity: &str) -> String {
        let mut hasher = Hasher::new("macula self-check 1");
        hasher.text(identity).text(self.precision.name()).text(self.reference).text(env!("CARGO_PKG_VERSION"));
        hasher.text(gpu::SOURCE).digest(&self.spec.digest()).text(&format!("{:?}", self.used_for));
        format!("check-{}.json", hasher.finish())
    }

    fn about(&self) -> String {
        format!("`{}`, {:?}, {}, against {}", self.spec.name, self.used_for, self.precision, self.reference)
    }

    /// The verdict that is kept about a GPU, if its file is whole.
    #[must_use]
    pub fn kept(&self, folder: &Path, identity: &str) -> Option<KeptVerdict> {
        let bytes = std::fs::read(folder.join(self.file(identity))).ok()?;
        let (verdict, digest) = bytes.split_at_checked(bytes.len().checked_sub(64)?)?;
        let whole = Digest::of(verdict).to_string().as_bytes() == digest;
        serde_json::from_slice::<KeptVerdict>(verdict).ok().filter(|verdict| whole && verdict.identity == identity)
    }

    /// Keeps the result of a check, if possible.
    pub fn keep(&self, folder: &Path, identity: &str, judged: &Result<String, String>) {
        let verdict = KeptVerdict {
            identity: identity.to_owned(),
            about: self.about(),
            disagreement: judged.as_ref().err().cloned(),
            agreement: judged.as_ref().ok().cloned(),
        };
        let Ok(mut bytes) = serde_json::to_vec(&verdict) else { return };
        bytes.extend_from_slice(Digest::of(&bytes).to_string().as_bytes());
        _ = gpu::keep(folder, &self.file(identity), &bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_depend_on_the_precision_and_nan_is_a_disagreement() {
        let training = |gradients, step| {
            Some(TrainingDifferences { logits: 1e-6, gradients, worst: "fc.weight".to_owned(), statistics: 1e-6, step })
        };
        let of = |evaluated, training| Differences { evaluated, training };
        let near = of(1e-5, training(1e-3, 1e-6));
        assert_eq!(near.judged(Precision::F32, true), Ok("outputs differ by 1.0e-5, gradients by 1.0e-3".to_owned()));
        let far = of(1e-2, training(1e-3, 1e-6));
        let why = far.judged(Precision::F32, true).unwrap_err();
        assert_eq!(why, "outputs differ by 1.0e-2 of the largest, and up to 1e-3 is agreement");
        assert!(far.judged(Precision::F32, false).is_ok(), "candle on a GPU may use TF32");
        assert!(far.judged(Precision::Tf32, true).is_ok());
        let why = of(1e-5, training(0.1, 1e-6)).judged(Precision::F32, true).unwrap_err();
        assert!(why.starts_with("gradients of `fc.weight` differ by 1.0e-1"), "{why}");
        // Gradients that are all 0 differ by 1.
        assert!(of(0.05, training(1.0, 1e-6)).judged(Precision::Bf16, true).is_err());
        assert!(of(1e-5, training(1e-3, 0.1)).judged(Precision::Bf16, false).is_err());
        for evaluated in [f32::NAN, f32::INFINITY] {
            assert!(of(evaluated, None).judged(Precision::Bf16, false).is_err());
        }
    }
}
