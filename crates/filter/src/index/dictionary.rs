//! Distinct values in order: nothing, booleans, numbers, dates, text, bytes.

use std::cmp::Ordering;
use std::ops::Range;

use crate::scalar::Scalar;

/// Distinct values, each kind ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Dictionary {
    pub has_null: bool,
    /// Ascending.
    pub bools: Vec<bool>,
    /// In their one form, ascending.
    pub numbers: Vec<Number>,
    /// Ascending.
    pub dates: Vec<i64>,
    pub texts: Strings,
    pub bytes: Strings,
}

/// A number in its one form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

/// Byte strings end to end, ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Strings {
    pub all: Vec<u8>,
    /// Where each ends.
    pub ends: Vec<u32>,
}

impl Number {
    pub fn scalar<'a>(self) -> Scalar<&'a str, &'a [u8]> {
        match self {
            Self::Int(value) => Scalar::Int(value),
            Self::Float(value) => Scalar::Float(value),
        }
    }
}

impl Strings {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[start as usize..self.ends[index] as usize]
    }

    /// How many are in front of the first that `reached` is true of.
    fn before(&self, reached: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if reached(self.get(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// Appends one; false when there is no room for more in 32 bits.
    #[must_use]
    pub fn push(&mut self, string: &[u8]) -> bool {
        let end = u32::try_from(self.all.len() + string.len());
        let Ok(end) = end else {
            return false;
        };
        self.all.extend_from_slice(string);
        self.ends.push(end);
        true
    }
}

impl Dictionary {
    pub fn len(&self) -> usize {
        self.bytes_at() + self.bytes.len()
    }

    pub fn memory(&self) -> usize {
        let strings = |strings: &Strings| strings.all.len() + strings.ends.len() * 4;
        self.numbers.len() * size_of::<Number>()
            + self.dates.len() * 8
            + strings(&self.texts)
            + strings(&self.bytes)
    }

    fn bools_at(&self) -> usize {
        usize::from(self.has_null)
    }

    fn numbers_at(&self) -> usize {
        self.bools_at() + self.bools.len()
    }

    fn dates_at(&self) -> usize {
        self.numbers_at() + self.numbers.len()
    }

    fn texts_at(&self) -> usize {
        self.dates_at() + self.dates.len()
    }

    fn bytes_at(&self) -> usize {
        self.texts_at() + self.texts.len()
    }

    /// Where the values of the kind of `value` are.
    pub fn of_kind(&self, value: &Scalar<&str, &[u8]>) -> Range<usize> {
        match value {
            Scalar::Null => 0..self.bools_at(),
            Scalar::Bool(_) => self.bools_at()..self.numbers_at(),
            Scalar::Int(_) | Scalar::Float(_) => self.numbers_at()..self.dates_at(),
            Scalar::Date(_) => self.dates_at()..self.texts_at(),
            Scalar::Text(_) => self.texts_at()..self.bytes_at(),
            Scalar::Bytes(_) => self.bytes_at()..self.len(),
        }
    }

    /// The value at a place.
    pub fn get(&self, index: usize) -> Scalar<&str, &[u8]> {
        if index < self.bools_at() {
            Scalar::Null
        } else if index < self.numbers_at() {
            Scalar::Bool(self.bools[index - self.bools_at()])
        } else if index < self.dates_at() {
            self.numbers[index - self.numbers_at()].scalar()
        } else if index < self.texts_at() {
            Scalar::Date(self.dates[index - self.dates_at()])
        } else if index < self.bytes_at() {
            let text = self.texts.get(index - self.texts_at());
            Scalar::Text(str::from_utf8(text).unwrap_or_default())
        } else {
            Scalar::Bytes(self.bytes.get(index - self.bytes_at()))
        }
    }

    /// How many values are in front of where `value` is, or would be.
    pub fn below(&self, value: &Scalar<&str, &[u8]>) -> usize {
        let kind = self.of_kind(value).start;
        kind + match *value {
            Scalar::Null => 0,
            Scalar::Bool(value) => self.bools.partition_point(|one| !one & value),
            Scalar::Int(_) | Scalar::Float(_) => {
                let less = |one: &Number| one.scalar().compare(value) == Some(Ordering::Less);
                self.numbers.partition_point(less)
            }
            Scalar::Date(ms) => self.dates.partition_point(|one| *one < ms),
            Scalar::Text(text) => self.texts.before(|one| one >= text.as_bytes()),
            Scalar::Bytes(bytes) => self.bytes.before(|one| one >= bytes),
        }
    }

    /// Where `value` is.
    pub fn find(&self, value: &Scalar<&str, &[u8]>) -> Option<usize> {
        let index = self.below(value);
        (self.of_kind(value).contains(&index) && self.get(index).equals(value)).then_some(index)
    }

    /// Where the texts are that begin so.
    pub fn starting(&self, prefix: &str) -> Range<usize> {
        let prefix = prefix.as_bytes();
        let start = self.texts.before(|one| one >= prefix);
        let end = self
            .texts
            .before(|one| one >= prefix && !one.starts_with(prefix));
        self.texts_at() + start..self.texts_at() + end
    }
}
