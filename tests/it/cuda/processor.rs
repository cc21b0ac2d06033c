//! GPU emulated on the CPU: the kernel source compiled as C++, run thread by thread. Memory starts as NaNs and ends in guard bytes.

#![expect(unsafe_code, reason = "compiled kernels are loaded and called")]

use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::missing::missing;
use macula::engine::gpu::{
    ConvolutionCall, ConvolutionPlan, Direction, Gpu, Kernel, KernelArguments, PlannedConvolution, Precision, SOURCE,
    THREADS,
};
use macula::engine::kernels::Begin;
use macula::engine::kernels::shape::ConvShape;
use macula::stage::StageError;

/// Prelude that makes the kernel source valid C++.
const BEFORE: &str = r"
#include <math.h>
#include <string.h>
#define __global__
#define __device__ static inline
struct Index { unsigned x; };
static thread_local Index blockIdx, blockDim, threadIdx;
static inline float __uint_as_float(unsigned bits) { float value; memcpy(&value, &bits, 4); return value; }
static inline unsigned __float_as_uint(float value) { unsigned bits; memcpy(&bits, &value, 4); return bits; }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
";

/// Grid, block by block. Threads of the last block exceed the count, as on a GPU.
const AFTER: &str = r#"
extern "C" void grid(void (*kernel)(const Arguments), const Arguments *arguments, unsigned threads, unsigned block) {
    blockDim.x = block;
    for (unsigned at = 0; at < (threads + block - 1) / block; at++)
        for (unsigned thread = 0; thread < block; thread++) {
            blockIdx.x = at;
            threadIdx.x = thread;
            kernel(*arguments);
        }
}
"#;

type Grid = unsafe extern "C" fn(*mut c_void, *const KernelArguments, u32, u32);

/// Kernels of a precision: addresses in this process.
struct Library {
    grid: Grid,
    kernels: BTreeMap<Kernel, usize>,
}

/// Compiles the source once per stored number type; none if there is no compiler.
fn library(precision: Precision) -> Option<&'static Library> {
    static LIBRARIES: [OnceLock<Option<Library>>; 2] = [OnceLock::new(), OnceLock::new()];
    let wide = precision == Precision::Bf16;
    LIBRARIES[usize::from(wide)].get_or_init(|| compile(wide)).as_ref()
}

fn compile(short: bool) -> Option<Library> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let stem = format!("kernels-{}-{}", if short { "bf16" } else { "f32" }, std::process::id());
    let (text, library) = (folder.join(format!("{stem}.cpp")), folder.join(format!("{stem}.so")));
    std::fs::write(&text, [BEFORE, SOURCE, AFTER].concat()).unwrap();
    let mut command = Command::new("c++");
    command.args(["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-ffp-contract=off"]);
    command.args(["-shared", "-fPIC"]).args(short.then_some("-DBF16")).arg(&text).arg("-o").arg(&library);
    let Ok(output) = command.output() else {
        missing("c++", "there is no `c++` to compile the kernels for the processor");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let name = CString::new(library.to_str().unwrap()).unwrap();
    // SAFETY: the library is ours and has no initialisers.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null(), "{}", library.display());
    let symbol = |name: &str| {
        let name = CString::new(name).unwrap();
        // SAFETY: the handle is open and is never closed.
        let symbol = unsafe { libc::dlsym(handle, name.as_ptr()) };
        assert!(!symbol.is_null(), "{name:?}");
        symbol
    };
    let kernels = Kernel::ALL.iter().map(|kernel| (*kernel, symbol(kernel.name()) as usize)).collect();
    // SAFETY: the source defines it so.
    let grid = unsafe { std::mem::transmute::<*mut c_void, Grid>(symbol("grid")) };
    for path in [text, library] {
        std::fs::remove_file(path).unwrap();
    }
    Some(Library { grid, kernels })
}

/// Guard bytes behind an allocation, which nobody may write.
const FENCE: usize = 256;
const GUARD: u8 = 0xa5;

