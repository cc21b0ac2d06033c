//! Iterative stratification over groups, after Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data"
//! (ECML PKDD 2011). Knows groups and counts, no patches.
//!
//! Their algorithm places samples one by one: the label with the fewest unplaced samples comes first, and its sample goes to
//! the side that still needs that label most. Here whole groups are placed, with their counts, in the order of a seeded rank of
//! the group's identity. Placing large groups first instead meets the rarest class better (by 1 % instead of 4 % on 54
//! photographs), but the small sides then get what is left, many small groups, and far more patches than their share.
//!
//! What holds when a group is added: every group keeps its rank, so groups are still taken in the same order but for the new
//! one. Those before it stay where they are, unless the larger totals change a side's need enough to turn a decision; those
//! after it can move. No method that balances counts can promise more.

use crate::base::Streams;

/// What is placed as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCounts {
    /// What it is known by: seeded ranks depend on this and on no place in a list.
    pub identity: Vec<u8>,
    /// Known positives per class.
    pub positives: Vec<u64>,
    /// Patches.
    pub patches: u64,
}

/// The side of each group, as an index into `shares`. A side with share 0 gets none.
///
/// # Panics
/// Where no share is positive: a defect of the caller.
#[must_use]
pub fn stratify(groups: &[GroupCounts], shares: &[f64], streams: &Streams) -> Vec<usize> {
    assert!(shares.iter().any(|share| *share > 0.0), "a side with a share");
    let classes = groups.iter().map(|group| group.positives.len()).max().unwrap_or(0);
    let total = |count: &dyn Fn(&GroupCounts) -> u64| groups.iter().map(count).sum::<u64>() as f64;
    let mut need: Vec<Shortfall> = shares
        .iter()
        .map(|share| Shortfall {
            positives: (0..classes).map(|class| share * total(&|group| group.positives[class])).collect(),
            patches: share * total(&|group| group.patches),
        })
        .collect();
    let open: Vec<usize> = (0..shares.len()).filter(|side| shares[*side] > 0.0).collect();

    let mut waiting: Vec<usize> = (0..groups.len()).collect();
    waiting.sort_by_key(|at| (streams.rank("group", 0, &groups[*at].identity), &groups[*at].identity));
    let mut placed = vec![0; groups.len()];
    while !waiting.is_empty() {
        let class = rarest(groups, &waiting, classes);
        let has = |at: &usize| class.is_none_or(|class| groups[*at].positives[class] > 0);
        let first = waiting.iter().position(has).expect("a waiting group has the class that was chosen");
        let at = waiting.remove(first);
        let group = &groups[at];
        let wanted = |side: usize| class.map_or(0.0, |class| need[side].positives[class]);
        let side = open
            .iter()
            .copied()
            .max_by(|a, b| {
                let by_class = wanted(*a).total_cmp(&wanted(*b));
                let by_patches = need[*a].patches.total_cmp(&need[*b].patches);
                by_class.then(by_patches).then_with(|| tie(streams, group, *a).cmp(&tie(streams, group, *b)))
            })
            .expect("a side with a share");
        placed[at] = side;
        need[side].patches -= group.patches as f64;
        for (need, positives) in need[side].positives.iter_mut().zip(&group.positives) {
            *need -= *positives as f64;
        }
    }
    placed
}

/// What a side still wants.
struct Shortfall {
    positives: Vec<f64>,
    patches: f64,
}

/// The class that the fewest waiting groups have; the earlier one of two. [`None`] where no waiting group has any.
fn rarest(groups: &[GroupCounts], waiting: &[usize], classes: usize) -> Option<usize> {
    let having = |class: usize| waiting.iter().filter(|at| groups[**at].positives[class] > 0).count();
    (0..classes).map(|class| (having(class), class)).filter(|(count, _)| *count > 0).min().map(|(_, class)| class)
}

fn tie(streams: &Streams, group: &GroupCounts, side: usize) -> u64 {
    streams.rank("side", side as u64, &group.identity)
}
