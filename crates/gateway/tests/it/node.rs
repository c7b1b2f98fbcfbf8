//! A whole node in this process, started once for all tests, with a Datanet, a published model and a paid answer.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use alloy_primitives::U256;
use openledger_chain::{Chain, ChainConfig, RpcServer};
use openledger_contracts::genesis::{GenesisConfig, GenesisOperator, genesis};
use openledger_datanet::{DATANET_SCHEMA, Datanets};
use openledger_engine::Model;
use openledger_engine::format::DType;
use openledger_gateway::catalog::{Catalog, GATEWAY_SCHEMA};
use openledger_gateway::{Gateway, Parts, PublicUrl, Site};
use openledger_primitives::Wei;
use openledger_sdk::{ChainClient, Hub};
use openledger_serve::{ServeConfig, Server};
use openledger_settlement::ledger::{Ledger, SETTLEMENT_SCHEMA};
use openledger_settlement::till::{Till, TillOptions};
use openledger_settlement::worker::{SettlementWorker, WorkerOptions};
use openledger_store::Store;
use openledger_testkit::TinySpec;
use openledger_train::{FactoryConfig, ModelFactory, TRAIN_SCHEMA};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::people::{self, CHAIN_ID, People, key};

const GOVERNANCE: u32 = 0;
const OPERATOR: u32 = 1;
const SETTLER: u32 = 2;
const FUNDED: u32 = 10;
const SLOW_LAYERS: usize = 24;
/// Its long answers take about a second.
const STRICT_LAYERS: usize = 160;
/// Seconds that a strict node gives an answer.
const STRICT_TIMEOUT_S: u64 = 1;

/// Addresses of the node, and what was made on it.
pub(crate) struct Node {
    pub(crate) gateway: String,
    pub(crate) rpc: String,
    pub(crate) made: people::Made,
    parts: Running,
    runtime: Runtime,
    _dir: TempDir,
}

impl Node {
    /// Runs a test's side on the node's own threads.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Makes the chain say why it can make no blocks.
    pub(crate) fn trouble(&self, why: Option<&str>) {
        self.parts.trouble.send_replace(why.map(str::to_owned));
    }

    /// Stops the gateway, as the end of a node begins.
    pub(crate) fn stop_gateway(self) {
        self.runtime.block_on(self.parts.gateway.shutdown());
    }

    /// The operator's books.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.parts.ledger
    }

    /// The models served.
    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.parts.catalog
    }
}

struct Running {
    ledger: Ledger,
    trouble: watch::Sender<Option<String>>,
    catalog: Arc<Catalog>,
    gateway: Gateway,
    _rpc: RpcServer,
    _chain: Chain,
    _stop: watch::Sender<bool>,
}

/// The node; the first caller starts it.
pub(crate) fn node() -> &'static Node {
    static NODE: OnceLock<Node> = OnceLock::new();
    NODE.get_or_init(|| {
        // The caller may be inside a runtime of its own, which cannot wait for another.
        std::thread::spawn(|| start(TinySpec::default(), None)).join().unwrap()
    })
}

/// A node whose answers take long enough to do something meanwhile; the first caller starts it.
pub(crate) fn slow_node() -> &'static Node {
    static NODE: OnceLock<Node> = OnceLock::new();
    NODE.get_or_init(|| {
        let spec = TinySpec { layers: SLOW_LAYERS, ..TinySpec::default() };
        std::thread::spawn(move || start(spec, None)).join().unwrap()
    })
}

/// A node that is short of time and places; the first caller starts it.
pub(crate) fn strict_node() -> &'static Node {
    static NODE: OnceLock<Node> = OnceLock::new();
    NODE.get_or_init(|| {
        let spec = TinySpec { layers: STRICT_LAYERS, ..TinySpec::default() };
        let strict = Setting { timeout_max_s: STRICT_TIMEOUT_S, queue_max: 2, ..Setting::new(spec) };
        std::thread::spawn(move || start_with(strict)).join().unwrap()
    })
}

/// What makes one node different from another.
pub(crate) struct Setting {
    spec: TinySpec,
    public_url: Option<PublicUrl>,
    timeout_max_s: u64,
    queue_max: usize,
}

impl Setting {
    fn new(spec: TinySpec) -> Self {
        let (timeout_max_s, queue_max) = (TillOptions::default().timeout_max_s, ServeConfig::default().max_queue);
        Self { spec, public_url: None, timeout_max_s, queue_max }
    }
}

/// A node of its own, whose model is the one given.
pub(crate) fn start(spec: TinySpec, public_url: Option<PublicUrl>) -> Node {
    start_with(Setting { public_url, ..Setting::new(spec) })
}

