use std::sync::atomic::Ordering;

use openledger_primitives::{ModelId, Wei};
use openledger_sdk::api::ChatRequest;
use openledger_sdk::{GatewayClient, GatewayError, PayerChannel, PayerError, PayerOptions, Wallet};
use openledger_settlement::verify::verify_receipt;
use openledger_settlement::x402::{SettleExtra, SettleResponse};

use crate::devnet::{CHAIN_ID, Devnet, Role};
use crate::till_server::{TillServer, fee};

fn question() -> ChatRequest {
    ChatRequest::question("attack", "Which technique is this?")
}

async fn payer(devnet: &Devnet, server: &TillServer, options: PayerOptions) -> GatewayClient {
    let wallet = Wallet::new(devnet.client(Role::Payer).await, options);
    GatewayClient::new(&server.url).unwrap().with_wallet(wallet)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_opens_its_channel_pays_and_keeps_count() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, ModelId::default()).await;
    let gateway = payer(&devnet, &server, PayerOptions::default()).await;
    let first = gateway.chat(&question()).await.unwrap();
    let second = gateway.chat(&question()).await.unwrap();
    assert_eq!(first.text, "Process Injection");
    assert_eq!((first.charged, second.charged), (Some(fee()), Some(fee())));
    assert!(second.calls_left.unwrap() < PayerOptions::default().deposit_requests.into());
    let bundle = server.ledger.bundle(second.receipt.unwrap()).unwrap().unwrap();
    assert_eq!(bundle.receipt.receipt.cumulativeAfter, 2 * fee().0);
    assert!(verify_receipt(&bundle, CHAIN_ID, None, None).passed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_on_the_way_is_fetched_again_for_nothing() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, ModelId::default()).await;
    let gateway = payer(&devnet, &server, PayerOptions::default()).await;
    server.breaks_next.store(true, Ordering::SeqCst);
    let answer = gateway.chat(&question()).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.charged), ("Process Injection", Some(fee())));
    assert_eq!(server.charges.load(Ordering::SeqCst), 1);
    gateway.chat(&question()).await.unwrap();
    assert_eq!(server.charges.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_lost_its_count_is_corrected() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, ModelId::default()).await;
    payer(&devnet, &server, PayerOptions::default()).await.chat(&question()).await.unwrap();
    let restarted = payer(&devnet, &server, PayerOptions::default()).await;
    let answer = restarted.chat(&question()).await.unwrap();
    assert_eq!(answer.charged, Some(fee()));
    let receipt = server.ledger.receipt(answer.receipt.unwrap()).unwrap().unwrap().receipt;
    assert_eq!((receipt.cumulativeBefore, receipt.sequence), (fee().0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_topped_up_when_it_runs_out() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, ModelId::default()).await;
    let options = PayerOptions { deposit_requests: 1, ..PayerOptions::default() };
    let gateway = payer(&devnet, &server, options).await;
    for _ in 0..4 {
        assert_eq!(gateway.chat(&question()).await.unwrap().charged, Some(fee()));
    }
    assert_eq!(server.charges.load(Ordering::SeqCst), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_the_same_time_are_all_served() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, ModelId::default()).await;
    let gateway = payer(&devnet, &server, PayerOptions { channels: 3, ..PayerOptions::default() }).await;
    let asked: Vec<_> = (0..12)
        .map(|_| {
            let gateway = gateway.clone();
            tokio::spawn(async move { gateway.chat(&question()).await })
        })
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().unwrap().charged, Some(fee()));
    }
    assert_eq!(server.charges.load(Ordering::SeqCst), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gives_text_and_then_its_cost() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, ModelId::default()).await;
    let gateway = payer(&devnet, &server, PayerOptions::default()).await;
    let mut stream = gateway.chat_stream(&question()).await.unwrap();
    let mut text = String::new();
    while let Some(piece) = stream.next_text().await.unwrap() {
        text += &piece;
    }
    assert_eq!((text.as_str(), stream.charged()), ("Process Injection", Some(fee())));
    assert!(server.ledger.receipt(stream.receipt().unwrap()).unwrap().is_some());
    drop(stream);
    assert_eq!(gateway.chat(&question()).await.unwrap().charged, Some(fee()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payer_s_limits_hold() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, ModelId::default()).await;
    let poor = PayerOptions { amount_max: Wei(1), ..PayerOptions::default() };
    let refused = payer(&devnet, &server, poor).await.chat(&question()).await.unwrap_err();
    assert!(matches!(refused, GatewayError::Payer(PayerError::TooDear { amount_max: Wei(1), .. })), "{refused}");
    let careful = PayerOptions { deposit_max: Wei(1), ..PayerOptions::default() };
    let refused = payer(&devnet, &server, careful).await.chat(&question()).await.unwrap_err();
    assert!(matches!(refused, GatewayError::Payer(PayerError::DepositTooLarge { .. })), "{refused}");
    let refused = GatewayClient::new(&server.url).unwrap().chat(&question()).await.unwrap_err();
    assert!(matches!(refused, GatewayError::NoWallet { .. }), "{refused}");
    assert_eq!(server.charges.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_s_word_alone_changes_no_count() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, ModelId::default()).await;
    let hub = devnet.client(Role::Payer).await.hub();
    let offer = offer(&server).await;
    let mut channel = PayerChannel::open(hub, &offer, Default::default()).await.unwrap();
    let mut state =
        openledger_settlement::channel::Channel::open(channel.config().clone(), CHAIN_ID, Default::default(), 0);
    state.charged = Wei(5);
    let mut extra = offer.extra.clone();
    extra.channel_state = Some(state.state());
    let refused = channel.correct(&extra).unwrap_err();
    assert!(matches!(refused, PayerError::Unproven { .. }), "{refused}");
    let claimed = SettleExtra { charged_amount: Some(Wei(4)), channel_state: state.state(), receipt_hash: None };
    let response = SettleResponse::charged(CHAIN_ID, channel.config().payer, claimed);
    assert_eq!(channel.apply(Wei(10), &response), None, "4 charged but 5 in all");
    assert_eq!(channel.apply(Wei(3), &response), None, "4 charged where 3 were allowed");
    assert_eq!(channel.charged(), Wei(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_of_another_hub_or_chain_is_refused() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, ModelId::default()).await;
    let genuine = offer(&server).await;
    let mut hub = genuine.clone();
    hub.pay_to = hub.extra.receiver_authorizer;
    let mut chain = genuine.clone();
    chain.network = "eip155:1".into();
    let mut delay = genuine;
    delay.extra.withdraw_delay = 10;
    for (offer, expected) in [(hub, "receiver"), (chain, "network"), (delay, "withdrawal delay")] {
        let client = devnet.client(Role::Payer).await;
        let refused = PayerChannel::open(client.hub(), &offer, Default::default()).await.unwrap_err();
        assert!(matches!(refused, PayerError::Offer { term, .. } if term == expected), "{refused}");
    }
}

async fn offer(server: &TillServer) -> openledger_settlement::x402::PaymentRequirements {
    let http = reqwest::Client::new();
    let response = http.post(format!("{}/v1/chat/completions", server.url)).body("{}").send().await.unwrap();
    let header = response.headers().get("PAYMENT-REQUIRED").unwrap();
    let required: openledger_settlement::x402::PaymentRequired =
        openledger_settlement::x402::from_header(header.as_bytes()).unwrap();
    required.batch_settlement().unwrap().clone()
}
