//! Codes of neighbours around the nodes of a graph: the same on every instruction set, what the slow
//! encoder writes, and estimates as good as theory says.

#![allow(
    clippy::unwrap_used,
    reason = "functions that tests share, though no tests themselves"
)]

mod common;

use cairn_quantize::fastscan::{Edges, Lut, ROWS, block_bytes, nearer, pack_signs, sums};
use cairn_quantize::rabitq::{Code, Config, Edge, Origin, Rabitq, encode_edge};
use cairn_quantize::{Isa, Rotation};
use common::Random;

/// Vectors of `dim` components, the later ones near the first, rotated.
fn rotated(dim: usize, count: usize, random: &mut Random) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let rotation = Rotation::new(dim, 7);
    let first = random.vector(dim);
    let near = |scale: f32, random: &mut Random| -> Vec<f32> {
        let noise = random.vector(dim);
        first
            .iter()
            .zip(noise)
            .map(|(x, y)| x + scale * y)
            .collect()
    };
    let vectors: Vec<Vec<f32>> = (0..count)
        .map(|at| near(0.3 * (at % 4) as f32, random))
        .collect();
    let rotate = |vector: &Vec<f32>| {
        let mut rotated = vec![0.0; rotation.padded_dim()];
        rotation.rotate(vector, &mut rotated);
        rotated
    };
    let all = vectors.iter().map(rotate).collect();
    (vectors, all)
}

fn square(a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs
        .map(|(x, y)| f64::from(x - y) * f64::from(x - y))
        .sum()
}

/// The codes of 32 neighbours: words of each, factors, and the planes as a graph keeps them.
struct Node {
    words: Vec<Vec<u64>>,
    add: [f32; ROWS],
    rescale: [f32; ROWS],
    planes: Vec<u8>,
}

fn node(isa: Isa, bits: u8, origin: &[f32], neighbours: &[Vec<f32>]) -> Node {
    let plane_words = origin.len() / 64;
    let (mut add, mut rescale) = ([0.0; ROWS], [0.0; ROWS]);
    let words: Vec<Vec<u64>> = neighbours
        .iter()
        .enumerate()
        .map(|(at, neighbour)| {
            let mut words = vec![0; plane_words * usize::from(bits)];
            let edge = encode_edge(isa, bits, neighbour, origin, &mut words);
            (add[at], rescale[at]) = (edge.add, edge.rescale);
            words
        })
        .collect();
    let mut planes = Vec::new();
    for plane in 0..usize::from(bits) {
        let part = plane * plane_words..(plane + 1) * plane_words;
        let all: Vec<u64> = words
            .iter()
            .flat_map(|words| &words[part.clone()])
            .copied()
            .collect();
        let mut block = vec![0; block_bytes(16 * plane_words)];
        pack_signs(&mut block, &all);
        planes.extend(block);
    }
    Node {
        words,
        add,
        rescale,
        planes,
    }
}

#[test]
fn one_look_at_32_neighbours_is_what_each_gives_by_itself() {
    let mut random = Random::new(1);
    for dim in [1, 64, 100, 128, 300, 784] {
        let (_, all) = rotated(dim, ROWS + 2, &mut random);
        let (query, origin) = (&all[ROWS], &all[ROWS + 1]);
        let mut lut = Lut::new();
        lut.fill_signs(query);
        let base = square(query, origin) as f32;
        for bits in 1..=4 {
            let node = node(Isa::active(), bits, origin, &all[..ROWS]);
            // By tables of one plane at a time, and exactly.
            let mut total = [0u32; ROWS];
            for plane in node.planes.chunks_exact(lut.table().len()) {
                let mut part = [0; ROWS];
                sums(
                    Isa::with_simd(cairn_distance::Simd::Scalar).unwrap(),
                    lut.table(),
                    plane,
                    &mut part,
                );
                total
                    .iter_mut()
                    .zip(part)
                    .for_each(|(total, part)| *total = 2 * *total + part);
            }
            let top = f32::from((1u8 << bits) - 1);
            let mut expected = [0.0; ROWS];
            for at in 0..ROWS {
                let product = lut.step() * total[at] as f32 + lut.offset() * top;
                expected[at] = (base + node.add[at]) + node.rescale[at] * product;
                let words = origin.len() / 64;
                let value = |i: usize| {
                    let planes = node.words[at].chunks_exact(words);
                    let number = planes.fold(0u32, |n, plane| {
                        2 * n + (plane[i / 64] >> (i % 64) & 1) as u32
                    });
                    f64::from(number) - f64::from(top) / 2.0
                };
                let exact: f64 = query
                    .iter()
                    .enumerate()
                    .map(|(i, &x)| f64::from(x) * value(i))
                    .sum();
                let off = (f64::from(product) - exact).abs();
                let error_max = f64::from(lut.error_max() * top) + 1e-4 * exact.abs() + 1e-3;
                assert!(
                    off <= error_max,
                    "dim={dim} bits={bits} off={off} max={error_max}"
                );
            }
            let mut sorted = expected;
            sorted.sort_by(f32::total_cmp);
            for isa in Isa::available() {
                let edges = Edges {
                    planes: &node.planes,
                    add: &node.add,
                    rescale: &node.rescale,
                };
                let mut out = [0.0; ROWS];
                let near = nearer(isa, &lut, base, edges, sorted[9], &mut out);
                assert_eq!(out, expected, "{isa} dim={dim} bits={bits}");
                let below = |at: usize| u32::from(expected[at] < sorted[9]) << at;
                assert_eq!(near, (0..ROWS).map(below).sum::<u32>(), "{isa}");
            }
        }
    }
}

