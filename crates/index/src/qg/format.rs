//! A quantised graph as bytes.
//!
//! All numbers are little-endian. Offsets in bytes; `n` is the number of rows, `t` of twins, `e` of root
//! blocks.
//!
//! | offset | bytes      | field                                                        |
//! |-------:|-----------:|--------------------------------------------------------------|
//! |      0 |          8 | `CRNQGRF1`                                                   |
//! |      8 |          4 | `n`                                                          |
//! |     12 |          4 | `dim`                                                        |
//! |     16 |          4 | `degree`, a multiple of 32 up to 256                         |
//! |     20 |          1 | bits of a code, 1 to 4                                       |
//! |     21 |          1 | metric: 0 cosine, 1 l2                                       |
//! |     22 |          2 | zero                                                         |
//! |     24 |          8 | `seed` of the rotation, see `rotation` of `cairn-quantize`   |
//! |     32 |          4 | `ef_construction`                                            |
//! |     36 |          4 | `e`                                                          |
//! |     40 |          4 | `t`                                                          |
//! |     44 |          4 | zero                                                         |
//! |     48 |    4 `dim` | the centre, IEEE 754 binary32                                |
//! |        |      8 `t` | for each twin the row of its node, and its own; in order     |
//! |        | `e` blocks | entries, seen from the centre                                |
//! |        |            | for each row that is no twin: `degree` / 32 blocks           |
//!
//! A block is 32 ids (`u32`), 32 summands and 32 multipliers (binary32), and for each bit of a code,
//! highest first, one plane of 4 * `dim` bytes, `dim` rounded up to a multiple of 64: for each four
//! components 16 bytes, of which byte `j` has the bits of neighbour `j` in its low half and those of
//! neighbour `j + 16` in its high half. A place without a neighbour has the id 0xFFFFFFFF, an infinite
//! summand and the multiplier 0; such places come last.
//!
//! A reader refuses: any other length; a field out of range; a centre or a factor that is not finite; a
//! twin of itself, of another twin, or of two rows; a link to the row itself, to a row that does not
//! exist or is a twin, or two to one row; a place that is neither full nor empty. Which distances the
//! codes stand for, and whether every row is in reach, is not looked at: whoever stores the bytes adds
//! the checksum.
//!
//! What is allocated is bounded by a constant times the length of the input; records of twins are
//! address space that is never backed.

use cairn_distance::Metric;

use super::record::{Block, Layout, PLANES};
use super::twins::Twins;
use super::{Config, ConfigError, QuantisedGraph};
use crate::arena::Arena;
use crate::bulk::NONE;
use crate::hnsw::ROWS_MAX;
use crate::input::{Fault, Input};

const MAGIC: [u8; 8] = *b"CRNQGRF1";
const HEADER_BYTES: usize = 48;

/// Bytes that are not a quantised graph of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes end too early, or go on after the last record.
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
    /// A field before the records is not one that a writer writes.
    #[error("the header of the graph is damaged, offset={offset}")]
    Header {
        /// Where the field starts.
        offset: usize,
    },
    /// A parameter is outside its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A twin of itself, of another twin, or of two rows, or out of order.
    #[error("a row is wrongly said to be a twin, row={row}")]
    Twin {
        /// The row.
        row: u32,
    },
    /// A link to the row itself, to no row or a twin, a second one to the same row, or one after a place
    /// without.
    #[error("a link leads nowhere, to={to}")]
    Link {
        /// The row that the link is from; none for an entry.
        row: Option<u32>,
        /// What the link names.
        to: u32,
    },
    /// A factor of a code that is not finite, or not that of an empty place.
    #[error("a factor is no number")]
    Factor {
        /// The row that the code is kept by; none for an entry.
        row: Option<u32>,
    },
    /// The system has no address space for the records.
    #[error("the graph does not fit the address space")]
    Memory,
}

