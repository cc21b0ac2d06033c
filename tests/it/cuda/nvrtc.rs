//! Kernel source compiled by NVRTC, which needs no GPU. The library is found by name, or at `MACULA_NVRTC`.

#![expect(unsafe_code, reason = "a library of C is loaded and called")]

use std::ffi::{CString, c_char, c_int, c_void};

use crate::missing::missing;
use macula::engine::gpu::{Precision, SOURCE, options};

type Program = *mut c_void;

// As declared in nvrtc.h.
type Create = unsafe extern "C" fn(
    *mut Program,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> c_int;
type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int;
type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
type Log = unsafe extern "C" fn(Program, *mut c_char) -> c_int;

/// Functions in use.
struct Nvrtc {
    create: Create,
    compile: Compile,
    log_size: Size,
    log: Log,
    size: Size,
}

fn nvrtc() -> Option<Nvrtc> {
    let names = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"].map(str::to_owned);
    let handle = std::env::var("MACULA_NVRTC").into_iter().chain(names).find_map(|name| {
        let name = CString::new(name).unwrap();
        // SAFETY: loading runs only its own initialisers.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        (!handle.is_null()).then_some(handle)
    })?;
    macro_rules! symbol {
        ($name:literal as $type:ty) => {{
            // SAFETY: the handle is open and is never closed.
            let symbol = unsafe { libc::dlsym(handle, $name.as_ptr()) };
            assert!(!symbol.is_null(), "{:?}", $name);
            // SAFETY: nvrtc.h declares it so.
            unsafe { std::mem::transmute::<*mut c_void, $type>(symbol) }
        }};
    }
    Some(Nvrtc {
        create: symbol!(c"nvrtcCreateProgram" as Create),
        compile: symbol!(c"nvrtcCompileProgram" as Compile),
        log_size: symbol!(c"nvrtcGetProgramLogSize" as Size),
        log: symbol!(c"nvrtcGetProgramLog" as Log),
        size: symbol!(c"nvrtcGetCUBINSize" as Size),
    })
}

#[test]
fn nvrtc_compiles_every_kernel_for_each_precision_and_architecture() {
    let Some(nvrtc) = nvrtc() else {
        return missing("nvrtc", "there is no NVRTC (MACULA_NVRTC=/path/to/libnvrtc.so.13 names one)");
    };
    let text = CString::new(SOURCE).unwrap();
    for precision in [Precision::F32, Precision::Bf16] {
        for architecture in ["sm_80", "sm_89", "sm_90", "sm_100"] {
            let architecture = format!("--gpu-architecture={architecture}");
            let words: Vec<CString> = options(precision)
                .into_iter()
                .chain([architecture.as_str()])
                .map(|word| CString::new(word).unwrap())
                .collect();
            let pointers: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
            let mut program: Program = std::ptr::null_mut();
            let (mut log_size, mut size) = (0, 0);
            // SAFETY: all pointers outlive the calls; the program lives until the process ends.
            let (code, log) = unsafe {
                let none = std::ptr::null();
                assert_eq!((nvrtc.create)(&raw mut program, text.as_ptr(), none, 0, none.cast(), none.cast()), 0);
                let code = (nvrtc.compile)(program, pointers.len() as c_int, pointers.as_ptr());
                (nvrtc.log_size)(program, &raw mut log_size);
                let mut log = vec![0u8; log_size];
                (nvrtc.log)(program, log.as_mut_ptr().cast());
                (nvrtc.size)(program, &raw mut size);
                (code, String::from_utf8_lossy(&log).into_owned())
            };
            assert_eq!(code, 0, "{precision}, {architecture}: {log}");
            assert!(size > 10_000, "{precision}, {architecture}: {size} bytes");
            assert!(!log.contains("warning"), "{log}");
        }
    }
}
