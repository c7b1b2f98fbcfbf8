//! The receipt: the same 32 fields, ABI encoding and EIP-712 hash as `Receipt` in `contracts/src/Types.sol`.
//!
//! The binding macro stops at 24 fields. Static tuples are encoded in place, so the first 24 fields, all static, travel
//! as one nested struct without changing a byte; the EIP-712 hash is written out field by field.

use alloy_primitives::{Address, B256, Keccak256, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, SolValue, sol};

use crate::bindings::{Price, Share, Split, SplitBps};

/// One answered request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[allow(non_snake_case)]
pub struct Receipt {
    /// Epoch that the receipt settles in.
    pub epoch: u64,
    /// Place among the operator's receipts of the epoch.
    pub sequence: u64,
    /// Channel that paid.
    pub channelId: B256,
    /// Who paid.
    pub payer: Address,
    /// What the channel had been charged before, in wei.
    pub cumulativeBefore: u128,
    /// What it was charged after: before plus fee, in wei.
    pub cumulativeAfter: u128,
    /// Digest of the voucher that covers the fee.
    pub voucherHash: B256,
    /// Published model that answered.
    pub modelId: B256,
    /// Hash of its base model.
    pub baseModel: B256,
    /// Hash of its adapter's weights.
    pub weightsHash: B256,
    /// Engine and version.
    pub engineId: B256,
    /// Number formats used.
    pub quantisationId: B256,
    /// Seed of the sampler.
    pub seed: u64,
    /// Salted hash of the request's canonical JSON.
    pub requestHash: B256,
    /// Salted hash of the answer's UTF-8.
    pub responseHash: B256,
    /// Input tokens.
    pub tokensIn: u32,
    /// Output tokens.
    pub tokensOut: u32,
    /// Price a token.
    pub price: Price,
    /// The fee, in wei.
    pub fee: u128,
    /// The split that applies.
    pub bps: SplitBps,
    /// The fee, divided.
    pub split: Split,
    /// Who served and signs.
    pub operator: Address,
    /// Who built the model.
    pub builder: Address,
    /// Attribution method and version.
    pub attributionMethod: B256,
    /// Roots of the snapshots that the model was trained on.
    pub snapshotRoots: Vec<B256>,
    /// Root of the attribution index.
    pub indexRoot: B256,
    /// Weights in the influence pool; empty sends it to the reserve.
    pub influence: Vec<Share>,
    /// Weights in the provenance pool; empty sends it to the reserve.
    pub provenance: Vec<Share>,
    /// Root over the attribution's details.
    pub attributionRoot: B256,
    /// Unix time of the request.
    pub requestedAt: u64,
    /// Unix time of the answer.
    pub answeredAt: u64,
    /// Hash of the x402 offer that the payer accepted.
    pub offerHash: B256,
}

mod wire {
    #![allow(missing_docs)]

    use super::{Price, Share, Split, SplitBps, sol};

    sol! {
        struct ReceiptHead {
            uint64 epoch;
            uint64 sequence;
            bytes32 channelId;
            address payer;
            uint128 cumulativeBefore;
            uint128 cumulativeAfter;
            bytes32 voucherHash;
            bytes32 modelId;
            bytes32 baseModel;
            bytes32 weightsHash;
            bytes32 engineId;
            bytes32 quantisationId;
            uint64 seed;
            bytes32 requestHash;
            bytes32 responseHash;
            uint32 tokensIn;
            uint32 tokensOut;
            Price price;
            uint128 fee;
            SplitBps bps;
            Split split;
            address operator;
            address builder;
            bytes32 attributionMethod;
        }

        struct ReceiptWire {
            ReceiptHead head;
            bytes32[] snapshotRoots;
            bytes32 indexRoot;
            Share[] influence;
            Share[] provenance;
            bytes32 attributionRoot;
            uint64 requestedAt;
            uint64 answeredAt;
            bytes32 offerHash;
        }
    }
}

impl Receipt {
    /// `abi.encode(receipt)`, as Solidity does.
    #[must_use]
    pub fn abi_encode(&self) -> Vec<u8> {
        wire::ReceiptWire::from(self.clone()).abi_encode()
    }

    /// Reads `abi.encode(receipt)`.
    ///
    /// # Errors
    /// If the bytes are not the encoding of a receipt.
    pub fn abi_decode(data: &[u8]) -> Result<Self, alloy_sol_types::Error> {
        wire::ReceiptWire::abi_decode(data).map(Self::from)
    }

    /// As [`Self::abi_decode`], and checks that every value fits its type.
    ///
    /// # Errors
    /// If the bytes are not the encoding of a receipt.
    pub fn abi_decode_validate(data: &[u8]) -> Result<Self, alloy_sol_types::Error> {
        wire::ReceiptWire::abi_decode_validate(data).map(Self::from)
    }

    /// The type as EIP-712 `encodeType` spells it.
    #[must_use]
    pub fn eip712_encode_type() -> String {
        [
            ROOT_TYPE,
            &Price::eip712_root_type(),
            &Share::eip712_root_type(),
            &Split::eip712_root_type(),
            &SplitBps::eip712_root_type(),
        ]
        .concat()
    }

    /// The receipt's hash: EIP-712 `hashStruct`.
    #[must_use]
    pub fn eip712_hash_struct(&self) -> B256 {
        let mut hasher = Keccak256::new();
        hasher.update(keccak256(Self::eip712_encode_type()));
        for word in self.words() {
            hasher.update(word);
        }
        hasher.finalize()
    }

