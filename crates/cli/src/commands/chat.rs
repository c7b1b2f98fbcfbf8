//! `openledger chat`: one question, paid out of a channel.

use anyhow::{Context as _, Result, bail, ensure};
use openledger_primitives::Wei;
use openledger_sdk::api::{ChatAnswer, ChatRequest};
use openledger_sdk::{ChatStream, DepositBy, GatewayClient, GatewayError, PayerOptions, Wallet};
use serde_json::{Value, json};

use super::Context;
use super::evidence::{Evidence, EvidenceFile};
use crate::args::ChatOptions;
use crate::output::{self, line, note};

/// Contributors named below an answer.
const NAMED_MAX: usize = 3;

/// Runs `chat`.
pub(crate) async fn run(context: &Context, options: ChatOptions) -> Result<()> {
    let gateway = context.gateway()?;
    let mut request = ChatRequest::question(&options.model, &options.prompt);
    request.max_tokens = Some(options.max_tokens);
    let deposit = Wei::parse_open(&options.deposit).context("the deposit is not an amount of OPEN")?;
    let free = is_free(&gateway, &options.model).await?;
    if options.dry_run {
        let quote = gateway.quote(&request).await.context("could not ask for the price")?;
        return show_ceiling(&options, quote.ceiling_wei, deposit);
    }
    ensure!(!free || options.save.is_none(), "{} is free: its answers have no receipt to save", options.model);
    let evidence = options.save.as_deref().map(EvidenceFile::create).transpose()?;
    let gateway = if free { gateway } else { gateway.with_wallet(wallet(context, deposit, options.wrapped).await?) };
    let answer = match options.json {
        true => whole(&gateway, &request).await?,
        false => in_pieces(&gateway, &request).await?,
    };
    match evidence {
        Some(file) => save(&gateway, &answer, file).await,
        None => Ok(()),
    }
}

/// Whether a model's answers cost nothing.
async fn is_free(gateway: &GatewayClient, name: &str) -> Result<bool> {
    let models = gateway.models().await.context("could not ask the gateway for its models")?;
    let Some(model) = models.iter().find(|model| model["id"] == name) else {
        let known: Vec<&str> = models.iter().filter_map(|model| model["id"].as_str()).collect();
        bail!("the gateway serves no model {name:?}; it serves {}", known.join(", "));
    };
    Ok(model.pointer("/openledger/price").is_none_or(Value::is_null))
}

fn show_ceiling(options: &ChatOptions, ceiling: Wei, deposit: Wei) -> Result<()> {
    if options.json {
        return output::json(&json!({
            "dry_run": true, "model": options.model, "max_tokens": options.max_tokens, "ceiling_wei": ceiling,
            "deposit_wei": deposit,
        }));
    }
    line(format_args!("would ask {} for at most {} tokens; nothing was asked", options.model, options.max_tokens));
    line(format_args!("  costs at most  {} OPEN", ceiling.format_open()));
    line(format_args!("  deposit        {} OPEN, if the channel cannot pay that", deposit.format_open()));
    Ok(())
}

/// A wallet whose channel is topped up by exactly `deposit`, and that pays at most as much for an answer.
async fn wallet(context: &Context, deposit: Wei, wrapped: bool) -> Result<Wallet> {
    let deposit_by = if wrapped { DepositBy::Authorization } else { DepositBy::Transaction };
    let options =
        PayerOptions { amount_max: deposit, deposit_max: deposit, deposit_requests: u32::MAX, channels: 1, deposit_by };
    Ok(Wallet::new(context.chain().await?, options))
}

/// Asks, and prints everything as one object.
async fn whole(gateway: &GatewayClient, request: &ChatRequest) -> Result<ChatAnswer> {
    let answer = gateway.chat(request).await.context("could not get an answer")?;
    output::json(&json!({
        "answer": answer.text, "charged_wei": answer.charged, "receipt": answer.receipt,
        "calls_left": answer.calls_left, "response": answer.body,
    }))?;
    Ok(answer)
}

/// Asks, and prints the answer as it comes; what it cost and whose data shaped it are known when it has ended.
async fn in_pieces(gateway: &GatewayClient, request: &ChatRequest) -> Result<ChatAnswer> {
    let mut stream = gateway.chat_stream(request).await.context("could not get an answer")?;
    let received = print_pieces(&mut stream).await;
    line("");
    let (text, body) = received.context("the answer broke off")?;
    let answer = ChatAnswer { text, body, charged: stream.charged(), receipt: stream.receipt(), calls_left: None };
    note_origin(&answer);
    Ok(answer)
}

/// The text, and the chunk that carries receipt, disclosure and attribution as an answer's body would.
async fn print_pieces(stream: &mut ChatStream) -> Result<(String, Value), GatewayError> {
    let (mut text, mut body) = (String::new(), Value::Null);
    while let Some(chunk) = stream.next_chunk().await? {
        let piece = chunk.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or_default();
        output::piece(piece);
        text.push_str(piece);
        if chunk.get("openledger").is_some() {
            body = chunk;
        }
    }
    Ok((text, body))
}

/// Says what an answer cost and whose data shaped it.
fn note_origin(answer: &ChatAnswer) {
    let Some(receipt) = answer.receipt else {
        return note("free: the base model has no contributors to pay");
    };
    let charged =
        answer.charged.map_or_else(|| "an amount that does not add up".to_owned(), |wei| wei.format_open() + " OPEN");
    note(format_args!("paid {charged}; receipt {receipt}"));
    let named = contributors(&answer.body);
    if !named.is_empty() {
        note(format_args!("shaped most by the data of {}", named.join(", ")));
    }
}

/// Those whose data shaped an answer most, with their parts.
fn contributors(body: &Value) -> Vec<String> {
    let shares = body.pointer("/openledger/receipt/influence").and_then(Value::as_array).cloned().unwrap_or_default();
    let weight = |share: &Value| share["weight"].as_u64().unwrap_or(0);
    let total: u64 = shares.iter().map(weight).sum();
    let mut shares = shares;
    shares.sort_by_key(|share| std::cmp::Reverse(weight(share)));
    let named = shares.iter().take(NAMED_MAX).filter_map(|share| {
        let percent = 100.0 * weight(share) as f64 / total.max(1) as f64;
        Some(format!("{} ({percent:.1} %)", share["contributor"].as_str()?))
    });
    named.collect()
}

async fn save(gateway: &GatewayClient, answer: &ChatAnswer, file: EvidenceFile) -> Result<()> {
    let receipt = answer.receipt.context("the answer came without its receipt")?;
    let bundle = gateway.receipt(receipt).await.context("could not fetch the receipt")?;
    let disclosure = answer.disclosure().context("the answer came without its disclosure")?;
    let path = file.write(&Evidence::new(bundle, disclosure))?;
    note(format_args!("saved; check it with: openledger receipt verify {}", path.display()));
    Ok(())
}
