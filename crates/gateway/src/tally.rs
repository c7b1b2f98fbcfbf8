//! What everything earned: sums over receipts, kept up to date receipt by receipt.
//!
//! Nothing here decides a payout; every amount is one that the settlement crate computed of a receipt, added up. The
//! tally remembers the last receipt that it counted, so that looking something up costs what has come since.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use openledger_contracts::Receipt;
use openledger_datanet::{Datanets, SnapshotError};
use openledger_primitives::{Address, B256, DatanetId, ModelId, RecordHash, Wei};
use openledger_settlement::epoch::{Credit, EpochContext, EpochError, credits};
use openledger_settlement::ledger::{DataPool, Ledger};
use openledger_settlement::receipt::SignedReceipt;
use openledger_store::rusqlite::types::Value as SqlValue;
use openledger_store::{ReadTx, RowExt as _, Store, StoreError, Tx, number_value, params, wei_bytes};

use crate::catalog::Catalog;
use crate::shares::{ByContributor, Evidence, Snapshots, divide};

/// Receipts counted in one transaction.
const RECEIPTS_MAX: usize = 256;

/// Tables of the tally.
pub(crate) const TABLES: &str = "
CREATE TABLE gateway_tally (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL) STRICT;
INSERT INTO gateway_tally VALUES (1, 0);
CREATE TABLE gateway_receipts (sequence INTEGER PRIMARY KEY, model BLOB NOT NULL, payer BLOB NOT NULL) STRICT;
CREATE INDEX gateway_receipts_model ON gateway_receipts (model, sequence);
CREATE INDEX gateway_receipts_payer ON gateway_receipts (payer, sequence);
CREATE TABLE gateway_model_income (
    model BLOB PRIMARY KEY, answers INTEGER NOT NULL, amount BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE gateway_earned (
    account BLOB NOT NULL, role INTEGER NOT NULL, model BLOB NOT NULL, answers INTEGER NOT NULL, amount BLOB NOT NULL,
    PRIMARY KEY (account, role, model)
) STRICT, WITHOUT ROWID;
CREATE TABLE gateway_datanet_income (datanet INTEGER PRIMARY KEY, amount BLOB NOT NULL) STRICT;
CREATE TABLE gateway_contributor_income (
    datanet INTEGER NOT NULL, account BLOB NOT NULL, amount BLOB NOT NULL, PRIMARY KEY (datanet, account)
) STRICT, WITHOUT ROWID;
CREATE TABLE gateway_record_income (record BLOB PRIMARY KEY, amount BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE gateway_reserve_income (
    account BLOB NOT NULL, root BLOB NOT NULL, amount BLOB NOT NULL, PRIMARY KEY (account, root)
) STRICT, WITHOUT ROWID;
";

/// Why receipts could not be counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TallyError {
    /// A receipt cannot be split: the books are damaged.
    #[error("a receipt cannot be divided again")]
    Epoch(#[from] EpochError),
    /// A snapshot cannot be read.
    #[error("a snapshot of the model cannot be read")]
    Snapshot(#[from] SnapshotError),
    /// The sums do not fit.
    #[error("the sums of {what} are above 2^128 - 1 wei")]
    Overflow {
        /// Which sums.
        what: &'static str,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an account earned in one role with one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Earned {
    pub(crate) role: Credit,
    pub(crate) model: ModelId,
    pub(crate) amount: Wei,
    pub(crate) answers: u64,
}

const ROLES: [Credit; 6] =
    [Credit::Operator, Credit::Builder, Credit::Parent, Credit::Influence, Credit::Provenance, Credit::Reserve];

/// The sums.
#[derive(Debug)]
pub(crate) struct Tally {
    store: Store,
    ledger: Ledger,
    datanets: Datanets,
    catalog: Arc<Catalog>,
    snapshots: Arc<Snapshots>,
    counting: Mutex<()>,
}

impl Tally {
    pub(crate) fn new(
        store: Store,
        ledger: Ledger,
        datanets: Datanets,
        catalog: Arc<Catalog>,
        snapshots: Arc<Snapshots>,
    ) -> Self {
        Self { store, ledger, datanets, catalog, snapshots, counting: Mutex::default() }
    }

    /// Counts the receipts that have come since the last time. Blocks.
    pub(crate) fn catch_up(&self) -> Result<(), TallyError> {
        let _one = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let after = self.store.read(|tx| tx.count("SELECT sequence FROM gateway_tally", []))?;
            let receipts = self.ledger.receipts_page(None, after, RECEIPTS_MAX)?;
            let Some(last) = receipts.last().map(|signed| signed.receipt.sequence) else { return Ok(()) };
            let sums = self.sums(&receipts)?;
            self.store.with_tx(|tx| {
                sums.write(tx)?;
                tx.execute("UPDATE gateway_tally SET sequence = ?1", [number_value("sequence", last)?])?;
                Ok::<_, TallyError>(())
            })?;
        }
    }

    fn sums(&self, receipts: &[SignedReceipt]) -> Result<Sums, TallyError> {
        let context = self.ledger.context_of(receipts)?;
        let mut sums = Sums::default();
        for SignedReceipt { receipt, .. } in receipts {
            sums.receipts.push((receipt.sequence, receipt.modelId, receipt.payer));
            add_answer(sums.models.entry(receipt.modelId).or_default(), Wei(receipt.fee))?;
            let parts = credits(receipt, &context)?;
            // Both pools may go to the reserve: one answer all the same.
            let mut of_answer = BTreeMap::<(Address, i64), Wei>::new();
            for (role, payout) in &parts {
                add(of_answer.entry((payout.account, *role as i64)).or_default(), payout.amount, "an account")?;
            }
            for ((account, role), amount) in of_answer {
                add_answer(sums.earned.entry((account, role, receipt.modelId)).or_default(), amount)?;
            }
            let data: Vec<_> = parts.into_iter().filter(|(role, _)| is_data(*role)).collect();
            let evidence = self.evidence(receipt)?;
            for (role, payout) in data {
                let by = match (&evidence, role) {
                    (Some([influence, _]), Credit::Influence) => influence.get(&payout.account),
                    (Some([_, provenance]), Credit::Provenance) => provenance.get(&payout.account),
                    _ => None,
                };
                match by {
                    Some(records) => sums.by_records(payout.account, payout.amount, records)?,
                    None => self.by_snapshots(&mut sums, &context, receipt, (payout.account, payout.amount))?,
                }
            }
        }
        Ok(sums)
    }

    /// Records that count for an answer, by contributor and pool. `None` when nothing is kept of them: what the answer paid
    /// is then counted as the reserve is, by accepted records, so that no sum loses it.
    fn evidence(&self, receipt: &Receipt) -> Result<Option<[FoundBy; 2]>, TallyError> {
        if receipt.influence.is_empty() && receipt.provenance.is_empty() {
            return Ok(None);
        }
        let model = self.catalog.by_id(ModelId(receipt.modelId));
        let artifact = model.map(|model| self.catalog.artifact(&model)).transpose();
        let answer = self.ledger.answer_at(receipt.sequence)?;
        let evidence = answer.as_deref().and_then(Evidence::from_stored);
        let (Ok(Some(artifact)), Some(evidence)) = (artifact, evidence) else {
            return self.credited(receipt);
        };
        let table = artifact.influence.records();
        let find = |by: ByContributor| -> Result<FoundBy, TallyError> {
            let mut found = FoundBy::new();
            for (contributor, counted) in by {
                for item in counted {
                    let record = self.snapshots.find(&artifact, item.number)?;
                    let entry = record.map(|record| (record.hash, record.datanet, item.weight));
                    found.entry(contributor).or_default().extend(entry);
                }
            }
            found.retain(|_, records| !records.is_empty());
            Ok(found)
        };
        Ok(Some([find(evidence.influence(table))?, find(evidence.provenance(table))?]))
    }

    /// What is kept of records apart from the answer. Each record's part stands in for its weight: dividing by the parts
    /// gives them again.
    fn credited(&self, receipt: &Receipt) -> Result<Option<[FoundBy; 2]>, TallyError> {
        let mut by = [FoundBy::new(), FoundBy::new()];
        for credit in self.ledger.record_credits(receipt.sequence)? {
            let pool = match credit.pool {
                DataPool::Influence => 0,
                DataPool::Provenance => 1,
            };
            let record = (credit.record, credit.datanet, credit.amount.0);
            by[pool].entry(credit.contributor).or_default().push(record);
        }
        if by.iter().all(FoundBy::is_empty) {
            tracing::warn!(receipt = receipt.sequence, "the records behind a receipt's payouts are not known");
            return Ok(None);
        }
        Ok(Some(by))
    }

    /// By the account's accepted records in each of the receipt's snapshots.
    fn by_snapshots(
        &self,
        sums: &mut Sums,
        context: &EpochContext,
        receipt: &Receipt,
        (account, amount): (Address, Wei),
    ) -> Result<(), TallyError> {
        let records = |root: &B256| -> u128 {
            let entries = context.reserves.get(root).into_iter().flatten();
            entries.filter(|entry| entry.account == account).map(|entry| u128::from(entry.weight)).sum()
        };
        let parts = divide(amount, receipt.snapshotRoots.iter().map(records));
        for (&root, part) in receipt.snapshotRoots.iter().zip(parts).filter(|(_, part)| !part.is_zero()) {
            add(sums.reserves.entry((account, root)).or_default(), part, "a reserve")?;
            if let Some((datanet, _)) = self.datanets.snapshot_of_root(root)? {
                sums.credit_datanet(datanet, account, part)?;
            }
        }
        Ok(())
    }

    /// Paid answers of a model and what they cost together.
    pub(crate) fn model(&self, model: ModelId) -> Result<(u64, Wei), StoreError> {
        let sql = "SELECT answers, amount FROM gateway_model_income WHERE model = ?1";
        let read = |row: &openledger_store::Row<'_>| Ok::<_, StoreError>((row.number("answers")?, row.wei("amount")?));
        Ok(self.store.read(|tx| tx.query_opt(sql, [model.0.as_slice()], read))?.unwrap_or_default())
    }

    /// What a Datanet's contributors were paid for it.
    pub(crate) fn datanet(&self, datanet: DatanetId) -> Result<Wei, StoreError> {
        let sql = "SELECT amount FROM gateway_datanet_income WHERE datanet = ?1";
        self.amount(sql, vec![number_value("Datanet", datanet.0)?.into()])
    }

    /// What a contributor was paid for a Datanet.
    pub(crate) fn contributor(&self, datanet: DatanetId, account: Address) -> Result<Wei, StoreError> {
        let sql = "SELECT amount FROM gateway_contributor_income WHERE datanet = ?1 AND account = ?2";
        self.amount(sql, vec![number_value("Datanet", datanet.0)?.into(), account.to_vec().into()])
    }

    /// What a record brought where it counted for an answer.
    pub(crate) fn record(&self, record: RecordHash) -> Result<Wei, StoreError> {
        self.amount("SELECT amount FROM gateway_record_income WHERE record = ?1", vec![record.0.to_vec().into()])
    }

    /// What an account's accepted records brought as such, by snapshot root.
    pub(crate) fn reserves(&self, account: Address) -> Result<Vec<(B256, Wei)>, StoreError> {
        let sql = "SELECT root, amount FROM gateway_reserve_income WHERE account = ?1 ORDER BY root";
        self.store.read(|tx| tx.query_all(sql, [account.as_slice()], |row| Ok((row.hash("root")?, row.wei("amount")?))))
    }

    fn amount(&self, sql: &str, place: Vec<SqlValue>) -> Result<Wei, StoreError> {
        let place = openledger_store::rusqlite::params_from_iter(place);
        Ok(self.store.read(|tx| tx.query_opt(sql, place, |row| row.wei("amount")))?.unwrap_or_default())
    }

    /// What an account earned, by role and model.
    pub(crate) fn earned(&self, account: Address) -> Result<Vec<Earned>, StoreError> {
        let sql = "SELECT role, model, answers, amount FROM gateway_earned WHERE account = ?1 ORDER BY role, model";
        self.store.read(|tx| {
            tx.query_all(sql, [account.as_slice()], |row| {
                let malformed = StoreError::Malformed { column: "role".to_owned(), kind: "role" };
                let role = usize::try_from(row.number("role")?).ok().and_then(|at| ROLES.get(at).copied());
                Ok(Earned {
                    role: role.ok_or(malformed)?,
                    model: ModelId(row.hash("model")?),
                    amount: row.wei("amount")?,
                    answers: row.number("answers")?,
                })
            })
        })
    }

    /// Numbers of receipts of a model, or of a payer, after `after`.
    pub(crate) fn receipts(
        &self,
        model: Option<ModelId>,
        payer: Option<Address>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let mut sql = "SELECT sequence FROM gateway_receipts WHERE sequence > ?1".to_owned();
        let mut place: Vec<SqlValue> = vec![number_value("sequence", after)?.into()];
        let filters = [("model", model.map(|model| model.0.to_vec())), ("payer", payer.map(|payer| payer.to_vec()))];
        for (column, value) in filters {
            if let Some(value) = value {
                place.push(value.into());
                sql.push_str(&format!(" AND {column} = ?{}", place.len()));
            }
        }
        sql.push_str(&format!(" ORDER BY sequence LIMIT {limit}"));
        let place = openledger_store::rusqlite::params_from_iter(place);
        self.store.read(|tx| tx.query_all(&sql, place, |row| row.number("sequence")))
    }
}

/// Records found, with their weights, by contributor.
type FoundBy = BTreeMap<Address, Vec<(RecordHash, DatanetId, u128)>>;

fn is_data(role: Credit) -> bool {
    matches!(role, Credit::Influence | Credit::Provenance | Credit::Reserve)
}

/// Amounts to add, of one batch of receipts.
#[derive(Debug, Default)]
struct Sums {
    receipts: Vec<(u64, B256, Address)>,
    models: BTreeMap<B256, (u64, Wei)>,
    earned: BTreeMap<(Address, i64, B256), (u64, Wei)>,
    datanets: BTreeMap<u64, Wei>,
    contributors: BTreeMap<(u64, Address), Wei>,
    records: BTreeMap<B256, Wei>,
    reserves: BTreeMap<(Address, B256), Wei>,
}

fn add(sum: &mut Wei, amount: Wei, what: &'static str) -> Result<(), TallyError> {
    *sum = sum.checked_add(amount).ok_or(TallyError::Overflow { what })?;
    Ok(())
}

fn add_answer((answers, sum): &mut (u64, Wei), amount: Wei) -> Result<(), TallyError> {
    *answers += 1;
    add(sum, amount, "an account or a model")
}

impl Sums {
    fn by_records(
        &mut self,
        account: Address,
        amount: Wei,
        records: &[(RecordHash, DatanetId, u128)],
    ) -> Result<(), TallyError> {
        let parts = divide(amount, records.iter().map(|(_, _, weight)| *weight));
        for (&(record, datanet, _), part) in records.iter().zip(parts) {
            add(self.records.entry(record.0).or_default(), part, "a record")?;
            self.credit_datanet(datanet, account, part)?;
        }
        Ok(())
    }

    fn credit_datanet(&mut self, datanet: DatanetId, account: Address, amount: Wei) -> Result<(), TallyError> {
        add(self.datanets.entry(datanet.0).or_default(), amount, "a Datanet")?;
        add(self.contributors.entry((datanet.0, account)).or_default(), amount, "a contributor")
    }

    fn write(&self, tx: &Tx<'_>) -> Result<(), TallyError> {
        for (sequence, model, payer) in &self.receipts {
            let sql = "INSERT INTO gateway_receipts (sequence, model, payer) VALUES (?1, ?2, ?3)";
            tx.execute(sql, params![number_value("sequence", *sequence)?, model.as_slice(), payer.as_slice()])?;
        }
        for (model, sum) in &self.models {
            Table { name: "gateway_model_income", keys: &["model"], counts: true }.add(tx, &[blob(model)], *sum)?;
        }
        for ((account, role, model), sum) in &self.earned {
            let key = [blob(account), (*role).into(), blob(model)];
            Table { name: "gateway_earned", keys: &["account", "role", "model"], counts: true }.add(tx, &key, *sum)?;
        }
        for (datanet, sum) in &self.datanets {
            let key = [number_value("Datanet", *datanet)?.into()];
            Table::of("gateway_datanet_income", &["datanet"]).add(tx, &key, (0, *sum))?;
        }
        for ((datanet, account), sum) in &self.contributors {
            let key = [number_value("Datanet", *datanet)?.into(), blob(account)];
            Table::of("gateway_contributor_income", &["datanet", "account"]).add(tx, &key, (0, *sum))?;
        }
        for (record, sum) in &self.records {
            Table::of("gateway_record_income", &["record"]).add(tx, &[blob(record)], (0, *sum))?;
        }
        for ((account, root), sum) in &self.reserves {
            let key = [blob(account), blob(root)];
            Table::of("gateway_reserve_income", &["account", "root"]).add(tx, &key, (0, *sum))?;
        }
        Ok(())
    }
}

fn blob(bytes: impl AsRef<[u8]>) -> SqlValue {
    SqlValue::Blob(bytes.as_ref().to_vec())
}

/// A table of sums.
struct Table {
    name: &'static str,
    keys: &'static [&'static str],
    /// Whether it counts answers too.
    counts: bool,
}

impl Table {
    fn of(name: &'static str, keys: &'static [&'static str]) -> Self {
        Self { name, keys, counts: false }
    }

    fn add(&self, tx: &Tx<'_>, key: &[SqlValue], (answers, amount): (u64, Wei)) -> Result<(), TallyError> {
        let known = self.amount(tx, key)?.unwrap_or_default();
        let sum = known.checked_add(amount).ok_or(TallyError::Overflow { what: self.name })?;
        let (columns, counted) =
            if self.counts { (", answers", ", answers = answers + excluded.answers") } else { ("", "") };
        let places = key.len() + 1 + usize::from(self.counts);
        let values = (1..=places).map(|at| format!("?{at}")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "INSERT INTO {} ({}, amount{columns}) VALUES ({values})
             ON CONFLICT DO UPDATE SET amount = excluded.amount{counted}",
            self.name,
            self.keys.join(", ")
        );
        let mut place = key.to_vec();
        place.push(blob(wei_bytes(sum)));
        if self.counts {
            place.push(number_value("answers", answers)?.into());
        }
        tx.execute(&sql, openledger_store::rusqlite::params_from_iter(place))?;
        Ok(())
    }

    fn amount(&self, tx: &ReadTx<'_>, key: &[SqlValue]) -> Result<Option<Wei>, StoreError> {
        let conditions = self.keys.iter().zip(1..).map(|(name, at)| format!("{name} = ?{at}"));
        let sql = format!("SELECT amount FROM {} WHERE {}", self.name, conditions.collect::<Vec<_>>().join(" AND "));
        tx.query_opt(&sql, openledger_store::rusqlite::params_from_iter(key.iter()), |row| row.wei("amount"))
    }
}
