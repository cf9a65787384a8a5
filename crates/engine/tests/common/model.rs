//! A collection as a map, and every comparison of the two.

use std::collections::BTreeMap;

use cairn_engine::{
    Code, Effort, Fact, Hits, Key, KeyBuf, KeyType, MetricName, Record, Result, Schema,
    SearchRequest, Select, SelectFields, Snapshot, Stop, WriteKind, WriteResult,
};
use cairn_testkit::data;

use super::{Fields, Row, decode, everything, keys};

/// A record as the oracle has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub version: u64,
    pub vectors: Vec<Vec<f32>>,
    pub fields: Fields,
}

/// A collection as a map.
#[derive(Clone, Debug)]
pub struct Model {
    pub schema: Schema,
    pub records: BTreeMap<KeyBuf, Stored>,
    /// The last version that a write reported.
    pub version: u64,
}

/// Why a write must be refused: the code, and the row it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(pub Code, pub usize);

impl Model {
    pub fn new(schema: &Schema) -> Self {
        Self {
            schema: schema.clone(),
            records: BTreeMap::new(),
            version: 0,
        }
    }

    /// Applies a write that the engine has answered, and checks the answer.
    pub fn write(
        &mut self,
        kind: WriteKind,
        rows: &[Row],
        if_version: Option<u64>,
        answer: &Result<WriteResult>,
    ) {
        match (self.plan(kind, rows, if_version), answer) {
            (Ok((mut next, expected)), Ok(result)) => {
                let counts = WriteResult {
                    version: 0,
                    ..*result
                };
                assert_eq!(counts, expected, "counts of {kind:?}");
                let changed = expected.inserted + expected.updated + expected.deleted > 0;
                assert!(
                    !changed || result.version > self.version,
                    "a write raises the version"
                );
                for stored in next.values_mut().filter(|s| s.version == u64::MAX) {
                    stored.version = result.version;
                }
                self.records = next;
                self.version = self.version.max(result.version);
            }
            (Err(Refusal(code, row)), Err(error)) => {
                assert_eq!(error.code(), code, "{error}");
                let index = error.details().iter().find(|(name, _)| *name == "index");
                let expected = Fact::Number(row as u64);
                assert_eq!(index.map(|(_, fact)| fact), Some(&expected), "{error}");
            }
            (Ok(_), Err(error)) => panic!("{kind:?} was refused: {error}"),
            (Err(refusal), Ok(_)) => panic!("{kind:?} had to be refused: {refusal:?}"),
        }
    }

    /// What a write makes of the records, new ones marked by the highest version.
    fn plan(
        &self,
        kind: WriteKind,
        rows: &[Row],
        if_version: Option<u64>,
    ) -> std::result::Result<(BTreeMap<KeyBuf, Stored>, WriteResult), Refusal> {
        let mut next = self.records.clone();
        let mut result = WriteResult::default();
        if let Some(version) = if_version {
            for (index, row) in rows.iter().enumerate() {
                if self.records.get(&row.key).map_or(0, |s| s.version) != version {
                    return Err(Refusal(Code::ConditionFailed, index));
                }
            }
        }
        for (index, row) in rows.iter().enumerate() {
            let first = !rows[..index].iter().any(|other| other.key == row.key);
            let before = next.get(&row.key).cloned();
            match kind {
                WriteKind::Add | WriteKind::Upsert => {
                    if kind == WriteKind::Add && before.is_some() {
                        return Err(Refusal(Code::AlreadyExists, index));
                    }
                    if first {
                        match before {
                            Some(_) => result.updated += 1,
                            None => result.inserted += 1,
                        }
                    }
                    let whole = |v: &Option<Vec<f32>>| v.clone().expect("a put has its vectors");
                    let stored = Stored {
                        version: u64::MAX,
                        vectors: row.vectors.iter().map(whole).collect(),
                        fields: row.fields.clone().unwrap_or_default(),
                    };
                    next.insert(row.key.clone(), stored);
                }
                WriteKind::Update {
                    replace_fields,
                    skip_missing,
                } => {
                    let Some(mut stored) = before else {
                        if skip_missing {
                            result.skipped += 1;
                            continue;
                        }
                        return Err(Refusal(Code::NotFound, index));
                    };
                    result.updated += u64::from(first);
                    stored.version = u64::MAX;
                    for (old, new) in stored.vectors.iter_mut().zip(&row.vectors) {
                        if let Some(new) = new {
                            old.clone_from(new);
                        }
                    }
                    if replace_fields {
                        stored.fields.clear();
                    }
                    stored.fields.extend(row.fields.clone().unwrap_or_default());
                    next.insert(row.key.clone(), stored);
                }
                WriteKind::Delete => match (before, first) {
                    (Some(_), _) => {
                        result.deleted += 1;
                        next.remove(&row.key);
                    }
                    (None, true) => result.skipped += 1,
                    // Missing because this very batch removed it, or missing all along.
                    (None, false) => {
                        result.skipped += u64::from(!self.records.contains_key(&row.key));
                    }
                },
            }
        }
        Ok((next, result))
    }

    /// Compares everything a snapshot can tell with the map.
    pub fn check(&self, snapshot: &Snapshot) {
        assert_eq!(snapshot.count(), self.records.len() as u64, "count");
        self.check_scan(snapshot, 97);
        self.check_get(snapshot, self.records.keys());
    }

