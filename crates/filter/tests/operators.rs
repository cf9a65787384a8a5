//! Each operator, on the kinds of values that it is about and on others.

mod common;

use cairn_filter::{Filter, Key, Record};
use common::Value;

fn fields(entries: &[(&str, Value)]) -> Vec<u8> {
    let entries = entries.iter();
    let entries = entries.map(|(name, value)| ((*name).to_owned(), value.clone()));
    Value::Map(entries.collect()).msgpack()
}

#[track_caller]
fn check(filter: &str, fields: &[u8], expected: bool) {
    let key = Key::Text("user:7/a");
    let parsed = Filter::parse(filter.as_bytes()).unwrap_or_else(|e| panic!("{filter}: {e}"));
    assert_eq!(
        parsed.matches(&Record { key, fields }),
        expected,
        "{filter}"
    );
}

#[test]
fn records_without_fields_match_what_denies() {
    for (filter, expected) in [
        ("{}", true),
        (r#"{"and":[]}"#, true),
        (r#"{"or":[]}"#, false),
        (r#"{"nor":[]}"#, true),
        (r#"{"not":{}}"#, false),
        (r#"{"a":1}"#, false),
        (r#"{"a":null}"#, false),
        (r#"{"a":[]}"#, false),
        (r#"{"a":{"nin":[]}}"#, true),
        (r#"{"a":{"ne":1}}"#, true),
        (r#"{"a":{"none":[1]}}"#, true),
        (r#"{"a":{"all":[]}}"#, false),
        (r#"{"a":{"exists":false}}"#, true),
        (r#"{"a":{"isNull":false}}"#, true),
    ] {
        check(filter, b"", expected);
        check(filter, &fields(&[]), expected);
    }
}

#[test]
fn text_is_matched_by_words_expressions_and_beginnings() {
    let title = Value::Text("The Tides of \u{c5}lesund, 2nd edition".into());
    let tags = Value::Array(vec![Value::Text("Low tide".into()), Value::Int(3)]);
    let fields = fields(&[("title", title), ("tags", tags), ("n", Value::Int(2))]);
    for (filter, expected) in [
        ("{\"title\":{\"match\":\"\u{e5}lesund TIDES\"}}", true),
        (r#"{"title":{"match":"tide"}}"#, false),
        (r#"{"title":{"match":"2nd"}}"#, true),
        (r#"{"tags":{"match":"tide low"}}"#, true),
        (r#"{"n":{"match":"2"}}"#, false),
        (r#"{"title":{"regex":"^The .*edition$"}}"#, true),
        ("{\"title\":{\"regex\":\"(?i)\u{e5}\"}}", true),
        (r#"{"tags":{"regex":"t.de"}}"#, true),
        (r#"{"n":{"regex":"2"}}"#, false),
        (r#"{"title":{"startsWith":"The T"}}"#, true),
        (r#"{"title":{"startsWith":"the"}}"#, false),
        (r#"{"tags":{"startsWith":"Low"}}"#, true),
        (r#"{"$key":{"startsWith":"user:7/"}}"#, true),
        (r#"{"$key":{"startsWith":"user:8"}}"#, false),
        (r#"{"$key":"user:7/a"}"#, true),
        (r#"{"$key":{"in":["b","user:7/a"]}}"#, true),
        (r#"{"$key":{"gt":"user:6"}}"#, true),
        (r#"{"$key":{"exists":true}}"#, true),
    ] {
        check(filter, &fields, expected);
    }
}

#[test]
fn keys_that_are_numbers_compare_as_numbers() {
    let key = Key::Number(u64::MAX);
    for (filter, expected) in [
        (r#"{"$key":18446744073709551615}"#, true),
        (r#"{"$key":18446744073709551614}"#, false),
        (r#"{"$key":{"gt":9223372036854775807}}"#, true),
        (r#"{"$key":{"lt":1e19}}"#, false),
        (r#"{"$key":"18446744073709551615"}"#, false),
    ] {
        let parsed = Filter::parse(filter.as_bytes()).expect(filter);
        assert_eq!(
            parsed.matches(&Record { key, fields: b"" }),
            expected,
            "{filter}"
        );
    }
}

#[test]
fn places_are_found_near_and_in_boxes() {
    let place = |lat, lon| {
        Value::Map(vec![
            ("lat".into(), Value::Float(lat)),
            ("lon".into(), Value::Int(lon)),
        ])
    };
    let both = Value::Array(vec![place(48.85, 2), place(-17.0, 180)]);
    let odd = Value::Map(vec![("lat".into(), Value::Float(95.0))]);
    let fields = fields(&[("at", place(48.85, 2)), ("both", both), ("odd", odd)]);
    let radius = |name: &str, lat: f64, lon: f64, metres: f64| {
        format!(
            r#"{{"{name}":{{"geoRadius":{{"center":{{"lat":{lat},"lon":{lon}}},"radius":{metres}}}}}}}"#
        )
    };
    let area = |name: &str, top: f64, left: f64, bottom: f64, right: f64| {
        format!(
            r#"{{"{name}":{{"geoBox":{{"topLeft":{{"lat":{top},"lon":{left}}},"bottomRight":{{"lat":{bottom},"lon":{right}}}}}}}}}"#
        )
    };
    check(&radius("at", 48.86, 2.0, 2000.0), &fields, true);
    check(&radius("at", 48.86, 2.0, 1000.0), &fields, false);
    check(&radius("both", -17.0, -180.0, 1.0), &fields, true);
    check(&radius("odd", 0.0, 0.0, 1e9), &fields, false);
    check(&radius("gone", 0.0, 0.0, 1e9), &fields, false);
    check(&area("at", 50.0, 0.0, 40.0, 5.0), &fields, true);
    check(&area("both", 0.0, 170.0, -20.0, -170.0), &fields, true);
    check(&area("at", 0.0, 170.0, -20.0, -170.0), &fields, false);
}

#[test]
fn operators_may_be_nested_and_escaped() {
    let fields = fields(&[
        ("and", Value::Int(1)),
        ("$x", Value::Int(2)),
        ("a.b", Value::Int(3)),
        ("a", Value::Map(vec![("b".into(), Value::Int(4))])),
    ]);
    for (filter, expected) in [
        (r#"{"\\and":1}"#, true),
        (r#"{"\\$x":2}"#, true),
        (r#"{"a\\.b":3}"#, true),
        (r#"{"a.b":4}"#, true),
        (r#"{"a.b":{"not":{"gt":4}}}"#, true),
        (r#"{"a.b":{"gte":4,"$lt":5}}"#, true),
        (r#"{"a":{"exists":true}}"#, true),
        (r#"{"a":4}"#, false),
        (r#"{"$nor":[{"a.b":4},{"\\and":5}]}"#, false),
    ] {
        check(filter, &fields, expected);
    }
}

#[test]
fn bytes_that_are_no_fields_match_what_denies() {
    let whole = fields(&[
        ("a", Value::Array(vec![Value::Int(1)])),
        ("b", Value::Int(2)),
    ]);
    for cut in 0..whole.len() {
        check(r#"{"b":2}"#, &whole[..cut], false);
        check(r#"{"b":{"ne":2}}"#, &whole[..cut], true);
    }
    check(r#"{"b":2}"#, &whole, true);
}
