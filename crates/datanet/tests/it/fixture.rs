//! Duplicates on real texts: the ATT&CK procedures that the demo uses.

use std::path::PathBuf;

use openledger_datanet::dedup::Fingerprint;
use openledger_datanet::limits::BAND_LEADERS_MAX;
use openledger_datanet::{Format, Mapping, Record, ingest_file};

use crate::{Fixture, text};

fn load(name: &str) -> Vec<Record> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/attack").join(name);
    let mapping = Mapping::Prompt { prompt: "procedure".to_owned(), response: "technique".to_owned() };
    let ingested = ingest_file(&path, Format::Jsonl, Some(&mapping)).unwrap();
    assert_eq!(ingested.report.rejected, 0);
    ingested.records.into_iter().map(|ingested| ingested.record).collect()
}

#[test]
fn honest_records_are_all_accepted_and_every_copy_is_not() {
    let mut fixture = Fixture::new();
    let honest = load("procedures.jsonl");
    assert!(honest.len() >= 800);
    let accepted = fixture.contribute(1, &honest);
    assert_eq!(accepted.accepted, honest.len() as u64, "{:?}", accepted.duplicates);
    let copies = load("copies.jsonl");
    let report = fixture.contribute(2, &copies);
    assert_eq!((report.accepted, report.duplicates.len()), (0, copies.len()));
    assert!(report.duplicates.iter().all(|duplicate| duplicate.of_contributor == crate::signer(1).address()));
}

#[test]
fn held_out_records_are_no_copies_of_training_records() {
    let mut fixture = Fixture::new();
    fixture.contribute(1, &load("procedures.jsonl"));
    let held_out = load("heldout.jsonl");
    assert!(held_out.len() >= 100);
    assert_eq!(fixture.contribute(2, &held_out).duplicates, []);
}

/// Ten copies of each record, each with a light edit: the attacker keeps what the first batch has, and no more.
#[test]
fn ten_edited_copies_of_each_record_gain_nothing() {
    let mut fixture = Fixture::new();
    let honest: Vec<Record> = load("procedures.jsonl").into_iter().step_by(8).collect();
    fixture.contribute(1, &honest);
    let mut accepted = 0;
    for copy in 0..10 {
        let edited: Vec<Record> = honest.iter().map(|record| edit(record, copy)).collect();
        accepted += fixture.contribute(2 + copy, &edited).accepted;
    }
    // Gain at most 1.05 (research/reliability.md, row 14): of 10 n copies, at most n / 20 may pass.
    assert!(accepted * 20 <= honest.len() as u64, "{accepted} of {} copies accepted", honest.len() * 10);
}

fn edit(record: &Record, kind: u8) -> Record {
    let Record::Prompt { prompt, response } = record else { panic!("procedures are prompts") };
    let words: Vec<&str> = prompt.split(' ').collect();
    let edited = match kind {
        0 => prompt.clone(),
        1 => prompt.to_uppercase(),
        2 => prompt.replace(' ', "  "),
        3 => format!("{prompt} !!!"),
        4 => prompt.replace('.', ""),
        5 => words[1..].join(" "),
        6 => words[..words.len() - 1].join(" "),
        7 => prompt.replacen(" has ", " had ", 1).replacen(" can ", " may ", 1),
        8 => prompt.replacen('e', "\u{435}", 1),
        _ => format!("Note: {prompt}"),
    };
    Record::Prompt { prompt: edited, response: response.clone() }
}

#[test]
fn similarity_is_symmetric_and_exact_on_known_sets() {
    let of = |content: &str| Fingerprint::of(&text(content).full_text());
    assert_eq!(of("abcdefg").similarity_per_mille(&of("ABCDEFG!")), 1_000);
    // Shingles abcde, bcdef, cdefg against abcde, bcdef, cdefh: 2 of 4.
    assert_eq!(of("abcdefg").similarity_per_mille(&of("abcdefh")), 500);
    assert_eq!(of("abcdefh").similarity_per_mille(&of("abcdefg")), 500);
    assert_eq!(of("entirely").similarity_per_mille(&of("otherwise")), 0);
}

