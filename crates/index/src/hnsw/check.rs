//! The structural checker: what must hold for every graph of ours.

use std::sync::atomic::Ordering;

use cairn_distance::Metric;

use super::Graph;
use crate::{Component, Vectors};

/// What [`Graph::check`] counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Rows in the graph.
    pub rows: usize,
    /// How many rows have each level as their highest: a row of level 2 is counted at 2 only.
    pub levels: Vec<usize>,
    /// Links on each layer.
    pub links: Vec<usize>,
    /// Most links of a node on each layer.
    pub degree_max: Vec<usize>,
    /// Nodes of layer 0 that the entry point leads to, and that lead to it: all of them.
    pub reachable: usize,
    /// Links of layer 0 that lead back as well.
    pub mutual: usize,
    /// Rows that stand behind another row with the same vector.
    pub twins: usize,
}

impl<T: Component> Graph<T> {
    /// Checks the structure, in time proportional to the links, and counts.
    ///
    /// No insert may run meanwhile.
    ///
    /// # Errors
    /// A sentence about the first thing found wrong: a list beyond its cap, a link to the node
    /// itself, to a row that does not exist or does not reach the layer, two links to one row, an
    /// entry point that is not on its layer, a twin with another vector, or a row that the entry point does not lead to on
    /// layer 0, or that does not lead to the entry point.
    pub fn check(&self, vectors: &Vectors<T>, metric: Metric) -> Result<Report, String> {
        let rows = self.rows();
        if metric != self.metric() {
            return Err(format!("the metric is {}, not {metric}", self.metric()));
        }
        if vectors.len() < rows {
            return Err(format!(
                "vectors are missing, rows={rows} vectors={}",
                vectors.len()
            ));
        }
        let levels = &self.links.levels()[..rows];
        let layers = levels.iter().max().map_or(0, |&top| usize::from(top) + 1);
        let mut report = Report {
            rows,
            levels: vec![0; layers],
            links: vec![0; layers],
            degree_max: vec![0; layers],
            ..Report::default()
        };
        for (row, &level) in (0..).zip(levels) {
            report.levels[usize::from(level)] += 1;
            for layer in 0..=level {
                let degree = self.check_list(row, layer)?;
                report.links[usize::from(layer)] += degree;
                let degree_max = &mut report.degree_max[usize::from(layer)];
                *degree_max = degree.max(*degree_max);
            }
            let links = self.links.bottom(row).rows();
            let back = |&to: &u32| self.links.bottom(to).rows().any(|from| from == row);
            report.mutual += links.filter(back).count();
            for twin in self.links.bottom(row).twins() {
                if vectors.row(twin) != vectors.row(row) {
                    return Err(format!("no twin stands here, row={row} twin={twin}"));
                }
                report.twins += 1;
            }
        }
        let [from, to] = self.connected()?;
        report.reachable = from;
        if from.min(to) != rows {
            return Err(format!(
                "rows are lost, rows={rows} reachable={from} leading back={to}"
            ));
        }
        let twins = self.twins.load(Ordering::Relaxed);
        if report.twins != twins {
            return Err(format!(
                "twins are lost, twins={twins} found={}",
                report.twins
            ));
        }
        Ok(report)
    }

    /// The degree of a node on a layer, if the list is sound.
    fn check_list(&self, row: u32, layer: u8) -> Result<usize, String> {
        let list = self.links.list(row, layer);
        let mut links: Vec<u32> = list.rows().collect();
        let degree = links.len();
        if degree > self.links.room(layer) {
            return Err(format!(
                "too many links, row={row} layer={layer} degree={degree}"
            ));
        }
        links.sort_unstable();
        if links.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("two links to one row, row={row} layer={layer}"));
        }
        for to in links {
            let exists = (to as usize) < self.rows() && self.links.level(to) >= layer;
            if to == row || !exists {
                return Err(format!(
                    "a link leads nowhere, row={row} layer={layer} to={to}"
                ));
            }
        }
        Ok(degree)
    }

    /// How many rows the entry point leads to on layer 0, and how many lead to it.
    fn connected(&self) -> Result<[usize; 2], String> {
        let Some((entry, level)) = self.entry.load() else {
            return Ok([0, 0]);
        };
        if (entry as usize) >= self.rows() || self.links.level(entry) != level {
            return Err(format!(
                "the entry point is not on its layer, row={entry} level={level}"
            ));
        }
        let rows = self.capacity();
        let onward = |row: u32| self.links.bottom(row).rows();
        let mut back: Vec<Vec<u32>> = vec![Vec::new(); rows];
        for row in 0..rows as u32 {
            onward(row).for_each(|to| back[to as usize].push(row));
        }
        let from = count_from(entry, rows, |row, visit| onward(row).for_each(visit));
        let to = count_from(entry, rows, |row, visit| {
            back[row as usize].iter().copied().for_each(visit);
        });
        Ok([from, to])
    }
}

/// How many of `rows` rows are met from `start` on, itself counted.
fn count_from(start: u32, rows: usize, neighbours: impl Fn(u32, &mut dyn FnMut(u32))) -> usize {
    let mut seen = vec![false; rows];
    seen[start as usize] = true;
    let (mut queue, mut count) = (vec![start], 0);
    while let Some(row) = queue.pop() {
        count += 1;
        neighbours(row, &mut |next| {
            if !std::mem::replace(&mut seen[next as usize], true) {
                queue.push(next);
            }
        });
    }
    count
}
