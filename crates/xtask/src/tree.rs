//! The text files of the repository.

use std::fs;
use std::io;
use std::path::Path;

/// Folders that hold nothing written by hand: by name wherever they are, or by path.
const FOLDERS_SKIPPED: [&str; 6] = [
    ".git",
    "target",
    "node_modules",
    "dist",
    ".cache",
    "bench/out",
];

/// What counts as text, by the last part of the name.
const TEXT: [&str; 20] = [
    "rs", "ts", "mts", "cts", "mjs", "cjs", "js", "json", "toml", "yml", "yaml", "md", "sh", "py",
    "proto", "html", "css", "svg", "txt", "run",
];

/// One file: its path from the top, with forward slashes, and its content.
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    /// Whether the name ends in one of these extensions.
    pub fn is(&self, extensions: &[&str]) -> bool {
        extension(&self.path).is_some_and(|found| extensions.contains(&found))
    }
}

/// Reads every text file below `root`, in the order of their paths.
///
/// # Errors
/// When a folder or a file cannot be read, with its path.
pub fn read(root: &Path) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    visit(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn visit(root: &Path, folder: &str, files: &mut Vec<File>) -> Result<(), String> {
    let failed = |error: io::Error| format!("{folder}: {error}");
    for entry in fs::read_dir(root.join(folder)).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() {
            name.clone()
        } else {
            format!("{folder}/{name}")
        };
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            if !FOLDERS_SKIPPED.contains(&name.as_str())
                && !FOLDERS_SKIPPED.contains(&path.as_str())
            {
                visit(root, &path, files)?;
            }
        } else if kind.is_file() && is_text(&path) {
            let text = fs::read_to_string(root.join(&path));
            files.push(File {
                text: text.map_err(|error| format!("{path}: {error}"))?,
                path,
            });
        }
    }
    Ok(())
}

fn is_text(path: &str) -> bool {
    path == ".ci/run" || extension(path).is_some_and(|found| TEXT.contains(&found))
}

fn extension(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    name.rsplit_once('.').map(|(_, extension)| extension)
}
