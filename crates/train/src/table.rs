//! Jobs and their events in the store. Every acknowledged change is on disk.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use openledger_primitives::{Address, B256};
use openledger_store::{Migration, Row, RowExt, Schema, Store, StoreError, Tx, number_value, params};

use crate::job::{Happening, Job, JobEvent, JobId, JobState, Moment, QUEUED_MAX, Terms};
use crate::recipe::Recipe;
use crate::speed::Speed;

/// Most jobs or events that one look-up returns.
pub const PAGE_MAX: usize = 10_000;

/// Times in a row that a job may be interrupted by the end of the process without having come further: it may be what ends it.
pub const INTERRUPTED_MAX: u32 = 5;

/// The tables of this crate.
pub const TRAIN_SCHEMA: Schema = Schema {
    name: "train",
    migrations: &[
        Migration {
            version: 1,
            name: "jobs and their events",
            sql: "CREATE TABLE train_job (
                id INTEGER PRIMARY KEY,
                state TEXT NOT NULL,
                step INTEGER NOT NULL DEFAULT 0,
                steps INTEGER NOT NULL DEFAULT 0,
                created_at_ms INTEGER NOT NULL,
                changed_at_ms INTEGER NOT NULL,
                error TEXT,
                artifact TEXT,
                recipe TEXT NOT NULL,
                terms TEXT NOT NULL
              ) STRICT;
              CREATE INDEX train_job_state ON train_job(state, id);
              CREATE TABLE train_event (
                sequence INTEGER PRIMARY KEY AUTOINCREMENT,
                job INTEGER NOT NULL REFERENCES train_job(id),
                step INTEGER,
                at_ms INTEGER NOT NULL,
                happening TEXT NOT NULL
              ) STRICT;
              CREATE INDEX train_event_job ON train_event(job, sequence);",
        },
        Migration { version: 2, name: "whose a job is, and its latest loss", sql: OWNERS },
        Migration { version: 3, name: "artifacts by their place in the data directory; measured speeds", sql: PLACES },
        Migration { version: 4, name: "interruptions without progress", sql: INTERRUPTIONS },
    ],
};

/// A job's artifact always stood in its folder; before this, the folder's whole path was written down.
const PLACES: &str = "
UPDATE train_job SET artifact = 'job-' || id || '/artifact' WHERE artifact IS NOT NULL;
CREATE TABLE train_speed (
    base_model BLOB NOT NULL,
    threads INTEGER NOT NULL,
    train_tokens_per_s REAL NOT NULL,
    index_tokens_per_s REAL NOT NULL,
    jobs INTEGER NOT NULL,
    PRIMARY KEY (base_model, threads)
) WITHOUT ROWID, STRICT;
";

const INTERRUPTIONS: &str = "ALTER TABLE train_job ADD COLUMN interrupted INTEGER NOT NULL DEFAULT 0;";

const OWNERS: &str = "
ALTER TABLE train_job ADD COLUMN owner BLOB;
ALTER TABLE train_job ADD COLUMN loss REAL;
UPDATE train_job SET loss = (
    SELECT json_extract(happening, '$.loss') FROM train_event
    WHERE job = train_job.id AND json_extract(happening, '$.kind') = 'step' ORDER BY sequence DESC LIMIT 1);
";

const JOB_COLUMNS: &str =
    "id, state, step, steps, created_at_ms, changed_at_ms, error, artifact, recipe, terms, owner, loss";

/// Why the job tables were not read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored is not what this version writes.
    #[error("a job has a malformed {field} in the database")]
    Malformed {
        /// The column.
        field: &'static str,
    },
    /// No job has that number.
    #[error("there is no job {id}")]
    Unknown {
        /// The number given.
        id: JobId,
    },
    /// Too many jobs wait.
    #[error("{queued} jobs wait already; the limit is {QUEUED_MAX}")]
    Full {
        /// Jobs that wait.
        queued: u64,
    },
    /// The job is in a state from which it cannot do that.
    #[error("job {id} is {}; it cannot be {wanted}", state.name())]
    State {
        /// The job.
        id: JobId,
        /// Its state.
        state: JobState,
        /// What was asked, as a participle.
        wanted: &'static str,
    },
}

