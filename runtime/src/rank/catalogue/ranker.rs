//! Items of a catalogue for a context: their scores, and the best.

use std::fmt;

use crate::error::{BatchError, ScoreError, Scored};
use crate::kernel::vector::{LANES, Task, Vector};
use crate::mlp::{Layers, Mlp};
use crate::model::Model;
use crate::network::Network;
use crate::row::Row;
use crate::score::{ItemIntegers, ItemReals, NoScore, Score};
use crate::scratch::{Measure, Memory, Scratch, ScratchBlock, check_room};

use super::super::goes_in_groups;
use super::super::split::of_candidates;
use super::super::top_k::{Ranked, TopK};
use super::context::{Context, SetContext, scratch_blocks};
use super::file::{Catalogue, CatalogueParts, Numbers};

/// Scores the items of a [`Catalogue`] for a context; a thread needs its own.
///
/// In int8 and dynamic mode scores have the bits of [`Scorer`](crate::Scorer) on whole rows. In f32 mode sums run in
/// another order.
pub struct CatalogueRanker<'m> {
    model: Model<'m>,
    catalogue: Catalogue<'m>,
    numbers: Numbers<'m>,
    layers: OwnLayers<'m>,
    inputs: usize,
    context: Context<'m>,
    has_context: bool,
    in_groups: bool,
    scratch: &'m mut [ScratchBlock],
}

/// The layers for an item's vectors alone, where its sums of the first are not in the catalogue; else the model's.
enum OwnLayers<'m> {
    Integer {
        layers: Layers<'m>,
        /// \[outputs\], or none: what the layout adds to the first layer's biases.
        shifts: &'m [i32],
    },
    Real(Option<Mlp<'m, f32, f32, f32>>),
}

impl fmt::Debug for CatalogueRanker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("CatalogueRanker");
        debug.field("model", &self.model).field("catalogue", &self.catalogue).finish_non_exhaustive()
    }
}

/// What a ranker has in memory for long.
fn carve<'m>(
    model: &Model<'m>,
    catalogue: &Catalogue<'_>,
    memory: &mut impl Memory<'m>,
) -> Scored<(OwnLayers<'m>, Context<'m>)> {
    let Catalogue { fields, parts, .. } = catalogue;
    let (dim, whole) = (model.embed_dim(), *parts == CatalogueParts::LayerSums);
    let layers = match &model.network {
        Network::Int8 { layers, .. } => match layers {
            Layers::Static(mlp) if !whole => {
                let (mlp, shifts) = of_candidates(mlp, dim, fields, memory)?;
                OwnLayers::Integer { layers: Layers::Static(mlp), shifts }
            }
            Layers::Dynamic(mlp) if !whole => {
                let (mlp, shifts) = of_candidates(mlp, dim, fields, memory)?;
                OwnLayers::Integer { layers: Layers::Dynamic(mlp), shifts }
            }
            layers => OwnLayers::Integer { layers: *layers, shifts: &[] },
        },
        Network::F32 { mlp: Some(mlp), .. } if !whole => {
            let (mlp, _) = of_candidates(mlp, dim, fields, memory)?;
            OwnLayers::Real(Some(mlp))
        }
        Network::F32 { mlp, .. } => OwnLayers::Real(*mlp),
    };
    Ok((layers, Context::carve(&model.network, fields.len(false) * dim, memory)?))
}

/// Blocks that [`CatalogueRanker`] works in, for contexts and for items.
fn working_blocks(model: &Model<'_>, catalogue: &Catalogue<'_>) -> usize {
    let in_groups = goes_in_groups(model);
    let items = model.token.run(ItemBlocks { model, catalogue, in_groups });
    items.max(scratch_blocks(model))
}

struct ItemBlocks<'t> {
    model: &'t Model<'t>,
    catalogue: &'t Catalogue<'t>,
    in_groups: bool,
}

impl Task for ItemBlocks<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> usize {
        let ItemBlocks { model, catalogue, in_groups } = self;
        let inputs = catalogue.fields.len(false) * model.embed_dim();
        let has_sums = catalogue.parts == CatalogueParts::LayerSums;
        match &model.network {
            Network::Int8 { layers, .. } => ItemIntegers::blocks::<V>(layers, inputs, has_sums, in_groups),
            Network::F32 { mlp, .. } => ItemReals::blocks::<V>(mlp.as_ref(), inputs, has_sums, in_groups),
        }
    }
}

impl<'m> CatalogueRanker<'m> {
    /// Blocks of memory that [`CatalogueRanker::new`] needs.
    pub fn blocks(model: &Model<'_>, catalogue: &Catalogue<'_>) -> usize {
        working_blocks(model, catalogue) + Measure::of(|memory| carve(model, catalogue, memory))
    }

