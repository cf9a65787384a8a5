//! What was acknowledged is there again after a close, bit for bit, whatever the metric, and the
//! structure of a collection comes from the disk.

use cairn_engine::{
    Code, Extra, Fact, HnswSettings, IndexKind, Job, KeyType, MetricName, Options, Schema,
    WriteKind, WriteOptions,
};
use cairn_env::EntryKind;
use cairn_testkit::Rng;

use crate::common;
use common::{
    Home, METRICS, Model, Row, batch, number, plain, put, schema, small, text, vector_field,
};

/// Vectors with bits that a careless copy would change: negative zero, denormals, the extremes.
fn odd_vectors(dim: usize) -> Vec<Vec<f32>> {
    let mut rng = Rng::new(3);
    let odd = [
        -0.0,
        f32::MIN_POSITIVE,
        1e-45,
        -1e-45,
        f32::MAX,
        f32::MIN,
        f32::EPSILON,
        0.1,
        1.0 / 3.0,
    ];
    let component = |rng: &mut Rng| match rng.below(3) {
        0 => odd[rng.range(0..odd.len())],
        _ => rng.normal() as f32,
    };
    (0..200)
        .map(|_| {
            let mut vector: Vec<f32> = (0..dim).map(|_| component(&mut rng)).collect();
            vector[0] = 1.0;
            vector
        })
        .collect()
}

#[test]
fn every_bit_comes_back_under_every_metric() {
    for home in [Home::memory(), Home::directory("bits")] {
        for dim in [1, 15, 16, 33] {
            let fields = METRICS
                .iter()
                .map(|&m| vector_field(&format!("{m:?}"), dim, m, IndexKind::Auto));
            let schema = schema(KeyType::String, fields.collect());
            let name = format!("dim{dim}");
            let database = home.open(Options::default());
            let collection = database.create_collection(&name, schema.clone()).unwrap();
            let rows: Vec<Row> = odd_vectors(dim as usize)
                .into_iter()
                .enumerate()
                .map(|(n, v)| Row::of(text(format!("{n}")), vec![Some(v); 4]).with("n", n as i64))
                .collect();
            let mut model = Model::new(&schema);
            let answer = collection.write(
                batch(&schema, WriteKind::Add, &rows),
                WriteOptions::default(),
            );
            model.write(WriteKind::Add, &rows, None, &answer);
            model.check(&collection.snapshot().unwrap());
            // From the log, then from a segment, then from a merged one.
            for stage in 0..3 {
                database.close().unwrap();
                let database = home.open(Options::default());
                let collection = database.open_collection(&name).unwrap();
                assert_eq!(collection.schema(), &schema);
                model.check(&collection.snapshot().unwrap());
                if stage == 1 {
                    put(&collection, &[Row::of(text("x"), rows[0].vectors.clone())]);
                    common::remove(&collection, &[text("x")]);
                }
                collection.compact(&Job::default()).unwrap();
                model.check(&collection.snapshot().unwrap());
                assert_eq!(collection.verify(&Job::default()).unwrap().problems, []);
                database.close().unwrap();
            }
        }
    }
}

#[test]
fn versions_go_on_where_they_were() {
    let home = Home::directory("versions");
    let mut last = 0;
    for round in 0..6 {
        let database = home.open(small());
        let schema = plain(KeyType::U64, 2, MetricName::L2);
        let a = database.collection("a", Some(schema.clone())).unwrap();
        let b = database.collection("b", Some(schema)).unwrap();
        for collection in [&a, &b, &a] {
            let row = Row::new(number(round), &[1.0, 2.0]);
            let result = put(collection, &[row]);
            assert!(
                result.version > last,
                "versions of all collections rise together"
            );
            last = result.version;
        }
        if round % 2 == 1 {
            database.compact(&Job::default()).unwrap();
        }
        assert!(database.commit().unwrap() >= last);
        database.close().unwrap();
    }
}

fn rich() -> Schema {
    let mut schema = schema(
        KeyType::String,
        vec![
            vector_field("a", 4, MetricName::Cosine, IndexKind::Auto),
            vector_field(
                "b",
                8,
                MetricName::L2,
                IndexKind::Hnsw(HnswSettings::for_m(8)),
            ),
        ],
    );
    let field = |name: &str, kind: &str| cairn_engine::DeclaredField {
        name: name.into(),
        kind: kind.into(),
        text: Default::default(),
    };
    schema.fields = vec![field("title", "text"), field("tags", "keyword[]")];
    schema
}

