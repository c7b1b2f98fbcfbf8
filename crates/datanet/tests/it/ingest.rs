use openledger_datanet::ingest::{Ingested, RejectCode, Rejection};
use openledger_datanet::limits::{FILE_BYTES_MAX, REJECTIONS_LISTED_MAX, ROW_BYTES_MAX, ROWS_MAX};
use openledger_datanet::{Format, IngestError, Mapping, Record, ingest_bytes, ingest_file};

use crate::{prompt, text};

fn procedures() -> Mapping {
    Mapping::Prompt { prompt: "procedure".to_owned(), response: "technique".to_owned() }
}

fn records(ingested: &Ingested) -> Vec<Record> {
    ingested.records.iter().map(|ingested| ingested.record.clone()).collect()
}

fn only_rejection(ingested: &Ingested) -> &Rejection {
    let [rejection] = ingested.report.rejections.as_slice() else { panic!("{:?}", ingested.report) };
    rejection
}

#[test]
fn jsonl_columns_are_mapped() {
    let file = br#"{"id":7,"procedure":"It logs keys.","technique":"Keylogging"}

{"technique":"Screen Capture","procedure":"It takes pictures."}
"#;
    let ingested = ingest_bytes(file, Format::Jsonl, Some(&procedures())).unwrap();
    let expected = [prompt("It logs keys.", "Keylogging"), prompt("It takes pictures.", "Screen Capture")];
    assert_eq!(records(&ingested), expected);
    assert_eq!(ingested.records[1].row, 3, "rows are lines");
    assert_eq!((ingested.report.rows, ingested.report.accepted, ingested.report.rejected), (2, 2, 0));
}

