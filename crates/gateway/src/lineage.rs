//! What descent costs and whom it pays: the parents' part of a split, and the builders of parents, whom settlement must
//! know before an answer is charged.

use openledger_contracts::addresses::DATANET_REGISTRY;
use openledger_contracts::{IDatanetRegistry, SplitBounds, SplitBps};
use openledger_primitives::{DatanetId, ModelId};
use openledger_sdk::{ChainClient, ChainError};
use openledger_settlement::ledger::Ledger;
use openledger_settlement::split::BPS_WHOLE;
use openledger_store::StoreError;
use openledger_train::Manifest;
use tokio::task::JoinError;

use crate::catalog::{Catalog, Published};
use crate::error::{ApiError, chain as causes};

/// Part of a fee that is burned, in basis points.
const BURN_BPS: u16 = 500;
/// Part of the operator who answers.
const OPERATOR_BPS: u16 = 2000;
/// Part of the model's builder.
const BUILDER_BPS: u16 = 1500;
/// Part of the builders of its parents, where it has any; the data's part is smaller by it.
const PARENTS_BPS: u16 = 500;
/// Part of the stakers.
const STAKERS_BPS: u16 = 1000;
/// Part of what is left, the data's, that goes by quotation.
const PROVENANCE_BPS: u16 = 2000;

/// The split of a model without parents, unless its builder decides otherwise.
pub(crate) const fn default_split() -> SplitBps {
    SplitBps {
        burn: BURN_BPS,
        operatorBps: OPERATOR_BPS,
        builder: BUILDER_BPS,
        parents: 0,
        stakers: STAKERS_BPS,
        provenance: PROVENANCE_BPS,
    }
}

/// The split that a model is published with: parents are paid out of the data's part, as far as the bounds of
/// governance and the licences of its Datanets leave room.
///
/// # Errors
/// [`ChainError`] when bounds or licences cannot be read.
pub(crate) async fn split_of(client: &ChainClient, manifest: &Manifest) -> Result<SplitBps, ChainError> {
    let split = default_split();
    if manifest.parents.is_empty() {
        return Ok(split);
    }
    let bounds = client.models().split_bounds().await?;
    let floor = revenue_floor(client, manifest.snapshots.iter().map(|named| named.datanet)).await?;
    Ok(SplitBps { parents: parents_part(&split, &bounds, floor), ..split })
}

/// The largest part that the licence of one of these Datanets asks for its data.
async fn revenue_floor(client: &ChainClient, datanets: impl Iterator<Item = DatanetId>) -> Result<u16, ChainError> {
    let mut floor = 0;
    for DatanetId(datanet) in datanets {
        let call = IDatanetRegistry::licenceRulesCall { datanetId: datanet };
        floor = floor.max(client.call(DATANET_REGISTRY, &call).await?.revenueFloorBps);
    }
    Ok(floor)
}

/// What parents get of a split in which they have nothing yet.
fn parents_part(split: &SplitBps, bounds: &SplitBounds, floor: u16) -> u16 {
    let named = [split.burn, split.operatorBps, split.builder, split.stakers];
    let data = named.into_iter().fold(BPS_WHOLE, u16::saturating_sub);
    let room = data.saturating_sub(floor.max(bounds.dataMin));
    PARENTS_BPS.max(bounds.min.parents).min(bounds.max.parents).min(room)
}

/// Why it is not known whom a model's parents' part pays. It is not asked anything then: its answers could not be paid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LineageError {
    /// The chain cannot be read.
    #[error("the builders of the parents of model {model} cannot be read from the registry")]
    Chain {
        /// The model.
        model: ModelId,
        /// Why.
        #[source]
        source: ChainError,
    },
    /// The registry names no parents.
    #[error("model {model} pays its parents, and the registry on chain names none")]
    NoParents {
        /// The model.
        model: ModelId,
    },
    /// The database failed.
    #[error("whom a model's parents' part pays cannot be noted")]
    Store(#[from] StoreError),
    /// A background task died.
    #[error("a background task ended early")]
    Task(#[from] JoinError),
}

/// Makes sure that settlement knows whom the parents' part of a model's fees pays: the builders of its parents on chain,
/// each as often as it built one. What the registry holds of a model never changes, so it is read once.
///
/// # Errors
/// [`LineageError`]; the model must not be asked then.
pub(crate) async fn know(
    client: &ChainClient,
    ledger: &Ledger,
    model: ModelId,
    split: &SplitBps,
) -> Result<(), LineageError> {
    if split.parents == 0 {
        return Ok(());
    }
    let books = ledger.clone();
    if tokio::task::spawn_blocking(move || books.knows_parents(model)).await?? {
        return Ok(());
    }
    let builders = client.models().parent_builders(model).await;
    let builders = builders.map_err(|source| LineageError::Chain { model, source })?;
    if builders.is_empty() {
        return Err(LineageError::NoParents { model });
    }
    let books = ledger.clone();
    Ok(tokio::task::spawn_blocking(move || books.put_parents(model, &builders)).await??)
}

/// Does so for every model that is served. One that fails is tried again when it is asked.
pub(crate) async fn know_all(client: &ChainClient, ledger: &Ledger, catalog: &Catalog) {
    for model in catalog.list() {
        let Published { id, split, name, .. } = &*model;
        if let Err(error) = know(client, ledger, *id, split).await {
            tracing::error!(model = %name, error = %causes(&error), "a model's parents are not known");
        }
    }
}

impl From<LineageError> for ApiError {
    fn from(error: LineageError) -> Self {
        match error {
            LineageError::Chain { source, .. } => source.into(),
            LineageError::NoParents { .. } => Self::conflict("no_parents", error.to_string()),
            LineageError::Store(error) => error.into(),
            LineageError::Task(_) => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use openledger_contracts::genesis::default_split_bounds;

    use super::*;

    #[test]
    fn parents_get_their_part_as_far_as_bounds_and_licences_leave_room() {
        let part = |bounds: &SplitBounds, floor| parents_part(&default_split(), bounds, floor);
        let bounds = default_split_bounds();
        assert_eq!(part(&bounds, 0), PARENTS_BPS);
        assert_eq!(part(&bounds, 4_700), 300, "the licence's floor leaves 3 % of the data's 50 %");
        assert_eq!(part(&bounds, 9_000), 0);
        let mut narrow = bounds.clone();
        narrow.max.parents = 200;
        assert_eq!(part(&narrow, 0), 200);
        let mut high = bounds.clone();
        high.min.parents = 800;
        assert_eq!(part(&high, 0), 800);
        let mut data = bounds;
        data.dataMin = 4_900;
        assert_eq!(part(&data, 0), 100);
    }
}
