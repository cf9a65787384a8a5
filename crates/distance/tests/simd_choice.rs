//! `CAIRN_SIMD` decides which instruction set runs when it names an available one; any other value
//! falls back to the best one and says so. Nothing about it can panic.

use std::path::Path;
use std::process::Command;

use cairn_distance::{Kernels, Metric, Simd, choose};

const ALL: [Simd; 3] = [Simd::Scalar, Simd::Avx2, Simd::Avx512];

#[test]
fn a_wish_that_can_be_met_is_met() {
    for simd in ALL {
        let choice = choose(Some(simd.name()), &ALL);
        assert_eq!(choice.simd, simd);
        assert_eq!(choice.reason, format!("CAIRN_SIMD={simd}"));
    }
    assert_eq!(choose(Some(" avx2 "), &ALL).simd, Simd::Avx2);
}

#[test]
fn without_a_wish_the_best_runs() {
    for wish in [None, Some(""), Some("  ")] {
        let choice = choose(wish, &ALL);
        assert_eq!(choice.simd, Simd::Avx512);
        assert_eq!(choice.reason, "best available: avx512");
    }
    assert_eq!(choose(None, &[]).simd, Simd::Scalar);
}

#[test]
fn other_wishes_fall_back_and_say_so() {
    let choice = choose(Some("neon"), &ALL);
    assert_eq!(choice.simd, Simd::Avx512);
    assert_eq!(
        choice.reason,
        "CAIRN_SIMD=neon is not available here, using avx512"
    );

    let choice = choose(Some("sse\n9"), &[Simd::Scalar]);
    assert_eq!(choice.simd, Simd::Scalar);
    let expected = r#"CAIRN_SIMD="sse\n9" is unknown (scalar, avx2, avx512, neon), using scalar"#;
    assert_eq!(choice.reason, expected);
}

#[test]
fn scalar_is_always_available_and_first() {
    assert_eq!(Simd::available()[0], Simd::Scalar);
    for simd in Simd::ALL {
        let kernels = Kernels::<f32>::with_simd(Metric::L2, simd);
        assert_eq!(
            kernels.is_some(),
            Simd::available().contains(&simd),
            "{simd}"
        );
    }
}

/// `CAIRN_EXPECT_SIMD` is set by scripts that emulate a known processor.
#[test]
fn the_expected_one_is_active() {
    if let Ok(expected) = std::env::var("CAIRN_EXPECT_SIMD") {
        assert_eq!(Simd::active().name(), expected, "{}", Simd::choice().reason);
        assert_eq!(
            Simd::available().last().map(|simd| simd.name()),
            Some(&*expected)
        );
    }
}

/// Not a test of its own: the child of the next one, which reads what it prints.
#[test]
fn print_the_active_one() {
    let kernels = Kernels::<f32>::new(Metric::L2);
    assert_eq!(kernels.simd(), Simd::active());
    println!("active: {} ({})", Simd::active(), Simd::choice().reason);
}

#[test]
fn the_variable_is_read_by_a_process() {
    let best = Simd::available().last().copied().expect("scalar at least");
    let mut cases: Vec<(String, Simd)> = Simd::available()
        .iter()
        .map(|simd| (simd.to_string(), *simd))
        .collect();
    cases.push(("nonsense".to_owned(), best));
    for (value, expected) in cases {
        let own = std::env::current_exe().expect("own path");
        let mut command = command_for(&own);
        command.args(["--exact", "print_the_active_one", "--nocapture"]);
        let child = command
            .env("CAIRN_SIMD", &value)
            .output()
            .expect("run this file again");
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{output}");
        assert!(
            output.contains(&format!("active: {expected} (")),
            "{value}: {output}"
        );
    }
}

/// Runs `binary`, through the emulator that this process runs in, if `CAIRN_EMULATOR` names one.
fn command_for(binary: &Path) -> Command {
    let emulator = std::env::var("CAIRN_EMULATOR").unwrap_or_default();
    let mut words = emulator.split_whitespace();
    let Some(program) = words.next() else {
        return Command::new(binary);
    };
    let mut command = Command::new(program);
    command.args(words).arg(binary);
    command
}
