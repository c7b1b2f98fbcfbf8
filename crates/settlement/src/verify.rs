//! Offline verification: recomputes what a receipt says and names the first thing that differs.

mod replay;

use openledger_contracts::{ChannelConfig, EpochPost, Price, Receipt, Split};
use openledger_primitives::merkle::{self, MerkleProof};
use openledger_primitives::{Address, B256, Wei, keccak256};
use serde::{Deserialize, Serialize};

use crate::epoch::{self, Balances, EpochContext};
use crate::receipt::{SignedReceipt, receipt_hash, weights};
use crate::split::{Payout, Usage, fee, split_fee, split_pool};
use crate::voucher::{SignedVoucher, channel_id, voucher_signer};
use crate::x402::{WireChannelConfig, WireVoucher};

pub use replay::{Disclosure, ReplayEngine, Replayed, request_hash, response_hash, verify_disclosure, verify_replay};

/// The stage of a request that a check belongs to, in the order in which things happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Stage {
    /// Who signed.
    Signature,
    /// The payer's voucher and channel.
    Voucher,
    /// Request, answer and token counts.
    Answer,
    /// Attribution scores.
    Score,
    /// Weights made of the scores.
    Weight,
    /// Fee and its split.
    Split,
    /// Epoch, roots and balances.
    Settlement,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Signature => "signature",
            Self::Voucher => "voucher",
            Self::Answer => "answer",
            Self::Score => "score",
            Self::Weight => "weight",
            Self::Split => "split",
            Self::Settlement => "settlement",
        })
    }
}

/// One thing checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// Where it belongs.
    pub stage: Stage,
    /// Whether it holds.
    pub passed: bool,
    /// What was recomputed.
    pub expected: String,
    /// What the receipt or the operator says.
    pub found: String,
}

/// What was checked and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Everything checked.
    pub checks: Vec<Check>,
    /// Checks that the evidence was not enough for, each with what is missing.
    pub missing: Vec<String>,
}

impl VerifyReport {
    /// True when everything checked holds.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }

    /// The earliest fault, by stage and then in the order checked.
    #[must_use]
    pub fn first_fault(&self) -> Option<&Check> {
        self.checks.iter().filter(|check| !check.passed).min_by_key(|check| check.stage)
    }

    /// Adds another report's findings.
    pub fn extend(&mut self, other: Self) {
        self.checks.extend(other.checks);
        self.missing.extend(other.missing);
    }

    fn equal<T: std::fmt::Debug + PartialEq>(&mut self, stage: Stage, name: &str, expected: &T, found: &T) {
        let passed = expected == found;
        self.push(stage, name, passed, format!("{expected:?}"), format!("{found:?}"));
    }

    fn push(&mut self, stage: Stage, name: &str, passed: bool, expected: impl Into<String>, found: impl Into<String>) {
        let (expected, found) = (expected.into(), found.into());
        self.checks.push(Check { name: name.to_owned(), stage, passed, expected, found });
    }

    fn outcome<E: std::error::Error>(&mut self, stage: Stage, name: &str, expected: &str, outcome: Result<(), E>) {
        match outcome {
            Ok(()) => self.push(stage, name, true, expected, expected),
            Err(error) => self.push(stage, name, false, expected, chain(&error)),
        }
    }
}

/// An error and its sources on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A receipt with what anyone needs to check it offline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptBundle {
    /// The receipt and the operator's signature.
    pub receipt: SignedReceipt,
    /// The channel that paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<WireChannelConfig>,
    /// The voucher that paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher: Option<WireVoucher>,
    /// What the operator says everyone is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payouts: Option<Vec<PayoutJson>>,
    /// Its place in its epoch, once that is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inclusion: Option<Inclusion>,
}

/// A payout in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutJson {
    /// Who is paid.
    pub account: openledger_primitives::Address,
    /// How much.
    pub amount: Wei,
}

impl From<Payout> for PayoutJson {
    fn from(payout: Payout) -> Self {
        Self { account: payout.account, amount: payout.amount }
    }
}

/// A receipt's place in an epoch's receipts tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inclusion {
    /// Root of the tree; the hub holds it.
    pub receipts_root: B256,
    /// Path to it.
    pub proof: MerkleProof,
}

