//! NVIDIA's cards: the driver, the compiler of our kernels, and cuDNN, all opened while the program runs. Knows no network.
//!
//! Everything is on the context's default stream, in the order of the calls. **Compiled and reviewed, never run**: see `docs/cuda.md`.

#![expect(unsafe_code, reason = "the driver is called here")]

mod api;
mod convolutions;
mod library;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::{null, null_mut};

use api::{CAPABILITY, Cudnn, Driver, Nvrtc, cudnn};
use convolutions::Convolutions;

use super::kernel::{SOURCE, THREADS, options};
use super::{Arguments, Convolve, Direction, Gpu, Kernel, Planned, Precision};
use crate::learn::kernels::conv::ConvShape;
use crate::stage::StageError;

type Handle = *mut c_void;

/// Why no card can be used, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Why.
    pub(super) why: String,
    /// What to do about it.
    pub(super) hint: String,
}

fn refused(why: impl Into<String>, hint: &str) -> Refused {
    Refused { why: why.into(), hint: hint.to_owned() }
}

/// A card that can be used.
#[derive(Clone)]
pub(super) struct Card {
    driver: Driver,
    nvrtc: Nvrtc,
    cudnn: Cudnn,
    device: c_int,
    /// Its name, for people.
    pub(super) name: String,
    /// Its compute capability.
    pub(super) capability: (i32, i32),
    /// cuDNN's version.
    pub(super) cudnn_version: (i32, i32, i32),
}

/// The first card, where it and all libraries work with that precision. Allocates nothing on it.
///
/// # Errors
/// Why not.
pub(super) fn find(precision: Precision) -> Result<Card, Refused> {
    let libraries = "install CUDA 12 or 13 with cuDNN 9, or `pip install torch` and name its `nvidia/*/lib` folders in LD_LIBRARY_PATH";
    let driver = Driver::open().map_err(|why| {
        refused(format!("there is no NVIDIA driver: {why}"), "install the driver, or say `device cpu`")
    })?;
    let (mut count, mut device) = (0, 0);
    // SAFETY: the driver is asked for numbers, which it writes where it is told.
    let code = unsafe {
        match (driver.cuInit)(0) {
            0 => (driver.cuDeviceGetCount)(&raw mut count),
            code => code,
        }
    };
    if code != 0 || count == 0 {
        let why = if code == 0 { "it finds no card".to_owned() } else { said(&driver, code) };
        return Err(refused(format!("the NVIDIA driver does not work: {why}"), "see what `nvidia-smi` says"));
    }
    let mut capability = [0; 2];
    let mut name = [0 as c_char; 128];
    // SAFETY: as above; the name's length is given.
    let code = unsafe {
        (driver.cuDeviceGet)(&raw mut device, 0)
            | (driver.cuDeviceGetName)(name.as_mut_ptr(), name.len() as c_int - 1, device)
            | (driver.cuDeviceGetAttribute)(&raw mut capability[0], CAPABILITY[0], device)
            | (driver.cuDeviceGetAttribute)(&raw mut capability[1], CAPABILITY[1], device)
    };
    if code != 0 {
        return Err(refused("the NVIDIA driver says nothing about its card", "see what `nvidia-smi` says"));
    }
    // SAFETY: the last of the bytes is 0.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
    let capability = (capability[0], capability[1]);
    too_old(&name, capability, precision)?;
    let nvrtc = Nvrtc::open().map_err(|why| refused(format!("there is no NVRTC: {why}"), libraries))?;
    let cudnn = Cudnn::open().map_err(|why| refused(format!("there is no cuDNN: {why}"), libraries))?;
    let mut version = [0; 3];
    for (into, which) in version.iter_mut().zip(cudnn::VERSION) {
        // SAFETY: a number is written.
        if unsafe { (cudnn.cudnnGetProperty)(which, into) } != 0 {
            return Err(refused("cuDNN does not say its version", libraries));
        }
    }
    Ok(Card { driver, nvrtc, cudnn, device, name, capability, cudnn_version: (version[0], version[1], version[2]) })
}

/// bf16 and TF32 came with 8.0; what NVRTC 13 compiles for begins at 7.5.
fn too_old(name: &str, capability: (i32, i32), precision: Precision) -> Result<(), Refused> {
    let (needed, hint) = match precision {
        Precision::F32 => ((7, 5), "say `device cpu`"),
        Precision::Tf32 | Precision::Bf16 => ((8, 0), "say `precision f32`"),
    };
    if capability >= needed {
        return Ok(());
    }
    let ((major, minor), (from, and)) = (capability, needed);
    let why = format!("{name} has compute capability {major}.{minor}, and `{precision}` needs {from}.{and}");
    Err(refused(why, hint))
}

/// What the driver says about one of its codes.
fn said(driver: &Driver, code: c_int) -> String {
    let mut text: *const c_char = null();
    // SAFETY: a pointer to a constant text of the driver's is written, or null.
    unsafe {
        (driver.cuGetErrorString)(code, &raw mut text);
        if text.is_null() {
            format!("code {code}")
        } else {
            format!("{} ({code})", CStr::from_ptr(text).to_string_lossy())
        }
    }
}

