// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";

import {Operator} from "../Types.sol";
import {IInferenceHub} from "../interfaces/IInferenceHub.sol";
import {BurnLib} from "../libraries/BurnLib.sol";
import {Channels} from "./Channels.sol";

/// @notice Operators and their bonds. Governance allows them, the bond answers for what they post.
abstract contract Operators is Channels, OwnableUpgradeable {
    /// @notice Part of a slashed bond that the challenger gets, in 1/10000; the rest is burned, so that an operator who
    /// challenges itself still loses.
    uint256 public constant SLASH_REWARD_BPS = 5000;

    mapping(address operator => Operator) private _operators;
    mapping(address settler => address operator) private _operatorOfSettler;
    uint128 public bondMin;
    uint128 public totalBonds;
    uint128 public totalBurned;

    function registerOperator() external payable {
        if (msg.value == 0) revert InferenceHub_ZeroAmount();
        if (msg.value > type(uint128).max) revert InferenceHub_AmountTooLarge(msg.value);
        uint128 amount = uint128(msg.value);
        Operator storage operator = _operators[msg.sender];
        operator.bond += amount;
        totalBonds += amount;
        emit OperatorRegistered(msg.sender, amount, operator.bond);
    }

    function setSettler(address settler) external {
        Operator storage operator = _operators[msg.sender];
        // Only operators that governance allows, so that nobody else can take a settler's place.
        if (!operator.allowed || _operatorOfSettler[settler] != address(0)) {
            revert InferenceHub_NotOperator(msg.sender);
        }
        delete _operatorOfSettler[operator.settler];
        operator.settler = settler;
        if (settler != address(0)) _operatorOfSettler[settler] = msg.sender;
        emit SettlerSet(msg.sender, settler);
    }

    function withdrawBond(uint128 amount) external nonReentrant {
        Operator storage operator = _operators[msg.sender];
        if (amount == 0) revert InferenceHub_ZeroAmount();
        if (operator.pendingEpochs != 0) revert InferenceHub_BondLocked(msg.sender, operator.pendingEpochs);
        if (amount > operator.bond) revert InferenceHub_BondTooLow(operator.bond, amount);
        operator.bond -= amount;
        totalBonds -= amount;
        emit BondWithdrawn(msg.sender, amount);
        _pay(msg.sender, amount);
    }

    function owner() public view override(IInferenceHub, OwnableUpgradeable) returns (address) {
        return super.owner();
    }

    function getOperator(address operator) external view returns (Operator memory) {
        return _operators[operator];
    }

    function setOperatorAllowed(address operator, bool allowed) external onlyOwner {
        _operators[operator].allowed = allowed;
        emit OperatorAllowed(operator, allowed);
    }

    function setBondMin(uint128 bondMin_) external onlyOwner {
        _setBondMin(bondMin_);
    }

    function _setBondMin(uint128 bondMin_) internal {
        bondMin = bondMin_;
        emit BondMinSet(bondMin_);
    }

    /// @dev The allowed operator in whose name the caller acts.
    function _callersOperator() internal view returns (address operator) {
        operator = _operators[msg.sender].allowed ? msg.sender : _operatorOfSettler[msg.sender];
        if (!_operators[operator].allowed) revert InferenceHub_NotOperator(msg.sender);
    }

    function _lockBond(address operator) internal {
        uint128 bond = _operators[operator].bond;
        if (bond < bondMin) revert InferenceHub_BondTooLow(bond, bondMin);
        ++_operators[operator].pendingEpochs;
    }

    function _unlockBond(address operator) internal {
        --_operators[operator].pendingEpochs;
    }

    /// @dev Takes the whole bond; the caller is the challenger.
    function _slash(address operator) internal {
        uint128 bond = _operators[operator].bond;
        _operators[operator].bond = 0;
        totalBonds -= bond;
        // At most `bond`: the cast loses nothing.
        // forge-lint: disable-next-line(unsafe-typecast)
        uint128 reward = uint128(uint256(bond) * SLASH_REWARD_BPS / 10_000);
        emit BondSlashed(operator, msg.sender, reward, bond - reward);
        _burn(bond - reward);
        if (reward != 0) _pay(msg.sender, reward);
    }

    function _burn(uint128 amount) internal {
        if (amount == 0) return;
        totalBurned += amount;
        emit Burned(amount);
        BurnLib.burn(amount);
    }

    function _pay(address to, uint256 amount) internal {
        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert InferenceHub_TransferFailed(to, amount);
    }
}
