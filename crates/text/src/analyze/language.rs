//! Languages, their stems and their stop words.

use std::sync::OnceLock;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use rust_stemmers::Algorithm;

/// A language that texts are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// None in particular: words as they are.
    #[default]
    None,
    /// Arabic.
    Arabic,
    /// Danish.
    Danish,
    /// Dutch.
    Dutch,
    /// English.
    English,
    /// Finnish.
    Finnish,
    /// French.
    French,
    /// German.
    German,
    /// Greek.
    Greek,
    /// Hungarian.
    Hungarian,
    /// Italian.
    Italian,
    /// Norwegian.
    Norwegian,
    /// Portuguese.
    Portuguese,
    /// Romanian.
    Romanian,
    /// Russian.
    Russian,
    /// Spanish.
    Spanish,
    /// Swedish.
    Swedish,
    /// Tamil.
    Tamil,
    /// Turkish.
    Turkish,
}

type Words = HashSet<&'static str, FixedState>;

/// Each language with its name, its stems, and the code of its stop words.
const TABLE: [(Language, &str, Option<Algorithm>, &str); 19] = [
    (Language::None, "none", None, ""),
    (Language::Arabic, "arabic", Some(Algorithm::Arabic), "ar"),
    (Language::Danish, "danish", Some(Algorithm::Danish), "da"),
    (Language::Dutch, "dutch", Some(Algorithm::Dutch), "nl"),
    (Language::English, "english", Some(Algorithm::English), "en"),
    (Language::Finnish, "finnish", Some(Algorithm::Finnish), "fi"),
    (Language::French, "french", Some(Algorithm::French), "fr"),
    (Language::German, "german", Some(Algorithm::German), "de"),
    (Language::Greek, "greek", Some(Algorithm::Greek), "el"),
    (
        Language::Hungarian,
        "hungarian",
        Some(Algorithm::Hungarian),
        "hu",
    ),
    (Language::Italian, "italian", Some(Algorithm::Italian), "it"),
    (
        Language::Norwegian,
        "norwegian",
        Some(Algorithm::Norwegian),
        "no",
    ),
    (
        Language::Portuguese,
        "portuguese",
        Some(Algorithm::Portuguese),
        "pt",
    ),
    (
        Language::Romanian,
        "romanian",
        Some(Algorithm::Romanian),
        "ro",
    ),
    (Language::Russian, "russian", Some(Algorithm::Russian), "ru"),
    (Language::Spanish, "spanish", Some(Algorithm::Spanish), "es"),
    (Language::Swedish, "swedish", Some(Algorithm::Swedish), "sv"),
    (Language::Tamil, "tamil", Some(Algorithm::Tamil), "ta"),
    (Language::Turkish, "turkish", Some(Algorithm::Turkish), "tr"),
];

impl Language {
    /// Every language, `None` first.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(language, ..)| *language)
    }

    /// Its English name in lower case; `none` for none.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The language of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::all().find(|language| language.name() == name)
    }

    pub(super) fn algorithm(self) -> Option<Algorithm> {
        TABLE[self as usize].2
    }

    /// Its most common words, in lower case.
    pub(super) fn stop_words(self) -> Option<&'static Words> {
        static SETS: [OnceLock<Words>; TABLE.len()] = [const { OnceLock::new() }; TABLE.len()];
        let list = stop_words::lookup(TABLE[self as usize].3)?;
        Some(SETS[self as usize].get_or_init(|| list.iter().copied().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Language, TABLE};

    #[test]
    fn every_language_has_its_line_its_name_and_stop_words() {
        for (at, (language, name, algorithm, _)) in TABLE.into_iter().enumerate() {
            assert_eq!(language as usize, at, "{name}");
            assert_eq!(Language::of_name(name), Some(language));
            assert_eq!(algorithm.is_some(), language != Language::None, "{name}");
            let words = language.stop_words().map_or(0, |words| words.len());
            assert_eq!(words > 20, language != Language::None, "{name}: {words}");
        }
        assert_eq!(Language::of_name("klingon"), None);
        assert_eq!(Language::of_name("English"), None);
    }
}
