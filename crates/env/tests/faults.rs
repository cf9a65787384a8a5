//! Promise: a fail point does what the table says, at the pass it says, and nothing else.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::io;
use std::process::Command;
use std::sync::Arc;

use cairn_env::{Clock, Env, FaultAction, Faults, KillPoint, OsClock};
use parking_lot::Mutex;

#[test]
fn every_point_has_its_number() {
    for (number, point) in (1..).zip(KillPoint::ALL) {
        assert_eq!(point as u8, number);
        assert!(format!("{point:?}").starts_with(&format!("K{number}")));
    }
}

#[test]
fn an_error_strikes_at_its_pass_alone() {
    let faults = Faults::default();
    faults.arm(
        KillPoint::K6Synced,
        2,
        FaultAction::Error(io::ErrorKind::Other),
    );
    assert!(faults.hit(KillPoint::K6Synced).is_ok());
    assert!(faults.hit(KillPoint::K5SyncIssued).is_ok());
    let error = faults.hit(KillPoint::K6Synced).unwrap_err();
    assert_eq!(error.to_string(), "injected error at=K6Synced");
    assert!(faults.hit(KillPoint::K6Synced).is_ok());
    assert_eq!(faults.hits(KillPoint::K6Synced), 3);
    assert_eq!(faults.hits(KillPoint::K7Applied), 0);
}

#[test]
fn an_error_is_of_the_kind_that_was_asked_for() {
    use io::ErrorKind::{Other, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let faults = Faults::default();
    let kinds = [
        Other,
        StorageFull,
        QuotaExceeded,
        PermissionDenied,
        ReadOnlyFilesystem,
    ];
    for (pass, kind) in (1..).zip(kinds) {
        faults.arm(
            KillPoint::K18ManifestWritten,
            pass,
            FaultAction::Error(kind),
        );
    }
    for kind in kinds {
        let error = faults.hit(KillPoint::K18ManifestWritten).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(error.to_string(), "injected error at=K18ManifestWritten");
    }
    assert!(faults.hit(KillPoint::K18ManifestWritten).is_ok());
}

#[test]
fn clones_share_the_table() {
    let faults = Faults::default();
    let error = FaultAction::Error(io::ErrorKind::Other);
    faults.clone().arm(KillPoint::K1Validated, 1, error);
    assert!(faults.hit(KillPoint::K1Validated).is_err());
    assert_eq!(faults.clone().hits(KillPoint::K1Validated), 1);
}

#[test]
fn a_panic_leaves_the_table_usable() {
    let faults = Faults::default();
    faults.arm(KillPoint::K3PartialWrite, 1, FaultAction::Panic);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        faults.hit(KillPoint::K3PartialWrite)
    }));
    assert!(result.is_err());
    assert!(faults.hit(KillPoint::K3PartialWrite).is_ok());
}

#[test]
fn a_pause_takes_its_time() {
    let faults = Faults::default();
    faults.arm(KillPoint::K2Encoded, 1, FaultAction::SleepMs(20));
    let clock = OsClock::new();
    assert!(faults.hit(KillPoint::K2Encoded).is_ok());
    assert!(clock.now().as_millis() >= 20);
}

#[test]
fn the_observer_sees_every_pass_before_it_strikes() {
    let faults = Faults::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (notes, inner) = (Arc::clone(&seen), faults.clone());
    // It may look at the table itself.
    faults.observe(move |point| notes.lock().push((point, inner.hits(point))));
    let error = FaultAction::Error(io::ErrorKind::Other);
    faults.arm(KillPoint::K8Acknowledged, 1, error);
    assert!(faults.hit(KillPoint::K7Applied).is_ok());
    assert!(faults.hit(KillPoint::K8Acknowledged).is_err());
    assert_eq!(
        *seen.lock(),
        [(KillPoint::K7Applied, 1), (KillPoint::K8Acknowledged, 1)]
    );
}

/// Runs [`child_passes_k6_three_times`] under `rules`.
fn child(rules: &str) -> std::process::Output {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_passes_k6_three_times",
            "--ignored",
            "--nocapture",
        ])
        .env("CAIRN_FAIL", rules)
        .output()
        .unwrap()
}

fn passes(output: &std::process::Output) -> usize {
    String::from_utf8_lossy(&output.stdout)
        .matches("went on")
        .count()
}

#[test]
fn a_child_process_is_killed_at_the_pass_its_environment_says() {
    let output = child("K6:3:kill");
    assert_eq!(passes(&output), 2);
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(output.status.signal(), Some(9));
    }
    assert!(!output.status.success());
}

#[test]
fn rules_in_the_environment_are_a_list() {
    let output = child("K1:1:kill,K6:2:sleep1,");
    assert!(output.status.success(), "K1 is not passed");
    assert_eq!(passes(&output), 3);
    assert_eq!(passes(&child("K6:1:error,K6:2:error")), 1);
    assert!(!child("K6:2:panic").status.success());
    assert!(!child("K6:x:panic").status.success());
}

#[test]
fn the_environment_names_errors_as_unix_does() {
    use io::ErrorKind::{Other, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    for (spelling, kind) in [
        ("error", Other),
        ("error=EIO", Other),
        ("error=ENOSPC", StorageFull),
        ("error=EDQUOT", QuotaExceeded),
        ("error=EACCES", PermissionDenied),
        ("error=EROFS", ReadOnlyFilesystem),
    ] {
        let output = child(&format!("K6:2:{spelling}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(passes(&output), 2, "{spelling}: {said}");
        assert!(said.contains(&format!("{kind:?}")), "{spelling}: {said}");
    }
    for wrong in ["error=", "error=ENONSENSE", "errors", "sleep", "12"] {
        let output = child(&format!("K6:2:{wrong}"));
        assert!(!output.status.success(), "{wrong} says nothing");
    }
}

#[test]
#[ignore = "runs as a child of other tests"]
fn child_passes_k6_three_times() {
    let env = Env::memory(1);
    for _ in 0..3 {
        match env.faults.hit(KillPoint::K6Synced) {
            Ok(()) => println!("went on"),
            Err(error) => println!("failed: {:?}", error.kind()),
        }
    }
}
