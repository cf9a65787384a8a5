//! What a collection holds, as it is now: fields come, get other names and lose their indexes while it is
//! open.
//!
//! No record is rewritten for any of that. A record keeps the names it was stored under, and so does
//! everything below a snapshot: memtables, segments, the log, indexes. [`Names`] says which names users
//! know instead. It is a one-to-one map of all names: when `a` becomes `b`, `b` stands for what is
//! stored as `a`, and a field that somebody writes as `a` from then on, which is not declared, is
//! stored as `b`. So no two fields ever meet, and each change is one publication of the catalog: a
//! crash leaves the structure before or the one after.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use cairn_filter::{Filter, Path};
use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};
use crate::limits::SCHEMA_FIELDS_MAX;
use crate::payload;
use crate::query::SelectFields;
use crate::schema::{DeclaredField, Schema, validate_field_name};

/// Names that differ from those that records have, at most.
const NAMES_MAX: usize = 4 * SCHEMA_FIELDS_MAX;

/// The names of fields that users know, where records are stored with others: pairs of a name and the
/// stored one, by name. Each name is there once on either side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Names(Vec<(String, String)>);

impl Names {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What records have for a name.
    pub fn stored<'a>(&'a self, name: &'a str) -> &'a str {
        let found = self.0.binary_search_by(|(shown, _)| (**shown).cmp(name));
        found.map_or(name, |at| &self.0[at].1)
    }

    /// What users know for a name that records have.
    pub fn shown<'a>(&'a self, stored: &'a str) -> &'a str {
        let found = self.0.iter().find(|(_, other)| other == stored);
        found.map_or(stored, |(shown, _)| shown)
    }

    /// With these names replaced, all at once. What records have for a name that is given up is what
    /// they had for one that is taken.
    fn renamed(&self, renames: &BTreeMap<String, String>) -> Self {
        let mut map: BTreeMap<String, String> = self.0.iter().cloned().collect();
        let taken: BTreeSet<&String> = renames.values().collect();
        for (from, to) in renames {
            map.insert(to.clone(), self.stored(from).to_owned());
            if !taken.contains(from) {
                // From name to name up to one that nobody had declared.
                let mut last = to;
                while let Some(next) = renames.get(last) {
                    last = next;
                }
                map.insert(from.clone(), self.stored(last).to_owned());
            }
        }
        map.retain(|shown, stored| shown != stored);
        Self(map.into_iter().collect())
    }

    /// Whether it is a one-to-one map.
    fn is_valid(&self) -> bool {
        let rises = self.0.is_sorted_by(|a, b| a.0 < b.0);
        let shown: BTreeSet<&String> = self.0.iter().map(|(shown, _)| shown).collect();
        let stored: BTreeSet<&String> = self.0.iter().map(|(_, stored)| stored).collect();
        rises && shown == stored && self.0.len() <= NAMES_MAX && self.0.iter().all(|(a, b)| a != b)
    }

    /// A path as records have it.
    pub fn stored_path(&self, path: &Path) -> Path {
        path.with_first(|name| self.stored(name))
    }

    /// A filter as records can be asked.
    pub fn stored_filter<'a>(&self, filter: &'a Filter) -> Cow<'a, Filter> {
        match self.is_empty() {
            true => Cow::Borrowed(filter),
            false => Cow::Owned(filter.with_paths(&|path| self.stored_path(path))),
        }
    }

    /// A selection as records have it.
    pub fn stored_select<'a>(&self, select: &'a SelectFields) -> Cow<'a, SelectFields> {
        match select {
            SelectFields::Some(names) if !self.is_empty() => {
                let names = names.iter().map(|name| self.stored(name).to_owned());
                Cow::Owned(SelectFields::Some(names.collect()))
            }
            other => Cow::Borrowed(other),
        }
    }

    /// Fields that were given as they are stored.
    pub fn to_stored(&self, fields: &[u8]) -> Result<Vec<u8>> {
        payload::renamed(fields, |name| self.stored(name))
    }

    /// Gives the fields in `out` from byte `from` on the names that users know.
    pub fn show(&self, out: &mut Vec<u8>, from: usize) -> Result<()> {
        if !self.is_empty() && out.len() > from {
            let shown = payload::renamed(&out[from..], |name| self.shown(name))?;
            out.truncate(from);
            out.extend(shown);
        }
        Ok(())
    }
}

