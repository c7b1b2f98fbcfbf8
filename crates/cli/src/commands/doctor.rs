//! `openledger doctor`: whether this machine and a data directory can run a node.

use std::fs::{File, TryLockError};
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use openledger_engine::pull::present_default;
use openledger_engine::{KernelPath, Model};
use serde::Serialize;
use serde_json::{Value, json};

use super::model::cache_folder;
use super::up::configure;
use crate::args::{DoctorOptions, UpOptions};
use crate::config::Config;
use crate::node::FORMAT;
use crate::output::{self, CHECK_FAILED, Table, line};

/// Memory with which the default model trains and serves at once.
const MEMORY_BYTES_MIN: u64 = 2 << 30;
/// Room on disk for a chain, a model and a few training runs.
const DISK_BYTES_MIN: u64 = 2 << 30;
/// Time for whatever holds a port to say what it is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// As it should be.
    Ok,
    /// A node runs, but something will be slow or missing.
    Warn,
    /// A node cannot run.
    Fail,
}

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    detail: String,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { check, verdict, detail: detail.into() }
    }
}

/// Runs `doctor`.
pub(crate) async fn run(options: DoctorOptions) -> Result<ExitCode> {
    let findings = examine(&options.node).await?;
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    if options.json {
        output::json(&json!({"ok": !failed, "findings": findings}))?;
    } else {
        print(&findings);
    }
    Ok(if failed { ExitCode::from(CHECK_FAILED) } else { ExitCode::SUCCESS })
}

async fn examine(options: &UpOptions) -> Result<Vec<Finding>> {
    let data_dir = &options.data_dir;
    let mut findings = vec![processor(), memory(), disk(data_dir), format(data_dir), lock(data_dir)];
    let file = Config::load(data_dir).unwrap_or_else(|error| {
        findings.push(Finding::new("configuration", Verdict::Fail, format!("{error:#}")));
        Config::default()
    });
    let config = configure(options, file);
    findings.push(rpc_port(config.rpc_listen).await);
    findings.push(http_port(config.http_listen).await);
    let rest = move || [model(config.model), pip()];
    findings.extend(tokio::task::spawn_blocking(rest).await.context("a check died")?);
    Ok(findings)
}

fn print(findings: &[Finding]) {
    let mut table = Table::new(["CHECK", "VERDICT", "DETAIL"]);
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        table.row([finding.check.to_owned(), verdict.to_owned(), finding.detail.clone()]);
    }
    table.print();
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    line("");
    line(format_args!("warnings: {}, failures: {}", count(Verdict::Warn), count(Verdict::Fail)));
}

fn processor() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (best, slow) = (KernelPath::best(), KernelPath::best() == KernelPath::PORTABLE);
    let detail = format!("{cores} cores, {} kernels{}", best.name(), if slow { ": correct, but slow" } else { "" });
    Finding::new("processor", if slow { Verdict::Warn } else { Verdict::Ok }, detail)
}

fn memory() -> Finding {
    let Some(bytes) = available_memory() else {
        return Finding::new("memory", Verdict::Warn, "this system does not say how much is free");
    };
    let verdict = if bytes < MEMORY_BYTES_MIN { Verdict::Warn } else { Verdict::Ok };
    Finding::new("memory", verdict, format!("{} free; {} wanted", gib(bytes), gib(MEMORY_BYTES_MIN)))
}

/// What Linux says can be used without swapping.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

fn disk(data_dir: &Path) -> Finding {
    // A data directory that does not exist yet will be on the disk of the nearest folder above that does.
    let absolute = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let folder = absolute.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(folder) {
        Err(error) => Finding::new("disk", Verdict::Fail, format!("could not look at {}: {error}", folder.display())),
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let verdict = if free < DISK_BYTES_MIN { Verdict::Fail } else { Verdict::Ok };
            Finding::new(
                "disk",
                verdict,
                format!("{} free at {}; {} wanted", gib(free), folder.display(), gib(DISK_BYTES_MIN)),
            )
        }
    }
}

fn format(data_dir: &Path) -> Finding {
    let check = "data directory";
    let shown = data_dir.display();
    match std::fs::read_to_string(data_dir.join("FORMAT")) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(FORMAT) => Finding::new(check, Verdict::Ok, format!("{shown} has format {FORMAT}")),
            Ok(found) if found > FORMAT => {
                let detail = format!("{shown} has format {found}; this program knows formats up to {FORMAT}");
                Finding::new(check, Verdict::Fail, detail)
            }
            _ => Finding::new(check, Verdict::Fail, format!("{shown}: {:?} is not a format number", text.trim())),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::new(check, Verdict::Ok, format!("{shown} is not there yet; `openledger up` makes it"))
        }
        Err(error) => Finding::new(check, Verdict::Fail, format!("{shown} cannot be read: {error}")),
    }
}

