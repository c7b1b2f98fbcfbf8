//! The contracts by their calls.

use alloy_primitives::Bytes;
use alloy_rpc_types_eth::{Filter, Log};
use openledger_contracts::addresses::{DATANET_REGISTRY, INFERENCE_HUB, MODEL_REGISTRY, STAKER_POOL, WRAPPED_OPEN};
use openledger_contracts::eip712::{Consent, datanet_domain};
use openledger_contracts::{
    BaseModel, Batch, ChannelConfig, Datanet, DatanetParams, Epoch, EpochPost, EpochStatus, IDatanetRegistry,
    IInferenceHub, IModelRegistry, IStakerPool, IWrappedOpen, Model, ModelParams, Operator, Snapshot, SnapshotRef,
    SolCall as _, SolEvent as _, SolStruct, SplitBounds, SumNode, VoucherClaim,
};
use openledger_primitives::merkle::MerkleProof;
use openledger_primitives::{Address, B256, ChannelId, DatanetId, ModelId, RecordHash, SnapshotId, U256, Wei};
use openledger_settlement::channel::OnChainChannel;
use openledger_settlement::epoch::ClaimProof;
use openledger_settlement::hub::{HubClient, HubEpoch, HubError, HubFuture, Keep, RelayOutcome, SignedTransaction};
use openledger_settlement::relay::RelayCall;
use openledger_settlement::signature;
use openledger_settlement::split::Weighted;
use openledger_settlement::verify::PublishedTerms;
use openledger_settlement::voucher::channel_id;
use openledger_settlement::x402::Moved;

use crate::chain::{ChainClient, ChainError, SentTransaction, Standing};

/// Blocks of one look through the logs.
const LOG_BLOCKS: u64 = 999;
/// Looks through the logs for a rejected epoch, from the latest block back: far more than a day of blocks.
const REJECTION_LOOKS_MAX: u32 = 200;
/// Most blocks that [`Datanets::revocations`] looks through at once.
pub const REVOCATION_BLOCKS_MAX: u64 = 1000;

/// The inference hub.
#[derive(Clone, Debug)]
pub struct Hub {
    client: ChainClient,
}

impl Hub {
    /// The hub, acting for the client's account.
    #[must_use]
    pub fn new(client: ChainClient) -> Self {
        Self { client }
    }

    /// The client that it acts through.
    #[must_use]
    pub fn client(&self) -> &ChainClient {
        &self.client
    }

