//! What a tokenizer is made of: the part of `tokenizer.json` that this engine accepts, and its
//! construction from GGUF metadata.

use serde_json::{Value, json};

use super::error::TokenizerError;
use crate::format::gguf::Gguf;

/// Most entries of a vocabulary, and the largest token id plus one.
pub const VOCAB_MAX: usize = 1 << 20;
/// Largest `tokenizer.json`, in bytes.
pub const TOKENIZER_BYTES_MAX: usize = 64 << 20;

const GPT2_MODEL: &str = "gpt2 (byte-level BPE)";
const PRE_SUPPORTED: &str = "smollm, llama-bpe, llama3, qwen2, gpt-2, default";
const NORMALISERS: &str = "NFC, NFKC, Replace and Prepend of plain strings, Sequence";
const SPLITTERS: &str = "ByteLevel, Digits, Split, Sequence";
const DECODERS: &str = "ByteLevel; or Replace, ByteFallback, Fuse, Strip in a Sequence";

/// Llama 3's split.
const LLAMA3_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's split: as Llama 3's, with single digits.
const QWEN2_SPLIT: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The only expressions that a file may split with: one written to backtrack could stall or lose text.
const SPLITS_ALLOWED: [&str; 2] = [LLAMA3_SPLIT, QWEN2_SPLIT];

/// How the vocabulary spells text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// GPT-2's printable characters for bytes.
    ByteLevel,
    /// U+2581 for spaces, `<0xAB>` for bytes.
    Metaspace {
        /// Whether decoding drops the space that encoding put in front.
        strip_first_space: bool,
    },
}

/// A token matched as a whole before the text is split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) id: u32,
    pub(super) content: String,
    /// Whether it is a control token.
    pub(super) control: bool,
    /// Whether it is matched before normalisation.
    pub(super) raw: bool,
    pub(super) lstrip: bool,
    pub(super) rstrip: bool,
}

/// A tokenizer's accepted description.
#[derive(Debug)]
pub(super) struct Spec {
    /// For the tokenizer library: only accepted components.
    pub(super) json: Value,
    /// Vocabulary spelling by id; empty where an id has no token.
    pub(super) spellings: Vec<String>,
    pub(super) added: Vec<Added>,
    pub(super) spelling: Spelling,
    /// The special token that the description puts in front of every text.
    pub(super) prefix: Option<String>,
}

/// Ids with a meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) stop: Vec<u32>,
    pub(super) add_bos: bool,
}

impl Spec {
    /// From a parsed `tokenizer.json`.
    pub(super) fn from_json(mut json: Value) -> Result<Self, TokenizerError> {
        let Some(object) = json.as_object_mut() else {
            return Err(TokenizerError::malformed("tokenizer.json", "is not an object"));
        };
        let prefix = prefix(object.get("post_processor").unwrap_or(&Value::Null)).map(str::to_owned);
        // Truncation and padding change what is encoded; the engine never adds special tokens itself.
        for field in ["truncation", "padding", "post_processor"] {
            object.insert(field.to_owned(), Value::Null);
        }
        check_model(&json["model"])?;
        check_normaliser(&json["normalizer"])?;
        check_splitter(&json["pre_tokenizer"])?;
        let spelling = spelling(&json["decoder"])?;
        let added = added_tokens(&json["added_tokens"])?;
        let spellings = spellings(&json["model"]["vocab"], &added)?;
        Ok(Self { json, spellings, added, spelling, prefix })
    }

    /// From the `tokenizer.ggml.*` metadata of a GGUF file.
    pub(super) fn from_gguf(gguf: &Gguf) -> Result<Self, TokenizerError> {
        let text = |key| gguf.get(key).and_then(|value| value.as_str());
        match text("tokenizer.ggml.model") {
            Some("gpt2") => {}
            Some(other) => return Err(TokenizerError::unsupported("tokenizer.ggml.model", other, GPT2_MODEL)),
            None => return Err(TokenizerError::Missing { field: "tokenizer.ggml.model" }),
        }
        let strings =
            |field| gguf.get(field).and_then(|value| value.as_strings()).ok_or(TokenizerError::Missing { field });
        let tokens = strings("tokenizer.ggml.tokens")?;
        let merges = strings("tokenizer.ggml.merges")?;
        let types = gguf.get("tokenizer.ggml.token_type").and_then(|value| value.as_ints());
        let pre = Pre::of(gguf)?;
        let added = gguf_added(tokens, types.unwrap_or(&[]));
        Self::from_json(byte_level_json(tokens, merges, &added, pre)?)
    }
}

/// Whether a GGUF file's model expects the token that begins a text: llama.cpp's default where the file does not say.
pub(super) fn gguf_adds_bos(gguf: &Gguf) -> Result<bool, TokenizerError> {
    let said = gguf.get("tokenizer.ggml.add_bos_token").and_then(|value| value.as_bool());
    said.map_or_else(|| Pre::of(gguf).map(|pre| matches!(pre, Pre::Llama3)), Ok)
}

