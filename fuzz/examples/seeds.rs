//! Writes the corpus to start from: the golden files of the crates, and small models and uploads made here.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openledger_engine::format::{DType, gguf_lora, peft};
use openledger_engine::{LoraAdapter, LoraConfig};
use openledger_fuzz::{tiny, tiny_config};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

const MAPPING: &str = r#"{"prompt":"a","response":"b"}"#;
/// Golden files: target, crate, file.
const GOLDEN: [(&str, &str, &str); 19] = [
    ("batch", "datanet", "batch_v1.bin"),
    ("snapshot", "datanet", "snapshot_v1.bin"),
    ("checkpoint", "train", "checkpoint-v2.bin"),
    ("manifest", "train", "manifest-v1.json"),
    ("influence_index", "attribution", "influence-v1.bin"),
    ("influence_index", "attribution", "sketch-v1.bin"),
    ("suffix_index", "attribution", "suffix-v1.bin"),
    ("attribution", "attribution", "attribution-v1.bin"),
    ("receipt", "settlement", "receipt.hex"),
    ("epoch_data", "settlement", "epoch_data.hex"),
    ("chain_rows", "chain", "body.hex"),
    ("chain_rows", "chain", "receipts.hex"),
    ("raw_transaction", "chain", "journal.hex"),
    ("evidence", "cli", "evidence-v1.json"),
    ("tokenizer", "engine", "llama/tokenizer.json"),
    ("tokenizer", "engine", "gemma/tokenizer.json"),
    ("tokenizer", "engine", "qwen2/tokenizer.json"),
    ("model_config", "engine", "gemma2/config.json"),
    ("model_config", "engine", "qwen3/config.json"),
];

fn main() {
    for (target, owner, file) in GOLDEN {
        let path = root().join("../crates").join(owner).join("tests/golden").join(file);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        put(target, &file.replace('/', "-"), &if file.ends_with(".hex") { unhex(&bytes) } else { bytes });
    }
    recipe();
    sketches();
    models();
    uploads();
    texts();
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn put(target: &str, name: &str, bytes: &[u8]) {
    let folder = root().join("corpus").join(target);
    fs::create_dir_all(&folder).expect("the corpus folder can be made");
    fs::write(folder.join(name), bytes).expect("the corpus takes a file");
}

fn unhex(text: &[u8]) -> Vec<u8> {
    let bytes = hex::decode(text.trim_ascii().strip_prefix(b"0x").unwrap_or(text.trim_ascii())).expect("hexadecimal");
    // The pool's journal is a header of five bytes, then a length and a check of four bytes each.
    if bytes.starts_with(b"OLPJ") { bytes[13..].to_vec() } else { bytes }
}

fn recipe() {
    let manifest = fs::read(root().join("../crates/train/tests/golden/manifest-v1.json")).expect("a golden file");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    put("recipe", "manifest", manifest["recipe"].to_string().as_bytes());
}

/// The golden file behind the choice to read a file, and its rows behind the choice to write some.
fn sketches() {
    let golden = fs::read(root().join("../crates/train/tests/golden/sketches-v1.bin")).expect("a golden file");
    put("sketches", "file", &[&[0], &golden[..]].concat());
    put("sketches", "rows", &[&[1, 60, 1], &golden[48..64], &golden[96..112]].concat());
}

fn models() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let read = |name: &str| fs::read(path(name)).expect("it was written");
    tiny().write_gguf(&path("tiny.gguf"), DType::Q8_0).expect("written");
    put("gguf_model", "tiny", &read("tiny.gguf"));
    tiny().write_folder(&path("tiny")).expect("written");
    put("model_config", "tiny", &read("tiny/config.json"));
    put("tokenizer", "tiny", &read("tiny/tokenizer.json"));
    let adapter = LoraAdapter::new(tiny_config(), &LoraConfig::all_linear(1), 1).expect("a small adapter");
    gguf_lora::write(&path("lora.gguf"), &adapter, tiny_config()).expect("written");
    put("gguf_adapter", "tiny", &read("lora.gguf"));
    peft::write(&path("peft"), &adapter, "tiny").expect("written");
    let weights = read("peft/adapter_model.safetensors");
    put("safetensors", "peft", &weights);
    put("peft_adapter", "tiny", &[read("peft/adapter_config.json"), weights].join(&0));
}

