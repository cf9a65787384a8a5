//! Figures over the values of a field: smallest, largest, sum, mean, how many, and how they spread.
//!
//! Integers are added as integers of 128 bits and floats without rounding, so no figure depends on how
//! the rows are split over memtables and segments. A value that is no number (NaN, infinities) is left
//! out, so no figure is NaN.

use cairn_filter::{Bitmap, FieldIndex, Filter, Path, Scalar};

use crate::error::{Code, Error, Result};
use crate::snapshot::Snapshot;
use crate::stop::Stop;

use super::sum::ExactSum;
use super::{LOOKS_PER_CHECK, field_path, fields_alone};

/// Figures of one call, at most.
const OPERATIONS_MAX: usize = 100;
/// Buckets of one histogram, at most.
const BUCKETS_MAX: usize = 10_000;

/// A number or a date.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AggregateValue {
    /// An integer.
    Int(i128),
    /// Another number.
    Float(f64),
    /// Milliseconds since 1970 UTC.
    Date(i64),
}

/// What is asked about a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// All numbers together.
    Sum,
    /// Their mean.
    Mean,
    /// How many values there are that are not null, of whatever kind.
    Count,
    /// How many numbers or dates there are; beside the others.
    CountNumbers,
    /// How they spread.
    Histogram(Buckets),
}

/// Where a histogram is cut.
#[derive(Clone, Debug, PartialEq)]
pub enum Buckets {
    /// Into so many of the same width, from the smallest to the largest value.
    Equal(usize),
    /// At these, ascending: the first is where the first bucket begins, the last where the last one ends.
    Bounds(Vec<AggregateValue>),
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Aggregate {
    /// There are no values.
    Nothing,
    /// A number or a date.
    Value(AggregateValue),
    /// How many.
    Count(u64),
    /// How they spread.
    Histogram(Histogram),
}

/// Values in buckets: from each bound up to the next one, which belongs to the bucket behind it; the
/// last bound belongs to the last bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// One more than buckets.
    pub bounds: Vec<AggregateValue>,
    /// Values in each.
    pub counts: Vec<u64>,
}

impl AggregateValue {
    fn scalar<'a>(self) -> Scalar<&'a str, &'a [u8]> {
        match self {
            Self::Int(value) => Scalar::Int(value),
            Self::Float(value) => Scalar::number(value),
            Self::Date(ms) => Scalar::Date(ms),
        }
    }

    /// What can be added up or ordered.
    fn of(value: &Scalar<&str, &[u8]>) -> Option<Self> {
        match *value {
            Scalar::Int(value) => Some(Self::Int(value)),
            Scalar::Float(value) if value.is_finite() => Some(Self::Float(value)),
            Scalar::Date(ms) => Some(Self::Date(ms)),
            _ => None,
        }
    }

    fn is_date(self) -> bool {
        matches!(self, Self::Date(_))
    }

    fn as_float(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
            Self::Date(ms) => ms as f64,
        }
    }
}

impl Snapshot {
    /// One answer for each of `wanted`, a field and what is asked about it, over the records that the
    /// filter holds for. Every element of an array is a value. A field with numbers and dates
    /// answers for its numbers.
    ///
    /// # Errors
    /// `ERR_INVALID_ARGUMENT` for what is no field, or buckets that are none; `ERR_LIMIT_EXCEEDED` for
    /// more than 100 questions or 10,000 buckets; `ERR_CLOSED`; `ERR_ABORTED`, `ERR_DEADLINE` from
    /// `stop`; `ERR_CORRUPT`, `ERR_IO` from the disk.
    pub fn aggregate(
        &self,
        wanted: &[(String, Operation)],
        filter: Option<&Filter>,
        stop: &Stop,
    ) -> Result<Vec<Aggregate>> {
        refuse_over("questions", wanted.len(), OPERATIONS_MAX)?;
        let mut fields: Vec<(&str, Path)> = Vec::new();
        for (field, operation) in wanted {
            operation.check()?;
            if !fields.iter().any(|(name, _)| name == field) {
                fields.push((field, self.stored_path(&field_path(field)?)));
            }
        }
        let rows = self.wanted(filter, stop)?;
        let mut tallies: Vec<Tally> = fields.iter().map(|_| Tally::default()).collect();
        self.each_value(&fields, &rows, stop, |field, value, times| {
            tallies[field].add(value, times);
        })?;
        let at = |name: &str| fields.iter().position(|(field, _)| *field == name);
        let at = |name: &str| at(name).expect("every field was listed above");
        let mut answers: Vec<Aggregate> = wanted
            .iter()
            .map(|(field, operation)| tallies[at(field)].answer(operation))
            .collect();
        if answers
            .iter()
            .any(|it| matches!(it, Aggregate::Histogram(_)))
        {
            // Where equal buckets lie is known once all values were seen.
            let fields_of: Vec<usize> = wanted.iter().map(|(field, _)| at(field)).collect();
            self.each_value(&fields, &rows, stop, |field, value, times| {
                for (answer, of) in answers.iter_mut().zip(&fields_of) {
                    if let Aggregate::Histogram(histogram) = answer
                        && *of == field
                    {
                        histogram.add(value, times);
                    }
                }
            })?;
        }
        stop.check()?;
        Ok(answers)
    }

