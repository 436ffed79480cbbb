"""Discrete-event simulator of cell-therapy manufacturing.

    scenario = foundry.load("hicm188_manual", set=["start.every_d=10"])
    result = foundry.run(scenario, reps=20)
    result.kpis, result.batches, result.summary(), result.save("results/mine")
    foundry.compare("hicm188_manual", "hicm188_automated", reps=20).summary()["paired"]
    foundry.sweep("hicm188_automated", vary=["plant.pools.operator.count=2:5"], reps=20).design_points
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foundry.experiment import compare, run
    from foundry.loader import load
    from foundry.sweeps import sweep

__all__ = ["__version__", "compare", "load", "run", "sweep"]

_ROOMS = {"load": "foundry.loader", "run": "foundry.experiment", "compare": "foundry.experiment",
          "sweep": "foundry.sweeps"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "__version__":
        return import_module("foundry.provenance").version()
    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module 'foundry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def kernel_sources(root: Any) -> list[Any]:
    """Files whose code or constants are frozen into compiled kernels, below the folder that holds the packages."""
    folders = ("foundry/engine", "processes", "qc")
    names = ("foundry/events.py", "foundry/scans.py", "foundry/streams.py", "foundry/tables.py")
    return [*(path for folder in folders for path in sorted((root / folder).rglob("*.py"))), *(root / name for name in names)]


def _kernel_cache() -> str:
    """Folder for compiled kernels, made if need be: one for each state of the sources that compile and each numba and Python.

    numba looks only at the file of the function itself: a caller in an unchanged file would keep old inlined code after a change of
    what it calls. The folder belongs to the user; where there is no place for it, it lives as long as this process.
    """
    import hashlib
    import sys
    from importlib.util import find_spec
    from pathlib import Path

    root = Path(__file__).parent.parent
    digest = hashlib.sha256(sys.version.encode())
    numba = find_spec("numba")
    if numba is not None and numba.origin is not None:
        digest.update(Path(numba.origin).with_name("_version.py").read_bytes())
    for path in kernel_sources(root):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    folder = _user_caches() / "cell-foundry-sim" / "numba" / digest.hexdigest()[:16]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return str(folder)
    except (OSError, RuntimeError):
        pass
    return _passing_folder()


def _user_caches() -> Any:
    from pathlib import Path
    from sys import platform

    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        if os.path.isabs(os.environ.get(name, "")):
            return Path(os.environ[name])
    home = Path(os.path.expanduser("~"))
    return home / "Library" / "Caches" if platform == "darwin" else home / ".cache"


def _passing_folder() -> str:
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="cell-foundry-sim-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


if not os.environ.get("NUMBA_CACHE_DIR"):
    os.environ["NUMBA_CACHE_DIR"] = _kernel_cache()
