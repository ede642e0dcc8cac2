//! Writes checkpoints in Meta's layout: `consolidated.NN.pth` (a zip of stored entries that holds a pickle and the raw
//! storages, as `torch.save` makes it), split over shards as Meta's model parallelism splits them, with `params.json`
//! and `tokenizer.model` beside them. So the proofs of shards need neither PyTorch nor gigabytes.

#![forbid(unsafe_code)]

use half::{bf16, f16};
use std::io::Write;
use std::path::Path;

/// A tensor as Meta names and shapes it: `[rows, columns]`, or `[n]` for a norm.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// `layers.0.attention.wq.weight`.
    pub name: String,
    /// Row-major.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Vec<f32>,
}

/// How a checkpoint stores its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Dtype {
    F32,
    F16,
    Bf16,
}

impl Dtype {
    fn storage(self) -> &'static str {
        match self {
            Self::F32 => "FloatStorage",
            Self::F16 => "HalfStorage",
            Self::Bf16 => "BFloat16Storage",
        }
    }

    /// The numbers as they lie in a file.
    pub fn bytes(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
            Self::Bf16 => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
        }
    }
}

/// Meta's name of a tensor of a GGUF.
pub fn meta_name(gguf_name: &str) -> String {
    let in_layer = |name: &str| match name {
        "attn_q.weight" => "attention.wq.weight",
        "attn_k.weight" => "attention.wk.weight",
        "attn_v.weight" => "attention.wv.weight",
        "attn_output.weight" => "attention.wo.weight",
        "ffn_gate.weight" => "feed_forward.w1.weight",
        "ffn_down.weight" => "feed_forward.w2.weight",
        "ffn_up.weight" => "feed_forward.w3.weight",
        "attn_norm.weight" => "attention_norm.weight",
        "ffn_norm.weight" => "ffn_norm.weight",
        other => panic!("no tensor of a llama layer: {other}"),
    };
    match gguf_name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
        Some((layer, name)) => format!("layers.{layer}.{}", in_layer(name)),
        None => match gguf_name {
            "token_embd.weight" => "tok_embeddings.weight".to_owned(),
            "output_norm.weight" => "norm.weight".to_owned(),
            other => other.to_owned(),
        },
    }
}

/// The tensors of a GGUF under Meta's names.
pub fn tensors_of(file: &gguf::File) -> Vec<Tensor> {
    let tensor = |info: &gguf::TensorInfo| Tensor {
        name: meta_name(&info.name),
        shape: info.shape.iter().rev().map(|&n| n as usize).collect(),
        values: crate::models::decode(info.ty, file.bytes(info)),
    };
    file.tensors().iter().map(tensor).collect()
}

/// The matrices that are cut by columns. Llama 3's embeddings are cut by rows.
const BY_COLUMNS: [&str; 3] = ["wo.weight", "w2.weight", "tok_embeddings.weight"];
const LLAMA_3_BY_COLUMNS: &[&str] = BY_COLUMNS.split_at(2).0;

/// What shard `index` of `n` holds of a tensor. What is not cut by columns is cut by rows; norms are copied.
fn shard(tensor: &Tensor, index: usize, n: usize, by_columns: &[&str]) -> Tensor {
    let [rows, cols] = tensor.shape[..] else { return tensor.clone() };
    let (shape, values) = if by_columns.iter().any(|end| tensor.name.ends_with(end)) {
        let part = cols / n;
        let rows_of_part = tensor.values.chunks(cols).flat_map(|row| &row[index * part..][..part]).copied();
        (vec![rows, part], rows_of_part.collect())
    } else {
        let part = rows / n;
        (vec![part, cols], tensor.values[index * part * cols..][..part * cols].to_vec())
    };
    Tensor { name: tensor.name.clone(), shape, values }
}

/// Writes a checkpoint of `n_shards` files. `params` is the text of `params.json`.
pub fn write(
    folder: &Path,
    n_shards: usize,
    dtype: Dtype,
    tensors: &[Tensor],
    params: &str,
    tokenizer: &Path,
) -> std::io::Result<()> {
    write_cut(folder, n_shards, dtype, tensors, params, tokenizer, &BY_COLUMNS)
}

/// The same, cut as Llama 3's.
pub fn write_llama_3(
    folder: &Path,
    n_shards: usize,
    dtype: Dtype,
    tensors: &[Tensor],
    params: &str,
    tokenizer: &Path,
) -> std::io::Result<()> {
    write_cut(folder, n_shards, dtype, tensors, params, tokenizer, LLAMA_3_BY_COLUMNS)
}

fn write_cut(
    folder: &Path,
    n_shards: usize,
    dtype: Dtype,
    tensors: &[Tensor],
    params: &str,
    tokenizer: &Path,
    by_columns: &[&str],
) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("params.json"), params)?;
    std::fs::copy(tokenizer, folder.join("tokenizer.model"))?;
    for index in 0..n_shards {
        let part: Vec<_> = tensors.iter().map(|tensor| shard(tensor, index, n_shards, by_columns)).collect();
        let file = std::fs::File::create(folder.join(format!("consolidated.{index:02}.pth")))?;
        let storages = part.iter().map(|tensor| dtype.bytes(&tensor.values));
        archive(std::io::BufWriter::new(file), &pickle(&part, dtype), storages)?;
    }
    Ok(())
}

