//! A payer without gas: the operator sends its deposit and its refund.

use std::time::Duration;

use alloy_signer_local::PrivateKeySigner;
use openledger_contracts::ChannelConfig;
use openledger_primitives::{Address, B256, Wei};
use openledger_sdk::{ChainClient, PayerChannel};
use openledger_settlement::relay::Deposit;
use openledger_settlement::x402::{PaymentPayload, PaymentRequirements};
use serde_json::Value;

use crate::bad_input::{ask, chat, not_paid, offer};
use crate::node::{Home, Node};
use crate::people::{CHAIN_ID, MODEL, People};
use crate::prepared;

/// Wrapped OPEN that the payer holds, and no native OPEN.
const FUNDS: Wei = Wei::from_open(2);
/// What it deposits.
const DEPOSIT: Wei = Wei(20_000_000_000_000_000);
/// Time after which the node is killed that was asked for money back: it has begun, and no block has the refund yet.
const IMPATIENCE: Duration = Duration::from_millis(15);
const CODE: &str = "invalid_batch_settlement_evm_";

async fn penniless(node: &Node) -> ChainClient {
    let rich = People::connect(node).await.payer.clone();
    let poor = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x42)).unwrap();
    if rich.wrapped_balance(poor.address()).await.unwrap().is_zero() {
        rich.wrap(poor.address(), FUNDS).await.unwrap();
    }
    rich.with_signer(poor)
}

async fn channel(payer: &ChainClient, offer: &PaymentRequirements) -> PayerChannel {
    PayerChannel::open(payer.hub(), offer, B256::ZERO).await.unwrap()
}

/// A running node and somebody at it with a question, wrapped OPEN and no gas.
struct Asker {
    home: Home,
    node: Node,
    payer: ChainClient,
    /// The question.
    body: Value,
    /// What its answer must be paid with.
    terms: PaymentRequirements,
    /// A channel without money.
    account: PayerChannel,
}

async fn asker() -> Asker {
    let (home, _) = prepared::home().await;
    let node = home.start(&[]);
    let payer = penniless(&node).await;
    let body = ask(MODEL);
    let terms = offer(&node, &body).await;
    let account = channel(&payer, &terms).await;
    Asker { home, node, payer, body, terms, account }
}

