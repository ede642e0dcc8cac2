//! Conversations become the token ids that Meta's own `chat_completion` makes of them.

use convert::ChatTemplate as Template;
use engine::{ChatTemplate, Message, Role, Tokenizer};
use llamita_tests::{bundled, convert_checkpoint, scratch_folder};
use quantize::FileType;

/// Meta's formatting, as its reference code does it: the system prompt goes into the first question, each exchange is
/// tokenized for itself with BOS and EOS, the open question at the end with BOS alone. What somebody writes is text,
/// control tokens' names included.
fn as_meta(tokenizer: &Tokenizer, system: Option<&str>, turns: &[&str]) -> Vec<u32> {
    let (bos, eos) = (tokenizer.bos().unwrap(), tokenizer.eos().unwrap());
    let mut ids = Vec::new();
    for (at, exchange) in turns.chunks(2).enumerate() {
        let question = match system {
            Some(system) if at == 0 => format!("<<SYS>>\n{system}\n<</SYS>>\n\n{}", exchange[0]),
            _ => exchange[0].to_owned(),
        };
        let open = format!("[INST] {} [/INST]", question.trim());
        ids.push(bos);
        match exchange {
            [_, answer] => {
                ids.extend(tokenizer.encode(&format!("{open} {} ", answer.trim()), false));
                ids.push(eos);
            }
            _ => ids.extend(tokenizer.encode(&open, false)),
        }
    }
    ids
}

#[test]
fn llama_2_conversations_equal_metas_formatting() {
    let path = scratch_folder().join("novel-8m-chat.gguf");
    convert_checkpoint(&bundled(), &path, FileType::Q8_0, Template::Llama2).unwrap();
    let file = gguf::File::open(&path).unwrap();
    let tokenizer = Tokenizer::from_gguf(&file).unwrap();
    let template = ChatTemplate::from_gguf(&file).unwrap().expect("the template that was asked for");
    let conversations: &[&[&str]] = &[
        &["Who lives in the old house?"],
        &["Who lives in the old house?", "Nobody, since the winter.", "And before?"],
        &[
            "  Good morning!\n",
            " Good morning to you. ",
            "Is it far?",
            "Two miles, sir.",
            "Déjà vu? 你好\n\tYes.",
        ],
    ];
    let systems = [None, Some("You answer in one sentence."), Some("Two lines:\nbe brief, be kind.")];
    for turns in conversations {
        for system in systems {
            let message = |role, content: &str| Message { role, content: content.to_owned() };
            let mut messages: Vec<_> = system.map(|text| message(Role::System, text)).into_iter().collect();
            let roles = [Role::User, Role::Assistant].into_iter().cycle();
            messages.extend(turns.iter().zip(roles).map(|(text, role)| message(role, text)));
            let ids = template.encode(&tokenizer, &messages).unwrap();
            assert_eq!(ids, as_meta(&tokenizer, system, turns), "{system:?} {turns:?}");
            let bos = tokenizer.bos().unwrap();
            assert!(ids[0] == bos && ids[1] != bos, "one BOS at the beginning: {:?}", &ids[..4]);
        }
    }
}