    /// Puts native OPEN into a channel; opens it if need be.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn deposit(&self, config: &ChannelConfig, amount: Wei) -> Result<SentTransaction, ChainError> {
        self.client.pay(INFERENCE_HUB, amount, &IInferenceHub::depositCall { config: config.clone() }).await
    }

    /// Asks for unclaimed money back; it can be taken after the channel's delay.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn initiate_withdraw(&self, config: &ChannelConfig, amount: Wei) -> Result<SentTransaction, ChainError> {
        let call = IInferenceHub::initiateWithdrawCall { config: config.clone(), amount: amount.0 };
        self.client.send(INFERENCE_HUB, &call).await
    }

    /// Takes the money that was asked for.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn finalize_withdraw(&self, config: &ChannelConfig) -> Result<SentTransaction, ChainError> {
        let call = IInferenceHub::finalizeWithdrawCall { config: config.clone() };
        self.client.send(INFERENCE_HUB, &call).await
    }

    /// A channel as the chain has it after one block. Read from two, a withdrawal that is finalised in between would be
    /// missing from what is asked for and not yet from the balance, and be covered twice.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn channel_state(&self, config: &ChannelConfig) -> Result<OnChainChannel, ChainError> {
        let ChannelId(id) = channel_id(config, self.client.chain_id());
        let block = self.client.block_number().await?;
        let call = IInferenceHub::channelsCall { channelId: id };
        let channel = self.client.call_at(INFERENCE_HUB, &call, block).await?;
        let call = IInferenceHub::pendingWithdrawalCall { channelId: id };
        let withdrawal = self.client.call_at(INFERENCE_HUB, &call, block).await?;
        let call = IInferenceHub::refundNonceCall { channelId: id };
        let nonce = self.client.call_at(INFERENCE_HUB, &call, block).await?;
        Ok(OnChainChannel {
            balance: Wei(channel.balance),
            total_claimed: Wei(channel.totalClaimed),
            withdraw_requested_at: withdrawal.withdrawableAt.saturating_sub(config.withdrawDelay.to()),
            withdraw_amount: Wei(withdrawal.amount),
            refund_nonce: nonce.saturating_to(),
        })
    }

    /// The refund of that nonce in the blocks after `after`, read in windows that every node takes.
    async fn find_refund(&self, config: &ChannelConfig, nonce: u64, after: u64) -> Result<Option<Moved>, ChainError> {
        let ChannelId(id) = channel_id(config, self.client.chain_id());
        let head = self.client.block_number().await?;
        let mut from = after;
        while from <= head {
            let to = from.saturating_add(LOG_BLOCKS).min(head);
            let filter = Filter::new().address(INFERENCE_HUB).event_signature(IInferenceHub::Refunded::SIGNATURE_HASH);
            let logs = self.client.logs(filter.topic1(id).from_block(from).to_block(to)).await?;
            for log in logs {
                let Ok(event) = IInferenceHub::Refunded::decode_log(&log.inner) else { continue };
                if event.nonce == U256::from(nonce) {
                    return Ok(log.transaction_hash.map(|tx| Moved { tx, amount: Wei(event.amount) }));
                }
            }
            from = to.saturating_add(1);
        }
        Ok(None)
    }

    /// Whether the hub tells that it rejected an epoch of that number, in the latest [`REJECTION_LOOKS_MAX`] windows.
    async fn find_rejection(&self, number: u64) -> Result<bool, ChainError> {
        let epoch = B256::from(U256::from(number));
        let mut to = self.client.block_number().await?;
        for _ in 0..REJECTION_LOOKS_MAX {
            let from = to.saturating_sub(LOG_BLOCKS);
            let filter =
                Filter::new().address(INFERENCE_HUB).event_signature(IInferenceHub::EpochRejected::SIGNATURE_HASH);
            if !self.client.logs(filter.topic1(epoch).from_block(from).to_block(to)).await?.is_empty() {
                return Ok(true);
            }
            let Some(before) = from.checked_sub(1) else { break };
            to = before;
        }
        Ok(false)
    }

    /// Whether an authorisation over wrapped OPEN was used or cancelled.
    pub(crate) async fn is_spent(&self, payer: Address, nonce: B256) -> Result<bool, ChainError> {
        self.client.call(WRAPPED_OPEN, &IWrappedOpen::authorizationStateCall { authorizer: payer, nonce }).await
    }

    /// Adds to the account's bond.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn register_operator(&self, bond: Wei) -> Result<SentTransaction, ChainError> {
        self.client.pay(INFERENCE_HUB, bond, &IInferenceHub::registerOperatorCall {}).await
    }

    /// Lets `settler` post in the account's name.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn set_settler(&self, settler: Address) -> Result<SentTransaction, ChainError> {
        self.client.send(INFERENCE_HUB, &IInferenceHub::setSettlerCall { settler }).await
    }

    /// An operator.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn operator(&self, operator: Address) -> Result<Operator, ChainError> {
        self.client.call(INFERENCE_HUB, &IInferenceHub::getOperatorCall { operator }).await
    }

    /// A posted epoch, all of it; status `None` when there is none of that number.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn posted_epoch(&self, number: u64) -> Result<Epoch, ChainError> {
        self.client.call(INFERENCE_HUB, &IInferenceHub::getEpochCall { epoch: number }).await
    }

    /// Number of the latest final epoch; claims are proved against it.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn last_final_epoch(&self) -> Result<u64, ChainError> {
        self.client.call(INFERENCE_HUB, &IInferenceHub::lastFinalEpochCall {}).await
    }

    /// What `account` was paid so far.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn claimed(&self, account: Address) -> Result<Wei, ChainError> {
        self.client.call(INFERENCE_HUB, &IInferenceHub::claimedCall { account }).await.map(Wei)
    }

    /// Everything burned so far.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn total_burned(&self) -> Result<Wei, ChainError> {
        self.client.call(INFERENCE_HUB, &IInferenceHub::totalBurnedCall {}).await.map(Wei)
    }

    /// Length of the challenge window, in seconds.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn challenge_window(&self) -> Result<u64, ChainError> {
        self.client.call(INFERENCE_HUB, &IInferenceHub::challengeWindowCall {}).await
    }

    /// Pays an account what it is owed; anyone may send it. Gives what was paid.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn claim(&self, proof: &ClaimProof) -> Result<(SentTransaction, Wei), ChainError> {
        let node =
            |node: &openledger_settlement::epoch::SumNodeJson| SumNode { hash: node.hash, sum: U256::from(node.sum.0) };
        let call = IInferenceHub::claimCall {
            account: proof.account,
            cumulative: proof.cumulative.0,
            index: proof.index,
            siblings: proof.siblings.iter().map(node).collect(),
        };
        let sent = self.client.send(INFERENCE_HUB, &call).await?;
        let paid = Wei(sent.event::<IInferenceHub::Claimed>()?.amount);
        Ok((sent, paid))
    }
}

