//! Values without parts, and how they compare.

use std::cmp::Ordering;

use foldhash::fast::FixedState;
use hashbrown::HashSet;

/// A value of a field, or one that a filter names: text as `S`, bytes as `B`.
///
/// A number is an [`Int`](Self::Int) whenever it is one of at most 65 bits, however it is stored,
/// so that 1 and 1.0 are the same and 64-bit integers are exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<S = Box<str>, B = Box<[u8]>> {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Milliseconds since 1970 UTC.
    Date(i64),
    /// Characters.
    Text(S),
    /// Bytes.
    Bytes(B),
}

/// Integers up to here are told from the floats beside them.
const INT_MAX: f64 = 18_446_744_073_709_551_616.0; // 2^64

impl<S: AsRef<str>, B: AsRef<[u8]>> Scalar<S, B> {
    /// A number in its one form.
    #[must_use]
    pub fn number(value: f64) -> Self {
        if value.abs() <= INT_MAX && value == value.trunc() {
            #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^65")]
            let whole = value as i128;
            Self::Int(whole)
        } else {
            Self::Float(value)
        }
    }

    /// The same, borrowed.
    pub fn borrow(&self) -> Scalar<&str, &[u8]> {
        match self {
            Self::Null => Scalar::Null,
            Self::Bool(value) => Scalar::Bool(*value),
            Self::Int(value) => Scalar::Int(*value),
            Self::Float(value) => Scalar::Float(*value),
            Self::Date(ms) => Scalar::Date(*ms),
            Self::Text(text) => Scalar::Text(text.as_ref()),
            Self::Bytes(bytes) => Scalar::Bytes(bytes.as_ref()),
        }
    }

    /// Whether values of this kind come before and after each other.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(_) | Self::Bytes(_))
    }
}

impl Scalar<&str, &[u8]> {
    /// Whether both are of one kind and equal.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        // Numbers have one form each, and NaN equals nothing.
        self == other
    }

    /// How the two compare, if they are of one kind that has an order.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Float(b)) => int_to_float(*a, *b),
            (Self::Float(a), Self::Int(b)) => int_to_float(*b, *a).map(Ordering::reverse),
            (Self::Date(a), Self::Date(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            _ => None,
        }
    }

    /// The order of all values: by kind (null, booleans, numbers, dates, text, bytes), then by value.
    /// Values that are not equal differ in it, NaN apart, which no number differs from.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let kind = |value: &Self| match value {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) | Self::Float(_) => 2,
            Self::Date(_) => 3,
            Self::Text(_) => 4,
            Self::Bytes(_) => 5,
        };
        let by_kind = kind(self).cmp(&kind(other));
        by_kind.then_with(|| match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            _ => self.compare(other).unwrap_or(Ordering::Equal),
        })
    }

    /// Whether it is a number that is none.
    #[must_use]
    pub fn is_nan(&self) -> bool {
        matches!(self, Self::Float(value) if value.is_nan())
    }

    /// Appends it as MessagePack, equal values with equal bytes: integers of 64 bits where they fit, and
    /// floats where they do not.
    ///
    /// # Panics
    /// If a text is 4 GiB long.
    pub fn write(&self, out: &mut Vec<u8>) {
        let length = |bytes: &[u8]| {
            let length = u32::try_from(bytes.len());
            length.expect("a field is far below 4 GiB").to_be_bytes()
        };
        match *self {
            Self::Null => out.push(0xc0),
            Self::Bool(value) => out.push(0xc2 + u8::from(value)),
            Self::Int(value) => match (i64::try_from(value), u64::try_from(value)) {
                (Ok(value), _) => {
                    out.push(0xd3);
                    out.extend(value.to_be_bytes());
                }
                (_, Ok(value)) => {
                    out.push(0xcf);
                    out.extend(value.to_be_bytes());
                }
                _ => {
                    // It was read from a float, so it is one.
                    #[expect(clippy::cast_precision_loss, reason = "it came from a float")]
                    let float = value as f64;
                    out.push(0xcb);
                    out.extend(float.to_be_bytes());
                }
            },
            Self::Float(value) => {
                out.push(0xcb);
                out.extend(value.to_be_bytes());
            }
            Self::Date(ms) => {
                out.extend([0xc7, 12, 0xff]);
                #[expect(clippy::cast_possible_truncation, reason = "below a second")]
                let nanos = ms.rem_euclid(1000) as u32 * 1_000_000;
                out.extend(nanos.to_be_bytes());
                out.extend(ms.div_euclid(1000).to_be_bytes());
            }
            Self::Text(text) => {
                out.push(0xdb);
                out.extend(length(text.as_bytes()));
                out.extend(text.as_bytes());
            }
            Self::Bytes(bytes) => {
                out.push(0xc6);
                out.extend(length(bytes));
                out.extend(bytes);
            }
        }
    }

    /// The same, owned.
    #[must_use]
    pub fn own(&self) -> Scalar {
        match *self {
            Self::Null => Scalar::Null,
            Self::Bool(value) => Scalar::Bool(value),
            Self::Int(value) => Scalar::Int(value),
            Self::Float(value) => Scalar::Float(value),
            Self::Date(ms) => Scalar::Date(ms),
            Self::Text(text) => Scalar::Text(text.into()),
            Self::Bytes(bytes) => Scalar::Bytes(bytes.into()),
        }
    }
}

