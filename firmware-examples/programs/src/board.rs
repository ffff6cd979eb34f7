//! What a program on a board does again and again: scores, ranks, and logs what that took by the CPU's own counter of
//! cycles.

use core::hint::black_box;

use cortex_m::peripheral::{DCB, DWT};
use defmt::info;
use xsfm_runtime::format::CRC;
use xsfm_runtime::{Model, Ranked, Ranker, Scorer, ScratchBlock};

use crate::rank::ContextFields;
use crate::{flash, stop};

/// The memory of a scorer and of a ranker, and the counter.
#[derive(Debug)]
pub struct Board {
    scratch: &'static mut [ScratchBlock],
    memory: &'static mut [ScratchBlock],
    /// Cycles of a microsecond.
    mhz: u32,
}

impl Board {
    /// Takes the memory, and starts the counter of a CPU of `hz` cycles a second.
    pub fn start(debug: &mut DCB, counter: &mut DWT, hz: u32) -> Self {
        debug.enable_trace();
        counter.enable_cycle_counter();
        Board { scratch: flash::SCRATCH.take(), memory: flash::RANKER.take(), mhz: (hz / 1_000_000).max(1) }
    }

    /// Loads the model in flash, scores its rows and ranks its candidates, and logs the cycles.
    pub fn report(&mut self) {
        let (load, model) = cycles(|| Model::from_bytes(&flash::MODEL.0));
        let model = model.unwrap_or_else(|why| stop("the model", why));
        info!("{}", model.statistics());
        self.log("load and check", load);

        let mut scorer = Scorer::new(&model, self.scratch).unwrap_or_else(|why| stop("a scorer", why));
        let (mut least, mut most, mut sum, mut rows) = (u32::MAX, 0, 0_u64, 0_u32);
        let mut digest = CRC.digest();
        for row in flash::rows().rows() {
            let (taken, score) = cycles(|| scorer.score(black_box(row)));
            let score = score.unwrap_or_else(|why| stop("a row", why));
            // As the program `score` does in the emulator: the same number means the same bits.
            digest.update(&score.logit.to_le_bytes());
            digest.update(&score.probability().to_le_bytes());
            (least, most, sum, rows) = (least.min(taken), most.max(taken), sum + u64::from(taken), rows + 1);
        }
        info!("{} rows, checksum {:08x}", rows, digest.finalize());
        self.log("score, fastest row", least);
        self.log("score, mean", (sum / u64::from(rows.max(1))) as u32);
        self.log("score, slowest row", most);
        self.rank(&model);
    }

    fn rank(&mut self, model: &Model<'static>) {
        let ranking = flash::ranking();
        let fields = ContextFields::new(ranking.context_fields);
        let ranker = Ranker::new(model, fields.as_slice(), self.memory);
        let mut ranker = ranker.unwrap_or_else(|why| stop("a ranker", why));
        let Some(context) = ranking.context.rows().next() else { stop("candidates", "no context") };
        let (of_context, set) = cycles(|| ranker.set_context(context));
        set.unwrap_or_else(|why| stop("the context", why));
        let mut best = [Ranked::default(); 10];
        let (of_all, found) = cycles(|| ranker.top_k(ranking.candidates.rows(), &mut best));
        let found = found.unwrap_or_else(|why| stop("ranking", why));
        let count = ranking.candidates.rows().len();
        for Ranked { candidate, score } in &best[..found] {
            info!("candidate {} logit {:08x} probability {}", candidate, score.logit.to_bits(), score.probability());
        }
        self.log("context", of_context);
        info!("{} candidates", count);
        self.log("rank all", of_all);
        self.log("per candidate", of_all / (count as u32).max(1));
    }

    fn log(&self, what: &str, cycles: u32) {
        info!("{}: {} cycles, {} us", what, cycles, cycles / self.mhz);
    }
}

/// The cycles of some work, and what it gives. The counter has 32 bits: at 64 MHz they last for 67 seconds.
fn cycles<T>(work: impl FnOnce() -> T) -> (u32, T) {
    let start = DWT::cycle_count();
    let result = work();
    (DWT::cycle_count().wrapping_sub(start), result)
}
