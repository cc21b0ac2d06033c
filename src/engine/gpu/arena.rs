//! Placement of buffers in one block of memory: buffers that are not in use at the same time may overlap. Knows no content.

/// Alignment of buffers, bytes; at least that of the widest loads.
pub const ALIGNMENT: u64 = 256;

/// Size and time of use of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Size, bytes.
    pub bytes: u64,
    /// First call that uses it.
    pub first: usize,
    /// Last call that uses it.
    pub last: usize,
}

impl Lifetime {
    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Offset of each buffer, and size of the block, bytes. Places the largest buffers first (ties in order), each at the lowest offset that is
/// free while it is in use.
#[must_use]
pub fn place(lives: &[Lifetime]) -> (Vec<u64>, u64) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(lives[at].bytes), at));
    let mut places = vec![0; lives.len()];
    let mut total = 0;
    let mut placed: Vec<usize> = Vec::with_capacity(lives.len());
    for at in order {
        let bytes = lives[at].bytes.next_multiple_of(ALIGNMENT);
        let mut taken: Vec<(u64, u64)> = placed
            .iter()
            .filter(|&&other| lives[other].meets(&lives[at]))
            .map(|&other| (places[other], places[other] + lives[other].bytes.next_multiple_of(ALIGNMENT)))
            .collect();
        taken.sort_unstable();
        let mut place = 0;
        for (from, to) in taken {
            if place + bytes <= from {
                break;
            }
            place = place.max(to);
        }
        places[at] = place;
        total = total.max(place + bytes);
        placed.push(at);
    }
    (places, total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buffers_that_are_not_in_use_at_the_same_time_overlap() {
        let life = |bytes, first, last| Lifetime { bytes, first, last };
        let (places, total) = place(&[life(1000, 0, 1), life(512, 1, 2), life(1024, 2, 3)]);
        assert_eq!((places, total), (vec![0, 1024, 0], 1536));
    }

    proptest! {
        #[test]
        fn no_two_buffers_in_use_overlap(lives in prop::collection::vec((1u64..5000, 0usize..40, 0usize..20), 1..60)) {
            let lives: Vec<Lifetime> =
                lives.into_iter().map(|(bytes, first, long)| Lifetime { bytes, first, last: first + long }).collect();
            let (places, total) = place(&lives);
            for (a, (one, from)) in lives.iter().zip(&places).enumerate() {
                prop_assert!(from % ALIGNMENT == 0 && from + one.bytes <= total);
                for (other, to) in lives[..a].iter().zip(&places) {
                    let apart = from + one.bytes <= *to || to + other.bytes <= *from;
                    prop_assert!(apart || one.last < other.first || other.last < one.first);
                }
            }
        }
    }
}
