//! Fields of a record as one MessagePack map: checked on the way in, merged, cut to a selection.
//!
//! The map has string keys and any MessagePack values; dates are the format's own timestamp
//! extension. Nothing here builds a tree: a walk over the bytes finds where each value ends.

use std::borrow::Cow;

use cairn_filter::{Cursor, Fault, Value};
use hashbrown::HashSet;

use crate::error::{Code, Error, Result};
use crate::keys::KeyState;
use crate::limits::{FIELDS_BYTES_MAX, FIELDS_DEPTH_MAX};

/// The error of bytes that a caller gave.
fn refused(fault: Fault) -> Error {
    match fault {
        Fault::TooDeep => Error::new(Code::LimitExceeded, "fields are nested too deeply")
            .number("limit", FIELDS_DEPTH_MAX),
        fault => Error::new(Code::InvalidArgument, "fields are not a well-formed map")
            .text("what", format!("{fault:?}")),
    }
}

/// The error of bytes that were stored.
fn damaged(fault: Fault) -> Error {
    Error::new(Code::Corrupt, "stored fields are not a map").text("what", format!("{fault:?}"))
}

/// Containers within the map of the record.
const BELOW: usize = FIELDS_DEPTH_MAX - 1;

fn map_header(cursor: &mut Cursor<'_>) -> Result<usize, Fault> {
    match cursor.value()? {
        Value::Map(count) => Ok(count),
        _ => Err(Fault::NotAMap),
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
    let mut cursor = Cursor::new(bytes);
    let mut check = || -> Result<(), Fault> {
        for _ in 0..map_header(&mut cursor)? {
            cursor.name()?;
            cursor.skip(BELOW)?;
        }
        if cursor.at() == bytes.len() {
            Ok(())
        } else {
            Err(Fault::Trailing)
        }
    };
    check().map_err(refused)
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
    let names: HashSet<&str, KeyState> = replaced.iter().map(|entry| entry.name).collect();
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
        .filter(|entry| names.iter().any(|name| name == entry.name))
        .map(|entry| entry.bytes)
        .collect();
    Ok(join(&kept))
}

/// The same fields under other names, in stored order.
///
/// # Errors
/// [`Code::Corrupt`] when the bytes are not a map.
pub(crate) fn renamed<'a>(bytes: &'a [u8], other: impl Fn(&'a str) -> &'a str) -> Result<Vec<u8>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut parts: Vec<Cow<'_, [u8]>> = Vec::new();
    for entry in entries(bytes)? {
        let name = other(entry.name);
        if name == entry.name {
            parts.push(Cow::Borrowed(entry.bytes));
        } else {
            let mut field = text_header(name.len());
            field.extend_from_slice(name.as_bytes());
            field.extend_from_slice(entry.value);
            parts.push(Cow::Owned(field));
        }
    }
    let parts: Vec<&[u8]> = parts.iter().map(AsRef::as_ref).collect();
    Ok(join(&parts))
}

/// What stands before a text of so many bytes.
fn text_header(length: usize) -> Vec<u8> {
    let length = u32::try_from(length).expect("a field is far below 4 GiB");
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=31), _) => vec![0xa0 | length],
        (Ok(length), _) => vec![0xd9, length],
        (_, Ok(length)) => [&[0xda][..], &length.to_be_bytes()].concat(),
        _ => [&[0xdb][..], &length.to_be_bytes()].concat(),
    }
}

/// The names of fields that were validated.
///
/// # Errors
/// [`Code::Corrupt`] when the bytes are not a map.
pub(crate) fn names(bytes: &[u8]) -> Result<Vec<&str>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(entries(bytes)?.iter().map(|entry| entry.name).collect())
}

struct Entry<'a> {
    name: &'a str,
    /// Of name and value.
    bytes: &'a [u8],
    value: &'a [u8],
}

fn entries(bytes: &[u8]) -> Result<Vec<Entry<'_>>> {
    let mut cursor = Cursor::new(bytes);
    let mut walk = || -> Result<Vec<Entry<'_>>, Fault> {
        let count = map_header(&mut cursor)?;
        let mut entries = Vec::with_capacity(count.min(bytes.len()));
        for _ in 0..count {
            let start = cursor.at();
            let name = cursor.name()?;
            let value = cursor.at();
            cursor.skip(BELOW)?;
            entries.push(Entry {
                name,
                bytes: &bytes[start..cursor.at()],
                value: &bytes[value..cursor.at()],
            });
        }
        Ok(entries)
    };
    walk().map_err(damaged)
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
    fn fields_get_other_names_and_keep_their_values() {
        let long = "n".repeat(300);
        let other = |name| match name {
            "a" => "b",
            "b" => "a",
            "c" => &long,
            name => name,
        };
        let fields = map(&[("a", &[1]), ("b", &[0x91, 0xc0]), ("c", &[7]), ("d", &[8])]);
        let renamed = renamed(&fields, other).unwrap();
        validate(&renamed).unwrap();
        let mut expected = map(&[("b", &[1]), ("a", &[0x91, 0xc0])]);
        expected[0] = 0x84;
        expected.extend([0xda, 1, 44]);
        expected.extend(long.as_bytes());
        expected.push(7);
        expected.extend([0xa1, b'd', 8]);
        assert_eq!(renamed, expected);
        assert!(super::renamed(&[], other).unwrap().is_empty());
        assert_eq!(names(&fields).unwrap(), ["a", "b", "c", "d"]);
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
