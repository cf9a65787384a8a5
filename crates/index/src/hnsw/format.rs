//! A graph as bytes.
//!
//! All numbers are little-endian. Offsets in bytes; `n` is the number of rows.
//!
//! | offset | bytes | field                                                            |
//! |-------:|------:|------------------------------------------------------------------|
//! |      0 |     8 | `CRNHNSW1`                                                       |
//! |      8 |     4 | `n`                                                              |
//! |     12 |     4 | `m`                                                              |
//! |     16 |     4 | `m0`                                                             |
//! |     20 |     4 | `m_max`                                                          |
//! |     24 |     4 | `ef_construction`                                                |
//! |     28 |     1 | metric: 0 cosine, 1 l2, 2 dot, 3 l1, 4 hamming                   |
//! |     29 |     3 | zero                                                             |
//! |     32 |     8 | `level_mult`, IEEE 754 binary64                                  |
//! |     40 |     8 | `seed`                                                           |
//! |     48 |     4 | row of the entry point; 0xFFFFFFFF if `n` is 0                   |
//! |     52 |     4 | zero                                                             |
//! |     56 |   `n` | level of each row                                                |
//! |        |       | for each row, for each layer from 0 to its level: one list       |
//!
//! A list is a `u16` count and that many `u32` links, without padding. Nothing follows the last list.
//! A link is the row that it leads to; on layer 0 its highest bit is set if that row is a *twin*: has the
//! same vector and stands behind this one.
//!
//! A reader refuses: a length that does not come out even; a parameter outside its range; a level
//! above 31; a list beyond its cap; a link to the row itself, to a row that does not exist or that
//! does not reach the layer, or two to one row; if there are two rows or more, a row without links on layer 0; a twin
//! behind two rows, behind itself, or with twins above layer 0; an entry point that does not exist or
//! is a twin. The top layer is that of the entry point; rows whose level is higher
//! are twins, without links above layer 0.
//!
//! A row takes at least 7 bytes (3 if it is alone), and 2 for each list above layer 0. The reader
//! sees to it before it allocates, so that what it allocates is bounded by a constant times the
//! length of the input; the constant is that of a graph with one link where 512 fit.

use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;

use cairn_distance::{Kernels, Metric, Simd};

use super::level::LEVEL_MAX;
use super::links::{Links, NONE, TWIN};
use super::{ConfigError, EntryPoint, Graph, HnswConfig, ROWS_MAX};
use crate::Component;
use crate::input::{Fault, Input};

const MAGIC: [u8; 8] = *b"CRNHNSW1";

/// Lists are handed over when there are as many bytes of them.
const PART_BYTES: usize = 256 * 1024;

/// A list has at most 512 links.
const LIST_BYTES_MAX: usize = 2 + 4 * 512;

/// Bytes that are not a graph of this format.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum FormatError {
    /// The bytes end too early, or go on after the last list.
    #[error("the graph has the wrong length, bytes={bytes}")]
    Length {
        /// Length of the input.
        bytes: usize,
    },
    /// The first bytes are not those of this format.
    #[error("the graph has an unknown format")]
    Magic,
    /// The graph is over another number of rows than it should be.
    #[error("the graph is over other rows, rows={found}, expected={expected}")]
    Rows {
        /// Rows that the caller has.
        expected: usize,
        /// Rows that the bytes name.
        found: usize,
    },
    /// A field of the header is not one that a writer writes.
    #[error("the header of the graph is damaged, offset={offset}")]
    Header {
        /// Where the field starts.
        offset: usize,
    },
    /// A parameter is outside its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A level is above the highest that a writer writes.
    #[error("a level is too high, row={row}, level={level}")]
    Level {
        /// The row.
        row: u32,
        /// Its level.
        level: u8,
    },
    /// A list is beyond its cap, or empty where it cannot be.
    #[error("a list of links has the wrong length, row={row}, layer={layer}, links={links}")]
    Degree {
        /// The row.
        row: u32,
        /// The layer of the list.
        layer: u8,
        /// Links in the list.
        links: usize,
    },
    /// A twin stands behind two rows or behind itself, or is the entry point.
    #[error("a row is wrongly said to be a twin, row={row}")]
    Twin {
        /// The row.
        row: u32,
    },
    /// A link to the row itself, to no row, to one that does not reach the layer, or a second one.
    #[error("a link leads nowhere, row={row}, layer={layer}, to={to}")]
    Link {
        /// The row.
        row: u32,
        /// The layer of the list.
        layer: u8,
        /// What the link names.
        to: u32,
    },
}

