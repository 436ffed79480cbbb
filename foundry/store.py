"""All file operations of a result folder. A file is written whole or not at all, and nothing that exists is overwritten.

A folder is claimed before a run and filled after it; ``manifest.json`` comes last, so a folder without it is not finished.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MANIFEST, SUMMARY, PARAMETERS = "manifest.json", "summary.json", "scenario.resolved.yaml"
SCENARIOS = "scenarios"                                    # folder of the resolved scenarios, one file each
RESULTS = Path("results")                                  # where a run without -o goes


class FolderExists(ValueError):
    """A result folder or file is there already; it is never overwritten."""


class NotAResult(ValueError):
    """A folder that holds no finished result."""


@contextlib.contextmanager
def new_folder(folder: Path | None, name: str) -> Iterator[Path]:
    """Claim ``folder``, or ``results/<name>-<n>`` with the next free number n, for the length of the block.

    Raises FolderExists before anything runs. A block that ends in an error leaves no empty folder behind.
    """
    claimed = _claimed(folder) if folder is not None else _next_free(RESULTS, re.sub(r"[^A-Za-z0-9_.-]", "_", name))
    try:
        yield claimed
    except BaseException:
        with contextlib.suppress(OSError):
            claimed.rmdir()                                # only if nothing was written yet
        raise


def _claimed(folder: Path) -> Path:
    if folder.exists() or folder.is_symlink():
        raise FolderExists(f"{folder} exists already and is not overwritten; choose another folder")
    folder.mkdir(parents=True)
    return folder


def _next_free(parent: Path, name: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = parent / f"{name}-{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def free_file(parent: Path, name: str, suffix: str) -> Path:
    """``parent/name-n.suffix`` with the next free number n; nothing is written."""
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    return next(path for number in itertools.count(1) if not (path := parent / f"{stem}-{number}{suffix}").exists())


def write_bytes(path: Path, content: bytes) -> str:
    """Write a new file and return its SHA-256: a temporary file beside it, flushed to the disk, then put in place in one step.

    Raises FolderExists if there is such a file.
    """
    if path.exists():
        raise FolderExists(f"{path} exists already and is not overwritten")
    handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return hashlib.sha256(content).hexdigest()


def write_json(path: Path, document: Mapping[str, Any]) -> str:
    """Write a document as JSON; NaN and infinities are errors (ValueError)."""
    return write_bytes(path, (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_yaml(path: Path, document: Mapping[str, Any]) -> str:
    """Write mappings, lists and plain values as YAML 1.2."""
    return write_bytes(path, as_yaml(document).encode())


def write_table(path: Path, frame: pd.DataFrame) -> str:
    """Write a frame as parquet (zstd, no index)."""
    content = io.BytesIO()
    frame.to_parquet(content, index=False, compression="zstd")
    return write_bytes(path, content.getvalue())


def write_tables(path: Path, pieces: Iterator[pd.DataFrame]) -> str:
    """The same of a frame that comes in pieces, each of which is a row group. Few are in memory at a time."""
    filled = _with_rows(pieces)
    first = next(filled)
    second = next(filled, None)
    if second is None:
        return write_table(path, first)
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.exists():
        raise FolderExists(f"{path} exists already and is not overwritten")
    handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
    os.close(handle)
    try:
        schema = pa.Table.from_pandas(first, preserve_index=False).schema
        for i in (i for i, kind in enumerate(schema.types) if pa.types.is_dictionary(kind)):       # as many words as any piece has
            schema = schema.set(i, schema.field(i).with_type(pa.dictionary(pa.int32(), pa.string())))
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for piece in itertools.chain((first, second), filled):
                writer.write_table(pa.Table.from_pandas(piece, preserve_index=False).cast(schema))
        return _put_in_place(Path(temporary), path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _with_rows(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The pieces that hold rows; one without where there is no other."""
    empty: pd.DataFrame | None = None
    for piece in pieces:
        if len(piece):
            empty = None
            yield piece
            yield from (other for other in pieces if len(other))
        elif empty is None:
            empty = piece
    if empty is not None:
        yield empty


def _put_in_place(written: Path, path: Path) -> str:
    """Flush a file to the disk, give it its name, and return its SHA-256."""
    with written.open("rb") as stream:
        os.fsync(stream.fileno())
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    os.chmod(written, 0o644)
    os.replace(written, path)
    return digest


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON document of a result folder. Raises NotAResult if the folder does not hold it or it cannot be read."""
    path = folder / name
    if not path.is_file():
        raise NotAResult(f"{folder} is not a finished result folder: it has no {name}")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise NotAResult(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise NotAResult(f"{path} cannot be read: it holds no mapping")
    return document


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """A table of a result folder, ``NAME.parquet``. Raises NotAResult if the folder does not hold it."""
    import pandas as pd

    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise NotAResult(f"{folder} holds no table {name}")
    return pd.read_parquet(path)


def table_rows(folder: Path, name: str) -> int:
    """How many rows a table of a result folder has."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(folder / f"{name}.parquet").num_rows)


def table_pieces(folder: Path, name: str) -> Iterator[pd.DataFrame]:
    """A table of a result folder, one row group after the other."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(folder / f"{name}.parquet") as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group).to_pandas()


def as_yaml(value: Any, depth: int = 0) -> str:
    """Block style down to mappings of plain values, which take one line each.

    >>> print(as_yaml({"plant": [{"path": "pools.robot.count", "value": 2, "range": None}, {"path": "µ"}], "none": []}), end="")
    plant:
      - {path: pools.robot.count, value: 2, range: null}
      - {path: "µ"}
    none: []
    """
    pad = "  " * depth
    if isinstance(value, Mapping) and value:
        return "".join(f"{pad}{_scalar(key)}:" + (f" {_flow(item)}\n" if _is_flat(item) else "\n" + as_yaml(item, depth + 1))
                       for key, item in value.items())
    if isinstance(value, list) and value:
        return "".join(f"{pad}- {_flow(item)}\n" for item in value)
    return f"{pad}{_flow(value)}\n"


def _is_flat(value: Any) -> bool:
    if isinstance(value, Mapping):
        return not any(isinstance(item, Mapping | list) and item for item in value.values())
    return not isinstance(value, list) or not any(isinstance(item, Mapping | list) for item in value)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number must be finite")
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./%]*", value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False).translate(_BREAKS)


_BREAKS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"}     # YAML reads them as line breaks, JSON does not
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
