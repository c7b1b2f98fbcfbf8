use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openledger_primitives::{B256, BlobHash};
use openledger_store::{RowExt, Store, StoreError, params};

use crate::LINES;

/// Set in the child process: where it writes.
const CHILD_DIR: &str = "OPENLEDGER_STORE_TEST_CRASH_DIR";
const KILLS: u64 = 16;
const ACKNOWLEDGED_PREFIX: &str = "written ";

/// The same test runs as parent and as the child that is killed again and again in mid-write.
#[test]
fn every_acknowledged_write_survives_kills_at_random_points() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        return write_forever(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for kill in 0..KILLS {
        let before = acknowledged.len();
        acknowledged.extend(run_and_kill(dir.path(), kill));
        assert!(acknowledged.len() > before, "the child wrote nothing");
        check(dir.path(), &acknowledged);
    }
}

fn write_forever(dir: &Path) {
    let store = Store::open(dir, &[LINES]).unwrap();
    let first = store.read(|tx| tx.count("SELECT coalesce(max(number), 0) FROM lines", [])).unwrap() + 1;
    for number in first.. {
        let body = vec![number as u8; (number as usize * 7919) % 50_000];
        let hash = store.blobs().put(&body).unwrap();
        let text = hash.0.to_string();
        store.with_tx(|tx| tx.execute("INSERT INTO lines VALUES (?1, ?2)", params![number as i64, text])).unwrap();
        acknowledge(format_args!("{ACKNOWLEDGED_PREFIX}{number} {text}"));
    }
}

fn run_and_kill(dir: &Path, seed: u64) -> Vec<(u64, BlobHash)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::every_acknowledged_write_survives_kills_at_random_points", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17);
    let wanted = 1 + random as usize % 8;
    let mut acknowledged = Vec::new();
    while acknowledged.len() < wanted {
        acknowledged.extend(parse(&lines.next().expect("the child died by itself").unwrap()));
    }
    kill_after(&mut child, Duration::from_micros(random % 4_000));
    acknowledged.extend(lines.map_while(Result::ok).filter_map(|line| parse(&line)));
    acknowledged
}

/// Lets the child get somewhere into its next write.
fn kill_after(child: &mut Child, delay: Duration) {
    let start = Instant::now();
    while start.elapsed() < delay {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn parse(line: &str) -> Option<(u64, BlobHash)> {
    let (number, hash) = line.strip_prefix(ACKNOWLEDGED_PREFIX)?.split_once(' ')?;
    Some((number.parse().ok()?, hash.parse().ok()?))
}

fn check(dir: &Path, acknowledged: &BTreeMap<u64, BlobHash>) {
    let store = Store::open(dir, &[LINES]).unwrap();
    let stored: BTreeMap<u64, BlobHash> = store
        .read::<_, StoreError>(|tx| {
            tx.query_all("SELECT number, text FROM lines", [], |row| {
                let hash: B256 = row.column::<String>("text")?.parse().unwrap();
                Ok((row.number("number")?, BlobHash(hash)))
            })
        })
        .unwrap()
        .into_iter()
        .collect();
    for (number, hash) in acknowledged {
        assert_eq!(stored.get(number), Some(hash), "line {number} was acknowledged and is lost");
    }
    for (number, hash) in stored {
        assert!(store.blobs().get(hash).unwrap().is_some(), "line {number} has lost its blob");
    }
}

/// Past the test harness's capture, at once.
fn acknowledge(line: std::fmt::Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").unwrap();
}
