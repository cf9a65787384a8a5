//! Every unsafe block and impl is preceded by its argument, and stands where unsafe code may stand.

use super::{Finding, lines};
use crate::scrub::scrub;
use crate::tree::File;

/// How far above the block its `SAFETY:` comment may begin.
const ARGUMENT_LINES: usize = 12;

pub fn check(file: &File) -> Vec<Finding> {
    if !file.is(&["rs"]) {
        return Vec::new();
    }
    let scrubbed = scrub(&file.text);
    let raw: Vec<&str> = file.text.lines().collect();
    lines(&scrubbed)
        .filter(|(_, line)| opens_unsafe(line))
        .filter(|(number, _)| !is_argued(&raw[..*number]))
        .map(|(number, _)| Finding::error(file, number, "unsafe without a SAFETY comment above it"))
        .collect()
}

/// A block or an impl; an `unsafe fn` states its conditions in its documentation instead.
fn opens_unsafe(line: &str) -> bool {
    line.match_indices("unsafe").any(|(at, word)| {
        let whole = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = line[at + word.len()..].trim_start();
        whole && (rest.is_empty() || rest.starts_with('{') || rest.starts_with("impl"))
    })
}

fn is_argued(up_to: &[&str]) -> bool {
    up_to
        .iter()
        .rev()
        .take(ARGUMENT_LINES)
        .any(|line| line.contains("SAFETY:"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_found, file};
    use super::check;

    #[test]
    fn a_block_or_impl_without_its_argument_is_found() {
        let text = "fn f() {\n    unsafe { g() }\n}\nunsafe impl Send for X {}\n";
        assert_found(
            check(&file("crates/distance/src/x.rs", text)),
            &[(2, "SAFETY"), (4, "SAFETY")],
        );
    }

    #[test]
    fn argued_blocks_signatures_and_words_are_fine() {
        let text = "// SAFETY: `g` reads inside the slice.\nlet x = unsafe { g() };\n\
                    unsafe fn h() {}\nconst A: &str = \"unsafe { }\";\n#![deny(unsafe_code)]\n";
        assert_found(check(&file("crates/distance/src/x.rs", text)), &[]);
    }
}
