//! Sessions: sign-in with Ethereum (EIP-4361), the cookie, and what a state-changing request must show.
//!
//! A cookie holds 32 random bytes; the database holds their hash, so that whoever reads it can take over no session.
//! The CSRF token follows from the same bytes. A message is taken once: its nonce came from here, is unused and fresh.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, header};
use openledger_primitives::{Address, B256, keccak256};
use openledger_settlement::signature::{SignatureError, recover};
use openledger_store::{RowExt as _, Store, StoreError, number_value, params};
use rand::TryRngCore as _;
use rand::rngs::OsRng;

use crate::clock::now_s;

/// Name of the session's cookie.
pub(crate) const COOKIE: &str = "openledger_session";
/// Header that a state-changing request of a session carries.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";
/// Seconds that a session holds.
pub(crate) const SESSION_S: u64 = 24 * 60 * 60;
/// Seconds in which a nonce is taken.
pub(crate) const NONCE_S: u64 = 10 * 60;
/// Nonces that wait to be used; the oldest go first.
const NONCES_MAX: usize = 10_000;
/// Sessions kept; the oldest go first.
const SESSIONS_MAX: i64 = 10_000;
/// Sessions of one account; the oldest go first.
const ACCOUNT_SESSIONS_MAX: i64 = 16;
/// Longest sign-in message, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Tables of sessions and of the faucet.
pub(crate) const TABLES: &str = "
CREATE TABLE gateway_sessions (
    token_hash BLOB PRIMARY KEY, address BLOB NOT NULL, expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX gateway_sessions_expiry ON gateway_sessions (expires_at);
CREATE INDEX gateway_sessions_address ON gateway_sessions (address, expires_at);
CREATE TABLE gateway_faucet (address BLOB PRIMARY KEY, granted_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SignInError {
    /// Not a message of EIP-4361.
    #[error("the message is not a sign-in message (EIP-4361): {reason}")]
    Message {
        /// What is wrong.
        reason: String,
    },
    /// The message is for another site.
    #[error("the message signs in to {given:?}, not to this server")]
    Domain {
        /// Its domain.
        given: String,
    },
    /// The message is for another chain.
    #[error("the message is for chain {given}; this is chain {expected}")]
    Chain {
        /// Its chain.
        given: u64,
        /// This one.
        expected: u64,
    },
    /// The nonce is unknown, used or too old.
    #[error("the message's nonce is unknown, used or too old; ask for a new one")]
    Nonce,
    /// The message's own times exclude now.
    #[error("the message is not valid at this time")]
    Time,
    /// The signature is malformed.
    #[error("the signature cannot be read")]
    Signature(#[from] SignatureError),
    /// Somebody else signed.
    #[error("the message names {named}; {signer} signed it")]
    Signer {
        /// Named in the message.
        named: Address,
        /// Who signed.
        signer: Address,
    },
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random(#[from] rand::rand_core::OsError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A session as its holder knows it.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) token: String,
    pub(crate) address: Address,
    pub(crate) expires_at: u64,
}

/// Sessions and nonces.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: Store,
    chain_id: u64,
    nonces: Mutex<VecDeque<(String, u64)>>,
}

impl Sessions {
    pub(crate) fn new(store: Store, chain_id: u64) -> Self {
        Self { store, chain_id, nonces: Mutex::default() }
    }

    /// A nonce, and until when it is taken.
    pub(crate) fn nonce(&self) -> Result<(String, u64), SignInError> {
        let nonce = hex::encode(&random()?[..16]);
        let expires_at = now_s() + NONCE_S;
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        nonces.push_back((nonce.clone(), expires_at));
        let surplus = nonces.len().saturating_sub(NONCES_MAX);
        nonces.drain(..surplus);
        Ok((nonce, expires_at))
    }

    /// Takes a nonce out; true when it was there and fresh.
    fn use_nonce(&self, nonce: &str) -> bool {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let found = nonces.iter().position(|(known, _)| known == nonce).and_then(|at| nonces.remove(at));
        found.is_some_and(|(_, expires_at)| now_s() < expires_at)
    }

    /// Opens a session for whoever signed `text`. `ours` says whether a domain is this server's. Blocks.
    pub(crate) fn sign_in(
        &self,
        text: &str,
        signature: &[u8],
        ours: impl FnOnce(&str) -> bool,
    ) -> Result<Opened, SignInError> {
        let unreadable = |reason: String| SignInError::Message { reason };
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(unreadable(format!("{} bytes; at most {MESSAGE_BYTES_MAX} are taken", text.len())));
        }
        let message: siwe::Message = text.parse().map_err(|error: siwe::ParseError| unreadable(error.to_string()))?;
        let domain = message.domain.as_str();
        if !ours(domain) {
            return Err(SignInError::Domain { given: domain.to_owned() });
        }
        if message.chain_id != self.chain_id {
            return Err(SignInError::Chain { given: message.chain_id, expected: self.chain_id });
        }
        // From here on the nonce is spent, whatever else is wrong.
        if !self.use_nonce(&message.nonce) {
            return Err(SignInError::Nonce);
        }
        if !message.valid_now() {
            return Err(SignInError::Time);
        }
        let named = Address::from(message.address);
        let signer = recover(alloy_primitives::eip191_hash_message(text.as_bytes()), signature)?;
        if signer != named {
            return Err(SignInError::Signer { named, signer });
        }
        self.open(named)
    }

    fn open(&self, address: Address) -> Result<Opened, SignInError> {
        let token = hex::encode(random()?);
        let expires_at = now_s() + SESSION_S;
        let (hash, now) = (token_hash(&token), number_value("time", now_s())?);
        let oldest = "DELETE FROM gateway_sessions WHERE token_hash IN
            (SELECT token_hash FROM gateway_sessions ORDER BY expires_at DESC LIMIT -1 OFFSET ?1)";
        let of_account = "DELETE FROM gateway_sessions WHERE token_hash IN
            (SELECT token_hash FROM gateway_sessions WHERE address = ?1 ORDER BY expires_at DESC LIMIT -1 OFFSET ?2)";
        let insert = "INSERT INTO gateway_sessions (token_hash, address, expires_at) VALUES (?1, ?2, ?3)";
        self.store.with_tx(|tx| {
            tx.execute("DELETE FROM gateway_sessions WHERE expires_at <= ?1", [now])?;
            tx.execute(of_account, params![address.as_slice(), ACCOUNT_SESSIONS_MAX - 1])?;
            tx.execute(oldest, [SESSIONS_MAX - 1])?;
            tx.execute(insert, params![hash.as_slice(), address.as_slice(), number_value("time", expires_at)?])
        })?;
        Ok(Opened { token, address, expires_at })
    }

    /// The session that a token opens, if it holds. Blocks.
    pub(crate) fn find(&self, token: &str) -> Result<Option<Opened>, StoreError> {
        let sql = "SELECT address, expires_at FROM gateway_sessions WHERE token_hash = ?1 AND expires_at > ?2";
        let hash = token_hash(token);
        let place = params![hash.as_slice(), number_value("time", now_s())?];
        self.store.read(|tx| {
            tx.query_opt(sql, place, |row| {
                let token = token.to_owned();
                Ok(Opened { token, address: row.address("address")?, expires_at: row.number("expires_at")? })
            })
        })
    }

    /// Ends a session. Blocks.
    pub(crate) fn close(&self, token: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM gateway_sessions WHERE token_hash = ?1";
        self.store.with_tx(|tx| tx.execute(sql, [token_hash(token).as_slice()]).map(drop))
    }

    /// Notes a grant of the faucet; `Err` with the seconds to wait when the last one was too short ago. Blocks.
    pub(crate) fn grant(&self, address: Address, every_s: u64) -> Result<Result<(), u64>, StoreError> {
        let now = now_s();
        self.store.with_tx(|tx| {
            let sql = "SELECT granted_at FROM gateway_faucet WHERE address = ?1";
            let last = tx.query_opt(sql, [address.as_slice()], |row| row.number("granted_at"))?;
            let next = last.map_or(0, |last| last + every_s);
            if now < next {
                return Ok(Err(next - now));
            }
            let old = number_value("time", now.saturating_sub(every_s))?;
            tx.execute("DELETE FROM gateway_faucet WHERE granted_at < ?1", [old])?;
            let sql = "INSERT OR REPLACE INTO gateway_faucet (address, granted_at) VALUES (?1, ?2)";
            tx.execute(sql, params![address.as_slice(), number_value("time", now)?])?;
            Ok(Ok(()))
        })
    }

    /// Takes a grant back whose transaction failed. Blocks.
    pub(crate) fn take_back(&self, address: Address) -> Result<(), StoreError> {
        let sql = "DELETE FROM gateway_faucet WHERE address = ?1";
        self.store.with_tx(|tx| tx.execute(sql, [address.as_slice()]).map(drop))
    }
}

impl Opened {
    /// What proves that a request was made by the page that holds the session.
    pub(crate) fn csrf_token(&self) -> String {
        hex::encode(keccak256(["openledger csrf ", &self.token].concat()))
    }

    /// Whether the headers carry it, compared by hashes so that the time says nothing.
    pub(crate) fn has_csrf(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(CSRF_HEADER).map(|value| keccak256(value.as_bytes()));
        given == Some(keccak256(self.csrf_token()))
    }

    /// The cookie to set; a secure one goes over TLS alone.
    pub(crate) fn cookie(&self, secure: bool) -> String {
        set_cookie(&self.token, SESSION_S, secure)
    }
}

/// The cookie that ends it.
pub(crate) fn no_cookie(secure: bool) -> String {
    set_cookie("", 0, secure)
}

fn set_cookie(token: &str, age_s: u64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age={age_s}{secure}")
}

/// The session's token among the cookies of a request.
pub(crate) fn token_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, token)| token).filter(|token| !token.is_empty())
}

fn token_hash(token: &str) -> B256 {
    keccak256(token)
}

fn random() -> Result<[u8; 32], rand::rand_core::OsError> {
    let mut bytes = [0; 32];
    OsRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}
