//! The same transactions through an EVM that shares no code with ours (`@ethereumjs/vm`): gas, outcome,
//! logs, storage, balances and nonces must agree.

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
};

use alloy_eips::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Deserialize;
use serde_json::json;

use crate::{
    clients::Tools,
    harness::{Devnet, Draft},
    support::{CHAIN_ID, account},
};

const CONTRACTS: u64 = 60;
const CALLS: u64 = 120;
const SLOTS: u64 = 4;
/// Fixed, so that a failure can be repeated; change it to search further.
const SEED: u64 = 0x6f70_656e;

#[derive(Debug, Deserialize)]
struct Replayed {
    results: Vec<Outcome>,
    storage: BTreeMap<Address, Kept>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Outcome {
    gas: u64,
    ok: bool,
    logs: Vec<(Address, Vec<B256>, Bytes)>,
}

#[derive(Debug, Deserialize)]
struct Kept {
    balance: String,
    nonce: u64,
    values: Vec<B256>,
}

/// A random program: mostly meaningful pieces that keep the stack filled, sometimes a stray byte.
fn program(rng: &mut StdRng, known: &[Address]) -> Vec<u8> {
    let mut code = Vec::new();
    for _ in 0..rng.random_range(4..30) {
        match rng.random_range(0..14u8) {
            0..=2 => push(&mut code, U256::from(rng.random::<u16>())),
            3 => push(&mut code, U256::from_be_bytes(rng.random::<[u8; 32]>())),
            4 => op2(
                &mut code,
                rng,
                &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0a, 0x0b, 0x10, 0x12, 0x16, 0x18, 0x1a, 0x1b, 0x1c, 0x1d],
            ),
            5 => store(&mut code, rng, 0x55),
            6 => store(&mut code, rng, 0x5d),
            7 => load(&mut code, rng),
            8 => store(&mut code, rng, 0x52),
            9 => log(&mut code, rng),
            10 => call(&mut code, rng, known),
            11 => code.extend(
                [0x5a, 0x30, 0x31, 0x32, 0x33, 0x34, 0x36, 0x42, 0x43, 0x46, 0x47, 0x48, 0x59]
                    .get(rng.random_range(0..13)),
            ),
            12 => hash(&mut code, rng),
            _ if rng.random_bool(0.1) => code.push(rng.random()),
            _ => create(&mut code, rng),
        }
    }
    code
}

fn push(code: &mut Vec<u8>, value: U256) {
    code.push(0x7f);
    code.extend(value.to_be_bytes::<32>());
}

fn op2(code: &mut Vec<u8>, rng: &mut StdRng, ops: &[u8]) {
    push(code, U256::from(rng.random::<u32>()));
    push(code, U256::from(rng.random::<u32>()));
    code.push(ops[rng.random_range(0..ops.len())]);
}

fn store(code: &mut Vec<u8>, rng: &mut StdRng, op: u8) {
    push(code, U256::from(rng.random_range(0..3u8)));
    push(code, U256::from(rng.random_range(0..SLOTS)));
    code.push(op);
}

fn load(code: &mut Vec<u8>, rng: &mut StdRng) {
    push(code, U256::from(rng.random_range(0..SLOTS)));
    code.push([0x54, 0x5c, 0x51, 0x35, 0x31][rng.random_range(0..5)]);
}

fn log(code: &mut Vec<u8>, rng: &mut StdRng) {
    let topics = rng.random_range(0..4u8);
    (0..topics).for_each(|_| push(code, U256::from(rng.random::<u64>())));
    push(code, U256::from(rng.random_range(0..40u8)));
    push(code, U256::ZERO);
    code.push(0xa0 + topics);
}

fn hash(code: &mut Vec<u8>, rng: &mut StdRng) {
    push(code, U256::from(rng.random_range(0..100u8)));
    push(code, U256::from(rng.random_range(0..100u8)));
    code.push(0x20);
}

fn call(code: &mut Vec<u8>, rng: &mut StdRng, known: &[Address]) {
    let precompile = Address::with_last_byte(rng.random_range(1..10));
    let target =
        if known.is_empty() || rng.random_bool(0.3) { precompile } else { known[rng.random_range(0..known.len())] };
    let kind = [0xf1, 0xf4, 0xfa][rng.random_range(0..3)];
    (0..3).for_each(|_| push(code, U256::from(rng.random_range(0..64u8))));
    push(code, U256::ZERO);
    if kind == 0xf1 {
        push(code, U256::from(rng.random_range(0..2u8)));
    }
    push(code, U256::from_be_slice(target.as_slice()));
    push(code, U256::from(rng.random_range(0..60_000u32)));
    code.push(kind);
}

fn create(code: &mut Vec<u8>, rng: &mut StdRng) {
    push(code, U256::from(rng.random_range(0..32u8)));
    push(code, U256::ZERO);
    push(code, U256::ZERO);
    code.push(0xf0);
    if rng.random_bool(0.2) {
        code.extend([0x33, 0xff]); // SELFDESTRUCT to the caller
    }
}

