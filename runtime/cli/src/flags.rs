//! Flags that several commands share, and how their values are read. A value that cannot be meant is a wrong call:
//! clap says so and exits with status 2.

mod calibration;
mod recipe;
mod report;
mod size;
mod target;
mod work;

pub(crate) use calibration::CalibrationFlags;
pub(crate) use recipe::RecipeFlags;
pub(crate) use report::{Reading, ReportFlags};
pub(crate) use size::size;
pub(crate) use target::TargetFlags;
pub(crate) use work::WorkFlags;

use crate::error::Error;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use engine::{OnFull, SamplerOptions, SessionOptions};
use kernels::{CacheType, CacheTypes, Isa};
use quantize::FileType;
use std::hash::{BuildHasher as _, Hasher as _};

/// More threads than any machine has cores; a typing error should not start a million.
const MAX_THREADS: usize = 1024;

/// How the engine works. None of these changes a result, save how the cache is kept.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Engine")]
pub(crate) struct EngineFlags {
    #[command(flatten)]
    session: SessionFlags,
    /// Threads that work; auto: the fast physical cores that this process may use
    #[arg(long, value_name = "N", default_value = "auto", value_parser = threads)]
    threads: usize,
}

impl EngineFlags {
    /// For a session of `context` tokens; 0: as many as the model was trained for.
    pub(crate) fn options(&self, context: usize) -> SessionOptions {
        self.session.options(context, self.threads)
    }

    /// The same, with the cache's type as [`SessionFlags::fixed_options`] has it.
    pub(crate) fn fixed_options(&self, context: usize) -> SessionOptions {
        self.session.fixed_options(context, self.threads)
    }
}

/// The same, but for the number of threads.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Engine")]
pub(crate) struct SessionFlags {
    #[command(flatten)]
    cache: CacheFlags,
    /// Do not rotate keys before they are quantized, which makes them more exact and costs next to nothing
    #[arg(long)]
    no_key_rotation: bool,
    /// Tokens that are read in one pass at most; more is faster and takes more memory
    #[arg(long, value_name = "N", default_value_t = SessionOptions::default().batch as u64,
          value_parser = clap::value_parser!(u64).range(1..=65_536))]
    batch: u64,
    /// Use this instruction set instead of the best one that the processor has
    #[arg(long, value_name = "LEVEL", value_parser = isa)]
    isa: Option<Isa>,
    #[command(flatten)]
    memory: MemoryFlags,
}

/// What a session may take of the machine.
#[derive(clap::Args, Debug)]
pub(crate) struct MemoryFlags {
    /// Memory that may be taken in all, such as 3GiB; weights that do not fit are read from the disk for each token
    /// [default: what this process may use, but for a margin]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_ram: Option<u64>,
}

impl MemoryFlags {
    /// Bytes; `None`: what there is.
    pub(crate) fn max_ram(&self) -> Option<u64> {
        self.max_ram
    }
}

impl SessionFlags {
    /// For a session of `context` tokens on `threads`; 0: as of [`SessionOptions`].
    pub(crate) fn options(&self, context: usize, threads: usize) -> SessionOptions {
        SessionOptions {
            context,
            cache: self.cache.types(),
            rotate_keys: !self.no_key_rotation,
            batch: self.batch as usize,
            threads,
            isa: self.isa.unwrap_or_else(Isa::detect),
            max_ram: self.memory.max_ram(),
        }
    }

    /// The same for a measurement: what it finds should not hang on the memory there is, so the cache's type does not.
    pub(crate) fn fixed_options(&self, context: usize, threads: usize) -> SessionOptions {
        let options = self.options(context, threads);
        SessionOptions { cache: options.cache.or(Some(CacheTypes::both(CacheType::F16))), ..options }
    }
}

/// What a text does that fills the context.
#[derive(clap::Args, Debug)]
pub(crate) struct FullFlags {
    /// What happens when the context is full: stop ends the text; shift forgets half of what it holds, the older half,
    /// but keeps its beginning, and goes on
    #[arg(long, value_name = "stop|shift", default_value = "stop", value_parser = ["stop", "shift"])]
    on_full: String,
}

