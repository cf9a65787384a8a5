//! The index of texts in a segment: one that is not there, of other words, or no index at all.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_engine::{
    Code, Database, Job, Options, SearchRequest, Sources, Stop, VerifyOptions, WordSource,
    verify_directory,
};
use cairn_env::Env;
use cairn_testkit::{HookedDisk, Rng};

use crate::common;
use crate::documents;
use crate::forge;
use crate::looks;
use common::Home;
use documents::{World, request, words_of};
use looks::Looks;

const TEXT_INDEX: u32 = 13;

/// Puts something else in the place of the index of texts; `None` leaves the section out.
fn forge(home: &Home, change: &dyn Fn(Vec<u8>) -> Option<Vec<u8>>) {
    let files = home.files().into_iter();
    let mut segments = files.filter(|(path, _)| path.extension().is_some_and(|e| e == "seg"));
    let (path, _) = segments.next().unwrap();
    forge::forge(&home.env, &path, &|kind, body| match kind {
        TEXT_INDEX => change(body),
        _ => Some(body),
    });
}

/// A closed database of one segment.
fn flushed() -> World {
    flushed_rows(120)
}

fn flushed_rows(rows: u64) -> World {
    let mut world = World::new(Options::default());
    world.write(&mut Rng::new(5), 0..rows);
    world.collection.compact(&Job::default()).unwrap();
    world.database.close().unwrap();
    world
}

#[test]
fn a_segment_without_an_index_is_answered_as_if_it_had_one() {
    let without: [&dyn Fn(Vec<u8>) -> Option<Vec<u8>>; 3] = [
        &|_| None,
        // Of another analysis.
        &|mut section| {
            section[0] += 1;
            Some(section)
        },
        // Of other words: of the first field, whose name is five bytes long, the language is longer.
        &|section| {
            let mut other = section[..17].to_vec();
            other.extend([6, 0, 0, 0]);
            other.extend(b"french");
            other.extend(&section[25..]);
            Some(other)
        },
    ];
    for change in without {
        let mut world = flushed();
        forge(&world.home, change);
        world.database = world.home.open(Options::default());
        world.collection = world.database.open_collection("c").unwrap();
        let stats = world.collection.stats().unwrap();
        assert_eq!(stats.text_bytes, 0);
        world.check("made in memory", true);
        let stats = world.collection.stats().unwrap();
        assert!(stats.text_bytes > 0 && stats.segments[0].bytes_memory > stats.text_bytes);
        world.delete(0..60);
        world.collection.compact(&Job::default()).unwrap();
        world.reopen(Options::default());
        assert!(
            world.collection.stats().unwrap().text_bytes > 0,
            "a merge stores one"
        );
        world.check("merged", true);
    }
}

/// An open database of one segment whose words are in no index.
fn without_index(rows: u64) -> World {
    let mut world = flushed_rows(rows);
    forge(&world.home, &|_| None);
    world.database = world.home.open(Options::default());
    world.collection = world.database.open_collection("c").unwrap();
    world
}

/// Deadlines that are shorter than it takes to make the index would never be met.
#[test]
fn who_is_stopped_while_an_index_is_made_leaves_what_there_is_of_it() {
    let world = without_index(3000);
    let snapshot = world.collection.snapshot().unwrap();
    let sources = words_of("sea tide");
    let mut calls = 0;
    while world.collection.stats().unwrap().text_bytes == 0 {
        let (_, stop) = Looks::until(3, || ());
        let error = snapshot.search(&request(&sources, 5), &stop).unwrap_err();
        assert_eq!(error.code(), Code::Deadline);
        calls += 1;
        assert!(calls < 200, "nothing is made");
    }
    assert!(calls > 1, "it was made at once");
    world.check("made by many", true);
}

#[test]
fn who_waits_for_another_to_make_the_index_does_so_until_a_deadline() {
    let world = without_index(3000);
    let snapshot = world.collection.snapshot().unwrap();
    let sources = words_of("sea tide");
    let (is_making, making) = channel();
    let (go_on, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let then = move || {
        is_making.send(()).unwrap();
        let _ = wait.lock().unwrap().recv_timeout(Duration::from_secs(20));
    };
    let (looks, stop) = Looks::until(2, then);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let sources = words_of("sea tide");
            snapshot.search(&request(&sources, 5), &stop).map(drop)
        });
        making.recv().unwrap();
        let clock = Arc::clone(&world.home.env.clock);
        let until = clock.now() + Duration::from_millis(50);
        let late = Stop::never().at(clock, until);
        let error = snapshot.search(&request(&sources, 5), &late).unwrap_err();
        assert_eq!(error.code(), Code::Deadline);
        assert_eq!(looks.count(), 3, "the other one still makes it");
        go_on.send(()).unwrap();
        assert_eq!(other.join().unwrap().unwrap_err().code(), Code::Deadline);
    });
}

#[test]
fn an_index_that_is_none_is_found_by_open_and_by_a_check() {
    let wrong: [&dyn Fn(Vec<u8>) -> Option<Vec<u8>>; 4] = [
        &|section| Some(section[..section.len() - 1].to_vec()),
        &|section| Some(section[..3].to_vec()),
        &|_| Some(Vec::new()),
        &|mut section| {
            // The version of the index, behind the names of two fields.
            section[44] += 1;
            Some(section)
        },
    ];
    for change in wrong {
        let world = flushed();
        forge(&world.home, change);
        let options = VerifyOptions::default();
        let env = world.home.env.clone();
        let report = verify_directory(&env, world.home.path(), &options, &Job::default()).unwrap();
        let sections = report.problems.iter().map(|it| it.section.as_deref());
        assert_eq!(sections.collect::<Vec<_>>(), [Some("TEXT_INDEX")]);
        let database = world.home.open(Options::default());
        let error = database.open_collection("c").map(drop).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt);
    }
}

#[test]
fn who_waits_for_an_index_that_another_makes_gives_up_at_the_deadline() {
    let world = flushed();
    forge(&world.home, &|_| None);
    let disk = HookedDisk::around(Arc::clone(&world.home.env.disk));
    let env = Env {
        disk: Arc::new(disk.clone()),
        ..world.home.env.clone()
    };
    let clock = Arc::clone(&env.clock);
    let database = Database::open(env, world.home.path(), Options::default()).unwrap();
    let collection = database.open_collection("c").unwrap();
    let search = move |stop: &Stop| {
        let sources = Sources {
            vectors: Vec::new(),
            words: Some(WordSource {
                words: "sea",
                fields: None,
                weight: 1.0,
                highlight: None,
            }),
            rrf_k: 60.0,
        };
        let request = SearchRequest {
            sources: Some(&sources),
            ..SearchRequest::new(&[], 10)
        };
        let found = collection.snapshot().unwrap().search(&request, stop);
        found
            .map(|hits| hits.keys.len())
            .map_err(|error| error.code())
    };
    let outcome = Arc::new(Mutex::new(None));
    let (other, noted) = (search.clone(), Arc::clone(&outcome));
    disk.set_hook(Some(Box::new(move || {
        // The index is being made by whoever reads here, and is not done before this has an answer.
        let mut noted = noted.lock().unwrap();
        if noted.is_none() {
            let stop =
                Stop::never().at(Arc::clone(&clock), clock.now() + Duration::from_millis(20));
            let waited = std::thread::scope(|scope| scope.spawn(|| other(&stop)).join());
            *noted = Some(waited.unwrap());
        }
    })));
    let found = search(&Stop::never());
    assert_eq!(*outcome.lock().unwrap(), Some(Err(Code::Deadline)));
    assert!(found.unwrap() > 0);
}
