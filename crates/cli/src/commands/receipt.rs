//! `openledger receipt`: receipts of answers, shown and checked.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use openledger_contracts::{EpochStatus, Receipt, Share};
use openledger_datanet::{DATANET_SCHEMA, Snapshot};
use openledger_engine::Model;
use openledger_gateway::catalog::{Catalog, GATEWAY_SCHEMA};
use openledger_gateway::replay::Replayer;
use openledger_primitives::{B256, ModelId, ReceiptHash, Wei};
use openledger_sdk::ChainClient;
use openledger_serve::{ServeConfig, Server};
use openledger_settlement::epoch::EpochContext;
use openledger_settlement::ledger::SETTLEMENT_SCHEMA;
use openledger_settlement::split::{Weighted, merge_weights};
use openledger_settlement::verify::{
    Check, Disclosure, Inclusion, PostedEpoch, PublishedTerms, ReceiptBundle, Stage, VerifyReport, unknown_model,
    verify_disclosure, verify_posted, verify_receipt, verify_replay,
};
use openledger_store::{OpenStoreError, Store};
use openledger_train::TRAIN_SCHEMA;
use serde_json::json;

use super::Context;
use super::evidence::Evidence;
use super::up::model_path;
use crate::args::ReceiptCommand;
use crate::config::{Config, DEV_CHAIN_ID};
use crate::output::{self, CHECK_FAILED, Table, line, note};

/// Runs one of the commands.
pub(crate) async fn run(context: &Context, json: bool, command: ReceiptCommand) -> Result<ExitCode> {
    match command {
        ReceiptCommand::Show { hash } => show(context, json, hash).await,
        ReceiptCommand::Verify { receipt, replay, data_dir, model } => {
            let gathered = gather(context, &receipt).await?;
            let mut report = check(context, &gathered).await;
            if let Some(disclosure) = gathered.disclosure.as_ref().filter(|_| !replay) {
                report.extend(verify_disclosure(&gathered.bundle.receipt.receipt, disclosure));
            }
            let replayed = match replay {
                true => replay_evidence(&gathered, &data_dir, model).await,
                false => Ok(VerifyReport::default()),
            };
            match replayed {
                Ok(further) => report.extend(further),
                Err(error) => return unreplayed(report, json, error),
            }
            conclude(&report, json)
        }
    }
}

