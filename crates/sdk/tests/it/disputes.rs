use openledger_contracts::addresses::INFERENCE_HUB;
use openledger_contracts::{EpochPost, IInferenceHub, eip712};
use openledger_primitives::{B256, Wei};
use openledger_sdk::{Dispute, Fault};
use openledger_settlement::hub::HubClient as _;

use crate::devnet::{CHAIN_ID, Devnet, Role, key};

/// An epoch whose only account has more than the total that it posts.
fn wrong_epoch(cumulative: u128) -> EpochPost {
    let account = key(Role::Contributor).address();
    EpochPost {
        epoch: 1,
        receiptsRoot: B256::repeat_byte(1),
        receiptCount: 1,
        balanceRoot: eip712::claim_leaf(CHAIN_ID, account, cumulative),
        accountCount: 1,
        totalBalance: 0,
        fees: 0,
        burned: 0,
        stakers: 0,
        daCommitment: B256::repeat_byte(2),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_that_the_hub_upheld_is_told_with_what_it_cost() {
    let devnet = Devnet::start().await;
    let hub = devnet.client(Role::Settler).await.hub();
    let head = async || hub.client().block_number().await.unwrap();
    assert_eq!(hub.disputes(0, head().await).await.unwrap(), []);
    let post = wrong_epoch(5);
    hub.post_epoch(&post, &[]).await.unwrap();
    let next = EpochPost { epoch: 2, ..wrong_epoch(6) };
    hub.post_epoch(&next, &[]).await.unwrap();
    let challenger = devnet.client(Role::Contributor).await;
    let account = challenger.address();
    let call = IInferenceHub::challengeTotalCall { epoch: 1, account, cumulative: 5, index: 0, siblings: Vec::new() };
    let sent = challenger.send(INFERENCE_HUB, &call).await.unwrap();
    let told = hub.disputes(0, head().await).await.unwrap();
    let bond = Wei::from_open(10);
    let [dispute] = told.as_slice() else { panic!("one challenge: {told:?}") };
    let expected = Dispute {
        epoch: 1,
        challenger: account,
        subject: post.balanceRoot,
        fault: Fault::Balances,
        rejected: vec![1, 2],
        operator: key(Role::Operator).address(),
        reward: dispute.reward,
        burned: Wei(bond.0 - dispute.reward.0),
        block: sent.block,
        tx: sent.hash,
    };
    assert_eq!(dispute, &expected);
    assert!(dispute.reward > Wei::ZERO && dispute.reward < bond);
    assert_eq!(hub.disputes(sent.block + 1, sent.block + 1).await.unwrap(), []);
}
