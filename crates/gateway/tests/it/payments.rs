//! Payments over HTTP: what a payer is told whose payment is not taken, and money that is asked back.

use std::time::Duration;

use openledger_primitives::{B256, Wei};
use openledger_sdk::{ChainClient, PayerChannel, PayerError, PayerOptions, Wallet};
use openledger_settlement::x402::{PAYMENT_SIGNATURE_HEADER, PaymentPayload, PaymentRequirements, to_header};
use serde_json::{Value, json};

use crate::node::{Node, node, slow_node};
use crate::people::{MODEL, People, key};

/// An account that pays for nothing elsewhere.
const STRANGER: u32 = 8;
const CODE: &str = "invalid_batch_settlement_evm_";
/// Tokens of an answer that is under way while a refund is asked for.
const LONG_ANSWER_TOKENS: u32 = 400;
/// Time after which an impatient client goes away: long before a transaction is in a block.
const IMPATIENCE: Duration = Duration::from_millis(3);

fn request(node: &Node, body: &Value, payment: Option<&PaymentPayload>) -> reqwest::RequestBuilder {
    let request = reqwest::Client::new().post(format!("{}/v1/chat/completions", node.gateway)).json(body);
    match payment {
        Some(payment) => request.header(PAYMENT_SIGNATURE_HEADER, to_header(payment)),
        None => request,
    }
}

async fn refused(node: &Node, body: &Value, payment: Option<&PaymentPayload>) -> Value {
    let response = request(node, body, payment).send().await.unwrap();
    assert_eq!(response.status(), 402);
    response.json().await.unwrap()
}

fn question(tokens_max: u32) -> Value {
    json!({"model": MODEL, "messages": [{"role": "user", "content": "Who?"}], "max_tokens": tokens_max, "stream": true})
}

async fn asked(payment: Option<&PaymentPayload>) -> Value {
    refused(node(), &question(3), payment).await
}

async fn stranger(node: &Node) -> ChainClient {
    People::connect(&node.rpc, &node.gateway).await.payer.with_signer(key(STRANGER))
}

fn offer_in(unpaid: &Value) -> PaymentRequirements {
    serde_json::from_value(unpaid["x402"]["accepts"][0].clone()).unwrap()
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
    let stranger = stranger(node()).await;
    let unpaid = asked(None).await;
    let offer = offer_in(&unpaid);
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
    let wallet = Wallet::new(stranger, PayerOptions::default());
    let gateway = people.gateway.clone().with_wallet(wallet);
    let question = openledger_sdk::api::ChatRequest::question(MODEL, "Who?");
    let offer = gateway.offer(&question).await.unwrap().unwrap();
    let mut terms = offer;
    // A channel of other terms than the operator's was never opened.
    terms.extra.withdraw_delay += 1;
    let refused = gateway.refund(&terms, None).await.unwrap_err().to_string();
    assert!(refused.contains("withdraw_delay_mismatch): the payment's withdrawal delay is 901;"), "{refused}");
}

#[test]
fn a_refund_waits_for_the_answer_under_way_and_gives_back_the_rest_to_the_wei() {
    let node = slow_node();
    node.block_on(refund_during_an_answer(node));
}

