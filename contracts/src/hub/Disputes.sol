// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Epoch, MerkleProof, ReceiptFault, SumNode} from "../Types.sol";
import {IReceiptJudge} from "../interfaces/IReceiptJudge.sol";
import {MerkleLib} from "../libraries/MerkleLib.sol";
import {Predeploys} from "../libraries/Predeploys.sol";
import {Epochs} from "./Epochs.sol";

/// @notice Disputes that one or two leaves decide. Whoever proves a fault of a pending epoch takes part of the bond.
abstract contract Disputes is Epochs {
    IReceiptJudge private constant JUDGE = IReceiptJudge(Predeploys.RECEIPT_JUDGE);

    function challengeSplit(uint64 epoch, bytes calldata receipt, MerkleProof calldata proof) external nonReentrant {
        Epoch storage entry = _pending(epoch);
        (bytes32 hash, ReceiptFault fault) = JUDGE.judge(receipt, epoch, entry.operator);
        bool included =
            proof.size == entry.receiptCount && MerkleLib.verify(proof, entry.receiptsRoot, MerkleLib.leafHash(hash));
        if (!included) revert InferenceHub_InvalidProof();
        if (fault == ReceiptFault.None) revert InferenceHub_NoFault(hash);
        _uphold(epoch, hash, fault);
    }

    function challengeTotal(
        uint64 epoch,
        address account,
        uint128 cumulative,
        uint64 index,
        SumNode[] calldata siblings
    ) external nonReentrant {
        Epoch storage entry = _pending(epoch);
        uint256 total = _totalUnder(entry, account, cumulative, index, siblings);
        if (total == entry.totalBalance) revert InferenceHub_NoFault(entry.balanceRoot);
        _uphold(epoch, entry.balanceRoot, ReceiptFault.None);
    }

    function challengeBalance(
        uint64 epoch,
        address account,
        uint128 previousCumulative,
        uint64 previousIndex,
        SumNode[] calldata previousSiblings,
        uint128 cumulative,
        uint64 index,
        SumNode[] calldata siblings
    ) external nonReentrant {
        Epoch storage entry = _pending(epoch);
        _totalUnder(_epoch(epoch - 1), account, previousCumulative, previousIndex, previousSiblings);
        _totalUnder(entry, account, cumulative, index, siblings);
        if (cumulative >= previousCumulative) revert InferenceHub_NoFault(entry.balanceRoot);
        _uphold(epoch, entry.balanceRoot, ReceiptFault.None);
    }

    function _uphold(uint64 epoch, bytes32 subject, ReceiptFault fault) private {
        address operator = _epoch(epoch).operator;
        emit Challenged(epoch, msg.sender, subject, fault);
        _rejectFrom(epoch);
        _slash(operator);
    }
}
