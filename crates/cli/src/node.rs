//! A node: chain, model server, training, settlement and gateway on one data directory. Wiring only.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::U256;
use anyhow::{Context as _, Result, bail};
use openledger_chain::{Chain, ChainConfig, RpcServer};
use openledger_contracts::genesis::{GenesisConfig, GenesisOperator, genesis};
use openledger_datanet::{DATANET_SCHEMA, Datanets};
use openledger_engine::Model;
use openledger_gateway::catalog::{Catalog, GATEWAY_SCHEMA};
use openledger_gateway::{Gateway, Parts, Site};
use openledger_primitives::Wei;
use openledger_sdk::{ChainClient, Hub};
use openledger_serve::{ServeConfig, Server};
use openledger_settlement::ledger::{Ledger, SETTLEMENT_SCHEMA};
use openledger_settlement::till::{Till, TillOptions};
use openledger_settlement::worker::{SettlementWorker, WorkerOptions};
use openledger_store::Store;
use openledger_train::{FactoryConfig, ModelFactory, TRAIN_SCHEMA};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::accounts;
use crate::config::{Config, DEV_CHAIN_ID};

/// Layout of a data directory, written to its `FORMAT` file.
pub(crate) const FORMAT: u32 = 1;
/// OPEN that each development account starts with.
pub(crate) const DEV_FUNDS_OPEN: u64 = 1_000_000;
/// OPEN that the development operator has bonded.
const DEV_BOND_OPEN: u64 = 1_000;
/// Where blocks come with transactions: seconds without one after which an empty block is made. Epochs end by the
/// chain's time, so it must not stand still.
const IDLE_BLOCK_S: u64 = 2;
/// OPEN that the faucet gives at once.
const FAUCET_OPEN: u64 = 100;
/// Pause between two looks of the settlement worker, in milliseconds.
const SETTLEMENT_POLL_MS: u64 = 500;

/// A running node.
pub(crate) struct Node {
    chain: Chain,
    rpc: RpcServer,
    gateway: Gateway,
    server: Server,
    factory: ModelFactory,
    worker: JoinHandle<()>,
    stop_worker: watch::Sender<bool>,
    catalog: Arc<Catalog>,
    ledger: Ledger,
}

impl Node {
    /// Starts every part on `data_dir`, in the order in which they need one another.
    pub(crate) async fn start(data_dir: &Path, config: &Config, model_path: &Path) -> Result<Self> {
        check_format(data_dir)?;
        // Artifacts are found again from any working directory.
        let data_dir = &data_dir.canonicalize().with_context(|| format!("could not find {}", data_dir.display()))?;
        let store =
            Store::open(data_dir.join("store"), &[DATANET_SCHEMA, TRAIN_SCHEMA, SETTLEMENT_SCHEMA, GATEWAY_SCHEMA])
                .with_context(|| format!("could not open the store in {}", data_dir.display()))?;
        let (chain, rpc) = start_chain(data_dir, config).await?;
        let path = model_path.to_owned();
        let model = tokio::task::spawn_blocking(move || Model::open(&path)).await.context("the loader died")?;
        let model = model.with_context(|| format!("could not open the model {}", model_path.display()))?;
        let server =
            Server::start(model.clone(), serve_config(config, &model)).context("could not start the model server")?;
        let factory = FactoryConfig { threads: config.serve.threads, ..FactoryConfig::new(data_dir.join("train")) };
        let factory =
            ModelFactory::start(vec![model.clone()], store.clone(), factory).context("could not start ModelFactory")?;
        let catalog = Catalog::open(model, &base_name(model_path), store.clone(), &server, data_dir);
        let catalog = Arc::new(catalog.context("could not read the published models")?);
        let ledger = Ledger::new(store.clone(), DEV_CHAIN_ID);
        let url = rpc.http_url();
        let operator = accounts::development(accounts::OPERATOR)?;
        let settler = ChainClient::connect(&url, accounts::development(accounts::SETTLER)?).await?;
        register_base(&url, &catalog).await?;
        let hub = Arc::new(Hub::new(settler));
        let window_s = challenge_window(&hub, config).await?;
        let (address, key) = (operator.address(), Arc::new(operator.clone()));
        let till = Till::new(ledger.clone(), hub.clone(), key, address, TillOptions::default());
        let worker = SettlementWorker::new(ledger.clone(), hub, worker_options(config));
        let settlement = worker.status();
        let (stop_worker, stopped) = watch::channel(false);
        let parts = Parts {
            catalog: Arc::clone(&catalog),
            server: server.clone(),
            till,
            datanets: Datanets::new(store.clone(), DEV_CHAIN_ID),
            factory: factory.clone(),
            chain: ChainClient::connect(&url, operator).await?,
            chain_trouble: chain.trouble(),
            settlement,
            store,
            site: site(&rpc, config, window_s),
        };
        let gateway = Gateway::start(config.http_listen, parts).await?;
        let worker = tokio::spawn(worker.run(stopped));
        Ok(Self { chain, rpc, gateway, server, factory, worker, stop_worker, catalog, ledger })
    }