fn uploads() {
    let files: [(u8, &str, &[u8]); 5] = [
        (0, "jsonl", b"{\"a\":\"x\",\"b\":\"y\\u00e9\"}\n{\"a\":\"c\"}\n"),
        (0, "conversation", br#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}"#),
        (1, "csv", b"a,b\n\"x\",y\nc,\"d\"\"e\"\n"),
        (2, "text", b"one\n\ntwo\n"),
        (3, "markdown", b"# One\ntext\n```\ncode\n```\n\n## Two\n"),
    ];
    for (format, name, file) in files {
        let mapping = if name == "conversation" { "" } else { MAPPING };
        put("ingest", name, &[&[format], mapping.as_bytes(), &[0], file].concat());
    }
    let utf16: Vec<u8> = "\u{feff}a,b\nx,y\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    put("ingest", "utf16", &[&[1], MAPPING.as_bytes(), &[0], &utf16].concat());
    for codec in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())] {
        put("parquet", &codec.to_string(), &[MAPPING.as_bytes(), &[0], &parquet(codec)].concat());
    }
}

fn parquet(codec: Compression) -> Vec<u8> {
    let schema = parse_message_type("message rows { required binary a (UTF8); required binary b (UTF8); }");
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let mut out = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut out, Arc::new(schema.expect("a schema")), properties).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    while let Some(mut column) = group.next_column().expect("a column") {
        let values: Vec<ByteArray> = ["some text", "label", "third"].map(ByteArray::from).to_vec();
        column.typed::<ByteArrayType>().write_batch(&values, None, None).expect("written");
        column.close().expect("closed");
    }
    group.close().expect("closed");
    writer.close().expect("closed");
    out
}

fn texts() {
    put("record", "prompt", br#"{"prompt":"a","response":"b"}"#);
    put("record", "text", br#"{"text":"a"}"#);
    put("record", "messages", br#"{"messages":[{"content":"q","role":"user"},{"content":"a","role":"assistant"}]}"#);
    let media = format!(r#"{{"media":"0x{}","text":"a"}}"#, "ab".repeat(32));
    put("record", "media", media.as_bytes());
    put("chat_template", "chatml", openledger_testkit::tiny::CHATML.as_bytes());
    put(
        "chat_template",
        "loop",
        b"{% set n = namespace(x=0) %}{% for m in messages[1:] %}{{ m.content|trim }}{% endfor %}",
    );
    let payment = serde_json::json!({
        "x402Version": 2,
        "accepted": {
            "scheme": "batch-settlement", "network": "eip155:161201", "amount": "100000", "maxTimeoutSeconds": 60,
            "asset": "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913", "payTo": "0x209693bc6afc0c5328ba36faf03c514ef312287c",
            "extra": {
                "receiverAuthorizer": "0x857b06519e91e3a54538791bdbb0e22373e36b66", "withdrawDelay": 900,
                "name": "Wrapped OPEN", "version": "1",
            },
        },
        "payload": {
            "type": "voucher",
            "channelConfig": {
                "payer": "0x857b06519e91e3a54538791bdbb0e22373e36b66",
                "payerAuthorizer": "0x0000000000000000000000000000000000000000",
                "receiver": "0x209693bc6afc0c5328ba36faf03c514ef312287c",
                "receiverAuthorizer": "0x857b06519e91e3a54538791bdbb0e22373e36b66",
                "token": "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913", "withdrawDelay": 900,
                "salt": format!("0x{}", "01".repeat(32)),
            },
            "voucher": {
                "channelId": format!("0x{}", "02".repeat(32)), "maxClaimableAmount": "100000",
                "signature": format!("0x{}", "03".repeat(65)),
            },
        },
        "extensions": {"payment-identifier": {"info": {"id": "pay_0123456789abcdef"}}},
    });
    put("payment_header", "voucher", payment.to_string().as_bytes());
    let mut deposit = payment.clone();
    deposit["payload"]["type"] = "deposit".into();
    deposit["payload"]["deposit"] = serde_json::json!({
        "amount": "20000000000000000",
        "authorization": {"erc3009Authorization": {
            "validAfter": "0", "validBefore": "1770000000", "salt": format!("0x{}", "04".repeat(32)),
            "signature": format!("0x{}", "05".repeat(65)),
        }},
    });
    put("payment_header", "deposit", deposit.to_string().as_bytes());
    let mut refund = payment;
    refund["payload"]["type"] = "refund".into();
    refund["payload"]["amount"] = "1500".into();
    put("payment_header", "refund", refund.to_string().as_bytes());
}
