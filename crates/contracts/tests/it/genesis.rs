//! Every predeploy answers from genesis as its initialiser would have left it.

use alloy_genesis::Genesis;
use alloy_primitives::{Address, B256, Bytes, U256, address, hex};
use alloy_sol_types::sol;
use openledger_contracts::addresses::*;
use openledger_contracts::genesis::default_split_bounds;
use openledger_contracts::{
    GenesisConfig, GenesisError, IDatanetRegistry, IInferenceHub, IModelRegistry, IStakerPool, IWrappedOpen, genesis,
};

use crate::chain::{Chain, config, key};

sol! {
    function initialize(address governance, address recipient) external;
    function recipient() external view returns (address);
    function isJovian() external view returns (bool);
    function getL1GasUsed(bytes data) external view returns (uint256);
    function getOperatorFee(uint256 gasUsed) external view returns (uint256);
    function number() external view returns (uint64);
    function hash() external view returns (bytes32);
    function initiateWithdrawal(address target, uint256 gasLimit, bytes data) external payable;
    function messageNonce() external view returns (uint256);
    function burn() external;
    function upgradeAndCall(address proxy, address implementation, bytes data) external payable;
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/genesis.json");

#[test]
fn parameters_read_back_from_the_predeploys() {
    let config = config();
    let mut chain = Chain::new(&config);
    let hub = INFERENCE_HUB;
    assert_eq!(chain.view(hub, &IInferenceHub::ownerCall {}), config.governance);
    assert_eq!(chain.view(hub, &IInferenceHub::challengeWindowCall {}), config.challenge_window_s);
    assert_eq!(chain.view(hub, &IInferenceHub::bondMinCall {}), config.bond_min_wei);
    assert_eq!(chain.view(hub, &IInferenceHub::totalBondsCall {}), config.operators[0].bond_wei);
    assert_eq!(chain.view(hub, &IInferenceHub::lastPostedEpochCall {}), 0);
    assert_eq!(chain.view(hub, &IInferenceHub::fundedCreditsCall {}), 0);
    assert_eq!(chain.balance(hub), U256::from(config.operators[0].bond_wei));
    let operator = chain.view(hub, &IInferenceHub::getOperatorCall { operator: key(2).address() });
    assert_eq!(
        (operator.allowed, operator.bond, operator.pendingEpochs, operator.settler),
        (true, config.operators[0].bond_wei, 0, key(3).address())
    );
    assert_eq!(chain.view(MODEL_REGISTRY, &IModelRegistry::ownerCall {}), config.governance);
    assert_eq!(chain.view(MODEL_REGISTRY, &IModelRegistry::splitBoundsCall {}), default_split_bounds());
    assert_eq!(chain.view(STAKER_POOL, &IStakerPool::ownerCall {}), config.governance);
    assert_eq!(chain.view(STAKER_POOL, &IStakerPool::unstakeDelayCall {}), config.unstake_delay_s);
    assert_eq!(chain.view(WRAPPED_OPEN, &IWrappedOpen::symbolCall {}), "WOPEN");
    assert_eq!(chain.view(DATANET_REGISTRY, &IDatanetRegistry::datanetCountCall {}), 0);
    for vault in [SEQUENCER_FEE_VAULT, BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT] {
        assert_eq!(chain.view(vault, &recipientCall {}), config.governance);
    }
}

#[test]
fn nothing_can_be_initialised_again() {
    let mut chain = Chain::new(&config());
    let thief = key(9).address();
    let hub = IInferenceHub::initializeCall { governance: thief, challengeWindow: 0, bondMin: 0 };
    let pool = IStakerPool::initializeCall { governance: thief, unstakeDelay: 0 };
    let models = IModelRegistry::initializeCall { governance: thief, bounds: default_split_bounds() };
    use openledger_contracts::SolCall;
    for (proxy, call) in
        [(INFERENCE_HUB, hub.abi_encode()), (STAKER_POOL, pool.abi_encode()), (MODEL_REGISTRY, models.abi_encode())]
    {
        for target in [proxy, implementation_of(proxy)] {
            // InvalidInitialization()
            let reverted = chain.send(thief, target, U256::ZERO, call.clone());
            assert_eq!(reverted, Err(Bytes::from(hex!("f92ee8a9"))), "{target}");
        }
    }
}

/// The genesis without what initialisers write: proxies that know their implementation, and nothing else.
fn uninitialised(config: &GenesisConfig, proxies: &[Address]) -> Genesis {
    let mut genesis = genesis(config).unwrap();
    for proxy in proxies {
        let storage = genesis.alloc.get_mut(proxy).unwrap().storage.as_mut().unwrap();
        storage.retain(|slot, _| slot.0[0] == 0x36 || slot.0[0] == 0xb5);
        assert_eq!(storage.len(), 2);
    }
    genesis
}

#[test]
fn storage_is_what_the_initialisers_leave() {
    let config = config();
    let vaults = [SEQUENCER_FEE_VAULT, BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT];
    let ours = [INFERENCE_HUB, MODEL_REGISTRY, STAKER_POOL];
    let proxies = [&ours[..], &vaults[..]].concat();
    let expected = Chain::new(&config);
    let mut genesis = uninitialised(&config, &proxies);
    let operator = &config.operators[0];
    let bond = U256::from(operator.bond_wei);
    genesis.alloc.entry(operator.address).or_default().balance = bond;
    genesis.alloc.get_mut(&INFERENCE_HUB).unwrap().balance = U256::ZERO;
    let mut chain = Chain::from_genesis(&genesis);

    let governance = config.governance;
    let bounds = config.split_bounds.clone();
    chain.call(key(9).address(), MODEL_REGISTRY, 0, &IModelRegistry::initializeCall { governance, bounds });
    let unstake = IStakerPool::initializeCall { governance, unstakeDelay: config.unstake_delay_s };
    chain.call(key(9).address(), STAKER_POOL, 0, &unstake);
    let (window, bond_min) = (config.challenge_window_s, config.bond_min_wei);
    let hub = IInferenceHub::initializeCall { governance, challengeWindow: window, bondMin: bond_min };
    chain.call(key(9).address(), INFERENCE_HUB, 0, &hub);
    let allow = IInferenceHub::setOperatorAllowedCall { operator: operator.address, allowed: true };
    chain.call(governance, INFERENCE_HUB, 0, &allow);
    let register = IInferenceHub::registerOperatorCall {};
    chain.call(operator.address, INFERENCE_HUB, operator.bond_wei, &register);
    let settler = IInferenceHub::setSettlerCall { settler: operator.settler.unwrap() };
    chain.call(operator.address, INFERENCE_HUB, 0, &settler);
    for vault in vaults {
        let recipient = initializeCall { governance, recipient: governance };
        chain.call(key(9).address(), vault, 0, &recipient);
    }
    for proxy in proxies {
        assert_eq!(chain.slots(proxy), expected.slots(proxy), "storage of {proxy}");
    }
    assert_eq!(chain.balance(INFERENCE_HUB), expected.balance(INFERENCE_HUB));
}

#[test]
fn only_governance_upgrades_and_only_through_the_admin() {
    use openledger_contracts::SolCall;
    let mut chain = Chain::new(&config());
    let upgrade = upgradeAndCallCall {
        proxy: STAKER_POOL,
        implementation: implementation_of(DATANET_REGISTRY),
        data: Bytes::new(),
    };
    assert!(chain.send(key(9).address(), PROXY_ADMIN, U256::ZERO, upgrade.abi_encode()).is_err());
    chain.call(key(1).address(), PROXY_ADMIN, 0, &upgrade);
    assert_eq!(chain.view(STAKER_POOL, &IDatanetRegistry::datanetCountCall {}), 0);
}

#[test]
fn l1_attributes_land_where_the_execution_engine_reads_them() {
    let mut chain = Chain::new(&config());
    let mut data = hex!("3db6be2b").to_vec();
    data.extend(1_368_u32.to_be_bytes());
    data.extend(810_949_u32.to_be_bytes());
    data.extend(3_u64.to_be_bytes());
    data.extend(1_800_000_001_u64.to_be_bytes());
    data.extend(77_u64.to_be_bytes());
    data.extend(U256::from(30_000_000_000_u64).to_be_bytes::<32>());
    data.extend(U256::from(5_000_000_u64).to_be_bytes::<32>());
    data.extend(B256::repeat_byte(0xab));
    data.extend(B256::repeat_byte(0xcd));
    data.extend(7_u32.to_be_bytes());
    data.extend(9_u64.to_be_bytes());
    data.extend(400_u16.to_be_bytes());
    assert_eq!(data.len(), 178);
    assert!(chain.send(key(9).address(), L1_BLOCK, U256::ZERO, data.clone()).is_err());
    assert!(chain.send(L1_INFO_DEPOSITOR, L1_BLOCK, U256::ZERO, data[..177].to_vec()).is_err());
    chain.send(L1_INFO_DEPOSITOR, L1_BLOCK, U256::ZERO, data).unwrap();
    assert_eq!(chain.view(L1_BLOCK, &numberCall {}), 77);
    assert_eq!(chain.view(L1_BLOCK, &hashCall {}), B256::repeat_byte(0xab));

    let scalars = chain.storage(L1_BLOCK, 3).to_be_bytes::<32>();
    assert_eq!(scalars[16..20], 1_368_u32.to_be_bytes());
    assert_eq!(scalars[20..24], 810_949_u32.to_be_bytes());
    assert_eq!(chain.storage(L1_BLOCK, 1), U256::from(30_000_000_000_u64));
    assert_eq!(chain.storage(L1_BLOCK, 7), U256::from(5_000_000_u64));
    let operator_fee = chain.storage(L1_BLOCK, 8).to_be_bytes::<32>();
    assert_eq!(operator_fee[18..20], 400_u16.to_be_bytes());
    assert_eq!(operator_fee[20..24], 7_u32.to_be_bytes());
    assert_eq!(operator_fee[24..32], 9_u64.to_be_bytes());
    let fee = chain.view(GAS_PRICE_ORACLE, &getOperatorFeeCall { gasUsed: U256::from(21_000) });
    assert_eq!(fee, U256::from(21_000 * 7 * 100 + 9));
}

#[test]
fn the_oracle_estimates_sizes_as_the_execution_engine_does() {
    let mut chain = Chain::new(&config());
    assert!(chain.view(GAS_PRICE_ORACLE, &isJovianCall {}));
    let mut noise = 12_345_u64;
    for (length, period) in [(900_usize, 900_usize), (2_000, 64), (3_000, 700), (4_000, 4_000), (1_500, 97)] {
        let mut data: Vec<u8> = (0..length.min(period))
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (noise >> 56) as u8
            })
            .collect();
        while data.len() < length {
            data.push(data[data.len() - period]);
        }
        // The engine's estimate is 836,500 x size - 42,585,600, at least 100,000,000; take the size back out of it.
        let estimate = op_revm::transaction::estimate_tx_compressed_size(&data);
        if estimate == 100_000_000 {
            continue;
        }
        let fast_lz = (estimate + 42_585_600) / 836_500;
        let unsigned = (836_500 * (fast_lz + 68) - 42_585_600).max(100_000_000);
        let answer = chain.view(GAS_PRICE_ORACLE, &getL1GasUsedCall { data: data.into() });
        assert_eq!(answer, U256::from(unsigned * 16 / 1_000_000), "length {length}, period {period}");
    }
}