impl FullFlags {
    /// The policy, where the first `n_keep` tokens are never to be forgotten.
    pub(crate) fn on_full(&self, n_keep: usize) -> OnFull {
        if self.on_full == "shift" { OnFull::Forget { n_keep } } else { OnFull::Stop }
    }
}

/// How the KV cache is kept.
#[derive(clap::Args, Debug)]
pub(crate) struct CacheFlags {
    /// Type of the KV cache: q8_0 takes half of f16's memory and hardly changes a text, q4_0 takes a quarter and does,
    /// f32 takes twice as much and is a little more exact [default: f16 if all fits into memory with it, else q8_0]
    #[arg(long, value_name = "TYPE", value_parser = cache_type())]
    cache_type: Option<CacheType>,
    /// Type of its keys, where it is another
    #[arg(long, alias = "ctk", value_name = "TYPE", value_parser = cache_type())]
    cache_type_k: Option<CacheType>,
    /// Type of its values, where it is another
    #[arg(long, alias = "ctv", value_name = "TYPE", value_parser = cache_type())]
    cache_type_v: Option<CacheType>,
}

impl CacheFlags {
    /// The types that were asked for, if any were. Who asks for one of the two only gets F16 for the other.
    pub(crate) fn types(&self) -> Option<CacheTypes> {
        let (k, v) = (self.cache_type_k.or(self.cache_type), self.cache_type_v.or(self.cache_type));
        let of = |ty: Option<CacheType>| ty.unwrap_or(CacheType::F16);
        (k.is_some() || v.is_some()).then(|| CacheTypes { k: of(k), v: of(v) })
    }
}

fn cache_type() -> impl TypedValueParser<Value = CacheType> {
    PossibleValuesParser::new(CacheType::ALL.map(CacheType::name)).try_map(|name| name.parse::<CacheType>())
}

/// A value of `--threads`; 0 stands for `auto`.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    if text == "auto" {
        return Ok(0);
    }
    let n = text.parse().ok().filter(|n| (1..=MAX_THREADS).contains(n));
    n.ok_or_else(|| format!("it must be auto, or a number from 1 to {MAX_THREADS}"))
}

fn isa(name: &str) -> Result<Isa, String> {
    let available = Isa::available();
    let names = || available.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
    match available.iter().find(|isa| isa.name() == name) {
        Some(&isa) => Ok(isa),
        None if Isa::names().contains(&name) => {
            Err(format!("this processor does not have it; its levels are {}", names()))
        }
        None => Err(format!("there is no such level; this processor's are {}", names())),
    }
}

/// A file type by its name.
pub(crate) fn file_type() -> impl TypedValueParser<Value = FileType> {
    let value = |ty: FileType| PossibleValue::new(ty.name()).aliases(ty.alias());
    PossibleValuesParser::new(FileType::all().map(value)).try_map(|name| FileType::from_name(&name))
}

/// How the next token is chosen.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Choice of the next token (applied in this order)")]
pub(crate) struct SamplerFlags {
    /// Make tokens of the last --penalty-window less likely by this factor; 1: off
    #[arg(long, value_name = "F", default_value_t = defaults().repeat_penalty, value_parser = positive, allow_negative_numbers = true)]
    repeat_penalty: f32,
    /// Lower the logit of tokens that occur there by this much; 0: off
    #[arg(long, value_name = "F", default_value_t = defaults().presence_penalty, value_parser = finite, allow_negative_numbers = true)]
    presence_penalty: f32,
    /// Lower it by this much for each time that they occur there; 0: off
    #[arg(long, value_name = "F", default_value_t = defaults().frequency_penalty, value_parser = finite, allow_negative_numbers = true)]
    frequency_penalty: f32,
    /// How many of the last tokens the penalties look at
    #[arg(long, value_name = "N", default_value_t = defaults().penalty_window)]
    penalty_window: usize,
    /// Keep the K most likely tokens; 0: all
    #[arg(long, value_name = "K", default_value_t = defaults().top_k)]
    top_k: usize,
    /// Keep tokens that are about as surprising as the text so far, up to this share; 1: all
    #[arg(long, value_name = "P", default_value_t = defaults().typical_p, value_parser = share, allow_negative_numbers = true)]
    typical: f32,
    /// Keep the most likely tokens that together reach this probability; 1: all
    #[arg(long, value_name = "P", default_value_t = defaults().top_p, value_parser = share, allow_negative_numbers = true)]
    top_p: f32,
    /// Drop tokens less likely than this share of the likeliest one's probability; 0: none
    #[arg(long, value_name = "P", default_value_t = defaults().min_p, value_parser = share, allow_negative_numbers = true)]
    min_p: f32,
    /// How freely to choose: 0 takes the likeliest token always, 1 follows the model, more is wilder
    #[arg(long, value_name = "T", default_value_t = defaults().temperature, value_parser = not_negative, allow_negative_numbers = true)]
    temperature: f32,
    /// Start of the random numbers: the same seed gives the same text [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl SamplerFlags {
    /// The options; where no seed was given, with one that is new in each call.
    pub(crate) fn options(&self) -> SamplerOptions {
        SamplerOptions {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            typical_p: self.typical,
            repeat_penalty: self.repeat_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            penalty_window: self.penalty_window,
            seed: self.seed.unwrap_or_else(new_seed),
        }
    }
}

