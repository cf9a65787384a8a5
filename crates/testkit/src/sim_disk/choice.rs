//! What a crash does to each undecided operation, and who decides it.

use std::fmt;

use super::image::{CrashPoint, sectors};
use crate::Rng;

/// The sector sizes that writes are torn at: what old drives write at once, and new ones.
const SECTOR_SIZES: [u32; 2] = [512, 4096];

/// What became of one operation that was not durable when power was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As if it had not been called.
    Lost,
    /// As if it had been synced.
    Kept,
    /// A write of which some sectors arrived.
    Torn(Tear),
}

/// Which parts of a write arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tear {
    /// Bytes that arrive together or not at all: 512 or 4096.
    pub sector_bytes: u32,
    /// For each sector that the write touches, in order, whether it arrived; sectors behind
    /// the end of the list did not.
    pub kept: Vec<bool>,
    /// Whether the longer file length arrived, if the write made the file longer. Bytes of a
    /// length that arrived without its data read as zeros.
    pub length: bool,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("lost"),
            Self::Kept => f.write_str("kept"),
            Self::Torn(tear) => {
                write!(f, "torn({}:", tear.sector_bytes)?;
                for kept in &tear.kept {
                    f.write_str(if *kept { "1" } else { "0" })?;
                }
                f.write_str(if tear.length { "+len)" } else { ")" })
            }
        }
    }
}

/// Decides the fates of a crash: by seed, or one by one.
///
/// # Examples
/// ```
/// use cairn_env::Disk;
/// use cairn_testkit::{Choice, SimDisk};
/// use std::path::Path;
///
/// let disk = SimDisk::new();
/// disk.create(Path::new("/a"))?;
/// disk.create(Path::new("/b"))?;
/// let image = disk.crash_image(disk.op_count(), &mut Choice::bits(&[false, true]));
/// assert_eq!(image.paths(), ["/b"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Choice {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Random(Rng),
    Fixed { fates: Vec<Fate>, rest: Fate },
}

impl Choice {
    /// Random fates that follow from `seed`; every image drawn from one `Choice` is another.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            source: Source::Random(Rng::new(seed)),
        }
    }

    /// Kept (true) or lost, for each undecided operation in order; those behind the end are
    /// lost.
    #[must_use]
    pub fn bits(bits: &[bool]) -> Self {
        let fate = |&kept| if kept { Fate::Kept } else { Fate::Lost };
        Self::fates(bits.iter().map(fate).collect())
    }

    /// A fate for each undecided operation in order; those behind the end are lost. What
    /// cannot have happened without something that is lost is lost as well.
    #[must_use]
    pub fn fates(fates: Vec<Fate>) -> Self {
        Self {
            source: Source::Fixed {
                fates,
                rest: Fate::Lost,
            },
        }
    }

    /// Everything arrives: the process died, the machine did not.
    #[must_use]
    pub fn keep_all() -> Self {
        Self {
            source: Source::Fixed {
                fates: Vec::new(),
                rest: Fate::Kept,
            },
        }
    }

    /// Only what was synced is there.
    #[must_use]
    pub fn lose_all() -> Self {
        Self::fates(Vec::new())
    }

    /// Fates that can all have happened together.
    pub(super) fn decide(&mut self, point: &CrashPoint) -> Vec<Fate> {
        let mut fates = match &mut self.source {
            Source::Random(rng) => draw(rng, point),
            Source::Fixed { fates, rest } => {
                let mut fates = fates.clone();
                fates.resize(point.undecided(), rest.clone());
                fates
            }
        };
        point.make_possible(&mut fates);
        fates
    }
}

/// One draw. A quarter of them are a prefix of what happened with its last write torn, as a
/// machine that writes in order leaves it; most others decide each operation by itself, with
/// a bias of their own, so that "nearly all lost" and "nearly all kept" come up as well.
fn draw(rng: &mut Rng, point: &CrashPoint) -> Vec<Fate> {
    let count = point.undecided();
    match rng.below(8) {
        0 => vec![Fate::Lost; count],
        1 => vec![Fate::Kept; count],
        2 | 3 => {
            let cut = rng.range(0..count + 1);
            let mut fates = vec![Fate::Kept; cut];
            fates.resize(count, Fate::Lost);
            if cut < count {
                fates[cut] = draw_tear(rng, point, cut).map_or(Fate::Lost, Fate::Torn);
            }
            fates
        }
        _ => {
            let keep = [0.15, 0.5, 0.85][rng.range(0..3)];
            let tear = [0.0, 0.3, 0.8][rng.range(0..3)];
            (0..count)
                .map(|op| {
                    let tears = rng.chance(tear);
                    match tears.then(|| draw_tear(rng, point, op)).flatten() {
                        Some(tear) => Fate::Torn(tear),
                        None if rng.chance(keep) => Fate::Kept,
                        None => Fate::Lost,
                    }
                })
                .collect()
        }
    }
}

fn draw_tear(rng: &mut Rng, point: &CrashPoint, op: usize) -> Option<Tear> {
    let write = point.write(op)?;
    let sector_bytes = SECTOR_SIZES[rng.range(0..SECTOR_SIZES.len())];
    let count = sectors(&write.range, sector_bytes).count();
    let cut = rng.range(0..count + 1);
    let kept = match rng.below(4) {
        0 => (0..count).map(|sector| sector < cut).collect(),
        1 => (0..count).map(|sector| sector >= cut).collect(),
        2 => (0..count).map(|sector| sector != cut).collect(),
        _ => (0..count).map(|_| rng.chance(0.5)).collect(),
    };
    Some(Tear {
        sector_bytes,
        kept,
        length: write.grows && rng.chance(0.5),
    })
}

/// The tears worth trying one by one: halves, every other sector, all but the first or last,
/// length without data and data without length.
pub(super) fn typical_tears(point: &CrashPoint, op: usize) -> Vec<Tear> {
    let Some(write) = point.write(op) else {
        return Vec::new();
    };
    let mut tears = Vec::new();
    for sector_bytes in SECTOR_SIZES {
        let count = sectors(&write.range, sector_bytes).count();
        let mut add = |length: bool, kept: &dyn Fn(usize) -> bool| {
            let tear = Tear {
                sector_bytes,
                kept: (0..count).map(kept).collect(),
                length,
            };
            if !tears.contains(&tear) {
                tears.push(tear);
            }
        };
        if count > 1 {
            add(write.grows, &|sector| sector < count / 2);
            add(write.grows, &|sector| sector >= count / 2);
            add(write.grows, &|sector| sector % 2 == 0);
            add(write.grows, &|sector| sector % 2 == 1);
            add(write.grows, &|sector| sector > 0);
            add(write.grows, &|sector| sector + 1 < count);
        }
        // All or nothing is the same in both sector sizes.
        if write.grows && sector_bytes == SECTOR_SIZES[0] {
            add(true, &|_| false);
            if write.overwrites {
                add(false, &|_| true);
            }
        }
    }
    tears
}
