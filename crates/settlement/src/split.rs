//! The fee and its split: integers only, every wei accounted for.
//!
//! Formulas: design, section 10. A fee is `p_in t_in + p_out t_out`; every named part takes the floor of its
//! basis points and the data contributors take what is left, so the parts always add up to the fee.

use openledger_contracts::{Price, Split, SplitBps};
use openledger_primitives::{Address, U256, Wei};

/// Basis points in one whole.
pub const BPS_WHOLE: u16 = 10_000;

/// Tokens that a request used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub tokens_in: u32,
    /// Tokens of the answer.
    pub tokens_out: u32,
}

/// Why a fee could not be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeeError {
    /// Price times tokens is above 2^128 - 1 wei.
    #[error("{} prompt and {} answer tokens at {input_wei} and {output_wei} wei each cost more than 2^128 - 1 wei", usage.tokens_in, usage.tokens_out)]
    Overflow {
        /// Tokens used.
        usage: Usage,
        /// Price of a prompt token.
        input_wei: u128,
        /// Price of an answer token.
        output_wei: u128,
    },
    /// The fee is above what the caller signed for.
    #[error("the fee of {fee} wei is above the ceiling of {ceiling} wei that the caller signed")]
    AboveCeiling {
        /// The fee.
        fee: Wei,
        /// The most the caller agreed to.
        ceiling: Wei,
    },
}

/// What `usage` costs at `price`.
///
/// # Errors
/// [`FeeError::Overflow`] above 2^128 - 1 wei.
pub fn fee(price: &Price, usage: Usage) -> Result<Wei, FeeError> {
    let input = price.inputWei.checked_mul(usage.tokens_in.into());
    let output = price.outputWei.checked_mul(usage.tokens_out.into());
    input.zip(output).and_then(|(input, output)| input.checked_add(output)).map(Wei).ok_or(FeeError::Overflow {
        usage,
        input_wei: price.inputWei,
        output_wei: price.outputWei,
    })
}

/// [`fee`], refused above `ceiling`: a caller never pays more than it signed for.
///
/// # Errors
/// [`FeeError`] when the fee does not fit or is above `ceiling`.
pub fn fee_within(price: &Price, usage: Usage, ceiling: Wei) -> Result<Wei, FeeError> {
    let fee = fee(price, usage)?;
    if fee > ceiling { Err(FeeError::AboveCeiling { fee, ceiling }) } else { Ok(fee) }
}

/// Why a fee or a pool could not be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// The named parts take more than everything.
    #[error("the parts take {total} basis points of {BPS_WHOLE}")]
    AboveWhole {
        /// Sum of the parts.
        total: u32,
    },
    /// The provenance pool takes more than the whole data share.
    #[error("the provenance pool takes {bps} basis points of {BPS_WHOLE} of the data share")]
    ProvenanceAboveWhole {
        /// Basis points asked for.
        bps: u16,
    },
    /// Nobody to pay: every weight is zero.
    #[error("the weights of {entries} entries are all zero")]
    NoWeight {
        /// Number of entries.
        entries: usize,
    },
    /// The weights add up to more than 2^64 - 1.
    #[error("the weights of {entries} entries add up to more than 2^64 - 1")]
    WeightOverflow {
        /// Number of entries.
        entries: usize,
    },
    /// The accounts are not in ascending order, or one stands twice.
    #[error("account {account} does not come after its predecessor; accounts are ascending and unique")]
    Unordered {
        /// The first account out of order.
        account: Address,
    },
}

/// Splits `fee` by `bps`: floors for the named parts, the rest to the data.
///
/// # Errors
/// [`SplitError`] when the basis points take more than everything.
pub fn split_fee(fee: Wei, bps: &SplitBps) -> Result<Split, SplitError> {
    let total: u32 = [bps.burn, bps.operatorBps, bps.builder, bps.parents, bps.stakers].map(u32::from).iter().sum();
    if total > BPS_WHOLE.into() {
        return Err(SplitError::AboveWhole { total });
    }
    if bps.provenance > BPS_WHOLE {
        return Err(SplitError::ProvenanceAboveWhole { bps: bps.provenance });
    }
    let [burn, operator, builder, parents, stakers] =
        [bps.burn, bps.operatorBps, bps.builder, bps.parents, bps.stakers].map(|part| floor_bps(fee.0, part));
    // The floors of parts that take at most the whole cannot add up to more than the fee.
    let data = fee.0 - burn - operator - builder - parents - stakers;
    let provenance = floor_bps(data, bps.provenance);
    Ok(Split { burn, operatorShare: operator, builder, parents, stakers, influence: data - provenance, provenance })
}

