//! The genesis state: the OP Stack's predeploys that we need, ours, and the accounts that start with funds.
//!
//! Nothing runs to make it. Storage is laid out here as the contracts' initialisers would leave it (slots as in
//! `contracts/snapshots/storage/`); tests call every predeploy and compare with what the initialisers do.

use std::collections::BTreeMap;

use alloy_eips::{eip2935::HISTORY_STORAGE_CODE, eip4788::BEACON_ROOTS_CODE};
use alloy_genesis::{ChainConfig, Genesis, GenesisAccount};
use alloy_primitives::{Address, B256, Bytes, U256, b256, keccak256};
use alloy_sol_types::SolValue;
use serde_json::json;

use crate::addresses::{
    BASE_FEE_VAULT, BEACON_ROOTS, DATANET_REGISTRY, GAS_PRICE_ORACLE, HISTORY_STORAGE, INFERENCE_HUB, L1_BLOCK,
    L1_FEE_VAULT, L2_TO_L1_MESSAGE_PASSER, MODEL_REGISTRY, OPERATOR_FEE_VAULT, PROXY_ADMIN, RECEIPT_JUDGE,
    SEQUENCER_FEE_VAULT, STAKER_POOL, WRAPPED_OPEN, implementation_of,
};
use crate::artifacts::Contract;
use crate::bindings::{SplitBounds, SplitBps};

/// Longest challenge window that the hub takes, in seconds.
pub const CHALLENGE_WINDOW_MAX_S: u64 = 30 * 24 * 60 * 60;
/// Longest unstaking delay that the staker pool takes, in seconds.
pub const UNSTAKE_DELAY_MAX_S: u64 = 30 * 24 * 60 * 60;
/// The whole of a fee in basis points.
const BPS: u32 = 10_000;

/// An operator that may post epochs from the first block on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisOperator {
    /// The operator: the channels' `receiverAuthorizer`, and who signs receipts.
    pub address: Address,
    /// Who may post in the operator's name, if anyone.
    pub settler: Option<Address>,
    /// Bond, in wei; minted into the hub.
    pub bond_wei: u128,
}

/// What a chain starts with.
#[derive(Clone, Debug)]
pub struct GenesisConfig {
    /// Chain id.
    pub chain_id: u64,
    /// Time of block 0, Unix seconds.
    pub timestamp_s: u64,
    /// Gas limit of block 0.
    pub gas_limit: u64,
    /// Base fee of block 0, wei a gas.
    pub base_fee_wei: u64,
    /// Base fee change denominator (EIP-1559).
    pub eip1559_denominator: u32,
    /// Base fee elasticity (EIP-1559).
    pub eip1559_elasticity: u32,
    /// Least base fee, wei a gas (Jovian).
    pub min_base_fee_wei: u64,
    /// Owner of the proxy admin and of all that has parameters.
    pub governance: Address,
    /// Accounts that start with funds.
    pub prefund: Vec<(Address, U256)>,
    /// Operators allowed and bonded at genesis.
    pub operators: Vec<GenesisOperator>,
    /// Least bond for posting, in wei.
    pub bond_min_wei: u128,
    /// How long an epoch can be challenged, in seconds.
    pub challenge_window_s: u64,
    /// How long stake waits before it can be withdrawn, in seconds.
    pub unstake_delay_s: u64,
    /// Bounds of every model's split.
    pub split_bounds: SplitBounds,
}

/// Why a genesis could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// An account that should start with funds is one of the predeploys, or is listed twice.
    #[error("{account} cannot be funded at genesis: it is a predeploy or listed twice")]
    AccountTaken {
        /// The account.
        account: Address,
    },
    /// An operator is listed twice, or shares its settler with another.
    #[error("{account} is listed twice among operators and settlers")]
    OperatorTwice {
        /// The operator or settler.
        account: Address,
    },
    /// A duration is longer than the contract takes.
    #[error("{what} of {given_s} s is longer than the limit of {max_s} s")]
    TooLong {
        /// Which duration.
        what: &'static str,
        /// The value given, in seconds.
        given_s: u64,
        /// The limit, in seconds.
        max_s: u64,
    },
    /// The bounds of the split contradict each other.
    #[error(
        "the bounds of the split contradict each other: each minimum must be at most its maximum, and the minimums with the data share at most 10000 bps"
    )]
    SplitBounds,
}

