//! An answer in pieces: server-sent events.

use openledger_primitives::{ReceiptHash, Wei};
use openledger_settlement::x402::SettleResponse;
use reqwest::Response;
use serde_json::Value;

use crate::api::{ChatAnswer, ChatRequest};
use crate::gateway::{BODY_BYTES_MAX, GatewayClient, GatewayError, Paid, refused};

/// Begins the comment in which the gateway says what a stream cost; other clients skip comments.
const COMMENT: &str = ": openledger ";
const DATA: &str = "data:";
const DONE: &str = "[DONE]";

/// An answer being received. The channel that pays is kept until the stream is dropped.
#[derive(Debug)]
pub struct ChatStream {
    client: GatewayClient,
    request: ChatRequest,
    response: Response,
    paid: Option<Paid>,
    buffer: Vec<u8>,
    received: usize,
    charged: Option<Wei>,
    receipt: Option<ReceiptHash>,
    ended: bool,
}

impl ChatStream {
    pub(crate) fn new(client: GatewayClient, request: ChatRequest, response: Response, paid: Option<Paid>) -> Self {
        let buffer = Vec::new();
        Self { client, request, response, paid, buffer, received: 0, charged: None, receipt: None, ended: false }
    }

    /// Ends the answer here: closes the stream and fetches what there is of the answer, with what it cost. `None` where
    /// nothing was charged: a free answer, or one that had not begun.
    ///
    /// # Errors
    /// As [`ChatStream::next_chunk`]; the gateway may have charged what there was then.
    pub async fn stop(self) -> Result<Option<ChatAnswer>, GatewayError> {
        let Self { client, request, response, paid, .. } = self;
        // The gateway sees the connection close.
        drop(response);
        let Some(paid) = paid else { return Ok(None) };
        let Some(response) = client.stored(&request, &paid).await? else { return Ok(None) };
        let mut stored = Self::new(client, request, response, Some(paid));
        let (mut text, mut body) = (String::new(), Value::Null);
        while let Some(chunk) = stored.next_chunk().await? {
            text.push_str(chunk.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or_default());
            if chunk.pointer("/choices/0/finish_reason").is_some_and(|reason| !reason.is_null()) {
                body = chunk;
            }
        }
        let (charged, receipt) = (stored.charged, stored.receipt);
        Ok(Some(ChatAnswer { text, body, charged, receipt, calls_left: None }))
    }

    /// What the answer cost; known once the stream has ended.
    #[must_use]
    pub fn charged(&self) -> Option<Wei> {
        self.charged
    }

    /// The answer's receipt; known once the stream has ended.
    #[must_use]
    pub fn receipt(&self) -> Option<ReceiptHash> {
        self.receipt
    }

    /// The next chunk as OpenAI shapes it; `None` when the answer is complete.
    ///
    /// # Errors
    /// [`GatewayError`]; [`GatewayError::CutShort`] when the connection ends before the answer.
    pub async fn next_chunk(&mut self) -> Result<Option<Value>, GatewayError> {
        while !self.ended {
            let Some(line) = self.take_line() else {
                self.receive().await?;
                continue;
            };
            if let Some(comment) = line.strip_prefix(COMMENT) {
                self.note_charge(comment);
            } else if let Some(data) = line.strip_prefix(DATA)
                && let Some(chunk) = self.read_chunk(data.trim_start())?
            {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// The next piece of text; `None` when the answer is complete.
    ///
    /// # Errors
    /// As [`ChatStream::next_chunk`].
    pub async fn next_text(&mut self) -> Result<Option<String>, GatewayError> {
        while let Some(chunk) = self.next_chunk().await? {
            let text = chunk.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or_default();
            if !text.is_empty() {
                return Ok(Some(text.to_owned()));
            }
        }
        Ok(None)
    }

    fn read_chunk(&mut self, data: &str) -> Result<Option<Value>, GatewayError> {
        if data == DONE {
            self.ended = true;
            return Ok(None);
        }
        let json = |source| GatewayError::Json { path: "v1/chat/completions".to_owned(), source };
        let chunk: Value = serde_json::from_str(data).map_err(json)?;
        if chunk.get("error").is_some() { Err(refused(200, &chunk)) } else { Ok(Some(chunk)) }
    }

    /// What is malformed here costs nothing: the next payment's 402 corrects the count.
    fn note_charge(&mut self, comment: &str) {
        let comment: Value = serde_json::from_str(comment).unwrap_or_default();
        let settled = serde_json::from_value::<SettleResponse>(comment["payment_response"].clone());
        let (Ok(settled), Some(paid)) = (settled, &mut self.paid) else { return };
        self.charged = paid.apply(&settled).0;
        self.receipt = settled.extra.and_then(|extra| extra.receipt_hash);
    }

    fn take_line(&mut self) -> Option<String> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    async fn receive(&mut self) -> Result<(), GatewayError> {
        let bytes = self.response.chunk().await?.ok_or(GatewayError::CutShort)?;
        self.received += bytes.len();
        if self.received > BODY_BYTES_MAX {
            return Err(GatewayError::TooLong);
        }
        self.buffer.extend_from_slice(&bytes);
        Ok(())
    }
}
