//! A GGUF of any size that takes no room: a header, and behind it a hole in place of the weights.

use gguf::{Metadata, TensorSpec, Value};
use std::fs::File;
use std::io::Write;
use std::path::Path;

const ALIGNMENT: u64 = 32;

/// Writes it. The keys' values are strings, U32 and F32.
pub fn write_hole(path: &Path, metadata: &Metadata, specs: &[TensorSpec]) {
    fn string(header: &mut Vec<u8>, text: &[u8]) {
        header.extend((text.len() as u64).to_le_bytes());
        header.extend(text);
    }
    let mut header = b"GGUF\x03\0\0\0".to_vec();
    header.extend((specs.len() as u64).to_le_bytes());
    header.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata.iter() {
        string(&mut header, key.as_bytes());
        let (kind, bytes) = match value {
            Value::U32(n) => (4u32, n.to_le_bytes()),
            Value::F32(x) => (6, x.to_le_bytes()),
            Value::String(text) => {
                header.extend(8u32.to_le_bytes());
                string(&mut header, text);
                continue;
            }
            other => panic!("{key}: a {} is not written here", other.type_name()),
        };
        header.extend(kind.to_le_bytes());
        header.extend(bytes);
    }
    let mut offset = 0u64;
    for spec in specs {
        string(&mut header, spec.name.as_bytes());
        header.extend((spec.shape.len() as u32).to_le_bytes());
        spec.shape.iter().for_each(|n| header.extend(n.to_le_bytes()));
        header.extend(spec.ty.wire().to_le_bytes());
        header.extend(offset.to_le_bytes());
        offset += spec.n_bytes().expect("whole rows").next_multiple_of(ALIGNMENT);
    }
    let mut file = File::create(path).expect("the folder can be written");
    file.write_all(&header).expect("there is room for a header");
    let n_bytes = (header.len() as u64).next_multiple_of(ALIGNMENT) + offset;
    file.set_len(n_bytes).expect("the file system has holes");
}
