//! A collection gets another structure while it is open: fields come and get other names, indexes go and
//! come back. Records that are there are found by what their fields are called now, wherever they stand,
//! after merges, restarts and crashes; an older snapshot, and an older version, keep what they had.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cairn_engine::{
    Aggregate, AggregateValue, Alteration, Code, Collection, Condition, Database, DeclaredField,
    Durability, Effort, Error, Fact, Filter, GroupBy, Highlight, Job, KeyType, Language, Matching,
    MetricName, Operation, OrderBy, Otherwise, Schema, SearchRequest, Select, SelectFields, Shape,
    Snapshot, Sources, Stage, Stop, TextSettings, WordSource, WriteKind, WriteOptions,
};
use cairn_env::Env;
use cairn_testkit::SimDisk;

use crate::common;
use crate::crash::lanes::Machine;
use common::{
    Fields, Home, Row, UPDATE, Value, batch, decode, encode, everything, keys, number, plain, put,
    remove, small,
};

pub(crate) fn field(name: &str, kind: &str) -> DeclaredField {
    DeclaredField {
        name: name.into(),
        kind: kind.into(),
        text: TextSettings::default(),
    }
}

pub(crate) fn docs() -> Schema {
    Schema {
        fields: vec![
            field("year", "int"),
            field("topic", "keyword"),
            field("body", "text"),
        ],
        ..plain(KeyType::U64, 2, MetricName::L2)
    }
}

pub(crate) fn add(name: &str, kind: &str) -> Alteration {
    Alteration {
        add_fields: vec![field(name, kind)],
        ..Alteration::default()
    }
}

pub(crate) fn rename(pairs: &[(&str, &str)]) -> Alteration {
    let pairs = pairs.iter().map(|(a, b)| ((*a).into(), (*b).into()));
    Alteration {
        rename_fields: pairs.collect(),
        ..Alteration::default()
    }
}

pub(crate) fn create(name: &str) -> Alteration {
    Alteration {
        create_indexes: vec![name.into()],
        ..Alteration::default()
    }
}

pub(crate) fn forget(name: &str) -> Alteration {
    Alteration {
        drop_indexes: vec![name.into()],
        ..Alteration::default()
    }
}

pub(crate) fn row(n: u64) -> Row {
    Row::new(number(n), &[n as f32, 1.0])
        .with("year", 2000 + (n % 10) as i64)
        .with("topic", ["sea", "sky"][(n % 2) as usize])
        .with("body", "the quick brown fox")
        .with("extra", n as i64)
}

pub(crate) fn rows(from: u64, to: u64) -> Vec<Row> {
    (from..to).map(row).collect()
}

pub(crate) fn filter(json: &str) -> Filter {
    Filter::parse(json.as_bytes()).unwrap()
}

pub(crate) fn count(snapshot: &Snapshot, json: &str) -> u64 {
    snapshot
        .count_matching(&filter(json), &Stop::never())
        .unwrap()
}

/// Fields of a record.
pub(crate) fn get(snapshot: &Snapshot, key: u64) -> Fields {
    let wanted = keys(KeyType::U64, &[number(key)]);
    let found = snapshot.get(&wanted, &everything()).unwrap().remove(0);
    decode(&found.unwrap().fields)
}

/// What a search with a filter did where.
pub(crate) fn stages(snapshot: &Snapshot, json: &str) -> Vec<Stage> {
    let filter = filter(json);
    let request = SearchRequest {
        filter: Some(&filter),
        explain: true,
        ..SearchRequest::new(&[0.0, 0.0], 3)
    };
    snapshot.search(&request, &Stop::never()).unwrap().stages
}

/// Records that were read for a filter, and fields whose index was missed.
pub(crate) fn looks(snapshot: &Snapshot, json: &str) -> (u64, Vec<String>) {
    let stages = stages(snapshot, json);
    let read = stages.iter().map(|stage| stage.looked.records).sum();
    let missed = stages.iter().flat_map(|stage| stage.waited_for.clone());
    (read, missed.collect())
}

/// A text among the details of an error.
pub(crate) fn fact(error: &Error, name: &str) -> Option<String> {
    let found = error.details().iter().find(|(it, _)| *it == name);
    match &found?.1 {
        Fact::Text(text) => Some(text.clone()),
        _ => None,
    }
}

