//! Hostile templates: no file, environment or clock; bounded steps, memory and output.

use std::time::Instant;

use openledger_engine::template::{
    ChatMessage, ChatTemplate, MESSAGES_BYTES_MAX, MESSAGES_MAX, OUTPUT_BYTES_MAX, RenderError, TEMPLATE_BYTES_MAX,
    TemplateError, TemplateTokens,
};

/// The limit is 50 ms for a release build on an idle core; tests run unoptimised on shared ones.
const RENDER_MS_MAX: u128 = 50 * 40;

fn run(source: &str) -> Result<String, String> {
    let template = ChatTemplate::new(source, TemplateTokens::default()).map_err(|error| error.to_string())?;
    let chat = [ChatMessage::new("user", "x".repeat(1000)), ChatMessage::new("assistant", "<|im_end|>")];
    let start = Instant::now();
    let rendered = template.render(&chat, true);
    let elapsed_ms = start.elapsed().as_millis();
    assert!(elapsed_ms < RENDER_MS_MAX, "{elapsed_ms} ms: {source:.200}");
    rendered.map_err(|error| error.to_string())
}

/// What a template would reach for, in several spellings each.
fn reaching() -> Vec<String> {
    let objects = [
        "messages",
        "messages[0]",
        "''",
        "()",
        "[]",
        "{}",
        "self",
        "loop",
        "range",
        "namespace",
        "dict",
        "raise_exception",
        "messages[0].content",
    ];
    let attributes = [
        "__class__",
        "__class__.__mro__",
        "__class__.__base__.__subclasses__()",
        "__init__.__globals__",
        "__globals__['os']",
        "__builtins__",
        "__import__('os').popen('id').read()",
        "_TemplateReference__context",
        "mro()",
        "func_globals",
        "__dict__",
    ];
    let attribute = |(object, attribute): (&str, &str)| format!("{{{{ {object}.{attribute} }}}}");
    let pairs = objects.iter().flat_map(|object| attributes.iter().map(move |attribute| (*object, *attribute)));
    let filtered = objects.iter().map(|object| format!("{{{{ {object}|attr('__class__') }}}}"));
    let statements = [
        "{% include '/etc/passwd' %}",
        "{% include 'file:///etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% from 'os' import environ %}",
        "{% extends '/etc/passwd' %}",
        "{% extends messages[0].content %}",
        "{% include messages %}",
        "{% include ['a', '/etc/passwd'] %}",
        "{% block a %}{% endblock %}",
        "{% do x %}",
        "{% autoescape true %}{% endautoescape %}",
        "{% raw",
        "{{ self._environment }}",
        "{{ lipsum.__globals__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ joiner }}{{ joiner('x') }}",
        "{{ config }}{{ config.items() }}",
        "{{ request.application }}",
        "{{ url_for.__globals__ }}",
        "{{ get_flashed_messages }}{{ get_flashed_messages() }}",
        "{{ open('/etc/passwd').read() }}",
        "{{ read('/etc/passwd') }}",
        "{{ env('HOME') }}",
        "{{ environ['HOME'] }}",
        "{{ getenv('PATH') }}",
        "{{ os.environ }}",
        "{{ ''|eval }}",
        "{{ exec('1') }}",
        "{{ eval('1+1') }}",
        "{{ compile('1') }}",
        "{{ strftime_now('%Y') }}",
        "{{ now() }}",
        "{{ debug() }}",
        "{{ '%s'|format(messages) }}",
        "{{ '{0.__class__}'.format(messages) }}",
        "{{ 'x'|urlize }}",
        "{{ messages|groupby('role') }}",
        "{{ messages|random }}",
        "{{ 'x'|filesizeformat }}",
        "{{ messages|pprint }}",
        "{{ ''|map('open') }}",
        "{{ ['/etc/passwd']|map('open')|list }}",
        "{{ ['a']|select('file')|list }}",
        "{{ f(*messages) }}",
        "{{ f(**messages[0]) }}",
        "{{ [1, *messages] }}",
        "{{ 1 < 2 < 3 }}",
        "{{ messages.append(1) }}",
        "{{ messages.pop() }}",
        "{{ messages[0].update({}) }}",
    ];
    let statements = statements.iter().map(|statement| (*statement).to_owned());
    pairs.map(attribute).chain(filtered).chain(statements).collect()
}

