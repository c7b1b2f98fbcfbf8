//! The `net_` and `web3_` methods.

use alloy_primitives::{B256, Bytes, U64, keccak256};
use jsonrpsee::{core::RpcResult, proc_macros::rpc};

use super::Context;

#[rpc(server, namespace = "net")]
pub(super) trait NetApi {
    #[method(name = "version")]
    fn version(&self) -> RpcResult<String>;

    #[method(name = "listening")]
    fn listening(&self) -> RpcResult<bool>;

    #[method(name = "peerCount")]
    fn peer_count(&self) -> RpcResult<U64>;
}

#[rpc(server, namespace = "web3")]
pub(super) trait Web3Api {
    #[method(name = "clientVersion")]
    fn client_version(&self) -> RpcResult<String>;

    #[method(name = "sha3")]
    fn sha3(&self, bytes: Bytes) -> RpcResult<B256>;
}

impl NetApiServer for Context {
    fn version(&self) -> RpcResult<String> {
        Ok(self.chain.spec().chain_id.to_string())
    }

    fn listening(&self) -> RpcResult<bool> {
        Ok(true)
    }

    fn peer_count(&self) -> RpcResult<U64> {
        Ok(U64::ZERO)
    }
}

impl Web3ApiServer for Context {
    fn client_version(&self) -> RpcResult<String> {
        Ok(concat!("openledger/v", env!("CARGO_PKG_VERSION"), "/rust").into())
    }

    fn sha3(&self, bytes: Bytes) -> RpcResult<B256> {
        Ok(keccak256(bytes))
    }
}
