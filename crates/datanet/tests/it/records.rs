use openledger_datanet::limits::RECORD_BYTES_MAX;
use openledger_datanet::{Message, Record, RecordError, RecordKind, record_hash};
use openledger_primitives::{B256, keccak256};

use crate::{prompt, text};

#[test]
fn each_kind_has_its_canonical_form() {
    let media = format!("0x{}", "ab".repeat(32));
    let turn = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    let cases = [
        (text("a\"b"), RecordKind::Text, r#"{"text":"a\"b"}"#.to_owned()),
        (prompt("p", "r"), RecordKind::Prompt, r#"{"prompt":"p","response":"r"}"#.to_owned()),
        (
            Record::Messages { messages: vec![turn("user", "q"), turn("assistant", "a")] },
            RecordKind::Messages,
            r#"{"messages":[{"content":"q","role":"user"},{"content":"a","role":"assistant"}]}"#.to_owned(),
        ),
        (
            Record::Media { media: media.to_uppercase().replace("0X", "0x"), text: "t".to_owned() },
            RecordKind::Media,
            format!(r#"{{"media":"{media}","text":"t"}}"#),
        ),
    ];
    for (record, kind, canonical) in cases {
        let record = record.normalised().unwrap();
        assert_eq!(record.kind(), kind);
        assert_eq!(String::from_utf8(record.canonical_bytes()).unwrap(), canonical);
        assert_eq!(Record::from_canonical(canonical.as_bytes()).unwrap(), record);
    }
}

#[test]
fn a_normal_text_stays_as_it_is_whatever_stood_before_it() {
    for start in ["\u{feff}\n", "\n\u{feff}", " \u{feff}\u{feff}\r\u{feff}"] {
        let normal = text(&format!("{start}a\u{feff}b \n")).normalised().unwrap();
        assert_eq!(normal, text("a\u{feff}b"), "{start:?}");
        assert_eq!(Record::from_canonical(&normal.canonical_bytes()).unwrap(), normal);
    }
    assert!(matches!(text("\u{feff} \u{feff}").normalised(), Err(RecordError::Empty { field: "text" })));
}

#[test]
fn one_text_in_two_unicode_forms_is_one_record() {
    let composed = text("caf\u{e9}\r\nbar ").normalised().unwrap();
    let decomposed = text("\u{feff}cafe\u{301}\nbar").normalised().unwrap();
    assert_eq!(composed, decomposed);
}

#[test]
fn bytes_that_are_not_canonical_are_refused() {
    for other in [
        r#"{ "text":"a"}"#,
        r#"{"text":"a "}"#,
        r#"{"response":"r","prompt":"p"}"#,
        r#"{"text":"cafe\u0301"}"#,
        "[]",
        "",
    ] {
        assert_eq!(Record::from_canonical(other.as_bytes()), Err(RecordError::NotCanonical), "{other}");
    }
}

#[test]
fn faults_name_the_field() {
    assert_eq!(prompt("p", " \n").normalised(), Err(RecordError::Empty { field: "response" }));
    let control = text("ab\u{0}c").normalised().unwrap_err();
    assert_eq!(control.to_string(), "text has the control character U+0000 at character 3");
    let long = text(&"x".repeat(RECORD_BYTES_MAX)).normalised().unwrap_err();
    assert_eq!(long, RecordError::TooLong { bytes: RECORD_BYTES_MAX + 11 });
    let silent = Record::Messages { messages: vec![Message { role: "user".into(), content: "hi".into() }] };
    assert_eq!(silent.normalised().unwrap_err().to_string(), "messages: no assistant turn");
}

#[test]
fn a_record_hash_binds_salt_and_bytes() {
    let (salt, bytes) = (B256::repeat_byte(1), b"{\"text\":\"a\"}");
    let hash = record_hash(salt, bytes);
    assert_eq!(hash.0, keccak256([&[1u8; 32][..], bytes].concat()));
    assert_ne!(hash, record_hash(B256::repeat_byte(2), bytes));
}