/// What a template would exhaust.
fn exhausting() -> Vec<String> {
    let double = |start: &str, step: &str, end: &str| format!("{{% set x = {start} %}}{}{end}", step.repeat(60));
    let in_loop = |step: &str| {
        format!(
            "{{% set n = namespace(s=messages[0].content) %}}{{% for i in range(100) %}}{step}{{% endfor %}}{{{{ n.s }}}}"
        )
    };
    let nested = |depth: usize, body: &str| {
        format!("{}{body}{}", "{% for i in range(99999) %}".repeat(depth), "{% endfor %}".repeat(depth))
    };
    vec![
        double("'ab'", "{% set x = x ~ x %}", "{{ x }}"),
        double("'ab'", "{% set x = x + x %}", "{{ x|length }}"),
        double("'ab'", "{% set x = [x, x]|join %}", "{{ x|length }}"),
        double("'ab'", "{% set x = x.replace('a', 'aa').replace('b', 'bb') %}", "{{ x|length }}"),
        double("'ab'", "{% set x = x|replace('', x) %}", "{{ x|length }}"),
        double("'ab'", "{% set x %}{{ x }}{{ x }}{% endset %}", "{{ x|length }}"),
        double("'ab'", "{% set x = x.join([x, x, x]) %}", "{{ x|length }}"),
        double("['ab']", "{% set x = [x, x] %}", "{{ x }}"),
        double("['ab']", "{% set x = [x, x] %}", "{{ x == x }}"),
        double("['ab']", "{% set x = [x, x] %}", "{{ x|tojson|length }}"),
        double("['ab']", "{% set x = {'a': x, 'b': x} %}", "{{ x|string|length }}"),
        double("['ab']", "{% set x = x + x %}", "{{ x|join|length }}"),
        double("['ab']", "{% set x = x + x %}", "{% for i in x %}{{ i }}{% endfor %}"),
        double("'ab'", "{% set x = x|tojson|tojson %}", "{{ x|length }}"),
        in_loop("{% set n.s = n.s ~ n.s %}"),
        in_loop("{% set n.s = n.s + n.s %}"),
        in_loop("{% set n.s = [n.s, n.s] %}"),
        in_loop("{% set n.s = [n.s] %}"),
        in_loop("{% set n.s = {'k': n.s} %}"),
        in_loop("{% set n.s = n %}"),
        in_loop("{% set n.s = [n] %}"),
        in_loop("{% set n.s = {'k': n} %}"),
        in_loop("{% set n.s = n.s.replace('x', 'xxxxxxxx') %}"),
        in_loop("{% set n.s = n.s * 1000 %}"),
        in_loop("{% set n.s = n.s ~ messages[0].content * 1000 %}"),
        in_loop("{% set n.s = n.s ~ n.s %}{% set n.s = n.s[:] %}"),
        nested(3, ""),
        nested(2, "{{ messages[0].content }}"),
        nested(2, "raw text that is copied to the output every time round"),
        nested(2, "{% set y = messages[0].content == messages[0].content ~ 'z' %}"),
        nested(2, "{% set y = messages|map(attribute='content')|list %}"),
        nested(2, "{% set y = messages[0].content|list %}"),
        nested(2, "{% set y = messages[0].content.split('x') %}"),
        nested(2, "{% set y = 'yy' in messages[0].content %}"),
        nested(2, "{% set y = messages[0].content|upper %}"),
        "{{ 'a' * 1000000000 }}".into(),
        "{{ 1000000000 * 'a' }}".into(),
        "{{ ([1] * 1000000000)|length }}".into(),
        "{{ [1] * 1000000 }}".into(),
        "{{ range(1000000000)|list }}".into(),
        "{{ range(99999)|list|join(messages[0].content) }}".into(),
        "{{ range(99999)|map('string')|join('xxxxxxxxxxxxxxxxxxxxxxxxxxxx')|length }}".into(),
        "{{ 2 ** 1000000000 }}".into(),
        "{{ 9 ** 9 ** 9 ** 9 }}".into(),
        "{{ messages|tojson(indent=1000000000) }}".into(),
        "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}".into(),
        "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f(messages[0].content) }}".into(),
        "{% macro f(x) %}{{ f([x, x]) }}{% endmacro %}{{ f('a') }}".into(),
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(25) }}".into(),
        "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}".into(),
        "{% for i in [[1, 2]] recursive %}{{ loop([i, i]) }}{% endfor %}".into(),
        "{% set n = namespace() %}{% macro f() %}{{ n.f() }}{% endmacro %}{% set n.f = f %}{{ n.f() }}".into(),
        "{{ messages[0].content.count('') }}".into(),
        format!("{}1{}", "(".repeat(30_000), ")".repeat(30_000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(30_000), "]".repeat(30_000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(15_000)),
        format!("{{{{ 1{} }}}}", " + 1".repeat(15_000)),
        format!("{{{{ 'a'{} }}}}", " ~ messages[0].content".repeat(2_500)),
        format!("{{{{ x{} }}}}", "|string".repeat(8_000)),
        "{% if 1 %}".repeat(6_000),
        format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(5_000)),
        format!("{{{{ 2{} }}}}", " ** 2".repeat(10_000)),
        format!("{{{{ {}1 }}}}", "-".repeat(30_000)),
        format!("{{{{ x{} }}}}", ".y".repeat(30_000)),
        format!("{{{{ {}1 }}}}", "1 if 1 else ".repeat(5_000)),
        "{% set x %}".repeat(5_000),
    ]
}

