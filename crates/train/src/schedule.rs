//! The learning rate of each step.

use std::f64::consts::PI;

use crate::recipe::{Recipe, Schedule};

/// Learning rate of step `step` (from 0) of `steps`: a linear warm-up, then the recipe's schedule, zero after the last step.
///
/// The cosine is libm's, so that it is the same number on every machine.
pub(crate) fn learning_rate(recipe: &Recipe, step: u64, steps: u64) -> f32 {
    let warmup = u64::from(recipe.warmup_steps);
    if step < warmup {
        return (recipe.learning_rate * (step + 1) as f64 / (warmup + 1) as f64) as f32;
    }
    let progress = (step - warmup) as f64 / steps.saturating_sub(warmup).max(1) as f64;
    let factor = match recipe.schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => 1.0 - progress,
        Schedule::Cosine => 0.5 * (1.0 + libm::cos(PI * progress)),
    };
    (recipe.learning_rate * factor) as f32
}

#[cfg(test)]
mod tests {
    use super::learning_rate;
    use crate::recipe::{Preset, Recipe, Schedule};

    fn rates(schedule: Schedule) -> Vec<f32> {
        let mut recipe = Recipe::preset(Preset::Quick, "x", Default::default(), vec![]);
        (recipe.schedule, recipe.warmup_steps, recipe.learning_rate) = (schedule, 1, 1.0);
        (0..5).map(|step| learning_rate(&recipe, step, 5)).collect()
    }

    #[test]
    fn schedules_rise_then_fall_as_named() {
        assert_eq!(rates(Schedule::Constant), [0.5, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(rates(Schedule::Linear), [0.5, 1.0, 0.75, 0.5, 0.25]);
        let cosine = rates(Schedule::Cosine);
        assert!((cosine[3] - 0.5).abs() < 1e-6 && cosine[4] < 0.25 && cosine[1] == 1.0, "{cosine:?}");
    }
}
