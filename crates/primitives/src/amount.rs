//! Amounts of OPEN in wei.

use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Wei in one OPEN.
const WEI_PER_OPEN: u128 = 1_000_000_000_000_000_000;
/// Decimals of OPEN.
const DECIMALS: usize = 18;

/// An amount of OPEN in wei. The whole supply (10^27 wei) fits with room for sums.
///
/// Serialised as a decimal string, because JSON numbers lose digits above 2^53.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wei(pub u128);

/// Why an amount could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// The text is not a decimal number of at most 18 places.
    #[error("{text:?} is not an amount: expected decimal digits with at most {DECIMALS} places")]
    Malformed {
        /// The text given.
        text: String,
    },
    /// The amount is above 2^128 - 1 wei.
    #[error("amount {text:?} is above the largest representable amount, {} wei", u128::MAX)]
    TooLarge {
        /// The text given.
        text: String,
    },
}

impl Wei {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `open` whole OPEN; every `u64` fits.
    #[must_use]
    pub const fn from_open(open: u64) -> Self {
        Self(open as u128 * WEI_PER_OPEN)
    }

    /// Sum, or `None` above 2^128 - 1.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Difference, or `None` below zero.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// Product with a count, or `None` above 2^128 - 1.
    #[must_use]
    pub const fn checked_mul(self, count: u128) -> Option<Self> {
        match self.0.checked_mul(count) {
            Some(product) => Some(Self(product)),
            None => None,
        }
    }

    /// Sum of `amounts`, or `None` above 2^128 - 1.
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// True for no wei at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The amount in OPEN with every significant decimal, such as `1.05`.
    #[must_use]
    pub fn format_open(self) -> String {
        let whole = self.0 / WEI_PER_OPEN;
        let fraction = format!("{:018}", self.0 % WEI_PER_OPEN);
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
    }

    /// Parses an amount in OPEN, such as `1.05`.
    ///
    /// # Errors
    /// [`AmountError`] when the text is no decimal number of at most 18 places or the amount is too large.
    pub fn parse_open(text: &str) -> Result<Self, AmountError> {
        let malformed = || AmountError::Malformed { text: text.to_owned() };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > DECIMALS {
            return Err(malformed());
        }
        let joined = format!("{whole}{fraction:0<DECIMALS$}");
        joined.parse().map(Self).map_err(|_| AmountError::TooLarge { text: text.to_owned() })
    }
}

impl fmt::Display for Wei {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Wei {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wei", self.0)
    }
}

impl FromStr for Wei {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AmountError::Malformed { text: text.to_owned() });
        }
        text.parse().map(Self).map_err(|_| AmountError::TooLarge { text: text.to_owned() })
    }
}

impl Sum for Wei {
    /// Adds up amounts that exist; they cannot exceed the supply, so overflow is a fault of the caller.
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self::checked_sum(amounts).expect("amounts that exist sum to less than 2^128 wei")
    }
}

impl Serialize for Wei {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Wei {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
