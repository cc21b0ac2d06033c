//! Shared libraries loaded at run time, so that the binary starts without them. Knows no function.

#![expect(unsafe_code, reason = "libraries of C are opened here")]

use std::ffi::{CStr, CString, c_int, c_void};

/// Open library. It stays open until the process ends, because its functions may be in use.
#[derive(Clone, Copy)]
pub(super) struct SharedLibrary(*mut c_void);

// SAFETY: a handle of `dlopen` may be used from any thread.
unsafe impl Send for SharedLibrary {}
// SAFETY: as above.
unsafe impl Sync for SharedLibrary {}

impl SharedLibrary {
    /// Opens a library that the loader finds by that name. `binding` is `RTLD_GLOBAL`, or `RTLD_LOCAL` if several versions of a library
    /// may be open at the same time.
    pub(super) fn open(name: &str, binding: c_int) -> Option<Self> {
        let name = CString::new(name).ok()?;
        // SAFETY: the name is a C string; what runs are the initialisers of NVIDIA's libraries.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | binding) };
        (!handle.is_null()).then_some(Self(handle))
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
    ($(#[$doc:meta])* $name:ident of $binding:ident [$($file:literal),*] { $($function:ident($($type:ty),* $(,)?);)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        #[expect(non_snake_case, reason = "the names of C")]
        pub(super) struct $name {
            $(pub(super) $function: unsafe extern "C" fn($($type),*) -> std::ffi::c_int,)*
        }

        impl $name {
            /// File names to look for.
            pub(super) const FILES: &[&str] = &[$($file),*];

            /// The library under each of its names, opened as the iterator advances, or what is missing.
            pub(super) fn each() -> impl Iterator<Item = Result<Self, String>> {
                Self::FILES.iter().map(|file| Self::open_file(file))
            }

            /// Opens the library under the first name that works, or returns what is missing under the first.
            pub(super) fn open() -> Result<Self, String> {
                let mut why = None;
                for opened in Self::each() {
                    match opened {
                        Ok(library) => return Ok(library),
                        Err(missing) => why = why.or(Some(missing)),
                    }
                }
                Err(why.unwrap_or_default())
            }

            fn open_file(file: &str) -> Result<Self, String> {
                let library = $crate::engine::gpu::cuda::library::SharedLibrary::open(file, libc::$binding)
                    .ok_or_else(|| format!("`{file}` not found"))?;
                Ok(Self {
                    $($function: {
                        const NAME: &str = concat!(stringify!($function), "\0");
                        let name = std::ffi::CStr::from_bytes_with_nul(NAME.as_bytes()).map_err(|error| error.to_string())?;
                        let symbol = library
                            .symbol(name)
                            .ok_or_else(|| format!("`{file}` has no `{}`", stringify!($function)))?;
                        // SAFETY: the library's header declares the function so; `tests/gpu/headers.py` compares.
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
