//! Filters from JSON.
//!
//! ```text
//! filter    = { "and": [filter...], "or": [filter...], "not": filter, PATH: condition, ... }
//! condition = value | [value...] | { OPERATOR: operand, ... }
//! value     = null | true | false | number | string | { "$date": ms } | { "$bytes": [0...255] }
//! ```
//!
//! Everything in one object must hold. Names of operators may have a dollar in front. A field that
//! is called as an operator between filters is written with a backslash in front.

use regex::RegexBuilder;
use serde_json::{Map, Value as Json};

use crate::error::FilterError;
use crate::geo::{GeoBox, GeoRadius, Place};
use crate::path::Path;
use crate::scalar::Scalar;
use crate::tree::{Filter, Order, Test};
use crate::words::words;

/// Filters within filters.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Tests and operators between them, in one filter.
pub const FILTER_NODES_MAX: usize = 4_096;
/// Values in the lists of one filter.
pub const FILTER_VALUES_MAX: usize = 1_000_000;

/// Bytes that a compiled expression may take; one of some hundred characters takes some ten
/// thousand.
const REGEX_BYTES_MAX: usize = 1024 * 1024;

type Result<T, E = FilterError> = std::result::Result<T, E>;

impl Filter {
    /// Reads a filter from JSON.
    ///
    /// # Errors
    /// A [`FilterError`] that says where: an unknown operator, an operand of the wrong kind, or
    /// more than [`FILTER_DEPTH_MAX`], [`FILTER_NODES_MAX`] or [`FILTER_VALUES_MAX`].
    pub fn parse(json: &[u8]) -> Result<Self> {
        let mut parser = Parser::default();
        let value: Json = serde_json::from_slice(json).map_err(|error| {
            // What is nested too deeply for the JSON parser is far too deep for us.
            if error.to_string().starts_with("recursion limit") {
                parser.over(FILTER_DEPTH_MAX, "filters are nested too deeply")
            } else {
                parser.wrong(format!("no JSON: {error}"))
            }
        })?;
        let filter = parser.filter(&value, FILTER_DEPTH_MAX)?;
        Ok(filter)
    }
}

/// Where the reading of a filter has come to.
#[derive(Default)]
struct Parser {
    path: Vec<Step>,
    nodes: usize,
    values: usize,
}

enum Step {
    Name(String),
    Index(usize),
}

/// What stands between filters.
#[derive(Clone, Copy)]
enum Combinator {
    And,
    Or,
    Nor,
    Not,
}

impl Combinator {
    fn named(name: &str) -> Option<Self> {
        Some(match undollared(name) {
            "and" => Self::And,
            "or" => Self::Or,
            "nor" => Self::Nor,
            "not" => Self::Not,
            _ => return None,
        })
    }
}

impl Parser {
    fn filter(&mut self, json: &Json, depth: usize) -> Result<Filter> {
        let Json::Object(object) = json else {
            return Err(self.expected("an object", json));
        };
        let Some(below) = depth.checked_sub(1) else {
            return Err(self.over(FILTER_DEPTH_MAX, "filters are nested too deeply"));
        };
        let mut parts = Vec::with_capacity(object.len());
        for (name, value) in object {
            parts.push(self.at(Step::Name(name.clone()), |it| it.entry(name, value, below))?);
        }
        Ok(all_of(parts))
    }

    fn entry(&mut self, name: &str, value: &Json, depth: usize) -> Result<Filter> {
        if let Some(combinator) = Combinator::named(name) {
            return self.combined(combinator, value, depth);
        }
        let escaped = name.strip_prefix('\\');
        let escaped = escaped.filter(|rest| Combinator::named(rest).is_some());
        let path = match escaped {
            Some(name) => Path::Field(vec![name.into()]),
            None => Path::parse(name).map_err(|what| self.wrong(what))?,
        };
        self.condition(&path, value, depth)
    }

    fn combined(&mut self, combinator: Combinator, value: &Json, depth: usize) -> Result<Filter> {
        self.count_node()?;
        if let Combinator::Not = combinator {
            return Ok(self.filter(value, depth)?.negated());
        }
        let Json::Array(filters) = value else {
            return Err(self.expected("an array of filters", value));
        };
        let mut parts = Vec::with_capacity(filters.len().min(FILTER_NODES_MAX));
        for (index, filter) in filters.iter().enumerate() {
            self.count_node()?;
            parts.push(self.at(Step::Index(index), |it| it.filter(filter, depth))?);
        }
        Ok(match combinator {
            Combinator::And => Filter::And(parts),
            Combinator::Or => Filter::Or(parts),
            _ => Filter::Or(parts).negated(),
        })
    }

    fn condition(&mut self, path: &Path, value: &Json, depth: usize) -> Result<Filter> {
        match value {
            Json::Array(_) => self.any_of(path, value),
            Json::Object(object) if !is_value(object) => {
                let Some(below) = depth.checked_sub(1) else {
                    return Err(self.over(FILTER_DEPTH_MAX, "filters are nested too deeply"));
                };
                if object.is_empty() {
                    return Err(self.wrong("there is no operator"));
                }
                let mut parts = Vec::with_capacity(object.len());
                for (name, operand) in object {
                    let step = Step::Name(name.clone());
                    parts.push(self.at(step, |it| it.operator(path, name, operand, below))?);
                }
                Ok(all_of(parts))
            }
            _ => self.equal(path, value),
        }
    }

