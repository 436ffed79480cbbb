"""Addressed random numbers (F1) and the laws drawn from them.

A draw has an address instead of a place in a sequence: seed, replication, who, branch path, step or pool name with a purpose, and visit.
Its uniform number is one word of Philox4x64-10 [1] at that address; a law turns it into a value through its inverse distribution function.
So a draw depends on no other draw, and two scenarios with one seed meet the same luck wherever they share a name.

    >>> u01(7, address("thaw", "duration"), 0, 1, 0, 1)
    0.4690384175669492

The kernels are scalar and give the same bits compiled and, with ``NUMBA_DISABLE_JIT=1``, as plain Python.

[1] J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, 2011,
doi 10.1145/2063384.2063405.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from foundry.quantities import Distribution, Normal, Number, Quantity, mean


def address(name: str, purpose: str) -> int:
    """Key of all draws of one purpose at one step or pool: 63 bits of BLAKE2b over ``name NUL purpose``, the same in every process.

    >>> address("thaw", "duration")
    3045270702867746601
    """
    return _hash63(f"{name}\0{purpose}")


def _hash63(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


# Philox: products and sums are built from 32-bit halves, so nothing overflows and plain Python computes the same without a warning.
Word = int | np.uint64
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)     # golden ratio, sqrt(3) - 1


def _product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """High and low 64-bit word of a x b. Compiled it is one machine instruction."""
    a_low, a_high, b_low, b_high = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    low = a_low * b_low
    first = a_high * b_low + (low >> _HALF)
    second = a_low * b_high + (first & _LOW)
    return a_high * b_high + (first >> _HALF) + (second >> _HALF), ((second & _LOW) << _HALF) | (low & _LOW)


def _sum(a: np.uint64, b: np.uint64) -> np.uint64:
    """a + b modulo 2^64; compiled, a plain sum is that."""
    low = (a & _LOW) + (b & _LOW)
    high = (a >> _HALF) + (b >> _HALF) + (low >> _HALF)
    return ((high & _LOW) << _HALF) | (low & _LOW)


def _machine_product(typing: Any, a: Any, b: Any) -> Any:
    """The intrinsic behind `_product`: 64 x 64 to 128 bits."""

    def generate(context: Any, builder: Any, signature: Any, words: Any) -> Any:
        wide, word = ir.IntType(128), ir.IntType(64)
        product = builder.mul(*(builder.zext(x, wide) for x in words))
        high = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), word)
        return context.make_tuple(builder, signature.return_type, (high, builder.trunc(product, word)))

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), generate


_wide_product: Any = intrinsic(_machine_product)
overload(_product)(lambda a, b: lambda a, b: _wide_product(a, b))       # the intrinsic gets its first argument from numba
overload(_sum)(lambda a, b: lambda a, b: a + b)


@njit("UniTuple(uint64, 4)(uint64, uint64, uint64, uint64, uint64, uint64)", cache=True)
def philox4x64(c0: Word, c1: Word, c2: Word, c3: Word, k0: Word, k1: Word) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Four random 64-bit words for a counter (c0 to c3) and a key (k0, k1), all 64-bit words: Philox4x64-10 [1].

    >>> [hex(word) for word in philox4x64(0, 0, 0, 0, 0, 0)]
    ['0x16554d9eca36314c', '0xdb20fe9d672d0fdc', '0xd7e772cee186176b', '0x7e68b68aec7ba23b']
    """
    w0, w1, w2, w3 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3)
    key_0, key_1 = np.uint64(k0), np.uint64(k1)
    for _ in range(10):
        high_0, low_0 = _product(_MULTIPLIER_0, w0)
        high_1, low_1 = _product(_MULTIPLIER_1, w2)
        w0, w1, w2, w3 = high_1 ^ w1 ^ key_0, low_1, high_0 ^ w3 ^ key_1, low_0
        key_0, key_1 = _sum(key_0, _WEYL_0), _sum(key_1, _WEYL_1)
    return w0, w1, w2, w3


