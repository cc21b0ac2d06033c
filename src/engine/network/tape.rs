//! Network as a candle graph with autograd, on any device of candle's: what every operation means, and the engine of operations without a
//! kernel. Knows no kernel.
//!
//! Values are N x C x H x W, vectors N x C x 1 x 1; parameters have torch's shapes. The newest parameters and running statistics are
//! always on the host: parameters are copied to candle variables before a pass, and their gradients to the host after one.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var, WithDType};

use super::input::NetworkInput;
use super::layout;
use super::pass::Training;
use super::program::{Extent, JoinedValue, Program, Step};
use crate::engine::gpu::{CANDLE_CPU, CANDLE_CUDA};
use crate::stage::StageError;

/// Network on a device of candle's.
pub(super) struct Tape {
    device: Device,
    dtype: DType,
    /// A variable for each parameter, once they were sent.
    parameters: Vec<Var>,
    /// Whether the host has newer values.
    outdated: bool,
}

/// Mode of a pass.
pub(super) enum TapeMode<'a, 'b> {
    Training(&'a mut Training<'b>),
    /// With the running statistics of all batch norms.
    Evaluation(&'a [f32]),
}

impl<'b> TapeMode<'_, 'b> {
    /// The same mode, for one step.
    fn again(&mut self) -> TapeMode<'_, 'b> {
        match self {
            Self::Training(training) => TapeMode::Training(training),
            Self::Evaluation(running) => TapeMode::Evaluation(running),
        }
    }
}

/// A pass at one step.
pub(super) struct OnTape<'a, 'b> {
    pub(super) program: &'a Program,
    pub(super) extents: &'a [Extent],
    pub(super) step: &'a Step,
    /// Values that the step reads, N x C x H x W.
    pub(super) values: &'a [Option<Tensor>],
    /// Its parameters, with torch's shapes.
    pub(super) parameters: &'a [Option<Tensor>],
    pub(super) mode: TapeMode<'a, 'b>,
}

impl OnTape<'_, '_> {
    /// A value.
    pub(super) fn value(&self, value: usize) -> &Tensor {
        self.values[value].as_ref().expect("a value lives until its last use")
    }

    /// A parameter; a variable on the tape unless it is frozen.
    pub(super) fn parameter(&self, parameter: usize) -> &Tensor {
        self.parameters[parameter].as_ref().expect("an operation names its parameters")
    }

    /// A parameter or a statistic per channel, for broadcasting.
    pub(super) fn channels(tensor: &Tensor) -> Result<Tensor> {
        tensor.reshape((1, (), 1, 1))
    }

    /// Extent of the input.
    pub(super) fn from(&self) -> Extent {
        self.extents[self.step.input]
    }

    /// Numbers as a tensor like the values.
    pub(super) fn constant<D: WithDType>(&self, numbers: Vec<D>, shape: &[usize]) -> Result<Tensor> {
        let values = self.value(self.step.input);
        Tensor::from_vec(numbers, shape, values.device())?.to_dtype(values.dtype())
    }
}

impl Tape {
    pub(super) fn new(device: Device, dtype: DType) -> Self {
        Self { device, dtype, parameters: Vec::new(), outdated: true }
    }

    /// Target of results.
    pub(super) fn target(&self) -> String {
        if self.device.is_cpu() { CANDLE_CPU.to_owned() } else { CANDLE_CUDA.to_owned() }
    }

    /// Notes that the values on the host have changed.
    pub(super) fn host_changed(&mut self) {
        self.outdated = true;
    }

    /// Parameters for a pass, those of `flat`; with several threads, computing it needs no lock.
    pub(super) fn sent(&mut self, program: &Program, flat: &[f32], frozen: &[bool]) -> Result<SentParameters> {
        self.send(program, flat)?;
        let on_tape = |(variable, frozen): (&Var, &bool)| {
            Some(if *frozen { variable.as_tensor().detach() } else { variable.as_tensor().clone() })
        };
        let parameters = self.parameters.iter().zip(frozen).map(on_tape).collect();
        Ok(SentParameters { device: self.device.clone(), dtype: self.dtype, parameters })
    }

