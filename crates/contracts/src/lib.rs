//! ABI bindings, committed bytecode and the genesis of our predeploys.
//!
//! [`bindings`] is made from the Solidity interfaces, so its structs are the ones that contracts hash: a [`Receipt`]'s
//! EIP-712 hash here is the hash that the hub computes. [`eip712`] holds the domains and the hashes that are not
//! struct hashes; [`addresses`] says where everything lives, and [`genesis`] puts it there.

pub mod addresses;
pub mod artifacts;
pub mod bindings;
pub mod eip712;
pub mod genesis;
mod receipt;

pub use alloy_sol_types::{SolCall, SolEvent, SolInterface, SolStruct, SolValue};
pub use bindings::{
    BaseModel, Batch, ChannelConfig, Commitment, Datanet, DatanetParams, Epoch, EpochPost, EpochStatus,
    IDatanetRegistry, IInferenceHub, IModelRegistry, IReceiptJudge, IStakerPool, IWrappedOpen, LicenceRules,
    LicenceTerms, MerkleProof, Model, ModelParams, Operator, Price, ReceiptFault, Share, Snapshot, SnapshotRef, Split,
    SplitBounds, SplitBps, SumNode, Voucher, VoucherClaim,
};
pub use genesis::{GenesisConfig, GenesisError, GenesisOperator, genesis};
pub use receipt::Receipt;
