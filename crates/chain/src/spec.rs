//! The rules of one chain, read from its genesis.

use alloy_consensus::Header;
use alloy_eips::{eip1559::BaseFeeParams, eip7685::EMPTY_REQUESTS_HASH};
use alloy_genesis::Genesis;
use alloy_hardforks::ForkCondition;
use alloy_op_hardforks::{OpChainHardforks, OpHardfork};
use alloy_primitives::{Address, B64, B256, Bytes, U256, address, keccak256};
use op_alloy_consensus::{
    decode_holocene_extra_data, decode_jovian_extra_data, encode_holocene_extra_data, encode_jovian_extra_data,
};
use op_alloy_rpc_types::{OpChainInfo, OpGenesisInfo};
use op_revm::OpSpecId;

use crate::{
    error::OpenChainError,
    state::{AccountDiff, AccountInfo, StateDiff},
};

/// The contract whose storage root becomes the header's withdrawals root.
pub const MESSAGE_PASSER: Address = address!("0x4200000000000000000000000000000000000016");
/// Who receives priority fees: the sequencer fee vault.
pub const SEQUENCER_FEE_VAULT: Address = address!("0x4200000000000000000000000000000000000011");
/// Who receives base fees (OP does not burn them): the base fee vault.
pub const BASE_FEE_VAULT: Address = address!("0x4200000000000000000000000000000000000019");
/// EIP-1559 denominator where the genesis names none (OP mainnet since Canyon).
const DEFAULT_DENOMINATOR: u32 = 250;
/// EIP-1559 elasticity where the genesis names none (OP mainnet).
const DEFAULT_ELASTICITY: u32 = 6;
/// Base fee of the genesis block where it names none.
const DEFAULT_BASE_FEE_WEI: u64 = 1_000_000_000;

/// The OP Stack forks that a chain can start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpFork {
    /// Withdrawals root in the header, operator fee.
    Isthmus,
    /// Minimum base fee, DA footprint.
    Jovian,
    /// Osaka's instructions and prices, and a gas limit of at most 2^24 a transaction. Headers as in Jovian.
    Karst,
}

/// EIP-1559 parameters as a header's extra data carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeMarket {
    /// How slowly the base fee follows demand.
    pub denominator: u32,
    /// Gas limit over gas target.
    pub elasticity: u32,
    /// The base fee never falls below this (Jovian), in wei.
    pub min_base_fee_wei: u64,
}

/// The rules of one chain.
#[derive(Clone, Debug)]
pub struct ChainSpec {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The fork active from genesis on.
    pub fork: OpFork,
    /// Fork schedule as the executor wants it.
    pub(crate) forks: OpChainHardforks,
    /// Time of the genesis block, in seconds.
    pub genesis_time_s: u64,
}

impl ChainSpec {
    /// Reads chain id and forks. A genesis without OP fork times gets all forks up to
    /// Jovian, the newest one that independent implementations can check; `karstTime` asks for Karst.
    ///
    /// # Errors
    /// [`OpenChainError::Genesis`] for a fork before Isthmus, after Karst, or not active at genesis.
    pub fn from_genesis(genesis: &Genesis) -> Result<Self, OpenChainError> {
        let info = OpChainInfo::extract_from(&genesis.config.extra_fields);
        let info = info.and_then(|info| info.genesis_info).unwrap_or_default();
        let fork = fork_at_genesis(&info, genesis.timestamp)?;
        let last = match fork {
            OpFork::Isthmus => OpHardfork::Isthmus,
            OpFork::Jovian => OpHardfork::Jovian,
            OpFork::Karst => OpHardfork::Karst,
        };
        let forks = OpHardfork::VARIANTS.iter().filter(|fork| fork.idx() <= last.idx()).map(|fork| {
            let at = match fork {
                OpHardfork::Bedrock => ForkCondition::Block(0),
                _ => ForkCondition::Timestamp(0),
            };
            (*fork, at)
        });
        Ok(Self {
            chain_id: genesis.config.chain_id,
            fork,
            forks: OpChainHardforks::new(forks),
            genesis_time_s: genesis.timestamp,
        })
    }

