//! Why a tokenizer, or a text given to it, is refused.

/// Why a tokenizer is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A field of the tokenizer's description is missing.
    #[error("{field} is missing")]
    Missing {
        /// Which field.
        field: &'static str,
    },
    /// The tokenizer asks for something this engine does not do.
    #[error("{field} = {value} is not supported; supported: {supported}")]
    Unsupported {
        /// Which field.
        field: String,
        /// What the file asks for.
        value: String,
        /// What would be accepted.
        supported: &'static str,
    },
    /// A field does not mean anything.
    #[error("{field}: {reason}")]
    Malformed {
        /// Which field.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// A number is above its limit.
    #[error("{field} is {value}; at most {limit} is accepted")]
    Limit {
        /// Which number.
        field: &'static str,
        /// What the file says.
        value: usize,
        /// Largest accepted value.
        limit: usize,
    },
    /// The description is no JSON.
    #[error("the tokenizer's description is not valid JSON")]
    Json(#[source] serde_json::Error),
    /// The parts do not fit together.
    #[error("the tokenizer cannot be built: {reason}")]
    Build {
        /// What the tokenizer library says.
        reason: String,
    },
}

/// Why a text was not encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The text is too long.
    #[error("the text has {bytes} bytes; at most {limit} are encoded at once")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The vocabulary has nothing but a control token for a part of the text.
    #[error("the vocabulary spells {text:?} with a control token only")]
    ControlToken {
        /// The part.
        text: String,
    },
    /// The tokenizer library refused the text.
    #[error("the text could not be encoded: {reason}")]
    Failed {
        /// What the library says.
        reason: String,
    },
}

/// Why a chat was not encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeChatError {
    /// The template failed.
    #[error("the chat could not be rendered")]
    Render(#[from] crate::template::RenderError),
    /// The rendered text was not encoded.
    #[error("the rendered chat could not be encoded")]
    Encode(#[from] EncodeError),
    /// The messages use up every character that could mark them as untrusted.
    #[error("the messages contain all {count} Unicode noncharacters that could delimit them")]
    NoMarker {
        /// How many were tried.
        count: usize,
    },
    /// What a message contains would have changed which control tokens the model sees.
    #[error("a message would change the chat's control tokens through the model's template")]
    ControlTokenInjected,
}

impl TokenizerError {
    pub(super) fn unsupported(field: impl Into<String>, value: impl Into<String>, supported: &'static str) -> Self {
        Self::Unsupported { field: field.into(), value: value.into(), supported }
    }

    pub(super) fn malformed(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Malformed { field: field.into(), reason: reason.into() }
    }
}
