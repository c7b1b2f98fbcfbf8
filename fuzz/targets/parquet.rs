//! A Parquet upload: a mapping in JSON, a zero byte, then the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_datanet::Format;
use openledger_fuzz::ingest;

fuzz_target!(|bytes: &[u8]| {
    ingest(Format::Parquet, bytes);
});
