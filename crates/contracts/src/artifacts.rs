//! The committed build: ABI and bytecode of each contract, as `contracts/script/gen.sh` wrote them.

use alloy_primitives::Bytes;
use serde::Deserialize;

/// A contract of the committed build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contract {
    /// Transparent proxy before every predeploy.
    PredeployProxy,
    /// Owner of the proxies.
    ProxyAdmin,
    /// Wrapped OPEN.
    WrappedOpen,
    /// Datanet registry.
    DatanetRegistry,
    /// Model registry.
    ModelRegistry,
    /// Inference hub.
    InferenceHub,
    /// Staker pool.
    StakerPool,
    /// Receipt judge.
    ReceiptJudge,
    /// `L1Block` of the OP Stack.
    L1Block,
    /// `GasPriceOracle` of the OP Stack.
    GasPriceOracle,
    /// `L2ToL1MessagePasser` of the OP Stack.
    L2ToL1MessagePasser,
    /// Vault of one kind of fee.
    FeeVault,
}

/// ABI and bytecode of one contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Artifact {
    /// The contract's name.
    pub contract: String,
    /// Its ABI, as the compiler writes it.
    pub abi: serde_json::Value,
    /// Creation code, without constructor arguments.
    pub bytecode: Bytes,
    /// Runtime code.
    pub deployed_bytecode: Bytes,
}

impl Contract {
    /// All contracts of the build.
    pub const ALL: [Self; 12] = [
        Self::PredeployProxy,
        Self::ProxyAdmin,
        Self::WrappedOpen,
        Self::DatanetRegistry,
        Self::ModelRegistry,
        Self::InferenceHub,
        Self::StakerPool,
        Self::ReceiptJudge,
        Self::L1Block,
        Self::GasPriceOracle,
        Self::L2ToL1MessagePasser,
        Self::FeeVault,
    ];

    /// The artifact as committed, JSON.
    #[must_use]
    pub const fn json(self) -> &'static str {
        match self {
            Self::PredeployProxy => include_str!("../artifacts/PredeployProxy.json"),
            Self::ProxyAdmin => include_str!("../artifacts/ProxyAdmin.json"),
            Self::WrappedOpen => include_str!("../artifacts/WrappedOpen.json"),
            Self::DatanetRegistry => include_str!("../artifacts/DatanetRegistry.json"),
            Self::ModelRegistry => include_str!("../artifacts/ModelRegistry.json"),
            Self::InferenceHub => include_str!("../artifacts/InferenceHub.json"),
            Self::StakerPool => include_str!("../artifacts/StakerPool.json"),
            Self::ReceiptJudge => include_str!("../artifacts/ReceiptJudge.json"),
            Self::L1Block => include_str!("../artifacts/L1Block.json"),
            Self::GasPriceOracle => include_str!("../artifacts/GasPriceOracle.json"),
            Self::L2ToL1MessagePasser => include_str!("../artifacts/L2ToL1MessagePasser.json"),
            Self::FeeVault => include_str!("../artifacts/FeeVault.json"),
        }
    }

    /// ABI and bytecode.
    #[must_use]
    pub fn artifact(self) -> Artifact {
        serde_json::from_str(self.json())
            .expect("the build script writes artifacts of this shape; tests read each of them")
    }

    /// The code that stands at the contract's address.
    #[must_use]
    pub fn runtime_code(self) -> Bytes {
        self.artifact().deployed_bytecode
    }
}