@njit("float64(int64, int64, int64, int64, int64, int64)", cache=True)
def u01(seed: int, key: int, replication: int, who: int, path: int, visit: int) -> float:
    """Uniform number in the open interval (0, 1) at an address (F1): a multiple of 2^-52 plus 2^-53, so neither end occurs.

    ``key`` comes from `address`, ``path`` from `fold` (0 the main token); ``who`` is a batch, unit or order number, ``visit`` a visit or
    failure number. All are integers from 0 to 2^63 - 1.
    """
    word = philox4x64(np.uint64(replication), np.uint64(who), np.uint64(path), np.uint64(visit), np.uint64(seed), np.uint64(key))[0]
    return (float(word >> np.uint64(12)) + 0.5) * 2.0**-52


@njit("int64(int64, int64, int64)", cache=True)
def fold(path: int, key: int, visit: int) -> int:
    """Branch path one fork further, as one counter word of 63 bits (F1). The main token's path is 0.

    ``key`` is the `address` of the fork step and the branch, ``visit`` the visit of the fork step.

    >>> fold(0, address("fill", "sterility"), 1) == fold(0, address("fill", "sterility"), 2)
    False
    """
    word = philox4x64(np.uint64(path), np.uint64(key), np.uint64(visit), np.uint64(0), np.uint64(0), np.uint64(0))[0]
    return int(word >> np.uint64(1))


CONSTANT, UNIFORM, TRIANGULAR, NORMAL, LOGNORMAL, EXPONENTIAL, TABLE, DISCRETE, MIXTURE = range(9)
KIND, A, B, C, D, E, F, G, SCALE = range(9)
"""Columns of a row of ``laws``. The parameters A to G by kind; a place is an index into ``grid``, cumulative weights end at 1:

=========== =================================================================================================
CONSTANT    A value
UNIFORM     A low, B high
TRIANGULAR  A low, B mode, C high, D probability below the mode
NORMAL      A mean, B standard deviation, C, D and E probability below low, between low and high, above high;
            F low, G high
LOGNORMAL   A mean and B standard deviation of the logarithm
EXPONENTIAL A mean
TABLE       A low, B high, C place and D number of the quantiles on [0, 1], equally spaced in logit(u)
DISCRETE    A place of the ascending values, B their number, C place of the cumulative weights
MIXTURE     A row of the first part, B number of parts, in consecutive rows, C place of the cumulative weights
=========== =================================================================================================
"""

_SMALLEST, _LARGEST = 2.0**-53, 1.0 - 2.0**-53      # the extreme values of u01
_LOGIT_END = 37.0                                    # logit of the extreme values is -36.74 and 36.74
_TABLE_TOLERANCE = 1e-4                              # of the standard deviation


# Coefficients of AS 241, highest power first: numerator and denominator near the middle, in the tail and far out in the tail.
_MIDDLE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)
_TAIL = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)
_FAR_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
)


@njit(cache=True)
def _ratio(polynomials: tuple[tuple[float, ...], tuple[float, ...]], r: float) -> float:
    """First polynomial over second at r, by Horner's rule."""
    above, below = 0.0, 0.0
    for k in range(8):
        above = above * r + polynomials[0][k]
        below = below * r + polynomials[1][k]
    return above / below


@njit("float64(float64)", cache=True)
def normal_quantile(u: float) -> float:
    """Standard normal deviate that is exceeded with probability 1 - u, 0 < u < 1; relative error about 1e-16.

    M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37 (1988) 477-484, PPND16.

    >>> round(normal_quantile(0.975), 11)
    1.95996398454
    """
    q = u - 0.5
    if abs(q) <= 0.425:
        return q * _ratio(_MIDDLE, 0.180625 - q * q)
    r = math.sqrt(-math.log(min(u, 1.0 - u)))
    deviate = _ratio(_TAIL, r - 1.6) if r <= 5.0 else _ratio(_FAR_TAIL, r - 5.0)
    return -deviate if q < 0.0 else deviate


