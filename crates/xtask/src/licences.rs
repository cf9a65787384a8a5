//! Every crate that is compiled into Cairn, or that helps to build or test it, is permissively licensed.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Licences that ask for no more than that their text be passed on.
const ALLOWED: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Checks the whole dependency graph of Cargo.lock.
///
/// # Errors
/// One line for each crate without an allowed licence, or why the graph could not be read.
pub fn run(root: &Path) -> Result<String, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("cargo metadata failed: {reason}"));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata printed no JSON: {error}"))?;
    let packages = metadata["packages"]
        .as_array()
        .ok_or("cargo metadata lists no packages")?;
    let refused: Vec<String> = packages.iter().filter_map(refusal).collect();
    if refused.is_empty() {
        Ok(format!(
            "licences: {} crates, all permissive",
            packages.len()
        ))
    } else {
        Err(refused.join("\n"))
    }
}

fn refusal(package: &Value) -> Option<String> {
    let name = format!(
        "{} {}",
        package["name"].as_str().unwrap_or("?"),
        package["version"].as_str().unwrap_or("?")
    );
    match package["license"].as_str() {
        None => Some(format!("{name}: states no licence")),
        Some(licence) if allows(licence) => None,
        Some(licence) => Some(format!(
            "{name}: {licence} is not in the list of licences.rs"
        )),
    }
}

/// Whether a licence expression can be satisfied from the list.
///
/// The grammar is SPDX's: `OR` binds weakest, then `AND`, then `WITH`; old manifests write `/` for `OR`.
fn allows(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { tokens, at: 0 };
    parser.any() && parser.at == parser.tokens.len()
}

struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> bool {
        let mut allowed = self.all();
        while self.take("OR") {
            // Both sides are read whatever the first one says, to get past them.
            allowed |= self.all();
        }
        allowed
    }

    fn all(&mut self) -> bool {
        let mut allowed = self.one();
        while self.take("AND") {
            allowed &= self.one();
        }
        allowed
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let allowed = self.any();
            return self.take(")") && allowed;
        }
        let Some(&name) = self.tokens.get(self.at) else {
            return false;
        };
        self.at += 1;
        if !self.take("WITH") {
            return ALLOWED.contains(&name);
        }
        let exception = self.tokens.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        ALLOWED.contains(&format!("{name} WITH {exception}").as_str())
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.tokens.get(self.at) == Some(&token);
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::allows;

    #[test]
    fn expressions_that_the_list_satisfies_are_allowed() {
        for expression in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "GPL-2.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert!(allows(expression), "{expression}");
        }
    }

    #[test]
    fn all_others_are_refused() {
        for expression in [
            "",
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "GPL-2.0 WITH Classpath-exception-2.0",
            "(MIT OR Apache-2.0",
            "MIT Apache-2.0",
            "MIT AND (GPL-2.0 OR MPL-2.0)",
        ] {
            assert!(!allows(expression), "{expression}");
        }
    }
}
