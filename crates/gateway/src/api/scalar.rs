//! Hashes, addresses and amounts as the API writes them, each with its schema.

use std::borrow::Cow;

use openledger_primitives as primitives;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// Wei as a decimal string: amounts are above what JSON numbers keep exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub primitives::Wei);

/// 32 bytes as 0x and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(pub primitives::B256);

/// An account as 0x and 40 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Account(pub primitives::Address);

/// Bytes as 0x and hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HexBytes(pub primitives::Bytes);

/// A JSON object whose fields are not fixed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AnyObject(pub serde_json::Value);

fn text(description: &str, pattern: &str) -> RefOr<Schema> {
    let builder = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    RefOr::T(Schema::Object(builder.description(Some(description)).pattern(Some(pattern)).build()))
}

macro_rules! text_schema {
    ($type:ty, $name:literal, $description:literal, $pattern:literal) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                text($description, $pattern)
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    };
}

text_schema!(Amount, "Wei", "An amount in wei, in decimal.", "^[0-9]+$");
text_schema!(Hash, "Hash", "32 bytes in hexadecimal.", "^0x[0-9a-fA-F]{64}$");
text_schema!(Account, "Address", "An account's address.", "^0x[0-9a-fA-F]{40}$");
text_schema!(HexBytes, "HexBytes", "Bytes in hexadecimal.", "^0x([0-9a-fA-F]{2})*$");

impl PartialSchema for AnyObject {
    fn schema() -> RefOr<Schema> {
        let builder = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Object));
        let builder = builder.description(Some("An object whose fields are not fixed."));
        RefOr::T(Schema::Object(builder.additional_properties(Some(AdditionalProperties::FreeForm(true))).build()))
    }
}

impl ToSchema for AnyObject {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("AnyObject")
    }
}

/// Raw bytes of a file.
#[derive(Debug)]
pub struct Binary;

impl PartialSchema for Binary {
    fn schema() -> RefOr<Schema> {
        let builder = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        RefOr::T(Schema::Object(builder.format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary))).build()))
    }
}

impl ToSchema for Binary {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Binary")
    }
}

macro_rules! hashes {
    ($($id:ident),*) => {
        $(impl From<primitives::$id> for Hash {
            fn from(id: primitives::$id) -> Self {
                Self(id.0)
            }
        })*
    };
}

hashes!(ModelId, RecordHash, ReceiptHash, ChannelId);

impl From<primitives::B256> for Hash {
    fn from(hash: primitives::B256) -> Self {
        Self(hash)
    }
}

impl From<primitives::Address> for Account {
    fn from(address: primitives::Address) -> Self {
        Self(address)
    }
}

impl From<primitives::Wei> for Amount {
    fn from(wei: primitives::Wei) -> Self {
        Self(wei)
    }
}

impl From<u128> for Amount {
    fn from(wei: u128) -> Self {
        Self(primitives::Wei(wei))
    }
}

impl From<primitives::Bytes> for HexBytes {
    fn from(bytes: primitives::Bytes) -> Self {
        Self(bytes)
    }
}
