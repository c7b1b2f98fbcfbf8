//! `openledger channel`: what a payment channel holds, and getting it back.

use anyhow::{Context as _, Result};
use openledger_primitives::{B256, Wei};
use openledger_sdk::api::ChatRequest;
use openledger_sdk::{PayerChannel, PayerOptions, Wallet};
use openledger_settlement::x402::PaymentRequirements;
use serde_json::{Value, json};

use super::Context;
use crate::args::ChannelCommand;
use crate::output::{self, line};

/// Runs one of the commands.
pub(crate) async fn run(context: &Context, json: bool, command: ChannelCommand) -> Result<()> {
    match command {
        ChannelCommand::Show { model } => show(context, json, &model).await,
        ChannelCommand::Refund { model, amount, dry_run } => {
            let amount = amount.as_deref().map(Wei::parse_open).transpose();
            let amount = amount.context("the amount is not an amount of OPEN")?;
            match dry_run {
                true => preview(context, json, &model, amount).await,
                false => refund(context, json, &model, amount).await,
            }
        }
    }
}

/// The offer of the operator who serves `model`.
async fn offer(context: &Context, model: &str) -> Result<PaymentRequirements> {
    let request = ChatRequest { max_tokens: Some(1), ..ChatRequest::question(model, "price") };
    let offer = context.gateway()?.offer(&request).await.context("could not ask the gateway for its offer")?;
    offer.with_context(|| format!("{model:?} is free, so there is no channel"))
}

/// The channel that `chat` pays from.
async fn open(context: &Context, model: &str) -> Result<PayerChannel> {
    let offer = offer(context, model).await?;
    let hub = context.chain().await?.hub();
    PayerChannel::open(hub, &offer, B256::ZERO).await.context("could not read the channel")
}

fn as_json(channel: &PayerChannel) -> Value {
    let on_chain = channel.on_chain();
    json!({
        "channel": channel.id(), "balance_wei": on_chain.balance, "claimed_wei": on_chain.total_claimed,
        "unclaimed_wei": Wei(on_chain.balance.0.saturating_sub(on_chain.total_claimed.0)),
        "withdrawing_wei": on_chain.withdraw_amount,
    })
}

async fn show(context: &Context, json: bool, model: &str) -> Result<()> {
    let channel = open(context, model).await?;
    if json { output::json(&as_json(&channel)) } else { print(&channel) }
}

fn print(channel: &PayerChannel) -> Result<()> {
    let on_chain = channel.on_chain();
    let unclaimed = Wei(on_chain.balance.0.saturating_sub(on_chain.total_claimed.0));
    line(format_args!("channel    {}", channel.id()));
    line(format_args!("balance    {} OPEN", on_chain.balance.format_open()));
    line(format_args!("claimed    {} OPEN on chain", on_chain.total_claimed.format_open()));
    line(format_args!(
        "unclaimed  {} OPEN; what the operator charged of it is not on chain yet",
        unclaimed.format_open()
    ));
    Ok(())
}

async fn preview(context: &Context, json: bool, model: &str, amount: Option<Wei>) -> Result<()> {
    let channel = open(context, model).await?;
    if json {
        return output::json(&json!({"dry_run": true, "amount_wei": amount, "details": as_json(&channel)}));
    }
    let asked = amount.map_or_else(|| "all that was not charged".to_owned(), |amount| amount.format_open() + " OPEN");
    line(format_args!("would ask the operator for {asked}; nothing was asked"));
    print(&channel)
}

async fn refund(context: &Context, json: bool, model: &str, amount: Option<Wei>) -> Result<()> {
    let offer = offer(context, model).await?;
    let options = PayerOptions { amount_max: offer.amount, ..PayerOptions::default() };
    let gateway = context.gateway()?.with_wallet(Wallet::new(context.chain().await?, options));
    let refunded = gateway.refund(&offer, amount).await.context("the operator gave nothing back")?;
    let came = refunded.amount().context("the gateway did not say how much came back")?;
    if json {
        return output::json(&json!({
            "channel": refunded.channel, "refunded_wei": came, "transaction": refunded.settled.transaction,
        }));
    }
    line(format_args!("{} OPEN came back as wrapped OPEN", came.format_open()));
    line(format_args!("transaction {}", refunded.settled.transaction));
    Ok(())
}
