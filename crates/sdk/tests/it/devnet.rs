//! A chain in this process with the real contracts, and funded accounts.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::U256;
use alloy_signer_local::PrivateKeySigner;
use openledger_chain::{Chain, ChainConfig, RpcServer};
use openledger_contracts::genesis::{GenesisConfig, GenesisOperator, genesis};
use openledger_primitives::{B256, Wei};
use openledger_sdk::ChainClient;
use tempfile::TempDir;

pub const CHAIN_ID: u64 = 161_201;

/// Who is who; each starts with 1,000 OPEN.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    Governance = 1,
    Operator,
    Settler,
    Builder,
    Payer,
    Contributor,
}

const ROLES: [Role; 6] =
    [Role::Governance, Role::Operator, Role::Settler, Role::Builder, Role::Payer, Role::Contributor];

pub fn key(role: Role) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(role as u8)).unwrap()
}

pub struct Devnet {
    chain: Chain,
    rpc: RpcServer,
    pub dir: TempDir,
}

impl Devnet {
    pub async fn start() -> Self {
        Self::start_with(ChainConfig::instant).await
    }

    /// A chain that makes a block every so many seconds, whatever waits.
    pub async fn start_every(block_time_s: u64) -> Self {
        let pace = |mut config: ChainConfig| {
            config.block_time_s = block_time_s;
            config
        };
        Self::start_with(pace).await
    }

    async fn start_with(pace: impl FnOnce(ChainConfig) -> ChainConfig) -> Self {
        let funds = U256::from(Wei::from_open(1000).0);
        let operator = GenesisOperator {
            address: key(Role::Operator).address(),
            settler: Some(key(Role::Settler).address()),
            bond_wei: Wei::from_open(10).0,
        };
        let config = GenesisConfig {
            timestamp_s: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
            prefund: ROLES.map(|role| (key(role).address(), funds)).to_vec(),
            operators: vec![operator],
            ..GenesisConfig::dev(CHAIN_ID, key(Role::Governance).address())
        };
        let dir = tempfile::tempdir().unwrap();
        let chain = ChainConfig::new(dir.path().join("chain"), genesis(&config).unwrap());
        let chain = Chain::open(pace(chain)).unwrap();
        let rpc = chain.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        Self { chain, rpc, dir }
    }

    pub async fn client(&self, role: Role) -> ChainClient {
        ChainClient::connect(&self.rpc.http_url(), key(role)).await.unwrap()
    }

    /// Lets at least `seconds` pass on the chain. Blocks made at once are ahead of the clock, so that moving the clock
    /// once may not be enough.
    pub async fn pass(&self, seconds: u64) {
        let until = self.chain.head().timestamp + seconds;
        while self.chain.head().timestamp < until {
            self.chain.increase_time(until - self.chain.head().timestamp).unwrap();
            self.chain.mine().await.unwrap();
        }
    }
}