    /// Writes the gradients of a backward pass to the host, 0 for frozen parameters.
    ///
    /// # Errors
    /// [`StageError::Bug`] if a parameter that is not frozen has none.
    pub(super) fn gradients(
        &self,
        program: &Program,
        found: &GradStore,
        frozen: &[bool],
        gradient: &mut [f32],
    ) -> std::result::Result<(), StageError> {
        for ((parameter, variable), frozen) in program.parameters.iter().zip(&self.parameters).zip(frozen) {
            let own = &mut gradient[parameter.range.clone()];
            if *frozen {
                own.fill(0.0);
                continue;
            }
            let Some(found) = found.get(variable) else {
                let text = format!("parameter `{}` is not frozen, but no gradient reaches it", parameter.name);
                return Err(StageError::Bug(text));
            };
            let values = host(found).map_err(super::candle)?;
            own.copy_from_slice(&layout::from_torch(&parameter.shape, &values));
        }
        Ok(())
    }

    /// Copies the parameters to the device if the host has newer ones.
    fn send(&mut self, program: &Program, flat: &[f32]) -> Result<()> {
        if !self.outdated {
            return Ok(());
        }
        let tensor = |at: usize| {
            let parameter = &program.parameters[at];
            let values = layout::to_torch(&parameter.shape, &flat[parameter.range.clone()]);
            Tensor::from_vec(values, parameter.shape.as_slice(), &self.device)?.to_dtype(self.dtype)
        };
        if self.parameters.is_empty() {
            let all = (0..program.parameters.len()).map(|at| Var::from_tensor(&tensor(at)?));
            self.parameters = all.collect::<Result<_>>()?;
        } else {
            for (at, variable) in self.parameters.iter().enumerate() {
                variable.set(&tensor(at)?)?;
            }
        }
        self.outdated = false;
        Ok(())
    }
}

/// Parameters on their device.
pub(super) struct SentParameters {
    pub(super) device: Device,
    dtype: DType,
    parameters: Vec<Option<Tensor>>,
}

impl SentParameters {
    /// Logits (N x classes, f32 on the CPU), on the tape in training mode.
    pub(super) fn forward(
        &self,
        program: &Program,
        extents: &[Extent],
        input: &NetworkInput,
        mut mode: TapeMode,
    ) -> Result<Tensor> {
        let pixels = match input {
            NetworkInput::Pixels(pixels) => (*pixels).clone(),
            NetworkInput::Joined(batch) => batch.pixels.clone(),
            NetworkInput::Stored(views) => {
                let size = views.stored.size;
                Tensor::from_vec(views.pixels(), (views.changes.len(), size, size, 3), &Device::Cpu)?
            }
        };
        let pixels = pixels.to_device(&self.device)?.to_dtype(self.dtype)?.permute((0, 3, 1, 2))?.contiguous()?;
        let images = pixels.dim(0)?;
        let mut left = program.uses.clone();
        let mut values: Vec<Option<Tensor>> = vec![None; program.uses.len()];
        values[0] = Some(pixels);
        for (JoinedValue { extent, value, .. }, floats) in program.joined.iter().zip(input.joined()) {
            let shape = (images, extent.height, extent.width, extent.channels);
            let floats = Tensor::from_slice(floats, shape, &Device::Cpu)?.to_device(&self.device)?;
            values[*value] = Some(floats.to_dtype(self.dtype)?.permute((0, 3, 1, 2))?.contiguous()?);
        }
        for step in &program.steps {
            let (values_here, mode) = (&values, mode.again());
            let mut here = OnTape { program, extents, step, values: values_here, parameters: &self.parameters, mode };
            let x = here.value(step.input).clone();
            let y = step.op.operation().graph(&mut here, &x)?;
            values[step.output] = Some(y);
            for value in step.reads() {
                left[value] -= 1;
                if left[value] == 0 {
                    values[value] = None;
                }
            }
        }
        let output = values[program.last()].take().expect("the output is kept");
        // In the order of the kernels, channels last.
        let output = output.permute((0, 2, 3, 1))?.contiguous()?;
        output.reshape((images, ()))?.to_dtype(DType::F32)?.to_device(&Device::Cpu)
    }
}

/// Values of a tensor as f32 on the host.
pub(super) fn host(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?.flatten_all()?.to_vec1()
}

/// Values of a tensor as f64 on the host.
pub(super) fn wide(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.contiguous()?.flatten_all()?.to_vec1()
}