#[test]
fn codes_are_the_same_on_every_instruction_set_and_those_of_the_slow_encoder() {
    let mut random = Random::new(2);
    for dim in [64, 200, 784] {
        let (vectors, all) = rotated(dim, ROWS + 1, &mut random);
        for bits in 1..=4 {
            let expected = node(Isa::active(), bits, &all[ROWS], &all[..ROWS]);
            for isa in Isa::available() {
                let node = node(isa, bits, &all[ROWS], &all[..ROWS]);
                assert_eq!(
                    (node.add, node.rescale),
                    (expected.add, expected.rescale),
                    "{isa}"
                );
                assert!(node.planes == expected.planes, "{isa}");
            }
        }
        let config = Config {
            bits: 1,
            metric: cairn_distance::Metric::L2,
            seed: 7,
        };
        let quantiser = Rabitq::new(vec![0.0; dim], config).unwrap();
        let origin = Origin::new(&quantiser, &vectors[ROWS]);
        let fast = node(Isa::active(), 1, &all[ROWS], &all[..ROWS]);
        let mut code = Code::default();
        // Every fourth is the origin itself, and has no direction.
        let others = vectors[..ROWS]
            .iter()
            .enumerate()
            .filter(|(at, _)| at % 4 > 0);
        for (at, vector) in others {
            quantiser
                .encoder()
                .encode_around(vector, &origin, &mut code);
            let other = code.planes.iter().zip(&fast.words[at]);
            // A component next to zero may have either sign, by the order of rotation and subtraction.
            assert!(other.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>() <= 2);
            let close = |a: f32, b: f32| (a - b).abs() <= 1e-3 * (a.abs() + b.abs()) + 1e-3;
            assert!(close(code.coarse.add, fast.add[at]), "dim={dim}");
            assert!(close(code.coarse.rescale, fast.rescale[at]), "dim={dim}");
        }
    }
}

#[test]
fn more_bits_estimate_closer_and_none_is_biased() {
    let mut random = Random::new(3);
    let mut last = f64::INFINITY;
    for bits in 1..=4 {
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for _ in 0..40 {
            let (_, all) = rotated(128, ROWS + 2, &mut random);
            let (query, origin) = (&all[ROWS], &all[ROWS + 1]);
            let node = node(Isa::active(), bits, origin, &all[..ROWS]);
            let mut lut = Lut::new();
            lut.fill_signs(query);
            let edges = Edges {
                planes: &node.planes,
                add: &node.add,
                rescale: &node.rescale,
            };
            let (base, mut out) = (square(query, origin), [0.0; ROWS]);
            let _ = nearer(Isa::active(), &lut, base as f32, edges, 0.0, &mut out);
            for (estimate, neighbour) in out.iter().zip(&all) {
                let size = (base * square(neighbour, origin)).sqrt().max(1e-6);
                let off = (f64::from(*estimate) - square(query, neighbour)) / size;
                (sum, squares, count) = (sum + off, squares + off * off, count + 1.0);
            }
        }
        let (mean, deviation) = (sum / count, (squares / count).sqrt());
        println!("bits={bits} mean={mean:.4} deviation={deviation:.4}");
        // sqrt(1 / 0.80^2 - 1) / sqrt(127), twice, is 0.133 for one bit.
        assert!(mean.abs() < 0.02 && deviation < 0.14 && deviation < 0.7 * last);
        last = deviation;
    }
}

#[test]
fn neighbours_at_the_node_and_beyond_all_numbers_are_not_lost() {
    let origin = vec![0.5; 64];
    let mut words = [0; 2];
    let same = encode_edge(Isa::active(), 2, &origin, &origin, &mut words);
    assert_eq!((same.add, same.rescale.abs()), (0.0, 0.0));
    let far = encode_edge(Isa::active(), 2, &[1e30; 64], &origin, &mut words);
    assert_eq!(far, Edge::default());
}