    /// Where Ethereum JSON-RPC is.
    pub(crate) fn rpc_url(&self) -> String {
        self.rpc.http_url()
    }

    /// Where the gateway is.
    pub(crate) fn gateway_url(&self) -> String {
        format!("http://{}", self.gateway.address())
    }

    /// The models, for replays in this process.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    /// Closes the open epoch now instead of when it is due.
    pub(crate) fn seal_epoch(&self) -> Result<Option<u64>> {
        self.ledger.seal_epoch().context("could not seal the epoch")
    }

    /// Number of the latest block.
    pub(crate) fn blocks(&self) -> u64 {
        self.chain.head().number
    }

    /// Stops every part, the ones that take work first.
    pub(crate) async fn shutdown(self) {
        self.gateway.shutdown().await;
        let _ = self.stop_worker.send(true);
        if let Err(error) = self.worker.await {
            tracing::error!(%error, "the settlement worker died");
        }
        let (factory, server, chain) = (self.factory, self.server, self.chain);
        self.rpc.stop().await;
        let stop = move || {
            factory.shutdown();
            server.shutdown();
            chain.shutdown();
        };
        if let Err(error) = tokio::task::spawn_blocking(stop).await {
            tracing::error!(%error, "a part died while it stopped");
        }
    }
}

/// Every node of this program is a development network; its faucet gives what a few hundred answers cost.
fn site(rpc: &RpcServer, config: &Config, challenge_window_s: u64) -> Site {
    Site {
        rpc_url: rpc.http_url(),
        ws_url: rpc.ws_url(),
        block_time_s: config.block_time_s,
        challenge_window_s,
        development: true,
        faucet: Some(Wei::from_open(FAUCET_OPEN)),
        public_url: config.public_url.clone(),
        hosts: config.hosts.clone(),
    }
}

/// The hub's window holds; the configuration's went into the genesis, and changes nothing afterwards.
async fn challenge_window(hub: &Hub, config: &Config) -> Result<u64> {
    let window_s = hub.challenge_window().await.context("could not read the hub's challenge window")?;
    let configured_s = config.challenge_window_s;
    if window_s != configured_s {
        tracing::warn!(
            "challenge_window_s = {configured_s} has no effect: it counts when a network is made, and this one's hub has \
             {window_s}"
        );
    }
    Ok(window_s)
}

/// A small model's context bounds what can be served, whatever the configuration allows.
fn serve_config(config: &Config, model: &Model) -> ServeConfig {
    let mut serve = config.serve.clone();
    serve.max_context = serve.max_context.min(model.config().context);
    serve
}

