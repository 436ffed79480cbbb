"""What every test shares: where compiled kernels are kept, how hypothesis searches, and when a skip is a failure."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
KERNEL_CACHES_KEPT = 4

settings.register_profile("repeatable", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", settings.get_profile("repeatable"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def kernel_cache(root: Path) -> Path:
    """Folder for numba's compiled kernels, named after everything that can change them.

    numba looks only at the file of the function itself, so a caller in an unchanged file keeps old inlined code after an edit elsewhere:
    the folder is keyed by all sources that compile or hold their constants. Each test worker has its own, because numba's cache is not
    safe against two writers.
    """
    digest = hashlib.sha256(f"{sys.version} numba {importlib.metadata.version('numba')}".encode())
    for package in ("foundry", "processes", "qc"):                # more than what foundry.kernel_sources lists: it may not be imported yet
        for path in sorted((root / package).rglob("*.py")):
            if package != "foundry" or path.parent.name == "engine" or path.stem in ("events", "scans", "streams", "tables"):
                digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return root / ".cache" / "numba" / digest.hexdigest()[:16] / os.environ.get("PYTEST_XDIST_WORKER", "main")


def choose_kernel_cache() -> None:
    """Set NUMBA_CACHE_DIR before numba is imported, unless the user has set it; a worker inherits ours and takes its own beside it."""
    chosen = kernel_cache(ROOT)
    inherited = os.environ.get("NUMBA_CACHE_DIR")
    if inherited is None or Path(inherited).parent == chosen.parent:
        os.environ["NUMBA_CACHE_DIR"] = str(chosen)


choose_kernel_cache()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep the newest kernel caches only; every edit of a kernel makes another."""
    caches = ROOT / ".cache" / "numba"
    if not hasattr(session.config, "workerinput") and caches.is_dir():
        for stale in sorted(caches.iterdir(), key=lambda path: path.stat().st_mtime)[:-KERNEL_CACHES_KEPT]:
            shutil.rmtree(stale, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a browser is required (FOUNDRY_BROWSER=required), a skipped browser test has failed."""
    report = yield
    if report.skipped and item.get_closest_marker("browser") and os.environ.get("FOUNDRY_BROWSER") == "required":
        report.outcome = "failed"
        report.longrepr = f"skipped where FOUNDRY_BROWSER=required: {report.longrepr}"
    return report
