//! Filters: parsed once from JSON, then asked about records as they are stored.
//!
//! ```text
//! JSON text -- parse --> Filter, a tree of tests on fields -- matches(record) --> true or false
//!                                                         -- matching_rows(segment) --> Bitmap
//! ```
//!
//! Logic is two-valued: a test of a field that is missing is false, and `ne`, `nin`, `none` and
//! `not` are the exact opposites of what they deny, so that they hold where a field is missing. A
//! path that leads through or to an array is tested on each element, and holds if it holds for one.
//!
//! Knows fields and keys; not what a vector is, nor where records are stored.
//!
//! # Examples
//! ```
//! use cairn_filter::{Filter, Key, Record};
//!
//! let filter = Filter::parse(br#"{ "year": { "gte": 2020 }, "tags": ["sea", "sky"] }"#)?;
//! // { "year": 2024, "tags": ["sea"] } in MessagePack
//! let fields = b"\x82\xa4year\xcd\x07\xe8\xa4tags\x91\xa3sea";
//! assert!(filter.matches(&Record { key: Key::Text("a"), fields }));
//! # Ok::<(), cairn_filter::FilterError>(())
//! ```

mod bitmap;
mod error;
mod evaluate;
mod geo;
mod index;
mod keys;
mod matches;
mod msgpack;
mod parse;
mod path;
mod scalar;
mod tree;
mod values;
mod words;

pub use bitmap::Bitmap;
pub use error::FilterError;
pub use evaluate::{KeyRows, Rows, estimate, matching_rows};
pub use geo::{GeoBox, GeoRadius, Place};
pub use index::{FieldIndex, IndexBuilder};
pub use keys::sorted_keys;
pub use matches::{Key, Record};
pub use msgpack::{Cursor, Fault, Value};
pub use parse::{FILTER_DEPTH_MAX, FILTER_NODES_MAX, FILTER_VALUES_MAX};
pub use path::Path;
pub use scalar::{Scalar, ScalarSet};
pub use tree::{Filter, Order, Test};
