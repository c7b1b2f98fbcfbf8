//! What the mempool takes, what it refuses and in which words, and what it mines first.

use alloy_consensus::{SignableTransaction, Transaction, TxEip1559, TxLegacy};
use alloy_eips::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use op_alloy_consensus::{OpTxEnvelope, TxDeposit};
use openledger_chain::{PoolStatus, SubmitError, TX_BYTES_MAX, TX_GAS_MAX};

use crate::{
    harness::{Devnet, Draft, PATIENCE, mined},
    support::{CHAIN_ID, account},
};

/// A chain that mines only when told to, so that transactions stay in the pool.
fn paused() -> Devnet {
    Devnet::with(|config| config.block_time_s = 1_000_000_000)
}

async fn refused(devnet: &Devnet, tx: Bytes) -> SubmitError {
    devnet.chain.submit(tx).await.expect_err("the pool refuses it")
}

#[tokio::test]
async fn nonce_gaps_wait_until_they_are_filled() {
    let devnet = paused();
    let (sender, to) = (account(0), Address::ZERO);
    devnet.chain.submit(Draft::transfer(2, to, 1).sign(&sender)).await.unwrap();
    devnet.chain.submit(Draft::transfer(0, to, 1).sign(&sender)).await.unwrap();
    assert_eq!(devnet.chain.pool_status(), PoolStatus { pending: 1, queued: 1 });
    assert_eq!(devnet.chain.pending_nonce(&sender.address()).unwrap(), 1);
    devnet.chain.submit(Draft::transfer(1, to, 1).sign(&sender)).await.unwrap();
    assert_eq!(devnet.chain.pool_status(), PoolStatus { pending: 3, queued: 0 });
    devnet.chain.mine().await.unwrap();
    let body = devnet.latest().body(1).unwrap();
    let nonces: Vec<u64> = body.transactions[1..].iter().map(|tx| tx.nonce()).collect();
    assert_eq!(nonces, [0, 1, 2]);
    assert_eq!(devnet.chain.pool_status(), PoolStatus::default());
}

#[tokio::test]
async fn replacement_needs_ten_percent_more_on_both_caps() {
    let devnet = paused();
    let sender = account(0);
    let draft = |cap, tip| Draft::transfer(0, Address::ZERO, 1).fees(cap, tip).sign(&sender);
    devnet.chain.submit(draft(2_000_000_000, 1_000_000)).await.unwrap();
    assert_eq!(refused(&devnet, draft(2_200_000_000, 1_099_999)).await, SubmitError::Underpriced);
    assert_eq!(refused(&devnet, draft(2_199_999_999, 1_100_000)).await, SubmitError::Underpriced);
    assert_eq!(refused(&devnet, draft(2_000_000_000, 1_000_000)).await, SubmitError::AlreadyKnown);
    let hash = devnet.chain.submit(draft(2_200_000_000, 1_100_000)).await.unwrap();
    devnet.chain.mine().await.unwrap();
    let body = devnet.latest().body(1).unwrap();
    assert_eq!(body.transactions.len(), 2);
    assert_eq!(body.transactions[1].tx_hash(), hash);
}

#[tokio::test]
async fn higher_tips_are_mined_first_and_equal_tips_by_arrival() {
    let devnet = paused();
    let mut blocks = devnet.chain.subscribe_blocks();
    let tips = [(1u32, 5_000_000u128), (2, 9_000_000), (3, 5_000_000)];
    let mut last = None;
    for (index, tip) in tips {
        let draft = Draft::transfer(0, Address::ZERO, 1).fees(2_000_000_000, tip);
        last = Some(devnet.chain.submit(draft.sign(&account(index))).await.unwrap());
    }
    devnet.chain.mine().await.unwrap();
    let block = mined(&mut blocks, last.unwrap()).await;
    let order: Vec<Address> = block.body.senders[1..].to_vec();
    assert_eq!(order, [2, 1, 3].map(|index| account(index).address()));
}

