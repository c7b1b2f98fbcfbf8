//! A hub by the contract's rules, in memory: what it refuses here, the contract refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use openledger_contracts::{ChannelConfig, EpochPost, SolStruct as _, VoucherClaim, eip712};
use openledger_primitives::{Address, B256, ChannelId, U256, Wei, keccak256};
use openledger_settlement::channel::OnChainChannel;
use openledger_settlement::hub::{
    CLAIMS_MAX, HubClient, HubEpoch, HubError, HubFuture, Keep, PENDING_MAX, RelayOutcome, SignedTransaction,
};
use openledger_settlement::relay::{Deposit, RelayCall};
use openledger_settlement::voucher::{SignedVoucher, channel_id, voucher_signer};
use openledger_settlement::x402::Moved;

use crate::common::{CHAIN_ID, operator};

/// Challenge window of the test hub, in seconds.
pub const WINDOW_S: u64 = 60;

/// What happens to the next transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It takes effect, but its sender never hears of it.
    AnswerLost,
    /// It never arrives.
    NeverArrives,
}

/// Something that others do on the chain.
pub type Deed = Box<dyn FnOnce(&mut State) + Send>;

#[derive(Default)]
pub struct State {
    pub now: u64,
    pub channels: BTreeMap<ChannelId, OnChainChannel>,
    pub epochs: Vec<(EpochPost, HubEpoch)>,
    /// Epochs rejected after a challenge.
    pub rejected: BTreeSet<u64>,
    /// Payers whose signatures do not count any more: they made a contract of their account.
    pub turned: BTreeSet<Address>,
    pub unallocated: u128,
    pub total_balance: u128,
    pub burned: u128,
    pub transactions: u64,
    pub fault: Option<Fault>,
    /// Wrapped OPEN of every account.
    pub wrapped: BTreeMap<Address, u128>,
    /// EIP-3009 nonces used.
    pub used: BTreeSet<(Address, B256)>,
    /// Transactions signed, by hash; what they call.
    pub signed: BTreeMap<B256, RelayCall>,
    /// Those that the chain has, in a block or not.
    pub sent: BTreeSet<B256>,
    /// Those in a block, with what they moved; `None` for a revert.
    pub mined: BTreeMap<B256, Option<u128>>,
    /// Those whose place another transaction took.
    pub lost: BTreeSet<B256>,
    /// No block is made while this is set.
    pub stopped: bool,
    /// What others do before the next relayed transaction is in a block.
    pub before_next_block: Option<Deed>,
    /// Refunds by channel and nonce.
    pub refunds: BTreeMap<(ChannelId, u64), Moved>,
}

#[derive(Default)]
pub struct TestHub(pub Mutex<State>);

impl TestHub {
    pub fn funded(configs: &[ChannelConfig], balance: u128) -> Self {
        let funded = OnChainChannel { balance: Wei(balance), ..OnChainChannel::default() };
        let channels = configs.iter().map(|config| (channel_id(config, CHAIN_ID), funded)).collect();
        Self(Mutex::new(State { now: 1_790_000_000, channels, ..State::default() }))
    }

    /// What happens to a relayed transaction that somebody else's took the place of.
    pub fn lose(&self, hash: B256) {
        self.with(|state| state.lost.insert(hash));
    }

    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    /// Applies a transaction whole or not at all, under the fault set, as a chain does.
    fn transact(&self, work: impl FnOnce(&mut State) -> Result<(), String>) -> Result<B256, HubError> {
        self.with(|state| {
            let fault = state.fault.take();
            if fault == Some(Fault::NeverArrives) {
                return Err(HubError::Unavailable("connection refused".into()));
            }
            let before = (state.channels.clone(), state.unallocated);
            if let Err(reason) = work(state) {
                (state.channels, state.unallocated) = before;
                return Err(HubError::Reverted { reason });
            }
            state.transactions += 1;
            let hash = keccak256(state.transactions.to_be_bytes());
            if fault.is_some() { Err(HubError::Unavailable("connection reset".into())) } else { Ok(hash) }
        })
    }
}

fn take_claims(state: &mut State, claims: &[VoucherClaim]) -> Result<(), String> {
    if claims.len() > CLAIMS_MAX {
        return Err(format!("InferenceHub_TooManyClaims({}, {CLAIMS_MAX})", claims.len()));
    }
    for claim in claims {
        let id = channel_id(&claim.config, CHAIN_ID);
        let signature = claim.signature.clone();
        let voucher = SignedVoucher { channel: id, max_claimable: Wei(claim.maxClaimableAmount), signature };
        voucher.verify(voucher_signer(&claim.config), CHAIN_ID).map_err(|_| "InferenceHub_InvalidSignature")?;
        if state.turned.contains(&claim.config.payer) {
            return Err("InferenceHub_InvalidSignature".into());
        }
        if claim.config.receiverAuthorizer != operator().address() {
            return Err("InferenceHub_NotReceiverAuthorizer".into());
        }
        let channel = state.channels.get_mut(&id).ok_or("InferenceHub_InsufficientChannel")?;
        let previous = channel.total_claimed.0;
        if claim.totalClaimed > claim.maxClaimableAmount {
            return Err("InferenceHub_ClaimAboveVoucher".into());
        }
        if claim.totalClaimed <= previous {
            return Err("InferenceHub_ClaimNotIncreasing".into());
        }
        if claim.totalClaimed > channel.balance.0 {
            return Err("InferenceHub_InsufficientChannel".into());
        }
        channel.total_claimed = Wei(claim.totalClaimed);
        state.unallocated += claim.totalClaimed - previous;
    }
    Ok(())
}

