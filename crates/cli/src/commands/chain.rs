//! `openledger chain`: the chain, as any Ethereum tool sees it.

use anyhow::{Context as _, Result, bail};
use openledger_primitives::{Address, U256, Wei};
use openledger_sdk::SentTransaction;
use serde_json::{Value, json};

use super::Context;
use super::draft::Draft;
use crate::args::ChainCommand;
use crate::output::{self, line};

/// Runs one of the commands.
pub(crate) async fn run(context: &Context, json: bool, command: ChainCommand) -> Result<()> {
    match command {
        ChainCommand::Status => status(context, json).await,
        ChainCommand::Rpc { method, params } => rpc(context, &method, &params).await,
        ChainCommand::Send { to, amount, dry_run } => send(context, json, to, &amount, dry_run).await,
    }
}

async fn status(context: &Context, json: bool) -> Result<()> {
    let chain = context.chain().await?;
    let (block, time) = (chain.block_number().await?, chain.block_time().await?);
    let gas_price: U256 = chain.rpc("eth_gasPrice", ()).await?;
    let (id, gas_price) = (chain.chain_id(), Wei(gas_price.saturating_to()));
    let final_epoch = chain.hub().last_final_epoch().await.context("could not read the inference hub")?;
    if json {
        return output::json(&json!({
            "chain_id": id, "block": block, "block_time": time, "gas_price_wei": gas_price, "final_epoch": final_epoch,
        }));
    }
    line(format_args!("chain id     {id}"));
    line(format_args!("block        {block}, at Unix time {time}"));
    line(format_args!("gas price    {gas_price} wei"));
    line(format_args!("final epoch  {final_epoch}"));
    Ok(())
}

/// The result of any JSON-RPC method, as JSON.
async fn rpc(context: &Context, method: &str, params: &[String]) -> Result<()> {
    let params: Vec<Value> = params.iter().map(|text| parameter(text)).collect();
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let url = context.rpc();
    let response = reqwest::Client::new().post(url).json(&request).send().await;
    let response = response.with_context(|| format!("could not reach the chain at {url}"))?;
    let answer: Value = response.json().await.with_context(|| format!("{url} did not answer with JSON"))?;
    match answer.get("error") {
        Some(error) if !error.is_null() => bail!("the chain refused {method}: {error}"),
        _ => output::json(&answer["result"]),
    }
}

/// JSON, or else a string: so that addresses and block names need no quotes.
fn parameter(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

async fn send(context: &Context, json: bool, to: Address, amount: &str, dry_run: bool) -> Result<()> {
    let value = Wei::parse_open(amount).context("the amount is not one of OPEN")?;
    let chain = context.chain().await?;
    if dry_run {
        return Draft::transfer(to, value).show(&chain, json!({"amount_wei": value}), json).await;
    }
    let sent = chain.transfer(to, value).await.context("could not send")?;
    if json {
        return output::json(&json!({"transaction": transaction(&sent), "to": to, "amount_wei": value}));
    }
    line(format_args!("sent {} OPEN to {to}", value.format_open()));
    line(format_args!("transaction {} in block {}", sent.hash, sent.block));
    Ok(())
}

/// A transaction in a block, in JSON.
pub(super) fn transaction(sent: &SentTransaction) -> Value {
    json!({"hash": sent.hash, "block": sent.block, "gas_used": sent.gas_used})
}