/// A float that is no integer of ours is NaN, or lies beyond all of them, or between two.
fn int_to_float(int: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        None
    } else if float.abs() > INT_MAX {
        Some(0.0_f64.partial_cmp(&float)?)
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "below 2^65")]
        let below = float.floor() as i128;
        Some(if int <= below {
            Ordering::Less
        } else {
            Ordering::Greater
        })
    }
}

/// Values, to be asked whether one of them is met. A question costs one hash, however many there
/// are.
#[derive(Clone, Debug, Default)]
pub struct ScalarSet {
    has_null: bool,
    bools: [bool; 2],
    ints: HashSet<i128, FixedState>,
    floats: HashSet<u64, FixedState>,
    dates: HashSet<i64, FixedState>,
    texts: HashSet<Box<str>, FixedState>,
    bytes: HashSet<Box<[u8]>, FixedState>,
}

impl ScalarSet {
    /// Whether a value equals one of these.
    #[must_use]
    pub fn contains(&self, value: &Scalar<&str, &[u8]>) -> bool {
        match *value {
            Scalar::Null => self.has_null,
            Scalar::Bool(value) => self.bools[usize::from(value)],
            Scalar::Int(value) => self.ints.contains(&value),
            Scalar::Float(value) => self.floats.contains(&value.to_bits()) && !value.is_nan(),
            Scalar::Date(ms) => self.dates.contains(&ms),
            Scalar::Text(text) => self.texts.contains(text),
            Scalar::Bytes(bytes) => self.bytes.contains(bytes),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let others = [self.has_null, self.bools[0], self.bools[1]];
        others.iter().filter(|there| **there).count()
            + self.ints.len()
            + self.floats.len()
            + self.dates.len()
            + self.texts.len()
            + self.bytes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each once, kind by kind, in no order within one.
    pub fn iter(&self) -> impl Iterator<Item = Scalar<&str, &[u8]>> {
        let nulls = self.has_null.then_some(Scalar::Null);
        let bools = [false, true].into_iter();
        let bools = bools.filter(|value| self.bools[usize::from(*value)]);
        nulls
            .into_iter()
            .chain(bools.map(Scalar::Bool))
            .chain(self.ints.iter().map(|value| Scalar::Int(*value)))
            .chain(
                self.floats
                    .iter()
                    .map(|bits| Scalar::Float(f64::from_bits(*bits))),
            )
            .chain(self.dates.iter().map(|ms| Scalar::Date(*ms)))
            .chain(self.texts.iter().map(|text| Scalar::Text(&**text)))
            .chain(self.bytes.iter().map(|bytes| Scalar::Bytes(&**bytes)))
    }
}

impl Extend<Scalar> for ScalarSet {
    fn extend<I: IntoIterator<Item = Scalar>>(&mut self, values: I) {
        for value in values {
            match value {
                Scalar::Null => self.has_null = true,
                Scalar::Bool(value) => self.bools[usize::from(value)] = true,
                Scalar::Int(value) => drop(self.ints.insert(value)),
                Scalar::Float(value) => drop(self.floats.insert(value.to_bits())),
                Scalar::Date(ms) => drop(self.dates.insert(ms)),
                Scalar::Text(text) => drop(self.texts.insert(text)),
                Scalar::Bytes(bytes) => drop(self.bytes.insert(bytes)),
            }
        }
    }
}

impl FromIterator<Scalar> for ScalarSet {
    fn from_iter<I: IntoIterator<Item = Scalar>>(values: I) -> Self {
        let mut set = Self::default();
        set.extend(values);
        set
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering::{self, Equal, Greater, Less};

    use super::{Scalar, ScalarSet};

    type Borrowed = Scalar<&'static str, &'static [u8]>;

    #[test]
    fn numbers_compare_by_their_value_however_they_are_stored() {
        let far = (1_i128 << 53) + 1;
        let cases: &[(Borrowed, Borrowed, Option<Ordering>)] = &[
            (Scalar::Int(1), Scalar::number(1.0), Some(Equal)),
            (Scalar::Int(0), Scalar::number(-0.0), Some(Equal)),
            (Scalar::Int(1), Scalar::number(1.5), Some(Less)),
            (Scalar::Int(2), Scalar::number(1.5), Some(Greater)),
            (Scalar::Int(-1), Scalar::number(-1.5), Some(Greater)),
            (Scalar::Int(-2), Scalar::number(-1.5), Some(Less)),
            // As floats these two would be the same.
            (
                Scalar::Int(far),
                Scalar::number(2f64.powi(53)),
                Some(Greater),
            ),
            (
                Scalar::Int(i64::MAX.into()),
                Scalar::number(2f64.powi(63)),
                Some(Less),
            ),
            (
                Scalar::Int(u64::MAX.into()),
                Scalar::number(2f64.powi(64)),
                Some(Less),
            ),
            (
                Scalar::Int(u64::MAX.into()),
                Scalar::number(1e300),
                Some(Less),
            ),
            (
                Scalar::Int(i64::MIN.into()),
                Scalar::number(-1e300),
                Some(Greater),
            ),
            (Scalar::Int(0), Scalar::number(f64::INFINITY), Some(Less)),
            (Scalar::Int(0), Scalar::number(f64::NAN), None),
            (Scalar::number(0.5), Scalar::number(f64::NAN), None),
            (Scalar::Text("\u{e9}"), Scalar::Text("z"), Some(Greater)),
            (Scalar::Text("1"), Scalar::Int(1), None),
            (Scalar::Bool(true), Scalar::Bool(false), None),
            (Scalar::Date(5), Scalar::Int(5), None),
            (Scalar::Date(5), Scalar::Date(6), Some(Less)),
            (Scalar::Null, Scalar::Null, None),
        ];
        for (a, b, expected) in cases {
            assert_eq!(a.compare(b), *expected, "{a:?} and {b:?}");
            assert_eq!(
                b.compare(a),
                expected.map(Ordering::reverse),
                "{b:?} and {a:?}"
            );
            assert_eq!(
                a.equals(b),
                *expected == Some(Equal) || *a == *b,
                "{a:?} and {b:?}"
            );
        }
    }

    #[test]
    fn a_set_contains_what_was_put_in_and_nothing_like_it() {
        let values = [
            Scalar::Null,
            Scalar::Bool(true),
            Scalar::Int(7),
            Scalar::Float(0.5),
            Scalar::Date(7),
            Scalar::Text("7".into()),
            Scalar::Bytes(b"7".as_slice().into()),
        ];
        let set: ScalarSet = values.iter().cloned().chain([Scalar::Int(7)]).collect();
        assert_eq!(set.len(), values.len());
        assert_eq!(set.iter().count(), values.len());
        assert!(values.iter().all(|value| set.contains(&value.borrow())));
        let others: [Borrowed; 6] = [
            Scalar::Bool(false),
            Scalar::Int(8),
            Scalar::Float(0.25),
            Scalar::Date(8),
            Scalar::Text(""),
            Scalar::Bytes(b""),
        ];
        assert!(others.iter().all(|value| !set.contains(value)));
        assert!(ScalarSet::default().is_empty());
    }
}
