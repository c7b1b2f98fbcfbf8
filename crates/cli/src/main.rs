//! The openledger binary; wiring only.
fn main() {}