    fn operator(
        &mut self,
        path: &Path,
        name: &str,
        operand: &Json,
        depth: usize,
    ) -> Result<Filter> {
        let order = |order| (order, path);
        match undollared(name) {
            "eq" => self.equal(path, operand),
            "ne" => Ok(self.equal(path, operand)?.negated()),
            "gt" => self.ordered(order(Order::Gt), operand),
            "gte" => self.ordered(order(Order::Gte), operand),
            "lt" => self.ordered(order(Order::Lt), operand),
            "lte" => self.ordered(order(Order::Lte), operand),
            "in" | "any" => self.any_of(path, operand),
            "nin" | "none" => Ok(self.any_of(path, operand)?.negated()),
            "all" => self.each_of(path, operand),
            "contains" => {
                let value = self.scalar(operand)?;
                self.field(path, Test::Contains(value))
            }
            "exists" => self.flag(path, operand, Test::Exists),
            "isNull" => self.flag(path, operand, any_of([Scalar::Null])),
            "startsWith" => {
                let prefix = self.text(operand)?.into();
                self.field(path, Test::StartsWith(prefix))
            }
            "match" => {
                let words: Vec<Box<str>> = words(self.text(operand)?).collect();
                if words.is_empty() {
                    return Err(self.wrong("there is no word in it"));
                }
                self.field(path, Test::Match(words))
            }
            "regex" => {
                let regex = RegexBuilder::new(self.text(operand)?)
                    .size_limit(REGEX_BYTES_MAX)
                    .build();
                let regex = regex.map_err(|error| match error {
                    regex::Error::CompiledTooBig(_) => {
                        self.over(REGEX_BYTES_MAX, "the expression takes too much memory")
                    }
                    error => self.wrong(format!("no regular expression: {error}")),
                })?;
                self.field(path, Test::Regex(regex))
            }
            "geoRadius" => {
                let radius = self.geo_radius(operand)?;
                self.field(path, Test::GeoRadius(radius))
            }
            "geoBox" => {
                let area = self.geo_box(operand)?;
                self.field(path, Test::GeoBox(area))
            }
            "not" => {
                self.count_node()?;
                Ok(self.condition(path, operand, depth)?.negated())
            }
            _ => Err(self.wrong("there is no such operator")),
        }
    }

    fn field(&mut self, path: &Path, test: Test) -> Result<Filter> {
        self.count_node()?;
        Ok(Filter::Field {
            path: path.clone(),
            test,
        })
    }

    fn equal(&mut self, path: &Path, operand: &Json) -> Result<Filter> {
        let value = self.scalar(operand)?;
        self.field(path, any_of([value]))
    }

    fn ordered(&mut self, (order, path): (Order, &Path), operand: &Json) -> Result<Filter> {
        let bound = self.scalar(operand)?;
        if !bound.is_ordered() {
            return Err(self.expected("a number, a date or text", operand));
        }
        self.field(path, Test::Order(order, bound))
    }

    fn any_of(&mut self, path: &Path, operand: &Json) -> Result<Filter> {
        let values = self.scalars(operand)?;
        self.field(path, any_of(values))
    }

    /// Every one of the values is met; the field is there even if there are none.
    fn each_of(&mut self, path: &Path, operand: &Json) -> Result<Filter> {
        let mut parts = vec![self.field(path, Test::Exists)?];
        for value in self.scalars(operand)? {
            parts.push(self.field(path, any_of([value]))?);
        }
        Ok(Filter::And(parts))
    }

    fn flag(&mut self, path: &Path, operand: &Json, test: Test) -> Result<Filter> {
        let Json::Bool(wanted) = operand else {
            return Err(self.expected("true or false", operand));
        };
        let field = self.field(path, test)?;
        Ok(if *wanted { field } else { field.negated() })
    }

