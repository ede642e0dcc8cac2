//! llama.cpp as a peer: a model, one sequence, and the logits of each token that it is fed.

use blocks::TensorType;
use ggml_sys as sys;
use std::ffi::{CStr, CString, c_char, c_void};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, Once, PoisonError};

/// Why llama.cpp did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file was not loaded.
    #[error("{}: llama.cpp cannot load it: {reason}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// The last thing that llama.cpp said.
        reason: String,
    },
    /// No context for the model.
    #[error("llama.cpp cannot make a context of {n_ctx} tokens: {reason}")]
    Context {
        /// Tokens that were asked for.
        n_ctx: u32,
        /// The last thing that llama.cpp said.
        reason: String,
    },
    /// Tokens were not evaluated.
    #[error("llama.cpp cannot evaluate {n_tokens} tokens (status {status}): {reason}")]
    Decode {
        /// Tokens of the pass.
        n_tokens: usize,
        /// What `llama_decode` returned.
        status: i32,
        /// The last thing that llama.cpp said.
        reason: String,
    },
    /// A token that the vocabulary does not have.
    #[error("token {token} is not in the vocabulary, which has {n_vocab}")]
    Token {
        /// The token.
        token: u32,
        /// Tokens of the vocabulary.
        n_vocab: usize,
    },
}

/// How a model is loaded and run. llama.cpp's own defaults, but for the number of threads.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tokens that the cache can hold; 0: what the model was trained for.
    pub n_ctx: u32,
    /// Tokens of a pass at most.
    pub n_batch: u32,
    /// Threads.
    pub threads: u32,
    /// Type of the KV cache's keys.
    pub cache_type_k: TensorType,
    /// Type of its values: a quantized one wants flash attention.
    pub cache_type_v: TensorType,
    /// Map the file instead of reading it.
    pub mmap: bool,
    /// Let ggml keep weights in a layout of its own, which costs their size in memory.
    pub repack: bool,
    /// Flash attention.
    pub flash_attention: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            n_ctx: 0,
            n_batch: 512,
            threads: 1,
            cache_type_k: TensorType::F16,
            cache_type_v: TensorType::F16,
            mmap: true,
            repack: true,
            flash_attention: true,
        }
    }
}

/// llama.cpp's last error message. One for the process, as its log is.
static LAST_ERROR: Mutex<String> = Mutex::new(String::new());

unsafe extern "C" fn keep_errors(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if level == sys::GGML_LOG_LEVEL_ERROR {
        // SAFETY: llama.cpp's log hands over a string that ends with a zero and lives for the call.
        let text = unsafe { CStr::from_ptr(text) };
        *LAST_ERROR.lock().unwrap_or_else(PoisonError::into_inner) = text.to_string_lossy().trim().to_owned();
    }
}

