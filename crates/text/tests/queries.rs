//! What can be typed, and what it finds.

mod common;

use cairn_text::{Analyzer, DEPTH_MAX, Language, PREFIXES_MAX, Query, QueryField, TERMS_MAX};
use common::{Index, Row, search};

fn row(texts: &[&str]) -> Row {
    vec![texts.iter().map(|text| (*text).to_string()).collect()]
}

/// The rows that a query finds, ascending.
fn found(rows: &[Row], analyzer: Analyzer, typed: &str) -> Vec<u32> {
    let index = [(0, Index::of(rows, &[analyzer], false))];
    let query = Query::parse(
        typed,
        &[QueryField {
            field: 0,
            analyzer,
            weight: 1.0,
        }],
    );
    let mut rows: Vec<u32> = search(&query, &index, (1.2, 0.75), 100, &|_| true)
        .iter()
        .map(|hit| hit.row)
        .collect();
    rows.sort_unstable();
    rows
}

#[test]
fn each_form_finds_what_it_says() {
    let texts: [&[&str]; 7] = [
        &["spring tide"],
        &["tide in spring"],
        &["the tidal wave"],
        &["well-known and not so well known"],
        &["spring", "tide"],
        &[],
        &["SPRING! Tides, and"],
    ];
    let rows: Vec<Row> = texts.map(row).to_vec();
    let cases: &[(&str, &[u32])] = &[
        ("", &[]),
        ("  ,;", &[]),
        ("absent", &[]),
        ("spring", &[0, 1, 4, 6]),
        ("SpRiNg", &[0, 1, 4, 6]),
        ("spring wave", &[0, 1, 2, 4, 6]),
        ("spring OR wave", &[0, 1, 2, 4, 6]),
        ("\"spring tide\"", &[0]),
        ("\"tide spring\"", &[]),
        ("\"spring\"", &[0, 1, 4, 6]),
        ("tid*", &[0, 1, 2, 4, 6]),
        ("TID*", &[0, 1, 2, 4, 6]),
        ("tide*", &[0, 1, 4, 6]),
        ("*", &[]),
        ("+tide spring", &[0, 1, 4]),
        ("+tide +in", &[1]),
        ("spring -tide", &[6]),
        ("spring NOT tide", &[6]),
        ("spring NOT (tide OR tides)", &[]),
        ("spring -\"spring tide\"", &[1, 4, 6]),
        ("spring -tid*", &[]),
        ("spring AND tide", &[0, 1, 4]),
        ("spring AND tide AND in", &[1]),
        ("spring AND NOT tide", &[6]),
        ("NOT tide AND spring", &[6]),
        ("wave spring AND in", &[1, 2]),
        ("wave OR spring AND in", &[1, 2]),
        ("(wave OR spring) AND (in OR the)", &[1, 2]),
        ("+(wave spring) -(in OR the)", &[0, 4, 6]),
        ("-tide", &[]),
        ("NOT tide", &[]),
        ("wave (NOT tide)", &[2]),
        ("wave AND (NOT tide)", &[]),
        ("well-known", &[3]),
        ("well+known", &[3]),
        ("spring,tide", &[0]),
        ("spring - tide", &[0, 1, 4, 6]),
        ("spring + wave", &[0, 1, 2, 4, 6]),
        ("and", &[3, 6]),
        ("AND", &[3, 6]),
    ];
    for (typed, expected) in cases {
        assert_eq!(
            found(&rows, Analyzer::default(), typed),
            *expected,
            "{typed}"
        );
    }
}