impl QuantisedGraph {
    /// How many bytes [`QuantisedGraph::write`] writes.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        let twins = self.twins.pairs().len();
        let records = (self.rows - twins) * self.layout.record_bytes();
        HEADER_BYTES + 4 * self.centre.len() + 8 * twins + self.root.bytes().len() + records
    }

    /// Hands the graph to `put`, part by part, laid out as the documentation of `qg/format.rs` says.
    ///
    /// # Errors
    /// The first one that `put` returned.
    pub fn write<E>(&self, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let twins = self.twins.pairs();
        let mut head = Vec::with_capacity(HEADER_BYTES + 4 * self.centre.len() + 8 * twins.len());
        head.extend(MAGIC);
        for number in [self.rows, self.centre.len(), self.config.degree] {
            head.extend((number as u32).to_le_bytes());
        }
        let metric = u8::from(self.metric() == Metric::L2);
        head.extend([self.config.bits, metric, 0, 0]);
        head.extend(self.config.seed.to_le_bytes());
        let blocks = self.root.bytes().len() / self.layout.block_bytes();
        for number in [self.config.ef_construction, blocks, twins.len(), 0] {
            head.extend((number as u32).to_le_bytes());
        }
        head.extend(self.centre.iter().flat_map(|x| x.to_le_bytes()));
        for (node, row) in twins {
            head.extend(node.to_le_bytes());
            head.extend(row.to_le_bytes());
        }
        put(&head)?;
        let mut buffer = Vec::new();
        let mut put_blocks = |bytes: &[u8]| {
            if cfg!(target_endian = "little") {
                return put(bytes);
            }
            buffer.clear();
            buffer.extend(bytes);
            swap_words(&mut buffer, self.layout.block_bytes());
            put(&buffer)
        };
        put_blocks(self.root.bytes())?;
        let rows = 0..self.rows as u32;
        rows.filter(|&row| !self.twins.contains(row))
            .try_for_each(|row| put_blocks(self.record(row)))
    }

    /// [`QuantisedGraph::write`] into memory.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.byte_count());
        let Ok(()) = self.write(|part| {
            bytes.extend_from_slice(part);
            Ok::<(), std::convert::Infallible>(())
        });
        bytes
    }

    /// Reads a graph over `rows` rows of `dim` components. Never panics, whatever the bytes; what it
    /// returns can be searched without a panic, too.
    ///
    /// # Errors
    /// [`FormatError`] names the first thing found wrong.
    pub fn from_bytes(bytes: &[u8], dim: usize, rows: usize) -> Result<Self, FormatError> {
        let mut input = Input::new(bytes);
        let header = Header::read(&mut input, dim, rows)?;
        let centre = read_centre(&mut input, dim)?;
        let pairs = read_pairs(&mut input, header.twins, rows)?;
        let layout = Layout::new(dim, header.config.degree, header.config.bits);
        let nodes = rows - pairs.len();
        let (root_bytes, records_bytes) = layout
            .block_bytes()
            .checked_mul(header.root_blocks)
            .zip(layout.record_bytes().checked_mul(nodes))
            .ok_or(input.wrong_length())?;
        if root_bytes.checked_add(records_bytes) != Some(input.left()) {
            return Err(input.wrong_length().into());
        }
        let mut graph = Self::without_records(centre, rows, header.metric, &header.config)?;
        let all = rows.checked_mul(layout.record_bytes());
        let arena = |bytes| Arena::try_new(bytes).ok_or(FormatError::Memory);
        graph.records = arena(all.ok_or(FormatError::Memory)?)?;
        graph.root = arena(root_bytes)?;
        graph
            .root
            .bytes_mut()
            .copy_from_slice(input.take(root_bytes)?);
        swap_words(graph.root.bytes_mut(), layout.block_bytes());
        graph.twins = Twins::new(pairs);
        let mut checker = Checker {
            twin: vec![false; rows],
            linked: vec![NONE; rows],
            layout,
        };
        for &(_, row) in graph.twins.pairs() {
            checker.twin[row as usize] = true;
        }
        checker.check(graph.root.bytes(), None)?;
        // The root has stamped with no row's number.
        let records = graph
            .records
            .bytes_mut()
            .chunks_exact_mut(layout.record_bytes());
        for (row, record) in (0u32..).zip(records) {
            if !checker.twin[row as usize] {
                record.copy_from_slice(input.take(layout.record_bytes())?);
                swap_words(record, layout.block_bytes());
                checker.check(record, Some(row))?;
            }
        }
        Ok(graph)
    }
}

/// The first bytes.
struct Header {
    config: Config,
    metric: Metric,
    root_blocks: usize,
    twins: usize,
}

