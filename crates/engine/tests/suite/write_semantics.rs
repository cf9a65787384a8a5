//! What each write does, by the public contract, in memory and in a directory, under string keys
//! and numbers alike: `add` refuses what exists, `upsert` replaces whole records and the last one
//! of a batch wins, `update` merges, `delete` skips what is missing; a batch that is refused says
//! which row, key and field it is about, and leaves no trace.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cairn_engine::{
    Code, Collection, Durability, Error, Fact, IndexKind, KeyBuf, KeyType, MetricName, Payloads,
    Schema, Stop, VectorColumn, WriteBatch, WriteKind, WriteOptions, WriteResult,
};

use crate::common;
use common::{
    Home, Model, Row, UPDATE, batch, number, put, removal, remove, schema, small, text,
    vector_field,
};

/// Two vector fields, one of which normalises.
fn two_fields(key: KeyType) -> Schema {
    let first = vector_field("image", 2, MetricName::Cosine, IndexKind::Auto);
    let second = vector_field("sound", 3, MetricName::L2, IndexKind::Flat);
    schema(key, vec![first, second])
}

fn row(key: KeyBuf, value: f32) -> Row {
    Row::of(
        key,
        vec![Some(vec![1.0, value]), Some(vec![value, 0.0, -value])],
    )
}

/// A collection beside its oracle: every write goes to both.
struct Pair {
    collection: Arc<Collection>,
    model: Model,
}

impl Pair {
    fn write(&mut self, kind: WriteKind, rows: &[Row]) -> Result<WriteResult, Error> {
        self.write_if(kind, rows, None)
    }

    fn write_if(
        &mut self,
        kind: WriteKind,
        rows: &[Row],
        if_version: Option<u64>,
    ) -> Result<WriteResult, Error> {
        let options = WriteOptions {
            if_version,
            ..WriteOptions::default()
        };
        let batch = batch(self.collection.schema(), kind, rows);
        let answer = self.collection.write(batch, options);
        self.model.write(kind, rows, if_version, &answer);
        self.check();
        answer
    }

    fn check(&self) {
        self.model.check(&self.collection.snapshot().unwrap());
    }
}

/// Runs `story` for each kind of home and key, then closes, reopens and compares once more.
fn everywhere(name: &str, story: impl Fn(&mut Pair, &dyn Fn(u64) -> KeyBuf)) {
    let numbers = |n: u64| number(n.wrapping_sub(1));
    let texts = |n: u64| text(format!("key {n}"));
    for home in [Home::memory(), Home::directory(name)] {
        for (key, make) in [
            (KeyType::U64, &numbers as &dyn Fn(u64) -> KeyBuf),
            (KeyType::String, &texts),
        ] {
            let name = format!("{key:?}");
            let database = home.open(small());
            let schema = two_fields(key);
            let collection = database.create_collection(&name, schema.clone()).unwrap();
            let model = Model::new(&schema);
            let mut pair = Pair { collection, model };
            story(&mut pair, make);
            database.close().unwrap();
            let database = home.open(small());
            pair.collection = database.open_collection(&name).unwrap();
            pair.check();
            database.close().unwrap();
        }
    }
}

fn details(error: &Error) -> Vec<(&'static str, String)> {
    let show = |fact: &Fact| match fact {
        Fact::Number(number) => number.to_string(),
        Fact::Text(text) => text.clone(),
    };
    let facts = error.details().iter();
    facts.map(|(name, fact)| (*name, show(fact))).collect()
}

fn shown(key: &KeyBuf) -> String {
    match key {
        KeyBuf::Str(text) => text.to_string(),
        KeyBuf::U64(number) => number.to_string(),
    }
}

/// Checks that an error names row, key and, if given, field.
fn names(error: &Error, code: Code, index: usize, key: &KeyBuf, field: Option<&str>) {
    assert_eq!(error.code(), code, "{error}");
    let details = details(error);
    let has = |name: &str, value: &str| details.iter().any(|(n, v)| *n == name && v == value);
    assert!(has("index", &index.to_string()), "{error}");
    assert!(has("key", &shown(key)), "{error}");
    if let Some(field) = field {
        assert!(has("field", field), "{error}");
    }
}