/// Checks a receipt as far as the evidence goes. `terms` are what the registry on chain holds of its model, if that was
/// asked; `context` is what reserves and parents are paid by, if known. [`verify_posted`] compares with the hub.
#[must_use]
pub fn verify_receipt(
    bundle: &ReceiptBundle,
    chain_id: u64,
    terms: Option<&PublishedTerms>,
    context: Option<&EpochContext>,
) -> VerifyReport {
    let mut report = VerifyReport::default();
    let receipt = &bundle.receipt.receipt;
    let signer = format!("signed by operator {}", receipt.operator);
    report.outcome(Stage::Signature, "operator-signature", &signer, bundle.receipt.verify(chain_id));
    check_voucher(&mut report, bundle, chain_id);
    check_terms(&mut report, receipt, terms);
    check_amounts(&mut report, receipt);
    check_shares(&mut report, receipt);
    check_payouts(&mut report, bundle, context);
    check_inclusion(&mut report, bundle);
    report
}

/// What a model published: what every receipt for it must state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedTerms {
    /// Builder.
    pub builder: openledger_primitives::Address,
    /// Hash of the base model.
    pub base_model: B256,
    /// Hash of the adapter's weights.
    pub weights_hash: B256,
    /// Root of the attribution indexes.
    pub index_root: B256,
    /// Roots of the snapshots that it was trained on, in the order of publication: reserves are paid by their records.
    pub snapshot_roots: Vec<B256>,
    /// Price per token.
    pub price: Price,
    /// Split of the fee.
    pub split: openledger_contracts::SplitBps,
}

/// An epoch as the hub holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostedEpoch {
    /// Root of its receipts tree.
    pub receipts_root: B256,
    /// Receipts in it.
    pub receipt_count: u64,
    /// Who posted it.
    pub operator: Address,
}

/// Compares a receipt's place with what the hub holds of its epoch. Nothing is found where the bundle names no place.
#[must_use]
pub fn verify_posted(bundle: &ReceiptBundle, posted: &PostedEpoch) -> VerifyReport {
    let mut report = VerifyReport::default();
    if let Some(Inclusion { receipts_root, proof }) = &bundle.inclusion {
        let operator = &bundle.receipt.receipt.operator;
        report.equal(Stage::Settlement, "posted-root", &posted.receipts_root, receipts_root);
        report.equal(Stage::Settlement, "posted-count", &posted.receipt_count, &proof.size);
        report.equal(Stage::Settlement, "posted-operator", &posted.operator, operator);
    }
    report
}

/// The finding that the registry on chain does not know a receipt's model.
#[must_use]
pub fn unknown_model(receipt: &Receipt) -> Check {
    Check {
        name: "published-model".to_owned(),
        stage: Stage::Split,
        passed: false,
        expected: "a model that the registry on chain knows".to_owned(),
        found: receipt.modelId.to_string(),
    }
}

fn check_voucher(report: &mut VerifyReport, bundle: &ReceiptBundle, chain_id: u64) {
    let receipt = &bundle.receipt.receipt;
    let (Some(wire_config), Some(wire_voucher)) = (&bundle.channel, &bundle.voucher) else {
        report.missing.push("voucher: the bundle holds no channel configuration and voucher".into());
        return;
    };
    let config = match ChannelConfig::try_from(wire_config) {
        Ok(config) => config,
        Err(error) => return report.push(Stage::Voucher, "channel", false, "a valid configuration", chain(&error)),
    };
    let voucher = SignedVoucher::from(wire_voucher);
    report.equal(Stage::Voucher, "channel", &channel_id(&config, chain_id).0, &receipt.channelId);
    report.equal(Stage::Voucher, "voucher-channel", &receipt.channelId, &voucher.channel.0);
    report.equal(Stage::Voucher, "payer", &config.payer, &receipt.payer);
    report.equal(Stage::Voucher, "channel-operator", &config.receiverAuthorizer, &receipt.operator);
    report.equal(Stage::Voucher, "voucher-hash", &voucher.digest(chain_id), &receipt.voucherHash);
    let signer = voucher_signer(&config);
    let outcome = voucher.verify(signer, chain_id);
    report.outcome(Stage::Voucher, "voucher-signature", &format!("signed by {signer}"), outcome);
    let covered = receipt.cumulativeAfter <= voucher.max_claimable.0;
    let ceiling = format!("at most {} wei", voucher.max_claimable);
    report.push(Stage::Voucher, "voucher-ceiling", covered, ceiling, format!("{} wei", receipt.cumulativeAfter));
}

