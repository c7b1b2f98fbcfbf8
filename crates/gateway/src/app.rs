//! The HTTP server: what its handlers share, its routes, its start and its end.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use openledger_datanet::Datanets;
use openledger_sdk::ChainClient;
use openledger_serve::Server;
use openledger_settlement::ledger::Ledger;
use openledger_settlement::till::Till;
use openledger_settlement::worker::WorkerStatus;
use openledger_train::ModelFactory;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower_http::cors::CorsLayer;
use tower_http::limit::RequestBodyLimitLayer;

use crate::catalog::Catalog;
use crate::desk::Desk;
use crate::routes::{datanets, models, receipts, status, training};
use crate::{chat, routes};

/// Largest body of a request that carries JSON.
pub const JSON_BYTES_MAX: usize = 2 << 20;
/// Largest body of one upload chunk.
pub const CHUNK_BYTES_MAX: usize = 8 << 20;

/// The parts that the gateway brings together.
pub struct Parts {
    /// The models.
    pub catalog: Arc<Catalog>,
    /// The model server.
    pub server: Server,
    /// The till.
    pub till: Till,
    /// The Datanets.
    pub datanets: Datanets,
    /// ModelFactory.
    pub factory: ModelFactory,
    /// The chain.
    pub chain: ChainClient,
    /// How settlement stands.
    pub settlement: watch::Receiver<WorkerStatus>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}

/// What handlers share.
pub(crate) struct App {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) server: Server,
    pub(crate) till: Till,
    pub(crate) datanets: Datanets,
    pub(crate) factory: ModelFactory,
    pub(crate) chain: ChainClient,
    pub(crate) settlement: watch::Receiver<WorkerStatus>,
    pub(crate) desk: Desk,
    base_url: String,
}

impl App {
    /// A path of this server as a URL.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// The operator's books.
    pub(crate) fn ledger(&self) -> &Ledger {
        self.till.ledger()
    }
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartGatewayError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: the port is in use or not allowed; choose another with --http-listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("could not start the attribution thread")]
    Thread(#[source] std::io::Error),
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Gateway {
    /// Listens on `address` and serves. Port 0 takes any free port.
    ///
    /// # Errors
    /// [`StartGatewayError`] when the address is taken or a thread cannot be started.
    pub async fn start(address: SocketAddr, parts: Parts) -> Result<Self, StartGatewayError> {
        let listen = |source| StartGatewayError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let threads = parts.server.config().threads;
        let desk = Desk::start(Arc::clone(&parts.catalog), threads).map_err(StartGatewayError::Thread)?;
        let router = router(Arc::new(App::new(parts, desk, format!("http://{address}"))));
        let (stop, mut stopped) = watch::channel(false);
        let serve = axum::serve(listener, router).with_graceful_shutdown(async move {
            // The sender going away stops the server as well.
            let _ = stopped.wait_for(|stop| *stop).await;
        });
        Ok(Self { address, stop, task: tokio::spawn(async move { serve.await }) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests and waits for those under way.
    pub async fn shutdown(self) {
        let _ = self.stop.send(true);
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the gateway ended with an error"),
            Err(error) => tracing::error!(%error, "the gateway's task died"),
        }
    }
}

impl App {
    fn new(parts: Parts, desk: Desk, base_url: String) -> Self {
        let Parts { catalog, server, till, datanets, factory, chain, settlement } = parts;
        Self { catalog, server, till, datanets, factory, chain, settlement, desk, base_url }
    }
}

fn router(app: Arc<App>) -> Router {
    let json = Router::new()
        .route(chat::PATH, post(chat::completions))
        .route("/v1/models", get(models::list))
        .route("/v1/lora_adapters", get(models::adapters))
        .route("/v1/datanets", get(datanets::list).post(datanets::register))
        .route("/v1/datanets/{id}", get(datanets::show))
        .route("/v1/datanets/{id}/uploads", post(datanets::begin_upload))
        .route("/v1/uploads/{id}", get(datanets::upload_status).delete(datanets::abort_upload))
        .route("/v1/datanets/{id}/batches", post(datanets::prepare_batch))
        .route("/v1/batches/{id}/revealed", post(datanets::revealed))
        .route("/v1/datanets/{id}/snapshots", post(datanets::snapshot).get(datanets::snapshots))
        .route("/v1/fine_tuning/jobs", post(training::submit).get(training::list))
        .route("/v1/fine_tuning/estimate", post(training::estimate))
        .route("/v1/fine_tuning/jobs/{id}", get(training::show))
        .route("/v1/fine_tuning/jobs/{id}/events", get(training::events))
        .route("/v1/fine_tuning/jobs/{id}/{action}", post(training::act))
        .route("/v1/fine_tuning/jobs/{id}/model", get(training::draft).post(training::publish))
        .route("/v1/receipts", get(receipts::list))
        .route("/v1/receipts/{hash}", get(receipts::show))
        .route("/v1/epochs", get(receipts::epochs))
        .route("/v1/accounts/{address}/claim", get(receipts::claim))
        .route("/v1/statements/{address}", get(receipts::statement))
        .route("/v1/status", get(status::show))
        .route("/health", get(status::health))
        .route("/metrics", get(status::metrics))
        .layer(DefaultBodyLimit::max(JSON_BYTES_MAX));
    let chunks = Router::new()
        .route("/v1/uploads/{id}", put(datanets::append_upload))
        .layer(DefaultBodyLimit::max(CHUNK_BYTES_MAX));
    json.merge(chunks)
        .fallback(routes::unknown)
        .layer(RequestBodyLimitLayer::new(CHUNK_BYTES_MAX))
        .layer(CorsLayer::permissive())
        .with_state(app)
}
