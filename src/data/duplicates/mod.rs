//! Photographs that show the same picture although their files differ: saved again, shifted, mirrored, turned, brighter or darker. Knows no
//! stage and no split. `docs/design/near-duplicates.md` says why each step is there, and what was measured.

mod compare;
mod field;
mod fingerprint;
mod matches;
mod overlap;
mod sheet;
mod table;

pub use compare::{MATCH, PictureMatch, pairs};
pub use fingerprint::{PictureFingerprint, PictureHash};
pub use matches::matches;
pub use overlap::{MOST, PictureDetail, overlaps};
pub(in crate::data) use sheet::tile;
pub use sheet::{ShownPair, sheet};
pub use table::{NearDuplicate, PairMember, from_parquet, to_parquet};
