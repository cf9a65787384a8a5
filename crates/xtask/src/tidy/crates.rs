//! Which crate may use which.
//!
//! Read from each crate's Cargo.toml, so an edge is caught the moment it is declared.

use super::{Finding, lines};
use crate::tree::File;

/// Every crate with the crates of ours it may be built on. Arrows point one way: a crate only ever
/// names crates that are placed above it in this table.
const EDGES: [(&str, &[&str]); 12] = [
    ("distance", &[]),
    ("quantize", &["distance"]),
    ("index", &["distance", "quantize"]),
    ("text", &[]),
    ("filter", &["text"]),
    ("env", &[]),
    ("storage", &["env"]),
    (
        "engine",
        &["index", "storage", "filter", "text", "distance", "env"],
    ),
    ("napi", &["engine", "env"]),
    (
        "testkit",
        &["distance", "index", "filter", "env", "storage", "engine"],
    ),
    (
        "fuzz",
        &[
            "quantize", "index", "filter", "text", "env", "storage", "engine", "testkit",
        ],
    ),
    ("xtask", &[]),
];

/// What any crate may use in its tests, besides what it is built on.
const FOR_TESTS: [&str; 2] = ["testkit", "env"];

pub fn check(file: &File) -> Vec<Finding> {
    let Some(name) = file
        .path
        .strip_prefix("crates/")
        .and_then(|rest| rest.strip_suffix("/Cargo.toml"))
    else {
        return Vec::new();
    };
    let Some((_, allowed)) = EDGES.iter().find(|(place, _)| *place == name) else {
        let message = format!("crate {name} has no place in EDGES of {}", file!());
        return vec![Finding::error(file, 0, message)];
    };
    let mut findings = Vec::new();
    let mut section = Section::Other;
    for (number, line) in lines(&file.text) {
        if let Some(header) = line.trim().strip_prefix('[') {
            section = Section::of(header);
            continue;
        }
        let Some(used) = own_crate(line) else {
            continue;
        };
        let fine = match section {
            Section::Dependencies => allowed.contains(&used),
            Section::DevDependencies => allowed.contains(&used) || FOR_TESTS.contains(&used),
            Section::Other => true,
        };
        if !fine {
            let message = format!("{name} must not use {used}: it may use {allowed:?}");
            findings.push(Finding::error(file, number, message));
        }
    }
    findings
}

#[derive(Clone, Copy)]
enum Section {
    Dependencies,
    DevDependencies,
    Other,
}

impl Section {
    fn of(header: &str) -> Self {
        let name = header.trim_end().trim_end_matches(']');
        if name.ends_with("dev-dependencies") {
            Self::DevDependencies
        } else if name.ends_with("dependencies") {
            Self::Dependencies
        } else {
            Self::Other
        }
    }
}

/// `engine` for a line that begins `cairn-engine`.
fn own_crate(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("cairn-")?;
    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .next()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_found, file};
    use super::{EDGES, check};

    fn manifest(name: &str, text: &str) -> crate::tree::File {
        file(&format!("crates/{name}/Cargo.toml"), text)
    }

    #[test]
    fn an_edge_that_points_left_is_found() {
        let text = "[dependencies]\ncairn-env.workspace = true\ncairn-engine = { path = \"x\" }\n";
        assert_found(
            check(&manifest("storage", text)),
            &[(3, "storage must not use engine")],
        );
    }

    #[test]
    fn tests_may_use_the_testkit_and_code_may_not() {
        let text = "[dependencies]\ncairn-testkit.workspace = true\n\
                    [dev-dependencies]\ncairn-testkit.workspace = true\n";
        assert_found(
            check(&manifest("storage", text)),
            &[(2, "must not use testkit")],
        );
        let text = "[target.'cfg(unix)'.dependencies]\ncairn-napi = \"1\"\n";
        assert_found(check(&manifest("index", text)), &[(2, "must not use napi")]);
    }

    #[test]
    fn features_are_not_edges_and_foreign_crates_are_not_ours() {
        let text = "[features]\nx = [\"cairn-env/x\"]\n[dependencies]\nserde = \"1\"\n";
        assert_found(check(&manifest("storage", text)), &[]);
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        assert_found(
            check(&manifest("surprise", "[dependencies]\n")),
            &[(0, "has no place")],
        );
    }

    #[test]
    fn the_table_itself_points_one_way() {
        for (at, (name, allowed)) in EDGES.iter().enumerate() {
            for used in *allowed {
                assert!(
                    EDGES[..at].iter().any(|(above, _)| above == used),
                    "{name} uses {used}, which is not above it"
                );
            }
        }
    }
}