/// Pays for `offer` with a deposit, out of the channel of `config` or of its own.
fn paying(
    channel: &PayerChannel,
    offer: &PaymentRequirements,
    config: Option<ChannelConfig>,
    deposit: &Deposit,
    identifier: &str,
) -> PaymentPayload {
    let config = config.unwrap_or_else(|| channel.config().clone());
    let voucher = channel.voucher(offer.amount).unwrap();
    PaymentPayload::deposit(offer.clone(), &config, &voucher, deposit.into(), identifier)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_without_gas_deposits_and_asks_in_one_request_and_gets_the_rest_back() {
    let Asker { home, node, payer, body, terms, account } = asker().await;
    let deposit = account.authorize(DEPOSIT).await.unwrap();
    let payment = paying(&account, &terms, None, &deposit, "pay_0000000000000001");
    let (status, answer) = chat(&node, &body, Some(&payment)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(payer.wrapped_balance(payer.address()).await.unwrap(), Wei(FUNDS.0 - DEPOSIT.0));
    // The same request again, also after a crash: the same answer, no second deposit.
    let (_, again) = chat(&node, &body, Some(&payment)).await;
    assert_eq!(again, answer);
    node.kill();
    let node = home.start(&[]);
    let payer = penniless(&node).await;
    let (status, again) = chat(&node, &body, Some(&payment)).await;
    assert_eq!((status, again), (200, answer));
    assert_eq!(payer.wrapped_balance(payer.address()).await.unwrap(), Wei(FUNDS.0 - DEPOSIT.0));

    let people = People::connect(&node).await;
    let receipts = people.gateway.receipts(None, 0).await.unwrap();
    let mine = receipts.iter().map(|entry| &entry.receipt.receipt).filter(|mine| mine.channelId == account.id().0);
    let charged: u128 = mine.map(|receipt| receipt.fee).sum();
    assert!(charged > 0);
    let replayed = paying(&account, &terms, None, &deposit, "pay_0000000000000002");
    not_paid(&node, &body, &replayed, &format!("{CODE}authorization_used")).await;
    refunds(&home, node, &payer, &terms, charged).await;
}

/// Gives everything back that was not charged, and nothing else, also when the node is killed meanwhile.
async fn refunds(home: &Home, node: Node, payer: &ChainClient, terms: &PaymentRequirements, charged: u128) {
    let body = ask(MODEL);
    let mut account = channel(payer, terms).await;
    let asked = |account: &PayerChannel, amount: Option<u128>, identifier: &str| {
        let voucher = account.voucher(Wei::ZERO).unwrap();
        PaymentPayload::refund(terms.clone(), account.config(), &voucher, amount.map(Wei), identifier)
    };
    // A payer that lost its count is corrected, whether its charges are on chain already or not.
    let (status, refused) = chat(&node, &body, Some(&asked(&account, Some(u128::MAX), "refund_000000000000"))).await;
    assert_eq!(status, 402, "{refused}");
    let extra = serde_json::from_value(refused["x402"]["accepts"][0]["extra"].clone()).unwrap();
    account.correct(&extra).unwrap();
    assert_eq!(account.charged(), Wei(charged));
    let above = asked(&account, Some(DEPOSIT.0 - charged + 1), "refund_000000000001");
    not_paid(&node, &body, &above, &format!("{CODE}refund_amount_invalid")).await;
    let all = asked(&account, None, "refund_000000000002");
    let _ = tokio::time::timeout(IMPATIENCE, chat(&node, &body, Some(&all))).await;
    node.kill();
    let node = home.start(&[]);
    let payer = &penniless(&node).await;
    let mut account = channel(payer, terms).await;
    let (status, settled) = chat(&node, &body, Some(&all)).await;
    assert_eq!(status, 200, "{settled}");
    assert_eq!(settled["x402"]["amount"], (DEPOSIT.0 - charged).to_string());
    let (_, again) = chat(&node, &body, Some(&all)).await;
    assert_eq!(again["x402"]["transaction"], settled["x402"]["transaction"]);
    assert_eq!(payer.wrapped_balance(payer.address()).await.unwrap(), Wei(FUNDS.0 - charged));
    assert_eq!(payer.balance(payer.address()).await.unwrap(), Wei::ZERO, "no gas was ever paid");
    account.refresh().await.unwrap();
    assert_eq!(account.on_chain().balance, Wei(charged));
}

#[tokio::test(flavor = "multi_thread")]
async fn deposits_that_are_not_good_are_refused_by_their_code_and_move_nothing() {
    // The home is kept, or its folder would go under the node's feet.
    let Asker { home: _home, node, payer, body, terms, account } = asker().await;
    let signed = |amount, valid_before, chain_id| {
        Deposit::sign(account.config(), amount, valid_before, B256::ZERO, chain_id, payer.signer()).unwrap()
    };
    let good = signed(DEPOSIT, u64::MAX, CHAIN_ID);
    let token = ChannelConfig { token: Address::repeat_byte(9), ..account.config().clone() };
    for (deposit, config, code) in [
        (&good, Some(token), "token_mismatch"),
        (&signed(DEPOSIT, 1, CHAIN_ID), None, "payload_authorization_valid_before"),
        (&signed(DEPOSIT, u64::MAX, CHAIN_ID + 1), None, "receive_authorization_signature"),
        (&signed(Wei(1), u64::MAX, CHAIN_ID), None, "deposit_below_minimum"),
        (&signed(Wei(FUNDS.0 + 1), u64::MAX, CHAIN_ID), None, "insufficient_balance"),
    ] {
        let payment = paying(&account, &terms, config, deposit, "pay_0000000000000001");
        not_paid(&node, &body, &payment, &format!("{CODE}{code}")).await;
    }
    assert_eq!(payer.wrapped_balance(payer.address()).await.unwrap(), FUNDS);
    let (status, answer) =
        chat(&node, &body, Some(&paying(&account, &terms, None, &good, "pay_0000000000000002"))).await;
    assert_eq!(status, 200, "{answer}");
}
