//! The `debug_` methods.

use alloy_eips::BlockId;
use alloy_primitives::B256;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::geth::{GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace};
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
};

use super::Context;
use crate::call::CallOverrides;

#[rpc(server, namespace = "debug")]
pub(super) trait DebugApi {
    #[method(name = "traceTransaction")]
    async fn trace_transaction(&self, hash: B256, options: Option<GethDebugTracingOptions>) -> RpcResult<GethTrace>;

    #[method(name = "traceCall")]
    async fn trace_call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        options: Option<GethDebugTracingCallOptions>,
    ) -> RpcResult<GethTrace>;
}

#[async_trait]
impl DebugApiServer for Context {
    async fn trace_transaction(&self, hash: B256, options: Option<GethDebugTracingOptions>) -> RpcResult<GethTrace> {
        self.execute(move |chain| chain.trace_transaction(hash, options.unwrap_or_default())).await
    }

    async fn trace_call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        options: Option<GethDebugTracingCallOptions>,
    ) -> RpcResult<GethTrace> {
        let options = options.unwrap_or_default();
        let overrides = CallOverrides { state: options.state_overrides, block: options.block_overrides };
        let block = block.unwrap_or_default();
        let tracing = options.tracing_options;
        self.execute(move |chain| chain.trace_call(&request, block, overrides, tracing)).await
    }
}
