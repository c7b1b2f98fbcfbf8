//! A chain on a temporary directory and the few verbs that tests speak.

use std::{net::SocketAddr, time::Duration};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer_local::PrivateKeySigner;
use op_alloy_consensus::OpTxEnvelope;
use openledger_chain::{BlockWithReceipts, Chain, ChainConfig, RpcServer, store::StateView};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{CHAIN_ID, account, genesis};

/// Longest wait for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An instantly mining chain with its directory.
pub(crate) struct Devnet {
    pub(crate) chain: Chain,
    pub(crate) dir: TempDir,
}

impl Devnet {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut ChainConfig)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut config = config(&dir);
        change(&mut config);
        let chain = Chain::open(config).expect("a fresh chain opens");
        Self { chain, dir }
    }

    pub(crate) fn latest(&self) -> StateView {
        self.chain.latest().expect("the database works")
    }
}

pub(crate) fn config(dir: &TempDir) -> ChainConfig {
    let funded: Vec<Address> = (0..8).map(|index| account(index).address()).collect();
    ChainConfig::new(dir.path(), genesis(&funded)).instant()
}

/// A transaction before it is signed.
#[derive(Clone)]
pub(crate) struct Draft(pub(crate) TxEip1559);

impl Draft {
    pub(crate) fn new(nonce: u64, to: TxKind) -> Self {
        Self(TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 1_000_000,
            max_fee_per_gas: 2_000_000_000,
            max_priority_fee_per_gas: 1_000_000,
            to,
            ..TxEip1559::default()
        })
    }

    pub(crate) fn transfer(nonce: u64, to: Address, value: u64) -> Self {
        let mut draft = Self::new(nonce, to.into());
        draft.0.value = U256::from(value);
        draft.0.gas_limit = 21_000;
        draft
    }

    pub(crate) fn input(mut self, input: impl Into<Bytes>) -> Self {
        self.0.input = input.into();
        self
    }

    pub(crate) fn fees(mut self, cap: u128, tip: u128) -> Self {
        (self.0.max_fee_per_gas, self.0.max_priority_fee_per_gas) = (cap, tip);
        self
    }

    pub(crate) fn sign(mut self, signer: &PrivateKeySigner) -> Bytes {
        let signature = signer.sign_transaction_sync(&mut self.0).expect("the key signs");
        OpTxEnvelope::Eip1559(self.0.into_signed(signature)).encoded_2718().into()
    }
}

/// Waits for the block that contains `hash`.
pub(crate) async fn mined(
    blocks: &mut tokio::sync::broadcast::Receiver<std::sync::Arc<BlockWithReceipts>>,
    hash: B256,
) -> std::sync::Arc<BlockWithReceipts> {
    let found = async {
        loop {
            let block = blocks.recv().await.expect("the chain runs");
            if block.body.transactions.iter().any(|tx| tx.tx_hash() == hash) {
                return block;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the transaction is mined in time")
}

/// Submits `tx` and waits for its block.
pub(crate) async fn include(devnet: &Devnet, tx: Bytes) -> std::sync::Arc<BlockWithReceipts> {
    let mut blocks = devnet.chain.subscribe_blocks();
    let hash = devnet.chain.submit(tx).await.expect("the pool takes it");
    mined(&mut blocks, hash).await
}

/// The chain's JSON-RPC on a free port.
pub(crate) async fn served(devnet: &Devnet) -> RpcServer {
    devnet.chain.serve(([127, 0, 0, 1], 0).into()).await.expect("a free port")
}

/// What the server at `addr` answers to a POST of `body` with these further header lines, head and body.
pub(crate) async fn http_post(addr: SocketAddr, headers: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n{headers}\r\n{body}"
    );
    let mut stream = TcpStream::connect(addr).await.expect("the server listens");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the server answers");
    answer
}
