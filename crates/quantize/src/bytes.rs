//! Codebooks as bytes: a writer, and a reader that believes no length before it has seen the bytes.
//!
//! Every codebook begins with eight bytes that name its format; numbers are little-endian. Whoever
//! stores the bytes adds the checksum, as for a graph.

use cairn_distance::Metric;

use crate::{ConfigError, FormatError};

/// Appends fields to bytes.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(magic: [u8; 8], capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(8 + capacity);
        bytes.extend(magic);
        Self(bytes)
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u32(&mut self, value: usize) {
        let value = u32::try_from(value).expect("sizes of codebooks were checked to be small");
        self.0.extend(value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    pub(crate) fn floats(&mut self, values: &[f32]) {
        for value in values {
            self.0.extend(value.to_le_bytes());
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes fields off the front of bytes.
pub(crate) struct Reader<'a> {
    all: usize,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], magic: [u8; 8]) -> Result<Self, FormatError> {
        let mut reader = Self {
            all: bytes.len(),
            rest: bytes,
        };
        if reader.take(8)? != magic {
            return Err(FormatError::Magic);
        }
        Ok(reader)
    }

    /// Where the next field starts.
    pub(crate) fn offset(&self) -> usize {
        self.all - self.rest.len()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<usize, FormatError> {
        let bytes = self.take(4)?.try_into().expect("four bytes were taken");
        Ok(u32::from_le_bytes(bytes) as usize)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        let bytes = self.take(8)?.try_into().expect("eight bytes were taken");
        Ok(u64::from_le_bytes(bytes))
    }

    /// `count` finite numbers. Memory is taken only once the bytes are there.
    pub(crate) fn floats(&mut self, count: usize) -> Result<Vec<f32>, FormatError> {
        let start = self.offset();
        let length = count.checked_mul(4).ok_or(self.too_short())?;
        let bytes = self.take(length)?;
        let (words, _) = bytes.as_chunks::<4>();
        let values: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(FormatError::Field {
                offset: start + 4 * at,
            }),
            None => Ok(values),
        }
    }

    /// `count` bytes that must be zero.
    pub(crate) fn zeros(&mut self, count: usize) -> Result<(), FormatError> {
        let offset = self.offset();
        if self.take(count)?.iter().all(|&byte| byte == 0) {
            Ok(())
        } else {
            Err(FormatError::Field { offset })
        }
    }

    /// What is left, for a part with a format of its own.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Nothing may follow.
    pub(crate) fn finish(self) -> Result<(), FormatError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.too_short())
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(self.too_short())?;
        self.rest = rest;
        Ok(taken)
    }

    fn too_short(&self) -> FormatError {
        FormatError::Length { bytes: self.all }
    }
}

/// The byte of a metric: 0 cosine, 1 l2, 2 dot, as in a graph.
pub(crate) fn metric_code(metric: Metric) -> Result<u8, ConfigError> {
    match metric {
        Metric::Cosine => Ok(0),
        Metric::L2 => Ok(1),
        Metric::Dot => Ok(2),
        Metric::L1 | Metric::Hamming => Err(ConfigError::Metric { metric }),
    }
}

/// The metric of the next byte.
pub(crate) fn read_metric(reader: &mut Reader) -> Result<Metric, FormatError> {
    let offset = reader.offset();
    match reader.u8()? {
        0 => Ok(Metric::Cosine),
        1 => Ok(Metric::L2),
        2 => Ok(Metric::Dot),
        _ => Err(FormatError::Field { offset }),
    }
}
