//! Fields of a collection that are searched by their words: which they are, where their texts stand
//! in a record, and the index of them that a segment has.

use cairn_filter::{Cursor, Fault, Scalar, Value};
use cairn_text::{Analyzer, IndexBuilder, Query, QueryField, TextIndex};

use crate::limits::FIELDS_DEPTH_MAX;
use crate::schema::{DeclaredField, Schema};

/// How texts become words: a new number whenever that changes, so that no index is asked for words
/// that it would spell otherwise. One of another number is not used.
const ANALYSIS: u32 = 1;

/// The text fields of a schema, in its order; an index has them under these places.
#[derive(Clone, Debug)]
pub(crate) struct TextFields {
    fields: Vec<DeclaredField>,
    analyzers: Vec<Analyzer>,
}

impl TextFields {
    /// `None` where there is none.
    pub fn of(schema: &Schema) -> Option<Self> {
        let fields = schema.fields.iter().filter(|field| field.is_text());
        let fields: Vec<DeclaredField> = fields.cloned().collect();
        let analyzer = |field: &DeclaredField| Analyzer::new(field.text.language);
        (!fields.is_empty()).then(|| Self {
            analyzers: fields.iter().map(analyzer).collect(),
            fields,
        })
    }

    /// Whether an index of one's words is one of the other's.
    pub fn have_words_of(&self, other: &Self) -> bool {
        self.header() == other.header()
    }

    pub fn analyzers(&self) -> &[Analyzer] {
        &self.analyzers
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn name(&self, place: usize) -> &str {
        &self.fields[place].name
    }

    /// The place of a field among these.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// What somebody typed, asked of the fields at these places.
    pub fn query(&self, words: &str, places: impl IntoIterator<Item = usize>) -> Query {
        let field = |place: usize| QueryField {
            field: place,
            analyzer: self.analyzers[place],
            weight: self.fields[place].text.weight as f32,
        };
        let fields: Vec<QueryField> = places.into_iter().map(field).collect();
        Query::parse(words, &fields)
    }

    /// Calls `f` with the texts of each of these fields in a record; bytes that are no record have none.
    pub fn with_texts<R>(&self, record: &[u8], f: impl FnOnce(&[&[&str]]) -> R) -> R {
        let mut texts: Vec<Vec<&str>> = vec![Vec::new(); self.len()];
        let walked = each_value(record, |name, cursor| match self.place(name) {
            Some(place) => gather(cursor, &mut texts[place]),
            None => cursor.skip(FIELDS_DEPTH_MAX),
        });
        if walked.is_err() {
            texts.iter_mut().for_each(Vec::clear);
        }
        let texts: Vec<&[&str]> = texts.iter().map(Vec::as_slice).collect();
        f(&texts)
    }

    /// Gathers the index of a segment.
    pub fn index(&self, builder: &mut IndexBuilder, record: &[u8]) {
        self.with_texts(record, |texts| builder.push(texts));
    }

    /// What stands before the index in its section: the number of the analysis, and which fields there are.
    pub fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, ANALYSIS);
        put(&mut out, self.len());
        for field in &self.fields {
            for part in [&*field.name, field.text.language.name()] {
                put(&mut out, part.len());
                out.extend(part.as_bytes());
            }
        }
        out
    }

    /// The index of a segment of so many rows, as it is stored; `Ok(None)` where it was made of other
    /// fields or words, so that it cannot be asked for these.
    ///
    /// # Errors
    /// [`Damaged`] for anything else.
    pub fn read(&self, mut section: Vec<u8>, rows: u32) -> Result<Option<TextIndex>, Damaged> {
        let header = self.header();
        let Some(length) = header_length(&section) else {
            // What another analysis stores is its own business, but for its number.
            let number = section.first_chunk().map(|it| u32::from_le_bytes(*it));
            let is_other = number.is_some_and(|number| number != ANALYSIS);
            return if is_other { Ok(None) } else { Err(Damaged) };
        };
        if section[..length] != header {
            return Ok(None);
        }
        section.drain(..length);
        let index = TextIndex::from_bytes(section).ok_or(Damaged)?;
        let is_right = index.rows() == rows && index.fields() == self.len();
        if is_right {
            Ok(Some(index))
        } else {
            Err(Damaged)
        }
    }
}

/// The bytes are no index of texts of this segment.
#[derive(Debug)]
pub(crate) struct Damaged;

/// Bytes before the index; `None` where they are not what this analysis writes.
fn header_length(section: &[u8]) -> Option<usize> {
    let mut rest = section;
    let number = |rest: &mut &[u8]| {
        let (number, behind) = rest.split_first_chunk()?;
        *rest = behind;
        usize::try_from(u32::from_le_bytes(*number)).ok()
    };
    if number(&mut rest)? != ANALYSIS as usize {
        return None;
    }
    for _ in 0..number(&mut rest)?.checked_mul(2)? {
        let length = number(&mut rest)?;
        rest = rest.get(length..)?;
    }
    Some(section.len() - rest.len())
}

