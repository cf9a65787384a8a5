//! Rust source without its comments and its literals.
//!
//! The checks look for words of code; a comment that explains why a word is not used, or a message
//! that quotes it, is no use of it. What is removed is replaced by spaces, so that lines and columns
//! stay where they were.

/// Blanks comments, strings and character literals in Rust source.
pub fn scrub(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match literal_end(bytes, at) {
            Some(end) => end.min(bytes.len()),
            None => {
                out.push(bytes[at]);
                at += 1;
                continue;
            }
        };
        for &byte in &bytes[at..end] {
            out.push(if byte == b'\n' { b'\n' } else { b' ' });
        }
        at = end;
    }
    String::from_utf8(out).expect("literals and comments begin and end at ASCII bytes")
}

/// Where the comment or literal that begins at `at` ends, if one does.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return Some(at + find(rest, b"\n").unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(at + block_comment_len(rest));
    }
    if rest[0] == b'"' {
        return Some(at + quoted_len(rest, b'"'));
    }
    if rest[0] == b'\'' {
        return char_len(rest).map(|len| at + len);
    }
    if rest[0] == b'r' && !in_word(bytes, at) {
        return raw_string_len(rest).map(|len| at + len);
    }
    None
}

/// Whether the byte before `at` belongs to the same word; the `b` of a byte string does not count.
fn in_word(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| {
        at.checked_sub(back)
            .map(|index| bytes[index])
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    before(1) && (bytes[at - 1] != b'b' || before(2))
}

fn block_comment_len(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted_len(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a character literal, or none when the quote begins a lifetime.
fn char_len(rest: &[u8]) -> Option<usize> {
    let next = *rest.get(1)?;
    if next == b'\\' {
        return Some(quoted_len(rest, b'\''));
    }
    // A literal holds one character of at most four bytes; a lifetime has no closing quote.
    let width = match next {
        0x00..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

fn raw_string_len(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let body = 2 + hashes;
    let close = [vec![b'"'], vec![b'#'; hashes]].concat();
    let len = find(&rest[body..], &close).map(|at| body + at + close.len());
    Some(len.unwrap_or(rest.len()))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::scrub;

    fn assert_scrubbed(source: &str, expected: &str) {
        let scrubbed = scrub(source);
        assert_eq!(scrubbed.len(), source.len());
        assert_eq!(
            scrubbed.split_whitespace().collect::<Vec<_>>().join(" "),
            expected
        );
    }

    #[test]
    fn comments_and_literals_become_spaces() {
        assert_scrubbed("a // b\nc", "a c");
        assert_scrubbed("a /* b /* c */ d */ e", "a e");
        assert_scrubbed(r#"f("unsafe { \" }", 'x', '\'', b'{')"#, "f( , , , b )");
        assert_scrubbed(
            "g(r#\"a \" { b\"#, br\"{\", r\"c\\\") + 1",
            "g( , b , ) + 1",
        );
    }

    #[test]
    fn lifetimes_and_words_that_end_in_r_stay() {
        assert_scrubbed("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
        assert_scrubbed("let r = for_r;", "let r = for_r;");
        assert_scrubbed("let c = '\u{20ac}';", "let c = ;");
    }

    #[test]
    fn lines_stay_where_they_were() {
        assert_eq!(scrub("\"a\nb\"\nc"), "  \n  \nc");
    }

    #[test]
    fn an_open_literal_ends_with_the_file() {
        assert_scrubbed("a \"b", "a");
        assert_scrubbed("a /* b", "a");
        assert_scrubbed("a \"b\\", "a");
    }
}
