//! What Rust hashes, Solidity hashes.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use openledger_contracts::addresses::*;
use openledger_contracts::{
    ChannelConfig, DatanetParams, IDatanetRegistry, IInferenceHub, IModelRegistry, IReceiptJudge, IWrappedOpen,
    LicenceTerms, Price, Receipt, ReceiptFault, Share, SolStruct, SolValue, Split, SplitBps, eip712,
};

use crate::chain::{CHAIN_ID, Chain, config, key};

fn word(seed: u64) -> B256 {
    keccak256(seed.to_be_bytes())
}

fn number(seed: u64) -> u64 {
    u64::from_be_bytes(word(seed)[..8].try_into().unwrap())
}

fn wei(seed: u64) -> u128 {
    u128::from_be_bytes(word(seed)[16..].try_into().unwrap())
}

fn account(seed: u64) -> Address {
    Address::from_word(word(seed))
}

fn shares(seed: u64, count: u64) -> Vec<Share> {
    (0..count).map(|i| Share { contributor: account(seed + i), weight: number(seed ^ i) as u16 }).collect()
}

/// A receipt with every field different, its lists of the given length.
pub(crate) fn receipt(seed: u64, length: u64) -> Receipt {
    let s = seed * 1_000;
    Receipt {
        epoch: number(s),
        sequence: number(s + 1),
        channelId: word(s + 2),
        payer: account(s + 3),
        cumulativeBefore: wei(s + 4),
        cumulativeAfter: wei(s + 5),
        voucherHash: word(s + 6),
        modelId: word(s + 7),
        baseModel: word(s + 8),
        weightsHash: word(s + 9),
        engineId: word(s + 10),
        quantisationId: word(s + 11),
        seed: number(s + 12),
        requestHash: word(s + 13),
        responseHash: word(s + 14),
        tokensIn: number(s + 15) as u32,
        tokensOut: number(s + 16) as u32,
        price: Price { inputWei: wei(s + 17), outputWei: wei(s + 18) },
        fee: wei(s + 19),
        bps: SplitBps { burn: 500, operatorBps: 2000, builder: 1500, parents: 1, stakers: 1000, provenance: 2000 },
        split: Split {
            burn: wei(s + 20),
            operatorShare: wei(s + 21),
            builder: wei(s + 22),
            parents: wei(s + 23),
            stakers: wei(s + 24),
            influence: wei(s + 25),
            provenance: wei(s + 26),
        },
        operator: account(s + 27),
        builder: account(s + 28),
        attributionMethod: word(s + 29),
        snapshotRoots: (0..length).map(|i| word(s + 100 + i)).collect(),
        indexRoot: word(s + 30),
        influence: shares(s + 200, length),
        provenance: shares(s + 300, length + 1),
        attributionRoot: word(s + 31),
        requestedAt: number(s + 32),
        answeredAt: number(s + 33),
        offerHash: word(s + 34),
    }
}

fn canonical(receipt: &Receipt) -> Bytes {
    let mut bytes = vec![1];
    bytes.extend(receipt.abi_encode());
    bytes.into()
}

#[test]
fn receipts_hash_and_decode_alike() {
    let mut chain = Chain::new(&config());
    for (seed, length) in [(1, 0), (2, 1), (3, 2), (4, 32)] {
        let receipt = receipt(seed, length);
        let bytes = canonical(&receipt);
        let hash = chain.view(RECEIPT_JUDGE, &IReceiptJudge::receiptHashCall { receipt: bytes.clone() });
        assert_eq!(hash, eip712::receipt_hash(&receipt));
        let digest = chain.view(RECEIPT_JUDGE, &IReceiptJudge::receiptDigestCall { receipt: bytes.clone() });
        assert_eq!(digest, eip712::receipt_digest(CHAIN_ID, &receipt));
        assert_eq!(Receipt::abi_decode_validate(&bytes[1..]).unwrap(), receipt);
    }
}

#[test]
fn a_receipt_of_an_unknown_version_is_refused() {
    let mut chain = Chain::new(&config());
    let mut bytes = canonical(&receipt(1, 1)).to_vec();
    bytes[0] = 2;
    use openledger_contracts::SolCall;
    for bad in [Bytes::new(), Bytes::from(vec![1]), Bytes::from(bytes)] {
        let call = IReceiptJudge::receiptHashCall { receipt: bad };
        assert!(chain.send(Address::ZERO, RECEIPT_JUDGE, U256::ZERO, call.abi_encode()).is_err());
    }
}

