//! Convolutions by cuDNN: descriptors and algorithms, planned once per shape by fixed rules. Owns no device memory.

#![expect(unsafe_code, reason = "cuDNN is called here")]

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use super::api::{Cudnn, Handle, cudnn};
use crate::engine::gpu::{ConvolutionCall, ConvolutionPlan, Direction, PlannedConvolution, Precision};
use crate::engine::kernels::Begin;
use crate::engine::kernels::shape::ConvShape;
use crate::stage::StageError;

/// Descriptor, destroyed with its owner.
struct Descriptor {
    handle: Handle,
    destroy: unsafe extern "C" fn(Handle) -> c_int,
}

impl Descriptor {
    fn new(
        create: unsafe extern "C" fn(*mut Handle) -> c_int,
        destroy: unsafe extern "C" fn(Handle) -> c_int,
    ) -> Result<Self, StageError> {
        let mut handle = null_mut();
        // SAFETY: `create` writes a handle of the kind that `destroy` takes.
        checked(unsafe { create(&raw mut handle) }, "a descriptor")?;
        Ok(Self { handle, destroy })
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and is used no more.
        unsafe { (self.destroy)(self.handle) };
    }
}

/// Descriptors of a convolution: image, kernel, output, and the operation itself.
pub(super) struct ConvDescriptors {
    image: Descriptor,
    kernel: Descriptor,
    output: Descriptor,
    conv: Descriptor,
}

fn checked(code: c_int, what: &str) -> Result<(), StageError> {
    if code == 0 { Ok(()) } else { Err(StageError::Bug(format!("cuDNN rejects {what}: status {code}"))) }
}

/// `CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED`.
const NO_MEMORY: c_int = 4004;
/// From here on, the execution failed: `CUDNN_STATUS_EXECUTION_FAILED`.
const FAILED: c_int = 5000;

/// Error of an execution by its status.
fn executed(code: c_int, what: impl Fn() -> String) -> Result<(), StageError> {
    match code {
        0 => Ok(()),
        NO_MEMORY => {
            let text = format!("cuDNN has too little GPU memory for {}", what());
            Err(StageError::input("gpu-memory", text).hint("use a smaller `batch`").field("batch"))
        }
        FAILED.. => {
            let text = format!("cuDNN cannot execute {}: status {code}", what());
            Err(StageError::input("gpu", text).hint("check the output of `nvidia-smi`").field("device"))
        }
        _ => {
            let text = format!("cuDNN rejects {}: status {code}", what());
            Err(StageError::input("gpu-convolution", text).hint("set `device cpu`").field("device"))
        }
    }
}

impl ConvDescriptors {
    /// Descriptors of N x H x W x C images and out x k x k x in kernels. Needs no GPU.
    pub(super) fn new(api: &Cudnn, shape: ConvShape, images: usize, precision: Precision) -> Result<Self, StageError> {
        let tensor = || Descriptor::new(api.cudnnCreateTensorDescriptor, api.cudnnDestroyTensorDescriptor);
        let made = Self {
            image: tensor()?,
            kernel: Descriptor::new(api.cudnnCreateFilterDescriptor, api.cudnnDestroyFilterDescriptor)?,
            output: tensor()?,
            conv: Descriptor::new(api.cudnnCreateConvolutionDescriptor, api.cudnnDestroyConvolutionDescriptor)?,
        };
        let (data, math) = match precision {
            Precision::F32 => (cudnn::FLOAT, cudnn::FMA_MATH),
            Precision::Tf32 => (cudnn::FLOAT, cudnn::TENSOR_OP_MATH),
            Precision::Bf16 => (cudnn::BFLOAT16, cudnn::TENSOR_OP_MATH),
        };
        let int = |value: usize| value as c_int;
        let (n, c, out) = (int(images), int(shape.channels), int(shape.out));
        let (h, w, k) = (int(shape.height), int(shape.width), int(shape.kernel));
        let (padding, stride, dilation) = (int(shape.padding), int(shape.stride), int(shape.dilation));
        let (rows, columns) = shape.outputs();
        let mut dims: [c_int; 4] = [0; 4];
        // SAFETY: the descriptors are of the kinds that the functions take, and live through the calls.
        unsafe {
            let (tensor, kernel) = (api.cudnnSetTensor4dDescriptor, api.cudnnSetFilter4dDescriptor);
            checked(tensor(made.image.handle, cudnn::NHWC, data, n, c, h, w), "an image")?;
            checked(kernel(made.kernel.handle, data, cudnn::NHWC, out, c, k, k), "a kernel")?;
            checked(tensor(made.output.handle, cudnn::NHWC, data, n, out, int(rows), int(columns)), "an output")?;
            let conv = made.conv.handle;
            let set = api.cudnnSetConvolution2dDescriptor;
            let mode = cudnn::CROSS_CORRELATION;
            let code = set(conv, padding, padding, stride, stride, dilation, dilation, mode, cudnn::FLOAT);
            checked(code, "a convolution")?;
            checked((api.cudnnSetConvolutionMathType)(conv, math), "a kind of mathematics")?;
            let [n, c, h, w] = &mut dims;
            let code =
                (api.cudnnGetConvolution2dForwardOutputDim)(conv, made.image.handle, made.kernel.handle, n, c, h, w);
            checked(code, "a convolution of this shape")?;
        }
        let ours = [n, out, int(rows), int(columns)];
        if dims != ours {
            return Err(StageError::Bug(format!("cuDNN gives an output of {dims:?} where {ours:?} is right")));
        }
        Ok(made)
    }

