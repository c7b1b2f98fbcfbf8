//! `eth_sendRawTransaction`: what the pool takes or refuses.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_fuzz::chain;

fuzz_target!(|bytes: &[u8]| {
    let _taken_or_refused = chain().submit_blocking(bytes.to_vec().into());
});
