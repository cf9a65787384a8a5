//! Promise: every disk behaves alike as long as nothing crashes, so that what the simulation
//! shows holds for the real one.

use std::path::Path;
use std::sync::Arc;

use cairn_env::{MemoryDisk, OsDisk};
use cairn_testkit::{SimDisk, TempDir, disk_conformance};

#[test]
fn the_operating_system_conforms() {
    let dir = TempDir::new("conformance");
    disk_conformance(dir.path(), || Arc::new(OsDisk));
}

#[test]
fn the_memory_disk_conforms() {
    disk_conformance(Path::new("/"), || Arc::new(MemoryDisk::new()));
    disk_conformance(Path::new(""), || Arc::new(MemoryDisk::new()));
}

#[test]
fn the_simulated_disk_conforms() {
    disk_conformance(Path::new("/"), || Arc::new(SimDisk::new()));
}