#[tokio::test]
async fn refusals_name_the_rule_as_geth_does() {
    let devnet = paused();
    let sender = account(0);
    let expect = [
        (Draft::transfer(0, Address::ZERO, 1).fees(1, 2), "max priority fee per gas higher than max fee per gas"),
        (gas(20_999), "intrinsic gas too low"),
        (gas(TX_GAS_MAX + 1), "exceeds block gas limit"),
        (Draft::transfer(50_000, Address::ZERO, 1), "nonce too high"),
        (value(U256::MAX / U256::from(2)), "insufficient funds for gas * price + value"),
        (chain_id(1), "invalid chain id for signer: have 1 want 161201"),
        (gas(10_000_000).input(vec![0u8; TX_BYTES_MAX]), "oversized data"),
        (init_code(49_153), "max initcode size exceeded"),
    ];
    for (draft, text) in expect {
        let error = refused(&devnet, draft.sign(&sender)).await.to_string();
        assert!(error.starts_with(text), "{error:?} should start with {text:?}");
    }
    devnet.chain.submit(Draft::transfer(0, Address::ZERO, 1).sign(&sender)).await.unwrap();
    devnet.chain.mine().await.unwrap();
    let error = refused(&devnet, Draft::transfer(0, Address::ZERO, 2).sign(&sender)).await;
    assert_eq!(error, SubmitError::NonceTooLow { next: 1, nonce: 0 });
}

fn gas(limit: u64) -> Draft {
    let mut draft = Draft::transfer(0, Address::ZERO, 1);
    draft.0.gas_limit = limit;
    draft
}

fn value(value: U256) -> Draft {
    let mut draft = Draft::transfer(0, Address::ZERO, 1);
    draft.0.value = value;
    draft
}

fn chain_id(id: u64) -> Draft {
    let mut draft = Draft::transfer(0, Address::ZERO, 1);
    draft.0.chain_id = id;
    draft
}

fn init_code(bytes: usize) -> Draft {
    let mut draft = Draft::new(0, TxKind::Create).input(vec![0u8; bytes]);
    draft.0.gas_limit = 5_000_000;
    draft
}

#[tokio::test]
async fn deposits_blobs_and_unprotected_transactions_are_refused() {
    let devnet = paused();
    let deposit = OpTxEnvelope::from(TxDeposit::default()).encoded_2718();
    assert_eq!(refused(&devnet, deposit.into()).await, SubmitError::UnsupportedType);
    assert_eq!(refused(&devnet, vec![0x03, 0xc0].into()).await, SubmitError::UnsupportedType);
    let mut legacy =
        TxLegacy { gas_limit: 21_000, gas_price: 2_000_000_000, to: Address::ZERO.into(), ..TxLegacy::default() };
    let signature = account(0).sign_transaction_sync(&mut legacy).unwrap();
    let legacy = OpTxEnvelope::Legacy(legacy.into_signed(signature)).encoded_2718();
    assert_eq!(refused(&devnet, legacy.into()).await, SubmitError::Unprotected);
    for garbage in [vec![], vec![0xff; 40], vec![0x02, 0xc0, 0x00]] {
        assert!(matches!(refused(&devnet, garbage.into()).await, SubmitError::Decode(_)));
    }
}

#[tokio::test]
async fn mutated_signatures_never_act_for_the_signer() {
    let devnet = paused();
    let sender = account(0);
    let mut tx = TxEip1559 {
        chain_id: CHAIN_ID,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        to: Address::ZERO.into(),
        ..TxEip1559::default()
    };
    let signature = sender.sign_transaction_sync(&mut tx).unwrap();
    let order =
        U256::from_be_bytes(alloy_primitives::hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));
    let mirrored = alloy_primitives::Signature::new(signature.r(), order - signature.s(), !signature.v());
    let tx = OpTxEnvelope::Eip1559(tx.into_signed(mirrored)).encoded_2718();
    assert_eq!(refused(&devnet, tx.into()).await, SubmitError::InvalidSender);
}

#[tokio::test]
async fn limits_hold_and_gapped_transactions_make_room() {
    let devnet = Devnet::with(|config| {
        config.block_time_s = 1_000_000_000;
        config.pool.transactions_max = 4;
        config.pool.per_sender_max = 3;
    });
    let (hoarder, honest, to) = (account(0), account(1), Address::ZERO);
    for nonce in [5, 6, 7] {
        devnet.chain.submit(Draft::transfer(nonce, to, 1).sign(&hoarder)).await.unwrap();
    }
    let error = refused(&devnet, Draft::transfer(8, to, 1).sign(&hoarder)).await;
    assert_eq!(error, SubmitError::SenderLimit { limit: 3 });
    for nonce in [0, 1, 2] {
        devnet.chain.submit(Draft::transfer(nonce, to, 1).sign(&honest)).await.unwrap();
    }
    assert_eq!(devnet.chain.pool_status(), PoolStatus { pending: 3, queued: 1 });
    devnet.chain.submit(Draft::transfer(0, to, 1).sign(&account(2))).await.unwrap();
    assert_eq!(refused(&devnet, Draft::transfer(0, to, 1).sign(&account(3))).await, SubmitError::PoolFull);
}