/// What `torch.save` writes: a pickle and the storages that it names by their numbers.
pub(crate) fn archive(
    out: impl Write,
    pickle: &[u8],
    storages: impl IntoIterator<Item = Vec<u8>>,
) -> std::io::Result<()> {
    let mut zip = Zip { out, position: 0, directory: Vec::new(), n_entries: 0 };
    zip.entry("archive/data.pkl", pickle)?;
    for (key, storage) in storages.into_iter().enumerate() {
        zip.entry(&format!("archive/data/{key}"), &storage)?;
    }
    zip.entry("archive/version", b"3\n")?;
    zip.finish()
}

/// A state dictionary in pickle protocol 2: `{name: torch._utils._rebuild_tensor_v2(storage, 0, size, stride, …)}`.
pub(crate) fn pickle(tensors: &[Tensor], dtype: Dtype) -> Vec<u8> {
    fn text(out: &mut Vec<u8>, text: &str) {
        out.push(b'X');
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
    }
    fn tuple(out: &mut Vec<u8>, numbers: &[usize]) {
        out.push(b'(');
        for &number in numbers {
            out.push(b'J');
            out.extend((number as i32).to_le_bytes());
        }
        out.push(b't');
    }
    let mut out = b"\x80\x02}(".to_vec();
    for (key, tensor) in tensors.iter().enumerate() {
        text(&mut out, &tensor.name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(format!("ctorch\n{}\n", dtype.storage()).as_bytes());
        text(&mut out, &key.to_string());
        text(&mut out, "cpu");
        out.push(b'J');
        out.extend((tensor.values.len() as i32).to_le_bytes());
        out.extend(b"tQK\0"); // the storage, by its persistent id; the offset
        let strides: Vec<_> =
            (1..=tensor.shape.len()).map(|axis| tensor.shape[axis..].iter().product()).collect();
        tuple(&mut out, &tensor.shape);
        tuple(&mut out, &strides);
        out.extend(b"\x89ccollections\nOrderedDict\n)RtR"); // requires_grad, no hooks; the call
    }
    out.extend(b"u.");
    out
}

/// A zip of stored entries whose data begin at multiples of 64, as PyTorch lays them.
struct Zip<W> {
    out: W,
    position: usize,
    directory: Vec<u8>,
    n_entries: u16,
}

impl<W: Write> Zip<W> {
    fn entry(&mut self, name: &str, data: &[u8]) -> std::io::Result<()> {
        let size = (data.len() as u32).to_le_bytes();
        let mut fields = b"\x0a\0\0\0\0\0\0\0\0\0".to_vec(); // version 1.0, no flags, stored, no time
        fields.extend(crc32(data).to_le_bytes());
        fields.extend([size, size].concat());
        fields.extend((name.len() as u16).to_le_bytes());

        let padding = (self.position + 30 + name.len() + 4).wrapping_neg() % 64;
        self.directory.extend(b"PK\x01\x02\x0a\0");
        self.directory.extend(&fields);
        self.directory.extend([0; 12]); // no extra field, no comment, no attributes
        self.directory.extend((self.position as u32).to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.n_entries += 1;

        let mut header = b"PK\x03\x04".to_vec();
        header.extend(&fields);
        header.extend((padding as u16 + 4).to_le_bytes());
        header.extend(name.as_bytes());
        header.extend(b"FB");
        header.extend((padding as u16).to_le_bytes());
        header.resize(header.len() + padding, b'Z');
        self.out.write_all(&header)?;
        self.out.write_all(data)?;
        self.position += header.len() + data.len();
        Ok(())
    }

    fn finish(mut self) -> std::io::Result<()> {
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend([self.n_entries.to_le_bytes(), self.n_entries.to_le_bytes()].concat());
        end.extend((self.directory.len() as u32).to_le_bytes());
        end.extend((self.position as u32).to_le_bytes());
        end.extend([0, 0]);
        self.out.write_all(&self.directory)?;
        self.out.write_all(&end)?;
        self.out.flush()
    }
}

/// The checksum of zip entries, four bits at a time.
fn crc32(data: &[u8]) -> u32 {
    const fn step(mut crc: u32) -> u32 {
        let mut bit = 0;
        while bit < 4 {
            crc = crc >> 1 ^ (crc & 1).wrapping_neg() & 0xEDB8_8320;
            bit += 1;
        }
        crc
    }
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut i = 0;
        while i < 16 {
            table[i] = step(i as u32);
            i += 1;
        }
        table
    };
    !data.iter().fold(!0, |crc: u32, &byte| {
        let crc = crc ^ u32::from(byte);
        let crc = crc >> 4 ^ TABLE[(crc & 15) as usize];
        crc >> 4 ^ TABLE[(crc & 15) as usize]
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_zip() {
        assert_eq!(super::crc32(b"123456789"), 0xCBF4_3926);
    }
}
