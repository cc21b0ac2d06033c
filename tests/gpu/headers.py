"""Compares the functions and constants of src/engine/gpu/cuda/api.rs with NVIDIA's headers; needs no GPU.

    python3 tests/gpu/headers.py INCLUDE...        (folders with cuda.h, nvrtc.h, cudnn.h and crt/host_defines.h)

Writes C++ whose assertions compare every declared type, enumerations taken as int and handles as void *, and compiles it with c++.
"""
import pathlib
import re
import subprocess
import sys

TEXT = (pathlib.Path(__file__).parents[2] / "src/engine/gpu/cuda/api.rs").read_text()
TYPES = {
    "c_int": "int", "c_uint": "unsigned", "c_char": "char", "c_void": "void", "Handle": "void *", "usize": "size_t",
    "u64": "unsigned long long", "u8": "unsigned char", "*const c_void": "const void *", "*mut c_void": "void *",
    "*const c_char": "const char *", "*const *const c_char": "const char *const *", "*mut *mut c_void": "void **",
}
BEFORE = """
#include <cuda.h>
#include <nvrtc.h>
#include <cudnn.h>
#include <type_traits>
template <class T> struct Plain { using type = std::conditional_t<std::is_enum_v<T>, int, T>; };
template <class T> struct Plain<T *> {
    using type = std::conditional_t<std::is_class_v<std::remove_cv_t<T>>, void *, typename Plain<T>::type *>;
};
template <class R, class... A> struct Plain<R (*)(A...)> { using type = int (*)(typename Plain<A>::type...); };
"""
CONSTANTS = {
    "CAPABILITY": ["CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR", "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR"],
    "VERSION": ["MAJOR_VERSION", "MINOR_VERSION", "PATCH_LEVEL"],
    "NHWC": ["CUDNN_TENSOR_NHWC"],
    "CROSS_CORRELATION": ["CUDNN_CROSS_CORRELATION"],
    "FLOAT": ["CUDNN_DATA_FLOAT"],
    "BFLOAT16": ["CUDNN_DATA_BFLOAT16"],
    "TENSOR_OP_MATH": ["CUDNN_TENSOR_OP_MATH"],
    "FMA_MATH": ["CUDNN_FMA_MATH"],
    "FORWARD": ["CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM", "CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM"],
    "IMAGE": ["CUDNN_CONVOLUTION_BWD_DATA_ALGO_1"],
    "KERNEL": ["CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1"],
}


def in_c(rust):
    rust = rust.strip()
    inner = re.fullmatch(r"Out<(.*)>", rust)
    return in_c(inner.group(1)) + " *" if inner else TYPES[rust]


def main():
    lines = [BEFORE]
    functions = re.findall(r"^ +((?:cu|nvrtc|cudnn)\w+)\(([^;]*?)\);", TEXT, re.M)
    for name, arguments in functions:
        ours = ", ".join(in_c(argument) for argument in arguments.split(",") if argument.strip())
        lines.append(f'static_assert(std::is_same_v<Plain<decltype(&{name})>::type, int (*)({ours})>, "{name}");')
    numbers = 0
    for name, theirs in CONSTANTS.items():
        value = re.search(rf"const {name}: [^=]*= (.*?);", TEXT).group(1)
        for number, constant in zip(re.findall(r"\d+", value), theirs, strict=True):
            lines.append(f'static_assert((int){constant} == {number}, "{name}");')
            numbers += 1
    includes = [f"-I{folder}" for folder in sys.argv[1:]]
    command = ["c++", "-std=c++17", "-fsyntax-only", "-x", "c++", *includes, "-"]
    done = subprocess.run(command, input="\n".join(lines) + "\nint main() {}\n", text=True, check=False)
    if done.returncode == 0:
        print(f"{len(functions)} functions and {numbers} constants match the headers")
    sys.exit(done.returncode)


main()
