//! Schedule of calls over buffers, and the placement of the buffers: each lives from the first call that uses it to the last. Knows no
//! layer.

use crate::engine::gpu::arena::{self, Lifetime};
use crate::engine::gpu::{ConvolutionCall, Direction, Gpu, Kernel, KernelArguments};
use crate::engine::kernels::Begin;
use crate::stage::StageError;

/// Buffer of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::network) struct Buffer(usize);

/// Memory that a call reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::network) enum Pointer {
    /// None.
    None,
    /// Fixed address.
    At(u64),
    /// Buffer.
    In(Buffer),
}

impl From<Buffer> for Pointer {
    fn from(buffer: Buffer) -> Self {
        Self::In(buffer)
    }
}

impl From<Option<Pointer>> for Pointer {
    fn from(pointer: Option<Pointer>) -> Self {
        pointer.unwrap_or(Self::None)
    }
}

/// Data transferred from or to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::network) enum Transfer {
    /// Normalised pixels, f32.
    Pixels,
    /// Stored patches, u8.
    Stored,
    /// Transforms of stored patches, f64.
    Changes,
    /// Blur kernels of stored patches, f32.
    Weights,
    /// Dropout mask of the step of that index, f32.
    Mask(usize),
    /// Logits, f32.
    Logits,
    /// Gradient of the logits, f32.
    Gradient,
}

/// Operation of a call; its pointers are kept next to it.
#[derive(Clone, Debug)]
pub(in crate::engine::network) enum CallOp {
    /// Launch of a kernel over that many threads.
    Launch(Kernel, usize, Box<KernelArguments>),
    /// Planned convolution on image, kernel, output and workspace.
    Convolve(usize, Direction, Begin),
    /// Zeroing of that many bytes.
    Clear(u64),
    /// Copy of that many bytes to the GPU.
    Give(Transfer, usize),
    /// Copy of that many floats from the GPU.
    Take(Transfer, usize),
}

/// Calls, and the sizes of their buffers.
#[derive(Debug, Default)]
pub(in crate::engine::network) struct CallSchedule {
    calls: Vec<(CallOp, Vec<Pointer>)>,
    bytes: Vec<u64>,
}

impl CallSchedule {
    /// Adds a buffer.
    pub(in crate::engine::network) fn buffer(&mut self, bytes: usize) -> Buffer {
        self.bytes.push(bytes.max(1) as u64);
        Buffer(self.bytes.len() - 1)
    }

    /// Appends a call.
    pub(in crate::engine::network) fn call<const N: usize>(&mut self, deed: CallOp, pointers: [Pointer; N]) {
        self.calls.push((deed, pointers.to_vec()));
    }

    /// Number of calls so far.
    pub(in crate::engine::network) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Appends a launch over `threads` threads.
    pub(in crate::engine::network) fn launch<const N: usize>(
        &mut self,
        kernel: Kernel,
        threads: usize,
        pointers: [Pointer; N],
        numbers: LaunchNumbers,
    ) {
        let mut arguments = KernelArguments::default();
        for (place, &value) in arguments.n.iter_mut().zip(numbers.n) {
            // Counts were limited to 2^31 before the schedule was built.
            *place = value as i32;
        }
        arguments.d[..numbers.d.len()].copy_from_slice(numbers.d);
        arguments.f[..numbers.f.len()].copy_from_slice(numbers.f);
        self.call(CallOp::Launch(kernel, threads, Box::new(arguments)), pointers);
    }

    /// Places the buffers in one block.
    pub(in crate::engine::network) fn place(self) -> PlacedSchedule {
        let mut lives: Vec<Option<Lifetime>> = vec![None; self.bytes.len()];
        for (call, (_, pointers)) in self.calls.iter().enumerate() {
            for buffer in pointers.iter().filter_map(|pointer| match pointer {
                Pointer::In(buffer) => Some(buffer.0),
                _ => None,
            }) {
                let bytes = self.bytes[buffer];
                lives[buffer].get_or_insert(Lifetime { bytes, first: call, last: call }).last = call;
            }
        }
        let lives: Vec<Lifetime> =
            lives.into_iter().map(|life| life.unwrap_or(Lifetime { bytes: 0, first: 0, last: 0 })).collect();
        let (places, bytes) = arena::place(&lives);
        PlacedSchedule { calls: self.calls, places, bytes }
    }
}

/// Numeric arguments of a launch.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine::network) struct LaunchNumbers<'a> {
    pub(in crate::engine::network) n: &'a [usize],
    pub(in crate::engine::network) d: &'a [f64],
    pub(in crate::engine::network) f: &'a [f32],
}

