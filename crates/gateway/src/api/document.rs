//! The OpenAPI document: every endpoint, once.

use utoipa::openapi::path::PathItem;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathsBuilder};

use super::Listing;
use super::operation::{Op, Schemas};
use super::{chat, datanets, models, node, preview, scalar, search, sessions, settlement, training};

/// The whole document.
pub fn document() -> OpenApi {
    let groups = [
        ("chat", chat_operations()),
        ("sessions", session_operations()),
        ("node", node_operations()),
        ("datanets", datanet_operations()),
        ("records", record_operations()),
        ("uploads", upload_operations()),
        ("training", recipe_operations()),
        ("training", job_operations()),
        ("models", model_operations()),
        ("settlement", settlement_operations()),
        ("accounts", account_operations()),
    ];
    let mut paths = PathsBuilder::new();
    let mut schemas = Schemas::new();
    for (tag, operations) in groups {
        for operation in operations {
            let (method, path, operation, named) = operation.tag(tag).finish();
            paths = paths.path(path, PathItem::new(method, operation));
            schemas.extend(named);
        }
    }
    let info = InfoBuilder::new().title("OpenLedger gateway").version(env!("CARGO_PKG_VERSION"));
    let info = info.description(Some("The OpenAI-compatible API, payment, and the app API of one node."));
    let components = ComponentsBuilder::new().schemas_from_iter(schemas).build();
    OpenApiBuilder::new().info(info.build()).paths(paths.build()).components(Some(components)).build()
}

/// The document as it is committed and served.
///
/// # Panics
/// Never: the document is made of strings and numbers.
pub fn document_json() -> String {
    document().to_pretty_json().expect("the document is made of strings and numbers") + "\n"
}

fn chat_operations() -> Vec<Op> {
    vec![
        Op::post("/v1/chat/completions", "chat", "Answers a conversation, for a voucher in `payment-signature`.")
            .takes::<chat::ChatRequest>()
            .gives_or_streams::<chat::ChatAnswer, chat::ChatChunk>(
                "The answer, or its pieces when `stream` is true; the last piece's data is `[DONE]`.",
            )
            .answers::<chat::PaymentRequiredAnswer>("402", "application/json", "Must be paid for; here is the offer."),
        Op::post("/v1/chat/quote", "quote", "What a conversation's answer would cost; nothing is asked or charged.")
            .takes::<chat::ChatRequest>()
            .gives::<chat::Quote>(),
    ]
}

fn session_operations() -> Vec<Op> {
    vec![
        Op::post("/v1/sessions/nonce", "newNonce", "A value to sign in with.").gives::<sessions::Nonce>(),
        Op::post("/v1/sessions", "signIn", "Signs in with Ethereum (EIP-4361); sets the session cookie.")
            .takes::<sessions::SignIn>()
            .gives::<sessions::Session>(),
        Op::get("/v1/sessions/current", "currentSession", "Who is signed in; 401 `not_signed_in` for nobody.")
            .gives::<sessions::Session>(),
        Op::delete("/v1/sessions/current", "signOut", "Ends the session.").csrf().gives_nothing(),
    ]
}

fn node_operations() -> Vec<Op> {
    vec![
        Op::get("/v1/status", "status", "How the node stands, and its chain.").gives::<node::Status>(),
        Op::post("/v1/faucet", "faucet", "Money of a development chain, once an hour for an account.")
            .csrf()
            .takes::<node::FaucetRequest>()
            .gives::<node::FaucetGrant>(),
        Op::get("/v1/events", "events", "Blocks, epochs, receipts, jobs and models as they come.")
            .streams::<node::NodeEvent>("Events named `block`, `epoch`, `receipt`, `job` and `model`."),
        Op::get("/v1/search", "search", "What a number, a hash, an address or a part of a name may mean.")
            .needs("q", Type::String, "The text, at most 512 bytes.")
            .gives::<search::SearchResult>(),
        Op::get("/v1/operator", "operator", "Adapters, load, settlement, disk.").gives::<node::Operator>(),
        Op::get("/v1/lora_adapters", "adapters", "Adapters with where they are.").gives::<node::AdapterList>(),
        Op::get("/v1/openapi.json", "openapi", "This document.").gives::<scalar::AnyObject>(),
        Op::get("/health", "health", "Alive and able to make blocks; 503 with the reason where it is not.")
            .gives_file("text/plain"),
        Op::get("/metrics", "metrics", "Metrics in Prometheus' text format.").gives_file("text/plain"),
    ]
}

