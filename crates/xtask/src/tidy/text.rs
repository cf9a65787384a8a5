//! Rules about the text of any file.

use super::{Finding, lines};
use crate::tree::File;

/// Past this, ask whether two ideas share the file.
const LINES_MAX: usize = 800;

/// Words that must not stay behind, with what to do about them. They are put together here so that
/// this file passes its own check.
const WORDS: [(&str, &str); 9] = [
    (concat!("FIX", "ME"), "mend it, or write down why it is so"),
    (concat!("XX", "X"), "mend it, or write down why it is so"),
    (concat!("todo", "!("), "write the code"),
    (concat!("unimplemented", "!("), "write the code"),
    (
        concat!("target", "-cpu"),
        "binaries are built for the baseline",
    ),
    (concat!("test", ".only("), "let the other tests run"),
    (concat!("/ho", "me/"), "no path of one machine"),
    (concat!("/Us", "ers/"), "no path of one machine"),
    (concat!("/ro", "ot/"), "no path of one machine"),
];

pub fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.path == "package-lock.json" || file.path == "Cargo.lock" {
        return findings;
    }
    let count = file.text.lines().count();
    if count > LINES_MAX && file.is(&["rs", "ts", "mts", "cts", "mjs", "cjs", "js"]) {
        let message = format!("{count} lines, more than {LINES_MAX}: which two ideas share it?");
        findings.push(Finding::error(file, 0, message));
    }
    let ascii_only = !file.path.contains("/fixtures/") && !file.is(&["svg"]);
    for (number, line) in lines(&file.text) {
        if let Some(character) = line.chars().find(|c| ascii_only && !c.is_ascii()) {
            let message = format!("{character:?} is not ASCII: write it as an escape or in words");
            findings.push(Finding::error(file, number, message));
        }
        for (word, remedy) in WORDS {
            if holds_word(line, word) {
                findings.push(Finding::error(file, number, format!("{word}: {remedy}")));
            }
        }
    }
    if file.is(&["md"]) {
        findings.extend(one_title(file));
    }
    findings
}

/// Whether `word` stands in `line` by itself, not as a part of a longer one.
fn holds_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let rest = &line[at + word.len()..];
        let goes_on =
            word.ends_with(char::is_alphanumeric) && rest.starts_with(char::is_alphanumeric);
        !line[..at].ends_with(char::is_alphanumeric) && !goes_on
    })
}

fn one_title(file: &File) -> Option<Finding> {
    let mut fenced = false;
    let mut titles = 0;
    for line in file.text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        titles += usize::from(!fenced && line.starts_with("# "));
    }
    let message = format!("{titles} titles of the first level; a page has one");
    (titles != 1).then(|| Finding::error(file, 0, message))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_found, file};
    use super::check;

    #[test]
    fn leftovers_and_machine_paths_are_found() {
        let text = concat!(
            "a\n// FIX",
            "ME: later\nlet p = \"/ho",
            "me/me/x\";\ntodo",
            "!()\n"
        );
        assert_found(
            check(&file("crates/env/src/lib.rs", text)),
            &[(2, "mend it"), (3, "no path"), (4, "write the code")],
        );
    }

    #[test]
    fn parts_of_longer_words_are_fine() {
        let text = concat!("cairn.XX", "XX", "XX\nhttps://example.org/ho", "me/\n");
        assert_found(check(&file(".ci/run", text)), &[]);
    }

    #[test]
    fn a_flag_for_one_processor_is_found_anywhere() {
        let text = concat!("RUSTFLAGS: -C target", "-cpu=native\n");
        assert_found(
            check(&file(".github/workflows/build.yml", text)),
            &[(1, "baseline")],
        );
    }

    #[test]
    fn text_is_ascii_outside_fixtures() {
        let text = "ok\nna\u{ef}ve\n";
        assert_found(check(&file("ts/x.ts", text)), &[(2, "not ASCII")]);
        assert_found(check(&file("__test__/fixtures/x.json", text)), &[]);
    }

    #[test]
    fn long_files_are_found() {
        let text = "x\n".repeat(801);
        assert_found(check(&file("ts/x.ts", &text)), &[(0, "801 lines")]);
        assert_found(check(&file("ts/x.ts", &text[2..])), &[]);
        assert_found(check(&file("bench/x.json", &text)), &[]);
    }

    #[test]
    fn a_page_has_one_title() {
        assert_found(
            check(&file("A.md", "# A\n\n```sh\n# note\n```\n## B\n")),
            &[],
        );
        assert_found(check(&file("A.md", "# A\n# B\n")), &[(0, "2 titles")]);
        assert_found(check(&file("A.md", "text\n")), &[(0, "0 titles")]);
    }
}
