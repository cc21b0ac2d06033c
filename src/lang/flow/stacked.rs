//! Embeddings of photographs that their encoder was trained on, given to the training of another network: they are better than those of
//! other photographs, so the network relies on them too much.

use std::collections::BTreeSet;

use super::DraftGraph;
use super::lineage::{EmbeddingJoin, Lineage, Lineages, Model, meet};
use crate::diag::Diag;
use crate::lang::signature::InPort;

const HINT: &str = "encode with weights that have not seen these photographs, such as those of ImageNet, or use `cross-encode`: it encodes each photograph by a network that was not trained on it";

impl DraftGraph<'_> {
    /// Warnings for such embeddings, one for each reference to them.
    pub(super) fn stacked(&self, order: &[usize], lineages: &Lineages) -> Vec<Diag> {
        let mut diags = Vec::new();
        let mut reported = BTreeSet::new();
        for &stage in order {
            for (port, trained, data) in self.given(stage).filter(|(port, ..)| self.fits(stage, port)) {
                let Some(patches) = lineages.get(&data).filter(|_| self.are_patches(data)) else { continue };
                for join in self.joins(stage, data.0) {
                    let Some((encoder, (model, fits, here, _))) = self.stacks(join, patches, lineages) else {
                        continue;
                    };
                    if !reported.insert(join.place.span) {
                        continue;
                    }
                    let title =
                        |at: usize| format!("`{} {}`", self.drafts[at].spec.stage_type, self.drafts[at].spec.name);
                    let message = format!(
                        "{} encodes photographs that {} was trained on, and {} is trained on their patches",
                        title(encoder),
                        title(model),
                        title(stage)
                    );
                    let diag = Diag::warning("stacked-embeddings", join.place.span, message)
                        .also(here.span, format!("the encoder is trained here, at `{fits}`"))
                        .also(
                            trained.span,
                            format!("the network that reads the embeddings is trained here, at `{port}`"),
                        );
                    diags.push(super::in_bodies(diag.hint(HINT), &self.drafts[join.stage]));
                }
            }
        }
        diags
    }

    /// An encoder of these embeddings, and a model behind it that was fitted on photographs of `patches`, without those that the encoder
    /// leaves out.
    fn stacks(
        &self,
        join: EmbeddingJoin,
        patches: &BTreeSet<Lineage>,
        lineages: &Lineages,
    ) -> Option<(usize, Model<'_>)> {
        let of_encoder = |encoder: usize| {
            let excludes = |port: &str| self.drafts[encoder].signature.input(port).is_some_and(InPort::excludes);
            let left_out = self.given(encoder).filter(|(port, ..)| excludes(port));
            let left_out: Vec<_> = left_out.filter_map(|(.., data)| lineages.get(&data)).collect();
            let described = |one: &&Lineage| !left_out.iter().any(|all| all.iter().any(|all| contains(all, one)));
            let shared = |(at, port, _, data): &Model| {
                let seen = lineages.get(data).filter(|_| self.fits(*at, port) && self.are_patches(*data));
                let mut seen = seen.into_iter().flat_map(|seen| seen.iter()).filter(described);
                seen.any(|seen| patches.iter().any(|one| meet(seen, one)))
            };
            self.models(encoder).into_iter().find(shared).map(|model| (encoder, model))
        };
        self.encoders(join.embeddings).into_iter().find_map(of_encoder)
    }

    /// The stages that made embeddings from something else than embeddings.
    fn encoders(&self, embeddings: usize) -> BTreeSet<usize> {
        let (mut found, mut reached, mut todo) = (BTreeSet::new(), BTreeSet::from([embeddings]), vec![embeddings]);
        while let Some(at) = todo.pop() {
            let of_embeddings = |source: &usize| {
                self.references(at).any(|(reference, _, from)| {
                    let out = self.drafts[from].signature.output(Some(&reference.port));
                    from == *source && out.is_some_and(|out| out.ty == "embeddings")
                })
            };
            let above: BTreeSet<usize> = self.references(at).map(|(.., source)| source).filter(of_embeddings).collect();
            if above.is_empty() {
                found.insert(at);
            }
            todo.extend(above.into_iter().filter(|source| reached.insert(*source)));
        }
        found
    }
}

/// Whether all patches of one lineage are in the other.
fn contains(all: &Lineage, one: &Lineage) -> bool {
    all.0 == one.0 && all.1.iter().all(|(split, side)| one.1.get(split) == Some(side))
}
