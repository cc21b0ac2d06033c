//! The choice between instruction sets, made once per process. Knows no kernel.

use std::sync::OnceLock;

/// A set of instructions that the kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// No fused multiply-add, nothing special: the same bytes on any machine.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512F.
    Avx512,
}

impl Path {
    /// Its name, as realisations and lock files record it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "cpu-portable",
            Self::Avx2 => "cpu-avx2",
            Self::Avx512 => "cpu-avx512",
        }
    }

    /// The path of that name, with or without `cpu-`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("cpu-").unwrap_or(name);
        [Self::Portable, Self::Avx2, Self::Avx512].into_iter().find(|path| path.name()[4..] == *name)
    }

    /// Whether this processor can execute it.
    #[must_use]
    pub fn available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Self::Avx2.available() && is_x86_feature_detected!("avx512f"),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The fastest that this processor can execute.
    #[must_use]
    pub fn best() -> Self {
        [Self::Avx512, Self::Avx2].into_iter().find(|path| path.available()).unwrap_or(Self::Portable)
    }
}

static CHOSEN: OnceLock<Path> = OnceLock::new();

/// Fixes the path of this process, for `MACULA_KERNELS`. Holds only before the first use of a kernel, and only where the
/// processor can execute it; returns the path in force.
pub fn choose(path: Path) -> Path {
    if path.available() { *CHOSEN.get_or_init(|| path) } else { chosen() }
}

/// The path in force: the one chosen, else the fastest.
#[must_use]
pub fn chosen() -> Path {
    *CHOSEN.get_or_init(Path::best)
}

/// The name of the path in force, for [`crate::stage::Determinism::PathExact`].
#[must_use]
pub fn path() -> String {
    chosen().name().to_owned()
}
