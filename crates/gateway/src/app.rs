//! The HTTP server: what its handlers share, its routes, its start and its end.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{get, post, put};
use openledger_datanet::Datanets;
use openledger_primitives::Wei;
use openledger_sdk::ChainClient;
use openledger_serve::Server;
use openledger_settlement::ledger::Ledger;
use openledger_settlement::till::Till;
use openledger_settlement::worker::WorkerStatus;
use openledger_store::Store;
use openledger_train::ModelFactory;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tower_http::cors::CorsLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::assets::Guards;
use crate::catalog::Catalog;
use crate::desk::Desk;
use crate::events::Events;
use crate::limits::Buckets;
use crate::public_url::PublicUrl;
use crate::revocations::Revocations;
use crate::routes::columns::ColumnCache;
use crate::routes::disputes::DisputeCache;
use crate::routes::{
    accounts, columns, datanets, disputes, files, models, preview, publish, receipts, recipes, records, search,
    sessions, status, streams, training,
};
use crate::session::Sessions;
use crate::shares::Snapshots;
use crate::tally::Tally;
use crate::{assets, chat, events, guard, limits, lineage, listen, revocations};

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
    /// Why the chain can make no blocks at present; `None` while all is well.
    pub chain_trouble: watch::Receiver<Option<String>>,
    /// How settlement stands.
    pub settlement: watch::Receiver<WorkerStatus>,
    /// The data directory, opened with [`GATEWAY_SCHEMA`](crate::catalog::GATEWAY_SCHEMA) among others.
    pub store: Store,
    /// What pages and wallets are told.
    pub site: Site,
}

/// What pages and wallets are told of the chain, and whom the pages may talk to.
#[derive(Clone, Debug)]
pub struct Site {
    /// Ethereum JSON-RPC over HTTP, as browsers reach it.
    pub rpc_url: String,
    /// The same over WebSocket.
    pub ws_url: String,
    /// Seconds between blocks; 0 for a block a transaction.
    pub block_time_s: u64,
    /// Seconds in which a posted epoch can be challenged.
    pub challenge_window_s: u64,
    /// Whether the chain is a development network.
    pub development: bool,
    /// What the faucet gives; development networks only.
    pub faucet: Option<Wei>,
    /// Where it is reached from outside, if that is not its own address.
    pub public_url: Option<PublicUrl>,
    /// Further names, with their ports, under which this server is reached.
    pub hosts: Vec<String>,
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
    pub(crate) chain_trouble: watch::Receiver<Option<String>>,
    pub(crate) settlement: watch::Receiver<WorkerStatus>,
    pub(crate) desk: Desk,
    pub(crate) store: Store,
    pub(crate) site: Site,
    pub(crate) sessions: Sessions,
    pub(crate) tally: Tally,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) events: Events,
    pub(crate) columns: ColumnCache,
    pub(crate) disputes: DisputeCache,
    pub(crate) revocations: Revocations,
    pub(crate) changes: Buckets,
    pub(crate) sign_ins: Buckets,
    pub(crate) chats: Buckets,
    pub(crate) free_places: Arc<Semaphore>,
    pub(crate) encoders: Arc<Semaphore>,
    address: SocketAddr,
    stopping: watch::Receiver<bool>,
}

impl App {
    /// A path of this server as a URL.
    pub(crate) fn url(&self, path: &str) -> String {
        match &self.site.public_url {
            Some(url) => format!("{url}{path}"),
            None => format!("http://{}{path}", self.address),
        }
    }

    /// Resolves when the server is to stop: streams end then, or they would keep it.
    pub(crate) async fn stopped(&self) {
        // The sender going away stops the server as well.
        let _ = self.stopping.clone().wait_for(|stop| *stop).await;
    }

