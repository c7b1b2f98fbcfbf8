//! What a snapshot taken now would hold.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use openledger_datanet::{Exclusion, SnapshotPreview};
use openledger_primitives::DatanetId;

use crate::api::preview as view;
use crate::app::App;
use crate::error::ApiError;
use crate::revocations;
use crate::routes::blocking;

/// Contributors named, the most records first.
const CONTRIBUTORS_SHOWN_MAX: usize = 1000;

/// The snapshot that would be taken now.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(datanet): Path<DatanetId>,
) -> Result<Json<view::SnapshotPreview>, ApiError> {
    revocations::catch_up(&app).await?;
    let preview = blocking(move || {
        app.datanets.datanet(datanet)?;
        Ok::<_, ApiError>(app.datanets.preview_snapshot(datanet)?)
    });
    Ok(Json(shown(&preview.await??)))
}

fn shown(preview: &SnapshotPreview) -> view::SnapshotPreview {
    let snapshot = &preview.snapshot;
    let contributors = preview.contributors.iter().take(CONTRIBUTORS_SHOWN_MAX);
    let named = preview.named.iter();
    view::SnapshotPreview {
        datanet: snapshot.datanet.0,
        snapshot: snapshot.id.0,
        is_new: preview.is_new,
        root: snapshot.root().into(),
        content_hash: preview.content_hash.into(),
        record_count: snapshot.entries.len() as u64,
        contributor_count: snapshot.contributor_count(),
        contributors: contributors
            .map(|&(account, records)| view::PreviewContributor { account: account.into(), records })
            .collect(),
        excluded: preview
            .excluded
            .iter()
            .map(|group| view::PreviewExcluded { why: reason(group.why), records: group.records })
            .collect(),
        named: named
            .map(|(record, reason)| view::PreviewNamed { record: record.0.into(), reason: reason.clone() })
            .collect(),
    }
}

fn reason(why: Exclusion) -> view::Exclusion {
    match why {
        Exclusion::Duplicate => view::Exclusion::Duplicate,
        Exclusion::Revoked => view::Exclusion::Revoked,
        Exclusion::NotRevealed => view::Exclusion::NotRevealed,
        Exclusion::NotAccepted => view::Exclusion::NotAccepted,
    }
}