/// A way of splitting text before byte-pair encoding.
#[derive(Debug, Clone, Copy)]
enum Pre {
    Gpt2,
    SmolLm,
    Llama3,
    Qwen2,
}

impl Pre {
    fn of(gguf: &Gguf) -> Result<Self, TokenizerError> {
        Self::named(gguf.get("tokenizer.ggml.pre").and_then(|value| value.as_str()).unwrap_or("default"))
    }

    fn named(name: &str) -> Result<Self, TokenizerError> {
        Ok(match name {
            "gpt-2" | "default" => Self::Gpt2,
            "smollm" => Self::SmolLm,
            "llama-bpe" | "llama3" | "llama-v3" => Self::Llama3,
            "qwen2" => Self::Qwen2,
            other => return Err(TokenizerError::unsupported("tokenizer.ggml.pre", other, PRE_SUPPORTED)),
        })
    }

    fn normaliser(self) -> Value {
        match self {
            Self::Qwen2 => json!({"type": "NFC"}),
            _ => Value::Null,
        }
    }

    fn splitter(self) -> Value {
        let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
        let split = |expression: &str| json!({"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": false});
        let sequence = |parts: [Value; 2]| json!({"type": "Sequence", "pretokenizers": parts});
        match self {
            Self::Gpt2 => bytes(true),
            Self::SmolLm => sequence([json!({"type": "Digits", "individual_digits": true}), bytes(true)]),
            Self::Llama3 => sequence([split(LLAMA3_SPLIT), bytes(false)]),
            Self::Qwen2 => sequence([split(QWEN2_SPLIT), bytes(false)]),
        }
    }

    fn ignores_merges(self) -> bool {
        matches!(self, Self::Llama3)
    }
}

fn gguf_added(tokens: &[String], types: &[i64]) -> Vec<Added> {
    const CONTROL: i64 = 3;
    const USER_DEFINED: i64 = 4;
    let typed = tokens.iter().zip(types).enumerate();
    typed
        .filter(|(_, (content, kind))| matches!(**kind, CONTROL | USER_DEFINED) && !content.is_empty())
        .map(|(id, (content, kind))| Added {
            id: id as u32,
            content: content.clone(),
            control: *kind == CONTROL,
            raw: true,
            lstrip: false,
            rstrip: false,
        })
        .collect()
}

fn byte_level_json(tokens: &[String], merges: &[String], added: &[Added], pre: Pre) -> Result<Value, TokenizerError> {
    let vocab: serde_json::Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), Value::from(id))).collect();
    let pairs = merges.iter().map(|merge| {
        let (left, right) = merge
            .split_once(' ')
            .ok_or_else(|| TokenizerError::malformed("tokenizer.ggml.merges", format!("{merge:?} is no pair")))?;
        Ok(json!([left, right]))
    });
    let pairs = pairs.collect::<Result<Vec<_>, TokenizerError>>()?;
    let added: Vec<Value> = added.iter().map(added_json).collect();
    Ok(json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": pre.normaliser(),
        "pre_tokenizer": pre.splitter(),
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": pre.ignores_merges(), "vocab": vocab, "merges": pairs,
        },
    }))
}

fn added_json(token: &Added) -> Value {
    json!({
        "id": token.id, "content": token.content, "special": token.control, "normalized": !token.raw,
        "lstrip": token.lstrip, "rstrip": token.rstrip, "single_word": false,
    })
}

fn kind(component: &Value) -> &str {
    component["type"].as_str().unwrap_or("(no type)")
}

fn check_model(model: &Value) -> Result<(), TokenizerError> {
    if kind(model) != "BPE" {
        return Err(TokenizerError::unsupported("model.type", kind(model), "BPE"));
    }
    for field in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
        let value = &model[field];
        if !(value.is_null() || value == "") {
            return Err(TokenizerError::unsupported(format!("model.{field}"), value.to_string(), "null"));
        }
    }
    Ok(())
}

fn check_normaliser(normaliser: &Value) -> Result<(), TokenizerError> {
    if normaliser.is_null() {
        return Ok(());
    }
    match kind(normaliser) {
        "NFC" | "NFKC" | "Prepend" => Ok(()),
        "Replace" if normaliser["pattern"]["String"].is_string() => Ok(()),
        "Sequence" => parts(normaliser, "normalizers")?.iter().try_for_each(check_normaliser_leaf),
        other => Err(TokenizerError::unsupported("normalizer", other, NORMALISERS)),
    }
}

fn check_normaliser_leaf(part: &Value) -> Result<(), TokenizerError> {
    if kind(part) == "Sequence" {
        return Err(TokenizerError::unsupported("normalizer", "a Sequence in a Sequence", NORMALISERS));
    }
    check_normaliser(part)
}

fn check_splitter(splitter: &Value) -> Result<(), TokenizerError> {
    if splitter.is_null() {
        return Ok(());
    }
    match kind(splitter) {
        "Sequence" => parts(splitter, "pretokenizers")?.iter().try_for_each(check_splitter_leaf),
        _ => check_splitter_leaf(splitter),
    }
}

