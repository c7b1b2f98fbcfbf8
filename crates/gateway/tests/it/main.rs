//! The gateway from outside.

mod openapi;
