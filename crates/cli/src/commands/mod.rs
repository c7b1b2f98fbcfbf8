//! Commands, one file a noun.

pub(crate) mod account;
pub(crate) mod chain;
pub(crate) mod channel;
pub(crate) mod chat;
pub(crate) mod datanet;
pub(crate) mod doctor;
mod draft;
mod evidence;
pub(crate) mod model;
pub(crate) mod receipt;
pub(crate) mod train;
pub(crate) mod up;

use alloy_signer_local::PrivateKeySigner;
use anyhow::{Context as _, Result};
use openledger_sdk::{ChainClient, GatewayClient};

use crate::accounts;
use crate::args::Arguments;

/// Where commands talk to, and who signs.
pub(crate) struct Context {
    rpc: String,
    gateway: String,
    account: String,
}

impl Context {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        Self { rpc: arguments.rpc.clone(), gateway: arguments.gateway.clone(), account: arguments.account.clone() }
    }

    /// The account that signs.
    pub(crate) fn signer(&self) -> Result<PrivateKeySigner> {
        accounts::signer(&self.account)
    }

    /// The chain, with the account that signs.
    pub(crate) async fn chain(&self) -> Result<ChainClient> {
        let client = ChainClient::connect(&self.rpc, self.signer()?).await;
        client.with_context(|| format!("could not reach the chain at {}; is `openledger up` running?", self.rpc))
    }

    /// The gateway.
    pub(crate) fn gateway(&self) -> Result<GatewayClient> {
        GatewayClient::new(&self.gateway).with_context(|| format!("{} is no gateway's URL", self.gateway))
    }

    /// The JSON-RPC endpoint.
    pub(crate) fn rpc(&self) -> &str {
        &self.rpc
    }
}
