use alloy_primitives::{B256, Bytes, U256, uint};
use openledger_primitives::{ChannelId, Wei};
use openledger_settlement::channel::{Channel, OnChainChannel, PaymentError, PaymentRefusal};
use openledger_settlement::relay::RelayError;
use openledger_settlement::signature::SignatureError;
use openledger_settlement::voucher::{SignedVoucher, channel_id};

use crate::common::{CHAIN_ID, config, key, payer};

/// Order of secp256k1.
const ORDER: U256 = uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);

fn funded(balance: u128, total_claimed: u128) -> OnChainChannel {
    OnChainChannel { balance: Wei(balance), total_claimed: Wei(total_claimed), ..OnChainChannel::default() }
}

fn channel(balance: u128, total_claimed: u128) -> Channel {
    Channel::open(config(1), CHAIN_ID, funded(balance, total_claimed), 100)
}

fn voucher(max_claimable: u128) -> SignedVoucher {
    SignedVoucher::sign(channel_id(&config(1), CHAIN_ID), Wei(max_claimable), CHAIN_ID, &payer()).unwrap()
}

fn refusal(channel: &Channel, voucher: SignedVoucher, amount_max: u128) -> PaymentError {
    channel.authorize(voucher, Wei(amount_max), CHAIN_ID).unwrap_err()
}

#[test]
fn a_request_is_charged_what_it_cost_within_the_voucher() {
    let mut channel = channel(1000, 0);
    let authorized = channel.authorize(voucher(100), Wei(100), CHAIN_ID).unwrap();
    assert_eq!(channel.charge(&authorized, Wei(70)), Ok((Wei(0), Wei(70))));
    let authorized = channel.authorize(voucher(170), Wei(100), CHAIN_ID).unwrap();
    assert_eq!(channel.charge(&authorized, Wei(100)), Ok((Wei(70), Wei(170))));
    assert_eq!(channel.state().charged_cumulative_amount, Wei(170));
    assert_eq!(channel.voucher_state().unwrap().signed_max_claimable, Wei(170));
}

#[test]
fn a_voucher_is_charged_once() {
    let mut channel = channel(1000, 0);
    let authorized = channel.authorize(voucher(100), Wei(100), CHAIN_ID).unwrap();
    channel.charge(&authorized, Wei(70)).unwrap();
    let again = channel.charge(&authorized, Wei(30)).unwrap_err();
    assert_eq!(again.code(), "invalid_batch_settlement_evm_cumulative_amount_mismatch");
    assert_eq!(channel.charged, Wei(70));
}

#[test]
fn a_charge_above_the_request_s_maximum_is_refused() {
    let mut channel = channel(1000, 0);
    let authorized = channel.authorize(voucher(100), Wei(100), CHAIN_ID).unwrap();
    let refused = channel.charge(&authorized, Wei(101)).unwrap_err();
    assert_eq!(refused.code(), "invalid_batch_settlement_evm_charge_exceeds_signed_cumulative");
}

#[test]
fn a_ceiling_that_is_not_charged_plus_maximum_is_corrected() {
    for ceiling in [99, 101] {
        let refused = refusal(&channel(1000, 0), voucher(ceiling), 100);
        assert_eq!(refused, PaymentError::CumulativeMismatch { given: Wei(ceiling), expected: Wei(100) });
        assert!(refused.is_corrective());
    }
}

#[test]
fn a_channel_pays_no_more_than_it_holds() {
    let refused = refusal(&channel(99, 0), voucher(100), 100);
    assert_eq!(refused.code(), "invalid_batch_settlement_evm_cumulative_exceeds_balance");
    let refused = refusal(&channel(0, 0), voucher(100), 100);
    assert_eq!(refused.code(), "invalid_batch_settlement_evm_channel_not_found");
}

#[test]
fn money_being_withdrawn_pays_for_nothing() {
    let mut channel = channel(1000, 0);
    let withdrawing = OnChainChannel { withdraw_requested_at: 90, withdraw_amount: Wei(950), ..funded(1000, 0) };
    channel.mirror(withdrawing, 100);
    let refused = refusal(&channel, voucher(100), 100);
    assert_eq!(refused, PaymentError::CumulativeExceedsBalance { given: Wei(100), available: Wei(50) });
}

