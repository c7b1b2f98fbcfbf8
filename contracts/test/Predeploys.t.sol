// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ITransparentUpgradeableProxy} from "@openzeppelin/contracts/proxy/transparent/TransparentUpgradeableProxy.sol";
import {ProxyAdmin} from "@openzeppelin/contracts/proxy/transparent/ProxyAdmin.sol";

import {StakerPool} from "../src/StakerPool.sol";
import {Predeploys} from "../src/libraries/Predeploys.sol";
import {FeeVault} from "../src/predeploys/FeeVault.sol";
import {L1Block} from "../src/predeploys/L1Block.sol";
import {L2ToL1MessagePasser} from "../src/predeploys/L2ToL1MessagePasser.sol";
import {PredeployProxy} from "../src/proxy/PredeployProxy.sol";
import {Refuser} from "./utils/Hostile.sol";
import {OpenLedgerTest} from "./utils/OpenLedgerTest.sol";

contract PredeploysTest is OpenLedgerTest {
    ProxyAdmin private constant ADMIN = ProxyAdmin(Predeploys.PROXY_ADMIN);

    function test_proxy_adminOnlyUpgrades_reverts() external {
        vm.prank(Predeploys.PROXY_ADMIN);
        vm.expectRevert(PredeployProxy.PredeployProxy_AdminOnlyUpgrades.selector);
        POOL.owner();
    }

    function test_proxy_upgrade_keepsState_succeeds() external {
        vm.deal(STRANGER, 1 ether);
        vm.prank(STRANGER);
        POOL.stake{value: 1 ether}();
        ITransparentUpgradeableProxy proxy = ITransparentUpgradeableProxy(Predeploys.STAKER_POOL);
        address next = address(new StakerPool());
        vm.expectRevert();
        ADMIN.upgradeAndCall(proxy, next, "");
        vm.prank(GOVERNANCE);
        ADMIN.upgradeAndCall(proxy, next, "");
        vm.assertEq(POOL.stakeOf(STRANGER), 1 ether);
        vm.assertEq(POOL.owner(), GOVERNANCE);
    }

    function test_proxy_strangersUpgradeCall_reachesTheImplementation_reverts() external {
        ITransparentUpgradeableProxy proxy = ITransparentUpgradeableProxy(Predeploys.STAKER_POOL);
        address next = address(new StakerPool());
        vm.prank(GOVERNANCE);
        vm.expectRevert();
        proxy.upgradeToAndCall(next, "");
    }

    function test_proxy_deployedTheUsualWay_succeeds() external {
        bytes memory init = abi.encodeCall(StakerPool.initialize, (GOVERNANCE, 5));
        StakerPool pool = StakerPool(address(new PredeployProxy(address(new StakerPool()), init)));
        vm.assertEq(pool.unstakeDelay(), 5);
        vm.expectRevert();
        pool.initialize(STRANGER, 5);
    }

    function testFuzz_l1Block_isthmusAndJovian_succeeds(
        uint32[3] memory scalars,
        uint64[4] memory numbers,
        uint256[4] memory words,
        uint16 footprint
    ) external {
        L1Block l1 = new L1Block();
        bytes memory packed = bytes.concat(
            abi.encodePacked(scalars[0], scalars[1], numbers[0], numbers[1], numbers[2], words[0], words[1]),
            abi.encodePacked(words[2], words[3], scalars[2], numbers[3])
        );
        _set(l1, abi.encodePacked(bytes4(0x3db6be2b), packed, footprint));
        vm.assertEq(l1.baseFeeScalar(), scalars[0]);
        vm.assertEq(l1.blobBaseFeeScalar(), scalars[1]);
        vm.assertEq(l1.sequenceNumber(), numbers[0]);
        vm.assertEq(l1.timestamp(), numbers[1]);
        vm.assertEq(l1.number(), numbers[2]);
        vm.assertEq(l1.basefee(), words[0]);
        vm.assertEq(l1.blobBaseFee(), words[1]);
        vm.assertEq(uint256(l1.hash()), words[2]);
        vm.assertEq(uint256(l1.batcherHash()), words[3]);
        vm.assertEq(l1.operatorFeeScalar(), scalars[2]);
        vm.assertEq(l1.operatorFeeConstant(), numbers[3]);
        vm.assertEq(l1.daFootprintGasScalar(), footprint);
        _set(l1, abi.encodePacked(bytes4(0x098999be), packed));
        vm.assertEq(l1.daFootprintGasScalar(), 0);
        vm.assertEq(l1.operatorFeeScalar(), scalars[2]);
    }

    function test_l1Block_selectors_succeeds() external pure {
        vm.assertTrue(L1Block.setL1BlockValuesIsthmus.selector == 0x098999be);
        vm.assertTrue(L1Block.setL1BlockValuesJovian.selector == 0x3db6be2b);
    }

    function test_messagePasser_recordsAndBurns_succeeds() external {
        L2ToL1MessagePasser passer = new L2ToL1MessagePasser();
        vm.prank(PAYER);
        passer.initiateWithdrawal{value: 1 ether}(STRANGER, 21_000, "hello");
        uint256 nonce = 1 << 240;
        bytes32 hash = keccak256(abi.encode(nonce, PAYER, STRANGER, 1 ether, 21_000, bytes("hello")));
        vm.assertTrue(passer.sentMessages(hash));
        vm.assertEq(passer.messageNonce(), nonce + 1);
        passer.burn();
        vm.assertEq(address(passer).balance, 0);
    }

    function test_feeVault_paysItsRecipient_succeeds() external {
        bytes memory init = abi.encodeCall(FeeVault.initialize, (GOVERNANCE, STRANGER));
        FeeVault vault = FeeVault(payable(address(new PredeployProxy(address(new FeeVault()), init))));
        vm.deal(address(vault), 1 ether - 1);
        vm.expectPartialRevert(FeeVault.FeeVault_BelowMinimum.selector);
        vault.withdraw();
        vm.deal(address(vault), 2 ether);
        vault.withdraw();
        vm.assertEq(STRANGER.balance, 2 ether);
        vm.assertEq(vault.totalProcessed(), 2 ether);
        address refuser = address(new Refuser());
        vm.expectRevert();
        vault.setRecipient(refuser);
        vm.prank(GOVERNANCE);
        vault.setRecipient(refuser);
        vm.deal(address(vault), 2 ether);
        vm.expectPartialRevert(FeeVault.FeeVault_TransferFailed.selector);
        vault.withdraw();
    }

    function _set(L1Block l1, bytes memory data) private {
        (bool byStranger,) = address(l1).call(data);
        vm.assertFalse(byStranger);
        vm.prank(Predeploys.L1_INFO_DEPOSITOR);
        (bool set,) = address(l1).call(data);
        vm.assertTrue(set);
    }
}
