//! kill -9 at arbitrary moments: the process dies, nothing acknowledged is lost.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    os::fd::AsRawFd,
    path::Path,
    process::{Child, Command, Stdio},
};

use alloy_primitives::{Address, U256};
use alloy_provider::{Provider, ProviderBuilder};
use openledger_chain::{Chain, ChainConfig, DevelopmentError, OpenChainError, StoreError, SubmitError, TX_BYTES_MAX};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::timeout;

use crate::{
    harness::{Devnet, Draft, PATIENCE, config, include, mined},
    support::account,
};

const CHILD_DIR: &str = "OPENLEDGER_CHAIN_CRASH_DIR";
const TO: Address = Address::repeat_byte(0x51);
/// Acknowledgements after which each child is killed; uneven, so that the kills fall anywhere between journal,
/// execution, commit and announcement.
const KILL_AFTER: [usize; 12] = [1, 2, 3, 5, 8, 13, 17, 23, 29, 31, 37, 41];

fn at(dir: &Path) -> ChainConfig {
    let mut config = ChainConfig::new(dir, config_genesis()).instant();
    config.instant_batch_ms = 1;
    config
}

fn config_genesis() -> alloy_genesis::Genesis {
    let dir = tempfile::tempdir().expect("a temporary directory");
    config(&dir).genesis
}

/// The process that is killed: submits transfers as fast as it can and writes a line after each
/// acknowledgement. Without the environment variable it is not that process and has nothing to do.
#[test]
fn child_that_submits_until_it_is_killed() {
    let Some(dir) = env::var_os(CHILD_DIR) else { return };
    let chain = Chain::open(at(Path::new(&dir))).expect("the chain opens after a kill");
    let sender = account(0);
    let first = chain.pending_nonce(&sender.address()).expect("the database works");
    for nonce in first..first + 10_000 {
        let tx = Draft::transfer(nonce, TO, 1).fees(1 << 60, 1).sign(&sender);
        match chain.submit_blocking(tx) {
            Ok(_) => writeln!(std::io::stdout(), "acknowledged {nonce}").expect("the parent listens"),
            Err(error) => panic!("transfer {nonce} was refused: {error}"),
        }
    }
}

