use std::sync::Arc;

use alloy_network::eip2718::Encodable2718;
use alloy_network::{EthereumWallet, NetworkTransactionBuilder};
use alloy_primitives::{Bytes, U256};
use alloy_rpc_types_eth::{Authorization, TransactionRequest};
use alloy_signer::SignerSync;
use openledger_contracts::addresses::DATANET_REGISTRY;
use openledger_contracts::{DatanetParams, LicenceTerms, ModelParams, SnapshotRef};
use openledger_primitives::{Address, B256, Wei, keccak256};
use openledger_sdk::api::ChatRequest;
use openledger_sdk::{ChainError, Contribution, GatewayClient, PayerOptions, SnapshotPost, Wallet};
use openledger_settlement::hub::HubClient;
use openledger_settlement::ledger::EpochState;
use openledger_settlement::verify::verify_receipt;
use openledger_settlement::worker::{SettlementWorker, WorkerOptions};

use crate::devnet::{CHAIN_ID, Devnet, Role, key};
use crate::till_server::{BPS, PRICE, TillServer, fee, snapshot_root};

/// A Datanet with one contribution and a snapshot, and a model trained on it, all on chain.
async fn publish_model(devnet: &Devnet) -> openledger_primitives::ModelId {
    let owner = devnet.client(Role::Governance).await.datanets();
    let terms = LicenceTerms {
        commercialUse: true,
        derivatives: true,
        attribution: true,
        revenueFloorBps: 3000,
        expiry: 0,
        uri: "ipfs://licence".into(),
    };
    let params = DatanetParams { name: "attack".into(), terms, acceptancePolicy: "any".into(), curators: vec![] };
    let (_, datanet) = owner.create(params).await.unwrap();
    let contributor = devnet.client(Role::Contributor).await;
    let batch_root = keccak256("batch");
    let contribution = Contribution { datanet, batch_root, record_count: 2, salt: B256::repeat_byte(3) };
    let commitment = owner.commitment(&contribution, contributor.address());
    owner.commit(datanet, commitment).await.unwrap();
    devnet.pass(60).await;
    let consent = contributor.datanets().sign_consent(&contribution).await.unwrap();
    owner.reveal(&contribution, contributor.address(), consent).await.unwrap();
    assert_eq!(owner.batch(datanet, batch_root).await.unwrap().contributor, contributor.address());
    let post = SnapshotPost {
        root: snapshot_root(),
        record_count: 2,
        contributor_count: 1,
        content_hash: keccak256("content"),
        da_commitment: keccak256("da"),
    };
    let (_, snapshot) = owner.publish_snapshot(datanet, post).await.unwrap();
    let models = devnet.client(Role::Builder).await.models();
    models.register_base(B256::repeat_byte(1), "base").await.unwrap();
    let params = ModelParams {
        name: "attack-techniques".into(),
        manifestHash: keccak256("manifest"),
        baseModel: B256::repeat_byte(1),
        weightsHash: B256::repeat_byte(2),
        indexRoot: B256::repeat_byte(8),
        snapshots: vec![SnapshotRef { datanetId: datanet.0, snapshotId: snapshot.0, root: snapshot_root() }],
        parents: vec![],
        price: PRICE,
        split: BPS,
    };
    models.publish(params).await.unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn paid_questions_end_as_claims_on_the_real_contracts() {
    let devnet = Devnet::start().await;
    let model = publish_model(&devnet).await;
    let server = TillServer::start(&devnet, model).await;
    devnet.client(Role::Builder).await.stakers().stake(Wei::from_open(5)).await.unwrap();
    let wallet = Wallet::new(devnet.client(Role::Payer).await, PayerOptions { channels: 2, ..PayerOptions::default() });
    let gateway = GatewayClient::new(&server.url).unwrap().with_wallet(wallet);
    let question = ChatRequest::question("attack-techniques", "Which technique is this?");
    let (first, second) = tokio::join!(gateway.chat(&question), gateway.chat(&question));
    let receipts = [first.unwrap().receipt.unwrap(), second.unwrap().receipt.unwrap()];
    let hub: Arc<dyn HubClient> = server.hub.clone();
    let worker = SettlementWorker::new(server.ledger.clone(), hub, WorkerOptions::default());
    worker.seal().await.unwrap();
    worker.step().await.unwrap();
    assert_eq!(server.ledger.epoch(1).unwrap().unwrap().state, EpochState::Posted);
    let posted = server.hub.posted_epoch(1).await.unwrap();
    assert_eq!((posted.fees, posted.receiptCount), (2 * fee().0, 2));

    let proof = server.ledger.claim_proof(key(Role::Contributor).address(), 1).unwrap().unwrap();
    let early = server.hub.claim(&proof).await.unwrap_err();
    assert!(matches!(&early, ChainError::Reverted { .. }), "{early}");
    devnet.pass(server.hub.challenge_window().await.unwrap() + 1).await;
    worker.step().await.unwrap();
    assert_eq!(server.ledger.epoch(1).unwrap().unwrap().state, EpochState::Final);
    assert_eq!(server.hub.last_final_epoch().await.unwrap(), 1);
    assert_eq!(server.hub.total_burned().await.unwrap(), Wei(posted.burned));
    let earned = devnet.client(Role::Builder).await.stakers().earned(key(Role::Builder).address()).await.unwrap();
    assert!(earned.0 <= posted.stakers && posted.stakers - earned.0 <= 1, "the pool carries at most a wei a member");

    let mut paid = 0;
    for (account, owed) in server.ledger.balances_at(1).unwrap() {
        let proof = server.ledger.claim_proof(account, 1).unwrap().unwrap();
        let before = server.hub.client().balance(account).await.unwrap();
        let (_, amount) = server.hub.claim(&proof).await.unwrap();
        assert_eq!(amount, owed);
        assert_eq!(server.hub.client().balance(account).await.unwrap(), Wei(before.0 + owed.0));
        let again = server.hub.claim(&proof).await.unwrap_err();
        assert!(again.is_revert("InferenceHub_NothingToClaim"), "{again}");
        paid += amount.0;
    }
    assert_eq!(posted.fees, posted.burned + posted.stakers + paid);

    let terms = server.hub.client().models().terms(model).await.unwrap().unwrap();
    for hash in receipts {
        let bundle = server.ledger.bundle(hash).unwrap().unwrap();
        let receipts = [bundle.receipt.clone()];
        let context = server.ledger.context_of(&receipts).unwrap();
        let report = verify_receipt(&bundle, CHAIN_ID, Some(&terms), Some(&context));
        assert!(report.passed() && report.missing.is_empty(), "{report:?}");
    }
}

/// The payer's account delegates to the code at `to` (EIP-7702); somebody else sends the transaction.
async fn delegate(devnet: &Devnet, to: Address) {
    let (payer, sender) = (key(Role::Payer), devnet.client(Role::Builder).await);
    let nonce = async |account: Address| -> u64 {
        sender.rpc::<_, U256>("eth_getTransactionCount", (account, "latest")).await.unwrap().to()
    };
    let authorization =
        Authorization { chain_id: U256::from(CHAIN_ID), address: to, nonce: nonce(payer.address()).await };
    let signature = payer.sign_hash_sync(&authorization.signature_hash()).unwrap();
    let mut request = TransactionRequest::default().from(sender.address()).to(sender.address());
    request = request.nonce(nonce(sender.address()).await).gas_limit(200_000);
    request = request.max_fee_per_gas(10_000_000_000).max_priority_fee_per_gas(1_000_000);
    request.chain_id = Some(CHAIN_ID);
    request.authorization_list = Some(vec![authorization.into_signed(signature)]);
    let signed = request.build(&EthereumWallet::new(sender.signer().clone())).await.unwrap();
    let _: B256 = sender.rpc("eth_sendRawTransaction", (Bytes::from(signed.encoded_2718()),)).await.unwrap();
    // One that comes after it is in a block, so it is.
    sender.transfer(sender.address(), Wei::ZERO).await.unwrap();
    let code: Bytes = sender.rpc("eth_getCode", (payer.address(), "latest")).await.unwrap();
    assert!(!code.is_empty(), "the account has code");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_that_takes_on_code_after_its_answer_still_pays() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, publish_model(&devnet).await).await;
    let wallet = Wallet::new(devnet.client(Role::Payer).await, PayerOptions::default());
    let gateway = GatewayClient::new(&server.url).unwrap().with_wallet(wallet);
    gateway.chat(&ChatRequest::question("attack-techniques", "Which technique is this?")).await.unwrap();
    // Code that knows of no signatures: asked for one, it reverts.
    delegate(&devnet, DATANET_REGISTRY).await;
    let hub: Arc<dyn HubClient> = server.hub.clone();
    let worker = SettlementWorker::new(server.ledger.clone(), hub, WorkerOptions::default());
    worker.seal().await.unwrap();
    worker.step().await.unwrap();
    assert_eq!(server.hub.posted_epoch(1).await.unwrap().fees, fee().0);
}