#[tokio::test]
async fn pending_costs_of_a_sender_count_together() {
    let devnet = paused();
    let sender = account(0);
    let half = U256::from(10).pow(U256::from(24)) / U256::from(2);
    let spend = |nonce, wei: U256| {
        let mut draft = Draft::transfer(nonce, Address::ZERO, 0);
        draft.0.value = wei;
        draft.sign(&sender)
    };
    devnet.chain.submit(spend(0, half)).await.unwrap();
    let error = refused(&devnet, spend(1, half)).await;
    assert!(matches!(error, SubmitError::InsufficientFunds { .. }), "{error}");
}

/// Blocks are made while transactions arrive, so that every interleaving of the two occurs.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_arrive_while_blocks_are_made_are_all_mined() {
    const EACH: u64 = 60;
    let devnet = Devnet::with(|config| config.instant_batch_ms = 0);
    let mut blocks = devnet.chain.subscribe_blocks();
    let tasks: Vec<_> = (0..6u32)
        .map(|index| {
            let (chain, sender) = (devnet.chain.clone(), account(index));
            tokio::spawn(async move {
                for nonce in 0..EACH {
                    chain.submit(Draft::transfer(nonce, Address::ZERO, 1).sign(&sender)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let all = async {
        let mut included = 0;
        while included < 6 * EACH {
            included += blocks.recv().await.unwrap().body.transactions.len() as u64 - 1;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("every acknowledged transaction is mined");
    assert_eq!(devnet.chain.pool_status(), PoolStatus::default());
}

#[tokio::test]
async fn a_fee_cap_that_no_later_block_can_meet_is_refused() {
    let devnet = paused();
    // Costs nothing, so that an account without funds could send it.
    let free = Draft::transfer(0, Address::ZERO, 0).fees(0, 0).sign(&account(20));
    let error = refused(&devnet, free).await.to_string();
    assert_eq!(error, "max fee per gas less than block base fee: maxFeePerGas: 0, baseFee: 249 at the least");
    let capped = |cap| Draft::transfer(0, Address::ZERO, 0).fees(cap, 0).sign(&account(0));
    assert!(matches!(refused(&devnet, capped(248)).await, SubmitError::FeeCapTooLow { cap: 248, floor: 249 }));
    devnet.chain.submit(capped(249)).await.expect("the base fee may fall that far");
}

#[tokio::test]
async fn the_least_base_fee_of_a_genesis_is_the_least_fee_cap() {
    let devnet = Devnet::with(|config| {
        config.block_time_s = 1_000_000_000;
        let mut extra = alloy_primitives::hex!("01000000fa00000006").to_vec();
        extra.extend(5_000_000u64.to_be_bytes());
        config.genesis.extra_data = extra.into();
    });
    let capped = |cap| Draft::transfer(0, Address::ZERO, 0).fees(cap, 0).sign(&account(0));
    let error = refused(&devnet, capped(4_999_999)).await;
    assert_eq!(error, SubmitError::FeeCapTooLow { cap: 4_999_999, floor: 5_000_000 });
    devnet.chain.submit(capped(5_000_000)).await.unwrap();
}

#[tokio::test]
async fn a_full_pool_gives_up_the_cheapest_for_one_that_bids_more() {
    const GWEI: u128 = 1_000_000_000;
    let devnet = Devnet::with(|config| {
        config.block_time_s = 1_000_000_000;
        config.pool.transactions_max = 4;
    });
    let bid = |index, nonce, cap| Draft::transfer(nonce, Address::ZERO, 1).fees(cap, 1).sign(&account(index));
    // What bids much behind one that bids little is worth as little: it cannot be mined before that one.
    for tx in [bid(0, 0, GWEI), bid(0, 1, 9 * GWEI), bid(1, 0, 2 * GWEI), bid(1, 1, 2 * GWEI)] {
        devnet.chain.submit(tx).await.unwrap();
    }
    let pending = |index| devnet.chain.pending_nonce(&account(index).address()).unwrap();
    assert_eq!(refused(&devnet, bid(2, 0, GWEI)).await, SubmitError::PoolFull);
    devnet.chain.submit(bid(2, 0, 3 * GWEI)).await.unwrap();
    assert_eq!([0, 1, 2].map(pending), [1, 2, 1]);
    devnet.chain.submit(bid(3, 0, 2 * GWEI)).await.unwrap();
    assert_eq!([0, 1, 2, 3].map(pending), [0, 2, 1, 1]);
    assert_eq!(refused(&devnet, bid(4, 0, 2 * GWEI)).await, SubmitError::PoolFull);
    // A sender does not make room for itself: what follows would be left behind a gap.
    assert_eq!(refused(&devnet, bid(1, 2, 2 * GWEI)).await, SubmitError::PoolFull);
}

fn long(nonce: u64, bytes: usize, cap: u128) -> Draft {
    let mut draft = Draft::transfer(nonce, Address::ZERO, 1).input(vec![1; bytes]).fees(cap, cap);
    draft.0.gas_limit = 1_000_000;
    draft
}

#[tokio::test]
async fn a_replacement_counts_with_its_own_length() {
    let devnet = Devnet::with(|config| {
        config.block_time_s = 1_000_000_000;
        config.pool.bytes_max = 1_000;
    });
    let hash = devnet.chain.submit(long(0, 500, 2_000_000_000).sign(&account(0))).await.unwrap();
    assert_eq!(refused(&devnet, long(0, 5_000, 4_000_000_000).sign(&account(0))).await, SubmitError::PoolFull);
    devnet.chain.submit(long(0, 700, 4_000_000_000).sign(&account(0))).await.expect("what it replaces makes room");
    let status = PoolStatus { pending: 1, queued: 0 };
    assert_eq!(devnet.chain.pool_status(), status);
    assert_eq!(refused(&devnet, long(0, 5_000, 8_000_000_000).sign(&account(0))).await, SubmitError::PoolFull);
    assert_eq!(devnet.chain.pool_status(), status, "what would have been replaced stays");
    devnet.chain.mine().await.unwrap();
    let body = devnet.latest().body(1).unwrap();
    assert_eq!(body.transactions.len(), 2);
    assert_ne!(body.transactions[1].tx_hash(), hash);
}

#[tokio::test]
async fn a_long_transaction_takes_the_room_of_as_many_short_ones_as_it_needs() {
    let short = |nonce| Draft::transfer(nonce, Address::ZERO, 1).sign(&account(0));
    let length = short(5).len();
    let devnet = Devnet::with(|config| {
        config.block_time_s = 1_000_000_000;
        config.pool.bytes_max = 4 * length;
    });
    for nonce in 5..9 {
        devnet.chain.submit(short(nonce)).await.unwrap();
    }
    let over = long(0, 4 * length, 2_000_000_000).sign(&account(1));
    assert_eq!(refused(&devnet, over).await, SubmitError::PoolFull);
    assert_eq!(devnet.chain.pool_status(), PoolStatus { pending: 0, queued: 4 }, "nothing went for nothing");
    let tx = long(0, length, 2_000_000_000).sign(&account(1));
    assert!((2 * length..3 * length).contains(&tx.len()));
    devnet.chain.submit(tx).await.unwrap();
    assert_eq!(devnet.chain.pool_status(), PoolStatus { pending: 1, queued: 1 });
}

#[tokio::test]
async fn a_transaction_whose_sender_does_not_wait_for_the_answer_is_mined_all_the_same() {
    let devnet = Devnet::start();
    let mut blocks = devnet.chain.subscribe_blocks();
    let to = Address::repeat_byte(0x61);
    let mut submission = Box::pin(devnet.chain.submit(Draft::transfer(0, to, 7).sign(&account(0))));
    assert!(futures::poll!(&mut submission).is_pending());
    drop(submission);
    let included = async { while blocks.recv().await.unwrap().body.transactions.len() < 2 {} };
    tokio::time::timeout(PATIENCE, included).await.expect("it is mined");
    assert_eq!(devnet.latest().account(&to).unwrap().unwrap().balance, U256::from(7));
}
