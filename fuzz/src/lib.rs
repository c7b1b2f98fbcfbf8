//! What fuzz targets share: a place for decoders that read files, and what is done with what they read.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{LazyLock, Once, OnceLock};

use alloy_primitives::B256;
use openledger_chain::{Chain, ChainConfig};
use openledger_datanet::{Format, Mapping, Record, ingest_bytes};
use openledger_engine::format::{RawModel, RawTensor};
use openledger_engine::{ChatMessage, ModelConfig, Tokenizer};
use openledger_settlement::verify::{Disclosure, ReceiptBundle};
use openledger_settlement::x402::{PaymentPayload, PaymentRequired, SettleResponse, from_header, to_header};
use openledger_testkit::TinySpec;
use serde::Deserialize;
use tempfile::TempDir;

/// Largest tensor that is turned into floats, in elements; what a header may claim is bounded by the file.
const ELEMENTS_MAX: usize = 1 << 20;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// Runs `work` with an empty-or-reused folder of this process.
pub fn with_folder(work: impl FnOnce(&Path)) {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().expect("a temporary folder can be made"));
        work(folder.path());
    });
}

/// Runs `work` with a file of these bytes.
pub fn with_file(name: &str, bytes: &[u8], work: impl FnOnce(&Path)) {
    with_folder(|folder| {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("the temporary folder takes a file");
        work(&path);
    });
}

/// Runs `work` with the folder of the tiny model.
pub fn with_model_folder(work: impl FnOnce(&Path)) {
    with_folder(|folder| {
        if !folder.join("model.safetensors").exists() {
            tiny().write_folder(folder).expect("the tiny model can be written");
        }
        work(folder);
    });
}

/// The smallest tiny model.
#[must_use]
pub fn tiny() -> TinySpec {
    TinySpec { layers: 1, ..TinySpec::default() }
}

/// Its sizes.
pub fn tiny_config() -> &'static ModelConfig {
    static CONFIG: LazyLock<ModelConfig> = LazyLock::new(|| tiny().config());
    &CONFIG
}

/// Uses everything that a model file holds.
pub fn exercise(raw: &RawModel) {
    read_tensors(&raw.tensors);
    exercise_tokenizer(&raw.tokenizer);
    if let Some(template) = &raw.chat_template {
        let _rendered_or_refused = template.render(&[ChatMessage::new("user", "hello")], true);
    }
}

/// Reads tensors of a reasonable size.
pub fn read_tensors(tensors: &BTreeMap<String, RawTensor>) {
    for tensor in tensors.values() {
        if tensor
            .shape
            .iter()
            .try_fold(1_usize, |all, one| all.checked_mul(*one))
            .is_some_and(|all| all <= ELEMENTS_MAX)
        {
            let _read_or_refused = tensor.to_f32();
        }
    }
}

/// Encodes and decodes.
pub fn exercise_tokenizer(tokenizer: &Tokenizer) {
    if let Ok(ids) = tokenizer.encode("the 12 <|im_end|> \u{e9}\u{1f389}") {
        tokenizer.decode(&ids);
    }
    tokenizer.decode(&[0, 1, 5, 300, u32::MAX]);
}

/// Lets a panic be caught by who expects it: by itself, the fuzzer ends at every panic, caught or not. One that nobody
/// catches still ends it. The Parquet decoder panics on damaged files, and the reader of uploads answers for that.
pub fn let_panics_be_caught() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
}

/// Reads an upload: a mapping in JSON, a zero byte, the file. Every row is accounted for, every record canonical.
pub fn ingest(format: Format, bytes: &[u8]) {
    let cut = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
    let mapping = serde_json::from_slice::<Mapping>(&bytes[..cut]).ok();
    let file = if bytes.get(cut) == Some(&0) { &bytes[cut + 1..] } else { bytes };
    let Ok(ingested) = ingest_bytes(file, format, mapping.as_ref()) else { return };
    let report = &ingested.report;
    assert_eq!(report.rows, report.accepted + report.rejected);
    assert_eq!(ingested.records.len() as u64, report.accepted);
    for ingested in &ingested.records {
        assert_eq!(Record::from_canonical(&ingested.record.canonical_bytes()).as_ref(), Ok(&ingested.record));
    }
}

/// Reads a header as each x402 message; what is read survives being written.
pub fn payment_messages(header: &[u8]) {
    if let Ok(payment) = from_header::<PaymentPayload>(header) {
        let _given_or_refused = payment.identifier();
        let _hash = payment.accepted.offer_hash();
        assert_eq!(from_header::<PaymentPayload>(to_header(&payment).as_bytes()).ok(), Some(payment));
    }
    if let Ok(required) = from_header::<PaymentRequired>(header) {
        let _offer = required.batch_settlement();
    }
    let _read_or_refused = from_header::<SettleResponse>(header);
}

/// The file of `chat --save`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Version of the file.
    pub version: u32,
    /// Receipt and proofs.
    pub bundle: ReceiptBundle,
    /// Request and answer.
    pub disclosure: Disclosure,
}

/// A chain whose pool takes transactions; one a process.
pub fn chain() -> &'static Chain {
    static CHAIN: OnceLock<(Chain, TempDir)> = OnceLock::new();
    let (chain, _folder) = CHAIN.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let genesis = serde_json::from_value(serde_json::json!({
            "config": {"chainId": 161_201}, "difficulty": "0x0", "gasLimit": "0x3938700", "timestamp": "0x6553f100",
            "nonce": "0x0", "extraData": "0x", "mixHash": B256::ZERO, "coinbase": "0x0000000000000000000000000000000000000000",
            // Account 0 of the development mnemonic, so that transactions of the golden files are paid for.
            "alloc": {"0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266": {"balance": "0xd3c21bcecceda1000000"}},
        }));
        let config = ChainConfig::new(folder.path(), genesis.expect("a well-formed genesis")).instant();
        (Chain::open(config).expect("a fresh chain opens"), folder)
    });
    chain
}
