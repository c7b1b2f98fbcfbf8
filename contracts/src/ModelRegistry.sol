// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";

import {BaseModel, LicenceRules, Model, ModelParams, Price, SnapshotRef, SplitBounds, SplitBps} from "./Types.sol";
import {IDatanetRegistry} from "./interfaces/IDatanetRegistry.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {Predeploys} from "./libraries/Predeploys.sol";
import {SplitLib} from "./libraries/SplitLib.sol";

/// @title Model registry
contract ModelRegistry is IModelRegistry, OwnableUpgradeable {
    using SplitLib for SplitBps;

    uint256 public constant NAME_BYTES_MAX = 128;
    uint256 public constant SNAPSHOTS_MAX = 32;
    uint256 public constant PARENTS_MAX = 16;

    IDatanetRegistry private constant DATANETS = IDatanetRegistry(Predeploys.DATANET_REGISTRY);

    mapping(bytes32 baseModel => BaseModel) private _bases;
    mapping(bytes32 modelId => Model) private _models;
    mapping(bytes32 modelId => SnapshotRef[]) private _snapshots;
    mapping(bytes32 modelId => bytes32[]) private _parents;
    bytes32[] private _order;
    SplitBounds private _bounds;

    constructor() {
        _disableInitializers();
    }

    function initialize(address governance, SplitBounds calldata bounds) external initializer {
        __Ownable_init(governance);
        _setSplitBounds(bounds);
    }

    function owner() public view override(IModelRegistry, OwnableUpgradeable) returns (address) {
        return super.owner();
    }

    function registerBase(bytes32 baseModel, string calldata name) external {
        if (baseModel == 0) revert ModelRegistry_ZeroHash();
        _checkName(name);
        if (_bases[baseModel].registrant != address(0)) revert ModelRegistry_BaseExists(baseModel);
        _bases[baseModel] = BaseModel(msg.sender, uint64(block.timestamp), name);
        emit BaseRegistered(baseModel, msg.sender, name);
    }

    function publish(ModelParams calldata params) external returns (bytes32 modelId) {
        modelId = modelIdOf(msg.sender, params.manifestHash);
        if (isModel(modelId)) revert ModelRegistry_ModelExists(modelId);
        if (params.manifestHash == 0 || params.weightsHash == 0) revert ModelRegistry_ZeroHash();
        _checkName(params.name);
        if (_bases[params.baseModel].registrant == address(0)) revert ModelRegistry_UnknownBase(params.baseModel);
        _checkSplit(params);
        _checkParents(params.parents);
        _checkSnapshots(params);
        _store(modelId, params);
        emit ModelPublished(
            modelId,
            msg.sender,
            params.baseModel,
            params.manifestHash,
            params.weightsHash,
            params.indexRoot,
            params.name,
            params.snapshots,
            params.parents,
            params.price,
            params.split
        );
    }

    function setSplitBounds(SplitBounds calldata bounds) external onlyOwner {
        _setSplitBounds(bounds);
    }

    function modelIdOf(address builder, bytes32 manifestHash) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), builder, manifestHash));
    }

    function isModel(bytes32 modelId) public view returns (bool) {
        return _models[modelId].builder != address(0);
    }

    function getModel(bytes32 modelId) external view returns (Model memory) {
        if (!isModel(modelId)) revert ModelRegistry_UnknownModel(modelId);
        return _models[modelId];
    }

    function getSnapshots(bytes32 modelId) external view returns (SnapshotRef[] memory) {
        return _snapshots[modelId];
    }

    function getParents(bytes32 modelId) external view returns (bytes32[] memory) {
        return _parents[modelId];
    }

    function termsOf(bytes32 modelId)
        external
        view
        returns (address builder, Price memory price, SplitBps memory split)
    {
        Model storage model = _models[modelId];
        return (model.builder, model.price, model.split);
    }

    function getBase(bytes32 baseModel) external view returns (BaseModel memory) {
        if (_bases[baseModel].registrant == address(0)) revert ModelRegistry_UnknownBase(baseModel);
        return _bases[baseModel];
    }

    function splitBounds() external view returns (SplitBounds memory) {
        return _bounds;
    }

    function modelCount() external view returns (uint64) {
        return uint64(_order.length);
    }

    function modelAt(uint64 index) external view returns (bytes32) {
        return _order[index];
    }

    function _store(bytes32 modelId, ModelParams calldata params) private {
        Model storage model = _models[modelId];
        model.builder = msg.sender;
        model.publishedAt = uint64(block.timestamp);
        model.manifestHash = params.manifestHash;
        model.baseModel = params.baseModel;
        model.weightsHash = params.weightsHash;
        model.indexRoot = params.indexRoot;
        model.price = params.price;
        model.split = params.split;
        model.name = params.name;
        _order.push(modelId);
        _parents[modelId] = params.parents;
        SnapshotRef[] storage snapshots = _snapshots[modelId];
        for (uint256 i = 0; i < params.snapshots.length; ++i) {
            snapshots.push(params.snapshots[i]);
        }
    }

    function _checkSplit(ModelParams calldata params) private view {
        SplitBps memory split = params.split;
        if (!split.isValid() || !_within(split, _bounds)) revert ModelRegistry_SplitOutOfBounds();
        if (split.parents != 0 && params.parents.length == 0) {
            revert ModelRegistry_ParentsShareWithoutParents(split.parents);
        }
    }

    function _checkParents(bytes32[] calldata parents) private view {
        if (parents.length > PARENTS_MAX) revert ModelRegistry_TooMany(parents.length, PARENTS_MAX);
        for (uint256 i = 0; i < parents.length; ++i) {
            if (!isModel(parents[i])) revert ModelRegistry_UnknownModel(parents[i]);
            for (uint256 j = 0; j < i; ++j) {
                if (parents[j] == parents[i]) revert ModelRegistry_Duplicate(j, i);
            }
        }
    }

    function _checkSnapshots(ModelParams calldata params) private view {
        SnapshotRef[] calldata refs = params.snapshots;
        if (refs.length == 0) revert ModelRegistry_NoSnapshots();
        if (refs.length > SNAPSHOTS_MAX) revert ModelRegistry_TooMany(refs.length, SNAPSHOTS_MAX);
        uint16 dataBps = uint16(params.split.dataBps());
        bool priced = params.price.inputWei != 0 || params.price.outputWei != 0;
        for (uint256 i = 0; i < refs.length; ++i) {
            SnapshotRef calldata ref = refs[i];
            if (ref.root == 0 || DATANETS.getSnapshot(ref.datanetId, ref.snapshotId).root != ref.root) {
                revert ModelRegistry_SnapshotMismatch(ref.datanetId, ref.snapshotId, ref.root);
            }
            for (uint256 j = 0; j < i; ++j) {
                if (refs[j].root == ref.root) revert ModelRegistry_Duplicate(j, i);
            }
            _checkLicence(ref.datanetId, dataBps, priced);
        }
    }

    function _checkLicence(uint64 datanetId, uint16 dataBps, bool priced) private view {
        LicenceRules memory rules = DATANETS.licenceRules(datanetId);
        if (rules.expiry != 0 && rules.expiry <= block.timestamp) {
            revert ModelRegistry_LicenceExpired(datanetId, rules.expiry);
        }
        if (!rules.derivatives) revert ModelRegistry_DerivativesForbidden(datanetId);
        if (priced && !rules.commercialUse) revert ModelRegistry_CommercialUseForbidden(datanetId);
        if (dataBps < rules.revenueFloorBps) revert ModelRegistry_DataShareTooLow(dataBps, rules.revenueFloorBps);
    }

    function _checkName(string calldata name) private pure {
        uint256 length = bytes(name).length;
        if (length == 0 || length > NAME_BYTES_MAX) revert ModelRegistry_BadLength(length, NAME_BYTES_MAX);
    }

    function _setSplitBounds(SplitBounds calldata bounds) private {
        bool ordered = _atMost(bounds.min, bounds.max) && bounds.max.provenance <= SplitLib.BPS;
        if (!ordered || !bounds.min.isValid() || bounds.dataMin > bounds.min.dataBps()) {
            revert ModelRegistry_InvalidBounds();
        }
        _bounds = bounds;
        emit SplitBoundsSet(bounds);
    }

    function _within(SplitBps memory split, SplitBounds memory bounds) private pure returns (bool) {
        return _atMost(bounds.min, split) && _atMost(split, bounds.max) && split.dataBps() >= bounds.dataMin;
    }

    function _atMost(SplitBps memory a, SplitBps memory b) private pure returns (bool) {
        return a.burn <= b.burn && a.operatorBps <= b.operatorBps && a.builder <= b.builder && a.parents <= b.parents
            && a.stakers <= b.stakers && a.provenance <= b.provenance;
    }
}
