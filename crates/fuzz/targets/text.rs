#![no_main]

use std::sync::LazyLock;

use cairn_text::{Analyzer, Bm25, Language, Query, QueryField, Statistics, TextIndex};

/// A good index, whose bytes are changed.
static SEED: LazyLock<TextIndex> = LazyLock::new(cairn_fuzz::text);

/// Searches whatever is taken for an index, in every way.
fn look(index: TextIndex, text: &str, language: Language) {
    let fields = [0, 1, 9].map(|field| QueryField {
        field,
        analyzer: Analyzer::new(language),
        weight: 1.5,
    });
    let query = Query::parse(text, &fields);
    let gathered = index.gather(&query, || false).expect("nobody stops it");
    let mut statistics = Statistics::default();
    statistics.merge(gathered.statistics());
    let mut hits = Vec::new();
    for k in [1, 10_000] {
        gathered
            .search(
                &statistics,
                Bm25::default(),
                k,
                |row| row % 5 != 4,
                || false,
                &mut hits,
            )
            .expect("nobody stops it");
        assert!(hits.len() <= k && hits.iter().all(|hit| hit.row < index.rows()));
        assert!(hits.is_sorted_by(|a, b| (b.score, a.row) <= (a.score, b.row)));
        assert!(
            hits.iter()
                .all(|hit| hit.score > 0.0 && hit.score.is_finite())
        );
    }
}

// The first byte says what the others are: a whole index, places and bytes to change in a good one, or a
// query. The second is a language.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [kind, language, bytes @ ..] = bytes else {
        return;
    };
    let language = Language::all()
        .nth(usize::from(*language) % 19)
        .unwrap_or_default();
    let searched = "common +often word* \"twice common\" (tides -running) word3";
    match kind % 3 {
        0 => {
            if let Some(index) = TextIndex::from_bytes(bytes.to_vec()) {
                look(index, searched, language);
            }
        }
        1 => {
            let mut changed = SEED.as_bytes().to_vec();
            for &[low, high, byte] in bytes.as_chunks::<3>().0 {
                let at = usize::from(u16::from_le_bytes([low, high])) % changed.len();
                changed[at] = byte;
            }
            if let Some(index) = TextIndex::from_bytes(changed) {
                look(index, searched, language);
            }
        }
        _ => {
            let text = String::from_utf8_lossy(bytes);
            let analyzer = Analyzer::new(language);
            let field = QueryField {
                field: 0,
                analyzer,
                weight: 1.0,
            };
            let marked = Query::parse(&text, &[field]).highlight(0, &text);
            assert!(marked.iter().all(|range| text.get(range.clone()).is_some()));
            assert!(marked.is_sorted_by(|a, b| a.end < b.start));
            look(SEED.clone(), &text, language);
        }
    }
});
