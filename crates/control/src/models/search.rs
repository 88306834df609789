//! What somebody looks for among the models.

use serde::Deserialize;
use spec::{Capability, Format, Invalid, Name};
use utoipa::IntoParams;

use crate::belongs;
use crate::error::Error;

/// Parameters of the list of models; a model is listed when it has all that they name.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ModelQuery {
    /// Words, each of which stands in the name, the description, the licence, a label, the architecture or the notes.
    pub(super) q: Option<String>,
    /// Labels with commas between: `team=red` has this value, `team` has any.
    pub(super) labels: Option<String>,
    /// A version has this format: `gguf`, `safetensors`, `onnx` or `opaque`.
    pub(super) format: Option<String>,
    /// What it can do, with commas between: `chat`, `completion`, `embedding`, `rerank`, `tools`, `reasoning`, `vision`, `audio`.
    pub(super) capability: Option<String>,
    /// `true` for those that should not be used any more, `false` for all others.
    pub(super) deprecated: Option<bool>,
    /// It belongs to this project.
    pub(super) project: Option<String>,
    /// At most so many items (1000 unless told, and at most).
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<usize>,
    /// Go on after this: the `next` of the page before.
    pub(super) after: Option<String>,
}

impl ModelQuery {
    /// The same for the store, of the projects that may be seen, and one item more than fit on the page, so that it is known whether there is another.
    pub(super) fn asked(self, most: usize, theirs: Option<Vec<Name>>) -> Result<store::ModelQuery, Error> {
        let parts = |text: Option<String>| -> Vec<String> {
            text.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        Ok(store::ModelQuery {
            words: self.q.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect(),
            labels: parts(self.labels),
            format: self.format.map(|word| known("format", &word, &Format::ALL, Format::as_str)).transpose()?,
            capabilities: parts(self.capability)
                .iter()
                .map(|word| known("capability", word, &Capability::ALL, Capability::as_str))
                .collect::<Result<_, _>>()?,
            projects: match self.project.as_deref().map(Name::parse).transpose()? {
                Some(wanted) if belongs::is_among(theirs.as_deref(), Some(&wanted)) => Some(vec![wanted]),
                Some(_) => Some(Vec::new()),
                None => theirs,
            },
            deprecated: self.deprecated,
            after: self.after,
            limit: u32::try_from(most.saturating_add(1)).ok(),
        })
    }
}

/// A word of a closed list.
fn known<T: Copy>(field: &str, word: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, Error> {
    let names: Vec<&str> = all.iter().map(|one| name(*one)).collect();
    let unknown = || Invalid::one(field, format!("`{word}` is not known"), format!("use one of {}", names.join(", ")));
    Ok(all.iter().copied().find(|one| name(*one) == word).ok_or_else(unknown)?)
}