fn check_splitter_leaf(splitter: &Value) -> Result<(), TokenizerError> {
    match kind(splitter) {
        "Digits" => Ok(()),
        "ByteLevel" if splitter["add_prefix_space"] == true => {
            Err(TokenizerError::unsupported("pre_tokenizer.add_prefix_space", "true", "false"))
        }
        "ByteLevel" => Ok(()),
        "Split" => check_split(&splitter["pattern"]),
        other => Err(TokenizerError::unsupported("pre_tokenizer", other, SPLITTERS)),
    }
}

fn check_split(pattern: &Value) -> Result<(), TokenizerError> {
    match pattern["Regex"].as_str() {
        None if pattern["String"].is_string() => Ok(()),
        Some(expression) if SPLITS_ALLOWED.contains(&expression) => Ok(()),
        other => Err(TokenizerError::unsupported(
            "pre_tokenizer.pattern",
            other.unwrap_or("neither a string nor an expression").chars().take(200).collect::<String>(),
            "plain strings, the expressions of Llama 3 and Qwen 2",
        )),
    }
}

/// The special token with which a post-processor lets a text begin.
fn prefix(post_processor: &Value) -> Option<&str> {
    match kind(post_processor) {
        "TemplateProcessing" => post_processor["single"][0]["SpecialToken"]["id"].as_str(),
        "Sequence" => {
            post_processor["processors"].as_array()?.iter().filter(|p| kind(p) != "Sequence").find_map(prefix)
        }
        _ => None,
    }
}

fn spelling(decoder: &Value) -> Result<Spelling, TokenizerError> {
    match kind(decoder) {
        "ByteLevel" => Ok(Spelling::ByteLevel),
        "Sequence" => {
            let parts = parts(decoder, "decoders")?;
            let unknown = parts.iter().find(|p| !matches!(kind(p), "Replace" | "ByteFallback" | "Fuse" | "Strip"));
            match unknown {
                Some(part) => Err(TokenizerError::unsupported("decoder", kind(part), DECODERS)),
                None => {
                    let strip_first_space = parts.iter().any(|part| kind(part) == "Strip");
                    Ok(Spelling::Metaspace { strip_first_space })
                }
            }
        }
        other => Err(TokenizerError::unsupported("decoder", other, DECODERS)),
    }
}

fn parts<'a>(sequence: &'a Value, field: &str) -> Result<&'a [Value], TokenizerError> {
    const PARTS_MAX: usize = 16;
    let parts = sequence[field].as_array().ok_or_else(|| TokenizerError::malformed(field, "is not a list"))?;
    if parts.len() > PARTS_MAX {
        return Err(TokenizerError::Limit { field: "parts of a Sequence", value: parts.len(), limit: PARTS_MAX });
    }
    Ok(parts)
}

fn token_id(field: &str, value: &Value) -> Result<u32, TokenizerError> {
    let id = value.as_u64().ok_or_else(|| TokenizerError::malformed(field, "has an id that is no integer"))?;
    match u32::try_from(id) {
        Ok(id) if (id as usize) < VOCAB_MAX => Ok(id),
        _ => Err(TokenizerError::Limit { field: "token id", value: id as usize, limit: VOCAB_MAX - 1 }),
    }
}

fn added_tokens(list: &Value) -> Result<Vec<Added>, TokenizerError> {
    let empty = Vec::new();
    let list = list.as_array().unwrap_or(&empty);
    list.iter().map(added_token).collect()
}

fn added_token(token: &Value) -> Result<Added, TokenizerError> {
    let content = token["content"].as_str().unwrap_or_default();
    if content.is_empty() {
        return Err(TokenizerError::malformed("added_tokens", "one has no content"));
    }
    if token["single_word"] == true {
        return Err(TokenizerError::unsupported("added_tokens.single_word", "true", "false"));
    }
    let control = token["special"] == true;
    Ok(Added {
        id: token_id("added_tokens", &token["id"])?,
        content: content.to_owned(),
        control,
        raw: token["normalized"] != true,
        lstrip: token["lstrip"] == true,
        rstrip: token["rstrip"] == true,
    })
}

fn spellings(vocab: &Value, added: &[Added]) -> Result<Vec<String>, TokenizerError> {
    let vocab = vocab.as_object().ok_or_else(|| TokenizerError::malformed("model.vocab", "is not an object"))?;
    let size = vocab.len() + added.len();
    if size > VOCAB_MAX {
        return Err(TokenizerError::Limit { field: "entries of the vocabulary", value: size, limit: VOCAB_MAX });
    }
    let mut spellings = Vec::new();
    let entries = vocab.iter().map(|(text, id)| Ok((token_id("model.vocab", id)?, text)));
    let extra = added.iter().map(|token| Ok((token.id, &token.content)));
    for entry in entries.chain(extra) {
        let (id, text): (u32, &String) = entry?;
        let id = id as usize;
        if spellings.len() <= id {
            spellings.resize(id + 1, String::new());
        }
        spellings[id] = text.clone();
    }
    Ok(spellings)
}