#[test]
fn money_being_withdrawn_is_not_given_back_too() {
    let mut channel = channel(200, 0);
    let authorized = channel.authorize(voucher(100), Wei(100), CHAIN_ID).unwrap();
    channel.charge(&authorized, Wei(100)).unwrap();
    let withdrawing = OnChainChannel { withdraw_requested_at: 90, withdraw_amount: Wei(100), ..funded(200, 0) };
    channel.mirror(withdrawing, 100);
    let refused = channel.authorize_refund(&voucher(100), None, CHAIN_ID).unwrap_err();
    assert!(matches!(refused, PaymentRefusal::Relay(RelayError::NothingFree { .. })), "{refused}");
    channel.mirror(OnChainChannel { withdraw_amount: Wei(60), ..withdrawing }, 101);
    assert_eq!(channel.authorize_refund(&voucher(100), None, CHAIN_ID).unwrap(), Wei(40));
}

#[test]
fn a_channel_that_was_emptied_is_charged_nothing() {
    let mut channel = channel(100, 0);
    let authorized = channel.authorize(voucher(100), Wei(100), CHAIN_ID).unwrap();
    channel.mirror(funded(69, 0), 101);
    let refused = channel.charge(&authorized, Wei(70)).unwrap_err();
    assert_eq!(refused, PaymentError::CumulativeExceedsBalance { given: Wei(70), available: Wei(69) });
    assert_eq!((channel.charged, channel.voucher), (Wei(0), None));
}

#[test]
fn a_server_without_state_starts_at_what_was_claimed() {
    let channel = channel(1000, 300);
    assert!(channel.authorize(voucher(400), Wei(100), CHAIN_ID).is_ok());
    assert_eq!(channel.unclaimed(), Wei(0));
}

#[test]
fn charges_never_fall_below_what_was_claimed() {
    let mut channel = channel(1000, 0);
    channel.mirror(funded(1000, 250), 101);
    assert_eq!(channel.charged, Wei(250));
}

#[test]
fn a_voucher_for_another_channel_is_refused() {
    let other = SignedVoucher::sign(ChannelId(B256::ZERO), Wei(100), CHAIN_ID, &payer()).unwrap();
    let refused = refusal(&channel(1000, 0), other, 100);
    assert_eq!(refused.code(), "invalid_batch_settlement_evm_channel_id_mismatch");
}

#[test]
fn a_voucher_of_another_key_or_chain_is_refused() {
    let id = channel_id(&config(1), CHAIN_ID);
    let other_key = SignedVoucher::sign(id, Wei(100), CHAIN_ID, &key(7)).unwrap();
    let other_chain = SignedVoucher::sign(id, Wei(100), CHAIN_ID + 1, &payer()).unwrap();
    for voucher in [other_key, other_chain] {
        let refused = refusal(&channel(1000, 0), voucher, 100);
        assert_eq!(refused.code(), "invalid_batch_settlement_evm_voucher_signature");
    }
}

#[test]
fn a_delegate_named_in_the_channel_signs_instead_of_the_payer() {
    let mut config = config(1);
    config.payerAuthorizer = key(7).address();
    let channel = Channel::open(config.clone(), CHAIN_ID, funded(1000, 0), 100);
    let by_delegate = SignedVoucher::sign(channel.id, Wei(100), CHAIN_ID, &key(7)).unwrap();
    assert!(channel.authorize(by_delegate, Wei(100), CHAIN_ID).is_ok());
    let by_payer = SignedVoucher::sign(channel.id, Wei(100), CHAIN_ID, &payer()).unwrap();
    assert!(channel.authorize(by_payer, Wei(100), CHAIN_ID).is_err());
}

#[test]
fn a_mirrored_signature_is_refused() {
    let mut mirrored = voucher(100);
    let mut bytes = mirrored.signature.to_vec();
    let s = U256::from_be_slice(&bytes[32..64]);
    bytes[32..64].copy_from_slice(&(ORDER - s).to_be_bytes::<32>());
    bytes[64] = 55 - bytes[64];
    mirrored.signature = Bytes::from(bytes);
    let refused = refusal(&channel(1000, 0), mirrored, 100);
    assert_eq!(refused, PaymentError::VoucherSignature(SignatureError::HighS));
}

#[test]
fn no_changed_bit_of_a_signature_is_accepted() {
    let genuine = voucher(100);
    let channel = channel(1000, 0);
    for bit in 0..genuine.signature.len() * 8 {
        let mut bytes = genuine.signature.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let changed = SignedVoucher { signature: Bytes::from(bytes), ..genuine.clone() };
        assert!(channel.authorize(changed, Wei(100), CHAIN_ID).is_err(), "bit {bit}");
    }
}

#[test]
fn a_signature_of_another_length_is_refused() {
    for bytes in [0_usize, 64, 66, 500] {
        let cut = SignedVoucher { signature: Bytes::from(vec![1; bytes]), ..voucher(100) };
        let refused = refusal(&channel(1000, 0), cut, 100);
        assert_eq!(refused, PaymentError::VoucherSignature(SignatureError::Length { bytes }));
    }
}
