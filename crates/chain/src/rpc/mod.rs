//! The Ethereum JSON-RPC over HTTP and WebSocket on one port.

mod convert;
mod debug;
mod dev;
mod error;
mod eth;
mod fees;
mod filters;
mod gate;
mod net;
mod pubsub;
mod txpool;

use std::net::SocketAddr;

use jsonrpsee::{
    Methods, RpcModule,
    core::RpcResult,
    server::{BatchRequestConfig, IdProvider, Server, ServerConfig, ServerHandle},
    types::{ErrorObjectOwned, SubscriptionId},
};
use tower_http::cors::{Any, CorsLayer};

use self::{dev::mark_web_page, gate::Gate};
use crate::{chain::Chain, error::ServeError};

/// Messages that may wait for a slow WebSocket client before its subscription stalls.
const MESSAGES_MAX: u32 = 1_024;

/// A running JSON-RPC server. Dropping it leaves the server running; [`RpcServer::stop`] ends it.
#[derive(Clone, Debug)]
pub struct RpcServer {
    addr: SocketAddr,
    handle: ServerHandle,
}

impl RpcServer {
    /// Where it listens (with the port that the system chose, if 0 was asked for).
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its URL for HTTP clients.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its URL for WebSocket clients.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.addr)
    }

    /// Ends it and waits until open requests are answered.
    pub async fn stop(self) {
        self.handle.stop().ok();
        self.handle.stopped().await;
    }
}

impl Chain {
    /// Serves the Ethereum JSON-RPC over HTTP and WebSocket on `addr`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`ServeError::PortInUse`] with the port, or [`ServeError::Bind`].
    pub async fn serve(&self, addr: SocketAddr) -> Result<RpcServer, ServeError> {
        let limits = self.inner.config.rpc;
        let config = ServerConfig::builder()
            .max_request_body_size(limits.request_bytes_max)
            .max_response_body_size(limits.response_bytes_max)
            .max_connections(limits.connections_max)
            .max_subscriptions_per_connection(limits.subscriptions_max)
            .set_batch_request_config(BatchRequestConfig::Limit(limits.batch_max))
            .set_message_buffer_capacity(MESSAGES_MAX)
            .set_id_provider(HexIds)
            .set_tcp_no_delay(true)
            .build();
        let cors = CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any);
        let server = Server::builder()
            .set_config(config)
            .set_http_middleware(tower::ServiceBuilder::new().layer(cors).map_request(mark_web_page))
            .build(addr)
            .await
            .map_err(|source| match source.kind() {
                std::io::ErrorKind::AddrInUse => ServeError::PortInUse { addr },
                _ => ServeError::Bind { addr, source },
            })?;
        let addr = server.local_addr().map_err(|source| ServeError::Bind { addr, source })?;
        let handle = server.start(self.methods());
        tracing::info!(%addr, chain = self.inner.spec.chain_id, "JSON-RPC is up");
        Ok(RpcServer { addr, handle })
    }

    fn methods(&self) -> Methods {
        use debug::DebugApiServer;
        use dev::EvmApiServer;
        use eth::EthApiServer;
        use filters::FilterApiServer;
        use net::{NetApiServer, Web3ApiServer};
        use pubsub::PubSubApiServer;
        use txpool::TxpoolApiServer;
        let limits = self.inner.config.rpc;
        let context = Context { chain: self.clone(), gate: Gate::new(limits.calls_max, limits.executions_max) };
        let filters = filters::Filters::new(limits.filters_max);
        let mut module = RpcModule::new(());
        let merged = module
            .merge(EthApiServer::into_rpc(context.clone()))
            .and_then(|()| module.merge(DebugApiServer::into_rpc(context.clone())))
            .and_then(|()| module.merge(TxpoolApiServer::into_rpc(context.clone())))
            .and_then(|()| module.merge(NetApiServer::into_rpc(context.clone())))
            .and_then(|()| module.merge(Web3ApiServer::into_rpc(context.clone())))
            .and_then(|()| module.merge(PubSubApiServer::into_rpc(context.clone())))
            .and_then(|()| module.merge(FilterApiServer::into_rpc(filters.with(context.clone()))));
        merged.expect("method names are distinct");
        if self.inner.config.development {
            module.merge(EvmApiServer::into_rpc(context)).expect("method names are distinct");
        }
        module.into()
    }
}

/// What every method needs.
#[derive(Clone, Debug)]
struct Context {
    chain: Chain,
    gate: Gate,
}

impl Context {
    /// Runs database work off the async threads.
    async fn read<T, E>(&self, work: impl FnOnce(&Chain) -> Result<T, E> + Send + 'static) -> RpcResult<T>
    where
        T: Send + 'static,
        E: Into<ErrorObjectOwned> + Send + 'static,
    {
        let chain = self.chain.clone();
        self.gate.read(move || work(&chain)).await
    }

    /// Runs the EVM and long reads off the async threads, a limited number at a time.
    async fn execute<T, E>(&self, work: impl FnOnce(&Chain) -> Result<T, E> + Send + 'static) -> RpcResult<T>
    where
        T: Send + 'static,
        E: Into<ErrorObjectOwned> + Send + 'static,
    {
        let chain = self.chain.clone();
        self.gate.execute(move || work(&chain)).await
    }
}

/// Subscription ids as hex strings, which is what Ethereum clients expect.
#[derive(Debug)]
struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        let id = alloy_primitives::B128::new(rand::random());
        SubscriptionId::Str(id.to_string().into())
    }
}
