//! The published data of an epoch.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_settlement::epoch::{epoch_data, read_epoch_data};

fuzz_target!(|bytes: &[u8]| {
    if let Ok((epoch, receipts)) = read_epoch_data(bytes) {
        assert_eq!(epoch_data(epoch, &receipts), bytes);
    }
});
