//! Functions that have grown long are reported, not refused: some lists of steps are best read as one.

use super::Finding;
use crate::scrub::scrub;
use crate::tree::File;

/// Past this a function explains itself, or is two functions.
const LINES_MAX: usize = 70;

pub fn check(file: &File) -> Vec<Finding> {
    if !file.is(&["rs"]) {
        return Vec::new();
    }
    let scrubbed = scrub(&file.text);
    let mut findings = Vec::new();
    for (at, _) in scrubbed.match_indices("fn ") {
        let Some((name, lines)) = function_at(&scrubbed, at) else {
            continue;
        };
        if lines > LINES_MAX {
            let number = line_of(&scrubbed, at);
            let message = format!("fn {name} has {lines} lines, more than {LINES_MAX}");
            findings.push(Finding::warning(file, number, message));
        }
    }
    findings
}

/// The name and the number of lines of the function whose `fn` stands at `at`; none without a body.
fn function_at(source: &str, at: usize) -> Option<(&str, usize)> {
    if source[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let rest = &source[at..];
    let name = rest["fn ".len()..]
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .filter(|name| !name.is_empty())?;
    let open = body_start(rest)?;
    let mut depth = 0usize;
    for (offset, character) in rest[open..].char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((name, rest[..open + offset].matches('\n').count() + 1));
        }
    }
    None
}

/// Where the body opens; a `;` outside brackets comes first when there is none, as in a trait.
fn body_start(rest: &str) -> Option<usize> {
    let mut depth = 0i32;
    for (offset, character) in rest.char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(offset),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn line_of(source: &str, at: usize) -> usize {
    source[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_found, file};
    use super::check;

    #[test]
    fn a_long_function_is_reported_with_its_length() {
        let body = "    x();\n".repeat(69);
        let text =
            format!("struct S;\n\nfn long(a: [u8; 4]) -> u8 {{\n{body}}}\nfn short() {{}}\n");
        assert_found(
            check(&file("crates/env/src/a.rs", &text)),
            &[(3, "fn long has 71 lines")],
        );
    }

    #[test]
    fn declarations_types_and_braces_in_strings_do_not_count() {
        let filler = "\n".repeat(80);
        let text = format!(
            "trait T {{ fn a(&self); {filler} }}\ntype F = fn (u8);\nfn b() {{ p(\"{{\") }}\n{filler}"
        );
        assert_found(check(&file("crates/env/src/a.rs", &text)), &[]);
    }
}
