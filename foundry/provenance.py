"""Where a result comes from: versions, commit, command, and the hash of what was run. Wall time is recorded, never used."""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DISTRIBUTION = "cell-foundry-sim"
PACKAGES = ("numba", "numpy", "pandas", "pyarrow", "pydantic", "scipy", "simpy")
STREAMS = "Philox4x64-10, addressed draws, inverse distribution functions"


def now_utc() -> str:
    """The time of day, to the second, as ISO 8601."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def canonical(document: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces: equal documents give equal text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a document, as hex digits.

    >>> content_hash({"a": 1, "b": 2.5}) == content_hash({"b": 2.5, "a": 1})
    True
    """
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def joined_fingerprint(fingerprints: Sequence[str]) -> str:
    """One SHA-256 for several, in their order."""
    return hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()


def version(distribution: str = DISTRIBUTION) -> str:
    """Version of an installed distribution; of this one in a bare clone, what pyproject.toml says."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return _declared_version() if distribution == DISTRIBUTION else "not installed"


def _declared_version() -> str:
    import tomllib

    file = Path(__file__).parent.parent / "pyproject.toml"
    return str(tomllib.loads(file.read_text(encoding="utf-8"))["project"]["version"]) if file.is_file() else "unknown"


def software() -> dict[str, Any]:
    """Version of the simulator, of Python and of the packages numbers may depend on; the commit when it runs from a clone."""
    return {
        "name": DISTRIBUTION, "version": version(), **_commit(Path(__file__).parent.parent), "streams": STREAMS,
        "python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in PACKAGES},
    }


def _commit(root: Path) -> dict[str, Any]:
    """Commit of a clone and whether files differ from it; empty outside a clone or without git."""
    if not (root / ".git").exists():
        return {}
    try:
        answers = [subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
                   for words in (("rev-parse", "HEAD"), ("status", "--porcelain"))]
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": answers[0], "changed_since_commit": bool(answers[1])}


def command_line(arguments: Sequence[str] | None = None) -> list[str]:
    """The command as typed, without the folder of the program and with ``~`` for the home folder."""
    words = list(sys.argv if arguments is None else arguments)
    home = str(Path.home())
    shown = [word.replace(home, "~") if len(home) > 1 else word for word in words]
    return [Path(shown[0]).name, *shown[1:]] if shown else []
