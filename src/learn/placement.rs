//! Placement of a network on the device that a stage asks for. macula's kernels on a GPU are used only after a self-check on that GPU; if
//! they disagree or refuse, another engine computes. Knows no driver.

use std::path::Path;

use candle_core::Device;

use super::selfcheck::{CheckSubject, CheckedUse, differences};
use crate::engine::gpu::{self, DeviceChoice, DeviceRequest, Gpu, OpenedEngine, Opening, Precision};
use crate::engine::network::{Network, NetworkWork, device_for, own_kernels};
use crate::lang::network::NetworkSpec;
use crate::stage::StageError;

/// Moves a network to the device that a stage asks for. `say` receives messages for the user.
///
/// # Errors
/// [`StageError::Input`] if the device cannot be used.
pub fn place(
    network: Network,
    request: DeviceRequest,
    precision: Precision,
    work: NetworkWork,
    say: &mut dyn FnMut(&str),
) -> Result<Network, StageError> {
    let shape = [network.size(), network.classes()];
    let used_for = match work {
        NetworkWork::Training => CheckedUse::Training(shape),
        NetworkWork::Evaluation if network.classes() == 0 => CheckedUse::Encoding(network.size()),
        NetworkWork::Evaluation => CheckedUse::Evaluation(shape),
    };
    let placed = device_for(request, network.spec(), work);
    if placed.choice != request.choice
        && cfg!(feature = "cuda")
        && let Err(StageError::Input { text, .. }) = own_kernels(network.spec(), work)
    {
        say(&format!("computing on the CPU: {text}"));
    }
    let (engine, message) = match gpu::open(placed, precision)? {
        Opening::Opened(engine, message) => (engine, message),
        Opening::Candidate(candidate) => {
            let open = || candidate.open();
            let contender = KernelContender {
                description: candidate.description.clone(),
                precision,
                open: &open,
                candle: candidate.candle.clone(),
                fallback: Fallback::of(request.choice, precision, candidate.candle.is_some()),
            };
            let (engine, message) = contender.settle(network.spec(), used_for, gpu::cache_folder())?;
            (engine, Some(message))
        }
    };
    if let Some(message) = message {
        say(&message);
    }
    Ok(network.on_engine(engine))
}

/// macula's kernels on a GPU, and what else may compute.
pub struct KernelContender<'a> {
    /// Name of the GPU, version of cuDNN, and precision.
    pub description: String,
    /// Precision.
    pub precision: Precision,
    /// Opens the GPU.
    pub open: &'a dyn Fn() -> Result<Box<dyn Gpu>, StageError>,
    /// The same GPU in candle; otherwise the self-check compares with the CPU kernels.
    pub candle: Option<Device>,
    /// What computes instead.
    pub fallback: Fallback,
}

/// What computes if macula's kernels cannot be used on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// candle on the same GPU.
    Candle,
    /// The CPU kernels.
    Cpu,
    /// Nothing: the stage fails.
    Nothing,
}

impl Fallback {
    /// candle computes in f32 only, and `device cuda` never means the CPU.
    fn of(choice: DeviceChoice, precision: Precision, candle: bool) -> Self {
        match (choice, precision) {
            (_, Precision::F32) if candle => Self::Candle,
            (DeviceChoice::Auto, Precision::F32) => Self::Cpu,
            _ => Self::Nothing,
        }
    }
}

