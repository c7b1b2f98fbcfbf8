//! What a contract says when it refuses, in words.

use alloy_sol_types::SolInterface;
use openledger_contracts::bindings::{
    IDatanetRegistry::IDatanetRegistryErrors, IInferenceHub::IInferenceHubErrors, IModelRegistry::IModelRegistryErrors,
    IStakerPool::IStakerPoolErrors, IWrappedOpen::IWrappedOpenErrors,
};

/// The error in a call's return data, by name with its values.
#[must_use]
pub fn decode_revert(data: &[u8]) -> String {
    named::<IInferenceHubErrors>(data)
        .or_else(|| named::<IModelRegistryErrors>(data))
        .or_else(|| named::<IDatanetRegistryErrors>(data))
        .or_else(|| named::<IStakerPoolErrors>(data))
        .or_else(|| named::<IWrappedOpenErrors>(data))
        .or_else(|| alloy_sol_types::decode_revert_reason(data))
        .unwrap_or_else(|| format!("unknown error {}", alloy_primitives::hex::encode_prefixed(data)))
}

/// Debug prints `Name(Name { .. })`; the inner part is what people read.
fn named<E: SolInterface + std::fmt::Debug>(data: &[u8]) -> Option<String> {
    let error = format!("{:?}", E::abi_decode_validate(data).ok()?);
    let inner = error.split_once('(').and_then(|(_, inner)| inner.strip_suffix(')'));
    Some(inner.map_or_else(|| error.clone(), str::to_owned))
}
