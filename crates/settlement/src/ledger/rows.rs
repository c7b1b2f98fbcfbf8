//! Rows to values and back.

use alloy_sol_types::SolValue;
use openledger_contracts::ChannelConfig;
use openledger_primitives::{B256, Bytes, ChannelId};
use openledger_store::{ReadTx, Row, RowExt, StoreError, Tx, named_params, number_value, wei_bytes};

use crate::channel::{Channel, OnChainChannel};
use crate::receipt::SignedReceipt;
use crate::split::Weighted;

pub(super) fn channel(tx: &ReadTx<'_>, id: ChannelId) -> Result<Option<Channel>, StoreError> {
    tx.query_opt("SELECT * FROM settlement_channels WHERE id = ?1", [id.0.as_slice()], read_channel)
}

pub(super) fn read_channel(row: &Row<'_>) -> Result<Channel, StoreError> {
    let signature: Option<Vec<u8>> = row.column("signature")?;
    let voucher = match signature {
        Some(signature) => Some((row.wei("max_claimable")?, Bytes::from(signature))),
        None => None,
    };
    let on_chain = OnChainChannel {
        balance: row.wei("balance")?,
        total_claimed: row.wei("total_claimed")?,
        withdraw_requested_at: row.number("withdraw_requested_at")?,
        withdraw_amount: row.wei("withdraw_amount")?,
        refund_nonce: row.number("refund_nonce")?,
    };
    Ok(Channel {
        id: ChannelId(row.hash("id")?),
        config: read_abi(row, "config")?,
        charged: row.wei("charged")?,
        voucher,
        on_chain,
        synced_at: row.number("synced_at")?,
    })
}

/// A column that holds an ABI-encoded channel configuration.
fn read_abi(row: &Row<'_>, column: &str) -> Result<ChannelConfig, StoreError> {
    let bytes: Vec<u8> = row.column(column)?;
    ChannelConfig::abi_decode_validate(&bytes)
        .map_err(|_| StoreError::Malformed { column: column.to_owned(), kind: "channel configuration" })
}

pub(super) fn put_channel(tx: &Tx<'_>, channel: &Channel) -> Result<(), StoreError> {
    let sql = "INSERT INTO settlement_channels VALUES (:id, :config, :charged, :max_claimable, :signature, :balance,
            :total_claimed, :withdraw_requested_at, :withdraw_amount, :refund_nonce, :synced_at)
        ON CONFLICT (id) DO UPDATE SET charged = :charged, max_claimable = :max_claimable, signature = :signature,
            balance = :balance, total_claimed = :total_claimed, withdraw_requested_at = :withdraw_requested_at,
            withdraw_amount = :withdraw_amount, refund_nonce = :refund_nonce, synced_at = :synced_at";
    let voucher = channel.voucher.as_ref();
    let on_chain = &channel.on_chain;
    tx.execute(
        sql,
        named_params! {
            ":id": channel.id.0.as_slice(),
            ":config": channel.config.abi_encode(),
            ":charged": wei_bytes(channel.charged),
            ":max_claimable": voucher.map(|(max_claimable, _)| wei_bytes(*max_claimable)),
            ":signature": voucher.map(|(_, signature)| signature.to_vec()),
            ":balance": wei_bytes(on_chain.balance),
            ":total_claimed": wei_bytes(on_chain.total_claimed),
            ":withdraw_requested_at": number_value("time", on_chain.withdraw_requested_at)?,
            ":withdraw_amount": wei_bytes(on_chain.withdraw_amount),
            ":refund_nonce": number_value("nonce", on_chain.refund_nonce)?,
            ":synced_at": number_value("time", channel.synced_at)?,
        },
    )?;
    Ok(())
}

pub(super) fn read_receipt(row: &Row<'_>) -> Result<SignedReceipt, StoreError> {
    let bytes: Vec<u8> = row.column("bytes")?;
    let malformed = |_| StoreError::Malformed { column: "bytes".to_owned(), kind: "receipt" };
    SignedReceipt::from_bytes(&bytes).map_err(malformed)
}

/// The entries of a reserve or of a model's parents, accounts ascending; empty when nothing is known.
pub(super) fn weights(tx: &ReadTx<'_>, table: WeightTable, key: B256) -> Result<Vec<Weighted>, StoreError> {
    let sql = match table {
        WeightTable::Reserves => "SELECT account, weight FROM settlement_reserves WHERE root = ?1 ORDER BY account",
        WeightTable::Parents => "SELECT account, weight FROM settlement_parents WHERE model = ?1 ORDER BY account",
    };
    tx.query_all(sql, [key.as_slice()], |row| {
        Ok(Weighted { account: row.address("account")?, weight: row.number("weight")? })
    })
}

#[derive(Clone, Copy)]
pub(super) enum WeightTable {
    Reserves,
    Parents,
}