impl Graph {
    /// [`Graph::read`] for rows of `f32`.
    ///
    /// # Errors
    /// As [`Graph::read`].
    pub fn from_bytes(bytes: &[u8], rows: usize) -> Result<Self, FormatError> {
        Self::read(bytes, rows)
    }
}

impl<T: Component> Graph<T> {
    /// The graph as bytes, laid out as the documentation of `hnsw/format.rs` says.
    ///
    /// The rows inserted must be `0..rows()`, and no insert may run meanwhile.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let written = self.write(|bytes| {
            all.extend_from_slice(bytes);
            Ok::<(), std::convert::Infallible>(())
        });
        match written {
            Ok(()) => all,
        }
    }

    /// As [`Graph::to_bytes`], a part after the other.
    ///
    /// # Errors
    /// The first one of `put`, which is then not called again.
    pub fn write<E>(&self, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let rows = self.rows();
        let levels = &self.links.levels()[..rows];
        let mut bytes = Vec::with_capacity(PART_BYTES + LIST_BYTES_MAX);
        bytes.extend(MAGIC);
        let config = &self.config;
        for number in [
            rows,
            config.m,
            config.m0,
            config.m_max,
            config.ef_construction,
        ] {
            bytes.extend((number as u32).to_le_bytes());
        }
        bytes.extend([metric_code(self.metric()), 0, 0, 0]);
        bytes.extend(config.level_mult.to_le_bytes());
        bytes.extend(config.seed.to_le_bytes());
        let entry = self.entry.load().map_or(NONE, |(row, _)| row);
        bytes.extend(entry.to_le_bytes());
        bytes.extend([0; 4]);
        put(&bytes)?;
        put(levels)?;
        bytes.clear();
        for (row, &level) in (0u32..).zip(levels) {
            for layer in 0..=level {
                let list = self.links.list(row, layer);
                bytes.extend((list.slots().count() as u16).to_le_bytes());
                list.slots()
                    .for_each(|slot| bytes.extend(slot.to_le_bytes()));
                if bytes.len() >= PART_BYTES {
                    put(&bytes)?;
                    bytes.clear();
                }
            }
        }
        put(&bytes)
    }

    /// Reads a graph over `rows` rows of `T`. Never panics, whatever the bytes; what it returns can be
    /// searched and grown without a panic, too.
    ///
    /// Links that lead both ways are what later inserts rely on to keep every row in reach. Whether
    /// every row is in reach now is for [`Graph::check`] to say.
    ///
    /// # Errors
    /// [`FormatError`] names the first thing found wrong.
    pub fn read(bytes: &[u8], rows: usize) -> Result<Self, FormatError> {
        let mut input = Input::new(bytes);
        if input.array::<8>()? != MAGIC {
            return Err(FormatError::Magic);
        }
        let found = input.number()?;
        if found != rows || rows > ROWS_MAX {
            return Err(FormatError::Rows {
                expected: rows,
                found,
            });
        }
        let (config, metric) = read_config(&mut input)?;
        let kernels = Kernels::with_simd(metric, Simd::active());
        let kernels = kernels.ok_or(FormatError::Header { offset: 28 })?;
        let entry = u32::from_le_bytes(input.array()?);
        input.zeros(4)?;
        let entry_exists = (entry as usize) < rows || (rows == 0 && entry == NONE);
        if !entry_exists {
            return Err(FormatError::Header { offset: 48 });
        }
        let levels = input.take(rows)?.to_vec();
        if let Some((row, &level)) = (0..).zip(&levels).find(|level| *level.1 > LEVEL_MAX) {
            return Err(FormatError::Level { row, level });
        }
        let upper: usize = levels.iter().map(|&level| usize::from(level)).sum();
        let least = 2 * upper + if rows > 1 { 6 * rows } else { 2 * rows };
        if input.left() < least {
            return Err(FormatError::Length { bytes: bytes.len() });
        }
        let links = Links::new(levels, config.m0, config.m_max);
        // From where each row was linked to last, to see two links to one row.
        let mut last = vec![(NONE, 0); rows];
        for row in 0..rows as u32 {
            for layer in 0..=links.level(row) {
                read_list(&mut input, &links, (row, layer), &mut last)?;
            }
        }
        if input.left() > 0 {
            return Err(FormatError::Length { bytes: bytes.len() });
        }
        let twins = count_twins(&links, entry)?;
        let entry_point = EntryPoint::none();
        if rows > 0 {
            entry_point.store(entry, links.level(entry));
        }
        Ok(Self {
            config,
            kernels,
            links,
            entry: entry_point,
            rows: AtomicUsize::new(rows),
            twins: AtomicUsize::new(twins),
            tree: OnceLock::new(),
        })
    }
}