pub(crate) fn names(schema: &Schema) -> Vec<&str> {
    schema.fields.iter().map(|field| &*field.name).collect()
}

pub(crate) struct World {
    pub(crate) home: Home,
    pub(crate) database: Arc<Database>,
    pub(crate) collection: Arc<Collection>,
}

impl World {
    /// Records in a segment, in another one, and in memory.
    pub(crate) fn new(schema: Schema) -> Self {
        let home = Home::memory();
        let database = home.open(small());
        let collection = database.create_collection("docs", schema).unwrap();
        put(&collection, &rows(0, 40));
        collection.compact(&Job::default()).unwrap();
        put(&collection, &rows(30, 60));
        Self {
            home,
            database,
            collection,
        }
    }

    pub(crate) fn alter(&self, change: &Alteration) {
        let altered = self
            .database
            .alter(&self.collection, change, &Stop::never());
        altered.unwrap();
    }

    pub(crate) fn refused(&self, change: &Alteration) -> Code {
        let before = self.collection.schema().clone();
        let files = self.home.files();
        let refused = self
            .database
            .alter(&self.collection, change, &Stop::never());
        assert_eq!(*self.collection.schema(), before);
        assert_eq!(self.home.files(), files);
        refused.unwrap_err().code()
    }

    pub(crate) fn now(&self) -> Snapshot {
        self.collection.snapshot().unwrap()
    }

    pub(crate) fn reopen(self) -> Self {
        let Self { home, database, .. } = self;
        database.close().unwrap();
        let database = home.open(small());
        let collection = database.open_collection("docs").unwrap();
        Self {
            home,
            database,
            collection,
        }
    }
}