fn check_terms(report: &mut VerifyReport, receipt: &Receipt, terms: Option<&PublishedTerms>) {
    let Some(terms) = terms else {
        report.missing.push("terms: what the model's builder published was not given".into());
        return;
    };
    report.equal(Stage::Split, "published-builder", &terms.builder, &receipt.builder);
    report.equal(Stage::Split, "published-base", &terms.base_model, &receipt.baseModel);
    report.equal(Stage::Split, "published-weights", &terms.weights_hash, &receipt.weightsHash);
    report.equal(Stage::Split, "published-index", &terms.index_root, &receipt.indexRoot);
    report.equal(Stage::Split, "published-snapshots", &terms.snapshot_roots, &receipt.snapshotRoots);
    report.equal(Stage::Split, "published-price", &terms.price, &receipt.price);
    report.equal(Stage::Split, "published-split", &terms.split, &receipt.bps);
}

fn check_amounts(report: &mut VerifyReport, receipt: &Receipt) {
    let usage = Usage { tokens_in: receipt.tokensIn, tokens_out: receipt.tokensOut };
    match fee(&receipt.price, usage) {
        Ok(expected) => report.equal(Stage::Split, "fee", &expected, &Wei(receipt.fee)),
        Err(error) => report.push(Stage::Split, "fee", false, "price times tokens", chain(&error)),
    }
    let after = receipt.cumulativeBefore.checked_add(receipt.fee);
    report.equal(Stage::Split, "cumulative", &after, &Some(receipt.cumulativeAfter));
    match split_fee(Wei(receipt.fee), &receipt.bps) {
        Ok(expected) => report.equal(Stage::Split, "split", &SplitView(&expected), &SplitView(&receipt.split)),
        Err(error) => report.push(Stage::Split, "split", false, "basis points of at most the whole", chain(&error)),
    }
}

/// A split as people read it.
#[derive(PartialEq)]
struct SplitView<'a>(&'a Split);

impl std::fmt::Debug for SplitView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Split { burn, operatorShare, builder, parents, stakers, influence, provenance } = self.0;
        write!(f, "burn {burn}, operator {operatorShare}, builder {builder}, parents {parents}, ")?;
        write!(f, "stakers {stakers}, influence {influence}, provenance {provenance}")
    }
}

fn check_shares(report: &mut VerifyReport, receipt: &Receipt) {
    for (name, shares) in [("influence-shares", &receipt.influence), ("provenance-shares", &receipt.provenance)] {
        if !shares.is_empty() {
            let outcome = split_pool(Wei::ZERO, &weights(shares)).map(drop);
            report.outcome(Stage::Weight, name, "contributors ascending and unique, with weight", outcome);
        }
    }
}

fn check_payouts(report: &mut VerifyReport, bundle: &ReceiptBundle, context: Option<&EpochContext>) {
    let Some(found) = &bundle.payouts else {
        report.missing.push("payouts: the bundle does not say who is paid".into());
        return;
    };
    let none = EpochContext::default();
    let (receipt, context) = (&bundle.receipt.receipt, context.unwrap_or(&none));
    match epoch::payouts(receipt, context) {
        Ok(due) => {
            let due: Vec<PayoutJson> = due.into_iter().map(PayoutJson::from).collect();
            match wrong_payout(receipt, context, &due, found) {
                Some((due, named)) => report.push(Stage::Split, "payouts", false, due, named),
                None => report.equal(Stage::Split, "payouts", &PayoutView(&due), &PayoutView(found)),
            }
        }
        Err(error @ (epoch::EpochError::UnknownSnapshot { .. } | epoch::EpochError::UnknownParents { .. })) => {
            report.missing.push(format!("payouts: {error}"));
        }
        Err(error) => report.push(Stage::Split, "payouts", false, "shares that can be paid", chain(&error)),
    }
}