/// One structure of a collection; another one takes its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Structure {
    /// With the names that records have.
    pub stored: Schema,
    /// With the names that users know.
    pub shown: Schema,
    pub names: Names,
    /// Stored names of fields whose type has an index, and which have none.
    pub unindexed: Vec<String>,
}

/// What is to change in a collection.
///
/// Fields get their new names first, all at once; what follows speaks of those.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alteration {
    /// Fields that are declared from now on. Records may have values under these names already.
    pub add_fields: Vec<DeclaredField>,
    /// Declared fields and the names they get.
    pub rename_fields: Vec<(String, String)>,
    /// Declared fields that get their index back.
    pub create_indexes: Vec<String>,
    /// Declared fields that lose their index. Their values stay.
    pub drop_indexes: Vec<String>,
}

impl Structure {
    /// Of what is stored.
    ///
    /// # Errors
    /// `ERR_INVALID_ARGUMENT`, `ERR_INVALID_NAME` or `ERR_LIMIT_EXCEEDED` for what is no structure.
    pub fn new(stored: Schema, names: Names, unindexed: Vec<String>) -> Result<Self> {
        let wrong = |what| Error::new(Code::InvalidArgument, what);
        if !names.is_valid() {
            return Err(wrong("names of fields that are not one to one"));
        }
        let mut shown = stored.clone();
        for field in &mut shown.fields {
            field.name = names.shown(&field.name).to_owned();
        }
        shown.expires_at = stored
            .expires_at
            .as_deref()
            .map(|it| names.shown(it).into());
        // This one first: its names are those of the caller.
        shown.validate()?;
        stored.validate()?;
        if !unindexed
            .iter()
            .all(|name| stored.indexed().any(|it| it == name))
        {
            return Err(wrong("a field without an index that could have none"));
        }
        Ok(Self {
            stored,
            shown,
            names,
            unindexed,
        })
    }

    /// Stored names of the fields that have indexes.
    pub fn indexed(&self) -> impl Iterator<Item = &str> {
        let has = |name: &&str| !self.unindexed.iter().any(|it| it == name);
        self.stored.indexed().filter(has)
    }

    /// Whether a field has an index, by its stored name.
    pub fn is_indexed(&self, stored: &str) -> bool {
        self.indexed().any(|name| name == stored)
    }

    /// Names of the fields that could have an index and have none, as users know them.
    pub fn shown_unindexed(&self) -> Vec<String> {
        let shown = self.unindexed.iter().map(|name| self.names.shown(name));
        shown.map(str::to_owned).collect()
    }

    /// Whether texts are searched as in `other`.
    pub fn has_texts_of(&self, other: &Self) -> bool {
        let texts = |it: &Self| -> Vec<DeclaredField> {
            let fields = it.stored.fields.iter();
            fields.filter(|field| field.is_text()).cloned().collect()
        };
        texts(self) == texts(other)
    }