    /// The fork as the EVM names it.
    pub(crate) fn op_spec(&self) -> OpSpecId {
        match self.fork {
            OpFork::Isthmus => OpSpecId::ISTHMUS,
            OpFork::Jovian => OpSpecId::JOVIAN,
            OpFork::Karst => OpSpecId::KARST,
        }
    }

    /// Extra data that encodes `market` under this chain's fork.
    pub fn extra_data(&self, market: FeeMarket) -> Bytes {
        let mut packed = B64::ZERO;
        packed[..4].copy_from_slice(&market.denominator.to_be_bytes());
        packed[4..].copy_from_slice(&market.elasticity.to_be_bytes());
        let default = BaseFeeParams::new(DEFAULT_DENOMINATOR.into(), DEFAULT_ELASTICITY.into());
        let encoded = match self.fork {
            OpFork::Isthmus => encode_holocene_extra_data(packed, default),
            OpFork::Jovian | OpFork::Karst => encode_jovian_extra_data(packed, default, market.min_base_fee_wei),
        };
        encoded.expect("u32 parameters always fit")
    }

    /// EIP-1559 parameters in a header's extra data.
    pub fn fee_market(&self, extra_data: &[u8]) -> Option<FeeMarket> {
        let (elasticity, denominator, min_base_fee_wei) = match self.fork {
            OpFork::Isthmus => decode_holocene_extra_data(extra_data).map(|(e, d)| (e, d, 0)).ok()?,
            OpFork::Jovian | OpFork::Karst => decode_jovian_extra_data(extra_data).ok()?,
        };
        (denominator > 0 && elasticity > 0).then_some(FeeMarket { denominator, elasticity, min_base_fee_wei })
    }

    fn fee_market_after(&self, parent: &Header) -> FeeMarket {
        self.fee_market(&parent.extra_data).unwrap_or(FeeMarket {
            denominator: DEFAULT_DENOMINATOR,
            elasticity: DEFAULT_ELASTICITY,
            min_base_fee_wei: 0,
        })
    }

    /// The lowest base fee that any block after `parent` can have: it falls by a whole number of denominators' parts of
    /// itself, so not at all any more once it is below the denominator.
    pub(crate) fn base_fee_floor(&self, parent: &Header) -> u64 {
        let market = self.fee_market_after(parent);
        self.next_base_fee(parent).min(u64::from(market.denominator) - 1).max(market.min_base_fee_wei)
    }

    /// Base fee of the block after `parent` (specs.optimism.io: Holocene and Jovian, "base fee").
    pub fn next_base_fee(&self, parent: &Header) -> u64 {
        let market = self.fee_market_after(parent);
        let params = BaseFeeParams::new(market.denominator.into(), market.elasticity.into());
        let footprint = match self.fork {
            OpFork::Isthmus => 0,
            OpFork::Jovian | OpFork::Karst => parent.blob_gas_used.unwrap_or_default(),
        };
        let next = alloy_eips::calc_next_block_base_fee(
            parent.gas_used.max(footprint),
            parent.gas_limit,
            parent.base_fee_per_gas.unwrap_or_default(),
            params,
        );
        next.max(market.min_base_fee_wei)
    }

    /// The genesis header over a state with these roots.
    ///
    /// # Errors
    /// [`OpenChainError::Genesis`] if extra data or gas limit do not fit the fork.
    pub(crate) fn genesis_header(
        &self,
        genesis: &Genesis,
        state_root: B256,
        message_passer_root: B256,
    ) -> Result<Header, OpenChainError> {
        if genesis.gas_limit == 0 {
            return Err(OpenChainError::Genesis { reason: "gasLimit is 0".into() });
        }
        let base_fee = genesis.base_fee_per_gas.unwrap_or(DEFAULT_BASE_FEE_WEI.into());
        let base_fee = u64::try_from(base_fee)
            .map_err(|_| OpenChainError::Genesis { reason: "baseFeePerGas exceeds 64 bits".into() })?;
        Ok(Header {
            parent_hash: genesis.parent_hash.unwrap_or_default(),
            beneficiary: genesis.coinbase,
            state_root,
            difficulty: genesis.difficulty,
            number: 0,
            gas_limit: genesis.gas_limit,
            timestamp: genesis.timestamp,
            extra_data: self.genesis_extra_data(genesis)?,
            mix_hash: genesis.mix_hash,
            nonce: B64::from(genesis.nonce),
            base_fee_per_gas: Some(base_fee),
            withdrawals_root: Some(message_passer_root),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        })
    }

