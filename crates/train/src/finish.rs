//! From a trained adapter to an artifact: the indices, the manifest, the folder.

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
};

use openledger_attribution::{
    RecordMeta, RecordTable, RecordTableError,
    attest::{AttributionPolicy, index_root},
    influence::{BuildInfluenceError, CheckpointSketch, InfluenceBuilder, InfluenceIndex, SketchSink},
    suffix::{BuildSuffixError, IndexedText, SuffixBuilder, SuffixIndex},
};
use openledger_engine::{BackwardError, Exec, LoraAdapter, LoraError, Model, TrainSequence};
use openledger_primitives::{B256, keccak256};

use crate::{
    artifact::{
        ADAPTER_FOLDER, ArtifactError, CHECKPOINTS_FOLDER, INFLUENCE_FILE, MANIFEST_FILE, SAMPLES_FILE, SUFFIX_FILE,
        io, read_adapter, remove, replace, write_adapter,
    },
    checkpoint::{CheckpointError, write_atomic},
    encode::{EncodeReport, Example},
    evaluate::{Evaluation, Sample},
    factory::Shared,
    job::{Happening, Job, Phase},
    manifest::{self, AttributionRef, CheckpointRef, EngineVersion, MANIFEST_VERSION, Manifest},
    record::TrainRecord,
    run::data_hash,
    sketches::SketchFile,
    speed::Measured,
    table::TableError,
    work::attribution_path,
};

/// Sequences whose gradients are sketched between two looks at what the owner wants.
const SKETCH_TOGETHER: usize = 16;