    /// The structure that a change makes of this one, and the stored names that no record may have for
    /// it: those of names that fields get.
    ///
    /// # Errors
    /// `ERR_NOT_FOUND` for a field that is not declared, or an index that is not there;
    /// `ERR_ALREADY_EXISTS` for one that is; `ERR_INVALID_ARGUMENT`, `ERR_INVALID_NAME`,
    /// `ERR_LIMIT_EXCEEDED` for what no structure has.
    pub fn altered(&self, change: &Alteration) -> Result<(Self, Vec<String>)> {
        if *change == Alteration::default() {
            let message =
                "name what is to change: fields to add or rename, indexes to create or drop";
            return Err(Error::new(Code::InvalidArgument, message));
        }
        let renames = self.renames(&change.rename_fields)?;
        let names = self.names.renamed(&renames);
        let taken = renames.values().filter(|to| !renames.contains_key(*to));
        let taken = taken.map(|to| self.names.stored(to).to_owned()).collect();
        if names.0.len() > NAMES_MAX {
            let message = "fields were renamed too often";
            return Err(Error::new(Code::LimitExceeded, message).number("limit", NAMES_MAX));
        }
        let mut next = Self::new(self.stored.clone(), names, self.unindexed.clone())?;
        for field in &change.add_fields {
            if next.shown.fields.iter().any(|it| it.name == field.name) {
                return Err(exists("a field of this name exists", &field.name));
            }
            let name = next.names.stored(&field.name).to_owned();
            let field = DeclaredField {
                name,
                ..field.clone()
            };
            let mut stored = next.stored;
            stored.fields.push(field);
            next = Self::new(stored, next.names, next.unindexed)?;
        }
        for name in &change.create_indexes {
            let stored = next.stored_name(name)?;
            let Some(at) = next.unindexed.iter().position(|it| *it == stored) else {
                return Err(exists("the field has an index", name));
            };
            next.unindexed.remove(at);
        }
        for name in &change.drop_indexes {
            let stored = next.stored_name(name)?;
            if change.create_indexes.contains(name) {
                let message = "an index is created or dropped, not both";
                return Err(Error::new(Code::InvalidArgument, message).text("field", name.as_str()));
            }
            if !next.is_indexed(&stored) {
                return Err(missing("the field has no index", name));
            }
            next.unindexed.push(stored);
        }
        Ok((next, taken))
    }

    fn renames(&self, given: &[(String, String)]) -> Result<BTreeMap<String, String>> {
        let is_declared = |name: &String| self.shown.fields.iter().any(|it| it.name == *name);
        let mut renames = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for (from, to) in given {
            if !is_declared(from) {
                if self.shown.vectors.iter().any(|field| field.name == *from) {
                    let message = "a vector field keeps its name";
                    let error = Error::new(Code::InvalidArgument, message);
                    return Err(error.text("field", from.as_str()));
                }
                return Err(missing("no field of this name is declared", from));
            }
            validate_field_name(to)?;
            if renames.insert(from.clone(), to.clone()).is_some() {
                let error = Error::new(Code::InvalidArgument, "a field is renamed twice");
                return Err(error.text("field", from.as_str()));
            }
            if from == to || !taken.insert(to.clone()) {
                return Err(exists("a field of this name exists", to));
            }
        }
        let stays = |to: &&String| is_declared(to) && !renames.contains_key(*to);
        match renames.values().find(stays) {
            Some(to) => Err(exists("a field of this name exists", to)),
            None => Ok(renames),
        }
    }

    /// The stored name of a declared field that may have an index.
    fn stored_name(&self, name: &str) -> Result<String> {
        if !self.shown.fields.iter().any(|field| field.name == name) {
            return Err(missing("no field of this name is declared", name));
        }
        if !self.shown.indexed().any(|it| it == name) {
            let message = "only fields of type keyword, int, float, bool and date have an index";
            return Err(Error::new(Code::InvalidArgument, message).text("field", name));
        }
        Ok(self.names.stored(name).to_owned())
    }
}

/// That records have fields of a name already, without its being declared.
pub(crate) fn taken(name: &str) -> Error {
    exists(
        "records have a field of this name, which is not declared",
        name,
    )
}

fn exists(message: &str, field: &str) -> Error {
    Error::new(Code::AlreadyExists, message).text("field", field)
}

fn missing(message: &str, field: &str) -> Error {
    Error::new(Code::NotFound, message).text("field", field)
}

/// The structures that an open collection has had, the newest last: whoever has seen one may go on with
/// it. They are small; each part has room for twice as many as the one before, so none ever moves, and
/// the newest is found as fast after a thousand changes as after none.
#[derive(Default)]
pub(crate) struct Structures {
    parts: [OnceLock<Part>; u32::BITS as usize],
    changes: AtomicU32,
}

impl Structures {
    pub fn new(structure: Arc<Structure>) -> Self {
        let all = Self::default();
        all.put(0, structure);
        all
    }

