//! What a payer is told whose payment is not taken.

use openledger_primitives::{B256, Wei};
use openledger_sdk::{ChainClient, PayerChannel, PayerError, PayerOptions};
use openledger_settlement::x402::{PAYMENT_SIGNATURE_HEADER, PaymentPayload, PaymentRequirements, to_header};
use serde_json::{Value, json};

use crate::node::node;
use crate::people::{MODEL, People, key};

/// An account that pays for nothing elsewhere.
const STRANGER: u32 = 8;
const CODE: &str = "invalid_batch_settlement_evm_";

async fn asked(payment: Option<&PaymentPayload>) -> Value {
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 3});
    let request = reqwest::Client::new().post(format!("{}/v1/chat/completions", node().gateway)).json(&body);
    let request = match payment {
        Some(payment) => request.header(PAYMENT_SIGNATURE_HEADER, to_header(payment)),
        None => request,
    };
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 402);
    response.json().await.unwrap()
}

/// Checks code and sentence of a 402; the code stays where x402 clients look for it.
fn says(refused: &Value, code: &str, sentence: &str) {
    assert_eq!(refused["error"]["code"], code, "{refused}");
    assert_eq!(refused["error"]["message"], sentence, "{refused}");
    assert_eq!(refused["x402"]["error"], code, "{refused}");
}

fn open(amount: Wei) -> String {
    format!("{} OPEN", amount.format_open())
}

fn paying(channel: &PayerChannel, offer: &PaymentRequirements, ceiling: Wei, identifier: &str) -> PaymentPayload {
    let voucher = channel.voucher(ceiling).unwrap();
    PaymentPayload::voucher(offer.clone(), channel.config(), &voucher, identifier)
}

async fn deposited(stranger: &ChainClient, channel: &mut PayerChannel, amount: Wei) -> Result<(), PayerError> {
    stranger.hub().deposit(channel.config(), amount).await?;
    channel.refresh().await
}

#[tokio::test]
async fn a_payer_is_told_what_is_missing_in_a_sentence_beside_the_code() {
    let stranger = People::connect(&node().rpc, &node().gateway).await.payer.with_signer(key(STRANGER));
    let unpaid = asked(None).await;
    let offer: PaymentRequirements = serde_json::from_value(unpaid["x402"]["accepts"][0].clone()).unwrap();
    let ceiling = open(offer.amount);
    assert_eq!(unpaid["error"]["code"], "payment_required");
    let message = unpaid["error"]["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("this request can cost up to {ceiling};")), "{message}");

    let mut channel = PayerChannel::open(stranger.hub(), &offer, B256::ZERO).await.unwrap();
    let empty = asked(Some(&paying(&channel, &offer, offer.amount, "pay_0000000000000001"))).await;
    let sentence = format!(
        "channel {} holds no money; this request can cost up to {ceiling}, deposit at least that",
        channel.id()
    );
    says(&empty, &format!("{CODE}channel_not_found"), &sentence);

    let short = Wei(offer.amount.0 - 7);
    deposited(&stranger, &mut channel, short).await.unwrap();
    let poor = asked(Some(&paying(&channel, &offer, offer.amount, "pay_0000000000000002"))).await;
    let sentence = format!(
        "the channel has {} left, and this request can cost up to {ceiling}; deposit at least {} more, or ask for fewer \
         tokens",
        open(short),
        open(Wei(7))
    );
    says(&poor, &format!("{CODE}cumulative_exceeds_balance"), &sentence);

    let low = asked(Some(&paying(&channel, &offer, Wei(1), "pay_0000000000000003"))).await;
    let sentence = format!(
        "the voucher's ceiling is {}; it must be {ceiling}: 0 OPEN charged so far, and up to {ceiling} for this request",
        open(Wei(1))
    );
    says(&low, &format!("{CODE}cumulative_amount_mismatch"), &sentence);
}

#[tokio::test]
async fn a_client_shows_the_nodes_sentence() {
    let people = People::connect(&node().rpc, &node().gateway).await;
    let stranger = people.payer.with_signer(key(STRANGER));
    let wallet = openledger_sdk::Wallet::new(stranger, PayerOptions::default());
    let gateway = people.gateway.clone().with_wallet(wallet);
    let question = openledger_sdk::api::ChatRequest::question(MODEL, "Who?");
    let offer = gateway.offer(&question).await.unwrap().unwrap();
    let mut terms = offer;
    // A channel of other terms than the operator's was never opened.
    terms.extra.withdraw_delay += 1;
    let refused = gateway.refund(&terms, None).await.unwrap_err().to_string();
    assert!(refused.contains("withdraw_delay_mismatch): the payment's withdrawal delay is 901;"), "{refused}");
}
