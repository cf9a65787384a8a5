//! Every limit of the table: what stands at it is taken, what stands above it is refused as
//! `ERR_LIMIT_EXCEEDED` (keys and k by their own rules) and changes nothing.

use cairn_engine::{
    Code, DeclaredField, Effort, Error, Fact, HnswSettings, IndexKind, KeyType, MetricName,
    Options, Payloads, SearchRequest, Select, SelectFields, Stop, VectorColumn, WriteBatch,
    WriteKind, WriteOptions, limits,
};

use crate::common;
use common::{
    Home, Row, UPDATE, batch, encode, everything, keys, number, plain, put, removal, schema, small,
    text, vector_field,
};

/// Checks the code and that the limit and what was got are named.
fn exceeds(error: Error, limit: usize) {
    assert_eq!(error.code(), Code::LimitExceeded, "{error}");
    let limit = ("limit", Fact::Number(limit as u64));
    assert!(error.details().contains(&limit), "{error}");
}

#[test]
fn dim() {
    let home = Home::memory();
    let database = home.open(small());
    let at = plain(KeyType::U64, limits::DIM_MAX as u32, MetricName::L2);
    let collection = database.create_collection("at", at).unwrap();
    let vector = vec![0.5; limits::DIM_MAX];
    put(&collection, &[Row::new(number(1), &vector)]);
    collection.compact(&Default::default()).unwrap();
    let hits = collection
        .snapshot()
        .unwrap()
        .search(&SearchRequest::new(&vector, 1), &Stop::never())
        .unwrap();
    assert_eq!(hits.distances, [0.0]);
    let above = plain(KeyType::U64, limits::DIM_MAX as u32 + 1, MetricName::L2);
    let error = database.create_collection("above", above).map(drop);
    exceeds(error.unwrap_err(), limits::DIM_MAX);
    let none = plain(KeyType::U64, 0, MetricName::L2);
    let error = database.create_collection("none", none).map(drop);
    assert_eq!(error.unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn k_and_candidate_list() {
    let home = Home::memory();
    let database = home.open(small());
    let schema = plain(KeyType::U64, 1, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let rows: Vec<Row> = (0..12_000)
        .map(|n| Row::new(number(n), &[n as f32]))
        .collect();
    put(&collection, &rows);
    let snapshot = collection.snapshot().unwrap();
    let query = [0.0];
    let search = |k, effort| {
        let request = SearchRequest {
            effort,
            ..SearchRequest::new(&query, k)
        };
        snapshot.search(&request, &Stop::never())
    };
    let hits = search(limits::K_MAX, Effort::EfSearch(limits::EF_MAX)).unwrap();
    assert_eq!(hits.distances.len(), limits::K_MAX);
    let hits = search(limits::K_MAX, Effort::Recall(0.5)).unwrap();
    assert_eq!(hits.distances.len(), limits::K_MAX);
    exceeds(
        search(limits::K_MAX + 1, Effort::Exact).unwrap_err(),
        limits::K_MAX,
    );
    let ef = Effort::EfSearch(limits::EF_MAX + 1);
    exceeds(search(1, ef).unwrap_err(), limits::EF_MAX);
}

#[test]
fn rows_of_a_batch() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let schema = plain(KeyType::U64, 1, MetricName::L2);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let of = |rows: usize, kind| {
        let numbers: Vec<u64> = (0..rows as u64).collect();
        WriteBatch {
            kind,
            vectors: vec![Some(VectorColumn {
                data: vec![1.0; rows],
                present: None,
            })],
            keys: cairn_engine::Keys::U64(numbers),
            payloads: None,
        }
    };
    let max = limits::BATCH_ROWS_MAX;
    for kind in [WriteKind::Add, WriteKind::Upsert, UPDATE] {
        let error = collection.write(of(max + 1, kind), WriteOptions::default());
        exceeds(error.unwrap_err(), max);
    }
    assert_eq!(collection.snapshot().unwrap().count(), 0);
    let result = collection
        .write(of(max, WriteKind::Add), WriteOptions::default())
        .unwrap();
    assert_eq!(result.inserted, max as u64);
    let gone: Vec<_> = (0..=max as u64).map(number).collect();
    let error = collection.write(removal(&schema, &gone), WriteOptions::default());
    exceeds(error.unwrap_err(), max);
    let result = collection
        .write(removal(&schema, &gone[..max]), WriteOptions::default())
        .unwrap();
    assert_eq!(result.deleted, max as u64);
}

#[test]
fn bytes_of_a_batch() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let dim = limits::DIM_MAX;
    let field = vector_field("vector", dim as u32, MetricName::L2, IndexKind::Flat);
    let schema = schema(KeyType::U64, vec![field]);
    let collection = database.create_collection("c", schema).unwrap();
    let rows = limits::BATCH_BYTES_MAX / (4 * dim) + 1;
    let write = WriteBatch {
        kind: WriteKind::Add,
        keys: cairn_engine::Keys::U64((0..rows as u64).collect()),
        vectors: vec![Some(VectorColumn {
            data: vec![0.0; rows * dim],
            present: None,
        })],
        payloads: None,
    };
    let error = collection.write(write, WriteOptions::default());
    exceeds(error.unwrap_err(), limits::BATCH_BYTES_MAX);
    assert_eq!(collection.stats().unwrap().memtable_rows, 0);
}

#[test]
fn an_update_may_not_touch_more_than_a_batch_may_hold() {
    // A kilobyte of update over many records of a megabyte each.
    let home = Home::memory();
    let database = home.open(Options::default());
    let dim = 32 * 1024;
    let field = vector_field("vector", dim, MetricName::L2, IndexKind::Flat);
    let schema = schema(KeyType::U64, vec![field]);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let vector = vec![1.0; dim as usize];
    let rows = 2_100;
    for first in (0..rows).step_by(700) {
        let rows: Vec<Row> = (first..first + 700)
            .map(|n| Row::new(number(n), &vector))
            .collect();
        put(&collection, &rows);
    }
    let bare = |n| Row::of(number(n), vec![None]).with("n", 1);
    let all: Vec<Row> = (0..rows).map(bare).collect();
    let error = collection
        .write(batch(&schema, UPDATE, &all), WriteOptions::default())
        .unwrap_err();
    exceeds(error, limits::BATCH_BYTES_MAX);
    let some = batch(&schema, UPDATE, &all[..100]);
    let result = collection.write(some, WriteOptions::default()).unwrap();
    assert_eq!(result.updated, 100);
    assert!(!collection.stats().unwrap().poisoned);
}

#[test]
fn bytes_of_a_key() {
    let home = Home::memory();
    let database = home.open(small());
    let schema = plain(KeyType::String, 1, MetricName::L2);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let max = limits::KEY_BYTES_MAX;
    put(&collection, &[Row::new(text("k".repeat(max)), &[1.0])]);
    for bad in [
        text("k".repeat(max + 1)),
        text("\u{20ac}".repeat(342)),
        text(""),
    ] {
        for kind in [WriteKind::Add, WriteKind::Upsert, UPDATE] {
            let write = batch(&schema, kind, &[Row::new(bad.clone(), &[1.0])]);
            let error = collection.write(write, WriteOptions::default());
            assert_eq!(error.unwrap_err().code(), Code::InvalidKey);
        }
        let delete = removal(&schema, std::slice::from_ref(&bad));
        let error = collection.write(delete, WriteOptions::default());
        assert_eq!(error.unwrap_err().code(), Code::InvalidKey);
        // Asking for it is no error: nobody has it.
        let found = collection
            .snapshot()
            .unwrap()
            .get(&keys(KeyType::String, &[bad]), &everything())
            .unwrap();
        assert!(found[0].is_none());
    }
}

#[test]
fn bytes_and_depth_of_fields() {
    let home = Home::memory();
    let database = home.open(small());
    let schema = plain(KeyType::U64, 1, MetricName::L2);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let write = |bytes: &[u8]| {
        let mut payloads = Payloads::default();
        payloads.push(bytes);
        let batch = WriteBatch {
            payloads: Some(payloads),
            ..batch(&schema, WriteKind::Upsert, &[Row::new(number(1), &[1.0])])
        };
        collection.write(batch, WriteOptions::default())
    };
    let mut at = vec![0x81, 0xa1, b'a', 0xdb];
    let rest = limits::FIELDS_BYTES_MAX - 8;
    at.extend((rest as u32).to_be_bytes());
    at.resize(limits::FIELDS_BYTES_MAX, b'x');
    write(&at).unwrap();
    let mut above = at.clone();
    above[4..8].copy_from_slice(&(rest as u32 + 1).to_be_bytes());
    above.push(b'x');
    exceeds(write(&above).unwrap_err(), limits::FIELDS_BYTES_MAX);

    let nested = |levels: usize| {
        let mut bytes = vec![0x81, 0xa1, b'a'];
        bytes.extend(vec![0x91; levels]);
        bytes.push(0xc0);
        bytes
    };
    write(&nested(limits::FIELDS_DEPTH_MAX - 1)).unwrap();
    let error = write(&nested(limits::FIELDS_DEPTH_MAX)).unwrap_err();
    exceeds(error, limits::FIELDS_DEPTH_MAX);
    let error = write(&nested(500_000)).unwrap_err();
    exceeds(error, limits::FIELDS_DEPTH_MAX);
}

#[test]
fn names_and_counts_of_collections() {
    let home = Home::memory();
    let database = home.open(small());
    let schema = || plain(KeyType::U64, 1, MetricName::L2);
    let max = limits::NAME_CHARS_MAX;
    database
        .create_collection(&"n".repeat(max), schema())
        .unwrap();
    let error = database.create_collection(&"n".repeat(max + 1), schema());
    exceeds(error.map(drop).unwrap_err(), max);
    let error = database.rename_collection(&"n".repeat(max), &"m".repeat(max + 1));
    exceeds(error.unwrap_err(), max);
}

#[test]
fn fields_of_a_schema() {
    let home = Home::memory();
    let database = home.open(small());
    let fields = |count: usize| {
        let mut schema = plain(KeyType::U64, 1, MetricName::L2);
        schema.fields = (0..count)
            .map(|n| DeclaredField {
                name: format!("f{n}"),
                kind: "int".into(),
                text: Default::default(),
            })
            .collect();
        schema
    };
    let vectors = |count: usize| {
        let field = |n| vector_field(&format!("v{n}"), 1, MetricName::L2, IndexKind::Flat);
        schema(KeyType::U64, (0..count).map(field).collect())
    };
    let max = limits::SCHEMA_FIELDS_MAX;
    for (n, (at, above)) in [
        (fields(max), fields(max + 1)),
        (vectors(max), vectors(max + 1)),
    ]
    .into_iter()
    .enumerate()
    {
        let collection = database.create_collection(&format!("at{n}"), at).unwrap();
        let row = Row::of(
            number(1),
            vec![Some(vec![1.0]); collection.schema().vectors.len()],
        );
        put(&collection, &[row]);
        collection.compact(&Default::default()).unwrap();
        assert_eq!(collection.snapshot().unwrap().count(), 1);
        let error = database.create_collection("above", above).map(drop);
        exceeds(error.unwrap_err(), max);
    }
}

#[test]
fn settings_and_names_of_a_schema() {
    let home = Home::memory();
    let database = home.open(small());
    let good = HnswSettings::for_m(16);
    let with = |change: &dyn Fn(&mut HnswSettings)| {
        let mut settings = good.clone();
        change(&mut settings);
        let field = vector_field("v", 4, MetricName::L2, IndexKind::Hnsw(settings));
        schema(KeyType::U64, vec![field])
    };
    let bad: [&dyn Fn(&mut HnswSettings); 9] = [
        &|s| s.m = 0,
        &|s| s.m = 1,
        &|s| s.m = 100_000,
        &|s| s.m0 = 0,
        &|s| s.m_max = 0,
        &|s| s.ef_construction = 0,
        &|s| s.level_mult = f64::NAN,
        &|s| s.level_mult = -1.0,
        &|s| s.level_mult = f64::INFINITY,
    ];
    for (n, change) in bad.into_iter().enumerate() {
        let error = database.create_collection("bad", with(change)).map(drop);
        let error = error.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "n={n}");
        let field = ("field", Fact::Text("v".into()));
        assert!(error.details().contains(&field), "{error}");
    }
    database.create_collection("good", with(&|_| {})).unwrap();

    let refused = |schema| {
        let error = database.create_collection("bad", schema).map(drop);
        error.unwrap_err().code()
    };
    let named = |name: &str| {
        let field = vector_field(name, 4, MetricName::L2, IndexKind::Auto);
        schema(KeyType::U64, vec![field])
    };
    for name in ["", "$vector", "a\0b", &"v".repeat(1_025)] {
        assert_eq!(refused(named(name)), Code::InvalidName, "{name:?}");
    }
    for (n, name) in ["__proto__", "\u{e9}", "a.b", " ", &"v".repeat(1_024)]
        .iter()
        .enumerate()
    {
        database
            .create_collection(&format!("name{n}"), named(name))
            .unwrap();
    }
    assert_eq!(
        refused(schema(KeyType::U64, Vec::new())),
        Code::InvalidArgument
    );
    let mut twice = named("v");
    twice.vectors.push(twice.vectors[0].clone());
    assert_eq!(refused(twice), Code::InvalidName);
    let mut unknown = named("v");
    unknown.fields = vec![DeclaredField {
        name: "f".into(),
        kind: "complex".into(),
        text: Default::default(),
    }];
    assert_eq!(refused(unknown), Code::InvalidArgument);
}

