// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Price, Receipt, Share, Split, SplitBps} from "../Types.sol";

/// @notice Canonical bytes and EIP-712 hash of receipts.
library ReceiptLib {
    /// @notice First of a receipt's canonical bytes.
    uint8 internal constant VERSION = 1;

    bytes32 internal constant PRICE_TYPEHASH = keccak256("Price(uint128 inputWei,uint128 outputWei)");
    bytes32 internal constant SHARE_TYPEHASH = keccak256("Share(address contributor,uint16 weight)");
    bytes32 internal constant SPLIT_TYPEHASH = keccak256(
        "Split(uint128 burn,uint128 operatorShare,uint128 builder,uint128 parents,uint128 stakers,uint128 influence,"
        "uint128 provenance)"
    );
    bytes32 internal constant SPLIT_BPS_TYPEHASH = keccak256(
        "SplitBps(uint16 burn,uint16 operatorBps,uint16 builder,uint16 parents,uint16 stakers,uint16 provenance)"
    );
    bytes32 internal constant RECEIPT_TYPEHASH = keccak256(
        "Receipt(uint64 epoch,uint64 sequence,bytes32 channelId,address payer,uint128 cumulativeBefore,"
        "uint128 cumulativeAfter,bytes32 voucherHash,bytes32 modelId,bytes32 baseModel,bytes32 weightsHash,"
        "bytes32 engineId,bytes32 quantisationId,uint64 seed,bytes32 requestHash,bytes32 responseHash,"
        "uint32 tokensIn,uint32 tokensOut,Price price,uint128 fee,SplitBps bps,Split split,address operator,"
        "address builder,bytes32 attributionMethod,bytes32[] snapshotRoots,bytes32 indexRoot,Share[] influence,"
        "Share[] provenance,bytes32 attributionRoot,uint64 requestedAt,uint64 answeredAt,bytes32 offerHash)"
        "Price(uint128 inputWei,uint128 outputWei)" "Share(address contributor,uint16 weight)"
        "Split(uint128 burn,uint128 operatorShare,uint128 builder,uint128 parents,uint128 stakers,uint128 influence,"
        "uint128 provenance)"
        "SplitBps(uint16 burn,uint16 operatorBps,uint16 builder,uint16 parents,uint16 stakers,uint16 provenance)"
    );

    /// @notice Whether the canonical bytes begin with the known version.
    function isKnown(bytes calldata encoded) internal pure returns (bool) {
        return encoded.length > 1 && uint8(encoded[0]) == VERSION;
    }

    /// @notice The receipt in its canonical bytes; reverts if they hold none.
    function decode(bytes calldata encoded) internal pure returns (Receipt memory) {
        return abi.decode(encoded[1:], (Receipt));
    }

    /// @notice EIP-712 hashStruct. In four runs of words, as one would not fit on the stack.
    function hash(Receipt memory r) internal pure returns (bytes32) {
        return keccak256(bytes.concat(_words1(r), _words2(r), _words3(r), _words4(r)));
    }

    function hash(Price memory p) internal pure returns (bytes32) {
        return keccak256(abi.encode(PRICE_TYPEHASH, p));
    }

    function hash(Split memory s) internal pure returns (bytes32) {
        return keccak256(abi.encode(SPLIT_TYPEHASH, s));
    }

    function hash(SplitBps memory b) internal pure returns (bytes32) {
        return keccak256(abi.encode(SPLIT_BPS_TYPEHASH, b));
    }

    function hash(Share[] memory shares) internal pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](shares.length);
        for (uint256 i = 0; i < shares.length; ++i) {
            hashes[i] = keccak256(abi.encode(SHARE_TYPEHASH, shares[i]));
        }
        return keccak256(abi.encodePacked(hashes));
    }

    function _words1(Receipt memory r) private pure returns (bytes memory) {
        return abi.encode(
            RECEIPT_TYPEHASH,
            r.epoch,
            r.sequence,
            r.channelId,
            r.payer,
            r.cumulativeBefore,
            r.cumulativeAfter,
            r.voucherHash,
            r.modelId
        );
    }

    function _words2(Receipt memory r) private pure returns (bytes memory) {
        return abi.encode(
            r.baseModel,
            r.weightsHash,
            r.engineId,
            r.quantisationId,
            r.seed,
            r.requestHash,
            r.responseHash,
            r.tokensIn,
            r.tokensOut
        );
    }

    function _words3(Receipt memory r) private pure returns (bytes memory) {
        return abi.encode(hash(r.price), r.fee, hash(r.bps), hash(r.split), r.operator, r.builder, r.attributionMethod);
    }

    function _words4(Receipt memory r) private pure returns (bytes memory) {
        return abi.encode(
            keccak256(abi.encodePacked(r.snapshotRoots)),
            r.indexRoot,
            hash(r.influence),
            hash(r.provenance),
            r.attributionRoot,
            r.requestedAt,
            r.answeredAt,
            r.offerHash
        );
    }
}