fn take_post(state: &mut State, post: &EpochPost) -> Result<(), String> {
    if post.epoch != state.epochs.len() as u64 + 1 {
        return Err(format!("InferenceHub_WrongEpoch({}, {})", post.epoch, state.epochs.len() + 1));
    }
    let pending = state.epochs.iter().filter(|(_, epoch)| !epoch.is_final).count() as u64;
    if pending >= PENDING_MAX {
        return Err(format!("InferenceHub_TooManyPending({pending}, {PENDING_MAX})"));
    }
    // What was claimed ahead waits for the epochs that charge it.
    if post.fees > state.unallocated {
        return Err(format!("InferenceHub_FeesNotCovered({}, {})", post.fees, state.unallocated));
    }
    let credited = post.totalBalance.checked_sub(state.total_balance).ok_or("InferenceHub_TotalFell")?;
    if post.fees != post.burned + post.stakers + credited {
        return Err("InferenceHub_SplitMismatch".into());
    }
    state.unallocated -= post.fees;
    state.total_balance = post.totalBalance;
    let epoch = HubEpoch {
        receipts_root: post.receiptsRoot,
        balance_root: post.balanceRoot,
        final_at: state.now + WINDOW_S,
        is_final: false,
    };
    state.epochs.push((post.clone(), epoch));
    Ok(())
}

fn take_final(state: &mut State, number: u64) -> Result<(), String> {
    let now = state.now;
    let index = usize::try_from(number).unwrap() - 1;
    let before_final = state.epochs[..index].iter().all(|(_, epoch)| epoch.is_final);
    let (post, epoch) = state.epochs.get_mut(index).ok_or("InferenceHub_NotPending")?;
    if epoch.is_final || !before_final {
        return Err(format!("InferenceHub_NotPending({number})"));
    }
    if now < epoch.final_at {
        return Err(format!("InferenceHub_TooEarly({}, {now})", epoch.final_at));
    }
    epoch.is_final = true;
    state.burned += post.burned;
    Ok(())
}

/// What a relayed call does, by the rules of `Channels.sol`; gives what moved.
fn take_relay(state: &mut State, call: &RelayCall, tx: B256) -> Result<u128, String> {
    match call {
        RelayCall::Deposit { config, deposit } => take_deposit(state, config, deposit),
        RelayCall::Refund { config, amount, nonce, signature } => {
            let id = channel_id(config, CHAIN_ID);
            let channel = state.channels.entry(id).or_default();
            if *nonce != channel.refund_nonce {
                return Err(format!("InferenceHub_WrongNonce({nonce}, {})", channel.refund_nonce));
            }
            let refund = eip712::Refund { channelId: id.0, nonce: U256::from(*nonce), amount: amount.0 };
            let digest = refund.eip712_signing_hash(&eip712::channel_domain(CHAIN_ID));
            let signed = openledger_settlement::signature::verify(digest, signature, config.receiverAuthorizer);
            signed.map_err(|_| "InferenceHub_InvalidSignature")?;
            channel.refund_nonce += 1;
            let moved = amount.0.min(channel.balance.0 - channel.total_claimed.0);
            channel.balance = Wei(channel.balance.0 - moved);
            *state.wrapped.entry(config.payer).or_default() += moved;
            state.refunds.insert((id, *nonce), Moved { tx, amount: Wei(moved) });
            Ok(moved)
        }
    }
}

fn take_deposit(state: &mut State, config: &ChannelConfig, deposit: &Deposit) -> Result<u128, String> {
    let id = channel_id(config, CHAIN_ID);
    let key = (config.payer, deposit.nonce(id));
    deposit.check(config, CHAIN_ID, Wei(1), state.now).map_err(|error| format!("WrappedOpen: {error}"))?;
    if state.used.contains(&key) {
        return Err("WrappedOpen_AuthorizationSpent".into());
    }
    let wrapped = state.wrapped.entry(config.payer).or_default();
    *wrapped = wrapped.checked_sub(deposit.amount.0).ok_or("ERC20InsufficientBalance")?;
    state.used.insert(key);
    let channel = state.channels.entry(id).or_default();
    channel.balance = Wei(channel.balance.0 + deposit.amount.0);
    Ok(deposit.amount.0)
}