async fn show(context: &Context, json: bool, hash: ReceiptHash) -> Result<ExitCode> {
    let bundle = context.gateway()?.receipt(hash).await.context("could not fetch the receipt")?;
    if json {
        output::json(&bundle)?;
    } else {
        print_receipt(hash, &bundle);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_receipt(hash: ReceiptHash, bundle: &ReceiptBundle) {
    let receipt = &bundle.receipt.receipt;
    let closed = if bundle.inclusion.is_some() { "closed" } else { "open" };
    line(format_args!("receipt   {hash}"));
    line(format_args!("epoch     {} ({closed}), number {} of all receipts", receipt.epoch, receipt.sequence));
    line(format_args!("operator  {}", receipt.operator));
    line(format_args!("payer     {}", receipt.payer));
    line(format_args!("model     {}", receipt.modelId));
    line(format_args!("tokens    {} in, {} out", receipt.tokensIn, receipt.tokensOut));
    line(format_args!("fee       {} OPEN", Wei(receipt.fee).format_open()));
    line("");
    print_split(receipt);
    for (pool, shares) in [("influence", &receipt.influence), ("provenance", &receipt.provenance)] {
        print_shares(pool, shares);
    }
}

fn print_split(receipt: &Receipt) {
    let split = &receipt.split;
    let mut table = Table::new(["PART", "OPEN"]);
    for (part, amount) in [
        ("burned", split.burn),
        ("operator", split.operatorShare),
        ("builder", split.builder),
        ("parents", split.parents),
        ("stakers", split.stakers),
        ("influence", split.influence),
        ("provenance", split.provenance),
    ] {
        table.row([part.to_owned(), Wei(amount).format_open()]);
    }
    table.print();
}

fn print_shares(pool: &str, shares: &[Share]) {
    line("");
    if shares.is_empty() {
        return line(format_args!("{pool}: to the Datanet's reserve"));
    }
    let mut table = Table::new([pool.to_uppercase().as_str(), "WEIGHT"]);
    for share in shares {
        table.row([share.contributor.to_string(), share.weight.to_string()]);
    }
    table.print();
}

/// What there is to check with.
struct Gathered {
    bundle: ReceiptBundle,
    /// Only the payer's file has it.
    disclosure: Option<Disclosure>,
    /// The hash asked for, where the gateway was asked.
    asked: Option<ReceiptHash>,
}

/// From the gateway by hash, or from a file.
async fn gather(context: &Context, receipt: &str) -> Result<Gathered> {
    if let Ok(hash) = receipt.parse::<ReceiptHash>() {
        let bundle = context.gateway()?.receipt(hash).await.context("could not fetch the receipt")?;
        return Ok(Gathered { bundle, disclosure: None, asked: Some(hash) });
    }
    let mut evidence = Evidence::read(Path::new(receipt))?;
    if evidence.bundle.inclusion.is_none() {
        evidence.bundle.inclusion = newer_inclusion(context, evidence.bundle.receipt.hash()).await;
    }
    Ok(Gathered { bundle: evidence.bundle, disclosure: Some(evidence.disclosure), asked: None })
}

/// The epoch may have closed since the file was written.
async fn newer_inclusion(context: &Context, receipt: ReceiptHash) -> Option<Inclusion> {
    let newer = match context.gateway() {
        Ok(gateway) => gateway.receipt(receipt).await.map_err(anyhow::Error::new),
        Err(error) => Err(error),
    };
    match newer {
        Ok(bundle) => bundle.inclusion,
        Err(error) => {
            note(format_args!("could not ask the gateway whether the receipt's epoch has closed: {error:#}"));
            None
        }
    }
}

/// Every check that needs no model.
async fn check(context: &Context, gathered: &Gathered) -> VerifyReport {
    let bundle = &gathered.bundle;
    let chain = match context.chain().await {
        Ok(chain) => Some(chain),
        Err(error) => {
            note(format_args!("checking without the chain: {error:#}"));
            None
        }
    };
    let chain_id = chain.as_ref().map_or(DEV_CHAIN_ID, ChainClient::chain_id);
    let terms = match &chain {
        Some(chain) => published_terms(chain, &bundle.receipt.receipt).await,
        None => Terms::Unread,
    };
    let paid_by = match &chain {
        Some(chain) => paid_by(context, chain, &bundle.receipt.receipt).await,
        None => EpochContext::default(),
    };
    let published = if let Terms::Published(published) = &terms { Some(published) } else { None };
    let mut report = verify_receipt(bundle, chain_id, published, Some(&paid_by));
    if matches!(terms, Terms::UnknownModel) {
        report.missing.retain(|gap| !gap.starts_with("terms:"));
        report.checks.push(unknown_model(&bundle.receipt.receipt));
    }
    if let Some(asked) = gathered.asked {
        report.checks.push(compare(
            Stage::Signature,
            "receipt-hash",
            asked.to_string(),
            bundle.receipt.hash().to_string(),
        ));
    }
    if let Some(chain) = &chain {
        check_posted(chain, bundle, &mut report).await;
    }
    report
}

/// What the registry on chain holds of a receipt's model.
enum Terms {
    /// It could not be asked.
    Unread,
    /// It does not know the model: nobody published what the receipt charges for.
    UnknownModel,
    Published(PublishedTerms),
}

async fn published_terms(chain: &ChainClient, receipt: &Receipt) -> Terms {
    match chain.models().terms(ModelId(receipt.modelId)).await {
        Ok(Some(terms)) => Terms::Published(terms),
        Ok(None) => Terms::UnknownModel,
        Err(error) => {
            note(format_args!("could not read the model's terms: {error}"));
            Terms::Unread
        }
    }
}

/// By what parts are paid that the receipt does not name: the builders of the model's parents as the registry on chain
/// has them, and the records of its snapshots. What cannot be read is left out, and the report says so.
async fn paid_by(context: &Context, chain: &ChainClient, receipt: &Receipt) -> EpochContext {
    let mut paid_by = EpochContext::default();
    let model = ModelId(receipt.modelId);
    if receipt.split.parents > 0 {
        match chain.models().parent_builders(model).await {
            Ok(builders) => drop(paid_by.parents.insert(model, builders)),
            Err(error) => note(format_args!("could not read the builders of the model's parents: {error}")),
        }
    }
    let to_reserve = [(receipt.split.influence, &receipt.influence), (receipt.split.provenance, &receipt.provenance)]
        .into_iter()
        .any(|(pool, shares)| pool > 0 && shares.is_empty());
    for &root in receipt.snapshotRoots.iter().filter(|_| to_reserve) {
        match accepted_records(context, root).await {
            Ok(records) => drop(paid_by.reserves.insert(root, records)),
            Err(error) => note(format_args!("could not read whose records snapshot {root} holds: {error:#}")),
        }
    }
    paid_by
}

/// Accepted records of a snapshot by contributor, from a body that has its root.
async fn accepted_records(context: &Context, root: B256) -> Result<Vec<Weighted>> {
    let body = context.gateway()?.snapshot_body(root).await?;
    let snapshot = Snapshot::from_body(&body).context("the gateway gave something else")?;
    ensure!(snapshot.root() == root, "the list that the gateway gives has another root: {}", snapshot.root());
    let entries = snapshot.entries.iter().map(|entry| Weighted { account: entry.contributor, weight: 1 });
    Ok(merge_weights(entries)?)
}

/// The tree that the receipt is proved in must be the one that its operator posted.
async fn check_posted(chain: &ChainClient, bundle: &ReceiptBundle, report: &mut VerifyReport) {
    if bundle.inclusion.is_none() {
        return;
    }
    match chain.hub().posted_epoch(bundle.receipt.receipt.epoch).await {
        Ok(posted) if posted.status != EpochStatus::None => {
            let (receipts_root, receipt_count) = (posted.receiptsRoot, posted.receiptCount);
            let posted = PostedEpoch { receipts_root, receipt_count, operator: posted.operator };
            report.extend(verify_posted(bundle, &posted));
        }
        Ok(_) => report.missing.push("posted-root: the receipt's epoch is not posted on chain yet".to_owned()),
        Err(error) => report.missing.push(format!("posted-root: {error}")),
    }
}

fn compare(stage: Stage, name: &str, expected: String, found: String) -> Check {
    Check { name: name.to_owned(), stage, passed: expected == found, expected, found }
}

async fn replay_evidence(gathered: &Gathered, data_dir: &Path, model: Option<PathBuf>) -> Result<VerifyReport> {
    let disclosure = gathered.disclosure.clone();
    let disclosure = disclosure.context(
        "a replay needs the request and the answer, which only the payer has: name a file that `chat --save` or the web \
         app wrote",
    )?;
    ensure!(data_dir.join("FORMAT").is_file(), "{} is not the data directory of a node", data_dir.display());
    let store = open_store(data_dir)?;
    let config = Config::load(data_dir)?;
    let model = model_path(model.or(config.model).as_deref()).await?;
    let receipt = gathered.bundle.receipt.receipt.clone();
    note("running the model again ...");
    let data_dir = data_dir.to_owned();
    let work = move || replay(store, &data_dir, config.serve, &model, &receipt, &disclosure);
    tokio::task::spawn_blocking(work).await.context("the replay died")?
}

fn open_store(data_dir: &Path) -> Result<Store> {
    let schemas = [DATANET_SCHEMA, TRAIN_SCHEMA, SETTLEMENT_SCHEMA, GATEWAY_SCHEMA];
    match Store::open(data_dir.join("store"), &schemas) {
        Err(error @ OpenStoreError::Locked { .. }) => {
            bail!("{error}: stop the node for a replay, or verify without --replay")
        }
        opened => opened.with_context(|| format!("could not open the store in {}", data_dir.display())),
    }
}

/// Runs the request again, with models and indexes as the node keeps them.
fn replay(
    store: Store,
    data_dir: &Path,
    serve: ServeConfig,
    model: &Path,
    receipt: &Receipt,
    disclosure: &Disclosure,
) -> Result<VerifyReport> {
    let threads = serve.threads;
    let base = Model::open(model).with_context(|| format!("could not open the model {}", model.display()))?;
    let server = Server::start(base.clone(), serve).context("could not start the model server")?;
    let catalog =
        Catalog::open(base, "base", store, &server, data_dir).context("could not read the published models")?;
    let mut replayer = Replayer::new(Arc::new(catalog), threads);
    let report = verify_replay(receipt, disclosure, &mut replayer).context("the replay could not run");
    server.shutdown();
    report
}

/// A replay that could not run fails the command, but not before it has said what was checked without one.
fn unreplayed(mut report: VerifyReport, json: bool, error: anyhow::Error) -> Result<ExitCode> {
    report.missing.push(format!("replay: {error:#}"));
    conclude(&report, json)?;
    Err(error)
}

/// Prints the findings; the exit code says whether all of them are good.
fn conclude(report: &VerifyReport, json: bool) -> Result<ExitCode> {
    if json {
        let (passed, fault) = (report.passed(), report.first_fault());
        output::json(&json!({
            "passed": passed, "first_fault": fault, "checks": report.checks, "missing": report.missing,
        }))?;
    } else {
        print_report(report);
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(CHECK_FAILED) })
}

fn print_report(report: &VerifyReport) {
    let mut table = Table::new(["STAGE", "CHECK", "RESULT"]);
    for check in &report.checks {
        let result = if check.passed { "holds" } else { "DIFFERS" };
        table.row([check.stage.to_string(), check.name.clone(), result.to_owned()]);
    }
    table.print();
    for missing in &report.missing {
        line(format_args!("not checked: {missing}"));
    }
    line("");
    match report.first_fault() {
        None => line(format_args!("all {} checks hold", report.checks.len())),
        Some(fault) => {
            line(format_args!("first fault: {} ({})", fault.name, fault.stage));
            line(format_args!("  recomputed  {}", fault.expected));
            line(format_args!("  claimed     {}", fault.found));
        }
    }
}
