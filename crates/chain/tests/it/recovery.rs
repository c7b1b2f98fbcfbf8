//! Stopping and crashing: what was acknowledged is still there.

use std::{fs, path::Path};

use alloy_primitives::{Address, U256};
use openledger_chain::{
    Chain, ChainConfig, JOURNAL_FILE, OpenChainError, PoolStatus, encode_journal_record,
    store::{DATABASE_FILE, FORMAT_VERSION},
};

use crate::{
    harness::{Devnet, Draft, config, include},
    support::{account, token_init_code},
};

/// The files as a crash at this moment would leave them: copied while the chain runs.
fn crash_copy(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in [DATABASE_FILE, JOURNAL_FILE] {
        fs::copy(dir.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

fn reopen(dir: &Path, like: &ChainConfig) -> Chain {
    let mut config = like.clone();
    config.data_dir = dir.into();
    Chain::open(config).expect("the chain opens again")
}

#[tokio::test]
async fn reopened_chain_continues_where_it_stopped() {
    let devnet = Devnet::start();
    let config = config(&devnet.dir);
    let deploy = Draft::new(0, alloy_primitives::TxKind::Create).input(token_init_code(U256::from(9)));
    include(&devnet, deploy.sign(&account(0))).await;
    let head = devnet.chain.head();
    let Devnet { chain, dir } = devnet;
    chain.shutdown();
    drop(chain);
    let devnet = Devnet { chain: reopen(dir.path(), &config), dir };
    assert_eq!(devnet.chain.head(), head);
    let block = include(&devnet, Draft::transfer(1, Address::ZERO, 1).sign(&account(0))).await;
    assert_eq!(block.header.parent_hash, head.hash());
    assert_eq!(devnet.latest().stored_root().unwrap(), block.header.state_root);
}

#[tokio::test]
async fn acknowledged_transactions_survive_a_crash_and_are_mined() {
    let devnet = Devnet::with(|config| config.block_time_s = 1_000_000_000);
    let to = Address::repeat_byte(9);
    for nonce in 0..5 {
        devnet.chain.submit(Draft::transfer(nonce, to, 10).sign(&account(0))).await.unwrap();
    }
    let copy = crash_copy(devnet.dir.path());
    let mut config = config(&devnet.dir);
    config.block_time_s = 1_000_000_000;
    let crashed = Devnet { chain: reopen(copy.path(), &config), dir: copy };
    assert_eq!(crashed.chain.pool_status(), PoolStatus { pending: 5, queued: 0 });
    crashed.chain.mine().await.unwrap();
    assert_eq!(crashed.latest().account(&to).unwrap().unwrap().balance, U256::from(50));
}

#[tokio::test]
async fn torn_journal_tail_is_ignored_and_earlier_records_are_kept() {
    let devnet = Devnet::with(|config| config.block_time_s = 1_000_000_000);
    let tx = Draft::transfer(0, Address::ZERO, 1).sign(&account(0));
    devnet.chain.submit(tx).await.unwrap();
    let copy = crash_copy(devnet.dir.path());
    let journal = copy.path().join(JOURNAL_FILE);
    let mut bytes = fs::read(&journal).unwrap();
    let whole = bytes.len();
    let second = encode_journal_record(&Draft::transfer(1, Address::ZERO, 1).sign(&account(0)));
    for cut in [1, 7, second.len() - 1] {
        bytes.truncate(whole);
        bytes.extend(&second[..cut]);
        fs::write(&journal, &bytes).unwrap();
        let mut config = config(&devnet.dir);
        config.block_time_s = 1_000_000_000;
        let chain = reopen(copy.path(), &config);
        assert_eq!(chain.pool_status(), PoolStatus { pending: 1, queued: 0 }, "cut after {cut}");
        chain.shutdown();
    }
}

#[tokio::test]
async fn newer_format_is_refused_and_left_alone() {
    let devnet = Devnet::start();
    let config = config(&devnet.dir);
    devnet.chain.shutdown();
    let Devnet { chain, dir } = devnet;
    drop(chain);
    let path = dir.path().join(DATABASE_FILE);
    {
        let database = redb::Database::open(&path).unwrap();
        let table = redb::TableDefinition::<&str, &[u8]>::new("meta");
        let transaction = database.begin_write().unwrap();
        transaction.open_table(table).unwrap().insert("format_version", [FORMAT_VERSION + 1].as_slice()).unwrap();
        transaction.commit().unwrap();
    }
    let mut config = config;
    config.data_dir = dir.path().into();
    let error = Chain::open(config).expect_err("a newer format is refused");
    assert!(
        matches!(error, OpenChainError::NewerFormat { found, known: FORMAT_VERSION, .. } if found == FORMAT_VERSION + 1)
    );
}

#[tokio::test]
async fn other_genesis_and_second_process_are_refused_by_name() {
    let devnet = Devnet::start();
    let mut other = config(&devnet.dir);
    assert!(matches!(Chain::open(other.clone()).unwrap_err(), OpenChainError::InUse { .. }));
    devnet.chain.shutdown();
    let Devnet { chain, dir } = devnet;
    drop(chain);
    other.genesis.timestamp += 1;
    other.data_dir = dir.path().into();
    assert!(matches!(Chain::open(other).unwrap_err(), OpenChainError::OtherGenesis { .. }));
}