fn last_error() -> String {
    std::mem::take(&mut *LAST_ERROR.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What ggml says of the instruction sets and features that it was built with.
pub fn system_info() -> String {
    // SAFETY: no precondition; the text is the library's, ends with a zero and is copied before another call changes it.
    unsafe { CStr::from_ptr(sys::llama_print_system_info()) }.to_string_lossy().trim().to_owned()
}

/// Threads of ggml's. With none of its own a context starts and ends threads for every token.
#[derive(Debug)]
struct Threads(NonNull<sys::ggml_threadpool>);

impl Threads {
    fn new(n: u32) -> Option<Self> {
        // SAFETY: no precondition.
        let mut params = unsafe { sys::ggml_threadpool_params_default(n as i32) };
        // SAFETY: the parameters are the library's own.
        NonNull::new(unsafe { sys::ggml_threadpool_new(&mut params) }).map(Self)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and the only context that knows it is gone: `Llama` frees that before its fields drop.
        unsafe { sys::ggml_threadpool_free(self.0.as_ptr()) };
    }
}

/// A loaded model with a context of one sequence. Not `Send`: llama.cpp's context belongs to one thread.
#[derive(Debug)]
pub struct Llama {
    model: NonNull<sys::llama_model>,
    context: NonNull<sys::llama_context>,
    threads: Option<Threads>,
    n_vocab: usize,
    n_batch: usize,
}

impl Llama {
    /// Loads a file and makes room for one sequence.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        static START: Once = Once::new();
        START.call_once(|| {
            // SAFETY: called once, before anything else of llama.cpp; the callback lives for ever and takes no data.
            unsafe {
                sys::llama_log_set(Some(keep_errors), ptr::null_mut());
                sys::llama_backend_init();
            }
        });
        let path = path.as_ref();
        let load = |reason| Error::Load { path: path.to_owned(), reason };
        let name = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| load("its name holds a zero byte".to_owned()))?;
        last_error();
        // SAFETY: no precondition.
        let mut params = unsafe { sys::llama_model_default_params() };
        params.n_gpu_layers = 0;
        params.load_mode = if options.mmap { sys::LLAMA_LOAD_MODE_MMAP } else { sys::LLAMA_LOAD_MODE_NONE };
        params.use_extra_bufts = options.repack;
        // SAFETY: `name` ends with a zero, and the parameters are the library's own with plain numbers changed.
        let model = NonNull::new(unsafe { sys::llama_model_load_from_file(name.as_ptr(), params) })
            .ok_or_else(|| load(last_error()))?;

        // SAFETY: no precondition.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = options.n_ctx;
        params.n_batch = options.n_batch;
        params.n_ubatch = options.n_batch;
        params.n_threads = options.threads as i32;
        params.n_threads_batch = options.threads as i32;
        params.type_k = options.cache_type_k.wire();
        params.type_v = options.cache_type_v.wire();
        params.flash_attn_type = match options.flash_attention {
            true => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            false => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
        };
        // SAFETY: `model` was just loaded and is not freed before the context.
        let Some(context) = NonNull::new(unsafe { sys::llama_init_from_model(model.as_ptr(), params) })
        else {
            // SAFETY: loaded above, and nothing else knows it.
            unsafe { sys::llama_model_free(model.as_ptr()) };
            return Err(Error::Context { n_ctx: options.n_ctx, reason: last_error() });
        };
        let threads = Threads::new(options.threads);
        if let Some(Threads(threads)) = &threads {
            // SAFETY: both were just made; the threads are `llama`'s, which frees its context before them.
            unsafe { sys::llama_attach_threadpool(context.as_ptr(), threads.as_ptr(), threads.as_ptr()) };
        }
        let mut llama = Self { model, context, threads, n_vocab: 0, n_batch: options.n_batch as usize };
        // SAFETY: the vocabulary is the model's, which `llama` owns.
        llama.n_vocab = unsafe { sys::llama_vocab_n_tokens(llama.vocab()) } as usize;
        Ok(llama)
    }

    /// Tokens in the vocabulary: the length of a token's logits.
    pub fn n_vocab(&self) -> usize {
        self.n_vocab
    }

    fn vocab(&self) -> *const sys::llama_vocab {
        // SAFETY: the model lives as long as `self`, and its vocabulary as long as the model.
        unsafe { sys::llama_model_get_vocab(self.model.as_ptr()) }
    }

    /// Forgets the sequence.
    pub fn clear(&mut self) {
        // SAFETY: the context lives as long as `self`, and its memory as long as the context.
        unsafe { sys::llama_memory_clear(sys::llama_get_memory(self.context.as_ptr()), true) };
    }

    /// Forgets all but the first `n` tokens.
    pub fn truncate(&mut self, n: usize) {
        // SAFETY: the context lives as long as `self`, and its memory as long as the context; 0 is the one sequence, and
        // a negative end stands for the last token.
        unsafe { sys::llama_memory_seq_rm(sys::llama_get_memory(self.context.as_ptr()), 0, n as i32, -1) };
    }

    /// Lets its threads sleep until tokens are fed again. Without it they look for work for some tenths of a second, on
    /// cores that others want.
    pub fn rest(&mut self) {
        if let Some(Threads(threads)) = &self.threads {
            // SAFETY: the threads live as long as `self`.
            unsafe { sys::ggml_threadpool_pause(threads.as_ptr()) };
        }
    }

    /// Appends tokens to the sequence and calls `each(index, logits)` for those for which `wanted(index)` holds.
    pub fn feed_each(
        &mut self,
        tokens: &[u32],
        wanted: impl Fn(usize) -> bool,
        mut each: impl FnMut(usize, &[f32]),
    ) -> Result<(), Error> {
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= self.n_vocab) {
            return Err(Error::Token { token, n_vocab: self.n_vocab });
        }
        let mut first = 0;
        for pass in tokens.chunks(self.n_batch) {
            let mut ids: Vec<sys::llama_token> =
                pass.iter().map(|&token| token as sys::llama_token).collect();
            let mut outputs: Vec<i8> =
                (first..first + pass.len()).map(|index| i8::from(wanted(index))).collect();
            let batch = sys::llama_batch {
                n_tokens: pass.len() as i32,
                token: ids.as_mut_ptr(),
                embd: ptr::null_mut(),
                pos: ptr::null_mut(), // continue
                n_seq_id: ptr::null_mut(),
                seq_id: ptr::null_mut(), // the one sequence
                logits: outputs.as_mut_ptr(),
            };
            // SAFETY: the context lives as long as `self`; both arrays have `n_tokens` entries and outlive the call, the
            // ids were checked above, and the header allows the other arrays to be absent.
            let status = unsafe { sys::llama_decode(self.context.as_ptr(), batch) };
            if status != 0 {
                return Err(Error::Decode { n_tokens: pass.len(), status, reason: last_error() });
            }
            for (index, _) in outputs.iter().enumerate().filter(|(_, output)| **output != 0) {
                // SAFETY: the last pass succeeded and was asked for this token's logits.
                let logits = unsafe { sys::llama_get_logits_ith(self.context.as_ptr(), index as i32) };
                assert!(!logits.is_null(), "llama.cpp has no logits for a token that asked for them");
                // SAFETY: not null, so they are `n_vocab` floats of the context's, which nothing changes in the meantime.
                each(first + index, unsafe { std::slice::from_raw_parts(logits, self.n_vocab) });
            }
            first += pass.len();
        }
        Ok(())
    }

    /// Tokens of a text. `add_special`: with BOS as the model wants it; `parse_special`: control tokens written in the
    /// text become those tokens.
    pub fn tokenize(&self, text: &str, add_special: bool, parse_special: bool) -> Vec<u32> {
        let mut tokens: Vec<sys::llama_token> = vec![0; text.len() + 8];
        loop {
            // SAFETY: text and tokens are handed over with their lengths; the vocabulary lives as long as `self`.
            let n = unsafe {
                sys::llama_tokenize(
                    self.vocab(),
                    text.as_ptr().cast(),
                    text.len() as i32,
                    tokens.as_mut_ptr(),
                    tokens.len() as i32,
                    add_special,
                    parse_special,
                )
            };
            if n >= 0 {
                return tokens[..n as usize].iter().map(|&token| token as u32).collect();
            }
            tokens.resize(n.unsigned_abs() as usize, 0);
        }
    }

    /// Text of tokens, invalid UTF-8 replaced; control tokens only if `special`.
    ///
    /// # Panics
    /// If a token is not in the vocabulary: llama.cpp would throw, through Rust.
    pub fn detokenize(&self, tokens: &[u32], special: bool) -> String {
        assert!(tokens.iter().all(|&token| (token as usize) < self.n_vocab), "a token of another vocabulary");
        let tokens: Vec<sys::llama_token> = tokens.iter().map(|&token| token as sys::llama_token).collect();
        let mut text = vec![0u8; 8 * tokens.len() + 8];
        loop {
            // SAFETY: tokens, all of the vocabulary, and text come with their lengths; the vocabulary lives as long as `self`.
            let n = unsafe {
                sys::llama_detokenize(
                    self.vocab(),
                    tokens.as_ptr(),
                    tokens.len() as i32,
                    text.as_mut_ptr().cast(),
                    text.len() as i32,
                    false,
                    special,
                )
            };
            if n >= 0 {
                return String::from_utf8_lossy(&text[..n as usize]).into_owned();
            }
            text.resize(n.unsigned_abs() as usize, 0);
        }
    }
}

impl Drop for Llama {
    fn drop(&mut self) {
        // SAFETY: both were made by `open`, are owned by `self` alone, and the context goes before its model and its threads.
        unsafe {
            sys::llama_free(self.context.as_ptr());
            sys::llama_model_free(self.model.as_ptr());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_model_is_a_sentence() {
        let path = std::env::temp_dir().join(format!("llamita-ggml-no-model-{}", std::process::id()));
        std::fs::write(&path, b"no model").unwrap();
        let error = Llama::open(&path, &Options::default()).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains("llama.cpp cannot load it: ") && !error.ends_with(": "), "{error}");
    }
}
