//! The real `cast`, `viem`, `ethers` and `forge script` against a served chain.
//!
//! They are npm packages; the first run installs them into `$OPENLEDGER_TOOLS` or
//! `~/.cache/openledger/tools`. A machine without Node.js and npm fails these tests and says what is missing.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use alloy_primitives::{Address, U256, hex};
use openledger_chain::RpcServer;

use crate::{
    harness::Devnet,
    support::{account, token_init_code},
};

const PACKAGES: [&str; 10] = [
    "@foundry-rs/cast@1.7.1",
    "@foundry-rs/forge@1.7.1",
    "solc@0.8.33",
    "viem@2",
    "ethers@6",
    "@ethereumjs/vm@10",
    "@ethereumjs/common@10",
    "@ethereumjs/tx@10",
    "@ethereumjs/util@10",
    "@ethereumjs/block@10",
];

/// What a machine lacks that fails here.
const MISSING: &str =
    "this test needs Node.js with npm, which fetches cast, forge, viem and ethers (Debian: nodejs, npm)";

pub(crate) struct Tools(PathBuf);

impl Tools {
    /// The folder with the packages, installed by whoever needs them first.
    ///
    /// # Panics
    /// Where they can neither be found nor installed: a machine that cannot run these tests must not pass them.
    pub(crate) fn find() -> &'static Self {
        static TOOLS: OnceLock<Tools> = OnceLock::new();
        TOOLS.get_or_init(|| {
            let given = env::var_os("OPENLEDGER_TOOLS").map(PathBuf::from);
            let home =
                || PathBuf::from(env::var_os("HOME").expect("HOME or OPENLEDGER_TOOLS says where tools are kept"));
            let tools = Self(given.unwrap_or_else(|| home().join(".cache/openledger/tools")));
            if !tools.complete() {
                tools.install();
            }
            assert!(tools.complete(), "{MISSING}: npm left {} incomplete", tools.0.display());
            tools
        })
    }

    fn complete(&self) -> bool {
        let modules = self.dir().join("node_modules");
        let libraries = ["solc", "viem", "ethers", "@ethereumjs/vm"];
        self.cast().exists() && self.forge().exists() && libraries.iter().all(|name| modules.join(name).exists())
    }

    fn install(&self) {
        std::fs::create_dir_all(&self.0).expect("the tools folder can be made");
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&self.0).args(PACKAGES);
        succeed(npm.output().expect(MISSING), "npm install");
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    fn cast(&self) -> PathBuf {
        self.0.join("node_modules/@foundry-rs/cast-linux-amd64/bin/cast")
    }

    fn forge(&self) -> PathBuf {
        self.0.join("node_modules/@foundry-rs/forge-linux-amd64/bin/forge")
    }
}

fn succeed(output: Output, what: &str) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{what} failed\nstdout: {out}\nstderr: {err}");
    out
}

fn key(index: u32) -> String {
    hex::encode_prefixed(account(index).to_bytes())
}

