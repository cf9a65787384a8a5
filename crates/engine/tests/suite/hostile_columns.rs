//! Bytes from nowhere as fields, and columns that do not fit together: each is taken whole or
//! refused by its code, none panics, none is half applied, and what was taken survives a restart.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;

use cairn_engine::{
    Code, Collection, KeyType, Keys, MetricName, Payloads, Select, SelectFields, VectorColumn,
    WriteBatch, WriteKind, WriteOptions,
};
use cairn_testkit::{Rng, seed_from_env};

use crate::common;
use common::{Home, UPDATE, everything, number, plain, small};

fn random_fields(rng: &mut Rng) -> Vec<u8> {
    let length = rng.range(0..40);
    let mut bytes = rng.bytes(length);
    // Most random bytes are no map at all: lead some of them further in.
    match rng.below(4) {
        0 => {}
        1 => bytes.insert(0, 0x80 | (rng.below(4) as u8)),
        2 => {
            let head = [0x82, 0xa1, b'a', 0x90 | rng.below(4) as u8];
            bytes.splice(0..0, head);
        }
        _ => {
            bytes = vec![
                0x83, 0xa1, b'a', 1, 0xa1, b'b', 0xc4, 2, 7, 7, 0xa1, b'c', 0xcb,
            ];
            bytes.extend(rng.bytes(8));
            for _ in 0..rng.below(3) {
                let at = rng.range(0..bytes.len());
                bytes[at] = rng.next_u64() as u8;
            }
            if rng.chance(0.2) {
                bytes.truncate(rng.range(0..bytes.len()));
            }
        }
    }
    bytes
}

fn one(key: u64, kind: WriteKind, fields: &[u8]) -> WriteBatch {
    let mut payloads = Payloads::default();
    payloads.push(fields);
    WriteBatch {
        kind,
        keys: common::keys(KeyType::U64, &[number(key)]),
        vectors: vec![Some(VectorColumn {
            data: vec![1.0, key as f32],
            present: None,
        })],
        payloads: Some(payloads),
    }
}

fn stored(collection: &Arc<Collection>, key: u64) -> Option<Vec<u8>> {
    let column = common::keys(KeyType::U64, &[number(key)]);
    let snapshot = collection.snapshot().unwrap();
    let found = snapshot.get(&column, &everything()).unwrap();
    found[0].as_ref().map(|record| record.fields.clone())
}

#[test]
fn random_fields_are_taken_or_refused() {
    let home = Home::directory("hostile");
    let database = home.open(small());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let mut rng = Rng::new(seed_from_env("CAIRN_FIELDS_SEED", 0xf1e1d5));
    let mut kept = Vec::new();
    let (mut taken, mut refused) = (0, 0);
    for key in 0..4_000 {
        let fields = random_fields(&mut rng);
        let write = one(key, WriteKind::Upsert, &fields);
        match collection.write(write, WriteOptions::default()) {
            Ok(_) => {
                assert_eq!(
                    stored(&collection, key).as_ref(),
                    Some(&fields),
                    "as it was given"
                );
                // Whatever was taken can be cut and merged.
                let names = ["a", "b", "\u{0}"].map(String::from).to_vec();
                let column = common::keys(KeyType::U64, &[number(key)]);
                let select = Select {
                    fields: SelectFields::Some(names),
                    vectors: false,
                };
                collection
                    .snapshot()
                    .unwrap()
                    .get(&column, &select)
                    .unwrap();
                let other = random_fields(&mut rng);
                let merged = collection.write(one(key, UPDATE, &other), WriteOptions::default());
                assert!(merged.is_ok() || stored(&collection, key) == Some(fields));
                kept.push((key, stored(&collection, key)));
                taken += 1;
            }
            Err(error) => {
                let expected = [Code::InvalidArgument, Code::LimitExceeded];
                assert!(expected.contains(&error.code()), "{error}");
                assert_eq!(stored(&collection, key), None);
                refused += 1;
            }
        }
    }
    println!("taken={taken} refused={refused}");
    assert!(taken > 300 && refused > 300);
    collection.compact(&Default::default()).unwrap();
    database.close().unwrap();
    let database = home.open(small());
    let collection = database.open_collection("c").unwrap();
    assert_eq!(collection.snapshot().unwrap().count(), kept.len() as u64);
    for (key, fields) in kept {
        assert_eq!(stored(&collection, key), fields);
    }
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let home = Home::memory();
    let database = home.open(small());
    let schema = plain(KeyType::String, 2, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let mut rng = Rng::new(seed_from_env("CAIRN_COLUMNS_SEED", 0xc01));
    let mut taken = 0;
    for _ in 0..5_000 {
        let rows = rng.range(0..5);
        let about = |rng: &mut Rng, n: usize| match rng.below(6) {
            0 => rng.range(0..n + 4),
            _ => n,
        };
        let text: String = "abc\u{20ac}defgh".into();
        let mut ends: Vec<u32> = (0..about(&mut rng, rows))
            .map(|_| rng.below(text.len() as u64 + 2) as u32)
            .collect();
        if rng.chance(0.8) {
            ends.sort_unstable();
            if let Some(last) = ends.last_mut() {
                *last = text.len() as u32;
            }
        }
        let keys = Keys::Str { bytes: text, ends };
        let rows = keys.len();
        let mut payload_ends: Vec<u32> = (0..about(&mut rng, rows))
            .map(|_| rng.below(3) as u32)
            .collect();
        if rng.chance(0.8) {
            payload_ends = (1..=about(&mut rng, rows) as u32).collect();
        }
        let payload_bytes = about(&mut rng, payload_ends.len());
        let present = rng.chance(0.3).then(|| {
            let rows = about(&mut rng, rows);
            (0..rows).map(|_| rng.chance(0.8)).collect::<Vec<_>>()
        });
        let floats = about(&mut rng, rows * 2);
        let column = VectorColumn {
            data: vec![1.0; floats],
            present,
        };
        let kind = match rng.below(4) {
            0 => WriteKind::Add,
            1 => WriteKind::Delete,
            2 => UPDATE,
            _ => WriteKind::Upsert,
        };
        let columns = about(&mut rng, 1);
        let batch = WriteBatch {
            kind,
            keys,
            vectors: vec![Some(column); columns],
            payloads: rng.chance(0.5).then(|| Payloads {
                bytes: vec![0x80; payload_bytes],
                ends: payload_ends,
            }),
        };
        taken += u32::from(collection.write(batch, WriteOptions::default()).is_ok());
    }
    println!("taken={taken}");
    assert!(taken > 100);
    let stats = collection.stats().unwrap();
    assert_eq!((stats.last_background_error, stats.poisoned), (None, false));
    // The log took nothing that it cannot read again.
    let count = collection.snapshot().unwrap().count();
    database.close().unwrap();
    let database = home.open(small());
    let collection = database.open_collection("c").unwrap();
    assert_eq!(collection.snapshot().unwrap().count(), count);
}