/// MinHash finds what comparing all pairs finds.
#[test]
fn candidates_miss_no_pair_above_the_threshold() {
    let records = load("procedures.jsonl");
    let mut missed = 0;
    let mut pairs = 0;
    for record in records.iter().step_by(4) {
        for kind in [3, 4, 5, 6, 7, 9] {
            let (a, b) = (Fingerprint::of(&record.full_text()), Fingerprint::of(&edit(record, kind).full_text()));
            if a.similarity_per_mille(&b) >= 700 {
                pairs += 1;
                let keys = a.band_keys();
                missed += u32::from(!b.band_keys().iter().any(|key| keys.contains(key)));
            }
        }
    }
    assert!(pairs > 1_000, "{pairs}");
    assert_eq!(missed, 0, "of {pairs}");
}

/// A copy that looks the same on a screen is one: with characters between the letters that are shown as nothing, or marks
/// under them.
#[test]
fn invisible_characters_hide_no_copy() {
    let mut fixture = Fixture::new();
    let honest: Vec<Record> = load("procedures.jsonl").into_iter().step_by(40).collect();
    fixture.contribute(1, &honest);
    let hidden = [
        "\u{200B}",
        "\u{AD}",
        "\u{2060}",
        "\u{200D}",
        "\u{34F}",
        "\u{3164}",
        "\u{FE0F}",
        "\u{E0020}",
        "\u{202E}",
        "\u{332}\u{200C}",
    ];
    for (contributor, between) in (2..).zip(hidden) {
        let copies: Vec<Record> = honest.iter().map(|record| scattered(record, between)).collect();
        let report = fixture.contribute(contributor, &copies);
        assert_eq!(report.accepted, 0, "{}", between.escape_unicode());
    }
}

/// A database of the version before: other words, other bands.
#[test]
fn fingerprints_of_an_older_version_are_made_again() {
    let mut fixture = Fixture::new();
    let honest: Vec<Record> = load("procedures.jsonl").into_iter().step_by(40).collect();
    fixture.contribute(1, &honest);
    fixture.execute("UPDATE datanet_records SET words_hash = zeroblob(32)");
    fixture.execute("DELETE FROM datanet_bands");
    fixture.execute("UPDATE datanet_nets SET fingerprint_version = 1");
    let copies: Vec<Record> = honest.iter().map(|record| edit(record, 7)).collect();
    assert_eq!(fixture.contribute(2, &copies).accepted, 0);
    assert_eq!(fixture.contribute(3, &honest).accepted, 0);
}

/// The record with `between` after each character of its prompt.
fn scattered(record: &Record, between: &str) -> Record {
    let Record::Prompt { prompt, response } = record else { panic!("procedures are prompts") };
    let prompt = prompt.chars().flat_map(|character| [String::from(character), between.to_owned()]).collect();
    Record::Prompt { prompt, response: response.clone() }
}

/// Thousands of texts from one template are no copies of one another, though each shares bands with most; what any of them is compared
/// with is limited, and a real copy is found all the same.
#[test]
fn a_crowd_from_one_template_hides_no_copy() {
    const CROWD: u64 = 5_000;
    let mut fixture = Fixture::new();
    let crowd: Vec<Record> = (0..CROWD).map(|number| text(&from_template(number))).collect();
    let report = fixture.contribute(1, &crowd);
    assert_eq!(report.accepted, CROWD, "{:?}", report.duplicates.first());
    assert_eq!(fixture.most_leaders_of_a_band(), u64::from(BAND_LEADERS_MAX));
    let copies: Vec<u64> = (0..CROWD).step_by(50).collect();
    let edited = |number: &u64| text(&from_template(*number).replacen("under the heading", "beneath this heading", 1));
    let report = fixture.contribute(2, &copies.iter().map(edited).collect::<Vec<_>>());
    assert_eq!((report.accepted, report.duplicates.len()), (0, copies.len()));
    let copied: Vec<_> = report.duplicates.iter().map(|duplicate| duplicate.of_contributor).collect();
    assert!(copied.iter().all(|&contributor| contributor == crate::signer(1).address()));
}

/// Half of the text is the template's.
fn from_template(number: u64) -> String {
    let word = |at: u64| format!("{:x}", (number * 7 + at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24);
    let own: Vec<String> = (0..7).map(word).collect();
    format!(
        "The following entry was recorded by the station on duty and is filed under the heading of {} {} {} until it is \
         withdrawn by the same station, with remarks as they were given at the time: {} {} {} {}",
        own[0], own[1], own[2], own[3], own[4], own[5], own[6]
    )
}