fn put(out: &mut Vec<u8>, number: impl TryInto<u32>) {
    let number = number.try_into().ok();
    out.extend(
        number
            .expect("names and their number are short")
            .to_le_bytes(),
    );
}

/// Calls `f` at the value of each field of a record.
pub(crate) fn each_value<'a>(
    record: &'a [u8],
    mut f: impl FnMut(&'a str, &mut Cursor<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if record.is_empty() {
        return Ok(());
    }
    let mut cursor = Cursor::new(record);
    let Value::Map(count) = cursor.value()? else {
        return Err(Fault::NotAMap);
    };
    for _ in 0..count {
        let name = cursor.name()?;
        f(name, &mut cursor)?;
    }
    Ok(())
}

/// The texts of a value: one, or those in an array.
pub(crate) fn gather<'a>(cursor: &mut Cursor<'a>, texts: &mut Vec<&'a str>) -> Result<(), Fault> {
    match cursor.value()? {
        Value::Scalar(Scalar::Text(text)) => texts.push(text),
        Value::Scalar(_) => {}
        Value::Array(count) => {
            for _ in 0..count {
                match cursor.value()? {
                    Value::Scalar(Scalar::Text(text)) => texts.push(text),
                    other => cursor.skip_rest(other, FIELDS_DEPTH_MAX)?,
                }
            }
        }
        map @ Value::Map(_) => cursor.skip_rest(map, FIELDS_DEPTH_MAX)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyType;
    use crate::schema::{Extra, TextSettings};
    use cairn_text::Language;

    fn fields(names: &[(&str, Language)]) -> TextFields {
        let field = |(name, language): &(&str, Language)| DeclaredField {
            name: (*name).into(),
            kind: "text".into(),
            text: TextSettings {
                language: *language,
                ..TextSettings::default()
            },
        };
        let schema = Schema {
            key: KeyType::U64,
            vectors: Vec::new(),
            fields: names.iter().map(field).collect(),
            extra: Extra::Allow,
            expires_at: None,
        };
        TextFields::of(&schema).unwrap()
    }

    /// The section of one record, `{ "a": "the sea", "b": ["x", 1, "y"], "c": 5 }`.
    fn section(fields: &TextFields) -> Vec<u8> {
        let record = b"\x83\xa1a\xa7the sea\xa1b\x93\xa1x\x01\xa1y\xa1c\x05";
        fields.with_texts(record, |texts| {
            assert_eq!(texts, [&["the sea"][..], &["x", "y"][..]]);
        });
        let mut builder = IndexBuilder::new(fields.analyzers());
        fields.index(&mut builder, record);
        [fields.header(), builder.finish().as_bytes().to_vec()].concat()
    }

    #[test]
    fn an_index_is_read_by_the_fields_that_it_was_made_of_and_by_no_others() {
        let english = fields(&[("a", Language::English), ("b", Language::None)]);
        let bytes = section(&english);
        assert!(english.read(bytes.clone(), 1).unwrap().is_some());
        for other in [
            fields(&[("a", Language::None), ("b", Language::None)]),
            fields(&[("a", Language::English), ("c", Language::None)]),
            fields(&[("a", Language::English)]),
        ] {
            assert!(other.read(bytes.clone(), 1).unwrap().is_none());
        }
        let mut other = bytes.clone();
        other[0] += 1;
        assert!(english.read(other, 1).unwrap().is_none());
        assert!(english.read(bytes, 2).is_err());
    }

    #[test]
    fn every_cut_and_every_length_that_lies_is_refused() {
        let fields = fields(&[("a", Language::English), ("b", Language::None)]);
        let bytes = section(&fields);
        for cut in 0..bytes.len() {
            assert!(
                !matches!(fields.read(bytes[..cut].to_vec(), 1), Ok(Some(_))),
                "cut={cut}"
            );
        }
        for at in 4..fields.header().len() {
            for value in [0, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let is_same = changed == bytes;
                let read = fields.read(changed, 1);
                assert!(
                    is_same || !matches!(read, Ok(Some(_))),
                    "at={at} value={value}"
                );
            }
        }
    }

    #[test]
    fn records_that_are_none_have_no_texts() {
        let fields = fields(&[("a", Language::None)]);
        for record in [
            &b""[..],
            b"\x81\xa1a",
            b"\x81\xa1a\xa9x",
            b"\xc0",
            b"\x81\xa1a\x81\xa1a\xa1x",
        ] {
            fields.with_texts(record, |texts| assert_eq!(texts, [&[][..] as &[&str]]));
        }
    }
}