impl Card {
    /// What results computed on it are recorded as.
    pub(super) fn class(&self, precision: Precision) -> String {
        let ((major, minor), (a, b, c)) = (self.capability, self.cudnn_version);
        format!("cuda-sm{major}{minor}-cudnn{a}.{b}.{c}-{precision}")
    }

    /// Begins work on the card.
    ///
    /// # Errors
    /// What driver, compiler or cuDNN say.
    pub(super) fn open(&self, precision: Precision) -> Result<Cuda, StageError> {
        let mut context = null_mut();
        // SAFETY: a handle is written.
        let code = unsafe { (self.driver.cuDevicePrimaryCtxRetain)(&raw mut context, self.device) };
        let mut cuda = Cuda {
            card: self.clone(),
            context: Context(context),
            module: null_mut(),
            precision,
            kernels: BTreeMap::new(),
            memory: BTreeSet::new(),
            convolutions: None,
        };
        cuda.checked(code, "begin")?;
        cuda.enter()?;
        let image = self.compile(precision)?;
        // SAFETY: the image is a whole cubin and lives through the call.
        let code = unsafe { (self.driver.cuModuleLoadData)(&raw mut cuda.module, image.as_ptr().cast()) };
        cuda.checked(code, "load our kernels")?;
        for kernel in Kernel::ALL {
            let name = CString::new(kernel.name()).map_err(|error| StageError::Bug(error.to_string()))?;
            let mut function = null_mut();
            // SAFETY: module and name are alive.
            let code = unsafe { (self.driver.cuModuleGetFunction)(&raw mut function, cuda.module, name.as_ptr()) };
            cuda.checked(code, "find a kernel")?;
            cuda.kernels.insert(*kernel, function);
        }
        cuda.convolutions = Some(Convolutions::new(self.cudnn, precision)?);
        Ok(cuda)
    }

    /// Our kernels for this card.
    fn compile(&self, precision: Precision) -> Result<Vec<u8>, StageError> {
        let bug = |what: &str| StageError::Bug(format!("NVRTC can't compile our kernels: {what}"));
        let text = CString::new(SOURCE).map_err(|error| bug(&error.to_string()))?;
        // For this card itself: a driver older than the compiler refuses PTX of it, and takes this.
        let architecture = format!("--gpu-architecture=sm_{}{}", self.capability.0, self.capability.1);
        let words = options(precision).into_iter().chain([architecture.as_str()]);
        let words: Vec<CString> = words.filter_map(|word| CString::new(word).ok()).collect();
        let pointers: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
        let mut program = null_mut();
        let mut size = 0;
        let nvrtc = &self.nvrtc;
        // SAFETY: texts and options live through the calls; sizes are asked for before what they are sizes of.
        unsafe {
            if (nvrtc.nvrtcCreateProgram)(&raw mut program, text.as_ptr(), null(), 0, null(), null()) != 0 {
                return Err(bug("it does not begin"));
            }
            if (nvrtc.nvrtcCompileProgram)(program, pointers.len() as c_int, pointers.as_ptr()) != 0 {
                (nvrtc.nvrtcGetProgramLogSize)(program, &raw mut size);
                let mut log = vec![0u8; size];
                (nvrtc.nvrtcGetProgramLog)(program, log.as_mut_ptr().cast());
                return Err(bug(&String::from_utf8_lossy(&log)));
            }
            if (nvrtc.nvrtcGetCUBINSize)(program, &raw mut size) != 0 || size == 0 {
                return Err(bug("it gives nothing"));
            }
            let mut image = vec![0u8; size];
            let code = (nvrtc.nvrtcGetCUBIN)(program, image.as_mut_ptr().cast());
            (nvrtc.nvrtcDestroyProgram)(&raw mut program);
            if code == 0 { Ok(image) } else { Err(bug("it does not give them")) }
        }
    }
}

/// A context of the driver's.
struct Context(Handle);

/// A card at work.
pub(super) struct Cuda {
    card: Card,
    context: Context,
    module: Handle,
    precision: Precision,
    kernels: BTreeMap<Kernel, Handle>,
    memory: BTreeSet<u64>,
    convolutions: Option<Convolutions>,
}

// SAFETY: the driver's handles may be used by one thread after another; each call makes the context current first.
unsafe impl Send for Cuda {}

impl Cuda {
    fn checked(&self, code: c_int, what: &str) -> Result<(), StageError> {
        if code == 0 {
            return Ok(());
        }
        // Also where another program has taken the card or its memory meanwhile.
        let text = format!("{} can't {what}: {}", self.card.name, said(&self.card.driver, code));
        Err(StageError::input("gpu", text).hint("see what `nvidia-smi` says, or say `device cpu`").field("device"))
    }