#[test]
fn add_refuses_what_exists_and_what_stands_twice() {
    everywhere("add", |pair, key| {
        let rows: Vec<Row> = (0..20).map(|n| row(key(n), n as f32)).collect();
        let added = pair.write(WriteKind::Add, &rows).unwrap();
        assert_eq!((added.inserted, added.updated), (20, 0));

        let again = [row(key(50), 1.0), row(key(7), 2.0), row(key(51), 3.0)];
        let error = pair.write(WriteKind::Add, &again).unwrap_err();
        names(&error, Code::AlreadyExists, 1, &key(7), None);

        let twice = [row(key(60), 1.0), row(key(61), 2.0), row(key(60), 3.0)];
        let error = pair.write(WriteKind::Add, &twice).unwrap_err();
        names(&error, Code::AlreadyExists, 2, &key(60), None);

        // What was deleted can be added again.
        pair.write(WriteKind::Delete, &[row(key(7), 0.0)]).unwrap();
        pair.write(WriteKind::Add, &again).unwrap();
    });
}

#[test]
fn upsert_replaces_whole_records_and_the_last_of_a_key_wins() {
    everywhere("upsert", |pair, key| {
        let first = [
            row(key(1), 1.0).with("a", 1).with("b", "one"),
            row(key(2), 2.0).with("a", 2),
        ];
        let result = pair.write(WriteKind::Upsert, &first).unwrap();
        assert_eq!((result.inserted, result.updated), (2, 0));

        // The old fields go, the third row of key 1 wins, key 3 is new and stands twice.
        let second = [
            row(key(1), 10.0).with("c", 1),
            row(key(3), 30.0).with("c", 2),
            row(key(1), 11.0).with("c", 3),
            row(key(3), 31.0),
            row(key(1), 12.0).with("d", true),
        ];
        let result = pair.write(WriteKind::Upsert, &second).unwrap();
        assert_eq!((result.inserted, result.updated), (1, 1));
        let fields = &pair.model.records[&key(1)].fields;
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["d"]);
    });
}

#[test]
fn update_merges_fields_and_replaces_given_vectors() {
    everywhere("update", |pair, key| {
        let before = [
            row(key(1), 1.0).with("a", 1).with("b", "one"),
            row(key(2), 2.0),
            row(key(3), 3.0).with("x", 1.5),
        ];
        pair.write(WriteKind::Upsert, &before).unwrap();

        // Absent vectors differ from row to row and from field to field.
        let bare = |key, vectors| Row::of(key, vectors);
        let change = [
            bare(key(1), vec![None, Some(vec![7.0, 7.0, 7.0])]).with("b", "two"),
            bare(key(2), vec![Some(vec![0.0, -3.0]), None]).with("new", false),
            bare(key(3), vec![None, None]),
        ];
        let result = pair.write(UPDATE, &change).unwrap();
        assert_eq!((result.inserted, result.updated, result.skipped), (0, 3, 0));
        assert_eq!(pair.model.records[&key(1)].fields.len(), 2);

        // No vectors at all, no fields at all.
        pair.write(UPDATE, &[bare(key(1), vec![None, None]).with("c", 3)])
            .unwrap();
        pair.write(UPDATE, &[bare(key(2), vec![Some(vec![9.0, 9.0]), None])])
            .unwrap();

        // A key that stands twice is merged twice, in order.
        let twice = [
            bare(key(1), vec![Some(vec![5.0, 5.0]), None]).with("a", 10),
            bare(key(2), vec![None, None]).with("p", 1),
            bare(key(1), vec![None, None]).with("z", 11),
        ];
        let result = pair.write(UPDATE, &twice).unwrap();
        assert_eq!(result.updated, 2);
        assert_eq!(pair.model.records[&key(1)].vectors[0], [5.0, 5.0]);
        assert_eq!(pair.model.records[&key(1)].fields.len(), 4);

        // `replace_fields` drops the old fields, also when no new ones are given.
        let replace = WriteKind::Update {
            replace_fields: true,
            skip_missing: false,
        };
        pair.write(replace, &[bare(key(1), vec![None, None]).with("only", 1)])
            .unwrap();
        pair.write(replace, &[bare(key(3), vec![None, None])])
            .unwrap();
        assert!(pair.model.records[&key(3)].fields.is_empty());
    });
}

