//! Measures ERC-20 transfers from submission over JSON-RPC to inclusion in a block, beside anvil where
//! it is installed (npm `@foundry-rs/anvil` in `$OPENLEDGER_TOOLS` or `~/.cache/openledger/tools`).
//!
//! `cargo run --release -p openledger-chain --example transfers -- [TRANSFERS]`
//! prints one JSON object. Transfers are signed beforehand; client, server and block production share the machine.
//! Both nodes are driven by the same client, in which each sender submits its transfers one after the other, as
//! wallets do. Ours makes a block as soon as transactions arrive; anvil makes one a second, because mining at once it
//! falls behind its own pool when that holds a thousand transactions, and does not end within minutes.

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    env,
    error::Error,
    io::Write,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_provider::{Provider, ProviderBuilder, RootProvider};
use alloy_signer_local::PrivateKeySigner;
use futures::future::try_join_all;
use op_alloy_consensus::OpTxEnvelope;
use openledger_chain::{Chain, ChainConfig};
use serde_json::json;
use support::{CHAIN_ID, MNEMONIC, account, genesis, token_init_code};

const SENDERS: u32 = 32;
const TRANSFERS: usize = 5_000;
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(5);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let transfers = env::args().nth(1).map_or(Ok(TRANSFERS), |text| text.parse())?;
    let senders: Vec<_> = (0..SENDERS).map(account).collect();
    let ours = measure_ours(&senders, transfers).await?;
    let anvil = measure_anvil(&senders, transfers).await?;
    let report = json!({
        "bench": "chain",
        "transfers": transfers,
        "senders": SENDERS,
        "submit_s": ours.submit_s,
        "wall_s": ours.wall_s,
        "blocks": ours.blocks,
        "txs_per_s": transfers as f64 / ours.wall_s,
        "anvil_txs_per_s": anvil.as_ref().map(|anvil| transfers as f64 / anvil.wall_s),
        "ratio_to_anvil": anvil.map(|anvil| anvil.wall_s / ours.wall_s),
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

struct Measured {
    submit_s: f64,
    wall_s: f64,
    blocks: u64,
}

async fn measure_ours(senders: &[PrivateKeySigner], transfers: usize) -> Outcome<Measured> {
    let dir = tempfile::tempdir()?;
    let funded: Vec<Address> = senders.iter().map(|sender| sender.address()).collect();
    let chain = Chain::open(ChainConfig::new(dir.path(), genesis(&funded)).instant())?;
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await?;
    let measured = measure(&server.http_url(), senders, transfers).await;
    server.stop().await;
    chain.shutdown();
    measured
}

struct Anvil(Child);

impl Drop for Anvil {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

async fn measure_anvil(senders: &[PrivateKeySigner], transfers: usize) -> Outcome<Option<Measured>> {
    let tools = env::var_os("OPENLEDGER_TOOLS").map(PathBuf::from);
    let cached = || env::home_dir().map(|home| home.join(".cache/openledger/tools"));
    let Some(tools) = tools.or_else(cached) else { return Ok(None) };
    let binary = tools.join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    if !binary.exists() {
        return Ok(None);
    }
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port().to_string();
    let (chain_id, accounts) = (CHAIN_ID.to_string(), SENDERS.to_string());
    let arguments = ["--port", &port, "--chain-id", &chain_id, "--accounts", &accounts, "--mnemonic", MNEMONIC];
    let quiet = ["--silent", "--block-time", "1", "--gas-limit", "60000000", "--balance", "1000000"];
    let mut command = Command::new(binary);
    command.args(arguments).args(quiet).stdout(Stdio::null()).stderr(Stdio::null());
    let _anvil = Anvil(command.spawn()?);
    measure(&format!("http://127.0.0.1:{port}"), senders, transfers).await.map(Some)
}

async fn measure(url: &str, senders: &[PrivateKeySigner], transfers: usize) -> Outcome<Measured> {
    let provider = ProviderBuilder::new().disable_recommended_fillers().connect_http(url.parse()?);
    await_up(&provider).await?;
    let token = deploy(&provider, senders).await?;
    let (signed, last) = sign(&provider, senders, token, transfers).await?;
    let first_block = provider.get_block_number().await?;

    let started = Instant::now();
    let clients = signed.into_iter().map(|transfers| submit(&provider, transfers));
    try_join_all(clients).await?;
    let submit_s = started.elapsed().as_secs_f64();
    for (sender, nonce) in senders.iter().zip(last) {
        await_nonce(&provider, sender.address(), nonce).await?;
    }
    let wall_s = started.elapsed().as_secs_f64();
    let blocks = provider.get_block_number().await? - first_block;
    Ok(Measured { submit_s, wall_s, blocks })
}

/// One sender's transfers, each after the node took the one before.
async fn submit(provider: &RootProvider, transfers: Vec<Bytes>) -> Outcome<()> {
    for transfer in transfers {
        let _pending = provider.send_raw_transaction(&transfer).await?;
    }
    Ok(())
}

async fn await_up(provider: &RootProvider) -> Outcome<()> {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = provider.get_chain_id().await {
        if Instant::now() > deadline {
            return Err(error.into());
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Waits until all of the sender's transactions before `nonce` are in blocks.
async fn await_nonce(provider: &RootProvider, sender: Address, nonce: u64) -> Outcome<()> {
    let deadline = Instant::now() + PATIENCE;
    while provider.get_transaction_count(sender).await? < nonce {
        if Instant::now() > deadline {
            return Err(format!("{sender} did not reach nonce {nonce} in {PATIENCE:?}").into());
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Deploys the token and gives every sender a balance.
async fn deploy(provider: &RootProvider, senders: &[PrivateKeySigner]) -> Outcome<Address> {
    let supply = U256::from(10).pow(U256::from(30));
    let owner = &senders[0];
    let token = owner.address().create(0);
    let _pending = provider.send_raw_transaction(&signed(owner, 0, TxKind::Create, token_init_code(supply))?).await?;
    let share = supply / U256::from(2 * SENDERS);
    let mut nonce = 1;
    for sender in &senders[1..] {
        let data = transfer(sender.address(), share);
        let _pending = provider.send_raw_transaction(&signed(owner, nonce, token.into(), data)?).await?;
        nonce += 1;
    }
    await_nonce(provider, owner.address(), nonce).await?;
    Ok(token)
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

/// Transfers of one token unit each to a thousand receivers, by sender; and each sender's nonce after them.
async fn sign(
    provider: &RootProvider,
    senders: &[PrivateKeySigner],
    token: Address,
    transfers: usize,
) -> Outcome<(Vec<Vec<Bytes>>, Vec<u64>)> {
    let mut nonces = Vec::with_capacity(senders.len());
    for sender in senders {
        nonces.push(provider.get_transaction_count(sender.address()).await?);
    }
    let mut all = vec![Vec::with_capacity(transfers.div_ceil(senders.len())); senders.len()];
    for index in 0..transfers {
        let at = index % senders.len();
        let to = Address::left_padding_from(&(0x1_0000 + index as u64 % 1_000).to_be_bytes());
        all[at].push(signed(&senders[at], nonces[at], token.into(), transfer(to, U256::ONE))?);
        nonces[at] += 1;
    }
    Ok((all, nonces))
}
