//! The linear maps of a decoder to which a LoRA can attach.

use super::ModelConfig;

/// Which linear map of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SiteKind {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Attention output.
    O,
    /// Feed-forward gate.
    Gate,
    /// Feed-forward up.
    Up,
    /// Feed-forward down.
    Down,
}

impl SiteKind {
    /// All kinds, in the order of sites within a layer.
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// Name of the module in Hugging Face checkpoints and PEFT's `target_modules`.
    #[must_use]
    pub fn module(self) -> &'static str {
        match self {
            Self::Q => "q_proj",
            Self::K => "k_proj",
            Self::V => "v_proj",
            Self::O => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// The kind with that module name.
    #[must_use]
    pub fn from_module(module: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.module() == module)
    }

    /// Path of the module within a layer, as in `self_attn.q_proj`.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Q => "self_attn.q_proj",
            Self::K => "self_attn.k_proj",
            Self::V => "self_attn.v_proj",
            Self::O => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }
}

/// Index of a site in [`Model::sites`](crate::Model::sites): `layer * 7 + kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub u32);

impl SiteId {
    /// The site of `kind` in `layer`.
    #[must_use]
    pub fn new(layer: usize, kind: SiteKind) -> Self {
        Self((layer * SiteKind::ALL.len() + kind as usize) as u32)
    }

    /// The layer that it is in.
    #[must_use]
    pub fn layer(self) -> usize {
        self.index() / SiteKind::ALL.len()
    }

    /// Position in [`Model::sites`](crate::Model::sites).
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One linear map `y = W x` to which a LoRA can attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SiteInfo {
    /// Index.
    pub id: SiteId,
    /// Layer, from zero.
    pub layer: usize,
    /// Which map of the layer.
    pub kind: SiteKind,
    /// Elements of `x`.
    pub d_in: usize,
    /// Elements of `y`.
    pub d_out: usize,
}

impl SiteInfo {
    /// Every site of a model of that shape, in order.
    #[must_use]
    pub fn all(config: &ModelConfig) -> Vec<Self> {
        let of_layer = |layer| SiteKind::ALL.into_iter().map(move |kind| (layer, kind));
        (0..config.layers).flat_map(of_layer).map(|(layer, kind)| Self::of(config, layer, kind)).collect()
    }

    pub(crate) fn of(config: &ModelConfig, layer: usize, kind: SiteKind) -> Self {
        let (hidden, ffn, q, kv) = (config.hidden, config.ffn, config.q_dim(), config.kv_dim());
        let (d_in, d_out) = match kind {
            SiteKind::Q => (hidden, q),
            SiteKind::K | SiteKind::V => (hidden, kv),
            SiteKind::O => (q, hidden),
            SiteKind::Gate | SiteKind::Up => (hidden, ffn),
            SiteKind::Down => (ffn, hidden),
        };
        Self { id: SiteId::new(layer, kind), layer, kind, d_in, d_out }
    }

    /// Full module path as in Hugging Face checkpoints: `model.layers.3.self_attn.q_proj`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("model.layers.{}.{}", self.layer, self.kind.path())
    }
}