    fn genesis_extra_data(&self, genesis: &Genesis) -> Result<Bytes, OpenChainError> {
        if self.fee_market(&genesis.extra_data).is_some() {
            return Ok(genesis.extra_data.clone());
        }
        if genesis.extra_data.len() == 9 || genesis.extra_data.len() == 17 {
            let reason = format!("extraData {} does not encode the fee market of {:?}", genesis.extra_data, self.fork);
            return Err(OpenChainError::Genesis { reason });
        }
        let info = OpChainInfo::extract_from(&genesis.config.extra_fields);
        let fees = info.and_then(|info| info.base_fee_info).unwrap_or_default();
        let named = |value: Option<u64>, default: u32| {
            value.and_then(|value| u32::try_from(value).ok()).filter(|v| *v > 0).unwrap_or(default)
        };
        let denominator = fees.eip1559_denominator_canyon.or(fees.eip1559_denominator);
        Ok(self.extra_data(FeeMarket {
            denominator: named(denominator, DEFAULT_DENOMINATOR),
            elasticity: named(fees.eip1559_elasticity, DEFAULT_ELASTICITY),
            min_base_fee_wei: 0,
        }))
    }
}

fn fork_at_genesis(info: &OpGenesisInfo, time: u64) -> Result<OpFork, OpenChainError> {
    let refuse = |reason: &str| Err(OpenChainError::Genesis { reason: reason.into() });
    if info.interop_time.is_some() {
        return refuse("interopTime is not supported; the newest fork is Karst");
    }
    let active = |at: Option<u64>| at.is_some_and(|at| at <= time);
    let times = [info.karst_time, info.jovian_time, info.isthmus_time];
    if times.iter().flatten().any(|at| *at > time) {
        return refuse("isthmusTime, jovianTime and karstTime must be active at genesis, not scheduled later");
    }
    let unnamed = *info == OpGenesisInfo { bedrock_block: info.bedrock_block, ..Default::default() };
    match times.map(active) {
        [true, ..] => Ok(OpFork::Karst),
        [_, true, _] => Ok(OpFork::Jovian),
        [.., true] => Ok(OpFork::Isthmus),
        _ if unnamed => Ok(OpFork::Jovian),
        _ => refuse("forks before Isthmus are not supported: set isthmusTime, jovianTime or karstTime to 0"),
    }
}

/// The accounts of a genesis alloc, as a change to the empty state.
pub(crate) fn genesis_state(genesis: &Genesis) -> StateDiff {
    let mut diff = StateDiff::default();
    for (address, account) in &genesis.alloc {
        let code = account.code.clone().unwrap_or_default();
        let mut info = AccountInfo {
            nonce: account.nonce.unwrap_or_default(),
            balance: account.balance,
            ..AccountInfo::default()
        };
        if !code.is_empty() {
            info.code_hash = keccak256(&code);
            diff.codes.insert(info.code_hash, code);
        }
        let slots = account.storage.iter().flatten();
        let storage = slots
            .map(|(slot, value)| (U256::from_be_bytes(slot.0), U256::from_be_bytes(value.0)))
            .filter(|(_, value)| !value.is_zero());
        let storage = storage.collect();
        let exists = !info.is_empty();
        let info = exists.then_some(info);
        diff.accounts.insert(*address, AccountDiff { info, storage_wiped: false, storage });
    }
    diff
}
