//! Comparison with the committed bytes of each format.

use std::path::Path;

/// Compares with `tests/golden/<name>`. With OPENLEDGER_BLESS set, writes the file first: for a deliberate change
/// of format, together with its version byte.
pub(crate) fn check_golden(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("OPENLEDGER_BLESS").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == bytes, "{name} differs from what is written today");
}
