//! Deposit, voucher, epoch, claim: the whole of a payment, with trees made in Rust.

use alloy_primitives::{Address, B256, U256, aliases::U40};
use alloy_signer::SignerSync;
use openledger_contracts::addresses::*;
use openledger_contracts::{
    ChannelConfig, EpochPost, IInferenceHub, IStakerPool, IWrappedOpen, SolCall, SolStruct, SumNode, VoucherClaim,
    eip712,
};
use openledger_primitives::sum_tree::{SumLeaf, SumTree};

use crate::chain::{CHAIN_ID, Chain, config, key};

const OPEN: u128 = 1_000_000_000_000_000_000;

fn channel(payer: Address) -> ChannelConfig {
    ChannelConfig {
        payer,
        payerAuthorizer: Address::ZERO,
        receiver: INFERENCE_HUB,
        receiverAuthorizer: key(2).address(),
        token: WRAPPED_OPEN,
        withdrawDelay: U40::from(3600),
        salt: B256::ZERO,
    }
}

fn balances(count: u8, each: u128) -> Vec<(Address, u128)> {
    let mut accounts: Vec<_> = (0..count).map(|i| (key(100 + i).address(), each + u128::from(i))).collect();
    accounts.sort();
    accounts
}

fn tree(accounts: &[(Address, u128)]) -> SumTree {
    let leaf = |&(account, sum): &(Address, u128)| SumLeaf { hash: eip712::claim_leaf(CHAIN_ID, account, sum), sum };
    SumTree::from_leaves(accounts.iter().map(leaf).collect()).unwrap()
}

fn epoch(number: u64, tree: &SumTree, fees: u128, burned: u128, stakers: u128) -> EpochPost {
    let root = tree.root();
    EpochPost {
        epoch: number,
        receiptsRoot: B256::repeat_byte(1),
        receiptCount: 1,
        balanceRoot: root.hash,
        accountCount: tree.size(),
        totalBalance: root.sum,
        fees,
        burned,
        stakers,
        daCommitment: B256::repeat_byte(2),
    }
}

fn claim_call(tree: &SumTree, accounts: &[(Address, u128)], index: usize) -> IInferenceHub::claimCall {
    let proof = tree.prove(index as u64).unwrap();
    let siblings = proof.siblings.iter().map(|node| SumNode { hash: node.hash, sum: U256::from(node.sum) });
    let (account, cumulative) = accounts[index];
    IInferenceHub::claimCall { account, cumulative, index: proof.index, siblings: siblings.collect() }
}

#[test]
fn fees_are_claimed_burned_staked_and_credited_to_the_wei() {
    let mut chain = Chain::new(&config());
    let payer = key(4);
    let config = channel(payer.address());
    let id = eip712::channel_id(CHAIN_ID, &config);
    chain.call(payer.address(), INFERENCE_HUB, 10 * OPEN, &IInferenceHub::depositCall { config: config.clone() });
    chain.call(payer.address(), STAKER_POOL, 3 * OPEN, &IStakerPool::stakeCall {});

    let accounts = balances(13, OPEN / 10);
    let tree = tree(&accounts);
    let (burned, stakers) = (OPEN / 7, OPEN / 11);
    let fees = tree.root().sum + burned + stakers;
    let signature = payer.sign_hash_sync(&eip712::voucher_digest(CHAIN_ID, id, 5 * OPEN)).unwrap();
    let claim = VoucherClaim {
        config,
        maxClaimableAmount: 5 * OPEN,
        signature: signature.as_bytes().into(),
        totalClaimed: fees,
    };
    let post = IInferenceHub::postEpochCall { post: epoch(1, &tree, fees, burned, stakers), claims: vec![claim] };
    let hub_before = chain.balance(INFERENCE_HUB);
    chain.call(key(3).address(), INFERENCE_HUB, 0, &post);
    let finalize = IInferenceHub::finalizeEpochCall { epoch: 1 };
    let early = chain.send(key(9).address(), INFERENCE_HUB, U256::ZERO, finalize.abi_encode());
    assert!(early.is_err(), "final before the window closed");
    chain.now_s += 60;
    chain.call(key(9).address(), INFERENCE_HUB, 0, &finalize);
    assert_eq!(chain.balance(INFERENCE_HUB), hub_before - U256::from(burned + stakers));
    assert_eq!(chain.view(INFERENCE_HUB, &IInferenceHub::totalBurnedCall {}), burned);
    let earned = chain.view(STAKER_POOL, &IStakerPool::earnedCall { account: payer.address() });
    assert!(U256::from(stakers) - earned <= U256::ONE);

    for index in 0..accounts.len() {
        let call = claim_call(&tree, &accounts, index);
        assert_eq!(chain.call(key(9).address(), INFERENCE_HUB, 0, &call), accounts[index].1);
        assert_eq!(chain.balance(accounts[index].0), U256::from(accounts[index].1));
        let again = chain.send(key(9).address(), INFERENCE_HUB, U256::ZERO, call.abi_encode());
        assert!(again.is_err(), "paid twice");
    }
    assert_eq!(chain.view(INFERENCE_HUB, &IInferenceHub::fundedCreditsCall {}), 0);
    let left = chain.view(INFERENCE_HUB, &IInferenceHub::channelsCall { channelId: id });
    assert_eq!((left.balance, left.totalClaimed), (10 * OPEN, fees));
}

#[test]
fn a_relayer_funds_a_channel_by_authorisation() {
    let mut chain = Chain::new(&config());
    let payer = key(4);
    let config = channel(payer.address());
    let id = eip712::channel_id(CHAIN_ID, &config);
    chain.call(payer.address(), WRAPPED_OPEN, 4 * OPEN, &IWrappedOpen::depositCall {});
    let salt = B256::repeat_byte(5);
    let authorization = eip712::ReceiveWithAuthorization {
        from: payer.address(),
        to: INFERENCE_HUB,
        value: U256::from(3 * OPEN),
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        nonce: eip712::deposit_nonce(id, salt),
    };
    let digest = authorization.eip712_signing_hash(&eip712::wrapped_open_domain(CHAIN_ID));
    let deposit = IInferenceHub::depositWithAuthorizationCall {
        config: config.clone(),
        amount: 3 * OPEN,
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        salt,
        signature: payer.sign_hash_sync(&digest).unwrap().as_bytes().into(),
    };
    chain.call(key(9).address(), INFERENCE_HUB, 0, &deposit);
    let funded = chain.view(INFERENCE_HUB, &IInferenceHub::channelsCall { channelId: id });
    assert_eq!((funded.balance, funded.totalClaimed), (3 * OPEN, 0));
    let replay = chain.send(key(9).address(), INFERENCE_HUB, U256::ZERO, deposit.abi_encode());
    assert!(replay.is_err(), "an authorisation counted twice");
}
