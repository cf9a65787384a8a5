//! Which part of a record is tested.

/// The key of a record, or a field and what is nested in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Path {
    /// `$key`.
    Key,
    /// Names from the outside in; at least one.
    Field(Vec<Box<str>>),
}

impl Path {
    /// Reads a dotted path. A backslash takes the dot, the backslash or the dollar behind it as
    /// part of a name; anywhere else it is an ordinary character.
    ///
    /// # Errors
    /// What is wrong: an empty name, or a dollar in front of anything but `key`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "$key" {
            return Ok(Self::Key);
        }
        if text.starts_with('$') {
            return Err("there is no operator of this name; write \\$ for a field that begins so");
        }
        let mut names = Vec::new();
        let mut name = String::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '.' => names.push(std::mem::take(&mut name).into_boxed_str()),
                '\\' => {
                    let escaped = chars.next_if(|next| matches!(next, '.' | '\\' | '$'));
                    name.push(escaped.unwrap_or('\\'));
                }
                other => name.push(other),
            }
        }
        names.push(name.into_boxed_str());
        if names.iter().any(|name| name.is_empty()) {
            return Err("a name in the path is empty");
        }
        Ok(Self::Field(names))
    }

    /// The same path with another name for the field; that of a key is the same.
    #[must_use]
    pub fn with_first<'a>(&'a self, other: impl FnOnce(&'a str) -> &'a str) -> Self {
        let mut path = self.clone();
        if let (Self::Field(own), Self::Field(names)) = (self, &mut path) {
            names[0] = other(&own[0]).into();
        }
        path
    }

    /// The path as it is written in a filter.
    #[must_use]
    pub fn text(&self) -> String {
        let Self::Field(names) = self else {
            return "$key".into();
        };
        let escape = |name: &str| {
            let dots = name.replace('\\', "\\\\").replace('.', "\\.");
            match dots.strip_prefix('$') {
                Some(rest) => format!("\\${rest}"),
                None => dots,
            }
        };
        let names: Vec<String> = names.iter().map(|name| escape(name)).collect();
        names.join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    fn field(names: &[&str]) -> Result<Path, &'static str> {
        Ok(Path::Field(names.iter().map(|&name| name.into()).collect()))
    }

    #[test]
    fn dots_nest_unless_they_are_escaped() {
        assert_eq!(Path::parse("a"), field(&["a"]));
        assert_eq!(Path::parse("a.b.c"), field(&["a", "b", "c"]));
        assert_eq!(Path::parse(r"a\.b.c"), field(&["a.b", "c"]));
        assert_eq!(Path::parse(r"a\\.b"), field(&[r"a\", "b"]));
        assert_eq!(Path::parse(r"a\n"), field(&[r"a\n"]));
        assert_eq!(Path::parse(r"\$key"), field(&["$key"]));
        assert_eq!(Path::parse("__proto__"), field(&["__proto__"]));
        assert_eq!(Path::parse("$key"), Ok(Path::Key));
        for wrong in ["", ".", "a.", ".a", "a..b", "$kye", "$key.a"] {
            assert!(Path::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_path_is_written_as_it_is_read() {
        for names in [&["a", "b"][..], &["a.b"], &["$key"], &[r"a\", "$b", r"\."]] {
            let path = field(names).expect("names");
            assert_eq!(Path::parse(&path.text()), Ok(path));
        }
        assert_eq!(Path::Key.text(), "$key");
    }
}
