//! Royalties: a model that descends from others pays their builders, from the question to the claim.

use std::path::Path;

use openledger_contracts::{ModelParams, SolValue as _};
use openledger_datanet::DATANET_SCHEMA;
use openledger_gateway::catalog::GATEWAY_SCHEMA;
use openledger_primitives::{Address, B256, Bytes, DatanetId, ModelId, Wei};
use openledger_sdk::SnapshotPost;
use openledger_sdk::api::ChatRequest;
use openledger_settlement::ledger::{EpochState, Ledger, SETTLEMENT_SCHEMA};
use openledger_settlement::verify::Stage;
use openledger_store::Store;
use openledger_testkit::people::BUILDER;
use openledger_train::{SnapshotRef, TRAIN_SCHEMA};
use serde_json::{Value, json};

use crate::commands::program;
use crate::node::{FAST_EPOCHS, Home, Node, eventually};
use crate::people::{CHAIN_ID, MODEL, People, key};

/// Builder of one parent; [`BUILDER`] builds the two others.
const SECOND_BUILDER: u32 = 8;
/// Builder of the child.
const CHILD_BUILDER: u32 = 9;
/// Publishes what the job did not make.
const CHEAT: u32 = 7;
/// Publishes it with another snapshot.
const SNAPSHOT_CHEAT: u32 = 6;
const CHILD: &str = "tiny-child";
/// What parents get of each fee, in basis points.
const PARENTS_BPS: u128 = 500;

/// Publishes a job's model under a name, built by an account, with what `change` makes of the draft; gives its id.
async fn publish(
    people: &People,
    (job, name, builder): (u64, &str, u32),
    change: impl FnOnce(&mut ModelParams),
) -> ModelId {
    let draft: Value = people.gateway.get(&format!("v1/fine_tuning/jobs/{job}/model?name={name}")).await.unwrap();
    let abi: Bytes = serde_json::from_value(draft["abi"].clone()).unwrap();
    let mut params = ModelParams::abi_decode(&abi).unwrap();
    change(&mut params);
    people.builder.with_signer(key(builder)).models().publish(params).await.unwrap().1
}

/// Has the node serve a job's model that is on chain.
async fn serve(people: &People, job: u64, name: &str, builder: u32) -> Result<Value, openledger_sdk::GatewayError> {
    let body = json!({"name": name, "builder": key(builder).address()});
    people.gateway.post(&format!("v1/fine_tuning/jobs/{job}/model"), &body).await
}

/// Trains a model of those parents.
async fn train(people: &People, snapshot: SnapshotRef, name: &str, seed: u64, parents: &[ModelId]) -> u64 {
    let mut job = people.job(snapshot, 1).await;
    job["recipe"]["name"] = json!(name);
    job["recipe"]["seed"] = json!(seed.to_string());
    job["terms"]["parents"] = json!(parents);
    let job = people.submit(&job).await;
    people.finish(job).await;
    job
}

/// Three published parents, two of them of the same builder, and the job of their child.
async fn family(people: &People) -> (Vec<ModelId>, u64) {
    let snapshot = people.build(1).await;
    let models = people.gateway.models().await.unwrap();
    let first = models.iter().find(|model| model["id"] == MODEL).unwrap();
    let mut parents: Vec<ModelId> = vec![serde_json::from_value(first["openledger"]["model_id"].clone()).unwrap()];
    let job = train(people, snapshot, "tiny-second", 2, &[]).await;
    for (name, builder) in [("tiny-second", SECOND_BUILDER), ("tiny-third", BUILDER)] {
        parents.push(publish(people, (job, name, builder), |_| {}).await);
    }
    let child = train(people, snapshot, CHILD, 3, &parents).await;
    (parents, child)
}

fn ask(text: &str) -> ChatRequest {
    ChatRequest { max_tokens: Some(6), ..ChatRequest::question(CHILD, text) }
}

