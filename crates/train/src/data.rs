//! A job's records on disk, so that it goes on unchanged whatever happens to the Datanet meanwhile.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use crate::{
    checkpoint::{CheckpointError, write_atomic},
    order::permutation,
    recipe::{HeldOut, Recipe},
    record::TrainRecord,
};

const TRAIN_FILE: &str = "records.jsonl";
const HELD_OUT_FILE: &str = "held-out.jsonl";
/// Stream of the permutation that chooses held-out records; epochs use the streams from 0.
const HELD_OUT_STREAM: u64 = u64::MAX / 2;

/// Why a job's records were not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file system failed.
    #[error("could not read or create {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] CheckpointError),
    /// A line is no record.
    #[error("line {line} of {path} is not a record")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

/// Where a job's artifact is, once it is done.
pub(crate) fn artifact_folder(job: &Path) -> PathBuf {
    job.join("artifact")
}

/// Writes a job's records to its folder.
pub(crate) fn write_records(folder: &Path, train: &[TrainRecord], held_out: &[TrainRecord]) -> Result<(), DataError> {
    fs::create_dir_all(folder).map_err(|source| DataError::Io { path: folder.to_owned(), source })?;
    write_atomic(&folder.join(TRAIN_FILE), &lines(train))?;
    write_atomic(&folder.join(HELD_OUT_FILE), &lines(held_out))?;
    Ok(())
}

/// Reads them again: the snapshots' records and those given as held out.
pub(crate) fn read_records(folder: &Path) -> Result<(Vec<TrainRecord>, Vec<TrainRecord>), DataError> {
    Ok((read_lines(&folder.join(TRAIN_FILE))?, read_lines(&folder.join(HELD_OUT_FILE))?))
}

fn lines(records: &[TrainRecord]) -> Vec<u8> {
    let line = |r| serde_json::to_string(r).expect("a record has string keys only") + "\n";
    records.iter().map(line).collect::<String>().into_bytes()
}

fn read_lines(path: &Path) -> Result<Vec<TrainRecord>, DataError> {
    let failed = |source| DataError::Io { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let mut records = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(failed)?;
        let malformed = |source| DataError::Malformed { path: path.to_owned(), line: number + 1, source };
        records.push(serde_json::from_str(&line).map_err(malformed)?);
    }
    Ok(records)
}

/// A job's records, divided.
pub(crate) struct Data {
    /// Those that train, in snapshot order.
    pub(crate) train: Vec<TrainRecord>,
    /// Those that measure.
    pub(crate) held_out: Vec<TrainRecord>,
}

/// Divides the snapshots' records as the recipe says; records `given` as held out come after those chosen.
pub(crate) fn split(recipe: &Recipe, records: Vec<TrainRecord>, given: Vec<TrainRecord>) -> Data {
    let chosen = choose(recipe, &records);
    let (mut train, mut held_out) = (Vec::new(), Vec::new());
    for (position, record) in records.into_iter().enumerate() {
        if chosen[position] { held_out.push(record) } else { train.push(record) }
    }
    held_out.extend(given);
    Data { train, held_out }
}

fn choose(recipe: &Recipe, records: &[TrainRecord]) -> Vec<bool> {
    let order = permutation(records.len(), recipe.seed, HELD_OUT_STREAM);
    let mut chosen = vec![false; records.len()];
    match recipe.evaluation.held_out {
        HeldOut::None => {}
        HeldOut::Bps(bps) => {
            let count = records.len() * usize::from(bps) / 10_000;
            order.iter().take(count).for_each(|&i| chosen[i] = true);
        }
        HeldOut::PerResponse(most) => choose_per_response(records, &order, most as usize, &mut chosen),
    }
    chosen
}

fn choose_per_response(records: &[TrainRecord], order: &[usize], most: usize, chosen: &mut [bool]) {
    let mut of_response: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &i in order {
        if let Some(response) = records[i].body.response() {
            of_response.entry(response.trim()).or_default().push(i);
        }
    }
    for positions in of_response.values() {
        let count = most.min(positions.len().saturating_sub(1));
        positions.iter().take(count).for_each(|&i| chosen[i] = true);
    }
}
