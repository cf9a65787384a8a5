//! What a search asks that is more than one vector.

use cairn_engine::{Code, Error, Highlight, Result, Schema, Sources, VectorSource, WordSource};
use napi_derive::napi;

/// Words, several vectors, or both. The vectors themselves stand end to end in another argument.
#[napi(object)]
#[derive(Clone)]
pub struct BindingSources {
    /// Positions of their vector fields.
    pub fields: Vec<u32>,
    /// What each of them counts.
    pub weights: Vec<f64>,
    /// Words as somebody typed them.
    pub words: Option<String>,
    /// Text fields to look in; all without them.
    pub word_fields: Option<Vec<String>>,
    /// What they count.
    pub word_weight: f64,
    /// Constant of the reciprocal ranks.
    pub rrf_k: f64,
    /// Whether to mark words in the fields that are looked in.
    pub highlight: bool,
    /// In which of them; all without.
    pub highlight_fields: Option<Vec<String>>,
}

impl BindingSources {
    /// As the engine has them; `vectors` holds one of each field.
    pub fn of<'a>(&'a self, schema: &Schema, mut vectors: &'a [f32]) -> Result<Sources<'a>> {
        let mut each = Vec::with_capacity(self.fields.len());
        for (field, weight) in self.fields.iter().zip(&self.weights) {
            let field = *field as usize;
            let first = schema.vectors.get(field);
            let length = first.and_then(|it| it.length_of_first(vectors));
            let split = length.and_then(|length| vectors.split_at_checked(length));
            let wrong = || {
                Error::new(
                    Code::Internal,
                    "vectors of another length than their fields",
                )
            };
            let (vector, rest) = split.ok_or_else(wrong)?;
            vectors = rest;
            each.push(VectorSource {
                field,
                vector,
                weight: *weight,
            });
        }
        let highlight = || match &self.highlight_fields {
            Some(names) => Highlight::Named(names),
            None => Highlight::Searched,
        };
        Ok(Sources {
            vectors: each,
            words: self.words.as_deref().map(|words| WordSource {
                words,
                fields: self.word_fields.as_deref(),
                weight: self.word_weight,
                highlight: self.highlight.then(highlight),
            }),
            rrf_k: self.rrf_k,
        })
    }
}
