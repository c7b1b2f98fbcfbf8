//! ModelFactory: recipes, jobs, checkpoints, evaluation and export.
