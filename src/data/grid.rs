//! Positions of patches in a photograph.

/// Handling of the right and bottom edge, where a full patch no longer fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgePolicy {
    /// The remainder is dropped.
    Drop,
    /// The last patch is shifted back until it fits.
    Shift,
    /// The last patch extends beyond the photograph, padded with black and no lesion.
    Pad,
}

/// A regular grid starting at the top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchGrid {
    /// Side of a patch, px.
    pub size: usize,
    /// Distance between patches, px.
    pub stride: usize,
    /// Handling of the edges.
    pub edge: EdgePolicy,
}

impl PatchGrid {
    /// Start offsets of the patches along a side of `length` px.
    #[must_use]
    pub fn along(&self, length: usize) -> Vec<usize> {
        let whole = if length >= self.size { (length - self.size) / self.stride + 1 } else { 0 };
        let mut starts: Vec<usize> = (0..whole).map(|i| i * self.stride).collect();
        let covered = starts.last().map_or(0, |last| last + self.size);
        match self.edge {
            // If the stride leaves gaps, pixels beyond the last patch may belong to a gap.
            EdgePolicy::Shift if covered < length && length >= self.size && whole * self.stride < length => {
                starts.push(length - self.size);
            }
            EdgePolicy::Pad if covered < length && whole * self.stride < length => starts.push(whole * self.stride),
            _ => {}
        }
        starts
    }

    /// Top left corners of the patches of a photograph, row by row.
    #[must_use]
    pub fn places(&self, width: usize, height: usize) -> Vec<(usize, usize)> {
        let columns = self.along(width);
        self.along(height).into_iter().flat_map(|y| columns.iter().map(move |&x| (x, y))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn along(length: usize, size: usize, stride: usize, edge: EdgePolicy) -> Vec<usize> {
        PatchGrid { size, stride, edge }.along(length)
    }

    #[test]
    fn incomplete_patches_are_dropped_shifted_or_padded() {
        assert_eq!(along(10, 4, 4, EdgePolicy::Drop), [0, 4]);
        assert_eq!(along(10, 4, 4, EdgePolicy::Shift), [0, 4, 6]);
        assert_eq!(along(10, 4, 4, EdgePolicy::Pad), [0, 4, 8]);
        for edge in [EdgePolicy::Drop, EdgePolicy::Shift, EdgePolicy::Pad] {
            assert_eq!(along(8, 4, 4, edge), [0, 4], "all fits");
            assert_eq!(along(8, 4, 2, edge), [0, 2, 4], "overlapping patches cover all");
        }
    }

    #[test]
    fn a_photograph_smaller_than_a_patch_has_one_only_when_padded() {
        assert!(along(3, 4, 4, EdgePolicy::Drop).is_empty());
        assert!(along(3, 4, 4, EdgePolicy::Shift).is_empty());
        assert_eq!(along(3, 4, 4, EdgePolicy::Pad), [0]);
    }

    #[test]
    fn overlap_reaches_the_edge() {
        assert_eq!(along(11, 4, 2, EdgePolicy::Drop), [0, 2, 4, 6]);
        assert_eq!(along(11, 4, 2, EdgePolicy::Shift), [0, 2, 4, 6, 7]);
        assert_eq!(along(11, 4, 2, EdgePolicy::Pad), [0, 2, 4, 6, 8]);
    }

    #[test]
    fn gaps_between_patches_ask_for_no_patch_at_the_edge() {
        assert_eq!(along(11, 4, 12, EdgePolicy::Pad), [0]);
        assert_eq!(along(14, 4, 12, EdgePolicy::Pad), [0, 12]);
        assert_eq!(along(14, 4, 12, EdgePolicy::Shift), [0, 10]);
    }
}