fn spawn(dir: &Path) -> Child {
    Command::new(env::current_exe().expect("the test binary has a path"))
        .args(["--exact", "killed::child_that_submits_until_it_is_killed", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test binary starts again")
}

/// The last nonce that the child saw acknowledged before it died.
fn kill_after(mut child: Child, acknowledgements: usize) -> u64 {
    let out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut last = None;
    let mut seen = 0;
    for line in out.lines().map_while(Result::ok) {
        let Some(nonce) = line.trim().rsplit_once("acknowledged ").map(|(_, nonce)| nonce) else { continue };
        last = nonce.parse().ok();
        seen += 1;
        if seen == acknowledgements {
            child.kill().expect("it runs"); // SIGKILL
        }
    }
    child.wait().expect("it was started");
    last.expect("it acknowledged something before it was killed")
}

#[tokio::test]
async fn killed_processes_lose_nothing_that_they_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    for acknowledgements in KILL_AFTER {
        let last = kill_after(spawn(dir.path()), acknowledgements);
        let chain = Chain::open(at(dir.path())).expect("the stored state matches its head");
        let next = chain.pending_nonce(&account(0).address()).unwrap();
        assert!(next > last, "nonce {last} was acknowledged, but the next one is {next}");
        chain.shutdown();
    }
    // What was only in the journal is mined: every transfer arrives exactly once.
    let devnet = Devnet { chain: Chain::open(at(dir.path())).unwrap(), dir };
    devnet.chain.mine().await.unwrap();
    let sent = devnet.chain.pending_nonce(&account(0).address()).unwrap();
    let view = devnet.latest();
    assert_eq!(view.account(&TO).unwrap().unwrap().balance, U256::from(sent));
    assert_eq!(view.account(&account(0).address()).unwrap().unwrap().nonce, sent);
}

const FULL_DIR: &str = "OPENLEDGER_CHAIN_FULL_DIR";
const AHEAD_DIR: &str = "OPENLEDGER_CHAIN_AHEAD_DIR";
const ROOM_DIR: &str = "OPENLEDGER_CHAIN_ROOM_DIR";
/// Bytes of input, so that blocks grow fast.
const INPUT_BYTES: usize = 30_000;

/// Submits until something does not fit any more, and writes a line after each acknowledgement.
fn submit_until_full(dir: &Path) {
    let chain = Chain::open(at(dir)).expect("there is room to open");
    let sender = account(0);
    for nonce in chain.pending_nonce(&sender.address()).expect("the database works").. {
        let mut draft = Draft::transfer(nonce, TO, 1).input(vec![0; INPUT_BYTES]).fees(1 << 45, 1);
        draft.0.gas_limit = 1_000_000;
        match chain.submit_blocking(draft.sign(&sender)) {
            Ok(_) => writeln!(std::io::stdout(), "acknowledged {nonce}").expect("the parent listens"),
            Err(error) => {
                writeln!(std::io::stdout(), "refused {nonce}: {error}").expect("the parent listens");
                return;
            }
        }
    }
}

/// The kernel's file-size limit stands in for a full disk: the write fails in the middle, as there.
/// The same test runs as parent and, in a shell with the limit set, as child.
#[tokio::test]
async fn a_chain_on_a_full_disk_refuses_and_goes_on_when_there_is_room() {
    if let Some(dir) = env::var_os(FULL_DIR) {
        // Submitting blocks, which a runtime's own thread may not.
        return std::thread::spawn(move || submit_until_full(Path::new(&dir))).join().expect("it ends by itself");
    }
    let dir = tempfile::tempdir().unwrap();
    Chain::open(at(dir.path())).unwrap().shutdown();
    // Blocks of 512 bytes in a POSIX shell: room for some blocks, and not for thousands.
    let test = "killed::a_chain_on_a_full_disk_refuses_and_goes_on_when_there_is_room";
    let script = format!(r#"trap '' XFSZ; ulimit -f 16384; exec "$0" --exact {test} --nocapture"#);
    let mut child = Command::new("sh");
    child.args(["-c", &script]).arg(env::current_exe().unwrap()).env(FULL_DIR, dir.path());
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("refused "), "{text}");
    let mut acknowledged = text.lines().rev().filter_map(|line| line.rsplit_once("acknowledged ")?.1.parse().ok());
    let last: u64 = acknowledged.next().unwrap();
    let devnet = Devnet { chain: Chain::open(at(dir.path())).unwrap(), dir };
    let sent = devnet.chain.pending_nonce(&account(0).address()).unwrap();
    assert_eq!(sent, last + 1, "all that was acknowledged, and nothing that was refused");
    while devnet.latest().account(&account(0).address()).unwrap().unwrap().nonce < sent {
        devnet.chain.mine().await.unwrap();
    }
    assert_eq!(devnet.latest().account(&TO).unwrap().unwrap().balance, U256::from(sent));
}

/// Bytes of a file that can be written while the disk is "full": enough for the journal, too little for the database.
const FULL_BYTES: u64 = 64 << 10;

fn limit_file_bytes(limit: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: limit, maximum }).expect("the soft limit is free to choose");
}

/// The disk becomes full and gets room again under a chain that keeps running.
async fn run_through_a_full_disk(dir: &Path) {
    let devnet = Devnet { chain: Chain::open(at(dir)).unwrap(), dir: tempfile::tempdir().unwrap() };
    let transfer = |nonce| Draft::transfer(nonce, TO, 1).sign(&account(0));
    include(&devnet, transfer(0)).await;
    let chain = &devnet.chain;
    let head = chain.head().number;
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let provider = ProviderBuilder::new().connect_http(server.http_url().parse().unwrap());
    let mut trouble = chain.trouble();
    assert_eq!(*trouble.borrow(), None);

    limit_file_bytes(Some(FULL_BYTES));
    chain.submit(transfer(1)).await.expect("the journal has room");
    let said = timeout(PATIENCE, trouble.wait_for(Option::is_some)).await.unwrap().unwrap().clone().unwrap();
    assert_eq!(said, "disk full: blocks cannot be written");
    let refused = chain.submit(transfer(2)).await.unwrap_err();
    assert!(matches!(&refused, SubmitError::NoBlocks(why) if *why == said), "{refused}");
    let over_rpc = provider.send_raw_transaction(&transfer(2)).await.unwrap_err();
    let object = over_rpc.as_error_resp().expect("the node answers");
    assert_eq!(object.code, -32_000);
    let sentence =
        "disk full: blocks cannot be written; the transaction was not taken, send it again when that is over";
    assert_eq!(object.message, sentence);
    assert!(matches!(chain.mine().await.unwrap_err(), DevelopmentError::NoBlocks(why) if why == said));
    assert_eq!((chain.head().number, chain.pool_status().pending), (head, 1));

    limit_file_bytes(None);
    timeout(PATIENCE, trouble.wait_for(Option::is_none)).await.expect("it goes on by itself").unwrap();
    assert_eq!(devnet.latest().account(&TO).unwrap().unwrap().balance, U256::from(2), "what was acknowledged is mined");
    assert_eq!(chain.head().number, head + 1);
    include(&devnet, transfer(2)).await;
    chain.shutdown();
}

