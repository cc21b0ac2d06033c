//! Plain loops compiled once for each [`super::Target`]. Knows no kernel.
//!
//! The loops have no fused multiply-add (the compiler does not contract), so they give the same bytes on every target.

/// Defines a function whose loops are compiled for the target in use.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn body($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            fn avx512($($arg: $ty),*) {
                body($($arg),*);
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($arg: $ty),*) {
                body($($arg),*);
            }

            match $crate::engine::kernels::chosen() {
                #[cfg(target_arch = "x86_64")]
                #[expect(unsafe_code, reason = "a call to code for a feature that was detected")]
                // SAFETY: this CPU can execute the target in use.
                $crate::engine::kernels::Target::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                #[expect(unsafe_code, reason = "a call to code for a feature that was detected")]
                // SAFETY: this CPU can execute the target in use.
                $crate::engine::kernels::Target::Avx2 => unsafe { avx2($($arg),*) },
                _ => body($($arg),*),
            }
        }
    };
}

pub(in crate::engine) use vectorised;
