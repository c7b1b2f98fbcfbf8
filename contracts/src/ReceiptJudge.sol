// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Model, Receipt, ReceiptFault, SnapshotRef} from "./Types.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IReceiptJudge} from "./interfaces/IReceiptJudge.sol";
import {Eip712Lib} from "./libraries/Eip712Lib.sol";
import {Predeploys} from "./libraries/Predeploys.sol";
import {ReceiptLib} from "./libraries/ReceiptLib.sol";
import {SplitLib} from "./libraries/SplitLib.sol";

/// @title Receipt judge
/// @notice Stateless; apart from the hub so that neither outgrows the code size limit.
contract ReceiptJudge is IReceiptJudge {
    bytes32 private constant NAME_HASH = keccak256("OpenLedger Receipt");

    function judge(bytes calldata receipt, uint64 epoch, address operator)
        external
        view
        returns (bytes32 hash, ReceiptFault fault)
    {
        Receipt memory decoded = _decode(receipt);
        return (ReceiptLib.hash(decoded), _faultOf(decoded, epoch, operator));
    }

    function receiptHash(bytes calldata receipt) external pure returns (bytes32) {
        return ReceiptLib.hash(_decode(receipt));
    }

    function receiptDigest(bytes calldata receipt) external view returns (bytes32) {
        return Eip712Lib.digest(NAME_HASH, Predeploys.INFERENCE_HUB, ReceiptLib.hash(_decode(receipt)));
    }

    function _decode(bytes calldata receipt) private pure returns (Receipt memory) {
        if (!ReceiptLib.isKnown(receipt)) revert ReceiptJudge_UnknownVersion(receipt.length);
        return ReceiptLib.decode(receipt);
    }

    function _faultOf(Receipt memory r, uint64 epoch, address operator) private view returns (ReceiptFault) {
        if (r.epoch != epoch) return ReceiptFault.WrongEpoch;
        if (r.operator != operator) return ReceiptFault.WrongOperator;
        if (r.fee != SplitLib.feeOf(r.price, r.tokensIn, r.tokensOut)) return ReceiptFault.WrongFee;
        if (uint256(r.cumulativeBefore) + r.fee != r.cumulativeAfter) return ReceiptFault.WrongCumulative;
        if (!SplitLib.isValid(r.bps)) return ReceiptFault.WrongBps;
        if (!SplitLib.equals(r.split, SplitLib.divide(r.fee, r.bps))) return ReceiptFault.WrongSplit;
        return _termsFaultOf(r);
    }

    /// @dev What the model's builder published is what the receipt must say.
    function _termsFaultOf(Receipt memory r) private view returns (ReceiptFault) {
        IModelRegistry models = IModelRegistry(Predeploys.MODEL_REGISTRY);
        if (!models.isModel(r.modelId)) return ReceiptFault.UnknownModel;
        Model memory model = models.getModel(r.modelId);
        bool same = model.builder == r.builder && model.baseModel == r.baseModel && model.weightsHash == r.weightsHash
            && model.indexRoot == r.indexRoot && SplitLib.equals(model.price, r.price)
            && SplitLib.equals(model.split, r.bps);
        same = same && _namesSnapshots(r.snapshotRoots, models.getSnapshots(r.modelId));
        return same ? ReceiptFault.None : ReceiptFault.WrongTerms;
    }

    /// @dev In the order of publication. Pools in which nobody stands out pay the snapshots' records, so that another root
    /// would be another's pay.
    function _namesSnapshots(bytes32[] memory roots, SnapshotRef[] memory published) private pure returns (bool) {
        if (roots.length != published.length) return false;
        for (uint256 i = 0; i < roots.length; ++i) {
            if (roots[i] != published[i].root) return false;
        }
        return true;
    }
}