@njit(cache=True)      # its parts are inlined: a call that passes arrays costs 10 ns of reference counting
def draw(laws: NDArray[np.float64], grid: NDArray[np.float64], index: int, u: float) -> float:
    """Value of law ``index`` for a uniform number u in (0, 1): its inverse distribution function, so monotone in u but for mixtures.

    A mixture picks its part by u and uses what is left of u inside the part. ``laws`` (n, 9) and ``grid`` (m,) come from `LawTable`;
    the unit is that of the law times its scale.
    """
    if laws[index, KIND] == MIXTURE:
        place = int(laws[index, C])
        part = _position(grid, place, int(laws[index, B]), u)
        low = grid[place + part - 1] if part > 0 else 0.0
        u = min(max((u - low) / (grid[place + part] - low), _SMALLEST), _LARGEST)
        index = int(laws[index, A]) + part
    return float(laws[index, SCALE] * _inverse(laws, grid, index, u))


@njit(cache=True, inline="always")
def _inverse(laws: NDArray[np.float64], grid: NDArray[np.float64], index: int, u: float) -> float:
    """Inverse distribution function of any law but a mixture, before scaling."""
    kind = int(laws[index, KIND])
    a: float = laws[index, A]
    b: float = laws[index, B]
    c: float = laws[index, C]
    d: float = laws[index, D]
    if kind == CONSTANT:
        return a
    if kind == UNIFORM:
        return min(a + (b - a) * u, b)
    if kind == TRIANGULAR:
        if u <= d:
            return min(a + math.sqrt(u * (c - a) * (b - a)), b)
        return max(c - math.sqrt((1.0 - u) * (c - a) * (c - b)), b)
    if kind == NORMAL:
        below, above = c + u * d, laws[index, E] + (1.0 - u) * d         # the smaller one has all its digits
        value = a + b * normal_quantile(below) if below <= above else a - b * normal_quantile(above)
        return float(min(max(value, laws[index, F]), laws[index, G]))
    if kind == LOGNORMAL:
        return math.exp(a + b * normal_quantile(u))
    if kind == EXPONENTIAL:
        return -a * math.log1p(-u)
    if kind == TABLE:
        return a + (b - a) * _tabulated(grid, int(c), int(d), u)
    return float(grid[int(a) + _position(grid, int(c), int(b), u)])


@njit(cache=True, inline="always")
def _tabulated(grid: NDArray[np.float64], start: int, count: int, u: float) -> float:
    """Linear interpolation in ``count`` quantiles equally spaced in logit(u)."""
    place = (math.log(u) - math.log1p(-u) + _LOGIT_END) * ((count - 1) / (2.0 * _LOGIT_END))
    knot = min(max(int(place), 0), count - 2)
    low: float = grid[start + knot]
    high: float = grid[start + knot + 1]
    return min(low + (high - low) * (place - knot), high)


