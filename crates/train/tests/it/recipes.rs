//! Recipes say what is wrong with them.

use openledger_train::{Preset, Recipe, RecipeError};

use crate::support::{model, recipe};

fn refused(change: impl Fn(&mut Recipe)) -> RecipeError {
    let mut recipe = recipe(&model());
    change(&mut recipe);
    recipe.validate().unwrap_err()
}

#[test]
fn the_limits_told_are_those_that_are_kept() {
    let valid = recipe(&model());
    for limit in Recipe::limits() {
        let pointer = format!("/{}", limit.field.replace('.', "/"));
        let with = |value: f64| {
            let mut json = valid.to_json();
            let Some(place @ serde_json::Value::Number(_)) = json.pointer_mut(&pointer) else { return None };
            let whole = place.is_u64();
            *place = if whole { serde_json::json!(value as u64) } else { serde_json::json!(value) };
            // A number that its field cannot hold is refused where the recipe is read.
            Some(serde_json::from_value::<Recipe>(json).is_ok_and(|recipe| recipe.validate().is_ok()))
        };
        let Some(most) = with(limit.most) else { continue };
        let step = limit.multiple_of.map_or(1.0, f64::from);
        assert!(most, "{limit:?} itself is taken");
        assert_eq!(with(limit.most + step), Some(false), "{limit:?}: above");
        assert_eq!(with(limit.least), Some(!limit.above), "{limit:?}: at the least");
        if limit.least >= 1.0 {
            assert_eq!(with(limit.least - step), Some(false), "{limit:?}: below");
        }
        if step > 1.0 {
            assert_eq!(with(limit.least + 1.0), Some(false), "{limit:?}: no multiple");
        }
    }
}

#[test]
fn every_whole_number_of_a_recipe_has_a_limit_that_is_told() {
    let json = recipe(&model()).to_json();
    let fields: Vec<String> = Recipe::limits().iter().map(|limit| limit.field.replace('.', "/")).collect();
    let mut missing = Vec::new();
    whole_numbers("", &json, &mut |path| {
        if !fields.iter().any(|field| path == format!("/{field}")) {
            missing.push(path.to_owned());
        }
    });
    assert_eq!(missing, Vec::<String>::new());
}

/// The paths of all whole numbers that stand in objects; those in lists are bounded with their list, and a snapshot is not
/// chosen by a number.
fn whole_numbers(path: &str, value: &serde_json::Value, found: &mut impl FnMut(&str)) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| whole_numbers(&format!("{path}/{name}"), value, found));
        }
        serde_json::Value::Number(number) if number.is_u64() => found(path),
        _ => {}
    }
}

/// What the trainer takes, the influence index takes: otherwise a job would fail after hours of training.
#[test]
fn the_index_keeps_the_limits_of_the_influence_policy_too() {
    for limit in Recipe::limits().iter().filter(|limit| limit.field.starts_with("attribution.policy.influence.")) {
        let taken = |value: f64| {
            let mut json = recipe(&model()).to_json();
            *json.pointer_mut(&format!("/{}", limit.field.replace('.', "/"))).unwrap() = (value as i64).into();
            let Ok(mut recipe) = serde_json::from_value::<Recipe>(json) else { return false };
            recipe.attribution.policy.influence.checkpoints = vec![1];
            recipe.attribution.policy.influence.checkpoint_dims(1, 1).is_ok()
        };
        let step = limit.multiple_of.map_or(1.0, f64::from);
        assert!(taken(limit.least) && taken(limit.most), "{limit:?}");
        assert!(!taken(limit.least - step) && !taken(limit.most + step), "{limit:?}");
        assert!(step == 1.0 || !taken(limit.least + 1.0), "{limit:?}");
    }
}

#[test]
fn every_preset_is_valid() {
    for preset in [Preset::Quick, Preset::Standard, Preset::Thorough] {
        let snapshots = recipe(&model()).snapshots;
        Recipe::preset(preset, "x", model().hash(), snapshots).validate().unwrap();
    }
}

