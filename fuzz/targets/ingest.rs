//! An upload: the format in the first byte, a mapping in JSON, a zero byte, then the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_datanet::Format;
use openledger_fuzz::ingest;

fuzz_target!(|bytes: &[u8]| {
    const FORMATS: [Format; 4] = [Format::Jsonl, Format::Csv, Format::Text, Format::Markdown];
    let Some((format, rest)) = bytes.split_first() else { return };
    ingest(FORMATS[usize::from(*format) % FORMATS.len()], rest);
});