    fn text<'a>(&self, operand: &'a Json) -> Result<&'a str> {
        operand
            .as_str()
            .ok_or_else(|| self.expected("text", operand))
    }

    fn scalars(&mut self, operand: &Json) -> Result<Vec<Scalar>> {
        let Json::Array(values) = operand else {
            return Err(self.expected("an array of values", operand));
        };
        self.values += values.len();
        if self.values > FILTER_VALUES_MAX {
            return Err(self.over(FILTER_VALUES_MAX, "too many values in lists"));
        }
        let values = values.iter().enumerate();
        values
            .map(|(index, value)| match plain(value) {
                Some(scalar) => Ok(scalar),
                None => self.at(Step::Index(index), |it| it.scalar(value)),
            })
            .collect()
    }

    fn scalar(&self, json: &Json) -> Result<Scalar> {
        if let Some(scalar) = plain(json) {
            return Ok(scalar);
        }
        let Json::Object(object) = json else {
            return Err(self.expected("a value", json));
        };
        if let Some(ms) = object.get("$date") {
            let ms = ms.as_i64().filter(|_| object.len() == 1);
            let wrong = || self.expected("{ $date: milliseconds since 1970 }", json);
            return ms.map(Scalar::Date).ok_or_else(wrong);
        }
        let bytes = object.get("$bytes").and_then(Json::as_array);
        let bytes: Option<Box<[u8]>> = bytes.filter(|_| object.len() == 1).and_then(|bytes| {
            let byte = |byte: &Json| u8::try_from(byte.as_u64()?).ok();
            bytes.iter().map(byte).collect()
        });
        bytes
            .map(Scalar::Bytes)
            .ok_or_else(|| self.expected("a value", json))
    }

    fn geo_radius(&mut self, operand: &Json) -> Result<GeoRadius> {
        let [center, radius] = self.members(operand, ["center", "radius"])?;
        let center = self.at(Step::Name("center".into()), |it| it.place(center))?;
        let metres = radius.as_f64().filter(|metres| *metres >= 0.0);
        let metres = metres.ok_or_else(|| self.expected("a radius in metres", radius))?;
        Ok(GeoRadius { center, metres })
    }

    fn geo_box(&mut self, operand: &Json) -> Result<GeoBox> {
        let [top_left, bottom_right] = self.members(operand, ["topLeft", "bottomRight"])?;
        let corner = self.at(Step::Name("topLeft".into()), |it| it.place(top_left))?;
        let other = self.at(Step::Name("bottomRight".into()), |it| {
            it.place(bottom_right)
        })?;
        if corner.lat < other.lat {
            return Err(self.wrong("the top is south of the bottom"));
        }
        Ok(GeoBox {
            north: corner.lat,
            south: other.lat,
            west: corner.lon,
            east: other.lon,
        })
    }

    fn place(&mut self, json: &Json) -> Result<Place> {
        let [lat, lon] = self.members(json, ["lat", "lon"])?;
        let place = lat.as_f64().zip(lon.as_f64());
        let place = place.map(|(lat, lon)| Place { lat, lon });
        place.filter(Place::is_valid).ok_or_else(|| {
            self.expected(
                "lat from -90 to 90 and lon from -180 to 180, in degrees",
                json,
            )
        })
    }

    /// The members of an object that has these and no others.
    fn members<'a, const N: usize>(
        &self,
        json: &'a Json,
        names: [&str; N],
    ) -> Result<[&'a Json; N]> {
        let object = json.as_object().filter(|object| object.len() == N);
        let found = object.map(|object| names.map(|name| object.get(name)));
        let found = found.filter(|found| found.iter().all(Option::is_some));
        let wanted = format!("an object of {}", names.join(" and "));
        let found = found.ok_or_else(|| self.expected(&wanted, json))?;
        Ok(found.map(|member| member.expect("all are there")))
    }

    fn at<T>(&mut self, step: Step, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.path.push(step);
        let result = work(self);
        self.path.pop();
        result
    }

    fn count_node(&mut self) -> Result<()> {
        self.nodes += 1;
        if self.nodes > FILTER_NODES_MAX {
            return Err(self.over(FILTER_NODES_MAX, "the filter has too many parts"));
        }
        Ok(())
    }

    fn wrong(&self, what: impl Into<String>) -> FilterError {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Name(name) if path.is_empty() => path.push_str(name),
                Step::Name(name) => path.push_str(&format!(".{name}")),
            }
        }
        FilterError {
            path,
            what: what.into(),
            limit: None,
        }
    }

    fn expected(&self, expected: &str, got: &Json) -> FilterError {
        let kind = match got {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "text",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        };
        self.wrong(format!("{expected} is expected, not {kind}"))
    }

    fn over(&self, limit: usize, what: &str) -> FilterError {
        FilterError {
            limit: Some(limit),
            ..self.wrong(what)
        }
    }
}

fn all_of(mut parts: Vec<Filter>) -> Filter {
    match parts.len() {
        1 => parts.remove(0),
        _ => Filter::And(parts),
    }
}

fn any_of(values: impl IntoIterator<Item = Scalar>) -> Test {
    Test::In(Box::new(values.into_iter().collect()))
}

fn undollared(name: &str) -> &str {
    name.strip_prefix('$').unwrap_or(name)
}

/// Whether an object stands for a value that JSON has no form for.
fn is_value(object: &Map<String, Json>) -> bool {
    object.contains_key("$date") || object.contains_key("$bytes")
}

/// A value that JSON has.
fn plain(json: &Json) -> Option<Scalar> {
    Some(match json {
        Json::Null => Scalar::Null,
        Json::Bool(value) => Scalar::Bool(*value),
        Json::String(text) => Scalar::Text(text.as_str().into()),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Scalar::Int(whole.into()),
            (_, Some(whole)) => Scalar::Int(whole.into()),
            _ => Scalar::number(number.as_f64()?),
        },
        Json::Array(_) | Json::Object(_) => return None,
    })
}