/// Schedule whose buffers are placed in a block that is not allocated yet.
#[derive(Debug)]
pub(in crate::engine::network) struct PlacedSchedule {
    calls: Vec<(CallOp, Vec<Pointer>)>,
    places: Vec<u64>,
    /// Size of the block, bytes.
    pub(in crate::engine::network) bytes: u64,
}

impl PlacedSchedule {
    /// Calls with addresses, for a block at `base`.
    pub(in crate::engine::network) fn bind(&self, base: u64) -> Vec<BoundCall> {
        let address = |pointer: &Pointer| match pointer {
            Pointer::None => 0,
            Pointer::At(address) => *address,
            Pointer::In(buffer) => base + self.places[buffer.0],
        };
        let bind = |(deed, pointers): &(CallOp, Vec<Pointer>)| {
            let mut at = [0; 12];
            at.iter_mut().zip(pointers).for_each(|(at, pointer)| *at = address(pointer));
            let mut deed = deed.clone();
            if let CallOp::Launch(_, _, arguments) = &mut deed {
                arguments.p = at;
            }
            BoundCall { deed, at }
        };
        self.calls.iter().map(bind).collect()
    }
}

/// Call with its addresses.
#[derive(Debug)]
pub(in crate::engine::network) struct BoundCall {
    deed: CallOp,
    at: [u64; 12],
}

impl BoundCall {
    fn convolution(&self, id: usize, direction: Direction, begin: Begin) -> ConvolutionCall {
        let [image, kernel, output, workspace, ..] = self.at;
        ConvolutionCall { id, direction, image, kernel, output, workspace, begin }
    }

    /// The convolution that it executes, if it is one.
    pub(in crate::engine::network) fn convolves(&self) -> Option<ConvolutionCall> {
        match self.deed {
            CallOp::Convolve(id, direction, begin) => Some(self.convolution(id, direction, begin)),
            _ => None,
        }
    }

    /// Executes the call. `host` provides data from the host and receives data for it.
    pub(in crate::engine::network) fn execute(
        &self,
        gpu: &mut dyn Gpu,
        host: &mut dyn HostSide,
    ) -> Result<(), StageError> {
        let at = self.at[0];
        match &self.deed {
            CallOp::Launch(kernel, threads, arguments) => gpu.launch(*kernel, *threads, arguments),
            CallOp::Convolve(id, direction, begin) => gpu.convolve(&self.convolution(*id, *direction, *begin)),
            CallOp::Clear(bytes) => gpu.clear(at, *bytes),
            CallOp::Give(passed, length) => {
                let given = host.give(*passed, *length);
                if given.len() != *length {
                    let text = format!("{} bytes for a card that expects {length}: {passed:?}", given.len());
                    return Err(StageError::Bug(text));
                }
                gpu.write(at, &given)
            }
            CallOp::Take(passed, count) => {
                let floats = read(gpu, at, *count)?;
                host.take(*passed, floats);
                Ok(())
            }
        }
    }
}

/// Host side of a pass.
pub(in crate::engine::network) trait HostSide {
    /// Provides that many bytes.
    fn give(&mut self, passed: Transfer, length: usize) -> std::borrow::Cow<'_, [u8]>;
    /// Receives floats from the GPU.
    fn take(&mut self, passed: Transfer, floats: Vec<f32>);
}

/// Bytes of floats, without a copy on little-endian machines.
pub(in crate::engine::network) fn bytes(floats: &[f32]) -> std::borrow::Cow<'_, [u8]> {
    #[cfg(target_endian = "little")]
    {
        // SAFETY: every byte of a float may be read, and bytes need no alignment.
        #[expect(unsafe_code, reason = "a batch of pixels is not copied only to change its type")]
        let bytes = unsafe { std::slice::from_raw_parts(floats.as_ptr().cast::<u8>(), size_of_val(floats)) };
        bytes.into()
    }
    #[cfg(not(target_endian = "little"))]
    floats.iter().flat_map(|float| float.to_le_bytes()).collect::<Vec<u8>>().into()
}

/// Reads that many floats from the GPU.
pub(in crate::engine::network) fn read(gpu: &mut dyn Gpu, address: u64, count: usize) -> Result<Vec<f32>, StageError> {
    let mut bytes = vec![0; 4 * count];
    gpu.read(address, &mut bytes)?;
    Ok(bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect())
}
