//! A development chain with funded accounts and a token, for tests and the transfer benchmark.

use alloy_genesis::{Genesis, GenesisAccount};
use alloy_primitives::{Address, Bytes, U256, hex};
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};

/// The development mnemonic.
pub(crate) const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// The development chain id.
pub(crate) const CHAIN_ID: u64 = 161_201;

/// The `index`-th development account.
pub(crate) fn account(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default()
        .phrase(MNEMONIC)
        .index(index)
        .expect("the index is small")
        .build()
        .expect("the mnemonic is valid")
}

/// A genesis that funds `funded` with a million OPEN each.
pub(crate) fn genesis(funded: &[Address]) -> Genesis {
    let rich = U256::from(10).pow(U256::from(24));
    let alloc = funded.iter().map(|a| (*a, GenesisAccount::default().with_balance(rich)));
    let mut genesis = Genesis::default().extend_accounts(alloc);
    genesis.config.chain_id = CHAIN_ID;
    genesis.gas_limit = 60_000_000;
    genesis.timestamp = 1_700_000_000;
    genesis
}

/// Init code of the test token (`tests/fixtures/Token.sol`) with `supply`.
pub(crate) fn token_init_code(supply: U256) -> Bytes {
    let code = include_str!("../fixtures/token.hex").trim();
    let mut code = hex::decode(code).expect("the fixture is hex");
    code.extend(supply.to_be_bytes::<32>());
    code.into()
}
