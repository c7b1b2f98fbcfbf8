//! An EVM whose state is a genesis.

use std::collections::BTreeMap;

use alloy_genesis::Genesis;
use alloy_primitives::{Address, Bytes, U256};
use alloy_signer_local::PrivateKeySigner;
use openledger_contracts::{GenesisConfig, GenesisOperator, SolCall, genesis};
use revm::context::result::{ExecutionResult, Output};
use revm::context::{Context, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};
use revm::{ExecuteCommitEvm, MainBuilder, MainContext};

/// Chain id of every test.
pub(crate) const CHAIN_ID: u64 = 161_201;
/// Gas of every call.
const GAS_LIMIT: u64 = 15_000_000;

/// A key made from one byte.
pub(crate) fn key(seed: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&alloy_primitives::B256::repeat_byte(seed)).unwrap()
}

/// Governance, an operator with its settler and a payer with funds.
pub(crate) fn config() -> GenesisConfig {
    let mut config = GenesisConfig::dev(CHAIN_ID, key(1).address());
    config.timestamp_s = 1_800_000_000;
    config.operators = vec![GenesisOperator {
        address: key(2).address(),
        settler: Some(key(3).address()),
        bond_wei: 5_000_000_000_000_000_000,
    }];
    config.prefund = vec![(key(4).address(), U256::from(10).pow(U256::from(24)))];
    config
}

/// A chain that runs calls one after another, without fees.
pub(crate) struct Chain {
    db: CacheDB<EmptyDB>,
    pub(crate) now_s: u64,
}

impl Chain {
    pub(crate) fn new(config: &GenesisConfig) -> Self {
        Self::from_genesis(&genesis(config).unwrap())
    }

    pub(crate) fn from_genesis(genesis: &Genesis) -> Self {
        Self { db: state(genesis), now_s: genesis.timestamp + 10 }
    }

    /// Sends `data` and keeps what it changes.
    pub(crate) fn send(&mut self, from: Address, to: Address, value: U256, data: Vec<u8>) -> Result<Bytes, Bytes> {
        let now_s = self.now_s;
        let mut evm = Context::mainnet()
            .with_db(&mut self.db)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
                cfg.chain_id = CHAIN_ID;
                cfg.disable_nonce_check = true;
            })
            .modify_block_chained(|block| {
                block.timestamp = U256::from(now_s);
                block.basefee = 0;
            })
            .build_mainnet();
        let tx = TxEnv::builder()
            .caller(from)
            .call(to)
            .value(value)
            .data(data.into())
            .gas_limit(GAS_LIMIT)
            .gas_price(0)
            .chain_id(Some(CHAIN_ID))
            .build()
            .unwrap();
        match evm.transact_commit(tx).unwrap() {
            ExecutionResult::Success { output: Output::Call(bytes), .. } => Ok(bytes),
            ExecutionResult::Revert { output, .. } => Err(output),
            other => panic!("unexpected end of a call: {other:?}"),
        }
    }

    /// Makes a typed call, which must succeed.
    pub(crate) fn call<C: SolCall>(&mut self, from: Address, to: Address, value: u128, call: &C) -> C::Return {
        let output = self.send(from, to, U256::from(value), call.abi_encode());
        let output = output.unwrap_or_else(|reason| panic!("{} reverted: {reason}", C::SIGNATURE));
        C::abi_decode_returns(&output).unwrap()
    }

    /// Makes a typed call without value from nobody in particular.
    pub(crate) fn view<C: SolCall>(&mut self, to: Address, call: &C) -> C::Return {
        self.call(Address::ZERO, to, 0, call)
    }

    pub(crate) fn balance(&self, account: Address) -> U256 {
        self.db.cache.accounts.get(&account).map_or(U256::ZERO, |entry| entry.info.balance)
    }

    /// All slots of an account that hold something.
    pub(crate) fn slots(&self, account: Address) -> BTreeMap<U256, U256> {
        let storage = &self.db.cache.accounts[&account].storage;
        storage.iter().filter(|(_, value)| !value.is_zero()).map(|(slot, value)| (*slot, *value)).collect()
    }

    pub(crate) fn storage(&self, account: Address, slot: u64) -> U256 {
        let entry = self.db.cache.accounts.get(&account);
        entry.and_then(|entry| entry.storage.get(&U256::from(slot)).copied()).unwrap_or_default()
    }
}

fn state(genesis: &Genesis) -> CacheDB<EmptyDB> {
    let mut db = CacheDB::new(EmptyDB::default());
    for (address, account) in &genesis.alloc {
        let code = Bytecode::new_raw(account.code.clone().unwrap_or_default());
        let info = AccountInfo::new(account.balance, account.nonce.unwrap_or_default(), code.hash_slow(), code);
        db.insert_account_info(*address, info);
        for (slot, value) in account.storage_slots() {
            db.insert_account_storage(*address, slot.into(), value).unwrap();
        }
    }
    db
}
