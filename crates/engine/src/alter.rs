//! Another structure for a collection of a database.

use std::sync::Arc;

use crate::collection::Collection;
use crate::database::Database;
use crate::error::Result;
use crate::schema::Extra;
use crate::stop::Stop;
use crate::structure::{Alteration, Structure};

impl Database {
    /// Changes what a collection holds while it is read and written: fields are declared or get other
    /// names, indexes of fields are created or dropped. All of it happens at once, and durably; no
    /// record is rewritten. Writes that were given before are as if they had come before.
    ///
    /// Records may have values under the name of a field that is added: they are its values then. A name
    /// that a field gets must be free: to know that, all records are read where those may have fields
    /// that are not declared.
    ///
    /// # Errors
    /// `ERR_NOT_FOUND` for a field that is not declared or has no index; `ERR_ALREADY_EXISTS` for one that
    /// is, or has; `ERR_INVALID_ARGUMENT`, `ERR_INVALID_NAME`, `ERR_LIMIT_EXCEEDED`; `ERR_READ_ONLY`,
    /// `ERR_CLOSED`, `ERR_NO_SPACE`; `ERR_ABORTED`, `ERR_DEADLINE` from `stop`. Nothing has changed then.
    /// After `ERR_IO` the next open finds one structure or the other.
    pub fn alter(
        &self,
        collection: &Arc<Collection>,
        change: &Alteration,
        stop: &Stop,
    ) -> Result<()> {
        loop {
            drop(self.writable()?);
            collection.check_writable()?;
            let before = collection.structure();
            let (next, free) = before.altered(change)?;
            // What may take long, before anybody is held up.
            let mut since = collection.version();
            if before.stored.extra == Extra::Allow && !free.is_empty() {
                since = collection.refuse_taken(&free, stop)?;
            }
            if !next.has_texts_of(&before) {
                // The words of what memory has are taken again while nobody writes: of little.
                collection.flush()?;
            }
            stop.check()?;
            // A version that is being made has the structure before or the one after, and so has the
            // next change.
            let _one_at_a_time = self.recorded_versions.lock();
            if Arc::ptr_eq(&before, &collection.structure()) {
                return self.alter_now(collection, next, (&free, since));
            }
        }
    }

    fn alter_now(
        &self,
        collection: &Arc<Collection>,
        next: Structure,
        free: (&[String], u64),
    ) -> Result<()> {
        let mut state = self.writable()?;
        let open = state.open.get(&collection.id());
        // It was dropped meanwhile, or is of another database.
        if !matches!(open, Some(Ok(open)) if Arc::ptr_eq(open, collection)) {
            return Err(collection.gone());
        }
        let mut catalog = state.catalog.clone();
        let mut listed = catalog.collections.iter_mut();
        let entry = listed.find(|it| it.id == collection.id());
        let entry = entry.ok_or_else(|| collection.gone())?;
        *entry = entry.clone().with(&next);
        let publish = || self.publish(&mut state, catalog);
        collection.alter(next, free, publish)
    }
}
