//! What the system says of the memory of this process.

use std::path::Path;

use cairn_env::{Access, Disk, OsDisk};

/// A line of `/proc/self/status`, in bytes: `RssAnon` is memory of its own, `VmHWM` the most it ever had
/// with all files that it maps.
pub fn status(name: &str) -> u64 {
    let file = OsDisk.open(Path::new("/proc/self/status"), Access::Read);
    let mut text = vec![0; 1 << 14];
    let file = file.expect("a line for each figure");
    let read = file.read_at(0, &mut text).expect("a line for each figure");
    let text = String::from_utf8_lossy(&text[..read]).into_owned();
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(name));
    let kib = line.expect("the figure").trim_start_matches(':');
    let kib = kib.trim().trim_end_matches(" kB");
    kib.parse::<u64>().expect("a number") * 1024
}
