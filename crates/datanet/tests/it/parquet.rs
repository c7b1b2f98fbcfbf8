use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use openledger_datanet::limits::PARQUET_ROW_VALUES_MAX;
use openledger_datanet::{Format, IngestError, Mapping, ingest_bytes, ingest_file};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::{prompt, text};

const SCHEMA: &str =
    "message rows { required int64 id; required binary description (UTF8); optional binary technique (UTF8); }";

/// A file of rows `id, description, technique`; an empty technique is null.
pub(crate) fn file(rows: &[(&str, &str)], codec: Compression) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let mut out = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut out, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut ids = group.next_column().unwrap().unwrap();
    let numbers: Vec<i64> = (0..).take(rows.len()).collect();
    ids.typed::<Int64Type>().write_batch(&numbers, None, None).unwrap();
    ids.close().unwrap();
    let mut descriptions = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = rows.iter().map(|(text, _)| (*text).into()).collect();
    descriptions.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
    descriptions.close().unwrap();
    let mut techniques = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = rows.iter().filter(|row| !row.1.is_empty()).map(|(_, text)| (*text).into()).collect();
    let levels: Vec<i16> = rows.iter().map(|row| i16::from(!row.1.is_empty())).collect();
    techniques.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
    techniques.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    out
}

fn mapping() -> Mapping {
    Mapping::Prompt { prompt: "description".to_owned(), response: "technique".to_owned() }
}

#[test]
fn columns_are_read_with_each_codec() {
    for codec in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())] {
        let file = file(&[("It logs keys.", "Keylogging"), ("Nothing known.", ""), ("caf\u{e9}", "X")], codec);
        let ingested = ingest_bytes(&file, Format::Parquet, Some(&mapping())).unwrap();
        let records: Vec<_> = ingested.records.iter().map(|ingested| ingested.record.clone()).collect();
        assert_eq!(records, [prompt("It logs keys.", "Keylogging"), prompt("caf\u{e9}", "X")]);
        let rejections: Vec<_> = ingested.report.rejections.iter().map(ToString::to_string).collect();
        assert_eq!(rejections, ["row 2, column \"technique\": the value is null (missing_column)"]);
    }
}

/// The file that the web app's tests drop onto the page.
#[test]
fn the_committed_file_becomes_its_records() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/owls.parquet");
    let rows = [
        ("Which owl hovers over grassland?", "The short-eared owl, before it drops onto a vole."),
        ("Which owl breeds in holes of old trees?", "The tawny owl, from late winter on."),
        ("Which owl calls from the barn?", ""),
    ];
    if std::env::var_os("OPENLEDGER_WRITE_GOLDEN").is_some() {
        std::fs::write(path, file(&rows, Compression::ZSTD(ZstdLevel::default()))).unwrap();
    }
    let ingested = ingest_file(path.as_ref(), Format::Parquet, Some(&mapping())).unwrap();
    let records: Vec<_> = ingested.records.iter().map(|ingested| ingested.record.clone()).collect();
    assert_eq!(records, [prompt(rows[0].0, rows[0].1), prompt(rows[1].0, rows[1].1)]);
    assert_eq!(ingested.report.rejections.len(), 1);
}

#[test]
fn a_column_that_is_no_text_is_named() {
    let file = file(&[("a", "b")], Compression::SNAPPY);
    let number = Mapping::Text { text: "id".to_owned() };
    let error = ingest_bytes(&file, Format::Parquet, Some(&number)).unwrap_err();
    assert_eq!(error.to_string(), "column \"id\" has type INT64; the text must be text");
    let missing = Mapping::Text { text: "body".to_owned() };
    let error = ingest_bytes(&file, Format::Parquet, Some(&missing)).unwrap_err();
    assert!(error.to_string().contains("its columns are id, description, technique"), "{error}");
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let whole = file(&[("some text here", "label"), ("other text", "label")], Compression::SNAPPY);
    for length in 1..whole.len() {
        assert!(ingest_bytes(&whole[..length], Format::Parquet, Some(&mapping())).is_err(), "{length} bytes");
    }
}

/// Set in the child process whose memory is measured.
const CHILD: &str = "OPENLEDGER_DATANET_TEST_BOMB";
/// Files, records and a decoder's buffers fit in this (research: 256 MiB).
const PEAK_KIB_MAX: u64 = 256 << 10;

