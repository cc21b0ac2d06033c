//! Codes of pretraining: batches without pairs, and embeddings that say nothing.

use super::Page;
use super::stages::found;

pub(super) const PAGES: &[Page] = &[
    found(
        "one-class",
        "`pretrain` compares patches of different classes, but all training patches are of one; healthy patches count as a class.",
        "Add patches of another class, or check the labels.",
    ),
    found(
        "no-pairs",
        "The batches of `pretrain` have no two patches or views of one class, or only one class, so that nothing is compared.",
        "Raise `each`, `views` or `classes` of `sampler`.",
    ),
    found(
        "few-classes",
        "`sampler` of `pretrain` asks for more classes per batch than there are classes with training patches.",
        "Lower `classes` of `sampler`, or omit it: then all are in every batch.",
    ),
    found(
        "few-patches",
        "`sampler` of `pretrain` asks for more patches of a class than exist; a patch occurs at most once per batch, in several views.",
        "Lower `each` of `sampler`, or use more photographs.",
    ),
    found(
        "unknown-labels",
        "`positives overlap` and `positives same-set` of `pretrain` compare whole sets of labels, so patches with an unknown label are left out.",
        "Use `positives each-label`, which leaves out only the unknown labels.",
    ),
    found(
        "same-views",
        "`pretrain` makes several views of each patch, but the patches are not augmented, so the views are equal and say nothing.",
        "Connect `augment` before `pretrain`, or set `views=1`.",
    ),
    found(
        "mixed-labels",
        "`pretrain` gets mixed patches (`mixup`, `cutmix`), whose labels are between present and absent: they make no pairs.",
        "Augment without mixing.",
    ),
    found(
        "collapsed",
        "The encoder of `pretrain` gives almost the same output for all patches.",
        "Lower `optimizer.lr`, add `warmup`, or use a smaller `margin` or `mining all`.",
    ),
];
