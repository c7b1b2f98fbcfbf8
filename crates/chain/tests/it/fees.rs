//! Fees under our own genesis, whose `L1Block` predeploy holds what the L1-info deposit says.

use alloy_eips::{BlockId, Encodable2718};
use alloy_primitives::{Address, U256, address};
use alloy_provider::{Provider, ProviderBuilder};
use alloy_rpc_types_eth::TransactionRequest;
use openledger_chain::{BASE_FEE_VAULT, ChainConfig, L1_BLOCK, MESSAGE_PASSER, OpFork, SystemConfig};
use openledger_contracts::genesis::{GenesisConfig, genesis};

use crate::{
    harness::{Devnet, Draft, include},
    support::{CHAIN_ID, account},
};

const L1_FEE_VAULT: Address = address!("0x420000000000000000000000000000000000001A");
const OPERATOR_FEE_VAULT: Address = address!("0x420000000000000000000000000000000000001B");

fn with_our_genesis(config: &mut ChainConfig, fork: OpFork) {
    let funds = U256::from(10).pow(U256::from(24));
    let prefund = vec![(account(1).address(), funds)];
    let ours =
        GenesisConfig { prefund, timestamp_s: 1_700_000_000, ..GenesisConfig::dev(CHAIN_ID, account(0).address()) };
    let mut genesis = genesis(&ours).expect("the development genesis is sound");
    let extra = &mut genesis.config.extra_fields;
    if fork < OpFork::Karst {
        extra.remove("karstTime");
    }
    if fork < OpFork::Jovian {
        extra.remove("jovianTime");
        genesis.extra_data = Default::default();
    }
    config.genesis = genesis;
    config.system = SystemConfig {
        base_fee_scalar: 5_000,
        blob_base_fee_scalar: 800_000,
        operator_fee_scalar: 7,
        operator_fee_constant: 11,
        da_footprint_gas_scalar: 400,
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn data_and_operator_fees_go_to_their_vaults_under_every_fork() {
    for fork in [OpFork::Isthmus, OpFork::Jovian, OpFork::Karst] {
        let devnet = Devnet::with(|config| with_our_genesis(config, fork));
        assert_eq!(devnet.chain.spec().fork, fork);
        let sender = account(1);
        let before = devnet.latest().account(&sender.address()).unwrap().unwrap().balance;
        let tx = Draft::transfer(0, Address::repeat_byte(8), 1_000).sign(&sender);
        let block = include(&devnet, tx).await;
        assert!(block.receipts.iter().all(|receipt| receipt.status()), "{fork:?}");
        let view = devnet.latest();
        let balance = |address| view.account(&address).unwrap().map_or(U256::ZERO, |a| a.balance);
        let gas = U256::from(21_000);
        let base = U256::from(block.header.base_fee_per_gas.unwrap());
        let tip = U256::from(1_000_000);
        // A small transaction counts as 100 bytes: 100 x (16 x 1 gwei x 5,000 + 1 x 800,000) / 10^6.
        let data = U256::from(100u64 * (16 * 1_000_000_000 * 5_000 + 800_000) / 1_000_000);
        let operator = match fork {
            OpFork::Isthmus => gas * U256::from(7) / U256::from(1_000_000) + U256::from(11),
            _ => gas * U256::from(7) * U256::from(100) + U256::from(11),
        };
        assert_eq!(balance(L1_FEE_VAULT), data, "{fork:?}");
        assert_eq!(balance(OPERATOR_FEE_VAULT), operator, "{fork:?}");
        assert_eq!(balance(BASE_FEE_VAULT), gas * base, "{fork:?}");
        let spent = before - balance(sender.address());
        assert_eq!(spent, U256::from(1_000) + gas * (base + tip) + data + operator, "{fork:?}");

        let server = devnet.chain.serve(([127, 0, 0, 1], 0).into()).await.expect("a free port");
        let provider = ProviderBuilder::new().connect_http(server.http_url().parse().expect("a URL"));
        let hash = block.body.transactions[1].tx_hash();
        let receipt: serde_json::Value =
            provider.raw_request("eth_getTransactionReceipt".into(), (hash,)).await.unwrap();
        assert_eq!(receipt["l1Fee"], format!("{data:#x}"), "{fork:?}");
        assert_eq!(receipt["operatorFeeScalar"], "0x7");
        let footprint = (fork >= OpFork::Jovian).then(|| format!("{:#x}", 100 * 400));
        assert_eq!(receipt["blobGasUsed"].as_str(), footprint.as_deref());
        let expected = if fork >= OpFork::Jovian { 100 * 400 } else { 0 };
        assert_eq!(block.header.blob_gas_used, Some(expected));
        assert!(block.body.transactions[1].encoded_2718().len() > 100);
    }
}

#[tokio::test]
async fn l1_block_predeploy_shows_the_origin_and_the_header_commits_to_the_message_passer() {
    let devnet = Devnet::with(|config| with_our_genesis(config, OpFork::Jovian));
    let genesis = devnet.latest().header(0).unwrap().unwrap();
    devnet.chain.mine().await.unwrap();
    let number = alloy_primitives::hex!("8381f58a"); // number()
    let request = TransactionRequest::default().to(L1_BLOCK).input(number.to_vec().into());
    let shown = devnet.chain.call(&request, BlockId::latest(), Default::default()).unwrap();
    let head = devnet.chain.head();
    assert_eq!(U256::from_be_slice(&shown), U256::from((head.timestamp - genesis.timestamp) / 12));
    let passer = devnet.latest().account(&MESSAGE_PASSER).unwrap().unwrap();
    assert_eq!(head.withdrawals_root, Some(passer.storage_root));
    assert_eq!(genesis.withdrawals_root, Some(passer.storage_root));
    assert_ne!(passer.storage_root, alloy_trie::EMPTY_ROOT_HASH);
}

#[tokio::test]
async fn beacon_root_and_parent_hash_are_written_before_the_first_transaction() {
    let devnet = Devnet::with(|config| with_our_genesis(config, OpFork::Jovian));
    devnet.chain.mine().await.unwrap();
    devnet.chain.mine().await.unwrap();
    let head = devnet.chain.head();
    let read = |contract: Address, key: u64| {
        let input = U256::from(key).to_be_bytes::<32>().to_vec();
        let request = TransactionRequest::default().to(contract).input(input.into());
        devnet.chain.call(&request, BlockId::latest(), Default::default()).unwrap()
    };
    let beacon = address!("0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02");
    assert_eq!(read(beacon, head.timestamp).as_ref(), head.parent_beacon_block_root.unwrap().as_slice());
    let history = address!("0x0000F90827F1C53a10cb7A02335B175320002935");
    assert_eq!(read(history, head.number - 1).as_ref(), head.parent_hash.as_slice());
}
