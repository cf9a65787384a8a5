//! FastScan sums are those of the table's entries, exactly, on every instruction set; estimates and
//! masks agree to the bit.

mod common;

use cairn_quantize::fastscan::{
    BlockEstimates, BlockFactors, Blocks, Lut, ROWS, below, block_bytes, estimates, sums,
};
use cairn_quantize::rabitq::{Base, Factors};
use cairn_quantize::{Estimate, Isa};
use common::Random;

fn table(random: &mut Random, groups: usize) -> Vec<f32> {
    (0..16 * groups).map(|_| random.normal()).collect()
}

#[test]
fn codes_come_back_out_of_their_blocks() {
    let mut random = Random::new(1);
    for groups in [1, 3, 4, 17, 64] {
        let rows: Vec<Vec<u8>> = (0..71)
            .map(|_| (0..groups).map(|_| random.below(16) as u8).collect())
            .collect();
        let mut blocks = Blocks::new(groups);
        for row in &rows {
            blocks.push(|group| row[group]);
        }
        assert_eq!((blocks.rows(), blocks.block_count()), (71, 3));
        for (row, codes) in rows.iter().enumerate() {
            for (group, &code) in codes.iter().enumerate() {
                assert_eq!(blocks.code(row, group), code);
            }
        }
    }
}

#[test]
fn sums_are_exact_for_any_number_of_groups() {
    let mut random = Random::new(2);
    // 256 groups is where a carry happens, 3,000 is 12 of them.
    for groups in (1..=40).chain([208, 255, 256, 257, 260, 384, 511, 512, 513, 3000]) {
        let mut blocks = Blocks::new(groups);
        for _ in 0..ROWS {
            blocks.push(|_| random.bits() as u8);
        }
        let mut lut = Lut::new();
        lut.fill(&table(&mut random, groups));
        let exact: Vec<u32> = (0..ROWS)
            .map(|row| {
                let entry = |group| lut.table()[group * 16 + usize::from(blocks.code(row, group))];
                (0..groups).map(|group| u32::from(entry(group))).sum()
            })
            .collect();
        for isa in Isa::available() {
            let mut out = [7; ROWS];
            sums(isa, lut.table(), blocks.block(0), &mut out);
            assert_eq!(out[..], exact[..], "{isa} groups={groups}");
        }
    }
}

#[test]
fn the_largest_entries_do_not_overflow() {
    for groups in [256, 1024, 16_384] {
        let (table, block) = (
            vec![255; block_bytes(groups)],
            vec![0xff; block_bytes(groups)],
        );
        for isa in Isa::available() {
            let mut out = [0; ROWS];
            sums(isa, &table, &block, &mut out);
            assert_eq!(out, [255 * groups as u32; ROWS], "{isa}");
        }
    }
}

#[test]
fn a_rounded_table_keeps_to_its_error() {
    let mut random = Random::new(3);
    for groups in [1, 16, 208] {
        let numbers = table(&mut random, groups);
        let mut lut = Lut::new();
        lut.fill(&numbers);
        let (mut squares, rounds) = (0.0f64, 2000);
        for _ in 0..rounds {
            let codes: Vec<usize> = (0..groups).map(|_| random.below(16)).collect();
            let entries = codes.iter().enumerate();
            let sum = entries
                .clone()
                .map(|(at, code)| u32::from(lut.table()[at * 16 + code]))
                .sum();
            let exact: f64 = entries
                .map(|(at, code)| f64::from(numbers[at * 16 + code]))
                .sum();
            let error = (f64::from(lut.value(sum)) - exact).abs();
            assert!(
                error <= f64::from(lut.error_max()),
                "groups={groups} {error}"
            );
            squares += error * error;
        }
        let deviation = (squares / f64::from(rounds)).sqrt();
        assert!(
            deviation < 1.2 * f64::from(lut.deviation()),
            "groups={groups} {deviation}"
        );
    }
}

#[test]
fn a_table_of_signs_has_the_products_with_every_sign() {
    let mut random = Random::new(4);
    let rotated = random.vector(64);
    let mut lut = Lut::new();
    lut.fill_signs(&rotated);
    for _ in 0..200 {
        let word = random.bits();
        let mut blocks = Blocks::new(16);
        blocks.push_signs(&[word]);
        let sum = (0..16).map(|group| {
            let code = usize::from(blocks.code(0, group));
            u32::from(lut.table()[group * 16 + code])
        });
        let signs = (0..64).map(|bit| if word >> bit & 1 == 1 { 0.5 } else { -0.5 });
        let exact: f32 = signs.zip(&rotated).map(|(sign, x)| sign * x).sum();
        assert!((lut.value(sum.sum()) - exact).abs() <= lut.error_max());
    }
}

#[test]
fn estimates_agree_to_the_bit_and_with_those_of_one_row() {
    let mut random = Random::new(5);
    let groups = 208;
    let mut blocks = Blocks::new(groups);
    let mut factors = BlockFactors::default();
    let mut single = Vec::new();
    for row in 0..ROWS {
        blocks.push(|_| random.bits() as u8);
        let own = Factors {
            add: random.uniform(),
            rescale: -random.uniform(),
            error: 0.1 * random.uniform(),
        };
        factors.set(row, own);
        single.push(own);
    }
    let mut lut = Lut::new();
    lut.fill_signs(&random.vector(4 * groups));
    let base = Base::l2(3.0);
    let mut first: Option<BlockEstimates> = None;
    for isa in Isa::available() {
        let mut out = BlockEstimates::default();
        estimates(isa, &lut, base, blocks.block(0), &factors, &mut out);
        let mut total = [0; ROWS];
        sums(isa, lut.table(), blocks.block(0), &mut total);
        for row in 0..ROWS {
            let slack = 1.9 * lut.deviation();
            let one: Estimate = single[row].estimate(base, lut.value(total[row]), slack);
            assert!((out.distance[row] - one.distance).abs() < 1e-5);
            assert!((out.lower[row] - one.lower()).abs() < 1e-4);
        }
        assert_eq!(first.get_or_insert(out), &out, "{isa}");
    }
}

#[test]
fn masks_have_a_bit_for_each_row_below() {
    let mut random = Random::new(6);
    for _ in 0..200 {
        let mut values = [0.0; ROWS];
        for value in &mut values {
            *value = match random.below(12) {
                0 => f32::INFINITY,
                1 => f32::NEG_INFINITY,
                2 => f32::NAN,
                3 => 0.5,
                _ => random.uniform(),
            };
        }
        let mut expected = 0u32;
        for (row, value) in values.iter().enumerate() {
            expected |= u32::from(value.is_nan() || *value < 0.5) << row;
        }
        for isa in Isa::available() {
            assert_eq!(below(isa, &values, 0.5), expected, "{isa}");
        }
    }
}
