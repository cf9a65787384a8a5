//! A distance that is not known exactly, with how far it may be off.

/// An estimated distance and the bound on its error.
///
/// Whether the bound is certain or holds with a stated probability is said where the estimate
/// is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimated distance, smaller is nearer.
    pub distance: f32,
    /// How far the distance may be from the estimate. Not negative.
    pub error: f32,
}

impl Estimate {
    /// The smallest distance there may be. Minus infinity where numbers have overflowed: nothing is
    /// excluded by mistake.
    ///
    /// # Examples
    /// ```
    /// use cairn_quantize::Estimate;
    ///
    /// let estimate = Estimate { distance: 2.0, error: 0.5 };
    /// assert_eq!((estimate.lower(), estimate.upper()), (1.5, 2.5));
    /// let lost = Estimate { distance: f32::INFINITY, error: f32::INFINITY };
    /// assert_eq!(lost.lower(), f32::NEG_INFINITY);
    /// ```
    #[must_use]
    #[inline]
    pub fn lower(self) -> f32 {
        // `max` takes the other operand for a NaN.
        (self.distance - self.error).max(f32::NEG_INFINITY)
    }

    /// The largest distance there may be; infinity where numbers have overflowed.
    #[must_use]
    #[inline]
    pub fn upper(self) -> f32 {
        (self.distance + self.error).min(f32::INFINITY)
    }
}
