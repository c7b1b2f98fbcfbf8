//! Recipes made from presets, and what a model would learn by them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use openledger_primitives::{DatanetId, SnapshotId, Wei};
use openledger_train::{Preset, Price, Recipe, SNAPSHOTS_MAX, SnapshotRef, Terms};

use crate::api::training as view;
use crate::app::App;
use crate::error::ApiError;
use crate::lineage;
use crate::routes::training::{Submit, request};
use crate::routes::{blocking, models};

/// Price that a new model's terms begin with: 10 and 30 OPEN for a million tokens.
const PRICE: Price = Price { input_wei: Wei(10_000_000_000_000), output_wei: Wei(30_000_000_000_000) };
/// Records of a mask preview.
const MASKED_RECORDS: usize = 3;

/// Starting points for recipes.
pub(crate) async fn presets() -> Json<view::PresetList> {
    let preset = |preset, title: &str, description: &str| view::Preset {
        preset,
        title: title.to_owned(),
        description: description.to_owned(),
    };
    let data = vec![
        preset(view::PresetName::Quick, "Quick", "One pass at a high learning rate: to see whether the data works."),
        preset(view::PresetName::Standard, "Standard", "Three passes at rank 8: a good first model."),
        preset(view::PresetName::Thorough, "Thorough", "Five passes at rank 16, measured while it trains."),
    ];
    let limits = Recipe::limits().into_iter().map(|limit| view::RecipeLimit {
        field: limit.field.to_owned(),
        least: limit.least,
        most: limit.most,
        above: limit.above,
        multiple_of: limit.multiple_of,
    });
    Json(view::PresetList { data, limits: limits.collect(), split: models::split(&lineage::default_split()) })
}

/// A recipe ready to be submitted, with terms to begin with.
pub(crate) async fn make(
    State(app): State<Arc<App>>,
    Json(body): Json<view::RecipeRequest>,
) -> Result<Json<view::RecipeDraft>, ApiError> {
    let given = body.snapshots.len();
    if given == 0 || given > SNAPSHOTS_MAX {
        let message = format!("{given} snapshots were given; 1 to {SNAPSHOTS_MAX} are taken");
        return Err(ApiError::invalid("invalid_snapshots", message).with_param("snapshots"));
    }
    let draft = blocking(move || {
        let mut snapshots = Vec::with_capacity(given);
        for choice in &body.snapshots {
            let (datanet, snapshot) = (DatanetId(choice.datanet), SnapshotId(choice.snapshot));
            let root = app.snapshots.get(datanet, snapshot)?.root();
            snapshots.push(SnapshotRef { datanet, snapshot, root });
        }
        let preset = match body.preset {
            view::PresetName::Quick => Preset::Quick,
            view::PresetName::Standard => Preset::Standard,
            view::PresetName::Thorough => Preset::Thorough,
        };
        let recipe = Recipe::preset(preset, &body.name, app.catalog.base().hash(), snapshots);
        recipe.validate().map_err(|error| ApiError::invalid("invalid_recipe", error.to_string()))?;
        Ok::<_, ApiError>(view::RecipeDraft { recipe, terms: Terms { parents: Vec::new(), price: PRICE } })
    });
    Ok(Json(draft.await??))
}

/// Which tokens of the first records are learnt.
pub(crate) async fn mask_preview(
    State(app): State<Arc<App>>,
    Json(body): Json<Submit>,
) -> Result<Json<view::MaskPreview>, ApiError> {
    let masks = blocking(move || {
        let request = request(&app.datanets, body)?;
        Ok::<_, ApiError>(app.factory.preview_masks(&request, MASKED_RECORDS)?)
    });
    let token = |token: openledger_train::MaskedToken| view::MaskedToken { text: token.text, trained: token.learnt };
    let record = |tokens: Vec<_>| view::MaskedRecord { tokens: tokens.into_iter().map(token).collect() };
    Ok(Json(view::MaskPreview { records: masks.await??.into_iter().map(record).collect() }))
}
