//! `openledger account`: balances, earnings and claims.

use anyhow::{Context as _, Result};
use openledger_contracts::addresses::INFERENCE_HUB;
use openledger_contracts::{IInferenceHub, SumNode};
use openledger_primitives::{Address, U256, Wei};
use openledger_sdk::ChainClient;
use openledger_sdk::api::Statement;
use openledger_settlement::epoch::ClaimProof;
use serde_json::{Value, json};

use super::Context;
use super::chain::transaction;
use super::draft::Draft;
use crate::accounts;
use crate::args::AccountCommand;
use crate::output::{self, Table, line, note};

/// Runs one of the commands.
pub(crate) async fn run(context: &Context, json: bool, command: AccountCommand) -> Result<()> {
    match command {
        AccountCommand::List => list(context, json).await,
        AccountCommand::Earnings { address } => earnings(context, json, address).await,
        AccountCommand::Claim { address, dry_run } => claim(context, json, address, dry_run).await,
    }
}

async fn list(context: &Context, json: bool) -> Result<()> {
    let chain = context.chain().await?;
    let mut rows = Vec::new();
    for index in 0..accounts::FUNDED {
        let address = accounts::development(index)?.address();
        rows.push((index, address, chain.balance(address).await?));
    }
    if json {
        let entry = |&(index, address, balance): &(u32, Address, Wei)| json!({"index": index, "address": address, "balance_wei": balance, "purpose": accounts::purpose(index)});
        return output::json(&json!({"data": rows.iter().map(entry).collect::<Vec<Value>>()}));
    }
    let mut table = Table::new(["NUMBER", "ADDRESS", "OPEN", "PURPOSE"]);
    for (index, address, balance) in rows {
        let purpose = accounts::purpose(index).to_owned();
        table.row([index.to_string(), address.to_string(), balance.format_open(), purpose]);
    }
    table.print();
    Ok(())
}

/// What an account was credited in final epochs, and what it took of it.
struct Credit {
    account: Address,
    epoch: u64,
    proof: Option<ClaimProof>,
    credited: Wei,
    claimed: Wei,
}

impl Credit {
    async fn read(context: &Context, chain: &ChainClient, account: Option<Address>) -> Result<Self> {
        let account = account.unwrap_or_else(|| chain.address());
        let entry = context.gateway()?.claim(account).await.context("could not ask the gateway for the credit")?;
        let claimed = chain.hub().claimed(account).await.context("could not read what was claimed")?;
        let credited = entry.proof.as_ref().map_or(Wei::ZERO, |proof| proof.cumulative);
        Ok(Self { account, epoch: entry.epoch, proof: entry.proof, credited, claimed })
    }

    fn claimable(&self) -> Wei {
        self.credited.checked_sub(self.claimed).unwrap_or(Wei::ZERO)
    }
}

async fn earnings(context: &Context, json: bool, account: Option<Address>) -> Result<()> {
    let chain = context.chain().await?;
    let credit = Credit::read(context, &chain, account).await?;
    let staked = chain.stakers().earned(credit.account).await.context("could not read the staker pool")?;
    let statement = context.gateway()?.statement(credit.account).await.context("could not read the statement")?;
    if statement.next_after.is_some() {
        note(format_args!("only the newest {} answers are listed; there are more", statement.data.len()));
    }
    if json {
        return output::json(&json!({
            "account": credit.account, "final_epoch": credit.epoch, "credited_wei": credit.credited,
            "claimed_wei": credit.claimed, "claimable_wei": credit.claimable(), "staking_wei": staked,
            "answers": statement.data,
        }));
    }
    print_earnings(&credit, staked, &statement);
    Ok(())
}

fn print_earnings(credit: &Credit, staked: Wei, statement: &Statement) {
    line(format_args!("account    {}", credit.account));
    line(format_args!("credited   {} OPEN, up to epoch {}", credit.credited.format_open(), credit.epoch));
    line(format_args!("claimed    {} OPEN", credit.claimed.format_open()));
    line(format_args!("claimable  {} OPEN", credit.claimable().format_open()));
    line(format_args!("staking    {} OPEN", staked.format_open()));
    if statement.data.is_empty() {
        return;
    }
    line("");
    let mut table = Table::new(["EPOCH", "RECEIPT", "OPEN"]);
    for entry in &statement.data {
        table.row([entry.epoch.to_string(), entry.receipt.to_string(), entry.amount.format_open()]);
    }
    table.print();
}

async fn claim(context: &Context, json: bool, account: Option<Address>, dry_run: bool) -> Result<()> {
    let chain = context.chain().await?;
    let credit = Credit::read(context, &chain, account).await?;
    let details = json!({"account": credit.account, "claimable_wei": credit.claimable(), "epoch": credit.epoch});
    let proof = match &credit.proof {
        Some(proof) if !credit.claimable().is_zero() => proof,
        _ => return nothing_to_claim(&credit, details, json),
    };
    if dry_run {
        let action = format!("claim {} OPEN for {}", credit.claimable().format_open(), credit.account);
        return Draft::call(action, INFERENCE_HUB, &claim_call(proof)).show(&chain, details, json).await;
    }
    let (sent, paid) = chain.hub().claim(proof).await.context("could not claim")?;
    if json {
        return output::json(&json!({
            "account": credit.account, "claimed_wei": paid, "transaction": transaction(&sent),
        }));
    }
    line(format_args!("claimed {} OPEN for {}", paid.format_open(), credit.account));
    line(format_args!("transaction {} in block {}", sent.hash, sent.block));
    Ok(())
}

fn nothing_to_claim(credit: &Credit, details: Value, json: bool) -> Result<()> {
    note(format_args!("{} has nothing to claim; epoch {} is the latest final one", credit.account, credit.epoch));
    if json { output::json(&details) } else { Ok(()) }
}

fn claim_call(proof: &ClaimProof) -> IInferenceHub::claimCall {
    let siblings = proof.siblings.iter().map(|node| SumNode { hash: node.hash, sum: U256::from(node.sum.0) });
    IInferenceHub::claimCall {
        account: proof.account,
        cumulative: proof.cumulative.0,
        index: proof.index,
        siblings: siblings.collect(),
    }
}