impl GenesisConfig {
    /// A development chain: governance holds the keys, an hour of unstaking, a minute of challenge window.
    #[must_use]
    pub fn dev(chain_id: u64, governance: Address) -> Self {
        Self {
            chain_id,
            timestamp_s: 0,
            gas_limit: 60_000_000,
            base_fee_wei: 1_000_000_000,
            eip1559_denominator: 250,
            eip1559_elasticity: 6,
            min_base_fee_wei: 0,
            governance,
            prefund: Vec::new(),
            operators: Vec::new(),
            bond_min_wei: 1_000_000_000_000_000_000,
            challenge_window_s: 60,
            unstake_delay_s: 3600,
            split_bounds: default_split_bounds(),
        }
    }

    /// Header field `extraData` of block 0 (Jovian): version 1, denominator, elasticity, least base fee.
    #[must_use]
    pub fn extra_data(&self) -> Bytes {
        let mut bytes = vec![1];
        bytes.extend(self.eip1559_denominator.to_be_bytes());
        bytes.extend(self.eip1559_elasticity.to_be_bytes());
        bytes.extend(self.min_base_fee_wei.to_be_bytes());
        bytes.into()
    }
}

/// Bounds of the split unless governance decides otherwise.
#[must_use]
pub const fn default_split_bounds() -> SplitBounds {
    SplitBounds {
        min: SplitBps { burn: 100, operatorBps: 0, builder: 0, parents: 0, stakers: 0, provenance: 0 },
        max: SplitBps {
            burn: 2000,
            operatorBps: 5000,
            builder: 5000,
            parents: 2000,
            stakers: 2000,
            provenance: 10_000,
        },
        dataMin: 2000,
    }
}

/// The genesis for `config`, in the format that execution clients read.
///
/// # Errors
/// [`GenesisError`] when the configuration contradicts itself or what the contracts accept.
pub fn genesis(config: &GenesisConfig) -> Result<Genesis, GenesisError> {
    check(config)?;
    let mut alloc = predeploys(config);
    for (account, balance) in &config.prefund {
        let funded = GenesisAccount { balance: *balance, ..Default::default() };
        if alloc.insert(*account, funded).is_some() {
            return Err(GenesisError::AccountTaken { account: *account });
        }
    }
    Ok(Genesis {
        config: chain_config(config),
        timestamp: config.timestamp_s,
        extra_data: config.extra_data(),
        gas_limit: config.gas_limit,
        coinbase: SEQUENCER_FEE_VAULT,
        base_fee_per_gas: Some(config.base_fee_wei.into()),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        alloc,
        ..Default::default()
    })
}

fn check(config: &GenesisConfig) -> Result<(), GenesisError> {
    at_most("challenge window", config.challenge_window_s, CHALLENGE_WINDOW_MAX_S)?;
    at_most("unstaking delay", config.unstake_delay_s, UNSTAKE_DELAY_MAX_S)?;
    let bounds = &config.split_bounds;
    let pairs = parts(&bounds.min).into_iter().zip(parts(&bounds.max));
    let ordered = pairs.clone().all(|(min, max)| min <= max) && u32::from(bounds.max.provenance) <= BPS;
    let taken: u32 = parts(&bounds.min)[..5].iter().map(|&bps| u32::from(bps)).sum();
    if !ordered || taken + u32::from(bounds.dataMin) > BPS {
        return Err(GenesisError::SplitBounds);
    }
    let mut seen = std::collections::BTreeSet::new();
    for account in config.operators.iter().flat_map(|operator| [Some(operator.address), operator.settler]).flatten() {
        if !seen.insert(account) {
            return Err(GenesisError::OperatorTwice { account });
        }
    }
    Ok(())
}

fn at_most(what: &'static str, given_s: u64, max_s: u64) -> Result<(), GenesisError> {
    if given_s > max_s { Err(GenesisError::TooLong { what, given_s, max_s }) } else { Ok(()) }
}