fn read_config(input: &mut Input<'_>) -> Result<(HnswConfig, Metric), FormatError> {
    let (m, m0) = (input.number()?, input.number()?);
    let (m_max, ef_construction) = (input.number()?, input.number()?);
    let [code] = input.array()?;
    let metric = metric_of(code).ok_or(FormatError::Header { offset: 28 })?;
    input.zeros(3)?;
    let config = HnswConfig {
        m,
        m0,
        m_max,
        ef_construction,
        level_mult: f64::from_le_bytes(input.array()?),
        seed: u64::from_le_bytes(input.array()?),
    };
    config.validate()?;
    Ok((config, metric))
}

fn read_list(
    input: &mut Input<'_>,
    links: &Links,
    (row, layer): (u32, u8),
    last: &mut [(u32, u8)],
) -> Result<(), FormatError> {
    let count = usize::from(u16::from_le_bytes(input.array()?));
    let list = links.list(row, layer);
    let may_be_empty = links.rows() == 1 || layer > 0;
    if count > list.room() || (count == 0 && !may_be_empty) {
        return Err(FormatError::Degree {
            row,
            layer,
            links: count,
        });
    }
    let (slots, _) = input.take(4 * count)?.as_chunks::<4>();
    let slots = slots.iter().map(|slot| u32::from_le_bytes(*slot));
    for slot in slots.clone() {
        let to = if layer == 0 { slot & !TWIN } else { slot };
        let exists = (to as usize) < links.rows() && links.level(to) >= layer;
        if to == row || !exists || last[to as usize] == (row, layer) {
            return Err(FormatError::Link { row, layer, to });
        }
        last[to as usize] = (row, layer);
    }
    list.set(slots);
    Ok(())
}

/// How many rows are twins, if each stands behind one row and none, in the end, behind itself.
fn count_twins(links: &Links, entry: u32) -> Result<usize, FormatError> {
    let rows = 0..links.rows() as u32;
    let mut behind = vec![NONE; links.rows()];
    let mut twins = 0;
    for row in rows.clone() {
        for twin in links.bottom(row).twins() {
            if twin == entry || std::mem::replace(&mut behind[twin as usize], row) != NONE {
                return Err(FormatError::Twin { row: twin });
            }
            twins += 1;
        }
    }
    if twins == 0 {
        return Ok(0);
    }
    // Every twin is met once on the way from the rows that are none, unless twins form a circle.
    let mut queue: Vec<u32> = rows
        .clone()
        .filter(|&row| behind[row as usize] == NONE)
        .collect();
    let mut met = 0;
    while let Some(row) = queue.pop() {
        queue.extend(links.bottom(row).twins());
        met += 1;
    }
    if met < links.rows() {
        let circle = rows.into_iter().find(|&row| behind[row as usize] != NONE);
        return Err(FormatError::Twin {
            row: circle.unwrap_or(NONE),
        });
    }
    Ok(twins)
}

fn metric_code(metric: Metric) -> u8 {
    match metric {
        Metric::Cosine => 0,
        Metric::L2 => 1,
        Metric::Dot => 2,
        Metric::L1 => 3,
        Metric::Hamming => 4,
    }
}

fn metric_of(code: u8) -> Option<Metric> {
    let mut all = Metric::ALL.into_iter().chain([Metric::Hamming]);
    all.find(|&metric| metric_code(metric) == code)
}

impl From<Fault> for FormatError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Length { bytes } => Self::Length { bytes },
            Fault::NotZero { offset } => Self::Header { offset },
        }
    }
}
