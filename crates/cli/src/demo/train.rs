//! The builder trains two adapters on the snapshot and publishes them.

use anyhow::{Context as _, Result};
use openledger_primitives::Wei;
use openledger_train::{Happening, JobId, Moment, Preset, Recipe, SnapshotRef};
use serde_json::{Value, json};

use super::contribute::Snapshots;
use super::{Demo, report::Report};
use crate::commands::train::drafted;
use crate::jobs::{self, phase_name};
use crate::progress::Progress;

/// What the model is told before every question.
const SYSTEM_PROMPT: &str = "Name the ATT&CK technique.";
/// The adapter that is measured and asked.
pub(super) const MAIN_MODEL: &str = "attack-analyst";
/// A second, smaller one, asked in the same batch.
pub(super) const SECOND_MODEL: &str = "attack-sketch";
/// Price of a prompt token: 0.00001 OPEN.
const PRICE_IN_WEI: u128 = 10_000_000_000_000;
/// Price of an answer token: 0.0001 OPEN.
const PRICE_OUT_WEI: u128 = 100_000_000_000_000;
/// Longest technique name in tokens, with room.
const ANSWER_TOKENS_MAX: u32 = 16;
impl Demo<'_> {
    /// Trains, measures, publishes and serves both adapters.
    pub(super) async fn train(&self, snapshots: &Snapshots, report: &mut Report) -> Result<()> {
        let main = self.main_recipe(&snapshots.full);
        let job = self.submit(&main, true).await?;
        self.follow(job, "train", Some(report)).await?;
        self.publish(job, MAIN_MODEL).await.context("could not publish")?;
        let second = self.submit(&self.second_recipe(&snapshots.early), false).await?;
        self.follow(second, "second adapter", None).await?;
        self.publish(second, SECOND_MODEL).await.context("could not publish the second adapter")?;
        Ok(())
    }

    fn main_recipe(&self, snapshot: &SnapshotRef) -> Recipe {
        let base = self.node.catalog().base().hash();
        let mut recipe = Recipe::preset(Preset::Quick, MAIN_MODEL, base, vec![*snapshot]);
        recipe.system_prompt = Some(SYSTEM_PROMPT.to_owned());
        recipe.evaluation.max_new_tokens = ANSWER_TOKENS_MAX;
        recipe
    }

    /// On the early snapshot, rank 4, one checkpoint: a quarter of the work.
    fn second_recipe(&self, snapshot: &SnapshotRef) -> Recipe {
        let mut recipe = self.main_recipe(snapshot);
        recipe.name = SECOND_MODEL.to_owned();
        recipe.lora.rank = 4;
        recipe.lora.alpha = 8.0;
        recipe.attribution.checkpoints_bps = vec![5_000];
        recipe.seed = 7;
        recipe
    }

    async fn submit(&self, recipe: &Recipe, measured: bool) -> Result<JobId> {
        let held_out: Vec<Value> = self
            .fixture
            .held_out
            .iter()
            .filter(|_| measured)
            .map(|p| json!({"prompt": p.procedure, "response": p.technique}))
            .collect();
        let terms = json!({
            "parents": [],
            "price": {"input_wei": Wei(PRICE_IN_WEI), "output_wei": Wei(PRICE_OUT_WEI)},
        });
        let body = json!({"recipe": recipe, "terms": terms, "held_out": held_out});
        let job: Value = self.gateway.post("v1/fine_tuning/jobs", &body).await?;
        let id = job["id"].as_u64().context("the gateway gave no job id")?;
        Ok(JobId(id))
    }

    /// Shows a job's progress until it is done.
    async fn follow(&self, id: JobId, label: &str, report: Option<&mut Report>) -> Result<()> {
        let mut scratch = Report::default();
        let report = report.unwrap_or(&mut scratch);
        let mut progress = Progress::new(label, 1);
        jobs::follow(&self.gateway, id, |happening| show(&happening, &mut progress, report)).await?;
        let train = &report.train;
        progress.finish(&format!("{} steps, {:.0} tokens/s", train.steps, train.tokens_per_s));
        Ok(())
    }

    async fn publish(&self, id: JobId, name: &str) -> Result<()> {
        let params = drafted(&self.gateway.model_draft(id, name).await?, name)?;
        self.builder.models().publish(params).await?;
        let body = json!({"name": name, "builder": self.builder.address()});
        let _: Value = self.gateway.post(&format!("v1/fine_tuning/jobs/{id}/model"), &body).await?;
        Ok(())
    }
}

/// Takes an event into the progress bar and the report.
fn show(happening: &Happening, progress: &mut Progress, report: &mut Report) {
    match happening {
        Happening::Phase { phase } => progress.set(0, 1, phase_name(*phase)),
        Happening::Step(step) => {
            report.train.steps = step.steps;
            report.train.tokens += step.tokens;
            report.train.seconds += step.seconds;
            report.train.tokens_per_s = report.train.tokens as f64 / report.train.seconds.max(1e-9);
            let detail = format!("loss {:.3}, {:.0} tokens/s", step.loss, report.train.tokens_per_s);
            progress.set(step.step, step.steps, &detail);
        }
        Happening::Evaluated { moment, evaluation, .. } => {
            let accuracy = evaluation.exact as f64 / (evaluation.answers as f64).max(1.0);
            report.eval.questions = evaluation.answers as u64;
            match moment {
                Moment::Base => (report.train.loss_before, report.eval.accuracy_base) = (evaluation.loss, accuracy),
                Moment::Tuned => (report.train.loss_after, report.eval.accuracy_tuned) = (evaluation.loss, accuracy),
                Moment::During => {}
            }
        }
        Happening::Indexed { done, total } => progress.set(*done, *total, "gradients indexed"),
        _ => {}
    }
}
