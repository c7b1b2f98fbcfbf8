//! Configuration of a node: flag > environment > file > default; unknown keys fail.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use openledger_gateway::PublicUrl;
use openledger_serve::ServeConfig;
use openledger_settlement::ledger::Retention;
use openledger_settlement::worker::EPOCHS_WAITING_MAX;
use serde::{Deserialize, Serialize};

/// Name of the configuration file inside a data directory.
pub(crate) const FILE_NAME: &str = "openledger.toml";
/// Chain id of a development network.
pub(crate) const DEV_CHAIN_ID: u64 = 161_201;

/// Everything a node can be told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where Ethereum JSON-RPC listens.
    pub(crate) rpc_listen: SocketAddr,
    /// Where the OpenAI-compatible API and the app API listen.
    pub(crate) http_listen: SocketAddr,
    /// The URL under which the gateway is reached from outside, where something stands before it. With https the
    /// session's cookie goes over TLS alone.
    pub(crate) public_url: Option<PublicUrl>,
    /// Further names, with their ports, under which the gateway is reached: sign-in messages may name them.
    pub(crate) hosts: Vec<String>,
    /// Seconds between blocks; 0 makes a block as soon as there is a transaction, and an empty one after two idle seconds.
    pub(crate) block_time_s: u64,
    /// The base model: a GGUF file or a folder with safetensors. Without it the default model is pulled.
    pub(crate) model: Option<PathBuf>,
    /// Seconds after which an epoch with receipts is closed and posted.
    pub(crate) epoch_seconds: u64,
    /// Receipts after which an epoch is closed at once.
    pub(crate) epoch_receipts_max: u64,
    /// Seconds in which a posted epoch can be challenged. Counts at the first start alone, when the network is made.
    pub(crate) challenge_window_s: u64,
    /// How long answers are kept for retries.
    pub(crate) retention: Retention,
    /// The model server.
    pub(crate) serve: ServeConfig,
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            rpc_listen: local(8545),
            http_listen: local(8080),
            public_url: None,
            hosts: Vec::new(),
            block_time_s: 2,
            model: None,
            epoch_seconds: 60,
            epoch_receipts_max: 10_000,
            challenge_window_s: 60,
            retention: Retention::default(),
            serve: ServeConfig::default(),
        }
    }
}

impl Config {
    /// The configuration file of `data_dir`, or the defaults where there is none.
    ///
    /// # Errors
    /// When the file cannot be read, is no TOML or has a key that does not exist.
    pub(crate) fn load(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(FILE_NAME);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let config: Self = toml::from_str(&text)
                    .with_context(|| format!("{} is not a valid configuration", path.display()))?;
                config.check().with_context(|| format!("{} is not a valid configuration", path.display()))?;
                Ok(config)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
        }
    }

    /// The hub lets so many epochs be pending at once and no more: steady traffic must not make more of them in a window.
    fn check(&self) -> Result<()> {
        let (window_s, epoch_s) = (self.challenge_window_s, self.epoch_seconds);
        let window_max_s = epoch_s.saturating_mul(EPOCHS_WAITING_MAX);
        ensure!(
            window_s <= window_max_s,
            "challenge_window_s is {window_s}, and with epoch_seconds = {epoch_s} at most {window_max_s} keeps up: no more \
             than {EPOCHS_WAITING_MAX} epochs can wait for their windows; make epochs longer or the window shorter"
        );
        Ok(())
    }
}