/// The CPU as a GPU.
pub(super) struct Processor {
    precision: Precision,
    library: &'static Library,
    memory: BTreeMap<u64, Box<[u8]>>,
    /// Convolutions planned as if by cuDNN; none without the library.
    planned: Option<Vec<(ConvShape, usize)>>,
    pub(super) room: u64,
    /// Directions for which the library has no algorithm.
    pub(super) lacks: Vec<Direction>,
    /// Direction that fails when it is executed, and the code of the error.
    pub(super) fails: Option<(Direction, &'static str)>,
    /// Direction whose results are wrong by a factor.
    pub(super) wrong: Option<(Direction, f32)>,
    /// Kernel that does nothing.
    pub(super) idle: Option<Kernel>,
    /// What it calls itself.
    pub(super) identity: String,
    /// Number of executed convolutions, also those of a network that took it.
    pub(super) convolved: Arc<AtomicUsize>,
}

/// Implementation of dense convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dense {
    /// macula's kernels.
    Own,
    /// A library's, with its own kernel layout.
    Library,
}

/// Last launched kernel, for messages.
static LAUNCHED: Mutex<Vec<Kernel>> = Mutex::new(Vec::new());

/// Kernels launched so far in this process.
pub(super) fn launched() -> Vec<Kernel> {
    LAUNCHED.lock().unwrap().clone()
}

impl Processor {
    pub(super) fn new(precision: Precision, dense: Dense) -> Option<Self> {
        let planned = (dense == Dense::Library).then(Vec::new);
        Some(Self {
            precision,
            library: library(precision)?,
            memory: BTreeMap::new(),
            planned,
            room: 1 << 40,
            lacks: Vec::new(),
            fails: None,
            wrong: None,
            idle: None,
            identity: "the processor".to_owned(),
            convolved: Arc::default(),
        })
    }

    /// Memory at an address, anywhere in an allocation.
    fn at(&mut self, address: u64, bytes: usize) -> &mut [u8] {
        let (base, memory) = self.memory.range_mut(..=address).next_back().expect("an address of ours");
        let from = (address - base) as usize;
        assert!(from + bytes <= memory.len() - FENCE, "{bytes} bytes from {from} of {}", memory.len() - FENCE);
        &mut memory[from..from + bytes]
    }

    fn floats(&mut self, address: u64, count: usize) -> Vec<f32> {
        let short = self.precision == Precision::Bf16;
        let bytes = self.at(address, count * self.precision.bytes());
        if short {
            bytes.as_chunks().0.iter().map(|two| half::bf16::from_le_bytes(*two).to_f32()).collect()
        } else {
            bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
        }
    }

