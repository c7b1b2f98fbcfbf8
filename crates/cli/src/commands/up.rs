//! `openledger up`: a node that stays until it is told to stop.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use openledger_primitives::Wei;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::accounts;
use crate::args::UpOptions;
use crate::config::Config;
use crate::node::Node;
use crate::output::line;

/// Exit status after a second signal, as shells show an interrupted program's.
const ENDED_AT_ONCE: i32 = 130;

/// Runs `up`.
pub(crate) async fn run(options: UpOptions) -> Result<()> {
    let config = configure(&options, Config::load(&options.data_dir)?);
    let model = model_path(config.model.as_deref()).await?;
    let node = Node::start(&options.data_dir, &config, &model).await?;
    // Whoever reads the addresses may stop the node at once, so it listens for that before it names them.
    let mut stop = StopSignals::listen().context("could not listen for Ctrl-C and SIGTERM")?;
    announce(&node, &options.data_dir)?;
    stop.wait().await;
    line("stopping ... (again to end at once)");
    tokio::select! {
        () = node.shutdown() => line("stopped; everything acknowledged is on disk"),
        () = stop.wait() => {
            // Every part writes what it acknowledges before it does, so an end at once is an end like a crash.
            line("ended at once");
            std::process::exit(ENDED_AT_ONCE);
        }
    }
    Ok(())
}

/// Flag or environment, else what the file says, else the default.
pub(crate) fn configure(options: &UpOptions, file: Config) -> Config {
    let mut config = file;
    config.rpc_listen = options.rpc_listen.unwrap_or(config.rpc_listen);
    config.http_listen = options.http_listen.unwrap_or(config.http_listen);
    config.public_url = options.public_url.clone().or(config.public_url);
    if !options.hosts.is_empty() {
        config.hosts.clone_from(&options.hosts);
    }
    config.block_time_s = options.block_time_s.unwrap_or(config.block_time_s);
    config.model = options.model.clone().or(config.model);
    config
}

/// The model named, or the default one, pulled into the cache where `model pull` puts it too.
pub(crate) async fn model_path(named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => super::model::pull_default(&super::model::cache_folder()?).await,
    }
}

fn announce(node: &Node, data_dir: &Path) -> Result<()> {
    line("OpenLedger is up. Ctrl-C stops it.");
    line("");
    line(format_args!("  web app     {}   (open it in a browser)", node.gateway_url()));
    line(format_args!("  chain RPC   {}   (chain id {})", node.rpc_url(), crate::config::DEV_CHAIN_ID));
    line(format_args!("  gateway     {}   (OpenAI-compatible: {}/v1)", node.gateway_url(), node.gateway_url()));
    line(format_args!("  data        {}", data_dir.display()));
    line("");
    line(format_args!("  development accounts, from the mnemonic \"{}\":", accounts::MNEMONIC));
    for index in 0..accounts::FUNDED {
        let account = accounts::development(index)?;
        let key = alloy_primitives::hex::encode_prefixed(account.to_bytes());
        let funds = Wei::from_open(crate::node::DEV_FUNDS_OPEN).format_open();
        line(format_args!(
            "  {index}  {}  {key}  {funds} OPEN at genesis  {}",
            account.address(),
            accounts::purpose(index)
        ));
    }
    Ok(())
}

/// What stops a node.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