async fn served() -> (Devnet, RpcServer) {
    let devnet = Devnet::start();
    let server = devnet.chain.serve(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    (devnet, server)
}

/// Runs a client off the async threads, on which the server runs.
async fn run(mut command: Command, what: &'static str) -> String {
    let output = tokio::task::spawn_blocking(move || command.output().expect(MISSING));
    succeed(output.await.expect("the client is waited for"), what)
}

#[tokio::test(flavor = "multi_thread")]
async fn viem_sends_deploys_reads_and_subscribes() {
    let tools = Tools::find();
    let (_devnet, server) = served().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/viem.mjs");
    let bytecode = format!("0x{}", include_str!("../fixtures/token.hex").trim());
    let mut node = Command::new("node");
    node.arg(script).args([server.http_url(), server.ws_url(), key(0), bytecode]).arg(&tools.0);
    let out = run(node, "viem").await;
    assert!(out.contains(r#""viem":"ok""#), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ethers_sends_deploys_reads_and_decodes_errors() {
    let tools = Tools::find();
    let (_devnet, server) = served().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/ethers.mjs");
    let bytecode = format!("0x{}", include_str!("../fixtures/token.hex").trim());
    let mut node = Command::new("node");
    node.arg(script).args([server.http_url(), key(2), bytecode]).arg(&tools.0);
    let out = run(node, "ethers").await;
    assert!(out.contains(r#""ethers":"ok""#), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn forge_scripts_deploy_and_call() {
    let tools = Tools::find();
    let (devnet, server) = served().await;
    // forge writes its outputs beside its sources, so it gets a copy.
    let project = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/forge");
    std::fs::create_dir(project.path().join("script")).expect("a folder");
    for file in ["foundry.toml", "script/Deploy.s.sol"] {
        std::fs::copy(source.join(file), project.path().join(file)).expect("a copy");
    }
    let solc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/tools/solc");
    let mut forge = Command::new(tools.forge());
    forge.current_dir(project.path()).env("OPENLEDGER_TOOLS", &tools.0);
    forge.args(["script", "script/Deploy.s.sol:Deploy", "--broadcast", "--slow", "--use"]).arg(solc);
    forge.args(["--rpc-url", &server.http_url(), "--private-key", &key(3)]);
    let out = run(forge, "forge script").await;
    assert!(out.contains("ONCHAIN EXECUTION COMPLETE & SUCCESSFUL"), "{out}");
    let counter = account(3).address().create(0).to_string();
    let mut cast = Command::new(tools.cast());
    cast.args(["call", "--rpc-url", &server.http_url(), &counter, "count()(uint256)"]);
    assert_eq!(run(cast, "cast call").await, "42", "at block {}", devnet.chain.head().number);
}

#[tokio::test(flavor = "multi_thread")]
async fn cast_sends_deploys_calls_and_traces() {
    let tools = Tools::find();
    let (devnet, server) = served().await;
    let url = server.http_url();
    let cast = async |args: &[&str]| {
        let mut command = Command::new(tools.cast());
        let (verb, rest) = args.split_first().expect("a verb");
        command.args([verb, "--rpc-url", &url]).args(rest);
        run(command, "cast").await
    };
    assert_eq!(cast(&["chain-id"]).await, "161201");
    let friend = Address::repeat_byte(0xab).to_string();
    let signer = key(1);
    let send = async |args: &[&str]| {
        let all = [&["send", "--json", "--private-key", &signer], args].concat();
        let receipt: serde_json::Value = serde_json::from_str(&cast(&all).await).expect("a receipt");
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt
    };
    send(&[&friend, "--value", "3ether"]).await;
    assert_eq!(cast(&["balance", &friend, "--ether"]).await, "3.000000000000000000");
    let code = hex::encode_prefixed(token_init_code(U256::from(77)));
    let deployed = send(&["--create", &code]).await;
    let token = deployed["contractAddress"].as_str().expect("an address").to_owned();
    let sent = send(&[&token, "transfer(address,uint256)", &friend, "7"]).await;
    assert_eq!(cast(&["call", &token, "balanceOf(address)(uint256)", &friend]).await, "7");
    let hash = sent["transactionHash"].as_str().expect("a hash");
    let logs = cast(&["logs", "--json", "--from-block", "0", "--address", &token]).await;
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&logs).expect("logs").len(), 2);
    assert_eq!(cast(&["receipt", hash, "transactionHash"]).await, hash);
    let trace = cast(&["rpc", "debug_traceTransaction", hash, r#"{"tracer":"callTracer"}"#]).await;
    assert!(trace.contains(r#""type":"CALL""#), "{trace}");
    let block = devnet.chain.head().number.to_string();
    let json = cast(&["block", &block, "--json", "--full"]).await;
    let shown: serde_json::Value = serde_json::from_str(&json).expect("a block");
    assert_eq!(shown["hash"].as_str(), Some(devnet.chain.head().hash().to_string().as_str()));
}