/// The tables.
#[derive(Debug, Clone)]
pub(crate) struct JobTable {
    store: Store,
    /// Folder of the jobs, to which what is written is relative.
    folder: PathBuf,
}

impl JobTable {
    pub(crate) fn new(store: Store, folder: PathBuf) -> Self {
        Self { store, folder }
    }

    /// Adds a job that does not wait yet: paused until its records are on disk.
    pub(crate) fn insert(&self, recipe: &Recipe, terms: &Terms, owner: Option<Address>) -> Result<JobId, TableError> {
        let terms = serde_json::to_string(terms).expect("terms have string keys only");
        let recipe = recipe.to_json().to_string();
        self.store.with_tx(|tx| {
            let queued = tx.count("SELECT count(*) FROM train_job WHERE state = 'queued'", [])?;
            if queued >= QUEUED_MAX as u64 {
                return Err(TableError::Full { queued });
            }
            let sql = "INSERT INTO train_job (state, created_at_ms, changed_at_ms, recipe, terms, owner)
                VALUES ('paused', ?1, ?1, ?2, ?3, ?4)";
            let owner = owner.map(|owner| owner.to_vec());
            Ok(JobId(tx.insert(sql, params![now_ms()?, recipe, terms, owner])?.unsigned_abs()))
        })
    }

    pub(crate) fn job(&self, id: JobId) -> Result<Job, TableError> {
        let sql = format!("SELECT {JOB_COLUMNS} FROM train_job WHERE id = ?1");
        let found = self.store.read(|tx| tx.query_opt(&sql, [number_value("job", id.0)?], |row| self.read_job(row)))?;
        found.ok_or(TableError::Unknown { id })
    }

    /// The newest jobs first.
    pub(crate) fn jobs(&self) -> Result<Vec<Job>, TableError> {
        let sql = format!("SELECT {JOB_COLUMNS} FROM train_job ORDER BY id DESC LIMIT {PAGE_MAX}");
        self.store.read(|tx| tx.query_all(&sql, [], |row| self.read_job(row)))
    }

    pub(crate) fn next_queued(&self) -> Result<Option<JobId>, TableError> {
        let sql = "SELECT id FROM train_job WHERE state = 'queued' ORDER BY id LIMIT 1";
        self.store.read(|tx| tx.query_opt(sql, [], |row| Ok(JobId(row.number("id")?))))
    }

    /// Jobs that ran when the process ended go back to the queue; those that did so [`INTERRUPTED_MAX`] times without coming
    /// further fail, for a job that needs more than the machine has would end the process at every start.
    pub(crate) fn requeue_interrupted(&self) -> Result<(), TableError> {
        self.store.with_tx(|tx| {
            let sql = "UPDATE train_job SET interrupted = interrupted + 1 WHERE state = 'running'";
            tx.execute(sql, [])?;
            let sql = "SELECT id FROM train_job WHERE state = 'running' AND interrupted >= ?1";
            let stuck = tx.query_all(sql, [INTERRUPTED_MAX], |row| Ok::<_, TableError>(JobId(row.number("id")?)))?;
            for id in stuck {
                fail_interrupted(tx, id)?;
            }
            let sql = "UPDATE train_job SET state = 'queued', changed_at_ms = ?1 WHERE state = 'running'";
            tx.execute(sql, [now_ms()?])?;
            Ok(())
        })
    }

