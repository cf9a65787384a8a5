//! The values that a path leads to in a record, one after another.

use crate::matches::{Key, Record};
use crate::msgpack::{Cursor, Fault, Value};
use crate::path::Path;
use crate::scalar::Scalar;

/// Deeper than any field of a record.
const DEPTH_MAX: usize = 64;

impl Path {
    /// Calls `each` with every value without parts that a test at this path looks at: `{ path: v }`
    /// holds for a record exactly when `v` is among them. An element that an array has twice comes
    /// twice. Bytes that are no MessagePack end the fields.
    pub fn for_each_scalar<'a>(
        &self,
        record: &Record<'a>,
        each: &mut impl FnMut(Scalar<&'a str, &'a [u8]>),
    ) {
        match self {
            Self::Key => each(match record.key {
                Key::Text(key) => Scalar::Text(key),
                Key::Number(key) => Scalar::Int(key.into()),
            }),
            Self::Field(_) if record.fields.is_empty() => {}
            Self::Field(names) => {
                // What was read before the bytes went wrong counts, as it does for a test.
                let _ = walk(&mut Cursor::new(record.fields), names, each);
            }
        }
    }

    /// The bytes of the first value that this path leads to, whole arrays and maps included.
    #[must_use]
    pub fn first_value<'a>(&self, fields: &'a [u8]) -> Option<&'a [u8]> {
        let Self::Field(names) = self else {
            return None;
        };
        if fields.is_empty() {
            return None;
        }
        let mut cursor = Cursor::new(fields);
        let found = find(&mut cursor, names).ok().flatten()?;
        fields.get(found.0..found.1)
    }
}

/// Reads the value at the cursor and follows `names` into it. The cursor is behind it afterwards.
fn walk<'a>(
    cursor: &mut Cursor<'a>,
    names: &[Box<str>],
    each: &mut impl FnMut(Scalar<&'a str, &'a [u8]>),
) -> Result<(), Fault> {
    let Some((first, rest)) = names.split_first() else {
        return leaf(cursor, each);
    };
    match cursor.value()? {
        Value::Map(count) => {
            for _ in 0..count {
                if cursor.name()? == &**first {
                    walk(cursor, rest, each)?;
                } else {
                    cursor.skip(DEPTH_MAX)?;
                }
            }
        }
        Value::Array(count) => {
            for _ in 0..count {
                walk(cursor, names, each)?;
            }
        }
        Value::Scalar(_) => {}
    }
    Ok(())
}

/// A value, or the elements of an array; what is nested deeper has no value of its own.
fn leaf<'a>(
    cursor: &mut Cursor<'a>,
    each: &mut impl FnMut(Scalar<&'a str, &'a [u8]>),
) -> Result<(), Fault> {
    let count = match cursor.value()? {
        Value::Scalar(scalar) => {
            each(scalar);
            return Ok(());
        }
        map @ Value::Map(_) => return cursor.skip_rest(map, DEPTH_MAX),
        Value::Array(count) => count,
    };
    for _ in 0..count {
        match cursor.value()? {
            Value::Scalar(scalar) => each(scalar),
            nested => cursor.skip_rest(nested, DEPTH_MAX)?,
        }
    }
    Ok(())
}

/// Where the first value at `names` begins and ends.
fn find(cursor: &mut Cursor<'_>, names: &[Box<str>]) -> Result<Option<(usize, usize)>, Fault> {
    let Some((first, rest)) = names.split_first() else {
        let start = cursor.at();
        cursor.skip(DEPTH_MAX)?;
        return Ok(Some((start, cursor.at())));
    };
    match cursor.value()? {
        Value::Map(count) => {
            for _ in 0..count {
                if cursor.name()? != &**first {
                    cursor.skip(DEPTH_MAX)?;
                } else if let Some(found) = find(cursor, rest)? {
                    return Ok(Some(found));
                }
            }
        }
        Value::Array(count) => {
            for _ in 0..count {
                if let Some(found) = find(cursor, names)? {
                    return Ok(Some(found));
                }
            }
        }
        Value::Scalar(_) => {}
    }
    Ok(None)
}
