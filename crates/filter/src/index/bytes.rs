//! An index to bytes and back. FORMAT.md has them field by field.

use super::dictionary::{Dictionary, Number, Strings};
use super::{FieldIndex, Parts};
use crate::bitmap::Bitmap;
use crate::scalar::Scalar;

/// Bytes in front of the first list.
const HEADER_BYTES: usize = 48;

/// Numbers by how they are stored.
const INT: u8 = 0;
const UNSIGNED: u8 = 1;
const FLOAT: u8 = 2;

impl FieldIndex {
    /// The index as it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Dictionary {
            has_null,
            bools,
            numbers,
            dates,
            texts,
            bytes,
        } = &self.values;
        let mut out = Writer::default();
        out.u32(self.rows);
        out.length(self.list.len());
        out.u32(u32::from(*has_null));
        out.u32(bools.iter().map(|value| 1 << u32::from(*value)).sum());
        out.length(numbers.len());
        out.length(dates.len());
        out.length(texts.len());
        out.length(texts.all.len());
        out.length(bytes.len());
        out.length(bytes.all.len());
        out.u32(0);
        out.u32(0);
        let forms: Vec<(u8, u64)> = numbers.iter().map(|number| form(*number)).collect();
        out.words(forms.iter().map(|(_, bits)| *bits));
        out.words(dates.iter().map(|ms| ms.cast_unsigned()));
        out.words(self.present.words().iter().copied());
        out.words(self.arrays.words().iter().copied());
        for list in [&self.starts, &self.list, &texts.ends, &bytes.ends] {
            list.iter().for_each(|number| out.u32(*number));
        }
        out.0.extend(forms.iter().map(|(kind, _)| *kind));
        out.0.extend(&texts.all);
        out.0.extend(&bytes.all);
        out.0
    }

    /// An index as it was stored; `None` for anything else, whatever it is.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let rows = reader.u32()?;
        let entries = reader.length()?;
        let has_null = match reader.u32()? {
            flag @ (0 | 1) => flag == 1,
            _ => return None,
        };
        let bools = match reader.u32()? {
            0 => vec![],
            1 => vec![false],
            2 => vec![true],
            3 => vec![false, true],
            _ => return None,
        };
        let [number_count, date_count] = [reader.length()?, reader.length()?];
        let [text_count, text_bytes] = [reader.length()?, reader.length()?];
        let [bytes_count, bytes_bytes] = [reader.length()?, reader.length()?];
        if reader.u32()? != 0 || reader.u32()? != 0 {
            return None;
        }
        debug_assert_eq!(bytes.len() - reader.0.len(), HEADER_BYTES);
        let words = (rows as usize).div_ceil(64);
        let number_bits = reader.words(number_count)?;
        let dates = reader.words(date_count)?;
        let dates: Vec<i64> = dates.into_iter().map(u64::cast_signed).collect();
        let present = Bitmap::from_words(reader.words(words)?, rows)?;
        let arrays = Bitmap::from_words(reader.words(words)?, rows)?;
        let counts = [number_count, date_count, text_count, bytes_count];
        let count = usize::from(has_null) + bools.len() + counts.iter().sum::<usize>();
        let starts = reader.numbers(count + 1)?;
        let list = reader.numbers(entries)?;
        let [text_ends, bytes_ends] = [reader.numbers(text_count)?, reader.numbers(bytes_count)?];
        let kinds = reader.take(number_count)?;
        let numbers = kinds.iter().zip(number_bits);
        let numbers: Option<Vec<Number>> =
            numbers.map(|(kind, bits)| number(*kind, bits)).collect();
        let texts = strings(reader.take(text_bytes)?, text_ends)?;
        let bytes = strings(reader.take(bytes_bytes)?, bytes_ends)?;
        let values = Dictionary {
            has_null,
            bools,
            numbers: numbers?,
            dates,
            texts,
            bytes,
        };
        let parts = Parts {
            rows,
            values,
            starts,
            list,
            present,
            arrays,
        };
        (reader.0.is_empty() && is_right(&parts)).then(|| Self::new(parts))
    }
}

/// How a number is stored. Those of 64 bits are exact; of the others each is a float.
fn form(number: Number) -> (u8, u64) {
    match number {
        Number::Float(value) => (FLOAT, value.to_bits()),
        Number::Int(value) => match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => (INT, value.cast_unsigned()),
            (_, Ok(value)) => (UNSIGNED, value),
            #[expect(clippy::cast_precision_loss, reason = "it was a float")]
            _ => (FLOAT, (value as f64).to_bits()),
        },
    }
}

fn number(kind: u8, bits: u64) -> Option<Number> {
    let number: Scalar = match kind {
        INT => Scalar::Int(bits.cast_signed().into()),
        UNSIGNED => Scalar::Int(bits.into()),
        FLOAT => Scalar::number(f64::from_bits(bits)),
        _ => return None,
    };
    match number {
        Scalar::Int(value) => Some(Number::Int(value)),
        Scalar::Float(value) if !value.is_nan() => Some(Number::Float(value)),
        _ => None,
    }
}

fn strings(all: &[u8], ends: Vec<u32>) -> Option<Strings> {
    let last = ends.last().map_or(0, |end| *end as usize);
    (ends.is_sorted() && last == all.len()).then(|| Strings {
        all: all.to_vec(),
        ends,
    })
}

/// Whether everything is in order and in range.
fn is_right(parts: &Parts) -> bool {
    let Parts {
        rows,
        values,
        starts,
        list,
        present,
        arrays,
    } = parts;
    let ascending = |strings: &Strings| {
        let mut pairs = 1..strings.len();
        pairs.all(|index| strings.get(index - 1) < strings.get(index))
    };
    let numbers = values.numbers.windows(2);
    let mut numbers = numbers.map(|two| two[0].scalar().compare(&two[1].scalar()));
    let texts = (0..values.texts.len()).map(|index| values.texts.get(index));
    let mut pieces = starts.windows(2);
    let mut outside = arrays.clone();
    outside.subtract(present);
    numbers.all(|order| order.is_some_and(std::cmp::Ordering::is_lt))
        && values.dates.is_sorted_by(|a, b| a < b)
        && ascending(&values.texts)
        && ascending(&values.bytes)
        && texts.map(str::from_utf8).all(|text| text.is_ok())
        && starts.first() == Some(&0)
        && starts.last().is_some_and(|end| *end as usize == list.len())
        // Ends before pieces: a start that falls would make a piece that is none.
        && starts.is_sorted_by(|a, b| a < b)
        && list.iter().all(|row| row < rows && present.contains(*row))
        && pieces.all(|ends| {
            let piece = &list[ends[0] as usize..ends[1] as usize];
            piece.is_sorted_by(|a, b| a < b)
        })
        && outside.is_empty()
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn u32(&mut self, number: u32) {
        self.0.extend(number.to_le_bytes());
    }

    fn length(&mut self, length: usize) {
        self.u32(u32::try_from(length).expect("the builder keeps all lengths within 32 bits"));
    }

    fn words(&mut self, words: impl Iterator<Item = u64>) {
        words.for_each(|word| self.0.extend(word.to_le_bytes()));
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.u32()?).ok()
    }

    fn words(&mut self, count: usize) -> Option<Vec<u64>> {
        let (words, _) = self.take(count.checked_mul(8)?)?.as_chunks();
        Some(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
    }

    fn numbers(&mut self, count: usize) -> Option<Vec<u32>> {
        let (numbers, _) = self.take(count.checked_mul(4)?)?.as_chunks();
        Some(numbers.iter().map(|it| u32::from_le_bytes(*it)).collect())
    }
}
