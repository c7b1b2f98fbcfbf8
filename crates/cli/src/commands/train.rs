//! `openledger train`: recipes, fine-tuning jobs and the models that they make.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use openledger_contracts::addresses::MODEL_REGISTRY;
use openledger_contracts::{IModelRegistry, ModelParams, SolValue as _};
use openledger_primitives::{B256, Bytes, DatanetId, ModelId, SnapshotId, Wei};
use openledger_sdk::{ChainClient, GatewayClient, SentTransaction};
use openledger_settlement::split::BPS_WHOLE;
use openledger_train::{
    EncodeReport, Estimate, Evaluation, Happening, JobId, JobState, Moment, Preset, Price, Recipe, RecordBody,
    SnapshotRef, Terms,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use super::chain::transaction;
use super::draft::Draft;
use super::model::plain;
use crate::args::{RecipeOptions, RecipePreset, TrainCommand, TrainStartOptions};
use crate::jobs::{self, phase_name};
use crate::output::{self, Table, line, note};
use crate::progress::Progress;

/// Refused records that are shown.
const SHOWN_MAX: usize = 10;

/// Runs one of the commands.
pub(crate) async fn run(context: &Context, json: bool, command: TrainCommand) -> Result<()> {
    match command {
        TrainCommand::Recipe(options) => recipe(context, &options).await,
        TrainCommand::Start(options) => start(context, json, &options).await,
        TrainCommand::Status { id } => status(context, json, id).await,
        TrainCommand::Cancel { id } => cancel(context, json, id).await,
        TrainCommand::Publish { id, name, dry_run } => publish(context, json, id, &name, dry_run).await,
    }
}

/// A preset recipe on the newest snapshot of each Datanet, to be edited and started.
async fn recipe(context: &Context, options: &RecipeOptions) -> Result<()> {
    let gateway = context.gateway()?;
    let status: Value = gateway.get("v1/status").await.context("could not ask the gateway for its base model")?;
    let base: B256 =
        serde_json::from_value(status["base_model"]["hash"].clone()).context("the gateway names no base model")?;
    let mut snapshots = Vec::new();
    for datanet in &options.datanet {
        snapshots.push(newest_snapshot(&gateway, *datanet).await?);
    }
    let preset = match options.preset {
        RecipePreset::Quick => Preset::Quick,
        RecipePreset::Standard => Preset::Standard,
        RecipePreset::Thorough => Preset::Thorough,
    };
    let mut recipe = Recipe::preset(preset, &options.name, base, snapshots);
    recipe.system_prompt.clone_from(&options.system_prompt);
    recipe.validate().context("these values make no recipe")?;
    output::json(&recipe)
}

/// A snapshot in the gateway's listing.
#[derive(Debug, Deserialize)]
struct Listed {
    snapshot: SnapshotId,
    root: B256,
}

/// The gateway lists one snapshot at a time, in order.
async fn newest_snapshot(gateway: &GatewayClient, datanet: DatanetId) -> Result<SnapshotRef> {
    #[derive(Deserialize)]
    struct Page {
        data: Vec<Listed>,
    }
    let mut newest: Option<Listed> = None;
    loop {
        let after = newest.as_ref().map_or(0, |listed| listed.snapshot.0);
        let page: Page = gateway.get(&format!("v1/datanets/{datanet}/snapshots?after={after}")).await?;
        match page.data.into_iter().next_back() {
            Some(next) => newest = Some(next),
            None => break,
        }
    }
    let Listed { snapshot, root } = newest
        .with_context(|| format!("Datanet {datanet} has no snapshot; `openledger datanet snapshot` takes one"))?;
    Ok(SnapshotRef { datanet, snapshot, root })
}

/// What the gateway is sent to estimate or start a job.
fn submission(options: &TrainStartOptions) -> Result<Value> {
    let path = &options.recipe;
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    let recipe: Recipe = serde_json::from_str(&text).with_context(|| format!("{} is not a recipe", path.display()))?;
    recipe.validate().with_context(|| format!("{} is not a usable recipe", path.display()))?;
    let held_out = options.held_out.as_deref().map(read_held_out).transpose()?.unwrap_or_default();
    let price = Price {
        input_wei: Wei::parse_open(&options.price_in).context("--price-in is not an amount of OPEN")?,
        output_wei: Wei::parse_open(&options.price_out).context("--price-out is not an amount of OPEN")?,
    };
    Ok(json!({"recipe": recipe, "terms": Terms { parents: options.parent.clone(), price }, "held_out": held_out}))
}

/// Records to measure with, one JSON object a line.
fn read_held_out(path: &Path) -> Result<Vec<RecordBody>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |(at, line)| serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), at + 1));
    lines.map(parse).collect()
}

