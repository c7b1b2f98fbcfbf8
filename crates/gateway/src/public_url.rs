//! The URL under which a node is reached from outside.

use std::str::FromStr;

use axum::http::Uri;
use serde::{Deserialize, Serialize};

/// Longest public URL, in bytes.
const URL_BYTES_MAX: usize = 512;

/// Such as `https://ledger.example`: scheme, host and port, no path. A proxy in front of the node is reached there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicUrl {
    secure: bool,
    host: String,
}

/// Why a text is no public URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicUrlError {
    /// Not an HTTP URL.
    #[error("{given:?} is not a URL such as https://ledger.example")]
    Malformed {
        /// The text, cut where it is long.
        given: String,
    },
    /// It goes on behind the host.
    #[error("{given:?} has more than scheme, host and port; the node answers at the root of its name")]
    Path {
        /// The text.
        given: String,
    },
}

impl PublicUrl {
    /// Whether it is reached over TLS: then the session's cookie is sent over nothing else.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Host, with the port where it is not the scheme's own: what sign-in messages name.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let given = || text.chars().take(URL_BYTES_MAX).collect::<String>();
        let malformed = || PublicUrlError::Malformed { given: given() };
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(malformed()) };
        let own_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(malformed()),
        };
        if text.len() > URL_BYTES_MAX || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(malformed());
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains('#') {
            return Err(PublicUrlError::Path { given: given() });
        }
        let name = authority.host().to_ascii_lowercase();
        let port = authority.port_u16().filter(|port| *port != own_port);
        let host = port.map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
        Ok(Self { secure: scheme == "https", host })
    }
}

impl std::fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.host)
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = PublicUrlError;

    fn try_from(text: String) -> Result<Self, PublicUrlError> {
        text.parse()
    }
}

impl From<PublicUrl> for String {
    fn from(url: PublicUrl) -> Self {
        url.to_string()
    }
}
