//! Exact sums of floats.
//!
//! Adding floats one by one rounds each time, so a sum would depend on the order of the rows, and with
//! it on flushes and merges. Here a sum is one long integer in units of the smallest float, as wide as
//! all floats are, and is rounded once, when it is read. (The idea is Kulisch's long accumulator.)

/// The exponent of the last bit of the smallest float.
const LOWEST: i32 = -1074;
/// Bits of a limb.
const LIMB: usize = 32;
/// 2,098 bits of all floats, 97 for how many there are, whole limbs.
const LIMBS: usize = 70;
/// Additions that cannot overflow a limb: each adds less than 2^33 to one.
const CARRY_AFTER: u32 = 1 << 28;

/// A sum under way. Exact for up to 2^64 floats.
#[derive(Clone)]
pub(super) struct ExactSum {
    /// Least first; each may be anything while additions wait to be carried.
    limbs: [i64; LIMBS],
    waiting: u32,
}

impl Default for ExactSum {
    fn default() -> Self {
        Self {
            limbs: [0; LIMBS],
            waiting: 0,
        }
    }
}

impl ExactSum {
    /// Adds a finite float `times` times.
    pub fn add(&mut self, value: f64, times: u32) {
        debug_assert!(value.is_finite());
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let fraction = bits & ((1 << 52) - 1);
        // Numbers without a leading one share the exponent of the smallest that have it.
        let (mantissa, shift) = match exponent {
            0 => (fraction, 0),
            _ => (fraction | 1 << 52, exponent - 1),
        };
        let product = u128::from(mantissa) * u128::from(times);
        self.add_at(product, shift, value.is_sign_negative());
    }

    /// Adds an integer of less than 2^96.
    pub fn add_int(&mut self, value: i128) {
        let zero = LOWEST.unsigned_abs() as usize;
        self.add_at(value.unsigned_abs(), zero, value < 0);
    }

    /// Adds `magnitude * 2^shift` units.
    fn add_at(&mut self, magnitude: u128, shift: usize, is_negative: bool) {
        debug_assert!(magnitude < 1 << 96, "what is shifted must fit");
        let mut rest = magnitude << (shift % LIMB);
        let mut limb = shift / LIMB;
        while rest != 0 {
            let part = (rest & u128::from(u32::MAX)) as i64;
            self.limbs[limb] += if is_negative { -part } else { part };
            rest >>= LIMB;
            limb += 1;
        }
        self.waiting += 1;
        if self.waiting == CARRY_AFTER {
            self.carry();
        }
    }

    /// Brings all limbs but the last into 0 to 2^32.
    fn carry(&mut self) {
        let mut carried = 0;
        for limb in &mut self.limbs[..LIMBS - 1] {
            *limb += carried;
            carried = *limb >> LIMB;
            *limb &= i64::from(u32::MAX);
        }
        self.limbs[LIMBS - 1] += carried;
        self.waiting = 0;
    }

    /// The nearest float, ties to even; infinite beyond the largest.
    pub fn value(&self) -> f64 {
        let mut sum = self.clone();
        sum.carry();
        let is_negative = sum.limbs[LIMBS - 1] < 0;
        if is_negative {
            for limb in &mut sum.limbs {
                *limb = -*limb;
            }
            sum.carry();
        }
        let bit = |at: usize| sum.limbs[at / LIMB] >> (at % LIMB) & 1 == 1;
        let Some(top) = (0..LIMBS * LIMB).rev().find(|&at| bit(at)) else {
            return 0.0;
        };
        let magnitude = if top < 53 {
            // All of it fits: a float whose bits are this integer.
            let units = (0..=top).filter(|&at| bit(at)).map(|at| 1_u64 << at);
            f64::from_bits(units.sum())
        } else {
            let first = top - 52;
            let ones = (first..=top).filter(|&at| bit(at));
            let mut mantissa: u64 = ones.map(|at| 1_u64 << (at - first)).sum();
            let is_half = bit(first - 1);
            let is_more = (0..first - 1).any(bit);
            if is_half && (is_more || mantissa & 1 == 1) {
                mantissa += 1;
            }
            // A mantissa that was rounded up to 2^53 carries into the exponent, as it should.
            let exponent = first as u64;
            match (exponent << 52).checked_add(mantissa) {
                Some(bits) if exponent < 2046 && bits < f64::INFINITY.to_bits() => {
                    f64::from_bits(bits)
                }
                _ => f64::INFINITY,
            }
        };
        if is_negative { -magnitude } else { magnitude }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        values.iter().for_each(|&value| sum.add(value, 1));
        sum.value()
    }

    #[test]
    fn one_value_is_itself() {
        let smallest = f64::from_bits(1);
        for value in [
            0.0,
            1.0,
            -1.5,
            0.1,
            smallest,
            -smallest,
            f64::MIN_POSITIVE,
            f64::MAX,
            1e300,
        ] {
            assert_eq!(sum(&[value]), value);
        }
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let value = f64::from_bits(random);
            if value.is_finite() {
                assert_eq!(sum(&[value]), value);
                assert_eq!(sum(&[value, -value]), 0.0);
                // Doubling rounds nothing.
                assert_eq!(sum(&[value, value]), value * 2.0);
                // Two floats are added by the machine as here: rounded once.
                assert_eq!(sum(&[value, 1.0]), value + 1.0);
            }
        }
    }

    #[test]
    fn what_cancels_leaves_the_rest_in_any_order() {
        assert_eq!(sum(&[1e300, 1.0, -1e300]), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[-f64::MAX, -f64::MAX]), f64::NEG_INFINITY);
    }

    #[test]
    fn many_of_one_are_its_product_and_integers_stay_whole() {
        let mut sum = ExactSum::default();
        sum.add(0.5, u32::MAX);
        assert_eq!(sum.value(), f64::from(u32::MAX) / 2.0);
        let mut sum = ExactSum::default();
        sum.add_int(i128::from(u64::MAX) << 20);
        sum.add_int(-(i128::from(u64::MAX) << 20));
        sum.add_int(-7);
        sum.add(0.25, 1);
        assert_eq!(sum.value(), -6.75);
    }
}