#[test]
fn a_field_that_is_added_has_the_values_that_records_have_and_an_index_of_them() {
    let world = World::new(docs());
    assert_eq!(count(&world.now(), r#"{ "extra": { "lt": 35 } }"#), 35);
    let scanned = looks(&world.now(), r#"{ "extra": { "lt": 35 } }"#);
    assert_eq!(scanned, (60, Vec::new()));
    world.alter(&add("extra", "int"));
    assert_eq!(
        names(world.collection.schema()),
        ["year", "topic", "body", "extra"]
    );
    world.home.idle();
    // The memtable has no index.
    let indexed = looks(&world.now(), r#"{ "extra": { "lt": 35 } }"#);
    assert_eq!(indexed, (30, Vec::new()));
    assert_eq!(count(&world.now(), r#"{ "extra": { "lt": 35 } }"#), 35);
    let bytes = world.collection.stats().unwrap().field_index_bytes;
    assert!(bytes["extra"] > 0 && bytes["year"] > 0 && bytes.len() == 3);

    // Indexes that were made are made again, until a merge has written them.
    let world = world.reopen();
    world.home.idle();
    assert_eq!(looks(&world.now(), r#"{ "extra": 1 }"#), (30, Vec::new()));
    world.collection.compact(&Job::default()).unwrap();
    assert_eq!(looks(&world.now(), r#"{ "extra": 1 }"#), (0, Vec::new()));
    assert_eq!(count(&world.now(), r#"{ "extra": { "lt": 35 } }"#), 35);
}

#[test]
fn an_index_is_missed_until_it_is_made_and_explain_tells() {
    let threads = common::HeldThreads::default();
    let env = Env {
        threads: Arc::new(threads.clone()),
        ..Env::memory(1)
    };
    let home = Home::on(env);
    let database = home.open(small());
    let collection = database.create_collection("docs", docs()).unwrap();
    put(&collection, &rows(0, 40));
    collection.compact(&Job::default()).unwrap();
    let alter = |change: &Alteration| database.alter(&collection, change, &Stop::never()).unwrap();
    alter(&rename(&[("year", "published")]));
    alter(&forget("published"));
    threads.run_held();
    alter(&create("published"));
    let snapshot = collection.snapshot().unwrap();
    let asked = r#"{ "published": 2003, "topic": "sky", "gone": { "exists": false } }"#;
    let found = count(&snapshot, asked);
    assert_eq!(looks(&snapshot, asked).1, ["published"]);
    threads.run_held();
    assert_eq!(looks(&snapshot, asked).1, Vec::<String>::new());
    assert_eq!((found, count(&snapshot, asked)), (4, 4));
}

#[test]
fn a_renamed_field_is_found_by_its_new_name_wherever_records_stand() {
    let mut world = World::new(docs());
    let old = world.now();
    world.alter(&rename(&[
        ("year", "published"),
        ("topic", "subject"),
        ("body", "text"),
    ]));
    put(&world.collection, &[row_as(70, "published", 2007)]);
    // Who looked before sees what it saw.
    assert_eq!(names(old.schema()), ["year", "topic", "body"]);
    assert_eq!(count(&old, r#"{ "year": 2003 }"#), 6);
    assert_eq!(get(&old, 3)["topic"], Value::from("sky"));
    for turn in 0..4 {
        let now = world.now();
        assert_eq!(
            names(now.schema()),
            ["published", "subject", "text"],
            "turn {turn}"
        );
        check_renamed(&now);
        // The old names are those of no field.
        assert_eq!(count(&now, r#"{ "year": { "exists": true } }"#), 0);
        assert_eq!(get(&now, 3).get("year"), None);
        let ordered = now.facet("year", 10, None, &Stop::never()).unwrap();
        assert_eq!(ordered, []);
        match turn {
            0 => world.collection.compact(&Job::default()).unwrap(),
            1 => world = world.reopen(),
            2 => world.alter(&add("year", "keyword")),
            _ => {}
        }
        if turn == 2 {
            world.alter(&rename(&[("year", "other")]));
            world.alter(&rename(&[("other", "unused")]));
            let names = names(world.collection.schema());
            assert_eq!(names, ["published", "subject", "text", "unused"]);
            break;
        }
    }
    check_renamed(&world.now());
}

pub(crate) fn row_as(n: u64, name: &str, year: i64) -> Row {
    Row::new(number(n), &[n as f32, 1.0]).with(name, year)
}

/// Every question that names a field.
fn check_renamed(now: &Snapshot) {
    let never = &Stop::never();
    assert_eq!(count(now, r#"{ "published": 2007 }"#), 7);
    assert_eq!(count(now, r#"{ "not": { "published": 2007 } }"#), 54);
    assert_eq!(
        count(now, r#"{ "or": [{ "subject": "sea" }, { "$key": 70 }] }"#),
        31
    );
    let fields = get(now, 3);
    let expected: Vec<&str> = vec!["extra", "published", "subject", "text"];
    assert_eq!(fields.keys().collect::<Vec<_>>(), expected);
    assert_eq!(fields["published"], Value::from(2003));

    let select = Select {
        fields: SelectFields::Some(vec!["published".into(), "year".into()]),
        ..Select::default()
    };
    let sea = filter(r#"{ "subject": "sea" }"#);
    let request = SearchRequest {
        filter: Some(&sea),
        select: select.clone(),
        effort: Effort::Exact,
        shape: Shape {
            group_by: Some(GroupBy {
                field: "published",
                size: 2,
            }),
            ..Shape::default()
        },
        ..SearchRequest::new(&[0.0, 1.0], 3)
    };
    let hits = now.search(&request, never).unwrap();
    assert_eq!(hits.distances.len(), 6);
    let payloads = hits.payloads.unwrap();
    assert_eq!(
        decode(payloads.get(0)),
        Fields::from([("published".into(), 2000.into())])
    );
    assert_eq!(
        decode(payloads.get(2)),
        Fields::from([("published".into(), 2002.into())])
    );

    let mut scan = now.scan_matching(None, &sea, never).unwrap();
    let page = scan.next_page(2, &select).unwrap();
    assert_eq!(
        decode(&page[1].fields),
        Fields::from([("published".into(), 2002.into())])
    );
    let order = OrderBy::parse("published", true).unwrap();
    let mut scan = now.scan_ordered(order, None, Some(&sea), never).unwrap();
    let page = scan.next_page(1, &select, never).unwrap();
    assert_eq!(
        decode(&page[0].0.fields),
        Fields::from([("published".into(), 2008.into())])
    );

    let facet = now.facet("subject", 10, None, never).unwrap();
    assert_eq!(
        facet.iter().map(|it| it.count).collect::<Vec<_>>(),
        [30, 30]
    );
    let wanted = [(String::from("published"), Operation::Max)];
    let figures = now.aggregate(&wanted, Some(&sea), never).unwrap();
    assert_eq!(figures, [Aggregate::Value(AggregateValue::Int(2008))]);

    let words = |name: &str| {
        let fields = [name.to_owned()];
        let sources = Sources {
            vectors: Vec::new(),
            words: Some(WordSource {
                words: "fox",
                fields: Some(&fields),
                weight: 1.0,
                highlight: Some(Highlight::Searched),
            }),
            rrf_k: 60.0,
        };
        let request = SearchRequest {
            sources: Some(&sources),
            ..SearchRequest::new(&[], 100)
        };
        now.search(&request, never)
    };
    let hits = words("text").unwrap();
    assert_eq!(hits.distances.len(), 60);
    let marks: BTreeMap<String, Vec<(u32, u32)>> =
        rmp_serde::from_slice(hits.highlights.unwrap().get(0)).unwrap();
    assert_eq!(marks, BTreeMap::from([("text".into(), vec![(16, 19)])]));
    let refused = words("body").unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(fact(&refused, "field").as_deref(), Some("body"));
}

#[test]
fn writes_go_by_the_new_names_and_the_old_ones_are_fields_like_any_other() {
    let world = World::new(docs());
    world.alter(&rename(&[("year", "published")]));
    let collection = &world.collection;
    let write = |kind, rows: &[Row], options| {
        collection.write(batch(collection.schema(), kind, rows), options)
    };
    let changed = Row::of(number(5), vec![None]).with("published", 1990);
    let changed = changed.with("year", "not declared");
    write(UPDATE, &[changed], WriteOptions::default()).unwrap();
    let now = world.now();
    let five = get(&now, 5);
    assert_eq!(
        (&five["published"], &five["year"]),
        (&1990.into(), &"not declared".into())
    );
    assert_eq!(five["topic"], Value::from("sky"));
    assert_eq!(count(&now, r#"{ "year": "not declared" }"#), 1);
    assert_eq!(count(&now, r#"{ "published": "not declared" }"#), 0);

    let condition = |json: &str| WriteOptions {
        conditions: vec![Condition {
            filter: Arc::new(filter(json)),
            holds_at: 0,
            otherwise: Otherwise::Fail,
        }],
        ..WriteOptions::default()
    };
    let one = |n| Row::of(number(n), vec![None]).with("extra", 9);
    let refused = write(UPDATE, &[one(5)], condition(r#"{ "year": 2005 }"#));
    assert_eq!(refused.unwrap_err().code(), Code::ConditionFailed);
    write(UPDATE, &[one(6)], condition(r#"{ "published": 2006 }"#)).unwrap();

    let fields = encode(&Fields::from([
        ("published".into(), 1.into()),
        ("year".into(), 2.into()),
    ]));
    let change = Matching::Update {
        fields,
        replace_fields: true,
    };
    let asked = br#"{ "published": { "gte": 2009 } }"#;
    let updated = collection.write_matching(asked, &change, None, WriteOptions::default());
    assert_eq!(updated.unwrap().updated, 6);
    assert_eq!(
        get(&world.now(), 9),
        Fields::from([("published".into(), 1.into()), ("year".into(), 2.into())])
    );
    let removed = collection.write_matching(
        br#"{ "published": 1990 }"#,
        &Matching::Delete,
        None,
        WriteOptions::default(),
    );
    assert_eq!(removed.unwrap().deleted, 1);

    // What is called `year` now would be called `published`, and the other way round.
    assert_eq!(
        world.refused(&rename(&[("published", "year")])),
        Code::AlreadyExists
    );
    let world = world.reopen();
    world.collection.compact(&Job::default()).unwrap();
    assert_eq!(count(&world.now(), r#"{ "year": 2, "published": 1 }"#), 6);
}

#[test]
fn a_write_by_the_names_of_an_earlier_time_is_of_the_same_fields() {
    let world = World::new(docs());
    let collection = &world.collection;
    let earlier = collection.changes();
    world.alter(&rename(&[("year", "topic2"), ("topic", "year")]));
    let then = || WriteOptions {
        changes: Some(earlier),
        ..WriteOptions::default()
    };
    let upsert = batch(collection.schema(), WriteKind::Upsert, &[row(80)]);
    collection.write(upsert, then()).unwrap();
    let eighty = get(&world.now(), 80);
    assert_eq!(
        (&eighty["topic2"], &eighty["year"]),
        (&Value::from(2000), &Value::from("sea"))
    );
    let fields = encode(&Fields::from([("year".into(), 1.into())]));
    let change = Matching::Update {
        fields,
        replace_fields: false,
    };
    let asked = br#"{ "year": 2000, "topic": "sea", "$key": 80 }"#;
    let updated = collection.write_matching(asked, &change, None, then());
    assert_eq!(updated.unwrap().updated, 1);
    assert_eq!(count(&world.now(), r#"{ "topic2": 1, "year": "sea" }"#), 1);
    // A name that was free then and is a field's now cannot be written by it.
    let later = collection.changes();
    world.alter(&rename(&[("year", "fresh")]));
    let stale = Row::of(number(80), vec![None]).with("fresh", 5);
    let update = batch(collection.schema(), UPDATE, &[stale]);
    let options = WriteOptions {
        changes: Some(later),
        ..WriteOptions::default()
    };
    let refused = collection.write(update, options).unwrap_err();
    assert_eq!(refused.code(), Code::Conflict);
}

#[test]
fn a_keyed_write_is_the_same_under_the_names_of_a_later_time() {
    let world = World::new(docs());
    let write = |key: &str| {
        let options = WriteOptions {
            idempotency_key: Some(key.into()),
            ..WriteOptions::default()
        };
        let upsert = batch(world.collection.schema(), WriteKind::Upsert, &rows(1, 3));
        world.collection.write(upsert, options).unwrap()
    };
    let first = write("a");
    world.alter(&rename(&[("year", "published")]));
    assert_eq!(write("a"), first);
    let second = write("b");
    world.alter(&rename(&[("topic", "subject")]));
    assert_eq!(write("b"), second);
}

#[test]
fn what_cannot_be_is_refused_and_nothing_has_changed() {
    let world = World::new(docs());
    world.home.at_rest(&world.collection);
    let both = Alteration {
        create_indexes: vec!["year".into()],
        ..forget("year")
    };
    let text = DeclaredField {
        text: TextSettings {
            language: Language::English,
            weight: 1.0,
        },
        ..field("fresh", "int")
    };
    let cases = [
        (Alteration::default(), Code::InvalidArgument),
        (add("year", "int"), Code::AlreadyExists),
        (add("fresh", "integer"), Code::InvalidArgument),
        (add("", "int"), Code::InvalidName),
        (add("$fresh", "int"), Code::InvalidName),
        (
            Alteration {
                add_fields: vec![text],
                ..Alteration::default()
            },
            Code::InvalidArgument,
        ),
        (
            Alteration {
                add_fields: vec![field("a", "int"), field("a", "int")],
                ..Alteration::default()
            },
            Code::AlreadyExists,
        ),
        (rename(&[("gone", "a")]), Code::NotFound),
        (rename(&[("extra", "a")]), Code::NotFound),
        (rename(&[("vector", "a")]), Code::InvalidArgument),
        (rename(&[("year", "topic")]), Code::AlreadyExists),
        (rename(&[("year", "year")]), Code::AlreadyExists),
        (
            rename(&[("year", "a"), ("topic", "a")]),
            Code::AlreadyExists,
        ),
        (
            rename(&[("year", "a"), ("year", "b")]),
            Code::InvalidArgument,
        ),
        (rename(&[("year", "")]), Code::InvalidName),
        // Records have it, undeclared: in a segment, and in memory.
        (rename(&[("year", "extra")]), Code::AlreadyExists),
        (create("year"), Code::AlreadyExists),
        (create("gone"), Code::NotFound),
        (create("body"), Code::InvalidArgument),
        (forget("gone"), Code::NotFound),
        (forget("vector"), Code::NotFound),
        (forget("body"), Code::InvalidArgument),
        (both, Code::AlreadyExists),
    ];
    for (change, code) in cases {
        assert_eq!(world.refused(&change), code, "{change:?}");
    }
    world.alter(&forget("year"));
    assert_eq!(world.refused(&forget("year")), Code::NotFound);
    let many = (0..1_000).map(|n| field(&format!("f{n}"), "int"));
    let many = Alteration {
        add_fields: many.collect(),
        ..Alteration::default()
    };
    assert_eq!(world.refused(&many), Code::LimitExceeded);

    let reader = Database::open_read_only(world.home.env.clone(), world.home.path(), small());
    let reader = reader.unwrap();
    let collection = reader.open_collection("docs").unwrap();
    let refused = reader.alter(&collection, &add("a", "int"), &Stop::never());
    assert_eq!(refused.unwrap_err().code(), Code::ReadOnly);
    world.database.drop_collection("docs").unwrap();
    let refused = world
        .database
        .alter(&world.collection, &add("a", "int"), &Stop::never());
    assert_eq!(refused.unwrap_err().code(), Code::Closed);
}

#[test]
fn a_schema_that_is_given_at_open_is_the_one_that_is_stored_now() {
    let world = World::new(docs());
    world.alter(&Alteration {
        rename_fields: vec![("year".into(), "published".into())],
        add_fields: vec![field("year", "keyword")],
        ..Alteration::default()
    });
    let world = world.reopen();
    let path = |schema: Schema| {
        let refused = world.database.collection("docs", Some(schema)).err()?;
        assert_eq!(refused.code(), Code::SchemaMismatch);
        fact(&refused, "path")
    };
    assert_eq!(path(docs()).unwrap(), "fields.published");
    let now = Schema {
        fields: vec![
            field("published", "int"),
            field("topic", "keyword"),
            field("body", "text"),
            field("year", "keyword"),
        ],
        ..docs()
    };
    assert_eq!(path(now.clone()), None);
    // Whether a field has an index is no part of it.
    world.alter(&forget("published"));
    assert_eq!(path(now.clone()), None);
    assert_eq!(world.collection.unindexed(), ["published"]);
    let listed = world.database.collections().unwrap();
    assert_eq!(
        (&listed[0].schema, &listed[0].unindexed[..]),
        (&now, &["published".to_owned()][..])
    );
}

#[test]
fn an_index_that_is_dropped_gives_its_memory_back_and_its_values_stay() {
    let mut world = World::new(docs());
    world.collection.compact(&Job::default()).unwrap();
    let asked = r#"{ "year": { "gte": 2008 } }"#;
    let before = world.collection.stats().unwrap();
    assert_eq!(looks(&world.now(), asked), (0, Vec::new()));
    world.alter(&forget("year"));
    let after = world.collection.stats().unwrap();
    assert!(!after.field_index_bytes.contains_key("year"));
    assert!(after.segments[0].bytes_memory < before.segments[0].bytes_memory);
    for turn in 0..3 {
        assert_eq!(looks(&world.now(), asked), (60, Vec::new()), "turn {turn}");
        assert_eq!(count(&world.now(), asked), 12);
        match turn {
            0 => world = world.reopen(),
            _ => {
                put(&world.collection, &rows(0, 30));
                world.collection.compact(&Job::default()).unwrap();
            }
        }
    }
    world.alter(&create("year"));
    world.home.idle();
    assert_eq!(looks(&world.now(), asked), (0, Vec::new()));
    assert_eq!(count(&world.now(), asked), 12);
    let stats = world.collection.stats().unwrap();
    assert!(stats.field_index_bytes.contains_key("year"));
}

#[test]
fn a_text_field_that_is_added_is_searched_in_old_records_and_new_ones() {
    let schema = Schema {
        fields: vec![field("body", "text")],
        ..docs()
    };
    let mut world = World::new(schema);
    let english = DeclaredField {
        text: TextSettings {
            language: Language::English,
            weight: 2.0,
        },
        ..field("title", "text")
    };
    let titled = |n: u64| row(n).with("title", "foxes running");
    put(&world.collection, &[titled(1), titled(200)]);
    world.collection.compact(&Job::default()).unwrap();
    put(&world.collection, &[titled(2), titled(201)]);
    remove(&world.collection, &[number(201)]);
    let old = world.now();
    let words = |snapshot: &Snapshot| {
        let fields = ["title".to_owned()];
        let sources = Sources {
            vectors: Vec::new(),
            words: Some(WordSource {
                words: "run",
                fields: Some(&fields),
                weight: 1.0,
                highlight: None,
            }),
            rrf_k: 60.0,
        };
        let request = SearchRequest {
            sources: Some(&sources),
            ..SearchRequest::new(&[], 100)
        };
        let hits = snapshot.search(&request, &Stop::never())?;
        Ok::<_, Error>(hits.keys.iter().map(|key| key.to_buf()).collect::<Vec<_>>())
    };
    world.alter(&Alteration {
        add_fields: vec![english],
        ..Alteration::default()
    });
    assert_eq!(words(&old).unwrap_err().code(), Code::InvalidArgument);
    put(&world.collection, &[titled(3)]);
    for turn in 0..3 {
        let mut found = words(&world.now()).unwrap();
        found.sort();
        assert_eq!(found, [1, 2, 3, 200].map(number), "turn {turn}");
        match turn {
            0 => world.collection.compact(&Job::default()).unwrap(),
            _ => world = world.reopen(),
        }
    }
}

#[test]
fn memory_that_is_made_anew_for_another_text_field_is_what_it_was() {
    let world = World::new(docs());
    let collection = &world.collection;
    let memory = WriteOptions {
        durability: Some(Durability::Memory),
        ..WriteOptions::default()
    };
    let upsert = batch(collection.schema(), WriteKind::Upsert, &rows(100, 120));
    collection.write(upsert, memory).unwrap();
    let old = world.now();
    remove(collection, &[number(5), number(101), number(31)]);
    put(collection, &rows(100, 101));
    let state = |snapshot: &Snapshot| {
        let mut scan = snapshot.scan(None).unwrap();
        scan.next_page(1_000, &everything()).unwrap()
    };
    let (before, then) = (state(&world.now()), state(&old));
    world.alter(&add("note", "text"));
    assert_eq!(state(&world.now()), before);
    assert_eq!(state(&old), then);
    put(collection, &rows(102, 103));
    collection.commit().unwrap();
    let after = state(&world.now());
    let world = world.reopen();
    assert_eq!(state(&world.now()), after);
    assert_eq!(after.len(), before.len());
}

#[test]
fn records_expire_at_a_field_whatever_it_is_called_and_with_its_index_or_without() {
    let disk = SimDisk::new();
    let machine = Machine::on(&disk, 1);
    let database = Database::open(machine.env.clone(), Path::new("/db"), small()).unwrap();
    let schema = Schema {
        fields: vec![field("end", "date")],
        expires_at: Some("end".into()),
        ..docs()
    };
    let collection = database.create_collection("docs", schema).unwrap();
    let now = i64::try_from(machine.env.clock.unix_ms()).unwrap();
    let ending = |key: u64, name: &str, ms: i64| {
        let mut fields = vec![0x81, 0xa0 | u8::try_from(name.len()).unwrap()];
        fields.extend(name.as_bytes());
        fields.extend([0xc7, 12, 0xff]);
        let nanos = u32::try_from(ms.rem_euclid(1000)).unwrap() * 1_000_000;
        fields.extend(nanos.to_be_bytes());
        fields.extend(ms.div_euclid(1000).to_be_bytes());
        let row = Row::new(number(key), &[1.0, 1.0]);
        let mut upsert = batch(collection.schema(), WriteKind::Upsert, &[row]);
        let mut payloads = cairn_engine::Payloads::default();
        payloads.push(&fields);
        upsert.payloads = Some(payloads);
        collection.write(upsert, WriteOptions::default()).unwrap();
    };
    ending(1, "end", now + 1_000);
    ending(2, "end", now + 1_000_000);
    collection.compact(&Job::default()).unwrap();
    let alter = |change: &Alteration| database.alter(&collection, change, &Stop::never()).unwrap();
    alter(&rename(&[("end", "until")]));
    assert_eq!(collection.schema().expires_at.as_deref(), Some("until"));
    alter(&forget("until"));
    ending(3, "until", now + 1_000);
    ending(4, "until", now + 1_000_000);
    assert_eq!(collection.snapshot().unwrap().count(), 4);
    machine.env.clock.sleep(std::time::Duration::from_secs(2));
    assert_eq!(collection.snapshot().unwrap().count(), 2);
    database.close().unwrap();
    let database = Database::open(machine.env.clone(), Path::new("/db"), small()).unwrap();
    let collection = database.open_collection("docs").unwrap();
    assert_eq!(collection.snapshot().unwrap().count(), 2);
    collection.compact(&Job::default()).unwrap();
    let snapshot = collection.snapshot().unwrap();
    assert_eq!(count(&snapshot, r#"{ "until": { "exists": true } }"#), 2);
}
