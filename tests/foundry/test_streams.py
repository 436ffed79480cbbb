"""Addressed draws (F1) and laws: known answers, independent implementations, moments, and equal bits without the compiler."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from foundry import streams
from foundry.quantities import Component, Distribution, Number, Quantity, mean
from foundry.streams import LawTable, address, draw, fold, normal_quantile, philox4x64, quantile, u01

ROOT = Path(__file__).resolve().parents[2]
KNOWN_ANSWERS = json.loads((ROOT / "tests/data/philox4x64_10.json").read_text())["vectors"]

CLOSED: dict[str, Number] = {
    "uniform": Distribution(uniform={"low": -1.0, "high": 4.0}),
    "triangular": Distribution(triangular={"low": 1.0, "mode": 2.0, "high": 5.0}),
    "triangular, mode at the end": Distribution(triangular={"low": 1.0, "mode": 5.0, "high": 5.0}),
    "normal": Distribution(normal={"mean": 3.0, "sd": 2.0}),
    "normal cut on both sides": Distribution(normal={"mean": 3.0, "sd": 2.0, "low": 0.5, "high": 4.0}),
    "normal cut on the left": Distribution(normal={"mean": 3.0, "sd": 2.0, "low": 2.0}),
    "normal, left tail": Distribution(normal={"mean": 3.0, "sd": 2.0, "high": -9.0}),
    "normal, right tail": Distribution(normal={"mean": 3.0, "sd": 2.0, "low": 15.0, "high": 23.0}),
    "lognormal": Distribution(lognormal={"mean": 2.0, "cv": 0.4}),
    "exponential": Distribution(exponential={"mean": 7.0}),
}
BETAS = [(2.0, 98.0), (0.5, 0.5), (36.0, 4.0), (1.0, 1.0), (0.2, 3.0), (400.0, 600.0)]
TABULATED: dict[str, Number] = {f"beta {a:g} {b:g}": Distribution(beta={"a": a, "b": b, "low": 1.0, "high": 3.0}) for a, b in BETAS}
STEPPED: dict[str, Number] = {"discrete": Distribution(discrete={"values": [5.0, 1.0, 2.0, 9.0], "weights": [3.0, 1.0, 2.0, 0.0]})}
REPAIR = Distribution(mixture=[
    Component(weight=9.0, of=Distribution(lognormal={"mean": 4.0, "cv": 0.5})),
    Component(weight=1.0, of=Distribution(mixture=[
        Component(weight=1.0, of=Distribution(uniform={"low": 50.0, "high": 60.0})),
        Component(weight=3.0, of=Distribution(discrete={"values": [100.0, 200.0], "weights": [1.0, 1.0]})),
    ])),
])
SINGLE = CLOSED | TABULATED | STEPPED
ALL = SINGLE | {"mixture": REPAIR, "constant": Quantity(value=3.5)}


def drawn(number: Number, uniforms, *, scale=1.0, spread_off=False):
    """Values of a law for each of the uniform numbers."""
    table = LawTable()
    index = table.add(number, scale=scale, spread_off=spread_off)
    laws, grid = table.arrays()
    return np.array([draw(laws, grid, index, float(u)) for u in uniforms])


def scipy_law(name):
    """The same law from scipy.stats."""
    from scipy import stats

    law = SINGLE[name]
    if law.uniform:
        return stats.uniform(law.uniform.low, law.uniform.high - law.uniform.low)
    if law.triangular:
        low, width = law.triangular.low, law.triangular.high - law.triangular.low
        return stats.triang((law.triangular.mode - low) / width, low, width)
    if law.normal:
        normal = law.normal
        low, high = ((limit - normal.mean) / normal.sd if limit is not None else sign * math.inf
                     for limit, sign in ((normal.low, -1), (normal.high, 1)))
        return stats.truncnorm(low, high, normal.mean, normal.sd)
    if law.lognormal:
        sigma = math.sqrt(math.log(1.0 + law.lognormal.cv**2))
        return stats.lognorm(sigma, scale=law.lognormal.mean * math.exp(-(sigma**2) / 2))
    if law.exponential:
        return stats.expon(scale=law.exponential.mean)
    return stats.beta(law.beta.a, law.beta.b, law.beta.low, law.beta.high - law.beta.low)


def luck(count, name="test"):
    """Uniform numbers at the addresses of batches 0, 1, 2 …"""
    key = address(name, "duration")
    return np.array([u01(7, key, 0, batch, 0, 1) for batch in range(count)])


def bits():
    """Draws of every kind as text that shows each bit."""
    generator = np.random.default_rng(5)
    words = generator.integers(0, 2**63, size=(200, 6)).tolist()
    uniforms = [u01(*row) for row in words] + [2.0**-53, 1e-9, 0.075, 0.925, 1 - 2.0**-53]
    values = [*uniforms, *(normal_quantile(u) for u in uniforms)]
    table = LawTable()
    indices = [table.add(number, scale=3600.0) for number in ALL.values()]
    laws, grid = table.arrays()
    values += [draw(laws, grid, index, u) for index in indices for u in uniforms]
    return [[int(word) for word in philox4x64(*row)] for row in words], [float(value).hex() for value in values]


class TestPhilox:
    @pytest.mark.parametrize("vector", KNOWN_ANSWERS, ids=["zeros", "ones", "pi"])
    def test_known_answers(self, vector):
        """The published known answers of Random123."""
        words = [int(word, 16) for word in vector["counter"] + vector["key"]]

        assert [f"{int(word):016x}" for word in philox4x64(*words)] == vector["output"]

    def test_numpy_agrees(self):
        """numpy.random.Philox, an independent implementation, gives the same words; it counts up before it draws."""
        generator = np.random.default_rng(1)
        for words in generator.integers(0, 2**64, size=(200, 6), dtype=np.uint64).tolist():
            before = (sum(word << 64 * place for place, word in enumerate(words[:4])) - 1) % 2**256
            counter = np.array([before >> 64 * place & (2**64 - 1) for place in range(4)], dtype=np.uint64)
            expected = np.random.Philox(counter=counter, key=np.array(words[4:], dtype=np.uint64)).random_raw(4)

            assert list(philox4x64(*words)) == expected.tolist()

    def test_F1_key_and_counter(self):
        """Key: seed and name; counter: replication, who, path, visit; the first word, 52 bits of it and a half."""
        word = int(philox4x64(3, 4, 5, 6, 1, 2)[0])

        assert u01(1, 2, 3, 4, 5, 6) == ((word >> 12) + 0.5) / 2**52

    def test_open_interval(self):
        """The smallest and the largest word stay inside (0, 1)."""
        assert 0.0 < 0.5 * 2.0**-52 and (2**52 - 1 + 0.5) * 2.0**-52 < 1.0
        assert all(0.0 < u < 1.0 for u in luck(5000))

    def test_every_argument_counts(self):
        """Changing any part of an address gives another number."""
        address_parts = [7, 8, 9, 10, 11, 12]
        changed = [[part + (place == at) for place, part in enumerate(address_parts)] for at in range(6)]

        assert len({u01(*parts) for parts in [address_parts, *changed]}) == 7

    @pytest.mark.parametrize("at", range(6), ids=["seed", "key", "replication", "who", "path", "visit"])
    def test_neighbours_are_uncorrelated(self, at):
        """Numbers at addresses that differ by one in one part show no correlation, and each is uniform."""
        count, start = 4000, [7, 8, 9, 10, 11, 12]
        u = np.array([u01(*[part + i * (place == at) for place, part in enumerate(start)]) for i in range(count)])
        correlation = np.corrcoef(u[:-1], u[1:])[0, 1]
        squares = np.bincount((u * 20).astype(int), minlength=20)

        assert abs(correlation) < 4.0 / math.sqrt(count)
        assert ((squares - count / 20) ** 2 / (count / 20)).sum() < 45.0          # chi-square, 19 degrees: 1 in 1,300

    def test_neighbours_flip_half_the_bits(self):
        """Each of the 64 bits of the first word changes for half of the steps from batch to batch."""
        words = np.array([int(philox4x64(0, batch, 0, 1, 7, 8)[0]) for batch in range(2001)], dtype=np.uint64)
        flips = (words[1:] ^ words[:-1])[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)

        assert np.abs(flips.mean(axis=0) - 0.5).max() < 4.5 * 0.5 / math.sqrt(2000)


class TestAddresses:
    def test_F1_stable(self):
        """Addresses are literal numbers: equal in every process, whatever its hash seed."""
        assert address("thaw", "duration") == 3045270702867746601
        assert address("thaw", "rule") == 8581834199567700506
        assert address("incubator", "failure") == 945956761090977443

    def test_F1_fold_is_a_word_of_philox(self):
        """A side token's path is the first word at (path, visit) under the fork's address, without its lowest bit."""
        key = address("fill", "sterility")

        assert fold(0, key, 3) == int(philox4x64(0, key, 3, 0, 0, 0)[0]) >> 1

    def test_F1_literal_draw(self):
        """A whole draw, pinned: a change here changes every result."""
        assert u01(7, address("thaw", "duration"), 0, 1, 0, 1) == 0.4690384175669492

    def test_63_bits(self):
        """Every hash is a non-negative int64."""
        hashes = [address(f"step {i}", "duration") for i in range(300)] + [fold(0, address(f"step {i}", "x"), 1) for i in range(300)]

        assert all(0 <= value < 2**63 for value in hashes)
        assert max(hashes) > 2**62
        assert len(set(hashes)) == 600

    def test_name_and_purpose_do_not_run_together(self):
        """Where the name ends matters."""
        assert address("ab", "c") != address("a", "bc")
        a, b = address("a", "x"), address("b", "y")
        assert fold(fold(0, a, 1), b, 1) != fold(fold(0, b, 1), a, 1)


class TestNormalQuantile:
    def test_scipy_agrees(self):
        """Equal to scipy's inverse to 1e-14, relative, from 1e-300 to 1 - 1e-16."""
        from scipy.special import ndtri

        u = np.concatenate([10.0 ** np.linspace(-300, -1, 400), np.linspace(0.001, 0.999, 999), 1 - 10.0 ** np.linspace(-15, -1, 50)])
        u = u[u != 0.5]

        np.testing.assert_allclose([normal_quantile(x) for x in u], ndtri(u), rtol=1e-14)

    def test_middle(self):
        assert normal_quantile(0.5) == 0.0

    @pytest.mark.parametrize("edge", [0.075, 0.925, math.exp(-25.0), 1.0 - math.exp(-25.0), 0.5, 2.0**-52, 1.0 - 2.0**-52])
    def test_monotone_where_formulas_meet(self, edge):
        """The pieces of the approximation join without a step back."""
        u = edge + np.arange(-40, 41) * max(np.spacing(edge), 2.0**-54) * 4
        values = np.array([normal_quantile(x) for x in u if 0.0 < x < 1.0])

        assert (np.diff(values) >= 0.0).all()


