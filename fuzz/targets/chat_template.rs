//! A chat template (Jinja) from a model file, rendered within its budget.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_engine::{ChatMessage, ChatTemplate, TemplateTokens};

fuzz_target!(|bytes: &[u8]| {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    if let Ok(template) = ChatTemplate::new(source, TemplateTokens::default()) {
        let messages =
            [ChatMessage::new("system", "s"), ChatMessage::new("user", "u"), ChatMessage::new("assistant", "a")];
        let _rendered_or_refused = template.render(&messages, true);
    }
});
