//! Adapters are registered, loaded, replaced and dropped while requests run.

use openledger_engine::{LoraConfig, SiteKind};
use openledger_primitives::B256;
use openledger_serve::{
    AdapterId, AdapterState, GenerateError, RegisterError, Request, Server, SubmitError, UnloadError, replay,
};
use tempfile::TempDir;

use crate::support::{adapter, config, export, id, model, requests, server_with, spec};

fn ask(server: &Server, name: &str) -> Vec<u32> {
    let mut request = Request::new(vec![4, 8, 15], 20);
    (request.adapter, request.ignore_eos) = (Some(id(name)), true);
    server.submit(request).unwrap().finish_blocking().unwrap().tokens
}

#[test]
fn an_unknown_adapter_is_refused_by_name() {
    let (server, _, _dir) = server_with(config(), &[]);
    let mut request = Request::new(vec![4], 1);
    request.adapter = Some(id("nobody"));
    assert_eq!(server.submit(request).unwrap_err(), SubmitError::UnknownAdapter { id: id("nobody") });
    assert_eq!(server.unload(&id("nobody")).unwrap_err(), UnloadError::Unknown { id: id("nobody") });
}

#[test]
fn a_name_keeps_its_weights_unless_replacing_is_asked_for() {
    let (server, _, dir) = server_with(config(), &[2]);
    let before = ask(&server, "lora-0");
    let first = server.adapter(&id("lora-0")).unwrap();
    assert_eq!(server.register(spec("lora-0", &first.path)).unwrap().generation, 1, "the same weights are no change");

    let other = export(&dir, "other", &adapter(&model(), 4, 77), &model());
    let conflict = server.register(spec("lora-0", &other)).unwrap_err();
    assert!(
        matches!(conflict, RegisterError::Conflict { generation: 1, registered, .. } if registered == first.weights_hash)
    );
    assert_eq!(ask(&server, "lora-0"), before);

    let replaced = server.register(openledger_serve::AdapterSpec { replace: true, ..spec("lora-0", &other) }).unwrap();
    assert_eq!(replaced.generation, 2);
    assert_ne!(ask(&server, "lora-0"), before);
}

#[test]
fn an_unloaded_name_comes_back_as_a_new_generation() {
    let (server, _, _dir) = server_with(config(), &[2]);
    let path = server.adapter(&id("lora-0")).unwrap().path;
    server.unload(&id("lora-0")).unwrap();
    assert!(server.adapters().is_empty());
    assert_eq!(server.register(spec("lora-0", &path)).unwrap().generation, 2);
}

#[test]
fn an_adapter_for_another_base_model_is_refused() {
    let (server, _, _dir) = server_with(config(), &[2]);
    let path = server.adapter(&id("lora-0")).unwrap().path;
    let foreign = openledger_serve::AdapterSpec { base_model: Some(B256::repeat_byte(7)), ..spec("x", &path) };
    assert!(
        matches!(server.register(foreign).unwrap_err(), RegisterError::BaseModel { base, .. } if base == model().hash())
    );
    let own = openledger_serve::AdapterSpec { base_model: Some(model().hash()), ..spec("x", &path) };
    server.register(own).unwrap();
}

#[test]
fn weights_other_than_announced_are_refused() {
    let (server, _, dir) = server_with(config(), &[2]);
    let path = server.adapter(&id("lora-0")).unwrap().path;
    let announced = B256::repeat_byte(9);
    let lying = openledger_serve::AdapterSpec { weights_hash: Some(announced), ..spec("lazy", &path) };
    server.register(lying).unwrap();
    let mut request = Request::new(vec![4], 1);
    request.adapter = Some(id("lazy"));
    let failed = server.submit(request).unwrap().finish_blocking().unwrap_err();
    assert!(matches!(failed, GenerateError::Adapter { reason, .. } if reason.contains("announced")));

    let missing = spec("missing", &dir.path().join("nowhere"));
    assert!(matches!(server.register(missing).unwrap_err(), RegisterError::Read { .. }));
}

#[test]
fn a_rank_above_the_limit_is_refused() {
    let mut config = config();
    config.max_rank = 4;
    let (server, _, dir) = server_with(config, &[4]);
    let path = export(&dir, "wide", &adapter(&model(), 8, 5), &model());
    assert!(matches!(
        server.register(spec("wide", &path)).unwrap_err(),
        RegisterError::Rank { rank: 8, rank_max: 4, .. }
    ));
}

#[test]
fn names_that_could_be_paths_or_markup_are_refused() {
    for bad in ["", "a b", "a\n", "é", "<x>", &"x".repeat(129)] {
        assert!(bad.parse::<AdapterId>().is_err(), "{bad:?}");
    }
    assert!("org/model:v1.2_b-c".parse::<AdapterId>().is_ok());
}

#[test]
fn a_cache_smaller_than_the_adapters_in_use_still_serves_them_all() {
    let mut config = config();
    config.adapter_cache_bytes = 1;
    config.max_slots = 2;
    let (server, adapters, _dir) = server_with(config, &[2, 4, 8, 2]);
    let asked: Vec<Request> = requests(20, 4);
    let running: Vec<_> = asked.iter().map(|r| server.submit(r.clone()).unwrap()).collect();
    for (request, generation) in asked.iter().zip(running) {
        let served = generation.finish_blocking().unwrap();
        let weights = request.adapter.as_ref().map(|id| &adapters[id.as_str()[5..].parse::<usize>().unwrap()]);
        assert_eq!(served, replay(&model(), weights, request, 1).unwrap());
    }
    let metrics = server.metrics();
    assert!(metrics.adapter_evictions_total > 0, "{metrics:?}");
    assert!(metrics.adapters_cached <= 3, "{metrics:?}");
}

#[test]
fn an_adapter_of_some_modules_only_is_served() {
    let (server, _, dir) = server_with(config(), &[]);
    let (model, partial) = (model(), LoraConfig { rank: 2, alpha: 8.0, targets: vec![SiteKind::Q, SiteKind::Down] });
    let mut weights = openledger_engine::LoraAdapter::new(model.config(), &partial, 3).unwrap();
    weights.params_mut().iter_mut().for_each(|p| *p += 0.3);
    let path = export(&dir, "partial", &weights, &model);
    server.register(spec("partial", &path)).unwrap();
    let mut request = Request::new(vec![4, 8, 15], 20);
    request.ignore_eos = true;
    let alone = replay(&model, Some(&weights), &request, 1).unwrap();
    assert_eq!(ask(&server, "partial"), alone.tokens);
    assert_eq!(server.adapter(&id("partial")).unwrap().weights_hash, weights.hash());
}

#[test]
fn thousands_of_adapters_are_registered_without_being_read() {
    let (server, _, _dir) = server_with(config(), &[2]);
    let known = server.adapter(&id("lora-0")).unwrap();
    for n in 0..2_000u32 {
        let hash = Some(known.weights_hash);
        server
            .register(openledger_serve::AdapterSpec { weights_hash: hash, ..spec(&format!("copy-{n}"), &known.path) })
            .unwrap();
    }
    assert_eq!(server.adapters().len(), 2_001);
    assert_eq!(server.metrics().adapters_cached, 0);
    assert_eq!(server.adapter(&id("copy-7")).unwrap().state, AdapterState::Registered);
    assert_eq!(ask(&server, "copy-7"), ask(&server, "lora-0"));
}

#[test]
fn adapters_survive_their_folder_once_they_are_in_memory() {
    let (server, _, dir) = server_with(config(), &[2]);
    let before = ask(&server, "lora-0");
    drop::<TempDir>(dir);
    assert_eq!(ask(&server, "lora-0"), before);
}
