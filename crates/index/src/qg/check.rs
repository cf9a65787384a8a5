//! The structural checker: what must hold for every quantised graph of ours.

use super::QuantisedGraph;
use super::record::Block;
use crate::Vectors;

/// What [`QuantisedGraph::check`] counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows in the graph.
    pub rows: usize,
    /// Links of all nodes.
    pub links: usize,
    /// Fewest links of a node.
    pub degree_min: usize,
    /// Rows that a search begins with.
    pub entries: usize,
    /// Rows that stand behind another row with the same vector.
    pub twins: usize,
}

impl QuantisedGraph {
    /// Checks the structure, in time proportional to the links, and counts.
    ///
    /// # Errors
    /// A sentence about the first thing found wrong: a link to the node itself, to a row that does not
    /// exist or is a twin, two links to one row, a factor that is no number, a twin with another vector,
    /// or a row that the entries do not lead to.
    pub fn check(&self, vectors: &Vectors) -> Result<Report, String> {
        if vectors.len() < self.rows {
            return Err(format!("vectors are missing, rows={}", self.rows));
        }
        for &(node, row) in self.twins.pairs() {
            if vectors.row(node) != vectors.row(row) {
                return Err(format!("no twin stands here, row={node} twin={row}"));
            }
        }
        let mut report = Report {
            rows: self.rows,
            degree_min: usize::MAX,
            twins: self.twins.pairs().len(),
            ..Report::default()
        };
        let entries = self.check_links(self.root.bytes(), None)?;
        report.entries = entries.len();
        let nodes = (0..self.rows as u32).filter(|&row| !self.twins.contains(row));
        for row in nodes.clone() {
            let degree = self.check_links(self.record(row), Some(row))?.len();
            report.links += degree;
            report.degree_min = report.degree_min.min(degree);
        }
        let mut seen = vec![false; self.rows];
        let mut queue = entries;
        while let Some(row) = queue.pop() {
            if !std::mem::replace(&mut seen[row as usize], true) {
                queue.extend(self.links(self.record(row)));
            }
        }
        match nodes.into_iter().find(|&row| !seen[row as usize]) {
            Some(row) => Err(format!("a row is lost, row={row}")),
            None => Ok(report),
        }
    }

    /// The rows that some blocks link to, if they are sound.
    fn check_links(&self, blocks: &[u8], from: Option<u32>) -> Result<Vec<u32>, String> {
        let mut links: Vec<u32> = self.links(blocks).collect();
        links.sort_unstable();
        if links.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("two links to one row, row={from:?}"));
        }
        for &to in &links {
            let exists = (to as usize) < self.rows && !self.twins.contains(to);
            if from == Some(to) || !exists {
                return Err(format!("a link leads nowhere, row={from:?} to={to}"));
            }
        }
        for block in blocks
            .chunks_exact(self.layout.block_bytes())
            .map(Block::new)
        {
            let factors = block.edges.add.iter().zip(block.edges.rescale);
            for (id, (add, rescale)) in block.ids.iter().zip(factors) {
                let none = *id == crate::bulk::NONE && *add == f32::INFINITY && *rescale == 0.0;
                if !(none || add.is_finite() && rescale.is_finite()) {
                    return Err(format!("a factor is no number, row={from:?}"));
                }
            }
        }
        Ok(links)
    }

    /// The rows that some blocks link to.
    fn links<'a>(&self, blocks: &'a [u8]) -> impl Iterator<Item = u32> + use<'a> {
        let blocks = blocks.chunks_exact(self.layout.block_bytes());
        blocks.flat_map(|block| Block::new(block).links())
    }
}
