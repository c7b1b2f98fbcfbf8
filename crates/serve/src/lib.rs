//! OpenLoRA: the scheduler, the paged KV cache and the adapter tiers.
