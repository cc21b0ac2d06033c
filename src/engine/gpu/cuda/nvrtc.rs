//! NVRTC as a compiler of the kernels. Knows no GPU and no driver.

#![expect(unsafe_code, reason = "NVRTC is called here")]

use std::ffi::{CString, c_char, c_int};
use std::ptr::{null, null_mut};

use super::api::Nvrtc;
use crate::engine::gpu::cubin::KernelCompiler;
use crate::engine::gpu::{Precision, SOURCE, options};

/// A version of NVRTC.
pub(super) struct NvrtcCompiler {
    nvrtc: Nvrtc,
    version: (c_int, c_int),
}

impl NvrtcCompiler {
    /// Asks an opened library for its version.
    ///
    /// # Errors
    /// If it reports none.
    pub(super) fn new(nvrtc: Nvrtc) -> Result<Self, String> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: two numbers are written.
        if unsafe { (nvrtc.nvrtcVersion)(&raw mut major, &raw mut minor) } != 0 {
            return Err("NVRTC does not report its version".to_owned());
        }
        Ok(Self { nvrtc, version: (major, minor) })
    }
}

impl KernelCompiler for NvrtcCompiler {
    fn name(&self) -> String {
        let (major, minor) = self.version;
        format!("NVRTC {major}.{minor}")
    }

    /// Native code, because a driver older than the compiler rejects its PTX.
    fn compile(&self, architecture: &str, precision: Precision) -> Result<Vec<u8>, String> {
        let text = CString::new(SOURCE).map_err(|error| error.to_string())?;
        let architecture = format!("--gpu-architecture={architecture}");
        let words = options(precision).into_iter().chain([architecture.as_str()]);
        let words: Vec<CString> = words.filter_map(|word| CString::new(word).ok()).collect();
        let pointers: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
        let nvrtc = &self.nvrtc;
        let mut program = null_mut();
        // SAFETY: the text lives through the call; a handle is written.
        let code = unsafe { (nvrtc.nvrtcCreateProgram)(&raw mut program, text.as_ptr(), null(), 0, null(), null()) };
        if code != 0 {
            return Err(format!("no program was created: code {code}"));
        }
        let mut size = 0;
        // SAFETY: program and options live through the calls; sizes are asked for before what they are sizes of.
        let compiled = unsafe {
            if (nvrtc.nvrtcCompileProgram)(program, pointers.len() as c_int, pointers.as_ptr()) != 0 {
                (nvrtc.nvrtcGetProgramLogSize)(program, &raw mut size);
                let mut log = vec![0u8; size];
                (nvrtc.nvrtcGetProgramLog)(program, log.as_mut_ptr().cast());
                let log = String::from_utf8_lossy(&log);
                Err(log.trim_end_matches('\0').trim().lines().next().unwrap_or("it gives no reason").to_owned())
            } else if (nvrtc.nvrtcGetCUBINSize)(program, &raw mut size) != 0 || size == 0 {
                Err("no code was generated".to_owned())
            } else {
                let mut cubin = vec![0u8; size];
                let code = (nvrtc.nvrtcGetCUBIN)(program, cubin.as_mut_ptr().cast());
                if code == 0 { Ok(cubin) } else { Err(format!("no code was returned: code {code}")) }
            }
        };
        // SAFETY: the program is ours and is used no more.
        unsafe { (nvrtc.nvrtcDestroyProgram)(&raw mut program) };
        compiled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gpu::cubin::CubinRequest;

    #[test]
    fn an_installed_nvrtc_compiles_for_known_architectures_and_says_why_not_for_others() {
        let Some(compiler) = Nvrtc::each().find_map(|opened| opened.and_then(NvrtcCompiler::new).ok()) else { return };
        let name = compiler.name();
        assert!(name.starts_with("NVRTC 1"), "{name}");
        let why = compiler.compile("sm_1", Precision::F32).unwrap_err();
        assert!(why.contains("architecture"), "{why}");
        let request = CubinRequest { architecture: "sm_80", precision: Precision::Bf16, cache: None };
        let elf = |code: &[u8]| if code.starts_with(b"\x7fELF") { Ok(code.len()) } else { Err("no ELF".to_owned()) };
        let (size, by) = request.load_first([Ok(compiler)], elf).expect("it compiles");
        assert!(size > 10_000 && by == name, "{size} bytes by {by}");
    }
}
