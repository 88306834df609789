//! Why tokens cannot be counted for a model; the caller estimates then.

use std::sync::Arc;

use base::{Fault, Kind, Retry};

/// Why tokens cannot be counted for a model. It can be cloned, because all who wait for the same
/// vocabulary get the same answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read, or has no vocabulary.
    #[error("cannot read the vocabulary")]
    Vocabulary(#[source] Arc<gguf::Error>),
    /// A kind of tokenizer that we do not have.
    #[error("the tokenizer `{model}` is not known here")]
    Model {
        /// As the file calls it.
        model: String,
    },
    /// A way of cutting text that we do not have.
    #[error("the way `{pre}` to cut text is not known here")]
    Pre {
        /// As the file calls it.
        pre: String,
    },
    /// The vocabulary contradicts itself.
    #[error("the vocabulary does not fit together")]
    Build(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Whether the same file will give the same answer for ever.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Vocabulary(error) => error.kind() == Kind::Invalid,
            _ => true,
        }
    }
}

impl From<gguf::Error> for Error {
    fn from(error: gguf::Error) -> Self {
        Self::Vocabulary(Arc::new(error))
    }
}

impl From<tokenizers::Error> for Error {
    fn from(error: tokenizers::Error) -> Self {
        Self::Build(Arc::from(error))
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Vocabulary(error) => error.kind(),
            _ => Kind::Unavailable,
        }
    }
    fn retry(&self) -> Retry {
        match self {
            Self::Vocabulary(error) => error.retry(),
            _ => Retry::No,
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Vocabulary(error) => error.hint(),
            _ => Some("token counts for this model are estimates until the engine reports its own".to_owned()),
        }
    }
}
