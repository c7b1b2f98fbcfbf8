//! The accept loop: connections within limits, and an end that waits for them no longer than a grace period.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::Layer as _;

/// Connections at once; more wait in the system's queue. Each takes a file descriptor, and many systems give a process
/// 1,024, of which databases and the chain need some.
const CONNECTIONS_MAX: usize = 768;
/// Longest wait for the whole head of a request, and for the next request on a connection.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest wait for the next piece of a request's body.
pub(crate) const BODY_PIECE_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long requests under way are waited for at the end. Service managers often kill after ten seconds, and the other
/// parts have to be closed too.
const GRACE: Duration = Duration::from_secs(8);
/// Pause after the system could give no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Serves until it is told to stop; returns when every connection has ended or the grace period is over.
pub(crate) async fn serve(listener: TcpListener, router: Router, stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    accept_all(listener, &router, &stopped, &mut connections).await;
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all_ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections did not end in {GRACE:?} and are cut");
        connections.shutdown().await;
    }
}

async fn accept_all(
    listener: TcpListener,
    router: &Router,
    stopped: &watch::Receiver<bool>,
    connections: &mut JoinSet<()>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut stop = pin!(wait(stopped.clone()));
    loop {
        tokio::select! {
            () = &mut stop => return,
            Some(_) = connections.join_next() => {}
            (stream, peer, place) = accept(&listener, &places) => {
                connections.spawn(attend(stream, peer, router.clone(), stopped.clone(), place));
            }
        }
    }
}

async fn wait(mut stopped: watch::Receiver<bool>) {
    // The sender going away stops the server as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// The next connection, when there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) => {
                tracing::debug!(%error, "no connection could be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection; when the server stops, up to the end of the request under way.
async fn attend(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    stopped: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let service = TowerToHyperService::new(Extension(ConnectInfo(peer)).layer(router));
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = wait(stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, %peer, "a connection broke");
    }
}
