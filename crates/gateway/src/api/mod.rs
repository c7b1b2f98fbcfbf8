//! The app API as types: what goes in, what comes out, and the OpenAPI document made of both.
//!
//! One file a resource. Types of other crates that go over the wire as they are have their schema here beside the
//! views; the contract tests hold real answers against the document, so the two cannot drift unseen.

pub mod chat;
pub mod datanets;
mod document;
pub mod models;
pub mod node;
mod operation;
pub mod preview;
pub mod recipe;
pub mod scalar;
pub mod search;
pub mod sessions;
pub mod settlement;
pub mod training;

pub use document::{document, document_json};

use std::borrow::Cow;

use serde::Serialize;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// Part of a listing.
#[derive(Clone, Debug, Serialize)]
pub struct Listing<T> {
    /// The rows.
    pub data: Vec<T>,
    /// What `after` must be for the next part; null at the end.
    pub next_after: Option<u64>,
}

/// Written out, because a derived name would be the same for every kind of row.
impl<T: ToSchema> PartialSchema for Listing<T> {
    fn schema() -> RefOr<Schema> {
        let rows = ArrayBuilder::new().items(Ref::from_schema_name(T::name())).description(Some("The rows."));
        let cursor = SchemaType::from_iter([Type::Integer, Type::Null]);
        let cursor = ObjectBuilder::new().schema_type(cursor);
        let cursor = cursor.description(Some("What `after` must be for the next part; null at the end."));
        let listing = ObjectBuilder::new().property("data", rows).property("next_after", cursor);
        let listing = listing.required("data").required("next_after").description(Some("Part of a listing."));
        RefOr::T(Schema::Object(listing.build()))
    }
}

impl<T: ToSchema> ToSchema for Listing<T> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("{}List", T::name()))
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}
