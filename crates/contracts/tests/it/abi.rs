//! Bindings and committed ABIs name the same functions and errors.

use std::collections::BTreeSet;

use alloy_primitives::keccak256;
use openledger_contracts::artifacts::Contract;
use openledger_contracts::{
    IDatanetRegistry, IInferenceHub, IModelRegistry, IReceiptJudge, IStakerPool, IWrappedOpen, SolInterface,
};
use serde_json::Value;

fn canonical_type(parameter: &Value) -> String {
    let name = parameter["type"].as_str().unwrap();
    match name.strip_prefix("tuple") {
        Some(suffix) => format!("({}){suffix}", canonical_list(&parameter["components"])),
        None => name.to_owned(),
    }
}

fn canonical_list(parameters: &Value) -> String {
    let types: Vec<_> = parameters.as_array().unwrap().iter().map(canonical_type).collect();
    types.join(",")
}

fn selectors(contract: Contract, kind: &str) -> BTreeSet<[u8; 4]> {
    let abi = contract.artifact().abi;
    let of_kind = abi.as_array().unwrap().iter().filter(|item| item["type"] == kind);
    let signature = |item: &Value| format!("{}({})", item["name"].as_str().unwrap(), canonical_list(&item["inputs"]));
    of_kind.map(|item| keccak256(signature(item))[..4].try_into().unwrap()).collect()
}

fn assert_in_abi<Calls: SolInterface, Errors: SolInterface>(contract: Contract) {
    let functions = selectors(contract, "function");
    let errors = selectors(contract, "error");
    assert!(Calls::COUNT > 0);
    for selector in (0..Calls::COUNT).filter_map(Calls::selector_at) {
        assert!(functions.contains(&selector), "{contract:?} has no function {selector:02x?}");
    }
    for selector in (0..Errors::COUNT).filter_map(Errors::selector_at) {
        assert!(errors.contains(&selector), "{contract:?} has no error {selector:02x?}");
    }
}

#[test]
fn every_bound_function_and_error_is_in_the_committed_abi() {
    assert_in_abi::<IWrappedOpen::IWrappedOpenCalls, IWrappedOpen::IWrappedOpenErrors>(Contract::WrappedOpen);
    assert_in_abi::<IDatanetRegistry::IDatanetRegistryCalls, IDatanetRegistry::IDatanetRegistryErrors>(
        Contract::DatanetRegistry,
    );
    assert_in_abi::<IModelRegistry::IModelRegistryCalls, IModelRegistry::IModelRegistryErrors>(Contract::ModelRegistry);
    assert_in_abi::<IStakerPool::IStakerPoolCalls, IStakerPool::IStakerPoolErrors>(Contract::StakerPool);
    assert_in_abi::<IReceiptJudge::IReceiptJudgeCalls, IReceiptJudge::IReceiptJudgeErrors>(Contract::ReceiptJudge);
    assert_in_abi::<IInferenceHub::IInferenceHubCalls, IInferenceHub::IInferenceHubErrors>(Contract::InferenceHub);
}

#[test]
fn no_contract_exceeds_the_code_size_limit() {
    for contract in Contract::ALL {
        let artifact = contract.artifact();
        assert_eq!(artifact.contract, format!("{contract:?}"));
        assert!((1..=24_576).contains(&artifact.deployed_bytecode.len()), "{contract:?}");
    }
}