impl Header {
    fn read(input: &mut Input<'_>, dim: usize, rows: usize) -> Result<Self, FormatError> {
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
        if input.number()? != dim || dim == 0 {
            return Err(FormatError::Header { offset: 12 });
        }
        let degree = input.number()?;
        let [bits, metric] = input.array()?;
        let metric = match metric {
            0 => Metric::Cosine,
            1 => Metric::L2,
            _ => return Err(FormatError::Header { offset: 21 }),
        };
        input.zeros(2)?;
        let seed = u64::from_le_bytes(input.array()?);
        let config = Config {
            degree,
            bits,
            ef_construction: input.number()?,
            seed,
        };
        config.validate()?;
        let (root_blocks, twins) = (input.number()?, input.number()?);
        input.zeros(4)?;
        // Of several rows one at least is no twin, and somewhere a search must begin.
        if twins > rows.saturating_sub(1) {
            return Err(FormatError::Header { offset: 40 });
        }
        if (root_blocks == 0) != (rows == 0) {
            return Err(FormatError::Header { offset: 36 });
        }
        Ok(Self {
            config,
            metric,
            root_blocks,
            twins,
        })
    }
}

fn read_centre(input: &mut Input<'_>, dim: usize) -> Result<Vec<f32>, FormatError> {
    let offset = input.at;
    let bytes = dim.checked_mul(4).ok_or(input.wrong_length())?;
    let (words, _) = input.take(bytes)?.as_chunks::<4>();
    let centre: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
    match centre.iter().position(|x| !x.is_finite()) {
        Some(at) => Err(FormatError::Header {
            offset: offset + 4 * at,
        }),
        None => Ok(centre),
    }
}

/// Pairs of a node and a row behind it, each row once, and no node behind another.
fn read_pairs(
    input: &mut Input<'_>,
    count: usize,
    rows: usize,
) -> Result<Vec<(u32, u32)>, FormatError> {
    let bytes = count.checked_mul(8).ok_or(input.wrong_length())?;
    let (words, _) = input.take(bytes)?.as_chunks::<8>();
    let pairs: Vec<(u32, u32)> = words
        .iter()
        .map(|&[a, b, c, d, e, f, g, h]| {
            let number = u32::from_le_bytes;
            (number([a, b, c, d]), number([e, f, g, h]))
        })
        .collect();
    let mut twins: Vec<u32> = pairs.iter().map(|pair| pair.1).collect();
    twins.sort_unstable();
    if let Some(twice) = twins.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(FormatError::Twin { row: twice[0] });
    }
    for (at, &(node, row)) in pairs.iter().enumerate() {
        let exist = (node as usize) < rows && (row as usize) < rows;
        let in_order = at == 0 || pairs[at - 1] < (node, row);
        if !exist || !in_order || twins.binary_search(&node).is_ok() {
            return Err(FormatError::Twin { row });
        }
    }
    Ok(pairs)
}

/// What links may lead to.
struct Checker {
    twin: Vec<bool>,
    /// The row that linked to each last, to see two links to one row.
    linked: Vec<u32>,
    layout: Layout,
}

impl Checker {
    /// Checks the blocks of a row, or of the root.
    fn check(&mut self, blocks: &[u8], row: Option<u32>) -> Result<(), FormatError> {
        // No row's number, and not that of rows never linked to.
        let stamp = row.unwrap_or(NONE - 1);
        let mut ended = false;
        for block in blocks
            .chunks_exact(self.layout.block_bytes())
            .map(Block::new)
        {
            let factors = block.edges.add.iter().zip(block.edges.rescale);
            for (&to, (&add, &rescale)) in block.ids.iter().zip(factors) {
                if to == NONE {
                    ended = true;
                    if add != f32::INFINITY || rescale != 0.0 {
                        return Err(FormatError::Factor { row });
                    }
                    continue;
                }
                let at = to as usize;
                let exists = self.twin.get(at).is_some_and(|twin| !twin);
                if ended || row == Some(to) || !exists || self.linked[at] == stamp {
                    return Err(FormatError::Link { row, to });
                }
                if !add.is_finite() || !rescale.is_finite() {
                    return Err(FormatError::Factor { row });
                }
                self.linked[at] = stamp;
            }
        }
        Ok(())
    }
}

/// Turns ids and factors of blocks from the order of the file into that of the machine, or back.
fn swap_words(blocks: &mut [u8], block_bytes: usize) {
    if cfg!(target_endian = "little") {
        return;
    }
    for block in blocks.chunks_exact_mut(block_bytes) {
        for word in block[..PLANES].as_chunks_mut::<4>().0 {
            word.reverse();
        }
    }
}

impl From<Fault> for FormatError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Length { bytes } => Self::Length { bytes },
            Fault::NotZero { offset } => Self::Header { offset },
        }
    }
}
