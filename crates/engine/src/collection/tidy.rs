//! What a collection does when it rests: space that what was overwritten still takes comes back.

use std::sync::Arc;

use cairn_storage::Wal;

use crate::error::Result;
use crate::expiry::Moment;
use crate::options::Compaction;
use crate::view::View;

use super::Collection;
use super::compaction::{DEAD_PERCENT, has_many_dead};

/// Below this a log is not worth a segment, however much of it was overwritten: 1 MiB.
const LOG_BYTES_MIN: u64 = 1024 * 1024;

impl Collection {
    /// To be called when nothing was written for a while, some seconds say.
    ///
    /// Deletions count for compaction once they are flushed, and a log goes as a whole, so after
    /// many overwrites a memtable that never fills would keep dead rows in both. Records whose time has
    /// passed are dead, too. When more than 30 %
    /// of a log or of a segment is dead this flushes. Compaction follows in the background. The log
    /// file that is kept to be used again goes as well.
    ///
    /// # Errors
    /// `ERR_CLOSED`, `ERR_READ_ONLY`, `ERR_NO_SPACE`, `ERR_IO`.
    pub fn tidy(self: &Arc<Self>) -> Result<()> {
        self.check_writable()?;
        let log_bytes = self.core.lock().wal.as_ref().map_or(0, Wal::bytes);
        let is_wasted = {
            let view = self.view.load();
            wastes_space(&view, log_bytes, self.moment(view.lsn))
        };
        if self.options.compaction != Compaction::None && is_wasted {
            self.flush_now()
                .inspect_err(|error| self.note_background_error(error))?;
            self.schedule_compaction();
        }
        self.core.lock().writable()?.drop_spare()?;
        Ok(())
    }
}

fn wastes_space(view: &View, log_bytes: u64, at: Moment) -> bool {
    let memtables = || view.memtables.iter();
    let rows: usize = memtables().map(|memtable| memtable.rows).sum();
    let seen = memtables().map(|memtable| memtable.table.visible(memtable.rows, at));
    let live: usize = seen.sum();
    let dead_in_log = rows.saturating_sub(live) * 100 > rows * DEAD_PERCENT;
    let mut segments = view.segments.iter();
    (log_bytes >= LOG_BYTES_MIN && dead_in_log)
        || segments.any(|segment| has_many_dead(segment, segment.count_gone(at)))
}
