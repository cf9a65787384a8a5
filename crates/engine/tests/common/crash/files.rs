//! Whole disks as lists of files, to be copied, damaged and put back.

use std::collections::BTreeSet;
use std::path::Path;

use cairn_env::Disk;
use cairn_testkit::SimDisk;

/// Paths and contents.
pub type Files = Vec<(String, Vec<u8>)>;

/// Every file of a disk.
pub fn dump(disk: &SimDisk) -> Files {
    let paths = disk.paths().into_iter();
    paths
        .map(|path| {
            let bytes = disk.read_all(&path).expect("a listed file");
            (path, bytes)
        })
        .collect()
}

/// A disk with these files, and with `dirs` even where they hold none.
pub fn load(files: &[(String, Vec<u8>)], dirs: &[&str]) -> SimDisk {
    let disk = SimDisk::new();
    let mut made = BTreeSet::new();
    let parents = files
        .iter()
        .filter_map(|(path, _)| Path::new(path).parent());
    for dir in parents.chain(dirs.iter().map(Path::new)) {
        let mut above: Vec<&Path> = dir.ancestors().collect();
        above.reverse();
        for dir in above.into_iter().skip(1) {
            if made.insert(dir.to_path_buf()) {
                disk.create_dir(dir).expect("an empty disk");
                let parent = dir.parent().expect("below the root");
                disk.sync_dir(parent).expect("a directory that is there");
            }
        }
    }
    for (path, bytes) in files {
        disk.put(path, bytes).expect("its directory is there");
    }
    disk
}
