//! What a file is that is no GGUF: whoever took the wrong one learns which.

#![forbid(unsafe_code)]

/// The first bytes of a GGUF.
pub(crate) const MAGIC: [u8; 4] = *b"GGUF";

/// Formats that are told by how they begin, and what to do with them.
const BEGINNINGS: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "a zip archive, perhaps a PyTorch checkpoint: give its folder to `llamita convert`"),
    (b"\x80\x02", "a Python pickle, perhaps an old PyTorch checkpoint: give its folder to `llamita convert`"),
    (b"version https://git-lfs", "a Git LFS pointer, not the model itself: fetch that with `git lfs pull`"),
    (b"tjgg", "a GGML file from before GGUF (2023): convert the original checkpoint with `llamita convert`"),
    (b"fmgg", "a GGML file from before GGUF (2023): convert the original checkpoint with `llamita convert`"),
    (b"lmgg", "a GGML file from before GGUF (2023): convert the original checkpoint with `llamita convert`"),
    (b"\x1f\x8b", "compressed with gzip: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first"),
    (&[0; 4], "not a GGUF: it begins with zeros, as an interrupted download does: download it again"),
];

/// A sentence about a file that does not begin with [`MAGIC`].
pub(crate) fn describe(bytes: &[u8]) -> String {
    let text = bytes.trim_ascii_start();
    if let Some((_, what)) = BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning)) {
        format!("this is {what}")
    } else if text.starts_with(b"<") {
        "this is a saved HTML page, not the model: the link wants a login, or is not the download itself"
            .into()
    } else if is_safetensors(bytes) {
        "this is a safetensors file: give its folder to `llamita convert`".into()
    } else if text.starts_with(b"{") {
        "this is JSON, not a GGUF: perhaps a configuration, or a server's answer in place of the model".into()
    } else {
        let first = &bytes[..bytes.len().min(MAGIC.len())];
        format!("this is not a GGUF: it begins with `{}`, not `GGUF`", first.escape_ascii())
    }
}

/// A 64-bit length, and so many bytes of JSON.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, json)) = bytes.split_first_chunk::<8>() else { return false };
    json.first() == Some(&b'{') && u64::from_le_bytes(*length) <= json.len() as u64
}