/// Puts a transaction into a block.
fn mine(state: &mut State, hash: B256) {
    if let Some(others) = state.before_next_block.take() {
        others(state);
    }
    let call = state.signed[&hash].clone();
    let before = (state.channels.clone(), state.wrapped.clone());
    let outcome = take_relay(state, &call, hash);
    if outcome.is_err() {
        (state.channels, state.wrapped) = before;
    }
    state.mined.insert(hash, outcome.ok());
}

impl HubClient for TestHub {
    fn now(&self) -> HubFuture<'_, u64> {
        Box::pin(async { Ok(self.with(|state| state.now)) })
    }

    fn channel<'a>(&'a self, config: &'a ChannelConfig) -> HubFuture<'a, OnChainChannel> {
        let id = channel_id(config, CHAIN_ID);
        Box::pin(async move { Ok(self.with(|state| state.channels.get(&id).copied().unwrap_or_default())) })
    }

    fn epoch(&self, number: u64) -> HubFuture<'_, Option<HubEpoch>> {
        let index = usize::try_from(number).unwrap() - 1;
        Box::pin(async move { Ok(self.with(|state| state.epochs.get(index).map(|(_, epoch)| *epoch))) })
    }

    fn is_rejected(&self, number: u64, _: Option<B256>) -> HubFuture<'_, bool> {
        Box::pin(async move { Ok(self.with(|state| state.rejected.contains(&number))) })
    }

    fn claim_vouchers<'a>(&'a self, claims: &'a [VoucherClaim]) -> HubFuture<'a, B256> {
        Box::pin(async { self.transact(|state| take_claims(state, claims)) })
    }

    fn post_epoch<'a>(&'a self, post: &'a EpochPost, claims: &'a [VoucherClaim]) -> HubFuture<'a, B256> {
        Box::pin(async { self.transact(|state| take_claims(state, claims).and_then(|()| take_post(state, post))) })
    }

    fn finalize_epoch(&self, number: u64) -> HubFuture<'_, B256> {
        Box::pin(async move { self.transact(|state| take_final(state, number)) })
    }

    fn wrapped_balance(&self, account: Address) -> HubFuture<'_, Wei> {
        Box::pin(async move { Ok(self.with(|state| Wei(state.wrapped.get(&account).copied().unwrap_or_default()))) })
    }

    fn is_authorization_used(&self, payer: Address, nonce: B256) -> HubFuture<'_, bool> {
        Box::pin(async move { Ok(self.with(|state| state.used.contains(&(payer, nonce)))) })
    }

    fn relay<'a>(&'a self, call: &'a RelayCall, keep: Keep<'a>) -> HubFuture<'a, SignedTransaction> {
        Box::pin(async move {
            let tx = self.with(|state| {
                let before = (state.channels.clone(), state.wrapped.clone(), state.used.clone(), state.refunds.clone());
                let simulated = take_relay(state, call, B256::ZERO);
                (state.channels, state.wrapped, state.used, state.refunds) = before;
                simulated.map_err(|reason| HubError::Reverted { reason })?;
                state.transactions += 1;
                let hash = keccak256(state.transactions.to_be_bytes());
                state.signed.insert(hash, call.clone());
                let raw = hash.to_vec().into();
                Ok::<_, HubError>(SignedTransaction { hash, nonce: state.transactions, raw, signed_at: 0 })
            })?;
            keep(tx.clone()).await?;
            self.with(|state| {
                let fault = state.fault.take();
                if fault != Some(Fault::NeverArrives) {
                    state.sent.insert(tx.hash);
                }
                match fault {
                    Some(_) => Err(HubError::Unavailable("connection reset".into())),
                    None => Ok(tx),
                }
            })
        })
    }

    fn relayed<'a>(&'a self, tx: &'a SignedTransaction) -> HubFuture<'a, RelayOutcome> {
        Box::pin(async move {
            self.with(|state| {
                if state.lost.contains(&tx.hash) {
                    return Ok(RelayOutcome::Lost);
                }
                // Asking sends it again.
                state.sent.insert(tx.hash);
                if !state.stopped && !state.mined.contains_key(&tx.hash) {
                    mine(state, tx.hash);
                }
                Ok(match state.mined.get(&tx.hash) {
                    Some(Some(moved)) => RelayOutcome::Moved { amount: Wei(*moved) },
                    Some(None) => RelayOutcome::Reverted,
                    None => RelayOutcome::Waiting,
                })
            })
        })
    }

    fn refund_of<'a>(&'a self, config: &'a ChannelConfig, nonce: u64, _: u64) -> HubFuture<'a, Option<Moved>> {
        let id = channel_id(config, CHAIN_ID);
        Box::pin(async move { Ok(self.with(|state| state.refunds.get(&(id, nonce)).copied())) })
    }
}
