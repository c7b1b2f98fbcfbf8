use openledger_contracts::ChannelConfig;
use openledger_primitives::{Address, Wei};
use openledger_settlement::voucher::{SignedVoucher, channel_id};
use openledger_settlement::x402::{
    BatchExtra, BatchPayload, HEADER_BYTES_MAX, HeaderError, PaymentPayload, PaymentRequired, PaymentRequirements,
    SCHEME, SettleExtra, SettleResponse, WireChannelConfig, from_header, network, to_header,
};
use serde_json::json;

use crate::common::{CHAIN_ID, config, operator, payer};

fn offer() -> PaymentRequirements {
    PaymentRequirements {
        scheme: SCHEME.into(),
        network: network(CHAIN_ID),
        amount: Wei(100_000),
        asset: config(1).token,
        pay_to: config(1).receiver,
        max_timeout_seconds: 60,
        extra: BatchExtra {
            receiver_authorizer: operator().address(),
            withdraw_delay: 900,
            name: "Wrapped OPEN".into(),
            version: "1".into(),
            min_deposit: Some(Wei(1_000_000)),
            channel_state: None,
            voucher_state: None,
        },
    }
}

fn voucher() -> SignedVoucher {
    SignedVoucher::sign(channel_id(&config(1), CHAIN_ID), Wei(100_000), CHAIN_ID, &payer()).unwrap()
}

#[test]
fn a_payment_survives_its_header() {
    let payment = PaymentPayload::voucher(offer(), &config(1), &voucher(), "pay_0123456789abcdef");
    let read: PaymentPayload = from_header(to_header(&payment).as_bytes()).unwrap();
    assert_eq!(read, payment);
    assert_eq!(read.identifier().unwrap(), Some("pay_0123456789abcdef"));
}

#[test]
fn the_voucher_payload_has_the_fields_of_the_specification() {
    let payment = PaymentPayload::voucher(offer(), &config(1), &voucher(), "pay_0123456789abcdef");
    let json = serde_json::to_value(&payment).unwrap();
    assert_eq!(json["x402Version"], 2);
    assert_eq!(json["accepted"]["network"], "eip155:161201");
    assert_eq!(json["accepted"]["amount"], "100000");
    assert_eq!(json["accepted"]["extra"]["receiverAuthorizer"], json!(operator().address()));
    assert_eq!(json["payload"]["type"], "voucher");
    assert_eq!(json["payload"]["channelConfig"]["payerAuthorizer"], json!(Address::ZERO));
    assert_eq!(json["payload"]["channelConfig"]["withdrawDelay"], 900);
    assert_eq!(json["payload"]["voucher"]["maxClaimableAmount"], "100000");
    assert_eq!(json["extensions"]["payment-identifier"]["info"]["id"], "pay_0123456789abcdef");
}

#[test]
fn messages_of_the_specification_are_read() {
    let required = json!({
        "x402Version": 2,
        "error": "invalid_batch_settlement_evm_cumulative_amount_mismatch",
        "resource": {"url": "https://api.example.com/v1"},
        "accepts": [{
            "scheme": "batch-settlement", "network": "eip155:8453", "amount": "100000",
            "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
            "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C", "maxTimeoutSeconds": 3600,
            "extra": {
                "receiverAuthorizer": "0x857b06519E91e3A54538791bDbb0E22373e36b66", "withdrawDelay": 900,
                "name": "USDC", "version": "2", "assetTransferMethod": "eip3009",
                "channelState": {
                    "channelId": "0x1111111111111111111111111111111111111111111111111111111111111111",
                    "balance": "100000", "totalClaimed": "500", "withdrawRequestedAt": 0, "refundNonce": "1",
                    "chargedCumulativeAmount": "3200"
                },
                "voucherState": {"signedMaxClaimable": "3200", "signature": "0x01"}
            }
        }]
    });
    let required: PaymentRequired = serde_json::from_value(required).unwrap();
    let offer = required.batch_settlement().unwrap();
    assert_eq!(offer.extra.channel_state.as_ref().unwrap().charged_cumulative_amount, Wei(3200));
    let refund = json!({"type": "refund", "amount": "1500", "channelConfig": WireChannelConfig::from(&config(1)),
        "voucher": {"channelId": channel_id(&config(1), CHAIN_ID), "maxClaimableAmount": "3200", "signature": "0x00"}});
    let refund: BatchPayload = serde_json::from_value(refund).unwrap();
    assert!(matches!(refund, BatchPayload::Refund { amount: Some(Wei(1500)), .. }));
}

#[test]
fn a_response_has_the_fields_of_the_specification() {
    let channel = openledger_settlement::channel::Channel::open(config(1), CHAIN_ID, Default::default(), 0);
    let extra = SettleExtra { charged_amount: Some(Wei(700)), channel_state: channel.state(), receipt_hash: None };
    let json = serde_json::to_value(SettleResponse::charged(CHAIN_ID, payer().address(), extra)).unwrap();
    assert_eq!(
        (json["success"].clone(), json["transaction"].clone(), json["amount"].clone()),
        (true.into(), "".into(), "".into())
    );
    assert_eq!(json["extra"]["chargedAmount"], "700");
    assert_eq!(json["extra"]["channelState"]["refundNonce"], "0");
}

#[test]
fn the_offer_s_hash_ignores_corrective_fields_only() {
    let channel = openledger_settlement::channel::Channel::open(config(1), CHAIN_ID, Default::default(), 0);
    let mut corrective = offer();
    corrective.extra.channel_state = Some(channel.state());
    assert_eq!(corrective.offer_hash(), offer().offer_hash());
    let dearer = PaymentRequirements { amount: Wei(100_001), ..offer() };
    assert_ne!(dearer.offer_hash(), offer().offer_hash());
}

#[test]
fn identifiers_of_the_wrong_form_are_refused() {
    for identifier in ["short", "has a space in it", &"x".repeat(129)] {
        let payment = PaymentPayload::voucher(offer(), &config(1), &voucher(), identifier);
        assert!(matches!(payment.identifier(), Err(HeaderError::Identifier)), "{identifier}");
    }
}

#[test]
fn hostile_headers_are_refused() {
    let long = "A".repeat(HEADER_BYTES_MAX + 1);
    assert!(matches!(from_header::<PaymentPayload>(long.as_bytes()), Err(HeaderError::TooLong { .. })));
    assert!(matches!(from_header::<PaymentPayload>(b"\xff\xfe"), Err(HeaderError::Base64(_))));
    assert!(matches!(from_header::<PaymentPayload>(b"e30="), Err(HeaderError::Json(_))));
}

#[test]
fn a_withdrawal_delay_out_of_bounds_is_refused() {
    for seconds in [0, 899, 2_592_001, u64::MAX] {
        let wire = WireChannelConfig { withdraw_delay: seconds, ..WireChannelConfig::from(&config(1)) };
        assert!(matches!(ChannelConfig::try_from(&wire), Err(HeaderError::WithdrawDelay { .. })));
    }
}