async fn start(context: &Context, json: bool, options: &TrainStartOptions) -> Result<()> {
    let gateway = context.gateway()?;
    let submission = submission(options)?;
    if options.dry_run {
        return estimate(&gateway, json, &submission).await;
    }
    let job: Value = gateway.post("v1/fine_tuning/jobs", &submission).await.context("could not start the job")?;
    let id: JobId = serde_json::from_value(job["id"].clone()).context("the gateway gave no job id")?;
    if options.detach {
        if json {
            return output::json(&job);
        }
        line(format_args!("job {id} is {}", plain(&job["state"])));
        return Ok(());
    }
    note(format_args!("job {id}; it goes on without this program, `openledger train status {id}` shows it"));
    let outcome = follow(&gateway, id).await?;
    if json { output::json(&outcome.to_json(id)) } else { outcome.print(id) }
}

/// What a job would take.
#[derive(Debug, Deserialize, serde::Serialize)]
struct Expected {
    records: EncodeReport,
    estimate: Estimate,
}

async fn estimate(gateway: &GatewayClient, json: bool, submission: &Value) -> Result<()> {
    let expected = gateway.post("v1/fine_tuning/estimate", submission).await;
    let expected: Expected = expected.context("this job could not be started")?;
    if json {
        return output::json(&expected);
    }
    let Expected { records, estimate } = &expected;
    line("would train; nothing was started");
    line(format_args!(
        "  records     {} train, {} of them cut off, {} refused",
        records.used, records.truncated, records.refused
    ));
    for refusal in records.refusals.iter().take(SHOWN_MAX) {
        line(format_args!("    {}", serde_json::to_string(refusal).context("a refusal has a JSON form")?));
    }
    line(format_args!("  steps       {} over {} tokens", estimate.steps, estimate.tokens));
    line(format_args!("  parameters  {}", estimate.parameters));
    line(format_args!("  time        {:.0} s of training, {:.0} s of indexing", estimate.train_s, estimate.index_s));
    if let Some(speed) = &estimate.speed {
        let from = match speed.jobs {
            0 => "one short step here; no job has ended yet".to_owned(),
            1 => "the job that ended here".to_owned(),
            jobs => format!("{jobs} jobs that ended here"),
        };
        line(format_args!(
            "  speed       {:.0} tokens a second of training, {:.0} of indexing, measured on {from}",
            speed.train_tokens_per_s, speed.index_tokens_per_s
        ));
    }
    line(format_args!("  memory      {} MB beside the base model", estimate.memory_bytes.div_ceil(1_000_000)));
    line(format_args!("  disk        {} MB", estimate.disk_bytes.div_ceil(1_000_000)));
    Ok(())
}

/// What came of a job.
#[derive(Debug, Default)]
struct Outcome {
    steps: u64,
    loss: f64,
    tokens: u64,
    seconds: f64,
    base: Option<Evaluation>,
    tuned: Option<Evaluation>,
}

/// Shows a job's progress until it ends.
async fn follow(gateway: &GatewayClient, id: JobId) -> Result<Outcome> {
    let (mut outcome, mut progress) = (Outcome::default(), Progress::new("train", 1));
    jobs::follow(gateway, id, |happening| outcome.take(happening, &mut progress)).await?;
    progress.finish(&format!("{} steps, {:.0} tokens/s", outcome.steps, outcome.tokens_per_s()));
    Ok(outcome)
}

impl Outcome {
    fn take(&mut self, happening: Happening, progress: &mut Progress) {
        match happening {
            Happening::Phase { phase } => progress.set(0, 1, phase_name(phase)),
            Happening::Step(step) => {
                (self.steps, self.loss) = (step.step, step.loss);
                self.tokens += step.tokens;
                self.seconds += step.seconds;
                let detail = format!("loss {:.3}, {:.0} tokens/s", step.loss, self.tokens_per_s());
                progress.set(step.step, step.steps, &detail);
            }
            Happening::Evaluated { moment: Moment::Base, evaluation, .. } => self.base = Some(evaluation),
            Happening::Evaluated { moment: Moment::Tuned, evaluation, .. } => self.tuned = Some(evaluation),
            Happening::Indexed { done, total } => progress.set(done, total, "gradients indexed"),
            _ => {}
        }
    }

    fn tokens_per_s(&self) -> f64 {
        self.tokens as f64 / self.seconds.max(1e-9)
    }

    fn to_json(&self, id: JobId) -> Value {
        json!({
            "job": id, "state": JobState::Done, "steps": self.steps, "last_loss": self.loss, "tokens": self.tokens,
            "tokens_per_s": self.tokens_per_s(), "base": self.base, "tuned": self.tuned,
        })
    }

    fn print(&self, id: JobId) -> Result<()> {
        line(format_args!("job {id} is done after {} steps; the last batch's loss was {:.3}", self.steps, self.loss));
        for (name, evaluation) in [("base", &self.base), ("tuned", &self.tuned)] {
            let Some(evaluation) = evaluation else { continue };
            let accuracy =
                evaluation.accuracy().map(|share| format!(", {:.1} % exact", share * 100.0)).unwrap_or_default();
            line(format_args!(
                "  {name:<5}  loss {:.3} on {} held-out records{accuracy}",
                evaluation.loss, evaluation.records
            ));
        }
        Ok(())
    }
}

