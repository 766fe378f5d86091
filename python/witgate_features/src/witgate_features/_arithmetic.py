"""Logarithms and circular functions from operations that are exact in every language, step by step as in the gateway.

The functions of `math` are those of the C library, which differ in the last place from one machine to the next.
"""

import functools
import math

SQRT_2 = 1.4142135623730951
LN_2 = 0.6931471805599453
LOG2_E = 1.4426950408889634
PI = 3.141592653589793

LOGARITHM_TERMS = 12
CIRCLE_TERMS = 12
QUARTER = 21_600

# The largest float of 32 bits.
SINGLE_MAX = 3.4028234663852886e38


def _split_logarithm(x):
    mantissa, exponent = math.frexp(x)
    mantissa, exponent = mantissa * 2.0, float(exponent - 1)
    if mantissa > SQRT_2:
        mantissa /= 2.0
        exponent += 1.0
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    total = 0.0
    for k in range(LOGARITHM_TERMS, -1, -1):
        total = total * z + 1.0 / float(2 * k + 1)
    return exponent, 2.0 * s * total


def ln(x):
    exponent, rest = _split_logarithm(x)
    return exponent * LN_2 + rest


def log2(x):
    exponent, rest = _split_logarithm(x)
    return exponent + rest * LOG2_E


@functools.lru_cache(maxsize=None)
def _weighted_logarithm(count):
    return float(count) * log2(float(count)) if count else 0.0


def entropy(data):
    """Bits for each byte."""
    if not data:
        return 0.0
    counts = [0] * 256
    for byte in data:
        counts[byte] += 1
    # In the order of the byte values; sum() would compensate for rounding in newer versions of Python.
    total = 0.0
    for count in counts:
        if count:
            total += _weighted_logarithm(count)
    return (_weighted_logarithm(len(data)) - total) / float(len(data))


def circle(second):
    """Sine and cosine of the share of a day that has passed at a second from 0 to 86 399."""
    angle = float(second % QUARTER) * PI / float(2 * QUARTER)
    z = angle * angle
    sine = cosine = 1.0
    for k in range(CIRCLE_TERMS, 0, -1):
        k = float(2 * k)
        cosine = 1.0 - z / ((k - 1.0) * k) * cosine
        sine = 1.0 - z / (k * (k + 1.0)) * sine
    sine *= angle
    quarter = second // QUARTER
    if quarter == 0:
        return sine, cosine
    if quarter == 1:
        return cosine, 0.0 - sine
    if quarter == 2:
        return 0.0 - sine, 0.0 - cosine
    return 0.0 - cosine, sine


def transform(value, clip, log1p, scale):
    """A number between the bounds, its logarithm, and its multiple: what the gateway rounds to 32 bits."""
    if clip is not None:
        value = clip[0] if value < clip[0] else value
        value = clip[1] if value > clip[1] else value
    if log1p:
        value = -ln(1.0 - value) if value < 0.0 else ln(1.0 + value)
    if scale is not None:
        value *= scale
    value = -SINGLE_MAX if value < -SINGLE_MAX else value
    return SINGLE_MAX if value > SINGLE_MAX else value
