//! Which instruction set runs, decided once per process.

use std::fmt;
use std::sync::OnceLock;

use half::f16;

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
use crate::aarch64::Neon;
use crate::kernels::Table;
use crate::scalar::Lanes as Scalar;
#[cfg(target_arch = "x86_64")]
use crate::x86_64::{Avx2, Avx512, Popcount};
use crate::{Metric, generic};

/// The environment variable that forces an instruction set.
pub(crate) const VARIABLE: &str = "CAIRN_SIMD";

/// An instruction set with kernels of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Simd {
    /// No intrinsics: whatever the compiler makes of the target's baseline.
    Scalar,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, VL and DQ, next to all of [`Simd::Avx2`].
    Avx512,
    /// 64-bit Arm's vector unit; part of its baseline.
    Neon,
}

impl Simd {
    /// Every instruction set, whether or not this processor has it.
    pub const ALL: [Simd; 4] = [Simd::Scalar, Simd::Avx2, Simd::Avx512, Simd::Neon];

    /// The instruction set of [`Kernels::new`](crate::Kernels::new): the best available one, unless
    /// the environment variable `CAIRN_SIMD` names another. Fixed at the first call.
    #[must_use]
    pub fn active() -> Simd {
        Simd::choice().simd
    }

    /// [`Simd::active`] with the reason for it, for logs and diagnostics.
    #[must_use]
    pub fn choice() -> &'static Choice {
        static CHOICE: OnceLock<Choice> = OnceLock::new();
        CHOICE.get_or_init(|| {
            let wish = std::env::var_os(VARIABLE);
            let wish = wish.as_ref().map(|wish| wish.to_string_lossy());
            choose(wish.as_deref(), Simd::available())
        })
    }

    /// What this processor and this build can run, slowest first. Begins with [`Simd::Scalar`].
    #[must_use]
    pub fn available() -> &'static [Simd] {
        static AVAILABLE: OnceLock<Vec<Simd>> = OnceLock::new();
        AVAILABLE.get_or_init(|| {
            Simd::ALL
                .into_iter()
                .filter(|simd| simd.detected())
                .collect()
        })
    }

    /// The name that `CAIRN_SIMD` takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Simd::Scalar => "scalar",
            Simd::Avx2 => "avx2",
            Simd::Avx512 => "avx512",
            Simd::Neon => "neon",
        }
    }

    fn detected(self) -> bool {
        f32_table(Metric::L2, self).is_some()
    }
}

impl fmt::Display for Simd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The outcome of [`choose`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The instruction set to use.
    pub simd: Simd,
    /// Why, in one line.
    pub reason: String,
}

/// Chooses from `available` (slowest first), following `wish` where possible.
///
/// A wish that is unknown or not available is not an error: a process must not fail to start
/// because a setting was copied from another machine. The best available one is taken, and the
/// reason says so. An empty wish is no wish.
///
/// # Examples
/// ```
/// use cairn_distance::{Simd, choose};
///
/// let available = [Simd::Scalar, Simd::Avx2];
/// assert_eq!(choose(Some("scalar"), &available).simd, Simd::Scalar);
/// let choice = choose(Some("avx512"), &available);
/// assert_eq!(choice.simd, Simd::Avx2);
/// assert_eq!(choice.reason, "CAIRN_SIMD=avx512 is not available here, using avx2");
/// ```
#[must_use]
pub fn choose(wish: Option<&str>, available: &[Simd]) -> Choice {
    let best = available.last().copied().unwrap_or(Simd::Scalar);
    let wish = wish.map(str::trim).filter(|wish| !wish.is_empty());
    let Some(wish) = wish else {
        return Choice {
            simd: best,
            reason: format!("best available: {best}"),
        };
    };
    match Simd::ALL.into_iter().find(|simd| simd.name() == wish) {
        Some(simd) if available.contains(&simd) => Choice {
            simd,
            reason: format!("{VARIABLE}={simd}"),
        },
        Some(simd) => Choice {
            simd: best,
            reason: format!("{VARIABLE}={simd} is not available here, using {best}"),
        },
        None => Choice {
            simd: best,
            reason: format!(
                "{VARIABLE}={wish:?} is unknown (scalar, avx2, avx512, neon), using {best}"
            ),
        },
    }
}

/// Calls `$table::<I>($metric)` for the instruction set that `$simd` names; `None` for those of
/// other processor families.
macro_rules! by_simd {
    ($simd:expr, $table:ident, $metric:expr) => {
        match $simd {
            Simd::Scalar => generic::$table::<Scalar>($metric),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => generic::$table::<Avx2>($metric),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => generic::$table::<Avx512>($metric),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Simd::Neon => generic::$table::<Neon>($metric),
            _ => None,
        }
    };
}

pub(crate) fn f32_table(metric: Metric, simd: Simd) -> Option<Table<f32>> {
    by_simd!(simd, f32_table, metric)
}

pub(crate) fn f16_table(metric: Metric, simd: Simd) -> Option<Table<f16>> {
    by_simd!(simd, f16_table, metric)
}

pub(crate) fn i8_table(metric: Metric, simd: Simd) -> Option<Table<i8>> {
    by_simd!(simd, i8_table, metric)
}

pub(crate) fn u8_table(metric: Metric, simd: Simd) -> Option<Table<u8>> {
    #[cfg(target_arch = "x86_64")]
    if (metric, simd) == (Metric::Hamming, Simd::Avx512)
        && let Some(table) = Popcount::hamming()
    {
        return Some(table);
    }
    by_simd!(simd, u8_table, metric)
}