class TestLaws:
    @pytest.mark.parametrize("name", CLOSED)
    def test_closed_quantiles(self, name):
        """Closed inverses equal scipy's to 1e-12."""
        u = np.concatenate([[1e-9, 1e-6, 0.001], np.linspace(0.01, 0.99, 99), [0.999]])

        np.testing.assert_allclose(drawn(CLOSED[name], u), scipy_law(name).ppf(u), rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("name", ["normal", "normal cut on the left", "normal, right tail", "lognormal", "exponential"])
    def test_upper_tail(self, name):
        """Values for u up to 1 - 1e-12 are exceeded with probability 1 - u; scipy.stats.truncnorm loses digits there, its parts do not."""
        from scipy import stats

        law = scipy_law(name)
        tail = 1.0 - (1.0 - np.array([1e-3, 1e-6, 1e-9, 1e-12]))
        values = drawn(CLOSED[name], 1.0 - tail)
        if CLOSED[name].normal:
            low, high, values = ((x - law.args[2]) / law.args[3] for x in (*law.support(), values))
            exceeded = (stats.norm.sf(values) - stats.norm.sf(high)) / (stats.norm.sf(low) - stats.norm.sf(high))
        else:
            exceeded = law.sf(values)

        np.testing.assert_allclose(exceeded, tail, rtol=1e-10, atol=1e-15)

    @pytest.mark.parametrize("name", TABULATED)
    def test_table_error(self, name):
        """Tabulated quantiles are right to 1e-4 standard deviations from 1e-9 to 1 - 1e-9, both tails."""
        law = scipy_law(name)
        tail = 10.0 ** np.linspace(-9, math.log10(0.5), 1501)
        low, high = drawn(TABULATED[name], tail), drawn(TABULATED[name], 1.0 - tail)

        assert np.abs(low - law.ppf(tail)).max() <= 1.01e-4 * law.std()
        assert np.abs(high - law.ppf(1.0 - tail)).max() <= 1.01e-4 * law.std()

    @pytest.mark.parametrize("name", CLOSED | TABULATED)
    def test_moments(self, name):
        """Mean and standard deviation over equally spaced uniform numbers are those of the law, and of `mean`."""
        law, count = scipy_law(name), 20_000
        values = drawn(SINGLE[name], (np.arange(count) + 0.5) / count)

        assert values.mean() == pytest.approx(law.mean(), abs=2e-3 * law.std())
        assert values.std() == pytest.approx(law.std(), rel=5e-3)
        assert mean(SINGLE[name]) == pytest.approx(law.mean(), rel=1e-6)

    @pytest.mark.parametrize("name", CLOSED | TABULATED)
    def test_addressed_draws_follow_the_law(self, name):
        """Kolmogorov-Smirnov test of 2,000 addressed draws."""
        from scipy import stats

        assert stats.kstest(drawn(SINGLE[name], luck(2000, name)), scipy_law(name).cdf).pvalue > 1e-3

    @pytest.mark.parametrize("name", SINGLE)
    def test_monotone(self, name):
        """A larger uniform number never gives a smaller value."""
        edges = np.array([2.0**-53, 1e-16, 1e-12, 1e-9, 0.075, 0.25, 0.925, 1 - 1e-9, 1 - 1e-12, 1 - 2.0**-53])
        values = drawn(SINGLE[name], np.sort(np.concatenate([edges, np.linspace(0.0001, 0.9999, 3001), luck(500)])))

        assert (np.diff(values) >= 0.0).all()
        assert np.isfinite(values).all()

    @pytest.mark.parametrize("name", ["uniform", "triangular", "normal cut on both sides", "normal, right tail", "beta 0.5 0.5"])
    def test_bounded(self, name):
        """No draw leaves the range of its law."""
        values = drawn(SINGLE[name], [2.0**-53, 1 - 2.0**-53])
        low, high = scipy_law(name).support()

        assert low <= values.min() and values.max() <= high

    def test_constant(self):
        assert drawn(Quantity(value=3.5), [0.1, 0.9]).tolist() == [3.5, 3.5]

    def test_discrete(self):
        """Values in ascending order share (0, 1) by weight; the end of a share belongs to the next; weight 0 never occurs."""
        values = drawn(STEPPED["discrete"], [2.0**-53, 0.166, 1 / 6, 0.499, 0.5, 0.9, 1 - 2.0**-53])

        assert values.tolist() == [1.0, 1.0, 2.0, 2.0, 5.0, 5.0, 5.0]

    def test_mixture(self):
        """Parts share (0, 1) in their order by weight, nested ones by the product; what is left of u is used inside the part."""
        parts = drawn(REPAIR, [0.45, 0.9 + 0.025 * 0.5, 0.925 + 0.075 * 0.25, 0.925 + 0.075 * 0.75])
        expected = [drawn(CLOSED["lognormal"], [0.5])[0], 55.0, 100.0, 200.0]

        assert parts[1:] == pytest.approx(expected[1:], rel=1e-12)
        assert parts[0] == pytest.approx(4.0 / math.sqrt(1.25), rel=1e-12)        # median of a lognormal: mean / sqrt(1 + cv^2)

    def test_mixture_mean(self):
        count = 40_000

        assert drawn(REPAIR, (np.arange(count) + 0.5) / count).mean() == pytest.approx(mean(REPAIR), rel=1e-4)

    def test_mixture_at_the_ends_of_its_parts(self):
        """Uniform numbers next to a border between parts give finite values."""
        parts = [Component(weight=1.0, of=Distribution(normal={"mean": m, "sd": 1.0})) for m in (0.0, 100.0, 200.0)]
        borders = [np.nextafter(third, side) for third in (1 / 3, 2 / 3) for side in (0.0, third, 1.0)]

        assert np.isfinite(drawn(Distribution(mixture=parts), borders)).all()

    def test_mixture_of_one(self):
        """A mixture of a single part is that part."""
        part = CLOSED["exponential"]

        assert drawn(Distribution(mixture=[Component(weight=2.0, of=part)]), [0.3]) == drawn(part, [0.3])

    @pytest.mark.parametrize("name", ALL)
    def test_scale(self, name):
        """Hours to seconds: the scale multiplies the value."""
        u = np.linspace(0.05, 0.95, 19)

        assert drawn(ALL[name], u, scale=3600.0).tolist() == (3600.0 * drawn(ALL[name], u)).tolist()

    @pytest.mark.parametrize("name", ALL)
    def test_spread_off(self, name):
        """Without spread every draw is the mean."""
        assert drawn(ALL[name], [0.01, 0.5, 0.99], scale=60.0, spread_off=True).tolist() == [60.0 * mean(ALL[name])] * 3

    @pytest.mark.parametrize("number", [
        Distribution(normal={"mean": 2.0, "sd": 0.0}),
        Distribution(lognormal={"mean": 2.0, "cv": 0.0}),
        Distribution(triangular={"low": 2.0, "mode": 2.0, "high": 2.0}),
        Distribution(uniform={"low": 2.0, "high": 2.0}),
        Distribution(discrete={"values": [2.0], "weights": [1.0]}),
    ], ids=lambda number: number.kind)
    def test_no_width(self, number):
        """Laws without width are constants."""
        assert drawn(number, [2.0**-53, 0.5, 1 - 2.0**-53]).tolist() == [2.0] * 3

    @pytest.mark.parametrize(("number", "message"), [
        (Distribution(normal={"mean": 0.0, "sd": 1.0, "low": 50.0}), "no probability between"),
        (Distribution(beta={"a": 0.001, "b": 0.001}), "too steep"),
    ])
    def test_refused(self, number, message):
        with pytest.raises(ValueError, match=message):
            LawTable().add(number)

    @pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
    def test_scale_is_positive(self, scale):
        with pytest.raises(ValueError, match="scale must be positive"):
            LawTable().add(Quantity(value=1.0), scale=scale)

    def test_tables_are_kept_once(self):
        """Two uses of one beta law share its quantiles."""
        table = LawTable()
        first, second = table.add(TABULATED["beta 2 98"]), table.add(TABULATED["beta 2 98"], scale=2.0)
        laws, grid = table.arrays()

        assert len(grid) == laws[first, streams.D] == laws[second, streams.D]

    def test_empty(self):
        laws, grid = LawTable().arrays()

        assert laws.shape == (0, 9) and grid.shape == (0,)


class TestQuantile:
    def test_single_law(self):
        """90 % quantile of a duration (C3), in seconds."""
        table = LawTable()
        index = table.add(CLOSED["exponential"], scale=3600.0)

        assert quantile(*table.arrays(), index, 0.9) == pytest.approx(7.0 * 3600.0 * math.log(10.0), rel=1e-12)

    @pytest.mark.parametrize("probability", [0.1, 0.5, 0.89, 0.92, 0.94, 0.99])
    def test_mixture(self, probability):
        """The quantile of a mixture is the smallest value below which the parts together hold the probability."""
        table = LawTable()
        index = table.add(REPAIR)
        value = quantile(*table.arrays(), index, probability)
        values = np.sort(drawn(REPAIR, (np.arange(100_000) + 0.5) / 100_000))

        assert value == pytest.approx(values[math.ceil(probability * 100_000) - 1], rel=2e-3)

    def test_step(self):
        """A probability that a step reaches exactly gives that step."""
        parts = [Component(weight=1.0, of=Distribution(discrete={"values": [v], "weights": [1.0]})) for v in (4.0, 1.0)]
        table = LawTable()
        index = table.add(Distribution(mixture=parts))

        assert quantile(*table.arrays(), index, 0.5) == pytest.approx(1.0, abs=1e-12)
        assert quantile(*table.arrays(), index, 0.51) == pytest.approx(4.0, abs=1e-12)


def test_same_bits_without_the_compiler():
    """A process in the other mode of the compiler gives the same bits, without a warning."""
    from numba import config

    environment = os.environ | {"NUMBA_DISABLE_JIT": "0" if config.DISABLE_JIT else "1", "PYTHONPATH": str(ROOT)}
    other = subprocess.run([sys.executable, "-W", "error", __file__], env=environment, capture_output=True, text=True, check=False)

    assert other.returncode == 0, other.stderr
    words, values = json.loads(other.stdout)
    assert (words, values) == bits()


if __name__ == "__main__":
    print(json.dumps(bits()))
