//! What is found on a disk after a crash, held against what was promised.

use std::path::Path;
use std::sync::Arc;

use cairn_engine::{
    Code, Collection, Database, Effort, Job, Result, SearchRequest, Select, SelectFields, Snapshot,
    Stop, VectorKind, VersionId, list_backups, verify_backup,
};
use cairn_testkit::SimDisk;

use super::data::{self, State};
use super::lanes::Machine;
use super::model::{self, Loss, Names, World};
use super::run::{BACKUPS, DIR, options};
use super::sealed;

/// Every record of a collection, read in every way, and the version they are of.
///
/// # Errors
/// What reading answers.
///
/// # Panics
/// If two ways of reading disagree.
pub fn read(collection: &Arc<Collection>) -> Result<(State, u64)> {
    let snapshot = collection.snapshot()?;
    let everything = Select {
        fields: SelectFields::All,
        vectors: true,
    };
    let records = snapshot.scan(None)?.next_page(1_000, &everything)?;
    let count = records.len();
    let state: State = records.into_iter().map(data::rec).collect();
    assert_eq!(state.len(), count, "a scan yields each key once");
    assert_eq!(snapshot.count(), count as u64, "the count is a recount");
    check_keys(&snapshot, &state, &everything)?;
    check_search(&snapshot, &state)?;
    check_stats(collection, &snapshot, count as u64)?;
    Ok((state, snapshot.version()))
}

fn check_keys(snapshot: &Snapshot, state: &State, select: &Select) -> Result<()> {
    let key_type = snapshot.schema().key;
    let keys = data::all_keys(key_type);
    let records = snapshot.get(&data::column(key_type, &keys), select)?;
    for (key, record) in keys.iter().zip(records) {
        let found = record.map(|record| data::rec(record).1);
        assert_eq!(
            found.as_ref(),
            state.get(key),
            "get and scan agree on {key:?}"
        );
        assert_eq!(
            snapshot.has(key.as_key())?,
            found.is_some(),
            "has and get agree on {key:?}"
        );
    }
    Ok(())
}

/// Each of a few records is found by its own vector.
fn check_search(snapshot: &Snapshot, state: &State) -> Result<()> {
    for (key, rec) in state.iter().take(3) {
        for (field, vector) in rec.vectors.iter().enumerate() {
            // Larger vectors are nearer than itself by their product, so all are asked for; every one shares an
            // index with every other.
            let is_sparse = snapshot.schema().vectors[field].kind == VectorKind::Sparse;
            let k = if is_sparse { state.len() } else { 3 };
            let request = SearchRequest {
                field,
                effort: Effort::Exact,
                ..SearchRequest::new(vector, k)
            };
            let hits = snapshot.search(&request, &Stop::never())?;
            let found = (0..hits.keys.len()).any(|hit| hits.keys.get(hit) == key.as_key());
            assert!(found, "{key:?} is not found by its own vector");
            assert_eq!(
                hits.keys.len(),
                state.len().min(k),
                "as many hits as records"
            );
        }
    }
    Ok(())
}

fn check_stats(collection: &Arc<Collection>, snapshot: &Snapshot, count: u64) -> Result<()> {
    let stats = collection.stats()?;
    if stats.version != snapshot.version() {
        return Ok(());
    }
    assert_eq!(stats.count, count, "statistics are a recount");
    let in_segments: u64 = stats.segments.iter().map(|segment| segment.live).sum();
    assert!(
        in_segments <= count && count <= in_segments + stats.memtable_rows,
        "live rows of segments: {stats:?}"
    );
    assert!(stats.segments.iter().all(|s| s.live <= s.rows), "{stats:?}");
    Ok(())
}

/// A database found after a crash, and what is known of it from now on.
pub struct Found {
    pub machine: Machine,
    pub database: Arc<Database>,
    pub world: World,
}

/// Opens what a crash at operation `at` left on `image` and compares it with what `world`
/// promised until then.
///
/// # Errors
/// What was promised and is not so.
pub fn after_crash(
    image: &SimDisk,
    seed: u64,
    world: &World,
    at: usize,
    loss: Loss,
) -> Result<Found, String> {
    // A process draws other numbers when it starts again.
    let machine = Machine::on(image, seed);
    let database = Database::open(machine.env.clone(), Path::new(DIR), options(seed));
    let database = database.map_err(|error| format!("does not open: {error}"))?;
    let known = compare(&database, world, at, loss)?;
    drop_versions(&database)?;
    refuse_orphans(image, &database)?;
    Ok(Found {
        machine,
        database,
        world: known,
    })
}