impl From<ChainError> for HubError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Reverted { reason } => Self::Reverted { reason },
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

impl HubClient for Hub {
    fn now(&self) -> HubFuture<'_, u64> {
        Box::pin(async { Ok(self.client.block_time().await?) })
    }

    fn channel<'a>(&'a self, config: &'a ChannelConfig) -> HubFuture<'a, OnChainChannel> {
        Box::pin(async { Ok(self.channel_state(config).await?) })
    }

    fn epoch(&self, number: u64) -> HubFuture<'_, Option<HubEpoch>> {
        Box::pin(async move {
            let epoch = self.posted_epoch(number).await?;
            let posted = HubEpoch {
                receipts_root: epoch.receiptsRoot,
                balance_root: epoch.balanceRoot,
                final_at: epoch.finalAt,
                is_final: epoch.status == EpochStatus::Final,
            };
            Ok((epoch.status != EpochStatus::None).then_some(posted))
        })
    }

    fn is_rejected(&self, number: u64, post_tx: Option<B256>) -> HubFuture<'_, bool> {
        Box::pin(async move {
            Ok(match post_tx {
                // Only a challenge takes an epoch away whose transaction is in the chain.
                Some(tx) => self.client.find_transaction(tx).await?.is_some_and(|place| place.block.is_some()),
                None => self.find_rejection(number).await?,
            })
        })
    }

    fn claim_vouchers<'a>(&'a self, claims: &'a [VoucherClaim]) -> HubFuture<'a, B256> {
        let call = IInferenceHub::claimVouchersCall { claims: claims.to_vec() };
        Box::pin(async move { Ok(self.client.send(INFERENCE_HUB, &call).await?.hash) })
    }

    fn post_epoch<'a>(&'a self, post: &'a EpochPost, claims: &'a [VoucherClaim]) -> HubFuture<'a, B256> {
        let call = IInferenceHub::postEpochCall { post: post.clone(), claims: claims.to_vec() };
        Box::pin(async move { Ok(self.client.send(INFERENCE_HUB, &call).await?.hash) })
    }

    fn finalize_epoch(&self, number: u64) -> HubFuture<'_, B256> {
        let call = IInferenceHub::finalizeEpochCall { epoch: number };
        Box::pin(async move { Ok(self.client.send(INFERENCE_HUB, &call).await?.hash) })
    }

    fn wrapped_balance(&self, account: Address) -> HubFuture<'_, Wei> {
        Box::pin(async move { Ok(self.client.wrapped_balance(account).await?) })
    }

    fn is_authorization_used(&self, payer: Address, nonce: B256) -> HubFuture<'_, bool> {
        Box::pin(async move { Ok(self.is_spent(payer, nonce).await?) })
    }

    fn relay<'a>(&'a self, call: &'a RelayCall, keep: Keep<'a>) -> HubFuture<'a, SignedTransaction> {
        let call = match call.clone() {
            RelayCall::Deposit { config, deposit } => IInferenceHub::depositWithAuthorizationCall {
                config,
                amount: deposit.amount.0,
                validAfter: U256::from(deposit.valid_after),
                validBefore: U256::from(deposit.valid_before),
                salt: deposit.salt,
                signature: deposit.signature,
            }
            .abi_encode(),
            RelayCall::Refund { config, amount, nonce, signature } => {
                IInferenceHub::refundWithSignatureCall { config, amount: amount.0, nonce: U256::from(nonce), signature }
                    .abi_encode()
            }
        };
        Box::pin(async move { self.client.send_kept(INFERENCE_HUB, call, keep).await })
    }

    fn relayed<'a>(&'a self, tx: &'a SignedTransaction) -> HubFuture<'a, RelayOutcome> {
        Box::pin(async move {
            Ok(match self.client.look_after(tx).await? {
                Standing::Waiting => RelayOutcome::Waiting,
                Standing::Included(sent) => RelayOutcome::Moved { amount: moved_by(&sent) },
                Standing::Reverted => RelayOutcome::Reverted,
                Standing::Lost => RelayOutcome::Lost,
            })
        })
    }

    fn refund_of<'a>(&'a self, config: &'a ChannelConfig, nonce: u64, after: u64) -> HubFuture<'a, Option<Moved>> {
        Box::pin(async move { Ok(self.find_refund(config, nonce, after).await?) })
    }
}

