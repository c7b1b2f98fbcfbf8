//! Weights, tokenizers, the decoder's forward and backward passes, LoRA as a layer.
