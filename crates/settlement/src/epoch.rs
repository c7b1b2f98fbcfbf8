//! Closing an epoch: who is credited what, and the roots that the hub is given.
//!
//! Everything here is a function of the receipts, the balances before and the published context, so that anyone
//! who has those recomputes the same roots to the byte.

use std::collections::BTreeMap;

use openledger_contracts::{EpochPost, Receipt, eip712};
use openledger_primitives::merkle::{MerkleProof, MerkleTree};
use openledger_primitives::sum_tree::{SumLeaf, SumProof, SumTree, SumTreeError};
use openledger_primitives::{Address, B256, ModelId, ReceiptHash, Wei, keccak256};
use serde::{Deserialize, Serialize};

use crate::receipt::{ReceiptError, SignedReceipt, receipt_hash, weights};
use crate::split::{Payout, SplitError, Weighted, merge_weights, split_pool};

/// Most receipts in one epoch.
pub const EPOCH_RECEIPTS_MAX: usize = 100_000;
/// Version byte of the published epoch data.
pub const EPOCH_DATA_VERSION: u8 = 1;

/// Cumulative credit of every account that was ever credited.
pub type Balances = BTreeMap<Address, Wei>;

/// What settlement must know beyond the receipts; all of it is public.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochContext {
    /// Accepted records of each contributor, per snapshot root.
    pub reserves: BTreeMap<B256, Vec<Weighted>>,
    /// Builders of a model's parents, each with the number of parents it built.
    pub parents: BTreeMap<ModelId, Vec<Weighted>>,
}

/// Why an epoch could not be closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// Nothing to settle.
    #[error("epoch {epoch} has no receipts")]
    Empty {
        /// Which epoch.
        epoch: u64,
    },
    /// Too many receipts.
    #[error("epoch {epoch} has {receipts} receipts; at most {EPOCH_RECEIPTS_MAX} are settled at once")]
    TooManyReceipts {
        /// Which epoch.
        epoch: u64,
        /// Receipts given.
        receipts: usize,
    },
    /// A receipt of another epoch, or out of order.
    #[error("receipt {sequence} of epoch {given} does not belong next in epoch {epoch}")]
    Misplaced {
        /// The receipt's sequence number.
        sequence: u64,
        /// The epoch it names.
        given: u64,
        /// The epoch being closed.
        epoch: u64,
    },
    /// A receipt's pool goes to a snapshot whose records are not known.
    #[error("the records of snapshot {root} are not known, and receipt {sequence} pays its reserve")]
    UnknownSnapshot {
        /// The snapshot's root.
        root: B256,
        /// The receipt's sequence number.
        sequence: u64,
    },
    /// A receipt pays parents that are not known.
    #[error("the parents of model {model} are not known, and receipt {sequence} pays them")]
    UnknownParents {
        /// The model.
        model: ModelId,
        /// The receipt's sequence number.
        sequence: u64,
    },
    /// A pool could not be split.
    #[error("receipt {sequence} could not be split")]
    Split {
        /// The receipt's sequence number.
        sequence: u64,
        /// Why.
        #[source]
        source: SplitError,
    },
    /// Credits do not fit.
    #[error("the credits of account {account} add up to more than 2^128 - 1 wei")]
    Overflow {
        /// Which account.
        account: Address,
    },
    /// All balances together do not fit.
    #[error("the balances could not be summed")]
    Balances(#[from] SumTreeError),
    /// The parts do not add up to the fees: a receipt whose split is not that of its fee.
    #[error("fees of {fees} wei do not equal {burned} burned, {stakers} to stakers and {credited} credited")]
    Unbalanced {
        /// Sum of fees.
        fees: Wei,
        /// Sum burned.
        burned: Wei,
        /// Sum to stakers.
        stakers: Wei,
        /// Sum credited.
        credited: Wei,
    },
}

/// As what an account is credited by a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credit {
    /// Served the answer.
    Operator,
    /// Built the model.
    Builder,
    /// Built one of its parents.
    Parent,
    /// By weight in the influence pool.
    Influence,
    /// By weight in the provenance pool.
    Provenance,
    /// By accepted records, out of a pool for which nobody stood out.
    Reserve,
}

impl std::fmt::Display for Credit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Builder => "builder",
            Self::Parent => "builder of a parent model",
            Self::Influence => "contributor by influence",
            Self::Provenance => "contributor by quotation",
            Self::Reserve => "contributor of accepted records",
        })
    }
}

