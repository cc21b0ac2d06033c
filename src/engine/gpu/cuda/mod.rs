//! NVIDIA GPUs: the driver, the kernel compiler, and cuDNN, all loaded at run time. Knows no network.
//!
//! All work is on the default stream of the context, in the order of the calls. **Compiled and reviewed, never run**: see `docs/cuda.md`.

#![expect(unsafe_code, reason = "the driver is called here")]

mod api;
mod convolutions;
mod library;
mod nvrtc;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::{null, null_mut};

use api::{CAPABILITY, Cudnn, Driver, Handle, Nvrtc, cudnn};
use convolutions::Convolutions;
use nvrtc::NvrtcCompiler;

use super::cubin::CubinRequest;
use super::kernel::THREADS;
use super::{ConvolutionCall, ConvolutionPlan, Direction, Gpu, Kernel, KernelArguments, Precision, cache_folder};
use crate::base::figure::counted;
use crate::engine::kernels::shape::ConvShape;
use crate::stage::StageError;

/// Reason why no GPU can be used, and a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unavailable {
    /// Reason.
    pub(super) why: String,
    /// Hint.
    pub(super) hint: String,
}

fn refused(why: impl Into<String>, hint: &str) -> Unavailable {
    Unavailable { why: why.into(), hint: hint.to_owned() }
}

/// GPU that can be used.
#[derive(Clone)]
pub(super) struct CudaDevice {
    driver: Driver,
    cudnn: Cudnn,
    device: c_int,
    /// Identifier of the GPU, and version of the driver's CUDA.
    uuid: [u8; 16],
    driver_version: c_int,
    /// Name of the GPU.
    pub(super) name: String,
    /// Compute capability.
    pub(super) capability: (i32, i32),
    /// Version of cuDNN.
    pub(super) cudnn_version: (i32, i32, i32),
}

/// Libraries that are loaded, and where to get them.
const LIBRARIES: &str =
    "install CUDA 12 or 13 with cuDNN 9, or `pip install torch` and add its `nvidia/*/lib` folders to LD_LIBRARY_PATH";

/// GPU of that number, if it and all libraries support that precision. The driver counts only those that `CUDA_VISIBLE_DEVICES` allows.
/// Allocates no device memory.
///
/// # Errors
/// The reason why it cannot be used.
pub(super) fn find(precision: Precision, index: usize) -> Result<CudaDevice, Unavailable> {
    let driver = Driver::open()
        .map_err(|why| refused(format!("no NVIDIA driver: {why}"), "install the driver, or set `device cpu`"))?;
    let (mut count, mut device) = (0, 0);
    // SAFETY: the driver writes numbers to valid pointers.
    let code = unsafe {
        match (driver.cuInit)(0) {
            0 => (driver.cuDeviceGetCount)(&raw mut count),
            code => code,
        }
    };
    if code != 0 || count == 0 {
        let why = if code == 0 { "no GPU found".to_owned() } else { cause(&driver, code) };
        return Err(refused(format!("the NVIDIA driver does not work: {why}"), "check the output of `nvidia-smi`"));
    }
    listed(index, count as usize)?;
    let mut capability = [0; 2];
    let mut name = [0 as c_char; 128];
    let (mut uuid, mut driver_version) = ([0u8; 16], 0);
    // SAFETY: as above; the name's length is given, and an identifier has 16 bytes.
    let code = unsafe {
        (driver.cuDeviceGet)(&raw mut device, index as c_int)
            | (driver.cuDriverGetVersion)(&raw mut driver_version)
            | (driver.cuDeviceGetUuid_v2)(uuid.as_mut_ptr().cast(), device)
            | (driver.cuDeviceGetName)(name.as_mut_ptr(), name.len() as c_int - 1, device)
            | (driver.cuDeviceGetAttribute)(&raw mut capability[0], CAPABILITY[0], device)
            | (driver.cuDeviceGetAttribute)(&raw mut capability[1], CAPABILITY[1], device)
    };
    if code != 0 {
        return Err(refused("the NVIDIA driver reports nothing about its GPU", "check the output of `nvidia-smi`"));
    }
    // SAFETY: the last of the bytes is 0.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
    let capability = (capability[0], capability[1]);
    too_old(&name, capability, precision)?;
    // Which version's code the driver loads shows when the GPU is opened.
    Nvrtc::open().map_err(|why| refused(format!("no NVRTC: {why}"), LIBRARIES))?;
    let cudnn = Cudnn::open().map_err(|why| refused(format!("no cuDNN: {why}"), LIBRARIES))?;
    let mut version = [0; 3];
    for (into, which) in version.iter_mut().zip(cudnn::VERSION) {
        // SAFETY: a number is written.
        if unsafe { (cudnn.cudnnGetProperty)(which, into) } != 0 {
            return Err(refused("cuDNN does not report its version", LIBRARIES));
        }
    }
    Ok(CudaDevice {
        driver,
        cudnn,
        device,
        uuid,
        driver_version,
        name,
        capability,
        cudnn_version: (version[0], version[1], version[2]),
    })
}

