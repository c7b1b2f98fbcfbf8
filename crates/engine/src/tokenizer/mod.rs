//! Text to tokens and back.

mod added;
mod bytes;
mod chat;
mod error;
mod spec;
mod stream;

use std::sync::Arc;

pub use error::{EncodeChatError, EncodeError, TokenizerError};
pub use spec::{TOKENIZER_BYTES_MAX, VOCAB_MAX};
pub use stream::DecodeStream;

use crate::format::gguf::Gguf;
use crate::template::{ChatMessage, ChatTemplate, TemplateTokens};
use added::{AddedTokens, Piece};
use bytes::TokenBytes;
use spec::{Ids, Spec, Spelling};

/// Longest text encoded at once, in bytes; far above any context, and low enough that splitting
/// never gives up on a pathological text.
pub const ENCODE_BYTES_MAX: usize = 512 << 10;

/// Names of tokens that end a turn, in the chat formats of the supported families.
const TURN_ENDS: [&str; 5] = ["<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"];

/// A byte-pair tokenizer: the reference implementation's, restricted to components that this engine
/// knows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Encodes text without control tokens.
    library: tokenizers::Tokenizer,
    added: AddedTokens,
    bytes: TokenBytes,
    control: Vec<bool>,
    spelling: Spelling,
    ids: Ids,
    /// The accepted description, as JSON.
    json: String,
}