async fn status(context: &Context, json: bool, id: Option<JobId>) -> Result<()> {
    let gateway = context.gateway()?;
    let jobs: Vec<Value> = match id {
        Some(id) => vec![gateway.get(&format!("v1/fine_tuning/jobs/{id}")).await?],
        None => gateway.get::<openledger_sdk::api::Listing<Value>>("v1/fine_tuning/jobs").await?.data,
    };
    if json {
        return if id.is_some() { output::json(&jobs[0]) } else { output::json(&json!({"data": jobs})) };
    }
    let mut table = Table::new(["JOB", "NAME", "STATE", "STEP", "STEPS", "ERROR"]);
    for job in &jobs {
        let cell = |pointer: &str| plain(job.pointer(pointer).unwrap_or(&Value::Null));
        table.row(["/id", "/recipe/name", "/state", "/step", "/steps", "/error"].map(cell));
    }
    table.print();
    Ok(())
}

async fn cancel(context: &Context, json: bool, id: JobId) -> Result<()> {
    let path = format!("v1/fine_tuning/jobs/{id}/cancel");
    let job: Value = context.gateway()?.post(&path, &json!({})).await.context("could not stop the job")?;
    if json {
        return output::json(&job);
    }
    // A running job stops at its next step.
    let state = if job["state"] == "running" { "stopping".to_owned() } else { plain(&job["state"]) };
    line(format_args!("job {id} is {state}"));
    Ok(())
}

async fn publish(context: &Context, json: bool, id: JobId, name: &str, dry_run: bool) -> Result<()> {
    let (gateway, chain) = (context.gateway()?, context.chain().await?);
    let draft = gateway.model_draft(id, name).await.with_context(|| format!("job {id} cannot be published"))?;
    let params = drafted(&draft, name)?;
    let fees = fees(&params);
    if dry_run {
        if !json {
            line(&fees);
        }
        let call = IModelRegistry::publishCall { params };
        let draft_call = Draft::call(format!("publish the model {name:?}"), MODEL_REGISTRY, &call);
        return draft_call.show(&chain, draft, json).await;
    }
    note(&fees);
    let (sent, model, name) = on_chain(&chain, params).await?;
    let body = json!({"name": name, "builder": chain.address()});
    let served = gateway.post(&format!("v1/fine_tuning/jobs/{id}/model"), &body).await;
    let served: Value =
        served.with_context(|| format!("model {model} is on chain, but the gateway does not serve it"))?;
    if json {
        let sent = sent.as_ref().map(transaction);
        return output::json(&json!({"model_id": model, "model": served["model"], "transaction": sent}));
    }
    line(format_args!("model {name:?} is {model}"));
    match sent {
        Some(sent) => line(format_args!("transaction {} in block {}", sent.hash, sent.block)),
        None => line("it stood on chain already; now it is served"),
    }
    Ok(())
}

/// The parameters that a gateway drafted, which are signed as they are: so they must be for the name that was given.
pub(crate) fn drafted(draft: &Value, name: &str) -> Result<ModelParams> {
    let abi: Bytes = serde_json::from_value(draft["abi"].clone()).context("the gateway gave no parameters")?;
    let params = ModelParams::abi_decode(&abi).context("the gateway's parameters are malformed")?;
    ensure!(params.name == name, "the gateway drafted the name {:?}, not {name:?}; nothing was signed", params.name);
    Ok(params)
}

/// Publishes a model, unless it stands on chain already: where the gateway was not told of it then, it is now. Gives the
/// name that it has there.
async fn on_chain(chain: &ChainClient, params: ModelParams) -> Result<(Option<SentTransaction>, ModelId, String)> {
    let (models, name) = (chain.models(), params.name.clone());
    let model = models.id_of(chain.address(), params.manifestHash).await.context("could not ask the registry")?;
    if models.is_published(model).await.context("could not ask the registry")? {
        let published = models.model(model).await.context("could not ask the registry")?;
        return Ok((None, model, published.name));
    }
    let (sent, model) = models.publish(params).await.context("could not publish")?;
    Ok((Some(sent), model, name))
}

/// Who gets which part of each fee, which the builder signs.
fn fees(params: &ModelParams) -> String {
    let split = &params.split;
    let named = [
        (split.operatorBps, "to the operator"),
        (split.builder, "to the builder"),
        (split.parents, "to the builders of its parents"),
        (split.stakers, "to stakers"),
        (split.burn, "burned"),
    ];
    let data = named.iter().fold(BPS_WHOLE, |rest, (bps, _)| rest.saturating_sub(*bps));
    let parts = [(data, "to the data's contributors")].into_iter().chain(named).filter(|(bps, _)| *bps > 0);
    let parts: Vec<String> = parts.map(|(bps, whom)| format!("{} % {whom}", f64::from(bps) / 100.0)).collect();
    format!("of each fee: {}", parts.join(", "))
}