/// The same test runs as parent and, in a shell where going over a limit is an error and no signal, as child.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_to_everyone_who_submits_and_the_same_process_goes_on_after_it() {
    if let Some(dir) = env::var_os(ROOM_DIR) {
        return run_through_a_full_disk(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "killed::a_full_disk_is_told_to_everyone_who_submits_and_the_same_process_goes_on_after_it";
    run_where_going_over_a_limit_is_an_error(test, ROOM_DIR, dir.path());
    let devnet = Devnet { chain: Chain::open(at(dir.path())).unwrap(), dir };
    assert_eq!(devnet.latest().account(&TO).unwrap().unwrap().balance, U256::from(3), "the database is whole");
}

/// What the child says when it cannot write.
const FULL: &str = "nothing can be written";

/// As if a block had been written and only its confirmation had failed: while nothing can be written here, the parent writes
/// the next block into the database.
async fn meet_a_block_on_disk(dir: &Path) {
    let devnet = Devnet { chain: Chain::open(at(dir)).unwrap(), dir: tempfile::tempdir().unwrap() };
    let transfer = |nonce| Draft::transfer(nonce, TO, 1).sign(&account(0));
    include(&devnet, transfer(0)).await;
    let chain = &devnet.chain;
    let head = chain.head().number;
    let (mut blocks, mut trouble) = (chain.subscribe_blocks(), chain.trouble());
    limit_file_bytes(Some(FULL_BYTES));
    let hash = chain.submit(transfer(1)).await.unwrap();
    timeout(PATIENCE, trouble.wait_for(Option::is_some)).await.unwrap().unwrap();
    // Nothing at all: the database cannot be opened again, and is free for the parent.
    limit_file_bytes(Some(0));
    let closed = async {
        while !matches!(chain.latest(), Err(StoreError::Closed)) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, closed).await.expect("it tries and cannot");
    writeln!(std::io::stdout(), "{FULL}").expect("the parent listens");
    std::io::stdin().read_line(&mut String::new()).expect("the parent answers");
    limit_file_bytes(None);
    timeout(PATIENCE, trouble.wait_for(Option::is_none)).await.expect("it goes on by itself").unwrap();
    assert_eq!(
        (chain.head().number, chain.pool_status().pending),
        (head + 2, 0),
        "the parent's block, and one after it"
    );
    assert_eq!(devnet.latest().account(&TO).unwrap().unwrap().balance, U256::from(2), "transferred once");
    let told = mined(&mut blocks, hash).await;
    assert_eq!(told.header.number, head + 1);
    include(&devnet, transfer(2)).await;
    chain.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_was_written_although_writing_failed_is_taken_over_and_not_made_again() {
    if let Some(dir) = env::var_os(AHEAD_DIR) {
        return meet_a_block_on_disk(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "killed::a_block_that_was_written_although_writing_failed_is_taken_over_and_not_made_again";
    let script = format!(r#"trap '' XFSZ; exec "$0" --exact {test} --nocapture"#);
    let mut child = Command::new("sh");
    child.args(["-c", &script]).arg(env::current_exe().unwrap()).env(AHEAD_DIR, dir.path());
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with(FULL)), "the child ended early");
    // The child tries again and again, and has the database for a moment each time.
    let until = std::time::Instant::now() + PATIENCE;
    let chain = loop {
        match Chain::open(at(dir.path())) {
            Ok(chain) => break chain,
            Err(OpenChainError::InUse { .. }) if std::time::Instant::now() < until => {}
            Err(error) => panic!("{error}"),
        }
    };
    // It finds the transaction in the journal.
    while chain.latest().unwrap().account(&TO).unwrap().unwrap().balance < U256::from(2) {
        assert!(std::time::Instant::now() < until, "no block was made");
    }
    chain.shutdown();
    drop(chain);
    writeln!(child.stdin.take().unwrap()).unwrap();
    let said: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success(), "{said:?}");
}

const UNWRITTEN_DIR: &str = "OPENLEDGER_CHAIN_UNWRITTEN_DIR";

/// A replacement cannot be written into the journal.
async fn fail_to_journal_a_replacement(dir: &Path) {
    let mut config = at(dir);
    config.block_time_s = 1_000_000_000;
    let chain = Chain::open(config).unwrap();
    let bid = |wei, cap| Draft::transfer(0, TO, wei).fees(cap, cap).sign(&account(0));
    chain.submit(bid(5, 2_000_000_000)).await.unwrap();
    limit_file_bytes(Some(0));
    let error = chain.submit(bid(6, 4_000_000_000)).await.unwrap_err();
    assert!(matches!(error, SubmitError::Journal(_)), "{error}");
    limit_file_bytes(None);
    assert_eq!(chain.pool_status().pending, 1, "what it would have replaced is there again");
    chain.mine().await.unwrap();
    assert_eq!(chain.latest().unwrap().account(&TO).unwrap().unwrap().balance, U256::from(5));
    chain.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_cannot_be_journaled_leaves_what_it_would_have_replaced() {
    if let Some(dir) = env::var_os(UNWRITTEN_DIR) {
        return fail_to_journal_a_replacement(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "killed::a_replacement_that_cannot_be_journaled_leaves_what_it_would_have_replaced";
    run_where_going_over_a_limit_is_an_error(test, UNWRITTEN_DIR, dir.path());
}

fn run_where_going_over_a_limit_is_an_error(test: &str, variable: &str, dir: &Path) {
    let script = format!(r#"trap '' XFSZ; exec "$0" --exact {test} --nocapture"#);
    let mut child = Command::new("sh");
    let output = child.args(["-c", &script]).arg(env::current_exe().unwrap()).env(variable, dir).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

const COMPACTED_DIR: &str = "OPENLEDGER_CHAIN_COMPACTED_DIR";
/// More of the longest transactions than the journal appends before it is compacted.
const LONG_TXS: u64 = 520;

/// Appends until the journal is compacted, while only one more file can be opened: enough to write the new journal, too few
/// for all that compacting needs. Ends without closing anything, as a kill would.
async fn fail_to_compact(dir: &Path) {
    let mut config = at(dir);
    config.block_time_s = 1_000_000_000;
    let chain = Chain::open(config).unwrap();
    let long = |nonce, bytes| {
        let mut draft = Draft::transfer(nonce, TO, 1).input(vec![0; bytes]);
        draft.0.gas_limit = 1_500_000;
        draft.sign(&account(0))
    };
    let next_file = std::fs::File::open("/dev/null").unwrap().as_raw_fd() as u64;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(next_file + 1), maximum }).unwrap();
    for nonce in 0..LONG_TXS {
        chain.submit(long(nonce, TX_BYTES_MAX - 500)).await.unwrap();
    }
    // The journal's thread compacts before it writes this one.
    chain.submit(long(LONG_TXS, 0)).await.unwrap();
    std::process::exit(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_after_a_compaction_that_failed_survives_a_kill() {
    if let Some(dir) = env::var_os(COMPACTED_DIR) {
        return fail_to_compact(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    Chain::open(at(dir.path())).unwrap().shutdown();
    let test = "killed::what_is_acknowledged_after_a_compaction_that_failed_survives_a_kill";
    run_where_going_over_a_limit_is_an_error(test, COMPACTED_DIR, dir.path());
    let chain = Chain::open(at(dir.path())).unwrap();
    assert_eq!(chain.pending_nonce(&account(0).address()).unwrap(), LONG_TXS + 1);
    chain.shutdown();
}
