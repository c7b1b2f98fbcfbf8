//! JSON form of receipts: hashes and addresses in hexadecimal, amounts and the seed as decimal strings.

use openledger_contracts::{Price, Receipt, Share, Split, SplitBps};
use openledger_primitives::{Address, B256, Bytes, Wei};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::receipt::{RECEIPT_VERSION, SignedReceipt};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReceiptJson {
    version: u8,
    epoch: u64,
    sequence: u64,
    channel_id: B256,
    payer: Address,
    cumulative_before: Wei,
    cumulative_after: Wei,
    voucher_hash: B256,
    model_id: B256,
    base_model: B256,
    weights_hash: B256,
    engine_id: B256,
    quantisation_id: B256,
    seed: Decimal,
    request_hash: B256,
    response_hash: B256,
    tokens_in: u32,
    tokens_out: u32,
    price: PriceJson,
    fee: Wei,
    bps: BpsJson,
    split: SplitJson,
    operator: Address,
    builder: Address,
    attribution_method: B256,
    snapshot_roots: Vec<B256>,
    index_root: B256,
    influence: Vec<ShareJson>,
    provenance: Vec<ShareJson>,
    attribution_root: B256,
    requested_at: u64,
    answered_at: u64,
    offer_hash: B256,
    signature: Bytes,
}

/// A u64 that may exceed what JSON readers keep exactly; written like an amount.
type Decimal = Wei;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PriceJson {
    input_wei: Wei,
    output_wei: Wei,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BpsJson {
    burn: u16,
    operator: u16,
    builder: u16,
    parents: u16,
    stakers: u16,
    provenance: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SplitJson {
    burn: Wei,
    operator: Wei,
    builder: Wei,
    parents: Wei,
    stakers: Wei,
    influence: Wei,
    provenance: Wei,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareJson {
    contributor: Address,
    weight: u16,
}

impl From<&SignedReceipt> for ReceiptJson {
    fn from(signed: &SignedReceipt) -> Self {
        let Receipt { price, bps, split, .. } = &signed.receipt;
        let receipt = &signed.receipt;
        Self {
            version: RECEIPT_VERSION,
            epoch: receipt.epoch,
            sequence: receipt.sequence,
            channel_id: receipt.channelId,
            payer: receipt.payer,
            cumulative_before: Wei(receipt.cumulativeBefore),
            cumulative_after: Wei(receipt.cumulativeAfter),
            voucher_hash: receipt.voucherHash,
            model_id: receipt.modelId,
            base_model: receipt.baseModel,
            weights_hash: receipt.weightsHash,
            engine_id: receipt.engineId,
            quantisation_id: receipt.quantisationId,
            seed: Wei(receipt.seed.into()),
            request_hash: receipt.requestHash,
            response_hash: receipt.responseHash,
            tokens_in: receipt.tokensIn,
            tokens_out: receipt.tokensOut,
            price: PriceJson { input_wei: Wei(price.inputWei), output_wei: Wei(price.outputWei) },
            fee: Wei(receipt.fee),
            bps: bps_to_json(bps),
            split: split_to_json(split),
            operator: receipt.operator,
            builder: receipt.builder,
            attribution_method: receipt.attributionMethod,
            snapshot_roots: receipt.snapshotRoots.clone(),
            index_root: receipt.indexRoot,
            influence: shares_to_json(&receipt.influence),
            provenance: shares_to_json(&receipt.provenance),
            attribution_root: receipt.attributionRoot,
            requested_at: receipt.requestedAt,
            answered_at: receipt.answeredAt,
            offer_hash: receipt.offerHash,
            signature: signed.signature.clone(),
        }
    }
}

fn bps_to_json(bps: &SplitBps) -> BpsJson {
    BpsJson {
        burn: bps.burn,
        operator: bps.operatorBps,
        builder: bps.builder,
        parents: bps.parents,
        stakers: bps.stakers,
        provenance: bps.provenance,
    }
}

fn split_to_json(split: &Split) -> SplitJson {
    SplitJson {
        burn: Wei(split.burn),
        operator: Wei(split.operatorShare),
        builder: Wei(split.builder),
        parents: Wei(split.parents),
        stakers: Wei(split.stakers),
        influence: Wei(split.influence),
        provenance: Wei(split.provenance),
    }
}

fn shares_to_json(shares: &[Share]) -> Vec<ShareJson> {
    shares.iter().map(|share| ShareJson { contributor: share.contributor, weight: share.weight }).collect()
}

fn shares_from_json(shares: Vec<ShareJson>) -> Vec<Share> {
    shares.into_iter().map(|share| Share { contributor: share.contributor, weight: share.weight }).collect()
}

impl TryFrom<ReceiptJson> for SignedReceipt {
    type Error = String;

    fn try_from(json: ReceiptJson) -> Result<Self, String> {
        if json.version != RECEIPT_VERSION {
            return Err(format!("receipt version {} is unknown; {RECEIPT_VERSION} expected", json.version));
        }
        let seed = u64::try_from(json.seed.0).map_err(|_| format!("seed {} is above 2^64 - 1", json.seed))?;
        let receipt = Receipt {
            epoch: json.epoch,
            sequence: json.sequence,
            channelId: json.channel_id,
            payer: json.payer,
            cumulativeBefore: json.cumulative_before.0,
            cumulativeAfter: json.cumulative_after.0,
            voucherHash: json.voucher_hash,
            modelId: json.model_id,
            baseModel: json.base_model,
            weightsHash: json.weights_hash,
            engineId: json.engine_id,
            quantisationId: json.quantisation_id,
            seed,
            requestHash: json.request_hash,
            responseHash: json.response_hash,
            tokensIn: json.tokens_in,
            tokensOut: json.tokens_out,
            price: Price { inputWei: json.price.input_wei.0, outputWei: json.price.output_wei.0 },
            fee: json.fee.0,
            bps: bps_from_json(&json.bps),
            split: split_from_json(&json.split),
            operator: json.operator,
            builder: json.builder,
            attributionMethod: json.attribution_method,
            snapshotRoots: json.snapshot_roots,
            indexRoot: json.index_root,
            influence: shares_from_json(json.influence),
            provenance: shares_from_json(json.provenance),
            attributionRoot: json.attribution_root,
            requestedAt: json.requested_at,
            answeredAt: json.answered_at,
            offerHash: json.offer_hash,
        };
        Ok(Self { receipt, signature: json.signature })
    }
}

fn bps_from_json(json: &BpsJson) -> SplitBps {
    SplitBps {
        burn: json.burn,
        operatorBps: json.operator,
        builder: json.builder,
        parents: json.parents,
        stakers: json.stakers,
        provenance: json.provenance,
    }
}

fn split_from_json(json: &SplitJson) -> Split {
    Split {
        burn: json.burn.0,
        operatorShare: json.operator.0,
        builder: json.builder.0,
        parents: json.parents.0,
        stakers: json.stakers.0,
        influence: json.influence.0,
        provenance: json.provenance.0,
    }
}

impl Serialize for SignedReceipt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ReceiptJson::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SignedReceipt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(ReceiptJson::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
