use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use openledger_datanet::{Format, Record, RecordStatus};

use crate::uploads::declare;
use crate::{NET, open, sign, signer};

/// Set in the child process: where it works.
const CHILD_DIR: &str = "OPENLEDGER_DATANET_TEST_CRASH_DIR";
const KILLS: u64 = 12;
const PART_BYTES: usize = 128;
const ACKNOWLEDGED_PREFIX: &str = "received ";
const DONE: &str = "accepted all";

fn file() -> Vec<u8> {
    let line =
        |n: u64| format!("{{\"text\":\"{:x} and {:x} {n}\"}}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15), n * n * 7_919);
    (1..400).map(line).collect::<String>().into_bytes()
}

/// The same test runs as parent and as the child that uploads in small parts and is killed again and again.
#[test]
fn an_upload_killed_at_random_points_ends_with_every_record() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        return upload_and_accept(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        acknowledged = run(dir.path(), Some(kill as usize % 5 + 1)).max(acknowledged);
        let upload = open(dir.path()).upload(declare(&file()).id()).unwrap();
        assert!(upload.received_bytes >= acknowledged, "acknowledged {acknowledged}, kept {}", upload.received_bytes);
    }
    run(dir.path(), None);
    let datanets = open(dir.path());
    let snapshot = datanets.take_snapshot(NET).unwrap();
    let records: Vec<Record> =
        datanets.snapshot_records(&snapshot).unwrap().into_iter().map(|record| record.record).collect();
    let expected = openledger_datanet::ingest_bytes(&file(), Format::Jsonl, None).unwrap().records;
    assert_eq!(records, expected.into_iter().map(|ingested| ingested.record).collect::<Vec<_>>());
}

/// Runs the child until `parts` acknowledgements (then kills it) or to its end; returns what it acknowledged last.
fn run(dir: &Path, parts: Option<usize>) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::an_upload_killed_at_random_points_ends_with_every_record", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut last = 0;
    let mut seen = 0;
    let mut done = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        done |= line == DONE;
        let Some(bytes) = line.strip_prefix(ACKNOWLEDGED_PREFIX) else { continue };
        last = bytes.parse().unwrap();
        seen += 1;
        if Some(seen) == parts {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(parts.is_some() || done, "the child did not finish");
    last
}

fn upload_and_accept(dir: &Path) {
    let datanets = open(dir);
    let file = file();
    let mut upload = datanets.begin_upload(&declare(&file)).unwrap();
    while (upload.received_bytes as usize) < file.len() {
        let at = upload.received_bytes as usize;
        let part = &file[at..(at + PART_BYTES).min(file.len())];
        upload = datanets.append_upload(upload.id, at as u64, part).unwrap();
        acknowledge(format_args!("{ACKNOWLEDGED_PREFIX}{}", upload.received_bytes));
    }
    datanets.finish_upload(upload.id).unwrap();
    let (batch, _) = datanets.prepare_upload(upload.id, Format::Jsonl, None).unwrap();
    datanets.mark_committed(batch.commitment(), 1).unwrap();
    datanets.mark_revealed(batch.commitment(), &sign(1, &batch)).unwrap();
    datanets.accept(batch.commitment()).unwrap();
    let statement = datanets.statement(batch.records()[0].hash()).unwrap();
    assert_eq!((statement.status, statement.contributor), (RecordStatus::Accepted, signer(1).address()));
    acknowledge(format_args!("{DONE}"));
}

/// Past the test harness's capture, at once.
fn acknowledge(line: std::fmt::Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").unwrap();
}
