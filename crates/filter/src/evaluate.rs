//! Which rows of a segment a filter holds for: by indexes where there are any, by looking at the
//! records that are left where there are none. Keys have an index of their own.

use crate::bitmap::Bitmap;
use crate::index::FieldIndex;
use crate::path::Path;
use crate::tree::{Filter, Test};

/// Rows that can be asked.
pub trait Rows {
    /// Why a record could not be read.
    type Error;

    /// The index of what a path leads to, if there is one.
    fn index(&self, path: &Path) -> Option<&FieldIndex>;

    /// The keys, where they can be asked without the records.
    fn keys(&self) -> Option<&dyn KeyRows> {
        None
    }

    /// Calls `test` for each of `rows` in order, with its record, and gathers those that pass.
    ///
    /// # Errors
    /// Whatever reading a record gives.
    fn scan(
        &self,
        rows: &Bitmap,
        test: &dyn Fn(&crate::Record<'_>) -> bool,
    ) -> Result<Bitmap, Self::Error>;
}

/// Keys that can be asked without their records.
pub trait KeyRows {
    /// The rows whose keys pass a test.
    fn matching(&self, test: &Test) -> Bitmap;

    /// About how many that are, at most.
    fn estimate(&self, test: &Test) -> usize;
}

/// The rows of `within` that the filter holds for. Records are read only where no index answers,
/// and only those that no index has decided.
///
/// # Errors
/// Whatever reading a record gives.
pub fn matching_rows<R: Rows>(
    filter: &Filter,
    rows: &R,
    within: &Bitmap,
) -> Result<Bitmap, R::Error> {
    if within.is_empty() {
        return Ok(within.clone());
    }
    match filter {
        Filter::Field { path, test } => match answer(rows, path, test) {
            Some(mut found) => {
                found.intersect(within);
                Ok(found)
            }
            None => rows.scan(within, &|record| test.holds_at(path, record)),
        },
        Filter::And(parts) => {
            let (mut first, last) = split(parts, rows);
            let all = within.rows() as usize;
            first.sort_by_cached_key(|part| estimate(part, rows, all));
            let mut found = within.clone();
            for part in first {
                found = matching_rows(part, rows, &found)?;
            }
            if last.is_empty() || found.is_empty() {
                return Ok(found);
            }
            rows.scan(&found, &|record| {
                last.iter().all(|part| part.matches(record))
            })
        }
        Filter::Or(parts) => {
            let (first, last) = split(parts, rows);
            let mut found = Bitmap::none(within.rows());
            let mut open = within.clone();
            for part in first {
                let more = matching_rows(part, rows, &open)?;
                found.unite(&more);
                open.subtract(&more);
            }
            if !last.is_empty() && !open.is_empty() {
                let any = rows.scan(&open, &|record| {
                    last.iter().any(|part| part.matches(record))
                });
                found.unite(&any?);
            }
            Ok(found)
        }
        Filter::Not(part) => {
            let mut found = within.clone();
            found.subtract(&matching_rows(part, rows, within)?);
            Ok(found)
        }
    }
}

fn answer<R: Rows>(rows: &R, path: &Path, test: &Test) -> Option<Bitmap> {
    match path {
        Path::Key => Some(rows.keys()?.matching(test)),
        Path::Field(_) => rows.index(path)?.matching(test),
    }
}

/// Those that indexes answer, and those that need records.
fn split<'a, R: Rows>(parts: &'a [Filter], rows: &R) -> (Vec<&'a Filter>, Vec<&'a Filter>) {
    parts.iter().partition(|part| is_indexed(part, rows))
}

fn is_indexed<R: Rows>(filter: &Filter, rows: &R) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().all(|part| is_indexed(part, rows)),
        Filter::Not(part) => is_indexed(part, rows),
        Filter::Field {
            path: Path::Key, ..
        } => rows.keys().is_some(),
        Filter::Field { path, test } => rows.index(path).is_some_and(|index| index.answers(test)),
    }
}

/// About how many of `all` rows a filter holds for, at most, as far as indexes tell. No record is read.
pub fn estimate<R: Rows>(filter: &Filter, rows: &R, all: usize) -> usize {
    match filter {
        Filter::And(parts) => {
            let parts = parts.iter().map(|part| estimate(part, rows, all));
            parts.min().unwrap_or(all)
        }
        Filter::Or(parts) => {
            let parts = parts.iter().map(|part| estimate(part, rows, all));
            parts.sum::<usize>().min(all)
        }
        Filter::Not(part) => match is_indexed(part, rows) {
            true => all - estimate(part, rows, all).min(all),
            false => all,
        },
        Filter::Field {
            path: Path::Key,
            test,
        } => rows.keys().map_or(all, |keys| keys.estimate(test)),
        Filter::Field { path, test } => rows.index(path).map_or(all, |index| index.estimate(test)),
    }
}
