//! The `evm_` methods of development chains.

use alloy_primitives::U64;
use jsonrpsee::{
    Extensions,
    core::{RpcResult, async_trait},
    proc_macros::rpc,
    server::HttpRequest,
};

use super::{Context, error::server_error, fees::Count};

/// Marks a request that a web page makes.
#[derive(Clone, Copy, Debug)]
struct FromWebPage;

/// Marks `request` if a web page makes it: a browser names the page's origin, and no page can keep it from that. Wallets need
/// the `eth_` methods from any page; the development methods are for tests and tools, and a page that someone merely visits
/// must not be able to move the clock of a chain on their machine.
pub(super) fn mark_web_page<B>(mut request: HttpRequest<B>) -> HttpRequest<B> {
    if request.headers().contains_key("origin") {
        request.extensions_mut().insert(FromWebPage);
    }
    request
}

fn refuse_web_pages(extensions: &Extensions) -> RpcResult<()> {
    match extensions.get::<FromWebPage>() {
        Some(FromWebPage) => Err(server_error("development methods are not for web pages")),
        None => Ok(()),
    }
}

#[rpc(server, namespace = "evm")]
pub(super) trait EvmApi {
    #[method(name = "increaseTime", with_extensions)]
    fn increase_time(&self, seconds: Count) -> RpcResult<U64>;

    #[method(name = "mine", with_extensions)]
    async fn mine(&self) -> RpcResult<String>;
}

#[async_trait]
impl EvmApiServer for Context {
    fn increase_time(&self, extensions: &Extensions, seconds: Count) -> RpcResult<U64> {
        refuse_web_pages(extensions)?;
        Ok(U64::from(self.chain.increase_time(seconds.get())?))
    }

    async fn mine(&self, extensions: &Extensions) -> RpcResult<String> {
        refuse_web_pages(extensions)?;
        let _call = self.gate.enter()?;
        self.chain.mine().await?;
        Ok("0x0".into())
    }
}
