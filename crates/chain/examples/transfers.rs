//! Measures ERC-20 transfers from submission over JSON-RPC to inclusion in a block.
//!
//! `cargo run --release -p openledger-chain --example transfers -- [TRANSFERS] [IN_FLIGHT]`
//! prints one JSON object. Transfers are signed beforehand; client, server and block production
//! share the machine.

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    env,
    error::Error,
    io::Write,
    time::{Duration, Instant},
};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_provider::{Provider, ProviderBuilder};
use alloy_signer_local::PrivateKeySigner;
use futures::{StreamExt, TryStreamExt, stream};
use op_alloy_consensus::OpTxEnvelope;
use openledger_chain::{Chain, ChainConfig};
use support::{CHAIN_ID, account, genesis, token_init_code};

const SENDERS: u32 = 32;
const TRANSFERS: usize = 5_000;
const IN_FLIGHT: usize = 64;
const PATIENCE: Duration = Duration::from_secs(120);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let number = |at: usize, default| env::args().nth(at).map_or(Ok(default), |text| text.parse());
    let (transfers, in_flight) = (number(1, TRANSFERS)?, number(2, IN_FLIGHT)?);
    let dir = tempfile::tempdir()?;
    let senders: Vec<_> = (0..SENDERS).map(account).collect();
    let funded: Vec<Address> = senders.iter().map(|sender| sender.address()).collect();
    let chain = Chain::open(ChainConfig::new(dir.path(), genesis(&funded)).instant())?;
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await?;
    let token = deploy(&chain, &senders).await?;
    let signed = sign(&chain, &senders, token, transfers)?;
    let provider = ProviderBuilder::new().connect_http(server.http_url().parse()?);
    let mut blocks = chain.subscribe_blocks();
    let head = chain.head().number;

    let started = Instant::now();
    let included = tokio::spawn(async move {
        let (mut seen, mut gas) = (0, 0);
        while seen < transfers {
            let block = blocks.recv().await?;
            seen += block.body.transactions.len() - 1;
            gas += block.header.gas_used;
        }
        Outcome::Ok(gas)
    });
    let send = |bytes: Bytes| {
        let provider = &provider;
        async move { provider.send_raw_transaction(&bytes).await.map(|_| ()) }
    };
    stream::iter(signed).map(send).buffer_unordered(in_flight).try_collect::<()>().await?;
    let submitted = started.elapsed();
    let gas = tokio::time::timeout(PATIENCE, included).await???;
    let wall = started.elapsed();

    let report = serde_json::json!({
        "bench": "chain",
        "transfers": transfers,
        "senders": SENDERS,
        "in_flight": in_flight,
        "blocks": chain.head().number - head,
        "submit_s": submitted.as_secs_f64(),
        "wall_s": wall.as_secs_f64(),
        "txs_per_s": transfers as f64 / wall.as_secs_f64(),
        "mgas_per_s": gas as f64 / 1e6 / wall.as_secs_f64(),
    });
    writeln!(std::io::stdout(), "{report}")?;
    server.stop().await;
    chain.shutdown();
    Ok(())
}

/// Deploys the token and gives every sender a balance.
async fn deploy(chain: &Chain, senders: &[PrivateKeySigner]) -> Outcome<Address> {
    let supply = U256::from(10).pow(U256::from(30));
    let owner = &senders[0];
    let token = owner.address().create(0);
    submit(chain, signed(owner, 0, TxKind::Create, token_init_code(supply))?).await?;
    let share = supply / U256::from(2 * SENDERS);
    for (nonce, sender) in (1u64..).zip(&senders[1..]) {
        let data = transfer(sender.address(), share);
        submit(chain, signed(owner, nonce, token.into(), data)?).await?;
    }
    Ok(token)
}

async fn submit(chain: &Chain, tx: Bytes) -> Outcome<()> {
    let mut blocks = chain.subscribe_blocks();
    let hash: B256 = chain.submit(tx).await?;
    while !blocks.recv().await?.body.transactions.iter().any(|tx| tx.tx_hash() == hash) {}
    Ok(())
}

fn transfer(to: Address, value: U256) -> Bytes {
    let mut data = vec![0xa9, 0x05, 0x9c, 0xbb];
    data.extend(B256::left_padding_from(to.as_slice()));
    data.extend(value.to_be_bytes::<32>());
    data.into()
}

fn signed(signer: &PrivateKeySigner, nonce: u64, to: TxKind, input: Bytes) -> Outcome<Bytes> {
    let mut tx = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: if to.is_create() { 1_000_000 } else { 60_000 },
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1_000_000,
        to,
        input,
        ..TxEip1559::default()
    };
    let signature = signer.sign_transaction_sync(&mut tx)?;
    Ok(OpTxEnvelope::Eip1559(tx.into_signed(signature)).encoded_2718().into())
}

/// Transfers of one token unit each, round robin over the senders, to fresh and known receivers.
fn sign(chain: &Chain, senders: &[PrivateKeySigner], token: Address, transfers: usize) -> Outcome<Vec<Bytes>> {
    let mut nonces = Vec::with_capacity(senders.len());
    for sender in senders {
        nonces.push(chain.pending_nonce(&sender.address())?);
    }
    let mut all = Vec::with_capacity(transfers);
    for index in 0..transfers {
        let at = index % senders.len();
        let to = Address::left_padding_from(&(0x1_0000 + index as u64 % 1_000).to_be_bytes());
        all.push(signed(&senders[at], nonces[at], token.into(), transfer(to, U256::ONE))?);
        nonces[at] += 1;
    }
    Ok(all)
}
