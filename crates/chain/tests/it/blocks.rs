//! Blocks hold together: roots, hashes, fees and the L1-info deposit.

use alloy_consensus::{Transaction, TxReceipt, proofs};
use alloy_primitives::{Address, Bloom, TxKind, U256, b256};
use openledger_chain::{L1_BLOCK, L1_INFO_DEPOSITOR, SEQUENCER_FEE_VAULT};

use crate::{
    harness::{Devnet, Draft, PATIENCE, include},
    support::{account, token_init_code},
};

#[tokio::test]
async fn transfer_moves_value_and_pays_fees_to_the_vaults() {
    let devnet = Devnet::start();
    let to = Address::repeat_byte(0x77);
    let block = include(&devnet, Draft::transfer(0, to, 12_345).sign(&account(0))).await;
    let view = devnet.latest();
    assert_eq!(view.account(&to).unwrap().unwrap().balance, U256::from(12_345));
    let base_fee = block.header.base_fee_per_gas.unwrap();
    let tip = view.account(&SEQUENCER_FEE_VAULT).unwrap().unwrap().balance;
    assert_eq!(tip, U256::from(21_000u64 * 1_000_000));
    let base_vault = openledger_chain::BASE_FEE_VAULT;
    let burned = view.account(&base_vault).unwrap().unwrap().balance;
    assert_eq!(burned, U256::from(21_000 * base_fee));
}

#[tokio::test]
async fn header_commits_to_body_and_receipts() {
    let devnet = Devnet::start();
    let deploy = Draft::new(0, TxKind::Create).input(token_init_code(U256::from(1_000)));
    let block = include(&devnet, deploy.sign(&account(0))).await;
    let header = block.header.inner();
    assert_eq!(header.hash_slow(), block.header.hash());
    assert_eq!(header.transactions_root, proofs::calculate_transaction_root(&block.body.transactions));
    assert_eq!(header.receipts_root, proofs::calculate_receipt_root(&block.receipts));
    let bloom = block.receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom());
    assert_eq!(header.logs_bloom, bloom);
    assert!(!bloom.is_zero(), "the constructor emits an event");
    assert_eq!(header.gas_used, block.receipts.last().unwrap().cumulative_gas_used());
    let empty_requests = b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(header.requests_hash, Some(empty_requests));
    let view = devnet.latest();
    assert_eq!(view.header(header.number).unwrap().unwrap(), block.header);
    assert_eq!(view.body(header.number).unwrap(), block.body);
    assert_eq!(view.receipts(header.number).unwrap(), block.receipts);
    assert_eq!(view.stored_root().unwrap(), header.state_root);
}

#[tokio::test]
async fn every_block_opens_with_the_l1_info_deposit() {
    let devnet = Devnet::start();
    let block = include(&devnet, Draft::transfer(0, Address::ZERO, 1).sign(&account(0))).await;
    let first = &block.body.transactions[0];
    assert!(first.is_deposit());
    assert_eq!(block.body.senders[0], L1_INFO_DEPOSITOR);
    assert_eq!(first.to(), Some(L1_BLOCK));
    assert_eq!(first.input()[..4], [0x3d, 0xb6, 0xbe, 0x2b]);
    assert_eq!(first.input().len(), 178);
    assert_eq!(block.receipts[0].deposit_nonce(), Some(0));
    assert!(block.receipts[0].status());
}

#[tokio::test]
async fn an_instant_chain_that_may_not_idle_keeps_time_without_transactions() {
    let devnet = Devnet::with(|config| config.idle_block_s = 1);
    let mut blocks = devnet.chain.subscribe_blocks();
    let mut last = devnet.chain.head().timestamp;
    for _ in 0..2 {
        let block = tokio::time::timeout(PATIENCE, blocks.recv()).await.expect("an idle block comes").unwrap();
        assert_eq!(block.body.transactions.len(), 1, "nothing but the L1-info deposit");
        assert!(block.header.timestamp > last);
        last = block.header.timestamp;
    }
}

#[tokio::test]
async fn regular_blocks_come_while_transactions_arrive_and_the_clock_is_behind_the_head() {
    let devnet = Devnet::with(|config| {
        config.block_time_s = 1;
        config.genesis.timestamp = 4_000_000_000;
    });
    let mut blocks = devnet.chain.subscribe_blocks();
    let steady = async {
        for nonce in 0.. {
            devnet.chain.submit(Draft::transfer(nonce, Address::ZERO, 1).sign(&account(0))).await.unwrap();
        }
    };
    tokio::select! {
        block = blocks.recv() => assert_eq!(block.unwrap().header.timestamp, 4_000_000_001),
        () = steady => {}
        () = tokio::time::sleep(PATIENCE) => panic!("no block was made"),
    }
}

#[tokio::test]
async fn base_fee_follows_the_extra_data_and_timestamps_rise() {
    let devnet = Devnet::start();
    let mut parent = devnet.chain.head();
    for nonce in 0..3 {
        let block = include(&devnet, Draft::transfer(nonce, Address::ZERO, 1).sign(&account(0))).await;
        assert_eq!(block.header.parent_hash, parent.hash());
        assert!(block.header.timestamp > parent.timestamp);
        let gas = parent.gas_used.max(parent.blob_gas_used.unwrap());
        let target = parent.gas_limit / 6;
        let base = parent.base_fee_per_gas.unwrap();
        let fall = u128::from(base) * u128::from(target - gas) / u128::from(target) / 250;
        assert_eq!(block.header.base_fee_per_gas.unwrap(), base - fall as u64);
        parent = block.header.clone();
    }
}
