//! The metrics and their public names.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// How far apart two vectors are. Smaller is nearer, for every metric.
///
/// | metric   | distance             | range          | of `f32` vectors expects        |
/// |----------|----------------------|----------------|---------------------------------|
/// | `cosine` | `1 - cos(a, b)`      | `[0, 2]`       | unit length, see [`normalise`]  |
/// | `l2`     | `sum (a_i - b_i)^2`  | `[0, inf]`     | nothing                         |
/// | `dot`    | `- sum a_i * b_i`    | `[-inf, inf]`  | nothing                         |
/// | `l1`     | `sum abs(a_i - b_i)` | `[0, inf]`     | nothing                         |
/// | `hamming`| bits that differ     | `[0, bits]`    | vectors of bits, eight a `u8`   |
///
/// `l2` is the squared distance: the root is monotone, so no ranking needs it.
///
/// Cosine over `f32` is `1 - dot`, clamped: the caller stores vectors of unit length. Cosine over
/// `f16` and `i8` measures both lengths in the same pass, because rounding to those types has
/// changed them; there a vector of zeros is at distance 1 from everything, itself included.
///
/// [`normalise`]: crate::normalise()
///
/// # Examples
/// ```
/// use cairn_distance::Metric;
///
/// let metric: Metric = "l2".parse()?;
/// assert_eq!(metric, Metric::L2);
/// assert_eq!(metric.name(), "l2");
/// # Ok::<(), cairn_distance::UnknownMetric>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// One minus the cosine of the angle.
    Cosine,
    /// Squared Euclidean distance.
    L2,
    /// Negated inner product.
    Dot,
    /// Sum of absolute differences.
    L1,
    /// Bits that differ; of vectors of bits alone.
    Hamming,
}

impl Metric {
    /// Every metric between vectors of numbers, in the order of the type: all but `hamming`.
    pub const ALL: [Metric; 4] = [Metric::Cosine, Metric::L2, Metric::Dot, Metric::L1];

    /// The stable name, used in files and in the public interface; [`FromStr`] reads it back.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Metric::Cosine => "cosine",
            Metric::L2 => "l2",
            Metric::Dot => "dot",
            Metric::L1 => "l1",
            Metric::Hamming => "hamming",
        }
    }

    /// Whether `f32` vectors must be brought to unit length before they are compared.
    #[must_use]
    pub const fn normalises(self) -> bool {
        matches!(self, Metric::Cosine)
    }

    /// The score of a distance: larger is better, for people rather than for code.
    ///
    /// Cosine gives the cosine in `[-1, 1]`, dot the inner product, and the others
    /// `1 / (1 + distance)` in `[0, 1]`.
    ///
    /// # Examples
    /// ```
    /// use cairn_distance::Metric;
    ///
    /// assert_eq!(Metric::Cosine.score(0.25), 0.75);
    /// assert_eq!(Metric::Dot.score(-3.0), 3.0);
    /// assert_eq!(Metric::L2.score(3.0), 0.25);
    /// ```
    #[must_use]
    pub fn score(self, distance: f32) -> f32 {
        match self {
            Metric::Cosine => 1.0 - distance,
            Metric::Dot => -distance,
            Metric::L2 | Metric::L1 | Metric::Hamming => 1.0 / (1.0 + distance),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut all = Metric::ALL.into_iter().chain([Metric::Hamming]);
        all.find(|metric| metric.name() == name)
            .ok_or(UnknownMetric)
    }
}

/// The text names no metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMetric;

impl fmt::Display for UnknownMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown metric, known: cosine, l2, dot, l1, hamming")
    }
}

impl Error for UnknownMetric {}
