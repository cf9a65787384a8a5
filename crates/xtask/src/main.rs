//! Repository commands: `cargo xtask tidy` and `cargo xtask licences`.
//!
//! Both only read. They check what no compiler knows: which room may use which, how long a file may
//! grow, which words may not stay behind, and under which licences the dependencies come.

mod licences;
mod scrub;
mod tidy;
mod tree;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy|licences";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate lies two folders below the top of the repository");
    let mut arguments = std::env::args().skip(1);
    let outcome = match (arguments.next().as_deref(), arguments.next()) {
        (Some("tidy"), None) => tidy::run(root),
        (Some("licences"), None) => licences::run(root),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