    /// Whether a sign-in message's domain is this server. The request's own `Host` says nothing: whoever relays a
    /// message signed for another site can send any.
    pub(crate) fn is_ours(&self, domain: &str) -> bool {
        let local = self.address.ip().is_loopback() || self.address.ip().is_unspecified();
        let (name, port) = domain.rsplit_once(':').unwrap_or((domain, ""));
        let own_port = port == self.address.port().to_string();
        // On a development network the pages may come from a development server of the same machine.
        let loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&name) && (own_port || self.site.development);
        let mut public =
            self.site.public_url.iter().map(PublicUrl::host).chain(self.site.hosts.iter().map(String::as_str));
        domain == self.address.to_string() || (local && loopback) || public.any(|host| host == domain)
    }

    /// Whether browsers are to send the session's cookie over TLS alone.
    pub(crate) fn is_secure(&self) -> bool {
        self.site.public_url.as_ref().is_some_and(PublicUrl::is_secure)
    }

    /// Most free answers at once, waiting or under way.
    pub(crate) fn free_answers_max(&self) -> usize {
        free_answers_max(&self.server)
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
    watchers: Vec<JoinHandle<()>>,
    task: JoinHandle<()>,
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
        lineage::know_all(&parts.chain, parts.till.ledger(), &parts.catalog).await;
        let (stop, stopped) = watch::channel(false);
        let app = Arc::new(App::new(parts, desk, address, stopped.clone()));
        let watchers = vec![
            tokio::spawn(events::watch(Arc::downgrade(&app))),
            tokio::spawn(events::watch_jobs(Arc::downgrade(&app))),
            tokio::spawn(revocations::watch(Arc::downgrade(&app))),
        ];
        let task = tokio::spawn(listen::serve(listener, router(app), stopped));
        Ok(Self { address, stop, watchers, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests and waits for those under way, for a grace period at most: a client that sends half a
    /// request, or reads no answer, must not keep a node from stopping.
    pub async fn shutdown(self) {
        let _ = self.stop.send(true);
        self.watchers.iter().for_each(JoinHandle::abort);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the gateway's task died");
        }
    }
}

impl App {
    fn new(parts: Parts, desk: Desk, address: SocketAddr, stopping: watch::Receiver<bool>) -> Self {
        let Parts { catalog, server, till, datanets, factory, chain, chain_trouble, settlement, store, site } = parts;
        let snapshots = Arc::new(Snapshots::new(datanets.clone()));
        let ledger = till.ledger().clone();
        let sessions = Sessions::new(store.clone(), ledger.chain_id());
        let free_places = Arc::new(Semaphore::new(free_answers_max(&server)));
        let tally = Tally::new(store.clone(), ledger, datanets.clone(), Arc::clone(&catalog), Arc::clone(&snapshots));
        Self {
            catalog,
            server,
            till,
            datanets,
            factory,
            chain,
            chain_trouble,
            settlement,
            desk,
            store,
            site,
            sessions,
            tally,
            snapshots,
            events: Events::default(),
            columns: ColumnCache::default(),
            disputes: DisputeCache::default(),
            revocations: Revocations::default(),
            changes: Buckets::new(limits::CHANGES),
            sign_ins: Buckets::new(limits::SIGN_INS),
            chats: Buckets::new(limits::CHATS),
            free_places,
            encoders: Arc::new(Semaphore::new(chat::ENCODINGS_MAX)),
            address,
            stopping,
        }
    }
}

/// Half the model server's queue: the other half is kept for whoever paid.
fn free_answers_max(server: &Server) -> usize {
    (server.config().max_queue / 2).max(1)
}

fn router(app: Arc<App>) -> Router {
    let guards = Guards::new(&[&app.site.rpc_url, &app.site.ws_url]);
    let json = datanet_routes()
        .merge(training_routes())
        .merge(settlement_routes())
        .merge(node_routes())
        .layer(DefaultBodyLimit::max(JSON_BYTES_MAX));
    let chunks = Router::new()
        .route("/v1/uploads/{id}", put(datanets::append_upload))
        .layer(DefaultBodyLimit::max(CHUNK_BYTES_MAX));
    json.merge(chunks)
        .layer(from_fn_with_state(Arc::clone(&app), guard::check))
        .merge(chat_routes(&app))
        .fallback(assets::fallback)
        .layer(RequestBodyLimitLayer::new(CHUNK_BYTES_MAX))
        .layer(RequestBodyTimeoutLayer::new(listen::BODY_PIECE_WAIT_MAX))
        .layer(CorsLayer::permissive())
        .layer(map_response(guard::plain_errors))
        .layer(from_fn_with_state(guards, assets::guard))
        .with_state(app)
}

fn chat_routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route(chat::PATH, post(chat::completions))
        .route(chat::QUOTE_PATH, post(chat::quote))
        .layer(DefaultBodyLimit::max(JSON_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(app), guard::chat))
}

