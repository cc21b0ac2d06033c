//! Source of the GPU kernels, their names, and the arguments of a launch. Executes nothing.

use super::Precision;

/// Source of all kernels.
pub const SOURCE: &str = include_str!("kernels.cu");

/// Threads per block.
pub const THREADS: usize = 256;

/// Arguments of every kernel, passed by value: `struct Arguments` of the source, which documents their meaning.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KernelArguments {
    /// Addresses; 0 if unused.
    pub p: [u64; 12],
    /// Numbers that need more precision than f32.
    pub d: [f64; 4],
    /// Counts.
    pub n: [i32; 20],
    /// Numbers.
    pub f: [f32; 12],
}

/// Compiler options for a precision, except the architecture. Without fused multiply-add, roundings occur in source order, so that the
/// CPU gives the same bytes.
#[must_use]
pub fn options(precision: Precision) -> Vec<&'static str> {
    let mut options = vec!["--fmad=false", "--std=c++17"];
    if precision == Precision::Bf16 {
        options.push("-DBF16");
    }
    options
}

macro_rules! kernels {
    ($($variant:ident $name:literal,)*) => {
        /// Kernel of the source.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the source documents each")]
        pub enum Kernel { $($variant),* }

        impl Kernel {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Name in the source.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

kernels! {
    ViewPixels "view_pixels",
    ViewGreys "view_greys",
    ViewRests "view_rests",
    ViewColors "view_colors",
    ViewBlur "view_blur",
    ViewNormals "view_normals",
    FromFloats "from_floats",
    ToFloats "to_floats",
    Pack "pack",
    Unpack "unpack",
    PutColumns "put_columns",
    TakeColumns "take_columns",
    Transpose "transpose",
    ConvForward "conv_forward",
    ConvInputGradient "conv_input_gradient",
    ConvKernelGradient "conv_kernel_gradient",
    AddRuns "add_runs",
    AddBias "add_bias",
    ColumnMoments "column_moments",
    AddPairs "add_pairs",
    BiasGradient "bias_gradient",
    NormStatistics "norm_statistics",
    NormAffine "norm_affine",
    NormSums "norm_sums",
    NormFactors "norm_factors",
    NormCombine "norm_combine",
    SumRectified "sum_rectified",
    SumGradient "sum_gradient",
    CopyGradient "copy_gradient",
    Mask "mask",
    Smooth "smooth",
    SmoothGradient "smooth_gradient",
    MaxPool "max_pool",
    PoolGradient "pool_gradient",
    MeanPool "mean_pool",
    PartMeans "part_means",
    PartMeansGradient "part_means_gradient",
    ImageMax "image_max",
    ImageMaxGradient "image_max_gradient",
    Adam "adam",
    Sgd "sgd",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_and_the_list_name_the_same_kernels() {
        let named = |line: &'static str| line.strip_prefix("KERNEL(").and_then(|rest| rest.split(')').next());
        let text: Vec<&str> = SOURCE.lines().filter_map(named).collect();
        let list: Vec<&str> = Kernel::ALL.iter().map(|kernel| kernel.name()).collect();
        assert_eq!(text, list);
    }
}
