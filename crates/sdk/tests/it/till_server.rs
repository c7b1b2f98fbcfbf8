//! A till behind HTTP, as a gateway has it: just enough of HTTP/1.1 to take payments and break connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use openledger_contracts::{Price, Share, SplitBps};
use openledger_primitives::{Address, B256, ModelId, Wei, keccak256};
use openledger_sdk::{ChainClient, Hub};
use openledger_settlement::hub::HubClient;
use openledger_settlement::ledger::{Admission, Ledger, SETTLEMENT_SCHEMA, StoredAnswer};
use openledger_settlement::receipt::ReceiptDraft;
use openledger_settlement::refusal::sentence;
use openledger_settlement::split::{Usage, Weighted};
use openledger_settlement::till::{AdmitError, Till, TillOptions};
use openledger_settlement::x402::{PaymentPayload, PaymentRequired, PaymentRequirements, from_header, to_header};
use openledger_store::Store;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::devnet::{CHAIN_ID, Devnet, Role, key};

pub const PRICE: Price = Price { inputWei: 1_000_000_000_000, outputWei: 2_000_000_000_000 };
pub const BPS: SplitBps =
    SplitBps { burn: 500, operatorBps: 2000, builder: 1500, parents: 0, stakers: 1000, provenance: 2000 };
/// Most tokens of an answer here; answers use fewer.
const TOKENS_MAX: u32 = 10;

const PATH: &str = "/v1/chat/completions";

/// What an answer costs here.
pub fn fee() -> Wei {
    Wei(5 * PRICE.inputWei + 3 * PRICE.outputWei)
}

pub struct TillServer {
    pub url: String,
    pub ledger: Ledger,
    pub hub: Arc<Hub>,
    /// Breaks the next connection after the charge, before the answer.
    pub breaks_next: AtomicBool,
    /// Requests charged.
    pub charges: AtomicU32,
    till: Till,
    model: ModelId,
}

/// The snapshot that the model of these tests was trained on.
pub fn snapshot_root() -> B256 {
    keccak256("snapshot")
}

fn draft(model: ModelId, offer_hash: B256) -> ReceiptDraft {
    let share = Share { contributor: key(Role::Contributor).address(), weight: 65_535 };
    ReceiptDraft {
        model,
        base_model: B256::repeat_byte(1),
        weights_hash: B256::repeat_byte(2),
        engine_id: B256::repeat_byte(3),
        quantisation_id: B256::repeat_byte(4),
        seed: 7,
        request_hash: B256::repeat_byte(5),
        response_hash: B256::repeat_byte(6),
        usage: Usage { tokens_in: 5, tokens_out: 3 },
        price: PRICE,
        bps: BPS,
        builder: key(Role::Builder).address(),
        attribution_method: B256::repeat_byte(7),
        snapshot_roots: vec![snapshot_root()],
        index_root: B256::repeat_byte(8),
        influence: vec![share],
        provenance: vec![],
        attribution_root: B256::repeat_byte(9),
        requested_at: 1,
        answered_at: 2,
        offer_hash,
    }
}

impl TillServer {
    pub async fn start(devnet: &Devnet, model: ModelId) -> Arc<Self> {
        Self::start_with(devnet, model, TillOptions::default()).await
    }

