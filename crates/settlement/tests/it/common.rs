//! Keys, channels and receipts that tests share.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::aliases::U40;
use alloy_signer_local::PrivateKeySigner;
use openledger_contracts::addresses::{INFERENCE_HUB, WRAPPED_OPEN};
use openledger_contracts::{ChannelConfig, Price, Share, SplitBps};
use openledger_primitives::{Address, B256, ChannelId, ModelId, Wei};
use openledger_settlement::hub::HubClient;
use openledger_settlement::ledger::{Admission, Charge, Ledger, SETTLEMENT_SCHEMA};
use openledger_settlement::receipt::{ReceiptDraft, ReceiptPlace, SignedReceipt};
use openledger_settlement::split::{Usage, Weighted};
use openledger_settlement::till::{AdmitError, Till, TillOptions};
use openledger_settlement::voucher::{SignedVoucher, channel_id};
use openledger_settlement::x402::{PaymentPayload, PaymentRequirements};
use openledger_store::Store;

use crate::test_hub::TestHub;

pub const CHAIN_ID: u64 = 161_201;

/// The default split of design, section 10.
pub const DEFAULT_BPS: SplitBps =
    SplitBps { burn: 500, operatorBps: 2000, builder: 1500, parents: 0, stakers: 1000, provenance: 2000 };

pub fn key(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(number)).unwrap()
}

pub fn operator() -> PrivateKeySigner {
    key(1)
}

pub fn payer() -> PrivateKeySigner {
    key(2)
}

pub fn account(number: u8) -> Address {
    Address::repeat_byte(number)
}

pub fn config(salt: u8) -> ChannelConfig {
    ChannelConfig {
        payer: payer().address(),
        payerAuthorizer: Address::ZERO,
        receiver: INFERENCE_HUB,
        receiverAuthorizer: operator().address(),
        token: WRAPPED_OPEN,
        withdrawDelay: U40::from(900),
        salt: B256::repeat_byte(salt),
    }
}

pub fn share(number: u8, weight: u16) -> Share {
    Share { contributor: account(number), weight }
}

pub fn draft() -> ReceiptDraft {
    ReceiptDraft {
        model: ModelId(B256::repeat_byte(0x11)),
        base_model: B256::repeat_byte(0x12),
        weights_hash: B256::repeat_byte(0x13),
        engine_id: B256::repeat_byte(0x14),
        quantisation_id: B256::repeat_byte(0x15),
        seed: u64::MAX,
        request_hash: B256::repeat_byte(0x16),
        response_hash: B256::repeat_byte(0x17),
        usage: Usage { tokens_in: 40, tokens_out: 10 },
        price: Price { inputWei: 1_000_000_000_000, outputWei: 4_000_000_000_001 },
        bps: DEFAULT_BPS,
        builder: account(0xb0),
        attribution_method: B256::repeat_byte(0x18),
        snapshot_roots: vec![B256::repeat_byte(0x19)],
        index_root: B256::repeat_byte(0x1a),
        influence: vec![share(0xc1, 40_000), share(0xc2, 20_000), share(0xc3, 5_535)],
        provenance: vec![share(0xc2, 1), share(0xc4, 2)],
        attribution_root: B256::repeat_byte(0x1b),
        requested_at: 1_790_000_000,
        answered_at: 1_790_000_003,
        offer_hash: B256::repeat_byte(0x1c),
    }
}

pub fn place(epoch: u64, sequence: u64, before: u128) -> ReceiptPlace {
    ReceiptPlace {
        epoch,
        sequence,
        channel: ChannelId(B256::repeat_byte(0x01)),
        payer: payer().address(),
        cumulative_before: Wei(before),
        voucher_hash: B256::repeat_byte(0x02),
        operator: operator().address(),
    }
}

pub fn signed(epoch: u64, sequence: u64, draft: ReceiptDraft) -> SignedReceipt {
    let receipt = draft.complete(place(epoch, sequence, 1000)).unwrap();
    SignedReceipt::sign(receipt, CHAIN_ID, &operator()).unwrap()
}

/// Hash of a request's body, by number.
pub fn request(number: u8) -> B256 {
    B256::repeat_byte(number)
}

/// A till on fresh books in `dir`, with the hub it reads channels from.
pub struct Desk {
    pub till: Till,
    pub hub: Arc<TestHub>,
    pub ledger: Ledger,
}

impl Desk {
    pub fn open(dir: &Path, configs: &[ChannelConfig]) -> Self {
        Self::open_with(dir, Arc::new(TestHub::funded(configs, 1_000_000_000_000_000_000)))
    }

    pub fn open_with(dir: &Path, hub: Arc<TestHub>) -> Self {
        Self::open_for(dir, hub, TillOptions::default())
    }

    pub fn open_for(dir: &Path, hub: Arc<TestHub>, options: TillOptions) -> Self {
        let store = Store::open(dir, &[SETTLEMENT_SCHEMA]).unwrap();
        let ledger = Ledger::new(store, CHAIN_ID);
        let reserve = [Weighted { account: account(0xd1), weight: 5 }];
        ledger.put_reserve(draft().snapshot_roots[0], &reserve).unwrap();
        let key: Arc<PrivateKeySigner> = Arc::new(operator());
        let client: Arc<dyn HubClient> = hub.clone();
        let till = Till::new(ledger.clone(), client, key, operator().address(), options);
        Self { till, hub, ledger }
    }

    /// The most that a request of these tests costs.
    pub fn offer(&self) -> PaymentRequirements {
        self.till.offer(draft().fee().unwrap())
    }

    /// A payment for the next request of a channel that was charged `charged` so far.
    pub fn payment(&self, config: &ChannelConfig, charged: u128, identifier: &str) -> PaymentPayload {
        let ceiling = Wei(charged + self.offer().amount.0);
        let voucher = SignedVoucher::sign(channel_id(config, CHAIN_ID), ceiling, CHAIN_ID, &payer()).unwrap();
        PaymentPayload::voucher(self.offer(), config, &voucher, identifier)
    }

    pub async fn admit(&self, payment: &PaymentPayload, number: u8) -> Result<Admission, AdmitError> {
        self.till.admit(payment, &self.offer(), request(number)).await
    }

    /// Pays for one request and charges it in full.
    pub async fn serve(&self, config: &ChannelConfig, charged: u128, identifier: &str) -> Charge {
        let payment = self.payment(config, charged, identifier);
        let Admission::Reserved(reservation) = self.admit(&payment, 1).await.unwrap() else {
            panic!("{identifier} was answered before")
        };
        self.till.charge(reservation, draft(), |receipt| receipt.hash().to_string().into_bytes()).await.unwrap()
    }
}