impl KernelContender<'_> {
    /// Engine for a network, and a message. `memory` is the folder where verdicts are kept.
    ///
    /// # Errors
    /// If the kernels cannot be used and nothing else computes instead: `gpu-check` if they disagree, otherwise what they report.
    pub fn settle(
        &self,
        spec: &NetworkSpec,
        used_for: CheckedUse,
        memory: Option<&Path>,
    ) -> Result<(OpenedEngine, String), StageError> {
        let reference = if self.candle.is_some() { "candle" } else { "the CPU kernels" };
        let checked = CheckSubject { spec, used_for, precision: self.precision, reference };
        let (why, error) = match self.checked(&checked, memory) {
            Ok((gpu, agreement)) => {
                let message =
                    format!("computing on {}; self-check: agrees with {reference} ({agreement})", self.description);
                return Ok((OpenedEngine::Gpu(gpu), message));
            }
            Err(Unusable::Disagrees(why)) => {
                let why = format!("macula's kernels disagree with {reference}: {why}");
                let text = format!("{} is not used: {why}", self.description);
                (why, StageError::input("gpu-check", text).hint(self.hint()).field("device"))
            }
            Err(Unusable::Refuses(error)) => match error {
                StageError::Input { ref text, .. } | StageError::Bug(ref text) => (text.clone(), error),
                StageError::Store(_) | StageError::Stopped => return Err(error),
            },
        };
        let instead = |engine, words: &str| Ok((engine, format!("{words}, not on {}: {why}", self.description)));
        match (self.fallback, &self.candle) {
            (Fallback::Candle, Some(device)) => {
                instead(OpenedEngine::Candle(device.clone()), "computing in candle on the GPU")
            }
            (Fallback::Cpu, _) => instead(OpenedEngine::Kernels, "computing on the CPU"),
            (Fallback::Candle | Fallback::Nothing, _) => Err(error),
        }
    }

    fn hint(&self) -> &'static str {
        if self.precision == Precision::F32 {
            "set `device cpu`, or build macula with `--features candle-cuda`"
        } else {
            "set `precision f32`"
        }
    }

    /// The opened GPU and what agrees, from a check now or earlier.
    fn checked(&self, checked: &CheckSubject, memory: Option<&Path>) -> Result<(Box<dyn Gpu>, String), Unusable> {
        let work = match checked.used_for {
            CheckedUse::Training(_) => NetworkWork::Training,
            CheckedUse::Evaluation(_) | CheckedUse::Encoding(_) => NetworkWork::Evaluation,
        };
        own_kernels(checked.spec, work)?;
        let gpu = (self.open)()?;
        let identity = gpu.identity();
        if let Some(verdict) = memory.and_then(|folder| checked.kept(folder, &identity)) {
            return match (verdict.disagreement, verdict.agreement) {
                (Some(why), _) => Err(Unusable::Disagrees(why)),
                (None, agreement) => Ok((gpu, format!("{}, checked earlier", agreement.unwrap_or_default()))),
            };
        }
        let exact = self.candle.is_none();
        let reference = self.candle.clone().map_or(OpenedEngine::Kernels, OpenedEngine::Candle);
        // A refusal may pass (a GPU in use by others), so it is not kept.
        let judged = differences(checked, gpu, reference)?.judged(self.precision, exact);
        if let Some(folder) = memory {
            checked.keep(folder, &identity, &judged);
        }
        let agreement = judged.map_err(Unusable::Disagrees)?;
        Ok(((self.open)()?, agreement))
    }
}

/// Why macula's kernels cannot be used.
enum Unusable {
    /// They compute something else than the reference.
    Disagrees(String),
    /// The driver, a library or the kernels report an error, or the network has an operation without kernels.
    Refuses(StageError),
}

impl From<StageError> for Unusable {
    fn from(error: StageError) -> Self {
        Self::Refuses(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_computes_instead_depends_on_choice_precision_and_build() {
        use DeviceChoice::{Auto, Cuda};
        let of = Fallback::of;
        for choice in [Auto, Cuda] {
            assert_eq!(of(choice, Precision::F32, true), Fallback::Candle);
            for candle in [true, false] {
                assert_eq!(of(choice, Precision::Bf16, candle), Fallback::Nothing, "candle has no bf16 here");
            }
        }
        assert_eq!(of(Auto, Precision::F32, false), Fallback::Cpu);
        assert_eq!(of(Cuda, Precision::F32, false), Fallback::Nothing);
    }
}
