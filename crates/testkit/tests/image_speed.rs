//! Promise: images are cheap enough to check tens of thousands of them in one test.

use std::io;
use std::path::Path;

use cairn_env::{Clock, Disk, OsClock};
use cairn_testkit::{Rng, SimDisk};

#[test]
fn thousands_of_images_take_seconds_at_most() -> io::Result<()> {
    let disk = SimDisk::new();
    let mut rng = Rng::new(1);
    for file in 0..10 {
        let file = disk.create(Path::new(&format!("/{file}")))?;
        for _ in 0..25 {
            // 10 * 25 * 1.5 KB: a few hundred KB in all.
            file.write_at(rng.below(40_000), &rng.bytes(1500))?;
            if rng.chance(0.2) {
                file.sync_data()?;
            }
        }
    }
    let clock = OsClock::new();
    let mut count = 0u32;
    let mut files = 0;
    for at in 0..=disk.op_count() {
        for image in disk.random_images(at, 20, 2) {
            count += 1;
            files += image.disk.paths().len();
        }
    }
    let seconds = clock.now().as_secs_f64();
    println!("{count} images in {seconds:.3} s, {files} files in them");
    // Ten thousand per second and more on an idle machine; a busy one may take its time.
    assert!(seconds / f64::from(count) < 5e-3);
    Ok(())
}
