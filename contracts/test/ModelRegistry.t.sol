// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {LicenceTerms, ModelParams, SnapshotRef, SplitBounds, SplitBps} from "../src/Types.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {Registered} from "./utils/Registered.sol";

contract ModelRegistryTest is Registered {
    uint64 private _id;

    function setUp() public override {
        super.setUp();
        MODELS.registerBase(BASE, "tiny");
        _id = _datanet(_terms(), SNAPSHOT_ROOT);
    }

    function _refuse(ModelParams memory params, bytes4 reason) private {
        vm.expectPartialRevert(reason);
        MODELS.publish(params);
    }

    function test_publish_whole_succeeds() external {
        ModelParams memory params = _params(_id);
        bytes32 id = MODELS.publish(params);
        vm.snapshotGasLastCall("models", "publish");
        vm.assertEq(id, keccak256(abi.encode(block.chainid, address(MODELS), address(this), params.manifestHash)));
        vm.assertEq(MODELS.getModel(id).name, "tuned");
        vm.assertEq(MODELS.getModel(id).indexRoot, params.indexRoot);
        vm.assertEq(MODELS.getSnapshots(id)[0].root, SNAPSHOT_ROOT);
        vm.assertEq(MODELS.modelCount(), 1);
        vm.assertEq(MODELS.modelAt(0), id);
        (address builder,, SplitBps memory split) = MODELS.termsOf(id);
        vm.assertEq(builder, address(this));
        vm.assertEq(split.builder, 1500);
        _refuse(params, IModelRegistry.ModelRegistry_ModelExists.selector);
    }

    function test_publish_children_formADag_succeeds() external {
        bytes32 parent = MODELS.publish(_params(_id));
        ModelParams memory child = _params(_id);
        child.manifestHash = keccak256("child");
        child.parents = new bytes32[](1);
        child.parents[0] = parent;
        child.split.parents = 300;
        bytes32 id = MODELS.publish(child);
        vm.assertEq(MODELS.getParents(id)[0], parent);
        child.manifestHash = keccak256("orphan");
        child.parents[0] = keccak256("nobody");
        _refuse(child, IModelRegistry.ModelRegistry_UnknownModel.selector);
        child.parents = new bytes32[](2);
        child.parents[0] = child.parents[1] = parent;
        _refuse(child, IModelRegistry.ModelRegistry_Duplicate.selector);
        child.parents = new bytes32[](0);
        _refuse(child, IModelRegistry.ModelRegistry_ParentsShareWithoutParents.selector);
        child.parents = new bytes32[](17);
        _refuse(child, IModelRegistry.ModelRegistry_TooMany.selector);
    }

    function test_publish_unknownReferences_reverts() external {
        ModelParams memory params = _params(_id);
        params.baseModel = keccak256("unknown");
        _refuse(params, IModelRegistry.ModelRegistry_UnknownBase.selector);
        params = _params(_id);
        params.snapshots[0].root = keccak256("other");
        _refuse(params, IModelRegistry.ModelRegistry_SnapshotMismatch.selector);
        params.snapshots[0] = SnapshotRef(_id, 2, 0);
        _refuse(params, IModelRegistry.ModelRegistry_SnapshotMismatch.selector);
        params.snapshots = new SnapshotRef[](0);
        _refuse(params, IModelRegistry.ModelRegistry_NoSnapshots.selector);
        params.snapshots = new SnapshotRef[](2);
        params.snapshots[0] = params.snapshots[1] = SnapshotRef(_id, 1, SNAPSHOT_ROOT);
        _refuse(params, IModelRegistry.ModelRegistry_Duplicate.selector);
        params.snapshots = new SnapshotRef[](33);
        _refuse(params, IModelRegistry.ModelRegistry_TooMany.selector);
        params = _params(_id);
        params.weightsHash = 0;
        _refuse(params, IModelRegistry.ModelRegistry_ZeroHash.selector);
        params = _params(_id);
        params.name = "";
        _refuse(params, IModelRegistry.ModelRegistry_BadLength.selector);
    }

    function testFuzz_publish_splitWithinBounds_only(SplitBps memory split) external {
        split.parents = 0;
        ModelParams memory params = _params(_id);
        params.split = split;
        uint256 taken = uint256(split.burn) + split.operatorBps + split.builder + split.stakers;
        bool within = split.burn >= 100 && split.burn <= 2000 && split.operatorBps <= 5000 && split.builder <= 5000
            && split.stakers <= 2000 && split.provenance <= 10_000 && taken <= 8000;
        // The Datanet's licence asks for 40 % on top of governance's 20 %.
        if (!within) {
            _refuse(params, IModelRegistry.ModelRegistry_SplitOutOfBounds.selector);
        } else if (taken > 6000) {
            _refuse(params, IModelRegistry.ModelRegistry_DataShareTooLow.selector);
        } else {
            MODELS.publish(params);
        }
    }

    function testFuzz_publish_splitInBoundsByScaling_succeeds(uint16 burn, uint16 operatorBps, uint16 builder)
        external
    {
        ModelParams memory params = _params(_id);
        params.split = SplitBps(100 + burn % 1901, operatorBps % 2000, builder % 2000, 0, 0, 10_000);
        vm.assertTrue(MODELS.isModel(MODELS.publish(params)));
    }

    function test_publish_againstLicence_reverts() external {
        LicenceTerms memory terms = _terms();
        terms.derivatives = false;
        _refuse(_on(terms, "a"), IModelRegistry.ModelRegistry_DerivativesForbidden.selector);
        terms = _terms();
        terms.commercialUse = false;
        ModelParams memory params = _on(terms, "b");
        _refuse(params, IModelRegistry.ModelRegistry_CommercialUseForbidden.selector);
        params.price.inputWei = 0;
        params.price.outputWei = 0;
        MODELS.publish(params);
        terms = _terms();
        terms.expiry = uint64(block.timestamp) + 1 days;
        params = _on(terms, "c");
        vm.warp(terms.expiry);
        _refuse(params, IModelRegistry.ModelRegistry_LicenceExpired.selector);
    }

    function test_registerBase_twiceOrEmpty_reverts() external {
        vm.expectPartialRevert(IModelRegistry.ModelRegistry_BaseExists.selector);
        MODELS.registerBase(BASE, "again");
        vm.expectRevert(IModelRegistry.ModelRegistry_ZeroHash.selector);
        MODELS.registerBase(0, "zero");
        vm.expectPartialRevert(IModelRegistry.ModelRegistry_BadLength.selector);
        MODELS.registerBase(keccak256("x"), "");
        vm.assertEq(MODELS.getBase(BASE).name, "tiny");
        vm.expectPartialRevert(IModelRegistry.ModelRegistry_UnknownBase.selector);
        MODELS.getBase(keccak256("x"));
    }

    function test_setSplitBounds_governanceOnly_reverts() external {
        SplitBounds memory bounds = _bounds();
        vm.expectRevert();
        MODELS.setSplitBounds(bounds);
        bounds.dataMin = 9901;
        vm.prank(GOVERNANCE);
        vm.expectRevert(IModelRegistry.ModelRegistry_InvalidBounds.selector);
        MODELS.setSplitBounds(bounds);
        bounds = _bounds();
        bounds.min.builder = 5001;
        vm.prank(GOVERNANCE);
        vm.expectRevert(IModelRegistry.ModelRegistry_InvalidBounds.selector);
        MODELS.setSplitBounds(bounds);
        bounds = _bounds();
        bounds.max.builder = 1;
        vm.prank(GOVERNANCE);
        MODELS.setSplitBounds(bounds);
        _refuse(_params(_id), IModelRegistry.ModelRegistry_SplitOutOfBounds.selector);
    }

    function _on(LicenceTerms memory terms, bytes32 root) private returns (ModelParams memory params) {
        uint64 id = _createDatanet(terms);
        _reveal(id, BATCH_ROOT, 12);
        DATANETS.publishSnapshot(id, root, 10, 1, "c", "d");
        params = _params(id);
        params.manifestHash = root;
        params.snapshots[0].root = root;
    }
}