@njit(cache=True, inline="always")
def _position(grid: NDArray[np.float64], start: int, count: int, u: float) -> int:
    """Number of the first of ``count`` cumulative weights above u (bisection); the last one if none is."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        if u < grid[start + middle]:
            high = middle
        else:
            low = middle + 1
    return low


@njit("float64(float64[:, ::1], float64[::1], int64, int64, int64, int64, int64, int64, int64)", cache=True)
def drawn(
    laws: NDArray[np.float64], grid: NDArray[np.float64], index: int,
    seed: int, key: int, replication: int, who: int, path: int, visit: int,
) -> float:
    """The draw of law ``index`` at an address: `draw` of `u01` in one call."""
    return draw(laws, grid, index, u01(seed, key, replication, who, path, visit))


class LawTable:
    """Collects numbers and distributions as rows of ``laws`` and their tables in ``grid``, for `draw`."""

    def __init__(self) -> None:
        self._rows: list[list[float]] = []
        self._grid: list[float] = []
        self._places: dict[tuple[float, ...], int] = {}

    def add(self, number: Number, *, scale: float = 1.0, spread_off: bool = False) -> int:
        """Index of a new row that draws ``scale`` times ``number`` (3600: hours to seconds); with ``spread_off`` always its mean.

        Raises ValueError for a scale that is not positive and for a law without a quantile function (no probability between its limits).
        """
        if not 0.0 < scale < math.inf:
            raise ValueError(f"scale must be positive, not {scale}")
        if spread_off or isinstance(number, Quantity):
            return self._append((CONSTANT, mean(number)), scale)
        weighted = [(weight, law) for weight, law in _flatten(number, 1.0) if weight > 0.0]
        indices = [self._append(self._row(law), scale) for _, law in weighted]
        if len(indices) == 1:
            return indices[0]
        place = self._place(_cumulative([weight for weight, _ in weighted]))
        return self._append((MIXTURE, indices[0], len(indices), place), 1.0)

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``laws`` float64 (n, 9) and ``grid`` float64 (m,), copies, C-contiguous."""
        return np.array(self._rows, dtype=np.float64).reshape(-1, 9), np.array(self._grid, dtype=np.float64)

    def _append(self, row: Sequence[float], scale: float) -> int:
        self._rows.append([*row, *[0.0] * (SCALE - len(row)), scale])
        return len(self._rows) - 1

    def _place(self, values: Sequence[float]) -> int:
        """Where ``values`` stand in the grid; equal ones are kept once."""
        key = tuple(values)
        if key not in self._places:
            self._places[key] = len(self._grid)
            self._grid.extend(key)
        return self._places[key]

    def _row(self, law: Distribution) -> Sequence[float]:
        if law.beta is not None:
            if law.beta.low > law.beta.high:
                raise ValueError("beta needs low <= high")
            quantiles = _beta_quantiles(law.beta.a, law.beta.b)
            return (TABLE, law.beta.low, law.beta.high, self._place(quantiles), len(quantiles))
        if law.discrete is not None:
            pairs = sorted((v, w) for v, w in zip(law.discrete.values, law.discrete.weights, strict=True) if w > 0.0)
            values, weights = zip(*pairs, strict=True)
            return (DISCRETE, self._place(values), len(values), self._place(_cumulative(weights)))
        return _closed(law)


def quantile(laws: NDArray[np.float64], grid: NDArray[np.float64], index: int, probability: float) -> float:
    """Smallest value that law ``index`` does not exceed with at least ``probability``, mixtures included (planned times, C3).

    `draw` gives it for single laws; of a mixture, the weighted distribution functions of the parts are inverted by bisection.
    """
    if laws[index, KIND] != MIXTURE:
        return float(draw(laws, grid, index, probability))
    first, count, place = (int(laws[index, column]) for column in (A, B, C))
    weights = np.diff(grid[place : place + count], prepend=0.0).tolist()
    return _of_mixture(tuple(weights), laws[first : first + count].tobytes(), grid.tobytes(), probability)


@lru_cache(maxsize=1024)
def _of_mixture(weights: tuple[float, ...], parts: bytes, grid_bytes: bytes, probability: float) -> float:
    """`quantile` of a mixture. It takes ten thousand draws, and the plants of a sweep ask for the same ones."""
    laws, grid = np.frombuffer(parts).reshape(len(weights), -1).copy(), np.frombuffer(grid_bytes).copy()

    def share(part: int, value: float) -> float:
        """Probability that a part does not exceed a value."""
        return _bisect(lambda u: float(draw(laws, grid, part, u)) > value, _SMALLEST, _LARGEST)

    def reached(value: float) -> bool:
        return math.fsum(weight * share(k, value) for k, weight in enumerate(weights)) >= probability - 1e-12

    ends = [float(draw(laws, grid, part, probability)) for part in range(len(weights))]
    return _bisect(reached, min(ends), max(ends))


