//! The EVM chain: execution, state trie, mempool, block building and JSON-RPC.
