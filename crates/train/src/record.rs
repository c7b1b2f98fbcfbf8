//! Records as training sees them.

use openledger_engine::ChatMessage;
use openledger_primitives::{Address, RecordHash};
use serde_json::Value;

/// A record with its place in the run's snapshots.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainRecord {
    /// Position of its snapshot in the recipe's list.
    pub snapshot: u32,
    /// Index within the snapshot.
    pub index: u64,
    /// Its salted hash.
    pub hash: RecordHash,
    /// The account that contributed it.
    pub contributor: Address,
    /// Its near-duplicate cluster within the snapshot.
    pub cluster: u64,
    /// What it says.
    pub body: RecordBody,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum RecordBody {
    /// A prompt and the response to learn.
    Pair {
        /// What is asked.
        prompt: String,
        /// What is to be answered.
        response: String,
    },
    /// A conversation, of which the assistant's turns are learnt.
    Messages {
        /// The turns.
        messages: Vec<Turn>,
    },
    /// Text, all of which is learnt.
    Text {
        /// The text.
        text: String,
    },
    /// What text models cannot learn, such as a record with media. It stands among a run's records so that it is counted
    /// as refused there, and its neighbours train.
    Unusable {
        /// The fields that it has.
        unusable: String,
    },
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl RecordBody {
    /// Reads a record's canonical JSON.
    ///
    /// # Errors
    /// [`RecordBodyError`] for a record that text models cannot learn, such as one with media.
    pub fn from_json(value: &Value) -> Result<Self, RecordBodyError> {
        let keys = || value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default();
        serde_json::from_value(value.clone()).map_err(|_| RecordBodyError { keys: keys() })
    }

    /// As [`from_json`](Self::from_json), where a record that cannot be learnt is [`Unusable`](Self::Unusable).
    pub fn from_any_json(value: &Value) -> Self {
        Self::from_json(value).unwrap_or_else(|error| Self::Unusable { unusable: error.keys })
    }

    /// The text that a reader sees, for the suffix index: prompt and response, turns, or text, separated by newlines.
    pub fn text(&self) -> String {
        match self {
            Self::Pair { prompt, response } => format!("{prompt}\n{response}"),
            Self::Messages { messages } => messages.iter().map(|t| t.content.as_str()).collect::<Vec<_>>().join("\n"),
            Self::Text { text } => text.clone(),
            Self::Unusable { .. } => String::new(),
        }
    }

    /// What is asked: the prompt, or the turns that are not the assistant's; none for plain text.
    pub(crate) fn prompt_text(&self) -> Option<String> {
        match self {
            Self::Pair { prompt, .. } => Some(prompt.clone()),
            Self::Messages { messages } => {
                let asked = messages.iter().filter(|t| t.role != "assistant").map(|t| t.content.as_str());
                Some(asked.collect::<Vec<_>>().join("\n"))
            }
            Self::Text { .. } | Self::Unusable { .. } => None,
        }
    }

    /// The last answer, which held-out records are measured by; none for plain text.
    pub fn response(&self) -> Option<&str> {
        match self {
            Self::Pair { response, .. } => Some(response),
            Self::Messages { messages } => {
                messages.last().filter(|t| t.role == "assistant").map(|t| t.content.as_str())
            }
            Self::Text { .. } | Self::Unusable { .. } => None,
        }
    }

    /// The turns for a chat template; none for plain text.
    pub(crate) fn turns(&self) -> Option<Vec<ChatMessage>> {
        let turn = |role: &str, content: &str| ChatMessage { role: role.to_owned(), content: content.to_owned() };
        match self {
            Self::Pair { prompt, response } => Some(vec![turn("user", prompt), turn("assistant", response)]),
            Self::Messages { messages } => Some(messages.iter().map(|t| turn(&t.role, &t.content)).collect()),
            Self::Text { .. } | Self::Unusable { .. } => None,
        }
    }
}

/// A record has none of the shapes that text models learn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a record has the fields [{keys}]; text models learn {{text}}, {{prompt, response}} or {{messages}}")]
pub struct RecordBodyError {
    /// The fields that it has.
    pub keys: String,
}
