//! What a graphics card does for a network: memory, launches of our kernels, convolutions. Knows no network and no driver.
//!
//! [`Gpu`] is the seam: behind it stands a card, or in tests the processor, which executes the same kernels compiled as C++.

pub mod arena;
mod choice;
#[cfg(feature = "cuda")]
mod cuda;
mod kernel;
mod open;

use super::kernels::Begin;
use super::kernels::conv::ConvShape;
use crate::stage::StageError;

pub use choice::{Choice, Precision};
pub use kernel::{Arguments, Kernel, SOURCE, THREADS, options};
pub use open::{Opened, class, open};

/// A card, and all that was planned and allocated on it; freed with it. Everything happens in the order of the calls.
pub trait Gpu: Send {
    /// What results computed on it are recorded as: `cuda-sm90-cudnn91900-bf16`.
    fn class(&self) -> String;

    /// What is computed with.
    fn precision(&self) -> Precision;

    /// Bytes that could be allocated now.
    ///
    /// # Errors
    /// What the driver says, as of every method.
    fn room(&mut self) -> Result<u64, StageError>;

    /// Memory of that many bytes with any content; its address.
    ///
    /// # Errors
    /// Where there is not as much.
    fn allocate(&mut self, bytes: u64) -> Result<u64, StageError>;

    /// Gives memory back that [`Gpu::allocate`] gave.
    ///
    /// # Errors
    /// What the driver says.
    fn free(&mut self, address: u64) -> Result<(), StageError>;

    /// Fills with zeros.
    ///
    /// # Errors
    /// What the driver says.
    fn clear(&mut self, address: u64, bytes: u64) -> Result<(), StageError>;

    /// Copies to the card.
    ///
    /// # Errors
    /// What the driver says.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), StageError>;

    /// Copies from the card, after all that was launched before.
    ///
    /// # Errors
    /// What the driver says; errors of earlier launches may appear here.
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), StageError>;

    /// Launches a kernel over that many threads.
    ///
    /// # Errors
    /// What the driver says.
    fn launch(&mut self, kernel: Kernel, threads: usize, arguments: &Arguments) -> Result<(), StageError>;

    /// Plans a convolution of `images` images by the card's own library, where that has deterministic algorithms for all
    /// `directions`; else our kernels compute it.
    ///
    /// # Errors
    /// What the library says.
    fn plan(
        &mut self,
        shape: ConvShape,
        images: usize,
        directions: &[Direction],
    ) -> Result<Option<Planned>, StageError>;

    /// Executes a direction of a planned convolution: of the image, the kernel (out x k x k x in) and the output, the one that
    /// `direction` names is written, or added to.
    ///
    /// # Errors
    /// What the library says.
    fn convolve(&mut self, run: &Convolve) -> Result<(), StageError>;
}

/// What is computed of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// The output.
    Forward,
    /// The gradient of the image.
    Image,
    /// The gradient of the kernel.
    Kernel,
}

/// A planned convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// For [`Convolve::id`].
    pub id: usize,
    /// Bytes that it works in.
    pub workspace: u64,
}

/// One execution of a planned convolution. All but `id` and `direction` are addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolve {
    /// Of [`Planned`].
    pub id: usize,
    /// What is computed.
    pub direction: Direction,
    /// The image or its gradient, N x H x W x C.
    pub image: u64,
    /// The kernel or its gradient, out x k x k x in.
    pub kernel: u64,
    /// The output or its gradient, N x H x W x out.
    pub output: u64,
    /// Memory of [`Planned::workspace`] bytes.
    pub workspace: u64,
    /// Whether the result is added to what is there.
    pub begin: Begin,
}