fn worker_options(config: &Config) -> WorkerOptions {
    WorkerOptions {
        receipts_max: config.epoch_receipts_max,
        age_max_s: config.epoch_seconds,
        poll_ms: SETTLEMENT_POLL_MS,
        retention: config.retention,
    }
}

/// Makes the data directory, or refuses one that a newer program has written.
fn check_format(data_dir: &Path) -> Result<()> {
    make_private(data_dir).with_context(|| format!("could not make {}", data_dir.display()))?;
    let path = data_dir.join("FORMAT");
    match std::fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found == FORMAT => Ok(()),
            Ok(found) if found > FORMAT => bail!(
                "{} has data format {found}, this program knows formats up to {FORMAT}: use a newer openledger",
                data_dir.display()
            ),
            _ => bail!("{} is not a data directory: {:?} is not a format number", data_dir.display(), text.trim()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            write_whole(&path, format!("{FORMAT}\n").as_bytes())
        }
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

/// Makes a folder that its owner alone can read: questions and answers are kept in it. One that is there stays as it is.
fn make_private(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes a file that is there as a whole or not at all, whenever the disk is full or the machine stops.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes)
        .and_then(|()| std::fs::File::open(&partial)?.sync_all())
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| format!("could not write {}", path.display()))
}

async fn start_chain(data_dir: &Path, config: &Config) -> Result<(Chain, RpcServer)> {
    let genesis = load_or_make_genesis(&data_dir.join("genesis.json"), config)?;
    let mut chain = ChainConfig::new(data_dir.join("chain"), genesis);
    chain.block_time_s = config.block_time_s;
    chain.idle_block_s = IDLE_BLOCK_S;
    chain.development = true;
    let open = move || Chain::open(chain);
    let chain = tokio::task::spawn_blocking(open).await.context("the chain's opener died")?;
    let chain = chain.with_context(|| format!("could not open the chain in {}", data_dir.display()))?;
    let rpc = chain.serve(config.rpc_listen).await;
    let address = config.rpc_listen;
    let rpc =
        rpc.with_context(|| format!("could not start JSON-RPC on {address}; --rpc-listen chooses another port"))?;
    Ok((chain, rpc))
}

/// The genesis is made once and kept: its time is part of the chain's identity.
fn load_or_make_genesis(path: &PathBuf, config: &Config) -> Result<alloy_genesis::Genesis> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let made = make_genesis(config)?;
            write_whole(path, &serde_json::to_vec_pretty(&made)?)?;
            Ok(made)
        }
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

fn make_genesis(config: &Config) -> Result<alloy_genesis::Genesis> {
    let governance = accounts::development(accounts::GOVERNANCE)?.address();
    let funds = U256::from(Wei::from_open(DEV_FUNDS_OPEN).0);
    let prefund = (0..accounts::FUNDED)
        .map(|index| Ok((accounts::development(index)?.address(), funds)))
        .collect::<Result<Vec<_>>>()?;
    let operator = GenesisOperator {
        address: accounts::development(accounts::OPERATOR)?.address(),
        settler: Some(accounts::development(accounts::SETTLER)?.address()),
        bond_wei: Wei::from_open(DEV_BOND_OPEN).0,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let config = GenesisConfig {
        timestamp_s: now.as_secs(),
        prefund,
        operators: vec![operator],
        challenge_window_s: config.challenge_window_s,
        ..GenesisConfig::dev(DEV_CHAIN_ID, governance)
    };
    genesis(&config).context("could not make the genesis")
}

/// Adapters name their base model on chain, so it must be registered there.
async fn register_base(url: &str, catalog: &Catalog) -> Result<()> {
    let governance = ChainClient::connect(url, accounts::development(accounts::GOVERNANCE)?).await?;
    governance.models().register_base(catalog.base().hash(), catalog.base_name()).await?;
    Ok(())
}

/// The base model's name: its file's, without the extension.
fn base_name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "base".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// An address on this machine with any free port, for demonstrations and tests.
pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
