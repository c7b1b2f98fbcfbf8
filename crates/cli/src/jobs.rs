//! Fine-tuning jobs as the gateway tells of them.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use openledger_sdk::GatewayClient;
use openledger_train::{Happening, JobId, JobState, Phase};
use serde::Deserialize;
use serde_json::Value;

/// Pause between two looks at a job.
const POLL: Duration = Duration::from_millis(500);

/// A page of a job's events.
#[derive(Debug, Deserialize)]
struct Events {
    data: Vec<Event>,
    next_after: u64,
}

/// Something that happened; kinds that this program does not know are skipped.
#[derive(Debug, Deserialize)]
struct Event {
    happening: Value,
}

/// Follows a job until it is done, and gives `take` everything that happens in it, in order.
///
/// # Errors
/// When the gateway cannot be asked, and when the job ends in any other way.
pub(crate) async fn follow(gateway: &GatewayClient, id: JobId, mut take: impl FnMut(Happening)) -> Result<()> {
    let mut after = 0;
    loop {
        // The state is read first, so that the events read after it are all that led to it.
        let job: Value = gateway.get(&format!("v1/fine_tuning/jobs/{id}")).await?;
        let state = serde_json::from_value(job["state"].clone()).context("a state that this program does not know")?;
        let page: Events = gateway.get(&format!("v1/fine_tuning/jobs/{id}/events?after={after}")).await?;
        let caught_up = page.data.is_empty();
        after = page.next_after;
        page.data.into_iter().filter_map(|event| serde_json::from_value(event.happening).ok()).for_each(&mut take);
        match state {
            JobState::Done if caught_up => return Ok(()),
            JobState::Done => {}
            JobState::Queued | JobState::Running => tokio::time::sleep(POLL).await,
            _ => {
                let [state, error] = ["state", "error"].map(|field| job[field].as_str().unwrap_or("no reason given"));
                bail!("job {id} is {state}: {error}")
            }
        }
    }
}

/// A phase in words.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Encoding => "encoding",
        Phase::MeasuringBase => "measuring the base model",
        Phase::Training => "training",
        Phase::MeasuringTuned => "measuring the tuned model",
        Phase::Influence => "building the influence index",
        Phase::Suffixes => "building the suffix index",
        Phase::Writing => "writing the artifact",
    }
}