#[test]
fn the_judge_names_the_fault_of_a_receipt() {
    let mut chain = Chain::new(&config());
    let operator = key(2).address();
    let mut receipt = receipt(5, 1);
    let mut judge = |receipt: &Receipt| {
        let call = IReceiptJudge::judgeCall { receipt: canonical(receipt), epoch: 7, operator };
        chain.view(RECEIPT_JUDGE, &call).fault
    };
    assert_eq!(judge(&receipt), ReceiptFault::WrongEpoch);
    receipt.epoch = 7;
    assert_eq!(judge(&receipt), ReceiptFault::WrongOperator);
    receipt.operator = operator;
    assert_eq!(judge(&receipt), ReceiptFault::WrongFee);
    (receipt.price.inputWei, receipt.price.outputWei, receipt.tokensIn, receipt.tokensOut) = (7, 11, 100, 1_000);
    receipt.fee = 11_700;
    assert_eq!(judge(&receipt), ReceiptFault::WrongCumulative);
    (receipt.cumulativeBefore, receipt.cumulativeAfter) = (300, 12_000);
    receipt.bps.stakers = 7_000;
    assert_eq!(judge(&receipt), ReceiptFault::WrongBps);
    receipt.bps.stakers = 1_000;
    assert_eq!(judge(&receipt), ReceiptFault::WrongSplit);
    receipt.split = Split {
        burn: 585,
        operatorShare: 2_340,
        builder: 1_755,
        parents: 1,
        stakers: 1_170,
        influence: 4_680,
        provenance: 1_169,
    };
    assert_eq!(judge(&receipt), ReceiptFault::UnknownModel);
}

#[test]
fn channels_and_vouchers_hash_alike() {
    let mut chain = Chain::new(&config());
    let config = ChannelConfig {
        payer: account(1),
        payerAuthorizer: account(2),
        receiver: INFERENCE_HUB,
        receiverAuthorizer: account(3),
        token: WRAPPED_OPEN,
        withdrawDelay: alloy_primitives::aliases::U40::from(86_400),
        salt: word(9),
    };
    let id = chain.view(INFERENCE_HUB, &IInferenceHub::getChannelIdCall { config: config.clone() });
    assert_eq!(id, eip712::channel_id(CHAIN_ID, &config));
    let voucher = IInferenceHub::voucherDigestCall { channelId: id, maxClaimableAmount: wei(5) };
    assert_eq!(chain.view(INFERENCE_HUB, &voucher), eip712::voucher_digest(CHAIN_ID, id, wei(5)));
    let domain = chain.view(WRAPPED_OPEN, &IWrappedOpen::DOMAIN_SEPARATORCall {});
    assert_eq!(domain, eip712::wrapped_open_domain(CHAIN_ID).hash_struct());
}

#[test]
fn commitments_consents_licences_and_model_ids_hash_alike() {
    let mut chain = Chain::new(&config());
    let terms = LicenceTerms {
        commercialUse: true,
        derivatives: true,
        attribution: false,
        revenueFloorBps: 4_000,
        expiry: 0,
        uri: "ipfs://licence".into(),
    };
    let params = DatanetParams {
        name: "Procedures".into(),
        terms: terms.clone(),
        acceptancePolicy: "one technique a record".into(),
        curators: vec![account(8)],
    };
    let id = chain.call(key(4).address(), DATANET_REGISTRY, 0, &IDatanetRegistry::createDatanetCall { params });
    assert_eq!(id, 1);
    let datanet = chain.view(DATANET_REGISTRY, &IDatanetRegistry::getDatanetCall { datanetId: id });
    assert_eq!(datanet.licenceHash, eip712::licence_hash(&terms));
    let consent = eip712::Consent {
        datanetId: id,
        licenceHash: datanet.licenceHash,
        batchRoot: word(3),
        recordCount: 12,
        contributor: account(4),
    };
    let digest = IDatanetRegistry::consentDigestCall {
        datanetId: id,
        batchRoot: word(3),
        recordCount: 12,
        contributor: account(4),
    };
    let expected = consent.eip712_signing_hash(&eip712::datanet_domain(CHAIN_ID));
    assert_eq!(chain.view(DATANET_REGISTRY, &digest), expected);
    let commitment = IDatanetRegistry::commitmentHashCall {
        datanetId: id,
        contributor: account(4),
        batchRoot: word(3),
        recordCount: 12,
        salt: word(6),
    };
    let expected = eip712::commitment(CHAIN_ID, id, account(4), word(3), 12, word(6));
    assert_eq!(chain.view(DATANET_REGISTRY, &commitment), expected);
    let model = IModelRegistry::modelIdOfCall { builder: account(4), manifestHash: word(7) };
    assert_eq!(chain.view(MODEL_REGISTRY, &model), eip712::model_id(CHAIN_ID, account(4), word(7)));
}

#[test]
fn the_spelt_out_receipt_type_is_the_type_of_its_fields() {
    let spelt = Receipt::eip712_encode_type();
    assert_eq!(spelt.matches(',').count(), 31 + 1 + 1 + 6 + 5);
    assert!(spelt.starts_with("Receipt(uint64 epoch,uint64 sequence,bytes32 channelId,"));
    assert!(spelt.ends_with("uint16 stakers,uint16 provenance)"));
    // Decoding what another tool encoded: a nested tuple of the head encodes in place.
    let receipt = receipt(6, 3);
    let head = U256::from_be_slice(&receipt.abi_encode()[..32]);
    assert_eq!(head, U256::from(32));
    assert_eq!(receipt.abi_encode()[32..64], receipt.epoch.abi_encode()[..]);
}