#[test]
fn update_of_a_missing_key_fails_or_skips_as_asked() {
    everywhere("missing", |pair, key| {
        pair.write(WriteKind::Upsert, &[row(key(1), 1.0)]).unwrap();
        let rows = [
            row(key(1), 2.0).with("a", 1),
            row(key(2), 2.0),
            row(key(3), 3.0),
        ];
        let error = pair.write(UPDATE, &rows).unwrap_err();
        names(&error, Code::NotFound, 1, &key(2), None);
        let skip = WriteKind::Update {
            replace_fields: false,
            skip_missing: true,
        };
        let result = pair.write(skip, &rows).unwrap();
        assert_eq!((result.updated, result.skipped), (1, 2));

        // Nothing to do is no new version.
        let version = pair.collection.snapshot().unwrap().version();
        let result = pair.write(skip, &rows[1..]).unwrap();
        assert_eq!((result.version, result.skipped), (version, 2));
    });
}

#[test]
fn delete_removes_once_and_skips_what_is_missing() {
    everywhere("delete", |pair, key| {
        let rows: Vec<Row> = (1..=5).map(|n| row(key(n), n as f32)).collect();
        pair.write(WriteKind::Upsert, &rows).unwrap();
        let gone = [key(2), key(9), key(2), key(4)].map(|key| row(key, 0.0));
        let result = pair.write(WriteKind::Delete, &gone).unwrap();
        assert_eq!((result.deleted, result.skipped), (2, 1));
        let version = result.version;
        let result = pair.write(WriteKind::Delete, &gone).unwrap();
        assert_eq!((result.deleted, result.version), (0, version));
        pair.write(WriteKind::Delete, &[]).unwrap();
        pair.write(WriteKind::Upsert, &[]).unwrap();
    });
}

#[test]
fn a_condition_on_the_version_holds_for_every_row_or_nothing_happens() {
    everywhere("condition", |pair, key| {
        let rows = [row(key(1), 1.0), row(key(2), 2.0)];
        // 0: must not exist.
        let first = pair
            .write_if(WriteKind::Upsert, &rows, Some(0))
            .unwrap()
            .version;
        let error = pair
            .write_if(WriteKind::Upsert, &rows, Some(0))
            .unwrap_err();
        names(&error, Code::ConditionFailed, 0, &key(1), None);
        let second = pair
            .write_if(WriteKind::Upsert, &rows[1..], Some(first))
            .unwrap()
            .version;
        assert!(second > first);
        let error = pair
            .write_if(WriteKind::Delete, &rows, Some(first))
            .unwrap_err();
        names(&error, Code::ConditionFailed, 1, &key(2), None);
        let facts = details(&error);
        assert!(facts.contains(&("expected", first.to_string())), "{error}");
        assert!(facts.contains(&("found", second.to_string())), "{error}");
        pair.write_if(UPDATE, &rows[..1], Some(first)).unwrap();
        pair.write_if(WriteKind::Delete, &rows[1..], Some(second))
            .unwrap();
    });
}

#[test]
fn versions_are_those_of_the_last_write_of_each_record() {
    everywhere("versions", |pair, key| {
        let mut last = 0;
        for n in 0..30 {
            let result = pair
                .write(WriteKind::Upsert, &[row(key(n % 7), n as f32)])
                .unwrap();
            assert!(result.version > last);
            last = result.version;
            let snapshot = pair.collection.snapshot().unwrap();
            assert_eq!(snapshot.version(), last, "one's own write is seen at once");
        }
    });
}

#[test]
fn every_number_of_64_bits_is_a_key() {
    let home = Home::directory("numbers");
    let schema = two_fields(KeyType::U64);
    let database = home.open(small());
    let collection = database.create_collection("n", schema.clone()).unwrap();
    let edges = [
        0,
        1,
        255,
        1 << 31,
        (1 << 32) - 1,
        1 << 32,
        1 << 53,
        (1 << 53) + 1,
        i64::MAX as u64,
        1 << 63,
        u64::MAX - 1,
        u64::MAX,
    ];
    let rows: Vec<Row> = edges.iter().map(|&n| row(number(n), n as f32)).collect();
    let mut model = Model::new(&schema);
    let answer = collection.write(
        batch(&schema, WriteKind::Add, &rows),
        WriteOptions::default(),
    );
    model.write(WriteKind::Add, &rows, None, &answer);
    model.check(&collection.snapshot().unwrap());
    collection.compact(&Default::default()).unwrap();
    model.check(&collection.snapshot().unwrap());
    database.close().unwrap();
    let database = home.open(small());
    let collection = database.open_collection("n").unwrap();
    model.check(&collection.snapshot().unwrap());
}

