//! `cargo xtask tidy`: what the house rules ask for and no compiler checks.
//!
//! Each rule is a function from files to findings, so that its test is a few lines of text. An error
//! fails the command, a warning is printed.

mod crates;
mod functions;
mod imports;
mod manifests;
mod outside;
mod text;
mod unsafety;

use std::fmt;
use std::path::Path;

use crate::tree::{self, File};

/// One place that breaks a rule.
#[derive(Debug)]
pub struct Finding {
    path: String,
    /// Counted from 1; 0 when the finding is about the file as a whole.
    line: usize,
    message: String,
    severity: Severity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

impl Finding {
    fn error(file: &File, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: file.path.clone(),
            line,
            message: message.into(),
            severity: Severity::Error,
        }
    }

    fn warning(file: &File, line: usize, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(file, line, message)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.path)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Checks the whole repository and prints every finding.
///
/// # Errors
/// When a rule is broken, or a file cannot be read.
pub fn run(root: &Path) -> Result<String, String> {
    let files = tree::read(root)?;
    let findings = check(&files);
    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    let warnings = findings.len() - errors;
    let summary = format!(
        "tidy: {} files, {errors} errors, {warnings} warnings",
        files.len()
    );
    if errors == 0 {
        Ok(summary)
    } else {
        Err(summary)
    }
}

fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = manifests::check_versions(files);
    for file in files {
        findings.extend(text::check(file));
        findings.extend(crates::check(file));
        findings.extend(imports::check(file));
        findings.extend(manifests::check(file));
        findings.extend(outside::check(file));
        findings.extend(unsafety::check(file));
        findings.extend(functions::check(file));
    }
    findings
}

/// The lines of a text with their numbers, counted from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod testing {
    use super::{File, Finding};

    pub fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// Asserts that `check` finds exactly `expected`, each a line number and a part of the message.
    #[track_caller]
    pub fn assert_found(check: impl IntoIterator<Item = Finding>, expected: &[(usize, &str)]) {
        let found: Vec<Finding> = check.into_iter().collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (finding, (line, part)) in found.iter().zip(expected) {
            assert_eq!(finding.line, *line, "{finding}");
            assert!(finding.message.contains(part), "{finding}");
        }
    }
}