    /// Makes the context that of the thread that calls.
    fn enter(&self) -> Result<(), StageError> {
        // SAFETY: the context is retained until the card is dropped.
        self.checked(unsafe { (self.card.driver.cuCtxSetCurrent)(self.context.0) }, "be used")
    }

    fn convolutions(&mut self) -> Result<&mut Convolutions, StageError> {
        self.convolutions.as_mut().ok_or_else(|| StageError::Bug("cuDNN was not begun".to_owned()))
    }
}

impl Gpu for Cuda {
    fn class(&self) -> String {
        self.card.class(self.precision)
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn room(&mut self) -> Result<u64, StageError> {
        self.enter()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: two numbers are written.
        let code = unsafe { (self.card.driver.cuMemGetInfo_v2)(&raw mut free, &raw mut total) };
        self.checked(code, "say how much memory is free")?;
        // Something is left for what cuDNN and the driver load later.
        Ok((free as u64).saturating_sub(256 << 20))
    }

    fn allocate(&mut self, bytes: u64) -> Result<u64, StageError> {
        self.enter()?;
        let mut address = 0;
        // SAFETY: an address is written.
        let code = unsafe { (self.card.driver.cuMemAlloc_v2)(&raw mut address, bytes as usize) };
        self.checked(code, &format!("allocate {} MiB", bytes >> 20))?;
        self.memory.insert(address);
        Ok(address)
    }

    fn free(&mut self, address: u64) -> Result<(), StageError> {
        self.enter()?;
        if !self.memory.remove(&address) {
            return Err(StageError::Bug("memory freed that was not allocated".to_owned()));
        }
        // SAFETY: the address is of an allocation of ours; the call waits for what uses it.
        self.checked(unsafe { (self.card.driver.cuMemFree_v2)(address) }, "free memory")
    }

    fn clear(&mut self, address: u64, bytes: u64) -> Result<(), StageError> {
        self.enter()?;
        // SAFETY: the caller's addresses are within allocations.
        self.checked(unsafe { (self.card.driver.cuMemsetD8_v2)(address, 0, bytes as usize) }, "clear memory")
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), StageError> {
        self.enter()?;
        // SAFETY: as above; the bytes are read before the call returns.
        let code = unsafe { (self.card.driver.cuMemcpyHtoD_v2)(address, bytes.as_ptr().cast(), bytes.len()) };
        self.checked(code, "be written to")
    }

    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), StageError> {
        self.enter()?;
        // SAFETY: as above; the bytes are written before the call returns.
        let code = unsafe { (self.card.driver.cuMemcpyDtoH_v2)(bytes.as_mut_ptr().cast(), address, bytes.len()) };
        self.checked(code, "be read from")
    }

    fn launch(&mut self, kernel: Kernel, threads: usize, arguments: &Arguments) -> Result<(), StageError> {
        self.enter()?;
        let blocks = threads.div_ceil(THREADS) as c_uint;
        if blocks == 0 {
            return Ok(());
        }
        // By value: the driver copies them before the call returns.
        let mut arguments = *arguments;
        let mut parameters: [*mut c_void; 1] = [(&raw mut arguments).cast()];
        let function = self.kernels[&kernel];
        // SAFETY: every kernel takes one `Arguments`; what its addresses are of is the caller's promise.
        let code = unsafe {
            let (threads, none) = (THREADS as c_uint, null_mut());
            (self.card.driver.cuLaunchKernel)(
                function,
                blocks,
                1,
                1,
                threads,
                1,
                1,
                0,
                none,
                parameters.as_mut_ptr(),
                null_mut(),
            )
        };
        self.checked(code, &format!("launch `{}`", kernel.name()))
    }

    fn plan(
        &mut self,
        shape: ConvShape,
        images: usize,
        directions: &[Direction],
    ) -> Result<Option<Planned>, StageError> {
        self.enter()?;
        self.convolutions()?.plan(shape, images, directions)
    }

    fn convolve(&mut self, run: &Convolve) -> Result<(), StageError> {
        self.enter()?;
        self.convolutions()?.convolve(run)
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        // Nothing can be done about what fails here.
        if self.enter().is_err() {
            return;
        }
        self.convolutions = None;
        // SAFETY: all handles are ours, and nothing uses them after this.
        unsafe {
            for address in &self.memory {
                (self.card.driver.cuMemFree_v2)(*address);
            }
            if !self.module.is_null() {
                (self.card.driver.cuModuleUnload)(self.module);
            }
            (self.card.driver.cuDevicePrimaryCtxRelease_v2)(self.card.device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_driver_says_so_and_an_old_card_too() {
        match find(Precision::F32) {
            Err(refused) => assert!(!refused.why.is_empty() && !refused.hint.is_empty()),
            Ok(card) => assert!(!card.name.is_empty()),
        }
        assert_eq!(too_old("a card", (8, 0), Precision::Bf16), Ok(()));
        let refused = too_old("a card", (7, 5), Precision::Bf16).unwrap_err();
        assert_eq!(refused.why, "a card has compute capability 7.5, and `bf16` needs 8.0");
    }
}