    /// First algorithm of a direction that cuDNN supports for the shape, and its workspace, bytes.
    fn algorithm(&self, api: &Cudnn, handle: Handle, direction: Direction) -> Option<(c_int, usize)> {
        let (x, w, y, conv) = (self.image.handle, self.kernel.handle, self.output.handle, self.conv.handle);
        let algorithms = match direction {
            Direction::Forward => cudnn::FORWARD,
            Direction::Image => cudnn::IMAGE,
            Direction::Kernel => cudnn::KERNEL,
        };
        algorithms.iter().find_map(|&algorithm| {
            let mut bytes = 0;
            let into = &raw mut bytes;
            // SAFETY: descriptors and handle are alive; a size is written.
            let code = unsafe {
                match direction {
                    Direction::Forward => {
                        (api.cudnnGetConvolutionForwardWorkspaceSize)(handle, x, w, conv, y, algorithm, into)
                    }
                    Direction::Image => {
                        (api.cudnnGetConvolutionBackwardDataWorkspaceSize)(handle, w, y, conv, x, algorithm, into)
                    }
                    Direction::Kernel => {
                        (api.cudnnGetConvolutionBackwardFilterWorkspaceSize)(handle, x, y, conv, w, algorithm, into)
                    }
                }
            };
            (code == 0).then_some((algorithm, bytes))
        })
    }
}

/// Planned convolution.
struct ConvPlan {
    key: (ConvShape, usize),
    shape: ConvDescriptors,
    /// Algorithm and workspace (bytes) by [`Direction`].
    algorithms: [Option<(c_int, usize)>; 3],
}

/// cuDNN on one GPU, and the convolutions planned with it.
pub(super) struct Convolutions {
    api: Cudnn,
    handle: Handle,
    precision: Precision,
    plans: Vec<ConvPlan>,
}

// SAFETY: cuDNN's handles and descriptors may be used by one thread after another.
unsafe impl Send for Convolutions {}

impl Convolutions {
    /// Initialises cuDNN in the current context; all work is on its default stream.
    pub(super) fn new(api: Cudnn, precision: Precision) -> Result<Self, StageError> {
        let mut handle = null_mut();
        // SAFETY: a context is current.
        checked(unsafe { (api.cudnnCreate)(&raw mut handle) }, "to begin")?;
        Ok(Self { api, handle, precision, plans: Vec::new() })
    }

