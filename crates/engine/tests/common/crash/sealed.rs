//! The suites once more, with encrypted databases.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_engine::encryption::{Key, KeyProvider, NamedKey};

use super::planted;

/// Set in processes whose databases are encrypted.
const ENCRYPTED: &str = "CAIRN_ENCRYPTED";

/// Whether databases are encrypted in this process.
pub fn is_on() -> bool {
    std::env::var_os(ENCRYPTED).is_some()
}

/// What databases are opened with in this process.
pub fn provider() -> Option<Arc<dyn KeyProvider>> {
    is_on().then(|| Arc::new(KeyRing(0)) as Arc<dyn KeyProvider>)
}

/// Another key of the same provider, for a rotation.
pub fn next_key() -> Arc<dyn KeyProvider> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Arc::new(KeyRing(NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Has a key for every id, and so one for whatever a crash left; holds its newest.
#[derive(Debug)]
struct KeyRing(u64);

impl KeyProvider for KeyRing {
    fn current(&self) -> NamedKey {
        let id = format!("key {}", self.0);
        let key = self.key(&id).expect("a key for every id");
        NamedKey { id, key }
    }

    fn key(&self, id: &str) -> Option<Key> {
        let mut bytes = [0x2e; 32];
        for (byte, of_id) in bytes.iter_mut().zip(id.bytes()) {
            *byte ^= of_id;
        }
        Some(Key::new(&bytes))
    }
}

/// Runs these tests of the file that is `module`, its `module_path!()`, again with encrypted
/// databases, and expects them to pass.
pub fn run_again(module: &str, tests: &[&str], bounds: &[(&str, &str)]) {
    if is_on() || std::env::var_os("CAIRN_BUG").is_some() {
        return;
    }
    let output = Command::new(std::env::current_exe().expect("this program"))
        .arg("--exact")
        .args(tests.iter().map(|test| planted::exact(module, test)))
        .args(["--nocapture", "--test-threads=2"])
        .env(ENCRYPTED, "1")
        .envs(bounds.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("this program runs again");
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = text
        .lines()
        .any(|line| line.contains(&format!("ok. {} passed", tests.len())));
    if !(output.status.success() && passed) {
        let errors = String::from_utf8_lossy(&output.stderr);
        panic!("encrypted: {}\n{text}\n{errors}", output.status);
    }
    for line in text.lines().filter(|line| !line.contains("test result")) {
        println!("encrypted: {line}");
    }
}
