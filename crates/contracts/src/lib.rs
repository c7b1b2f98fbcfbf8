//! ABI bindings, committed bytecode and the genesis of our predeploys.
