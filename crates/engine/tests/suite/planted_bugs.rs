//! Every bug that can be planted has a test that finds it, here or in the storage crate.
//!
//! The suites run themselves with their bugs planted (see `planted.rs` of the crash helpers);
//! this file sees to it that none is left out.

#![cfg(all(feature = "failpoints", feature = "planted-bugs"))]

use std::path::Path;

use cairn_env::{Bug, Disk, OsDisk};

use crate::crash;
use crash::planted::FOUND_BY;

#[test]
fn every_bug_has_a_test_that_exists() {
    for bug in Bug::ALL {
        let tests = FOUND_BY.iter().filter(|(found, _, _)| *found == bug);
        assert_eq!(tests.count(), 1, "{bug:?}");
    }
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (bug, suite, test) in FOUND_BY {
        let name = format!("{suite}.rs");
        let file = [tests.join("suite").join(&name), tests.join(&name)]
            .iter()
            .find_map(|file| OsDisk.open(file, cairn_env::Access::Read).ok())
            .expect(suite);
        let length = usize::try_from(file.len().expect("its length")).expect("a small file");
        let mut text = vec![0; length];
        file.read_exact_at(0, &mut text).expect("its text");
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains(&format!("fn {test}()")), "{bug:?}: {test}");
        assert!(text.contains("expect_all_found"), "{suite} runs its bugs");
        println!("planted bug {bug:?}: to be found by {suite}::{test}");
    }
}