#[test]
fn a_schema_that_differs_is_refused_by_its_first_difference() {
    let home = Home::directory("schema");
    let database = home.open(small());
    database.create_collection("c", rich()).unwrap();
    database.close().unwrap();
    let database = home.open(small());
    let same = database.collection("c", Some(rich())).unwrap();
    assert_eq!(same.schema(), &rich());
    assert_eq!(database.collection("c", None).unwrap().schema(), &rich());
    // Order is no difference.
    let mut turned = rich();
    turned.vectors.reverse();
    turned.fields.reverse();
    database.collection("c", Some(turned)).unwrap();

    type Change = fn(&mut Schema);
    let changes: [(&str, Change); 14] = [
        ("key", |s| s.key = KeyType::U64),
        ("vectors.a.dim", |s| s.vectors[0].dim = 5),
        ("vectors.a.metric", |s| {
            s.vectors[0].metric = MetricName::Dot
        }),
        ("vectors.a.index", |s| s.vectors[0].index = IndexKind::Flat),
        ("vectors.b.index", |s| s.vectors[1].index = IndexKind::Auto),
        ("vectors.b.index", |s| {
            s.vectors[1].index = IndexKind::Hnsw(HnswSettings::for_m(9));
        }),
        ("vectors.b.index", |s| {
            s.vectors[1].index = IndexKind::Hnsw(HnswSettings {
                ef_construction: 201,
                ..HnswSettings::for_m(8)
            });
        }),
        ("vectors.b", |s| drop(s.vectors.pop())),
        ("vectors.b", |s| s.vectors[1].name = "c".into()),
        ("vectors.c", |s| {
            let field = vector_field("c", 1, MetricName::L1, IndexKind::Auto);
            s.vectors.push(field);
        }),
        ("fields.title", |s| s.fields[0].kind = "keyword".into()),
        ("fields.tags", |s| drop(s.fields.pop())),
        ("fields.more", |s| {
            let mut field = s.fields[0].clone();
            field.name = "more".into();
            s.fields.push(field);
        }),
        ("extra", |s| s.extra = Extra::Reject),
    ];
    for (path, change) in changes {
        let mut given = rich();
        change(&mut given);
        let error = database.collection("c", Some(given)).map(drop).unwrap_err();
        assert_eq!(error.code(), Code::SchemaMismatch, "{path}");
        let named = ("path", Fact::Text(path.into()));
        assert!(error.details().contains(&named), "{path}: {error}");
        for fact in ["stored", "given"] {
            assert!(error.details().iter().any(|(name, _)| *name == fact));
        }
    }
    // Two differences: the first is named.
    let mut given = rich();
    given.extra = Extra::Reject;
    given.vectors[1].dim = 1;
    let error = database.collection("c", Some(given)).map(drop).unwrap_err();
    let named = ("path", Fact::Text("vectors.b.dim".into()));
    assert!(error.details().contains(&named), "{error}");
    let error = database.create_collection("c", rich()).map(drop);
    assert_eq!(error.unwrap_err().code(), Code::AlreadyExists);
}

#[test]
fn names_and_drops_survive() {
    let home = Home::directory("names");
    let row = |n: u64| Row::new(number(n), &[n as f32, 1.0]);
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    {
        let database = home.open(small());
        for (n, name) in ["one", "two", "three"].iter().enumerate() {
            let collection = database.create_collection(name, schema.clone()).unwrap();
            put(&collection, &(0..=n as u64).map(row).collect::<Vec<_>>());
        }
        database.rename_collection("one", "uno").unwrap();
        database.drop_collection("two").unwrap();
        // A name that is free again belongs to a new collection.
        let again = database.create_collection("one", schema.clone()).unwrap();
        put(&again, &(10..20).map(row).collect::<Vec<_>>());
        let error = database.rename_collection("uno", "three").unwrap_err();
        assert_eq!(error.code(), Code::AlreadyExists);
        let error = database.rename_collection("two", "deux").unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
    }
    let database = home.open(small());
    let listed = database.collections().unwrap();
    let listed: Vec<(&str, u64)> = listed.iter().map(|i| (i.name.as_str(), i.count)).collect();
    assert_eq!(listed, [("one", 10), ("three", 3), ("uno", 1)]);
    let directories = home
        .env
        .disk
        .list(&home.path().join("collections"))
        .unwrap();
    assert_eq!(directories.len(), 3);
}

