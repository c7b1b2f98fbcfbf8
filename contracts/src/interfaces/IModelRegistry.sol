// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {BaseModel, Model, ModelParams, Price, SnapshotRef, SplitBounds, SplitBps} from "../Types.sol";

/// @title Model registry
/// @notice Base models and published adapters with lineage, price and split. Entries never change: a new version is a
/// new entry. A parent must exist before its child, so lineage is a DAG by construction.
interface IModelRegistry {
    event BaseRegistered(bytes32 indexed baseModel, address indexed registrant, string name);
    event ModelPublished(
        bytes32 indexed modelId,
        address indexed builder,
        bytes32 indexed baseModel,
        bytes32 manifestHash,
        bytes32 weightsHash,
        bytes32 indexRoot,
        string name,
        SnapshotRef[] snapshots,
        bytes32[] parents,
        Price price,
        SplitBps split
    );
    event SplitBoundsSet(SplitBounds bounds);

    error ModelRegistry_ZeroHash();
    error ModelRegistry_BadLength(uint256 length, uint256 limit);
    error ModelRegistry_BaseExists(bytes32 baseModel);
    error ModelRegistry_UnknownBase(bytes32 baseModel);
    error ModelRegistry_ModelExists(bytes32 modelId);
    error ModelRegistry_UnknownModel(bytes32 modelId);
    error ModelRegistry_NoSnapshots();
    error ModelRegistry_TooMany(uint256 count, uint256 limit);
    /// @notice The Datanet registry holds another root for this snapshot.
    error ModelRegistry_SnapshotMismatch(uint64 datanetId, uint64 snapshotId, bytes32 root);
    /// @notice Parents and snapshots are listed once each.
    error ModelRegistry_Duplicate(uint256 first, uint256 second);
    error ModelRegistry_SplitOutOfBounds();
    /// @notice A parents' share needs parents.
    error ModelRegistry_ParentsShareWithoutParents(uint16 bps);
    error ModelRegistry_DataShareTooLow(uint16 dataBps, uint16 floorBps);
    error ModelRegistry_LicenceExpired(uint64 datanetId, uint64 expiry);
    error ModelRegistry_DerivativesForbidden(uint64 datanetId);
    error ModelRegistry_CommercialUseForbidden(uint64 datanetId);
    error ModelRegistry_InvalidBounds();

    /// @notice Registers a base model by the hash of its configuration and quantised weights. Anyone may.
    function registerBase(bytes32 baseModel, string calldata name) external;
    /// @notice Publishes a model built by the caller.
    /// @return modelId `keccak256(abi.encode(chainId, registry, builder, manifestHash))`
    function publish(ModelParams calldata params) external returns (bytes32 modelId);
    /// @notice Sets the bounds of every later split. Governance only.
    function setSplitBounds(SplitBounds calldata bounds) external;

    function initialize(address governance, SplitBounds calldata bounds) external;
    function owner() external view returns (address);
    function modelIdOf(address builder, bytes32 manifestHash) external view returns (bytes32);
    function isModel(bytes32 modelId) external view returns (bool);
    function getModel(bytes32 modelId) external view returns (Model memory);
    function getSnapshots(bytes32 modelId) external view returns (SnapshotRef[] memory);
    function getParents(bytes32 modelId) external view returns (bytes32[] memory);
    /// @notice What a receipt for `modelId` must state; `builder` is zero for an unknown model.
    function termsOf(bytes32 modelId) external view returns (address builder, Price memory price, SplitBps memory split);
    function getBase(bytes32 baseModel) external view returns (BaseModel memory);
    function splitBounds() external view returns (SplitBounds memory);
    function modelCount() external view returns (uint64);
    /// @notice The `index`-th model published, from 0.
    function modelAt(uint64 index) external view returns (bytes32);
}