fn predeploys(config: &GenesisConfig) -> BTreeMap<Address, GenesisAccount> {
    let mut alloc = Alloc::default();
    alloc.proxied(WRAPPED_OPEN, Contract::WrappedOpen, Storage::default());
    alloc.proxied(DATANET_REGISTRY, Contract::DatanetRegistry, Storage::default());
    alloc.proxied(MODEL_REGISTRY, Contract::ModelRegistry, model_registry(config));
    alloc.proxied(INFERENCE_HUB, Contract::InferenceHub, inference_hub(config));
    alloc.proxied(STAKER_POOL, Contract::StakerPool, staker_pool(config));
    alloc.proxied(RECEIPT_JUDGE, Contract::ReceiptJudge, Storage::default());
    alloc.proxied(L1_BLOCK, Contract::L1Block, Storage::default());
    alloc.proxied(GAS_PRICE_ORACLE, Contract::GasPriceOracle, Storage::default());
    alloc.proxied(L2_TO_L1_MESSAGE_PASSER, Contract::L2ToL1MessagePasser, Storage::default());
    for vault in [SEQUENCER_FEE_VAULT, BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT] {
        alloc.proxied(vault, Contract::FeeVault, fee_vault(config));
    }
    // An implementation can never be initialised itself.
    for proxy in [
        MODEL_REGISTRY,
        INFERENCE_HUB,
        STAKER_POOL,
        SEQUENCER_FEE_VAULT,
        BASE_FEE_VAULT,
        L1_FEE_VAULT,
        OPERATOR_FEE_VAULT,
    ] {
        alloc.set(implementation_of(proxy), INITIALIZABLE_SLOT, U256::from(u64::MAX));
    }
    let owner = Storage::from([slot(0, config.governance.into_word().into())]);
    alloc.code(PROXY_ADMIN, Contract::ProxyAdmin.runtime_code(), owner);
    alloc.code(BEACON_ROOTS, BEACON_ROOTS_CODE.clone(), Storage::default());
    alloc.code(HISTORY_STORAGE, HISTORY_STORAGE_CODE.clone(), Storage::default());
    let bonds = config.operators.iter().map(|operator| U256::from(operator.bond_wei)).sum();
    alloc.fund(INFERENCE_HUB, bonds);
    alloc.0
}

type Storage = BTreeMap<B256, U256>;

#[derive(Default)]
struct Alloc(BTreeMap<Address, GenesisAccount>);

impl Alloc {
    /// `contract` behind a proxy whose storage is `storage`.
    fn proxied(&mut self, proxy: Address, contract: Contract, mut storage: Storage) {
        let implementation = implementation_of(proxy);
        storage.insert(IMPLEMENTATION_SLOT, implementation.into_word().into());
        storage.insert(ADMIN_SLOT, PROXY_ADMIN.into_word().into());
        self.code(proxy, Contract::PredeployProxy.runtime_code(), storage);
        self.code(implementation, contract.runtime_code(), Storage::default());
    }

    fn code(&mut self, address: Address, code: Bytes, storage: Storage) {
        // A slot that holds zero is an absent one.
        let words = storage.into_iter().filter(|(_, value)| !value.is_zero());
        let words = words.map(|(slot, value)| (slot, value.into())).collect();
        let account = GenesisAccount { nonce: Some(1), code: Some(code), storage: Some(words), ..Default::default() };
        self.0.insert(address, account);
    }

    fn set(&mut self, address: Address, slot: B256, value: U256) {
        self.0.entry(address).or_default().storage.get_or_insert_default().insert(slot, value.into());
    }

    fn fund(&mut self, address: Address, balance: U256) {
        self.0.entry(address).or_default().balance = balance;
    }
}

// ERC-1967: keccak256("eip1967.proxy.implementation") - 1 and keccak256("eip1967.proxy.admin") - 1.
const IMPLEMENTATION_SLOT: B256 = b256!("0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc");
const ADMIN_SLOT: B256 = b256!("0xb53127684a568b3173ae13b9f8a6016e243e63b6e8ee1178d6a717850b5d6103");
// ERC-7201 locations of OpenZeppelin's Initializable and Ownable.
const INITIALIZABLE_SLOT: B256 = b256!("0xf0c57e16840df040f15088dc2f81fe391c3923bec73e23a9662efc9c229c6a00");
const OWNABLE_SLOT: B256 = b256!("0x9016d09d72d40fdae2fd8ceac6b6234c7706214fd39c1cd1e609a0528c199300");

