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

/// A file of this name, made by `make` when it is asked for the first time in this process; with `LLAMITA_KEEP_MODELS` what an
/// earlier process left serves, too: the same tests run as several emulated processors.
fn made_once(name: String, make: impl FnOnce(&Path)) -> PathBuf {
    static MADE: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    // The lock is held while the file is made: another test that wants it waits instead of making it too.
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = scratch_folder().join(&name);
    made.entry(name)
        .or_insert_with(|| {
            if std::env::var_os("LLAMITA_KEEP_MODELS").is_none() || !path.exists() {
                make(&path);
            }
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
        quantize_f32(&input, path, &plain(file_type));
    })
}

fn plain(file_type: FileType) -> quantize::Options {
    quantize::Options {
        recipe: file_type.into(),
        target: None,
        imatrix: None,
        calibration: None,
        allow_requantize: false,
        work: Work::default(),
    }
}

fn quantize_f32(input: &Path, output: &Path, options: &quantize::Options) {
    let input = gguf::File::open(input).expect("what was converted opens");
    quantize::quantize(&input, output, options, &()).expect("an f32 file quantizes to every type");
}

/// What a quantized file may be made with, beside its type.
#[derive(Clone, Copy, Debug)]
pub enum Learning {
    /// An importance matrix.
    Importance,
    /// A text to learn from, with a scale for each 32 weights.
    Calibration,
    /// The same, with super-blocks.
    CalibrationOfGroups,
    /// A size, for which types are chosen, and a text.
    Allocation,
}

impl Learning {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Importance, Self::Calibration, Self::CalibrationOfGroups, Self::Allocation];
}

/// The bundled checkpoint, quantized from its f32 file with what some tokens of the text of the package teach.
pub fn learned(learning: Learning) -> PathBuf {
    let input = converted(FileType::F32);
    let importance = importance(&input);
    made_once(format!("novel-8m-{learning:?}.gguf"), |path| {
        let calibration = || quantize::Calibration {
            name: "sherlock-holmes.txt".to_owned(),
            text: crate::held_out_text(),
            context: Some(128),
            max_tokens: Some(1024),
        };
        let target =
            quantize::Target { size: quantize::Size::File(5_000_000), types: Vec::new(), text: None };
        let options = match learning {
            Learning::Importance => quantize::Options { imatrix: Some(importance), ..plain(FileType::Iq4Xs) },
            Learning::Calibration => {
                quantize::Options { calibration: Some(calibration()), ..plain(FileType::Q4_0) }
            }
            Learning::CalibrationOfGroups => {
                quantize::Options { calibration: Some(calibration()), ..plain(FileType::Q3KM) }
            }
            Learning::Allocation => quantize::Options {
                target: Some(target),
                imatrix: Some(importance),
                calibration: Some(calibration()),
                ..plain(FileType::Q4KM)
            },
        };
        quantize_f32(&input, path, &options);
    })
}

/// An importance matrix of a model, over some tokens of the text of the package.
fn importance(model: &Path) -> quantize::Imatrix {
    let path = made_once("importance.gguf".to_owned(), |path| {
        let model = engine::Model::open(model).expect("our own file");
        let tokenizer = model.tokenizer();
        let mut tokens = tokenizer.with_bos(tokenizer.encode(&crate::held_out_text(), false));
        tokens.truncate(1024);
        let reading = quantize::Reading {
            dataset: "sherlock-holmes.txt",
            context: 128,
            threads: 1,
            with_output: false,
            output: path,
            resume: false,
            max_ram_bytes: None,
        };
        let each = |_| std::ops::ControlFlow::Continue(());
        let importance = quantize::Imatrix::collect(&model, &tokens, &reading, each).expect("it runs");
        importance.write(path).expect("there is room");
    });
    quantize::Imatrix::read(path).expect("it was written")
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