#[test]
fn the_directory_of_logs_is_recorded() {
    let home = Home::directory("wal-dir");
    let logs = home.path().with_file_name("elsewhere").join("logs");
    let options = Options {
        wal_dir: Some(logs.clone()),
        ..small()
    };
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let rows: Vec<Row> = (0..50)
        .map(|n| Row::new(number(n), &[n as f32, 0.0]))
        .collect();
    {
        let database = home.open(options.clone());
        let collection = database.create_collection("c", schema.clone()).unwrap();
        put(&collection, &rows);
        let other = database.create_collection("dropped", schema).unwrap();
        put(&other, &rows);
    }
    let disk = &home.env.disk;
    let collections = || {
        let database = disk.list(&logs).unwrap().remove(0).name;
        let entries = disk.list(&logs.join(database)).unwrap();
        entries.iter().filter(|e| e.kind == EntryKind::Dir).count()
    };
    assert_eq!(collections(), 2);
    let in_home = home.files();
    assert!(
        in_home
            .iter()
            .all(|(path, _)| path.extension().is_none_or(|e| e != "wal"))
    );
    // Opening needs no option; the same one is fine; another is refused.
    for options in [small(), options.clone()] {
        let database = home.open(options);
        let collection = database.open_collection("c").unwrap();
        assert_eq!(collection.snapshot().unwrap().count(), 50);
    }
    let other = Options {
        wal_dir: Some(home.path().join("other")),
        ..small()
    };
    let error = cairn_engine::Database::open(home.env.clone(), home.path(), other);
    let error = error.map(drop).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let recorded = ("recorded", Fact::Text(logs.display().to_string()));
    assert!(error.details().contains(&recorded), "{error}");
    {
        let database = home.open(small());
        database.drop_collection("dropped").unwrap();
    }
    assert_eq!(collections(), 1, "its log goes with it");
}

#[test]
fn databases_that_share_a_directory_of_logs_keep_apart() {
    let (first, second) = (Home::directory("logs-a"), Home::directory("logs-b"));
    let options = Options {
        wal_dir: Some(first.path().with_file_name("shared-logs")),
        ..small()
    };
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let row = |n: u64| Row::new(number(n), &[n as f32, 0.0]);
    for (home, rows) in [(&first, 1..20), (&second, 20..30)] {
        let database = home.open(options.clone());
        let collection = database.create_collection("c", schema.clone()).unwrap();
        put(&collection, &rows.map(row).collect::<Vec<_>>());
    }
    for (home, count) in [(&first, 19), (&second, 10)] {
        let database = home.open(small());
        let collection = database.open_collection("c").unwrap();
        assert_eq!(collection.snapshot().unwrap().count(), count);
    }
}

#[test]
fn an_empty_collection_and_an_empty_database_come_back() {
    let home = Home::directory("empty");
    assert!(home.open(small()).collections().unwrap().is_empty());
    let database = home.open(small());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    database.create_collection("c", schema).unwrap();
    drop(database);
    let database = home.open(small());
    let collection = database.open_collection("c").unwrap();
    assert_eq!(collection.snapshot().unwrap().count(), 0);
    collection.compact(&Job::default()).unwrap();
    database.commit().unwrap();
}

#[cfg(unix)]
#[test]
fn directories_and_files_are_for_their_owner_alone() {
    use std::os::unix::fs::MetadataExt;
    let home = Home::directory("modes");
    let database = home.open(small());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    put(&collection, &[Row::new(number(1), &[0.0, 1.0])]);
    collection.compact(&Job::default()).unwrap();
    let mut waiting = vec![home.path().to_path_buf()];
    let mut files = 0;
    while let Some(path) = waiting.pop() {
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            assert_eq!(metadata.mode() & 0o777, 0o700, "{path:?}");
            let entries = std::fs::read_dir(&path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(metadata.mode() & 0o077, 0, "{path:?}");
            files += 1;
        }
    }
    assert!(files >= 5);
}
