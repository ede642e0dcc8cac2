//! llama.cpp on the same file, in the same minute, by turns with us.
//!
//! It is compared at its best: with each setting that was asked for, and the fastest is named. A run of ours follows
//! each of its runs, so that a machine whose speed moves moves both.

use super::measure::{Subject, Test, median};
use super::report::Row;
use super::{Args, PeerFlags};
use crate::error::Error;
use crate::progress::{Progress, Unit};
use crate::resident::Resident;
use crate::units;
use engine::{Model, Session, SessionOptions};
use ggml::Llama;
use kernels::{CacheType, CacheTypes};
use serde::Serialize;

/// A test done by both in turns.
#[derive(Serialize)]
pub(super) struct Duel {
    repack: bool,
    flash_attention: bool,
    /// Why it did not take place.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
    /// Ours and theirs, pair by pair.
    seconds: Vec<(f64, f64)>,
    /// The peer's, in the middle.
    tokens_per_second: Option<f64>,
    /// How many times faster we are, in the middle of the pairs.
    ratio: Option<f64>,
    /// What the peer took, model and copies.
    peak_rss_bytes: Option<u64>,
}

impl Subject for Llama {
    fn truncate(&mut self, n: usize) {
        Llama::truncate(self, n);
    }

    fn feed(&mut self, tokens: &[u32]) -> Result<(), Error> {
        let last = tokens.len() - 1;
        let fed = self.feed_each(
            tokens,
            |index| index == last,
            |_, logits| {
                std::hint::black_box(logits);
            },
        );
        fed.map_err(|error| Error::Failed(error.to_string()))
    }
}

/// Does the test of each row again, by turns with each setting of the peer.
pub(super) fn compare(
    model: &Model,
    options: &SessionOptions,
    args: &Args,
    tokens: &[u32],
    rows: &mut [Row],
) -> Result<(), Error> {
    let PeerFlags { peer_repack, peer_flash_attention, .. } = &args.peer;
    let settings: Vec<(bool, bool)> = peer_repack
        .iter()
        .flat_map(|&repack| {
            peer_flash_attention.iter().map(move |&flash_attention| (repack, flash_attention))
        })
        .collect();
    let progress = Progress::new("comparing", Unit::Tokens);
    let n_tokens: usize = rows.iter().map(|row| 2 * row.test().n_tokens).sum();
    progress.set_total(n_tokens as u64 * settings.len() as u64 * u64::from(args.repetitions));
    // A model is loaded once for all tests of as many threads.
    for rows in rows.chunk_by_mut(|a, b| a.threads() == b.threads()) {
        let options = SessionOptions { threads: rows[0].threads(), ..options.clone() };
        let mut ours = Session::new(model, &options)?;
        for &(repack, flash_attention) in &settings {
            let resident = Resident::start();
            let opened = Llama::open(model.file().path(), &peer_options(&options, repack, flash_attention));
            let mut opened = opened.map_err(|error| Error::Failed(error.to_string()));
            for row in &mut *rows {
                let pairs = match &mut opened {
                    Ok(theirs) => pairs(&mut ours, theirs, row.test(), tokens, args.repetitions, &progress),
                    Err(error) => Err(Error::Failed(error.to_string())),
                };
                let (failed, seconds) = match pairs {
                    Ok(seconds) => (None, seconds),
                    Err(Error::Failed(why)) => (Some(why), Vec::new()),
                    Err(other) => return Err(other),
                };
                let rate = |seconds: f64| row.test().n_tokens as f64 / seconds;
                row.against.push(Duel {
                    repack,
                    flash_attention,
                    failed,
                    tokens_per_second: median(seconds.iter().map(|&(_, theirs)| rate(theirs))),
                    ratio: median(ratios(&seconds)),
                    seconds,
                    peak_rss_bytes: resident.as_ref().and_then(Resident::peak_bytes),
                });
            }
        }
    }
    Ok(())
}

fn ratios(seconds: &[(f64, f64)]) -> impl Iterator<Item = f64> {
    seconds.iter().map(|(ours, theirs)| theirs / ours)
}

/// As we run: the same context, passes, threads and types of cache.
fn peer_options(options: &SessionOptions, repack: bool, flash_attention: bool) -> ggml::Options {
    let cache = options.cache.unwrap_or(CacheTypes::both(CacheType::F16));
    ggml::Options {
        n_ctx: options.context as u32,
        n_batch: options.batch as u32,
        threads: options.threads as u32,
        cache_type_k: cache.k.tensor_type(),
        cache_type_v: cache.v.tensor_type(),
        mmap: true,
        repack,
        flash_attention,
    }
}

/// Ours, theirs, ours, theirs; before that each once, not counted.
fn pairs(
    ours: &mut Session<'_>,
    theirs: &mut Llama,
    test: Test,
    tokens: &[u32],
    repetitions: u32,
    progress: &Progress,
) -> Result<Vec<(f64, f64)>, Error> {
    theirs.prepare(test, tokens)?;
    theirs.rest();
    ours.prepare(test, tokens)?;
    let mut pairs = Vec::new();
    for _ in 0..repetitions {
        let ours = ours.time(test, tokens)?;
        let time = theirs.time(test, tokens)?;
        theirs.rest();
        pairs.push((ours.as_secs_f64(), time.as_secs_f64()));
        progress.add(2 * test.n_tokens as u64);
    }
    Ok(pairs)
}

/// A line for each setting; the fastest is named.
pub(super) fn lines(duels: &[Duel]) -> Vec<String> {
    let rate = |duel: &Duel| duel.tokens_per_second.unwrap_or(0.0);
    let best = duels.iter().max_by(|a, b| rate(a).total_cmp(&rate(b)));
    let line = |duel: &Duel| {
        let on = |on: bool| if on { "on" } else { "off" };
        let setting = format!("repack {}, flash attention {}", on(duel.repack), on(duel.flash_attention));
        let Some((rate, ratio)) = duel.tokens_per_second.zip(duel.ratio) else {
            let why = duel.failed.as_deref().unwrap_or("nothing was measured");
            return format!("  llama.cpp, {setting}: {}", crate::terminal::visible(why));
        };
        let (low, high) = ratios(&duel.seconds).fold((f64::MAX, 0.0_f64), |(l, h), r| (l.min(r), h.max(r)));
        let memory = duel.peak_rss_bytes.map_or(String::new(), |n| format!(", peak RSS {}", units::bytes(n)));
        let mark = if best.is_some_and(|best| std::ptr::eq(best, duel)) { ", its best" } else { "" };
        format!(
            "  {ratio:.2}× llama.cpp ({low:.2}–{high:.2}) with {setting}{mark}: {} tokens/s{memory}",
            units::digits(rate)
        )
    };
    duels.iter().map(line).collect()
}
