// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ChannelConfig, VoucherClaim} from "../../src/Types.sol";
import {IInferenceHub} from "../../src/interfaces/IInferenceHub.sol";
import {Denier, Wallet} from "../utils/Hostile.sol";
import {OpenLedgerTest} from "../utils/OpenLedgerTest.sol";

contract ChannelsTest is OpenLedgerTest {
    function testFuzz_deposit_native_succeeds(uint96 amount, uint256 salt) external {
        vm.assume(amount > 0 && amount <= PAYER.balance);
        bytes32 id = _fund(_channel(salt), amount);
        (uint128 balance, uint128 claimed) = HUB.channels(id);
        vm.assertEq(balance, amount);
        vm.assertEq(claimed, 0);
        vm.assertEq(HUB.unclaimedDeposits(), amount);
    }

    function test_deposit_topUp_gas() external {
        _fund(_channel(0), 1 ether);
        _fund(_channel(0), 1 ether);
        vm.prank(PAYER);
        HUB.deposit{value: 1 ether}(_channel(0));
        vm.snapshotGasLastCall("hub", "deposit, top-up");
        vm.prank(PAYER);
        HUB.deposit{value: 1 ether}(_channel(1));
        vm.snapshotGasLastCall("hub", "deposit, new channel");
    }

    function testFuzz_deposit_invalidChannel_reverts(uint8 kind, address other) external {
        vm.assume(other != address(HUB) && other != address(WOPEN));
        ChannelConfig memory config = _channel(0);
        bytes4 expected = IInferenceHub.InferenceHub_InvalidChannel.selector;
        if (kind % 6 == 0) config.receiver = other;
        if (kind % 6 == 1) config.token = other;
        if (kind % 6 == 2) config.receiverAuthorizer = address(0);
        if (kind % 6 == 3) config.payer = address(0);
        if (kind % 6 > 3) {
            config.withdrawDelay = kind % 6 == 4 ? 15 minutes - 1 : 30 days + 1;
            expected = IInferenceHub.InferenceHub_WithdrawDelayOutOfRange.selector;
        }
        vm.prank(PAYER);
        vm.expectPartialRevert(expected);
        HUB.deposit{value: 1}(config);
    }

    function test_deposit_nothing_reverts() external {
        vm.expectRevert(IInferenceHub.InferenceHub_ZeroAmount.selector);
        HUB.deposit(_channel(0));
    }

    function test_receive_directTransfer_reverts() external {
        vm.prank(PAYER);
        (bool sent,) = address(HUB).call{value: 1}("");
        vm.assertFalse(sent);
    }

    function test_depositToken_payerOnly_succeeds() external {
        vm.startPrank(PAYER);
        WOPEN.deposit{value: 5 ether}();
        WOPEN.approve(address(HUB), 5 ether);
        HUB.depositToken(_channel(0), 2 ether);
        vm.stopPrank();
        (uint128 balance,) = HUB.channels(HUB.getChannelId(_channel(0)));
        vm.assertEq(balance, 2 ether);
        vm.assertEq(WOPEN.balanceOf(address(HUB)), 0);
        vm.prank(STRANGER);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NotPayer.selector);
        HUB.depositToken(_channel(1), 1 ether);
    }

    function test_depositWithPermit_frontRunPermit_succeeds() external {
        vm.prank(PAYER);
        WOPEN.deposit{value: 5 ether}();
        bytes32 message = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                PAYER,
                address(HUB),
                3 ether,
                0,
                block.timestamp
            )
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", WOPEN.DOMAIN_SEPARATOR(), message));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, digest);
        vm.prank(STRANGER);
        WOPEN.permit(PAYER, address(HUB), 3 ether, block.timestamp, v, r, s);
        vm.prank(PAYER);
        HUB.depositWithPermit(_channel(0), 3 ether, block.timestamp, v, r, s);
        (uint128 balance,) = HUB.channels(HUB.getChannelId(_channel(0)));
        vm.assertEq(balance, 3 ether);
    }

    function test_depositWithAuthorization_otherChannel_reverts() external {
        vm.prank(PAYER);
        WOPEN.deposit{value: 5 ether}();
        bytes memory signature = _authorize(_channel(0), 3 ether, bytes32(uint256(1)));
        vm.prank(STRANGER);
        vm.expectRevert();
        HUB.depositWithAuthorization(_channel(1), 3 ether, 0, type(uint256).max, bytes32(uint256(1)), signature);
        vm.prank(STRANGER);
        HUB.depositWithAuthorization(_channel(0), 3 ether, 0, type(uint256).max, bytes32(uint256(1)), signature);
        (uint128 balance,) = HUB.channels(HUB.getChannelId(_channel(0)));
        vm.assertEq(balance, 3 ether);
    }

    function testFuzz_withdraw_afterDelay_succeeds(uint96 deposited, uint96 claimed, uint96 asked) external {
        vm.assume(deposited > 0 && deposited <= PAYER.balance && claimed <= deposited);
        vm.assume(asked > 0 && asked <= deposited);
        ChannelConfig memory config = _channel(0);
        _fund(config, deposited);
        vm.prank(PAYER);
        HUB.initiateWithdraw(config, asked);
        vm.prank(PAYER);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_TooEarly.selector);
        HUB.finalizeWithdraw(config);
        // The operator claims in time; the payer gets no more than what is left.
        if (claimed > 0) {
            VoucherClaim[] memory claims = _one(_voucher(config, claimed, claimed));
            vm.prank(OPERATOR);
            HUB.claimVouchers(claims);
        }
        vm.warp(block.timestamp + config.withdrawDelay);
        uint256 left = uint256(deposited) - claimed;
        vm.prank(PAYER);
        uint128 paid = HUB.finalizeWithdraw(config);
        vm.assertEq(paid, asked < left ? asked : left);
        vm.assertEq(WOPEN.balanceOf(PAYER), paid);
        vm.assertEq(HUB.unclaimedDeposits(), left - paid);
        vm.prank(PAYER);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NoPendingWithdrawal.selector);
        HUB.finalizeWithdraw(config);
    }

    function test_initiateWithdraw_byStrangerOrTooMuch_reverts() external {
        ChannelConfig memory config = _channel(0);
        _fund(config, 1 ether);
        vm.prank(STRANGER);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NotPayer.selector);
        HUB.initiateWithdraw(config, 1);
        vm.prank(PAYER);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_InsufficientChannel.selector);
        HUB.initiateWithdraw(config, 1 ether + 1);
    }

    function test_refund_reducesPendingWithdrawal_succeeds() external {
        ChannelConfig memory config = _channel(0);
        bytes32 id = _fund(config, 10 ether);
        vm.prank(PAYER);
        HUB.initiateWithdraw(config, 6 ether);
        vm.prank(STRANGER);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NotReceiverAuthorizer.selector);
        HUB.refund(config, 1);
        vm.prank(OPERATOR);
        vm.assertEq(HUB.refund(config, 2 ether), 2 ether);
        (uint128 pending,) = HUB.pendingWithdrawal(id);
        vm.assertEq(pending, 4 ether);
        vm.prank(OPERATOR);
        vm.assertEq(HUB.refund(config, 100 ether), 8 ether);
        (pending,) = HUB.pendingWithdrawal(id);
        vm.assertEq(pending, 0);
        vm.assertEq(WOPEN.balanceOf(PAYER), 10 ether);
        // Nothing there: the nonce still advances, so that signed refunds of before are void.
        vm.prank(OPERATOR);
        vm.assertEq(HUB.refund(config, 1), 0);
        vm.assertEq(HUB.refundNonce(id), 3);
    }

    function test_refundWithSignature_replayed_reverts() external {
        ChannelConfig memory config = _channel(0);
        bytes32 id = _fund(config, 10 ether);
        bytes32 typeHash = keccak256("Refund(bytes32 channelId,uint256 nonce,uint128 amount)");
        bytes memory signature = _sign(OPERATOR_KEY, _channelDigest(keccak256(abi.encode(typeHash, id, 0, 1 ether))));
        vm.expectPartialRevert(IInferenceHub.InferenceHub_InvalidSignature.selector);
        HUB.refundWithSignature(config, 2 ether, 0, signature);
        HUB.refundWithSignature(config, 1 ether, 0, signature);
        vm.assertEq(WOPEN.balanceOf(PAYER), 1 ether);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_WrongNonce.selector);
        HUB.refundWithSignature(config, 1 ether, 0, signature);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_InvalidSignature.selector);
        HUB.refundWithSignature(config, 1 ether, 1, signature);
    }

    function testFuzz_claimVouchers_monotone_succeeds(uint96 first, uint96 second) external {
        vm.assume(first > 0 && first < second && second <= 1000 ether);
        ChannelConfig memory config = _channel(0);
        bytes32 id = _fund(config, 1000 ether);
        VoucherClaim[] memory early = _one(_voucher(config, first, first));
        VoucherClaim[] memory late = _one(_voucher(config, second, second));
        vm.prank(OPERATOR);
        vm.assertEq(HUB.claimVouchers(early), first);
        vm.prank(SETTLER);
        vm.assertEq(HUB.claimVouchers(late), second - first);
        vm.assertEq(HUB.unallocatedFees(OPERATOR), second);
        vm.prank(OPERATOR);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_ClaimNotIncreasing.selector);
        HUB.claimVouchers(early);
        (, uint128 claimed) = HUB.channels(id);
        vm.assertEq(claimed, second);
    }

    function testFuzz_claimVouchers_beyondCeilingOrBalance_reverts(uint96 ceiling, uint96 more) external {
        vm.assume(more > 0 && ceiling <= 1000 ether);
        ChannelConfig memory config = _channel(0);
        _fund(config, 1000 ether);
        VoucherClaim[] memory above = _one(_voucher(config, ceiling, uint128(ceiling) + more));
        vm.prank(OPERATOR);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_ClaimAboveVoucher.selector);
        HUB.claimVouchers(above);
        uint128 total = 1000 ether + uint128(more);
        VoucherClaim[] memory beyond = _one(_voucher(config, total, total));
        vm.prank(OPERATOR);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_InsufficientChannel.selector);
        HUB.claimVouchers(beyond);
    }

    function testFuzz_claimVouchers_mutatedSignature_reverts(uint8 kind, uint256 flip) external {
        ChannelConfig memory config = _channel(0);
        _fund(config, 10 ether);
        VoucherClaim[] memory claims = _one(_voucher(config, 5 ether, 5 ether));
        if (kind % 4 == 0) claims[0].signature[flip % 64] ^= bytes1(uint8(1 << (flip % 8)));
        if (kind % 4 == 1) claims[0].maxClaimableAmount = 5 ether + 1 + uint128(flip % 1 ether);
        if (kind % 4 == 2) claims[0].signature = _sign(1 + flip % 1e30, bytes32(flip));
        if (kind % 4 == 3) vm.chainId(1 + flip % 160_000);
        vm.prank(OPERATOR);
        // On another chain the same configuration is another, empty channel.
        vm.expectPartialRevert(
            kind % 4 == 3
                ? IInferenceHub.InferenceHub_InsufficientChannel.selector
                : IInferenceHub.InferenceHub_InvalidSignature.selector
        );
        HUB.claimVouchers(claims);
    }

    function test_claimVouchers_othersChannel_reverts() external {
        ChannelConfig memory config = _channel(0);
        config.receiverAuthorizer = STRANGER;
        _fund(config, 10 ether);
        VoucherClaim[] memory claims = _one(_voucher(config, 5 ether, 5 ether));
        vm.prank(OPERATOR);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NotReceiverAuthorizer.selector);
        HUB.claimVouchers(claims);
        vm.prank(STRANGER);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_NotOperator.selector);
        HUB.claimVouchers(claims);
    }

    function test_claimVouchers_sameRowTwice_reverts() external {
        ChannelConfig memory config = _channel(0);
        _fund(config, 10 ether);
        VoucherClaim[] memory claims = new VoucherClaim[](2);
        claims[0] = claims[1] = _voucher(config, 5 ether, 5 ether);
        vm.prank(OPERATOR);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_ClaimNotIncreasing.selector);
        HUB.claimVouchers(claims);
    }

    function test_claimVouchers_sessionKey_succeeds() external {
        ChannelConfig memory config = _channel(0);
        config.payerAuthorizer = vm.addr(0x5e55);
        bytes32 id = _fund(config, 10 ether);
        bytes32 digest = HUB.voucherDigest(id, 5 ether);
        VoucherClaim[] memory byPayer = _one(VoucherClaim(config, 5 ether, _sign(PAYER_KEY, digest), 5 ether));
        vm.prank(OPERATOR);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_InvalidSignature.selector);
        HUB.claimVouchers(byPayer);
        VoucherClaim[] memory byKey = _one(VoucherClaim(config, 5 ether, _sign(0x5e55, digest), 5 ether));
        vm.prank(OPERATOR);
        vm.assertEq(HUB.claimVouchers(byKey), 5 ether);
    }

    function test_claimVouchers_smartWallet_succeeds() external {
        ChannelConfig memory config = _channel(0);
        config.payer = address(new Wallet(PAYER));
        bytes32 id = _fund(config, 10 ether);
        VoucherClaim[] memory claims = _one(_voucher(config, 5 ether, 5 ether));
        vm.prank(OPERATOR);
        vm.assertEq(HUB.claimVouchers(claims), 5 ether);
        (, uint128 claimed) = HUB.channels(id);
        vm.assertEq(claimed, 5 ether);
    }

    /// The payer signs, is answered, and then delegates its account to code that knows of no signature (EIP-7702).
    function test_claimVouchers_payerTakesOnCode_succeeds() external {
        ChannelConfig memory config = _channel(0);
        _fund(config, 10 ether);
        VoucherClaim[] memory claims = _one(_voucher(config, 5 ether, 5 ether));
        vm.etch(PAYER, type(Denier).runtimeCode);
        vm.prank(OPERATOR);
        vm.assertEq(HUB.claimVouchers(claims), 5 ether);
    }

    function test_claimVouchers_codeSaysNoToOthersKey_reverts() external {
        ChannelConfig memory config = _channel(0);
        bytes32 id = _fund(config, 10 ether);
        vm.etch(PAYER, type(Denier).runtimeCode);
        VoucherClaim[] memory claims =
            _one(VoucherClaim(config, 5 ether, _sign(OPERATOR_KEY, HUB.voucherDigest(id, 5 ether)), 5 ether));
        vm.prank(OPERATOR);
        vm.expectPartialRevert(IInferenceHub.InferenceHub_InvalidSignature.selector);
        HUB.claimVouchers(claims);
    }

    function test_refundWithSignature_authorizerTakesOnCode_succeeds() external {
        ChannelConfig memory config = _channel(0);
        bytes32 id = _fund(config, 10 ether);
        bytes32 typeHash = keccak256("Refund(bytes32 channelId,uint256 nonce,uint128 amount)");
        bytes memory signature = _sign(OPERATOR_KEY, _channelDigest(keccak256(abi.encode(typeHash, id, 0, 1 ether))));
        vm.etch(OPERATOR, type(Denier).runtimeCode);
        HUB.refundWithSignature(config, 1 ether, 0, signature);
        vm.assertEq(WOPEN.balanceOf(PAYER), 1 ether);
    }

    function _authorize(ChannelConfig memory config, uint128 amount, bytes32 salt) private view returns (bytes memory) {
        bytes32 typeHash = keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
        bytes32 nonce = keccak256(abi.encode(HUB.getChannelId(config), salt));
        bytes32 message =
            keccak256(abi.encode(typeHash, PAYER, address(HUB), uint256(amount), 0, type(uint256).max, nonce));
        return _sign(PAYER_KEY, keccak256(abi.encodePacked(hex"1901", WOPEN.DOMAIN_SEPARATOR(), message)));
    }

    function _channelDigest(bytes32 message) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("x402 Batch Settlement"),
                keccak256("1"),
                block.chainid,
                address(HUB)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, message));
    }
}
