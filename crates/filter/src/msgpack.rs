//! MessagePack, walked without building anything.

use crate::scalar::Scalar;

/// Why bytes are not MessagePack as the fields of records are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They end too soon.
    Truncated,
    /// A map was expected.
    NotAMap,
    /// The key of a map is not UTF-8 text.
    KeyNotText,
    /// Nested deeper than the reader allows.
    TooDeep,
    /// A type that is not stored.
    UnknownType,
    /// Something stands behind them.
    Trailing,
}

/// One value. What is nested is behind it in the bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Anything that has no parts.
    Scalar(Scalar<&'a str, &'a [u8]>),
    /// So many values follow.
    Array(usize),
    /// So many names and values follow.
    Map(usize),
}

/// A place in MessagePack.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Reads a value, of an array or a map its header alone.
    ///
    /// # Errors
    /// A [`Fault`]; the cursor is then anywhere.
    pub fn value(&mut self) -> Result<Value<'a>, Fault> {
        let tag = self.byte()?;
        let scalar = match tag {
            0x00..=0x7f => Scalar::Int(tag.into()),
            0xe0..=0xff => Scalar::Int(tag.cast_signed().into()),
            0x80..=0x8f => return Ok(Value::Map(usize::from(tag & 0x0f))),
            0x90..=0x9f => return Ok(Value::Array(usize::from(tag & 0x0f))),
            0xa0..=0xbf => Scalar::Text(self.str(usize::from(tag & 0x1f))?),
            0xc0 => Scalar::Null,
            0xc2 | 0xc3 => Scalar::Bool(tag == 0xc3),
            0xc4..=0xc6 => {
                let length = self.length(tag - 0xc4)?;
                Scalar::Bytes(self.take(length)?)
            }
            0xc7..=0xc9 => {
                let length = self.length(tag - 0xc7)?;
                self.extension(length)?
            }
            0xca => Scalar::number(f64::from(f32::from_be_bytes(self.array()?))),
            0xcb => Scalar::number(f64::from_be_bytes(self.array()?)),
            0xcc => Scalar::Int(self.byte()?.into()),
            0xcd => Scalar::Int(u16::from_be_bytes(self.array()?).into()),
            0xce => Scalar::Int(u32::from_be_bytes(self.array()?).into()),
            0xcf => Scalar::Int(u64::from_be_bytes(self.array()?).into()),
            0xd0 => Scalar::Int(self.byte()?.cast_signed().into()),
            0xd1 => Scalar::Int(i16::from_be_bytes(self.array()?).into()),
            0xd2 => Scalar::Int(i32::from_be_bytes(self.array()?).into()),
            0xd3 => Scalar::Int(i64::from_be_bytes(self.array()?).into()),
            0xd4..=0xd8 => self.extension(1 << (tag - 0xd4))?,
            0xd9..=0xdb => {
                let length = self.length(tag - 0xd9)?;
                Scalar::Text(self.str(length)?)
            }
            0xdc | 0xdd => return Ok(Value::Array(self.length(tag - 0xdc + 1)?)),
            0xde | 0xdf => return Ok(Value::Map(self.length(tag - 0xde + 1)?)),
            0xc1 => return Err(Fault::UnknownType),
        };
        Ok(Value::Scalar(scalar))
    }

    /// Reads the name of a value in a map.
    ///
    /// # Errors
    /// [`Fault::KeyNotText`], [`Fault::Truncated`].
    pub fn name(&mut self) -> Result<&'a str, Fault> {
        match self.value()? {
            Value::Scalar(Scalar::Text(name)) => Ok(name),
            _ => Err(Fault::KeyNotText),
        }
    }

    /// Passes over one value with all that is in it, which is nested at most `depth` deep.
    ///
    /// # Errors
    /// A [`Fault`]; the cursor is then anywhere.
    pub fn skip(&mut self, depth: usize) -> Result<(), Fault> {
        let value = self.value()?;
        self.skip_rest(value, depth)
    }

    /// Passes over what is in `value`, which was just read.
    ///
    /// # Errors
    /// As [`skip`](Self::skip).
    pub fn skip_rest(&mut self, value: Value<'_>, depth: usize) -> Result<(), Fault> {
        let (count, named) = match value {
            Value::Scalar(_) => return Ok(()),
            Value::Array(count) => (count, false),
            Value::Map(count) => (count, true),
        };
        let below = depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        for _ in 0..count {
            if named {
                self.name()?;
            }
            self.skip(below)?;
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let byte = *self.bytes.get(self.at).ok_or(Fault::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(length).ok_or(Fault::Truncated)?;
        let bytes = self.bytes.get(self.at..end).ok_or(Fault::Truncated)?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| Fault::Truncated)
    }

    /// A length of 1, 2 or 4 bytes for a size of 0, 1 or 2.
    fn length(&mut self, size: u8) -> Result<usize, Fault> {
        let length = match size {
            0 => self.byte()?.into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => u32::from_be_bytes(self.array()?),
        };
        usize::try_from(length).map_err(|_| Fault::Truncated)
    }

    fn str(&mut self, length: usize) -> Result<&'a str, Fault> {
        str::from_utf8(self.take(length)?).map_err(|_| Fault::KeyNotText)
    }

    /// A time; there is no other extension.
    fn extension(&mut self, length: usize) -> Result<Scalar<&'a str, &'a [u8]>, Fault> {
        let kind = self.byte()?;
        let body = self.take(length)?;
        if kind != 0xff {
            return Err(Fault::UnknownType);
        }
        let (seconds, nanos) = match *body {
            [a, b, c, d] => (u32::from_be_bytes([a, b, c, d]).into(), 0),
            [a, b, c, d, e, f, g, h] => {
                let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                ((both & 0x3_ffff_ffff).cast_signed(), both >> 34)
            }
            [a, b, c, d, ref seconds @ ..] if seconds.len() == 8 => {
                let seconds = seconds.try_into().map_err(|_| Fault::Truncated)?;
                let nanos = u32::from_be_bytes([a, b, c, d]);
                (i64::from_be_bytes(seconds), u64::from(nanos))
            }
            _ => return Err(Fault::UnknownType),
        };
        let ms = i64::try_from(nanos / 1_000_000).map_err(|_| Fault::UnknownType)?;
        let whole = seconds.checked_mul(1000).and_then(|s| s.checked_add(ms));
        Ok(Scalar::Date(whole.ok_or(Fault::UnknownType)?))
    }
}
