//! This project's runtime.

use std::path::Path;

use anyhow::Result;
use xsfm_convert::input;
use xsfm_convert::mapped::Mapped;
use xsfm_runtime::{Model, Row, Score, Scorer, ScratchBlock};

use crate::engine::{Engine, Kind};
use crate::models::file;

const F32: Kind = Kind {
    name: "ours-f32",
    about: "This project's runtime, f32 mode",
    is_f32: true,
    needs_layers: false,
    library: None,
    file: file::OURS_F32,
    load: |_, file, batch| Ok(Box::new(Ours::load(file, batch)?)),
};

pub(crate) const KINDS: [Kind; 3] = [
    F32,
    Kind { name: "ours-int8", about: "This project's runtime, int8 mode", is_f32: false, file: file::OURS_INT8, ..F32 },
    Kind {
        name: "ours-dynamic",
        about: "This project's runtime, dynamic mode",
        is_f32: false,
        file: file::OURS_DYNAMIC,
        ..F32
    },
];

/// A packed model, prepared for this CPU.
struct Ours {
    scorer: Scorer<'static>,
    num_fields: usize,
    /// Of a batch.
    scores: Vec<Score>,
}

impl Ours {
    /// Loads a packed model of any mode.
    fn load(path: &Path, batch: usize) -> Result<Self> {
        // A few models of one run, which ends soon: leaked, so that what borrows them can be kept beside others.
        let packed: &'static Mapped = Box::leak(Box::new(input::packed(path)?));
        let model = Model::from_bytes(packed)?;
        let blocks = |count| Box::leak(vec![ScratchBlock::ZERO; count].into_boxed_slice());
        let model = model.prepare(blocks(model.prepared_blocks()))?;
        let scorer = Scorer::new(&model, blocks(model.batch_scratch_blocks()))?;
        Ok(Ours { scorer, num_fields: model.num_fields(), scores: vec![Score::default(); batch] })
    }
}

impl Engine for Ours {
    fn run(&mut self, indices: &[u32], logits: &mut [f32]) -> Result<()> {
        if let [logit] = logits {
            logit.clone_from(&self.scorer.score(Row::new(indices))?.logit);
            return Ok(());
        }
        /// Rows that are named at once; a few groups, so that table rows are asked for ahead.
        const CHUNK: usize = 64;
        let mut rows = [Row::new(&[]); CHUNK];
        let scores = &mut self.scores[..logits.len()];
        for (indices, scores) in indices.chunks(CHUNK * self.num_fields).zip(scores.chunks_mut(CHUNK)) {
            for (row, indices) in rows.iter_mut().zip(indices.chunks_exact(self.num_fields)) {
                *row = Row::new(indices);
            }
            self.scorer.score_batch(&rows[..scores.len()], scores)?;
        }
        for (logit, score) in logits.iter_mut().zip(scores) {
            *logit = score.logit;
        }
        Ok(())
    }
}