/// What the first account that is named another amount than it is due is due, as what, and what it is named. `None` where
/// there is none such: the lists are equal, or differ in order or repetition alone.
fn wrong_payout(
    receipt: &Receipt,
    context: &EpochContext,
    due: &[PayoutJson],
    found: &[PayoutJson],
) -> Option<(String, String)> {
    let amount = |payouts: &[PayoutJson], account: Address| {
        payouts.iter().find(|payout| payout.account == account).map(|payout| payout.amount)
    };
    let mut accounts = due.iter().chain(found).map(|payout| payout.account);
    let account = accounts.find(|&account| amount(due, account) != amount(found, account))?;
    let text = |amount: Option<Wei>| amount.map_or("nothing".to_owned(), |amount| format!("{amount} wei"));
    let credits = epoch::credits(receipt, context).ok()?;
    let of_account = credits.iter().filter(|(_, payout)| payout.account == account);
    let mut roles: Vec<String> = of_account.map(|(credit, _)| credit.to_string()).collect();
    roles.dedup();
    let roles = if roles.is_empty() { String::new() } else { format!(" as {}", roles.join(" and ")) };
    Some((
        format!("{account}: {}{roles}", text(amount(due, account))),
        format!("{account}: {}", text(amount(found, account))),
    ))
}

#[derive(PartialEq)]
struct PayoutView<'a>(&'a [PayoutJson]);

impl std::fmt::Debug for PayoutView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().map(|payout| (payout.account, payout.amount))).finish()
    }
}

fn check_inclusion(report: &mut VerifyReport, bundle: &ReceiptBundle) {
    let Some(inclusion) = &bundle.inclusion else {
        report.missing.push("inclusion: the receipt's epoch is not closed yet".into());
        return;
    };
    let leaf = merkle::leaf_hash(receipt_hash(&bundle.receipt.receipt).0.as_slice());
    let passed = inclusion.proof.verify(inclusion.receipts_root, leaf);
    let found = if passed { "included".to_owned() } else { format!("no path for leaf {leaf}") };
    report.push(Stage::Settlement, "epoch-inclusion", passed, "included", found);
}

/// Recomputes an epoch from its published data and compares every field with what was posted.
#[must_use]
pub fn verify_epoch(
    data: &[u8],
    previous: &Balances,
    context: &EpochContext,
    posted: &EpochPost,
    chain_id: u64,
) -> VerifyReport {
    let mut report = VerifyReport::default();
    report.equal(Stage::Settlement, "da-commitment", &keccak256(data), &posted.daCommitment);
    let (number, receipts) = match epoch::read_epoch_data(data) {
        Ok(read) => read,
        Err(error) => {
            report.push(Stage::Settlement, "epoch-data", false, "canonical epoch data", chain(&error));
            return report;
        }
    };
    report.equal(Stage::Settlement, "epoch", &number, &posted.epoch);
    for signed in &receipts {
        let name = format!("receipt-{}-signature", signed.receipt.sequence);
        report.outcome(Stage::Signature, &name, "signed by the operator", signed.verify(chain_id));
        check_amounts(&mut report, &signed.receipt);
    }
    match epoch::close(number, &receipts, previous, context, chain_id) {
        Ok(closed) => compare_posts(&mut report, &closed.post, posted),
        Err(error) => report.push(Stage::Settlement, "epoch-close", false, "an epoch that closes", chain(&error)),
    }
    report
}

fn compare_posts(report: &mut VerifyReport, expected: &EpochPost, posted: &EpochPost) {
    report.equal(Stage::Settlement, "receipts-root", &expected.receiptsRoot, &posted.receiptsRoot);
    report.equal(Stage::Settlement, "receipt-count", &expected.receiptCount, &posted.receiptCount);
    report.equal(Stage::Settlement, "balance-root", &expected.balanceRoot, &posted.balanceRoot);
    report.equal(Stage::Settlement, "account-count", &expected.accountCount, &posted.accountCount);
    for (name, expected, posted) in [
        ("total-balance", expected.totalBalance, posted.totalBalance),
        ("fees", expected.fees, posted.fees),
        ("burned", expected.burned, posted.burned),
        ("stakers", expected.stakers, posted.stakers),
    ] {
        report.equal(Stage::Settlement, name, &Wei(expected), &Wei(posted));
    }
}