/// Checks the number of a GPU.
fn listed(index: usize, count: usize) -> Result<(), Unavailable> {
    if index < count {
        return Ok(());
    }
    let gpus = counted(count as u64, "GPU", "GPUs");
    let why = format!("there is no GPU {index}: the driver lists {gpus}, numbered from 0");
    Err(refused(why, "use a smaller `index`; CUDA_VISIBLE_DEVICES hides GPUs and renumbers the others"))
}

/// Checks the compute capability: bf16 and TF32 need 8.0, NVRTC 13 compiles for 7.5 and newer.
fn too_old(name: &str, capability: (i32, i32), precision: Precision) -> Result<(), Unavailable> {
    let (needed, hint) = match precision {
        Precision::F32 => ((7, 5), "set `device cpu`"),
        Precision::Tf32 | Precision::Bf16 => ((8, 0), "set `precision f32`"),
    };
    if capability >= needed {
        return Ok(());
    }
    let ((major, minor), (from, and)) = (capability, needed);
    let why = format!("{name} has compute capability {major}.{minor}, but `{precision}` needs {from}.{and}");
    Err(refused(why, hint))
}

/// Description of an error code by the driver.
fn cause(driver: &Driver, code: c_int) -> String {
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

impl CudaDevice {
    /// Target recorded for results computed on it.
    pub(super) fn target(&self, precision: Precision) -> String {
        let ((major, minor), (a, b, c)) = (self.capability, self.cudnn_version);
        format!("cuda-sm{major}{minor}-cudnn{a}.{b}.{c}-{precision}")
    }

    /// Opens the GPU for computation.
    ///
    /// # Errors
    /// Errors of the driver, of the compiler or of cuDNN.
    pub(super) fn open(&self, precision: Precision) -> Result<Cuda, StageError> {
        let mut context = null_mut();
        // SAFETY: a handle is written.
        let code = unsafe { (self.driver.cuDevicePrimaryCtxRetain)(&raw mut context, self.device) };
        let mut cuda = Cuda {
            card: self.clone(),
            context: Context(context),
            module: null_mut(),
            compiler: String::new(),
            precision,
            kernels: BTreeMap::new(),
            memory: BTreeSet::new(),
            convolutions: None,
        };
        cuda.checked(code, "create a context")?;
        cuda.enter()?;
        let architecture = format!("sm_{}{}", self.capability.0, self.capability.1);
        let request = CubinRequest { architecture: &architecture, precision, cache: cache_folder() };
        let load = |cubin: &[u8]| {
            let mut module = null_mut();
            // SAFETY: the cubin is whole and lives through the call.
            let code = unsafe { (self.driver.cuModuleLoadData)(&raw mut module, cubin.as_ptr().cast()) };
            if code == 0 { Ok(module) } else { Err(cause(&self.driver, code)) }
        };
        let compilers = Nvrtc::each().map(|opened| opened.and_then(NvrtcCompiler::new));
        (cuda.module, cuda.compiler) = request.load_first(compilers, load).map_err(|reasons| {
            let text = format!("{} cannot load the kernels: {}", self.name, reasons.join("; "));
            StageError::input("gpu", text)
                .hint("install the NVRTC of the CUDA version that `nvidia-smi` shows, or set `device cpu`")
                .field("device")
        })?;
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
}

/// Memory that is left free, bytes: the driver loads the modules of cuDNN and of the kernels when they are first used, and candle's on the
/// same GPU.
const HEADROOM: u64 = 512 << 20;

/// Context of the driver.
struct Context(Handle);

/// Open GPU.
pub(super) struct Cuda {
    card: CudaDevice,
    context: Context,
    module: Handle,
    /// Name and version of the compiler of the kernels.
    compiler: String,
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
        // Also happens if another program has taken the GPU or its memory in the meantime.
        let text = format!("{} cannot {what}: {}", self.card.name, cause(&self.card.driver, code));
        Err(StageError::input("gpu", text)
            .hint("check the output of `nvidia-smi`, or set `device cpu`")
            .field("device"))
    }

    /// Makes the context current in the calling thread.
    fn enter(&self) -> Result<(), StageError> {
        // SAFETY: the context is retained until the card is dropped.
        self.checked(unsafe { (self.card.driver.cuCtxSetCurrent)(self.context.0) }, "be used")
    }

    fn convolutions(&mut self) -> Result<&mut Convolutions, StageError> {
        self.convolutions.as_mut().ok_or_else(|| StageError::Bug("cuDNN was not begun".to_owned()))
    }
}

impl Gpu for Cuda {
    fn target(&self) -> String {
        self.card.target(self.precision)
    }

    fn identity(&self) -> String {
        let uuid = u128::from_be_bytes(self.card.uuid);
        let (version, (a, b, c)) = (self.card.driver_version, self.card.cudnn_version);
        format!("{} {uuid:032x}, driver CUDA {version}, cuDNN {a}.{b}.{c}, {}", self.card.name, self.compiler)
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn room(&mut self) -> Result<u64, StageError> {
        self.enter()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: two numbers are written.
        let code = unsafe { (self.card.driver.cuMemGetInfo_v2)(&raw mut free, &raw mut total) };
        self.checked(code, "report its free memory")?;
        Ok((free as u64).saturating_sub(HEADROOM))
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

    fn launch(&mut self, kernel: Kernel, threads: usize, arguments: &KernelArguments) -> Result<(), StageError> {
        self.enter()?;
        let blocks = threads.div_ceil(THREADS) as c_uint;
        if blocks == 0 {
            return Ok(());
        }
        // By value: the driver copies them before the call returns.
        let mut arguments = *arguments;
        let mut parameters: [*mut c_void; 1] = [(&raw mut arguments).cast()];
        let function = self.kernels[&kernel];
        // SAFETY: every kernel takes one `KernelArguments`; what its addresses are of is the caller's promise.
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
    ) -> Result<ConvolutionPlan, StageError> {
        self.enter()?;
        self.convolutions()?.plan(shape, images, directions)
    }

    fn convolve(&mut self, run: &ConvolutionCall) -> Result<(), StageError> {
        self.enter()?;
        self.convolutions()?.convolve(run)
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        // Errors cannot be handled here. Without a context there is nothing to free or to release.
        if self.context.0.is_null() || self.enter().is_err() {
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
        match find(Precision::F32, 0) {
            Err(refused) => assert!(!refused.why.is_empty() && !refused.hint.is_empty()),
            Ok(card) => assert!(!card.name.is_empty()),
        }
        assert_eq!(too_old("a card", (8, 0), Precision::Bf16), Ok(()));
        let refused = too_old("a card", (7, 5), Precision::Bf16).unwrap_err();
        assert_eq!(refused.why, "a card has compute capability 7.5, but `bf16` needs 8.0");
    }

    #[test]
    fn a_number_beyond_the_visible_gpus_says_how_many_there_are() {
        assert_eq!(listed(1, 2), Ok(()));
        let refused = listed(2, 2).unwrap_err();
        assert_eq!(refused.why, "there is no GPU 2: the driver lists 2 GPUs, numbered from 0");
        assert!(refused.hint.contains("CUDA_VISIBLE_DEVICES"));
    }
}
