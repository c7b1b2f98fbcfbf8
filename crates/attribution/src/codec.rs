//! Packed big-endian encoding shared by the index and result formats.

use openledger_primitives::B256;

/// Why bytes are not a valid index or result.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end early.
    #[error("{what} needs {needed} bytes; {left} are left")]
    Truncated {
        /// The field being read.
        what: &'static str,
        /// Bytes the field takes.
        needed: u64,
        /// Bytes that remain.
        left: u64,
    },
    /// The first bytes are another format's.
    #[error("not {expected}: the file begins with {found:02x?}")]
    Magic {
        /// The format expected.
        expected: &'static str,
        /// The bytes found.
        found: [u8; 4],
    },
    /// A version this build does not read.
    #[error("{what} has version {found}; this build reads version {supported}")]
    Version {
        /// The format.
        what: &'static str,
        /// Its version byte.
        found: u8,
        /// The version read here.
        supported: u8,
    },
    /// A number above its limit.
    #[error("{what} is {value}; at most {max} is allowed")]
    TooLarge {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The limit.
        max: u64,
    },
    /// A value with no meaning.
    #[error("{what} is {value}, which means nothing")]
    Meaningless {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// Bytes after the end.
    #[error("{bytes} bytes follow the end")]
    Trailing {
        /// How many.
        bytes: u64,
    },
    /// A header that is not the JSON it should be.
    #[error("the header is not valid: {reason}")]
    Header {
        /// What the JSON reader said.
        reason: String,
    },
    /// The content does not hash to the commitment it carries.
    #[error("the content hashes to {computed}; the file says {stated}")]
    Root {
        /// The root the file states.
        stated: B256,
        /// The root of its content.
        computed: B256,
    },
}

/// Appends integers big-endian.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u128(&mut self, value: u128) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn i128(&mut self, value: i128) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
    }

    /// A length and the bytes.
    pub(crate) fn sized(&mut self, value: &[u8]) {
        self.u32(value.len() as u32);
        self.bytes(value);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what [`Writer`] wrote, trusting nothing.
pub(crate) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    pub(crate) fn take(&mut self, what: &'static str, bytes: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, tail)) = self.left.split_at_checked(bytes) else {
            let left = self.left.len() as u64;
            return Err(DecodeError::Truncated { what, needed: bytes as u64, left });
        };
        self.left = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let bytes = self.take(what, N)?;
        Ok(bytes.try_into().expect("take returned exactly N bytes"))
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn u128(&mut self, what: &'static str) -> Result<u128, DecodeError> {
        Ok(u128::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn i128(&mut self, what: &'static str) -> Result<i128, DecodeError> {
        Ok(i128::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn b256(&mut self, what: &'static str) -> Result<B256, DecodeError> {
        Ok(B256::from(self.array(what)?))
    }

    /// A count of items of at least `item_bytes` each: bounded by `max` and by what the input can still hold,
    /// so that nothing is allocated on a lie.
    pub(crate) fn count(&mut self, what: &'static str, max: usize, item_bytes: usize) -> Result<usize, DecodeError> {
        let count = self.u32(what)? as usize;
        if count > max {
            return Err(self.too_large(what, count as u64, max as u64));
        }
        let (needed, left) = (count as u64 * item_bytes as u64, self.left.len() as u64);
        if needed > left {
            return Err(DecodeError::Truncated { what, needed, left });
        }
        Ok(count)
    }

    pub(crate) fn too_large(&self, what: &'static str, value: u64, max: u64) -> DecodeError {
        DecodeError::TooLarge { what, value, max }
    }

    pub(crate) fn magic(&mut self, expected: &'static str, magic: [u8; 4]) -> Result<(), DecodeError> {
        let found = self.array("magic")?;
        if found == magic { Ok(()) } else { Err(DecodeError::Magic { expected, found }) }
    }

    pub(crate) fn version(&mut self, what: &'static str, supported: u8) -> Result<(), DecodeError> {
        let found = self.u8("version")?;
        if found == supported { Ok(()) } else { Err(DecodeError::Version { what, found, supported }) }
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        match self.left.len() {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing { bytes: bytes as u64 }),
        }
    }
}
