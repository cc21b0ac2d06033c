//! Calls in order over buffers without places, and the places: a buffer lives from the first call that names it to the last. Knows
//! no layer.

use crate::learn::gpu::arena::{self, Life};
use crate::learn::gpu::{Arguments, Convolve, Direction, Gpu, Kernel};
use crate::learn::kernels::Begin;
use crate::stage::StageError;

/// A buffer of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffer(usize);

/// Where a call reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pointer {
    /// Nowhere.
    None,
    /// At an address that stays.
    At(u64),
    /// In a buffer.
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

/// What comes from the host or goes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// The normalised pixels, f32.
    Pixels,
    /// Patches as they are stored, u8.
    Stored,
    /// What happens to each of them, f64.
    Changes,
    /// The weights of their blurs, f32.
    Weights,
    /// The mask of a dropout by the place of its step, f32.
    Mask(usize),
    /// The logits, f32.
    Logits,
    /// Their gradient, f32.
    Gradient,
}

/// What a call does, with the pointers that stand beside it.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// A kernel is launched over that many threads.
    Launch(Kernel, usize, Box<Arguments>),
    /// A planned convolution is executed on image, kernel, output and workspace.
    Convolve(usize, Direction, Begin),
    /// That many bytes become 0.
    Clear(u64),
    /// That many bytes are copied to the card.
    Give(Passed, usize),
    /// Floats are copied from the card.
    Take(Passed, usize),
}

/// Calls and the sizes of their buffers.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    calls: Vec<(Deed, Vec<Pointer>)>,
    bytes: Vec<u64>,
}

impl Schedule {
    /// A new buffer.
    pub(super) fn buffer(&mut self, bytes: usize) -> Buffer {
        self.bytes.push(bytes.max(1) as u64);
        Buffer(self.bytes.len() - 1)
    }

    /// The call after all others.
    pub(super) fn call<const N: usize>(&mut self, deed: Deed, pointers: [Pointer; N]) {
        self.calls.push((deed, pointers.to_vec()));
    }

    /// Calls so far.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// A launch over `threads` threads.
    pub(super) fn launch<const N: usize>(
        &mut self,
        kernel: Kernel,
        threads: usize,
        pointers: [Pointer; N],
        numbers: Numbers,
    ) {
        let mut arguments = Arguments::default();
        for (place, &value) in arguments.n.iter_mut().zip(numbers.n) {
            // Counts were held to 2^31 where the schedule began.
            *place = value as i32;
        }
        arguments.d[..numbers.d.len()].copy_from_slice(numbers.d);
        arguments.f[..numbers.f.len()].copy_from_slice(numbers.f);
        self.call(Deed::Launch(kernel, threads, Box::new(arguments)), pointers);
    }

    /// Places in a block, and its bytes.
    pub(super) fn place(self) -> Placed {
        let mut lives: Vec<Option<Life>> = vec![None; self.bytes.len()];
        for (call, (_, pointers)) in self.calls.iter().enumerate() {
            for buffer in pointers.iter().filter_map(|pointer| match pointer {
                Pointer::In(buffer) => Some(buffer.0),
                _ => None,
            }) {
                let bytes = self.bytes[buffer];
                lives[buffer].get_or_insert(Life { bytes, first: call, last: call }).last = call;
            }
        }
        let lives: Vec<Life> =
            lives.into_iter().map(|life| life.unwrap_or(Life { bytes: 0, first: 0, last: 0 })).collect();
        let (places, bytes) = arena::place(&lives);
        Placed { calls: self.calls, places, bytes }
    }
}

/// The numbers of a launch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers<'a> {
    pub(super) n: &'a [usize],
    pub(super) d: &'a [f64],
    pub(super) f: &'a [f32],
}

/// A schedule whose buffers have places in a block that is not there yet.
#[derive(Debug)]
pub(super) struct Placed {
    calls: Vec<(Deed, Vec<Pointer>)>,
    places: Vec<u64>,
    /// Bytes of the block.
    pub(super) bytes: u64,
}

impl Placed {
    /// The calls with addresses, for a block at `base`.
    pub(super) fn bind(&self, base: u64) -> Vec<Bound> {
        let address = |pointer: &Pointer| match pointer {
            Pointer::None => 0,
            Pointer::At(address) => *address,
            Pointer::In(buffer) => base + self.places[buffer.0],
        };
        let bind = |(deed, pointers): &(Deed, Vec<Pointer>)| {
            let mut at = [0; 12];
            at.iter_mut().zip(pointers).for_each(|(at, pointer)| *at = address(pointer));
            let mut deed = deed.clone();
            if let Deed::Launch(_, _, arguments) = &mut deed {
                arguments.p = at;
            }
            Bound { deed, at }
        };
        self.calls.iter().map(bind).collect()
    }
}

/// A call with its addresses.
#[derive(Debug)]
pub(super) struct Bound {
    deed: Deed,
    at: [u64; 12],
}

impl Bound {
    /// Executes it. `host` is given what comes from the host, and fills what goes to it.
    pub(super) fn execute(&self, gpu: &mut dyn Gpu, host: &mut dyn Host) -> Result<(), StageError> {
        let at = self.at[0];
        match &self.deed {
            Deed::Launch(kernel, threads, arguments) => gpu.launch(*kernel, *threads, arguments),
            Deed::Convolve(id, direction, begin) => gpu.convolve(&Convolve {
                id: *id,
                direction: *direction,
                image: self.at[0],
                kernel: self.at[1],
                output: self.at[2],
                workspace: self.at[3],
                begin: *begin,
            }),
            Deed::Clear(bytes) => gpu.clear(at, *bytes),
            Deed::Give(passed, length) => {
                let given = host.give(*passed, *length);
                if given.len() != *length {
                    let text = format!("{} bytes for a card that expects {length}: {passed:?}", given.len());
                    return Err(StageError::Bug(text));
                }
                gpu.write(at, &given)
            }
            Deed::Take(passed, count) => {
                let floats = read(gpu, at, *count)?;
                host.take(*passed, floats);
                Ok(())
            }
        }
    }
}

/// What the host has for a pass and gets from it.
pub(super) trait Host {
    /// That many bytes.
    fn give(&mut self, passed: Passed, length: usize) -> std::borrow::Cow<'_, [u8]>;
    /// The floats that the card gives.
    fn take(&mut self, passed: Passed, floats: Vec<f32>);
}

/// The bytes of floats; on the machines that a card is in, they are the floats.
pub(super) fn bytes(floats: &[f32]) -> std::borrow::Cow<'_, [u8]> {
    #[cfg(target_endian = "little")]
    {
        // SAFETY: every byte of a float may be read, and bytes need no alignment.
        #[expect(unsafe_code, reason = "a batch of pixels is not copied for its type's sake")]
        let bytes = unsafe { std::slice::from_raw_parts(floats.as_ptr().cast::<u8>(), size_of_val(floats)) };
        bytes.into()
    }
    #[cfg(not(target_endian = "little"))]
    floats.iter().flat_map(|float| float.to_le_bytes()).collect::<Vec<u8>>().into()
}

/// That many floats from the card.
pub(super) fn read(gpu: &mut dyn Gpu, address: u64, count: usize) -> Result<Vec<f32>, StageError> {
    let mut bytes = vec![0; 4 * count];
    gpu.read(address, &mut bytes)?;
    Ok(bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect())
}
