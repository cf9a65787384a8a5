//! Where the words of a search stand in the texts of a hit.

use std::collections::BTreeMap;
use std::ops::Range;

use cairn_filter::{Fault, Scalar, Value};
use serde::Serialize;

use crate::error::{Code, Error, Result};
use crate::limits::FIELDS_DEPTH_MAX;
use crate::query::SelectFields;
use crate::snapshot::Snapshot;
use crate::structure::Names;
use crate::text::each_value;
use crate::view::Place;

use super::words::{Asked, Words};

/// Start and end in UTF-16 code units.
type Mark = (usize, usize);

/// What matches in a field.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Marks {
    Text(Vec<Mark>),
    /// For each element.
    Array(Vec<Vec<Mark>>),
}

impl Snapshot {
    /// Appends what matches in the record at `place` as a MessagePack map: fields without anything are
    /// left out, and so are those that have no text.
    pub(super) fn mark(&self, asked: &Asked<'_>, place: Place, out: &mut Vec<u8>) -> Result<()> {
        let Some(words) = &asked.words else {
            return Ok(());
        };
        let name = |at: &usize| words.fields.name(*at).to_owned();
        let select = SelectFields::Some(words.marked.iter().map(name).collect());
        let mut record = Vec::new();
        self.view().payload(place, &select, &mut record)?;
        let marks = marks(words, &record, &self.view().structure.names).map_err(|fault| {
            Error::new(Code::Corrupt, "stored fields are not a map")
                .text("what", format!("{fault:?}"))
        })?;
        rmp_serde::encode::write(out, &marks)
            .map_err(|error| Error::new(Code::Internal, error.to_string()))
    }
}

fn marks<'a>(
    words: &Words,
    record: &'a [u8],
    names: &'a Names,
) -> Result<BTreeMap<&'a str, Marks>, Fault> {
    let mut marks = BTreeMap::new();
    each_value(record, |name, cursor| {
        let place = words.fields.place(name);
        let Some(place) = place.filter(|place| words.marked.contains(place)) else {
            return cursor.skip(FIELDS_DEPTH_MAX);
        };
        let of = |text: &str| in_utf16(text, &words.query.highlight(place, text));
        match cursor.value()? {
            Value::Scalar(Scalar::Text(text)) => {
                let found = of(text);
                if !found.is_empty() {
                    marks.insert(names.shown(name), Marks::Text(found));
                }
            }
            Value::Array(count) => {
                let mut each = Vec::new();
                for _ in 0..count {
                    match cursor.value()? {
                        Value::Scalar(Scalar::Text(text)) => each.push(of(text)),
                        other => {
                            cursor.skip_rest(other, FIELDS_DEPTH_MAX)?;
                            each.push(Vec::new());
                        }
                    }
                }
                if each.iter().any(|found| !found.is_empty()) {
                    marks.insert(names.shown(name), Marks::Array(each));
                }
            }
            other => cursor.skip_rest(other, FIELDS_DEPTH_MAX)?,
        }
        Ok(())
    })?;
    Ok(marks)
}

/// Ranges of bytes, in order, as JavaScript counts them.
fn in_utf16(text: &str, ranges: &[Range<usize>]) -> Vec<Mark> {
    let (mut at, mut units) = (0, 0);
    let mut units_until = |byte: usize| {
        units += text[at..byte].encode_utf16().count();
        at = byte;
        units
    };
    let both = |range: &Range<usize>| (units_until(range.start), units_until(range.end));
    ranges.iter().map(both).collect()
}

#[cfg(test)]
mod tests {
    use super::in_utf16;

    #[test]
    fn places_are_those_of_javascript() {
        // One unit, one unit of two bytes, and a pair.
        let text = "a\u{e9} \u{1f30a} sea";
        let sea = text.find("sea").unwrap();
        let ranges = [0..3, 4..8, sea..sea + 3];
        assert_eq!(in_utf16(text, &ranges), [(0, 2), (3, 5), (6, 9)]);
        assert_eq!(in_utf16("", &[]), []);
    }
}
