//! Indexes of the fields of a segment: those of its file, and those that were made since.

use std::sync::Arc;

use cairn_env::sync::{ArcSwap, Mutex};
use cairn_filter::{FieldIndex, Filter, IndexBuilder, Path};

use crate::error::Result;
use crate::query::SelectFields;
use crate::stop::Stop;
use crate::structure::{Structure, Structures};

use super::{Body, ReadAhead, Segment};

/// Records read between two looks at whether to go on.
const RECORDS_PER_CHECK: u32 = 256;

/// The indexes of a segment, which come and go while it is read.
pub(super) struct Indexes {
    made: ArcSwap<Made>,
    /// Held by whoever changes them.
    changing: Mutex<()>,
}

/// The indexes that there are.
#[derive(Clone, Default)]
pub(super) struct Made {
    indexes: Vec<One>,
    /// Fields with values that no index takes.
    without: Vec<Box<str>>,
}

/// The index of a field, by its stored name.
#[derive(Clone)]
struct One {
    name: Box<str>,
    index: Arc<FieldIndex>,
    /// Whether the file has it.
    is_stored: bool,
}

impl Indexes {
    /// Those of the file.
    pub fn stored(indexes: Vec<(Box<str>, FieldIndex)>) -> Self {
        let one = |(name, index)| One {
            name,
            index: Arc::new(index),
            is_stored: true,
        };
        let made = Made {
            indexes: indexes.into_iter().map(one).collect(),
            without: Vec::new(),
        };
        Self {
            made: ArcSwap::from_pointee(made),
            changing: Mutex::new(()),
        }
    }

    /// Those that there are now.
    pub fn load(&self) -> Arc<Made> {
        self.made.load_full()
    }

    fn change(&self, change: impl FnOnce(&mut Made)) {
        let _one_at_a_time = self.changing.lock();
        let mut made = Made::clone(&self.made.load());
        change(&mut made);
        self.made.store(Arc::new(made));
    }
}

impl Made {
    fn named(&self, name: &str) -> Option<&One> {
        self.indexes.iter().find(|it| *it.name == *name)
    }

    /// The index of what a path leads to, if there is one.
    pub fn of(&self, path: &Path) -> Option<&Arc<FieldIndex>> {
        Some(&self.named(field_of(path)?)?.index)
    }

    /// Whether there is an index, or can be none.
    fn is_settled(&self, name: &str) -> bool {
        self.named(name).is_some() || self.without.iter().any(|it| **it == *name)
    }
}

/// The field itself that a path leads to.
fn field_of(path: &Path) -> Option<&str> {
    match path {
        Path::Field(names) => match &names[..] {
            [name] => Some(name),
            _ => None,
        },
        Path::Key => None,
    }
}

impl Body {
    /// The index of what a path leads to, if there is one.
    pub fn index_of(&self, path: &Path) -> Option<Arc<FieldIndex>> {
        self.indexes.load().of(path).cloned()
    }

    /// The index of a field, by its stored name.
    pub fn index_named(&self, name: &str) -> Option<Arc<FieldIndex>> {
        Some(Arc::clone(&self.indexes.load().named(name)?.index))
    }

    /// Bytes of each index in memory, by the stored name of its field.
    pub fn index_memory(&self) -> impl Iterator<Item = (Box<str>, usize)> {
        let made = self.indexes.load();
        let bytes = |one: &One| (one.name.clone(), one.index.memory());
        made.indexes
            .iter()
            .map(bytes)
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Whether some index is not made yet.
    pub fn lacks_indexes(&self, structure: &Structure) -> bool {
        let made = self.indexes.load();
        structure.indexed().any(|name| !made.is_settled(name))
    }

    /// Whether the file has all indexes that there can be.
    pub fn has_indexes_stored(&self, structure: &Structure) -> bool {
        let made = self.indexes.load();
        let is_missing = |name: &str| made.named(name).is_none_or(|it| !it.is_stored);
        let can_be = |name: &&str| !made.without.iter().any(|it| **it == **name);
        !structure.indexed().filter(can_be).any(is_missing)
    }

    /// Stored names of indexed fields that a filter asks for and whose index is not made yet.
    pub fn waited_for(&self, filter: &Filter, structure: &Structure) -> Vec<String> {
        let made = self.indexes.load();
        let mut names = Vec::new();
        filter.for_each_test(&mut |path, _| {
            if let Some(name) = field_of(path)
                && structure.is_indexed(name)
                && !made.is_settled(name)
                && !names.iter().any(|it| it == name)
            {
                names.push(name.to_owned());
            }
        });
        names
    }

    /// Lets go of indexes that fields have no more.
    pub fn keep_indexes(&self, structure: &Structure) {
        let made = self.indexes.load();
        if made.indexes.iter().all(|it| structure.is_indexed(&it.name)) {
            return;
        }
        self.indexes.change(|made| {
            made.indexes.retain(|it| structure.is_indexed(&it.name));
        });
    }
}

impl Segment {
    /// Makes the indexes that `structure` has and this segment lacks, of all its records; those that the
    /// newest one of `structures` has no more are not kept.
    ///
    /// # Errors
    /// What reading a record says, and what `stop` does.
    pub fn make_indexes(
        &self,
        structure: &Structure,
        structures: &Structures,
        stop: &Stop,
    ) -> Result<()> {
        let made = self.indexes.load();
        let lacking: Vec<&str> = structure
            .indexed()
            .filter(|it| !made.is_settled(it))
            .collect();
        let mut builder = IndexBuilder::new(lacking.iter().copied());
        let (mut fields, mut ahead) = (Vec::new(), ReadAhead::default());
        for row in 0..self.entry.rows {
            if row.is_multiple_of(RECORDS_PER_CHECK) {
                stop.check()?;
            }
            fields.clear();
            self.payload_in_order(row, &SelectFields::All, &mut ahead, &mut fields)?;
            builder.push(&fields);
        }
        let built: Vec<Option<FieldIndex>> = builder.finish();
        self.indexes.change(|made| {
            for (name, index) in lacking.into_iter().zip(built) {
                if made.is_settled(name) || !structures.newest().is_indexed(name) {
                    continue;
                }
                match index {
                    Some(index) => made.indexes.push(One {
                        name: name.into(),
                        index: Arc::new(index),
                        is_stored: false,
                    }),
                    None => made.without.push(name.into()),
                }
            }
        });
        Ok(())
    }
}
