"""The house rules that a machine can hold: imports point one way, the wheel installs what it says, there is one version."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION: str = PYPROJECT["project"]["version"]
PACKAGES = ("foundry", "processes", "qc")


def imported(path: Path) -> set[str]:
    """Full names of all modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or ".")
    return names


def sources(package: str) -> list[Path]:
    """The Python files of a package."""
    return sorted((ROOT / package).rglob("*.py"))


def test_import_contracts_hold(tmp_path: Path) -> None:
    """Every import contract of pyproject.toml is kept."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(cache_dir=sys.argv[1], no_logo=True))"
    finished = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_every_module_of_foundry_has_a_layer() -> None:
    """A module that no layer names would escape the import contracts."""
    layers = next(contract["layers"] for contract in PYPROJECT["tool"]["importlinter"]["contracts"] if contract["id"] == "layers")
    named = set(re.findall(r"foundry\.(\w+)", " ".join(layers)))
    present = {path.stem for path in (ROOT / "foundry").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}

    assert present - {"__init__"} <= named


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_import_by_full_path(package: str) -> None:
    """Nothing inside the packages imports the package root `foundry`, which would tie everything into one knot."""
    knots = [str(path.relative_to(ROOT)) for path in sources(package) if "foundry" in imported(path)]

    assert knots == []


def test_command_line_has_no_logic_of_its_own() -> None:
    """simulate.py speaks to the public rooms only: no engine, no models, no simpy, plotly, pydantic or YAML."""
    forbidden = ("simpy", "plotly", "pydantic", "ruamel", "foundry.engine")
    strays = [name for name in imported(ROOT / "simulate.py") if name.startswith(forbidden)]

    assert strays == []


def test_wheel_installs_what_is_declared(tmp_path: Path) -> None:
    """The wheel's top level is exactly the declared one, with the configs inside foundry, typed, and no tests."""
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(wheel).namelist()
    top_level = {name.split("/")[0] for name in names if ".dist-info/" not in name}

    assert sorted(top_level) == PYPROJECT["tool"]["check-wheel-contents"]["toplevel"]
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert any(re.fullmatch(r"foundry/_configs/scenarios/.+\.yaml", name) for name in names)
    assert not [name for name in names if "test" in name.lower() or "__pycache__" in name]


def test_version_is_the_same_everywhere() -> None:
    """pyproject.toml, CITATION.cff, the newest dated heading of the changelog and the installed package agree."""
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert cited is not None
    assert cited[1] == VERSION
    assert headings[0] == "Unreleased"
    assert headings[1:2] in ([], [VERSION])
    try:
        assert importlib.metadata.version("cell-foundry-sim") == VERSION
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed: run from a bare clone")


def test_lock_covers_the_dependencies_and_the_build_backend() -> None:
    """Every direct dependency and the build backend are locked with hashes, and the lock names no place."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"], *PYPROJECT["build-system"]["requires"]]

    assert {re.split(r"[<>=]", requirement)[0].replace(".", "-") for requirement in wanted} <= locked
    assert len(re.findall(r"== *\S+[^\n]* \\\n +--hash=sha256:", lock)) == len(locked)
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host|^/", lock, re.MULTILINE)


@pytest.mark.parametrize("requirement", PYPROJECT["project"]["dependencies"])
def test_core_dependencies_stop_before_the_next_major(requirement: str) -> None:
    """A new major version is tried before it is allowed."""
    assert re.fullmatch(r"[a-z0-9.]+>=[\d.]+,<\d+", requirement)
