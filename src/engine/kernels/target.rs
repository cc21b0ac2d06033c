//! Target of the kernels: the instruction set, chosen once per process. Knows no kernel.

use std::sync::OnceLock;

/// Instruction set that the kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// No fused multiply-add and no extensions: the same bytes on any machine.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512F.
    Avx512,
}

impl Target {
    /// Name, as records and lock files have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "cpu-portable",
            Self::Avx2 => "cpu-avx2",
            Self::Avx512 => "cpu-avx512",
        }
    }

    /// Target of that name, with or without `cpu-`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("cpu-").unwrap_or(name);
        [Self::Portable, Self::Avx2, Self::Avx512].into_iter().find(|target| target.name()[4..] == *name)
    }

    /// Whether this CPU can execute it.
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

    /// Fastest target that this CPU can execute.
    #[must_use]
    pub fn best() -> Self {
        [Self::Avx512, Self::Avx2].into_iter().find(|target| target.available()).unwrap_or(Self::Portable)
    }
}

static CHOSEN: OnceLock<Target> = OnceLock::new();

/// Sets the target of this process, for `MACULA_KERNELS`. Has an effect only before the first use of a kernel, and only if the CPU can
/// execute it; returns the target in use.
pub fn choose(target: Target) -> Target {
    if target.available() { *CHOSEN.get_or_init(|| target) } else { chosen() }
}

/// Target in use: the one set, otherwise the fastest.
#[must_use]
pub fn chosen() -> Target {
    *CHOSEN.get_or_init(Target::best)
}

/// Name of the target in use, for [`crate::stage::Determinism::PathExact`].
#[must_use]
pub fn target() -> String {
    chosen().name().to_owned()
}
