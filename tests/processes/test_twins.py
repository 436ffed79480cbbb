"""Each kernel compiled and as plain Python: equal bits on random inputs."""

from __future__ import annotations

import inspect
import random
import struct
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from processes import cells, contamination, differentiation, growth, handling

MODULES: tuple[ModuleType, ...] = (cells, contamination, differentiation, growth, handling)
KERNELS: dict[str, Callable[..., Any]] = {
    f"{module.__name__}.{name}": kernel for module in MODULES for name, kernel in vars(module).items()
    if callable(kernel) and getattr(kernel, "__module__", "") == module.__name__ and hasattr(kernel, "__wrapped__")}
RANGES = {"_fraction": (0.0, 1.0), "_s": (0.0, 1e7), "_d": (0.0, 10.0), "_h": (0.0, 100.0), "_effect": (0.5, 1.5), "theta": (0.1, 4.0),
          "capacity": (1e4, 1e7), "ratio": (0.0, 0.99), "logit": (-6.0, 6.0), "doubling_h": (1.0, 10.0), "selected_after_h": (1.0, 200.0),
          "share": (0.0, 1.0), "spontaneous": (0.0, 1.0), "clone": (0.0, 1.0), "fraction": (0.01, 0.99), "p": (0.0, 1e7)}


def argument(name: str, rng: random.Random) -> float:
    """A number of plausible size for an argument of this name; now and then 0, but not where the table forbids it."""
    low, high = next((span for key, span in RANGES.items() if name.endswith(key)), (0.0, 1e8))
    if rng.random() < 0.05 and not any(word in name for word in ("fraction", "theta", "capacity", "doubling", "after", "density", "_vial")):
        return 0.0
    return rng.uniform(max(low, 1e-3), high)


def bits(value: Any) -> bytes:
    return b"".join(struct.pack("<d", x) for x in (value if isinstance(value, tuple) else (value,)))


@pytest.mark.skipif(not KERNELS, reason="NUMBA_DISABLE_JIT: there is nothing compiled to compare with")
def test_there_are_kernels_to_compare() -> None:
    assert len(KERNELS) > 30


@pytest.mark.parametrize("name", KERNELS)
def test_compiled_equals_plain(name: str) -> None:
    kernel, rng = KERNELS[name], random.Random(name)
    plain, names = inspect.unwrap(kernel), list(inspect.signature(inspect.unwrap(kernel)).parameters)
    for _ in range(300):
        values = [argument(n, rng) for n in names]
        assert bits(kernel(*values)) == bits(plain(*values)), dict(zip(names, values, strict=True))
