//! What a template may look like before the compiler sees it.
//!
//! minijinja bounds nesting, but not chains: `a + a + a …` becomes a tree as deep as it is long, on which the
//! compiler recurses and folds constants in quadratic time (30 000 of them: a minute, or a stack overflow). The
//! chains that matter lie in one tag, so the code of a tag is bounded. Strings do not count: some templates hold
//! long instructions. The scan follows minijinja's lexer, so that nothing is code to one and not to the other.

/// The largest that are in use (those for tools) are under 40 KiB.
const MAX_TEMPLATE_BYTES: usize = 64 << 10;

/// Bytes of a tag outside its strings. Templates in use stay below 500.
const MAX_TAG_BYTES: usize = 2048;

/// Checks the limits; else a sentence.
pub(super) fn check(source: &str) -> Result<(), String> {
    if source.len() > MAX_TEMPLATE_BYTES {
        return Err(format!(
            "the chat template has {} bytes; more than {MAX_TEMPLATE_BYTES} are not accepted",
            source.len()
        ));
    }
    let mut rest = source;
    while let Some(tag) = next_tag(rest) {
        let line = source[..source.len() - tag.len()].matches('\n').count() + 1;
        let (opening, code) = tag.split_at(2);
        rest = match opening {
            "{#" => code.find("#}").map_or("", |end| &code[end + 2..]),
            _ if code.trim_start_matches(['-', '+']).trim_start().starts_with("raw") => {
                return Err(format!("the chat template, line {line}: `raw` is not supported"));
            }
            _ => {
                let tag = Tag::scan(code, if opening == "{{" { b"}}" } else { b"%}" });
                if tag.n_code_bytes > MAX_TAG_BYTES {
                    return Err(format!(
                        "the chat template, line {line}: a tag with {} bytes of code; more than {MAX_TAG_BYTES} are \
                         not accepted",
                        tag.n_code_bytes
                    ));
                }
                &code[tag.n_bytes..]
            }
        };
    }
    Ok(())
}

/// From the next `{{`, `{%` or `{#` on.
fn next_tag(text: &str) -> Option<&str> {
    let start = text.as_bytes().windows(2).position(|pair| matches!(pair, b"{{" | b"{%" | b"{#"))?;
    Some(&text[start..])
}

struct Tag {
    /// Up to the end of the tag.
    n_bytes: usize,
    n_code_bytes: usize,
}

impl Tag {
    /// A tag ends at `end` outside strings, and only where all brackets are closed.
    fn scan(code: &str, end: &[u8; 2]) -> Self {
        let bytes = code.as_bytes();
        let (mut index, mut n_string_bytes, mut n_open) = (0, 0, 0_isize);
        while index < bytes.len() {
            if n_open == 0 && bytes[index..].starts_with(end) {
                return Self { n_bytes: index + 2, n_code_bytes: index - n_string_bytes };
            }
            match bytes[index] {
                b'(' | b'[' | b'{' => n_open += 1,
                b')' | b']' | b'}' => n_open -= 1,
                quote @ (b'"' | b'\'') => {
                    let n_bytes = string_bytes(&bytes[index + 1..], quote);
                    n_string_bytes += n_bytes;
                    index += n_bytes;
                }
                _ => {}
            }
            index += 1;
        }
        Self { n_bytes: bytes.len(), n_code_bytes: bytes.len() - n_string_bytes.min(bytes.len()) }
    }
}

/// Up to the quote that ends the string, an escaped one not.
fn string_bytes(bytes: &[u8], quote: u8) -> usize {
    let mut escaped = false;
    let end = bytes.iter().position(|&byte| {
        let ends = byte == quote && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(bytes.len(), |end| end + 1)
}