/// Who is credited what for one receipt, part by part; [`payouts`] adds up the same parts. One account may stand in
/// several. Parts of zero are left out.
///
/// # Errors
/// As [`payouts`].
pub fn credits(receipt: &Receipt, context: &EpochContext) -> Result<Vec<(Credit, Payout)>, EpochError> {
    let split = &receipt.split;
    let mut parts = vec![
        (Credit::Operator, Payout { account: receipt.operator, amount: Wei(split.operatorShare) }),
        (Credit::Builder, Payout { account: receipt.builder, amount: Wei(split.builder) }),
    ];
    let mut pool = |credit: Credit, amount: u128, entries: Vec<Weighted>| {
        let source = |source| EpochError::Split { sequence: receipt.sequence, source };
        let payouts = split_pool(Wei(amount), &entries).map_err(source)?;
        parts.extend(payouts.into_iter().map(|payout| (credit, payout)));
        Ok::<_, EpochError>(())
    };
    if split.parents > 0 {
        pool(Credit::Parent, split.parents, parents(receipt, context)?)?;
    }
    let pools = [
        (Credit::Influence, split.influence, &receipt.influence),
        (Credit::Provenance, split.provenance, &receipt.provenance),
    ];
    for (credit, amount, shares) in pools.into_iter().filter(|(_, amount, _)| *amount > 0) {
        match shares.is_empty() {
            true => pool(Credit::Reserve, amount, reserve(receipt, context)?)?,
            false => pool(credit, amount, weights(shares))?,
        }
    }
    parts.retain(|(_, payout)| !payout.amount.is_zero());
    Ok(parts)
}

/// Who is credited what for one receipt: operator, builder, parents' builders and data contributors, ascending.
///
/// # Errors
/// [`EpochError`] when the context lacks a snapshot or a model's parents, or a pool cannot be split.
pub fn payouts(receipt: &Receipt, context: &EpochContext) -> Result<Vec<Payout>, EpochError> {
    let mut credits = Balances::new();
    credit(&mut credits, receipt.operator, Wei(receipt.split.operatorShare))?;
    credit(&mut credits, receipt.builder, Wei(receipt.split.builder))?;
    credit_pool(&mut credits, receipt, receipt.split.parents, || parents(receipt, context))?;
    for (pool, shares) in
        [(receipt.split.influence, &receipt.influence), (receipt.split.provenance, &receipt.provenance)]
    {
        let entries = || if shares.is_empty() { reserve(receipt, context) } else { Ok(weights(shares)) };
        credit_pool(&mut credits, receipt, pool, entries)?;
    }
    Ok(credits.into_iter().map(|(account, amount)| Payout { account, amount }).collect())
}

fn credit_pool(
    credits: &mut Balances,
    receipt: &Receipt,
    pool: u128,
    entries: impl FnOnce() -> Result<Vec<Weighted>, EpochError>,
) -> Result<(), EpochError> {
    if pool == 0 {
        return Ok(());
    }
    let source = |source| EpochError::Split { sequence: receipt.sequence, source };
    let payouts = split_pool(Wei(pool), &entries()?).map_err(source)?;
    payouts.into_iter().try_for_each(|payout| credit(credits, payout.account, payout.amount))
}

/// Adds to an account; accounts that get nothing stay out of the tree.
fn credit(credits: &mut Balances, account: Address, amount: Wei) -> Result<(), EpochError> {
    if amount.is_zero() {
        return Ok(());
    }
    let balance = credits.entry(account).or_default();
    *balance = balance.checked_add(amount).ok_or(EpochError::Overflow { account })?;
    Ok(())
}

fn parents(receipt: &Receipt, context: &EpochContext) -> Result<Vec<Weighted>, EpochError> {
    let model = ModelId(receipt.modelId);
    let unknown = || EpochError::UnknownParents { model, sequence: receipt.sequence };
    context.parents.get(&model).cloned().ok_or_else(unknown)
}

/// The accepted records of all of a receipt's snapshots, by contributor.
fn reserve(receipt: &Receipt, context: &EpochContext) -> Result<Vec<Weighted>, EpochError> {
    let mut entries = Vec::new();
    for &root in &receipt.snapshotRoots {
        let unknown = || EpochError::UnknownSnapshot { root, sequence: receipt.sequence };
        entries.extend_from_slice(context.reserves.get(&root).ok_or_else(unknown)?);
    }
    merge_weights(entries).map_err(|source| EpochError::Split { sequence: receipt.sequence, source })
}

/// A closed epoch: what is posted, and all that proofs need.
#[derive(Clone, Debug, PartialEq)]
pub struct ClosedEpoch {
    /// What the hub is given.
    pub post: EpochPost,
    /// What this epoch adds to each account.
    pub credits: Balances,
    /// Every account's cumulative credit after it.
    pub balances: Balances,
    /// Hashes of the receipts, in sequence order: leaves of the receipts tree.
    pub receipt_hashes: Vec<ReceiptHash>,
}

