//! HTTP: the OpenAI-compatible API, payment, the app API.