    /// The one that counts.
    pub fn newest(&self) -> &Arc<Structure> {
        self.after(self.changes())
    }

    /// How many came after the first.
    pub fn changes(&self) -> u32 {
        self.changes.load(Ordering::Acquire)
    }

    /// The one that came after so many others, or the newest.
    pub fn after(&self, changes: u32) -> &Arc<Structure> {
        let (part, at) = place(changes.min(self.changes()));
        let structure = self.parts[part].get().and_then(|part| part[at].get());
        structure.expect("those that are counted are there")
    }

    /// Lets another one count. Called by one thread at a time.
    pub fn push(&self, structure: Arc<Structure>) {
        let changes = self.changes() + 1;
        self.put(changes, structure);
        self.changes.store(changes, Ordering::Release);
    }

    fn put(&self, changes: u32, structure: Arc<Structure>) {
        let (part, at) = place(changes);
        let empty = || (0..1_usize << part).map(|_| OnceLock::new()).collect();
        self.parts[part].get_or_init(empty)[at].get_or_init(|| structure);
    }
}

/// Room for some structures, each put there once.
type Part = Box<[OnceLock<Arc<Structure>>]>;

/// Part and place of the structure after so many changes: one in the first part, two in the next, then four.
fn place(changes: u32) -> (usize, usize) {
    let number = changes + 1;
    let part = number.ilog2();
    (part as usize, (number - (1 << part)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyType;
    use crate::schema::Extra;

    fn names(pairs: &[(&str, &str)]) -> Names {
        let pairs = pairs.iter().map(|(a, b)| ((*a).into(), (*b).into()));
        Names(pairs.collect())
    }

    fn renames(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter().map(|(a, b)| ((*a).into(), (*b).into()));
        pairs.collect()
    }

    #[test]
    fn each_structure_stays_where_it_was_and_the_newest_counts() {
        let made = |n: usize| {
            let schema = Schema {
                key: KeyType::U64,
                vectors: Vec::new(),
                fields: Vec::new(),
                extra: Extra::Allow,
                expires_at: None,
            };
            Arc::new(Structure {
                stored: schema.clone(),
                shown: schema,
                names: Names::default(),
                unindexed: vec![n.to_string()],
            })
        };
        let all = Structures::new(made(0));
        let first = all.newest();
        for n in 1..2_000 {
            all.push(made(n));
            assert_eq!(all.changes() as usize, n);
            assert_eq!(all.newest().unindexed, [n.to_string()]);
        }
        for n in 0..2_000 {
            assert_eq!(all.after(n).unindexed, [n.to_string()]);
        }
        assert_eq!(all.after(u32::MAX).unindexed, ["1999"]);
        assert!(Arc::ptr_eq(first, all.after(0)));
    }

    #[test]
    fn names_stay_one_to_one_whatever_is_renamed() {
        let none = Names::default();
        let once = none.renamed(&renames(&[("a", "b")]));
        assert_eq!(once, names(&[("a", "b"), ("b", "a")]));
        assert_eq!((once.stored("b"), once.shown("a")), ("a", "b"));
        assert_eq!(once.renamed(&renames(&[("b", "a")])), none);
        let twice = once.renamed(&renames(&[("b", "c")]));
        assert_eq!(twice, names(&[("a", "b"), ("b", "c"), ("c", "a")]));
        let swapped = none.renamed(&renames(&[("a", "b"), ("b", "a")]));
        assert_eq!(swapped, once);
        let chain = none.renamed(&renames(&[("a", "b"), ("b", "c"), ("x", "y")]));
        let expected = [("a", "c"), ("b", "a"), ("c", "b"), ("x", "y"), ("y", "x")];
        assert_eq!(chain, names(&expected));
        for valid in [&none, &once, &twice, &swapped, &chain] {
            assert!(valid.is_valid(), "{valid:?}");
        }
        for wrong in [
            &[("a", "a")][..],
            &[("a", "b")],
            &[("b", "a"), ("a", "b")],
            &[("a", "b"), ("a", "b")],
        ] {
            assert!(!names(wrong).is_valid(), "{wrong:?}");
        }
    }
}