/// `floor(amount * bps / 10^4)` without an intermediate above `amount`.
fn floor_bps(amount: u128, bps: u16) -> u128 {
    let (whole, bps) = (u128::from(BPS_WHOLE), u128::from(bps));
    amount / whole * bps + amount % whole * bps / whole
}

/// Sum of a split's parts; `None` when it does not fit.
#[must_use]
pub fn split_total(split: &Split) -> Option<Wei> {
    let Split { burn, operatorShare, builder, parents, stakers, influence, provenance } = *split;
    Wei::checked_sum([burn, operatorShare, builder, parents, stakers, influence, provenance].map(Wei))
}

/// An account and its weight in a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weighted {
    /// Who is paid.
    pub account: Address,
    /// Its weight; for a reserve, its number of accepted records.
    pub weight: u64,
}

/// What an account gets out of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payout {
    /// Who is paid.
    pub account: Address,
    /// How much.
    pub amount: Wei,
}

/// Splits `pool` in proportion to weights, accounts ascending.
///
/// Prefix rounding: `pay_i = floor(D P_i / W) - floor(D P_{i-1} / W)` over prefix sums `P` and their total `W`.
/// The payouts add up to exactly `pool` and each is within one wei of the exact quotient.
///
/// # Errors
/// [`SplitError`] when accounts are unordered or repeated, or the weights are all zero or too large.
pub fn split_pool(pool: Wei, entries: &[Weighted]) -> Result<Vec<Payout>, SplitError> {
    check_order(entries)?;
    let total = total_weight(entries)?;
    let mut prefix = 0_u64;
    let mut paid = 0_u128;
    let payouts = entries.iter().map(|entry| {
        prefix += entry.weight; // at most `total`, which fits
        let cut = mul_div(pool.0, prefix, total);
        let amount = Wei(cut - paid); // cuts never fall, because prefixes do not
        paid = cut;
        Payout { account: entry.account, amount }
    });
    Ok(payouts.collect())
}

fn check_order(entries: &[Weighted]) -> Result<(), SplitError> {
    match entries.windows(2).find(|pair| pair[0].account >= pair[1].account) {
        Some(pair) => Err(SplitError::Unordered { account: pair[1].account }),
        None => Ok(()),
    }
}

fn total_weight(entries: &[Weighted]) -> Result<u64, SplitError> {
    let total = entries.iter().try_fold(0_u64, |total, entry| total.checked_add(entry.weight));
    match total {
        None => Err(SplitError::WeightOverflow { entries: entries.len() }),
        Some(0) => Err(SplitError::NoWeight { entries: entries.len() }),
        Some(total) => Ok(total),
    }
}

/// `floor(amount * numerator / denominator)` for `numerator <= denominator`.
fn mul_div(amount: u128, numerator: u64, denominator: u64) -> u128 {
    let product = U256::from(amount) * U256::from(numerator);
    (product / U256::from(denominator)).to()
}

/// Adds up entries of the same account and sorts by account, ready for [`split_pool`].
///
/// # Errors
/// [`SplitError::WeightOverflow`] when one account's weights do not fit.
pub fn merge_weights(entries: impl IntoIterator<Item = Weighted>) -> Result<Vec<Weighted>, SplitError> {
    let mut merged = std::collections::BTreeMap::<Address, u64>::new();
    for (before, entry) in entries.into_iter().enumerate() {
        let sum = merged.entry(entry.account).or_default();
        *sum = sum.checked_add(entry.weight).ok_or(SplitError::WeightOverflow { entries: before + 1 })?;
    }
    Ok(merged.into_iter().map(|(account, weight)| Weighted { account, weight }).collect())
}
