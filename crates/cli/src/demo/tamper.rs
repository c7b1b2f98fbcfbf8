//! Receipts changed on purpose, one kind of lie each, signed again by the operator that tells it.

use anyhow::{Context as _, Result};
use openledger_contracts::Receipt;
use openledger_settlement::receipt::SignedReceipt;
use openledger_settlement::verify::{Disclosure, ReceiptBundle, Stage, response_hash};

use crate::accounts;
use crate::config::DEV_CHAIN_ID;

/// A lie and the stage at which it must be found out.
pub(super) struct Forgery {
    pub(super) what: &'static str,
    pub(super) stage: Stage,
    pub(super) bundle: ReceiptBundle,
    pub(super) disclosure: Disclosure,
}

/// One forgery of each kind.
pub(super) fn forgeries(bundle: &ReceiptBundle, disclosure: &Disclosure) -> Result<Vec<Forgery>> {
    let forge = |what, stage, change: &dyn Fn(&mut Receipt)| -> Result<Forgery> {
        let bundle = resigned(bundle, change)?;
        Ok(Forgery { what, stage, bundle, disclosure: disclosure.clone() })
    };
    let mut other_answer = disclosure.clone();
    other_answer.answer.push_str(" and more");
    let other_hash = response_hash(&other_answer.answer, disclosure.salt);
    let mut answer = forge("answer replaced", Stage::Answer, &|receipt| receipt.responseHash = other_hash)?;
    answer.disclosure = other_answer;
    Ok(vec![
        forge("score changed", Stage::Score, &|receipt| receipt.attributionRoot.0[0] ^= 1)?,
        forge("weight shifted", Stage::Weight, &|receipt| {
            if let Some(share) = receipt.influence.first_mut() {
                share.weight ^= 1;
            }
        })?,
        forge("split skewed", Stage::Split, &|receipt| {
            receipt.split.operatorShare += 1;
            receipt.split.influence -= 1;
        })?,
        answer,
    ])
}

fn resigned(bundle: &ReceiptBundle, change: &dyn Fn(&mut Receipt)) -> Result<ReceiptBundle> {
    let mut receipt = bundle.receipt.receipt.clone();
    change(&mut receipt);
    let operator = accounts::development(accounts::OPERATOR)?;
    let receipt = SignedReceipt::sign(receipt, DEV_CHAIN_ID, &operator).context("could not sign the forgery")?;
    Ok(ReceiptBundle { receipt, ..bundle.clone() })
}
