//! Fields of a record as one MessagePack map: checked on the way in, merged, cut to a selection.
//!
//! The map has string keys and any MessagePack values; dates are the format's own timestamp
//! extension. Nothing here builds a tree: a walk over the bytes finds where each value ends.

use hashbrown::HashSet;

use crate::error::{Code, Error, Result};
use crate::keys::KeyState;
use crate::limits::{FIELDS_BYTES_MAX, FIELDS_DEPTH_MAX};

/// Why bytes are not the fields of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Truncated,
    NotAMap,
    KeyNotText,
    TooDeep,
    UnknownType,
    Trailing,
}

impl Fault {
    fn error(self) -> Error {
        match self {
            Self::TooDeep => Error::new(Code::LimitExceeded, "fields are nested too deeply")
                .number("limit", FIELDS_DEPTH_MAX),
            fault => Error::new(Code::InvalidArgument, "fields are not a well-formed map")
                .text("what", format!("{fault:?}")),
        }
    }
}

/// Checks that `bytes` is one map with string keys, within the limits. No bytes at all stand
/// for no fields.
///
/// # Errors
/// [`Code::LimitExceeded`] or [`Code::InvalidArgument`].
pub(crate) fn validate(bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    if bytes.len() > FIELDS_BYTES_MAX {
        return Err(
            Error::new(Code::LimitExceeded, "fields of a record are too large")
                .number("limit", FIELDS_BYTES_MAX)
                .number("got", bytes.len()),
        );
    }
    let mut cursor = Cursor { bytes, at: 0 };
    let mut check = || -> Result<(), Fault> {
        for _ in 0..cursor.map_header()? {
            cursor.text()?;
            cursor.skip(1)?;
        }
        if cursor.at == bytes.len() {
            Ok(())
        } else {
            Err(Fault::Trailing)
        }
    };
    check().map_err(Fault::error)
}

/// The fields of `old` with those of `new` put over them. Both have been validated.
///
/// # Errors
/// [`Code::LimitExceeded`] when the result is too large; [`Code::Corrupt`] when bytes that were
/// validated are no map any more.
pub(crate) fn merge(old: &[u8], new: &[u8]) -> Result<Vec<u8>> {
    if old.is_empty() || new.is_empty() {
        return Ok(if new.is_empty() { old } else { new }.to_vec());
    }
    let replaced = entries(new)?;
    let names: HashSet<&[u8], KeyState> = replaced.iter().map(|entry| entry.name).collect();
    let mut kept: Vec<&[u8]> = entries(old)?
        .into_iter()
        .filter(|entry| !names.contains(entry.name))
        .map(|entry| entry.bytes)
        .collect();
    kept.extend(replaced.iter().map(|entry| entry.bytes));
    let merged = join(&kept);
    validate(&merged)?;
    Ok(merged)
}

/// Only the named fields, in stored order.
///
/// # Errors
/// [`Code::Corrupt`] when the bytes are not a map.
pub(crate) fn select(bytes: &[u8], names: &[String]) -> Result<Vec<u8>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let kept: Vec<&[u8]> = entries(bytes)?
        .into_iter()
        .filter(|entry| names.iter().any(|name| name.as_bytes() == entry.name))
        .map(|entry| entry.bytes)
        .collect();
    Ok(join(&kept))
}

struct Entry<'a> {
    name: &'a [u8],
    bytes: &'a [u8],
}

fn entries(bytes: &[u8]) -> Result<Vec<Entry<'_>>> {
    let mut cursor = Cursor { bytes, at: 0 };
    let mut walk = || -> Result<Vec<Entry<'_>>, Fault> {
        let count = cursor.map_header()?;
        let mut entries = Vec::with_capacity(count.min(bytes.len()));
        for _ in 0..count {
            let start = cursor.at;
            let name = cursor.text()?;
            cursor.skip(1)?;
            entries.push(Entry {
                name,
                bytes: &bytes[start..cursor.at],
            });
        }
        Ok(entries)
    };
    walk().map_err(|fault| {
        Error::new(Code::Corrupt, "stored fields are not a map").text("what", format!("{fault:?}"))
    })
}