/// Init code that runs `first` and deploys `runtime`.
fn init_code(first: &[u8], runtime: &[u8]) -> Vec<u8> {
    let mut code = first.to_vec();
    let at = code.len() + 15;
    code.extend([0x61, (runtime.len() >> 8) as u8, runtime.len() as u8]);
    code.extend([0x80, 0x61, (at >> 8) as u8, at as u8, 0x5f, 0x39, 0x5f, 0xf3]);
    code.resize(at, 0x00);
    code.extend(runtime);
    code
}

fn drafts(rng: &mut StdRng, sender: Address) -> (Vec<Draft>, Vec<Address>) {
    let mut known: Vec<Address> = Vec::new();
    let mut drafts = Vec::new();
    for nonce in 0..CONTRACTS {
        let first = if rng.random_bool(0.3) { program(rng, &known) } else { Vec::new() };
        let runtime = program(rng, &known);
        drafts.push(Draft::new(nonce, TxKind::Create).input(init_code(&first, &runtime)));
        known.push(sender.create(nonce));
    }
    for nonce in CONTRACTS..CONTRACTS + CALLS {
        let mut draft = Draft::new(nonce, known[rng.random_range(0..known.len())].into());
        draft.0.value = U256::from(rng.random_range(0..3u8));
        draft.0.gas_limit = rng.random_range(60_000..400_000);
        let length = rng.random_range(0..80);
        drafts.push(draft.input((0..length).map(|_| rng.random()).collect::<Vec<u8>>()));
    }
    (drafts, known)
}

#[tokio::test(flavor = "multi_thread")]
async fn random_programs_do_the_same_in_an_independent_evm() {
    let tools = Tools::find();
    let devnet = Devnet::start();
    let sender = account(0);
    let mut rng = StdRng::seed_from_u64(SEED);
    let (drafts, known) = drafts(&mut rng, sender.address());
    let total = drafts.len();
    let mut blocks = devnet.chain.subscribe_blocks();
    for draft in drafts {
        devnet.chain.submit(draft.sign(&sender)).await.expect("the pool takes it");
    }
    let (mut ours, mut replay) = (Vec::new(), Vec::new());
    while ours.len() < total {
        let block = blocks.recv().await.expect("the chain runs");
        let header = block.header.inner();
        let txs: Vec<String> =
            block.body.transactions[1..].iter().map(|tx| hex::encode_prefixed(tx.encoded_2718())).collect();
        replay.push(json!({
            "number": header.number, "timestamp": header.timestamp, "gasLimit": header.gas_limit,
            "baseFeePerGas": header.base_fee_per_gas, "coinbase": header.beneficiary, "mixHash": header.mix_hash,
            "txs": txs,
        }));
        for pair in block.receipts.windows(2) {
            let logs = pair[1].logs().iter();
            ours.push(Outcome {
                gas: pair[1].cumulative_gas_used() - pair[0].cumulative_gas_used(),
                ok: pair[1].status(),
                logs: logs.map(|log| (log.address, log.topics().to_vec(), log.data.data.clone())).collect(),
            });
        }
    }
    let slots: Vec<B256> = (0..SLOTS).map(|slot| U256::from(slot).into()).collect();
    let input = json!({
        "chainId": CHAIN_ID,
        "alloc": { sender.address().to_string(): U256::from(10).pow(U256::from(24)).to_string() },
        "blocks": replay,
        "storage": known.iter().map(|address| (address.to_string(), json!(slots))).collect::<BTreeMap<_, _>>(),
    });
    let theirs = tokio::task::spawn_blocking(move || run(tools, &input)).await.expect("the replay ends");
    for (index, (ours, theirs)) in ours.iter().zip(&theirs.results).enumerate() {
        assert_eq!(ours, theirs, "transaction {index}");
    }
    assert_eq!(theirs.results.len(), total);
    let succeeded = ours.iter().filter(|outcome| outcome.ok).count();
    assert!(succeeded > total / 4, "only {succeeded} of {total} succeed: the programs test too little");
    let view = devnet.latest();
    for (address, kept) in theirs.storage {
        let account = view.account(&address).unwrap();
        assert_eq!(account.map_or(U256::ZERO, |a| a.balance).to_string(), kept.balance, "{address}");
        assert_eq!(account.map_or(0, |a| a.nonce), kept.nonce, "{address}");
        for (slot, value) in (0..SLOTS).zip(kept.values) {
            assert_eq!(B256::from(view.slot(&address, &U256::from(slot)).unwrap()), value, "{address} slot {slot}");
        }
    }
}

fn run(tools: &Tools, input: &serde_json::Value) -> Replayed {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/replay.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(tools.dir()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = node.spawn().expect("node starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let bytes = input.to_string();
    let writer = std::thread::spawn(move || stdin.write_all(bytes.as_bytes()));
    let output = child.wait_with_output().expect("node ends");
    writer.join().expect("the writer ends").ok();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the replay's JSON")
}
