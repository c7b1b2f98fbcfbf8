// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ERC1967Utils} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Utils.sol";
import {ProxyAdmin} from "@openzeppelin/contracts/proxy/transparent/ProxyAdmin.sol";

import {DatanetRegistry} from "../../src/DatanetRegistry.sol";
import {InferenceHub} from "../../src/InferenceHub.sol";
import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {ReceiptJudge} from "../../src/ReceiptJudge.sol";
import {StakerPool} from "../../src/StakerPool.sol";
import {ChannelConfig, SplitBounds, SplitBps, VoucherClaim} from "../../src/Types.sol";
import {WrappedOpen} from "../../src/WrappedOpen.sol";
import {Predeploys} from "../../src/libraries/Predeploys.sol";
import {PredeployProxy} from "../../src/proxy/PredeployProxy.sol";
import {Vm} from "./Vm.sol";

/// @notice All our predeploys behind their proxies, as a genesis has them.
abstract contract OpenLedgerTest {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    WrappedOpen internal constant WOPEN = WrappedOpen(payable(Predeploys.WRAPPED_OPEN));
    DatanetRegistry internal constant DATANETS = DatanetRegistry(Predeploys.DATANET_REGISTRY);
    ModelRegistry internal constant MODELS = ModelRegistry(Predeploys.MODEL_REGISTRY);
    InferenceHub internal constant HUB = InferenceHub(payable(Predeploys.INFERENCE_HUB));
    StakerPool internal constant POOL = StakerPool(Predeploys.STAKER_POOL);
    ReceiptJudge internal constant JUDGE = ReceiptJudge(Predeploys.RECEIPT_JUDGE);

    uint64 internal constant WINDOW = 60;
    uint64 internal constant UNSTAKE_DELAY = 1 hours;
    uint128 internal constant BOND_MIN = 1 ether;
    uint256 internal constant OPERATOR_KEY = 0x0fe7a;
    uint256 internal constant PAYER_KEY = 0xbaeba;

    address internal immutable GOVERNANCE = vm.addr(0x90f);
    address internal immutable OPERATOR = vm.addr(OPERATOR_KEY);
    address internal immutable SETTLER = vm.addr(0x5e7713);
    address internal immutable PAYER = vm.addr(PAYER_KEY);
    address internal immutable STRANGER = vm.addr(0x57a);

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        vm.etch(Predeploys.PROXY_ADMIN, address(new ProxyAdmin(GOVERNANCE)).code);
        vm.store(Predeploys.PROXY_ADMIN, 0, bytes32(uint256(uint160(GOVERNANCE))));
        _deploy(Predeploys.WRAPPED_OPEN, "WrappedOpen");
        _deploy(Predeploys.DATANET_REGISTRY, "DatanetRegistry");
        _deploy(Predeploys.MODEL_REGISTRY, "ModelRegistry");
        _deploy(Predeploys.INFERENCE_HUB, "InferenceHub");
        _deploy(Predeploys.STAKER_POOL, "StakerPool");
        _deploy(Predeploys.RECEIPT_JUDGE, "ReceiptJudge");
        MODELS.initialize(GOVERNANCE, _bounds());
        HUB.initialize(GOVERNANCE, WINDOW, BOND_MIN);
        POOL.initialize(GOVERNANCE, UNSTAKE_DELAY);
        vm.prank(GOVERNANCE);
        HUB.setOperatorAllowed(OPERATOR, true);
        vm.deal(OPERATOR, 100 ether);
        vm.prank(OPERATOR);
        HUB.registerOperator{value: 10 ether}();
        vm.prank(OPERATOR);
        HUB.setSettler(SETTLER);
        vm.deal(PAYER, 1_000_000 ether);
    }

    function _deploy(address proxy, string memory name) private {
        address implementation = vm.deployCode(string.concat(name, ".sol:", name));
        vm.etch(proxy, type(PredeployProxy).runtimeCode);
        vm.store(proxy, ERC1967Utils.IMPLEMENTATION_SLOT, bytes32(uint256(uint160(implementation))));
        vm.store(proxy, ERC1967Utils.ADMIN_SLOT, bytes32(uint256(uint160(Predeploys.PROXY_ADMIN))));
    }

    function _bounds() internal pure returns (SplitBounds memory) {
        return SplitBounds({
            min: SplitBps(100, 0, 0, 0, 0, 0), max: SplitBps(2000, 5000, 5000, 2000, 2000, 10_000), dataMin: 2000
        });
    }

    function _channel(uint256 salt) internal view returns (ChannelConfig memory) {
        return ChannelConfig({
            payer: PAYER,
            payerAuthorizer: address(0),
            receiver: address(HUB),
            receiverAuthorizer: OPERATOR,
            token: address(WOPEN),
            withdrawDelay: 1 hours,
            salt: bytes32(salt)
        });
    }

    function _fund(ChannelConfig memory config, uint128 amount) internal returns (bytes32) {
        vm.prank(PAYER);
        HUB.deposit{value: amount}(config);
        return HUB.getChannelId(config);
    }

    function _sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _voucher(ChannelConfig memory config, uint128 ceiling, uint128 total)
        internal
        view
        returns (VoucherClaim memory)
    {
        bytes memory signature = _sign(PAYER_KEY, HUB.voucherDigest(HUB.getChannelId(config), ceiling));
        return VoucherClaim(config, ceiling, signature, total);
    }

    function _one(VoucherClaim memory row) internal pure returns (VoucherClaim[] memory claims) {
        claims = new VoucherClaim[](1);
        claims[0] = row;
    }
}
