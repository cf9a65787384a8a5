//! Whether a filter holds for one record.

use crate::geo::Place;
use crate::msgpack::{Cursor, Fault, Value};
use crate::path::Path;
use crate::scalar::Scalar;
use crate::tree::{Filter, Test};
use crate::words;

/// Deeper than any field of a record.
const DEPTH_MAX: usize = 64;

/// The key of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// Of a collection with text keys.
    Text(&'a str),
    /// Of a collection with numbers for keys.
    Number(u64),
}

/// What a filter is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its key.
    pub key: Key<'a>,
    /// Its fields as one MessagePack map; empty when it has none.
    pub fields: &'a [u8],
}

impl Filter {
    /// Whether the filter holds for a record. Bytes that are no MessagePack end the fields.
    ///
    /// Cost: every test walks the fields up to its own.
    #[must_use]
    pub fn matches(&self, record: &Record<'_>) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.matches(record)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(record)),
            Self::Not(part) => !part.matches(record),
            Self::Field { path, test } => test.holds_at(path, record),
        }
    }
}

impl Test {
    /// Whether the test holds for one of the values that `path` leads to in a record.
    #[must_use]
    pub fn holds_at(&self, path: &Path, record: &Record<'_>) -> bool {
        match path {
            Path::Key => self.holds_for(&record.key.scalar()),
            Path::Field(_) if record.fields.is_empty() => false,
            Path::Field(names) => self
                .search(&mut Cursor::new(record.fields), names)
                .unwrap_or(false),
        }
    }

    /// Whether the test holds for a value without parts.
    #[must_use]
    pub fn holds_for(&self, value: &Scalar<&str, &[u8]>) -> bool {
        match self {
            Self::Exists => true,
            Self::In(set) => set.contains(value),
            Self::Order(order, bound) => value
                .compare(&bound.borrow())
                .is_some_and(|ordering| order.holds(ordering)),
            Self::Contains(_) | Self::GeoRadius(_) | Self::GeoBox(_) => false,
            Self::StartsWith(prefix) => text(value).is_some_and(|it| it.starts_with(&**prefix)),
            Self::Match(wanted) => text(value).is_some_and(|it| words::has_all(it, wanted)),
            Self::Regex(regex) => text(value).is_some_and(|it| regex.is_match(it)),
        }
    }

    /// Reads the value at the cursor, follows `names` into it, and tests what is there. The cursor
    /// is behind the value afterwards, unless the test held.
    fn search(&self, cursor: &mut Cursor<'_>, names: &[Box<str>]) -> Result<bool, Fault> {
        let Some((first, rest)) = names.split_first() else {
            return self.test(cursor);
        };
        match cursor.value()? {
            Value::Map(count) => {
                for _ in 0..count {
                    if cursor.name()? != &**first {
                        cursor.skip(DEPTH_MAX)?;
                    } else if self.search(cursor, rest)? {
                        return Ok(true);
                    }
                }
            }
            Value::Array(count) => {
                for _ in 0..count {
                    if self.search(cursor, names)? {
                        return Ok(true);
                    }
                }
            }
            Value::Scalar(_) => {}
        }
        Ok(false)
    }

    /// Tests the value at the cursor, and passes over it.
    fn test(&self, cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
        let value = cursor.value()?;
        if matches!(self, Self::Exists) {
            cursor.skip_rest(value, DEPTH_MAX)?;
            return Ok(true);
        }
        let Value::Array(count) = value else {
            return match value {
                Value::Scalar(scalar) => Ok(self.holds_for(&scalar)),
                Value::Map(_) => self.test_map(cursor, value),
                Value::Array(_) => Ok(false),
            };
        };
        for _ in 0..count {
            let element = cursor.value()?;
            let holds = match (self, element) {
                (Self::Contains(wanted), Value::Scalar(scalar)) => scalar.equals(&wanted.borrow()),
                (_, Value::Scalar(scalar)) => self.holds_for(&scalar),
                (_, Value::Map(_)) => self.test_map(cursor, element)?,
                (_, Value::Array(_)) => {
                    cursor.skip_rest(element, DEPTH_MAX)?;
                    false
                }
            };
            if holds {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tests a map whose header was just read: it may be a place.
    fn test_map(&self, cursor: &mut Cursor<'_>, map: Value<'_>) -> Result<bool, Fault> {
        let mut inside = *cursor;
        cursor.skip_rest(map, DEPTH_MAX)?;
        let holds = |place: &Place| match self {
            Self::GeoRadius(radius) => radius.contains(place),
            Self::GeoBox(area) => area.contains(place),
            _ => false,
        };
        Ok(match (self, map) {
            (Self::GeoRadius(_) | Self::GeoBox(_), Value::Map(count)) => {
                place(&mut inside, count)?.is_some_and(|place| holds(&place))
            }
            _ => false,
        })
    }
}

fn text<'a>(value: &Scalar<&'a str, &'a [u8]>) -> Option<&'a str> {
    match value {
        Scalar::Text(text) => Some(text),
        _ => None,
    }
}

/// The place that a map of `count` entries is, if it has both its numbers.
fn place(cursor: &mut Cursor<'_>, count: usize) -> Result<Option<Place>, Fault> {
    let (mut lat, mut lon) = (None, None);
    for _ in 0..count {
        let degrees = match cursor.name()? {
            "lat" => &mut lat,
            "lon" => &mut lon,
            _ => {
                cursor.skip(DEPTH_MAX)?;
                continue;
            }
        };
        let value = cursor.value()?;
        cursor.skip_rest(value, DEPTH_MAX)?;
        *degrees = match value {
            #[expect(clippy::cast_precision_loss, reason = "degrees are small")]
            Value::Scalar(Scalar::Int(whole)) => Some(whole as f64),
            Value::Scalar(Scalar::Float(number)) => Some(number),
            _ => None,
        };
    }
    let place = lat.zip(lon).map(|(lat, lon)| Place { lat, lon });
    Ok(place.filter(Place::is_valid))
}