/// What a deposit or a refund moved; a refund that finds nothing emits nothing.
fn moved_by(sent: &SentTransaction) -> Wei {
    let deposited = sent.event::<IInferenceHub::Deposited>().map(|event| event.amount);
    Wei(deposited.or_else(|_| sent.event::<IInferenceHub::Refunded>().map(|event| event.amount)).unwrap_or_default())
}

/// The model registry.
#[derive(Clone, Debug)]
pub struct Models {
    client: ChainClient,
}

impl Models {
    /// The registry, acting for the client's account.
    #[must_use]
    pub fn new(client: ChainClient) -> Self {
        Self { client }
    }

    /// Registers a base model unless it is registered already; `None` then.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn register_base(&self, base: B256, name: &str) -> Result<Option<SentTransaction>, ChainError> {
        if self.base(base).await?.is_some() {
            return Ok(None);
        }
        let call = IModelRegistry::registerBaseCall { baseModel: base, name: name.to_owned() };
        self.client.send(MODEL_REGISTRY, &call).await.map(Some)
    }

    /// A base model; `None` when it is not registered.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn base(&self, base: B256) -> Result<Option<BaseModel>, ChainError> {
        match self.client.call(MODEL_REGISTRY, &IModelRegistry::getBaseCall { baseModel: base }).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_revert("ModelRegistry_UnknownBase") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Publishes a model built by the client's account.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn publish(&self, params: ModelParams) -> Result<(SentTransaction, ModelId), ChainError> {
        let sent = self.client.send(MODEL_REGISTRY, &IModelRegistry::publishCall { params }).await?;
        let id = ModelId(sent.event::<IModelRegistry::ModelPublished>()?.modelId);
        Ok((sent, id))
    }

    /// The id of what `builder` publishes with that manifest, published or not.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn id_of(&self, builder: Address, manifest_hash: B256) -> Result<ModelId, ChainError> {
        let call = IModelRegistry::modelIdOfCall { builder, manifestHash: manifest_hash };
        Ok(ModelId(self.client.call(MODEL_REGISTRY, &call).await?))
    }

    /// Whether a model is published.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn is_published(&self, model: ModelId) -> Result<bool, ChainError> {
        self.client.call(MODEL_REGISTRY, &IModelRegistry::isModelCall { modelId: model.0 }).await
    }

    /// A published model.
    ///
    /// # Errors
    /// [`ChainError`]; unknown models revert.
    pub async fn model(&self, model: ModelId) -> Result<Model, ChainError> {
        self.client.call(MODEL_REGISTRY, &IModelRegistry::getModelCall { modelId: model.0 }).await
    }

    /// The snapshots that a model was trained on.
    ///
    /// # Errors
    /// [`ChainError`]; unknown models revert.
    pub async fn snapshots(&self, model: ModelId) -> Result<Vec<SnapshotRef>, ChainError> {
        self.client.call(MODEL_REGISTRY, &IModelRegistry::getSnapshotsCall { modelId: model.0 }).await
    }

    /// The parents of a model.
    ///
    /// # Errors
    /// [`ChainError`]; unknown models revert.
    pub async fn parents(&self, model: ModelId) -> Result<Vec<ModelId>, ChainError> {
        let parents = self.client.call(MODEL_REGISTRY, &IModelRegistry::getParentsCall { modelId: model.0 }).await?;
        Ok(parents.into_iter().map(ModelId).collect())
    }

    /// The builders of a model's parents, each with the number of parents it built: whom the parents' share pays.
    ///
    /// # Errors
    /// [`ChainError`]; unknown models revert.
    pub async fn parent_builders(&self, model: ModelId) -> Result<Vec<Weighted>, ChainError> {
        let mut builders = std::collections::BTreeMap::<Address, u64>::new();
        for parent in self.parents(model).await? {
            *builders.entry(self.model(parent).await?.builder).or_default() += 1;
        }
        Ok(builders.into_iter().map(|(account, weight)| Weighted { account, weight }).collect())
    }

    /// What receipts for a model must state; `None` for an unknown model.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn terms(&self, model: ModelId) -> Result<Option<PublishedTerms>, ChainError> {
        let published = match self.model(model).await {
            Ok(published) => published,
            Err(error) if error.is_revert("ModelRegistry_UnknownModel") => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(PublishedTerms {
            builder: published.builder,
            base_model: published.baseModel,
            weights_hash: published.weightsHash,
            index_root: published.indexRoot,
            snapshot_roots: self.snapshots(model).await?.into_iter().map(|snapshot| snapshot.root).collect(),
            price: published.price,
            split: published.split,
        }))
    }

    /// The bounds that governance sets on splits.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn split_bounds(&self) -> Result<SplitBounds, ChainError> {
        self.client.call(MODEL_REGISTRY, &IModelRegistry::splitBoundsCall {}).await
    }
}

