//! Chat templates: Jinja, as model files carry it, run under limits.
//!
//! A template is a program from an untrusted file. It has no loader and no way to the file system,
//! environment or clock; it runs on a budget of steps and of bytes handled (see `sandbox`), so that
//! it ends within milliseconds and with bounded memory whatever it says.

mod budget;
mod filters;
mod json;
mod methods;
mod sandbox;

use std::sync::Arc;

use minijinja::ErrorKind;
use minijinja::Value;

use budget::Budget;

/// Longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 64 << 10;
/// Longest rendered chat, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Most bytes of all messages together.
pub const MESSAGES_BYTES_MAX: usize = 512 << 10;
/// Most messages of one chat.
pub const MESSAGES_MAX: usize = 4096;
/// Most interpreter steps of one rendering.
pub const STEPS_MAX: u64 = 400_000;
/// Most bytes that the operations of one rendering may handle together.
pub const WORK_BYTES_MAX: u64 = 8 << 20;

/// The roles that a message may have. Templates write roles between the delimiters of control
/// tokens, so an arbitrary one could spell a token.
pub const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ChatMessage {
    /// Who speaks; one of [`ROLES`].
    pub role: String,
    /// What they say.
    pub content: String,
}

impl ChatMessage {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// Names of special tokens, as templates write them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateTokens {
    /// `bos_token`.
    pub bos: Option<String>,
    /// `eos_token`.
    pub eos: Option<String>,
}

/// A model's chat template. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatTemplate {
    source: Arc<str>,
    /// The source with tags that mark answers for training replaced by blocks without effect.
    program: Arc<str>,
    tokens: TemplateTokens,
}

/// Why a template is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// It is too long.
    #[error("the chat template has {bytes} bytes; at most {limit} are accepted")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// It does not parse.
    #[error("the chat template does not parse")]
    Syntax(#[source] minijinja::Error),
    /// It uses a construct that cannot be kept within limits.
    #[error("the chat template uses {construct}, which is not supported")]
    Unsupported {
        /// Which construct.
        construct: &'static str,
    },
}

/// Why a chat was not rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// A role that no template knows.
    #[error("message {index} has the role {role:?}; roles are system, developer, user, assistant, tool, function")]
    Role {
        /// Position of the message.
        index: usize,
        /// Its role, shortened.
        role: String,
    },
    /// Too much input.
    #[error("the chat has {value} {unit}; at most {limit} are accepted")]
    TooLarge {
        /// Messages or bytes.
        unit: &'static str,
        /// How many there are.
        value: usize,
        /// The limit.
        limit: usize,
    },
    /// The template ran out of steps, bytes handled, or output.
    #[error("the chat template went over its limits: {what}")]
    Budget {
        /// Which limit, with its value.
        what: String,
    },
    /// The template refused the chat itself.
    #[error("the chat template refuses this chat: {message}")]
    Raised {
        /// What the template says.
        message: String,
    },
    /// The template failed.
    #[error("the chat template failed")]
    Failed(#[source] minijinja::Error),
}

impl ChatTemplate {
    /// Checks a template's size, syntax and constructs.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn new(source: &str, tokens: TemplateTokens) -> Result<Self, TemplateError> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::TooLong { bytes: source.len(), limit: TEMPLATE_BYTES_MAX });
        }
        let program = without_generation_tags(source);
        sandbox::compile(&program)?;
        Ok(Self { source: source.into(), program: program.into(), tokens })
    }

    /// The template as the model's file has it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The chat as text, as the reference implementation renders it: blocks are trimmed, and
    /// `add_generation_prompt` asks for the header of the answer to come.
    ///
    /// `strftime_now` is not defined, so that a chat renders the same on any day; templates that use
    /// it have a fixed date for that case.
    ///
    /// # Errors
    /// [`RenderError`]: an unknown role, input or work beyond the limits, or the template's own error.
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String, RenderError> {
        check_input(messages)?;
        let budget = Arc::new(Budget::new());
        let context = self.context(messages, add_generation_prompt);
        match sandbox::run(&self.program, context, &budget) {
            Ok(text) if text.len() > OUTPUT_BYTES_MAX => {
                Err(RenderError::Budget { what: format!("{} bytes of output of {OUTPUT_BYTES_MAX}", text.len()) })
            }
            Ok(text) => Ok(text),
            Err(error) => Err(classify(error, &budget)),
        }
    }

    fn context(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Value {
        let messages: Vec<Value> = messages.iter().map(message_value).collect();
        let tokens = [("bos_token", &self.tokens.bos), ("eos_token", &self.tokens.eos)];
        let tokens = tokens.into_iter().filter_map(|(name, token)| Some((name, Value::from(token.as_deref()?))));
        let fixed = [
            ("messages", messages.into()),
            ("add_generation_prompt", add_generation_prompt.into()),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ];
        fixed.into_iter().chain(tokens).collect()
    }
}

fn message_value(message: &ChatMessage) -> Value {
    [("role", &message.role), ("content", &message.content)].into_iter().map(|(k, v)| (k, v.as_str())).collect()
}

fn check_input(messages: &[ChatMessage]) -> Result<(), RenderError> {
    const SHOWN_CHARS: usize = 40;
    let too_large = |unit, value, limit| Err(RenderError::TooLarge { unit, value, limit });
    if messages.len() > MESSAGES_MAX {
        return too_large("messages", messages.len(), MESSAGES_MAX);
    }
    let bytes = messages.iter().map(|message| message.content.len()).sum();
    if bytes > MESSAGES_BYTES_MAX {
        return too_large("bytes of messages", bytes, MESSAGES_BYTES_MAX);
    }
    match messages.iter().position(|message| !ROLES.contains(&message.role.as_str())) {
        Some(index) => {
            let role = messages[index].role.chars().take(SHOWN_CHARS).collect();
            Err(RenderError::Role { index, role })
        }
        None => Ok(()),
    }
}

fn classify(error: minijinja::Error, budget: &Budget) -> RenderError {
    if let Some(message) = budget.raised() {
        return RenderError::Raised { message };
    }
    if error.kind() == ErrorKind::OutOfFuel {
        let what = error.detail().map_or_else(|| format!("{STEPS_MAX} steps"), str::to_owned);
        return RenderError::Budget { what };
    }
    RenderError::Failed(error)
}

/// Replaces `{% generation %}` and `{% endgeneration %}`, which mark the answers for training, by a
/// block that is always rendered.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let inside = start + "{%".len();
        // From inside on: the percent sign of `{%}` does not end its own tag.
        let Some(len) = rest[inside..].find("%}") else { break };
        let (before, tag) = (&rest[..start], &rest[inside..inside + len]);
        out.push_str(before);
        out.push_str("{%");
        match tag.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+') {
            "generation" => out.push_str(&tag.replace("generation", " if true ")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", " endif ")),
            _ => out.push_str(tag),
        }
        rest = &rest[inside + len..];
    }
    out.push_str(rest);
    out
}
