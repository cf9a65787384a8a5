//! Full-text search: texts become terms, terms are kept with the rows that have them, and rows are
//! ranked by BM25.
//!
//! ```text
//! texts -- Analyzer --> terms -- IndexBuilder --> TextIndex    a segment's, bytes that stay
//!                             -- MemoryIndex                   rows that were just added
//! words -- Query::parse --> Query
//!       each index: gather --> Statistics, merged over all of them
//!       each index: search with those --> the best rows, scored as in one collection
//! ```
//!
//! **Scores.** Of a term in a field (Robertson and Zaragoza 2009, as Lucene has it):
//!
//! ```text
//! weight * ln(1 + (N - n + 0.5) / (n + 0.5)) * tf / (tf + k1 * (1 - b + b * length / average))
//! ```
//!
//! `N` rows have a term in the field and `n` of them this one; it stands `tf` times in the row,
//! whose field has `length` terms, against `average`. A phrase counts as one term whose logarithm is
//! the sum of those of its words; a prefix as one term that stands wherever a word begins so. The
//! score of a row is the sum over what it matches, in all fields.
//!
//! **Sums are exact.** Each summand is rounded to a grid that is the same for a whole search, so fine
//! that no sum of them is rounded again. So a row has the same score in whatever order its terms
//! are looked at and in whatever index it stands, bit for bit, and ties are ties.
//!
//! **Deleted rows** are hidden by the caller's `accept`. Until they are merged away they are counted
//! by the statistics, which moves scores a little, and those of all rows alike.
//!
//! Knows rows, fields by number, and texts; neither keys nor files. Bytes of an index are checked
//! whole before they are believed ([`TextIndex`] has their layout).
//!
//! # Examples
//! ```
//! use cairn_text::{Analyzer, Bm25, IndexBuilder, Query, QueryField, Statistics};
//!
//! let analyzer = Analyzer::default();
//! let mut builder = IndexBuilder::new(&[analyzer]);
//! for text in ["the tides of the sea", "the sea", "a mountain"] {
//!     builder.push(&[&[text]]);
//! }
//! let index = builder.finish();
//!
//! let query = Query::parse("sea tides", &[QueryField { field: 0, analyzer, weight: 1.0 }]);
//! let gathered = index.gather(&query, || false)?;
//! let mut statistics = Statistics::default();
//! statistics.merge(gathered.statistics());
//! let mut hits = Vec::new();
//! gathered.search(&statistics, Bm25::default(), 10, |_| true, || false, &mut hits)?;
//! assert_eq!(hits.iter().map(|hit| hit.row).collect::<Vec<_>>(), [0, 1]);
//! # Ok::<(), cairn_text::Stopped>(())
//! ```

#![deny(unsafe_code)]

mod analyze;
mod block;
mod index;
mod memory;
mod packing;
mod postings;
mod query;
mod score;
mod search;

pub use analyze::{Analyzer, Language, TERM_BYTES_MAX, Token};
pub use index::{IndexBuilder, POSITION_GAP, TextIndex};
pub use memory::{FirstRows, MemoryIndex};
pub use query::{DEPTH_MAX, PREFIXES_MAX, Query, QueryField, TERMS_MAX, WEIGHT_MAX};
pub use score::{Bm25, Statistics};
pub use search::{Gathered, Hit, Stopped};
