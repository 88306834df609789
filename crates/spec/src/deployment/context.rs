//! How long may one call of a deployment be?

use super::Deployment;
use crate::model::Version;

impl Deployment {
    /// Tokens of the context of one call, as far as is known: its own word, else the model's, and no more than the model's card allows.
    pub fn context_with(&self, version: Option<&Version>) -> Option<u32> {
        let of_model = version.map(|version| version.context_length).filter(|length| *length > 0);
        let most = version.and_then(|version| version.contents.serving.context_limit).unwrap_or(u32::MAX);
        self.context.or(of_model).map(|context| context.min(most))
    }
}