    /// Changes a job's state if it is in one of `from`, and notes the change.
    pub(crate) fn change(&self, id: JobId, from: &[JobState], change: Change<'_>) -> Result<JobEvent, TableError> {
        let Change { to, wanted, reason, artifact } = change;
        self.store.with_tx(|tx| {
            let sql = "SELECT state FROM train_job WHERE id = ?1";
            let state = tx.query_opt(sql, [number_value("job", id.0)?], read_state)?.ok_or(TableError::Unknown { id })?;
            if !from.contains(&state) {
                return Err(TableError::State { id, state, wanted });
            }
            let sql = "UPDATE train_job SET state = ?2, changed_at_ms = ?3, error = ?4, artifact = coalesce(?5, artifact) WHERE id = ?1";
            let artifact = artifact.map(|path| path.strip_prefix(&self.folder).unwrap_or(path).to_string_lossy());
            tx.execute(sql, params![number_value("job", id.0)?, to.name(), now_ms()?, reason, artifact])?;
            add_event(tx, id, None, Happening::State { state: to, reason: reason.map(str::to_owned) })
        })
    }

    /// Notes a happening; `step` is given for those that are made again when their step is.
    pub(crate) fn note(&self, id: JobId, step: Option<u64>, happening: Happening) -> Result<JobEvent, TableError> {
        self.store.with_tx(|tx| {
            if let Happening::Step(report) = &happening {
                let sql = "UPDATE train_job SET step = ?2, steps = ?3, loss = ?4 WHERE id = ?1";
                let (step, steps) = (number_value("step", report.step)?, number_value("steps", report.steps)?);
                let values = params![number_value("job", id.0)?, step, steps, report.loss];
                tx.execute(sql, values)?;
            }
            if is_progress(tx, id, &happening)? {
                let sql = "UPDATE train_job SET interrupted = 0 WHERE id = ?1 AND interrupted > 0";
                tx.execute(sql, [number_value("job", id.0)?])?;
            }
            add_event(tx, id, step, happening)
        })
    }

    /// Forgets what was noted of steps after `step`, which are about to be taken again.
    pub(crate) fn forget_steps_after(&self, id: JobId, step: u64) -> Result<(), TableError> {
        self.store.with_tx(|tx| {
            let values = [number_value("job", id.0)?, number_value("step", step)?];
            tx.execute("DELETE FROM train_event WHERE job = ?1 AND step > ?2", values)?;
            tx.execute("UPDATE train_job SET step = ?2 WHERE id = ?1", values)?;
            Ok(())
        })
    }

    pub(crate) fn events(&self, job: JobId, after: u64, limit: usize) -> Result<Vec<JobEvent>, TableError> {
        let sql = "SELECT sequence, at_ms, happening FROM train_event WHERE job = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3";
        let limit = number_value("limit", limit.min(PAGE_MAX) as u64)?;
        let values = [number_value("job", job.0)?, number_value("sequence", after)?, limit];
        self.store.read(|tx| tx.query_all(sql, values, |row| read_event(job, row)))
    }

    /// What was measured of a base model on so many threads.
    pub(crate) fn speed(&self, model: B256, threads: usize) -> Result<Option<Speed>, TableError> {
        let sql = "SELECT train_tokens_per_s, index_tokens_per_s, jobs FROM train_speed
            WHERE base_model = ?1 AND threads = ?2";
        let key = params![model.as_slice(), number_value("threads", threads as u64)?];
        self.store.read(|tx| {
            tx.query_opt(sql, key, |row| {
                Ok(Speed {
                    train_tokens_per_s: row.column("train_tokens_per_s")?,
                    index_tokens_per_s: row.column("index_tokens_per_s")?,
                    jobs: row.number("jobs")?,
                })
            })
        })
    }

    pub(crate) fn note_speed(&self, model: B256, threads: usize, speed: &Speed) -> Result<(), TableError> {
        let sql = "INSERT INTO train_speed VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (base_model, threads) DO UPDATE SET
            train_tokens_per_s = ?3, index_tokens_per_s = ?4, jobs = ?5";
        let (threads, jobs) = (number_value("threads", threads as u64)?, number_value("jobs", speed.jobs)?);
        let values = params![model.as_slice(), threads, speed.train_tokens_per_s, speed.index_tokens_per_s, jobs];
        Ok(self.store.with_tx(|tx| tx.execute(sql, values).map(|_| ()))?)
    }

