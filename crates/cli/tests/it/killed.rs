//! kill -9 at random points, over and over: what was acknowledged stays.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_network::eip2718::Encodable2718 as _;
use alloy_network::{EthereumWallet, NetworkTransactionBuilder as _, TransactionBuilder as _};
use alloy_rpc_types_eth::TransactionRequest;
use openledger_primitives::{Address, B256, Bytes, ReceiptHash, U256, Wei};
use openledger_sdk::api::{EpochEntry, ReceiptEntry};
use openledger_sdk::{ChainClient, ChainError, GatewayClient};
use openledger_settlement::ledger::EpochState;
use openledger_train::SnapshotRef;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::node::{Node, eventually};
use crate::people::{CHAIN_ID, CONTRIBUTORS, People, key, question};
use crate::prepared;

/// Data directories, kills of each, and the fewest of all together.
const DIRECTORIES: u64 = 3;
const KILLS: u64 = 17;
const KILLS_MIN: u64 = 50;
/// Kills between two clean stops.
const CLEAN_EVERY: u64 = 7;
/// Lives of a node on one directory that end early: the kills and the clean stops between them.
const LIVES: u64 = KILLS + KILLS / CLEAN_EVERY;
/// Shortest and longest life of a node, from its announcement to its death.
const LIFE_MS: std::ops::Range<u64> = 80..1300;
/// Pause between two transfers, so that some wait for a block at any time.
const TRANSFER_PACE: Duration = Duration::from_millis(15);
/// Pause between two looks at a job.
const JOB_PACE: Duration = Duration::from_millis(50);
pub const SENDER: u32 = 9;
pub const RECIPIENT: Address = Address::repeat_byte(0x51);
const CHUNK_BYTES: usize = 700;
/// Epochs of the jobs: about a second of training.
const JOB_EPOCHS: u32 = 12;

/// What the node has acknowledged.
#[derive(Default)]
struct Book {
    transfers: Vec<B256>,
    receipts: Vec<(ReceiptHash, Wei)>,
    uploads: Vec<Sent>,
    jobs: Vec<u64>,
}

/// An upload as far as it was acknowledged.
struct Sent {
    id: String,
    file: Vec<u8>,
    received: usize,
}

type Shared = Arc<Mutex<Book>>;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_in_fifty_kills() {
    let mut kills = 0;
    for seed in 0..DIRECTORIES {
        let (home, snapshot) = prepared::home().await;
        let book = Shared::default();
        let mut random = Random(seed);
        let mut before = 0;
        for life in 0..LIVES {
            let node = home.start(&["--block-time-s", "1"]);
            let people = People::connect(&node).await;
            if life == 0 {
                before = receipts(&people).await.len();
            }
            check_after_restart(&people, &book).await;
            let drivers = work(&people, &book, snapshot).await;
            // The point of death is random, not waited for.
            tokio::time::sleep(Duration::from_millis(LIFE_MS.start + random.next() % (LIFE_MS.end - LIFE_MS.start)))
                .await;
            if life % (CLEAN_EVERY + 1) == CLEAN_EVERY {
                interrupt(node, drivers);
            } else {
                kill(node, drivers);
                kills += 1;
            }
        }
        let node = home.start(&["--block-time-s", "1"]);
        check_at_the_end(&node, &book, snapshot, before).await;
    }
    assert!(kills >= KILLS_MIN, "{kills} kills");
}

fn kill(node: Node, drivers: JoinSet<()>) {
    node.kill();
    drop(drivers);
}

/// A stop in between leaves a checkpoint, from which the job goes on.
fn interrupt(node: Node, drivers: JoinSet<()>) {
    drop(drivers);
    assert!(node.interrupt().0.success());
}

/// Everyone at work until the node dies.
async fn work(people: &People, book: &Shared, snapshot: SnapshotRef) -> JoinSet<()> {
    let mut drivers = JoinSet::new();
    drivers.spawn(transfer(people.payer.with_signer(key(SENDER)), Arc::clone(book)));
    drivers.spawn(ask(people.till(), Arc::clone(book)));
    drivers.spawn(upload(people.gateway.clone(), Arc::clone(book), snapshot));
    let job = people.job(snapshot, JOB_EPOCHS).await;
    drivers.spawn(train(people.gateway.clone(), job, Arc::clone(book)));
    drivers
}

/// Sends transfers as they are acknowledged, not as they are mined.
async fn transfer(client: ChainClient, book: Shared) {
    let Ok(mut nonce) = client.rpc::<_, U256>("eth_getTransactionCount", (client.address(), "pending")).await else {
        return;
    };
    let mut pace = tokio::time::interval(TRANSFER_PACE);
    loop {
        pace.tick().await;
        let Ok(hash) = send_transfer(&client, nonce.to()).await else { return };
        book.lock().unwrap().transfers.push(hash);
        nonce += U256::from(1);
    }
}

