//! Chat templates against jinja2, set up as transformers sets it up.

use openledger_engine::template::{ChatMessage, ChatTemplate, RenderError, TemplateTokens};
use serde_json::Value;

use super::golden_json;

fn messages(case: &Value) -> Vec<ChatMessage> {
    serde_json::from_value(case["messages"].clone()).unwrap()
}

#[test]
fn every_template_renders_every_chat_as_jinja2_does() {
    let tokens = TemplateTokens { bos: Some("<s>".into()), eos: Some("</s>".into()) };
    let mut compared = 0;
    for template in golden_json("chat_templates.json").as_array().unwrap() {
        let ours = ChatTemplate::new(template["template"].as_str().unwrap(), tokens.clone()).unwrap();
        for case in template["cases"].as_array().unwrap() {
            let rendered = ours.render(&messages(case), case["add_generation_prompt"] == true);
            match (rendered, case["text"].as_str()) {
                (Ok(text), Some(expected)) => assert_eq!(text, expected, "{} {case}", template["name"]),
                (Err(RenderError::Raised { message }), None) => assert_eq!(message, case["error"].as_str().unwrap()),
                (Err(_), None) => {}
                (rendered, expected) => panic!("{}: {rendered:?}, not {expected:?}", template["name"]),
            }
            compared += 1;
        }
    }
    assert!(compared >= 80, "{compared} cases");
}

#[test]
fn tags_that_mark_answers_for_training_change_nothing() {
    let plain = "{% for m in messages %}{{ m.content }}{% endfor %}";
    let tagged = "{% for m in messages %}{%- generation -%}{{ m.content }}{%- endgeneration %}{% endfor %}";
    let chat = [ChatMessage::new("user", "a"), ChatMessage::new("assistant", "b")];
    let render = |source| ChatTemplate::new(source, TemplateTokens::default()).unwrap().render(&chat, false).unwrap();
    assert_eq!(render(tagged), render(plain));
}

#[test]
fn a_tag_of_one_percent_sign_is_no_template() {
    for source in ["{%}", "a {%}{% endfor %}", "{%set n = n(x=%{% set n = 0 %}{%} fo endfor %}"] {
        assert!(ChatTemplate::new(source, TemplateTokens::default()).is_err(), "{source:?}");
    }
}

#[test]
fn a_role_that_no_template_knows_is_refused() {
    let template = ChatTemplate::new("{{ '<|' + messages[0].role + '|>' }}", TemplateTokens::default()).unwrap();
    let error = template.render(&[ChatMessage::new("endoftext", "x")], false).unwrap_err();
    assert!(matches!(error, RenderError::Role { index: 0, .. }), "{error}");
}
