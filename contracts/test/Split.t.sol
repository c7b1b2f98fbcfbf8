// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Price, Split, SplitBps} from "../src/Types.sol";
import {SplitLib} from "../src/libraries/SplitLib.sol";
import {Vm} from "./utils/Vm.sol";

contract SplitTest {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function testFuzz_divide_sumsToTheFee_succeeds(uint128 fee, uint16[6] memory raw) external pure {
        _check(fee, _valid(raw));
    }

    function testFuzz_divide_tinyFees_succeeds(uint8 fee, uint16[6] memory raw) external pure {
        _check(fee % 11, _valid(raw));
    }

    function test_divide_defaults_succeeds() external pure {
        Split memory s = SplitLib.divide(11_703, SplitBps(500, 2000, 1500, 0, 1000, 2000));
        vm.assertEq(s.burn, 585);
        vm.assertEq(s.operatorShare, 2340);
        vm.assertEq(s.builder, 1755);
        vm.assertEq(s.parents, 0);
        vm.assertEq(s.stakers, 1170);
        vm.assertEq(s.provenance, 1170);
        vm.assertEq(s.influence, 4683);
    }

    function test_feeOf_neverOverflows_succeeds() external pure {
        uint128 most = type(uint128).max;
        uint256 fee = SplitLib.feeOf(Price(most, most), type(uint32).max, type(uint32).max);
        vm.assertEq(fee, 2 * uint256(most) * type(uint32).max);
    }

    function testFuzz_isValid_partsBeyondTheWhole_reverts(uint16[6] memory raw) external pure {
        SplitBps memory bps = SplitBps(raw[0], raw[1], raw[2], raw[3], raw[4], raw[5]);
        uint256 taken = uint256(raw[0]) + raw[1] + raw[2] + raw[3] + raw[4];
        vm.assertTrue(SplitLib.isValid(bps) == (taken <= 10_000 && raw[5] <= 10_000));
    }

    function _check(uint128 fee, SplitBps memory bps) private pure {
        Split memory s = SplitLib.divide(fee, bps);
        uint256 sum = uint256(s.burn) + s.operatorShare + s.builder + s.parents + s.stakers + s.influence + s.provenance;
        vm.assertEq(sum, fee);
        vm.assertEq(s.burn, uint256(fee) * bps.burn / 10_000);
        vm.assertEq(s.builder, uint256(fee) * bps.builder / 10_000);
        vm.assertEq(s.provenance, (uint256(s.influence) + s.provenance) * bps.provenance / 10_000);
    }

    function _valid(uint16[6] memory raw) private pure returns (SplitBps memory) {
        return SplitBps(raw[0] % 2001, raw[1] % 2001, raw[2] % 2001, raw[3] % 2001, raw[4] % 2001, raw[5] % 10_001);
    }
}
