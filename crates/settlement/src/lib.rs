//! Vouchers, receipts, the fee split, epochs and claims.
//!
//! The logic is pure: [`split`], [`channel`], [`receipt`], [`epoch`] and [`verify`] compute in integers and know
//! neither clock nor disk nor network. [`ledger`] keeps the operator's books, [`till`] takes payments, and
//! [`worker`] brings epochs to the chain through [`hub`].

pub mod channel;
pub mod epoch;
pub mod hub;
pub mod ledger;
pub mod receipt;
mod receipt_json;
pub mod refusal;
pub mod relay;
pub mod signature;
pub mod split;
pub mod till;
pub mod verify;
pub mod voucher;
pub mod worker;
pub mod x402;