    pub async fn start_with(devnet: &Devnet, model: ModelId, options: TillOptions) -> Arc<Self> {
        let store = Store::open(devnet.dir.path().join("store"), &[SETTLEMENT_SCHEMA]).unwrap();
        let ledger = Ledger::new(store, CHAIN_ID);
        let accepted = [Weighted { account: key(Role::Contributor).address(), weight: 1 }];
        ledger.put_reserve(snapshot_root(), &accepted).unwrap();
        let settler: ChainClient = devnet.client(Role::Settler).await;
        let hub = Arc::new(Hub::new(settler));
        let client: Arc<dyn HubClient> = hub.clone();
        let operator: Address = key(Role::Operator).address();
        let till = Till::new(ledger.clone(), client, Arc::new(key(Role::Operator)), operator, options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (breaks_next, charges) = (AtomicBool::new(false), AtomicU32::new(0));
        let server = Arc::new(Self { url, ledger, hub, breaks_next, charges, till, model });
        tokio::spawn(Arc::clone(&server).accept(listener));
        server
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&self).serve(stream));
        }
    }

    /// One request a connection.
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut headers = HashMap::new();
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let quote = line.contains(" /v1/chat/quote ");
        loop {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let response = if quote { Some(self.quote()) } else { self.respond(&headers, &body).await };
        if let Some(response) = response {
            stream.write_all(response.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    }

    fn offer(&self) -> PaymentRequirements {
        self.till.offer(Wei(5 * PRICE.inputWei + u128::from(TOKENS_MAX) * PRICE.outputWei))
    }

    fn quote(&self) -> String {
        let offer = self.offer();
        let ceiling = offer.amount;
        let required = PaymentRequired::new(PATH, "payment is required", offer);
        let body = json!({"model": "m", "prompt_tokens": 5, "max_tokens": TOKENS_MAX, "ceiling_wei": ceiling, "x402": required});
        response("200 OK", "content-type: application/json\r\n", &body.to_string())
    }

    async fn respond(&self, headers: &HashMap<String, String>, body: &[u8]) -> Option<String> {
        let offer = self.offer();
        let Some(payment) = headers.get("payment-signature") else {
            let required = PaymentRequired::new(PATH, "payment is required", offer);
            return Some(payment_required(&required, "payment is required"));
        };
        let payload: PaymentPayload = from_header(payment.as_bytes()).unwrap();
        if payload.is_refund() {
            return Some(match self.till.refund(&payload, &offer, keccak256(body)).await {
                Ok(settled) => response("200 OK", &format!("PAYMENT-RESPONSE: {}\r\n", to_header(&settled)), "{}"),
                Err(error) => self.refused(&offer, &payload, &error),
            });
        }
        let streams = serde_json::from_slice::<serde_json::Value>(body).unwrap()["stream"] == true;
        let answered = match self.till.admit(&payload, &offer, keccak256(body)).await {
            Ok(Admission::Answered(answered)) => answered,
            Ok(Admission::Reserved(reservation)) => {
                let draft = draft(self.model, offer.offer_hash());
                let answer = |_: &_| json!({"choices": [{"message": {"content": "Process Injection"}}]}).to_string();
                let charge = self.till.charge(reservation, draft, move |receipt| answer(receipt).into_bytes()).await;
                self.charges.fetch_add(1, Ordering::SeqCst);
                charge.unwrap().answered
            }
            Err(error) => return Some(self.refused(&offer, &payload, &error)),
        };
        let broken = self.breaks_next.swap(false, Ordering::SeqCst);
        let answer = || if streams { stream(&answered) } else { whole(&answered) };
        (!broken).then(answer)
    }

    fn refused(&self, offer: &PaymentRequirements, payload: &PaymentPayload, error: &AdmitError) -> String {
        payment_required(&self.till.refusal(PATH, offer, payload, error), &sentence(error, offer, payload))
    }
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn payment_required(required: &PaymentRequired, message: &str) -> String {
    let body = json!({"error": {"message": message}, "x402": required}).to_string();
    response("402 Payment Required", &format!("PAYMENT-REQUIRED: {}\r\n", to_header(required)), &body)
}

fn whole(answered: &StoredAnswer) -> String {
    let header = format!("PAYMENT-RESPONSE: {}\r\n", to_header(&answered.settlement));
    response("200 OK", &header, std::str::from_utf8(&answered.answer).unwrap())
}

fn stream(answered: &StoredAnswer) -> String {
    let piece = |text: &str| format!("data: {}\n\n", json!({"choices": [{"delta": {"content": text}}]}));
    let settled = json!({"payment_response": answered.settlement});
    let body = format!("{}{}: openledger {settled}\n\ndata: [DONE]\n\n", piece("Process "), piece("Injection"));
    response("200 OK", "content-type: text/event-stream\r\n", &body)
}
