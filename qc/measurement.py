"""From a true value to a reported one: error, sampling, false positive, invalid run, limit of detection, rounding (K4, K6).

Kernels are numba scalars without randomness of their own: the engine hands in standard normals and uniforms. Counts are the inverse
distribution function at one uniform. Nothing here decides: a reading is all the plant ever learns about the truth.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
VALUE, DETECT, CONTAINERS, COUNT, METAPHASES = range(5)
KINDS = ("value", "detect", "containers", "count", "metaphases")        # kinds of assay, in the order of ``Assay.kind``
BINOMIAL, HYPERGEOMETRIC, POISSON = range(3)                            # laws of a count
NEGLIGIBLE = 1e-25                      # probability below which a count's terms are left out
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
def read(true: float, bias: float, cv: float, sd: float, z_read: float, run_cv: float = 0.0, z_run: float = 0.0) -> float:
    """The instrument's reading before rounding, never below 0, in the unit of ``true``.

    reading = m + z √((cv m)² + sd²), m = true (1 + bias) (1 + run_cv z_run): ``z_run`` is shared by all readings of a run, and one
    normal ``z_read`` stands for the relative and the absolute error of the reading, which are independent.

    >>> round(read(0.9, 0.0, 0.06, 0.0, -1.0), 6), round(read(90.0, 0.0, 0.0, 3.0, 2.0), 6)
    (0.846, 96.0)
    >>> round(read(90.0, 0.0, 0.0, 0.0, 0.0, 0.05, -1.0), 6)
    85.5
    """
    mean = true * (1.0 + bias) * (1.0 + run_cv * z_run)
    spread = math.sqrt((cv * mean) ** 2 + sd * sd)
    return max(mean + spread * z_read, 0.0)


# ---- counts: what a sample of containers or cells shows


@njit(cache=True)
def _rise(law: int, k: float, a: float, b: float, c: float) -> tuple[float, float]:
    """P(k + 1) ÷ P(k), as numerator and denominator. Binomial: a drawn, b odds; hypergeometric: a drawn, b marked of c; Poisson: a mean."""
    if law == BINOMIAL:
        return (a - k) * b, k + 1.0
    if law == HYPERGEOMETRIC:
        return (b - k) * (a - k), (k + 1.0) * (c - b - a + k + 1.0)
    return a, k + 1.0


@njit(cache=True)
def _smallest(law: int, u: float, mode: float, a: float, b: float, c: float) -> float:
    """Smallest k with P(K ≤ k) ≥ u.

    Terms are counted in units of the most probable one and their sum makes them probabilities, so neither a large mean nor a large sample
    underflows, and it takes some ten standard deviations of steps.
    """
    lowest, at_lowest, term = mode, 1.0, 1.0
    while lowest > 0.0:
        up, down = _rise(law, lowest - 1.0, a, b, c)
        term *= down / up
        if term < NEGLIGIBLE:
            break
        lowest, at_lowest = lowest - 1.0, term
    k, term, total = lowest, at_lowest, at_lowest
    while k < mode or term > NEGLIGIBLE:
        up, down = _rise(law, k, a, b, c)
        term *= up / down
        total += term
        k += 1.0
    k, term, reached = lowest, at_lowest, at_lowest
    while reached < u * total:
        up, down = _rise(law, k, a, b, c)
        term *= up / down
        if k >= mode and term < NEGLIGIBLE:
            break
        reached += term
        k += 1.0
    return k


@njit(cache=True)
def poisson(u: float, mean: float) -> float:
    """Poisson count at probability ``u``.

    >>> poisson(0.36, 1.0), poisson(0.37, 1.0), poisson(0.5, 100000.0)
    (0.0, 1.0, 100000.0)
    """
    if mean <= 0.0:
        return 0.0
    return _smallest(POISSON, u, math.floor(mean), mean, 0.0, 0.0)


@njit(cache=True)
def binomial(u: float, drawn: float, share: float) -> float:
    """How many of ``drawn`` are marked, each with chance ``share``, at probability ``u``.

    >>> binomial(0.65, 1.0, 0.3), binomial(0.75, 1.0, 0.3), binomial(0.5, 20.0, 0.5)
    (0.0, 1.0, 10.0)
    """
    if share <= 0.0:
        return 0.0
    if share >= 1.0:
        return drawn
    mode = min(math.floor((drawn + 1.0) * share), drawn)
    return _smallest(BINOMIAL, u, mode, drawn, share / (1.0 - share), 0.0)


@njit(cache=True)
def hypergeometric(u: float, drawn: float, marked: float, lot: float) -> float:
    """How many of ``drawn`` are marked when ``marked`` of a lot are, drawn without putting back, at probability ``u``.

    >>> hypergeometric(0.8, 4.0, 2.0, 40.0), hypergeometric(0.81, 4.0, 2.0, 40.0), hypergeometric(0.5, 4.0, 40.0, 40.0)
    (0.0, 1.0, 4.0)
    """
    mode = min(math.floor((drawn + 1.0) * (marked + 1.0) / (lot + 2.0)), min(drawn, marked))
    return _smallest(HYPERGEOMETRIC, u, mode, drawn, marked, lot)


@njit(cache=True)
def contaminated(true: float, container_ml: float) -> float:
    """Share of containers with something in them: 1 − exp(−CFU/mL × mL); without a volume the attribute is that share. [-]

    >>> round(contaminated(0.1, 10.0), 4), contaminated(0.05, 0.0)
    (0.6321, 0.05)
    """
    return -math.expm1(-true * container_ml) if container_ml > 0.0 else min(true, 1.0)


@njit(cache=True)
def positives(kind: int, true: float, tested: float, container_ml: float, lot: float, call: float, u_read: float) -> float:
    """Containers with growth, or metaphases of a clone, among ``tested``; fewer than ``call`` are no finding and reported as 0.

    Containers come from a lot of ``lot`` of which a whole number is contaminated, or, with ``lot`` 0, from a very large one.

    >>> positives(CONTAINERS, 0.1, 10.0, 0.0, 0.0, 1.0, 0.3), positives(METAPHASES, 0.1, 20.0, 0.0, 0.0, 2.0, 0.3)
    (0.0, 0.0)
    >>> positives(CONTAINERS, 0.1, 10.0, 0.0, 100.0, 1.0, 0.4), positives(METAPHASES, 0.1, 20.0, 0.0, 0.0, 2.0, 0.5)
    (1.0, 2.0)
    """
    share = contaminated(true, container_ml) if kind == CONTAINERS else min(true, 1.0)
    found = hypergeometric(u_read, tested, round_half_even(share * lot, 0), lot) if lot > 0.0 else binomial(u_read, tested, share)
    return found if found >= call else 0.0


# ---- a reading


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
    fails_low: int, z_read: float, u_false: float, u_invalid: float, run_cv: float = 0.0, z_run: float = 0.0, tested: float = 0.0,
    container_ml: float = 0.0, lot: float = 0.0, call: float = 1.0, grown: int = 1, u_read: float = 0.5,
) -> tuple[float, int]:
    """One run of an assay on one sample: the reported value and its mark.

    kind            0 value, 1 detect (reports 1.0 or 0.0), 2 containers with growth, 3 count of cells (reports their share), 4 metaphases
    true, sd, lod   in the attribute's unit; ``lod`` negative or NaN: none
    bias, cv        relative; ``run_cv`` that of the run, drawn once for all its readings as ``z_run``
    decimals        places of the reported value, may be negative
    false_positive  chance of a reading on the failing side whatever the truth (``gross_error``, ``detect``, or ``call`` positives)
    invalid_rate    chance that the run gives no reading: -1.0, marked 2; it is done again and never compared
    fails_low       1 when the limit is ``at_least`` (or both are given), 0 when it is ``at_most``
    tested          containers, cells or metaphases of one reading; ``container_ml``, ``lot`` and ``call`` as in ``positives``
    grown           0: what is in the containers grows too slowly to be seen in time
    z_read, z_run   standard normals; u_false, u_invalid, u_read (of a count) in (0, 1)

    A reading below the LOD is 0, marked 1; the comparison comes before rounding.

    >>> measure(0, 0.9, 0.0, 0.06, 0.0, 0.001, 3, 0.01, 0.04, 1, -1.0, 0.5, 0.5)
    (0.846, 0)
    """
    if u_invalid < invalid_rate:
        return NO_READING, INVALID
    if kind == DETECT:
        return detect(true, lod, false_positive, u_false), PLAIN
    false = u_false < false_positive
    if kind in (CONTAINERS, METAPHASES):
        found = positives(kind, true * (1.0 + bias), tested, container_ml, lot, call, u_read) if grown == 1 else 0.0
        return max(found, call) if false else found, PLAIN
    reading = poisson(u_read, tested * true * (1.0 + bias)) / tested if kind == COUNT else read(true, bias, cv, sd, z_read, run_cv, z_run)
    if false:
        reading = gross_error(reading, lod, decimals, fails_low)
    if reading < lod:                       # false for a NaN or negative lod
        return 0.0, BELOW_LOD
    return round_half_even(reading, decimals), PLAIN


@njit(cache=True)
def perfect(kind: int, true: float, lod: float, decimals: int, tested: float = 0.0, container_ml: float = 0.0, lot: float = 0.0) -> float:
    """What an assay without error would report (Q9): its LOD and rounding stay; of containers and cells it sees all there are.

    Containers and metaphases are then all positive as soon as one container of the lot is contaminated, one cell of the clone there.

    >>> perfect(VALUE, 0.9996, 0.001, 3), perfect(COUNT, 3e-6, 1e-5, 6, 3e5), perfect(CONTAINERS, 0.001, -1.0, 3, 10.0, 2.0)
    (1.0, 0.0, 10.0)
    """
    if kind in (CONTAINERS, METAPHASES):
        share = contaminated(true, container_ml) if kind == CONTAINERS else true
        return tested if (round_half_even(share * lot, 0) if lot > 0.0 else share) > 0.0 else 0.0
    return measure(DETECT if kind == DETECT else VALUE, true, 0.0, 0.0, 0.0, lod, decimals, 0.0, 0.0, 0, 0.0, 0.5, 0.5)[0]


@njit(cache=True, nogil=True)
def perfect_readings(kind: int, values: Floats, lod: float, decimals: int, tested: float, container_ml: float, lot: float) -> None:
    """`perfect` of many true values, which it takes the place of."""
    for i in range(len(values)):
        values[i] = perfect(kind, values[i], lod, decimals, tested, container_ml, lot)
