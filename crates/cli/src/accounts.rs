//! The development accounts: derived from the mnemonic that every Ethereum tool knows. Never use them with real money.

use std::path::Path;

use alloy_signer_local::coins_bip39::English;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner};
use anyhow::{Context as _, Result};

/// The development mnemonic.
pub(crate) const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Environment variable with a keystore's password.
const PASSWORD_VARIABLE: &str = "OPENLEDGER_PASSWORD";

/// Deploys and governs.
pub(crate) const GOVERNANCE: u32 = 0;
/// Serves models and signs receipts.
pub(crate) const OPERATOR: u32 = 1;
/// Posts epochs in the operator's name.
pub(crate) const SETTLER: u32 = 2;
/// Creates Datanets and builds models.
pub(crate) const BUILDER: u32 = 3;
/// Asks and pays.
pub(crate) const PAYER: u32 = 4;
/// Accounts that start with funds, from 0.
pub(crate) const FUNDED: u32 = 10;
/// The demo's contributors, from here on.
pub(crate) const CONTRIBUTORS: u32 = 100;

/// What an account of that number is for.
pub(crate) fn purpose(index: u32) -> &'static str {
    match index {
        GOVERNANCE => "governance",
        OPERATOR => "operator",
        SETTLER => "settler",
        BUILDER => "model builder",
        PAYER => "app developer",
        _ => "",
    }
}

/// The development account of that number (m/44'/60'/0'/0/index).
pub(crate) fn development(index: u32) -> Result<PrivateKeySigner> {
    let builder = MnemonicBuilder::<English>::default().phrase(MNEMONIC).index(index);
    builder.and_then(|builder| builder.build()).with_context(|| format!("could not derive development account {index}"))
}

/// The account that `text` names: a development account's number, or a keystore file.
pub(crate) fn signer(text: &str) -> Result<PrivateKeySigner> {
    if let Ok(index) = text.parse::<u32>() {
        return development(index);
    }
    let path = Path::new(text);
    let password = std::env::var(PASSWORD_VARIABLE)
        .with_context(|| format!("the keystore {text} needs its password in {PASSWORD_VARIABLE}"))?;
    PrivateKeySigner::decrypt_keystore(path, password).with_context(|| format!("could not open the keystore {text}"))
}