#[test]
fn two_hundred_templates_reach_nothing_outside() {
    let templates = reaching();
    assert!(templates.len() >= 200, "{} templates", templates.len());
    for source in templates {
        if let Ok(text) = run(&source) {
            let leaks = ["root:", "<class", "<module", "PATH", "HOME", "subclasses", "Environment"];
            assert!(!leaks.iter().any(|leak| text.contains(leak)), "{source}: {text}");
            assert!(text.len() < 4096, "{source}: {text}");
        }
    }
}

/// What would become values within values by one level a step.
fn nesting() -> Vec<String> {
    let in_loop = |step: &str| {
        format!(
            "{{% set n = namespace(x=[1]) %}}{{% for i in range(24000) %}}{{% set n.x = {step} %}}{{% endfor %}}{{{{ n.x }}}}"
        )
    };
    let in_line = |step: &str| {
        let step = format!("{{% set x={step} %}}");
        format!("{{% set x=[1] %}}{}{{{{ x is defined }}}}", step.repeat(TEMPLATE_BYTES_MAX / step.len() - 2))
    };
    let steps = |x: &str| {
        [
            "X[:]",
            "X[::-1]",
            "X[0:9:2]",
            "X|reverse",
            "(X|reverse) + []",
            "(X + [])[:]",
            "X + []",
            "[] + X[:]",
            "X|unique",
        ]
        .map(|step| step.replace('X', x))
    };
    let lines = steps("x").into_iter().chain(["[x]", "{1:x}", "dict(a=x)", "namespace(a=x)"].map(str::to_owned));
    let loops = steps("n.x").into_iter().chain(["[n.x]".to_owned(), "dict(a=n.x)".to_owned()]);
    loops.map(|step| in_loop(&step)).chain(lines.map(|step| in_line(&step))).collect()
}

/// On as little stack as any thread of a server has: values within values must not become calls within calls.
#[test]
fn values_nested_by_a_loop_overflow_no_stack() {
    const STACK_BYTES: usize = 2 << 20;
    for source in nesting() {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || run(&source)).unwrap();
        if let Ok(text) = thread.join().unwrap() {
            assert!(text.len() <= OUTPUT_BYTES_MAX, "{} bytes", text.len());
        }
    }
}

#[test]
fn slices_are_lists() {
    let slices =
        "{% set x = [1, 2, 3, 4] %}{{ x[1:] }}{{ x[::-1] }}{{ x[:3:2][1] }}{{ 'abcd'[1:3] }}{{ x[1:] is sequence }}";
    assert_eq!(run(slices).unwrap(), "[2, 3, 4][4, 3, 2, 1]3bcTrue");
}

#[test]
fn exhausting_templates_end_early_with_bounded_output() {
    for source in exhausting() {
        if let Ok(text) = run(&source) {
            assert!(text.len() <= OUTPUT_BYTES_MAX, "{} bytes: {source:.200}", text.len());
        }
    }
}

#[test]
fn limits_are_named_with_their_values() {
    let long = "x".repeat(TEMPLATE_BYTES_MAX + 1);
    let error = ChatTemplate::new(&long, TemplateTokens::default()).unwrap_err();
    assert!(matches!(error, TemplateError::TooLong { limit: TEMPLATE_BYTES_MAX, .. }), "{error}");
    let template =
        ChatTemplate::new("{% for m in messages %}{{ m.content }}{% endfor %}", TemplateTokens::default()).unwrap();
    let many = vec![ChatMessage::new("user", ""); MESSAGES_MAX + 1];
    assert!(matches!(template.render(&many, false), Err(RenderError::TooLarge { limit: MESSAGES_MAX, .. })));
    let large = [ChatMessage::new("user", "x".repeat(MESSAGES_BYTES_MAX + 1))];
    assert!(matches!(template.render(&large, false), Err(RenderError::TooLarge { limit: MESSAGES_BYTES_MAX, .. })));
    let most = [ChatMessage::new("user", "x".repeat(MESSAGES_BYTES_MAX))];
    assert_eq!(template.render(&most, false).unwrap().len(), MESSAGES_BYTES_MAX);
    let growing = ChatTemplate::new("{{ 'a' * 100000000 }}", TemplateTokens::default()).unwrap();
    assert!(matches!(growing.render(&most, false), Err(RenderError::Budget { .. })));
}

#[test]
fn a_long_honest_chat_stays_within_the_budget() {
    let source = thinking_template();
    let template = ChatTemplate::new(&source, TemplateTokens::default()).unwrap();
    let chat: Vec<ChatMessage> = (0..400)
        .map(|turn| ChatMessage::new(if turn % 2 == 0 { "user" } else { "assistant" }, "word ".repeat(200)))
        .collect();
    let text = template.render(&chat, true).unwrap();
    assert!(text.len() > 400 * 999);
}

/// The most demanding template among the goldens.
fn thinking_template() -> String {
    let golden = super::golden_json("chat_templates.json");
    let thinking = golden.as_array().unwrap().iter().find(|template| template["name"] == "thinking").unwrap();
    thinking["template"].as_str().unwrap().to_owned()
}
