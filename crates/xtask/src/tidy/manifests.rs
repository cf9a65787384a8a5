//! Package manifests: nothing runs at install, nothing is depended on, one version everywhere.

use serde_json::Value;

use super::Finding;
use crate::tree::File;

/// Scripts that npm runs on the machine of whoever installs the package.
const INSTALL_SCRIPTS: [&str; 6] = [
    "preinstall",
    "install",
    "postinstall",
    "prepublish",
    "preprepare",
    "prepare",
];

/// The manifests of what is published; others, such as a benchmark's, are for developers only.
fn is_published(path: &str) -> bool {
    path == "package.json" || (path.starts_with("npm/") && path.ends_with("/package.json"))
}

pub fn check(file: &File) -> Vec<Finding> {
    if file.path != "package.json" && !file.path.ends_with("/package.json") {
        return Vec::new();
    }
    let manifest: Value = match serde_json::from_str(&file.text) {
        Ok(manifest) => manifest,
        Err(error) => return vec![Finding::error(file, error.line(), error.to_string())],
    };
    let mut findings = Vec::new();
    for name in INSTALL_SCRIPTS {
        if manifest["scripts"].get(name).is_some() {
            let message = format!("script {name}: nothing may run when a package is installed");
            findings.push(Finding::error(file, 0, message));
        }
    }
    for key in ["dependencies", "optionalDependencies"] {
        if is_published(&file.path) && manifest.get(key).is_some() {
            let message = format!("{key}: the package depends on nothing; see scripts/release.mjs");
            findings.push(Finding::error(file, 0, message));
        }
    }
    let peers = manifest["peerDependencies"].as_object();
    for name in peers.into_iter().flat_map(|peers| peers.keys()) {
        if is_published(&file.path) && manifest["peerDependenciesMeta"][name]["optional"] != true {
            let message = format!("peerDependencies: {name} must be optional, or npm installs it");
            findings.push(Finding::error(file, 0, message));
        }
    }
    findings
}

/// Compares the versions of all published packages with that of the workspace.
pub fn check_versions(files: &[File]) -> Vec<Finding> {
    let Some(version) = files
        .iter()
        .find(|file| file.path == "Cargo.toml")
        .and_then(|file| workspace_version(&file.text))
    else {
        return Vec::new();
    };
    files
        .iter()
        .filter(|file| is_published(&file.path))
        .filter_map(|file| {
            let manifest: Value = serde_json::from_str(&file.text).ok()?;
            let found = manifest["version"].as_str().unwrap_or("none");
            let message = format!("version {found}, but Cargo.toml says {version}");
            (found != version).then(|| Finding::error(file, 0, message))
        })
        .collect()
}

fn workspace_version(manifest: &str) -> Option<&str> {
    let line = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = \""))?;
    line.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_found, file};
    use super::{check, check_versions};

    #[test]
    fn install_scripts_and_dependencies_are_found() {
        let text = r#"{ "scripts": { "postinstall": "x", "test": "y" }, "dependencies": {} }"#;
        assert_found(
            check(&file("package.json", text)),
            &[(0, "script postinstall"), (0, "dependencies")],
        );
        assert_found(
            check(&file("bench/package.json", text)),
            &[(0, "script postinstall")],
        );
        assert_found(check(&file("package.json", "{")), &[(1, "EOF")]);
        let peers = r#"{ "peerDependencies": { "a": "1", "b": "1" },
            "peerDependenciesMeta": { "a": { "optional": true } } }"#;
        assert_found(
            check(&file("package.json", peers)),
            &[(0, "peerDependencies: b must be optional")],
        );
        assert_found(check(&file("ts/other.json", text)), &[]);
    }

    #[test]
    fn a_version_that_differs_is_found() {
        let cargo = file("Cargo.toml", "[workspace.package]\nversion = \"0.2.0\"\n");
        let same = file("package.json", r#"{ "version": "0.2.0" }"#);
        let other = file("npm/darwin-x64/package.json", r#"{ "version": "0.1.0" }"#);
        assert_found(
            check_versions(&[cargo, same, other]),
            &[(0, "version 0.1.0, but Cargo.toml says 0.2.0")],
        );
    }
}
