//! The instruction set of the kernels of this crate: the choice of [`cairn_distance`], taken over.

use std::fmt;

use cairn_distance::Simd;

/// An instruction set that this processor has.
///
/// A value is the proof: it can only be had for a set that was detected, so code that holds one may
/// enter kernels compiled for it. Everything that this crate computes in integers is the same on
/// every set, and so is a rotation.
///
/// # Examples
/// ```
/// use cairn_distance::Simd;
/// use cairn_quantize::Isa;
///
/// assert_eq!(Isa::active().simd(), Simd::active());
/// assert!(Isa::with_simd(Simd::Scalar).is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Isa {
    simd: Simd,
    /// Products of bytes in one step (`vpdpbusd`), next to AVX-512.
    vnni: bool,
}

impl Isa {
    /// The one that [`Simd::active`] names, `CAIRN_SIMD` included.
    #[must_use]
    pub fn active() -> Self {
        Self::with_simd(Simd::active())
            .expect("the active instruction set is always an available one")
    }

    /// `simd`, or `None` if this processor or this build lacks it.
    #[must_use]
    pub fn with_simd(simd: Simd) -> Option<Self> {
        Simd::available().contains(&simd).then(|| Self {
            simd,
            vnni: simd == Simd::Avx512 && vnni_detected(),
        })
    }

    /// Every one that this processor has, slowest first. AVX-512 is there a second time, without
    /// VNNI, where there is VNNI: tests and benchmarks want both.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut all = Vec::new();
        for isa in Simd::available()
            .iter()
            .copied()
            .filter_map(Self::with_simd)
        {
            if isa.vnni {
                all.push(Self { vnni: false, ..isa });
            }
            all.push(isa);
        }
        all
    }

    /// The instruction set without its extensions.
    #[must_use]
    pub fn simd(self) -> Simd {
        self.simd
    }

    /// Whether products of bytes are one instruction.
    #[cfg(target_arch = "x86_64")]
    #[must_use]
    pub(crate) fn vnni(self) -> bool {
        self.vnni
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.simd, if self.vnni { "+vnni" } else { "" })
    }
}

#[cfg(target_arch = "x86_64")]
fn vnni_detected() -> bool {
    is_x86_feature_detected!("avx512vnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn vnni_detected() -> bool {
    false
}

/// Calls `$kernel($($argument),*)` of the module that belongs to `$isa`.
///
/// Each instruction set that has a kernel is named with the path of its module; all others take
/// that of `scalar`.
macro_rules! by_isa {
    ($isa:expr, $kernel:ident($($argument:expr),* $(,)?)) => {
        match $isa.simd() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a value of `Isa` exists only for sets that the processor has.
            cairn_distance::Simd::Avx512 => unsafe { avx512::$kernel($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            cairn_distance::Simd::Avx2 => unsafe { avx2::$kernel($($argument),*) },
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            // SAFETY: as above.
            cairn_distance::Simd::Neon => unsafe { neon::$kernel($($argument),*) },
            _ => scalar::$kernel($($argument),*),
        }
    };
}

pub(crate) use by_isa;