/// What a contributor commits to and later reveals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// The Datanet.
    pub datanet: DatanetId,
    /// Root of the batch.
    pub batch_root: B256,
    /// Records in it.
    pub record_count: u32,
    /// Salt of the commitment.
    pub salt: B256,
}

/// What a snapshot is published with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPost {
    /// Root over its records.
    pub root: B256,
    /// Records in it.
    pub record_count: u64,
    /// Contributors in it.
    pub contributor_count: u32,
    /// Hash of its content.
    pub content_hash: B256,
    /// Reference in DA.
    pub da_commitment: B256,
}

/// A record that was taken back on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Its Datanet.
    pub datanet: DatanetId,
    /// The record.
    pub record: RecordHash,
    /// Who took it back: the contributor of a batch that holds it.
    pub contributor: Address,
}

/// The Datanet registry.
#[derive(Clone, Debug)]
pub struct Datanets {
    client: ChainClient,
}

impl Datanets {
    /// The registry, acting for the client's account.
    #[must_use]
    pub fn new(client: ChainClient) -> Self {
        Self { client }
    }

    /// Creates a Datanet owned by the client's account.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn create(&self, params: DatanetParams) -> Result<(SentTransaction, DatanetId), ChainError> {
        let sent = self.client.send(DATANET_REGISTRY, &IDatanetRegistry::createDatanetCall { params }).await?;
        let id = DatanetId(sent.event::<IDatanetRegistry::DatanetCreated>()?.datanetId);
        Ok((sent, id))
    }

    /// How many Datanets there are; their numbers go from 1 to it.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn count(&self) -> Result<u64, ChainError> {
        self.client.call(DATANET_REGISTRY, &IDatanetRegistry::datanetCountCall {}).await
    }

    /// A Datanet.
    ///
    /// # Errors
    /// [`ChainError`]; unknown ones revert.
    pub async fn datanet(&self, datanet: DatanetId) -> Result<Datanet, ChainError> {
        self.client.call(DATANET_REGISTRY, &IDatanetRegistry::getDatanetCall { datanetId: datanet.0 }).await
    }

    /// The commitment of a contribution by `contributor`.
    #[must_use]
    pub fn commitment(&self, contribution: &Contribution, contributor: Address) -> B256 {
        let Contribution { datanet, batch_root, record_count, salt } = *contribution;
        let chain_id = self.client.chain_id();
        openledger_contracts::eip712::commitment(chain_id, datanet.0, contributor, batch_root, record_count, salt)
    }

    /// Takes a contribution's place in the order; anyone may send it for the contributor.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn commit(&self, datanet: DatanetId, commitment: B256) -> Result<SentTransaction, ChainError> {
        self.client.send(DATANET_REGISTRY, &IDatanetRegistry::commitCall { datanetId: datanet.0, commitment }).await
    }

    /// The client's account's consent to the Datanet's licence for one batch.
    ///
    /// # Errors
    /// [`ChainError`] when the licence cannot be read or the key cannot sign.
    pub async fn sign_consent(&self, contribution: &Contribution) -> Result<Bytes, ChainError> {
        let licence_hash = self.datanet(contribution.datanet).await?.licenceHash;
        let consent = Consent {
            datanetId: contribution.datanet.0,
            licenceHash: licence_hash,
            batchRoot: contribution.batch_root,
            recordCount: contribution.record_count,
            contributor: self.client.address(),
        };
        let digest = consent.eip712_signing_hash(&datanet_domain(self.client.chain_id()));
        signature::sign(digest, self.client.signer()).map_err(|error| ChainError::Sign { reason: error.to_string() })
    }

    /// Opens a commitment with the contributor's consent; anyone may send it.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn reveal(
        &self,
        contribution: &Contribution,
        contributor: Address,
        consent: Bytes,
    ) -> Result<SentTransaction, ChainError> {
        let call = IDatanetRegistry::revealCall {
            datanetId: contribution.datanet.0,
            contributor,
            batchRoot: contribution.batch_root,
            recordCount: contribution.record_count,
            salt: contribution.salt,
            consentSignature: consent,
        };
        self.client.send(DATANET_REGISTRY, &call).await
    }

    /// A revealed batch; all zero when the root was not revealed.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn batch(&self, datanet: DatanetId, batch_root: B256) -> Result<Batch, ChainError> {
        let call = IDatanetRegistry::getBatchCall { datanetId: datanet.0, batchRoot: batch_root };
        self.client.call(DATANET_REGISTRY, &call).await
    }

    /// Publishes the next snapshot. Owner or curator only.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn publish_snapshot(
        &self,
        datanet: DatanetId,
        post: SnapshotPost,
    ) -> Result<(SentTransaction, SnapshotId), ChainError> {
        let call = IDatanetRegistry::publishSnapshotCall {
            datanetId: datanet.0,
            root: post.root,
            recordCount: post.record_count,
            contributorCount: post.contributor_count,
            contentHash: post.content_hash,
            daCommitment: post.da_commitment,
        };
        let sent = self.client.send(DATANET_REGISTRY, &call).await?;
        let id = SnapshotId(sent.event::<IDatanetRegistry::SnapshotPublished>()?.snapshotId);
        Ok((sent, id))
    }

    /// Takes a record of the client's account back. `proof` shows that it stands in the batch.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn revoke(
        &self,
        datanet: DatanetId,
        batch_root: B256,
        record: RecordHash,
        proof: MerkleProof,
    ) -> Result<SentTransaction, ChainError> {
        let MerkleProof { index, size, siblings } = proof;
        let call = IDatanetRegistry::revokeRecordCall {
            datanetId: datanet.0,
            batchRoot: batch_root,
            recordHash: record.0,
            proof: openledger_contracts::MerkleProof { index, size, siblings },
        };
        self.client.send(DATANET_REGISTRY, &call).await
    }

    /// The records taken back in blocks `from` to `to`, at most [`REVOCATION_BLOCKS_MAX`] of them, in order.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn revocations(&self, from: u64, to: u64) -> Result<Vec<Revocation>, ChainError> {
        use IDatanetRegistry::RecordRevoked;
        let filter = Filter::new().address(DATANET_REGISTRY).event_signature(RecordRevoked::SIGNATURE_HASH);
        let logs = self.client.logs(filter.from_block(from).to_block(to)).await?;
        let read = |log: &Log| {
            let unread = |source| ChainError::Decode { call: RecordRevoked::SIGNATURE, source };
            let event = RecordRevoked::decode_log(&log.inner).map_err(unread)?;
            let (datanet, record) = (DatanetId(event.datanetId), RecordHash(event.recordHash));
            Ok(Revocation { datanet, record, contributor: event.contributor })
        };
        logs.iter().map(read).collect()
    }

    /// A snapshot.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn snapshot(&self, datanet: DatanetId, snapshot: SnapshotId) -> Result<Snapshot, ChainError> {
        let call = IDatanetRegistry::getSnapshotCall { datanetId: datanet.0, snapshotId: snapshot.0 };
        self.client.call(DATANET_REGISTRY, &call).await
    }
}