#[test]
fn withdrawals_are_recorded_and_their_value_can_be_burned() {
    let mut chain = Chain::new(&config());
    let payer = key(4).address();
    let first = chain.view(L2_TO_L1_MESSAGE_PASSER, &messageNonceCall {});
    assert_eq!(first, U256::ONE << 240);
    let message = initiateWithdrawalCall { target: payer, gasLimit: U256::from(100_000), data: Bytes::new() };
    chain.call(payer, L2_TO_L1_MESSAGE_PASSER, 1_000, &message);
    assert_eq!(chain.view(L2_TO_L1_MESSAGE_PASSER, &messageNonceCall {}), first + U256::ONE);
    assert_eq!(chain.balance(L2_TO_L1_MESSAGE_PASSER), U256::from(1_000));
    chain.call(payer, L2_TO_L1_MESSAGE_PASSER, 0, &burnCall {});
    assert_eq!(chain.balance(L2_TO_L1_MESSAGE_PASSER), U256::ZERO);
}

#[test]
fn contradictory_configurations_are_refused() {
    let refused = |change: fn(&mut GenesisConfig)| {
        let mut config = config();
        change(&mut config);
        genesis(&config).unwrap_err()
    };
    assert!(matches!(refused(|c| c.prefund.push((WRAPPED_OPEN, U256::ONE))), GenesisError::AccountTaken { .. }));
    assert!(matches!(refused(|c| c.prefund.extend(c.prefund.clone())), GenesisError::AccountTaken { .. }));
    assert!(matches!(refused(|c| c.operators.extend(c.operators.clone())), GenesisError::OperatorTwice { .. }));
    assert!(matches!(refused(|c| c.challenge_window_s = u64::MAX), GenesisError::TooLong { .. }));
    assert!(matches!(refused(|c| c.unstake_delay_s = u64::MAX), GenesisError::TooLong { .. }));
    assert!(matches!(refused(|c| c.split_bounds.max.burn = 0), GenesisError::SplitBounds));
    assert!(matches!(refused(|c| c.split_bounds.dataMin = 9_950), GenesisError::SplitBounds));
}

#[test]
fn all_forks_up_to_karst_are_active_and_extra_data_is_jovian() {
    let genesis = genesis(&config()).unwrap();
    assert_eq!(genesis.extra_data, Bytes::from(hex!("01000000fa000000060000000000000000")));
    assert_eq!(genesis.config.cancun_time, Some(0));
    let karst: Option<u64> = genesis.config.extra_fields.get_deserialized("karstTime").transpose().unwrap();
    assert_eq!(karst, Some(0));
    assert_eq!(implementation_of(L1_BLOCK), address!("0xc0D3C0d3C0d3C0D3c0d3C0d3c0D3C0d3c0d30015"));
    assert_eq!(implementation_of(STAKER_POOL), address!("0x4F50454E000000000000000000000000000C0005"));
    assert_ne!(genesis.alloc[&PROXY_ADMIN].code, None);
}

/// The committed genesis is what Solidity tests load; `UPDATE_GOLDEN=1` writes it anew.
#[test]
fn the_committed_genesis_is_the_one_that_is_built() {
    let built = serde_json::to_string_pretty(&genesis(&config()).unwrap()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &built).unwrap();
    }
    assert!(std::fs::read_to_string(GOLDEN).unwrap() == built, "genesis differs from {GOLDEN}");
}
