//! Which columns records are made of.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::report::RowFault;
use super::{IngestError, RejectCode, quote};
use crate::limits::{COLUMN_NAME_BYTES_MAX, COLUMNS_MAX};
use crate::record::{Message, Record};

/// Which columns records are made of.
///
/// Without a mapping the customary names are recognised, in this order of precedence: a conversation (`messages`, `conversation`,
/// `conversations`), prompt and response (`prompt`, `instruction`, `question`, `input`, `query`; `response`, `completion`, `output`,
/// `answer`, `target`), media and text (`media`), text (`text`, `content`, `body`). Two candidates for one role are an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Mapping {
    /// Prompt and response.
    Prompt {
        /// Column of the prompt.
        prompt: String,
        /// Column of the response.
        response: String,
    },
    /// A conversation: a list of objects with role and content.
    Messages {
        /// Column of the list.
        messages: String,
    },
    /// A media hash and its description.
    Media {
        /// Column of the hash.
        media: String,
        /// Column of the description.
        text: String,
    },
    /// Text alone.
    Text {
        /// Column of the text.
        text: String,
    },
}

const MESSAGES_NAMES: &[&str] = &["messages", "conversation", "conversations"];
const PROMPT_NAMES: &[&str] = &["prompt", "instruction", "question", "input", "query"];
const RESPONSE_NAMES: &[&str] = &["response", "completion", "output", "answer", "target"];
const MEDIA_NAMES: &[&str] = &["media"];
const TEXT_NAMES: &[&str] = &["text", "content", "body"];

impl Mapping {
    /// Roles and the columns that play them.
    #[must_use]
    pub fn columns(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Prompt { prompt, response } => vec![("prompt", prompt), ("response", response)],
            Self::Messages { messages } => vec![("messages", messages)],
            Self::Media { media, text } => vec![("media", media), ("text", text)],
            Self::Text { text } => vec![("text", text)],
        }
    }

    /// The column that plays `role`.
    #[must_use]
    pub fn column_of(&self, role: &str) -> Option<String> {
        self.columns().into_iter().find(|(name, _)| *name == role).map(|(_, column)| column.to_owned())
    }

    /// The given mapping, checked against the file's columns, or the one that their names suggest.
    pub(super) fn resolve(given: Option<&Self>, found: &[String]) -> Result<Self, IngestError> {
        check_columns(found)?;
        let Some(mapping) = given else { return Self::recognise(found) };
        for (role, column) in mapping.columns() {
            if !found.iter().any(|name| name == column) {
                return Err(IngestError::MissingColumn {
                    role,
                    column: column.to_owned(),
                    found: found.iter().map(|name| quote(name)).collect(),
                });
            }
        }
        Ok(mapping.clone())
    }

    fn recognise(found: &[String]) -> Result<Self, IngestError> {
        let one = |role, names: &[&str]| only_candidate(role, names, found);
        if let Some(messages) = one("messages", MESSAGES_NAMES)? {
            return Ok(Self::Messages { messages });
        }
        let (prompt, response) = (one("prompt", PROMPT_NAMES)?, one("response", RESPONSE_NAMES)?);
        if let (Some(prompt), Some(response)) = (prompt, response) {
            return Ok(Self::Prompt { prompt, response });
        }
        let text = one("text", TEXT_NAMES)?;
        match (one("media", MEDIA_NAMES)?, text) {
            (Some(media), Some(text)) => Ok(Self::Media { media, text }),
            (None, Some(text)) => Ok(Self::Text { text }),
            _ => Err(IngestError::NoMapping { found: found.iter().map(|name| quote(name)).collect() }),
        }
    }
}

fn check_columns(found: &[String]) -> Result<(), IngestError> {
    let wrong = |reason| Err(IngestError::Columns { reason });
    if found.len() > COLUMNS_MAX {
        return wrong(format!("{} of them; the limit is {COLUMNS_MAX}", found.len()));
    }
    if let Some(long) = found.iter().find(|name| name.len() > COLUMN_NAME_BYTES_MAX) {
        return wrong(format!("name {:?} has {} bytes; the limit is {COLUMN_NAME_BYTES_MAX}", quote(long), long.len()));
    }
    match found.iter().enumerate().find(|(position, name)| found[..*position].contains(name)) {
        Some((_, twice)) => wrong(format!("{:?} is there twice", quote(twice))),
        None => Ok(()),
    }
}

/// Names compare without regard to ASCII case.
fn only_candidate(role: &'static str, names: &[&str], found: &[String]) -> Result<Option<String>, IngestError> {
    let known = |column: &&String| names.iter().any(|name| name.eq_ignore_ascii_case(column));
    let candidates: Vec<_> = found.iter().filter(known).cloned().collect();
    if candidates.len() > 1 {
        return Err(IngestError::AmbiguousMapping { role, candidates });
    }
    Ok(candidates.into_iter().next())
}

/// A mapped column's value in one row.
pub(super) enum Cell {
    Absent,
    Value(Value),
}

/// Makes a record of a row whose columns `cell` looks up.
pub(super) fn make_record(mapping: &Mapping, mut cell: impl FnMut(&str) -> Cell) -> Result<Record, RowFault> {
    let mut text = |column: &str| text_of(column, cell(column));
    Ok(match mapping {
        Mapping::Prompt { prompt, response } => Record::Prompt { prompt: text(prompt)?, response: text(response)? },
        Mapping::Media { media, text: description } => Record::Media { media: text(media)?, text: text(description)? },
        Mapping::Text { text: column } => Record::Text { text: text(column)? },
        Mapping::Messages { messages } => Record::Messages { messages: messages_of(messages, cell(messages))? },
    })
}

fn present(column: &str, cell: Cell) -> Result<Value, RowFault> {
    match cell {
        Cell::Absent => Err(RowFault::in_column(column, RejectCode::MissingColumn, "the row has no such column")),
        Cell::Value(Value::Null) => Err(RowFault::in_column(column, RejectCode::MissingColumn, "the value is null")),
        Cell::Value(value) => Ok(value),
    }
}

fn text_of(column: &str, cell: Cell) -> Result<String, RowFault> {
    match present(column, cell)? {
        Value::String(text) => Ok(text),
        other => {
            let reason = format!("expected text, found {}", kind_of(&other));
            Err(RowFault::in_column(column, RejectCode::WrongType, reason))
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A list of turns, or its JSON in a text (as CSV has it).
fn messages_of(column: &str, cell: Cell) -> Result<Vec<Message>, RowFault> {
    let wrong = |reason: String| RowFault::in_column(column, RejectCode::BadMessages, reason);
    let value = match present(column, cell)? {
        Value::String(json) => serde_json::from_str(&json).map_err(|error| wrong(format!("no JSON list: {error}")))?,
        value => value,
    };
    let Value::Array(turns) = value else { return Err(wrong(format!("expected a list, found {}", kind_of(&value)))) };
    turns
        .into_iter()
        .enumerate()
        .map(|(position, turn)| message_of(turn).map_err(|reason| wrong(format!("turn {}: {reason}", position + 1))))
        .collect()
}

fn message_of(turn: Value) -> Result<Message, String> {
    let Value::Object(mut fields) = turn else { return Err(format!("expected an object, found {}", kind_of(&turn))) };
    let mut text = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("{name} is {}, not text", kind_of(&other))),
        None => Err(format!("no {name}")),
    };
    Ok(Message { role: text("role")?, content: text("content")? })
}
