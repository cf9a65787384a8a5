//! Searches beyond the nearest records, orders of scans, facets and figures, as they cross over.

use cairn_engine::{
    Aggregate, AggregateValue, Buckets, By, Code, Error, FacetValue, GroupBy, KeyBuf, Operation,
    OrderBy, Position, Result, Shape,
};
use cairn_env::Lane;
use napi::bindgen_prelude::{BigInt, Either, Float64Array, Object, Uint8Array, Uint32Array};
use napi_derive::napi;

use crate::collection::BindingCollection;
use crate::convert::{to_filter, to_key_buf, to_size};
use crate::error::guarded;
use crate::task::{Ticket, spawn, stop};

/// How a search goes beyond the records nearest to a vector.
#[napi(object)]
pub struct BindingShape {
    /// Key of the record to be like.
    pub like: Option<Either<String, BigInt>>,
    /// Whether it is near to nothing: records by key.
    pub is_list: bool,
    /// The field of groups.
    pub group_field: Option<String>,
    /// Most hits of a group.
    pub group_size: f64,
    /// From 0 to 1.
    pub diversity: Option<f64>,
}

/// The same, owned.
pub struct OwnShape {
    like: Option<KeyBuf>,
    is_list: bool,
    group: Option<(String, usize)>,
    diversity: Option<f32>,
}

/// As it crosses over; the records nearest to a vector without it.
pub fn own_shape(shape: Option<BindingShape>) -> OwnShape {
    let Some(shape) = shape else {
        return OwnShape {
            like: None,
            is_list: false,
            group: None,
            diversity: None,
        };
    };
    let size = to_size(shape.group_size);
    OwnShape {
        like: shape.like.map(to_key_buf),
        is_list: shape.is_list,
        group: shape.group_field.map(|field| (field, size)),
        diversity: shape.diversity.map(|share| share as f32),
    }
}

impl OwnShape {
    /// As the engine takes it.
    pub fn borrow(&self) -> Shape<'_> {
        Shape {
            by: match (&self.like, self.is_list) {
                (Some(key), _) => By::Like(key.as_key()),
                (None, true) => By::Nothing,
                (None, false) => By::Vector,
            },
            group_by: self
                .group
                .as_ref()
                .map(|(field, size)| GroupBy { field, size: *size }),
            diversity: self.diversity,
        }
    }
}

/// The order of a scan, and what the last record of an earlier one had in it.
#[napi(object)]
pub struct BindingOrder {
    /// A field as filters spell it, or `$key`.
    pub field: String,
    /// Whether it descends.
    pub descending: bool,
    /// A value as MessagePack; nothing where it was missing.
    pub after_value: Option<Uint8Array>,
}

/// The engine's order, and where it goes on behind a key.
pub fn to_order(order: BindingOrder, after: Option<KeyBuf>) -> Result<(OrderBy, Option<Position>)> {
    let by = OrderBy::parse(&order.field, order.descending)?;
    let value = order.after_value.as_deref();
    let after = after.map(|key| Position::new(value, key)).transpose()?;
    Ok((by, after))
}

/// Values and how many records have each.
#[napi(object)]
pub struct BindingFacet {
    /// MessagePack, end to end.
    pub values: Uint8Array,
    /// Where each ends.
    pub ends: Uint32Array,
    /// Records, by value.
    pub counts: Float64Array,
}

/// A number or a date; one of the three.
#[napi(object)]
pub struct BindingNumber {
    /// Decimal digits.
    pub int: Option<String>,
    /// A number.
    pub float: Option<f64>,
    /// Milliseconds since 1970 UTC.
    pub date: Option<f64>,
}

/// One question about a field.
#[napi(object)]
pub struct BindingQuestion {
    /// As filters spell it.
    pub field: String,
    /// `min`, `max`, `sum`, `mean`, `count`, `numbers` or `histogram`.
    pub op: String,
    /// How many buckets.
    pub buckets: Option<f64>,
    /// Where they begin and end.
    pub bounds: Option<Vec<BindingNumber>>,
}

/// One answer; nothing where there are no values.
#[napi(object)]
pub struct BindingFigure {
    /// A number or a date.
    pub value: Option<BindingNumber>,
    /// How many.
    pub count: Option<f64>,
    /// Where buckets begin and end.
    pub bounds: Option<Vec<BindingNumber>>,
    /// Values in each.
    pub counts: Option<Vec<f64>>,
}

