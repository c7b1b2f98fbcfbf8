//! `openledger demo`: the whole loop on real data, over the same node, HTTP and JSON-RPC that anyone else uses.
//!
//! contribute -> snapshot -> train -> publish -> serve -> pay -> attribute -> settle -> claim -> verify

mod ask;
mod contribute;
mod fixture;
mod report;
mod settle;
mod tamper;
mod train;
mod verify;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use openledger_primitives::Wei;
use openledger_sdk::{ChainClient, GatewayClient};

use crate::accounts;
use crate::args::DemoOptions;
use crate::commands::up::{StopSignals, model_path};
use crate::config::Config;
use crate::demo::fixture::Fixture;
use crate::demo::report::Report;
use crate::node::{Node, any_port};
use crate::output::{line, note};

/// Seconds in which the demo's epoch can be challenged; a real chain takes days.
const CHALLENGE_WINDOW_S: u64 = 2;
/// Seconds between blocks.
const BLOCK_TIME_S: u64 = 1;
/// OPEN that stakers hold, so that their share has someone to go to.
const STAKE_OPEN: u64 = 1000;

/// Runs the demonstration.
pub(crate) async fn run(options: DemoOptions) -> Result<()> {
    let started = Instant::now();
    let model = model_path(options.model.as_deref()).await?;
    // Whoever stops the demonstration finds its folder gone all the same.
    let mut stop = StopSignals::listen().context("could not listen for Ctrl-C and SIGTERM")?;
    let temporary = tempfile::Builder::new().prefix("openledger-demo-").tempdir().context("no temporary folder")?;
    let data_dir = options.data_dir.as_deref().unwrap_or(temporary.path());
    let node = Node::start(data_dir, &config(), &model).await?;
    note(format_args!("node is up: chain RPC {}, gateway {}", node.rpc_url(), node.gateway_url()));
    let outcome = tokio::select! {
        outcome = Demo::run_on(&node) => outcome,
        () = stop.wait() => Err(anyhow!("the demonstration was stopped")),
    };
    let blocks = node.blocks();
    node.shutdown().await;
    let mut report = outcome?;
    report.blocks = blocks;
    report.wall_s = started.elapsed().as_secs_f64();
    report.print();
    if let Some(path) = &options.json {
        write_json(path, &report)?;
        line(format_args!("  {:<12} {}", "written", path.display()));
    }
    report.check()
}

fn config() -> Config {
    Config {
        rpc_listen: any_port(),
        http_listen: any_port(),
        block_time_s: BLOCK_TIME_S,
        challenge_window_s: CHALLENGE_WINDOW_S,
        // The demo seals its epoch itself, when its questions are answered.
        epoch_seconds: 3600,
        ..Config::default()
    }
}

fn write_json(path: &Path, report: &Report) -> Result<()> {
    let text = serde_json::to_string_pretty(report).context("could not write the report as JSON")?;
    std::fs::write(path, text + "\n").with_context(|| format!("could not write {}", path.display()))
}

/// Who takes part, and what they talk to.
struct Demo<'n> {
    node: &'n Node,
    fixture: Fixture,
    /// The model builder, who also owns the Datanet.
    builder: ChainClient,
    /// The app developer, who pays.
    payer: ChainClient,
    gateway: GatewayClient,
}

impl<'n> Demo<'n> {
    async fn new(node: &'n Node) -> Result<Self> {
        let connect = async |index| -> Result<ChainClient> {
            Ok(ChainClient::connect(&node.rpc_url(), accounts::development(index)?).await?)
        };
        Ok(Self {
            node,
            fixture: Fixture::load()?,
            builder: connect(accounts::BUILDER).await?,
            payer: connect(accounts::PAYER).await?,
            gateway: GatewayClient::new(&node.gateway_url())?,
        })
    }

    async fn run_on(node: &'n Node) -> Result<Report> {
        Self::new(node).await?.run().await
    }

    async fn run(&self) -> Result<Report> {
        let mut report = Report::default();
        let governance = self.payer.with_signer(accounts::development(accounts::GOVERNANCE)?);
        governance.stakers().stake(Wei::from_open(STAKE_OPEN)).await.context("could not stake")?;
        let snapshots = self.contribute(&mut report).await.context("contributing failed")?;
        self.train(&snapshots, &mut report).await.context("training failed")?;
        let answers = self.ask(&mut report).await.context("asking failed")?;
        self.settle(&mut report).await.context("settling failed")?;
        self.verify(&answers, &mut report).await.context("verifying failed")?;
        Ok(report)
    }
}