    /// The digest to sign under `domain`.
    #[must_use]
    pub fn eip712_signing_hash(&self, domain: &Eip712Domain) -> B256 {
        let mut hasher = Keccak256::new();
        hasher.update([0x19, 0x01]);
        hasher.update(domain.hash_struct());
        hasher.update(self.eip712_hash_struct());
        hasher.finalize()
    }

    /// EIP-712 `encodeData`, one word a field.
    fn words(&self) -> [B256; 32] {
        [
            number(self.epoch),
            number(self.sequence),
            self.channelId,
            self.payer.into_word(),
            number(self.cumulativeBefore),
            number(self.cumulativeAfter),
            self.voucherHash,
            self.modelId,
            self.baseModel,
            self.weightsHash,
            self.engineId,
            self.quantisationId,
            number(self.seed),
            self.requestHash,
            self.responseHash,
            number(self.tokensIn),
            number(self.tokensOut),
            self.price.eip712_hash_struct(),
            number(self.fee),
            self.bps.eip712_hash_struct(),
            self.split.eip712_hash_struct(),
            self.operator.into_word(),
            self.builder.into_word(),
            self.attributionMethod,
            hash_all(self.snapshotRoots.iter().copied()),
            self.indexRoot,
            hash_all(self.influence.iter().map(Share::eip712_hash_struct)),
            hash_all(self.provenance.iter().map(Share::eip712_hash_struct)),
            self.attributionRoot,
            number(self.requestedAt),
            number(self.answeredAt),
            self.offerHash,
        ]
    }
}

const ROOT_TYPE: &str = "Receipt(uint64 epoch,uint64 sequence,bytes32 channelId,address payer,\
    uint128 cumulativeBefore,uint128 cumulativeAfter,bytes32 voucherHash,\
    bytes32 modelId,bytes32 baseModel,bytes32 weightsHash,bytes32 engineId,\
    bytes32 quantisationId,uint64 seed,bytes32 requestHash,bytes32 responseHash,\
    uint32 tokensIn,uint32 tokensOut,Price price,uint128 fee,SplitBps bps,Split split,\
    address operator,address builder,bytes32 attributionMethod,bytes32[] snapshotRoots,\
    bytes32 indexRoot,Share[] influence,Share[] provenance,bytes32 attributionRoot,\
    uint64 requestedAt,uint64 answeredAt,bytes32 offerHash)";

fn number(value: impl Into<u128>) -> B256 {
    B256::from(U256::from(value.into()))
}

fn hash_all(words: impl Iterator<Item = B256>) -> B256 {
    let mut hasher = Keccak256::new();
    words.for_each(|word| hasher.update(word));
    hasher.finalize()
}

impl From<Receipt> for wire::ReceiptWire {
    fn from(receipt: Receipt) -> Self {
        Self {
            head: wire::ReceiptHead {
                epoch: receipt.epoch,
                sequence: receipt.sequence,
                channelId: receipt.channelId,
                payer: receipt.payer,
                cumulativeBefore: receipt.cumulativeBefore,
                cumulativeAfter: receipt.cumulativeAfter,
                voucherHash: receipt.voucherHash,
                modelId: receipt.modelId,
                baseModel: receipt.baseModel,
                weightsHash: receipt.weightsHash,
                engineId: receipt.engineId,
                quantisationId: receipt.quantisationId,
                seed: receipt.seed,
                requestHash: receipt.requestHash,
                responseHash: receipt.responseHash,
                tokensIn: receipt.tokensIn,
                tokensOut: receipt.tokensOut,
                price: receipt.price,
                fee: receipt.fee,
                bps: receipt.bps,
                split: receipt.split,
                operator: receipt.operator,
                builder: receipt.builder,
                attributionMethod: receipt.attributionMethod,
            },
            snapshotRoots: receipt.snapshotRoots,
            indexRoot: receipt.indexRoot,
            influence: receipt.influence,
            provenance: receipt.provenance,
            attributionRoot: receipt.attributionRoot,
            requestedAt: receipt.requestedAt,
            answeredAt: receipt.answeredAt,
            offerHash: receipt.offerHash,
        }
    }
}

impl From<wire::ReceiptWire> for Receipt {
    fn from(wire: wire::ReceiptWire) -> Self {
        let head = wire.head;
        Self {
            epoch: head.epoch,
            sequence: head.sequence,
            channelId: head.channelId,
            payer: head.payer,
            cumulativeBefore: head.cumulativeBefore,
            cumulativeAfter: head.cumulativeAfter,
            voucherHash: head.voucherHash,
            modelId: head.modelId,
            baseModel: head.baseModel,
            weightsHash: head.weightsHash,
            engineId: head.engineId,
            quantisationId: head.quantisationId,
            seed: head.seed,
            requestHash: head.requestHash,
            responseHash: head.responseHash,
            tokensIn: head.tokensIn,
            tokensOut: head.tokensOut,
            price: head.price,
            fee: head.fee,
            bps: head.bps,
            split: head.split,
            operator: head.operator,
            builder: head.builder,
            attributionMethod: head.attributionMethod,
            snapshotRoots: wire.snapshotRoots,
            indexRoot: wire.indexRoot,
            influence: wire.influence,
            provenance: wire.provenance,
            attributionRoot: wire.attributionRoot,
            requestedAt: wire.requestedAt,
            answeredAt: wire.answeredAt,
            offerHash: wire.offerHash,
        }
    }
}
