use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use openledger_contracts::ChannelConfig;
use openledger_primitives::Wei;
use openledger_settlement::ledger::Admission;
use openledger_settlement::voucher::channel_id;

use crate::common::{CHAIN_ID, Desk, config, draft};

/// Kills in one run. The full count of the reliability table is 1,000.
const KILLS: usize = 10;
/// Directory that the child charges requests in.
const CHILD_DIR: &str = "SETTLEMENT_CRASH_DIR";
/// Requests that the child charges when nobody kills it.
const CHILD_REQUESTS: u128 = 10_000;

fn identifier(number: u128) -> String {
    format!("pay_{number:016}")
}

fn charged(desk: &Desk, config: &ChannelConfig) -> u128 {
    let channel = desk.ledger.channel(channel_id(config, CHAIN_ID)).unwrap();
    channel.map_or(0, |channel| channel.charged.0)
}

/// Charges request after request, acknowledging each on standard output, `CHILD_REQUESTS` at most.
async fn charge_and_acknowledge(dir: &Path, requests: u128) {
    let desk = Desk::open(dir, &[config(1)]);
    let fee = draft().fee().unwrap().0;
    let mut out = std::io::stdout();
    for _ in 0..requests {
        let before = charged(&desk, &config(1));
        desk.serve(&config(1), before, &identifier(before / fee)).await;
        writeln!(out, "charged {}", before / fee).unwrap();
        out.flush().unwrap();
    }
}

/// The process that is killed; run as a test of its own it charges two requests.
#[tokio::test]
async fn requests_charged_in_a_row_are_all_in_the_books() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        return charge_and_acknowledge(Path::new(&dir), CHILD_REQUESTS).await;
    }
    let dir = tempfile::tempdir().unwrap();
    charge_and_acknowledge(dir.path(), 2).await;
    check_books(dir.path(), 2).await;
}

/// Starts the child and kills it once it acknowledged `after` requests; gives how many requests it acknowledged.
fn kill_after(dir: &Path, after: usize) -> u128 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crashes::requests_charged_in_a_row_are_all_in_the_books", "--exact", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = lines.map_while(Result::ok).filter(|line| line.contains("charged "));
    let mut last = acknowledged.nth(after).unwrap();
    child.kill().unwrap();
    // What it wrote before it died counts as acknowledged too.
    last = acknowledged.last().unwrap_or(last);
    child.wait().unwrap();
    last.rsplit(' ').next().unwrap().parse::<u128>().unwrap() + 1
}

/// Every acknowledged request is in the books, with its answer; at most one more is.
async fn check_books(dir: &Path, acknowledged: u128) {
    let desk = Desk::open(dir, &[config(1)]);
    let fee = draft().fee().unwrap().0;
    let receipts = desk.ledger.receipts(None, 0).unwrap();
    let count = receipts.len() as u128;
    assert!(count == acknowledged || count == acknowledged + 1, "{count} receipts, {acknowledged} acknowledged");
    assert_eq!(charged(&desk, &config(1)), count * fee);
    for (number, signed) in receipts.iter().enumerate() {
        let receipt = &signed.receipt;
        assert_eq!((receipt.sequence, receipt.cumulativeBefore), (number as u64 + 1, number as u128 * fee));
        assert!(signed.verify(CHAIN_ID).is_ok());
    }
    let last = desk.payment(&config(1), (count - 1) * fee, &identifier(count - 1));
    let Admission::Answered(answered) = desk.admit(&last, 1).await.unwrap() else { panic!("would be charged twice") };
    let state = answered.settlement.extra.unwrap().channel_state;
    assert_eq!(state.charged_cumulative_amount, Wei(count * fee));
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    for kill in 0..KILLS {
        // Uneven distances, so that kills fall at different points of a charge.
        let acknowledged = kill_after(dir.path(), (kill * 7) % 11);
        check_books(dir.path(), acknowledged).await;
    }
}
