//! The way of an answer from the engine to whoever reads it, token by token or whole, within the time that it may take.

use std::convert::Infallible;

use axum::response::sse::{Event as SseEvent, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use openledger_serve::{Completion, Event, GenerateError, Generation};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_stream::wrappers::ReceiverStream;

use crate::error::ApiError;
use crate::openai::AnswerHead;

/// Chunks of a stream that wait for a slow reader.
const CHUNKS_WAITING_MAX: usize = 256;

/// Who reads a stream, while its time lasts.
pub(crate) struct Reader {
    chunks: mpsc::Sender<SseEvent>,
    deadline: Instant,
    left: bool,
}

impl Reader {
    /// A reader who is waited for until `deadline`, and the response that it reads.
    pub(crate) fn open(deadline: Instant) -> (Self, Response) {
        let (chunks, waiting) = mpsc::channel(CHUNKS_WAITING_MAX);
        let events = ReceiverStream::new(waiting).map(Ok::<_, Infallible>);
        (Self { chunks, deadline, left: false }, Sse::new(events).into_response())
    }

    /// Hands a chunk on. Waits for a slow reader until the deadline; whoever has no room for it then counts as gone, or
    /// a reader who only holds the connection would hold the answer's payment with it.
    pub(crate) async fn send(&mut self, chunk: SseEvent) {
        // What is ready goes out even when the deadline is over: the send is tried before the clock is asked.
        self.left = self.left || !matches!(timeout_at(self.deadline, self.chunks.send(chunk)).await, Ok(Ok(())));
    }

    /// Hands an error on in place of the rest.
    pub(crate) async fn fail(&mut self, error: &ApiError) {
        self.send(data(&error.body())).await;
    }

    /// Resolves when the reader is gone or its time is over.
    async fn gone(&self) {
        tokio::select! {
            () = self.chunks.closed() => {}
            () = sleep_until(self.deadline) => {}
        }
    }
}

/// Hands a generation's tokens on as they come. When the reader goes or its time is over, the answer ends with what there
/// is of it.
pub(crate) async fn pump(
    mut generation: Generation,
    head: &AnswerHead,
    reader: &mut Reader,
) -> Result<Completion, ApiError> {
    reader.send(data(&head.chunk(json!({"role": "assistant", "content": ""}), None))).await;
    let mut ended = false;
    loop {
        let event = tokio::select! {
            event = generation.next() => event,
            () = reader.gone(), if !ended => {
                ended = true;
                generation.cancel();
                continue;
            }
        };
        match event {
            // Bytes of a character that is not whole yet.
            Some(Event::Token { text, .. }) if text.is_empty() => {}
            Some(Event::Token { text, .. }) => reader.send(data(&head.chunk(json!({"content": text}), None))).await,
            Some(Event::Finished(completion)) => return Ok(completion),
            Some(Event::Failed(error)) => return Err(error.into()),
            _ => return Err(GenerateError::Stopped.into()),
        }
    }
}

/// Waits for a whole answer. When its time is over, it ends with what there is of it.
pub(crate) async fn finish(mut generation: Generation, deadline: Instant) -> Result<Completion, ApiError> {
    if let Ok(end) = timeout_at(deadline, ending(&mut generation)).await {
        return Ok(end?);
    }
    generation.cancel();
    Ok(ending(&mut generation).await?)
}

async fn ending(generation: &mut Generation) -> Result<Completion, GenerateError> {
    loop {
        match generation.next().await {
            Some(Event::Token { .. }) => {}
            Some(Event::Finished(completion)) => return Ok(completion),
            Some(Event::Failed(error)) => return Err(error),
            _ => return Err(GenerateError::Stopped),
        }
    }
}

/// A chunk as an event.
pub(crate) fn data(chunk: &Value) -> SseEvent {
    SseEvent::default().data(chunk.to_string())
}

/// The end of a stream, as OpenAI's clients know it.
pub(crate) fn done() -> SseEvent {
    SseEvent::default().data("[DONE]")
}

impl From<GenerateError> for ApiError {
    fn from(error: GenerateError) -> Self {
        const RETRY_AFTER_MS: u64 = 10_000;
        match error {
            // Where the reader is gone nobody sees this.
            GenerateError::Cancelled => {
                Self::busy("the request's time was over before its turn came; nothing is charged", RETRY_AFTER_MS)
            }
            GenerateError::Stopped => {
                Self::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "stopping", error.to_string())
            }
            _ => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WAIT: Duration = Duration::from_millis(80);

    #[tokio::test]
    async fn a_reader_who_takes_nothing_is_waited_for_until_the_deadline_and_no_longer() {
        let deadline = Instant::now() + WAIT;
        let (mut reader, _unread) = Reader::open(deadline);
        for _ in 0..CHUNKS_WAITING_MAX {
            reader.send(done()).await;
        }
        assert!(!reader.left, "there was room for these");
        reader.send(done()).await;
        assert!(reader.left && Instant::now() >= deadline);
        // None of these waits, or the test would not end.
        reader.send(done()).await;
        reader.gone().await;
    }

    #[tokio::test]
    async fn a_reader_with_room_gets_the_end_of_an_answer_whose_time_is_over() {
        let (mut reader, _unread) = Reader::open(Instant::now());
        reader.gone().await;
        reader.send(done()).await;
        assert!(!reader.left);
    }
}