#[test]
fn what_is_not_well_formed_is_read_as_words() {
    let rows: Vec<Row> = ["spring", "tide", "and", "or", "not", "wave"]
        .map(|it| row(&[it]))
        .to_vec();
    let cases: &[(&str, &[u32])] = &[
        ("\"spring tide", &[0, 1]),
        ("spring \" wave", &[0, 5]),
        ("(spring tide", &[0, 1]),
        ("spring) tide", &[0, 1]),
        (")", &[]),
        ("() tide", &[1]),
        ("spring :-)", &[0]),
        ("spring AND", &[0, 2]),
        ("AND spring", &[0, 2]),
        ("spring AND OR tide", &[0, 1, 2, 3]),
        ("spring OR", &[0, 3]),
        ("spring NOT", &[0, 4]),
        ("NOT NOT tide", &[1, 4]),
        ("-\"spring", &[0]),
        ("+(spring -tide", &[0, 1]),
        ("(tid*", &[]),
    ];
    for (typed, expected) in cases {
        assert_eq!(
            found(&rows, Analyzer::default(), typed),
            *expected,
            "{typed}"
        );
    }
    let nested = |depth: usize| format!("{}-tide spring{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(found(&rows, Analyzer::default(), &nested(DEPTH_MAX)), [0]);
    assert_eq!(
        found(&rows, Analyzer::default(), &nested(DEPTH_MAX + 1)),
        [0, 1]
    );
    assert_eq!(found(&rows, Analyzer::default(), &nested(100_000)), [0, 1]);
}

#[test]
fn more_words_than_are_looked_for_do_no_harm() {
    let rows: Vec<Row> = (0..100).map(|at| row(&[&format!("w{at}")])).collect();
    let words: Vec<String> = (0..100).map(|at| format!("w{at}")).collect();
    let analyzer = Analyzer::default();
    let first: Vec<u32> = (0..TERMS_MAX as u32).collect();
    assert_eq!(found(&rows, analyzer, &words.join(" ")), first);
    let long = format!("\"{}\" w7", words.join(" "));
    assert_eq!(
        found(&rows, analyzer, &long),
        [7],
        "a phrase of too many words is not looked for"
    );
    // Prefixes behind the last one are words.
    let starts: Vec<String> = (10..20).map(|at| format!("w{at}*")).collect();
    let last = 10 + PREFIXES_MAX as u32;
    let rows: Vec<Row> = (10..20).map(|at| row(&[&format!("w{at}x")])).collect();
    let found = found(&rows, analyzer, &starts.join(" "));
    assert_eq!(found, (0..last - 10).collect::<Vec<u32>>());
}

#[test]
fn a_phrase_does_not_reach_over_elements_of_an_array() {
    let rows = [
        row(&["spring", "tide"]),
        row(&["", "spring tide", ""]),
        row(&["a", "", "b"]),
    ];
    assert_eq!(found(&rows, Analyzer::default(), "\"spring tide\""), [1]);
    assert_eq!(found(&rows, Analyzer::default(), "\"a b\""), []);
}

#[test]
fn languages_decide_what_is_the_same_word() {
    let rows: Vec<Row> = ["The tides were running", "a runner", "nothing"]
        .map(|it| row(&[it]))
        .to_vec();
    let english = Analyzer::new(Language::English);
    let cases: &[(&str, &[u32])] = &[
        ("tide", &[0]),
        ("run", &[0]),
        ("the", &[]),
        ("+the tide", &[0]),
        ("\"the tide\"", &[0]),
        ("\"tides were running\"", &[0]),
        // A word that is left out keeps its place.
        ("\"tide running\"", &[]),
        ("runn*", &[1]),
        ("tide NOT the", &[0]),
    ];
    for (typed, expected) in cases {
        assert_eq!(found(&rows, english, typed), *expected, "{typed}");
    }
}

#[test]
fn writing_without_spaces_is_found_as_it_is_written() {
    let tokyo = "\u{6771}\u{4eac}\u{90fd}";
    let kyoto = "\u{4eac}\u{90fd}\u{6771}";
    let rows = [row(&[tokyo]), row(&[kyoto])];
    assert_eq!(found(&rows, Analyzer::default(), tokyo), [0]);
    assert_eq!(
        found(&rows, Analyzer::default(), "\u{4eac}\u{90fd}"),
        [0, 1]
    );
}

#[test]
fn fields_have_their_own_words_and_weights() {
    let plain = Analyzer::default();
    let english = Analyzer::new(Language::English);
    let rows: Vec<Row> = vec![
        vec![vec!["tides".into()], vec![]],
        vec![vec![], vec!["tides".into()]],
        vec![vec!["moon".into()], vec!["tide".into()]],
    ];
    let index = [(0, Index::of(&rows, &[plain, english], true))];
    let field = |field, weight| {
        let analyzer = [plain, english][field];
        QueryField {
            field,
            analyzer,
            weight,
        }
    };
    let rows_of = |typed: &str, fields: &[QueryField]| {
        let query = Query::parse(typed, fields);
        let hits = search(&query, &index, (1.2, 0.75), 10, &|_| true);
        hits.iter().map(|hit| hit.row).collect::<Vec<u32>>()
    };
    assert_eq!(rows_of("tide", &[field(0, 1.0), field(1, 1.0)]), [1, 2]);
    assert_eq!(rows_of("tides", &[field(0, 1.0)]), [0]);
    assert_eq!(rows_of("tides", &[field(0, 9.0), field(1, 1.0)]), [0, 1, 2]);
    assert_eq!(
        rows_of("tides", &[field(0, 0.01), field(1, 1.0)]),
        [1, 2, 0]
    );
    assert_eq!(
        rows_of("moon AND tides", &[field(0, 1.0), field(1, 1.0)]),
        [2]
    );
    for weight in [0.0, -1.0, f32::NAN] {
        assert_eq!(rows_of("tides", &[field(0, weight)]), []);
    }
    assert_eq!(rows_of("tides", &[field(0, f32::INFINITY)]), [0]);
    let absent = QueryField {
        field: 7,
        analyzer: plain,
        weight: 1.0,
    };
    assert_eq!(rows_of("tides tid* \"tides tides\"", &[absent]), []);
    assert!(Query::parse("tides", &[]).is_empty());
}

#[test]
fn what_matches_is_marked() {
    let marked = |analyzer: Analyzer, typed: &str, text: &str| {
        let query = Query::parse(
            typed,
            &[QueryField {
                field: 3,
                analyzer,
                weight: 1.0,
            }],
        );
        assert_eq!(query.highlight(0, text), [], "another field");
        let ranges = query.highlight(3, text);
        ranges
            .into_iter()
            .map(|range| text[range].to_string())
            .collect::<Vec<_>>()
    };
    let (plain, english) = (Analyzer::default(), Analyzer::new(Language::English));
    let text = "Spring tides, spring tide; gr\u{fc}ne Tide.";
    assert_eq!(marked(plain, "tide", text), ["tide", "Tide"]);
    assert_eq!(marked(english, "tide", text), ["tides", "tide", "Tide"]);
    assert_eq!(
        marked(plain, "\"spring tide\" tid*", text),
        ["tides", "spring tide", "Tide"]
    );
    assert_eq!(
        marked(english, "\"spring tide\"", text),
        ["Spring tides", "spring tide"]
    );
    assert_eq!(marked(plain, "\"tide spring\"", text), [""; 0]);
    assert_eq!(marked(plain, "spring -tide", text), ["Spring", "spring"]);
    assert_eq!(marked(plain, "gr\u{fc}ne", text), ["gr\u{fc}ne"]);
    assert_eq!(
        marked(english, "\"spring the tide\"", "spring the tide"),
        ["spring the tide"]
    );
    assert_eq!(marked(plain, "\"a a\"", "a a a b a"), ["a a a"]);
    let further = "spring the the tide";
    assert_eq!(marked(english, "\"spring the tide\"", further), [""; 0]);
}

#[test]
fn an_index_in_memory_counts_what_it_takes() {
    let mut index = cairn_text::MemoryIndex::new(&[Analyzer::default(); 2]);
    let mut before = index.memory();
    for text in ["spring", "spring", "spring tide", ""] {
        index.push(&[&[text, text]]);
        let taken = index.memory() - before;
        assert!((8..400).contains(&taken), "{taken} bytes of {text}");
        before = index.memory();
    }
    assert_eq!(index.rows(), 4);
}

#[test]
fn words_of_a_rare_prefix_count_together() {
    let text = |at: usize| match at {
        10 => "zeta x",
        20 => "zeta zebra",
        _ => "x y",
    };
    let rows: Vec<Row> = (0..500).map(|at| row(&[text(at)])).collect();
    let analyzer = Analyzer::default();
    let field = QueryField {
        field: 0,
        analyzer,
        weight: 1.0,
    };
    let index = [(0, Index::of(&rows, &[analyzer], false))];
    let query = Query::parse("ze*", &[field]);
    let hits = search(&query, &index, (1.2, 0.75), 10, &|_| true);
    assert_eq!(hits.iter().map(|hit| hit.row).collect::<Vec<_>>(), [20, 10]);
}