fn datanet_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/datanets", get(datanets::list).post(datanets::register))
        .route("/v1/datanets/{id}", get(datanets::show))
        .route("/v1/datanets/{id}/contributors", get(records::contributors))
        .route("/v1/datanets/{id}/records", get(records::list))
        .route("/v1/datanets/{id}/columns", get(columns::show))
        .route("/v1/datanets/{id}/uploads", post(datanets::begin_upload))
        .route("/v1/uploads/{id}", get(datanets::upload_status).delete(datanets::abort_upload))
        .route("/v1/datanets/{id}/batches", post(datanets::prepare_batch))
        .route("/v1/batches/{commitment}", get(datanets::batch))
        .route("/v1/batches/{commitment}/revealed", post(datanets::revealed))
        .route("/v1/datanets/{id}/snapshots", post(datanets::snapshot).get(datanets::snapshots))
        .route("/v1/snapshots/{root}", get(datanets::snapshot_body))
        .route("/v1/datanets/{id}/snapshots/preview", get(preview::show))
        .route("/v1/records/{hash}", get(records::show))
}

fn training_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/fine_tuning/presets", get(recipes::presets))
        .route("/v1/fine_tuning/recipe", post(recipes::make))
        .route("/v1/fine_tuning/mask_preview", post(recipes::mask_preview))
        .route("/v1/fine_tuning/estimate", post(training::estimate))
        .route("/v1/fine_tuning/jobs", post(training::submit).get(training::list))
        .route("/v1/fine_tuning/jobs/{id}", get(training::show))
        .route("/v1/fine_tuning/jobs/{id}/events", get(training::events))
        .route("/v1/fine_tuning/jobs/{id}/stream", get(streams::job))
        .route("/v1/fine_tuning/jobs/{id}/{action}", post(training::act))
        .route("/v1/fine_tuning/jobs/{id}/model", get(publish::draft).post(publish::publish))
        .route("/v1/fine_tuning/jobs/{id}/files/{file}", get(files::show))
}

fn settlement_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/receipts", get(receipts::list))
        .route("/v1/receipts/{hash}", get(receipts::show))
        .route("/v1/receipts/{hash}/records", get(receipts::records))
        .route("/v1/epochs", get(receipts::epochs))
        .route("/v1/disputes", get(disputes::list))
        .route("/v1/accounts/{address}/claim", get(accounts::claim))
        .route("/v1/accounts/{address}/earnings", get(accounts::earnings))
        .route("/v1/accounts/{address}/records", get(records::of_account))
        .route("/v1/statements/{address}", get(accounts::statement))
}

fn node_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/sessions/nonce", post(sessions::nonce))
        .route("/v1/sessions", post(sessions::sign_in))
        .route("/v1/sessions/current", get(sessions::current).delete(sessions::sign_out))
        .route("/v1/models", get(models::list))
        .route("/v1/registry", get(models::registry))
        .route("/v1/models/{name}", get(models::show))
        .route("/v1/models/{name}/details", get(models::details))
        .route("/v1/lora_adapters", get(models::adapters))
        .route("/v1/status", get(status::show))
        .route("/v1/operator", get(status::operator))
        .route("/v1/faucet", post(status::faucet))
        .route("/v1/search", get(search::search))
        .route("/v1/events", get(streams::node))
        .route("/v1/openapi.json", get(status::openapi))
        .route("/health", get(status::health))
        .route("/metrics", get(status::metrics))
}
