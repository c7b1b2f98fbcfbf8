use openledger_datanet::batch::decode_body;
use openledger_datanet::{Format, Mapping, Record, Snapshot, ingest_bytes};
use parquet::basic::Compression;

/// A small generator, so that a failure repeats from its number alone.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below.max(1)
    }

    /// Flips, inserts, removes, repeats or cuts.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.next(bytes.len());
        match self.next(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.next(8),
            1 => bytes.insert(at, self.next(256) as u8),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            4 => {
                let end = (at + self.next(64)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => bytes.splice(at..at, b"\xef\xbb\xbf\"\0\xff{[".iter().copied().take(self.next(8))).for_each(drop),
        }
    }
}

fn mutations(seeds: &[Vec<u8>], rounds: u64, check: impl Fn(&[u8])) {
    for round in 0..rounds {
        let mut random = Random(round);
        let mut bytes = seeds[random.next(seeds.len())].clone();
        for _ in 0..=random.next(6) {
            random.mutate(&mut bytes);
        }
        check(&bytes);
    }
}

/// Whatever comes in, each row is accounted for and each record is canonical.
fn ingest_keeps_its_promises(bytes: &[u8], format: Format, mapping: Option<&Mapping>) {
    let Ok(ingested) = ingest_bytes(bytes, format, mapping) else { return };
    let report = &ingested.report;
    assert_eq!(report.rows, report.accepted + report.rejected);
    assert_eq!(ingested.records.len() as u64, report.accepted);
    for ingested in &ingested.records {
        assert_eq!(Record::from_canonical(&ingested.record.canonical_bytes()).as_ref(), Ok(&ingested.record));
    }
}

#[test]
fn mutated_texts_never_break_the_readers() {
    let seeds = [
        br#"{"prompt":"a","response":"b\u00e9"}
{"prompt":"c","response":"d"}"#
            .to_vec(),
        b"prompt,response\n\"a\",b\nc,\"d\"\"e\"\n".to_vec(),
        b"# One\ntext\n```\ncode\n```\n\n## Two\n".to_vec(),
        br#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}"#.to_vec(),
        "\u{feff}text\nvalue\n".encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ];
    mutations(&seeds, 6_000, |bytes| {
        for format in [Format::Jsonl, Format::Csv, Format::Text, Format::Markdown] {
            ingest_keeps_its_promises(bytes, format, None);
        }
    });
}

#[test]
fn mutated_parquet_never_breaks_the_reader() {
    let mapping = Mapping::Prompt { prompt: "description".to_owned(), response: "technique".to_owned() };
    let seeds: Vec<_> = [Compression::UNCOMPRESSED, Compression::SNAPPY]
        .map(|codec| crate::parquet::file(&[("some text", "label"), ("other", "label"), ("third", "")], codec))
        .to_vec();
    mutations(&seeds, 3_000, |bytes| ingest_keeps_its_promises(bytes, Format::Parquet, Some(&mapping)));
}

#[test]
fn mutated_bodies_decode_to_what_they_encode_or_not_at_all() {
    let batch = crate::batches::batch();
    let snapshot = crate::formats::snapshot();
    mutations(&[batch.body(), snapshot.body()], 6_000, |bytes| {
        if let Ok(snapshot) = Snapshot::from_body(bytes) {
            assert_eq!(snapshot.body(), bytes);
        }
        if let Ok(records) = decode_body(bytes) {
            let length: usize = records.iter().map(|record| 36 + record.canonical.len()).sum();
            assert_eq!(bytes.len(), 5 + length);
        }
    });
}