/// The staker pool.
#[derive(Clone, Debug)]
pub struct Stakers {
    client: ChainClient,
}

impl Stakers {
    /// The pool, acting for the client's account.
    #[must_use]
    pub fn new(client: ChainClient) -> Self {
        Self { client }
    }

    /// Stakes native OPEN.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn stake(&self, amount: Wei) -> Result<SentTransaction, ChainError> {
        self.client.pay(STAKER_POOL, amount, &IStakerPool::stakeCall {}).await
    }

    /// Stops an amount earning; it can be withdrawn after the delay.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn request_unstake(&self, amount: Wei) -> Result<SentTransaction, ChainError> {
        let call = IStakerPool::requestUnstakeCall { amount: U256::from(amount.0) };
        self.client.send(STAKER_POOL, &call).await
    }

    /// Takes out what waited long enough.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn withdraw(&self) -> Result<SentTransaction, ChainError> {
        self.client.send(STAKER_POOL, &IStakerPool::withdrawCall {}).await
    }

    /// Takes the account's rewards.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn claim(&self) -> Result<SentTransaction, ChainError> {
        self.client.send(STAKER_POOL, &IStakerPool::claimCall {}).await
    }

    /// What an account has staked.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn stake_of(&self, account: Address) -> Result<Wei, ChainError> {
        let stake = self.client.call(STAKER_POOL, &IStakerPool::stakeOfCall { account }).await?;
        Ok(Wei(stake.saturating_to()))
    }

    /// What an account can take.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn earned(&self, account: Address) -> Result<Wei, ChainError> {
        let earned = self.client.call(STAKER_POOL, &IStakerPool::earnedCall { account }).await?;
        Ok(Wei(earned.saturating_to()))
    }
}
