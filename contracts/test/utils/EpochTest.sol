// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {EpochPost, SumNode, VoucherClaim} from "../../src/Types.sol";
import {OpenLedgerTest} from "./OpenLedgerTest.sol";
import {Trees} from "./Trees.sol";

/// @notice Epochs over a handful of accounts, with a channel that pays for them.
abstract contract EpochTest is OpenLedgerTest {
    uint256 internal constant ACCOUNTS = 5;

    /// Cumulative credit of each account.
    uint128[ACCOUNTS] internal credits;
    uint128 internal spent;

    function setUp() public virtual override {
        super.setUp();
        _fund(_channel(0), 10_000 ether);
    }

    function _account(uint256 index) internal pure returns (address) {
        return vm.addr(0xacc0 + index);
    }

    function _leaf(uint256 index) internal view returns (SumNode memory) {
        return _leafOf(_account(index), credits[index]);
    }

    function _leafOf(address account, uint256 cumulative) internal view returns (SumNode memory) {
        bytes32 inner = keccak256(abi.encode(block.chainid, address(HUB), account, cumulative));
        return SumNode(keccak256(abi.encodePacked(inner)), cumulative);
    }

    function _leaves() internal view returns (SumNode[] memory leaves) {
        leaves = new SumNode[](ACCOUNTS);
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            leaves[i] = _leaf(i);
        }
    }

    /// The next epoch over `credits`, which grew by `credited`.
    function _post(uint128 credited, uint128 burned, uint128 stakers) internal view returns (EpochPost memory) {
        SumNode memory root = Trees.root(_leaves());
        return EpochPost({
            epoch: HUB.lastPostedEpoch() + 1,
            receiptsRoot: keccak256("receipts"),
            receiptCount: 1,
            balanceRoot: root.hash,
            accountCount: uint64(ACCOUNTS),
            totalBalance: uint128(root.sum),
            fees: credited + burned + stakers,
            burned: burned,
            stakers: stakers,
            daCommitment: keccak256("da")
        });
    }

    /// A claim of `fees` more from the channel.
    function _spend(uint128 fees) internal returns (VoucherClaim[] memory) {
        spent += fees;
        return _one(_voucher(_channel(0), spent, spent));
    }

    function _credit(uint256 index, uint128 amount) internal {
        credits[index % ACCOUNTS] += amount;
    }

    function _postEpoch(uint128 credited, uint128 burned, uint128 stakers) internal returns (uint64) {
        EpochPost memory post = _post(credited, burned, stakers);
        VoucherClaim[] memory claims = post.fees == 0 ? new VoucherClaim[](0) : _spend(post.fees);
        vm.prank(OPERATOR);
        HUB.postEpoch(post, claims);
        return post.epoch;
    }

    function _finalize(uint64 epoch) internal {
        vm.warp(HUB.getEpoch(epoch).finalAt);
        HUB.finalizeEpoch(epoch);
    }

    function _claim(uint256 index) internal returns (uint128) {
        return HUB.claim(_account(index), credits[index], uint64(index), Trees.prove(_leaves(), index));
    }
}
