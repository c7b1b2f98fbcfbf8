//! `openledger datanet`: pools of data, their contributions and snapshots.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use openledger_contracts::addresses::DATANET_REGISTRY;
use openledger_contracts::eip712::licence_hash;
use openledger_contracts::{DatanetParams, IDatanetRegistry, LicenceTerms};
use openledger_datanet::{AcceptReport, Format, IngestReport, Mapping, Upload, ingest_file};
use openledger_primitives::{B256, DatanetId, keccak256};
use openledger_sdk::{ChainClient, GatewayClient, GatewayError, UPLOAD_CHUNK_BYTES};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use super::chain::transaction;
use super::draft::Draft;
use super::model::plain;
use crate::args::{ContributeOptions, DatanetCommand, DatanetCreateOptions};
use crate::output::{self, Table, count, line, note};
use crate::pools::{Prepared, Taken};
use crate::progress::Progress;

/// Rejected rows and duplicates that are shown.
const SHOWN_MAX: usize = 10;
/// Datanets looked at, from the newest, for one that was created and not registered: one request each.
const LOOKED_AT_MAX: usize = 100;

/// Runs one of the commands.
pub(crate) async fn run(context: &Context, json: bool, command: DatanetCommand) -> Result<()> {
    match command {
        DatanetCommand::Create(options) => create(context, json, options).await,
        DatanetCommand::List => list(context, json).await,
        DatanetCommand::Contribute(options) if options.dry_run => preview(json, &options).await,
        DatanetCommand::Contribute(options) => contribute(context, json, &options).await,
        DatanetCommand::Snapshot { id, dry_run: true } => preview_snapshot(context, json, id).await,
        DatanetCommand::Snapshot { id, dry_run: false } => snapshot(context, json, id).await,
    }
}

async fn create(context: &Context, json: bool, options: DatanetCreateOptions) -> Result<()> {
    let (gateway, chain) = (context.gateway()?, context.chain().await?);
    let terms = json!({
        "commercial_use": options.commercial_use, "derivatives": options.derivatives, "attribution": true,
        "uri": options.licence_uri,
    });
    let params = params(&options);
    let begun = begun(&gateway, &chain, &params).await?;
    if options.dry_run {
        return preview_create(&chain, json, params, &terms, begun).await;
    }
    let (sent, id) = match begun {
        Some(id) => {
            note(format_args!("Datanet {id} is on chain already; the gateway takes note of it now"));
            (None, id)
        }
        None => {
            let (sent, id) = chain.datanets().create(params).await.context("could not create the Datanet")?;
            (Some(sent), id)
        }
    };
    let registered = gateway.post("v1/datanets", &json!({"id": id, "terms": terms})).await;
    let shown: Value = registered.with_context(|| {
        format!("Datanet {id} is on chain, but the gateway did not take note of it; the same command again tells it")
    })?;
    if json {
        return output::json(&json!({"datanet": shown, "transaction": sent.as_ref().map(transaction)}));
    }
    line(format_args!("Datanet {id} {:?}", options.name));
    line(format_args!("licence {}", plain(&shown["licence_hash"])));
    if let Some(sent) = sent {
        line(format_args!("transaction {} in block {}", sent.hash, sent.block));
    }
    Ok(())
}

/// What `create` would do.
async fn preview_create(
    chain: &ChainClient,
    json: bool,
    params: DatanetParams,
    terms: &Value,
    begun: Option<DatanetId>,
) -> Result<()> {
    let name = params.name.clone();
    if let Some(id) = begun {
        if json {
            return output::json(&json!({"dry_run": true, "datanet": id, "name": name, "terms": terms}));
        }
        line(format_args!("would have the gateway take note of Datanet {id}, which is on chain already"));
        return Ok(());
    }
    let call = IDatanetRegistry::createDatanetCall { params };
    let draft = Draft::call(format!("create the Datanet {name:?}"), DATANET_REGISTRY, &call);
    draft.show(chain, json!({"name": name, "terms": terms}), json).await
}