fn join(entries: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(5 + entries.iter().map(|e| e.len()).sum::<usize>());
    let count = u32::try_from(entries.len()).expect("fields of a record are counted in 32 bits");
    match (u8::try_from(count), u16::try_from(count)) {
        (Ok(count @ 0..=15), _) => out.push(0x80 | count),
        (_, Ok(count)) => {
            out.push(0xde);
            out.extend_from_slice(&count.to_be_bytes());
        }
        _ => {
            out.push(0xdf);
            out.extend_from_slice(&count.to_be_bytes());
        }
    }
    for entry in entries {
        out.extend_from_slice(entry);
    }
    out
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(count).ok_or(Fault::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(Fault::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.take(1)?[0])
    }

    /// A big-endian length of `width` bytes.
    fn length(&mut self, width: usize) -> Result<usize, Fault> {
        let fold = |value, &byte: &u8| value << 8 | usize::from(byte);
        Ok(self.take(width)?.iter().fold(0, fold))
    }

    fn map_header(&mut self) -> Result<usize, Fault> {
        match self.byte()? {
            tag @ 0x80..=0x8f => Ok(usize::from(tag & 0x0f)),
            0xde => self.length(2),
            0xdf => self.length(4),
            _ => Err(Fault::NotAMap),
        }
    }

    fn text(&mut self) -> Result<&'a [u8], Fault> {
        let length = match self.byte()? {
            tag @ 0xa0..=0xbf => usize::from(tag & 0x1f),
            0xd9 => self.length(1)?,
            0xda => self.length(2)?,
            0xdb => self.length(4)?,
            _ => return Err(Fault::KeyNotText),
        };
        let text = self.take(length)?;
        match std::str::from_utf8(text) {
            Ok(_) => Ok(text),
            Err(_) => Err(Fault::KeyNotText),
        }
    }

    /// Steps over one value that stands at `depth` (the fields of a record stand at 1).
    fn skip(&mut self, depth: usize) -> Result<(), Fault> {
        let length = match self.byte()? {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => 0,
            tag @ 0x80..=0x8f => return self.skip_many(2 * usize::from(tag & 0x0f), depth),
            tag @ 0x90..=0x9f => return self.skip_many(usize::from(tag & 0x0f), depth),
            tag @ 0xa0..=0xbf => usize::from(tag & 0x1f),
            0xc4 | 0xd9 => self.length(1)?,
            0xc5 | 0xda => self.length(2)?,
            0xc6 | 0xdb => self.length(4)?,
            0xc7 => 1 + self.length(1)?,
            0xc8 => 1 + self.length(2)?,
            0xc9 => 1 + self.length(4)?,
            0xcc | 0xd0 => 1,
            0xcd | 0xd1 | 0xd4 => 2,
            0xd5 => 3,
            0xca | 0xce | 0xd2 => 4,
            0xd6 => 5,
            0xcb | 0xcf | 0xd3 => 8,
            0xd7 => 9,
            0xd8 => 17,
            0xdc => {
                let count = self.length(2)?;
                return self.skip_many(count, depth);
            }
            0xdd => {
                let count = self.length(4)?;
                return self.skip_many(count, depth);
            }
            0xde => {
                let count = self.length(2)?;
                return self.skip_many(2 * count, depth);
            }
            0xdf => {
                let count = self.length(4)?;
                return self.skip_many(count.saturating_mul(2), depth);
            }
            0xc1 => return Err(Fault::UnknownType),
        };
        self.take(length).map(drop)
    }

    fn skip_many(&mut self, count: usize, depth: usize) -> Result<(), Fault> {
        if depth >= FIELDS_DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        for _ in 0..count {
            self.skip(depth + 1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = vec![0x80 | u8::try_from(entries.len()).unwrap()];
        for (name, value) in entries {
            out.push(0xa0 | u8::try_from(name.len()).unwrap());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value);
        }
        out
    }

    #[test]
    fn merge_replaces_named_fields_and_keeps_the_rest() {
        let old = map(&[("a", &[1]), ("b", &[0x91, 0xc0])]);
        let new = map(&[("b", &[7]), ("c", &[0xc3])]);
        let merged = merge(&old, &new).unwrap();
        assert_eq!(merged, map(&[("a", &[1]), ("b", &[7]), ("c", &[0xc3])]));
        assert_eq!(merge(&old, &[]).unwrap(), old);
        assert_eq!(merge(&[], &new).unwrap(), new);
    }

    #[test]
    fn select_cuts_to_the_named_fields() {
        let fields = map(&[("a", &[1]), ("b", &[2])]);
        assert_eq!(select(&fields, &["b".into()]).unwrap(), map(&[("b", &[2])]));
        assert_eq!(select(&fields, &["z".into()]).unwrap(), vec![0x80]);
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused() {
        let nested = |levels: usize| {
            let mut value = vec![0x91; levels];
            value.push(0xc0);
            map(&[("a", &value)])
        };
        assert!(validate(&nested(FIELDS_DEPTH_MAX - 1)).is_ok());
        let error = validate(&nested(FIELDS_DEPTH_MAX)).unwrap_err();
        assert_eq!(error.code(), Code::LimitExceeded);
    }

    #[test]
    fn every_truncation_and_every_other_first_byte_is_refused() {
        let fields = map(&[("a", &[0xcb, 1, 2, 3, 4, 5, 6, 7, 8]), ("b", &[0xa1, b'x'])]);
        validate(&fields).unwrap();
        for cut in 1..fields.len() {
            assert!(validate(&fields[..cut]).is_err(), "cut={cut}");
        }
        for tag in 0..=255_u8 {
            let mut bytes = fields.clone();
            bytes[0] = tag;
            assert_eq!(validate(&bytes).is_ok(), tag == fields[0], "tag={tag:#x}");
        }
    }

    #[test]
    fn a_count_of_four_billion_costs_nothing() {
        assert!(validate(&[0xdf, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(validate(&[0x81, 0xa1, b'a', 0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