#[test]
fn customary_names_need_no_mapping() {
    let cases: [(&[u8], Record); 4] = [
        (br#"{"instruction":"a","output":"b"}"#, prompt("a", "b")),
        (br#"{"Text":"a","source":"x"}"#, text("a")),
        (br#"{"question":"a","answer":"b","text":"c"}"#, prompt("a", "b")),
        (br#"{"content":"a"}"#, text("a")),
    ];
    for (file, record) in cases {
        assert_eq!(records(&ingest_bytes(file, Format::Jsonl, None).unwrap()), [record]);
    }
    let conversation = br#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}"#;
    let ingested = ingest_bytes(conversation, Format::Jsonl, None).unwrap();
    assert_eq!(ingested.records[0].record.label(), Some("a"));
}

#[test]
fn mapping_faults_name_the_columns() {
    let missing = ingest_bytes(br#"{"a":"1","b":"2"}"#, Format::Jsonl, Some(&procedures())).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "the mapping's prompt column \"procedure\" is not in the file; its columns are a, b"
    );
    let unknown = ingest_bytes(b"a,b\n1,2\n", Format::Csv, None).unwrap_err();
    assert!(unknown.to_string().contains("columns are a, b"), "{unknown}");
    let ambiguous = ingest_bytes(br#"{"instruction":"a","input":"b","output":"c"}"#, Format::Jsonl, None).unwrap_err();
    assert!(
        matches!(&ambiguous, IngestError::AmbiguousMapping { role: "prompt", candidates } if candidates == &["instruction", "input"])
    );
    let twice = ingest_bytes(b"text,text\n1,2\n", Format::Csv, None).unwrap_err();
    assert!(matches!(twice, IngestError::Columns { .. }), "{twice}");
}

#[test]
fn each_bad_row_is_rejected_with_row_column_and_code() {
    let rows: [(&[u8], RejectCode, Option<&str>); 10] = [
        (br#"{"prompt":"a"}"#, RejectCode::MissingColumn, Some("response")),
        (br#"{"prompt":"a","response":null}"#, RejectCode::MissingColumn, Some("response")),
        (br#"{"prompt":7,"response":"b"}"#, RejectCode::WrongType, Some("prompt")),
        (br#"{"prompt":"a","response":"  "}"#, RejectCode::Empty, Some("response")),
        (br#"{"prompt":"a\u0007","response":"b"}"#, RejectCode::ControlCharacter, Some("prompt")),
        (br#"{"prompt":"a","prompt":"z","response":"b"}"#, RejectCode::RepeatedKey, Some("prompt")),
        (br#"{"prompt":"a","\u0070rompt":"z","response":"b"}"#, RejectCode::RepeatedKey, Some("prompt")),
        (br#"{"prompt":"a","#, RejectCode::InvalidJson, None),
        (br#"["prompt"]"#, RejectCode::NotAnObject, None),
        (b"{\"prompt\":\"\xff\",\"response\":\"b\"}", RejectCode::InvalidUtf8, None),
    ];
    for (row, code, column) in rows {
        let file = [br#"{"prompt":"good","response":"b"}"#, &b"\n"[..], row, b"\n"].concat();
        let ingested = ingest_bytes(&file, Format::Jsonl, None).unwrap();
        let rejection = only_rejection(&ingested);
        assert_eq!((rejection.row, rejection.code, rejection.column.as_deref()), (2, code, column), "{rejection}");
        assert_eq!(ingested.records.len(), 1);
    }
}

#[test]
fn invalid_utf8_names_row_and_byte() {
    let jsonl = ingest_bytes(b"{\"text\":\"ok\"}\n{\"text\":\"\xff\"}", Format::Jsonl, None).unwrap();
    assert_eq!(only_rejection(&jsonl).to_string(), "row 2: not UTF-8 at byte 10 of the row (invalid_utf8)");
    let csv = ingest_bytes(b"text\nok\nab\xff\n", Format::Csv, None).unwrap();
    assert_eq!(
        only_rejection(&csv).to_string(),
        "row 2, column \"text\": not UTF-8 at byte 3 of the field (invalid_utf8)"
    );
}

#[test]
fn byte_order_marks_and_utf16_are_read() {
    let source = "text\ncaf\u{e9} \u{1f600}\n";
    let expected = [text("caf\u{e9} \u{1f600}")];
    let marked = format!("\u{feff}{source}").into_bytes();
    let little: Vec<u8> = format!("\u{feff}{source}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = format!("\u{feff}{source}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    for file in [source.as_bytes(), &marked, &little, &big] {
        assert_eq!(records(&ingest_bytes(file, Format::Csv, None).unwrap()), expected);
    }
    let cut = ingest_bytes(&little[..little.len() - 1], Format::Csv, None).unwrap_err();
    assert!(matches!(cut, IngestError::Encoding { .. }), "{cut}");
    let lone = [&[0xFF, 0xFE][..], &0xD800u16.to_le_bytes(), &b"a\0"[..]].concat();
    let lone = ingest_bytes(&lone, Format::Text, None).unwrap_err();
    assert!(lone.to_string().contains("unpaired UTF-16 surrogate 0xd800 at character 1"), "{lone}");
    let unmarked: Vec<u8> = source.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(ingest_bytes(&unmarked, Format::Csv, None).unwrap_err().to_string().contains("without a byte-order mark"));
}

#[test]
fn csv_follows_its_quoting_rules() {
    let file = b"procedure,technique\r\n\"one, \"\"two\"\"\nthree\",X\r\nshort\r\n a , Y \r\n";
    let ingested = ingest_bytes(file, Format::Csv, Some(&procedures())).unwrap();
    assert_eq!(records(&ingested), [prompt("one, \"two\"\nthree", "X"), prompt("a", "Y")]);
    let rejection = only_rejection(&ingested);
    assert_eq!((rejection.row, rejection.code), (2, RejectCode::FieldCount));
}

#[test]
fn csv_conversations_are_json_in_a_column() {
    let good = r#"[{""role"":""user"",""content"":""q""},{""role"":""assistant"",""content"":""a""}]"#;
    let bad = r#"[{""role"":""robot"",""content"":""q""}]"#;
    let file = format!("messages\n\"{good}\"\n\"{bad}\"\n");
    let ingested = ingest_bytes(file.as_bytes(), Format::Csv, None).unwrap();
    assert_eq!(ingested.records[0].record.label(), Some("a"));
    let rejection = only_rejection(&ingested);
    assert_eq!((rejection.code, rejection.column.as_deref()), (RejectCode::BadMessages, Some("messages")));
    assert!(rejection.reason.contains("\"robot\""), "{rejection}");
}

#[test]
fn a_quotation_mark_that_never_closes_is_found_early() {
    let file = [b"text\n\"".to_vec(), vec![b'x'; 8 << 20]].concat();
    let error = ingest_bytes(&file, Format::Csv, None).unwrap_err();
    assert!(error.to_string().contains("is a quotation mark not closed?"), "{error}");
}

#[test]
fn paragraphs_and_markdown_sections_are_records() {
    let plain = ingest_bytes(b"one\ntwo\n\n \n\nthree", Format::Text, None).unwrap();
    assert_eq!(records(&plain), [text("one\ntwo"), text("three")]);
    let markdown = b"intro\n\n# One\n\n## Inner\nbody\n```\n# no heading\n```\n### Next\nmore\n#also body\n";
    let sections = ingest_bytes(markdown, Format::Markdown, None).unwrap();
    let expected =
        [text("intro"), text("# One\n\n## Inner\nbody\n```\n# no heading\n```"), text("### Next\nmore\n#also body")];
    assert_eq!(records(&sections), expected);
}

#[test]
fn limits_hold_and_are_named() {
    assert!(matches!(ingest_bytes(b"", Format::Text, None), Err(IngestError::Empty)));
    assert!(matches!(ingest_bytes(b"\n\n", Format::Jsonl, None), Err(IngestError::Empty)));
    let dir = tempfile::tempdir().unwrap();
    let large = dir.path().join("large.jsonl");
    std::fs::File::create(&large).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    assert!(matches!(ingest_file(&large, Format::Jsonl, None), Err(IngestError::TooLarge { .. })));
    let many = "{\"text\":\"a\"}\n".repeat(ROWS_MAX as usize + 1);
    assert!(matches!(ingest_bytes(many.as_bytes(), Format::Jsonl, None), Err(IngestError::TooManyRows)));
    let wide: Vec<String> = (0..300).map(|n| format!("c{n}")).collect();
    assert!(matches!(ingest_bytes(wide.join(",").as_bytes(), Format::Csv, None), Err(IngestError::Columns { .. })));
    let deep = format!("{{\"text\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let ingested = ingest_bytes(deep.as_bytes(), Format::Jsonl, None).unwrap();
    assert_eq!(only_rejection(&ingested).code, RejectCode::TooDeep);
    let long = format!("{{\"text\":\"{}\"}}\n{{\"text\":\"ok\"}}", "x".repeat(ROW_BYTES_MAX));
    let ingested = ingest_bytes(long.as_bytes(), Format::Jsonl, None).unwrap();
    assert_eq!((only_rejection(&ingested).code, ingested.records.len()), (RejectCode::TooLong, 1));
}

#[test]
fn a_report_counts_what_it_does_not_list() {
    let file = "not json\n".repeat(REJECTIONS_LISTED_MAX + 5);
    let report = ingest_bytes(file.as_bytes(), Format::Jsonl, None).unwrap().report;
    assert_eq!(report.rejections.len(), REJECTIONS_LISTED_MAX);
    assert_eq!((report.rejected, report.accepted), (REJECTIONS_LISTED_MAX as u64 + 5, 0));
}

#[test]
fn names_tell_formats() {
    assert_eq!(Format::from_name("a.b.JSONL"), Some(Format::Jsonl));
    assert_eq!(Format::from_name("README.md"), Some(Format::Markdown));
    assert_eq!(Format::from_name("archive.zip"), None);
    assert_eq!(Format::from_name("noending"), None);
}