fn datanet_operations() -> Vec<Op> {
    vec![
        Op::get("/v1/datanets", "listDatanets", "Datanets by number.")
            .filters(&[("search", "Part of the name."), ("owner", "An address.")])
            .paged()
            .gives::<Listing<datanets::Datanet>>(),
        Op::post("/v1/datanets", "registerDatanet", "Takes note of a Datanet that was created on chain.")
            .csrf()
            .takes::<datanets::RegisterDatanet>()
            .gives::<datanets::Datanet>(),
        Op::get("/v1/datanets/{id}", "datanet", "One Datanet.").gives::<datanets::DatanetDetail>(),
        Op::get("/v1/datanets/{id}/contributors", "datanetContributors", "Contributors, the most accepted first.")
            .paged()
            .gives::<Listing<datanets::Contributor>>(),
        Op::get("/v1/datanets/{id}/columns", "datanetColumns", "How the records' fields are distributed.")
            .gives::<datanets::ColumnList>(),
        Op::get("/v1/datanets/{id}/snapshots", "datanetSnapshots", "Snapshots in order.")
            .paged()
            .gives::<Listing<datanets::Snapshot>>(),
        Op::get("/v1/snapshots/{root}", "snapshotBody", "A snapshot's list of records, from which its root is made.")
            .gives_file("application/octet-stream"),
        Op::get("/v1/datanets/{id}/snapshots/preview", "previewSnapshot", "The snapshot that would be taken now.")
            .gives::<preview::SnapshotPreview>(),
        Op::post("/v1/datanets/{id}/snapshots", "takeSnapshot", "Freezes what is accepted now.")
            .csrf()
            .gives::<datanets::TakenSnapshot>(),
    ]
}

fn record_operations() -> Vec<Op> {
    vec![
        Op::get("/v1/datanets/{id}/records", "datanetRecords", "Records in the order of upload.")
            .filters(&[
                ("search", "Part of the text, whatever its case."),
                ("contributor", "An address."),
                ("status", "`pending`, `accepted`, `duplicate` or `revoked`."),
                ("column", "A column of `/columns`, with `value`."),
                ("value", "A value of that column, or `from..to` for numbers."),
            ])
            .paged()
            .gives::<Listing<datanets::Record>>(),
        Op::get("/v1/records/{hash}", "record", "One record with its proof.").gives::<datanets::RecordDetail>(),
    ]
}

fn upload_operations() -> Vec<Op> {
    vec![
        Op::post("/v1/datanets/{id}/uploads", "beginUpload", "Begins an upload, or says where the same one stopped.")
            .csrf()
            .takes::<datanets::BeginUpload>()
            .gives::<datanets::Upload>(),
        Op::get("/v1/uploads/{id}", "upload", "How far an upload has come.").gives::<datanets::Upload>(),
        Op::put("/v1/uploads/{id}", "appendUpload", "Adds the part that begins at `offset`.")
            .csrf()
            .needs("offset", Type::Integer, "Where the part begins.")
            .takes_bytes()
            .gives::<datanets::Upload>(),
        Op::delete("/v1/uploads/{id}", "abortUpload", "Forgets an upload.").csrf().gives_nothing(),
        Op::post("/v1/datanets/{id}/batches", "prepareBatch", "Makes a batch of an upload, or previews it.")
            .csrf()
            .takes::<datanets::PrepareBatch>()
            .gives::<datanets::PreparedFile>(),
        Op::get("/v1/batches/{commitment}", "batch", "A batch by its commitment: what its contributor signs next.")
            .gives::<datanets::Batch>(),
        Op::post("/v1/batches/{commitment}/revealed", "batchRevealed", "Accepts a batch that was revealed on chain.")
            .csrf()
            .takes::<datanets::RevealedBatch>()
            .gives::<datanets::AcceptedBatch>(),
    ]
}

fn recipe_operations() -> Vec<Op> {
    vec![
        Op::get("/v1/fine_tuning/presets", "presets", "Starting points for recipes.").gives::<training::PresetList>(),
        Op::post("/v1/fine_tuning/recipe", "makeRecipe", "A recipe ready to be submitted.")
            .csrf()
            .takes::<training::RecipeRequest>()
            .gives::<training::RecipeDraft>(),
        Op::post("/v1/fine_tuning/estimate", "estimateJob", "What a run would take.")
            .csrf()
            .takes::<training::SubmitJob>()
            .gives::<training::JobEstimate>(),
        Op::post("/v1/fine_tuning/mask_preview", "maskPreview", "Which tokens of the first records are learnt.")
            .csrf()
            .takes::<training::SubmitJob>()
            .gives::<training::MaskPreview>(),
    ]
}

