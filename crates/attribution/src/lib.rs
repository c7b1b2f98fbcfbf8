//! Proof of Attribution: influence index, suffix index, weights and proofs.
