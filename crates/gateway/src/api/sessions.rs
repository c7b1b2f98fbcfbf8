//! Sign-in with Ethereum (EIP-4361).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::scalar::{Account, HexBytes};

/// A value for one sign-in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Nonce {
    /// What the message to sign must carry as its nonce.
    pub nonce: String,
    /// Until when it is taken, in Unix seconds.
    pub expires_at: u64,
}

/// A signed sign-in message.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The EIP-4361 message, exactly as it was signed.
    pub message: String,
    /// Its EIP-191 signature.
    pub signature: HexBytes,
}

/// Who is signed in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Session {
    /// The account.
    pub address: Account,
    /// What every state-changing request of this session carries in `x-csrf-token`.
    pub csrf_token: String,
    /// Until when the session holds, in Unix seconds.
    pub expires_at: u64,
}
