//! Small checkpoints for the tests, written as `torch.save` writes them, and as it never would.

pub(crate) mod hugging_face;

use std::path::Path;

/// A pickle in the making: protocol 2, without the memo that Python's pickler adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pickle(pub(crate) Vec<u8>);

impl Pickle {
    /// A state dictionary of these tensors.
    pub(crate) fn state_dict(tensors: &[Tensor]) -> Self {
        let mut pickle = Self(b"\x80\x02}(".to_vec());
        for (key, tensor) in tensors.iter().enumerate() {
            pickle.string(tensor.name).tensor(tensor, tensor.shares.unwrap_or(key));
        }
        pickle.0.extend(b"u.");
        pickle
    }

    fn string(&mut self, text: &str) -> &mut Self {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    fn int(&mut self, int: i64) -> &mut Self {
        self.0.extend([0x8a, 8]);
        self.0.extend(int.to_le_bytes());
        self
    }

    fn ints(&mut self, ints: &[usize]) {
        self.0.push(b'(');
        for &int in ints {
            self.int(int as i64);
        }
        self.0.push(b't');
    }

    fn tensor(&mut self, tensor: &Tensor, key: usize) {
        self.0.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.string("storage").0.extend(format!("ctorch\n{}\n", tensor.storage).as_bytes());
        self.string(&key.to_string()).string("cpu").int(tensor.n_declared as i64).0.extend(b"tQ");
        self.int(tensor.offset as i64);
        self.ints(&tensor.shape);
        self.ints(&tensor.strides);
        self.0.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
}

/// A tensor and its storage.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: &'static str,
    pub(crate) storage: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// The number of the tensor whose storage this one uses too.
    pub(crate) shares: Option<usize>,
    pub(crate) n_declared: usize,
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

impl Tensor {
    /// A contiguous f32 tensor.
    pub(crate) fn new(name: &'static str, shape: &[usize], values: impl IntoIterator<Item = f32>) -> Self {
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        let n_declared = bytes.len() / 4;
        let strides = (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect();
        let (storage, shape) = ("FloatStorage", shape.to_vec());
        Self { name, storage, bytes, shares: None, n_declared, offset: 0, shape, strides }
    }
}

/// A zip of stored entries. The names and sizes are as given, and nothing is aligned: readers may not rely on it.
pub(crate) fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let at = zip.len() as u32;
        let sizes = [0, bytes.len() as u32, bytes.len() as u32].map(u32::to_le_bytes).concat();
        let lengths = [name.len() as u16, 0].map(u16::to_le_bytes).concat();
        zip.extend([b"PK\x03\x04".as_slice(), &[0; 10], &sizes, &lengths, name.as_bytes(), bytes].concat());
        let header = [b"PK\x01\x02".as_slice(), &[0; 12], &sizes, &lengths, &[0; 10], &at.to_le_bytes()];
        directory.extend([&header.concat(), name.as_bytes()].concat());
    }
    let n = (entries.len() as u16).to_le_bytes();
    let place = [directory.len() as u32, zip.len() as u32].map(u32::to_le_bytes).concat();
    zip.extend([&directory, b"PK\x05\x06".as_slice(), &[0; 4], &n, &n, &place, &[0; 2]].concat());
    zip
}

/// What `torch.save` makes of a state dictionary.
pub(crate) fn save(tensors: &[Tensor]) -> Vec<u8> {
    save_pickled(&Pickle::state_dict(tensors).0, tensors)
}

/// The same with a pickle of the caller's.
pub(crate) fn save_pickled(pickle: &[u8], tensors: &[Tensor]) -> Vec<u8> {
    let names: Vec<_> = (0..tensors.len()).map(|key| format!("archive/data/{key}")).collect();
    let mut entries = vec![("archive/data.pkl", pickle), ("archive/byteorder", b"little")];
    entries.extend(names.iter().zip(tensors).map(|(name, tensor)| (name.as_str(), &*tensor.bytes)));
    zip(&entries)
}

/// The hyperparameters that [`tensors`] has.
pub(crate) const PARAMS: &str =
    r#"{"dim": 8, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "vocab_size": -1, "norm_eps": 1e-05}"#;

/// A Llama of one layer: dim 8, 2 heads, 1 key head, feed-forward 12, 10 tokens. The values are small and all different.
pub(crate) fn tensors() -> Vec<Tensor> {
    let shapes: [(&str, &[usize]); 12] = [
        ("tok_embeddings.weight", &[10, 8]),
        ("norm.weight", &[8]),
        ("output.weight", &[10, 8]),
        ("layers.0.attention.wq.weight", &[8, 8]),
        ("layers.0.attention.wk.weight", &[4, 8]),
        ("layers.0.attention.wv.weight", &[4, 8]),
        ("layers.0.attention.wo.weight", &[8, 8]),
        ("layers.0.feed_forward.w1.weight", &[12, 8]),
        ("layers.0.feed_forward.w2.weight", &[8, 12]),
        ("layers.0.feed_forward.w3.weight", &[12, 8]),
        ("layers.0.attention_norm.weight", &[8]),
        ("layers.0.ffn_norm.weight", &[8]),
    ];
    let mut value = 0.0;
    let mut next = || {
        value += 0.125;
        value
    };
    shapes.map(|(name, shape)| Tensor::new(name, shape, (0..shape.iter().product()).map(|_| next()))).to_vec()
}

/// A SentencePiece model of `n` one-letter tokens, byte-pair encoding.
pub(crate) fn tokenizer(n: u8) -> Vec<u8> {
    let pieces = (0..n).flat_map(|i| [0x0a, 3, 0x0a, 1, b'a' + i]);
    // Field 2, the trainer's settings: algorithm (3) is 2.
    pieces.chain([0x12, 2, 0x18, 2]).collect()
}

/// Writes the whole checkpoint into a folder.
pub(crate) fn write(folder: &Path) {
    let files: [(&str, &[u8]); 3] = [
        ("consolidated.00.pth", &save(&tensors())),
        ("params.json", PARAMS.as_bytes()),
        ("tokenizer.model", &tokenizer(10)),
    ];
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}
