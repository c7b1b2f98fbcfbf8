//! Why a model or adapter file is refused.

use std::io;
use std::path::PathBuf;

use crate::lora::LoraError;
use crate::model::ConfigError;
use crate::template::TemplateError;
use crate::tokenizer::TokenizerError;

/// Why a file of weights, or what goes with it, could not be read.
///
/// Nothing here is worth retrying except [`FormatError::Read`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The operating system refused a read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The operating system refused a write.
    #[error("could not write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The path holds nothing that this engine reads.
    #[error("{} is not a model: {found}; give a GGUF file, or a folder with config.json, *.safetensors and tokenizer.json", path.display())]
    NotAModel {
        /// What was given.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// The file is a Python pickle, or an archive that would hold one.
    #[error("{} is a pickle or a zip archive of one, which can run code when read; convert it to safetensors", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// The file ends before something it announces.
    #[error("{field} needs {needed} bytes at offset {offset}, but the file ends at {size}")]
    Truncated {
        /// What was being read.
        field: String,
        /// Where it starts.
        offset: u64,
        /// Its length.
        needed: u64,
        /// Length of the file.
        size: u64,
    },
    /// A number is above what this engine accepts.
    #[error("{field} is {value}; at most {limit} is accepted")]
    Limit {
        /// Which number.
        field: String,
        /// What the file says.
        value: u64,
        /// Largest accepted value.
        limit: u64,
    },
    /// A field does not mean anything.
    #[error("{field}: {reason}")]
    Malformed {
        /// Which field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something required is not there.
    #[error("{field} is missing")]
    Missing {
        /// Which field, tensor or file.
        field: String,
    },
    /// A valid file that asks for something this engine does not do.
    #[error("{field} = {value} is not supported; supported: {supported}")]
    Unsupported {
        /// Which field.
        field: String,
        /// What the file asks for.
        value: String,
        /// What would be accepted.
        supported: &'static str,
    },
    /// A tensor's shape is not the one that the configuration implies.
    #[error("{tensor} has shape {found:?}; the model needs {expected:?}")]
    Shape {
        /// Tensor or site.
        tensor: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape needed.
        expected: Vec<usize>,
    },
    /// A weight is infinite or not a number.
    #[error("{tensor} holds {value} at element {index}; weights must be finite")]
    NotFinite {
        /// Tensor.
        tensor: String,
        /// Position in row-major order.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A JSON file does not parse.
    #[error("{} is not valid JSON of the expected form", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The sizes are impossible or beyond limits.
    #[error("the model's configuration is refused")]
    Config(#[from] ConfigError),
    /// The adapter's rank or scale is refused.
    #[error("the adapter is refused")]
    Adapter(#[from] LoraError),
    /// The tokenizer is refused.
    #[error("the model's tokenizer is refused")]
    Tokenizer(#[from] TokenizerError),
    /// The chat template is refused.
    #[error("the model's chat template is refused")]
    Template(#[from] TemplateError),
}

impl FormatError {
    pub(crate) fn malformed(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Malformed { field: field.into(), reason: reason.into() }
    }

    pub(crate) fn missing(field: impl Into<String>) -> Self {
        Self::Missing { field: field.into() }
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: impl Into<String>, supported: &'static str) -> Self {
        Self::Unsupported { field: field.into(), value: value.into(), supported }
    }
}

/// Refuses `value` above `limit`, by name.
pub(crate) fn at_most(field: &str, value: u64, limit: u64) -> Result<(), FormatError> {
    if value > limit {
        return Err(FormatError::Limit { field: field.to_owned(), value, limit });
    }
    Ok(())
}
