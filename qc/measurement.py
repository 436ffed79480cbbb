"""From a true value to a reported one: error, false positive, invalid run, limit of detection, rounding (K4, K6).

Kernels are numba scalars without randomness of their own: the engine hands in one standard normal and two uniforms.
Nothing here decides: a reading is all the plant ever learns about the truth.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

VALUE, DETECT = 0, 1                    # kinds of assay, in the order of ``Assay.kind``
PLAIN, BELOW_LOD, INVALID = 0, 1, 2     # marks of a reading
MARKS = ("", "<LOD", "invalid")         # their names in the log
NO_READING = -1.0                       # what an invalid run reports; no attribute is negative
GROSS_ERROR = 1000.0                    # factor by which a false positive overstates, against a limit ``at_most``
POWERS = np.array([float(f"1e{exponent}") for exponent in range(23)])   # exact doubles; 10.0 ** n need not be


@njit(cache=True)
def round_half_even(x: float, decimals: int) -> float:
    """``x`` rounded half to even to ``decimals`` places (-15 … 15); the unit of ``x`` is kept.

    A tie is judged on the shortest decimal form of ``x``, as ``Decimal(repr(x))`` would and as a person reads it:
    2.675 is a tie although its double lies below. Built-in ``round`` judges the exact double and differs in such ties
    alone. The result is the double nearest to the decimal, so two rounded numbers may be compared with ``==``.
    Exact below 1e14 units of the last place (15 digits name a double); from there on the last unit may be one off, and
    from 2^52 units, as for infinities and NaN, ``x`` is returned as it is.

    >>> round_half_even(2.675, 2), round_half_even(0.125, 2), round_half_even(3424999.0, -4)
    (2.68, 0.12, 3420000.0)
    """
    power = POWERS[abs(decimals)]
    size = abs(x)
    units = size * power if decimals >= 0 else size / power
    if not units < 4503599627370496.0:
        return x
    below = float(math.floor(units))
    # The double nearest to the tie: both operands are exact, so one correctly rounded operation gives it.
    tie = (below + 0.5) / power if decimals >= 0 else (below + 0.5) * power
    if size > tie or (size == tie and below % 2.0 == 1.0):
        below += 1.0
    return math.copysign(below / power if decimals >= 0 else below * power, x)


@njit(cache=True)
def detect(true: float, lod: float, false_positive: float, u_false: float) -> float:
    """1.0 (detected) or 0.0. Detected is what reaches ``lod`` (without one: anything above 0), or chance. [-]

    >>> detect(12.0, 10.0, 0.002, 0.5), detect(0.0, 10.0, 0.002, 0.5), detect(0.0, 10.0, 0.002, 0.001)
    (1.0, 0.0, 1.0)
    """
    seen = true >= lod if lod >= 0.0 else true > 0.0
    return 1.0 if seen or u_false < false_positive else 0.0


@njit(cache=True)
def read(true: float, bias: float, cv: float, sd: float, z_read: float) -> float:
    """The instrument's reading before rounding, never below 0, in the unit of ``true``.

    reading = m + z √((cv m)² + sd²), m = true (1 + bias): one normal stands for the relative and the absolute error,
    which are independent.

    >>> round(read(0.9, 0.0, 0.06, 0.0, -1.0), 6), round(read(90.0, 0.0, 0.0, 3.0, 2.0), 6)
    (0.846, 96.0)
    """
    mean = true * (1.0 + bias)
    spread = math.sqrt((cv * mean) ** 2 + sd * sd)
    return max(mean + spread * z_read, 0.0)


@njit(cache=True)
def gross_error(reading: float, lod: float, decimals: int, fails_low: int) -> float:
    """What a false positive of a ``value`` assay shows in place of ``reading``, without knowledge of the limit.

    Against a limit ``at_least`` (``fails_low`` 1) nothing: 0, the lost sample or failed stain. Against ``at_most``
    1,000 times the largest of reading, LOD and one unit of the last place: carry-over or a contaminated blank.
    So it fails every positive ``at_least``, and every ``at_most`` below 1,000 LOD.

    >>> gross_error(0.95, 0.001, 3, 1), gross_error(0.0, 0.005, 3, 0)
    (0.0, 5.0)
    """
    if fails_low == 1:
        return 0.0
    unit = 1.0 / POWERS[decimals] if decimals >= 0 else POWERS[-decimals]
    floor = lod if lod > unit else unit     # lod may be NaN
    return GROSS_ERROR * max(reading, floor)


@njit(cache=True)
def measure(
    kind: int, true: float, bias: float, cv: float, sd: float, lod: float, decimals: int, false_positive: float, invalid_rate: float,
    fails_low: int, z_read: float, u_false: float, u_invalid: float,
) -> tuple[float, int]:
    """One run of an assay on one sample: the reported value and its mark.

    kind            0 value, 1 detect (reports 1.0 or 0.0)
    true, sd, lod   in the attribute's unit; ``lod`` negative or NaN: none
    bias, cv        relative
    decimals        places of the reported value, may be negative
    false_positive  chance of a reading on the failing side whatever the truth (``gross_error``, ``detect``)
    invalid_rate    chance that the run gives no reading: -1.0, marked 2; it is done again and never compared
    fails_low       1 when the limit is ``at_least`` (or both are given), 0 when it is ``at_most``
    z_read          standard normal; u_false, u_invalid in (0, 1)

    A reading below the LOD is 0, marked 1; the comparison comes before rounding.

    >>> measure(0, 0.9, 0.0, 0.06, 0.0, 0.001, 3, 0.01, 0.04, 1, -1.0, 0.5, 0.5)
    (0.846, 0)
    """
    if u_invalid < invalid_rate:
        return NO_READING, INVALID
    if kind == DETECT:
        return detect(true, lod, false_positive, u_false), PLAIN
    reading = read(true, bias, cv, sd, z_read)
    if u_false < false_positive:
        reading = gross_error(reading, lod, decimals, fails_low)
    if reading < lod:                       # false for a NaN or negative lod
        return 0.0, BELOW_LOD
    return round_half_even(reading, decimals), PLAIN