/// Sends one wei to [`RECIPIENT`] and does not wait for a block.
pub async fn send_transfer(client: &ChainClient, nonce: u64) -> Result<B256, ChainError> {
    let wallet = EthereumWallet::new(client.signer().clone());
    let mut request = TransactionRequest::default().from(client.address()).to(RECIPIENT).value(U256::from(1));
    request.set_nonce(nonce);
    request.set_gas_limit(21_000);
    request.set_max_fee_per_gas(1 << 40);
    request.set_max_priority_fee_per_gas(1_000_000);
    request.set_chain_id(CHAIN_ID);
    let signed = request.build(&wallet).await.unwrap();
    client.rpc("eth_sendRawTransaction", (Bytes::from(signed.encoded_2718()),)).await
}

async fn ask(till: GatewayClient, book: Shared) {
    for number in 0_u64.. {
        let Ok(answer) = till.chat(&question(&format!("Question {number}?"))).await else { return };
        book.lock().unwrap().receipts.push((answer.receipt.unwrap(), answer.charged.unwrap()));
    }
}

/// Uploads file after file; goes on with the one that was cut off.
async fn upload(gateway: GatewayClient, book: Shared, snapshot: SnapshotRef) {
    loop {
        let open = open_upload(&book);
        let (id, file, received) = match open {
            Some(open) => open,
            None => {
                let number = book.lock().unwrap().uploads.len();
                let line = json!({"procedure": format!("deed {number}"), "technique": "kind"}).to_string() + "\n";
                let file = line.repeat(300).into_bytes();
                let name = format!("{number}.jsonl");
                let contributor = CONTRIBUTORS[number % CONTRIBUTORS.len()];
                let begin = json!({
                    "contributor": key(contributor).address(), "file_name": name, "bytes": file.len(),
                    "hash": openledger_primitives::keccak256(&file),
                });
                let path = format!("v1/datanets/{}/uploads", snapshot.datanet);
                let Ok(begun) = gateway.post::<Value>(&path, &begin).await else { return };
                let id = begun["id"].as_str().unwrap().to_owned();
                let received = begun["received_bytes"].as_u64().unwrap() as usize;
                book.lock().unwrap().uploads.push(Sent { id: id.clone(), file: file.clone(), received });
                (id, file, received)
            }
        };
        let end = (received + CHUNK_BYTES).min(file.len());
        if gateway.upload(&id, &file[..end], received as u64).await.is_err() {
            return;
        }
        book.lock().unwrap().uploads.last_mut().unwrap().received = end;
    }
}

/// The last upload, unless it is complete.
fn open_upload(book: &Shared) -> Option<(String, Vec<u8>, usize)> {
    let book = book.lock().unwrap();
    let last = book.uploads.last().filter(|last| last.received < last.file.len())?;
    Some((last.id.clone(), last.file.clone(), last.received))
}

/// Keeps one job at work.
async fn train(gateway: GatewayClient, body: Value, book: Shared) {
    let mut pace = tokio::time::interval(JOB_PACE);
    loop {
        pace.tick().await;
        let last = book.lock().unwrap().jobs.last().copied();
        if let Some(last) = last {
            let Ok(shown) = gateway.get::<Value>(&format!("v1/fine_tuning/jobs/{last}")).await else { return };
            if shown["state"] != "done" {
                continue;
            }
        }
        let Ok(job) = gateway.post::<Value>("v1/fine_tuning/jobs", &body).await else { return };
        book.lock().unwrap().jobs.push(job["id"].as_u64().unwrap());
    }
}

/// Whether a transaction is in a block; it must at least be known.
async fn in_block(client: &ChainClient, hash: B256) -> bool {
    let found: Option<Value> = client.rpc("eth_getTransactionByHash", (hash,)).await.unwrap();
    let found = found.unwrap_or_else(|| panic!("the acknowledged transaction {hash} is lost"));
    !found["blockNumber"].is_null()
}

/// What can be looked at quickly after each restart.
async fn check_after_restart(people: &People, book: &Shared) {
    let (transfers, receipt, uploads, jobs) = {
        let book = book.lock().unwrap();
        let recent: Vec<B256> = book.transfers.iter().rev().take(100).copied().collect();
        let uploads: Vec<_> = book.uploads.iter().rev().take(2).map(|sent| (sent.id.clone(), sent.received)).collect();
        (recent, book.receipts.last().copied(), uploads, book.jobs.clone())
    };
    for hash in transfers {
        in_block(&people.payer, hash).await;
    }
    if let Some((hash, _)) = receipt {
        assert_eq!(people.gateway.receipt(hash).await.unwrap().receipt.hash(), hash);
    }
    for (id, acknowledged) in uploads {
        let shown: Value = people.gateway.get(&format!("v1/uploads/{id}")).await.unwrap();
        let received = shown["received_bytes"].as_u64().unwrap() as usize;
        assert!(received >= acknowledged, "upload {id}: {received} of {acknowledged} acknowledged bytes are there");
        let mut book = book.lock().unwrap();
        book.uploads.iter_mut().filter(|sent| sent.id == id).for_each(|sent| sent.received = received);
    }
    for id in jobs {
        let shown: Value = people.gateway.get(&format!("v1/fine_tuning/jobs/{id}")).await.unwrap();
        assert!(["queued", "running", "done"].contains(&shown["state"].as_str().unwrap()), "{shown}");
    }
}