    /// As [`crate::engine::gpu::Gpu::plan`].
    pub(super) fn plan(
        &mut self,
        shape: ConvShape,
        images: usize,
        directions: &[Direction],
    ) -> Result<ConvolutionPlan, StageError> {
        let known = self.plans.iter().position(|plan| plan.key == (shape, images));
        let id = known.unwrap_or(self.plans.len());
        if known.is_none() {
            let made = ConvDescriptors::new(&self.api, shape, images, self.precision)?;
            let algorithms = [Direction::Forward, Direction::Image, Direction::Kernel]
                .map(|direction| made.algorithm(&self.api, self.handle, direction));
            self.plans.push(ConvPlan { key: (shape, images), shape: made, algorithms });
        }
        let mut workspace = 0;
        for &direction in directions {
            match self.plans[id].algorithms[direction as usize] {
                Some((_, bytes)) => workspace = workspace.max(bytes as u64),
                None => return Ok(ConvolutionPlan::Lacking(direction)),
            }
        }
        Ok(ConvolutionPlan::Library(PlannedConvolution { id, workspace }))
    }

    /// As [`crate::engine::gpu::Gpu::convolve`].
    pub(super) fn convolve(&mut self, run: &ConvolutionCall) -> Result<(), StageError> {
        let plan = &self.plans[run.id];
        let Some((algorithm, bytes)) = plan.algorithms[run.direction as usize] else {
            return Err(StageError::Bug("a convolution that was not planned".to_owned()));
        };
        let shape = &plan.shape;
        let (x, w, y) = (shape.image.handle, shape.kernel.handle, shape.output.handle);
        let at = |address: u64| address as *mut c_void;
        let (image, kernel, output) = (at(run.image), at(run.kernel), at(run.output));
        let (one, beta) = (1.0f32, if run.begin == Begin::Add { 1.0f32 } else { 0.0 });
        let (alpha, beta) = ((&raw const one).cast(), (&raw const beta).cast());
        let (api, cudnn, conv, workspace) = (&self.api, self.handle, shape.conv.handle, at(run.workspace));
        // SAFETY: the addresses are of buffers of the descriptors' sizes, and the workspace is as large as planned.
        let code = unsafe {
            match run.direction {
                Direction::Forward => (api.cudnnConvolutionForward)(
                    cudnn, alpha, x, image, w, kernel, conv, algorithm, workspace, bytes, beta, y, output,
                ),
                Direction::Image => (api.cudnnConvolutionBackwardData)(
                    cudnn, alpha, w, kernel, y, output, conv, algorithm, workspace, bytes, beta, x, image,
                ),
                Direction::Kernel => (api.cudnnConvolutionBackwardFilter)(
                    cudnn, alpha, x, image, y, output, conv, algorithm, workspace, bytes, beta, w, kernel,
                ),
            }
        };
        executed(code, || format!("{} of {:?} x {}", run.direction.name(), plan.key.0, plan.key.1))
    }
}

impl Drop for Convolutions {
    fn drop(&mut self) {
        self.plans.clear();
        // SAFETY: the handle is ours and is used no more.
        unsafe { (self.api.cudnnDestroy)(self.handle) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_convolution_is_distinguished_from_a_broken_gpu_and_too_little_memory() {
        let code = |status| match executed(status, || "forward of …".to_owned()) {
            Err(StageError::Input { code, .. }) => code,
            _ => "",
        };
        assert_eq!(
            [0, 3002, 2006, 4004, 5001].map(code),
            ["", "gpu-convolution", "gpu-convolution", "gpu-memory", "gpu"]
        );
    }

    #[test]
    fn cudnn_takes_the_descriptors_of_every_kind_of_convolution() {
        let api = match Cudnn::open() {
            Ok(api) => api,
            // Without cuDNN there is nothing to ask.
            Err(why) => return assert_eq!(why, format!("`{}` not found", Cudnn::FILES[0])),
        };
        let stem = ConvShape {
            height: 224,
            width: 224,
            channels: 8,
            out: 64,
            kernel: 7,
            stride: 2,
            padding: 3,
            dilation: 1,
            groups: 1,
        };
        let shapes = [
            stem,
            ConvShape { height: 56, width: 55, channels: 64, kernel: 3, padding: 1, ..stem },
            ConvShape { height: 56, width: 55, channels: 64, kernel: 1, padding: 0, out: 256, ..stem },
            ConvShape { height: 14, width: 14, channels: 512, kernel: 3, stride: 1, padding: 2, dilation: 2, ..stem },
            ConvShape::linear(25088, 4096),
        ];
        for shape in shapes {
            for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
                ConvDescriptors::new(&api, shape, 32, precision).unwrap();
            }
        }
    }
}
