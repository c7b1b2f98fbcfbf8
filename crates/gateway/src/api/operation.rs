//! One endpoint of the document: a few words a line instead of a page of builders.

use std::collections::BTreeMap;

use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder, ResponsesBuilder};
use utoipa::{PartialSchema, ToSchema};

use super::chat::ErrorAnswer;

const JSON: &str = "application/json";

/// Schemas that operations name.
pub(super) type Schemas = BTreeMap<String, RefOr<Schema>>;

/// An endpoint under construction.
pub(super) struct Op {
    pub(super) method: HttpMethod,
    pub(super) path: &'static str,
    pub(super) schemas: Schemas,
    operation: OperationBuilder,
    responses: ResponsesBuilder,
}

impl Op {
    fn new(method: HttpMethod, path: &'static str, id: &str, summary: &str) -> Self {
        let mut operation = OperationBuilder::new().operation_id(Some(id)).summary(Some(summary));
        for name in path_names(path) {
            operation = operation.parameter(parameter(name, ParameterIn::Path, path_type(path, name), ""));
        }
        let op = Self { method, path, schemas: Schemas::new(), operation, responses: ResponsesBuilder::new() };
        op.failure("default", "Refused, or failed; see the error.")
    }

    pub(super) fn get(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Get, path, id, summary)
    }

    pub(super) fn post(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Post, path, id, summary)
    }

    pub(super) fn put(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Put, path, id, summary)
    }

    pub(super) fn delete(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Delete, path, id, summary)
    }

    pub(super) fn tag(mut self, tag: &str) -> Self {
        self.operation = self.operation.tag(tag);
        self
    }

    /// Optional query parameters, all text.
    pub(super) fn filters(mut self, names: &[(&str, &str)]) -> Self {
        for (name, description) in names {
            self.operation = self.operation.parameter(parameter(name, ParameterIn::Query, Type::String, description));
        }
        self
    }

    /// An optional number in the query.
    pub(super) fn number(mut self, name: &str, description: &str) -> Self {
        let parameter = parameter(name, ParameterIn::Query, Type::Integer, description);
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// A text that the query must have.
    pub(super) fn needs(mut self, name: &str, kind: Type, description: &str) -> Self {
        let parameter = parameter(name, ParameterIn::Query, kind, description).required(Required::True);
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// `after` and `limit` of a listing.
    pub(super) fn paged(self) -> Self {
        self.number("after", "A page's `next_after`; 0 for the first.").number("limit", "Most rows.")
    }

    /// Header of a state-changing request made in a session.
    pub(super) fn csrf(mut self) -> Self {
        let text = "The session's token; needed when the request carries a session cookie.";
        self.operation = self.operation.parameter(parameter("x-csrf-token", ParameterIn::Header, Type::String, text));
        self
    }

    /// A JSON body.
    pub(super) fn takes<T: ToSchema>(mut self) -> Self {
        let content = ContentBuilder::new().schema(Some(self.reference::<T>())).build();
        let body = RequestBodyBuilder::new().content(JSON, content).required(Some(Required::True)).build();
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// A body of bytes.
    pub(super) fn takes_bytes(mut self) -> Self {
        let schema = super::scalar::Binary::schema();
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let body = RequestBodyBuilder::new().content("application/octet-stream", content);
        self.operation = self.operation.request_body(Some(body.required(Some(Required::True)).build()));
        self
    }

    /// 200 with JSON.
    pub(super) fn gives<T: ToSchema>(self) -> Self {
        self.answers::<T>("200", JSON, "Done.")
    }

    /// 200 with bytes or text of another type.
    pub(super) fn gives_file(mut self, content_type: &str) -> Self {
        let content = ContentBuilder::new().schema(Some(super::scalar::Binary::schema())).build();
        let response = ResponseBuilder::new().description("The file.").content(content_type, content).build();
        self.responses = self.responses.response("200", response);
        self
    }

    /// 204.
    pub(super) fn gives_nothing(mut self) -> Self {
        self.responses = self.responses.response("204", ResponseBuilder::new().description("Done.").build());
        self
    }

    /// 200 with server-sent events whose data is of that type.
    pub(super) fn streams<T: ToSchema>(self, description: &str) -> Self {
        self.answers::<T>("200", "text/event-stream", description)
    }

    /// Another answer of that status.
    pub(super) fn answers<T: ToSchema>(mut self, status: &str, content_type: &str, description: &str) -> Self {
        let content = ContentBuilder::new().schema(Some(self.reference::<T>())).build();
        let response = ResponseBuilder::new().description(description).content(content_type, content).build();
        self.responses = self.responses.response(status, response);
        self
    }

    /// JSON for one `accept`, events for another, under the same status.
    pub(super) fn gives_or_streams<T: ToSchema, E: ToSchema>(mut self, description: &str) -> Self {
        let whole = ContentBuilder::new().schema(Some(self.reference::<T>())).build();
        let pieces = ContentBuilder::new().schema(Some(self.reference::<E>())).build();
        let response = ResponseBuilder::new().description(description);
        let response = response.content(JSON, whole).content("text/event-stream", pieces).build();
        self.responses = self.responses.response("200", response);
        self
    }

    fn failure(self, status: &str, description: &str) -> Self {
        self.answers::<ErrorAnswer>(status, JSON, description)
    }

    fn reference<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let mut schemas = Vec::new();
        T::schemas(&mut schemas);
        self.schemas.extend(schemas);
        self.schemas.insert(T::name().into_owned(), T::schema());
        RefOr::Ref(Ref::from_schema_name(T::name()))
    }

    pub(super) fn finish(self) -> (HttpMethod, &'static str, OperationBuilder, Schemas) {
        (self.method, self.path, self.operation.responses(self.responses.build()), self.schemas)
    }
}

fn path_names(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter_map(|part| part.split_once('{')?.1.split_once('}').map(|(name, _)| name))
}

/// Numbers of Datanets and jobs are numbers; everything else in a path is text.
fn path_type(path: &str, name: &str) -> Type {
    let numbered = path.starts_with("/v1/datanets/") || path.starts_with("/v1/fine_tuning/jobs/");
    if numbered && name == "id" { Type::Integer } else { Type::String }
}

fn parameter(name: &str, place: ParameterIn, kind: Type, description: &str) -> ParameterBuilder {
    let required = if matches!(place, ParameterIn::Path) { Required::True } else { Required::False };
    let schema = ObjectBuilder::new().schema_type(SchemaType::Type(kind)).build();
    let builder = ParameterBuilder::new().name(name).parameter_in(place).required(required).schema(Some(schema));
    builder.description((!description.is_empty()).then_some(description))
}