/// Why an artifact was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FinishError {
    /// A part cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] CheckpointError),
    /// The job database failed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Too many records for an index.
    #[error("the records do not fit an index")]
    Records(#[from] RecordTableError),
    /// The influence index cannot be built.
    #[error("the influence index cannot be built")]
    Influence(#[from] BuildInfluenceError),
    /// A checkpoint is not of the trained adapter's shape.
    #[error("a checkpoint cannot be set above the trained adapter")]
    Join(#[from] LoraError),
    /// The engine refused a record.
    #[error("the engine refused a record's gradient")]
    Backward(#[from] BackwardError),
    /// The suffix index cannot be built.
    #[error("the suffix index cannot be built")]
    Suffix(#[from] BuildSuffixError),
    /// The owner asked to stop.
    #[error("stopped")]
    Left,
}

/// Everything that an artifact is made of.
pub(crate) struct Finish<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) model: &'a Model,
    pub(crate) job: &'a Job,
    pub(crate) folder: &'a Path,
    pub(crate) records: &'a [TrainRecord],
    pub(crate) examples: &'a [Example],
    pub(crate) report: &'a EncodeReport,
    pub(crate) base: Option<&'a Evaluation>,
    pub(crate) tuned: Option<&'a Evaluation>,
    pub(crate) steps: u64,
    /// Steps of the attribution checkpoints, ascending.
    pub(crate) checkpoints: Vec<u64>,
    pub(crate) adapter: &'a LoraAdapter,
    /// How fast the influence index grew.
    pub(crate) speed: RefCell<Measured>,
}

/// Where the sketches of an index under way lie.
fn sketches_path(job: &Path) -> PathBuf {
    job.join("sketches")
}

/// Answers to held-out records, for people.
#[derive(serde::Serialize)]
struct Samples<'a> {
    base: &'a [Sample],
    tuned: &'a [Sample],
}

fn samples_of(evaluation: Option<&Evaluation>) -> &[Sample] {
    evaluation.map_or(&[], |e| &e.samples)
}

impl Finish<'_> {
    /// Builds the indices and writes the artifact to `folder`.
    pub(crate) fn write(&self, exec: &mut Exec, folder: &Path) -> Result<(), FinishError> {
        let checkpoints = self.read_checkpoints()?;
        self.phase(Phase::Influence)?;
        let influence = self.influence(exec, &checkpoints)?;
        self.phase(Phase::Suffixes)?;
        let suffix = self.suffix()?;
        self.phase(Phase::Writing)?;
        let manifest = self.manifest(&checkpoints, &influence, &suffix);
        let beside = folder.with_extension("partial");
        remove(&beside)?;
        fs::create_dir_all(&beside).map_err(io("create", &beside))?;
        write_adapter(&beside.join(ADAPTER_FOLDER), self.adapter, self.model)?;
        for (step, adapter) in self.checkpoints.iter().zip(&checkpoints) {
            write_adapter(&beside.join(CHECKPOINTS_FOLDER).join(step.to_string()), adapter, self.model)?;
        }
        write_atomic(&beside.join(INFLUENCE_FILE), &influence.to_bytes())?;
        write_atomic(&beside.join(SUFFIX_FILE), &suffix.to_bytes())?;
        write_atomic(&beside.join(SAMPLES_FILE), &self.samples())?;
        write_atomic(&beside.join(MANIFEST_FILE), &manifest.to_bytes())?;
        replace(&beside, folder)?;
        Ok(remove(&sketches_path(self.folder))?)
    }

    /// The adapters of the index: each checkpoint in the layers that take part, below them the trained adapter, so that
    /// what goes into these layers is what the model serves, and is computed once for all checkpoints.
    fn read_checkpoints(&self) -> Result<Vec<LoraAdapter>, FinishError> {
        let layers = usize::from(self.job.recipe.attribution.policy.influence.sites.last_layers);
        let read = |&step: &u64| {
            let checkpoint = read_adapter(&attribution_path(self.folder, step), self.model)?;
            Ok(if layers == 0 { checkpoint } else { checkpoint.above(self.adapter, layers)? })
        };
        self.checkpoints.iter().map(read).collect()
    }

    fn table(&self) -> Result<RecordTable, RecordTableError> {
        let meta = |e: &Example| {
            let record = &self.records[e.record];
            let TrainRecord { snapshot, index, contributor, cluster, .. } = *record;
            RecordMeta { snapshot, index, contributor, cluster }
        };
        RecordTable::new(self.examples.iter().map(meta).collect())
    }

    /// The recipe's policy with the steps of the checkpoints that were reached.
    fn policy(&self) -> AttributionPolicy {
        let mut policy = self.job.recipe.attribution.policy.clone();
        policy.influence.checkpoints = self.checkpoints.iter().map(|&step| step as u32).collect();
        policy
    }

    /// Sketches every record's gradients at every checkpoint, then fits, quantises and commits.
    fn influence(&self, exec: &mut Exec, checkpoints: &[LoraAdapter]) -> Result<InfluenceIndex, FinishError> {
        let lora = self.adapter.config();
        let mut builder = InfluenceBuilder::new(self.policy().influence, self.model.sites(), lora, self.table()?)?;
        for adapter in checkpoints {
            let sketch = self.sketch(exec, &builder, adapter)?;
            builder.add(sketch)?;
        }
        Ok(builder.finish()?)
    }

    /// One checkpoint's gradients of all records, a few at a time: which share a pass does not change a bit of any.
    fn sketch(
        &self,
        exec: &mut Exec,
        builder: &InfluenceBuilder,
        adapter: &LoraAdapter,
    ) -> Result<CheckpointSketch, FinishError> {
        let (dims, total) = (builder.sketcher().dims(), (self.checkpoints.len() * self.examples.len()) as u64);
        let mut sketch = builder.empty_sketch(adapter.hash());
        let chunk = SKETCH_TOGETHER * dims;
        let path = sketches_path(self.folder).join(format!("{}.bin", builder.checkpoints_done()));
        let (mut kept, values) = SketchFile::open(&path, self.sketch_key(adapter), chunk, &mut sketch.rows)?;
        let before = values / dims;
        let mut done = (builder.checkpoints_done() * self.examples.len() + before) as u64;
        let left = self.examples[before..].chunks(SKETCH_TOGETHER).zip(sketch.rows[values..].chunks_mut(chunk));
        for (examples, rows) in left {
            if self.shared.control.leave() {
                return Err(FinishError::Left);
            }
            let targets: Vec<_> = examples.iter().map(Example::targets).collect();
            let batch = examples.iter().zip(&targets);
            let batch: Vec<_> =
                batch.map(|(e, targets)| TrainSequence { tokens: e.input(), targets, scale: 1.0 }).collect();
            let started = self.shared.config.clock.now();
            self.model.backward(exec, adapter, &batch, &mut SketchSink::new(builder.sketcher(), rows))?;
            let tokens = examples.iter().map(|example| example.input().len() as u64).sum();
            self.speed.borrow_mut().add(tokens, self.shared.config.clock.now().saturating_sub(started).as_secs_f64());
            kept.append(rows)?;
            done += examples.len() as u64;
            self.shared.note(self.job.id, None, Happening::Indexed { done, total })?;
        }
        Ok(sketch)
    }

    /// Everything that decides a record's sketch: the adapter, the records, the policy and the arithmetic.
    fn sketch_key(&self, adapter: &LoraAdapter) -> B256 {
        let engine = EngineVersion::current();
        let decides = (&engine, &self.policy().influence);
        let decides = serde_json::to_vec(&decides).expect("policies have string keys only");
        keccak256([adapter.hash().as_slice(), data_hash(self.examples).as_slice(), &decides].concat())
    }

    /// Commits to the text of the records: what was learnt, and what was asked if the policy says so.
    fn suffix(&self) -> Result<SuffixIndex, FinishError> {
        let policy = self.job.recipe.attribution.policy.provenance;
        let tokenizer = self.model.tokenizer();
        let vocabulary = tokenizer.vocab_size() as u32;
        let hash = keccak256(tokenizer.to_json());
        let roots: Vec<B256> = self.job.recipe.snapshots.iter().map(|s| s.root).collect();
        let special: Vec<u32> = (0..vocabulary).filter(|&token| tokenizer.is_control(token)).collect();
        let mut builder = SuffixBuilder::new(policy, hash, roots, vocabulary, self.table()?);
        for (record, example) in self.examples.iter().enumerate() {
            if policy.indexed == IndexedText::All {
                let prompt = self.records[example.record].body.prompt_text();
                // The prompt was encoded for training already, within the same limit.
                let tokens = prompt.and_then(|text| tokenizer.encode_untrusted(&text).ok()).unwrap_or_default();
                builder.push(record as u32, &tokens)?;
            }
            builder.push_trained(record as u32, &example.targets(), &special)?;
        }
        Ok(builder.finish()?)
    }

    fn manifest(&self, checkpoints: &[LoraAdapter], influence: &InfluenceIndex, suffix: &SuffixIndex) -> Manifest {
        let recipe = &self.job.recipe;
        let named = self.checkpoints.iter().zip(checkpoints);
        Manifest {
            version: MANIFEST_VERSION,
            name: recipe.name.clone(),
            base_model: recipe.base_model,
            lora: recipe.lora.clone(),
            snapshots: recipe.snapshots.clone(),
            recipe: recipe.clone(),
            steps: self.steps,
            engine: EngineVersion::current(),
            weights_hash: self.adapter.hash(),
            data: self.report.into(),
            evaluation: manifest::Measured { base: self.base.map(Into::into), tuned: self.tuned.map(Into::into) },
            parents: self.job.terms.parents.clone(),
            price: self.job.terms.price,
            attribution: AttributionRef {
                policy: self.policy(),
                checkpoints: named.map(|(&step, a)| CheckpointRef { step, weights_hash: a.hash() }).collect(),
                influence_root: influence.root(),
                suffix_root: suffix.root(),
                index_root: index_root(influence.root(), suffix.root()),
            },
        }
    }

    fn samples(&self) -> Vec<u8> {
        let samples = Samples { base: samples_of(self.base), tuned: samples_of(self.tuned) };
        serde_json::to_vec_pretty(&samples).expect("samples have string keys only")
    }

    fn phase(&self, phase: Phase) -> Result<(), FinishError> {
        if self.shared.control.leave() {
            return Err(FinishError::Left);
        }
        Ok(self.shared.note(self.job.id, None, Happening::Phase { phase })?)
    }
}
