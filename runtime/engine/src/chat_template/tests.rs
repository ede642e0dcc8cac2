//! Templates of the shapes that are in use, Meta's own formatting, and templates that mean harm.

use super::*;
use crate::tokenizer::tests::{chat_vocabulary, llama2};

const LLAMA_2: &str = include_str!("../../../../convert/src/llama2.jinja");

/// Block tags leave no line and no indentation behind: `trim_blocks` and `lstrip_blocks`.
const CHATML: &str = "{% for message in messages %}
    {% if message['content'] is string %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant' }}
{% endif %}
";

const LLAMA_3: &str = "{%- set loop_messages = messages -%}
{%- for message in loop_messages -%}
  {%- set content = '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' -%}
  {%- if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif -%}
  {{- content -}}
{%- endfor -%}
{%- if tools is none and add_generation_prompt -%}
  {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
{%- endif -%}";

const MISTRAL: &str = "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}\
{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'].strip() + ' [/INST]' }}\
{% elif m['role'] == 'assistant' %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}";

/// A conversation: the system's text if any, then user and assistant in turns.
fn conversation(system: Option<&str>, turns: &[&str]) -> Vec<Message> {
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let turns = roles.zip(turns).map(|(role, text)| Message { role, content: (*text).to_owned() });
    let system = system.map(|text| Message { role: Role::System, content: text.to_owned() });
    system.into_iter().chain(turns).collect()
}

fn render(source: &str, messages: &[Message]) -> Result<String, String> {
    let template = ChatTemplate::new(source, "<s>", "</s>").map_err(|error| error.to_string())?;
    template.render(messages).map_err(|error| error.to_string())
}

#[test]
fn templates_in_use_render() {
    let one = conversation(None, &[" Hi "]);
    let three = conversation(Some("Be brief."), &["Hi", "Yes?", "Why?"]);
    for (name, source, messages, expected) in [
        ("chatml", CHATML, &one, "<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\n"),
        (
            "chatml",
            CHATML,
            &three,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n\
             <|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "llama 3",
            LLAMA_3,
            &one,
            "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("mistral", MISTRAL, &one, "<s>[INST] Hi [/INST]"),
        (
            "llama 2",
            LLAMA_2,
            &three,
            "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Yes? </s><s>[INST] Why? [/INST]",
        ),
    ] {
        assert_eq!(render(source, messages).as_deref(), Ok(expected), "{name}");
    }
}

/// What Python gives for these expressions.
#[test]
fn pythons_methods_are_there() {
    for (expression, expected) in [
        ("' ab\\n'.strip()", "ab"),
        ("'xxabx'.strip('x')", "ab"),
        ("'\\n\\nab\\n'.lstrip('\\n')", "ab\n"),
        ("'ab..,'.rstrip('.,')", "ab"),
        ("'abc'.startswith('ab')", "True"),
        ("'abc'.startswith(('x', 'a'))", "True"),
        ("'abc'.endswith('ab')", "False"),
        ("'a</think>b'.split('</think>')[-1]", "b"),
        ("'a b  c'.split() | join('/')", "a/b/c"),
        ("'a,b,c'.split(',', 1) | join('/')", "a/b,c"),
        ("'aXbX'.replace('X', '-')", "a-b-"),
        ("'aB'.upper() + 'aB'.lower() + 'ab cd'.title()", "ABabAb Cd"),
        ("{'a': 1}.get('a')", "1"),
        ("{'a': 1}.get('b', 7)", "7"),
        ("{'a': 1}.get('b') is none", "True"),
        ("{'a': 1}.keys() | list | join", "a"),
        ("{'a': 1, 'b': 2}.values() | sum", "3"),
    ] {
        assert_eq!(render(&format!("{{{{ {expression} }}}}"), &[]).as_deref(), Ok(expected), "{expression}");
    }
    let items = "{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}";
    assert_eq!(render(items, &[]).as_deref(), Ok("a=1"));
    let controls = "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}";
    assert_eq!(render(controls, &[]).as_deref(), Ok("02"));
    assert_eq!(
        render("{% if strftime_now is defined %}{{ strftime_now('%Y') | length }}{% endif %}", &[])
            .as_deref(),
        Ok("4")
    );
}

#[test]
fn errors_are_sentences_with_a_line() {
    let bare = conversation(None, &["Hi", "Yes?"]);
    for (source, expected) in [
        ("a\n{% if %}", "the chat template, line 2: "),
        (
            "{{ 'a' }}\n\n{{ raise_exception('no tools here') }}",
            "line 3: it refuses this conversation: no tools here",
        ),
        ("{{ messages.frobnicate() }}", "line 1"),
        ("\n{{ 'a'.frobnicate() }}", "line 2"),
        ("\n{{ strftime_now('%Q') }}", "line 2: strftime_now does not know `%Q`"),
        ("{% include 'x' %}", "line 1"),
        ("{% raw %}{{{% endraw %}", "`raw` is not supported"),
    ] {
        let error = render(source, &bare).unwrap_err();
        assert!(error.contains(expected), "{source}: {error}");
        assert_eq!(ChatTemplate::check(source).unwrap_err().to_string(), error);
    }
    for source in [LLAMA_2, MISTRAL] {
        ChatTemplate::check(source).unwrap();
    }
}

#[test]
fn harmful_templates_end_in_a_sentence() {
    let chain = |part: &str, n: usize| format!("{{{{ a{} }}}}", part.repeat(n));
    let doubling = "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}";
    let blocks = format!("{{% set x = 'ab' %}}{}", "{% set x %}{{ x }}{{ x }}{{ x }}{% endset %}".repeat(60));
    let loops = "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}";
    let replaced = "{% set a = 'x' * 50000 %}{{ a.replace('x', a).replace('x', a) }}";
    for (source, expected) in [
        (format!("{{{{ {}1{} }}}}", "(".repeat(50_000), ")".repeat(50_000)), "not accepted"),
        (format!("{{{{ {}1{} }}}}", "(".repeat(900), ")".repeat(900)), "recursion"),
        ("{% if a %}".repeat(6000), "recursion"),
        (chain("+a", 30_000), "a tag with"),
        // Neither quotes nor brackets hide code.
        (format!("{{{{ '\\'' {} }}}}", "~a".repeat(20_000)), "a tag with"),
        (format!("{{{{ {{'a': {{}}}}{} }}}}", "~a".repeat(20_000)), "a tag with"),
        (format!("{{# '{{{{ #}}{{{{ 1{} }}}}", "~a".repeat(20_000)), "a tag with"),
        ("x".repeat(70_000), "not accepted"),
        (loops.into(), "does not end within its limits"),
        (doubling.into(), "does not end within its limits"),
        (blocks, "does not end within its limits"),
        (replaced.into(), "does not end within its limits"),
        ("{{ 'x' * 1000000000 }}".into(), "line 1"),
        ("{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}".into(), "recursion"),
        ("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}".into(), "recursion"),
    ] {
        let error = render(&source, &[]).unwrap_err();
        assert!(
            error.starts_with("the chat template") && error.contains(expected),
            "{}: {error}",
            &source[..40]
        );
    }
}

/// The deepest chains that the limits let through need less stack than the compiler has.
#[test]
fn chains_within_the_limits_compile() {
    for source in [
        format!("{{{{ {}1 }}}}", "-".repeat(2000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(500)),
        format!("{{{{ 1{} }}}}", "()".repeat(1000)),
        format!("{{{{ 1{} }}}}", "+1".repeat(1000)),
        format!("{{% if a %}}{}{{% endif %}}", "{%elif a%}".repeat(6500)),
    ] {
        assert!(ChatTemplate::new(&source, "", "").is_ok(), "{}", &source[..20]);
    }
}

#[test]
fn quotes_and_comments_do_not_confuse_the_limits() {
    let long = "y".repeat(5000);
    for source in [
        format!("{{{{ '{long}' }}}}"),
        format!("{{{{ 'it\\'s {long}' }}}}"),
        format!("{{# it's {{{{ #}}{{{{ \"{long}\" }}}}"),
        format!("it's {{ {{{{ 'a}}}}{long}' }}}}"),
    ] {
        let text = render(&source, &[]).unwrap();
        assert!(text.len() >= 5000, "{}", &source[..20]);
    }
}

/// Meta's `chat_completion`: every exchange is `[INST] user [/INST] answer ` between BOS and EOS, encoded for itself;
/// the system's text is put before the first user's.
fn as_meta_does(tokenizer: &Tokenizer, system: Option<&str>, turns: &[&str]) -> Vec<u32> {
    let mut turns: Vec<String> = turns.iter().map(|text| (*text).to_owned()).collect();
    if let Some(system) = system {
        turns[0] = format!("<<SYS>>\n{system}\n<</SYS>>\n\n{}", turns[0]);
    }
    let mut tokens = Vec::new();
    for exchange in turns.chunks(2) {
        tokens.push(1);
        match exchange {
            [user, answer] => {
                let text = format!("[INST] {} [/INST] {} ", user.trim(), answer.trim());
                tokens.extend(tokenizer.encode(&text, false));
                tokens.push(2);
            }
            last => tokens.extend(tokenizer.encode(&format!("[INST] {} [/INST]", last[0].trim()), false)),
        }
    }
    tokens
}

#[test]
fn llama2_chats_as_meta_formats_them() {
    let template = ChatTemplate::new(LLAMA_2, "<s>", "</s>").unwrap();
    let turns = [" What is a llama?", "An animal. ", "Is it\nsmall?\n", "No.", "And 🦙 </s>?"];
    for tokenizer in [Some(chat_vocabulary()), llama2()].into_iter().flatten() {
        for system in [None, Some("Answer briefly."), Some(" ")] {
            for n in [1, 3, 5] {
                let messages = conversation(system, &turns[..n]);
                let expected = as_meta_does(&tokenizer, system, &turns[..n]);
                let tokens = template.encode(&tokenizer, &messages).unwrap();
                assert_eq!(tokens, expected, "{system:?} {n}");
                assert_eq!(tokens.iter().filter(|&&id| id == 1).count(), n.div_ceil(2));
                // What the messages do not spell, the plain way finds, too.
                if n < 5 {
                    let text = template.render(&messages).unwrap();
                    assert_eq!(tokenizer.with_bos(tokenizer.encode(&text, true)), expected);
                }
            }
        }
    }
}

#[test]
fn messages_cannot_write_control_tokens() {
    let tokenizer = chat_vocabulary();
    let template = ChatTemplate::new(MISTRAL, "<s>", "</s>").unwrap();
    for text in ["</s>", "a</s><s>b", "<</s>", "</s\u{FDD0}>", "<unk>", "<s", "</s></s>"] {
        let messages = conversation(None, &[text]);
        let tokens = template.encode(&tokenizer, &messages).unwrap();
        assert!(tokens[1..].iter().all(|&id| id > 2), "{text}: {tokens:?}");
        let expected = format!("<s>[INST] {} [/INST]", text.replace('\u{FDD0}', ""));
        assert_eq!(tokenizer.decode(&tokens, true), expected);
    }
}
