"""Where the rows of a long study wait for its folder: a study of many replications keeps in memory what it is summed up from, no more.

Replications come in the order of their numbers. The first `KEPT_WHOLE` of each scenario stay as they are. Of each later `BLOCK` the rows of
batches, decisions, series and ledger go to a temporary folder, and figures, lead times, fingerprint and warnings stay.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from foundry.frames import EVERY, per_replication
from foundry.replication import Case, Replication

if TYPE_CHECKING:
    import pandas as pd

KEPT_WHOLE, BLOCK = 100, 25                                 # replications in memory, and those that are put away together


class Shelf:
    """The rows of replications from number ``size`` on, by scenario and table, as files of a temporary folder that goes when it goes."""

    def __init__(self, size: int = KEPT_WHOLE) -> None:
        self.size, self.block = size, min(size, BLOCK)
        self._folder: Path | None = None
        self._pieces: dict[tuple[str, str], list[Path]] = {}
        self._numbers = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def put(self, case: Case, runs: Sequence[Replication]) -> list[Replication]:
        """The replications of a block, those from number `size` on without their rows, which are put away."""
        later = [run for run in runs if run.number >= self.size]
        if later:
            self._put_away(case, later)
        return [run if run.number < self.size else _slim(run) for run in runs]

    def pieces(self, name: str, scenario: str) -> Iterator[pd.DataFrame]:
        """The rows of a table that were put away, block by block in the order of replications."""
        import pandas as pd

        for path in self._pieces.get((scenario, name), ()):
            yield pd.read_parquet(path)

    def _put_away(self, case: Case, runs: Sequence[Replication]) -> None:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="cell-foundry-sim-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        for name in EVERY:
            path = self._folder / f"{next(self._numbers)}.parquet"
            per_replication({case.name: (case, runs)}, name).to_parquet(path, index=False, compression="lz4")
            self._pieces.setdefault((case.name, name), []).append(path)


def _slim(run: Replication) -> Replication:
    """A replication without its rows."""
    return replace(run, batches=run.batches[:0].copy(), decisions=run.decisions[:0].copy(), ledger_totals={}, series={},
                   courses=run.courses[:, :0, :0].copy())