    fn put(&mut self, address: u64, values: &[f32]) {
        let bytes: Vec<u8> = match self.precision {
            Precision::Bf16 => values.iter().flat_map(|value| half::bf16::from_f32(*value).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        self.at(address, bytes.len()).copy_from_slice(&bytes);
    }

    fn fences_stand(&self) {
        for memory in self.memory.values() {
            assert!(memory[memory.len() - FENCE..].iter().all(|byte| *byte == GUARD), "written beyond an allocation");
        }
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.fences_stand();
        }
    }
}

impl Gpu for Processor {
    fn target(&self) -> String {
        format!("processor-{}", self.precision)
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn room(&mut self) -> Result<u64, StageError> {
        Ok(self.room)
    }

    fn allocate(&mut self, bytes: u64) -> Result<u64, StageError> {
        let mut memory = vec![0xff; bytes as usize + FENCE].into_boxed_slice();
        memory[bytes as usize..].fill(GUARD);
        let address = memory.as_ptr() as u64;
        self.memory.insert(address, memory);
        Ok(address)
    }

    fn free(&mut self, address: u64) -> Result<(), StageError> {
        self.fences_stand();
        assert!(self.memory.remove(&address).is_some(), "freed twice");
        Ok(())
    }

    fn clear(&mut self, address: u64, bytes: u64) -> Result<(), StageError> {
        self.at(address, bytes as usize).fill(0);
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), StageError> {
        self.at(address, bytes.len()).copy_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), StageError> {
        bytes.copy_from_slice(self.at(address, bytes.len()));
        Ok(())
    }

    fn launch(&mut self, kernel: Kernel, threads: usize, arguments: &KernelArguments) -> Result<(), StageError> {
        LAUNCHED.lock().unwrap().push(kernel);
        if self.idle == Some(kernel) {
            return Ok(());
        }
        // SAFETY: the kernel takes these arguments, and its pointers are in our allocations otherwise it is a defect that
        // the guard bytes and the comparison with the CPU kernels show.
        unsafe {
            let kernel = self.library.kernels[&kernel] as *mut c_void;
            (self.library.grid)(kernel, arguments, threads as u32, THREADS as u32);
        }
        Ok(())
    }

    fn plan(
        &mut self,
        shape: ConvShape,
        images: usize,
        directions: &[Direction],
    ) -> Result<ConvolutionPlan, StageError> {
        let Some(planned) = &mut self.planned else { return Ok(ConvolutionPlan::Lacking(directions[0])) };
        if let Some(direction) = directions.iter().find(|direction| self.lacks.contains(direction)) {
            return Ok(ConvolutionPlan::Lacking(*direction));
        }
        // As cuDNN's, a plan belongs to a shape and a batch.
        let id = planned.iter().position(|known| *known == (shape, images)).unwrap_or_else(|| {
            planned.push((shape, images));
            planned.len() - 1
        });
        Ok(ConvolutionPlan::Library(PlannedConvolution { id, workspace: 64 }))
    }

    fn convolve(&mut self, run: &ConvolutionCall) -> Result<(), StageError> {
        if let Some(code) = self.fails.filter(|(direction, _)| *direction == run.direction).map(|(_, code)| code) {
            return Err(StageError::input(code, format!("no {}", run.direction.name())));
        }
        self.convolved.fetch_add(1, Ordering::Relaxed);
        let (shape, images) = self.planned.as_ref().unwrap()[run.id];
        let (rows, columns) = shape.outputs();
        let lengths = [
            images * shape.height * shape.width * shape.channels,
            shape.out * shape.kernel * shape.kernel * shape.channels,
            images * rows * columns * shape.out,
        ];
        let addresses = [run.image, run.kernel, run.output];
        let written = [Direction::Image, Direction::Kernel, Direction::Forward]
            .iter()
            .position(|direction| *direction == run.direction)
            .unwrap();
        let mut values: Vec<Vec<f32>> =
            addresses.iter().zip(lengths).map(|(address, length)| self.floats(*address, length)).collect();
        if run.begin == Begin::Fresh {
            values[written].fill(0.0);
        }
        self.at(run.workspace, 64).fill(7);
        for_each_product(shape, images, |image, kernel, output| match run.direction {
            Direction::Forward => values[2][output] += values[0][image] * values[1][kernel],
            Direction::Image => values[0][image] += values[2][output] * values[1][kernel],
            Direction::Kernel => values[1][kernel] += values[0][image] * values[2][output],
        });
        if let Some((_, factor)) = self.wrong.filter(|(direction, _)| *direction == run.direction) {
            values[written].iter_mut().for_each(|value| *value *= factor);
        }
        self.put(addresses[written], &values[written]);
        Ok(())
    }
}

/// Calls `product` with the positions of each product of a convolution in image, kernel (out x k x k x in) and output.
fn for_each_product(shape: ConvShape, images: usize, mut product: impl FnMut(usize, usize, usize)) {
    let (rows, columns) = shape.outputs();
    let ConvShape { height, width, channels, out, kernel, stride, padding, dilation, .. } = shape;
    for place in 0..images * rows * columns {
        let (image, row, column) = (place / columns / rows, place / columns % rows, place % columns);
        for tap in 0..kernel * kernel {
            let y = (row * stride + tap / kernel * dilation).checked_sub(padding).filter(|y| *y < height);
            let x = (column * stride + tap % kernel * dilation).checked_sub(padding).filter(|x| *x < width);
            let (Some(y), Some(x)) = (y, x) else { continue };
            let pixel = (image * height + y) * width + x;
            for o in 0..out {
                for c in 0..channels {
                    product(pixel * channels + c, (o * kernel * kernel + tap) * channels + c, place * out + o);
                }
            }
        }
    }
}