#[test]
fn fields_that_only_just_fit_can_be_merged_quickly() {
    // A record of 100,000 small fields, updated by as many: linear, or this takes minutes.
    let home = Home::memory();
    let database = home.open(small());
    let schema = plain(KeyType::U64, 1, MetricName::L2);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let fields = |from: usize, value: i64| {
        let named = |n: usize| (format!("{n:x}"), common::Value::Int(value));
        (from..from + 100_000)
            .map(named)
            .collect::<common::Fields>()
    };
    let row = |fields: common::Fields| Row {
        fields: Some(fields),
        ..Row::new(number(1), &[1.0])
    };
    assert!(encode(&fields(0, 1)).len() < limits::FIELDS_BYTES_MAX);
    put(&collection, &[row(fields(0, 1))]);
    let update = batch(&schema, UPDATE, &[row(fields(1_000, 2))]);
    let clock = &home.env.clock;
    let since = clock.now();
    collection.write(update, WriteOptions::default()).unwrap();
    assert!((clock.now() - since).as_secs() < 10);
    let found = collection
        .snapshot()
        .unwrap()
        .get(&keys(KeyType::U64, &[number(1)]), &everything())
        .unwrap();
    let merged = common::decode(&found[0].as_ref().unwrap().fields);
    assert_eq!(merged.len(), 101_000);
    assert_eq!(merged["0"], common::Value::Int(1));
    assert_eq!(merged["3e8"], common::Value::Int(2));
}

