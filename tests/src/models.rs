//! The bundled checkpoint, and the files that are made of it. They lie beside the test binary, so `cargo clean` takes
//! them, and are made anew once per process, so that no file of an older build is ever tested.

#![forbid(unsafe_code)]

use blocks::{Block, TensorType, with_block};
use convert::ChatTemplate;
use quantize::{FileType, Work};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

/// The bundled checkpoint: novel-8m in Meta's layout.
pub fn bundled() -> PathBuf {
    crate::package().join("models/novel-8m")
}

/// A folder for files that tests make, beside the test binary.
pub fn scratch_folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let binary = std::env::current_exe().expect("a process knows its file");
        let folder = binary.with_file_name("proofs");
        std::fs::create_dir_all(&folder).expect("the target folder can be written");
        folder
    });
    &FOLDER
}

/// A file of this name, made by `make` when it is asked for the first time in this process.
fn made_once(name: String, make: impl FnOnce(&Path)) -> PathBuf {
    static MADE: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    // The lock is held while the file is made: another test that wants it waits instead of making it too.
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = scratch_folder().join(&name);
    made.entry(name)
        .or_insert_with(|| {
            make(&path);
            path
        })
        .clone()
}

/// Converts a checkpoint as the command line does by default.
pub fn convert_checkpoint(
    folder: &Path,
    output: &Path,
    file_type: FileType,
    chat_template: ChatTemplate,
) -> Result<convert::Summary, convert::Error> {
    let options = convert::Options {
        recipe: file_type.into(),
        imatrix: None,
        chat_template,
        check_template: |source| engine::ChatTemplate::check(source).map_err(|error| error.to_string()),
        context_length: None,
        verify: true,
        work: Work::default(),
    };
    convert::convert(folder, Some(output), &options, &())
}

/// The bundled checkpoint as a GGUF of this type, converted directly.
pub fn converted(file_type: FileType) -> PathBuf {
    made_once(format!("novel-8m-{}.gguf", file_type.name()), |path| {
        convert_checkpoint(&bundled(), path, file_type, ChatTemplate::None)
            .expect("the bundled checkpoint converts");
    })
}

/// The bundled checkpoint as a GGUF of this type, quantized from its f32 file.
pub fn quantized(file_type: FileType) -> PathBuf {
    let input = converted(FileType::F32);
    made_once(format!("novel-8m-f32-to-{}.gguf", file_type.name()), |path| {
        let input = gguf::File::open(&input).expect("what was converted opens");
        let options = quantize::Options {
            recipe: file_type.into(),
            target: None,
            imatrix: None,
            calibration: None,
            allow_requantize: false,
            work: Work::default(),
        };
        quantize::quantize(&input, path, &options, &()).expect("an f32 file quantizes to every type");
    })
}

/// A file with the same weights as f32 blocks: what an engine without any error of its own would compute with.
pub fn decoded_to_f32(input: &Path) -> PathBuf {
    let name = input.file_name().expect("a file").to_str().expect("our own name");
    made_once(format!("exact-{name}"), |path| {
        let file = gguf::File::open(input).expect("our own file opens");
        let mut metadata = file.metadata().clone();
        metadata.set("general.file_type", FileType::F32.wire());
        let specs: Vec<_> = file
            .tensors()
            .iter()
            .map(|tensor| gguf::TensorSpec {
                name: tensor.name.clone(),
                shape: tensor.shape.clone(),
                ty: TensorType::F32,
            })
            .collect();
        let mut writer =
            gguf::Writer::create(path, &metadata, &specs).expect("the target folder can be written");
        for tensor in file.tensors() {
            writer
                .write(bytemuck::cast_slice(&decode(tensor.ty, file.bytes(tensor))))
                .expect("there is room");
        }
        writer.finish().expect("there is room");
    })
}

/// All weights of some blocks.
pub(crate) fn decode(ty: TensorType, bytes: &[u8]) -> Vec<f32> {
    with_block!(ty, B => {
        let blocks = blocks::from_bytes::<B>(bytes);
        let mut weights = vec![0.0; blocks.len() * B::LEN];
        blocks::decode(blocks, &mut weights);
        weights
    }, else panic!("no blocks of type {ty}"))
}