#[test]
fn odd_strings_are_ordinary_keys() {
    let home = Home::directory("strings");
    let schema = two_fields(KeyType::String);
    let database = home.open(small());
    let collection = database.create_collection("s", schema.clone()).unwrap();
    let odd = [
        "__proto__".to_owned(),
        "constructor".into(),
        " ".into(),
        "\0".into(),
        "\u{10ffff}".into(),
        "\u{e9}".into(),
        "e\u{301}".into(),
        "../../etc/passwd".into(),
        "a/b\\c".into(),
        "x".repeat(1_024),
        "\u{20ac}".repeat(341),
    ];
    let rows: Vec<Row> = odd
        .iter()
        .map(|k| row(text(k.as_str()), k.len() as f32))
        .collect();
    let mut model = Model::new(&schema);
    let add = batch(&schema, WriteKind::Add, &rows);
    let answer = collection.write(add, WriteOptions::default());
    model.write(WriteKind::Add, &rows, None, &answer);
    collection.compact(&Default::default()).unwrap();
    model.check(&collection.snapshot().unwrap());
    database.close().unwrap();
    let database = home.open(small());
    let collection = database.open_collection("s").unwrap();
    model.check(&collection.snapshot().unwrap());
}

/// A batch that must be refused, and what the refusal must say.
struct Bad {
    what: &'static str,
    batch: WriteBatch,
    code: Code,
    /// Row, key, field.
    about: Option<(usize, KeyBuf, Option<&'static str>)>,
}

/// Good rows around a bad one, so that "all or nothing" can be seen.
fn bad_batches(schema: &Schema) -> Vec<Bad> {
    let key = |n: u64| text(format!("bad {n}"));
    let rows: Vec<Row> = (0..4).map(|n| row(key(n), n as f32).with("n", 1)).collect();
    let good = || batch(schema, WriteKind::Upsert, &rows);
    let with_vector = |field: usize, vector: &[f32]| {
        let mut rows = rows.clone();
        rows[2].vectors[field] = Some(vector.to_vec());
        batch(schema, WriteKind::Upsert, &rows)
    };
    let at = |field| Some((2, key(2), Some(field)));
    let with_payload = |bytes: &[u8]| {
        let mut payloads = Payloads::default();
        for row in 0..4 {
            payloads.push(if row == 2 { bytes } else { &[0x80] });
        }
        WriteBatch {
            payloads: Some(payloads),
            ..good()
        }
    };
    let with_key = |bad: KeyBuf| {
        let mut rows = rows.clone();
        rows[2].key = bad;
        batch(schema, WriteKind::Upsert, &rows)
    };
    let bad = |what, batch, code, about| Bad {
        what,
        batch,
        code,
        about,
    };
    let mut missing = rows.clone();
    missing[2].vectors[1] = None;
    let missing = batch(schema, WriteKind::Upsert, &missing);
    let short = {
        let mut batch = good();
        batch.vectors[1].as_mut().unwrap().data.pop();
        batch
    };
    let fewer_payloads = {
        let mut batch = good();
        batch.payloads.as_mut().unwrap().ends.pop();
        batch
    };
    let fewer_flags = {
        let mut batch = good();
        batch.vectors[0].as_mut().unwrap().present = Some(vec![true; 3]);
        batch
    };
    let fewer_columns = {
        let mut batch = good();
        batch.vectors.pop();
        batch
    };
    let no_column = {
        let mut batch = good();
        batch.vectors[1] = None;
        batch
    };
    let numbers = WriteBatch {
        keys: common::keys(KeyType::U64, &[number(1), number(2), number(3), number(4)]),
        ..good()
    };
    let deep = {
        let mut bytes = vec![0x81, 0xa1, b'a'];
        bytes.extend([0x91; 32]);
        bytes.push(0xc0);
        bytes
    };
    let big = {
        let mut bytes = vec![0x81, 0xa1, b'a', 0xc6, 0, 16, 0, 0];
        bytes.resize(8 + (1 << 20), 7);
        bytes
    };
    use Code::{DimMismatch, InvalidArgument, InvalidKey, LimitExceeded, NotFinite, ZeroVector};
    vec![
        bad(
            "NaN",
            with_vector(0, &[1.0, f32::NAN]),
            NotFinite,
            at("image"),
        ),
        bad(
            "infinity",
            with_vector(1, &[0.0, f32::INFINITY, 0.0]),
            NotFinite,
            at("sound"),
        ),
        bad(
            "minus infinity",
            with_vector(1, &[f32::NEG_INFINITY, 0.0, 0.0]),
            NotFinite,
            at("sound"),
        ),
        bad(
            "zero under cosine",
            with_vector(0, &[0.0, -0.0]),
            ZeroVector,
            at("image"),
        ),
        bad("a vector missing", missing, InvalidArgument, at("sound")),
        bad(
            "a column missing",
            no_column,
            InvalidArgument,
            Some((0, key(0), Some("sound"))),
        ),
        bad("a short column", short, DimMismatch, None),
        bad("fewer columns", fewer_columns, InvalidArgument, None),
        bad("fewer payloads", fewer_payloads, InvalidArgument, None),
        bad("fewer flags", fewer_flags, InvalidArgument, None),
        bad("keys of another type", numbers, InvalidKey, None),
        bad("an empty key", with_key(text("")), InvalidKey, None),
        bad(
            "a key too long",
            with_key(text("k".repeat(1_025))),
            InvalidKey,
            None,
        ),
        bad(
            "fields that are an array",
            with_payload(&[0x90]),
            InvalidArgument,
            Some((2, key(2), None)),
        ),
        bad(
            "fields that end early",
            with_payload(&[0x81, 0xa1]),
            InvalidArgument,
            Some((2, key(2), None)),
        ),
        bad(
            "fields with a rest",
            with_payload(&[0x80, 0x80]),
            InvalidArgument,
            Some((2, key(2), None)),
        ),
        bad(
            "fields too deep",
            with_payload(&deep),
            LimitExceeded,
            Some((2, key(2), None)),
        ),
        bad(
            "fields too large",
            with_payload(&big),
            LimitExceeded,
            Some((2, key(2), None)),
        ),
    ]
}

#[test]
fn a_refused_batch_leaves_no_trace() {
    for home in [Home::memory(), Home::directory("refused")] {
        let schema = two_fields(KeyType::String);
        let database = home.open(small());
        let collection = database.create_collection("c", schema.clone()).unwrap();
        let mut pair = Pair {
            collection,
            model: Model::new(&schema),
        };
        let rows: Vec<Row> = (0..10)
            .map(|n| row(text(format!("kept {n}")), n as f32).with("n", n))
            .collect();
        pair.write(WriteKind::Add, &rows).unwrap();
        let collection = Arc::clone(&pair.collection);
        let version = collection.snapshot().unwrap().version();
        let wal_bytes = collection.stats().unwrap().wal_bytes;
        for bad in bad_batches(&schema) {
            let Err(error) = collection.write(bad.batch, WriteOptions::default()) else {
                panic!("accepted: {}", bad.what);
            };
            assert_eq!(error.code(), bad.code, "{}: {error}", bad.what);
            if let Some((index, key, field)) = &bad.about {
                names(&error, bad.code, *index, key, *field);
            }
            if bad.code == Code::InvalidKey && bad.what != "keys of another type" {
                assert!(details(&error).contains(&("index", "2".into())), "{error}");
            }
            pair.check();
        }
        let snapshot = collection.snapshot().unwrap();
        assert_eq!(snapshot.version(), version, "no version was spent");
        let stats = collection.stats().unwrap();
        assert_eq!(stats.wal_bytes, wal_bytes, "no byte was logged");
        assert_eq!(stats.memtable_rows, 10, "no row was applied");

        // And none of it is found after a restart.
        database.close().unwrap();
        let database = home.open(small());
        pair.collection = database.open_collection("c").unwrap();
        pair.check();
    }
}

#[test]
fn an_update_is_refused_for_its_own_vectors_and_fields_too() {
    let home = Home::memory();
    let schema = two_fields(KeyType::String);
    let database = home.open(small());
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let full = "x".repeat(700_000);
    put(
        &collection,
        &[
            row(text("a"), 1.0).with("big", full.as_str()),
            row(text("b"), 2.0),
        ],
    );
    let version = collection.snapshot().unwrap().version();
    // The second row is the one with the vector, and it is a bad one.
    let rows = [
        Row::of(text("a"), vec![None, None]),
        Row::of(text("b"), vec![Some(vec![f32::NAN, 1.0]), None]),
    ];
    let bad = batch(&schema, UPDATE, &rows);
    let error = collection.write(bad, WriteOptions::default()).unwrap_err();
    names(&error, Code::NotFinite, 1, &text("b"), Some("image"));

    // Each half fits, the merged record does not.
    let rows = [
        Row::of(text("b"), vec![None, None]).with("n", 1),
        Row::of(text("a"), vec![None, None]).with("more", full.as_str()),
    ];
    let bad = batch(&schema, UPDATE, &rows);
    let error = collection.write(bad, WriteOptions::default()).unwrap_err();
    names(&error, Code::LimitExceeded, 1, &text("a"), None);
    assert_eq!(collection.snapshot().unwrap().version(), version);
}

#[test]
fn a_write_that_is_stopped_before_its_turn_does_nothing() {
    let home = Home::memory();
    let schema = two_fields(KeyType::String);
    let database = home.open(small());
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let options = WriteOptions {
        stop: Stop::never().when(Arc::new(AtomicBool::new(true))),
        ..WriteOptions::default()
    };
    let upsert = batch(&schema, WriteKind::Upsert, &[row(text("a"), 1.0)]);
    let error = collection.write(upsert.clone(), options).unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    let options = WriteOptions {
        stop: Stop::never().at(home.env.clock.clone(), home.env.clock.now()),
        ..WriteOptions::default()
    };
    let error = collection.write(upsert, options).unwrap_err();
    assert_eq!(error.code(), Code::Deadline);
    assert_eq!(collection.snapshot().unwrap().count(), 0);
}

#[test]
fn every_durability_is_seen_at_once_and_kept_by_close() {
    let home = Home::directory("durability");
    let schema = two_fields(KeyType::String);
    let mut model = Model::new(&schema);
    for round in 0..4 {
        let database = home.open(small());
        let collection = database.collection("c", Some(schema.clone())).unwrap();
        model.check(&collection.snapshot().unwrap());
        for (n, durability) in [Durability::Memory, Durability::Os, Durability::Sync]
            .into_iter()
            .cycle()
            .take(11)
            .enumerate()
        {
            let rows = [row(text(format!("{}", n % 5)), (round * 100 + n) as f32)];
            let kind = match n % 4 {
                3 => WriteKind::Delete,
                _ => WriteKind::Upsert,
            };
            let options = WriteOptions {
                durability: Some(durability),
                ..WriteOptions::default()
            };
            let answer = collection.write(batch(&schema, kind, &rows), options);
            model.write(kind, &rows, None, &answer);
            model.check(&collection.snapshot().unwrap());
        }
        database.close().unwrap();
    }
    let database = home.open(small());
    let collection = database.open_collection("c").unwrap();
    model.check(&collection.snapshot().unwrap());
}

#[test]
fn two_collections_of_different_shape_live_side_by_side() {
    let home = Home::directory("side");
    let (a, b) = (two_fields(KeyType::String), two_fields(KeyType::U64));
    let database = home.open(small());
    let first = database.create_collection("a", a).unwrap();
    let second = database.create_collection("b", b).unwrap();
    put(&first, &[row(text("x"), 1.0)]);
    put(&second, &[row(number(1), 1.0), row(number(2), 2.0)]);
    remove(&second, &[number(1)]);
    assert_eq!(first.snapshot().unwrap().count(), 1);
    assert_eq!(second.snapshot().unwrap().count(), 1);
    database.drop_collection("a").unwrap();
    let error = first.write(
        removal(first.schema(), &[text("x")]),
        WriteOptions::default(),
    );
    assert_eq!(error.unwrap_err().code(), Code::Closed);
    let collections = std::path::Path::new("collections");
    let left = home.env.disk.list(&home.path().join(collections)).unwrap();
    assert_eq!(left.len(), 1, "every file of the dropped one is gone");
    assert_eq!(second.snapshot().unwrap().count(), 1);
    // The name is free again, and nothing of the old one shines through.
    let again = database
        .create_collection("a", two_fields(KeyType::String))
        .unwrap();
    assert_eq!(again.snapshot().unwrap().count(), 0);
}

#[test]
fn a_column_that_flags_every_row_as_present_is_a_whole_column() {
    let home = Home::memory();
    let schema = common::plain(KeyType::U64, 2, MetricName::L2);
    let database = home.open(small());
    let collection = database.create_collection("c", schema).unwrap();
    let batch = WriteBatch {
        kind: WriteKind::Upsert,
        keys: common::keys(KeyType::U64, &[number(1), number(2)]),
        vectors: vec![Some(VectorColumn {
            data: vec![1.0, 2.0, 3.0, 4.0],
            present: Some(vec![true, true]),
        })],
        payloads: None,
    };
    let result = collection.write(batch, WriteOptions::default()).unwrap();
    assert_eq!(result.inserted, 2);
}