#[test]
fn a_value_out_of_range_is_named_with_its_limit() {
    let error = refused(|r| r.lora.rank = 999);
    assert_eq!(error, RecipeError::Range { field: "lora.rank", given: 999, least: 1, most: 256 });
    assert_eq!(error.to_string(), "lora.rank is 999; it must be 1 to 256");
    assert!(matches!(refused(|r| r.epochs = 0), RecipeError::Range { field: "epochs", given: 0, .. }));
    assert!(matches!(refused(|r| r.batch_size = 0), RecipeError::Range { field: "batch_size", .. }));
    assert!(matches!(refused(|r| r.snapshots.clear()), RecipeError::Range { field: "snapshots", .. }));
    assert!(matches!(refused(|r| r.name = "x".repeat(121)), RecipeError::Range { field: "name (characters)", .. }));
    assert!(matches!(refused(|r| r.learning_rate = 0.0), RecipeError::Real { field: "learning_rate", .. }));
    assert!(matches!(refused(|r| r.learning_rate = f64::NAN), RecipeError::Real { field: "learning_rate", .. }));
    assert!(matches!(refused(|r| r.weight_decay = -0.1), RecipeError::Real { field: "weight_decay", .. }));
    assert_eq!(refused(|r| r.lora.targets = vec!["lm_head".into()]), RecipeError::Target { name: "lm_head".into() });
    assert_eq!(refused(|r| r.lora.targets.clear()), RecipeError::NoTargets);
    assert!(matches!(refused(|r| r.attribution.checkpoints_bps = vec![10, 10]), RecipeError::CheckpointOrder { .. }));
    assert!(matches!(refused(|r| r.attribution.checkpoints_bps.clear()), RecipeError::Range { .. }));
    assert_eq!(refused(|r| r.attribution.policy.influence.checkpoints = vec![3]), RecipeError::CheckpointSteps);
    let error = refused(|r| r.attribution.policy.influence.quantise_bits = 9);
    assert_eq!(error.to_string(), "attribution.policy.influence.quantise_bits is 9; it must be 2 to 8");
    let error = refused(|r| r.attribution.policy.influence.projection_dim = 12);
    assert_eq!(error.to_string(), "attribution.policy.influence.projection_dim is 12; it must be a multiple of 8");
}

#[test]
fn one_snapshot_of_a_datanet_is_enough() {
    let error = refused(|recipe| {
        let mut later = recipe.snapshots[0];
        later.snapshot.0 += 1;
        recipe.snapshots.push(later);
    });
    assert_eq!(error.to_string(), "snapshots names Datanet 1 twice; a model trains on one snapshot of each");
}

#[test]
fn a_module_that_is_not_adapted_has_no_sites_for_the_index() {
    for (named, targets) in [("q_porj", vec!["q_proj"]), ("up_proj", vec!["q_proj", "v_proj"])] {
        let error = refused(|recipe| {
            recipe.lora.targets = targets.iter().map(|&target| target.to_owned()).collect();
            recipe.attribution.policy.influence.sites.modules = vec!["q_proj".to_owned(), named.to_owned()];
        });
        assert!(matches!(&error, RecipeError::SiteModule { name, .. } if name == named), "{error}");
    }
}

/// Each value is within its limits; the rows that they make together are not.
#[test]
fn an_index_that_cannot_be_built_is_known_before_the_training() {
    let model = model();
    let mut recipe = recipe(&model);
    let dims = recipe.index_row_dims(&model).unwrap();
    let sites = model.sites().len();
    assert_eq!(dims, sites * 2 * 8 * 4 * 2, "sites, two factors, projection, rank, checkpoints");
    recipe.lora.rank = 256;
    recipe.attribution.policy.influence.projection_dim = 256;
    recipe.validate().unwrap();
    let error = recipe.index_row_dims(&model).unwrap_err();
    let expected = format!(
        "attribution.policy.influence cannot be followed with lora.rank 256, {sites} sites and 2 attribution.checkpoints_bps"
    );
    assert_eq!(error.to_string(), expected);
    let limit = std::error::Error::source(&error).unwrap().to_string();
    assert!(limit.contains("at most 1048576 are allowed"), "{limit}");
}

#[test]
fn a_recipe_survives_json_and_refuses_unknown_fields() {
    let mut recipe = recipe(&model());
    recipe.seed = u64::MAX;
    let mut json = recipe.to_json();
    assert_eq!(serde_json::from_value::<Recipe>(json.clone()).unwrap(), recipe);
    json["learning_rat"] = 1.into();
    assert!(serde_json::from_value::<Recipe>(json).unwrap_err().to_string().contains("learning_rat"));
}

#[test]
fn the_hash_of_a_recipe_covers_its_seed() {
    let one = recipe(&model());
    let mut two = one.clone();
    two.seed += 1;
    assert_ne!(one.hash(), two.hash());
    assert_eq!(one.hash(), recipe(&model()).hash());
}