    /// Compares `get` and `has` for these keys, and for one that nobody has.
    pub fn check_get<'a>(&self, snapshot: &Snapshot, wanted: impl Iterator<Item = &'a KeyBuf>) {
        let mut wanted: Vec<KeyBuf> = wanted.cloned().collect();
        wanted.push(match self.schema.key {
            KeyType::String => KeyBuf::Str("nobody has this key".into()),
            KeyType::U64 => KeyBuf::U64(0xdead_beef_0bad_cafe),
        });
        let column = keys(self.schema.key, &wanted);
        let found = snapshot.get(&column, &everything()).unwrap();
        assert_eq!(found.len(), column.len());
        for (key, record) in wanted.iter().zip(&found) {
            let stored = self.records.get(key);
            assert_eq!(snapshot.has(key.as_key()).unwrap(), stored.is_some());
            match (stored, record) {
                (None, None) => {}
                (Some(stored), Some(record)) => check_record(key, stored, record),
                _ => panic!("key={key:?} expected={stored:?} got={record:?}"),
            }
        }
    }

    /// Compares a scan in pages of `rows`.
    pub fn check_scan(&self, snapshot: &Snapshot, rows: usize) {
        let mut scan = snapshot.scan(None).unwrap();
        let mut expected = self.records.iter();
        loop {
            let page = scan.next_page(rows, &everything()).unwrap();
            if page.is_empty() {
                break;
            }
            for record in &page {
                let (key, stored) = expected.next().expect("no more records than expected");
                check_record(key, stored, record);
            }
        }
        assert_eq!(expected.next(), None, "records missing from a scan");
    }

    /// The `k` nearest, by brute force in double precision, ties by key.
    pub fn nearest(&self, field: usize, query: &[f32], k: usize) -> Vec<(f64, &KeyBuf)> {
        let metric = self.schema.vectors[field].metric;
        let mut all: Vec<(f64, &KeyBuf)> = self
            .records
            .iter()
            .map(|(key, stored)| (distance(metric, query, &stored.vectors[field]), key))
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)));
        all.truncate(k);
        all
    }

    /// Compares an exact search. Vectors of small whole numbers make every distance but cosine
    /// exact, so there keys and order must be equal; under cosine they are up to rounding.
    pub fn check_exact(&self, snapshot: &Snapshot, field: usize, query: &[f32], k: usize) {
        let request = SearchRequest {
            field,
            effort: Effort::Exact,
            select: everything(),
            ..SearchRequest::new(query, k)
        };
        let hits = snapshot.search(&request, &Stop::never()).unwrap();
        self.check_hits(&hits, field, query, k);
    }

    /// Compares the hits of an exact search; see [`Model::check_exact`].
    pub fn check_hits(&self, hits: &Hits, field: usize, query: &[f32], k: usize) {
        let metric = self.schema.vectors[field].metric;
        let truth = self.nearest(field, query, k);
        assert_eq!(hits.distances.len(), truth.len(), "min(k, records) hits");
        if metric != MetricName::Cosine {
            let found: Vec<KeyBuf> = hits.keys.iter().map(Key::to_buf).collect();
            let expected: Vec<&KeyBuf> = truth.iter().map(|(_, key)| *key).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        }
        for (rank, (expected, _)) in truth.iter().enumerate() {
            let key = hits.keys.get(rank).to_buf();
            let stored = self.records.get(&key).expect("a hit is a record");
            let own = distance(metric, query, &stored.vectors[field]);
            let got = f64::from(hits.distances[rank]);
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-5 * (1.0 + b.abs());
            assert!(near(got, own), "distance={got} expected={own}");
            assert!(near(got, *expected), "rank={rank}");
            assert_eq!(hits.versions[rank], stored.version);
            if let Some(payloads) = &hits.payloads {
                assert_eq!(decode(payloads.get(rank)), stored.fields);
            }
            if let Some(columns) = &hits.vectors {
                for (column, vector) in columns.iter().zip(&stored.vectors) {
                    let dim = vector.len();
                    same_bits(&column[rank * dim..(rank + 1) * dim], vector);
                }
            }
            if rank > 0 {
                let before = (hits.distances[rank - 1], hits.keys.get(rank - 1));
                let this = (hits.distances[rank], hits.keys.get(rank));
                assert!(before < this, "nearest first, ties by key");
            }
        }
    }
}

/// A distance in double precision.
pub fn distance(metric: MetricName, a: &[f32], b: &[f32]) -> f64 {
    let distance = match metric {
        MetricName::Cosine => data::cosine(a, b),
        MetricName::L2 => data::l2(a, b),
        MetricName::Dot => data::dot(a, b),
        MetricName::L1 => data::l1(a, b),
        MetricName::Hamming => {
            let bits = |(x, y): (&f32, &f32)| f64::from((*x as u8 ^ *y as u8).count_ones());
            a.iter().zip(b).map(bits).sum()
        }
    };
    distance + 0.0 // there is but one zero
}

/// Compares a record read back with what was written.
pub fn check_record(key: &KeyBuf, stored: &Stored, record: &Record) {
    assert_eq!(&record.key, key);
    assert_eq!(record.version, stored.version, "version of key={key:?}");
    assert_eq!(
        decode(&record.fields),
        stored.fields,
        "fields of key={key:?}"
    );
    let vectors = record.vectors.as_ref().expect("vectors were asked for");
    assert_eq!(vectors.len(), stored.vectors.len());
    for (got, expected) in vectors.iter().zip(&stored.vectors) {
        same_bits(got, expected);
    }
}

/// Compares vectors bit for bit.
pub fn same_bits(a: &[f32], b: &[f32]) {
    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(a), bits(b), "vectors differ: {a:?} {b:?}");
}
