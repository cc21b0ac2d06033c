//! Sampler of batches with the same number of patches of each class, in several views. Knows labels, not pixels.

use std::collections::BTreeMap;

use super::labels::health;
use crate::base::Streams;
use crate::data::patches::{Label, PatchSet};
use crate::learn::sampler::{Batch, PatchDraw, by_rank};

/// Sampler of some patches of some classes per batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerClass {
    /// Classes per batch; [`None`] for all. Healthy patches are one of them.
    pub classes: Option<usize>,
    /// Patches of each class, if it has as many.
    pub each: usize,
    /// Views of each patch, which differ by their augmentation.
    pub views: usize,
}

/// Patches of a set that are positive for each class, the healthy ones last.
#[derive(Clone, Debug)]
pub struct Decks {
    /// Draws of each class, in the order of the set.
    of: Vec<Vec<PatchDraw>>,
    /// Number of patches of each class, without copies.
    pub(super) patches: Vec<usize>,
    /// Number of draws in the set, each once.
    all: usize,
}

impl Decks {
    /// The patches of a set.
    #[must_use]
    pub fn new(set: &PatchSet) -> Self {
        let mut of = vec![Vec::new(); set.info.classes.len() + 1];
        let mut patches = vec![0; of.len()];
        let mut all = 0;
        for (part, rows) in (0..).zip(set.parts.iter().map(|part| &part.rows)) {
            for (row, facts) in (0..).zip(rows) {
                let labels = facts.labels.iter().copied().chain([health(&facts.labels)]);
                for (class, _) in labels.enumerate().filter(|(_, label)| *label == Label::Present) {
                    patches[class] += 1;
                    of[class].extend((0..facts.copies).map(|copy| PatchDraw { part, row, copy }));
                }
                all += facts.copies as usize;
            }
        }
        Self { of, patches, all }
    }

    /// Classes that have patches.
    pub(super) fn usable(&self) -> Vec<usize> {
        (0..self.of.len()).filter(|class| !self.of[*class].is_empty()).collect()
    }
}

/// Draws of one class in an epoch: all of them in random order, again and again.
struct Deck<'a> {
    draws: &'a [PatchDraw],
    class: usize,
    pass: u64,
    order: Vec<PatchDraw>,
}

impl Deck<'_> {
    /// The next draw, in an order that depends on the epoch.
    fn next(&mut self, set: &PatchSet, streams: &Streams, epoch: u64) -> Option<PatchDraw> {
        if self.order.is_empty() {
            self.order = self.draws.to_vec();
            let (class, pass) = (self.class as u64, self.pass);
            by_rank(&mut self.order, |draw| {
                let mut id = draw.id(set).to_vec();
                id.extend(class.to_le_bytes().into_iter().chain(pass.to_le_bytes()));
                streams.rank("of a class", epoch, &id)
            });
            self.order.reverse();
            self.pass += 1;
        }
        self.order.pop()
    }
}

impl PerClass {
    /// Most patches of a batch, counting views.
    #[must_use]
    pub fn most(&self, decks: &Decks) -> usize {
        let mut sizes: Vec<usize> = decks.patches.iter().map(|patches| self.each.min(*patches)).collect();
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        sizes.truncate(self.classes.unwrap_or(sizes.len()));
        sizes.iter().sum::<usize>() * self.views
    }

    /// Batches of one epoch, in order: as many as it takes to draw as many patches as the set has, if each class has `each`.
    #[must_use]
    pub fn batches(&self, set: &PatchSet, decks: &Decks, streams: &Streams, epoch: u64) -> Vec<Batch> {
        let usable = decks.usable();
        let wanted = self.classes.map_or(usable.len(), |wanted| wanted.min(usable.len()));
        let of_step = (wanted * self.each).max(1);
        let mut open: Vec<Deck> = (decks.of.iter().enumerate())
            .map(|(class, draws)| Deck { draws, class, pass: 0, order: Vec::new() })
            .collect();
        let steps = decks.all.div_ceil(of_step) as u64;
        let views = self.views as u64;
        // How often each patch was drawn so far: each time it is augmented differently.
        let mut drawn: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        let batch = |step: u64| {
            let rank = |class: &usize| {
                let id = [(*class as u64).to_le_bytes(), step.to_le_bytes()].concat();
                streams.rank("classes", epoch, &id)
            };
            let mut classes = usable.clone();
            classes.sort_by_cached_key(|class| (rank(class), *class));
            classes.truncate(wanted);
            classes.sort_unstable();
            let mut taken: Vec<PatchDraw> = Vec::with_capacity(of_step);
            for class in classes {
                let deck = &mut open[class];
                let before = taken.len();
                // A patch with two classes counts for the first one: no patch is its own positive but by its views.
                let mut looked = 0;
                while taken.len() < before + self.each && looked < 2 * deck.draws.len() {
                    looked += 1;
                    let Some(draw) = deck.next(set, streams, epoch) else { break };
                    if taken.iter().all(|other| (other.part, other.row) != (draw.part, draw.row)) {
                        taken.push(draw);
                    }
                }
            }
            let mut draws = Vec::with_capacity(taken.len() * self.views);
            for draw in taken {
                let times = drawn.entry((draw.part, draw.row)).or_default();
                draws.extend((0..views).map(|view| PatchDraw { copy: (*times * views + view) as u32, ..draw }));
                *times += 1;
            }
            Batch::whole(draws)
        };
        (0..steps).map(batch).collect()
    }
}
