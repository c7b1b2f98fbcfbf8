//! Transactions that are shown instead of sent: what `--dry-run` prints.

use anyhow::{Context as _, Result};
use openledger_contracts::SolCall;
use openledger_primitives::{Address, Bytes, U256, Wei};
use openledger_sdk::ChainClient;
use serde_json::{Value, json};

use crate::output::{self, line};

/// A transaction that could be sent.
pub(crate) struct Draft {
    action: String,
    to: Address,
    value: Wei,
    data: Bytes,
}

/// What a transaction would cost now.
struct Cost {
    gas: u64,
    gas_price: Wei,
    fee: Wei,
}

impl Draft {
    /// A call of a contract.
    pub(crate) fn call(action: impl Into<String>, to: Address, call: &impl SolCall) -> Self {
        Self { action: action.into(), to, value: Wei::ZERO, data: call.abi_encode().into() }
    }

    /// A transfer of OPEN.
    pub(crate) fn transfer(to: Address, value: Wei) -> Self {
        Self { action: "send OPEN".to_owned(), to, value, data: Bytes::new() }
    }

    /// Prints it with its cost; `details` says what it means.
    ///
    /// # Errors
    /// When it would fail, or the chain cannot be reached.
    pub(crate) async fn show(&self, chain: &ChainClient, details: Value, json: bool) -> Result<()> {
        let cost = self.cost(chain).await.with_context(|| format!("this transaction would fail: {}", self.action))?;
        if json {
            output::json(&self.as_json(chain.address(), &cost, &details))
        } else {
            self.print(chain.address(), &cost)
        }
    }

    async fn cost(&self, chain: &ChainClient) -> Result<Cost> {
        let value = U256::from(self.value.0);
        let request = json!({"from": chain.address(), "to": self.to, "value": value, "data": self.data});
        let gas: U256 = chain.rpc("eth_estimateGas", (request, "latest")).await?;
        let gas_price: U256 = chain.rpc("eth_gasPrice", ()).await?;
        let (gas, gas_price) = (gas.saturating_to::<u64>(), Wei(gas_price.saturating_to()));
        let fee = gas_price.checked_mul(gas.into()).context("the gas price is beyond all bounds")?;
        Ok(Cost { gas, gas_price, fee })
    }

    fn as_json(&self, from: Address, cost: &Cost, details: &Value) -> Value {
        json!({
            "dry_run": true, "action": self.action, "details": details, "from": from, "to": self.to,
            "value_wei": self.value, "data": self.data, "gas": cost.gas, "gas_price_wei": cost.gas_price,
            "fee_wei": cost.fee,
        })
    }

    fn print(&self, from: Address, cost: &Cost) -> Result<()> {
        line(format_args!("would {}; nothing was sent", self.action));
        line(format_args!("  from   {from}"));
        line(format_args!("  to     {}", self.to));
        line(format_args!("  value  {} OPEN", self.value.format_open()));
        line(format_args!("  data   {}", self.data));
        line(format_args!("  gas    {} at {} wei: {} OPEN", cost.gas, cost.gas_price, cost.fee.format_open()));
        Ok(())
    }
}
