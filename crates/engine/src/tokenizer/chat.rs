//! Encoding a chat whose messages must not speak as the model's control tokens.
//!
//! The reference renders the whole chat to one string and reads control tokens anywhere in it, so a
//! message that contains `<|im_end|>` ends its own turn. Encoding messages apart from the template
//! would not do either: text is split and merged across their borders. So untrusted strings are
//! marked before rendering, with a Unicode noncharacter that neither the template nor any message
//! contains: inside each control token that a message spells, and at a message's edge where it
//! could complete one. After rendering, control tokens are found in the marked text, marks are
//! removed from the rest, and the rest is encoded with control tokens as ordinary text. A chat in
//! which no message spells control tokens is rendered unmarked: it equals the reference.
//!
//! A template can also change what it is given (`lower`, `replace`). When a message contains the
//! first character of any control token, the chat is rendered a second time with a mark after each of
//! those; if the two renderings do not hold the same control tokens, the chat is refused.

use super::Tokenizer;
use super::added::AddedTokens;
use super::error::EncodeChatError;
use crate::template::{ChatMessage, ChatTemplate};

const MARKER_FIRST: char = '\u{FDD0}';
const MARKER_LAST: char = '\u{FDEF}';

pub(super) fn encode(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    messages: &[ChatMessage],
    add_generation_prompt: bool,
) -> Result<Vec<u32>, EncodeChatError> {
    let added = tokenizer.added();
    let marker = unused_marker(template, messages)?;
    let guarded = mark_all(messages, marker, |text| exact_marks(added, text));
    let rendered = template.render(&guarded, add_generation_prompt)?;
    let strict = mark_all(messages, marker, |text| strict_marks(added, text));
    if strict != guarded {
        let check = template.render(&strict, add_generation_prompt)?;
        if added.control_ids(&check) != added.control_ids(&rendered) {
            return Err(EncodeChatError::ControlTokenInjected);
        }
    }
    Ok(tokenizer.encode_marked(&rendered, marker)?)
}

fn unused_marker(template: &ChatTemplate, messages: &[ChatMessage]) -> Result<char, EncodeChatError> {
    let used = |marker: char| {
        template.source().contains(marker)
            || messages.iter().any(|m| m.content.contains(marker) || m.role.contains(marker))
    };
    (MARKER_FIRST..=MARKER_LAST)
        .find(|marker| !used(*marker))
        .ok_or_else(|| EncodeChatError::NoMarker { count: (MARKER_FIRST..=MARKER_LAST).count() })
}

fn mark_all(messages: &[ChatMessage], marker: char, marks: impl Fn(&str) -> Vec<usize>) -> Vec<ChatMessage> {
    let mark = |text: &str| insert(text, marker, &marks(text));
    messages.iter().map(|m| ChatMessage { role: m.role.clone(), content: mark(&m.content) }).collect()
}

/// Inside every control token that `text` spells, and at edges that could complete one.
fn exact_marks(added: &AddedTokens, text: &str) -> Vec<usize> {
    let inside = added.control_starts(text).into_iter().map(|start| start + first_len(&text[start..]));
    let mut marks: Vec<usize> = inside.chain(edge_marks(added, text)).collect();
    marks.sort_unstable();
    marks.dedup();
    marks
}

/// After every character with which a control token starts, and at edges.
fn strict_marks(added: &AddedTokens, text: &str) -> Vec<usize> {
    let firsts: Vec<char> = added.controls().filter_map(|token| token.content.chars().next()).collect();
    let after = text.char_indices().filter(|(_, c)| firsts.contains(c)).map(|(at, c)| at + c.len_utf8());
    let mut marks: Vec<usize> = after.chain(exact_marks(added, text)).collect();
    marks.sort_unstable();
    marks.dedup();
    marks
}

/// The edges of the trimmed text (templates trim) where its first characters could end a control
/// token, or its last ones begin one.
fn edge_marks(added: &AddedTokens, text: &str) -> Vec<usize> {
    let trimmed = text.trim();
    let start = text.len() - text.trim_start().len();
    let end = start + trimmed.len();
    let mut marks = Vec::new();
    if added.controls().any(|token| ends_inside(&token.content, trimmed)) {
        marks.push(start);
    }
    if added.controls().any(|token| begins_at_end(&token.content, trimmed)) {
        marks.push(end);
    }
    marks
}

/// Whether some proper suffix of `token` starts `text`, or `text` lies wholly inside `token`.
fn ends_inside(token: &str, text: &str) -> bool {
    let inner = token.char_indices().skip(1).map(|(at, _)| &token[at..]);
    let mut suffixes = inner;
    !text.is_empty() && suffixes.any(|suffix| text.starts_with(suffix) || suffix.starts_with(text))
}

/// Whether some proper prefix of `token` ends `text`.
fn begins_at_end(token: &str, text: &str) -> bool {
    token.char_indices().skip(1).any(|(at, _)| text.ends_with(&token[..at]))
}

fn first_len(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

fn insert(text: &str, marker: char, marks: &[usize]) -> String {
    let mut out = String::with_capacity(text.len() + marks.len() * marker.len_utf8());
    let mut done = 0;
    for &mark in marks {
        out.push_str(&text[done..mark]);
        out.push(marker);
        done = mark;
    }
    out.push_str(&text[done..]);
    out
}
