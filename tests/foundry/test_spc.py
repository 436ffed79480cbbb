"""A control chart study: where its level comes from, its signals in words, and what it refuses or doubts."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from foundry.lots import Found, Readings
from foundry.replication import Refused
from foundry.spc import Study, answer, design, document, lengths_sentence, level_sentence, lots, ppk_sentence, signalling, study
from qc.charts import Vector

QUIET = np.array([10.0, 11.0, 9.0, 10.0, 12.0, 8.0, 10.0, 11.0, 9.0, 10.0, 10.0, 9.0, 11.0, 10.0, 8.0, 12.0, 10.0, 11.0, 9.0, 10.0])


def readings(x: Vector, **more: Any) -> Readings:
    n = len(x)
    return Readings("x", "", tuple(f"L{i + 1}" for i in range(n)), x, np.zeros(n, dtype=bool), np.full(n, math.nan))._replace(**more)


def charted(x: Vector, of: dict[str, Any] | None = None, **options: Any) -> Study:
    series = readings(x, **(of or {}))
    return study(Found("made.csv", False, {"x": series}), series, **options)


# ---- level


def test_the_level_comes_from_all_lots_or_the_first_or_is_given() -> None:
    x = np.concatenate((QUIET, QUIET + 5))
    everything, first, given = charted(x), charted(x, baseline=20), charted(x, target=9.0, sd=2.0)

    assert everything.level.centre == pytest.approx(12.5)
    assert first.level.centre == pytest.approx(10.0)
    assert first.level.sigma == pytest.approx(np.mean(np.abs(np.diff(QUIET))) * math.sqrt(math.pi) / 2)
    assert tuple(given.level) == (9.0, 2.0)
    assert [s.basis for s in (everything, first, given)] == ["all 40 lots", "the first 20 of 40 lots", "the given target and sd"]
    assert [s.baseline for s in (everything, first, given)] == [40, 20, 0]
    assert level_sentence(given) == "Centre 9, sigma 2 from the given target and sd; limits 3 to 15."


@pytest.mark.parametrize(("x", "options", "said"), [
    (QUIET, {"target": 1.0}, "--target and --sd go together"),
    (QUIET, {"target": 1.0, "sd": 0.0}, "--sd must be a number above 0"),
    (QUIET, {"target": math.nan, "sd": 1.0}, "--target a number"),
    (QUIET, {"target": 1.0, "sd": 1.0, "baseline": 9}, "use one or the other"),
    (QUIET, {"baseline": 21}, "--baseline 21: x has 20 lots"),
    (QUIET, {"baseline": 7}, "at least 8 make a baseline"),
    (QUIET[:5], {}, "x of made.csv: no chart; 5 readings, at least 8 are needed"),
    (np.full(9, 2.0), {}, "all 9 readings are 2: without spread there are no limits"),
    (np.concatenate((np.full(9, 2.0), QUIET)), {"baseline": 9}, "of the first 9 lots, all 9 readings are 2"),
    (QUIET, {"at_least": 3.0, "at_most": 3.0}, "the limits 3 to 3 leave no room"),
])
def test_what_makes_no_chart_is_refused(x: Vector, options: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused) as error:
        charted(x, **options)

    assert said in str(error.value)


def test_readings_without_spread_are_charted_around_a_given_level() -> None:
    found = charted(np.full(9, 2.0), target=2.0, sd=1.0, at_least=1.0)

    assert not found.individuals.out.any()
    assert found.capability is None
    assert ppk_sentence(found) == "No Ppk against at least 1: it needs 8 lots that differ; none of 9 lots lie outside."


# ---- signals


def test_a_quiet_series_says_so() -> None:
    found = charted(QUIET, target=10.0, sd=2.0)

    assert [signal.text for signal in found.signals if signal.rule != 7] == []
    assert answer(charted(QUIET[:14], target=10.0, sd=2.0)) == "x: no signal in 14 lots"


def test_a_lot_far_off_signals_in_single_readings_and_ranges() -> None:
    """Centre 10, sd 1.5: the reading 20 lies 6.7 sigmas off, two steps of 10 beyond 3.267 x 1.128 x 1.5 = 5.5."""
    found = charted(np.concatenate((QUIET[:8], [20.0], QUIET[:8])), target=10.0, sd=1.5)
    texts = [signal.text for signal in found.signals]

    assert "lot L9: beyond 3 sigma (rule 1)" in texts
    assert "lots L9 to L10: a step from the lot before beyond its limit" in texts
    assert signalling(found, only="moving range") == [8, 9]
    assert answer(found).startswith("x: ")
    assert "first lot L9" in answer(found)


def test_a_shift_is_dated_by_the_cusum() -> None:
    """From lot L11 on the mean is 2 sigmas up: each lot adds 1.5, so the sum 6 passes 5 at the fourth, L14, and grows from L11."""
    found = charted(np.array([0.0] * 10 + [2.0] * 6), target=0.0, sd=1.0)

    assert [s.text for s in found.signals if s.chart == "CUSUM"] == ["lots L14 to L16: CUSUM up; a shift began about lot L11"]
    assert [s.chart for s in found.signals if "beyond its lower limit" in s.text] == []


def test_ewma_signals_name_their_side() -> None:
    """Weight 0.2, settled limit 2.86 / 3 sigmas: after two lots 3 sigmas down the mean is 0.2 x 3 x 1.8 = 1.08 below."""
    found = charted(np.array([0.0] * 20 + [-3.0] * 2), target=0.0, sd=1.0)

    assert [s.text for s in found.signals if s.chart == "EWMA"] == ["lot L22: EWMA beyond its lower limit"]


# ---- Ppk


def test_ppk_says_limit_bound_and_lots_outside() -> None:
    found = charted(QUIET, {"at_least": 8.5, "judge": "release"})
    sd = float(np.std(QUIET, ddof=1))

    assert found.outside == 2
    assert found.capability is not None
    assert ppk_sentence(found) == (f"Ppk {1.5 / (3 * sd):.2f} against at least 8.5 (panel release), with 95 % confidence at least "
                                   f"{found.capability.lower:.2f}; 2 of 20 lots lie outside.")


def test_given_limits_replace_those_of_the_panel() -> None:
    found = charted(QUIET, {"at_least": 8.5, "judge": "release"}, at_most=15.0)

    assert (found.readings.at_least, found.readings.at_most, found.readings.judge) == (-math.inf, 15.0, "")
    assert "against at most 15," in ppk_sentence(found)


def test_without_a_limit_there_is_no_ppk() -> None:
    assert ppk_sentence(charted(QUIET)) == (
        "No Ppk: no panel judges these readings, and neither --at-least nor --at-most gives a limit.")


# ---- run lengths


def test_run_lengths_are_told_in_lots_and_in_the_unit() -> None:
    said = lengths_sentence(charted(QUIET, target=10.0, sd=1.5))

    assert said.startswith("A shift of one sigma (1.5) is seen after 44 lots by a reading beyond 3 sigma, 9.8 by the EWMA and 10.4 by the")
    assert "once in 370, 371 and 465 lots" in said
    assert lots(1234.0) == "1,230"


@pytest.mark.parametrize(("ewma", "cusum", "said"), [
    ("0.2", "0.5,5", "--ewma 0.2: WEIGHT,WIDTH is wanted"),
    ("a,b", "0.5,5", "--ewma a,b: WEIGHT,WIDTH is wanted"),
    ("0,3", "0.5,5", "weight 0.01 to 1"),
    ("0.2,nan", "0.5,5", "--ewma 0.2,nan"),
    ("0.2,3", "-1,5", "--cusum -1,5: SLACK,LIMIT is wanted"),
    ("0.2,3", "0.5,0", "--cusum 0.5,0"),
    ("0.2,8", "0.5,5", "sees nothing; make it narrower"),
    ("0.2,3", "3,10", "--cusum 3,10: such a chart signals less than once in a million lots"),
    ("0.2,3", "1,500", "sees nothing; make it narrower"),
])
def test_designs_that_make_no_chart_are_refused(ewma: str, cusum: str, said: str) -> None:
    with pytest.raises(Refused) as error:
        design(ewma, cusum)

    assert said in str(error.value)


# ---- doubts


@pytest.mark.parametrize(("x", "of", "said"), [
    (QUIET[:12], {}, "The limits come from 12 lots; from 20 on they are taken seriously."),
    (np.concatenate((QUIET, [30.0])), {}, "Lots that set the limits lie beyond them (L21)"),
    (np.arange(20.0), {}, "Each lot is like the one before it"),
    (np.array([1.0, -1.0, 1.1, -0.9] * 6), {}, "Each lot is unlike the one before it"),
    (np.array([0.0] * 18 + [1.0] * 6), {}, "The readings do not look normal"),
    (QUIET, {"again": 3}, "Lots read more than once: 3 of 20; the last reading counts"),
    (QUIET, {"missing": 2}, "Lots without a reading, left out: 2."),
    (QUIET, {"below": np.arange(20) == 4, "lod": np.full(20, 8.0)}, "Readings below the detection limit: 1 of 20, charted at half"),
    (0.9 + (QUIET - 10) / 20, {"unit": "fraction"}, "The upper limit lies above 1, which a fraction never passes"),
])
def test_what_is_doubtful_is_said(x: Vector, of: dict[str, Any], said: str) -> None:
    assert any(doubt.startswith(said) for doubt in charted(x, of).doubts)


def test_a_sound_series_raises_no_doubt() -> None:
    """One of the nineteen in twenty: chance alone raises each doubt in one series of twenty."""
    x = np.random.default_rng(6).normal(50.0, 2.0, 40)

    assert charted(x, baseline=30).doubts == ()


# ---- documents


def test_the_document_is_plain_and_complete() -> None:
    found = charted(np.concatenate((QUIET, [20.0])), target=10.0, sd=1.5, at_most=15.0)
    told = document(found)

    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["n"], told["centre"], told["low"], told["high"]) == (21, 10.0, 5.5, 14.5)
    assert (told["at_least"], told["at_most"], told["outside"]) == (None, 15.0, 1)
    assert told["points"][0]["moving_range"] is None
    assert told["points"][20]["rules"] == [1]
    assert [row["shift"] for row in told["run_lengths"]] == [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]
    assert {"chart": "individuals", "rule": 1, "first": "L21", "last": "L21", "text": "lot L21: beyond 3 sigma (rule 1)"} in told["signals"]
