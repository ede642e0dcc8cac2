//! What lies under the name of a checkpoint's file and is none, told by its first bytes.
//!
//! A failed download seldom fails loudly: the file holds the web page that said so, or git's pointer to it.

/// A sentence for what takes the place of any file whose download failed.
pub(crate) fn failed_download(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.trim_ascii_start();
    if text.starts_with(b"version https://git-lfs") {
        Some(
            "this is git's pointer to the file, not the file; run `git lfs pull` in the folder, or download the file itself",
        )
    } else if text.starts_with(b"<") {
        Some(
            "this is a web page (an error message or a log-in form saved under this name), not the file; a download \
             link may have expired: ask for a new one and download the file again",
        )
    } else {
        None
    }
}

/// `Ok` for what may be torch's zip; else a sentence that says what the bytes are. They are at least one.
pub(crate) fn torch(bytes: &[u8]) -> Result<(), String> {
    let text = bytes.trim_ascii_start();
    let sentence = if bytes.starts_with(b"PK\x03\x04") {
        return Ok(());
    } else if let Some(sentence) = failed_download(bytes) {
        sentence
    } else if text.starts_with(b"{") {
        "this is a JSON text (perhaps a server's error message), not a checkpoint; download the file again"
    } else if bytes.starts_with(b"\x80") {
        "this file has PyTorch's format from before version 1.6 (a bare pickle), which llamita does not read; load it \
         with torch.load and save it again with torch.save of PyTorch 1.6 or later"
    } else if is_safetensors(bytes) {
        "this is a safetensors file under a .pth name; Hugging Face's folders have it as model.safetensors, beside a \
         config.json"
    } else if bytes.starts_with(b"GGUF") {
        "this is a GGUF already; use it as it is"
    } else if bytes.starts_with(b"\x1f\x8b") {
        "this file is compressed with gzip; unpack it first"
    } else {
        let first = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        let n = bytes.len();
        return Err(format!(
            "this is no PyTorch checkpoint: such a file is a zip and begins with 50 4b 03 04, this one ({n} bytes) \
             with {first}; download it again"
        ));
    };
    Err(sentence.into())
}

/// A header length in eight bytes, then the header's JSON.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    u64::from_le_bytes(*length) <= rest.len() as u64 && rest.starts_with(b"{")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_impostor_gets_its_sentence() {
        let cases: &[(&[u8], &str)] = &[
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 13\n", "git lfs pull"),
            (b"\n<!DOCTYPE html><html><body>403 Forbidden</body></html>", "web page"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "web page"),
            (b"{\"error\": \"not authorized\"}", "JSON"),
            (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "before version 1.6"),
            (b"\x02\0\0\0\0\0\0\0{}", "safetensors"),
            (b"GGUF\x03\0\0\0", "GGUF already"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"PK", "no PyTorch checkpoint"),
            (b"\0", "no PyTorch checkpoint"),
        ];
        for (bytes, sentence) in cases {
            let said = torch(bytes).unwrap_err();
            assert!(said.contains(sentence), "{bytes:?}: {said}");
        }
        assert_eq!(torch(b"PK\x03\x04"), Ok(()));
    }
}
