//! A walk over one pinned version.

use std::sync::{Arc, Mutex, PoisonError};

use cairn_engine::{Code, Database, Error, Result, Scan};
use cairn_env::{Lane, Threads};
use napi::bindgen_prelude::{Object, Uint8Array};
use napi_derive::napi;

use crate::convert::to_select;
use crate::pack::{Rows, pack};
use crate::task::spawn;

/// A scan. Pins its version until closed or collected.
#[napi]
pub struct BindingScan {
    inner: Arc<Mutex<Option<Scan>>>,
    _database: Arc<Database>,
    threads: Arc<dyn Threads>,
}

impl BindingScan {
    /// A handle.
    pub fn new(scan: Scan, database: Arc<Database>, threads: Arc<dyn Threads>) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Some(scan))),
            _database: database,
            threads,
        }
    }
}

#[napi]
impl BindingScan {
    /// The next records, packed; no rows at the end.
    #[napi]
    pub fn next<'env>(
        &self,
        env: &'env napi::Env,
        rows: u32,
        fields: u32,
        names: Option<Vec<String>>,
        vectors: bool,
    ) -> napi::Result<Object<'env>> {
        let inner = Arc::clone(&self.inner);
        let select = to_select(fields as usize, names, vectors);
        let work = move || -> Result<Vec<u8>> {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            let scan = inner
                .as_mut()
                .ok_or_else(|| Error::new(Code::Closed, "the scan is closed"))?;
            let page = scan.next_page(rows as usize, &select)?;
            pack(&Rows(page.into_iter().map(Some).collect()))
        };
        spawn(env, &self.threads, Lane::Foreground, work, Uint8Array::from)
    }

    /// Lets the version go. A page being read is read to its end first.
    #[napi]
    pub fn close(&self) {
        if let Ok(mut inner) = self.inner.try_lock() {
            inner.take();
        }
    }
}
