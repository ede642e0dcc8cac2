//! What a folder's name tells.
//!
//! Neither `params.json` nor the weights say how long a context the model was trained for, nor whether it was trained
//! to chat. Meta's folder names do: `llama-2-7b-chat`, `CodeLlama-13b-Python`, and for Llama 1 the bare `7B`, whose
//! parent is then called `LLaMA`. What the name does not tell:
//!
//! | the name says | context length |
//! |---|---|
//! | Code Llama, or a `rope_theta` of 1000000 | 16384 |
//! | Llama 2 | 4096 |
//! | Llama, and no number or a 1 | 2048 |
//! | nothing known | 2048: every family manages that much |
//!
//! Whatever is taken is said, and `--context-length` overrides it.

use std::path::Path;

/// Code Llama alone has this base of its rotary frequencies.
const CODE_LLAMA_ROPE_THETA: f32 = 1e6;

/// The name of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// As the file will carry it.
    text: String,
    /// In lower case, letters and digits alone, the parent's before it.
    folded: String,
}

impl Name {
    /// The name of a folder. Where it is a bare size (`7B`, `13b-chat`), its parent's stands before it; `original` is its
    /// parent's, and a folder of a cache is the model's.
    pub(crate) fn of(folder: &Path) -> Self {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        // Beside its own layout, Hugging Face keeps Meta's in a folder of this name.
        let folder = match folder.parent() {
            Some(parent) if folder.ends_with("original") => parent,
            _ => &folder,
        };
        let last = |path: &Path| {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        if let Some(name) = cached(folder) {
            return Self::new(name);
        }
        let (name, parent) = (last(folder), folder.parent().map(last).unwrap_or_default());
        let is_size = name.trim_start_matches(|c: char| c.is_ascii_digit()).len() < name.len();
        let text = match (name.is_empty(), is_size && !parent.is_empty()) {
            (true, _) => "model".to_owned(),
            (_, true) => format!("{parent}-{name}"),
            _ => name,
        };
        Self::new(text)
    }

    fn new(text: String) -> Self {
        let folded =
            text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        Self { text, folded }
    }

    /// For `general.name` and the output's name.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The context length, and a sentence's end that says why.
    pub(crate) fn context_length(&self, rope_theta: Option<f32>) -> (u32, &'static str) {
        let has = |word: &str| self.folded.contains(word);
        // Llama 1 came in a size of 30B: `LLaMA/30B` is no Llama 3.
        let later = (has("llama3") && !has("llama30b")) || has("llama4");
        if has("codellama") {
            (16384, "the folder's name says Code Llama")
        } else if rope_theta == Some(CODE_LLAMA_ROPE_THETA) {
            (16384, "params.json has Code Llama's rope_theta")
        } else if has("llama2") {
            (4096, "the folder's name says Llama 2")
        } else if has("llama") && !later {
            (2048, "the folder's name says Llama 1")
        } else {
            (2048, "the folder's name tells no family that llamita knows")
        }
    }

    /// Whether a Llama 3 was trained to take turns.
    pub(crate) fn says_instruct(&self) -> bool {
        self.folded.contains("instruct")
    }

    /// Whether the model was trained on Llama 2's chat format. Code Llama's Instruct models were too, but for the 70B,
    /// which has a format of its own.
    pub(crate) fn says_chat(&self) -> bool {
        let has = |word: &str| self.folded.contains(word);
        has("chat") || (has("codellama") && has("instruct") && !has("70b"))
    }
}

/// The model's name, where a folder is one of Hugging Face's cache: `models--its--name/snapshots/0123…`.
fn cached(folder: &Path) -> Option<String> {
    let snapshots = folder.parent()?;
    let model =
        snapshots.ends_with("snapshots").then(|| snapshots.parent()?.file_name()?.to_str()).flatten()?;
    let (_, name) = model.strip_prefix("models--")?.rsplit_once("--")?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        let cases = [
            ("/models/llama-2-7b-chat", "llama-2-7b-chat", 4096, true),
            ("/models/Llama2-70B", "Llama2-70B", 4096, false),
            ("/models/LLaMA/7B", "LLaMA-7B", 2048, false),
            ("/models/llama-2/13b-chat", "llama-2-13b-chat", 4096, true),
            ("/models/llama-65b", "llama-65b", 2048, false),
            ("/models/CodeLlama-7b-Python", "CodeLlama-7b-Python", 16384, false),
            ("/models/CodeLlama-7b-Instruct", "CodeLlama-7b-Instruct", 16384, true),
            ("/models/CodeLlama-70b-Instruct", "CodeLlama-70b-Instruct", 16384, false),
            ("/models/novel-8m", "novel-8m", 2048, false),
            ("/llama-2-chats/novel-8m", "novel-8m", 2048, false),
        ];
        for (folder, text, context, chat) in cases {
            let name = Name::of(Path::new(folder));
            let found = (name.as_str(), name.context_length(None).0, name.says_chat());
            assert_eq!(found, (text, context, chat), "{folder}");
        }
        let cached =
            Name::of(Path::new("/c/models--meta-llama--Llama-3.2-1B-Instruct/snapshots/9213176726f5"));
        assert_eq!((cached.as_str(), cached.says_instruct()), ("Llama-3.2-1B-Instruct", true));
        let original = Name::of(Path::new("/m/Llama-3.2-1B-Instruct/original"));
        assert_eq!((original.as_str(), original.says_instruct()), ("Llama-3.2-1B-Instruct", true));
        assert!(!Name::of(Path::new("/m/Llama-3.2-1B/original")).says_instruct());
        assert_eq!(
            Name::of(Path::new("/m/LLaMA/30B")).context_length(None).1,
            "the folder's name says Llama 1"
        );
        assert_eq!(Name::of(Path::new("/m/x")).context_length(Some(1e6)).0, 16384);
    }
}
