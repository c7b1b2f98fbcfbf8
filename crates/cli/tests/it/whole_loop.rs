use openledger_primitives::{ModelId, Wei};
use openledger_sdk::api::EpochEntry;
use openledger_settlement::ledger::EpochState;
use openledger_settlement::verify::verify_receipt;

use crate::node::{FAST_EPOCHS, Home, eventually};
use crate::people::{CHAIN_ID, CONTRIBUTORS, People, key, question};
use crate::prepared;

/// Number of the development accounts, who are all that can be credited here.
const ACCOUNTS: u32 = 10;

/// The epochs, once all `receipts` are in final ones.
async fn final_epochs(people: &People, receipts: u64) -> Vec<EpochEntry> {
    eventually("the epochs", async || {
        let epochs = people.gateway.epochs(0).await.unwrap();
        let settled = epochs.iter().filter(|epoch| epoch.state == EpochState::Final);
        (settled.map(|epoch| epoch.receipts).sum::<u64>() == receipts).then_some(epochs)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_loop_runs_on_a_tiny_model() {
    let home = Home::new(FAST_EPOCHS);
    let node = home.start(&["--block-time-s", "1"]);
    let people = People::connect(&node).await;
    people.build(2).await;

    let till = people.till();
    let whole = till.chat(&question("Who broke in?")).await.unwrap();
    let mut stream = till.chat_stream(&question("Who broke in by night?")).await.unwrap();
    let mut text = String::new();
    while let Some(piece) = stream.next_text().await.unwrap() {
        text.push_str(&piece);
    }
    let charged = [whole.charged.unwrap(), stream.charged().unwrap()];
    let receipts = [whole.receipt.unwrap(), stream.receipt().unwrap()];
    assert_ne!(receipts[0], receipts[1]);
    assert_eq!(whole.disclosure().unwrap().answer, whole.text);
    assert!(charged.iter().all(|fee| !fee.is_zero()));

    let epochs = final_epochs(&people, 2).await;
    let posts: Vec<_> = epochs.iter().filter_map(|epoch| epoch.post.clone()).collect();
    let (fees, burned): (Wei, Wei) = (posts.iter().map(|p| p.fees_wei).sum(), posts.iter().map(|p| p.burned_wei).sum());
    let stakers: Wei = posts.iter().map(|post| post.stakers_wei).sum();
    let credited = posts.iter().map(|post| post.total_balance_wei).max().unwrap();
    assert_eq!(fees, charged.into_iter().sum());
    assert_eq!(fees.0, burned.0 + stakers.0 + credited.0);
    assert_eq!(people.payer.hub().total_burned().await.unwrap(), burned);

    for hash in receipts {
        let bundle = people.gateway.receipt(hash).await.unwrap();
        let model = ModelId(bundle.receipt.receipt.modelId);
        let terms = people.payer.models().terms(model).await.unwrap();
        assert!(terms.is_some(), "the model stands on chain");
        assert!(bundle.inclusion.is_some(), "the receipt is in a posted epoch");
        let report = verify_receipt(&bundle, CHAIN_ID, terms.as_ref(), None);
        assert!(report.passed(), "{:?}", report.first_fault());
    }
    let answer_hash = people.gateway.receipt(receipts[1]).await.unwrap().receipt.receipt.responseHash;
    assert!(!answer_hash.is_zero() && !text.is_empty(), "the stream carried the answer");

    let mut claimed = 0;
    for index in 0..ACCOUNTS {
        let account = key(index);
        let entry = people.gateway.claim(account.address()).await.unwrap();
        assert!(entry.proof.is_some() || !CONTRIBUTORS.contains(&index), "contributor {index} was credited");
        let Some(proof) = entry.proof else { continue };
        let (_, paid) = people.payer.with_signer(account).hub().claim(&proof).await.unwrap();
        claimed += paid.0;
    }
    assert_eq!(claimed, credited.0, "everything credited was claimed");
}

#[tokio::test(flavor = "multi_thread")]
async fn epochs_end_where_blocks_come_with_transactions_only() {
    let (home, _) = prepared::home().await;
    let node = home.start(&["--block-time-s", "0"]);
    let people = People::connect(&node).await;
    let answer = people.till().chat(&question("Who waits?")).await.unwrap();
    let epoch = people.gateway.receipt(answer.receipt.unwrap()).await.unwrap().receipt.receipt.epoch;
    eventually("the answer's epoch", async || {
        let epochs = people.gateway.epochs(epoch - 1).await.unwrap();
        epochs.iter().any(|one| one.number == epoch && one.state == EpochState::Final).then_some(())
    })
    .await;
}
