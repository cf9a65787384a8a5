//! The algorithm, once, over a small set of register operations.
//!
//! # Shape
//!
//! A distance is a fold: load a register of `a` and one of `b`, let each lane take its term into
//! an accumulator, repeat, then add the lanes up. [`Fold`] names those operations. What differs
//! between metrics is the step and the last few scalar operations; what differs between
//! instruction sets is the register type, [`Floats`] or [`Bytes`]. Everything that has a loop is in
//! this folder and exists once:
//!
//! ```text
//! pair(a, b):                              one distance
//!     acc[0..4] = 0
//!     while 4 registers are left:          4 independent chains
//!         acc[j] = step(acc[j], load(a), load(b))   for j in 0..4
//!     up to 3 whole registers more, one for each of acc[0..3]
//!     acc[3] = step(acc[3], load_tail(a), load_tail(b))   if components are left
//!     finish((acc[0] + acc[1]) + (acc[2] + acc[3]))
//! ```
//!
//! *Four chains*: a fused multiply-add takes four cycles and a core starts two each cycle, so one
//! chain would run at an eighth of the rate. Four chains, together with the next record's chains
//! which the processor starts before this one ends, keep the loads busy, and loads are the limit:
//! two per step, two per cycle.
//!
//! *Tail*: `load_tail` fills the missing lanes with zeros. Zero against zero adds nothing under
//! every metric here, so no lane needs a mask afterwards. It reads no byte beyond the slice: masked
//! loads where the instruction set has them, a copy to the stack elsewhere. A length that is a
//! multiple of the register takes neither path.
//!
//! # Why inlining is the design
//!
//! An intrinsic such as `_mm512_fmadd_ps` is compiled with AVX-512 on. Called from code compiled
//! without, it stays a call. So everything here is `#[inline(always)]` and is instantiated only
//! inside the shells of an instruction set, which carry `#[target_feature]`: after inlining the
//! whole loop sits in a function that may use the registers. Nothing here is a closure, because
//! closures do not inherit the features.
//!
//! # Error bound
//!
//! Let `u = 2^-24` and `T = sum |term_i|`. A term passes through at most three roundings of its own
//! (difference, product, square) and one per addition: at most `dim / 4` on its lane (the narrowest
//! register is four lanes, and the tile of `matrix` has one chain per pair), 2 to join the chains
//! and 4 to join the lanes. Each multiplies by `1 + d`, `|d| <= u`, hence
//!
//! ```text
//! |computed - exact| <= (dim / 4 + 16) * u * T + dim * 2^-149
//! ```
//!
//! to first order; the last summand is what underflow can lose. [`reference::error_bound`] is this
//! formula and the tests hold every kernel to it.
//!
//! Integer kernels are exact: see [`int`].
//!
//! [`reference::error_bound`]: crate::reference::error_bound

pub(crate) mod float;
pub(crate) mod int;
mod matrix;
mod pair;
mod rows;
mod shell;

pub(crate) use float::Floats;
pub(crate) use int::Bytes;
pub(crate) use matrix::matrix;
pub(crate) use pair::{bounded, pair};
pub(crate) use rows::{block, many};
pub(crate) use shell::{Isa, f16_table, f32_table, i8_table, shells, u8_table};

use crate::Element;

/// One distance as a fold over registers.
///
/// # Safety
/// Every method may only be called where the instruction set of the implementation is enabled,
/// both in the processor and in the function it is inlined into. The pointers of `load` and
/// `load_tail` must be readable for `WIDTH` and for `count` components.
pub(crate) trait Fold {
    /// Component type of both vectors.
    type Element: Element;
    /// One register of components, ready for `step`.
    type Reg: Copy;
    /// Partial sums.
    type Acc: Copy;

    /// Components per register.
    const WIDTH: usize;
    /// Whether terms are never negative, so that a partial result is a lower bound.
    const GROWS: bool;
    /// Registers that one `Acc` takes.
    const SUMS: usize;

    unsafe fn zero() -> Self::Acc;
    unsafe fn load(from: *const Self::Element) -> Self::Reg;
    /// Loads `count < WIDTH` components; the other lanes contribute nothing.
    unsafe fn load_tail(from: *const Self::Element, count: usize) -> Self::Reg;
    unsafe fn step(acc: Self::Acc, a: Self::Reg, b: Self::Reg) -> Self::Acc;
    unsafe fn join(x: Self::Acc, y: Self::Acc) -> Self::Acc;
    unsafe fn finish(acc: Self::Acc) -> f32;

    /// What to answer when `finish` gave `distance`. Called for every result, so it must be cheap
    /// when all is well.
    #[inline(always)]
    fn settle(distance: f32, _a: &[Self::Element], _b: &[Self::Element]) -> f32 {
        distance
    }
}
