//! How long answers are kept for retries.
//!
//! What is forgotten is an answer's body; the records that it was paid for have a bound of their own. That its request was
//! paid is never forgotten: a retry after that is refused, and is not charged again.

use openledger_store::{ReadTx, Row, RowExt, StoreError, number_value, params};
use serde::{Deserialize, Serialize};

use super::Ledger;
use super::credits::{forget_credits, too_old};

/// Most answers forgotten in one transaction.
const FORGOTTEN_MAX: u64 = 1000;

/// Answers that older versions kept count as given when this runs: nothing says when they were.
pub(super) const TABLES: &str = "
ALTER TABLE settlement_payments ADD COLUMN answered_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settlement_payments ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settlement_payments ADD COLUMN forgotten_at INTEGER;
UPDATE settlement_payments SET answered_at = unixepoch(), bytes = length(answer);
CREATE INDEX settlement_payments_kept ON settlement_payments (sequence, bytes, answered_at) WHERE forgotten_at IS NULL;
";

/// What is kept of answers. One whose receipt is not final yet is always kept: a dispute may need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// An answer is forgotten this long after it was given.
    pub age_max_s: u64,
    /// Answers kept; the oldest go first.
    pub answers_max: u64,
    /// Bytes of answers kept; the oldest go first.
    pub bytes_max: u64,
    /// The latest answers whose records stay listed, whether their bodies are kept or not. Each has at most
    /// [`ANSWER_CREDITS_MAX`](super::ANSWER_CREDITS_MAX) of about 110 bytes.
    pub credited_answers_max: u64,
}

impl Default for Retention {
    /// 30 days, 100,000 answers, 1 GiB; records of the latest 250,000 answers, less than 1.8 GB.
    fn default() -> Self {
        Self { age_max_s: 30 * 24 * 3600, answers_max: 100_000, bytes_max: 1 << 30, credited_answers_max: 250_000 }
    }
}

/// What a look at the answers did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// Answers forgotten.
    pub forgotten: u64,
    /// Answers kept.
    pub answers: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Ledger {
    /// Forgets what `retention` does not keep at `now_s`, at most a thousand answers at once, and the records of as many,
    /// the oldest first.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is forgotten then.
    pub fn forget_answers(&self, retention: &Retention, now_s: u64) -> Result<RetentionReport, StoreError> {
        let oldest_kept = now_s.saturating_sub(retention.age_max_s);
        let goes = |report: &RetentionReport, answered_at: u64| {
            let room = report.answers <= retention.answers_max && report.bytes <= retention.bytes_max;
            answered_at < oldest_kept || !room
        };
        if self.store.read(|tx| too_old(tx, retention.credited_answers_max))?.is_some() {
            self.store.with_tx(|tx| forget_credits(tx, retention.credited_answers_max, FORGOTTEN_MAX))?;
        }
        // Most looks find nothing to forget, and then nobody who writes is kept waiting.
        let (report, oldest) = self.store.read(|tx| Ok::<_, StoreError>((kept(tx)?, final_answers(tx, 1)?)))?;
        if !oldest.first().is_some_and(|&(_, _, answered_at)| goes(&report, answered_at)) {
            return Ok(report);
        }
        self.store.with_tx(|tx| {
            let mut report = kept(tx)?;
            for (sequence, bytes, answered_at) in final_answers(tx, FORGOTTEN_MAX)? {
                if !goes(&report, answered_at) {
                    break;
                }
                let sql = "UPDATE settlement_payments SET answer = x'', forgotten_at = ?2 WHERE sequence = ?1";
                tx.execute(sql, params![number_value("sequence", sequence)?, number_value("time", now_s)?])?;
                report.forgotten += 1;
                report.answers = report.answers.saturating_sub(1);
                report.bytes = report.bytes.saturating_sub(bytes);
            }
            Ok(report)
        })
    }
}

fn kept(tx: &ReadTx<'_>) -> Result<RetentionReport, StoreError> {
    let sql = "SELECT count(*) AS answers, coalesce(sum(bytes), 0) AS bytes FROM settlement_payments
        WHERE forgotten_at IS NULL";
    let read = |row: &Row<'_>| {
        let (answers, bytes) = (row.number("answers")?, row.number("bytes")?);
        Ok::<_, StoreError>(RetentionReport { forgotten: 0, answers, bytes })
    };
    Ok(tx.query_opt(sql, [], read)?.unwrap_or_default())
}

/// Sequence, bytes and time of the oldest answers of final epochs.
fn final_answers(tx: &ReadTx<'_>, limit: u64) -> Result<Vec<(u64, u64, u64)>, StoreError> {
    let sql = "SELECT payments.sequence AS sequence, payments.bytes AS bytes, payments.answered_at AS answered_at
        FROM settlement_payments AS payments
        JOIN settlement_receipts AS receipts ON receipts.sequence = payments.sequence
        JOIN settlement_epochs AS epochs ON epochs.number = receipts.epoch
        WHERE payments.forgotten_at IS NULL AND epochs.state = 'final' ORDER BY payments.sequence LIMIT ?1";
    tx.query_all(sql, [number_value("limit", limit)?], |row| {
        Ok((row.number("sequence")?, row.number("bytes")?, row.number("answered_at")?))
    })
}
