"""Weights and pixels for the expected values, from a formula that the tests repeat (tests/it/kernels/formula.rs), so that nothing large is stored."""
import zlib

import numpy


def formula(name, count, low, high):
    """The same floats everywhere: a multiplicative hash of the index, seeded with the CRC-32 of the name."""
    start = zlib.crc32(name.encode())
    index = numpy.arange(count, dtype=numpy.uint64)
    bits = (index * numpy.uint64(2654435761) + numpy.uint64(start)) & numpy.uint64(0xFFFFFFFF)
    bits = ((bits ^ (bits >> numpy.uint64(15))) * numpy.uint64(2246822519)) & numpy.uint64(0xFFFFFFFF)
    bits ^= bits >> numpy.uint64(13)
    return (low + (high - low) * (bits.astype(numpy.float64) / 4294967296.0)).astype(numpy.float32)


def bounds(name, shape):
    if name.endswith("running_mean"):
        return -0.2, 0.2
    if name.endswith("running_var"):
        return 0.5, 1.5
    if len(shape) > 1:
        bound = (6.0 / numpy.prod(shape[1:])) ** 0.5
        return -bound, bound
    return (0.6, 1.4) if name.endswith("weight") else (-0.2, 0.2)
