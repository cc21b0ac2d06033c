//! Declarations of the functions of the driver, of NVRTC and of cuDNN that are used: enumerations are `int`, handles `void *`. Calls
//! nothing.

#![expect(unsafe_code, reason = "functions of C are declared here")]

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::library::functions;

/// Opaque handle of the driver, of NVRTC or of cuDNN.
pub(super) type Handle = *mut c_void;
type Out<T> = *mut T;

functions! {
    /// `libcuda`, the driver.
    Driver of RTLD_GLOBAL ["libcuda.so.1", "libcuda.so"] {
        cuInit(c_uint);
        cuDriverGetVersion(Out<c_int>);
        cuDeviceGetCount(Out<c_int>);
        cuDeviceGet(Out<c_int>, c_int);
        cuDeviceGetUuid_v2(Out<c_void>, c_int);
        cuDeviceGetName(Out<c_char>, c_int, c_int);
        cuDeviceGetAttribute(Out<c_int>, c_int, c_int);
        cuDevicePrimaryCtxRetain(Out<Handle>, c_int);
        cuDevicePrimaryCtxRelease_v2(c_int);
        cuCtxSetCurrent(Handle);
        cuMemGetInfo_v2(Out<usize>, Out<usize>);
        cuMemAlloc_v2(Out<u64>, usize);
        cuMemFree_v2(u64);
        cuMemsetD8_v2(u64, u8, usize);
        cuMemcpyHtoD_v2(u64, *const c_void, usize);
        cuMemcpyDtoH_v2(Out<c_void>, u64, usize);
        cuModuleLoadData(Out<Handle>, *const c_void);
        cuModuleUnload(Handle);
        cuModuleGetFunction(Out<Handle>, Handle, *const c_char);
        cuLaunchKernel(
            Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void, *mut *mut c_void
        );
        cuGetErrorString(c_int, Out<*const c_char>);
    }
}

/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR`.
pub(super) const CAPABILITY: [c_int; 2] = [75, 76];

functions! {
    /// NVRTC, the compiler.
    Nvrtc of RTLD_LOCAL ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"] {
        nvrtcVersion(Out<c_int>, Out<c_int>);
        nvrtcCreateProgram(
            Out<Handle>, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char
        );
        nvrtcCompileProgram(Handle, c_int, *const *const c_char);
        nvrtcDestroyProgram(Out<Handle>);
        nvrtcGetProgramLogSize(Handle, Out<usize>);
        nvrtcGetProgramLog(Handle, Out<c_char>);
        nvrtcGetCUBINSize(Handle, Out<usize>);
        nvrtcGetCUBIN(Handle, Out<c_char>);
    }
}

functions! {
    /// cuDNN, the library of convolutions.
    Cudnn of RTLD_GLOBAL ["libcudnn.so.9", "libcudnn.so"] {
        cudnnCreate(Out<Handle>);
        cudnnDestroy(Handle);
        cudnnGetProperty(c_int, Out<c_int>);
        cudnnCreateTensorDescriptor(Out<Handle>);
        cudnnSetTensor4dDescriptor(Handle, c_int, c_int, c_int, c_int, c_int, c_int);
        cudnnDestroyTensorDescriptor(Handle);
        cudnnCreateFilterDescriptor(Out<Handle>);
        cudnnSetFilter4dDescriptor(Handle, c_int, c_int, c_int, c_int, c_int, c_int);
        cudnnDestroyFilterDescriptor(Handle);
        cudnnCreateConvolutionDescriptor(Out<Handle>);
        cudnnSetConvolution2dDescriptor(Handle, c_int, c_int, c_int, c_int, c_int, c_int, c_int, c_int);
        cudnnSetConvolutionMathType(Handle, c_int);
        cudnnDestroyConvolutionDescriptor(Handle);
        cudnnGetConvolution2dForwardOutputDim(
            Handle, Handle, Handle, Out<c_int>, Out<c_int>, Out<c_int>, Out<c_int>
        );
        cudnnGetConvolutionForwardWorkspaceSize(Handle, Handle, Handle, Handle, Handle, c_int, Out<usize>);
        cudnnGetConvolutionBackwardDataWorkspaceSize(Handle, Handle, Handle, Handle, Handle, c_int, Out<usize>);
        cudnnGetConvolutionBackwardFilterWorkspaceSize(Handle, Handle, Handle, Handle, Handle, c_int, Out<usize>);
        cudnnConvolutionForward(
            Handle, *const c_void, Handle, *const c_void, Handle, *const c_void, Handle, c_int, *mut c_void, usize,
            *const c_void, Handle, *mut c_void
        );
        cudnnConvolutionBackwardData(
            Handle, *const c_void, Handle, *const c_void, Handle, *const c_void, Handle, c_int, *mut c_void, usize,
            *const c_void, Handle, *mut c_void
        );
        cudnnConvolutionBackwardFilter(
            Handle, *const c_void, Handle, *const c_void, Handle, *const c_void, Handle, c_int, *mut c_void, usize,
            *const c_void, Handle, *mut c_void
        );
    }
}

/// Values of the enumerations of cuDNN.
pub(super) mod cudnn {
    use std::ffi::c_int;

    /// `MAJOR_VERSION`, `MINOR_VERSION` and `PATCH_LEVEL` of `libraryPropertyType`.
    pub(in super::super) const VERSION: [c_int; 3] = [0, 1, 2];
    /// `CUDNN_TENSOR_NHWC`.
    pub(in super::super) const NHWC: c_int = 1;
    /// `CUDNN_CROSS_CORRELATION`.
    pub(in super::super) const CROSS_CORRELATION: c_int = 1;
    /// `CUDNN_DATA_FLOAT`.
    pub(in super::super) const FLOAT: c_int = 0;
    /// `CUDNN_DATA_BFLOAT16`.
    pub(in super::super) const BFLOAT16: c_int = 9;
    /// `CUDNN_TENSOR_OP_MATH`.
    pub(in super::super) const TENSOR_OP_MATH: c_int = 1;
    /// `CUDNN_FMA_MATH`: f32 stays f32.
    pub(in super::super) const FMA_MATH: c_int = 3;
    /// `CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM`, then `_IMPLICIT_GEMM`: deterministic, as all forward algorithms are.
    pub(in super::super) const FORWARD: &[c_int] = &[1, 0];
    /// `CUDNN_CONVOLUTION_BWD_DATA_ALGO_1`: `_0` adds in any order.
    pub(in super::super) const IMAGE: &[c_int] = &[1];
    /// `CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1`: `_0` and `_3` add in any order.
    pub(in super::super) const KERNEL: &[c_int] = &[1];
}