#[test]
fn bytes_of_an_answer() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let schema = plain(KeyType::String, 1, MetricName::L2);
    let large = database.create_collection("large", schema.clone()).unwrap();
    let megabyte = "x".repeat(1_000_000);
    put(&large, &[Row::new(text("a"), &[0.0]).with("f", &*megabyte)]);
    let snapshot = large.snapshot().unwrap();
    // A key may be asked for as often as one likes: 1,074 answers are more than 1 GiB.
    let get = |times| {
        let asked = vec![text("a"); times];
        let records = snapshot.get(&keys(KeyType::String, &asked), &everything());
        records.map(|records| records.len())
    };
    assert_eq!(get(100).unwrap(), 100);
    exceeds(get(1_074).unwrap_err(), limits::ANSWER_BYTES_MAX);
    let search = |queries| {
        let vectors = vec![0.0; queries];
        let request = SearchRequest::new(&[], 1);
        let answer = snapshot.search_batch(&vectors, &request, &Stop::never());
        answer.map(|(hits, offsets)| (hits.distances.len(), offsets.len()))
    };
    assert_eq!(search(100).unwrap(), (100, 101));
    let error = search(1_074).unwrap_err();
    let query = ("query", Fact::Number(1_073));
    assert!(error.details().contains(&query), "{error}");
    exceeds(error, limits::ANSWER_BYTES_MAX);

    // Keys alone: 103 answers of 10,000 keys of 1,024 bytes. From the 420th on they would not fit
    // a column.
    let long = database.create_collection("long", schema).unwrap();
    let key = |n: u16| text(format!("{n:01024}"));
    let rows: Vec<Row> = (0..10_000)
        .map(|n| Row::new(key(n), &[f32::from(n)]))
        .collect();
    put(&long, &rows);
    let request = SearchRequest {
        select: Select {
            fields: SelectFields::None,
            vectors: false,
        },
        ..SearchRequest::new(&[], limits::K_MAX)
    };
    let snapshot = long.snapshot().unwrap();
    let answer = snapshot.search_batch(&vec![0.0; 430], &request, &Stop::never());
    exceeds(answer.map(drop).unwrap_err(), limits::ANSWER_BYTES_MAX);
}
