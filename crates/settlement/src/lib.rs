//! Vouchers, receipts, the fee split, epochs and claims.