fn defaults() -> SamplerOptions {
    SamplerOptions::default()
}

/// The standard library seeds its hash maps from the system's random numbers: this borrows one. Below 2³², so that a
/// person can type it.
fn new_seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish() >> 32
}

fn finite(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "this is no number".to_owned())?;
    if value.is_finite() { Ok(value) } else { Err("it must be finite".to_owned()) }
}

fn not_negative(text: &str) -> Result<f32, String> {
    let value = finite(text)?;
    if value >= 0.0 { Ok(value) } else { Err("it must be 0 or more".to_owned()) }
}

fn positive(text: &str) -> Result<f32, String> {
    let value = finite(text)?;
    if value > 0.0 { Ok(value) } else { Err("it must be more than 0".to_owned()) }
}

fn share(text: &str) -> Result<f32, String> {
    let value = finite(text)?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("it must lie between 0 and 1".to_owned()) }
}

/// Token ids, separated by commas or spaces.
pub(crate) fn token_ids(text: &str) -> Result<Vec<u32>, Error> {
    text.split([',', ' ', '\n'])
        .filter(|id| !id.is_empty())
        .map(|id| id.parse().map_err(|_| Error::Call(format!("--ids: `{id}` is no token id; write 1,2,3"))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_cannot_be_meant_are_refused() {
        for (parser, good, bad) in [
            (finite as fn(&str) -> Result<f32, String>, &["-1", "0.5", "1e3"][..], &["nan", "inf", "x"][..]),
            (not_negative, &["0", "1.5"], &["-0.1", "nan"]),
            (positive, &["0.1"], &["0", "-1"]),
            (share, &["0", "1", "0.95"], &["-0.1", "1.01", "nan"]),
        ] {
            for text in good {
                assert!(parser(text).is_ok(), "{text}");
            }
            for text in bad {
                assert!(parser(text).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn threads_are_a_number_or_auto() {
        assert_eq!((threads("auto"), threads("1"), threads("1024")), (Ok(0), Ok(1), Ok(1024)));
        for text in ["0", "1025", "-1", "all", ""] {
            assert!(threads(text).is_err(), "{text}");
        }
    }

    #[test]
    fn levels_are_known_by_name() {
        for level in Isa::available() {
            assert_eq!(isa(level.name()), Ok(level));
        }
        let error = isa("abacus").expect_err("no such level");
        assert!(error.contains("scalar"), "{error}");
    }

    #[test]
    fn ids_may_be_copied_from_our_own_output() {
        assert_eq!(token_ids("1,2,3").ok(), Some(vec![1, 2, 3]));
        assert_eq!(token_ids("1 22 333\n").ok(), Some(vec![1, 22, 333]));
        assert!(token_ids("1,-2").is_err());
    }

    #[test]
    fn seeds_differ_and_are_short() {
        let seeds: Vec<u64> = (0..4).map(|_| new_seed()).collect();
        assert!(seeds.iter().any(|&seed| seed != seeds[0]), "{seeds:?}");
        assert!(seeds.iter().all(|&seed| seed < 1 << 32));
    }
}