async fn refund_during_an_answer(node: &Node) {
    let stranger = stranger(node).await;
    let body = question(LONG_ANSWER_TOKENS);
    let offer = offer_in(&refused(node, &body, None).await);
    let mut channel = PayerChannel::open(stranger.hub(), &offer, B256::ZERO).await.unwrap();
    let deposit = Wei(3 * offer.amount.0 + 7);
    deposited(&stranger, &mut channel, deposit).await.unwrap();
    let payment = paying(&channel, &offer, offer.amount, "pay_0000000000000001");
    let mut answer = request(node, &body, Some(&payment)).send().await.unwrap();
    assert!(answer.chunk().await.unwrap().is_some(), "the answer is under way");

    // What the answer will cost is not known yet, so nothing of the channel is free.
    let early = asked_back(&channel, &offer, None, "refund_000000000001");
    let busy = refused(node, &json!({}), Some(&early)).await;
    let sentence =
        format!("another request of channel {} is being served; send this one again when it is done", channel.id());
    says(&busy, &format!("{CODE}channel_busy"), &sentence);
    channel.refresh().await.unwrap();
    assert_eq!(channel.on_chain().balance, deposit);

    // A client that waits gets the rest as soon as the answer is charged.
    let waiting = People::connect(&node.rpc, &node.gateway).await.gateway.clone();
    let waiting = waiting.with_wallet(Wallet::new(stranger.clone(), PayerOptions::default()));
    let terms = offer.clone();
    let part = Wei(offer.amount.0 + 3);
    let refund = tokio::spawn(async move { waiting.refund(&terms, Some(part)).await });
    while answer.chunk().await.unwrap().is_some() {}
    assert_eq!(refund.await.unwrap().unwrap().amount(), Some(part));
    let charged = charged(node, &channel).await;
    assert!(!charged.is_zero() && charged <= offer.amount, "{charged}");
    assert_eq!(stranger.wrapped_balance(stranger.address()).await.unwrap(), part);

    let rest = Wei(deposit.0 - part.0 - charged.0);
    repeated_refund(node, &stranger, &mut channel, &offer, (charged, rest)).await;
    assert_eq!(stranger.wrapped_balance(stranger.address()).await.unwrap(), Wei(deposit.0 - charged.0));
    channel.refresh().await.unwrap();
    assert_eq!(channel.on_chain().balance, charged, "what is left is the operator's");
}

/// Asks for all that is left, goes away before there is an answer, and asks again and again: it comes once.
async fn repeated_refund(
    node: &Node,
    stranger: &ChainClient,
    channel: &mut PayerChannel,
    offer: &PaymentRequirements,
    (charged, rest): (Wei, Wei),
) {
    let before = stranger.wrapped_balance(stranger.address()).await.unwrap();
    let lost_count = asked_back(channel, offer, None, "refund_000000000002");
    let corrective = refused(node, &json!({}), Some(&lost_count)).await;
    channel.correct(&offer_in(&corrective).extra).unwrap();
    assert_eq!(channel.charged(), charged);
    let all = asked_back(channel, offer, None, "refund_000000000003");
    assert!(request(node, &json!({}), Some(&all)).timeout(IMPATIENCE).send().await.is_err());
    let mut transactions = Vec::new();
    while transactions.len() < 2 {
        let response = request(node, &json!({}), Some(&all)).send().await.unwrap();
        let (status, settled): (_, Value) = (response.status(), response.json().await.unwrap());
        if status == 402 {
            // The first one goes on without its client, and holds the channel meanwhile.
            assert_eq!(settled["error"]["code"], format!("{CODE}channel_busy"), "{settled}");
            continue;
        }
        assert_eq!((status.as_u16(), &settled["x402"]["amount"]), (200, &json!(rest.to_string())), "{settled}");
        transactions.push(settled["x402"]["transaction"].clone());
    }
    assert_eq!(transactions[0], transactions[1]);
    assert_eq!(stranger.wrapped_balance(stranger.address()).await.unwrap(), Wei(before.0 + rest.0));
}

fn asked_back(
    channel: &PayerChannel,
    offer: &PaymentRequirements,
    amount: Option<Wei>,
    identifier: &str,
) -> PaymentPayload {
    let voucher = channel.voucher(Wei::ZERO).unwrap();
    PaymentPayload::refund(offer.clone(), channel.config(), &voucher, amount, identifier)
}

/// What the receipts of a channel say that it was charged.
async fn charged(node: &Node, channel: &PayerChannel) -> Wei {
    let receipts = People::connect(&node.rpc, &node.gateway).await.gateway.receipts(None, 0).await.unwrap();
    let own = receipts.iter().map(|entry| &entry.receipt.receipt).filter(|receipt| receipt.channelId == channel.id().0);
    own.map(|receipt| Wei(receipt.fee)).sum()
}