/// What every initialiser leaves: version 1, and the owner.
fn owned(config: &GenesisConfig) -> Storage {
    Storage::from([(INITIALIZABLE_SLOT, U256::ONE), (OWNABLE_SLOT, config.governance.into_word().into())])
}

fn model_registry(config: &GenesisConfig) -> Storage {
    let mut storage = owned(config);
    let bounds = &config.split_bounds;
    storage.extend([
        slot(5, packed(&parts(&bounds.min).map(|bps| (bps.into(), 16)))),
        slot(6, packed(&parts(&bounds.max).map(|bps| (bps.into(), 16)))),
        slot(7, U256::from(bounds.dataMin)),
    ]);
    storage
}

fn inference_hub(config: &GenesisConfig) -> Storage {
    const OPERATORS: u64 = 2;
    const OPERATOR_OF_SETTLER: u64 = 3;
    let mut storage = owned(config);
    let mut bonds = 0_u128;
    for operator in &config.operators {
        bonds = bonds.saturating_add(operator.bond_wei);
        let base = mapped(operator.address, OPERATORS);
        let no_pending = (0, 64);
        let allowed = (1, 8);
        storage.insert(base, packed(&[(operator.bond_wei, 128), no_pending, allowed]));
        if let Some(settler) = operator.settler {
            storage.insert(next(base), settler.into_word().into());
            storage.insert(mapped(settler, OPERATOR_OF_SETTLER), operator.address.into_word().into());
        }
    }
    let last_posted = (0, 64);
    let last_final = (0, 64);
    storage.extend([
        slot(4, packed(&[(config.bond_min_wei, 128), (bonds, 128)])),
        slot(9, packed(&[last_posted, last_final, (config.challenge_window_s.into(), 64)])),
    ]);
    storage
}

fn staker_pool(config: &GenesisConfig) -> Storage {
    let mut storage = owned(config);
    storage.extend([slot(5, U256::from(config.unstake_delay_s))]);
    storage
}

fn fee_vault(config: &GenesisConfig) -> Storage {
    let mut storage = owned(config);
    storage.extend([slot(0, config.governance.into_word().into())]);
    storage
}

fn slot(number: u64, value: U256) -> (B256, U256) {
    (U256::from(number).into(), value)
}

/// Slot of `key` in the mapping at slot `base`.
fn mapped(key: Address, base: u64) -> B256 {
    keccak256((key, U256::from(base)).abi_encode())
}

fn next(slot: B256) -> B256 {
    (U256::from_be_bytes(slot.0) + U256::ONE).into()
}

/// Values of the given widths in bits, packed from the low end as Solidity does.
fn packed(fields: &[(u128, usize)]) -> U256 {
    let mut word = U256::ZERO;
    let mut shift = 0;
    for &(value, bits) in fields {
        word |= U256::from(value) << shift;
        shift += bits;
    }
    word
}

fn parts(split: &SplitBps) -> [u16; 6] {
    [split.burn, split.operatorBps, split.builder, split.parents, split.stakers, split.provenance]
}

/// All forks active from block 0, up to Karst, in the keys that OP Stack clients read.
fn chain_config(config: &GenesisConfig) -> ChainConfig {
    let value = json!({
        "chainId": config.chain_id,
        "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0,
        "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0, "istanbulBlock": 0,
        "muirGlacierBlock": 0, "berlinBlock": 0, "londonBlock": 0, "arrowGlacierBlock": 0,
        "grayGlacierBlock": 0, "mergeNetsplitBlock": 0,
        "terminalTotalDifficulty": 0, "terminalTotalDifficultyPassed": true,
        "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0, "osakaTime": 0,
        "bedrockBlock": 0, "regolithTime": 0, "canyonTime": 0, "ecotoneTime": 0, "fjordTime": 0,
        "graniteTime": 0, "holoceneTime": 0, "isthmusTime": 0, "jovianTime": 0, "karstTime": 0,
        "optimism": {
            "eip1559Elasticity": config.eip1559_elasticity,
            "eip1559Denominator": config.eip1559_denominator,
            "eip1559DenominatorCanyon": config.eip1559_denominator,
        },
    });
    serde_json::from_value(value).expect("literal keys and numbers; a test reads them back")
}
