// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {ERC1967Utils} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Utils.sol";
import {ITransparentUpgradeableProxy} from "@openzeppelin/contracts/proxy/transparent/TransparentUpgradeableProxy.sol";

import {Predeploys} from "../libraries/Predeploys.sol";

/// @title Transparent proxy whose admin is the predeployed ProxyAdmin
/// @notice As OpenZeppelin's TransparentUpgradeableProxy, but the admin is a constant instead of an immutable: its code is
/// the same at every address, so a genesis can hold it without running a constructor.
contract PredeployProxy is ERC1967Proxy {
    /// @notice The admin may upgrade, and nothing else.
    error PredeployProxy_AdminOnlyUpgrades();

    constructor(address implementation, bytes memory data) payable ERC1967Proxy(implementation, data) {
        ERC1967Utils.changeAdmin(Predeploys.PROXY_ADMIN);
    }

    function _fallback() internal override {
        if (msg.sender != Predeploys.PROXY_ADMIN) {
            super._fallback();
        } else {
            if (msg.sig != ITransparentUpgradeableProxy.upgradeToAndCall.selector) {
                revert PredeployProxy_AdminOnlyUpgrades();
            }
            (address implementation, bytes memory data) = abi.decode(msg.data[4:], (address, bytes));
            ERC1967Utils.upgradeToAndCall(implementation, data);
        }
    }
}