/// What `receipt verify` finds: its exit code and its report.
fn verify(home: &Home, node: &Node, receipt: &str) -> (Option<i32>, Value) {
    let output = tokio::task::block_in_place(|| {
        program(home.root(), &node.rpc, &node.gateway, &["receipt", "verify", receipt, "--json"])
    });
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// A receipt's bundle as the gateway gives it, once its epoch is final.
async fn settled(people: &People, receipt: &str) -> Value {
    eventually("the receipt's epoch", async || {
        let epochs = people.gateway.epochs(0).await.unwrap();
        let bundle: Value = people.gateway.get(&format!("v1/receipts/{receipt}")).await.unwrap();
        let number = bundle["receipt"]["epoch"].as_u64();
        let closed = epochs.iter().any(|one| Some(one.number) == number && one.state == EpochState::Final);
        closed.then_some(bundle)
    })
    .await
}

fn wei(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

/// The same receipt in a file, with a wei of the payout of one account given to another.
fn tampered(home: &Home, bundle: &Value, disclosure: &Value, [from, to]: [Address; 2]) -> String {
    let mut bundle = bundle.clone();
    for payout in bundle["payouts"].as_array_mut().unwrap() {
        let account: Address = serde_json::from_value(payout["account"].clone()).unwrap();
        let amount = wei(&payout["amount"]);
        let amount = if account == from {
            amount - 1
        } else if account == to {
            amount + 1
        } else {
            amount
        };
        payout["amount"] = json!(amount.to_string());
    }
    let path = home.path("tampered.json");
    let evidence = json!({"version": 1, "bundle": bundle, "disclosure": disclosure});
    std::fs::write(&path, evidence.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What a data directory holds that was made before parents were paid.
fn forget_parents(data: &Path) {
    let forgotten = store(data).with_tx(|tx| tx.execute("DELETE FROM settlement_parents", [])).unwrap();
    assert_eq!(forgotten, 2, "two builders were known");
}

/// The store of a node that has stopped.
fn store(data: &Path) -> Store {
    let schemas = [DATANET_SCHEMA, TRAIN_SCHEMA, SETTLEMENT_SCHEMA, GATEWAY_SCHEMA];
    Store::open(data.join("store"), &schemas).unwrap()
}

/// What the command line says of parents before anything is trained or signed.
fn shown_before(home: &Home, node: &Node, parent: ModelId, job: u64) {
    let run = |arguments: &[&str]| {
        let output = program(home.root(), &node.rpc, &node.gateway, arguments);
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (_, recipe) = run(&["train", "recipe", "grandchild", "--datanet", "1"]);
    std::fs::write(home.path("recipe.json"), recipe).unwrap();
    let start = |parent: &str| run(&["train", "start", "recipe.json", "--dry-run", "--parent", parent]);
    let (started, said) = start(&parent.to_string());
    assert!(started, "{said}");
    let (started, said) = start(&ModelId([0x77; 32].into()).to_string());
    assert!(!started && said.contains("is not a published model"), "{said}");
    let (_, said) = run(&["--account", "9", "train", "publish", &job.to_string(), "--name", CHILD, "--dry-run"]);
    assert!(said.contains("45 % to the data's contributors"), "{said}");
    assert!(said.contains("5 % to the builders of its parents"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_builders_of_parents_are_paid_from_the_question_to_the_claim() {
    let home = Home::new(FAST_EPOCHS);
    let node = home.start(&["--block-time-s", "1"]);
    let people = People::connect(&node).await;
    let (parents, job) = family(&people).await;
    tokio::task::block_in_place(|| shown_before(&home, &node, parents[0], job));

    // Who publishes by a transaction of their own cannot leave a parent out.
    publish(&people, (job, CHILD, CHEAT), |params| params.parents.truncate(1)).await;
    let refused = serve(&people, job, CHILD, CHEAT).await.unwrap_err();
    assert!(refused.to_string().contains("other parents"), "{refused}");
    // Nor name another snapshot than the model was trained on, by which its receipts would be challenged.
    let datanet = DatanetId(1);
    let root = B256::repeat_byte(0x5a);
    let other = SnapshotPost { root, record_count: 1, contributor_count: 1, content_hash: root, da_commitment: root };
    let (_, snapshot) = people.builder.datanets().publish_snapshot(datanet, other).await.unwrap();
    publish(&people, (job, CHILD, SNAPSHOT_CHEAT), |params| {
        params.snapshots[0].snapshotId = snapshot.0;
        params.snapshots[0].root = root;
    })
    .await;
    let refused = serve(&people, job, CHILD, SNAPSHOT_CHEAT).await.unwrap_err();
    assert!(refused.to_string().contains("other snapshots"), "{refused}");
    let child = publish(&people, (job, CHILD, CHILD_BUILDER), |params| {
        assert_eq!(u128::from(params.split.parents), PARENTS_BPS, "the draft pays parents");
        assert_eq!(params.parents, parents.iter().map(|parent| parent.0).collect::<Vec<_>>());
    })
    .await;
    serve(&people, job, CHILD, CHILD_BUILDER).await.unwrap();

    let answer = people.till().chat(&ask("Who was first?")).await.unwrap();
    let (fee, receipt) = (answer.charged.unwrap(), answer.receipt.unwrap().to_string());
    let bundle = settled(&people, &receipt).await;
    assert_eq!(bundle["receipt"]["modelId"], json!(child));
    let part = fee.0 * PARENTS_BPS / 10_000;
    assert_eq!(wei(&bundle["receipt"]["split"]["parents"]), part);

    // Prefix rounding in the order of addresses, by the number of parents built.
    let mut shares = [(key(BUILDER).address(), 2), (key(SECOND_BUILDER).address(), 1)];
    shares.sort();
    let first = part * shares[0].1 / 3;
    let due = [(shares[0].0, first), (shares[1].0, part - first)];
    let named = |account: Address| {
        let payouts = bundle["payouts"].as_array().unwrap().iter();
        payouts.filter(|payout| payout["account"] == json!(account)).map(|payout| wei(&payout["amount"])).sum::<u128>()
    };
    assert!(due.iter().all(|&(account, amount)| amount > 0 && named(account) == amount), "{due:?}: {bundle}");
    let split = &bundle["receipt"]["split"];
    let everyone: u128 = bundle["payouts"].as_array().unwrap().iter().map(|payout| wei(&payout["amount"])).sum();
    assert_eq!(fee.0, wei(&split["burn"]) + wei(&split["stakers"]) + everyone);

    let (code, report) = verify(&home, &node, &receipt);
    assert_eq!((code, &report["missing"]), (Some(0), &json!([])), "{report}");
    assert!(report["checks"].as_array().unwrap().iter().any(|check| check["name"] == "payouts"), "{report}");
    let disclosure = serde_json::to_value(answer.disclosure().unwrap()).unwrap();
    let file = tampered(&home, &bundle, &disclosure, due.map(|(account, _)| account));
    let (code, report) = verify(&home, &node, &file);
    let fault = &report["first_fault"];
    assert_eq!((code, &fault["name"], &fault["stage"]), (Some(3), &json!("payouts"), &json!(Stage::Split)), "{report}");
    assert!(fault["expected"].as_str().unwrap().contains("as builder of a parent model"), "{fault}");

    for (index, account) in [BUILDER, SECOND_BUILDER].map(|index| (index, key(index).address())) {
        let proof = people.gateway.claim(account).await.unwrap().proof.unwrap();
        let (_, paid) = people.payer.with_signer(key(index)).hub().claim(&proof).await.unwrap();
        assert_eq!(paid, Wei(named(account)), "account {index} claims its royalties and no more");
    }

    assert!(node.interrupt().0.success());
    forget_parents(&home.data());
    assert!(home.start(&[]).interrupt().0.success());
    assert!(Ledger::new(store(&home.data()), CHAIN_ID).knows_parents(child).unwrap(), "known before anybody asks");
    let node = home.start(&["--block-time-s", "1"]);
    let people = People::connect(&node).await;
    let again = people.till().chat(&ask("Who is paid again?")).await.unwrap().receipt.unwrap().to_string();
    settled(&people, &again).await;
    let (code, report) = verify(&home, &node, &again);
    assert_eq!((code, &report["missing"]), (Some(0), &json!([])), "{report}");
}