/// Recorded versions are whole; without them their files are nobody's.
fn drop_versions(database: &Arc<Database>) -> Result<(), String> {
    let failed = |error| format!("a recorded version: {error}");
    for info in database.versions().map_err(failed)? {
        let version = VersionId::Lsn(info.version);
        let opened = database.at(&version).map_err(failed)?;
        let report = opened.verify(&Job::default()).map_err(failed)?;
        if !report.is_ok() {
            return Err(format!("a recorded version: {:?}", report.problems));
        }
        database.drop_version(&version).map_err(failed)?;
    }
    Ok(())
}

/// The backups that were answered before a crash at operation `at` are there, and all that are
/// there are whole.
///
/// # Errors
/// What was promised and is not so.
pub fn backups_after_crash(
    image: &SimDisk,
    seed: u64,
    answered: &[(usize, u64)],
    at: usize,
) -> Result<(), String> {
    let (env, target) = (Machine::on(image, seed).env, Path::new(BACKUPS));
    let listed = match list_backups(&env, target) {
        Err(error) if error.code() == Code::NotFound => Vec::new(),
        other => other.map_err(|error| format!("backups: {error}"))?,
    };
    let mut promised = answered.iter().filter(|(answered, _)| *answered <= at);
    if let Some((_, lost)) = promised.find(|(_, id)| listed.iter().all(|it| it.id != *id)) {
        return Err(format!("backup {lost} is lost"));
    }
    if !listed.is_empty() {
        let verified = verify_backup(&env, target, None, &Job::default());
        verified.map_err(|error| format!("a backup is not whole: {error}"))?;
    }
    Ok(())
}

/// Nothing is on the disk that the database does not use: what crashes leave behind goes at open.
///
/// # Errors
/// What is there too many of.
pub fn refuse_orphans(disk: &SimDisk, database: &Arc<Database>) -> Result<(), String> {
    let stats = database.stats().map_err(|error| error.to_string())?;
    let segments = stats
        .collections
        .iter()
        .map(|(_, stats)| stats.segments.len());
    let (segments, collections): (usize, usize) = (segments.sum(), stats.collections.len());
    let mut paths = disk.paths();
    paths.retain(|path| path.starts_with(&format!("{DIR}/")));
    let count = |end: &str| paths.iter().filter(|path| path.ends_with(end)).count();
    let expected = [
        (".seg", segments),
        (".man", collections),
        (".cat", 1),
        (".tmp", 0),
        (".key", usize::from(sealed::is_on())),
    ];
    for (end, expected) in expected {
        if count(end) != expected {
            return Err(format!(
                "{} files {end}, expected {expected}: {paths:#?}",
                count(end)
            ));
        }
    }
    if count(".del") > segments {
        return Err(format!("deletions of no segment: {paths:#?}"));
    }
    Ok(())
}

/// What an open database holds, taken as it is.
pub fn trusted(database: &Arc<Database>) -> World {
    let mut collections = Vec::new();
    let mut names = Names::new();
    for info in database.collections().expect("an open database") {
        let collection = database.open_collection(&info.name).expect("a listed one");
        let (state, version) = read(&collection).expect("a healthy disk");
        let kind = (0..3).find(|&kind| data::schema(kind) == info.schema);
        names.insert(info.name, collections.len());
        let (kind, key_type) = (kind.expect("one of the schemas"), info.schema.key);
        collections.push(model::Collection::new(kind, key_type, state, version));
    }
    World::new(collections, names)
}

/// Compares an open database with what `world` allows after a loss at operation `at`.
///
/// # Errors
/// What was promised and is not so.
pub fn compare(
    database: &Arc<Database>,
    world: &World,
    at: usize,
    loss: Loss,
) -> Result<World, String> {
    let listed = database.collections().map_err(|e| format!("list: {e}"))?;
    let possible = world.names_at(at);
    let names = possible
        .iter()
        .find(|names| names.keys().eq(listed.iter().map(|info| &info.name)))
        .ok_or_else(|| format!("found collections {listed:?}, expected one of {possible:?}"))?;
    let mut collections = Vec::new();
    let mut found_names = Names::new();
    for (info, (name, &id)) in listed.iter().zip(*names) {
        let model = &world.collections[id];
        let collection = database.open_collection(name).map_err(|e| e.to_string())?;
        if info.schema != data::schema(model.kind) {
            return Err(format!("{name} has another schema"));
        }
        let (state, version) = read(&collection).map_err(|e| format!("{name}: {e}"))?;
        if info.count != state.len() as u64 {
            return Err(format!("{name} is listed with {} records", info.count));
        }
        model
            .allows(&state, version, at, loss)
            .map_err(|what| format!("{name}: {what}"))?;
        found_names.insert(name.clone(), collections.len());
        let known = model::Collection::new(model.kind, model.key_type, state, version);
        collections.push(known);
    }
    Ok(World::new(collections, found_names))
}