/// Closes epoch `epoch` over its receipts in sequence order.
///
/// # Errors
/// [`EpochError`]; nothing is settled then.
pub fn close(
    epoch: u64,
    receipts: &[SignedReceipt],
    previous: &Balances,
    context: &EpochContext,
    chain_id: u64,
) -> Result<ClosedEpoch, EpochError> {
    check_receipts(epoch, receipts)?;
    let totals = Totals::of(receipts)?;
    let credits = total_credits(receipts, context)?;
    let mut balances = previous.clone();
    for (account, amount) in &credits {
        credit(&mut balances, *account, *amount)?;
    }
    totals.check(&credits)?;
    let receipt_hashes: Vec<ReceiptHash> = receipts.iter().map(|signed| receipt_hash(&signed.receipt)).collect();
    let tree = BalanceTree::new(&balances, chain_id)?;
    let post = EpochPost {
        epoch,
        receiptsRoot: receipts_tree(&receipt_hashes).root(),
        receiptCount: receipts.len() as u64,
        balanceRoot: tree.root().hash,
        accountCount: balances.len() as u64,
        totalBalance: tree.root().sum,
        fees: totals.fees.0,
        burned: totals.burned.0,
        stakers: totals.stakers.0,
        daCommitment: keccak256(epoch_data(epoch, receipts)),
    };
    Ok(ClosedEpoch { post, credits, balances, receipt_hashes })
}

fn check_receipts(epoch: u64, receipts: &[SignedReceipt]) -> Result<(), EpochError> {
    if receipts.is_empty() {
        return Err(EpochError::Empty { epoch });
    }
    if receipts.len() > EPOCH_RECEIPTS_MAX {
        return Err(EpochError::TooManyReceipts { epoch, receipts: receipts.len() });
    }
    let mut last = None;
    for SignedReceipt { receipt, .. } in receipts {
        if receipt.epoch != epoch || last.is_some_and(|last| receipt.sequence <= last) {
            return Err(EpochError::Misplaced { sequence: receipt.sequence, given: receipt.epoch, epoch });
        }
        last = Some(receipt.sequence);
    }
    Ok(())
}

fn total_credits(receipts: &[SignedReceipt], context: &EpochContext) -> Result<Balances, EpochError> {
    let mut credits = Balances::new();
    for signed in receipts {
        for payout in payouts(&signed.receipt, context)? {
            credit(&mut credits, payout.account, payout.amount)?;
        }
    }
    Ok(credits)
}

struct Totals {
    fees: Wei,
    burned: Wei,
    stakers: Wei,
}

impl Totals {
    fn of(receipts: &[SignedReceipt]) -> Result<Self, EpochError> {
        let sum = |part: fn(&Receipt) -> u128| {
            let parts = receipts.iter().map(|signed| Wei(part(&signed.receipt)));
            Wei::checked_sum(parts).ok_or(EpochError::Overflow { account: receipts[0].receipt.operator })
        };
        Ok(Self {
            fees: sum(|receipt| receipt.fee)?,
            burned: sum(|receipt| receipt.split.burn)?,
            stakers: sum(|receipt| receipt.split.stakers)?,
        })
    }

    /// fees = burned + stakers + credits, the invariant that the hub checks too.
    fn check(&self, credits: &Balances) -> Result<(), EpochError> {
        let &Self { fees, burned, stakers } = self;
        let credited = Wei::checked_sum(credits.values().copied());
        let total = credited.and_then(|credited| Wei::checked_sum([burned, stakers, credited]));
        if total == Some(fees) {
            return Ok(());
        }
        Err(EpochError::Unbalanced { fees, burned, stakers, credited: credited.unwrap_or(Wei(u128::MAX)) })
    }
}

/// The Merkle tree over receipt hashes.
#[must_use]
pub fn receipts_tree(hashes: &[ReceiptHash]) -> MerkleTree {
    MerkleTree::from_leaves(hashes.iter().map(|hash| hash.0))
}

/// Leaf hash of an account in the balance tree: `H(H(abi.encode(chainId, hub, account, C)))`.
fn claim_leaf(chain_id: u64, account: Address, cumulative: Wei) -> SumLeaf {
    SumLeaf { hash: eip712::claim_leaf(chain_id, account, cumulative.0), sum: cumulative.0 }
}

/// The Merkle-sum tree over all balances, accounts ascending.
#[derive(Clone, Debug)]
pub struct BalanceTree {
    tree: SumTree,
    accounts: Vec<(Address, Wei)>,
}

impl BalanceTree {
    /// Builds the tree.
    ///
    /// # Errors
    /// [`SumTreeError`] when the balances together do not fit.
    pub fn new(balances: &Balances, chain_id: u64) -> Result<Self, SumTreeError> {
        let accounts: Vec<(Address, Wei)> = balances.iter().map(|(account, amount)| (*account, *amount)).collect();
        let leaves = accounts.iter().map(|&(account, amount)| claim_leaf(chain_id, account, amount)).collect();
        Ok(Self { tree: SumTree::from_leaves(leaves)?, accounts })
    }

