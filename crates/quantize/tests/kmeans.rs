//! k-means finds what is there, is the same with any number of threads, leaves no cluster empty,
//! and can be stopped.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cairn_quantize::kmeans::{Config, assign, train};
use cairn_quantize::{ConfigError, Progress, SingleThread, TrainError};
use common::{Random, Threads, clustered, small_images};

#[test]
fn clusters_that_are_there_are_found() {
    let mut random = Random::new(1);
    let centres: Vec<Vec<f32>> = (0..12).map(|_| random.vector(20)).collect();
    let mut rows = Vec::new();
    for at in 0..1200 {
        rows.extend(centres[at % 12].iter().map(|x| 8.0 * x + random.normal()));
    }
    let clusters = train(&rows, 20, &Config::new(12, 3), &SingleThread, &()).expect("rows");
    // Each true cluster got one centroid: rows of a cluster agree, and clusters do not.
    for at in 0..1200 {
        assert_eq!(clusters.assignment[at], clusters.assignment[at % 12]);
    }
    let mut own = clusters.assignment[..12].to_vec();
    own.sort_unstable();
    assert!(own.into_iter().eq(0..12));
    // 20 components of variance 1 about the centre.
    assert!(
        (clusters.inertia / 1200.0 - 20.0).abs() < 1.0,
        "{}",
        clusters.inertia
    );
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let rows = &small_images()[..2000 * 196];
    let config = Config {
        iterations: 6,
        ..Config::new(50, 9)
    };
    let alone = train(rows, 196, &config, &SingleThread, &()).expect("rows");
    for threads in [2, 3, 7] {
        let together = train(rows, 196, &config, &Threads(threads), &()).expect("rows");
        assert_eq!(alone, together, "{threads} threads");
    }
    let other = train(
        rows,
        196,
        &Config { seed: 10, ..config },
        &SingleThread,
        &(),
    )
    .expect("rows");
    assert_ne!(alone.centroids, other.centroids);
}

#[test]
fn every_row_belongs_to_its_nearest_centroid() {
    let mut random = Random::new(2);
    let rows = clustered(7, 3000, &mut random);
    let clusters = train(&rows, 7, &Config::new(40, 1), &SingleThread, &()).expect("rows");
    let mut inertia = 0.0;
    for (row, &cluster) in rows.chunks_exact(7).zip(&clusters.assignment) {
        let distance = |centroid: &[f32]| -> f64 {
            let pairs = row.iter().zip(centroid);
            pairs.map(|(&x, &y)| f64::from(x - y).powi(2)).sum()
        };
        let all: Vec<f64> = clusters.centroids.chunks_exact(7).map(distance).collect();
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(all[cluster as usize] <= least * (1.0 + 1e-5));
        inertia += all[cluster as usize];
    }
    assert!((clusters.inertia - inertia).abs() < 1e-4 * inertia);
    let (again, _) =
        assign(&rows, 7, &clusters.centroids, &Threads(2), &()).expect("no one stops it");
    assert_eq!(again, clusters.assignment);
}

#[test]
fn of_centroids_equally_near_the_first_counts() {
    let rows = [0.0, 1.0, 2.0];
    let (nearest, distances) =
        assign(&rows, 1, &[1.0, 1.0, -1.0], &SingleThread, &()).expect("rows");
    assert_eq!((nearest, distances), (vec![0, 0, 0], vec![1.0, 0.0, 1.0]));
}

#[test]
fn more_rounds_and_more_centroids_come_closer() {
    let rows = &small_images()[..1500 * 196];
    let inertia = |iterations, centroids| {
        let config = Config {
            iterations,
            tolerance: 0.0,
            ..Config::new(centroids, 4)
        };
        train(rows, 196, &config, &SingleThread, &())
            .expect("rows")
            .inertia
    };
    let (seeds, few, many) = (inertia(0, 30), inertia(3, 30), inertia(20, 30));
    assert!(seeds > few && few > many, "{seeds} {few} {many}");
    assert!(inertia(20, 60) < many);
}

/// k-means++ never draws a row twice while there are others, so clusters run empty only while
/// centroids move; rows that are all alike are the extreme.
#[test]
fn no_cluster_is_empty_while_there_are_rows_for_all() {
    let mut random = Random::new(5);
    // Two dense heaps and a few rows far off: seeds in the heaps lose their rows to each other.
    let mut rows: Vec<f32> = (0..4000).map(|_| random.normal() * 1e-3).collect();
    rows.extend((0..60).map(|at| 10.0 + at as f32));
    for seed in 0..20 {
        let clusters = train(&rows, 2, &Config::new(40, seed), &SingleThread, &()).expect("rows");
        let mut sizes = [0; 40];
        for cluster in clusters.assignment {
            sizes[cluster as usize] += 1;
        }
        assert!(sizes.iter().all(|&size| size > 0), "seed={seed} {sizes:?}");
    }
    let alike = vec![1.0; 300];
    let clusters = train(&alike, 3, &Config::new(5, 1), &SingleThread, &()).expect("rows");
    assert!(clusters.centroids.iter().all(|&x| x == 1.0));
    assert_eq!(clusters.inertia, 0.0);
}

#[test]
fn one_centroid_is_the_mean() {
    let clusters =
        train(&[1.0, 2.0, 6.0], 1, &Config::new(1, 8), &SingleThread, &()).expect("rows");
    assert_eq!(clusters.centroids, [3.0]);
    assert_eq!(clusters.assignment, [0, 0, 0]);
}

struct StopAfter {
    rows: usize,
    seen: AtomicUsize,
}

impl Progress for StopAfter {
    fn advance(&self, rows: usize) {
        self.seen.fetch_add(rows, Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.seen.load(Relaxed) >= self.rows
    }
}

#[test]
fn a_training_ends_soon_after_it_is_cancelled() {
    let rows = &small_images()[..2000 * 196];
    for threads in [1, 3] {
        let stop = StopAfter {
            rows: 3000,
            seen: AtomicUsize::new(0),
        };
        let ended = train(rows, 196, &Config::new(40, 1), &Threads(threads), &stop);
        assert_eq!(ended, Err(TrainError::Cancelled));
        // Each worker ends the chunk that it has.
        assert!(stop.seen.into_inner() <= 3000 + threads * 256);
    }
}

#[test]
fn what_cannot_be_clustered_is_refused() {
    let one = |rows: &[f32], dim, k| train(rows, dim, &Config::new(k, 1), &SingleThread, &());
    assert_eq!(
        one(&[1.0, 2.0], 1, 3),
        Err(TrainError::TooFewRows { rows: 2, needed: 3 })
    );
    assert_eq!(
        one(&[1.0, 2.0, 3.0], 2, 1),
        Err(TrainError::Shape {
            components: 3,
            dim: 2
        })
    );
    assert_eq!(
        one(&[1.0, 2.0, 3.0, f32::NAN], 2, 1),
        Err(TrainError::NotFinite { row: 1 })
    );
    let none = ConfigError::Centroids { centroids: 0 };
    assert_eq!(one(&[1.0], 1, 0), Err(TrainError::Config(none)));
    assert_eq!(
        one(&[], 0, 1),
        Err(TrainError::Config(ConfigError::Dim { dim: 0 }))
    );
    // Squares that overflow are no reason to panic.
    let wide: Vec<f32> = (0..100).map(|at| at as f32 * 1e30 - 5e31).collect();
    assert!(one(&wide, 1, 4).is_ok());
}
