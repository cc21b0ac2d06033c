//! Shared libraries loaded at run time, so that the binary starts without them. Knows no function.

#![expect(unsafe_code, reason = "libraries of C are opened here")]

use std::ffi::{CStr, CString, c_void};

/// Open library. It stays open until the process ends, because its functions may be in use.
#[derive(Clone, Copy)]
pub(super) struct SharedLibrary(*mut c_void);

// SAFETY: a handle of `dlopen` may be used from any thread.
unsafe impl Send for SharedLibrary {}
// SAFETY: as above.
unsafe impl Sync for SharedLibrary {}

impl SharedLibrary {
    /// Opens the first of `names` that the loader finds.
    pub(super) fn open(names: &[&str]) -> Option<Self> {
        names.iter().filter_map(|name| CString::new(*name).ok()).find_map(|name| {
            // SAFETY: the name is a C string; what runs are the initialisers of NVIDIA's libraries.
            let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
            (!handle.is_null()).then_some(Self(handle))
        })
    }

    /// Address of a function.
    pub(super) fn symbol(self, name: &CStr) -> Option<*mut c_void> {
        // SAFETY: the handle is open.
        let symbol = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        (!symbol.is_null()).then_some(symbol)
    }
}

/// Declares a struct of the functions of a library, all of which return an `int` that is 0 on success, and how to open it.
macro_rules! functions {
    ($(#[$doc:meta])* $name:ident of [$($file:literal),*] { $($function:ident($($type:ty),* $(,)?);)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        #[expect(non_snake_case, reason = "the names of C")]
        pub(super) struct $name {
            $(pub(super) $function: unsafe extern "C" fn($($type),*) -> std::ffi::c_int,)*
        }

        impl $name {
            /// File names to look for.
            pub(super) const FILES: &[&str] = &[$($file),*];

            /// Opens the library, or returns what is missing.
            pub(super) fn open() -> Result<Self, String> {
                let library = $crate::learn::gpu::cuda::library::SharedLibrary::open(Self::FILES)
                    .ok_or_else(|| format!("`{}` not found", Self::FILES[0]))?;
                Ok(Self {
                    $($function: {
                        const NAME: &str = concat!(stringify!($function), "\0");
                        let name = std::ffi::CStr::from_bytes_with_nul(NAME.as_bytes()).map_err(|error| error.to_string())?;
                        let symbol = library
                            .symbol(name)
                            .ok_or_else(|| format!("`{}` has no `{}`", Self::FILES[0], stringify!($function)))?;
                        // SAFETY: the library's header declares the function so; `tests/gpu/headers.sh` compares.
                        unsafe {
                            std::mem::transmute::<
                                *mut std::ffi::c_void,
                                unsafe extern "C" fn($($type),*) -> std::ffi::c_int,
                            >(symbol)
                        }
                    },)*
                })
            }
        }
    };
}

pub(super) use functions;