    fn read_job(&self, row: &Row<'_>) -> Result<Job, TableError> {
        let artifact: Option<String> = row.column("artifact")?;
        Ok(Job {
            id: JobId(row.number("id")?),
            state: read_state(row)?,
            step: row.number("step")?,
            steps: row.number("steps")?,
            created_at_ms: row.number("created_at_ms")?,
            changed_at_ms: row.number("changed_at_ms")?,
            error: row.column("error")?,
            artifact: artifact.map(|place| self.folder.join(place)),
            recipe: json(row, "recipe")?,
            terms: json(row, "terms")?,
            owner: row.column::<Option<Vec<u8>>>("owner")?.map(|_| row.address("owner")).transpose()?,
            loss: row.column("loss")?,
        })
    }
}

/// A change of state.
pub(crate) struct Change<'a> {
    pub(crate) to: JobState,
    /// What was asked, as a participle, for the error.
    pub(crate) wanted: &'static str,
    pub(crate) reason: Option<&'a str>,
    pub(crate) artifact: Option<&'a Path>,
}

/// A job that is resumed by its owner is counted anew.
fn fail_interrupted(tx: &Tx<'_>, id: JobId) -> Result<(), TableError> {
    let reason = format!(
        "the process ended {INTERRUPTED_MAX} times while this job ran and came no further; it may need more memory than there \
         is. Resume it to try again"
    );
    let sql = "UPDATE train_job SET state = 'failed', error = ?2, interrupted = 0, changed_at_ms = ?3 WHERE id = ?1";
    tx.execute(sql, params![number_value("job", id.0)?, reason, now_ms()?])?;
    add_event(tx, id, None, Happening::State { state: JobState::Failed, reason: Some(reason) })?;
    Ok(())
}

/// Whether the job has come to where it never was, so that the next start need not do it again.
fn is_progress(tx: &Tx<'_>, id: JobId, happening: &Happening) -> Result<bool, TableError> {
    Ok(match happening {
        Happening::Indexed { .. } | Happening::Evaluated { moment: Moment::Base, .. } => true,
        Happening::Checkpoint { step } => {
            let sql = "SELECT count(*) FROM train_event
                WHERE job = ?1 AND step >= ?2 AND json_extract(happening, '$.kind') = 'checkpoint'";
            tx.count(sql, params![number_value("job", id.0)?, number_value("step", *step)?])? == 0
        }
        _ => false,
    })
}

fn add_event(tx: &Tx<'_>, job: JobId, step: Option<u64>, happening: Happening) -> Result<JobEvent, TableError> {
    let text = serde_json::to_string(&happening).expect("a happening has string keys only");
    let step = step.map(|step| number_value("step", step)).transpose()?;
    let at_ms = now_ms()?;
    let sql = "INSERT INTO train_event (job, step, at_ms, happening) VALUES (?1, ?2, ?3, ?4)";
    let sequence = tx.insert(sql, params![number_value("job", job.0)?, step, at_ms, text])?.unsigned_abs();
    Ok(JobEvent { job, sequence, at_ms: at_ms.unsigned_abs(), happening })
}

fn read_state(row: &Row<'_>) -> Result<JobState, TableError> {
    let name: String = row.column("state")?;
    JobState::from_name(&name).ok_or(TableError::Malformed { field: "state" })
}

fn read_event(job: JobId, row: &Row<'_>) -> Result<JobEvent, TableError> {
    let (sequence, at_ms) = (row.number("sequence")?, row.number("at_ms")?);
    Ok(JobEvent { job, sequence, at_ms, happening: json(row, "happening")? })
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, field: &'static str) -> Result<T, TableError> {
    let text: String = row.column(field)?;
    serde_json::from_str(&text).map_err(|_| TableError::Malformed { field })
}

/// Milliseconds since 1970. Times are shown to people; nothing is decided by them.
fn now_ms() -> Result<i64, StoreError> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    number_value("time", elapsed)
}