fn job_operations() -> Vec<Op> {
    const ADAPTER: &str = "/v1/fine_tuning/jobs/{id}/files/adapter.zip";
    const GGUF: &str = "/v1/fine_tuning/jobs/{id}/files/adapter.gguf";
    vec![
        Op::get("/v1/fine_tuning/jobs", "listJobs", "All jobs, the newest first.").gives::<training::JobList>(),
        Op::post("/v1/fine_tuning/jobs", "submitJob", "Queues a run; in a session it belongs to its account.")
            .csrf()
            .takes::<training::SubmitJob>()
            .gives::<training::Job>(),
        Op::get("/v1/fine_tuning/jobs/{id}", "job", "One job.").gives::<training::Job>(),
        Op::get("/v1/fine_tuning/jobs/{id}/events", "jobEvents", "A job's events in order.")
            .number("after", "A page's `next_after`; 0 for the first.")
            .gives::<training::JobEventList>(),
        Op::get("/v1/fine_tuning/jobs/{id}/stream", "jobStream", "A job's past events, then those to come.")
            .number("after", "Number of the last event known; `last-event-id` does the same.")
            .streams::<training::JobEvent>("Events; their id is the event's sequence."),
        Op::post("/v1/fine_tuning/jobs/{id}/{action}", "actOnJob", "`pause`, `resume`, `cancel` or `stop` (and save).")
            .csrf()
            .gives::<training::Job>(),
        Op::get("/v1/fine_tuning/jobs/{id}/model", "modelDraft", "What the builder signs to publish a finished job.")
            .needs("name", Type::String, "The model's name.")
            .gives::<training::ModelDraft>(),
        Op::post("/v1/fine_tuning/jobs/{id}/model", "publishModel", "Serves a model once it is on chain.")
            .csrf()
            .takes::<training::PublishModel>()
            .gives::<training::PublishedModel>(),
        Op::get(ADAPTER, "adapterZip", "A finished job's adapter in PEFT's format.").gives_file("application/zip"),
        Op::get(GGUF, "adapterGguf", "A finished job's adapter for llama.cpp.").gives_file("application/octet-stream"),
    ]
}

fn model_operations() -> Vec<Op> {
    vec![
        Op::get("/v1/models", "listModels", "The base model and every published adapter.").gives::<models::ModelList>(),
        Op::get("/v1/models/{name}", "modelEntry", "One model as the list has it.").gives::<models::Model>(),
        Op::get("/v1/registry", "registry", "Published models with what they have done, in the order of publication.")
            .filters(&[("search", "Part of the name, the builder's address or the id.")])
            .paged()
            .gives::<Listing<models::RegistryRow>>(),
        Op::get("/v1/models/{name}/details", "model", "One published model with its manifest.")
            .gives::<models::ModelDetail>(),
    ]
}

fn settlement_operations() -> Vec<Op> {
    vec![
        Op::get("/v1/receipts", "listReceipts", "Receipts in order of sequence.")
            .number("epoch", "Of this epoch only.")
            .filters(&[("model", "Name or id of a model."), ("payer", "An address.")])
            .paged()
            .gives::<Listing<settlement::ReceiptRow>>(),
        Op::get(
            "/v1/receipts/{hash}/records",
            "receiptRecords",
            "Records that an answer was paid for, those that earned most first; none for an answer older than what is kept.",
        )
        .gives::<Listing<settlement::ReceiptRecord>>(),
        Op::get("/v1/receipts/{hash}", "receipt", "A receipt with all that is needed to check it offline.")
            .gives::<settlement::ReceiptBundle>(),
        Op::get("/v1/epochs", "listEpochs", "Epochs in order.").paged().gives::<Listing<settlement::Epoch>>(),
        Op::get("/v1/disputes", "listDisputes", "Challenges of epochs that the hub upheld.")
            .gives::<settlement::DisputeList>(),
    ]
}

fn account_operations() -> Vec<Op> {
    vec![
        Op::get("/v1/accounts/{address}/claim", "claim", "What an account can claim, with its proof.")
            .gives::<settlement::Claim>(),
        Op::get("/v1/accounts/{address}/earnings", "earnings", "What an account earned, by role and model.")
            .gives::<settlement::Earnings>(),
        Op::get("/v1/accounts/{address}/records", "accountRecords", "An account's records in all Datanets.")
            .filters(&[("earned", "`none` or `some`: only records that never earned, or that did.")])
            .paged()
            .gives::<Listing<datanets::AccountRecord>>(),
        Op::get("/v1/statements/{address}", "statement", "What each answer earned an account, the newest first.")
            .paged()
            .gives::<settlement::Statement>(),
        Op::get("/v1/statements/{address}.csv", "statementCsv", "The same as a table.").gives_file("text/csv"),
    ]
}