def _bisect(test: Callable[[float], bool], low: float, high: float) -> float:
    """Smallest argument in [low, high] for which a test that turns from false to true holds; ``high`` if it never does."""
    if test(low):
        return low
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if test(middle) else (middle, high)
    return high


def _flatten(law: Distribution, weight: float) -> Iterator[tuple[float, Distribution]]:
    """The laws of nested mixtures with the products of their weights."""
    if law.mixture is None:
        yield weight, law
        return
    total = math.fsum(part.weight for part in law.mixture)
    for part in law.mixture:
        yield from _flatten(part.of, weight * part.weight / total)


def _cumulative(weights: Sequence[float]) -> list[float]:
    """Running sums of weights as shares of their total; the last is exactly 1."""
    total = math.fsum(weights)
    return [*(running / total for running in accumulate(weights[:-1])), 1.0]


def _closed(law: Distribution) -> Sequence[float]:
    """Row of a law whose inverse has a formula."""
    if law.uniform is not None:
        return (UNIFORM, law.uniform.low, law.uniform.high)
    if law.triangular is not None:
        low, mode, high = law.triangular.low, law.triangular.mode, law.triangular.high
        return (TRIANGULAR, low, mode, high, (mode - low) / (high - low)) if low < high else (CONSTANT, low)
    if law.normal is not None:
        return _normal(law.normal)
    if law.lognormal is not None:
        variance = math.log1p(law.lognormal.cv**2)
        return (LOGNORMAL, math.log(law.lognormal.mean) - variance / 2, math.sqrt(variance)) if variance else (CONSTANT, law.lognormal.mean)
    if law.exponential is not None:
        return (EXPONENTIAL, law.exponential.mean)
    raise ValueError(f"no quantile function for {law.kind}")


def _normal(law: Normal) -> Sequence[float]:
    if law.sd == 0.0:
        return (CONSTANT, law.mean)
    low = -math.inf if law.low is None else law.low
    high = math.inf if law.high is None else law.high
    first, last = (low - law.mean) / law.sd, (high - law.mean) / law.sd
    below, above = _upper_tail(-first), _upper_tail(last)
    nearest = max(first, -last)         # positive if both limits are on one side of the mean
    between = _upper_tail(nearest) - min(below, above) if nearest > 0.0 else 1.0 - below - above
    if between < 1e-290:
        raise ValueError(f"normal has no probability between {low} and {high}")
    return (NORMAL, law.mean, law.sd, below, between, above, low, high)


def _upper_tail(deviate: float) -> float:
    """Probability that a standard normal number exceeds a deviate."""
    return math.erfc(deviate / math.sqrt(2.0)) / 2


@lru_cache(maxsize=256)
def _beta_quantiles(a: float, b: float) -> tuple[float, ...]:
    """Quantiles of Beta(a, b) equally spaced in logit(u): as many as linear interpolation needs for an error of 1e-4 standard deviations.

    The error is measured in the middle between neighbours, where it is largest. The quantiles are those of scipy.stats.beta.
    """
    from scipy.special import betainccinv, betaincinv  # here, because scipy takes long to import

    tolerance = _TABLE_TOLERANCE * math.sqrt(a * b / (a + b + 1.0)) / (a + b)
    for intervals in (1 << power for power in range(9, 17)):
        logit = np.linspace(-_LOGIT_END, _LOGIT_END, 2 * intervals + 1)
        tail = 1.0 / (1.0 + np.exp(np.abs(logit)))         # the smaller of u and 1 - u keeps its digits
        exact = np.maximum.accumulate(np.where(logit < 0.0, betaincinv(a, b, tail), betainccinv(a, b, tail)))
        knots, between = exact[::2], exact[1::2]
        if np.max(np.abs((knots[:-1] + knots[1:]) / 2 - between)) <= tolerance:
            return tuple(knots.tolist())
    raise ValueError(f"beta with a = {a}, b = {b} is too steep to tabulate")
