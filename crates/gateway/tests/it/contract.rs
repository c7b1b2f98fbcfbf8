//! Answers of a real node against the OpenAPI document that clients are generated from.

use jsonschema::Validator;
use openledger_gateway::api::document_json;
use openledger_primitives::{B256, Wei};
use serde_json::{Value, json};

use crate::node::node;
use crate::people::{CONTRIBUTORS, MODEL, PAYER, SCRIPT, key};

/// The schema of one answer, with all components beside it.
fn schema(method: &str, path: &str, status: &str) -> Validator {
    let document: Value = serde_json::from_str(&document_json()).unwrap();
    let responses = &document["paths"][path][method]["responses"];
    let schema = &responses[status]["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{method} {path} has no schema for {status}");
    let whole = json!({"allOf": [schema], "components": document["components"]});
    jsonschema::validator_for(&whole).unwrap()
}

pub(crate) fn check(method: &str, path: &str, status: &str, answer: &Value) {
    let errors: Vec<String> = schema(method, path, status)
        .iter_errors(answer)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{method} {path}: {errors:#?}\n{answer:#}");
}

async fn get(path: &str) -> Value {
    let response = reqwest::get(format!("{}{path}", node().gateway)).await.unwrap();
    let status = response.status();
    let body = response.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {body}");
    serde_json::from_str(&body).unwrap()
}

async fn post(path: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}{path}", node().gateway);
    let response = reqwest::Client::new().post(url).json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Asks and checks; gives the answer.
async fn checked(template: &str, path: &str) -> Value {
    let answer = get(path).await;
    check("get", template, "200", &answer);
    answer
}

fn wei(value: &Value) -> u128 {
    serde_json::from_value::<Wei>(value.clone()).unwrap().0
}

#[tokio::test]
async fn node_and_model_answers_fit_the_document() {
    for path in ["/v1/status", "/v1/operator", "/v1/lora_adapters", "/v1/models", "/v1/fine_tuning/presets"] {
        checked(path, path).await;
    }
    let presets = get("/v1/fine_tuning/presets").await;
    assert_eq!(presets["split"]["builder"], 1500);
    let limit = |field| presets["limits"].as_array().unwrap().iter().find(|limit| limit["field"] == field).unwrap();
    assert_eq!(limit("lora.rank")["most"], 256.0);
    let projection = limit("attribution.policy.influence.projection_dim");
    assert_eq!((&projection["most"], &projection["multiple_of"]), (&json!(256.0), &json!(8)));
    let detail = checked("/v1/models/{name}/details", &format!("/v1/models/{MODEL}/details")).await;
    assert_eq!(detail["answers"], 1);
    assert_eq!(detail["datanets"], json!([node().made.datanet]));
}

#[tokio::test]
async fn a_chain_that_can_make_no_blocks_is_told_to_people_and_to_load_balancers() {
    let health = async || {
        let response = reqwest::get(format!("{}/health", node().gateway)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let error = async || checked("/v1/status", "/v1/status").await["chain"]["error"].clone();
    assert_eq!((health().await, error().await), ((200, "ok\n".to_owned()), json!(null)));
    let why = "disk full: blocks cannot be written";
    node().trouble(Some(why));
    assert_eq!((health().await, error().await), ((503, format!("{why}\n")), json!(why)));
    node().trouble(None);
    assert_eq!((health().await, error().await), ((200, "ok\n".to_owned()), json!(null)));
}

#[tokio::test]
async fn the_registry_is_paged_and_searched_by_name_builder_and_id() {
    let whole = checked("/v1/registry", "/v1/registry?limit=1").await;
    let [row] = whole["data"].as_array().unwrap().as_slice() else { panic!("one model: {whole}") };
    assert_eq!((&row["name"], &row["answers"], &whole["next_after"]), (&json!(MODEL), &json!(1), &json!(1)));
    let rest = checked("/v1/registry", "/v1/registry?limit=1&after=1").await;
    assert_eq!((&rest["data"], &rest["next_after"]), (&json!([]), &json!(null)));
    let builder = key(3).address().to_string().to_uppercase().replace("0X", "0x");
    for text in ["ANALYST", &builder, row["id"].as_str().unwrap()] {
        let found = checked("/v1/registry", &format!("/v1/registry?search={text}")).await;
        assert_eq!(found["data"][0], *row, "{text}");
    }
    assert_eq!(get("/v1/registry?search=nobody").await["data"], json!([]));
}

#[tokio::test]
async fn datanet_answers_fit_the_document_and_count_what_was_accepted() {
    let id = node().made.datanet;
    let list = checked("/v1/datanets", "/v1/datanets?limit=10").await;
    assert_eq!(list["data"][0]["name"], SCRIPT);
    let detail = checked("/v1/datanets/{id}", &format!("/v1/datanets/{id}")).await;
    assert_eq!((&detail["records_accepted"], &detail["contributors"]), (&json!(16), &json!(2)));
    assert_eq!(detail["model_names"], json!([MODEL]));
    checked("/v1/datanets/{id}/columns", &format!("/v1/datanets/{id}/columns")).await;
    let snapshots = checked("/v1/datanets/{id}/snapshots", &format!("/v1/datanets/{id}/snapshots")).await;
    let published = on_chain_snapshot(id, 1).await;
    assert_eq!(snapshots["data"][0]["content_hash"], published["content_hash"], "what the chain was given");
    assert_eq!(snapshots["data"][0]["root"], published["root"]);
    let preview = checked("/v1/datanets/{id}/snapshots/preview", &format!("/v1/datanets/{id}/snapshots/preview")).await;
    assert_eq!((&preview["record_count"], &preview["is_new"]), (&json!(16), &json!(false)), "{preview}");
    checked("/v1/datanets/{id}/contributors", &format!("/v1/datanets/{id}/contributors")).await;
}

#[tokio::test]
async fn records_are_paged_searched_and_proven() {
    let id = node().made.datanet;
    let records = format!("/v1/datanets/{id}/records");
    let template = "/v1/datanets/{id}/records";
    let first = checked(template, &format!("{records}?limit=10")).await;
    let after = first["next_after"].as_u64().unwrap();
    let second = checked(template, &format!("{records}?limit=10&after={after}")).await;
    assert_eq!(first["data"].as_array().unwrap().len() + second["data"].as_array().unwrap().len(), 16);
    let found = checked(template, &format!("{records}?search=ALERT")).await;
    assert_eq!(found["data"].as_array().unwrap().len(), 2, "one of each contributor");
    let contributor = key(CONTRIBUTORS[0]).address();
    let own = checked(template, &format!("{records}?contributor={contributor}&status=accepted")).await;
    assert_eq!(own["data"].as_array().unwrap().len(), 8);
    let response = own["data"][0]["body"]["response"].as_str().unwrap();
    let narrowed = format!("{records}?column=response&value={}", response.replace(' ', "%20"));
    assert!(!checked(template, &narrowed).await["data"].as_array().unwrap().is_empty());
    let hash = own["data"][0]["hash"].as_str().unwrap();
    let record = checked("/v1/records/{hash}", &format!("/v1/records/{hash}")).await;
    let salt: B256 = serde_json::from_value(record["salt"].clone()).unwrap();
    let canonical = openledger_primitives::canonical_json::to_vec(&record["body"]).unwrap();
    assert_eq!(openledger_primitives::keccak256([salt.as_slice(), &canonical].concat()).to_string(), hash);
    let place = &record["snapshots"][0];
    let proof: openledger_primitives::merkle::MerkleProof = serde_json::from_value(place["proof"].clone()).unwrap();
    let leaf: openledger_primitives::Bytes = serde_json::from_value(place["leaf"].clone()).unwrap();
    let root = serde_json::from_value(place["root"].clone()).unwrap();
    assert!(proof.verify(root, openledger_primitives::merkle::leaf_hash(&leaf)));
}

#[tokio::test]
async fn records_of_a_batch_that_is_not_revealed_are_shown_to_nobody() {
    let made = &node().made;
    let hidden = key(7).address();
    let records = get(&format!("/v1/datanets/{}/records?contributor={hidden}", made.datanet)).await;
    assert_eq!(records["data"], json!([]));
    let own = get(&format!("/v1/accounts/{hidden}/records")).await;
    assert_eq!(own["data"], json!([]));
    check("post", "/v1/datanets/{id}/batches", "200", &made.hidden);
    assert_eq!(made.hidden["preview"]["columns"], json!(["procedure", "technique"]));
    checked("/v1/uploads/{id}", &format!("/v1/uploads/{}", made.upload)).await;
}

#[tokio::test]
async fn a_snapshots_body_makes_its_root_and_its_content_hash() {
    let taken = get(&format!("/v1/datanets/{}/snapshots", node().made.datanet)).await["data"][0].clone();
    let url = format!("{}/v1/snapshots/{}", node().gateway, taken["root"].as_str().unwrap());
    let body = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    assert_eq!(openledger_primitives::keccak256(&body).to_string(), taken["content_hash"]);
    let snapshot = openledger_datanet::Snapshot::from_body(&body).unwrap();
    assert_eq!(snapshot.root().to_string(), taken["root"]);
    let unknown = reqwest::get(format!("{}/v1/snapshots/{}", node().gateway, B256::ZERO)).await.unwrap();
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn a_batch_is_read_by_its_commitment_and_shows_none_of_its_records() {
    let made = &node().made;
    let prepared = &made.hidden["batch"];
    let commitment = prepared["commitment"].as_str().unwrap();
    let mut batch = checked("/v1/batches/{commitment}", &format!("/v1/batches/{commitment}")).await;
    let fields = batch.as_object_mut().unwrap();
    assert_eq!((fields.remove("state"), fields.remove("priority")), (Some(json!("prepared")), Some(json!(null))));
    assert_eq!(&batch, prepared, "what was prepared, and nothing else");
    let accepted = get(&format!("/v1/datanets/{}/records?limit=1", made.datanet)).await;
    let commitment = accepted["data"][0]["commitment"].as_str().unwrap();
    let batch = checked("/v1/batches/{commitment}", &format!("/v1/batches/{commitment}")).await;
    assert_eq!((&batch["state"], batch["priority"].is_u64()), (&json!("accepted"), true));
    let unknown = reqwest::get(format!("{}/v1/batches/{}", node().gateway, B256::ZERO)).await.unwrap();
    assert_eq!(unknown.status(), 404);
}

async fn search(text: &str) -> Value {
    let url = reqwest::Url::parse_with_params("http://node/v1/search", [("q", text)]).unwrap();
    let found = checked("/v1/search", &format!("{}?{}", url.path(), url.query().unwrap())).await;
    found["data"].clone()
}

#[tokio::test]
async fn a_search_finds_everything_by_its_number_hash_or_name() {
    let made = &node().made;
    let receipt = &made.receipt;
    assert_eq!(search(receipt).await, json!([{"kind": "receipt", "hash": receipt}]));
    let record = get(&format!("/v1/datanets/{}/records?limit=1", made.datanet)).await["data"][0]["hash"].clone();
    let found = json!([{"kind": "record", "hash": record, "datanet": made.datanet}]);
    assert_eq!(search(record.as_str().unwrap()).await, found);
    let model = get(&format!("/v1/models/{MODEL}/details")).await["id"].clone();
    let found = json!([{"kind": "model", "id": model, "name": MODEL}]);
    assert_eq!(search(model.as_str().unwrap()).await, found);
    assert_eq!(search("ANALYST").await, found);
    assert_eq!(search("tiny").await[0], json!({"kind": "model", "id": null, "name": "tiny"}));
    assert_eq!(search("<script").await, json!([{"kind": "datanet", "id": made.datanet, "name": SCRIPT}]));
    let address = key(PAYER).address();
    let found = serde_json::to_value(address).unwrap();
    assert_eq!(search(&address.to_string()).await, json!([{"kind": "address", "address": found}]));
    let epoch = get("/v1/epochs").await["data"][0].clone();
    assert_eq!(search("epoch 1").await, json!([{"kind": "epoch", "number": 1}]));
    let transaction = search(epoch["post_tx"].as_str().unwrap()).await;
    assert_eq!((&transaction[0]["kind"], transaction.as_array().unwrap().len()), (&json!("transaction"), 1));
    let number = transaction[0]["block"].as_u64().unwrap();
    let client = openledger_sdk::ChainClient::connect(&node().rpc, key(PAYER)).await.unwrap();
    let block: Value = client.rpc("eth_getBlockByNumber", (format!("{number:#x}"), false)).await.unwrap();
    let block = search(block["hash"].as_str().unwrap()).await;
    assert_eq!(block, json!([{"kind": "block", "number": number}]));
    let first = search("#1").await;
    for kind in ["block", "epoch", "datanet"] {
        assert!(first.as_array().unwrap().iter().any(|found| found["kind"] == kind), "{first}");
    }
}

#[tokio::test]
async fn a_search_that_means_nothing_finds_nothing_and_a_long_one_is_refused() {
    let hidden = node().made.hidden["batch"]["batch_root"].as_str().unwrap();
    let nowhere = B256::repeat_byte(7).to_string();
    for text in ["", " ", "nobody", "block 999999999", "epoch 0", "epoch 18446744073709551615", hidden, &nowhere] {
        assert_eq!(search(text).await, json!([]), "{text}");
    }
    let long = reqwest::get(format!("{}/v1/search?q={}", node().gateway, "x".repeat(513))).await.unwrap();
    assert_eq!(long.status(), 422);
}

/// What the registry has of a snapshot, under the names of the API.
async fn on_chain_snapshot(datanet: u64, snapshot: u64) -> Value {
    use openledger_contracts::{IDatanetRegistry, addresses::DATANET_REGISTRY};
    let client = openledger_sdk::ChainClient::connect(&node().rpc, key(PAYER)).await.unwrap();
    let call = IDatanetRegistry::getSnapshotCall { datanetId: datanet, snapshotId: snapshot };
    let found = client.call(DATANET_REGISTRY, &call).await.unwrap();
    json!({"root": found.root, "content_hash": found.contentHash})
}

#[tokio::test]
async fn job_answers_fit_the_document() {
    let job = node().made.job;
    checked("/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs").await;
    let shown = checked("/v1/fine_tuning/jobs/{id}", &format!("/v1/fine_tuning/jobs/{job}")).await;
    assert_eq!((&shown["name"], &shown["progress"]), (&json!(MODEL), &json!(1.0)));
    assert!(shown["train_loss"].as_f64().unwrap() > 0.0);
    assert_eq!(
        shown["models"],
        json!([{
            "id": get(&format!("/v1/models/{MODEL}/details")).await["id"], "name": MODEL, "builder": key(3).address(),
        }])
    );
    let events = checked("/v1/fine_tuning/jobs/{id}/events", &format!("/v1/fine_tuning/jobs/{job}/events")).await;
    assert!(events["data"].as_array().unwrap().iter().any(|event| event["happening"]["kind"] == "step"));
    let draft = format!("/v1/fine_tuning/jobs/{job}/model?name=other");
    checked("/v1/fine_tuning/jobs/{id}/model", &draft).await;
    let request = json!({"recipe": shown["recipe"], "terms": shown["terms"]});
    let (status, masks) = post("/v1/fine_tuning/mask_preview", &request).await;
    assert_eq!(status, 200, "{masks}");
    check("post", "/v1/fine_tuning/mask_preview", "200", &masks);
    let tokens = masks["records"][0]["tokens"].as_array().unwrap();
    assert!(tokens.iter().any(|token| token["trained"] == true) && tokens[0]["trained"] == false);
    let (_, estimate) = post("/v1/fine_tuning/estimate", &request).await;
    check("post", "/v1/fine_tuning/estimate", "200", &estimate);
}

#[tokio::test]
async fn a_jobs_stream_begins_with_its_past_and_resumes_after_an_event() {
    let url = format!("{}/v1/fine_tuning/jobs/{}/stream", node().gateway, node().made.job);
    let mut stream = reqwest::get(&url).await.unwrap();
    let text = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let event: Value = serde_json::from_str(data).unwrap();
    assert_eq!(event["sequence"].to_string(), id);
    let again = reqwest::Client::new().get(&url).header("last-event-id", &id).send();
    let mut again = again.await.unwrap();
    let text = String::from_utf8(again.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let next: u64 = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().parse().unwrap();
    assert!(next > id.parse().unwrap());
}

#[tokio::test]
async fn a_finished_adapter_can_be_fetched_in_both_formats() {
    let files = format!("{}/v1/fine_tuning/jobs/{}/files", node().gateway, node().made.job);
    let zip = reqwest::get(format!("{files}/adapter.zip")).await.unwrap().bytes().await.unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zip.to_vec())).unwrap();
    assert!(archive.by_name("adapter_config.json").is_ok() && archive.by_name("adapter_model.safetensors").is_ok());
    let gguf = reqwest::get(format!("{files}/adapter.gguf")).await.unwrap().bytes().await.unwrap();
    assert_eq!(&gguf[..4], b"GGUF");
    let other = reqwest::get(format!("{files}/..%2f..%2fmanifest.json")).await.unwrap();
    assert_eq!(other.status(), 404);
}

#[tokio::test]
async fn settlement_answers_fit_the_document() {
    let receipts = checked("/v1/receipts", "/v1/receipts").await;
    assert_eq!(receipts["data"][0]["model"], MODEL);
    let payer = key(PAYER).address();
    let own = checked("/v1/receipts", &format!("/v1/receipts?payer={payer}&model={MODEL}")).await;
    assert_eq!(own["data"].as_array().unwrap().len(), 1);
    checked("/v1/receipts/{hash}", &format!("/v1/receipts/{}", node().made.receipt)).await;
    checked("/v1/epochs", "/v1/epochs").await;
    let disputes = checked("/v1/disputes", "/v1/disputes").await;
    assert_eq!((&disputes["data"], &disputes["looked_to"]), (&json!([]), &disputes["head"]));
    let contributor = key(CONTRIBUTORS[0]).address();
    checked("/v1/accounts/{address}/claim", &format!("/v1/accounts/{contributor}/claim")).await;
    checked("/v1/statements/{address}", &format!("/v1/statements/{contributor}")).await;
}

#[tokio::test]
async fn what_everyone_earned_adds_up_to_the_fee_and_every_record_to_its_contributor() {
    let bundle = get(&format!("/v1/receipts/{}", node().made.receipt)).await;
    let split = &bundle["receipt"]["split"];
    let data = wei(&split["influence"]) + wei(&split["provenance"]);
    let datanet = get(&format!("/v1/datanets/{}", node().made.datanet)).await;
    assert_eq!(wei(&datanet["income_wei"]), data, "one Datanet gets the whole data share");
    let mut contributed = 0;
    for contributor in CONTRIBUTORS {
        let address = key(contributor).address();
        let earnings = checked("/v1/accounts/{address}/earnings", &format!("/v1/accounts/{address}/earnings")).await;
        let by: u128 = earnings["by"].as_array().unwrap().iter().map(|part| wei(&part["wei"])).sum();
        assert_eq!(wei(&earnings["credited_wei"]) + wei(&earnings["pending_wei"]), by);
        let records =
            checked("/v1/accounts/{address}/records", &format!("/v1/accounts/{address}/records?limit=200")).await;
        let rows = records["data"].as_array().unwrap();
        assert_eq!(rows.iter().map(|row| wei(&row["earned_wei"])).sum::<u128>(), by);
        let none = get(&format!("/v1/accounts/{address}/records?earned=none&limit=200")).await;
        let some = get(&format!("/v1/accounts/{address}/records?earned=some&limit=200")).await;
        let count = |listing: &Value| listing["data"].as_array().unwrap().len();
        assert_eq!(count(&none) + count(&some), rows.len());
        contributed += by;
    }
    assert_eq!(contributed, data);
    let model = get(&format!("/v1/models/{MODEL}/details")).await;
    assert_eq!(wei(&model["income_wei"]), wei(&bundle["receipt"]["fee"]));
}

#[tokio::test]
async fn an_answers_attribution_fits_the_document_and_its_spans_the_text() {
    let answer = &node().made.answer;
    check("post", "/v1/chat/completions", "200", answer);
    let text: Vec<u16> = answer["choices"][0]["message"]["content"].as_str().unwrap().encode_utf16().collect();
    let attribution = &answer["openledger"]["attribution"];
    for span in attribution["spans"].as_array().unwrap() {
        let at = |name: &str| usize::try_from(span[name].as_u64().unwrap()).unwrap();
        let piece = String::from_utf16_lossy(&text[at("start_utf16")..at("end_utf16")]);
        assert_eq!(span["text"], piece);
        assert!(!span["records"].as_array().unwrap().is_empty());
    }
    let shares = |pool: &str| attribution[pool].as_array().unwrap().len();
    let receipt = &answer["openledger"]["receipt"];
    assert_eq!(shares("influence"), receipt["influence"].as_array().unwrap().len());
    assert_eq!(shares("provenance"), receipt["provenance"].as_array().unwrap().len());
}

#[tokio::test]
async fn an_unpaid_question_gets_an_offer_that_fits_the_document() {
    let ask = json!({"model": MODEL, "messages": [{"role": "user", "content": "Who?"}]});
    let (status, offer) = post("/v1/chat/completions", &ask).await;
    assert_eq!(status, 402);
    check("post", "/v1/chat/completions", "402", &offer);
}

#[tokio::test]
async fn a_quote_says_what_the_offer_of_the_question_itself_would() {
    let ask = json!({"model": MODEL, "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 9});
    let (status, quote) = post("/v1/chat/quote", &ask).await;
    assert_eq!(status, 200, "{quote}");
    check("post", "/v1/chat/quote", "200", &quote);
    let (_, refused) = post("/v1/chat/completions", &ask).await;
    assert_eq!(quote["x402"], refused["x402"]);
    let tokens = quote["prompt_tokens"].as_u64().unwrap();
    let (input, output) = (wei(&quote["price"]["input_wei"]), wei(&quote["price"]["output_wei"]));
    assert_eq!(wei(&quote["ceiling_wei"]), u128::from(tokens) * input + 9 * output);
    assert_eq!(quote["x402"]["accepts"][0]["amount"], quote["ceiling_wei"]);
}

#[tokio::test]
async fn a_quote_of_the_base_model_is_free_and_one_of_nonsense_is_refused_as_the_question_would_be() {
    let turns = json!([{"role": "user", "content": "Who?"}]);
    let (status, quote) = post("/v1/chat/quote", &json!({"model": "tiny", "messages": turns})).await;
    assert_eq!(status, 200, "{quote}");
    check("post", "/v1/chat/quote", "200", &quote);
    assert_eq!((&quote["x402"], &quote["price"], &quote["ceiling_wei"]), (&json!(null), &json!(null), &json!("0")));
    let cases = [
        (json!({"model": "nobody", "messages": turns}), 404),
        (json!({"model": MODEL, "messages": []}), 422),
        (json!({"model": MODEL, "messages": turns, "max_tokens": 1_000_000}), 422),
        (json!({"model": MODEL, "messages": turns, "temperature": 3}), 422),
        (json!({"model": MODEL, "messages": turns, "tools": [1]}), 422),
        (json!({"model": MODEL}), 400),
    ];
    for (ask, expected) in cases {
        let (status, quoted) = post("/v1/chat/quote", &ask).await;
        assert_eq!(status, expected, "{quoted}");
        assert_eq!(post("/v1/chat/completions", &ask).await, (status, quoted));
    }
}

#[tokio::test]
async fn a_statement_comes_as_a_table_too() {
    let address = key(3).address();
    let response = reqwest::get(format!("{}/v1/statements/{address}.csv", node().gateway)).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
    let table = response.text().await.unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "epoch,receipt,model,answered_at,amount_wei");
    assert!(lines.len() == 2 && lines[1].contains(MODEL), "{table}");
}

#[tokio::test]
async fn every_documented_endpoint_is_there() {
    let document: Value = serde_json::from_str(&document_json()).unwrap();
    let client = reqwest::Client::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys().filter(|method| *method != "parameters") {
            let url = path.replace("{id}", "0").replace("{hash}", "0").replace("{address}", "0");
            let url =
                url.replace("{name}", "0").replace("{action}", "0").replace("{commitment}", "0").replace("{root}", "0");
            let method = method.to_uppercase().parse().unwrap();
            let response = client.request(method, format!("{}{url}", node().gateway)).send().await.unwrap();
            assert_ne!(response.status(), 405, "{path}");
            if response.status() == 404 {
                let body: Value = response.json().await.unwrap();
                assert_ne!(body["error"]["code"], "path_not_found", "{path}");
            }
        }
    }
}