/// Many rows of one long value compress to almost nothing: a file of some kilobytes that would fill memory.
/// The same test runs as parent and, alone in a process, as child, so that other tests' memory does not count.
#[test]
fn bombs_are_refused_within_bounded_memory() {
    if std::env::var_os(CHILD).is_some() {
        return explode();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "parquet::bombs_are_refused_within_bounded_memory"]).env(CHILD, "1");
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn explode() {
    let long = "x".repeat(60 << 10);
    let rows = vec![(long.as_str(), "y"); 1_200];
    for codec in [Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())] {
        let bomb = file(&rows, codec);
        assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
        let error = ingest_bytes(&bomb, Format::Parquet, Some(&mapping())).unwrap_err();
        assert!(matches!(error, IngestError::TooMuchContent | IngestError::Parquet { .. }), "{error}");
    }
    for (turns, content_bytes) in [(2_000, 100 << 10), (20_000, 40 << 10)] {
        let bomb = conversation(&["x".repeat(content_bytes)], turns, WriterProperties::new());
        assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
        let error = ingest_bytes(&bomb, Format::Parquet, None).unwrap_err();
        assert!(matches!(error, IngestError::TooMuchContent | IngestError::Parquet { .. }), "{error}");
    }
    #[cfg(target_os = "linux")]
    assert!(peak_memory_kib() < PEAK_KIB_MAX, "peak {} KiB", peak_memory_kib());
}

#[cfg(target_os = "linux")]
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A page header may claim any size; the decoder would reserve it.
#[test]
fn a_page_that_claims_gigabytes_is_refused() {
    let good = file(&[("some text here", "label")], Compression::SNAPPY);
    let mut refused = 0;
    for at in 4..good.len() / 2 {
        // Thrift's field 2 (after field 1) of type i32, then its varint: overwrite it with 2^31 - 1.
        if good[at] == 0x15 && good[at + 1] < 0x80 {
            let mut bomb = good[..=at].to_vec();
            bomb.extend_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0x0f]);
            bomb.extend_from_slice(&good[at + 2..]);
            refused += u32::from(ingest_bytes(&bomb, Format::Parquet, Some(&mapping())).is_err());
        }
    }
    assert!(refused > 4, "{refused}");
}

/// Rows that are all rejected, each with a text that a dictionary holds once.
#[test]
fn rejected_rows_count_as_content() {
    let long = "x".repeat(100 << 10);
    let error =
        ingest_bytes(&file(&vec![(long.as_str(), "y"); 1_000], Compression::SNAPPY), Format::Parquet, Some(&mapping()));
    assert!(matches!(error, Err(IngestError::TooMuchContent)), "{error:?}");
}

#[test]
fn a_row_of_too_many_values_is_refused() {
    let turns = PARQUET_ROW_VALUES_MAX + 1;
    let error =
        ingest_bytes(&conversation(&["short".to_owned()], turns, WriterProperties::new()), Format::Parquet, None);
    let expected = "not a usable Parquet file: a row with 4097 values in one column; the limit is 4096";
    assert_eq!(error.unwrap_err().to_string(), expected);
}

#[test]
fn values_written_as_prefixes_are_refused() {
    let properties = WriterProperties::builder().set_dictionary_enabled(false).set_encoding(Encoding::DELTA_BYTE_ARRAY);
    let error = ingest_bytes(&conversation(&["What?".to_owned()], 2, properties.build()), Format::Parquet, None);
    assert!(error.unwrap_err().to_string().contains("DELTA_BYTE_ARRAY is not supported"));
}

/// A file of one conversation whose turns say `contents` over and over.
fn conversation(contents: &[String], turns: usize, properties: WriterProperties) -> Vec<u8> {
    let schema = "message rows { optional group messages (LIST) { repeated group list { optional group element {
        optional binary role (UTF8); optional binary content (UTF8); } } } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut out = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut out, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let repetition: Vec<i16> = (0..turns).map(|turn| i16::from(turn > 0)).collect();
    for said in [&["user".to_owned()], contents] {
        let mut column = group.next_column().unwrap().unwrap();
        let said: Vec<ByteArray> = said.iter().map(|text| text.as_str().into()).collect();
        let values: Vec<ByteArray> = said.iter().cycle().take(turns).cloned().collect();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&vec![4; turns]), Some(&repetition)).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    out
}

#[test]
fn conversations_are_lists_of_groups() {
    let schema = "message rows { optional group messages (LIST) { repeated group list { optional group element {
        optional binary role (UTF8); optional binary content (UTF8); } } } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut out = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut out, schema, Arc::new(WriterProperties::new())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for values in [["user", "assistant"], ["What?", "That."]] {
        let mut column = group.next_column().unwrap().unwrap();
        let values: Vec<ByteArray> = values.into_iter().map(Into::into).collect();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&[4, 4]), Some(&[0, 1])).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let ingested = ingest_bytes(&Bytes::from(out), Format::Parquet, None).unwrap();
    assert_eq!(ingested.records[0].record.full_text(), text("What?\nThat.").full_text());
    assert_eq!(ingested.records[0].record.label(), Some("That."));
}
