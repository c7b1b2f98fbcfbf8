//! Writes the tiny model as a GGUF file, for trying a node or the demo by hand without the real model:
//! `cargo run -p openledger-testkit --example tiny_model -- tiny.gguf`.

use openledger_engine::format::DType;
use openledger_testkit::TinySpec;

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "tiny.gguf".to_owned());
    TinySpec::default().write_gguf(path.as_ref(), DType::F32)
}