    /// Root hash and total.
    #[must_use]
    pub fn root(&self) -> SumLeaf {
        self.tree.root()
    }

    /// Proof of an account's cumulative credit, or `None` for an account that was never credited.
    #[must_use]
    pub fn prove(&self, account: Address) -> Option<ClaimProof> {
        let index = self.accounts.binary_search_by_key(&account, |(account, _)| *account).ok()?;
        let proof = self.tree.prove(index as u64)?;
        Some(ClaimProof::new(account, self.accounts[index].1, proof))
    }
}

/// Proof of an account's cumulative credit under a balance root. Sums are decimal strings in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimProof {
    /// Who is paid.
    pub account: Address,
    /// Cumulative credit.
    pub cumulative: Wei,
    /// Position of the account's leaf.
    pub index: u64,
    /// Number of leaves.
    pub size: u64,
    /// Sibling nodes, bottom up.
    pub siblings: Vec<SumNodeJson>,
}

/// A node of a balance tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumNodeJson {
    /// Hash.
    pub hash: B256,
    /// Sum below it.
    pub sum: Wei,
}

impl ClaimProof {
    fn new(account: Address, cumulative: Wei, proof: SumProof) -> Self {
        let node = |leaf: SumLeaf| SumNodeJson { hash: leaf.hash, sum: Wei(leaf.sum) };
        let siblings = proof.siblings.into_iter().map(node).collect();
        Self { account, cumulative, index: proof.index, size: proof.size, siblings }
    }

    /// True when it holds under `root` (hash and total) on this chain.
    #[must_use]
    pub fn verify(&self, root: SumLeaf, chain_id: u64) -> bool {
        let siblings = self.siblings.iter().map(|node| SumLeaf { hash: node.hash, sum: node.sum.0 }).collect();
        let proof = SumProof { index: self.index, size: self.size, siblings };
        proof.verify(root, claim_leaf(chain_id, self.account, self.cumulative))
    }
}

/// Proof that a receipt is in an epoch, by position; `None` past the end.
#[must_use]
pub fn prove_receipt(hashes: &[ReceiptHash], hash: ReceiptHash) -> Option<MerkleProof> {
    let index = hashes.iter().position(|entry| *entry == hash)?;
    receipts_tree(hashes).prove(index as u64)
}

/// The epoch's data as published, whose hash is the post's DA commitment: version, epoch, count, then each signed
/// receipt behind its length.
#[must_use]
pub fn epoch_data(epoch: u64, receipts: &[SignedReceipt]) -> Vec<u8> {
    let mut data = vec![EPOCH_DATA_VERSION];
    data.extend(epoch.to_be_bytes());
    data.extend((receipts.len() as u32).to_be_bytes());
    for signed in receipts {
        let bytes = signed.to_bytes();
        data.extend((bytes.len() as u32).to_be_bytes());
        data.extend(bytes);
    }
    data
}

/// Reads [`epoch_data`]: the epoch's number and its receipts.
///
/// # Errors
/// [`ReceiptError::NotCanonical`] for anything that [`epoch_data`] would not have written.
pub fn read_epoch_data(data: &[u8]) -> Result<(u64, Vec<SignedReceipt>), ReceiptError> {
    let mut reader = Reader { rest: data, bytes: data.len() };
    if reader.take::<1>()? != [EPOCH_DATA_VERSION] {
        return Err(reader.fault("unknown version"));
    }
    let epoch = u64::from_be_bytes(reader.take()?);
    let count = u32::from_be_bytes(reader.take()?) as usize;
    if count > EPOCH_RECEIPTS_MAX {
        return Err(reader.fault("too many receipts"));
    }
    let mut receipts = Vec::new();
    for _ in 0..count {
        let length = u32::from_be_bytes(reader.take()?) as usize;
        receipts.push(SignedReceipt::from_bytes(reader.slice(length)?)?);
    }
    if reader.rest.is_empty() { Ok((epoch, receipts)) } else { Err(reader.fault("bytes after the last receipt")) }
}

struct Reader<'a> {
    rest: &'a [u8],
    bytes: usize,
}

impl<'a> Reader<'a> {
    fn fault(&self, reason: &'static str) -> ReceiptError {
        ReceiptError::NotCanonical { bytes: self.bytes, reason }
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], ReceiptError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.fault("cut short"))?;
        self.rest = rest;
        Ok(head)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ReceiptError> {
        let head = self.slice(N)?;
        Ok(head.try_into().expect("slice gives as many bytes as asked for"))
    }
}
