//! `openledger model`: base models on this machine and models that the gateway serves.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use openledger_engine::Model;
use openledger_engine::pull::{self, DEFAULT_MODEL, HUB_VARIABLE, PullEvent, PullSource, PulledModel};
use serde_json::{Value, json};

use super::Context;
use crate::args::ModelCommand;
use crate::output::{self, Table, line, note};
use crate::progress::Progress;

/// Runs one of the commands.
pub(crate) async fn run(context: &Context, json: bool, command: ModelCommand) -> Result<()> {
    match command {
        ModelCommand::Pull { name, url, file, sha256 } => {
            let pulled = pull_checked(source(name, url, file, sha256.clone()), sha256.as_deref()).await?;
            show_pulled(&pulled, json)
        }
        ModelCommand::Show { path } => show(&path, json).await,
        ModelCommand::List => list(context, json).await,
    }
}

/// Puts the default model into `folder`, unless it is there, and says where it is.
pub(crate) async fn pull_default(folder: &Path) -> Result<PathBuf> {
    Ok(pull_into(PullSource::default_model(), folder.to_owned()).await?.path)
}

/// Where models are kept that belong to no data directory.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let cache = cache.context("neither XDG_CACHE_HOME nor HOME is set, so there is no folder to keep models in")?;
    Ok(cache.join("openledger").join("models"))
}

fn source(name: String, url: Option<String>, file: Option<PathBuf>, sha256: Option<String>) -> PullSource {
    match (file, url) {
        (Some(file), _) => PullSource::File(file),
        (None, Some(url)) => PullSource::Url { url, sha256 },
        (None, None) if name == DEFAULT_MODEL => PullSource::default_model(),
        (None, None) => PullSource::Named { name, hub: std::env::var(HUB_VARIABLE).ok().filter(|hub| !hub.is_empty()) },
    }
}

async fn pull_checked(source: PullSource, sha256: Option<&str>) -> Result<PulledModel> {
    let pulled = pull_into(source, cache_folder()?).await?;
    if let Some(expected) = sha256 {
        let (path, found) = (pulled.path.display(), &pulled.sha256);
        ensure!(expected.eq_ignore_ascii_case(found), "{path} has SHA-256 {found}; expected {expected}");
    }
    Ok(pulled)
}

async fn pull_into(source: PullSource, folder: PathBuf) -> Result<PulledModel> {
    let task = tokio::task::spawn_blocking(move || {
        let mut report = Report::default();
        let pulled = pull::pull(source, &folder, &mut |event| report.event(event));
        report.finish();
        pulled
    });
    Ok(task.await.context("the pull was interrupted")??)
}

/// Tells the person at the terminal how a pull goes.
#[derive(Default)]
struct Report {
    bar: Option<Progress>,
    bytes: u64,
}

impl Report {
    fn event(&mut self, event: PullEvent) {
        match event {
            PullEvent::Trying { source } => note(format_args!("base model from {source} ...")),
            PullEvent::Failed { source, reason } => {
                self.bar = None;
                note(format_args!("{source} did not work: {reason}"));
            }
            PullEvent::Progress { bytes, total } => self.advance(bytes, total.unwrap_or(bytes)),
            _ => self.finish(),
        }
    }

    fn advance(&mut self, bytes: u64, total: u64) {
        self.bytes = bytes;
        self.bar.get_or_insert_with(|| Progress::bytes("base model", total)).set(bytes, total, "");
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish(&format!("{} bytes", self.bytes));
        }
    }
}

fn show_pulled(pulled: &PulledModel, json: bool) -> Result<()> {
    if json {
        return output::json(&json!({"path": pulled.path, "sha256": pulled.sha256, "source": pulled.source}));
    }
    line(pulled.path.display());
    Ok(())
}

async fn show(path: &Path, json: bool) -> Result<()> {
    let owned = path.to_owned();
    let open = tokio::task::spawn_blocking(move || Model::open(&owned).map(|model| describe(&model)));
    let opened = open.await.context("reading the model was interrupted")?;
    let facts = opened.with_context(|| format!("could not open {}", path.display()))?;
    if json { output::json(&facts) } else { print_facts(&facts) }
}

/// What a model holds, name by name.
fn describe(model: &Model) -> Value {
    let config = model.config();
    json!({
        "architecture": config.architecture.name(),
        "hash": model.hash(),
        "layers": config.layers,
        "hidden": config.hidden,
        "ffn": config.ffn,
        "heads": config.heads,
        "kv_heads": config.kv_heads,
        "vocab": config.vocab,
        "context": config.context,
        "memory_bytes": model.bytes(),
        "lora_sites": model.sites().len(),
        "chat_template": model.chat_template().is_some(),
    })
}

fn print_facts(facts: &Value) -> Result<()> {
    let facts = facts.as_object().context("a description has names")?;
    for (name, value) in facts {
        line(format_args!("{name:<14} {}", plain(value)));
    }
    Ok(())
}

/// A JSON value as a person writes it: strings without quotes, nothing as a dash.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

async fn list(context: &Context, json: bool) -> Result<()> {
    let models = context.gateway()?.models().await.context("could not list the models")?;
    if json {
        return output::json(&json!({"data": models}));
    }
    let mut table = Table::new(["MODEL", "BASE", "WEI PER PROMPT TOKEN", "WEI PER ANSWER TOKEN", "MODEL ID"]);
    for model in &models {
        let cell = |pointer: &str| plain(model.pointer(pointer).unwrap_or(&Value::Null));
        let [price_in, price_out] = ["input_wei", "output_wei"].map(|name| cell(&format!("/openledger/price/{name}")));
        table.row([cell("/id"), cell("/parent"), price_in, price_out, cell("/openledger/model_id")]);
    }
    table.print();
    Ok(())
}