    /// Calls `each` with every value of the fields, by number, and how many times it is there.
    fn each_value(
        &self,
        fields: &[(&str, Path)],
        rows: &[Bitmap],
        stop: &Stop,
        mut each: impl FnMut(usize, &Scalar<&str, &[u8]>, u32),
    ) -> Result<()> {
        for (source, rows) in rows.iter().enumerate() {
            let mut unindexed = Vec::new();
            for (number, (_, path)) in fields.iter().enumerate() {
                let index = self.index_of(source, path);
                match index.filter(|index| index.is_single()) {
                    Some(index) => each_of_index(&index, rows, stop, |value, times| {
                        each(number, value, times);
                    })?,
                    None => unindexed.push((number, path)),
                }
            }
            if unindexed.is_empty() {
                continue;
            }
            self.each_record(source, rows, stop, |stored| {
                for (number, path) in &unindexed {
                    path.for_each_scalar(&fields_alone(stored), &mut |value| {
                        each(*number, &value, 1);
                    });
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn each_of_index(
    index: &FieldIndex,
    rows: &Bitmap,
    stop: &Stop,
    mut each: impl FnMut(&Scalar<&str, &[u8]>, u32),
) -> Result<()> {
    for number in 0..index.distinct() {
        if number.is_multiple_of(LOOKS_PER_CHECK) {
            stop.check()?;
        }
        let times = index.count_within(number, rows);
        if times > 0 {
            let times = u32::try_from(times).expect("rows are counted in 32 bits");
            each(&index.value(number), times);
        }
    }
    Ok(())
}

impl Operation {
    fn check(&self) -> Result<()> {
        let wrong = |what| Err(Error::new(Code::InvalidArgument, what));
        match self {
            Self::Histogram(Buckets::Equal(0)) => wrong("a histogram has at least one bucket"),
            Self::Histogram(Buckets::Equal(buckets)) => {
                refuse_over("buckets", *buckets, BUCKETS_MAX)
            }
            Self::Histogram(Buckets::Bounds(bounds)) => {
                refuse_over("buckets", bounds.len().saturating_sub(1), BUCKETS_MAX)?;
                let ascends = |pair: &[AggregateValue]| {
                    let order = pair[0].scalar().compare(&pair[1].scalar());
                    order.is_some_and(std::cmp::Ordering::is_lt)
                };
                if bounds.len() < 2 || !bounds.windows(2).all(ascends) {
                    return wrong("bounds of a histogram are at least two, of one kind, ascending");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn refuse_over(what: &'static str, got: usize, limit: usize) -> Result<()> {
    if got <= limit {
        return Ok(());
    }
    Err(Error::new(Code::LimitExceeded, "over the limit")
        .text("argument", what)
        .number("limit", limit)
        .number("got", got))
}

/// What is known of the values of one field.
#[derive(Default)]
struct Tally {
    /// Of whatever kind, null apart.
    values: u64,
    numbers: Kind,
    dates: Kind,
}

/// Of numbers, or of dates.
#[derive(Default)]
struct Kind {
    count: u64,
    ints: i128,
    /// There while some value is no integer.
    floats: Option<Box<ExactSum>>,
    bounds: Option<[AggregateValue; 2]>,
}

impl Tally {
    fn add(&mut self, value: &Scalar<&str, &[u8]>, times: u32) {
        self.values += u64::from(times) * u64::from(*value != Scalar::Null);
        if let Some(value) = AggregateValue::of(value) {
            let kind = match value.is_date() {
                true => &mut self.dates,
                false => &mut self.numbers,
            };
            kind.add(value, times);
        }
    }

    fn answer(&self, operation: &Operation) -> Aggregate {
        let kind = match self.numbers.count {
            0 => &self.dates,
            _ => &self.numbers,
        };
        match operation {
            Operation::Count => return Aggregate::Count(self.values),
            Operation::CountNumbers => return Aggregate::Count(kind.count),
            _ => {}
        }
        let Some([min, max]) = kind.bounds else {
            return Aggregate::Nothing;
        };
        match operation {
            Operation::Min => Aggregate::Value(min),
            Operation::Max => Aggregate::Value(max),
            Operation::Sum if min.is_date() => Aggregate::Nothing,
            Operation::Sum => Aggregate::Value(kind.sum()),
            Operation::Mean => Aggregate::Value(kind.mean(min.is_date())),
            Operation::Histogram(Buckets::Equal(buckets)) => {
                Aggregate::Histogram(Histogram::new(equal(min, max, *buckets)))
            }
            Operation::Histogram(Buckets::Bounds(bounds)) => {
                Aggregate::Histogram(Histogram::new(bounds.clone()))
            }
            Operation::Count | Operation::CountNumbers => unreachable!("answered above"),
        }
    }
}

impl Kind {
    fn add(&mut self, value: AggregateValue, times: u32) {
        self.count += u64::from(times);
        match value {
            AggregateValue::Int(value) => self.ints += value * i128::from(times),
            AggregateValue::Date(ms) => self.ints += i128::from(ms) * i128::from(times),
            AggregateValue::Float(value) => {
                self.floats.get_or_insert_default().add(value, times);
            }
        }
        let before = |a: AggregateValue, b: AggregateValue| a.scalar().order(&b.scalar()).is_lt();
        let [min, max] = self.bounds.get_or_insert([value, value]);
        if before(value, *min) {
            *min = value;
        }
        if before(*max, value) {
            *max = value;
        }
    }

    fn sum(&self) -> AggregateValue {
        match &self.floats {
            None => AggregateValue::Int(self.ints),
            Some(floats) => {
                let mut all = floats.clone();
                all.add_int(self.ints);
                AggregateValue::Float(all.value())
            }
        }
    }

    fn mean(&self, is_date: bool) -> AggregateValue {
        let count = self.count as f64;
        let mean = match self.sum() {
            AggregateValue::Float(sum) => sum / count,
            _ if self.ints.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS => self.ints as f64 / count,
            _ => {
                // Floats do not hold the sum: what does not divide is a fraction of one.
                let each = i128::from(self.count);
                let (whole, rest) = (self.ints.div_euclid(each), self.ints.rem_euclid(each));
                whole as f64 + rest as f64 / count
            }
        };
        if is_date {
            return AggregateValue::Date(mean.round() as i64);
        }
        AggregateValue::Float(mean)
    }
}

/// Bounds of so many buckets of the same width.
fn equal(min: AggregateValue, max: AggregateValue, buckets: usize) -> Vec<AggregateValue> {
    if min == max {
        return vec![min, max];
    }
    let (from, to) = (min.as_float(), max.as_float());
    let mut bounds = vec![min];
    for number in 1..buckets {
        let (number, buckets) = (number as f64, buckets as f64);
        let part = (to - from) * number / buckets;
        let bound = match part.is_finite() {
            true => from + part,
            // The whole width is beyond the largest float.
            false => from * (1.0 - number / buckets) + to * (number / buckets),
        };
        let bound = match min.is_date() {
            true => AggregateValue::Date(bound.round() as i64),
            false => AggregateValue::Float(bound),
        };
        // Values that lie too close for floats leave some buckets empty, none out of order.
        let last = bounds[bounds.len() - 1];
        let order = |a: AggregateValue, b: AggregateValue| a.scalar().order(&b.scalar());
        bounds.push(
            match (order(last, bound).is_le(), order(bound, max).is_le()) {
                (true, true) => bound,
                (false, _) => last,
                (true, false) => max,
            },
        );
    }
    bounds.push(max);
    bounds
}

impl Histogram {
    fn new(bounds: Vec<AggregateValue>) -> Self {
        Self {
            counts: vec![0; bounds.len() - 1],
            bounds,
        }
    }

    fn add(&mut self, value: &Scalar<&str, &[u8]>, times: u32) {
        let Some(number) = AggregateValue::of(value) else {
            return;
        };
        let (first, last) = (self.bounds[0], self.bounds[self.bounds.len() - 1]);
        let value = number.scalar();
        if number.is_date() != first.is_date()
            || value.order(&first.scalar()).is_lt()
            || value.order(&last.scalar()).is_gt()
        {
            return;
        }
        let begun = |bound: &AggregateValue| bound.scalar().order(&value).is_le();
        let bucket = self.bounds.partition_point(begun).saturating_sub(1);
        let bucket = bucket.min(self.counts.len() - 1);
        self.counts[bucket] += u64::from(times);
    }
}