/// A token and the bytes of the text that it stands for.
///
/// A character of several bytes may be several tokens; the ranges of neighbours then meet inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSpan {
    /// Token.
    pub id: u32,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Tokenizer {
    /// From a GGUF file's `tokenizer.ggml.*` metadata.
    ///
    /// # Errors
    /// What is missing, or not supported, by name.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, TokenizerError> {
        let id = |name: &str| {
            let value = gguf.get(&format!("tokenizer.ggml.{name}"))?.as_u64()?;
            u32::try_from(value).ok()
        };
        let ids = Ids {
            bos: id("bos_token_id"),
            eos: id("eos_token_id"),
            stop: ["eos_token_id", "eot_token_id", "eom_token_id"].into_iter().filter_map(id).collect(),
            add_bos: spec::gguf_adds_bos(gguf)?,
        };
        Self::from_spec(Spec::from_gguf(gguf)?, ids)
    }

    /// From the bytes of a `tokenizer.json`, and the names of the tokens that begin and end a text. The model expects the
    /// former if the description's post-processor puts it there.
    ///
    /// # Errors
    /// What is missing, or not supported, by name.
    pub fn from_json(json: &[u8], bos: Option<&str>, eos: Option<&str>) -> Result<Self, TokenizerError> {
        Self::from_files(json, bos, eos, None)
    }

    /// As [`from_json`](Self::from_json); `add_bos` says otherwise than the post-processor, if it says anything.
    pub(crate) fn from_files(
        json: &[u8],
        bos: Option<&str>,
        eos: Option<&str>,
        add_bos: Option<bool>,
    ) -> Result<Self, TokenizerError> {
        if json.len() > TOKENIZER_BYTES_MAX {
            let (value, limit) = (json.len(), TOKENIZER_BYTES_MAX);
            return Err(TokenizerError::Limit { field: "bytes of tokenizer.json", value, limit });
        }
        let spec = Spec::from_json(serde_json::from_slice(json).map_err(TokenizerError::Json)?)?;
        let id = |name: Option<&str>| {
            let name = name?;
            spec.spellings.iter().position(|spelling| spelling == name).map(|id| id as u32)
        };
        let add_bos = add_bos.unwrap_or_else(|| bos.is_some() && spec.prefix.as_deref() == bos);
        let (bos, eos) = (id(bos), id(eos));
        let ids = Ids { bos, eos, stop: eos.into_iter().collect(), add_bos };
        Self::from_spec(spec, ids)
    }

    fn from_spec(spec: Spec, mut ids: Ids) -> Result<Self, TokenizerError> {
        let Spec { json, spellings, added, spelling, prefix: _ } = spec;
        let json = json.to_string();
        let mut library: tokenizers::Tokenizer = serde_json::from_str(&json).map_err(TokenizerError::Json)?;
        library.set_encode_special_tokens(true);
        let bytes = TokenBytes::new(&spellings, &added, spelling)?;
        let mut control = vec![false; bytes.len()];
        for token in added.iter().filter(|token| token.control) {
            control[token.id as usize] = true;
            if TURN_ENDS.contains(&token.content.as_str()) {
                ids.stop.push(token.id);
            }
        }
        ids.stop.sort_unstable();
        ids.stop.dedup();
        check_ids(&ids, bytes.len())?;
        let added = AddedTokens::new(&added)?;
        Ok(Self { inner: Arc::new(Inner { library, added, bytes, control, spelling, ids, json }) })
    }

    /// Tokens of `text`, as the reference encodes it without adding any: control tokens that `text`
    /// spells are read as such. For rendered templates and other trusted text; see
    /// [`encode_untrusted`](Self::encode_untrusted) and [`encode_chat`](Self::encode_chat).
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] above [`ENCODE_BYTES_MAX`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        Ok(self.encode_spans(text)?.into_iter().map(|span| span.id).collect())
    }

    /// As [`encode`](Self::encode), with control tokens that `text` spells read as ordinary text.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] above [`ENCODE_BYTES_MAX`].
    pub fn encode_untrusted(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        check_length(text)?;
        self.encode_text(text)
    }

    /// As [`encode`](Self::encode), with the bytes of `text` that each token stands for.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] above [`ENCODE_BYTES_MAX`].
    pub fn encode_spans(&self, text: &str) -> Result<Vec<TokenSpan>, EncodeError> {
        check_length(text)?;
        let mut spans = Vec::new();
        for piece in self.inner.added.split(text) {
            match piece {
                Piece::Token(id, range) => spans.push(TokenSpan { id, start: range.start, end: range.end }),
                Piece::Text(range) => {
                    let text_spans = self.text_spans(&text[range.clone()])?;
                    spans.extend(text_spans.into_iter().map(|span| shifted(span, range.start)));
                }
            }
        }
        Ok(spans)
    }

    /// Tokens of a chat in which only the template can write control tokens: what a message spells
    /// is text. Equal to [`encode`](Self::encode) of the rendered chat when no message spells one.
    ///
    /// # Errors
    /// [`EncodeChatError`]: the template's error, or that a message would change control tokens.
    pub fn encode_chat(
        &self,
        template: &ChatTemplate,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, EncodeChatError> {
        chat::encode(self, template, messages, add_generation_prompt)
    }

    /// The text of `ids` without control tokens; bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut stream = self.decode_stream();
        let mut text: String = ids.iter().map(|id| stream.push(*id)).collect();
        text.push_str(&stream.finish());
        text
    }

    /// Decodes tokens one by one.
    pub fn decode_stream(&self) -> DecodeStream<'_> {
        DecodeStream::new(self)
    }

    /// The bytes of a token, of control tokens their name; `None` beyond the vocabulary.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.inner.bytes.get(id)
    }

    /// Whether the token is a control token.
    pub fn is_control(&self, id: u32) -> bool {
        self.inner.control.get(id as usize).copied().unwrap_or(false)
    }

    /// Largest token id plus one.
    pub fn vocab_size(&self) -> usize {
        self.inner.bytes.len()
    }

    /// The token that begins a text, if the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.inner.ids.bos
    }

    /// The token that ends a text, if the model has one.
    pub fn eos(&self) -> Option<u32> {
        self.inner.ids.eos
    }

    /// Every token that ends an answer, ascending: [`eos`](Self::eos) and the ends of a turn.
    pub fn stop_ids(&self) -> &[u32] {
        &self.inner.ids.stop
    }

    /// Whether the model expects [`bos`](Self::bos) in front of plain text (templates write their own).
    pub fn adds_bos(&self) -> bool {
        self.inner.ids.add_bos
    }

    /// The accepted part of the description as a `tokenizer.json`.
    pub fn to_json(&self) -> Vec<u8> {
        self.inner.json.clone().into_bytes()
    }

    /// The names of special tokens that templates refer to.
    pub fn template_tokens(&self) -> TemplateTokens {
        let name = |id: Option<u32>| {
            let bytes = self.token_bytes(id?)?;
            Some(String::from_utf8_lossy(bytes).into_owned())
        };
        TemplateTokens { bos: name(self.bos()), eos: name(self.eos()) }
    }

    fn added(&self) -> &AddedTokens {
        &self.inner.added
    }

    /// Tokens of `text`, in which `marker` breaks up what must not be read as control tokens.
    fn encode_marked(&self, text: &str, marker: char) -> Result<Vec<u32>, EncodeError> {
        check_length(text)?;
        let mut ids = Vec::new();
        for piece in self.inner.added.split(text) {
            match piece {
                Piece::Token(id, _) => ids.push(id),
                Piece::Text(range) => ids.extend(self.encode_text(&text[range].replace(marker, ""))?),
            }
        }
        Ok(ids)
    }

    /// Tokens of `text`, none of them a control token.
    fn encode_text(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        let encoding = self.inner.library.encode_fast(text, false).map_err(failed)?;
        if encoding.get_ids().iter().any(|id| self.is_control(*id)) {
            return self.encode_apart(text);
        }
        Ok(encoding.get_ids().to_vec())
    }

    /// Vocabularies may list control tokens among those that merges lead to, or that a whole stretch of text is looked up
    /// as. What would become one is encoded in two halves: a hostile vocabulary can make few of those control tokens again.
    fn encode_apart(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        let encoding = self.inner.library.encode(text, false).map_err(failed)?;
        let mut ids = Vec::new();
        for (&id, &(start, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            if !self.is_control(id) {
                ids.push(id);
                continue;
            }
            let spelt = &text[start..end];
            let refused = || EncodeError::ControlToken { text: spelt.to_owned() };
            let middle = spelt.floor_char_boundary(spelt.len() / 2);
            let middle = if middle > 0 { middle } else { spelt.ceil_char_boundary(1) };
            if middle >= spelt.len() {
                return Err(refused());
            }
            let (first, rest) = spelt.split_at(middle);
            let parts = [self.encode_text(first)?, self.encode_text(rest)?].concat();
            if parts.iter().filter_map(|id| self.token_bytes(*id)).flatten().ne(spelt.as_bytes()) {
                return Err(refused());
            }
            ids.extend(parts);
        }
        Ok(ids)
    }

    /// Where the tokens' bytes are the text's, they say where each lies; where a normaliser changed
    /// the text, the library's ranges of whole characters do.
    fn text_spans(&self, text: &str) -> Result<Vec<TokenSpan>, EncodeError> {
        let encoding = self.inner.library.encode(text, false).map_err(failed)?;
        let mut end = 0;
        let exact: Vec<TokenSpan> = encoding
            .get_ids()
            .iter()
            .map(|&id| {
                let start = end;
                end += self.token_bytes(id).map_or(0, <[u8]>::len);
                TokenSpan { id, start, end }
            })
            .collect();
        if end == text.len() {
            return Ok(exact);
        }
        let ranges = encoding.get_ids().iter().zip(encoding.get_offsets());
        Ok(ranges.map(|(&id, &(start, end))| TokenSpan { id, start, end }).collect())
    }

    /// The bytes that a token adds to decoded text.
    fn text_bytes(&self, id: u32) -> &[u8] {
        if self.is_control(id) { &[] } else { self.token_bytes(id).unwrap_or(&[]) }
    }

    fn strips_first_space(&self) -> bool {
        self.inner.spelling == Spelling::Metaspace { strip_first_space: true }
    }
}

fn shifted(span: TokenSpan, by: usize) -> TokenSpan {
    TokenSpan { id: span.id, start: span.start + by, end: span.end + by }
}

fn check_length(text: &str) -> Result<(), EncodeError> {
    if text.len() > ENCODE_BYTES_MAX {
        return Err(EncodeError::TooLong { bytes: text.len(), limit: ENCODE_BYTES_MAX });
    }
    Ok(())
}

fn check_ids(ids: &Ids, vocab: usize) -> Result<(), TokenizerError> {
    let all = ids.bos.iter().chain(&ids.eos).chain(&ids.stop);
    match all.copied().find(|id| *id as usize >= vocab) {
        Some(id) => Err(TokenizerError::Limit {
            field: "id of a special token",
            value: id as usize,
            limit: vocab.saturating_sub(1),
        }),
        None => Ok(()),
    }
}

fn failed(error: tokenizers::Error) -> EncodeError {
    EncodeError::Failed { reason: error.to_string() }
}