async fn check_at_the_end(node: &Node, book: &Shared, snapshot: SnapshotRef, before: usize) {
    let people = People::connect(node).await;
    check_after_restart(&people, book).await;
    let Book { transfers, receipts: answers, uploads, jobs } = std::mem::take(&mut *book.lock().unwrap());
    assert!(!transfers.is_empty() && !answers.is_empty() && !uploads.is_empty() && !jobs.is_empty());
    check_transfers(&people.payer, &transfers).await;
    check_answers(&people, &answers, before).await;
    check_uploads(&people, &uploads).await;
    check_jobs(&people, &jobs, snapshot).await;
}

/// Each is in a block, once: the recipient has as many wei as transfers were mined.
async fn check_transfers(client: &ChainClient, transfers: &[B256]) {
    for hash in transfers {
        eventually("a transfer", async || in_block(client, *hash).await.then_some(())).await;
    }
    let address = key(SENDER).address();
    let count = |at: &'static str| client.rpc::<_, U256>("eth_getTransactionCount", (address, at));
    let mined = eventually("the last transfer", async || {
        let (latest, pending) = (count("latest").await.unwrap(), count("pending").await.unwrap());
        (latest == pending).then_some(latest)
    });
    let mined = mined.await;
    assert!(mined >= U256::from(transfers.len()), "{mined} of {} acknowledged transfers", transfers.len());
    assert_eq!(U256::from(client.balance(RECIPIENT).await.unwrap().0), mined);
}

async fn receipts(people: &People) -> Vec<ReceiptEntry> {
    let mut all: Vec<ReceiptEntry> = Vec::new();
    loop {
        let after = all.last().map_or(0, |entry| entry.receipt.receipt.sequence);
        let page = people.gateway.receipts(None, after).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Each acknowledged answer has its receipt, the channel's charges add up without a gap, and at most one request a
/// life of the node was charged without its answer having arrived.
async fn check_answers(people: &People, answers: &[(ReceiptHash, Wei)], before: usize) {
    let last = people.till().chat(&question("The last one?")).await.unwrap();
    let all = receipts(people).await;
    assert_eq!(all.last().map(|entry| entry.hash), last.receipt);
    for (hash, charged) in answers {
        let entry = all.iter().find(|entry| entry.hash == *hash);
        let entry = entry.unwrap_or_else(|| panic!("the acknowledged receipt {hash} is lost"));
        assert_eq!(entry.receipt.receipt.fee, charged.0);
        assert_eq!(people.gateway.receipt(*hash).await.unwrap().receipt.hash(), *hash);
    }
    let unacknowledged = all.len() - before - answers.len() - 1;
    assert!(unacknowledged as u64 <= LIVES, "{unacknowledged} charges without an answer in {LIVES} lives");
    let mut charged = 0;
    for entry in &all {
        let receipt = &entry.receipt.receipt;
        assert_eq!(receipt.channelId, all[0].receipt.receipt.channelId);
        assert_eq!(receipt.cumulativeBefore, charged, "a charge is missing or double");
        charged += receipt.fee;
        assert_eq!(receipt.cumulativeAfter, charged);
    }
    let epochs: Vec<EpochEntry> = eventually("settlement", async || {
        let epochs = people.gateway.epochs(0).await.unwrap();
        let settled = epochs.iter().filter(|epoch| epoch.state == EpochState::Final);
        (settled.map(|epoch| epoch.receipts).sum::<u64>() == all.len() as u64).then_some(epochs)
    })
    .await;
    let fees: u128 = epochs.iter().filter_map(|epoch| epoch.post.as_ref()).map(|post| post.fees_wei.0).sum();
    assert_eq!(fees, charged, "every charge was settled once");
}

/// Complete ones are complete, and the cut-off one can be completed.
async fn check_uploads(people: &People, uploads: &[Sent]) {
    for Sent { id, file, received } in uploads {
        people.gateway.upload(id, file, *received as u64).await.unwrap();
        let shown: Value = people.gateway.get(&format!("v1/uploads/{id}")).await.unwrap();
        assert_eq!((&shown["finished"], &shown["received_bytes"]), (&json!(true), &json!(file.len())), "{shown}");
    }
}

/// Each job ends, with what an undisturbed run of the same recipe makes.
async fn check_jobs(people: &People, jobs: &[u64], snapshot: SnapshotRef) {
    for job in jobs {
        people.finish(*job).await;
    }
    let undisturbed = people.submit(&people.job(snapshot, JOB_EPOCHS).await).await;
    people.finish(undisturbed).await;
    // Under a name that no model has: the first one's is taken.
    let draft = async |job| people.gateway.model_draft(job, "undisturbed").await.unwrap();
    let expected = draft(undisturbed).await;
    for job in jobs {
        let found = draft(*job).await;
        for field in ["weights_hash", "index_root"] {
            assert_eq!(found[field], expected[field], "{field} of job {job}");
        }
    }
}