    /// A ranker of the items of `catalogue`, which is of this model, in any layout and on any back end. `memory` has at
    /// least [`CatalogueRanker::blocks`] blocks. Its first context has to be [set](CatalogueRanker::set_context).
    ///
    /// Nothing of the model is copied but, with [`CatalogueParts::Vectors`], an item's share of the first layer.
    ///
    /// # Errors
    /// [`ScoreError::ScratchTooSmall`]; [`ScoreError::CatalogueModel`] where the catalogue is of another file.
    pub fn new(
        model: &Model<'m>,
        catalogue: &Catalogue<'m>,
        memory: &'m mut [ScratchBlock],
    ) -> Result<Self, ScoreError> {
        let numbers = catalogue.numbers(model).ok_or(ScoreError::CatalogueModel)?;
        check_room(Self::blocks(model, catalogue), memory)?;
        let (scratch, memory) = memory.split_at_mut(working_blocks(model, catalogue));
        let (layers, context) = carve(model, catalogue, &mut Scratch::new(memory))?;
        let inputs = catalogue.fields.len(false) * model.embed_dim();
        Ok(CatalogueRanker {
            model: *model,
            catalogue: *catalogue,
            numbers,
            layers,
            inputs,
            context,
            has_context: false,
            in_groups: goes_in_groups(model),
            scratch,
        })
    }

    /// Computes what all items share. `row` has the context's fields alone, in the model's order.
    ///
    /// # Errors
    /// Any [`ScoreError`] of the row, its field counted among the context's; there is then no context until one is set.
    pub fn set_context(&mut self, row: Row<'_>) -> Result<(), ScoreError> {
        self.has_context = false;
        let shifts = match &self.layers {
            OwnLayers::Integer { shifts, .. } => *shifts,
            OwnLayers::Real(_) => &[],
        };
        let CatalogueRanker { model, catalogue, context, scratch, .. } = self;
        let (network, fields) = (&model.network, &catalogue.fields);
        model.token.run(SetContext { network, fields, context, shifts, row, scratch })?;
        self.has_context = true;
        Ok(())
    }

    /// Forgets the context: items have no score until the next one is set.
    pub fn clear_context(&mut self) {
        self.has_context = false;
    }

    /// The scores of items, by their numbers from 0.
    ///
    /// # Errors
    /// The first item that has no score, by its place; those before it have theirs. [`ScoreError::NoContext`],
    /// [`ScoreError::BatchLength`], [`ScoreError::ItemOutOfRange`], in f32 mode [`ScoreError::NotFinite`].
    pub fn score_items(&mut self, items: &[u32], scores: &mut [Score]) -> Result<(), BatchError> {
        let whole = |error| BatchError { row: 0, error };
        if !self.has_context {
            return Err(whole(ScoreError::NoContext));
        }
        let (given, room) = (items.len(), scores.len());
        if given != room {
            return Err(whole(ScoreError::BatchLength { rows: given, scores: room }));
        }
        let len = self.catalogue.len;
        let missing = items.iter().position(|&item| item >= len);
        let found = missing.unwrap_or(given);
        self.score_known(&items[..found], &mut scores[..found])?;
        missing.map_or(Ok(()), |row| {
            Err(BatchError { row, error: ScoreError::ItemOutOfRange { item: items[row], items: len } })
        })
    }

    /// Scores of items that are there.
    fn score_known(&mut self, items: &[u32], scores: &mut [Score]) -> Result<(), BatchError> {
        let CatalogueRanker { model, numbers, layers, inputs, context, in_groups, scratch, .. } = self;
        let (inputs, in_groups) = (*inputs, *in_groups);
        match (&model.network, &*layers, &*context, *numbers) {
            (
                Network::Int8 { fwfm, bias, terms, .. },
                OwnLayers::Integer { layers, .. },
                Context::Integer { own, across, start },
                Numbers::Integer(catalogue),
            ) => {
                let (bias, own, across) = (*bias, *own, across.get());
                let task = ItemIntegers {
                    fwfm,
                    layers,
                    bias,
                    terms,
                    own,
                    across,
                    start,
                    catalogue,
                    inputs,
                    items,
                    scores,
                    scratch,
                    in_groups,
                };
                model.token.run(task).map_err(|error| BatchError { row: 0, error })
            }
            (
                Network::F32 { fwfm, .. },
                OwnLayers::Real(mlp),
                Context::Real { own, across, start },
                Numbers::Real(catalogue),
            ) => {
                let (mlp, own) = (mlp.as_ref(), *own);
                let task =
                    ItemReals { fwfm, mlp, own, across, start, catalogue, inputs, items, scores, scratch, in_groups };
                model.token.run_reals(task).map_err(|NoScore { place, error }| BatchError { row: place, error })
            }
            // All are of one model.
            _ => Ok(()),
        }
    }

    /// The best of all items, best first, at most as many as `best` has room for; gives how many they are. The number
    /// of a [candidate](Ranked::candidate) is the item's; equal logits stay in the order of the items.
    ///
    /// # Errors
    /// As [`CatalogueRanker::score_items`], by the item's number.
    pub fn top_k(&mut self, best: &mut [Ranked]) -> Result<usize, BatchError> {
        /// Items that are scored together, a few groups.
        const CHUNK: usize = 2 * LANES;
        let mut top = TopK::new(best);
        let (mut items, mut scores, mut next) = ([0; CHUNK], [Score::default(); CHUNK], 0);
        if !self.has_context {
            return Err(BatchError { row: 0, error: ScoreError::NoContext });
        }
        while next < self.catalogue.len {
            let mut count = 0;
            for (item, number) in items.iter_mut().zip(next..self.catalogue.len) {
                *item = number;
                count += 1;
            }
            let done = top.candidates();
            let scored = self.score_known(&items[..count], &mut scores[..count]);
            scored.map_err(|error| BatchError { row: done + error.row, ..error })?;
            top.push(&scores[..count]);
            next = next.saturating_add(count as u32);
        }
        Ok(top.finish().len())
    }
}