fn start_with(setting: Setting) -> Node {
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (parts, gateway, rpc) = runtime.block_on(run(dir.path(), setting));
    let made = runtime.block_on(async { People::connect(&rpc, &gateway).await.make().await });
    Node { gateway, rpc, made, parts, runtime, _dir: dir }
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn run(dir: &std::path::Path, setting: Setting) -> (Running, String, String) {
    let Setting { spec, public_url, timeout_max_s, queue_max } = setting;
    let schemas = [DATANET_SCHEMA, TRAIN_SCHEMA, SETTLEMENT_SCHEMA, GATEWAY_SCHEMA];
    let store = Store::open(dir.join("store"), &schemas).unwrap();
    let (chain, rpc) = start_chain(dir).await;
    let url = rpc.http_url();
    let path = dir.join("tiny.gguf");
    spec.write_gguf(&path, DType::Q8_0).unwrap();
    let model = Model::open(&path).unwrap();
    let mut serve = ServeConfig::default();
    (serve.max_context, serve.threads, serve.max_queue) = (model.config().context, 1, queue_max);
    let server = Server::start(model.clone(), serve).unwrap();
    let factory = FactoryConfig { threads: 1, disk_reserve_bytes: 0, ..FactoryConfig::new(dir.join("train")) };
    let factory = ModelFactory::start(vec![model.clone()], store.clone(), factory).unwrap();
    let catalog = Arc::new(Catalog::open(model, "tiny", store.clone(), &server, dir).unwrap());
    let ledger = Ledger::new(store.clone(), CHAIN_ID);
    let governance = ChainClient::connect(&url, key(GOVERNANCE)).await.unwrap();
    governance.models().register_base(catalog.base().hash(), catalog.base_name()).await.unwrap();
    let hub = Arc::new(Hub::new(ChainClient::connect(&url, key(SETTLER)).await.unwrap()));
    let (operator, signer) = (key(OPERATOR).address(), Arc::new(key(OPERATOR)));
    let books = ledger.clone();
    let till = Till::new(
        ledger.clone(),
        hub.clone(),
        signer,
        operator,
        TillOptions { timeout_max_s, ..TillOptions::default() },
    );
    let options = WorkerOptions { receipts_max: 1000, age_max_s: 1, poll_ms: 100, ..WorkerOptions::default() };
    let worker = SettlementWorker::new(ledger, hub, options);
    let settlement = worker.status();
    let (stop, stopped) = watch::channel(false);
    let site = Site {
        rpc_url: url.clone(),
        ws_url: rpc.ws_url(),
        block_time_s: 0,
        challenge_window_s: 1,
        development: true,
        faucet: Some(Wei::from_open(10)),
        public_url,
        hosts: vec!["ledger.example".to_owned()],
    };
    let datanets = Datanets::new(store.clone(), CHAIN_ID);
    let chain_client = ChainClient::connect(&url, key(OPERATOR)).await.unwrap();
    let served = Arc::clone(&catalog);
    let (trouble, chain_trouble) = watch::channel(None);
    let parts =
        Parts { catalog, server, till, datanets, factory, chain: chain_client, chain_trouble, settlement, store, site };
    let gateway = Gateway::start(any_port(), parts).await.unwrap();
    tokio::spawn(worker.run(stopped));
    let at = format!("http://{}", gateway.address());
    (Running { ledger: books, trouble, catalog: served, gateway, _rpc: rpc, _chain: chain, _stop: stop }, at, url)
}

async fn start_chain(dir: &std::path::Path) -> (Chain, RpcServer) {
    let funds = U256::from(Wei::from_open(1_000_000).0);
    let operator = GenesisOperator {
        address: key(OPERATOR).address(),
        settler: Some(key(SETTLER).address()),
        bond_wei: Wei::from_open(1_000).0,
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let config = GenesisConfig {
        timestamp_s: now,
        prefund: (0..FUNDED).map(|index| (key(index).address(), funds)).collect(),
        operators: vec![operator],
        challenge_window_s: 1,
        ..GenesisConfig::dev(CHAIN_ID, key(GOVERNANCE).address())
    };
    let mut config = ChainConfig::new(dir.join("chain"), genesis(&config).unwrap());
    config.block_time_s = 0;
    // Epochs end by the chain's clock, which stands still between blocks.
    config.idle_block_s = 1;
    config.development = true;
    let chain = tokio::task::spawn_blocking(move || Chain::open(config)).await.unwrap().unwrap();
    let rpc = chain.serve(any_port()).await.unwrap();
    (chain, rpc)
}
