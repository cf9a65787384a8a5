//! Products of integers are exact on every instruction set, at every length and at the extremes.
//!
//! `CAIRN_REQUIRE_SIMD=avx512,avx2` makes this file fail if one of those was not exercised: a
//! machine without it would otherwise pass in silence.

mod common;

use cairn_quantize::Isa;
use cairn_quantize::integer::{LEN_MAX, NIBBLE_BLOCK, bits, bytes, nibbles};
use common::Random;

fn signed(random: &mut Random, len: usize) -> Vec<i8> {
    let mut pick = || match random.below(8) {
        0 => i8::MIN,
        1 => i8::MAX,
        _ => random.bits() as i8,
    };
    (0..len).map(|_| pick()).collect()
}

fn unsigned(random: &mut Random, len: usize) -> Vec<u8> {
    let mut pick = || match random.below(8) {
        0 => 255,
        _ => random.bits() as u8,
    };
    (0..len).map(|_| pick()).collect()
}

fn check_bits(words: &[u64], vector: &[i8]) {
    let set = |at: usize| words[at / 64] >> (at % 64) & 1 == 1;
    let chosen = vector.iter().enumerate().filter(|(at, _)| set(*at));
    let exact: i64 = chosen.map(|(_, &x)| i64::from(x)).sum();
    for isa in Isa::available() {
        assert_eq!(
            i64::from(bits(isa, words, vector)),
            exact,
            "{isa} {}",
            vector.len()
        );
    }
}

fn check_bytes(codes: &[u8], vector: &[i8]) {
    let pairs = codes.iter().zip(vector);
    let exact: i64 = pairs.map(|(&x, &y)| i64::from(x) * i64::from(y)).sum();
    for isa in Isa::available() {
        assert_eq!(
            i64::from(bytes(isa, codes, vector)),
            exact,
            "{isa} {}",
            vector.len()
        );
    }
}

fn check_nibbles(packed: &[u8], vector: &[i8]) {
    let exact: i64 = vector
        .iter()
        .enumerate()
        .map(|(at, &x)| {
            let byte = packed[at / 64 * NIBBLE_BLOCK + at % 32];
            let code = if at % 64 < 32 { byte & 15 } else { byte >> 4 };
            i64::from(code) * i64::from(x)
        })
        .sum();
    for isa in Isa::available() {
        assert_eq!(
            i64::from(nibbles(isa, packed, vector)),
            exact,
            "{isa} {}",
            vector.len()
        );
    }
}

#[test]
fn random_codes_of_every_length() {
    let ran: Vec<String> = Isa::available().iter().map(ToString::to_string).collect();
    println!("instruction sets exercised: {}", ran.join(", "));
    let required = std::env::var("CAIRN_REQUIRE_SIMD").unwrap_or_default();
    for name in required
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        let exercised = ran.iter().any(|isa| isa == name);
        assert!(exercised, "{name} is required but was not exercised");
    }
    let mut random = Random::new(1);
    for len in (0..=300).chain([1023, 4096, LEN_MAX]) {
        check_bytes(&unsigned(&mut random, len), &signed(&mut random, len));
    }
    for words in (0..=40).chain([LEN_MAX / 64]) {
        let plane: Vec<u64> = (0..words).map(|_| random.bits()).collect();
        check_bits(&plane, &signed(&mut random, words * 64));
        let packed = unsigned(&mut random, words * NIBBLE_BLOCK);
        check_nibbles(&packed, &signed(&mut random, words * 64));
    }
}

#[test]
fn extremes_do_not_overflow_at_the_longest() {
    for x in [i8::MIN, -1, 0, 1, i8::MAX] {
        for len in [64, 192, LEN_MAX] {
            let vector = vec![x; len];
            for code in [0, 1, 254, 255] {
                check_bytes(&vec![code; len], &vector);
                check_nibbles(&vec![code; len / 2], &vector);
            }
            for word in [0, 1, u64::MAX, 1 << 63] {
                check_bits(&vec![word; len / 64], &vector);
            }
        }
    }
}

#[test]
fn slices_may_start_anywhere() {
    let mut random = Random::new(2);
    let (codes, vector) = (unsigned(&mut random, 600), signed(&mut random, 600));
    for start in 0..64 {
        check_bytes(&codes[start..start + 200], &vector[64 - start..264 - start]);
        check_nibbles(&codes[start..start + 96], &vector[start..start + 192]);
    }
}

#[test]
#[should_panic(expected = "one code per component")]
fn other_lengths_are_refused() {
    let _ = bytes(Isa::active(), &[1, 2], &[1]);
}
