//! Launches that turn stored patches into normalised pixels, at the start of a pass. Executes nothing.

use super::lower::Lowering;
use super::schedule::{CallOp, LaunchNumbers, Pointer, Transfer};
use crate::engine::gpu::Kernel;
use crate::engine::views::{FIELDS, Stored};

impl Lowering<'_> {
    /// Adds the launches that write the pixels into the input buffer.
    pub(super) fn views(&mut self, stored: Stored) {
        let Stored { side, size, contrast, reach } = stored;
        let (images, area) = (self.of.images, size * size);
        let pixels = images * area;
        let given = Pointer::from(self.given);
        let bytes = images * side * side * 3;
        let arriving = self.schedule.buffer(bytes);
        self.schedule.call(CallOp::Give(Transfer::Stored, bytes), [arriving.into()]);
        let table = self.schedule.buffer(8 * FIELDS * images);
        self.schedule.call(CallOp::Give(Transfer::Changes, 8 * FIELDS * images), [table.into()]);
        let table = Pointer::from(table);
        self.launch_views(Kernel::ViewPixels, pixels, [arriving.into(), table, given], &[pixels, side, size]);
        let rests = contrast.then(|| {
            let (sums, rests) = (self.schedule.buffer(8 * images * size), self.schedule.buffer(4 * images));
            let rows = images * size;
            self.launch_views(Kernel::ViewGreys, rows, [given, sums.into()], &[rows, size]);
            self.launch_views(Kernel::ViewRests, images, [sums.into(), table, rests.into()], &[images, size]);
            Pointer::from(rests)
        });
        self.launch_views(Kernel::ViewColors, pixels, [given, table, rests.into()], &[pixels, area]);
        if reach > 0 {
            let bytes = 4 * images * (reach + 1);
            let (weights, between) = (self.schedule.buffer(bytes), self.schedule.buffer(12 * pixels));
            self.schedule.call(CallOp::Give(Transfer::Weights, bytes), [weights.into()]);
            for (from, to, down) in [(given, between.into(), 0), (between.into(), given, 1)] {
                let n = [pixels, size, reach + 1, down];
                self.launch_views(Kernel::ViewBlur, pixels, [from, table, weights.into(), to], &n);
            }
        }
        self.launch_views(Kernel::ViewNormals, pixels, [given, table], &[pixels, area]);
    }

    fn launch_views<const N: usize>(&mut self, kernel: Kernel, threads: usize, pointers: [Pointer; N], n: &[usize]) {
        self.schedule.launch(kernel, threads, pointers, LaunchNumbers { n, ..LaunchNumbers::default() });
    }
}
