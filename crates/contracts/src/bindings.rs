//! Types, calls, events and errors of our contracts, generated from `artifacts/bindings.sol`.
//!
//! A call is encoded with `SolCall::abi_encode` and its answer decoded with `SolCall::abi_decode_returns`.
#![allow(missing_docs, clippy::too_many_arguments)]

use alloy_sol_types::sol;

sol! {
    #![sol(all_derives)]
    "artifacts/bindings.sol"
}
