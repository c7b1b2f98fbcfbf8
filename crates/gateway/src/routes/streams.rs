//! Server-sent events: what happens on the node, and to one job.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt as _};
use openledger_train::JobId;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};
use tokio_stream::wrappers::{BroadcastStream, ReceiverStream};

use crate::app::App;
use crate::error::ApiError;
use crate::events::HEARTBEAT;
use crate::routes::blocking;
use crate::routes::training::{EVENTS_PAGE, event_view};

/// Events of a job that wait for a slow reader.
const JOB_EVENTS_WAITING_MAX: usize = 256;

type Events<S> = Sse<axum::response::sse::KeepAliveStream<S>>;

/// Blocks, epochs, receipts, jobs and models as they come.
pub(crate) async fn node(
    State(app): State<Arc<App>>,
) -> Result<Events<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let place = app.events.place()?;
    // A reader that fell behind misses what it missed: every event says how things stand.
    let events = BroadcastStream::new(app.events.subscribe()).filter_map(|event| {
        let event = event.ok().map(|(name, data)| Ok(Event::default().event(name).data(data.to_string())));
        std::future::ready(event)
    });
    Ok(stream(app, place, events))
}

fn stream<S>(app: Arc<App>, place: OwnedSemaphorePermit, events: S) -> Events<impl Stream<Item = S::Item>>
where
    S: Stream<Item = Result<Event, Infallible>> + Send + 'static,
{
    let stopped = async move { app.stopped().await };
    // The place is free again when the stream is dropped.
    let events = events.take_until(Box::pin(stopped)).map(move |event| {
        let _held = &place;
        event
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}

/// Where to begin.
#[derive(Debug, Deserialize)]
pub(crate) struct Begin {
    #[serde(default)]
    after: u64,
}

/// A job's past events, then those to come.
pub(crate) async fn job(
    State(app): State<Arc<App>>,
    Path(id): Path<JobId>,
    Query(begin): Query<Begin>,
    headers: HeaderMap,
) -> Result<Events<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let place = app.events.place()?;
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let after = resumed.unwrap_or(begin.after);
    let shared = Arc::clone(&app);
    blocking(move || shared.factory.job(id)).await??;
    // Subscribed before the past is read: nothing falls between the two.
    let live = app.factory.subscribe();
    let (events, reader) = mpsc::channel(JOB_EVENTS_WAITING_MAX);
    tokio::spawn(follow(Arc::clone(&app), id, after, live, events));
    Ok(stream(app, place, ReceiverStream::new(reader).map(Ok)))
}

/// Sends pages of the past, and again whenever something happened, so that a slow reader loses nothing.
async fn follow(
    app: Arc<App>,
    id: JobId,
    mut after: u64,
    mut live: broadcast::Receiver<openledger_train::JobEvent>,
    events: mpsc::Sender<Event>,
) {
    loop {
        let shared = Arc::clone(&app);
        let page = blocking(move || shared.factory.events(id, after, EVENTS_PAGE)).await;
        let Ok(Ok(page)) = page else { return };
        let full = page.len() == EVENTS_PAGE;
        for event in page {
            after = event.sequence;
            let data = serde_json::to_string(&event_view(event)).unwrap_or_default();
            if events.send(Event::default().id(after.to_string()).data(data)).await.is_err() {
                return;
            }
        }
        if !full && !happened(&app, id, after, &mut live, &events).await {
            return;
        }
    }
}

/// Waits until there is more of the job than `after`; false when nobody reads any more or the server stops.
async fn happened(
    app: &App,
    id: JobId,
    after: u64,
    live: &mut broadcast::Receiver<openledger_train::JobEvent>,
    events: &mpsc::Sender<Event>,
) -> bool {
    loop {
        tokio::select! {
            event = live.recv() => match event {
                Ok(event) if event.job == id && event.sequence > after => return true,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return true,
                Err(broadcast::error::RecvError::Closed) => return false,
            },
            () = events.closed() => return false,
            () = app.stopped() => return false,
        }
    }
}
