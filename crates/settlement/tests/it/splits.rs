use openledger_contracts::{Price, SplitBps};
use openledger_primitives::{Address, Wei};
use openledger_settlement::split::{
    FeeError, SplitError, Usage, Weighted, fee, fee_within, merge_weights, split_fee, split_pool, split_total,
};
use proptest::prelude::*;

use crate::common::{DEFAULT_BPS, account};

fn weighted(entries: &[(u8, u64)]) -> Vec<Weighted> {
    entries.iter().map(|&(number, weight)| Weighted { account: account(number), weight }).collect()
}

#[test]
fn a_fee_is_price_times_tokens() {
    let price = Price { inputWei: 3, outputWei: 7 };
    assert_eq!(fee(&price, Usage { tokens_in: 10, tokens_out: 2 }), Ok(Wei(44)));
}

#[test]
fn a_fee_above_the_ceiling_is_refused() {
    let price = Price { inputWei: 3, outputWei: 7 };
    let usage = Usage { tokens_in: 10, tokens_out: 2 };
    assert_eq!(fee_within(&price, usage, Wei(44)), Ok(Wei(44)));
    let refused = Err(FeeError::AboveCeiling { fee: Wei(44), ceiling: Wei(43) });
    assert_eq!(fee_within(&price, usage, Wei(43)), refused);
}

#[test]
fn a_fee_that_does_not_fit_is_refused() {
    let price = Price { inputWei: u128::MAX, outputWei: 1 };
    assert!(matches!(fee(&price, Usage { tokens_in: 2, tokens_out: 0 }), Err(FeeError::Overflow { .. })));
    assert!(matches!(fee(&price, Usage { tokens_in: 1, tokens_out: 1 }), Err(FeeError::Overflow { .. })));
}

#[test]
fn the_default_split_is_that_of_the_design() {
    let split = split_fee(Wei(10_000), &DEFAULT_BPS).unwrap();
    let parts = (split.burn, split.operatorShare, split.builder, split.parents, split.stakers);
    assert_eq!(parts, (500, 2000, 1500, 0, 1000));
    assert_eq!((split.influence, split.provenance), (4000, 1000));
}

#[test]
fn a_split_of_the_largest_fee_is_exact() {
    let split = split_fee(Wei(u128::MAX), &DEFAULT_BPS).unwrap();
    assert_eq!(split_total(&split), Some(Wei(u128::MAX)));
}

#[test]
fn parts_above_the_whole_are_refused() {
    let bps = SplitBps { burn: 5000, operatorBps: 5001, ..DEFAULT_BPS };
    assert_eq!(split_fee(Wei(1), &bps).unwrap_err(), SplitError::AboveWhole { total: 12_501 });
    let bps = SplitBps { provenance: 10_001, ..DEFAULT_BPS };
    assert_eq!(split_fee(Wei(1), &bps).unwrap_err(), SplitError::ProvenanceAboveWhole { bps: 10_001 });
}

#[test]
fn a_pool_without_weight_is_refused() {
    assert_eq!(split_pool(Wei(5), &weighted(&[(1, 0)])).unwrap_err(), SplitError::NoWeight { entries: 1 });
    assert_eq!(split_pool(Wei(5), &[]).unwrap_err(), SplitError::NoWeight { entries: 0 });
}

#[test]
fn unordered_or_repeated_accounts_are_refused() {
    for entries in [[(2, 1), (1, 1)], [(1, 1), (1, 1)]] {
        let unordered = SplitError::Unordered { account: account(1) };
        assert_eq!(split_pool(Wei(5), &weighted(&entries)).unwrap_err(), unordered);
    }
}

#[test]
fn weights_of_one_account_are_merged() {
    let merged = merge_weights(weighted(&[(9, 1), (3, 2), (9, 5)])).unwrap();
    assert_eq!(merged, weighted(&[(3, 2), (9, 6)]));
}

#[test]
fn splitting_an_entry_in_two_changes_nobody_elses_share() {
    let whole = split_pool(Wei(1_000_003), &weighted(&[(1, 7), (5, 6), (9, 11)])).unwrap();
    let parted = split_pool(Wei(1_000_003), &weighted(&[(1, 7), (5, 2), (6, 4), (9, 11)])).unwrap();
    assert_eq!((whole[0], whole[2]), (parted[0], parted[3]));
    assert_eq!(whole[1].amount, parted[1].amount.checked_add(parted[2].amount).unwrap());
}

fn any_bps() -> impl Strategy<Value = SplitBps> {
    ([0_u16..2500, 0_u16..2500, 0_u16..2500, 0_u16..1250, 0_u16..1251], 0_u16..=10_000).prop_map(
        |(parts, provenance)| {
            let [burn, operator, builder, parents, stakers] = parts;
            SplitBps { burn, operatorBps: operator, builder, parents, stakers, provenance }
        },
    )
}

/// Small fees, where rounding bites, as often as all others.
fn any_fee() -> impl Strategy<Value = u128> {
    prop_oneof![0_u128..=10, 0_u128..1_000_000, any::<u128>()]
}

fn any_weights() -> impl Strategy<Value = Vec<Weighted>> {
    let weight = prop_oneof![Just(0_u64), 1_u64..=65_535, any::<u32>().prop_map(u64::from)];
    proptest::collection::btree_map(any::<[u8; 20]>(), weight, 1..24).prop_map(|entries| {
        entries.into_iter().map(|(bytes, weight)| Weighted { account: Address::from(bytes), weight }).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn the_parts_of_a_split_add_up_to_the_fee(fee in any_fee(), bps in any_bps()) {
        let split = split_fee(Wei(fee), &bps).unwrap();
        prop_assert_eq!(split_total(&split), Some(Wei(fee)));
        prop_assert!(split.burn <= fee);
    }

    #[test]
    fn payouts_add_up_to_the_pool_and_are_within_a_wei(pool in any_fee(), entries in any_weights()) {
        let total: u64 = entries.iter().map(|entry| entry.weight).sum();
        let split = split_pool(Wei(pool), &entries);
        if total == 0 {
            prop_assert_eq!(split, Err(SplitError::NoWeight { entries: entries.len() }));
            return Ok(());
        }
        let payouts = split.unwrap();
        prop_assert_eq!(Wei::checked_sum(payouts.iter().map(|payout| payout.amount)), Some(Wei(pool)));
        for (payout, entry) in payouts.iter().zip(&entries) {
            let exact = alloy_primitives::U256::from(pool) * alloy_primitives::U256::from(entry.weight);
            let floor: u128 = (exact / alloy_primitives::U256::from(total)).to();
            prop_assert!(payout.amount.0 >= floor.saturating_sub(1) && payout.amount.0 - floor.min(payout.amount.0) <= 1);
            prop_assert!(entry.weight > 0 || payout.amount.is_zero());
        }
    }
}
