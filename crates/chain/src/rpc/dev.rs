//! The `evm_` methods of development chains.

use alloy_primitives::U64;
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
};

use super::{Context, fees::Count};

#[rpc(server, namespace = "evm")]
pub(super) trait EvmApi {
    #[method(name = "increaseTime")]
    fn increase_time(&self, seconds: Count) -> RpcResult<U64>;

    #[method(name = "mine")]
    async fn mine(&self) -> RpcResult<String>;
}

#[async_trait]
impl EvmApiServer for Context {
    fn increase_time(&self, seconds: Count) -> RpcResult<U64> {
        Ok(U64::from(self.chain.increase_time(seconds.get())?))
    }

    async fn mine(&self) -> RpcResult<String> {
        self.chain.mine().await?;
        Ok("0x0".into())
    }
}