#[napi]
impl BindingCollection {
    /// The values that most records have in a field.
    #[napi]
    pub fn facet<'env>(
        &self,
        env: &'env napi::Env,
        field: String,
        k: f64,
        filter: Option<String>,
        deadline_ms: f64,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let stop = stop(&ticket, &self.env.clock, deadline_ms);
        let snapshot = guarded(|| self.inner.snapshot());
        let work = move || {
            let filter = filter.as_deref().map(to_filter).transpose()?;
            snapshot?.facet(&field, to_size(k), filter.as_ref(), &stop)
        };
        spawn(env, &self.env.threads, Lane::Foreground, work, to_facet)
    }

    /// Figures over the values of fields.
    #[napi]
    pub fn aggregate<'env>(
        &self,
        env: &'env napi::Env,
        questions: Vec<BindingQuestion>,
        filter: Option<String>,
        deadline_ms: f64,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let stop = stop(&ticket, &self.env.clock, deadline_ms);
        let snapshot = guarded(|| self.inner.snapshot());
        let questions: Result<Vec<_>> = questions.into_iter().map(to_question).collect();
        let work = move || {
            let filter = filter.as_deref().map(to_filter).transpose()?;
            snapshot?.aggregate(&questions?, filter.as_ref(), &stop)
        };
        spawn(env, &self.env.threads, Lane::Foreground, work, |answers| {
            let figures = answers.into_iter().map(to_figure);
            figures.collect::<Vec<_>>()
        })
    }
}

fn to_facet(found: Vec<FacetValue>) -> BindingFacet {
    let (mut values, mut ends, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for FacetValue { value, count } in found {
        values.extend(value);
        ends.push(values.len() as u32);
        counts.push(count as f64);
    }
    BindingFacet {
        values: Uint8Array::from(values),
        ends: Uint32Array::from(ends),
        counts: Float64Array::from(counts),
    }
}

fn to_question(question: BindingQuestion) -> Result<(String, Operation)> {
    let operation = match &*question.op {
        "min" => Operation::Min,
        "max" => Operation::Max,
        "sum" => Operation::Sum,
        "mean" => Operation::Mean,
        "count" => Operation::Count,
        "numbers" => Operation::CountNumbers,
        "histogram" => Operation::Histogram(match (question.bounds, question.buckets) {
            (Some(bounds), _) => {
                Buckets::Bounds(bounds.iter().map(to_value).collect::<Result<_>>()?)
            }
            (None, buckets) => Buckets::Equal(to_size(buckets.unwrap_or(0.0))),
        }),
        other => {
            return Err(Error::new(Code::InvalidArgument, "unknown figure").text("got", other));
        }
    };
    Ok((question.field, operation))
}

fn to_value(number: &BindingNumber) -> Result<AggregateValue> {
    match number {
        BindingNumber {
            int: Some(digits), ..
        } => match digits.parse() {
            Ok(value) => Ok(AggregateValue::Int(value)),
            Err(_) => Err(Error::new(Code::InvalidArgument, "not an integer")),
        },
        BindingNumber { date: Some(ms), .. } => Ok(AggregateValue::Date(*ms as i64)),
        BindingNumber { float, .. } => Ok(AggregateValue::Float(float.unwrap_or(f64::NAN))),
    }
}

fn to_number(value: AggregateValue) -> BindingNumber {
    let mut number = BindingNumber {
        int: None,
        float: None,
        date: None,
    };
    match value {
        AggregateValue::Int(value) => number.int = Some(value.to_string()),
        AggregateValue::Float(value) => number.float = Some(value),
        AggregateValue::Date(ms) => number.date = Some(ms as f64),
    }
    number
}

fn to_figure(answer: Aggregate) -> BindingFigure {
    let mut figure = BindingFigure {
        value: None,
        count: None,
        bounds: None,
        counts: None,
    };
    match answer {
        Aggregate::Nothing => {}
        Aggregate::Value(value) => figure.value = Some(to_number(value)),
        Aggregate::Count(count) => figure.count = Some(count as f64),
        Aggregate::Histogram(histogram) => {
            figure.bounds = Some(histogram.bounds.into_iter().map(to_number).collect());
            let counts = histogram.counts.into_iter();
            figure.counts = Some(counts.map(|count| count as f64).collect());
        }
    }
    figure
}

/// Records of a page and what each is ordered by, as one block: behind the rows where each value ends,
/// a `u32` a row, and then the values as MessagePack, no bytes where one is missing.
pub fn with_values(mut block: Vec<u8>, values: &[Vec<u8>]) -> Vec<u8> {
    let mut end = 0_u32;
    for value in values {
        end += value.len() as u32;
        block.extend(end.to_ne_bytes());
    }
    values.iter().for_each(|value| block.extend(value));
    block
}