/// A Datanet that was created just so by the same account, and of which the gateway does not know: an earlier run ended
/// between the two. Of all Datanets the newest are looked at.
async fn begun(gateway: &GatewayClient, chain: &ChainClient, params: &DatanetParams) -> Result<Option<DatanetId>> {
    let licence = licence_hash(&params.terms);
    let newest = chain.datanets().count().await.context("could not read how many Datanets there are")?;
    for id in (1..=newest).rev().take(LOOKED_AT_MAX).map(DatanetId) {
        let found = chain.datanets().datanet(id).await.with_context(|| format!("could not read Datanet {id}"))?;
        let same = found.owner == chain.address() && found.name == params.name && found.licenceHash == licence;
        if same && !is_registered(gateway, id).await? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

async fn is_registered(gateway: &GatewayClient, id: DatanetId) -> Result<bool> {
    match gateway.get::<Value>(&format!("v1/datanets/{id}")).await {
        Ok(_) => Ok(true),
        Err(GatewayError::Refused { status: 404, .. }) => Ok(false),
        Err(error) => Err(error).context("could not ask the gateway for its Datanets"),
    }
}

fn params(options: &DatanetCreateOptions) -> DatanetParams {
    let terms = LicenceTerms {
        commercialUse: options.commercial_use,
        derivatives: options.derivatives,
        attribution: true,
        revenueFloorBps: 0,
        expiry: 0,
        uri: options.licence_uri.clone(),
    };
    DatanetParams { name: options.name.clone(), terms, acceptancePolicy: String::new(), curators: Vec::new() }
}

async fn list(context: &Context, json: bool) -> Result<()> {
    let gateway = context.gateway()?;
    let mut datanets: Vec<Value> = Vec::new();
    loop {
        let after = datanets.last().map_or(0, |datanet| datanet["id"].as_u64().unwrap_or(0));
        let page: Value =
            gateway.get(&format!("v1/datanets?after={after}")).await.context("could not list Datanets")?;
        match page["data"].as_array().filter(|data| !data.is_empty()) {
            Some(data) => datanets.extend(data.iter().cloned()),
            None => break,
        }
    }
    if json {
        return output::json(&json!({"data": datanets}));
    }
    let mut table = Table::new(["DATANET", "NAME", "OWNER", "COMMERCIAL USE", "DERIVATIVES"]);
    for datanet in &datanets {
        let terms = &datanet["terms"];
        table.row([
            plain(&datanet["id"]),
            plain(&datanet["name"]),
            plain(&datanet["owner"]),
            plain(&terms["commercial_use"]),
            plain(&terms["derivatives"]),
        ]);
    }
    table.print();
    Ok(())
}

/// Which columns make a record; `None` leaves it to the customary names.
fn mapping(options: &ContributeOptions) -> Result<Option<Mapping>> {
    match (options.prompt.clone(), options.response.clone()) {
        (Some(prompt), Some(response)) => Ok(Some(Mapping::Prompt { prompt, response })),
        (Some(text), None) => Ok(Some(Mapping::Text { text })),
        (None, None) => Ok(None),
        (None, Some(_)) => bail!("--response names a column, so --prompt must name one too"),
    }
}

/// The report on a file, made here: nothing leaves this machine.
async fn preview(json: bool, options: &ContributeOptions) -> Result<()> {
    let (path, mapping) = (options.file.clone(), mapping(options)?);
    let name = file_name(&path)?;
    let format = Format::from_name(&name)
        .with_context(|| format!("the name {name:?} does not say which format the file has"))?;
    let read = tokio::task::spawn_blocking(move || ingest_file(&path, format, mapping.as_ref()));
    let read = read.await.context("reading the file was interrupted")?;
    let report = read.with_context(|| format!("could not use {}", options.file.display()))?.report;
    let transactions = if report.accepted > 0 { vec!["commit", "reveal"] } else { Vec::new() };
    if json {
        return output::json(&json!({
            "dry_run": true, "datanet": options.id, "report": report, "transactions": transactions,
        }));
    }
    print_ingest(&report);
    line(format_args!(
        "would send {} transactions ({}); nothing was sent",
        transactions.len(),
        transactions.join(", ")
    ));
    Ok(())
}

fn print_ingest(report: &IngestReport) {
    line(format_args!(
        "{}: {} can become records, {} cannot",
        count(report.rows, "row"),
        report.accepted,
        report.rejected
    ));
    for rejection in report.rejections.iter().take(SHOWN_MAX) {
        line(format_args!("  {rejection}"));
    }
}

fn file_name(path: &Path) -> Result<String> {
    let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
    Ok(name.to_string_lossy().into_owned())
}

/// What the gateway makes of an upload.
#[derive(Debug, Deserialize)]
struct Made {
    batch: Prepared,
    preview: Preview,
}

/// Of a preview, what is shown here.
#[derive(Debug, Deserialize)]
struct Preview {
    report: IngestReport,
}

async fn contribute(context: &Context, json: bool, options: &ContributeOptions) -> Result<()> {
    let (gateway, chain) = (context.gateway()?, context.chain().await?);
    let mapping = mapping(options)?;
    let upload = upload(&gateway, &chain, options).await.context("could not upload")?;
    let prepare = json!({"upload": upload, "mapping": mapping});
    let made: Made = gateway.post(&format!("v1/datanets/{}/batches", options.id), &prepare).await?;
    if !json {
        print_ingest(&made.preview.report);
    }
    let accepted = commit_and_reveal(&gateway, &chain, options.id, &made.batch).await?;
    let Prepared { batch_root, record_count, commitment, .. } = made.batch;
    if json {
        return output::json(&json!({
            "datanet": options.id, "contributor": chain.address(), "commitment": commitment,
            "batch_root": batch_root, "record_count": record_count, "file": made.preview.report,
            "accepted": accepted,
        }));
    }
    line(format_args!("batch {commitment} of {record_count} records, root {batch_root}"));
    print_accepted(&accepted);
    Ok(())
}

/// Sends the file, from where an earlier attempt stopped; gives the upload's id.
async fn upload(gateway: &GatewayClient, chain: &ChainClient, options: &ContributeOptions) -> Result<B256> {
    let content = tokio::fs::read(&options.file).await;
    let content = content.with_context(|| format!("could not read {}", options.file.display()))?;
    let begin = json!({
        "contributor": chain.address(), "file_name": file_name(&options.file)?, "bytes": content.len(),
        "hash": keccak256(&content),
    });
    let begun: Upload = gateway.post(&format!("v1/datanets/{}/uploads", options.id), &begin).await?;
    let (id, total) = (begun.id, content.len() as u64);
    let mut progress = Progress::bytes("upload", total);
    let mut sent = begun.received_bytes;
    while sent < total {
        let end = (sent + UPLOAD_CHUNK_BYTES as u64).min(total);
        let until = usize::try_from(end).context("the file is larger than this machine's memory")?;
        sent = gateway.upload(&id.to_string(), &content[..until], sent).await?;
        progress.set(sent, total, "");
    }
    progress.finish(&format!("{total} bytes"));
    Ok(id)
}

/// Commits, signs the licence, reveals, and tells the gateway.
async fn commit_and_reveal(
    gateway: &GatewayClient,
    chain: &ChainClient,
    datanet: DatanetId,
    batch: &Prepared,
) -> Result<AcceptReport> {
    let mut progress = Progress::new("contribute", 3);
    chain.datanets().commit(datanet, batch.commitment).await.context("could not commit")?;
    progress.set(1, 3, "revealing");
    let consent = batch.reveal(chain, datanet).await?;
    progress.set(2, 3, "deduplicating");
    let report = batch.accept(gateway, &consent).await?;
    progress.finish(&format!("{} records accepted", report.accepted));
    Ok(report)
}

fn print_accepted(report: &AcceptReport) {
    line(format_args!("{} records accepted, {} refused as copies", report.accepted, report.duplicates.len()));
    for copy in report.duplicates.iter().take(SHOWN_MAX) {
        let percent = f64::from(copy.similarity_per_mille) / 10.0;
        line(format_args!(
            "  record {} says the same as one of {} ({percent} %)",
            copy.position + 1,
            copy.of_contributor
        ));
    }
}

async fn preview_snapshot(context: &Context, json: bool, datanet: DatanetId) -> Result<()> {
    let path = format!("v1/datanets/{datanet}/snapshots/preview");
    let preview: Value = context.gateway()?.get(&path).await.context("could not preview the snapshot")?;
    if json {
        return output::json(&json!({"dry_run": true, "snapshot": preview}));
    }
    line(match preview["is_new"].as_bool() {
        Some(false) => format!("would give snapshot {} again: nothing has changed since", plain(&preview["snapshot"])),
        _ => format!("would take snapshot {} of Datanet {datanet}; nothing was taken", plain(&preview["snapshot"])),
    });
    line(format_args!("  root          {}", plain(&preview["root"])));
    let contributors = count(preview["contributor_count"].as_u64().unwrap_or_default(), "contributor");
    line(format_args!("  records       {} from {contributors}", plain(&preview["record_count"])));
    let rows = |field: &str| preview[field].as_array().cloned().unwrap_or_default();
    for row in rows("contributors").iter().take(SHOWN_MAX) {
        line(format_args!("    {}  {}", plain(&row["account"]), plain(&row["records"])));
    }
    for row in rows("excluded") {
        line(format_args!("  left out      {} {}", plain(&row["records"]), exclusion(&plain(&row["why"]))));
    }
    for row in rows("named").iter().take(SHOWN_MAX) {
        line(format_args!("    {}  {}", plain(&row["record"]), plain(&row["reason"])));
    }
    Ok(())
}

/// A reason in words.
fn exclusion(why: &str) -> &str {
    match why {
        "duplicate" => "that an earlier record says",
        "revoked" => "that their contributors took back",
        "not_revealed" => "of batches that are committed and not revealed",
        "not_accepted" => "of batches that are revealed and not decided on",
        other => other,
    }
}

async fn snapshot(context: &Context, json: bool, datanet: DatanetId) -> Result<()> {
    let chain = context.chain().await?;
    let taken = Taken::take(&context.gateway()?, datanet).await?;
    let (sent, id) = taken.publish(&chain, datanet).await?;
    if json {
        return output::json(&json!({
            "datanet": datanet, "snapshot": id, "root": taken.root, "record_count": taken.record_count,
            "contributor_count": taken.contributor_count, "transaction": transaction(&sent),
        }));
    }
    line(format_args!("snapshot {id} of Datanet {datanet}, root {}", taken.root));
    line(format_args!(
        "{} from {}",
        count(taken.record_count, "record"),
        count(taken.contributor_count.into(), "contributor")
    ));
    line(format_args!("transaction {} in block {}", sent.hash, sent.block));
    Ok(())
}
