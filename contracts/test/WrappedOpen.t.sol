// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IWrappedOpen} from "../src/interfaces/IWrappedOpen.sol";
import {OpenLedgerTest} from "./utils/OpenLedgerTest.sol";
import {Denier, Refuser} from "./utils/Hostile.sol";

contract WrappedOpenTest is OpenLedgerTest {
    bytes32 private constant TRANSFER = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant RECEIVE = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant CANCEL = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    struct Authorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    function setUp() public override {
        super.setUp();
        vm.prank(PAYER);
        WOPEN.deposit{value: 100 ether}();
    }

    function testFuzz_deposit_thenWithdraw_succeeds(uint96 amount) external {
        uint256 before = PAYER.balance;
        vm.prank(PAYER);
        vm.assume(amount <= before);
        WOPEN.deposit{value: amount}();
        vm.assertEq(WOPEN.totalSupply(), 100 ether + uint256(amount));
        vm.assertEq(address(WOPEN).balance, WOPEN.totalSupply());
        vm.prank(PAYER);
        WOPEN.withdraw(amount);
        vm.assertEq(PAYER.balance, before);
    }

    function test_receive_wraps_succeeds() external {
        vm.prank(PAYER);
        (bool sent,) = address(WOPEN).call{value: 1 ether}("");
        vm.assertTrue(sent);
        vm.assertEq(WOPEN.balanceOf(PAYER), 101 ether);
    }

    function test_withdraw_refusingReceiver_reverts() external {
        Refuser refuser = new Refuser();
        WOPEN.depositTo{value: 1 ether}(address(refuser));
        vm.expectRevert(
            abi.encodeWithSelector(IWrappedOpen.WrappedOpen_TransferFailed.selector, address(refuser), 1 ether)
        );
        refuser.run(address(WOPEN), abi.encodeCall(WOPEN.withdraw, (1 ether)));
    }

    function test_metadata_isConstant_succeeds() external view {
        vm.assertEq(WOPEN.name(), "Wrapped OPEN");
        vm.assertEq(WOPEN.symbol(), "WOPEN");
        vm.assertEq(WOPEN.decimals(), 18);
        (, string memory name, string memory version, uint256 chainId, address verifyingContract,,) =
            WOPEN.eip712Domain();
        vm.assertEq(name, "Wrapped OPEN");
        vm.assertEq(version, "1");
        vm.assertEq(chainId, block.chainid);
        vm.assertEq(verifyingContract, address(WOPEN));
    }

    function test_permit_once_succeeds() external {
        bytes32 digest = _digest(keccak256(abi.encode(PERMIT, PAYER, STRANGER, 5 ether, 0, block.timestamp)));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, digest);
        WOPEN.permit(PAYER, STRANGER, 5 ether, block.timestamp, v, r, s);
        vm.assertEq(WOPEN.allowance(PAYER, STRANGER), 5 ether);
        vm.expectRevert();
        WOPEN.permit(PAYER, STRANGER, 5 ether, block.timestamp, v, r, s);
    }

    function testFuzz_transferWithAuthorization_once_succeeds(uint96 value, bytes32 nonce) external {
        vm.assume(value <= 100 ether);
        Authorization memory a = Authorization(PAYER, STRANGER, value, 0, type(uint256).max, nonce);
        bytes memory signature = _authorize(TRANSFER, a);
        _transfer(a, signature);
        vm.assertEq(WOPEN.balanceOf(STRANGER), value);
        vm.assertTrue(WOPEN.authorizationState(PAYER, nonce));
        vm.expectRevert(abi.encodeWithSelector(IWrappedOpen.WrappedOpen_AuthorizationSpent.selector, PAYER, nonce));
        _transfer(a, signature);
    }

    function testFuzz_transferWithAuthorization_mutated_reverts(uint8 kind, uint256 flip) external {
        Authorization memory a = Authorization(PAYER, STRANGER, 1 ether, 0, type(uint256).max, keccak256("nonce"));
        bytes memory signature = _authorize(TRANSFER, a);
        if (kind % 6 == 0) a.to = address(uint160(flip) | 1);
        if (kind % 6 == 1) a.value = flip % 100 ether;
        if (kind % 6 == 2) a.validBefore = block.timestamp + 1 + flip % 1e9;
        if (kind % 6 == 3) a.nonce = bytes32(flip);
        if (kind % 6 == 4) signature[flip % 64] ^= bytes1(uint8(1 << (flip % 8)));
        if (kind % 6 == 5) signature = _malleable(signature);
        vm.assume(a.to != STRANGER || a.value != 1 ether || kind % 6 > 1);
        vm.assume(kind % 6 != 1 || a.value != 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IWrappedOpen.WrappedOpen_InvalidSignature.selector, PAYER));
        _transfer(a, signature);
    }

    function test_transferWithAuthorization_otherType_reverts() external {
        Authorization memory a = Authorization(PAYER, STRANGER, 1 ether, 0, type(uint256).max, 0);
        bytes memory signature = _authorize(RECEIVE, a);
        vm.expectRevert(abi.encodeWithSelector(IWrappedOpen.WrappedOpen_InvalidSignature.selector, PAYER));
        _transfer(a, signature);
    }

    function test_transferWithAuthorization_otherChain_reverts() external {
        Authorization memory a = Authorization(PAYER, STRANGER, 1 ether, 0, type(uint256).max, 0);
        bytes memory signature = _authorize(TRANSFER, a);
        vm.chainId(block.chainid + 1);
        vm.expectRevert(abi.encodeWithSelector(IWrappedOpen.WrappedOpen_InvalidSignature.selector, PAYER));
        _transfer(a, signature);
    }

    function test_transferWithAuthorization_outsideItsTime_reverts() external {
        Authorization memory a =
            Authorization(PAYER, STRANGER, 1 ether, block.timestamp, type(uint256).max, keccak256("early"));
        bytes memory early = _authorize(TRANSFER, a);
        vm.expectPartialRevert(IWrappedOpen.WrappedOpen_AuthorizationNotYetValid.selector);
        _transfer(a, early);
        a.validAfter = 0;
        a.validBefore = block.timestamp;
        bytes memory late = _authorize(TRANSFER, a);
        vm.expectPartialRevert(IWrappedOpen.WrappedOpen_AuthorizationExpired.selector);
        _transfer(a, late);
    }

    function test_receiveWithAuthorization_payeeOnly_succeeds() external {
        Authorization memory a = Authorization(PAYER, STRANGER, 1 ether, 0, type(uint256).max, 0);
        bytes memory signature = _authorize(RECEIVE, a);
        vm.expectPartialRevert(IWrappedOpen.WrappedOpen_CallerNotPayee.selector);
        WOPEN.receiveWithAuthorization(a.from, a.to, a.value, a.validAfter, a.validBefore, a.nonce, signature);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, _authorizationDigest(RECEIVE, a));
        vm.prank(STRANGER);
        WOPEN.receiveWithAuthorization(a.from, a.to, a.value, a.validAfter, a.validBefore, a.nonce, v, r, s);
        vm.assertEq(WOPEN.balanceOf(STRANGER), 1 ether);
    }

    function test_receiveWithAuthorization_authorizerTakesOnCode_succeeds() external {
        Authorization memory a = Authorization(PAYER, STRANGER, 1 ether, 0, type(uint256).max, 0);
        bytes memory signature = _authorize(RECEIVE, a);
        vm.etch(PAYER, type(Denier).runtimeCode);
        vm.prank(STRANGER);
        WOPEN.receiveWithAuthorization(a.from, a.to, a.value, a.validAfter, a.validBefore, a.nonce, signature);
        vm.assertEq(WOPEN.balanceOf(STRANGER), 1 ether);
    }

    function test_cancelAuthorization_spendsTheNonce_succeeds() external {
        Authorization memory a = Authorization(PAYER, STRANGER, 1 ether, 0, type(uint256).max, keccak256("n"));
        bytes memory signature = _authorize(TRANSFER, a);
        bytes memory cancel = _sign(PAYER_KEY, _digest(keccak256(abi.encode(CANCEL, PAYER, a.nonce))));
        WOPEN.cancelAuthorization(PAYER, a.nonce, cancel);
        vm.expectPartialRevert(IWrappedOpen.WrappedOpen_AuthorizationSpent.selector);
        _transfer(a, signature);
    }

    function _transfer(Authorization memory a, bytes memory signature) private {
        WOPEN.transferWithAuthorization(a.from, a.to, a.value, a.validAfter, a.validBefore, a.nonce, signature);
    }

    function _authorize(bytes32 typeHash, Authorization memory a) private view returns (bytes memory) {
        return _sign(PAYER_KEY, _authorizationDigest(typeHash, a));
    }

    function _authorizationDigest(bytes32 typeHash, Authorization memory a) private view returns (bytes32) {
        return _digest(keccak256(abi.encode(typeHash, a)));
    }

    function _digest(bytes32 message) private view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", WOPEN.DOMAIN_SEPARATOR(), message));
    }

    /// The other s that recovers to the same key.
    function _malleable(bytes memory signature) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        uint8 v = uint8(signature[64]);
        uint256 n = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        return abi.encodePacked(r, bytes32(n - uint256(s)), v == 27 ? uint8(28) : uint8(27));
    }
}
