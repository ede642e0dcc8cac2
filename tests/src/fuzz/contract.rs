//! What every input must come to: see the module above.

#![forbid(unsafe_code)]

use super::{Input, Target};
use crate::counting;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a command may take on any input, beside four times what is really there.
const ALLOWED_BYTES: usize = 32 << 20;

/// A sentence is for reading: names of a file are cut in it.
const MAX_SENTENCE_BYTES: usize = 2048;

/// How often the watchman looks. He counts his own looks and not the time, so that a process that is stopped, or that a
/// busy machine seldom lets run, is not taken for one that hangs.
const LOOK: Duration = Duration::from_secs(1);

/// Looks that one input may take. Inputs are small: the longest takes a tenth of a second.
const MAX_LOOKS: u64 = 60;

/// The first panic since it was taken, of any thread: also of one whose owner would make an error of it.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

type Hook = Box<dyn Fn(&std::panic::PanicHookInfo<'_>) + Sync + Send>;

/// Holds the contract against executions. Panics are told to it and to nobody else while it lives.
pub(super) struct Watch {
    n_begun: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    hook: Option<Hook>,
}

impl Watch {
    /// `current`: where the input lies, for the last words of a process that hangs.
    pub(super) fn start(current: PathBuf) -> Self {
        let hook = take_hook();
        set_hook(Box::new(|info| {
            let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
            let what = info.payload_as_str().unwrap_or("no reason");
            let mut panic = PANIC.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            panic.get_or_insert_with(|| format!("panic at {}: {what}", place.unwrap_or_default()));
        }));
        let n_begun = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let (seen, ended) = (Arc::clone(&n_begun), Arc::clone(&over));
        std::thread::spawn(move || {
            let (mut last, mut looks) = (0, 0);
            while !ended.load(Relaxed) {
                std::thread::sleep(LOOK);
                let now = seen.load(Relaxed);
                looks = if now == last { looks + 1 } else { 0 };
                last = now;
                if looks > MAX_LOOKS && now > 0 && !ended.load(Relaxed) {
                    eprintln!("fuzz: an input does not end: {}", current.display());
                    std::process::abort();
                }
            }
        });
        Self { n_begun, over, hook: Some(hook) }
    }

    /// Tries an input. `Ok`: the target took it or refused it as it should; `Err`: what it broke.
    pub(super) fn hold(&self, target: &mut Target, input: &Input) -> Result<Result<(), String>, String> {
        self.n_begun.fetch_add(1, Relaxed);
        let before = counting::bytes_in_use();
        counting::reset_peak();
        let outcome = catch_unwind(AssertUnwindSafe(|| target.run(input)));
        let taken = counting::peak_bytes().saturating_sub(before);
        let panic = PANIC.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(panic) = panic {
            return Err(panic);
        }
        let Ok(outcome) = outcome else { return Err("a panic without a report".into()) };
        let outcome = outcome?;
        let allowed = ALLOWED_BYTES + 4 * input.bytes.len();
        if taken > allowed {
            return Err(format!("takes {taken} bytes, more than {allowed}, after: {outcome:?}"));
        }
        match &outcome {
            Err(sentence) if sentence.is_empty() || sentence.chars().any(char::is_control) => {
                Err(format!("no line of visible characters: {}", sentence.escape_debug()))
            }
            Err(sentence) if sentence.len() > MAX_SENTENCE_BYTES => Err(format!(
                "a sentence of {} bytes: {}",
                sentence.len(),
                &sentence[..sentence.floor_char_boundary(200)]
            )),
            _ => Ok(outcome),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(hook) = self.hook.take() {
            set_hook(hook);
        }
    }
}
