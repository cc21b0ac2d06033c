//! GPU interface for networks: memory, kernel launches, convolutions. Knows no network and no driver.
//!
//! [`Gpu`] is implemented by a GPU, and in tests by the CPU, which executes the same kernels compiled as C++.

pub mod arena;
mod cache;
mod choice;
pub mod cubin;
#[cfg(feature = "cuda")]
mod cuda;
mod kernel;
mod open;

use super::kernels::Begin;
use super::kernels::shape::ConvShape;
use crate::stage::StageError;

pub use cache::keep;
pub use cache::{cache_folder, cache_in};
pub use choice::{DeviceChoice, DeviceRequest, GpuEngine, Precision};
pub use kernel::{Kernel, KernelArguments, SOURCE, THREADS, options};
pub use open::{
    CANDLE_CPU, CANDLE_CUDA, KernelCandidate, OpenedEngine, Opening, is_approximate, not_built_for, open, resumed,
    target,
};

/// GPU with all memory and plans on it, which are freed with it. All work happens in the order of the calls.
pub trait Gpu: Send {
    /// Target recorded for results computed on it: `cuda-sm90-cudnn91900-bf16`.
    fn target(&self) -> String;

    /// The very GPU, with the versions of driver and libraries: a self-check holds for nothing else.
    fn identity(&self) -> String;

    /// Numeric precision.
    fn precision(&self) -> Precision;

    /// Free memory, bytes.
    ///
    /// # Errors
    /// Errors of the driver, as for every method.
    fn room(&mut self) -> Result<u64, StageError>;

    /// Allocates memory with arbitrary content; returns its address.
    ///
    /// # Errors
    /// If there is not enough memory.
    fn allocate(&mut self, bytes: u64) -> Result<u64, StageError>;

    /// Frees memory from [`Gpu::allocate`].
    ///
    /// # Errors
    /// Errors of the driver.
    fn free(&mut self, address: u64) -> Result<(), StageError>;

    /// Fills memory with zeros.
    ///
    /// # Errors
    /// Errors of the driver.
    fn clear(&mut self, address: u64, bytes: u64) -> Result<(), StageError>;

    /// Copies bytes to the GPU.
    ///
    /// # Errors
    /// Errors of the driver.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), StageError>;

    /// Copies bytes from the GPU after all earlier launches.
    ///
    /// # Errors
    /// Errors of the driver, including those of earlier launches.
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), StageError>;

    /// Launches a kernel over that many threads.
    ///
    /// # Errors
    /// Errors of the driver.
    fn launch(&mut self, kernel: Kernel, threads: usize, arguments: &KernelArguments) -> Result<(), StageError>;

    /// Plans a convolution of `images` images by the vendor library, in these directions.
    ///
    /// # Errors
    /// Errors of the library.
    fn plan(
        &mut self,
        shape: ConvShape,
        images: usize,
        directions: &[Direction],
    ) -> Result<ConvolutionPlan, StageError>;

    /// Executes one direction of a planned convolution: of image, kernel (out x k x k x in) and output, writes or adds to the one that
    /// `direction` names.
    ///
    /// # Errors
    /// Errors of the library; `gpu-convolution` if it rejects this convolution and nothing else is wrong.
    fn convolve(&mut self, run: &ConvolutionCall) -> Result<(), StageError>;
}

/// Direction of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Computes the output.
    Forward,
    /// Computes the gradient of the image.
    Image,
    /// Computes the gradient of the kernel.
    Kernel,
}

impl Direction {
    /// Name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Image => "image gradient",
            Self::Kernel => "kernel gradient",
        }
    }
}

/// Answer of the vendor library to a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvolutionPlan {
    /// It computes the convolution.
    Library(PlannedConvolution),
    /// It has no deterministic algorithm for this direction, so macula's own kernels must compute the convolution.
    Lacking(Direction),
}

/// Dense convolution that macula's own kernels compute, correctly and slowly, because the vendor library does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlowConvolution {
    /// Shape, with the padding of its channels.
    pub shape: ConvShape,
    /// Images in a batch.
    pub images: usize,
    /// Direction that the library does not compute.
    pub direction: Direction,
    /// Why not.
    pub reason: SlowReason,
}

/// Why the vendor library does not compute a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlowReason {
    /// It has no deterministic algorithm for the shape.
    Lacking,
    /// It has one, which failed when it was executed for the first time.
    Failed,
}

impl SlowReason {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Lacking => "cuDNN has no deterministic algorithm",
            Self::Failed => "cuDNN plans it but cannot execute it",
        }
    }
}

/// Planned convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedConvolution {
    /// For [`ConvolutionCall::id`].
    pub id: usize,
    /// Workspace, bytes.
    pub workspace: u64,
}

/// Execution of a planned convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionCall {
    /// Id of the [`PlannedConvolution`].
    pub id: usize,
    /// Direction to compute.
    pub direction: Direction,
    /// Address of the image or its gradient, N x H x W x C.
    pub image: u64,
    /// Address of the kernel or its gradient, out x k x k x in.
    pub kernel: u64,
    /// Address of the output or its gradient, N x H x W x out.
    pub output: u64,
    /// Address of [`PlannedConvolution::workspace`] bytes.
    pub workspace: u64,
    /// Whether the result is added to what the target holds.
    pub begin: Begin,
}
