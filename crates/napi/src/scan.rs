//! A walk over one pinned version.

#![expect(
    clippy::too_many_arguments,
    reason = "JavaScript calls it, with everything in one call"
)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_engine::{Code, Database, Error, OrderedScan, Result, Scan, Select, Stop};
use cairn_env::{Clock, Env, Lane, Threads};
use napi::bindgen_prelude::{Object, Uint8Array};
use napi_derive::napi;

use crate::convert::to_select;
use crate::owned::Owned;
use crate::pack::{Rows, pack};
use crate::shape::with_values;
use crate::task::{Ticket, spawn, stop};

/// A scan. Pins its version until closed or collected.
#[napi]
pub struct BindingScan {
    pages: Owned<Pages>,
    _database: Owned<Database>,
    threads: Arc<dyn Threads>,
    clock: Arc<dyn Clock>,
}

/// A walk by key, or in the order of a field.
pub enum Walk {
    /// By key.
    ByKey(Scan),
    /// In another order.
    Ordered(OrderedScan),
}

impl Walk {
    /// The next records, packed; in an order with the values it is by.
    fn next(&mut self, rows: usize, select: &Select, stop: &Stop) -> Result<Vec<u8>> {
        match self {
            Self::ByKey(scan) => {
                let page = scan.next_page_until(rows, select, stop)?;
                pack(&Rows(page.into_iter().map(Some).collect()))
            }
            Self::Ordered(scan) => {
                let page = scan.next_page(rows, select, stop)?;
                let (records, values): (Vec<_>, Vec<_>) = page.into_iter().unzip();
                let block = pack(&Rows(records.into_iter().map(Some).collect()))?;
                Ok(with_values(block, &values))
            }
        }
    }
}

impl BindingScan {
    /// A handle.
    pub fn new(walk: Walk, database: Owned<Database>, env: &Env) -> Self {
        let threads = Arc::clone(&env.threads);
        Self {
            pages: Owned::new(Arc::new(Pages::of(walk)), &threads),
            _database: database,
            threads,
            clock: Arc::clone(&env.clock),
        }
    }
}

#[napi]
impl BindingScan {
    /// The next records, packed; no rows at the end. One page is read at a time.
    #[napi]
    pub fn next<'env>(
        &self,
        env: &'env napi::Env,
        rows: u32,
        fields: u32,
        names: Option<Vec<String>>,
        vectors: bool,
        deadline_ms: f64,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let pages = Arc::clone(&self.pages);
        let select = to_select(fields as usize, names, vectors);
        let stop = stop(&ticket, &self.clock, deadline_ms);
        let work = move || pages.read(|walk| walk.next(rows as usize, &select, &stop));
        spawn(env, &self.threads, Lane::Foreground, work, Uint8Array::from)
    }

    /// Lets the version go: at once, or at the end of the page that is being read.
    #[napi]
    pub fn close(&self) {
        let scan = self.pages.close();
        // What it holds of a large memtable takes a while to go.
        self.threads
            .spawn(Lane::Blocking, Box::new(move || drop(scan)));
    }
}

/// A scan that one thread reads and another closes, without waiting for each other.
struct Pages(Mutex<State>);

struct State {
    /// Absent while a page is read, and once closed.
    scan: Option<Walk>,
    closed: bool,
}

impl Pages {
    fn of(scan: Walk) -> Self {
        Self(Mutex::new(State {
            scan: Some(scan),
            closed: false,
        }))
    }

    fn read<T>(&self, page: impl FnOnce(&mut Walk) -> Result<T>) -> Result<T> {
        let scan = self.state().scan.take();
        let mut scan = scan.ok_or_else(|| Error::new(Code::Closed, "the scan is closed"))?;
        let page = page(&mut scan);
        let mut state = self.state();
        if !state.closed {
            state.scan = Some(scan);
        }
        page
    }

    /// The scan, unless a page of it is being read.
    fn close(&self) -> Option<Walk> {
        let mut state = self.state();
        state.closed = true;
        state.scan.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use cairn_engine::{
        Collection, Extra, IndexKind, KeyType, MetricName, Options, Quantize, Schema, VectorField,
        VectorKind,
    };

    fn collection() -> (Arc<Database>, Arc<Collection>) {
        let database = Database::open(Env::memory(1), Path::new("/db"), Options::default());
        let database = database.expect("a database in memory");
        let schema = Schema {
            key: KeyType::U64,
            vectors: vec![VectorField {
                name: "vector".into(),
                dim: 2,
                metric: MetricName::L2,
                index: IndexKind::Auto,
                kind: VectorKind::F32,
                quantize: Quantize::None,
            }],
            fields: Vec::new(),
            extra: Extra::Allow,
            expires_at: None,
        };
        let collection = database.create_collection("docs", schema);
        (database, collection.expect("a new collection"))
    }

    fn pages(collection: &Arc<Collection>) -> Pages {
        let snapshot = collection.snapshot().expect("it is open");
        Pages::of(Walk::ByKey(snapshot.scan(None).expect("it is open")))
    }

    #[test]
    fn closing_lets_the_version_go() {
        let (_database, collection) = collection();
        let unpinned = Arc::strong_count(&collection);
        let pages = pages(&collection);
        assert_eq!(Arc::strong_count(&collection), unpinned + 1);
        assert!(pages.close().is_some());
        assert!(pages.close().is_none(), "again is harmless");
        assert_eq!(Arc::strong_count(&collection), unpinned);
        let after = pages.read(|_| Ok(())).map_err(|error| error.code());
        assert_eq!(after, Err(Code::Closed));
    }

    #[test]
    fn closed_while_a_page_is_read_it_lets_the_version_go_at_the_end_of_the_page() {
        let (_database, collection) = collection();
        let unpinned = Arc::strong_count(&collection);
        let pages = pages(&collection);
        let page = pages.read(|_| {
            assert!(pages.close().is_none(), "it is being read");
            assert_eq!(Arc::strong_count(&collection), unpinned + 1);
            Ok(7)
        });
        assert_eq!(page.ok(), Some(7), "the page is read to its end");
        assert_eq!(Arc::strong_count(&collection), unpinned);
    }

    #[test]
    fn a_page_that_cannot_be_read_leaves_the_scan_where_it_is() {
        let (_database, collection) = collection();
        let pages = pages(&collection);
        let failed =
            pages.read(|_| -> Result<()> { Err(Error::new(Code::Io, "the disk refused")) });
        assert_eq!(failed.map_err(|error| error.code()), Err(Code::Io));
        assert_eq!(pages.read(|_| Ok(7)).ok(), Some(7));
    }
}
