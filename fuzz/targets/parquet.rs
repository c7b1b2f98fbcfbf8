//! A Parquet upload: a mapping in JSON, a zero byte, then the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_datanet::Format;
use openledger_fuzz::{ingest, let_panics_be_caught};

fuzz_target!(|bytes: &[u8]| {
    let_panics_be_caught();
    ingest(Format::Parquet, bytes);
});
