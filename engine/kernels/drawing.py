"""
Random numbers without a state: each is a hash of whose it is and what it is for.

A draw names the run's key, the number of the contact (or arrival, or day) it belongs to, and its
purpose. So a contact has the same patience and the same handling time whatever was decided for
those before it, and two runs of one seed differ only where their decisions differ (common random
numbers). The generator is SplitMix64 (Steele, Lea and Flood 2014) read at a place instead of in a
sequence: purposes are far-apart stretches of one sequence of period 2^64.
"""

import math

import numpy as np

from engine.kernels.compilation import kernel

_STEP = np.uint64(0x9E3779B97F4A7C15)
_STRETCH = np.uint64(0xD1B54A32D192ED03)
_FIRST_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SECOND_MIX = np.uint64(0x94D049BB133111EB)
_27 = np.uint64(27)
_30 = np.uint64(30)
_31 = np.uint64(31)
_11 = np.uint64(11)
_TO_UNIT = 2.0**-53

# What a number is drawn for; stretches of one sequence, so that none is a function of another.
GAP = 0
BUSYNESS = 1
PATIENCE = 2
HANDLE = 3
WRAP_UP = 4
ANSWER = 5
ANSWER_DELAY = 6
CHOICE = 7
REDIAL = 8
REDIAL_DELAY = 9
PATIENCE_ANEW = 10
PURPOSES = 16


@kernel
def mixed(word: np.uint64) -> np.uint64:
    """A word whose every bit depends on every bit of another (SplitMix64's finaliser). O(1)."""
    word = (word ^ (word >> _30)) * _FIRST_MIX
    word = (word ^ (word >> _27)) * _SECOND_MIX
    return word ^ (word >> _31)


@kernel
def uniform(key: np.uint64, number: int, purpose: int) -> float:
    """The number above 0 and below 1 that belongs to `number` for `purpose`. O(1)."""
    word = mixed(key + np.uint64(number) * _STEP + np.uint64(purpose) * _STRETCH)
    return (np.float64(word >> _11) + 0.5) * _TO_UNIT


@kernel
def exponential(key: np.uint64, number: int, purpose: int) -> float:
    """An exponential variate of mean 1. O(1)."""
    return -math.log(uniform(key, number, purpose))


@kernel
def normal_quantile(probability: float) -> float:
    """
    Quantile of the standard normal law at a probability above 0 and below 1.

    Algorithm AS 241 (Wichura 1988), relative error about 1e-16. O(1).
    """
    centred = probability - 0.5
    if abs(centred) <= 0.425:
        r = 0.180625 - centred * centred
        return centred * (
            (((((((2509.0809287301226727 * r + 33430.575583588128105) * r
            + 67265.770927008700853) * r + 45921.953931549871457) * r
            + 13731.693765509461125) * r + 1971.5909503065514427) * r
            + 133.14166789178437745) * r + 3.387132872796366608)
            / (((((((5226.495278852545925 * r + 28729.085735721942674) * r
            + 39307.89580009271061) * r + 21213.794301586595867) * r
            + 5394.1960214247511077) * r + 687.1870074920579083) * r
            + 42.313330701600911252) * r + 1.0)
        )  # fmt: skip
    tail = min(probability, 1.0 - probability)
    r = math.sqrt(-math.log(tail))
    if r <= 5.0:
        r -= 1.6
        value = (
            (((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r
            + 0.24178072517745061177) * r + 1.27045825245236838258) * r
            + 3.64784832476320460504) * r + 5.7694972214606914055) * r
            + 4.6303378461565452959) * r + 1.42343711074968357734)
            / (((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r
            + 0.0151986665636164571966) * r + 0.14810397642748007459) * r
            + 0.68976733498510000455) * r + 1.6763848301838038494) * r
            + 2.05319162663775882187) * r + 1.0)
        )  # fmt: skip
    else:
        r -= 5.0
        value = (
            (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r
            + 0.0012426609473880784386) * r + 0.026532189526576123093) * r
            + 0.29656057182850489123) * r + 1.7848265399172913358) * r
            + 5.4637849111641143699) * r + 6.6579046435011037772)
            / (((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r
            + 1.8463183175100546818e-5) * r + 7.868691311456132591e-4) * r
            + 0.0148753612908506148525) * r + 0.13692988092273580531) * r
            + 0.59983220655588793769) * r + 1.0)
        )  # fmt: skip
    return -value if centred < 0.0 else value
