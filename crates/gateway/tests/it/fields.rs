//! Fields of a chat request that this server does not know.

use serde_json::{Value, json};

use crate::node::node;

/// What the server says of a question with one more field, in the request or in its message.
async fn asked(name: &str, value: &Value, in_message: bool) -> (u16, Value) {
    let mut message = json!({"role": "user", "content": "Who?"});
    let mut body = json!({"model": "tiny", "max_tokens": 2});
    if in_message {
        message[name] = value.clone()
    } else {
        body[name] = value.clone()
    }
    body["messages"] = json!([message]);
    let url = format!("{}/v1/chat/quote", node().gateway);
    let response = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn fields_that_would_change_the_answer_are_refused_by_name() {
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    let cases = [
        ("web_search_options", json!({})),
        ("modalities", json!(["text", "audio"])),
        ("audio", json!({"voice": "alloy", "format": "wav"})),
        ("prediction", json!({"type": "content", "content": "x"})),
        ("reasoning_effort", json!("high")),
        ("verbosity", json!("low")),
        ("min_p", json!(0.1)),
        ("repetition_penalty", json!(1.2)),
        ("stop_token_ids", json!([2])),
        ("guided_json", json!({"type": "object"})),
        ("guided_choice", json!(["a", "b"])),
        ("response_format", json!({"type": "json_object"})),
        ("tools", tool.clone()),
        ("tool_choice", json!("required")),
        ("logit_bias", json!({"5": 1})),
        ("logprobs", json!(true)),
        ("frequency_penalty", json!(0.5)),
        ("a_field_of_next_year", json!(1)),
    ];
    for (name, value) in cases {
        let (status, body) = asked(name, &value, false).await;
        assert_eq!((status, &body["error"]["code"]), (422, &json!("unsupported_field")), "{name}: {body}");
        assert_eq!(body["error"]["param"], name);
    }
    for (name, value) in [("tool_calls", tool), ("reasoning_content", json!("hm"))] {
        let (status, body) = asked(name, &value, true).await;
        assert_eq!((status, &body["error"]["param"]), (422, &json!("messages")), "{name}: {body}");
        assert!(body["error"]["message"].as_str().unwrap().contains(name), "{body}");
    }
}

#[tokio::test]
async fn fields_that_change_nothing_are_taken() {
    let cases = [
        ("user", json!("somebody")),
        ("metadata", json!({"run": "7"})),
        ("store", json!(true)),
        ("service_tier", json!("auto")),
        ("safety_identifier", json!("x")),
        ("prompt_cache_key", json!("x")),
        ("parallel_tool_calls", json!(true)),
        ("response_format", json!({"type": "text"})),
        ("tools", json!([])),
        ("tool_choice", json!("none")),
        ("logit_bias", json!({})),
        ("logprobs", json!(false)),
        ("top_logprobs", json!(null)),
        ("frequency_penalty", json!(0)),
        ("presence_penalty", json!(0.0)),
        ("repetition_penalty", json!(1.0)),
        ("n", json!(1)),
        ("audio", json!(null)),
    ];
    for (name, value) in cases {
        let (status, body) = asked(name, &value, false).await;
        assert_eq!(status, 200, "{name}: {body}");
    }
    for (name, value) in [("name", json!("Ann")), ("tool_calls", json!(null)), ("refusal", json!(null))] {
        let (status, body) = asked(name, &value, true).await;
        assert_eq!(status, 200, "{name}: {body}");
    }
}