fn lock(data_dir: &Path) -> Finding {
    let check = "data lock";
    let path = data_dir.join("store").join("lock");
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Finding::new(check, Verdict::Ok, "not taken");
        }
        Err(error) => return Finding::new(check, Verdict::Fail, format!("{} cannot be read: {error}", path.display())),
    };
    match file.try_lock_shared() {
        Ok(()) => Finding::new(check, Verdict::Ok, "not taken"),
        Err(TryLockError::WouldBlock) => Finding::new(check, Verdict::Ok, format!("taken by {}", holder(&mut file))),
        Err(TryLockError::Error(error)) => Finding::new(check, Verdict::Fail, format!("cannot be taken: {error}")),
    }
}

/// Whoever holds the lock leaves its process id in it.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("a running node (process {})", text.trim()),
        _ => "a running node".to_owned(),
    }
}

async fn rpc_port(address: SocketAddr) -> Finding {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []});
    let ask = async |http: reqwest::Client| {
        let answer: Value = http.post(format!("http://{address}")).json(&request).send().await?.json().await?;
        Ok(answer["result"].as_str().map(|id| (Verdict::Ok, format!("a chain with id {id} answers"))))
    };
    port("RPC port", address, ask).await
}

async fn http_port(address: SocketAddr) -> Finding {
    let ask = async |http: reqwest::Client| {
        let answer: Value = http.get(format!("http://{address}/v1/status")).send().await?.json().await?;
        let error = ["chain", "settlement"].into_iter().find_map(|part| answer[part]["error"].as_str());
        let verdict = |operator| match error {
            Some(error) => (Verdict::Fail, format!("the gateway of {operator} answers: {error}")),
            None => (Verdict::Ok, format!("the gateway of {operator} answers")),
        };
        Ok(answer["operator"].as_str().map(verdict))
    };
    port("gateway port", address, ask).await
}

/// A port must be free, or held by a node; `ask` finds out which node, and whether it is well.
async fn port(
    check: &'static str,
    address: SocketAddr,
    ask: impl AsyncFnOnce(reqwest::Client) -> Result<Option<(Verdict, String)>, reqwest::Error>,
) -> Finding {
    if TcpListener::bind(address).is_ok() {
        return Finding::new(check, Verdict::Ok, format!("{address} is free"));
    }
    let client = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build();
    let answer = match client {
        Ok(client) => ask(client).await.unwrap_or_default(),
        Err(_) => None,
    };
    match answer {
        Some((verdict, answer)) => Finding::new(check, verdict, format!("{address} is in use: {answer}")),
        None => Finding::new(check, Verdict::Fail, format!("{address} is in use by another program")),
    }
}

/// The base model must open, the one that `up` would take; where that is the default and not here yet, `up` pulls it.
fn model(named: Option<PathBuf>) -> Finding {
    match named.map_or_else(pulled_model, |path| Ok(Some(path))) {
        Ok(Some(path)) => opened(&path),
        Ok(None) => Finding::new("model", Verdict::Warn, "none yet; `openledger up` pulls the default one"),
        Err(error) => Finding::new("model", Verdict::Fail, format!("{error:#}")),
    }
}

/// The default model, where it was pulled already.
fn pulled_model() -> Result<Option<PathBuf>> {
    let present = present_default(&cache_folder()?).context("the default model is not as it should be")?;
    Ok(present.map(|model| model.path))
}

fn opened(path: &Path) -> Finding {
    let shown = path.display();
    match Model::open(path) {
        Ok(model) => {
            let (config, hash) = (model.config(), model.hash());
            let detail = format!("{shown}: {} with {} layers, hash {hash}", config.architecture.name(), config.layers);
            Finding::new("model", Verdict::Ok, detail)
        }
        Err(error) => {
            let error = anyhow::Error::new(error);
            Finding::new("model", Verdict::Fail, format!("{shown} cannot be opened: {error:#}"))
        }
    }
}

/// The default model comes in a Python package.
fn pip() -> Finding {
    let output = std::process::Command::new("python3").args(["-m", "pip", "--version"]).output();
    match output {
        Ok(output) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stdout);
            let version: Vec<&str> = said.split_whitespace().take(2).collect();
            Finding::new("pip", Verdict::Ok, version.join(" "))
        }
        _ => Finding::new(
            "pip",
            Verdict::Warn,
            "python3 has no pip: the default model cannot be pulled, name one with --model",
        ),
    }
}
