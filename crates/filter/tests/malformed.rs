//! Filters that cannot be understood are refused, and the error says where.

use cairn_filter::{FILTER_DEPTH_MAX, FILTER_NODES_MAX, FILTER_VALUES_MAX, Filter};

/// JSON, the path of what is wrong, and a part of what is said about it.
const WRONG: &[(&str, &str, &str)] = &[
    ("", "", "no JSON"),
    ("{", "", "no JSON"),
    ("[]", "", "an object is expected, not an array"),
    ("null", "", "an object is expected, not null"),
    ("\"a\"", "", "an object is expected, not text"),
    (r#"{"a":NaN}"#, "", "no JSON"),
    (r#"{"a":1e999}"#, "", "no JSON"),
    (r#"{"":1}"#, "", "a name in the path is empty"),
    (r#"{"a..b":1}"#, "a..b", "a name in the path is empty"),
    (r#"{"$eq":1}"#, "$eq", "there is no operator of this name"),
    (
        r#"{"$where":"1"}"#,
        "$where",
        "there is no operator of this name",
    ),
    (r#"{"a":{"eqq":1}}"#, "a.eqq", "there is no such operator"),
    (r#"{"a":{"$$eq":1}}"#, "a.$$eq", "there is no such operator"),
    (
        r#"{"a":{"__proto__":1}}"#,
        "a.__proto__",
        "there is no such operator",
    ),
    (
        r#"{"a":{"constructor":1}}"#,
        "a.constructor",
        "there is no such operator",
    ),
    (r#"{"a":{}}"#, "a", "there is no operator"),
    (r#"{"a":{"eq":{}}}"#, "a.eq", "a value is expected"),
    (r#"{"a":{"eq":[1]}}"#, "a.eq", "a value is expected"),
    (r#"{"a":[[1]]}"#, "a[0]", "a value is expected"),
    (r#"{"a":[1,{"b":2}]}"#, "a[1]", "a value is expected"),
    (
        r#"{"a":{"gt":null}}"#,
        "a.gt",
        "a number, a date or text is expected, not null",
    ),
    (r#"{"a":{"lte":true}}"#, "a.lte", "not a boolean"),
    (
        r#"{"a":{"gte":{"$bytes":[1]}}}"#,
        "a.gte",
        "a number, a date or text",
    ),
    (
        r#"{"a":{"in":1}}"#,
        "a.in",
        "an array of values is expected",
    ),
    (
        r#"{"a":{"nin":{"b":1}}}"#,
        "a.nin",
        "an array of values is expected",
    ),
    (
        r#"{"a":{"all":"x"}}"#,
        "a.all",
        "an array of values is expected",
    ),
    (
        r#"{"a":{"contains":[1]}}"#,
        "a.contains",
        "a value is expected",
    ),
    (
        r#"{"a":{"exists":1}}"#,
        "a.exists",
        "true or false is expected",
    ),
    (
        r#"{"a":{"isNull":null}}"#,
        "a.isNull",
        "true or false is expected",
    ),
    (
        r#"{"a":{"startsWith":1}}"#,
        "a.startsWith",
        "text is expected, not a number",
    ),
    (
        r#"{"a":{"match":["x"]}}"#,
        "a.match",
        "text is expected, not an array",
    ),
    (r#"{"a":{"match":" ,;"}}"#, "a.match", "there is no word"),
    (r#"{"a":{"regex":1}}"#, "a.regex", "text is expected"),
    (r#"{"a":{"regex":"("}}"#, "a.regex", "no regular expression"),
    (
        r#"{"a":{"regex":"(a)\\1"}}"#,
        "a.regex",
        "no regular expression",
    ),
    (r#"{"a":{"$date":"2020"}}"#, "a", "milliseconds"),
    (r#"{"a":{"$date":1,"b":2}}"#, "a", "milliseconds"),
    (r#"{"a":{"$date":1.5}}"#, "a", "milliseconds"),
    (r#"{"a":{"$bytes":[256]}}"#, "a", "a value is expected"),
    (r#"{"a":{"$bytes":"eA=="}}"#, "a", "a value is expected"),
    (
        r#"{"and":{"a":1}}"#,
        "and",
        "an array of filters is expected",
    ),
    (r#"{"or":[{"a":1},[]]}"#, "or[1]", "an object is expected"),
    (r#"{"$nor":1}"#, "$nor", "an array of filters is expected"),
    (r#"{"not":[{"a":1}]}"#, "not", "an object is expected"),
    (
        r#"{"and":[{"or":[{"a":{"gt":[]}}]}]}"#,
        "and[0].or[0].a.gt",
        "a value is expected",
    ),
    (
        r#"{"a":{"not":{"x":1}}}"#,
        "a.not.x",
        "there is no such operator",
    ),
    (
        r#"{"a":{"geoRadius":{"lat":1,"lon":2}}}"#,
        "a.geoRadius",
        "center and radius",
    ),
    (
        r#"{"a":{"geoRadius":{"center":{"lat":1,"lon":2},"radius":-1}}}"#,
        "a.geoRadius",
        "metres",
    ),
    (
        r#"{"a":{"geoRadius":{"center":{"lat":91,"lon":2},"radius":1}}}"#,
        "a.geoRadius.center",
        "-90 to 90",
    ),
    (
        r#"{"a":{"geoRadius":{"center":{"lat":1,"lon":181},"radius":1}}}"#,
        "a.geoRadius.center",
        "-180 to 180",
    ),
    (
        r#"{"a":{"geoRadius":{"center":{"lat":1},"radius":1}}}"#,
        "a.geoRadius.center",
        "lat and lon",
    ),
    (
        r#"{"a":{"geoBox":{"topLeft":{"lat":0,"lon":0},"bottomRight":{"lat":1,"lon":1}}}}"#,
        "a.geoBox",
        "south",
    ),
    (
        r#"{"a":{"geoBox":[0,0,1,1]}}"#,
        "a.geoBox",
        "topLeft and bottomRight",
    ),
];

#[test]
fn each_fault_is_named_where_it_is() {
    for (json, path, what) in WRONG {
        let error = Filter::parse(json.as_bytes()).expect_err(json);
        assert_eq!(error.path, *path, "{json}: {error}");
        assert!(error.what.contains(what), "{json}: {error}");
        assert_eq!(error.limit, None, "{json}: {error}");
    }
}

#[test]
fn invalid_utf8_is_refused() {
    Filter::parse(b"{\"a\":\"\xff\"}").expect_err("no text");
    Filter::parse(br#"{"a":"\ud800"}"#).expect_err("half a character");
}

fn nested(levels: usize) -> String {
    let (open, close) = (r#"{"not":"#.repeat(levels - 1), "}".repeat(levels - 1));
    format!(r#"{open}{{"a":1}}{close}"#)
}

#[test]
fn levels_are_counted() {
    Filter::parse(nested(FILTER_DEPTH_MAX).as_bytes()).expect("as deep as may be");
    for levels in [FILTER_DEPTH_MAX + 1, 127, 128, 129, 100_000] {
        let error = Filter::parse(nested(levels).as_bytes()).expect_err("too deep");
        assert_eq!(error.limit, Some(FILTER_DEPTH_MAX), "{levels}: {error}");
    }
    // Operators within conditions count as well.
    let conditions = format!(r#"{{"a":{}1{}}}"#, r#"{"not":"#.repeat(40), "}".repeat(40));
    let error = Filter::parse(conditions.as_bytes()).expect_err("too deep");
    assert_eq!(error.limit, Some(FILTER_DEPTH_MAX));
}

#[test]
fn parts_are_counted() {
    let list = |count: usize| format!(r#"{{"or":[{}]}}"#, vec![r#"{"a":1}"#; count].join(","));
    Filter::parse(list(FILTER_NODES_MAX / 2 - 1).as_bytes()).expect("as many as may be");
    let error = Filter::parse(list(FILTER_NODES_MAX).as_bytes()).expect_err("too many");
    assert_eq!(error.limit, Some(FILTER_NODES_MAX));
    let fields: Vec<String> = (0..=FILTER_NODES_MAX)
        .map(|n| format!(r#""f{n}":1"#))
        .collect();
    let error = Filter::parse(format!("{{{}}}", fields.join(",")).as_bytes());
    assert_eq!(error.expect_err("too many").limit, Some(FILTER_NODES_MAX));
}

#[test]
fn a_million_values_are_taken_and_no_more() {
    let list = |count: usize| {
        let values: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        format!(r#"{{"a":{{"in":[{}]}}}}"#, values.join(","))
    };
    Filter::parse(list(FILTER_VALUES_MAX).as_bytes()).expect("as many as may be");
    let error = Filter::parse(list(FILTER_VALUES_MAX + 1).as_bytes()).expect_err("too many");
    assert_eq!(error.limit, Some(FILTER_VALUES_MAX));
}

#[test]
fn expressions_take_linear_time_and_bounded_memory() {
    let greedy = Filter::parse(br#"{"a":{"regex":"(a+)+$"}}"#).expect("an expression");
    let text = format!("{}b", "a".repeat(100_000));
    let mut fields = vec![0x81, 0xa1, b'a', 0xdb];
    fields.extend(u32::try_from(text.len()).expect("short").to_be_bytes());
    fields.extend(text.as_bytes());
    let key = cairn_filter::Key::Number(1);
    let record = cairn_filter::Record {
        key,
        fields: &fields,
    };
    assert!(!greedy.matches(&record));
    let huge = Filter::parse(br#"{"a":{"regex":"(?:a{1000}){1000}"}}"#);
    assert!(huge.expect_err("too big").limit.is_some());
}
