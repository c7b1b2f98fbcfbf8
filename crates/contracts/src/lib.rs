//! ABI bindings, committed bytecode and the genesis of our predeploys.
//!
//! [`bindings`] is made from the Solidity interfaces, so its structs are the ones that contracts hash: a [`Receipt`]'s
//! EIP-712 hash here is the hash that the hub computes. [`eip712`] holds the domains and the hashes that are not
//! struct hashes; [`addresses`] says where everything lives.

pub mod addresses;
pub mod bindings;
pub mod eip712;
mod receipt;

pub use alloy_sol_types::{SolCall, SolEvent, SolInterface, SolStruct, SolValue};
pub use bindings::{
    BaseModel, Batch, ChannelConfig, Commitment, Datanet, DatanetParams, Epoch, EpochPost, EpochStatus,
    IDatanetRegistry, IInferenceHub, IModelRegistry, IStakerPool, IWrappedOpen, LicenceRules, LicenceTerms,
    MerkleProof, Model, ModelParams, Operator, Price, ReceiptFault, Share, Snapshot, SnapshotRef, Split, SplitBounds,
    SplitBps, SumNode, Voucher, VoucherClaim,
};
pub use receipt::Receipt;
